"""The words of a gold set as values: questions, what a run keeps of each, and the run itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from statistics import fmean
from typing import Any, Literal

from rag.errors import GoldError
from rag.types import Answer, Hit, Turn

Severity = Literal["must", "watch"]


@dataclass(frozen=True, slots=True)
class Fact:
    """Something a right answer states: ``any`` of some wordings (``re:`` starts a regular expression), or a
    ``number`` within ``tolerance`` (absolute) with an optional ``unit``."""

    id: str
    any: tuple[str, ...] = ()
    number: str | None = None
    tolerance: str = "0"
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """A file that holds the answer, optionally the page (from 1) and the words. ``line`` is the gold set's."""

    file: str
    page: int | None = None
    quote: str = ""
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Review:
    """Who wrote the question, and whether somebody approved it. A draft never gates."""

    status: Literal["approved", "draft"] = "approved"
    origin: Literal["human", "model", "feedback", "import"] = "human"


@dataclass(frozen=True, slots=True)
class Question:
    """One gold question. ``thresholds`` are absolute; ``aliases`` are reference answers, reported and never gating."""

    id: str
    question: str
    tags: tuple[str, ...] = ()
    turns: tuple[Turn, ...] = ()
    unanswerable: bool = False
    facts: tuple[Fact, ...] = ()
    must_not_contain: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    aliases: tuple[str, ...] = ()
    thresholds: Mapping[str, float] = field(default_factory=dict)
    severity: Severity = "must"
    review: Review = Review()
    line: int = field(default=0, compare=False)

    @property
    def gates(self) -> bool:
        """Whether a loss on this question may fail a run."""
        return self.severity == "must" and self.review.status == "approved"

    @property
    def files(self) -> tuple[str, ...]:
        """The gold files, each once."""
        return tuple(dict.fromkeys(source.file for source in self.sources))


@dataclass(frozen=True, slots=True)
class GoldSet:
    """A gold set as read, or a selection of it. ``k`` and ``repeats`` are its defaults; ``sha256`` is of the file's
    bytes; ``ids`` are all that the file has, selected or not."""

    path: str
    questions: tuple[Question, ...]
    k: int = 5
    repeats: int = 1
    sha256: str = ""
    ids: tuple[str, ...] = ()

    def select(self, ids: tuple[str, ...] = (), tags: tuple[str, ...] = (), *, drafts: bool = False) -> GoldSet:
        """The questions with one of the ``ids`` and one of the ``tags`` (empty: any); drafts only when asked for.

        Raises InvalidGold for an id or tag that no question has.
        """
        for kind, wanted, known in (
            ("id", ids, {q.id for q in self.questions}),
            ("tag", tags, {tag for q in self.questions for tag in q.tags}),
        ):
            if missing := [name for name in wanted if name not in known]:
                close = get_close_matches(missing[0], sorted(known), n=1)
                remedy = f"Did you mean '{close[0]}'?" if close else "See the file for those it has."
                raise InvalidGold(self.path, (Problem(1, f"No question has the {kind} '{missing[0]}'.", remedy),))
        kept = tuple(
            q
            for q in self.questions
            if (not ids or q.id in ids)
            and (not tags or set(tags) & set(q.tags))
            and (drafts or q.review.status == "approved" or q.id in ids)
        )
        return replace(self, questions=kept)

    def shard(self, part: int, of: int) -> GoldSet:
        """The ``part``-th (from 1) of ``of`` about equal parts, every ``of``-th question in turn."""
        return replace(self, questions=self.questions[part - 1 :: of])

    def by_id(self) -> dict[str, Question]:
        """The questions by their id."""
        return {question.id: question for question in self.questions}


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong (or, as a ``warning``, doubtful) at ``line`` of a gold file, and what to do about it."""

    line: int
    message: str
    remedy: str
    severity: str = "error"

    def show(self, path: str) -> str:
        """``file:line: message`` and the remedy, in one line."""
        doubt = "warning: " if self.severity == "warning" else ""
        return f"{path}:{self.line}: {doubt}{self.message} {self.remedy}".rstrip()


class InvalidGold(GoldError):
    """The gold file cannot be used. ``problems`` lists all that was found, in order of lines."""

    code = "gold"

    def __init__(self, path: str, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(problem.show(path) for problem in problems), hint="")
        self.problems = problems


Mode = Literal["live", "record", "replay"]
DIGITS = 9
"""Figures are kept to nine decimals: more is noise, and would make the files unreadable."""


Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Place:
    """``text[start:end]`` of ``source``: a passage that was retrieved, or a gold quote."""

    source: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Found:
    """A retrieved passage without its text, which ``Run.passages`` has."""

    source: str
    start: int
    end: int
    page: int | None
    score: float

    @property
    def place(self) -> Place:
        """Where it stands."""
        return Place(self.source, self.start, self.end)

    @property
    def key(self) -> str:
        """Names its text in ``Run.passages``."""
        return f"{self.source}:{self.start}-{self.end}"


@dataclass(frozen=True, slots=True)
class Cited:
    """A citation of an answer. ``passage`` is the key of the cited passage's text, empty if it was not retrieved."""

    marker: int
    source: str
    page: int | None
    start: int
    end: int
    quote: str
    origin: str = "model"
    passage: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence of an answer, without markers. ``claim``: it needs a citation. φ's findings, filled in by the scorer:
    ``entailed``, all it cites together supports it; ``carries``, for each citation, it is enough alone or needed."""

    text: str
    support: str
    claim: bool
    citations: tuple[int, ...] = ()
    entailed: bool = False
    carries: tuple[bool, ...] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. ``plain`` is its text without markers, the words that facts are sought in."""

    text: str
    plain: str
    abstained: bool
    reason: str = ""
    asked: str = ""
    sentences: tuple[Said, ...] = ()
    citations: tuple[Cited, ...] = ()
    dropped_markers: int = 0
    probability: float = 0.0
    model: str = ""
    timings: Mapping[str, float] = field(default_factory=dict)
    tokens: Mapping[str, float] = field(default_factory=dict)
    notices: tuple[str, ...] = ()

    @property
    def silent(self) -> bool:
        """Whether nothing is shown: it abstained, and no closest passages are quoted either."""
        return self.abstained and not self.citations

    @property
    def cited_files(self) -> tuple[str, ...]:
        """The cited files, each once, in order."""
        return tuple(dict.fromkeys(citation.source for citation in self.citations))


