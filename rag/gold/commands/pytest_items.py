"""What the pytest plugin does once ``--gold`` was given: one library for the session, one item for each question."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from rag.errors import RagError
from rag.gold.commands.asking import Session, Settings, open_session
from rag.gold.commands.gate import Outcome, hold
from rag.gold.files.gold_set import load_gold
from rag.gold.files.runs import load_baseline, passages_of
from rag.gold.metrics.comparison import Exit, State
from rag.gold.types import GoldSet, Question, Record, Run
from rag.text import safe


class GoldFailure(Exception):
    """A gold question that does not pass; its text is the whole report."""


@dataclass(slots=True)
class GoldSheet:
    """A gold set with the session that asks it and its baseline."""

    gold: GoldSet
    session: Session
    baseline: Run | None
    allow_corpus_change: bool

    def outcome(self, question: Question, records: tuple[Record, ...]) -> Outcome:
        """One question against its part of the baseline."""
        plan, baseline = self.session.plan, self.baseline
        passages = passages_of(records, self.session.passages)
        one = replace(plan, questions=(question,), records=records, passages=passages, ids=(question.id,))
        if baseline is not None:
            kept = tuple(record for record in baseline.records if record.id == question.id)
            accepted = {name: entry for name, entry in baseline.accepted.items() if name == question.id}
            asked = tuple(q for q in baseline.questions if q.id == question.id)
            baseline = replace(baseline, records=kept, questions=asked, accepted=accepted) if kept else None
        backend, collection = self.session.backend, self.session.settings.collection
        return hold(one, baseline, self.gold, backend, collection, allow_corpus_change=self.allow_corpus_change)


class GoldCase:
    """One question: asked when it is first looked at."""

    def __init__(self, room: GoldRoom, path: Path, question: Question) -> None:
        self._room = room
        self._path = path
        self.question = question

    @cached_property
    def records(self) -> tuple[Record, ...]:
        """A record for each repeat."""
        session = self._room.sheet(self._path).session
        return tuple(session.ask(self.question, repeat) for repeat in range(session.plan.repeats))

    @property
    def record(self) -> Record:
        """The first repeat's record: ranking, reply and metrics."""
        return self.records[0]

    @cached_property
    def outcome(self) -> Outcome:
        """The comparison with the baseline, and the verdict."""
        return self._room.sheet(self._path).outcome(self.question, self.records)

    def check(self) -> None:
        """Raise GoldFailure when the question misses a threshold or got worse than its baseline.

        A question on watch, and a loss that may be noise, is an expected failure instead; a draft is skipped.
        """
        if self.question.review.status == "draft":
            pytest.skip("a draft never gates")
        failed = [record for record in self.records if record.error]
        if failed:
            raise GoldFailure(f"{self.question.id} could not be asked: {failed[0].error}")
        outcome = self.outcome
        comparison = outcome.comparison
        lost = bool(comparison and comparison.of(State.REGRESSION))
        if self.question.severity == "watch" and (outcome.verdict.misses or lost):
            pytest.xfail("on watch: " + self.explain())
        noisy = comparison is not None and lost and not comparison.deterministic
        if noisy and not any(miss.gates for miss in outcome.verdict.misses):
            pytest.xfail("may be noise; `rag gold run` decides over all questions: " + self.explain())
        if outcome.verdict.code is not Exit.CLEAN:
            raise GoldFailure(self.explain())

    def explain(self) -> str:
        """The question's part of the report."""
        lines = [f"{self.question.id}: {self.question.question}", *outcome_lines(self.outcome)]
        reply = self.record.reply
        return safe("\n".join([*lines, *self.record.notes, *([f"Answer: {reply.text}"] if reply else [])]))


