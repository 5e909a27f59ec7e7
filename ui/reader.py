"""The reader: finds the place of a card or a document, and shows its text with pages, headings and the span marked."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from rag.errors import RagError, UnknownSource
from rag.text import find_folded
from rag.types import Document, Heading, Place, PlaceKind, numbered_pages
from ui.conversations import Conversations
from ui.escape import inert, name

if TYPE_CHECKING:
    from rag.library import Library

WINDOW = 40_000
"""Characters shown before and after the span; more are fetched by the buttons at the ends."""

_WHY: dict[PlaceKind, tuple[str, str]] = {
    "unsure": ("unsure", "Text recognition is not sure of this: it proves nothing"),
    "hidden": ("unseen", "The file holds this and does not show it: it proves nothing"),
}
"""How words that prove nothing are marked, and why."""


@dataclass(frozen=True, slots=True)
class Span:
    """``text[start:end]`` on ``page`` (None where the format has no pages)."""

    start: int
    end: int
    page: int | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """A document in the reader; ``warning`` is what to say about it once."""

    html: str
    warning: str = ""


class Reader:
    """Opens documents of ``library``. All methods may block; what is not there raises UnknownSource."""

    def __init__(self, library: Library, conversations: Conversations) -> None:
        self._library = library
        self._conversations = conversations

    def open_document(self, document_id: str) -> Opened:
        """A document from its start."""
        document = document_of(self._library, document_id)
        return self._opened(document, Span(0, 0, 1 if document.pages else None))

    def open_card(self, card: str, conversation: str) -> Opened:
        """The document of a card of the sources panel (``t1s2``), at its span, or those words in a newer version."""
        item = self._item(card, conversation)
        try:
            document = document_of(self._library, item["document_id"])
        except UnknownSource:
            return self._newer_version(item)
        return self._opened(document, Span(int(item["start"]), int(item["end"]), item.get("page")))

    def turn_to(self, key: str, offset: int) -> Opened:
        """Another part of the open document; ``key`` is ``document:start:end:page``."""
        try:
            document_id, start, end, page = (int(part) for part in key.split(":"))
        except ValueError:
            raise UnknownSource("There is no such place.", hint="Open the document again.") from None
        return self._opened(document_of(self._library, document_id), Span(start, end, page or None), offset)

    def quote(self, document_id: int, start: int, end: int) -> str:
        """The words of a span, for marking them on a page's picture; empty for an empty span."""
        return self._library.text(document_id)[start:end]

    def original(self, document_id: int) -> bytes | None:
        """A PDF of one of the collections; None for anything else."""
        try:
            document_of(self._library, document_id)
        except UnknownSource:
            return None
        return self._library.original(document_id)

    def _newer_version(self, item: Any) -> Opened:
        """The cited words in the version that replaced the cited one."""
        for collection in self._library.collections.names():
            for document in self._library.sources(collection):
                if document.source == item["source"]:
                    text = self._library.text(document.id)
                    found = find_folded(item.get("quote") or item["text"], text)
                    pages = numbered_pages(self._library.layout(document.id)[1])
                    page = next((p.number for p in pages if found and p.start <= found[0] < p.end), None)
                    gone = "" if found else "The document has changed since, and these words are no longer in it."
                    return Opened(self._opened(document, Span(*(found or (0, 0)), page)).html, gone)
        raise _removed()

    def _item(self, card: str, conversation: str) -> Any:
        """The citation or passage behind a card."""
        shown = self._conversations.get(conversation)
        turn, kind, number = _parts(card)
        record = shown.turns[turn - 1].record if shown is not None and 0 < turn <= len(shown.turns) else {}
        passages = [hit["passage"] for hit in record.get("hits", ())]
        if kind == "p":
            found = [p for p in passages if p["id"] == number]
        elif record.get("citations"):
            found = [c for c in record["citations"] if c["marker"] == number]
        else:
            found = passages[max(0, number - 1) : number]
        if not found:
            raise UnknownSource("This source is no longer there.", hint="Open the conversation again.")
        return found[0]

    def _opened(self, document: Document, span: Span, centre: int | None = None) -> Opened:
        headings, places = self._library.layout(document.id)
        pages = numbered_pages(places)
        image = document.media_type == "application/pdf"
        text = self._library.text(document.id)
        doubts = sorted((place for place in places if place.proves_nothing), key=lambda place: place.start)
        return Opened(reader_html(document, text, headings, pages, span, doubts, centre=centre, image=image))


def document_of(library: Library, number: str | int) -> Document:
    """The document of that number, which the page may name as text. Raises UnknownSource."""
    wanted = int(number) if str(number).isascii() and str(number).isdecimal() else -1
    for collection in library.collections.names():
        for document in library.sources(collection):
            if document.id == wanted:
                return document
    raise _removed()


def _removed() -> RagError:
    return UnknownSource("This document is no longer in the library.", hint="It was removed since.")


