"""The gate as one call: run, score the baseline again if need be, compare, decide, and write the reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rag.errors import GoldError
from rag.gold.backend import Backend
from rag.gold.baseline import NotComparable, load_baseline, needs_rescoring, rescore, run_path
from rag.gold.comparison import Comparison, compare
from rag.gold.files import write_whole
from rag.gold.gate import Verdict, verdict
from rag.gold.judge import Judge
from rag.gold.records import Run
from rag.gold.report import Report, build_report
from rag.gold.runner import Progress, Settings, run
from rag.gold.schema import GoldSet
from rag.gold.support import default_evidence


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run, how it compares with the baseline (None before the first accept), and the verdict.

    ``rescored`` says why the baseline's answers were scored again; empty if they were not.
    """

    run: Run
    comparison: Comparison | None
    verdict: Verdict
    rescored: str = ""

    @property
    def report(self) -> Report:
        """The report of it."""
        return build_report(self.run, self.comparison, self.verdict)


def check(
    gold: GoldSet,
    backend: Backend,
    settings: Settings | None = None,
    *,
    use_baseline: bool = True,
    allow_corpus_change: bool = False,
    judge: Judge | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Run ``gold`` (a selection, see ``GoldSet.select``) and hold it against the baseline beside its file.

    Before the first accept a live run with answers is made twice, which measures the noise floor. Raises what ``run``
    raises.
    """
    settings = settings or Settings()
    baseline = load_baseline(gold.path) if use_baseline else None
    first = use_baseline and baseline is None and settings.mode == "live" and not settings.retrieval_only
    finished = run(gold, backend, replace(settings, noise=settings.noise or first), judge=judge, progress=progress)
    return hold(finished, baseline, gold, backend, settings.collection, allow_corpus_change=allow_corpus_change)


def hold(
    finished: Run,
    baseline: Run | None,
    gold: GoldSet | None,
    backend: Backend | None,
    collection: str | None = None,
    *,
    allow_corpus_change: bool = False,
) -> Outcome:
    """A finished run against a baseline. A changed scorer or gold set needs ``gold`` and ``backend`` to score the
    baseline's answers again; without them NotComparable is raised."""
    if baseline is None:
        return Outcome(finished, None, verdict(finished))
    why = needs_rescoring(baseline, finished)
    if why:
        if gold is None or backend is None:
            raise NotComparable(
                f"The runs cannot be compared: {why} between them.",
                hint="Ask again with `rag gold run`, or score both by one gold set with `rag gold compare A B --gold`.",
            )
        baseline = rescore(baseline, gold, backend, collection, k=finished.k, evidence=default_evidence())
        if needs_rescoring(baseline, finished):
            finished = rescore(finished, gold, backend, collection, k=finished.k, evidence=default_evidence())
    comparison = compare(baseline, finished)
    decided = verdict(finished, comparison, allow_corpus_change=allow_corpus_change)
    return Outcome(finished, comparison, decided, why)


def last_run(gold: str | Path) -> Run:
    """The newest run kept beside a gold set. Raises GoldError when there is none."""
    from rag.gold.runfile import read_run

    path = run_path(gold)
    if not path.is_file():
        raise GoldError(f"There is no run of {gold} yet ({path}).", hint=f"Run it first: rag gold run {gold}")
    return read_run(path)


def write_reports(report: Report, *, html: Path | None, markdown: Path | None, junit: Path | None) -> Sequence[Path]:
    """Write the reports that were asked for. Raises GoldError when a file cannot be written."""
    from rag.gold.report_html import html_report
    from rag.gold.report_markdown import junit_report, markdown_report

    written: list[Path] = []
    for path, render in ((html, html_report), (markdown, markdown_report), (junit, junit_report)):
        if path is None:
            continue
        write_whole(path, render(report))
        written.append(path)
    return written
