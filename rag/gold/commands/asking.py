"""Asks every gold question, scores what comes back, and keeps it; goes on where an interrupted run stopped."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from rag.answer.writing import condense_by_rule
from rag.errors import GoldError, ModelError, RagError
from rag.gold.files.disk import claimed, unwritable
from rag.gold.files.gold_set import load_gold
from rag.gold.files.lint import require_sound
from rag.gold.files.runs import Recorded, Recording, RunWriter, passages_of, read_run, under_recorded_model, write_run
from rag.gold.metrics.comparison import noise_floor
from rag.gold.metrics.definitions import depth_of
from rag.gold.metrics.llm_judge import Judge
from rag.gold.metrics.matching import Backend, Finder, LibraryCorpus
from rag.gold.metrics.scoring import (
    Evidence,
    Scorer,
    default_evidence,
    passage_texts,
    patterns_of,
    reply_of,
    scorer_version,
)
from rag.gold.types import Found, GoldSet, Mode, Question, Record, Run, found_of
from rag.types import Answer


def fingerprint(backend: Backend, collection: str | None, gold: GoldSet, run: Mapping[str, Any]) -> dict[str, Any]:
    """The backend's own fingerprint with the gold set, the scorer's version and the settings of the run."""
    whole = {
        **backend.fingerprint(collection),
        "gold": {"sha256": gold.sha256, "questions": len(gold.ids or gold.questions)},
        "scorer": scorer_version(),
        "run": dict(run),
    }
    plain: dict[str, Any] = json.loads(json.dumps(whole, default=str))
    return plain


_GIVE_UP_AFTER = 3
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Settings:
    """How to run. ``k`` and ``repeats`` default to the gold set's; ``out`` keeps the run (and resumes one that was
    interrupted there); ``noise`` runs everything twice to measure the noise floor; ``check`` looks for gold that
    does not stand in the documents;
    ``model`` is the configured one, which replay compares with the recorded; ``where`` is kept with the run."""

    collection: str | None = None
    k: int | None = None
    repeats: int | None = None
    mode: Mode = "live"
    recording: Path | None = None
    retrieval_only: bool = False
    noise: bool = False
    check: bool = True
    out: Path | None = None
    model: str = ""
    where: str = ""


@dataclass(slots=True)
class Session:
    """A run in the making: ``plan`` is the run without its records."""

    backend: Backend
    settings: Settings
    plan: Run
    evidence: Evidence
    recording: Recording | None
    finder: Finder
    judge: Judge | None = None
    passages: dict[str, str] = field(default_factory=dict)
    failures: int = 0

    def ask(self, question: Question, repeat: int) -> Record:
        """One record; a failure of the model or the library becomes its ``error``."""
        if self.failures >= _GIVE_UP_AFTER:
            message = f"Not asked: the model failed {_GIVE_UP_AFTER} times in a row."
            return Record(question.id, repeat, error=message, error_code="not-asked")
        try:
            record = self._retrieve(question) if self.settings.retrieval_only else self._answer(question, repeat)
        except RagError as error:
            self.failures = self.failures + 1 if isinstance(error, ModelError) else 0
            return Record(question.id, repeat, error=error.explain(), error_code=error.code)
        self.failures = 0
        scorer = Scorer(self.finder, self.plan.k, self.passages, self.evidence)
        with patterns_of(question, self.plan.gold):
            scored = scorer.score(question, replace(record, repeat=repeat))
        return self.judge.judged(scored, self.passages) if self.judge is not None else scored

    def _retrieve(self, question: Question) -> Record:
        condensed = condense_by_rule(question.question, question.turns)
        started = time.perf_counter()
        ranking = self._ranking(condensed.question if condensed else question.question)
        return Record(
            question.id, ranking=ranking, metrics={"retrieve_ms": round((time.perf_counter() - started) * 1000, 3)}
        )

    def _answer(self, question: Question, repeat: int) -> Record:
        if self.settings.mode == "replay" and self.recording is not None:
            recorded = self.recording.find(question, repeat, self.plan.fingerprint, self.plan.depth)
        else:
            answer = self._live(question)
            recorded = Recorded(answer, self._ranking(answer.asked or answer.question))
            if self.recording is not None:
                self.recording.add(question, repeat, recorded)
        self.passages.update(passage_texts(recorded.answer.hits))
        return Record(question.id, ranking=recorded.ranking, reply=reply_of(recorded.answer))

    def record(self, *, resumed: bool) -> None:
        """Start the recording, or go on with it. Raises GoldError when it cannot be written."""
        path, plan = self.settings.recording, self.plan
        assert path is not None, "the plan refuses a recording without a file"
        start = Recording.resume if resumed else Recording.create
        self.recording = start(path, plan.fingerprint, plan.depth)

    def recorded(self, question: Question, record: Record) -> bool:
        """Whether nothing keeps ``record`` from being reused: a run that records needs its answer recorded too."""
        if self.settings.mode != "record" or self.recording is None:
            return True
        return self.recording.holds(question, record.repeat)

    def _live(self, question: Question) -> Answer:
        return self.backend.ask(question.question, history=question.turns, collection=self.settings.collection)

    def _ranking(self, asked: str) -> tuple[Found, ...]:
        hits = self.backend.search(asked, self.plan.depth, self.settings.collection)
        self.passages.update(passage_texts(hits))
        return tuple(found_of(hit) for hit in hits)


def run(
    gold: GoldSet | str | Path,
    backend: Backend,
    settings: Settings | None = None,
    *,
    judge: Judge | None = None,
    progress: Progress | None = None,
) -> Run:
    """Ask ``backend`` every question of ``gold`` and score the answers.

    A question that fails becomes a record with ``error`` and no score; after three failures of the model in a row the
    rest is not asked. ``progress(done, total, id)`` is called after each. An interrupted run (Ctrl-C, kill) with
    ``settings.out`` goes on from its last record, in the second asking for the noise floor too, when called again with
    the same gold set and configuration. Gold sources that do not stand in the documents become the run's ``findings``.

    Raises InvalidGold when the gold set contradicts itself, GoldError when it has no question, when a file
    cannot be read or written, or when another run is being written to the same file.
    """
    settings = settings or Settings()
    gold = gold if isinstance(gold, GoldSet) else load_gold(gold).select()
    if not gold.questions:
        raise GoldError(
            f"There is nothing to ask: {gold.path} has no approved question among those that were chosen.",
            hint="Set 'status: approved' on drafts that you have read, or ask drafts too with --drafts.",
        )
    session = open_session(gold, backend, settings, judge)
    total = len(gold.questions) * session.plan.repeats * (2 if settings.noise else 1)
    done = _counter(progress, total)
    if settings.out is not None:
        return _run_on_disk(session, gold, settings.out, done)
    if settings.mode == "record":
        session.record(resumed=False)
    finished = _finished(session, _records(session, gold, (), done))
    if settings.noise:
        again = replace(finished, records=tuple(_records(session, gold, (), done)))
        finished = replace(finished, noise=noise_floor(finished, again))
    return finished


def open_session(gold: GoldSet, backend: Backend, settings: Settings, judge: Judge | None = None) -> Session:
    """All that asking needs, made once. Raises what ``run`` raises."""
    corpus = LibraryCorpus(backend, settings.collection)
    finder = Finder(corpus)
    found = require_sound(gold, finder) if settings.check else ()
    plan, recording = _plan(gold, backend, settings, judge)
    named = {source.file for question in gold.questions for source in question.sources}
    plan = replace(plan, findings=found, documents=corpus.hashes(named))
    return Session(backend, settings, plan, default_evidence(), recording, finder, judge)


def _counter(progress: Progress | None, total: int) -> Callable[[str], None]:
    numbers = count(1)
    return lambda name: progress(next(numbers), total, name) if progress is not None else None


def _plan(gold: GoldSet, backend: Backend, settings: Settings, judge: Judge | None) -> tuple[Run, Recording | None]:
    """The run without its records, and the recording to read or write."""
    k = settings.k or gold.k
    repeats = settings.repeats or gold.repeats
    depth = max([k, *(depth_of(name) for question in gold.questions for name in question.thresholds)])
    shape = {"k": k, "depth": depth, "repeats": repeats, "retrieval_only": settings.retrieval_only}
    mark: Mapping[str, Any] = fingerprint(backend, settings.collection, gold, shape)
    if judge is not None:
        mark = {**mark, "judge": {"name": judge.chat.name, "digest": judge.chat.digest}}
    recording: Recording | None = None
    if settings.mode != "live":
        if settings.noise:
            raise GoldError("The noise floor is measured live.", hint="Use --mode live, or leave out --noise.")
        if settings.recording is None:
            raise GoldError(f"The mode '{settings.mode}' needs a file.", hint="Name one with --recording.")
        if settings.retrieval_only:
            raise GoldError("A retrieval-only run has no answers to record or replay.", hint="Drop one of the two.")
        if settings.mode == "replay":
            recording = Recording.load(settings.recording)
            mark = under_recorded_model(mark, recording, settings.model)
    plan = Run(
        gold=gold.path, questions=gold.questions, records=(), fingerprint=mark, k=k, depth=depth, repeats=repeats,
        mode=settings.mode, retrieval_only=settings.retrieval_only, started=time.time(), ids=gold.ids,
        where=settings.where,
    )  # fmt: skip
    return plan, recording


def _finished(session: Session, records: Iterable[Record]) -> Run:
    asked = tuple(records)
    return replace(session.plan, records=asked, passages=session.passages, finished=time.time())


def _run_on_disk(session: Session, gold: GoldSet, out: Path, done: Callable[[str], None]) -> Run:
    """Keep every record in ``out``.part (and those of the second asking beside it) until the run is whole."""
    part, second = (out.with_name(f"{out.name}{ending}") for ending in (".part", ".again.part"))
    with claimed(part):
        finished = _pass(session, gold, part, done)
        try:
            if session.settings.noise:
                again = _pass(session, gold, second, done)
                finished = replace(finished, noise=noise_floor(finished, again))
                write_run(out, finished)
                part.unlink()
            else:
                part.replace(out)
            second.unlink(missing_ok=True)
        except OSError as error:
            raise unwritable(out, error) from error
    return finished


def _pass(session: Session, gold: GoldSet, part: Path, done: Callable[[str], None]) -> Run:
    """Ask what ``part`` has no answer to, adding to it."""
    earlier = _interrupted(part, session.plan)
    plan = earlier or session.plan
    if session.settings.mode == "record":
        session.record(resumed=earlier is not None)
    questions = gold.by_id()
    kept = [record for record in plan.records if not record.error and session.recorded(questions[record.id], record)]
    session.passages.update(plan.passages)
    writer = RunWriter.start(part, replace(plan, records=tuple(kept), passages=session.passages))
    for record in _records(session, gold, tuple(kept), done):
        writer.add(record, passages_of([record], session.passages))
        kept.append(record)
    finished = time.time()
    writer.finish(finished)
    return replace(plan, records=tuple(kept), passages=session.passages, finished=finished)


def _records(session: Session, gold: GoldSet, kept: Sequence[Record], done: Callable[[str], None]) -> Iterator[Record]:
    """The records that are still missing."""
    there = {(record.id, record.repeat) for record in kept}
    for question in gold.questions:
        for repeat in range(session.plan.repeats):
            if (question.id, repeat) not in there:
                yield session.ask(question, repeat)
            done(question.id)


def _interrupted(part: Path, plan: Run) -> Run | None:
    """The run that stopped in ``part``, if it was this same one: equal fingerprint, questions and mode."""
    if not part.is_file():
        return None
    try:
        earlier = read_run(part, interrupted=True)
    except GoldError:
        return None
    same = (earlier.fingerprint, earlier.questions, earlier.mode) == (plan.fingerprint, plan.questions, plan.mode)
    return earlier if same else None
