"""Cut a document into passages: true slices that never cross a page or a heading, and begin and end with text."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from rag.documents.formats import MARKDOWN, one_line
from rag.types import NUMBERED, Heading, ParsedDocument, Place, PlaceKind

if TYPE_CHECKING:
    from semantic_text_splitter import MarkdownSplitter, TextSplitter

SPLITTER_VERSION = "2"
"""Changes when the same document would be cut at other places."""

_PARTS: frozenset[PlaceKind] = frozenset({"page", "slide", "chapter", "message", "cell", "hidden"})
"""What no passage crosses, but a page whose last sentence goes on."""

_WINDOW = 10_000
_GAP = re.compile(r"\n(?:[^\S\n]*\n){4,}")
_UNDERLINE = re.compile(r"[=\-~]+\s*\Z")

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Slice:
    """A passage's place: ``text[start:end]``, the page and the headings it begins under, the places it lies in."""

    start: int
    end: int
    page: int | None
    heading: tuple[str, ...]
    places: tuple[Place, ...] = ()


def split(document: ParsedDocument, *, characters: int, overlap: int) -> list[Span]:
    """Spans of at most ``characters`` code points, plus a heading that would otherwise stand alone.

    Neighbours in one section share up to ``overlap`` characters. Spans are not empty, neither begin nor end with
    white space, are sorted, and together cover everything that is not white space.
    """
    from semantic_text_splitter import MarkdownSplitter, TextSplitter

    kind = MarkdownSplitter if document.media_type == MARKDOWN else TextSplitter
    splitter = kind(characters, overlap)
    spans: list[Span] = []
    for start, body, end in _sections(document, characters):
        spans.extend(_passages(document.text, start, body, end, splitter, characters))
    return spans


def place(document: ParsedDocument, spans: list[Span]) -> tuple[Slice, ...]:
    """The spans with the page and heading path of their first character and all the places they lie in."""
    tables = [_Table(document.text, kind, document.places) for kind in {p.kind: None for p in document.places}]
    paths = _paths(document.headings)
    heading_starts = [heading.start for heading in document.headings]
    slices = []
    for start, end in spans:
        places = tuple(found for table in tables for found in table.within(start, end))
        page = next((found.number for found in places if found.kind in NUMBERED), None)
        slices.append(Slice(start, end, page, paths[bisect_right(heading_starts, start)], places))
    return tuple(slices)


def located(document: ParsedDocument, slices: Sequence[Slice], label: str) -> tuple[ParsedDocument, tuple[Slice, ...]]:
    """A document of an address, and its passages, with the place that names it."""
    whole = Place(1, 0, len(document.text), "address", one_line(label))
    spans = [(piece.start, piece.end) for piece in slices]
    told = replace(document, places=(whole, *document.places))
    return told, place(told, spans)


class _Table:
    """A document's places of one kind, which do not overlap: found by halving."""

    def __init__(self, text: str, kind: PlaceKind, places: Sequence[Place]) -> None:
        self._text = text
        self._places = [found for found in places if found.kind == kind and found.start < found.end]
        self._starts = [found.start for found in self._places]
        self._ends = [found.end for found in self._places]

    def within(self, start: int, end: int) -> Iterator[Place]:
        """Those that overlap ``[start, end)``, each clipped to it."""
        for found in self._places[bisect_right(self._ends, start) : bisect_left(self._starts, end)]:
            yield found.clipped(start, end, self._text)


def _paths(headings: tuple[Heading, ...]) -> list[tuple[str, ...]]:
    """The heading path before the first heading (empty) and from each heading on."""
    paths: list[tuple[str, ...]] = [()]
    open_: list[Heading] = []
    for heading in headings:
        while open_ and open_[-1].level >= heading.level:
            open_.pop()
        open_.append(heading)
        paths.append(tuple(h.title for h in open_))
    return paths


def _sections(document: ParsedDocument, characters: int) -> Iterator[tuple[int, int, int]]:
    """(start, where the text below its headings begins, end) of each part between headings and pages.

    A heading with nothing below it goes to the part after it, unless that is another page.
    """
    text = document.text
    heading_starts = {heading.start for heading in document.headings}
    page_starts = {
        place.start for place in document.places if place.kind in _PARTS and not _goes_on(document.text, place)
    }
    bounds = sorted({0, len(text), *heading_starts, *page_starts})
    carried: int | None = None
    for start, end in pairwise(bounds):
        if carried is not None and start in page_starts:
            yield carried, carried, start
            carried = None
        first, last = _strip(text, start, end)
        if first == last:
            continue
        body = _body(text, first, last) if start in heading_starts else first
        begin = first if carried is None else carried
        if body == last and start in heading_starts and last - begin < characters // 2:
            carried = begin
            continue
        yield begin, first if body == last else body, last
        carried = None
    if carried is not None:
        yield carried, carried, len(text)


def _goes_on(text: str, place: Place) -> bool:
    """Whether no blank line parts what begins here from what stands before; hidden cells begin within a line."""
    start = place.start
    if place.kind == "hidden":
        return start > 1 and text[start - 2 : start] != "\n\n"
    return start > 1 and text[start - 1] == "\n" and text[start - 2] != "\n"


def _body(text: str, start: int, end: int) -> int:
    """Where the text after the heading's line begins (and after the line that underlines it, in Markdown)."""
    line_end = text.find("\n", start, end)
    if line_end < 0:
        return end
    second_end = text.find("\n", line_end + 1, end)
    second = text[line_end + 1 : second_end if second_end >= 0 else end]
    if _UNDERLINE.match(second):
        line_end = second_end if second_end >= 0 else end
    return _strip(text, line_end, end)[0]


def _passages(
    text: str, start: int, body: int, end: int, splitter: TextSplitter | MarkdownSplitter, characters: int
) -> Iterator[Span]:
    """The spans of one section; a first span that holds nothing but headings is joined to the second."""
    start, end = _strip(text, start, end)
    if end - start <= characters:
        if start < end:
            yield start, end
        return
    if body - start > characters // 2:
        body = start
    alone: int | None = None
    for first, last in _windows(text, start, end):
        for offset, chunk in splitter.chunk_indices(text[first:last]):
            span_start, span_end = _strip(text, first + offset, first + offset + len(chunk))
            if span_start == span_end:
                continue
            if span_end <= body:
                alone = span_start if alone is None else alone
                continue
            yield span_start if alone is None else alone, span_end
            alone = None


def _windows(text: str, start: int, end: int) -> Iterator[Span]:
    """Parts of at most _WINDOW characters, cut at the widest gap near their end: the splitter is not linear."""
    for first, last in _between_gaps(text, start, end):
        while last - first > _WINDOW:
            cut = _cut(text, first + _WINDOW // 2, first + _WINDOW)
            yield first, cut
            first = cut
        yield first, last


def _between_gaps(text: str, start: int, end: int) -> Iterator[Span]:
    """Parts without runs of blank lines, over which the Markdown splitter takes quadratic time."""
    for gap in _GAP.finditer(text, start, end):
        yield start, gap.start()
        start = gap.end()
    yield start, end


def _cut(text: str, low: int, high: int) -> int:
    for separator in ("\n\n", "\n", ". ", "。", " "):
        at = text.rfind(separator, low, high)
        if at >= 0:
            return at + len(separator)
    cut = high
    while cut > low and (unicodedata.combining(text[cut]) or text[cut] in "\u200d\ufe0f" or text[cut - 1] == "\u200d"):
        cut -= 1
    return cut if cut > low else high


def _strip(text: str, start: int, end: int) -> Span:
    """The span without white space at its ends; (end, end) when nothing is left."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end