@dataclass(frozen=True, slots=True)
class Record:
    """One asking of one question. ``reply`` is None in a retrieval-only run; ``error`` says why there is nothing to
    score (then ``metrics`` is empty: an error is never a score)."""

    id: str
    repeat: int = 0
    ranking: tuple[Found, ...] = ()
    reply: Reply | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    error: str = ""
    error_code: str = ""


@dataclass(frozen=True, slots=True)
class Noise:
    """What two runs of the same configuration differed in: the noise floor.

    ``identical`` of ``questions`` had the same answer and ranking to the letter; ``flips`` are the ids that passed
    in one and failed in the other; ``spread`` is the mean absolute difference of each metric.
    """

    questions: int
    identical: int
    flips: tuple[str, ...] = ()
    spread: Mapping[str, float] = field(default_factory=dict)

    @property
    def silent(self) -> bool:
        """Whether nothing at all differed, so that any later difference is a change and no noise."""
        return self.questions == self.identical


@dataclass(frozen=True, slots=True)
class Finding:
    """A source of question ``id`` that does not stand in the documents: its ``file`` is not there, has no such
    ``page``, or does not hold the ``quote``. ``source`` is its place in the question's list, ``line`` the gold file's.

    What stands there now, as far as it can be told (empty where it cannot): the ``file_now`` that holds the words or,
    byte for byte, the document; the ``page_now`` they are on; the ``quote_now`` that is nearest to them.
    """

    id: str
    kind: Literal["file", "page", "quote"]
    source: int
    file: str
    page: int | None = None
    quote: str = ""
    line: int = 0
    file_now: str = ""
    page_now: int | None = None
    quote_now: str = ""

    @property
    def message(self) -> str:
        """What is wrong, in one sentence."""
        if self.kind == "file":
            return f"The file '{self.file}' of '{self.id}' is not in the collection."
        if self.kind == "page" and self.page_now is None:
            return f"'{self.file}' has no page {self.page}, which '{self.id}' names."
        if self.kind == "page":
            return f"The quote of '{self.id}' is in '{self.file}', but not on page {self.page}."
        end = "" if self.quote[:100].endswith((".", "!", "?")) else "."
        return f"The quote of '{self.id}' is not in '{self.file}': \"{self.quote[:100]}\"{end}"

    @property
    def mendable(self) -> bool:
        """Whether there is something to put in its place."""
        return bool(self.file_now or self.quote_now or self.page_now is not None)


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Why and when (UNIX seconds) a record became the baseline; the digests of corpus and configuration then."""

    reason: str
    at: float
    corpus: str = ""
    configuration: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """A finished (or interrupted) run: its questions, records, fingerprint and the text of the passages it found.

    ``ids`` are all questions the gold set has, also those that were not selected. A baseline is a run whose records
    were accepted one by one; ``accepted`` says so for each id. ``findings`` are the gold sources that did not stand in
    the documents when it ran; ``documents`` gives the SHA-256 of each document then (of the gold files alone, in a
    collection of over 1,000). ``where`` are the options that named documents and model, for the commands of its report.
    """

    gold: str
    questions: tuple[Question, ...]
    records: tuple[Record, ...]
    fingerprint: Mapping[str, Any]
    k: int = 5
    depth: int = 5
    repeats: int = 1
    mode: Mode = "live"
    retrieval_only: bool = False
    started: float = 0.0
    finished: float = 0.0
    noise: Noise | None = None
    passages: Mapping[str, str] = field(default_factory=dict)
    accepted: Mapping[str, Acceptance] = field(default_factory=dict)
    ids: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    documents: Mapping[str, str] = field(default_factory=dict)
    where: str = ""

    def by_id(self) -> dict[str, list[Record]]:
        """The records of each question, in order of repeats."""
        grouped: dict[str, list[Record]] = {}
        for record in self.records:
            grouped.setdefault(record.id, []).append(record)
        return grouped

    def scores(self) -> dict[str, dict[str, float]]:
        """Each question's metrics, averaged over its repeats; questions with an error are left out."""
        return {
            name: mean_metrics(records)
            for name, records in self.by_id().items()
            if not any(record.error for record in records)
        }

    @property
    def stale(self) -> frozenset[str]:
        """The ids of the questions whose gold did not stand in the documents: what they score says nothing."""
        return frozenset(finding.id for finding in self.findings)

    @property
    def errors(self) -> tuple[Record, ...]:
        """The records that could not be scored."""
        return tuple(record for record in self.records if record.error)


