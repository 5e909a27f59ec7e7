"""What a run keeps of every question: the ranking, the answer as far as it is scored and shown, and its scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, Literal

from rag.gold.ranking import Place
from rag.gold.schema import Question
from rag.types import EMPTY, Answer, Hit

Mode = Literal["live", "record", "replay"]
DIGITS = 9
"""Figures are kept to nine decimals: more is noise, and would make the files unreadable."""


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
    timings: Mapping[str, float] = field(default_factory=lambda: EMPTY)
    tokens: Mapping[str, float] = field(default_factory=lambda: EMPTY)
    notices: tuple[str, ...] = ()

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
    metrics: Mapping[str, float] = field(default_factory=lambda: EMPTY)
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
    spread: Mapping[str, float] = field(default_factory=lambda: EMPTY)

    @property
    def silent(self) -> bool:
        """Whether nothing at all differed, so that any later difference is a change and no noise."""
        return self.questions == self.identical


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
    were accepted one by one; ``accepted`` says so for each id.
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
    def errors(self) -> tuple[Record, ...]:
        """The records that could not be scored."""
        return tuple(record for record in self.records if record.error)


def mean_metrics(records: Sequence[Record]) -> dict[str, float]:
    """Every metric's mean over the repeats in which it is defined."""
    names = dict.fromkeys(name for record in records for name in record.metrics)
    return {name: fmean(r.metrics[name] for r in records if name in r.metrics) for name in names}


def found(hit: Hit) -> Found:
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
