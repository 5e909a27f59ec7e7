"""The values that travel between the rooms: frozen, comparable, and plain to turn into JSON.

All offsets count Unicode code points in a document's canonical text, half-open: ``text[start:end]``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Any, Literal

EMPTY: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of a document: ``level`` 1-6, ``start`` where its line begins in the canonical text."""

    level: int
    title: str
    start: int


def heading_path(headings: Sequence[Heading], offset: int) -> tuple[str, ...]:
    """The titles of the headings that the character at ``offset`` stands under, outermost first.

    ``headings`` are in the order of their starts.
    """
    path: list[Heading] = []
    for heading in headings:
        if heading.start > offset:
            break
        while path and path[-1].level >= heading.level:
            path.pop()
        path.append(heading)
    return tuple(heading.title for heading in path)


@dataclass(frozen=True, slots=True)
class Page:
    """Page ``number`` (from 1) covers ``text[start:end]``; ``start == end`` for a page without text."""

    number: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """What a parser makes of a file's bytes."""

    text: str
    title: str
    media_type: str
    headings: tuple[Heading, ...] = ()
    pages: tuple[Page, ...] = ()

    @property
    def empty_pages(self) -> int:
        """How many pages have no text (scanned pictures, usually)."""
        return sum(1 for page in self.pages if page.start == page.end)


@dataclass(frozen=True, slots=True)
class Document:
    """One version of a source, without its text (``Library.text`` has it). Times are UNIX seconds."""

    id: int
    collection: str
    source: str
    title: str
    media_type: str
    sha256: str
    size: int
    characters: int
    passages: int
    pages: int
    empty_pages: int
    added_at: float
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Passage:
    """A true slice of a document: ``document.text[start:end] == text``."""

    id: int
    document_id: int
    source: str
    title: str
    ordinal: int
    start: int
    end: int
    text: str
    page: int | None = None
    heading: tuple[str, ...] = ()

    @property
    def index_text(self) -> str:
        """What is embedded and indexed: title, heading path and passage."""
        return index_text(self.title, self.heading, self.text)


