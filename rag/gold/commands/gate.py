"""The gate as one call: run, score the baseline again if need be, compare, decide, and write the reports."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from rag.errors import ConfigError, GoldError, PathError
from rag.gold.commands.asking import Progress, Settings, run
from rag.gold.files.disk import write_whole
from rag.gold.files.gold_set import load_gold
from rag.gold.files.runs import NotComparable, load_baseline, run_path
from rag.gold.metrics.comparison import Comparison, Verdict, compare, verdict
from rag.gold.metrics.llm_judge import Judge, open_chat
from rag.gold.metrics.matching import Backend
from rag.gold.metrics.scoring import default_evidence, needs_rescoring, rescore
from rag.gold.report.content import Report, build_report
from rag.gold.types import GoldSet, Mode, Run
from rag.prompts import load_prompt

if TYPE_CHECKING:
    from rag.config import Config
    from rag.library import Library
    from rag.types import IngestEvent


@contextmanager
def library_for(
    config: Config,
    corpus: Path | None = None,
    progress: Callable[[IngestEvent], None] | None = None,
    *,
    write: bool = False,
) -> Iterator[Library]:
    """The configured library, opened for reading unless ``write``; or, with ``corpus``, a new one of that folder's
    documents, which is gone afterwards.

    Raises PathError when the folder is missing or one of its files cannot be read: a gate must not run over part of
    its documents.
    """
    from rag.library import Library

    if corpus is None:
        with Library.open(config=config, write=write) as library:
            yield library
        return
    with TemporaryDirectory(prefix="rag-gold-") as folder:
        with Library.open(Path(folder) / "library", config=config) as library:
            fill(library, corpus, progress)
            yield library


def fill(library: Library, corpus: Path, progress: Callable[[IngestEvent], None] | None = None) -> None:
    """Put the documents of ``corpus`` into ``library``. Raises PathError naming the first file that cannot be read."""
    for event in library.ingest_events([corpus]):
        if progress is not None:
            progress(event)
        if event.status == "failed":
            raise PathError(
                f"{event.source} of {corpus} cannot be read: {event.error}",
                hint="Repair or remove the file; a gate does not run over part of its documents.",
            )


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
    from rag.gold.files.runs import read_run

    path = run_path(gold)
    if not path.is_file():
        raise GoldError(f"There is no run of {gold} yet ({path}).", hint=f"Run it first: rag gold run {gold}")
    return read_run(path)


def write_reports(report: Report, *, html: Path | None, markdown: Path | None, junit: Path | None) -> Sequence[Path]:
    """Write the reports that were asked for. Raises GoldError when a file cannot be written."""
    from rag.gold.report.ci import junit_report, markdown_report
    from rag.gold.report.html import html_report

    written: list[Path] = []
    for path, render in ((html, html_report), (markdown, markdown_report), (junit, junit_report)):
        if path is None:
            continue
        write_whole(path, render(report))
        written.append(path)
    return written


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What ``rag gold run`` was asked for; the names are its options'."""

    gold_file: Path
    config: Config
    corpus: Path | None = None
    ids: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    drafts: bool = False
    mode: Mode = "live"
    recording: Path | None = None
    retrieval_only: bool = False
    k: int | None = None
    repeats: int | None = None
    noise: bool = False
    no_baseline: bool = False
    allow_corpus_change: bool = False
    no_lint: bool = False
    judge: str | None = None
    out: Path | None = None

    def gold(self) -> GoldSet:
        """The selected questions."""
        return load_gold(self.gold_file).select(self.ids, self.tags, drafts=self.drafts)

    def settings(self) -> Settings:
        """The settings of the run."""
        recording = self.recording or self.gold_file.with_name(f"{self.gold_file.stem}.recorded.jsonl")
        return Settings(
            k=self.k,
            repeats=self.repeats,
            mode=self.mode,
            recording=None if self.mode == "live" else recording,
            retrieval_only=self.retrieval_only,
            noise=self.noise,
            check=not self.no_lint,
            out=self.out or run_path(self.gold_file, retrieval_only=self.retrieval_only),
            model=self.config.llm,
        )


def launch(request: RunRequest, progress: Progress | None = None) -> Outcome:
    """Run against the baseline. Raises what ``check`` raises."""
    # Replay asks no model, so none is opened; a retrieval-only run has no use for one.
    quiet = request.mode == "replay" or request.retrieval_only
    config = request.config.with_(llm="quotes") if quiet else request.config
    with library_for(config, request.corpus) as library, ExitStack() as stack:
        judge = None
        if request.judge is not None:
            chat = stack.enter_context(open_chat(request.config, request.judge))
            judge = Judge(chat, load_prompt("judge", config.prompts))
        return check(
            request.gold(),
            library,
            request.settings(),
            use_baseline=not request.no_baseline,
            allow_corpus_change=request.allow_corpus_change,
            judge=judge,
            progress=progress,
        )


def launch_pair(request: RunRequest, a: Path, b: Path, progress: Progress | None = None) -> Outcome:
    """Run with the settings of file ``a`` on top of the configuration, then with those of ``b``, and pair the two.

    Raises ConfigError when the files change how documents are read and there is no ``corpus`` to read anew.
    """
    first = _with_settings(request, a, progress)
    second = _with_settings(request, b, progress)
    return hold(second, first, None, None, allow_corpus_change=True)


def _with_settings(request: RunRequest, path: Path, progress: Progress | None) -> Run:
    config = request.config.with_file(path)
    if request.corpus is None and reading(config) != reading(request.config):
        raise ConfigError(
            f"{path} changes how documents are cut or embedded, which a finished library cannot follow.",
            hint="Name the documents with --corpus, so that they are read anew with each settings file.",
        )
    kept = request.out or run_path(request.gold_file)
    settings = replace(request.settings(), out=kept.with_name(f"{kept.name}.{path.stem}.jsonl"), model=config.llm)
    with library_for(config, request.corpus) as library:
        return run(request.gold(), library, settings, progress=progress)


def reading(config: Config) -> tuple[object, ...]:
    """The settings that take effect when documents are read."""
    return (
        config.passage_characters, config.passage_overlap, config.embedder, config.query_prefix, config.document_prefix,
    )  # fmt: skip
