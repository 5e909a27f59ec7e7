"""The gate as one call: run, score the baseline again if need be, compare, decide, and write the reports."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from rag.errors import ConfigError, GoldError, PathError
from rag.gold.commands.asking import Progress, Settings, run
from rag.gold.files.disk import write_whole
from rag.gold.files.gold_set import load_gold, parse_gold, rebased
from rag.gold.files.lint import findings, lint
from rag.gold.files.runs import NotComparable, load_baseline, read_run, run_path
from rag.gold.metrics.comparison import Comparison, Exit, Verdict, compare, document_changes, verdict
from rag.gold.metrics.llm_judge import Judge, open_chat
from rag.gold.metrics.matching import Backend, Finder, LibraryCorpus
from rag.gold.metrics.scoring import needs_rescoring, rescore
from rag.gold.report.content import Report, build_report
from rag.gold.report.files import (
    failure_html,
    failure_junit,
    failure_markdown,
    html_report,
    junit_report,
    markdown_report,
)
from rag.gold.types import Finding, GoldSet, Problem, Run
from rag.prompts import load_prompt

if TYPE_CHECKING:
    from rag.config import Config
    from rag.library import Library


@contextmanager
def library_for(config: Config, corpus: Path | None = None, *, write: bool = False) -> Iterator[Library]:
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
            fill(library, corpus)
            yield library


def fill(library: Library, corpus: Path) -> None:
    """Put the documents of ``corpus`` into ``library``, and let the encoder see all of them, so that no answer hangs on
    the clock. Raises PathError naming the first file that cannot be read."""
    for event in library.ingest_events([corpus]):
        if event.status == "failed":
            raise PathError(
                f"{event.source} of {corpus} cannot be read: {event.error}",
                hint="Repair or remove the file; a gate does not run over part of its documents.",
            )
    for _ in library.encode_events():
        pass


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
    names: tuple[str, str] | None = None,
) -> Outcome:
    """A finished run against a baseline, or, with ``names``, two candidates of which neither is one. A changed scorer
    or gold set needs ``gold`` and ``backend`` to score the baseline's answers again; without them NotComparable is
    raised."""
    if baseline is None:
        return Outcome(finished, None, verdict(finished))
    why = needs_rescoring(baseline, finished)
    if why:
        if gold is None or backend is None:
            raise NotComparable(
                f"The runs cannot be compared: {why} between them.",
                hint="Ask again with `rag gold run`, or score both by one gold set with `rag gold compare A B --gold`.",
            )
        baseline = rescore(baseline, gold, backend, collection, k=finished.k)
        if needs_rescoring(baseline, finished):
            finished = rescore(finished, gold, backend, collection, k=finished.k)
    finished = replace(finished, findings=renamed(finished.findings, baseline.documents, finished.documents))
    comparison = compare(baseline, finished, names=names)
    decided = verdict(finished, comparison, allow_corpus_change=allow_corpus_change)
    return Outcome(finished, comparison, decided, why)


def renamed(findings: Sequence[Finding], old: Mapping[str, str], new: Mapping[str, str]) -> tuple[Finding, ...]:
    """The findings, with the new name of each missing file that is there byte for byte."""
    names = dict(document_changes(old, new).renamed)
    return tuple(
        replace(finding, file_now=finding.file_now or names.get(finding.file, ""))
        if finding.kind == "file"
        else finding
        for finding in findings
    )


def gravest(outcomes: Sequence[Outcome]) -> Exit:
    """The exit code for all of them."""
    gravity = (Exit.REGRESSION, Exit.NOT_COMPARABLE, Exit.INFRASTRUCTURE, Exit.CLEAN)
    return min((outcome.verdict.code for outcome in outcomes), key=gravity.index)


@dataclass(frozen=True, slots=True)
class Rebase:
    """A gold file ``before`` and ``after`` ``mended`` sources were set to what stands in the documents now. ``lost``
    are those that nothing there is like; ``doubts`` are facts that the documents no longer state."""

    before: str
    after: str
    mended: int
    lost: tuple[Finding, ...]
    doubts: tuple[Problem, ...]


def rebase(gold_file: Path, backend: Backend, ids: Sequence[str] = ()) -> Rebase:
    """What a gold file would be with the words, pages and names that its documents have now; writes nothing."""
    text = gold_file.read_bytes().decode("utf-8-sig") if gold_file.is_file() else ""
    gold, corpus = load_gold(gold_file).select(tuple(ids), drafts=True), LibraryCorpus(backend)
    baseline = load_baseline(gold_file)
    named = {source.file for question in gold.questions for source in question.sources}
    found = findings(gold, Finder(corpus))
    found = renamed(found, baseline.documents if baseline else {}, corpus.hashes(named))
    mended = [finding for finding in found if finding.mendable]
    after = rebased(text, str(gold_file), mended)
    touched = {finding.id for finding in mended}
    doubts = tuple(
        problem
        for question in parse_gold(after, str(gold_file)).questions
        if question.id in touched
        for problem in lint(replace(gold, questions=(question,)), corpus)
    )
    return Rebase(text, after, len(mended), tuple(each for each in found if not each.mendable), doubts)


def has_documents(config: Config) -> bool:
    """Whether the configured library has the configured collection."""
    from rag.library import Library

    if not config.database and not config.library_path.exists():
        return False
    with Library.open(config=config, write=False) as library:
        return config.collection in library.collections.names()


def last_run(gold: str | Path) -> Run:
    """The newest run kept beside a gold set. Raises GoldError when there is none."""
    path = run_path(gold)
    if not path.is_file():
        raise GoldError(f"There is no run of {gold} yet ({path}).", hint=f"Run it first: rag gold run {gold}")
    return read_run(path)


def write_reports(
    reports: Sequence[Report], *, html: Path | None, markdown: Path | None, junit: Path | None
) -> Sequence[Path]:
    """Write the reports that were asked for: Markdown and JUnit of all in one file, and a page for each gold set (the
    second one's beside the first, with its name). Raises GoldError when a file cannot be written."""
    texts: list[tuple[Path, str]] = []
    for number, report in enumerate(reports if html is not None else ()):
        assert html is not None
        path = html.with_name(f"{html.stem}.{Path(report.run.gold).stem}{html.suffix}") if number else html
        texts.append((path, html_report(report)))
    texts += [(markdown, markdown_report(*reports))] if markdown is not None else []
    texts += [(junit, junit_report(*reports))] if junit is not None else []
    for path, text in texts:
        write_whole(path, text)
    return [path for path, _ in texts]


def write_failure(title: str, told: str, *, html: Path | None, markdown: Path | None, junit: Path | None) -> None:
    """The same files for a run that could not be made, so that what follows in a CI finds them."""
    for path, render in ((html, failure_html), (markdown, failure_markdown), (junit, failure_junit)):
        if path is not None:
            write_whole(path, render(title, told))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest(Settings):
    """What ``rag gold run`` was asked for: the settings of the run, and what else its options say, by their names."""

    gold_file: Path
    config: Config
    corpus: Path | None = None
    ids: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    shard: tuple[int, int] = (1, 1)
    drafts: bool = False
    no_baseline: bool = False
    allow_corpus_change: bool = False
    no_lint: bool = False
    judge: str | None = None

    def gold(self) -> GoldSet:
        """The selected questions."""
        return load_gold(self.gold_file).select(self.ids, self.tags, drafts=self.drafts).shard(*self.shard)

    def settings(self) -> Settings:
        """The settings of the run, its files beside the gold set's unless they are named."""
        recording = self.recording or self.gold_file.with_name(f"{self.gold_file.stem}.recorded.jsonl")
        return replace(
            self,
            recording=None if self.mode == "live" else recording,
            out=self.out or run_path(self.gold_file, retrieval_only=self.retrieval_only, shard=self.shard),
            check=not self.no_lint,
            model=self.config.llm,
        )


def launch(requests: Sequence[RunRequest], progress: Progress | None = None) -> list[Outcome]:
    """Run each gold set against its baseline, all over the documents and model of the first request.

    Raises what ``check`` raises; invalid gold sets are all told before anything is asked.
    """
    first = requests[0]
    gold = [request.gold() for request in requests]
    # Replay asks no model, so none is opened; a retrieval-only run has no use for one.
    quiet = first.mode == "replay" or first.retrieval_only
    config = first.config.with_(llm="quotes") if quiet else first.config
    with library_for(config, first.corpus) as library, ExitStack() as stack:
        judge = None
        if first.judge is not None:
            chat = stack.enter_context(open_chat(first.config, first.judge))
            judge = Judge.by(chat, load_prompt("judge", config.prompts))
        return [
            check(
                questions,
                library,
                request.settings(),
                use_baseline=not request.no_baseline,
                allow_corpus_change=request.allow_corpus_change,
                judge=judge,
                progress=progress,
            )
            for questions, request in zip(gold, requests, strict=True)
        ]


def launch_pair(
    request: RunRequest, candidates: Sequence[tuple[str, Config]], progress: Progress | None = None
) -> Outcome:
    """Run with the configuration of each of the two named ``candidates``, and pair the runs question by question.

    Raises ConfigError when they change how documents are read and there is no ``corpus`` to read anew.
    """
    first, second = (_candidate(request, name, config, progress) for name, config in candidates)
    names = (candidates[0][0], candidates[1][0])
    return hold(second, first, None, None, allow_corpus_change=True, names=names)


def _candidate(request: RunRequest, name: str, config: Config, progress: Progress | None) -> Run:
    if request.corpus is None and reading(config) != reading(request.config):
        raise ConfigError(
            f"{name} changes how documents are cut or embedded, which a finished library cannot follow.",
            hint="Name the documents with --corpus, so that they are read anew with each settings file.",
        )
    kept = request.settings().out
    assert kept is not None
    part = re.sub(r"[^A-Za-z0-9._-]+", "-", name)
    settings = replace(request.settings(), out=kept.with_name(f"{kept.name}.{part}.jsonl"), model=config.llm)
    with library_for(config, request.corpus) as library:
        return run(request.gold(), library, settings, progress=progress)


def reading(config: Config) -> tuple[object, ...]:
    """The settings that take effect when documents are read."""
    return (
        config.passage_characters, config.passage_overlap, config.embedder, config.query_prefix, config.document_prefix,
    )  # fmt: skip