def mean_metrics(records: Sequence[Record]) -> dict[str, float]:
    """Every metric's mean over the repeats in which it is defined."""
    names = dict.fromkeys(name for record in records for name in record.metrics)
    return {name: fmean(r.metrics[name] for r in records if name in r.metrics) for name in names}


def found_of(hit: Hit) -> Found:
    """A hit without its text."""
    passage = hit.passage
    return Found(passage.source, passage.start, passage.end, passage.page, round(hit.score, DIGITS))


def plain_text(answer: Answer, start: int = 0, end: int | None = None) -> str:
    """``answer.text[start:end]`` without its citation markers."""
    end = len(answer.text) if end is None else end
    kept: list[str] = []
    for marker in sorted(answer.markers, key=lambda m: m.start):
        if start <= marker.start and marker.end <= end:
            kept.append(answer.text[start : marker.start].rstrip(" "))
            start = marker.end
    return "".join([*kept, answer.text[start:end]])


_ANSWERS = ("model", "embedder", "prompts", "options", "corpus", "parsed_text", "splitter", "retrieval")


def corpus_digest(of: Mapping[str, Any]) -> str:
    """The digest of the documents behind a fingerprint; empty when it has none."""
    corpus = of.get("corpus")
    return str(corpus.get("sha256", "")) if isinstance(corpus, Mapping) else str(corpus or "")


def conditions_of(fingerprint: Mapping[str, Any]) -> dict[str, Any]:
    """The entries that answers depend on: not the gold set, package versions, server or commit."""
    return {name: fingerprint.get(name) for name in _ANSWERS}


def digest(value: Any) -> str:
    """SHA-256 of a JSON-ready value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """The entries of a fingerprint as dotted keys and texts."""
    for name, item in value.items():
        if isinstance(item, Mapping):
            yield from flat(item, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", "" if item is None else str(item)