def index_text(title: str, heading: tuple[str, ...], text: str) -> str:
    """Title, heading path (without repeating the title) and passage text, a line each."""
    path = [title, *(h for h in heading if h != title)]
    head = " > ".join(part for part in path if part)
    return f"{head}\n{text}" if head else text


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage with its scores for one question.

    ``score`` is the fused score in [0, 2]; ``dense`` the cosine in [-1, 1]; ``lexical`` the BM25 score, >= 0
    (0 when no term matched); ``document`` how much its document, of those found, is about what is asked, in [0, 1].
    """

    passage: Passage
    score: float
    dense: float
    lexical: float
    document: float = 0.0


class Support(StrEnum):
    """How well a sentence is backed by what it cites."""

    QUOTED = "quoted"
    SUPPORTED = "supported"
    PARTIAL = "partial"
    UNSUPPORTED = "unsupported"
    UNCITED = "uncited"
    NOT_A_CLAIM = "not-a-claim"


Origin = Literal["model", "attributed", "corrected", "quoted"]


@dataclass(frozen=True, slots=True)
class Citation:
    """Marker ``marker`` (from 1, unique within an answer) -> passage -> the span that supports the sentence.

    ``quote == document.text[start:end]``. ``origin``: written by the ``model``, ``attributed`` or ``corrected``
    by this program, or ``quoted`` where the sentence itself was taken from there.
    """

    marker: int
    document_id: int
    passage_id: int
    source: str
    title: str
    page: int | None
    heading: tuple[str, ...]
    start: int
    end: int
    quote: str
    origin: Origin = "model"


@dataclass(frozen=True, slots=True)
class Sentence:
    """``answer.text[start:end] == text``; ``citations`` index into ``Answer.citations``."""

    text: str
    start: int
    end: int
    support: Support
    citations: tuple[int, ...] = ()
    score: float = 0.0
    evidence: Mapping[str, float] = field(default_factory=lambda: EMPTY)


@dataclass(frozen=True, slots=True)
class MarkerSpan:
    """``answer.text[start:end]`` is a real marker and stands for ``answer.citations[citation]``.

    Only these are citations: a quoted document may hold ``[1]`` as plain text.
    """

    start: int
    end: int
    citation: int


@dataclass(frozen=True, slots=True)
class Turn:
    """One exchange of a conversation."""

    user: str
    bot: str


@dataclass(frozen=True, slots=True)
class Claim:
    """One side of a disagreement: what ``source`` says, at its citation."""

    source: str
    date: str
    value: str
    citation: Citation


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Sources that give different values for the same ``subject``; none is picked."""

    subject: str
    claims: tuple[Claim, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """All there is to tell about one answer.

    ``text`` holds citation n as ``[n]`` at the places ``markers`` lists; ``hits`` are the passages found, best
    first, and ``used`` the indexes of those that the citations rest on. ``asked`` is the question that was searched
    for when it was rewritten. ``timings`` are milliseconds, ``tokens`` counts. ``notices`` are sentences for the user
    (a suspected truncation, a failed rewriting).
    """

    question: str
    text: str
    abstained: bool
    reason: str = ""
    asked: str = ""
    sentences: tuple[Sentence, ...] = ()
    citations: tuple[Citation, ...] = ()
    markers: tuple[MarkerSpan, ...] = ()
    hits: tuple[Hit, ...] = ()
    disagreements: tuple[Disagreement, ...] = ()
    model: str = ""
    probability: float = 0.0
    dropped_markers: int = 0
    timings: Mapping[str, float] = field(default_factory=lambda: EMPTY)
    tokens: Mapping[str, float] = field(default_factory=lambda: EMPTY)
    notices: tuple[str, ...] = ()
    used: tuple[int, ...] = ()

    @property
    def sources(self) -> tuple[str, ...]:
        """The cited files, each once, in order of first citation."""
        return tuple(dict.fromkeys(citation.source for citation in self.citations))

    def to_dict(self) -> dict[str, Any]:
        """The answer as JSON-ready values."""
        plain = to_plain(self)
        assert isinstance(plain, dict)
        return plain


@dataclass(frozen=True, slots=True)
class Condensed:
    """The question was rewritten (or failed to be, then ``note`` says why) before searching."""

    original: str
    question: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Retrieved:
    """The passages found for the question, sent before the first word."""

    hits: tuple[Hit, ...]


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the answer's text with whole markers ``[n]``, numbered as ``Retrieved`` listed the passages.

    Empty while a model loads or thinks: a sign of life, and a chance to stop.
    """

    text: str


@dataclass(frozen=True, slots=True)
class Done:
    """The finished answer; always the last event."""

    answer: Answer


AnswerEvent = Condensed | Retrieved | Token | Done

IngestStatus = Literal["added", "updated", "unchanged", "failed", "removed"]


@dataclass(frozen=True, slots=True)
class IngestEvent:
    """Progress of an ingest: file ``done`` of ``total`` ended with ``status``.

    ``error`` and ``code`` are set when it failed; the counts when it was added or updated.
    """

    source: str
    status: IngestStatus
    done: int
    total: int
    passages: int = 0
    pages: int = 0
    empty_pages: int = 0
    embedded: int = 0
    error: str = ""
    hint: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class IngestReport:
    """The sum of an ingest."""

    events: tuple[IngestEvent, ...] = ()
    seconds: float = 0.0

    def count(self, status: IngestStatus) -> int:
        """How many files ended with this status."""
        return sum(1 for event in self.events if event.status == status)

    @property
    def failed(self) -> tuple[IngestEvent, ...]:
        """The files that did not get in, each with its reason."""
        return tuple(event for event in self.events if event.status == "failed")


@dataclass(frozen=True, slots=True)
class ReindexEvent:
    """Passage ``done`` of ``total`` is embedded anew; about ``seconds_left`` remain."""

    done: int
    total: int
    seconds_left: float


@dataclass(frozen=True, slots=True)
class IndexFacts:
    """What a collection is searched with. ``unfinished`` is the embedder of a reindex that was begun and not ended,
    ``problem`` says why its index cannot be used now; each is empty when there is none."""

    embedder: str
    unfinished: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of ``rag doctor``."""

    name: str
    state: Literal["ok", "warn", "bad"]
    message: str
    hint: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


def to_plain(value: Any) -> Any:
    """Dataclasses, enums, mappings and sequences as dicts, strings and lists, for JSON."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return value