def outcome_lines(outcome: Outcome) -> Iterator[str]:
    """The reasons, and for a regression its stage, metrics and the old answer."""
    yield from outcome.verdict.reasons
    asked = {question.id for question in outcome.run.questions}
    for finding in (finding for finding in outcome.run.findings if finding.id in asked):
        yield f"{finding.message} Now: {finding.file_now or finding.page_now or finding.quote_now or 'nothing like it'}"
    for pair in outcome.comparison.of(State.REGRESSION) if outcome.comparison is not None else ():
        yield f"{pair.stage}: " + "; ".join(f"{n} {pair.before[n]:.3g} -> {pair.after[n]:.3g}" for n in pair.worse)
        if pair.old is not None and pair.old.reply is not None:
            yield f"Before: {pair.old.reply.text}"


class GoldRoom:
    """Keeps the library open for the test session; it is opened when the first question is asked."""

    def __init__(self, config: pytest.Config, files: tuple[Path, ...]) -> None:
        self._config = config
        self._stack = ExitStack()
        self._library: Any = None
        self._sheets: dict[Path, GoldSheet] = {}
        self.files = files

    def gold(self, path: Path) -> GoldSet:
        """The gold set of a file, drafts included, with the tags that were asked for."""
        return load_gold(path).select(tags=tuple(self._config.getoption("--gold-tag")), drafts=True)

    def cases(self) -> tuple[GoldCase, ...]:
        """Every question of every file."""
        return tuple(case for path in self.files for case in self.cases_of(path))

    def cases_of(self, path: Path) -> Iterator[GoldCase]:
        """The questions of one file. For an invalid one raises CollectError, which pytest shows without a traceback."""
        try:
            questions = self.gold(path).questions
        except RagError as error:
            raise pytest.Collector.CollectError(error.explain()) from error
        yield from (GoldCase(self, path, question) for question in questions)

    def sheet(self, path: Path) -> GoldSheet:
        """The open gold set of a file. Raises InvalidGold when it does not fit the documents."""
        if path not in self._sheets:
            gold = self.gold(path)
            retrieval_only = bool(self._config.getoption("--gold-retrieval-only"))
            session = open_session(gold, self._open(), Settings(retrieval_only=retrieval_only))
            allowed = bool(self._config.getoption("--gold-allow-corpus-change"))
            self._sheets[path] = GoldSheet(gold, session, load_baseline(path), allowed)
        return self._sheets[path]

    def _open(self) -> Any:
        from rag.config import load_config
        from rag.gold.commands.gate import library_for

        if self._library is None:
            names = ("library", "collection", "llm")
            flags = {name: self._config.getoption(f"--gold-{name}") for name in names}
            config = load_config({name: value for name, value in flags.items() if value is not None})
            corpus = self._config.getoption("--gold-corpus")
            self._library = self._stack.enter_context(library_for(config, Path(corpus) if corpus else None))
        return self._library

    @pytest.hookimpl
    def pytest_unconfigure(self) -> None:
        """Close the library."""
        self._stack.close()


class GoldFile(pytest.File):
    """A gold set as a file of tests."""

    def collect(self) -> Iterator[pytest.Item]:
        """An item for each question, marked by its tags."""
        room = self.config.pluginmanager.get_plugin("rag_gold_room")
        assert isinstance(room, GoldRoom)
        for case in room.cases_of(self.path.absolute()):
            yield GoldItem.from_parent(self, name=case.question.id, case=case)


class GoldItem(pytest.Item):
    """A gold question as a test."""

    def __init__(self, *, case: GoldCase, **given: Any) -> None:
        super().__init__(**given)
        self.case = case
        self.extra_keyword_matches.update(case.question.tags)

    def runtest(self) -> None:
        """Ask and check."""
        self.case.check()

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The report of the question; no traceback, for it is no error of a program."""
        if isinstance(excinfo.value, GoldFailure):
            return str(excinfo.value)
        if isinstance(excinfo.value, RagError):
            return excinfo.value.explain()
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where the question stands."""
        return self.path, self.case.question.line - 1, f"gold: {self.name}"
