"""The values that travel between the rooms: frozen, comparable, and plain to turn into JSON.

All offsets count Unicode code points in a document's canonical text, half-open: ``text[start:end]``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any, Literal, get_args


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


PlaceKind = Literal[
    "page", "slide", "chapter", "message", "paragraph", "cell", "key", "row", "line", "sheet",
    "box", "note", "hidden", "unsure", "address",
]  # fmt: skip
"""What a stretch of text is to a reader. ``sheet`` stands for rows of a spreadsheet; ``note`` for a remark that was
added to a page; ``address`` for a page of the web and the day it was fetched; ``hidden`` for what the file holds and
does not show, ``unsure`` for what a machine read with doubt."""

NUMBERED: frozenset[PlaceKind] = frozenset({"page", "slide"})
"""The kinds that are a document's pages, those without text included."""

COUNTED: frozenset[PlaceKind] = frozenset({"row", "line", "sheet"})
"""The kinds whose number counts on by one at each line break in the text."""


INVISIBLE = "invisible"
"""The label of hidden text that no program shows to a reader; a hidden slide or sheet has another, and can be shown."""


@dataclass(frozen=True, slots=True)
class Place:
    """Part ``number`` (from 1) of its kind covers ``text[start:end]``; ``start == end`` for a page without text.

    ``label`` is what the file itself calls it: a page's printed number, a key's path, a message's sender, date and
    subject, a box's ``left,top,width,height`` in pixels, a sheet's name and columns (``Budget!A:D``).
    """

    number: int
    start: int
    end: int
    kind: PlaceKind = "page"
    label: str = ""

    @property
    def proves_nothing(self) -> bool:
        """Whether its words may not be what is written, or cannot be seen by whoever opens the file."""
        return self.kind == "unsure" or (self.kind == "hidden" and self.label == INVISIBLE)

    def clipped(self, start: int, end: int, text: str, offset: int = 0) -> Place:
        """The part of it within ``[start, end)``; ``text`` is the document's from ``offset`` on."""
        if start <= self.start and self.end <= end:
            return self
        first = max(start, self.start)
        counted = self.kind in COUNTED
        number = self.number + (text.count("\n", self.start - offset, first - offset) if counted else 0)
        return replace(self, number=number, start=first, end=max(first, min(end, self.end)))


def numbered_pages(places: Sequence[Place]) -> tuple[Place, ...]:
    """Those of a document's places that are its pages or slides."""
    return tuple(place for place in places if place.kind in NUMBERED)


def place_name(places: Sequence[Place], start: int, end: int, text: str, offset: int = 0) -> str:
    """Where ``[start, end)`` is, in a reader's words ("pages 3-4 (printed 1-2)", "Budget!A12:D14"); "" if unknown.

    ``text`` is the document's from ``offset`` on, and holds all of ``places`` before ``end``.
    """
    met = [place for place in places if place.start < end and place.end > start]
    names = []
    for kind in dict.fromkeys(place.kind for place in met):
        first, *_, last = 2 * [place for place in met if place.kind == kind]
        first = first.clipped(start, end, text, offset)
        stop = max(last.start, min(end, last.end) - 1)
        names.append(_place_name(first, last.clipped(stop, stop + 1, text, offset)))
    return ", ".join(names)