def _parts(card: str) -> tuple[int, str, int]:
    """``t2s3`` → (2, "s", 3); ``t2p71`` → (2, "p", 71); (0, "", 0) for anything else."""
    found = re.fullmatch(r"t(\d{1,6})([sp])(\d{1,12})", card, re.ASCII)
    return (int(found[1]), found[2], int(found[3])) if found else (0, "", 0)


def reader_html(
    document: Document,
    text: str,
    headings: Sequence[Heading],
    pages: Sequence[Place],
    span: Span,
    doubts: Sequence[Place] = (),
    *,
    centre: int | None = None,
    image: bool = False,
) -> str:
    """The pane's content. ``doubts``: the places whose words prove nothing, in order, each marked with why;
    ``centre``: the offset around which to show the text (default: the span's start); ``image``: whether the pages can
    also be seen as pictures."""
    middle = span.start if centre is None else centre
    low = _line_start(text, max(0, middle - WINDOW))
    high = min(len(text), middle + WINDOW)
    numbered = [page for page in pages if page.start < page.end] if len(pages) > 1 else []
    body = "".join(_runs(text, low, high, headings, numbered, span, doubts))
    file = name(document.source)
    key = f"{document.id}:{span.start}:{span.end}:{span.page or 0}"
    return (
        f'<div class="rhead"><h2 title="{file}">{file}</h2>{_tabs(span, len(pages), image)}'
        f'<button type="button" data-act="about" data-id="{inert(document.source)}" '
        f'data-collection="{inert(document.collection)}">What is this about?</button>'
        '<button type="button" data-act="close-reader" aria-label="Close document" title="Close">✕</button></div>'
        f"{_picture(document, span) if image else ''}"
        f'<div class="rtext" dir="auto" tabindex="0" aria-label="Text of {file}">'
        f"{_more(low > 0, 'earlier', max(0, low - WINDOW), key)}{body}"
        f"{_more(high < len(text), 'later', high + WINDOW, key)}</div>"
    )


def _tabs(span: Span, pages: int, image: bool) -> str:
    if not image or span.page is None:
        return ""
    return (
        '<span class="tabs" role="group" aria-label="View">'
        '<button type="button" data-view="text" aria-pressed="true">Text</button>'
        f'<button type="button" data-view="page" aria-pressed="false">Page {span.page} of {pages}</button></span>'
    )


def _picture(document: Document, span: Span) -> str:
    if span.page is None:
        return ""
    address = f"page/{document.id}/{span.page}.png?start={span.start}&amp;end={span.end}"
    label = f"Page {span.page} of {name(document.source)}, the cited words marked"
    return f'<div class="rpage" hidden><img data-src="{address}" alt="{label}"></div>'


def _more(there: bool, which: str, offset: int, key: str) -> str:
    if not there:
        return ""
    return f'<button type="button" class="rmore" data-key="{key}" data-offset="{offset}">Show {which} text</button>'


def _line_start(text: str, at: int) -> int:
    """The start of the line ``at`` is in, unless the line is very long."""
    start = text.rfind("\n", max(0, at - 2_000), at) + 1
    return start if start else at


def _runs(
    text: str, low: int, high: int, headings: Sequence[Heading], pages: Sequence[Place], span: Span,
    doubts: Sequence[Place],
) -> Iterator[str]:  # fmt: skip
    """The text from ``low`` to ``high`` in runs that are each wholly inside or outside a heading, a doubt and the
    span."""
    lines = [(h.start, _line_end(text, h.start), h.level) for h in headings if low <= h.start < high]
    starts = {page.start: f"{page.kind.capitalize()} {page.number}" for page in pages if low <= page.start < high}
    cuts = {low, high, *starts}
    cuts.update(min(max(at, low), high) for at in (span.start, span.end))
    cuts.update(min(at, high) for start, end, _ in lines for at in (start, end))
    doubts = [place for place in doubts if place.start < high and place.end > low]
    cuts.update(min(max(at, low), high) for place in doubts for at in (place.start, place.end))
    doubt_starts = [place.start for place in doubts]
    heading_starts = [start for start, _, _ in lines]
    ordered = sorted(cuts)
    shown_anchor = False
    for start, end in pairwise(ordered):
        if start in starts:
            yield f'<span class="pagebreak">{starts[start]}</span>'
        run = inert(text[start:end])
        met = bisect_right(doubt_starts, start) - 1
        if met >= 0 and start < doubts[met].end:
            mark, why = _WHY[doubts[met].kind]
            run = f'<span class="{mark}" title="{why}">{run}</span>'
        if span.start <= start < span.end:
            anchor = "" if shown_anchor else ' id="reader-mark"'
            shown_anchor = True
            run = f"<mark{anchor}>{run}</mark>"
        level = _level_at(lines, heading_starts, start)
        yield f'<b class="hd hd{level}">{run}</b>' if level else run


def _line_end(text: str, start: int) -> int:
    end = text.find("\n", start)
    return len(text) if end < 0 else end


def _level_at(lines: Sequence[tuple[int, int, int]], starts: Sequence[int], at: int) -> int:
    index = bisect_right(starts, at) - 1
    if index < 0 or at >= lines[index][1]:
        return 0
    return min(max(lines[index][2], 1), 6)
