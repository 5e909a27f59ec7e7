"""The reader pane: a document's text around a span, with its pages and headings, the span marked."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rag.types import Document, Heading, Place
from ui.escape import inert, name

WINDOW = 40_000
"""Characters shown before and after the span; more are fetched by the buttons at the ends."""


@dataclass(frozen=True, slots=True)
class Span:
    """``text[start:end]`` on ``page`` (None where the format has no pages)."""

    start: int
    end: int
    page: int | None = None


def reader_html(
    document: Document,
    text: str,
    headings: Sequence[Heading],
    pages: Sequence[Place],
    span: Span,
    *,
    centre: int | None = None,
    image: bool = False,
) -> str:
    """The pane's content. ``centre``: the offset around which to show the text (default: the span's start);
    ``image``: whether the pages can also be seen as pictures."""
    middle = span.start if centre is None else centre
    low = _line_start(text, max(0, middle - WINDOW))
    high = min(len(text), middle + WINDOW)
    numbered = [page for page in pages if page.start < page.end] if len(pages) > 1 else []
    body = "".join(_runs(text, low, high, headings, numbered, span))
    file = name(document.source)
    key = f"{document.id}:{span.start}:{span.end}:{span.page or 0}"
    return (
        f'<div class="rhead"><h2 title="{file}">{file}</h2>{_tabs(span, len(pages), image)}'
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
    address = f"/page/{document.id}/{span.page}.png?start={span.start}&amp;end={span.end}"
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
    text: str, low: int, high: int, headings: Sequence[Heading], pages: Sequence[Place], span: Span
) -> Iterator[str]:
    """The text from ``low`` to ``high`` in runs that are each wholly inside or outside a heading and the span."""
    lines = [(h.start, _line_end(text, h.start), h.level) for h in headings if low <= h.start < high]
    starts = {page.start: f"{page.kind.capitalize()} {page.number}" for page in pages if low <= page.start < high}
    cuts = {low, high, *starts}
    cuts.update(min(max(at, low), high) for at in (span.start, span.end))
    cuts.update(min(at, high) for start, end, _ in lines for at in (start, end))
    heading_starts = [start for start, _, _ in lines]
    ordered = sorted(cuts)
    shown_anchor = False
    for start, end in pairwise(ordered):
        if start in starts:
            yield f'<span class="pagebreak">{starts[start]}</span>'
        run = inert(text[start:end])
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