def _place_name(first: Place, last: Place) -> str:
    kind = first.kind
    if kind in ("hidden", "unsure"):
        return "hidden text" if kind == "hidden" else "uncertain reading"
    if kind == "sheet":
        sheet, _, columns = last.label.rpartition("!")
        left, _, right = columns.partition(":")
        return f"{sheet}!{left}{first.number if first.label == last.label else last.number}:{right}{last.number}"
    if kind in ("message", "address", "note", "key", "box"):
        labels = dict.fromkeys(label for label in (first.label, last.label) if label)
        return " - ".join(labels) if kind in ("message", "address") else " ".join((kind, " - ".join(labels))).strip()
    name = f"{kind} {first.number}" if first.number == last.number else f"{kind}s {first.number}-{last.number}"
    printed = first.label if first.label == last.label else f"{first.label}-{last.label}"
    told = kind == "page" and (first.label, last.label) not in {("", ""), (str(first.number), str(last.number))}
    return f"{name} (printed {printed})" if told else name


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file inside a file (a message's attachment), which is a document of its own."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """What a parser makes of a file's bytes. ``unread`` are the numbers of the pages that are pictures of text."""

    text: str
    title: str
    media_type: str
    headings: tuple[Heading, ...] = ()
    places: tuple[Place, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    unread: tuple[int, ...] = ()

    @property
    def pages(self) -> tuple[Place, ...]:
        """The places that are pages or slides."""
        return numbered_pages(self.places)

    @property
    def empty_pages(self) -> int:
        """How many pages have no text (scanned pictures, usually)."""
        return sum(1 for page in self.pages if page.start == page.end)


@dataclass(frozen=True, slots=True)
class Document:
    """One version of a source, without its text (``Library.text`` has it). Times are UNIX seconds.

    ``origin`` is where it came from and what it is known by: an absolute path, or ``upload:``, ``text:`` or
    ``unknown:`` and a name. ``source`` is the name it is shown by, the shortest that is distinct in its collection.
    ``metadata`` is what its owner, and the ingest, noted of it.
    """

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
    origin: str = ""
    name: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Passage:
    """A true slice of a document: ``document.text[start:end] == text``.

    ``page`` is the number of the page or slide it begins on; ``places`` are those that it lies in, clipped to it.
    """

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
    places: tuple[Place, ...] = ()

    @property
    def certain(self) -> str:
        """Its text with blanks for what proves nothing: what was read with doubt, and what no reader sees."""
        text = self.text
        for place in self.places:
            if place.proves_nothing:
                start, end = place.start - self.start, place.end - self.start
                text = f"{text[:start]}{' ' * (end - start)}{text[end:]}"
        return text

    def is_certain(self, start: int, end: int) -> bool:
        """Whether nothing of ``[start, end)``, offsets in the document, was read with doubt or is invisible."""
        return not any(p.proves_nothing and p.start < end and start < p.end for p in self.places)

    @property
    def place(self) -> str:
        """Where it is, in a reader's words, without the source; "" for a format without places."""
        return self.place_of(self.start, self.end)

    def place_of(self, start: int, end: int) -> str:
        """Where ``[start, end)``, offsets in the document, is."""
        if not self.places:
            return "" if self.page is None else f"page {self.page}"
        return place_name(self.places, start, end, self.text, self.start)

    def page_of(self, offset: int) -> int | None:
        """The number of the page or slide that the character at ``offset`` is on."""
        pages = (place.number for place in self.places if place.kind in NUMBERED and place.start <= offset < place.end)
        return next(pages, self.page)

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
    ``encoder`` is the encoder's cosine in [-1, 1] and ``known`` in [0, 1] how well it knows the passage's and the
    question's language; both are 0 without an encoder, or where there was no time to ask it.
    """

    passage: Passage
    score: float
    dense: float
    lexical: float
    document: float = 0.0
    encoder: float = 0.0
    known: float = 0.0


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
    by this program, or ``quoted`` where the sentence itself was taken from there. ``place`` is where the span is in a
    reader's words (page, slide, rows, cells; ``place_name``), "" for a format without places.
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
    place: str = ""

    @property
    def where(self) -> str:
        """``place``, or the page where only that is known (citations made before places were)."""
        return self.place or ("" if self.page is None else f"page {self.page}")


@dataclass(frozen=True, slots=True)
class CitedDocument:
    """What proves which version of a document was cited: the SHA-256 of its bytes and of its canonical text."""

    id: int
    source: str
    sha256: str
    text_sha256: str


@dataclass(frozen=True, slots=True)
class Sentence:
    """``answer.text[start:end] == text``; ``citations`` index into ``Answer.citations``.

    ``unchecked`` names what its language has no data to check by ("negation"): then it is at most partly supported.
    """

    text: str
    start: int
    end: int
    support: Support
    citations: tuple[int, ...] = ()
    score: float = 0.0
    evidence: Mapping[str, float] = field(default_factory=dict)
    unchecked: tuple[str, ...] = ()


_CHECKS = {"stems": "forms of words", "numbers": "numbers in words", "negation": "negations", "opposites": "opposites"}


def unchecked_told(sentences: Iterable[tuple[str, Iterable[str]]]) -> str:
    """One sentence on the checks that were not made for want of data on the language, so that ``sentences`` (support,
    ``Sentence.unchecked``) are only partly supported; empty when none is."""
    missed = dict.fromkeys(
        check for support, unchecked in sentences if support == Support.PARTIAL for check in unchecked
    )
    named = ", ".join(_CHECKS.get(check, check) for check in missed)
    return f"Not checked in this language: {named}. A sentence in it counts as partly supported at most." * bool(named)


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


Said = Turn | tuple[str, str] | Mapping[str, Any]
"""A part of a history: an exchange, a pair (user, bot), or a message ``{"role": ..., "content": ...}``."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One side of a disagreement: what ``source`` says, at its citation."""

    source: str
    date: str
    value: str
    citation: Citation


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Sources that give different values for the same ``subject``; none is picked.

    ``changed``: they are dated documents of one series, the claims in the order of their dates, and the last holds.
    """

    subject: str
    claims: tuple[Claim, ...]
    changed: bool = False


class Outcome(StrEnum):
    """What became of a question. ``UNCERTAIN``: the closest passages are shown, and may not answer it; where a model
    wrote, it wrote of them, and nothing bears it out. ``ABSENT``: it is not in the documents."""

    ANSWERED = "answered"
    UNCERTAIN = "uncertain"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class UnreadFile:
    """A file that was found and could not be read: the name it would be shown by, where it lies, and why."""

    source: str
    origin: str
    error: str
    hint: str = ""
    code: str = ""


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


@dataclass(frozen=True, slots=True)
class Unread:
    """Files that were found and could not be read, ``count`` of them; ``named`` are those whose names hold a word of
    the question, the most alike first."""

    count: int = 0
    named: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """The same in a sentence; empty where every file could be read."""
        if not self.count:
            return ""
        told = f"{self.count} file{'' if self.count == 1 else 's'} could not be read"
        if not self.named:
            return f"{told}: what you ask may be in {'it' if self.count == 1 else 'them'}."
        one = len(self.named) == 1
        which = "it" if self.count == 1 else "one" if one else str(len(self.named))
        return f"{told}; {which} {'is' if one else 'are'} named like your question: {_few(self.named)}."


@dataclass(frozen=True, slots=True)
class Answer:
    """All there is to tell about one answer.

    ``abstained`` where nothing was answered: the ``outcome`` is ``ABSENT``, or ``UNCERTAIN`` with the closest passages'
    sentences quoted instead of an answer.

    ``text`` holds citation n as ``[n]`` at the places ``markers`` lists; ``hits`` are the passages found, best
    first, and ``used`` the indexes of those that the citations rest on. ``asked`` is the question that was searched
    for when it was rewritten. ``reason`` says why it abstained, or why quotes stand in for what the model wrote.
    ``timings`` are milliseconds, ``tokens`` counts. ``notices`` are sentences for the user (a suspected truncation, a
    failed rewriting). ``documents`` are those that are cited, with their hashes: with them an exported answer can be
    checked anywhere (``rag verify``). ``unread`` is set where nothing was answered and files could not be read: what
    was asked may be in them.
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
    timings: Mapping[str, float] = field(default_factory=dict)
    tokens: Mapping[str, float] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    used: tuple[int, ...] = ()
    documents: tuple[CitedDocument, ...] = ()
    outcome: Outcome = Outcome.ANSWERED
    unread: Unread = Unread()

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

IngestStatus = Literal["added", "updated", "unchanged", "moved", "removed", "failed"]
INGEST_STATUSES: tuple[IngestStatus, ...] = get_args(IngestStatus)


@dataclass(frozen=True, slots=True)
class IngestEvent:
    """Progress of an ingest: file ``done`` of ``total`` ended with ``status``.

    ``error`` and ``code`` are set when it failed; the counts when it was added or updated. ``path`` is the file that
    was read. ``renamed`` are documents that are shown by another name since, to be told from this one: old and new.
    ``following`` are the files that were written together with this one, and whose events come next: whoever stops an
    ingest between them has what is not told.
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
    path: str = ""
    renamed: tuple[tuple[str, str], ...] = ()
    following: int = 0


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
class EncodeEvent:
    """The encoder has seen text ``done`` of ``total``; about ``seconds_left`` remain."""

    done: int
    total: int
    seconds_left: float


@dataclass(frozen=True, slots=True)
class IndexFacts:
    """What a collection is searched with. ``unfinished`` is the embedder of a reindex that was begun and not ended,
    ``problem`` says why its index cannot be used now; each is empty when there is none. ``encoder`` is empty when it is
    off; of the collection's ``texts`` different texts it has seen all but ``pending``, which it sees in the background
    or, at most 0.3 s of them, when a question finds them."""

    embedder: str
    unfinished: str = ""
    problem: str = ""
    encoder: str = ""
    texts: int = 0
    pending: int = 0


@dataclass(frozen=True, slots=True)
class Check:
    """One line of ``rag doctor``."""

    name: str
    state: Literal["ok", "warn", "bad"]
    message: str
    hint: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Repair:
    """What a repair did: it saved so many documents and conversations, ``lost`` those sources whose text could not be
    saved whole, and made ``vectors`` again. ``kept`` is the damaged file, None where the library was sound but for its
    vectors and was not written anew."""

    documents: int
    conversations: int
    lost: tuple[str, ...] = ()
    kept: Path | None = None
    vectors: int = 0


def to_plain(value: Any) -> Any:
    """Dataclasses, enums, mappings and sequences as dicts, strings and lists, for JSON."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return value
