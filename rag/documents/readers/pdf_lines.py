"""The text of a PDF's page as the eye reads it: raised digits, tables and columns, told from where its letters are."""

from __future__ import annotations

import ctypes
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

from rag.documents.hyphens import MARK
from rag.documents.layout import Columns, Edges, Word, arrange, has_gap
from rag.documents.readers.pdfium import address, calls
from rag.documents.tables import blocks

_LINE = re.compile(r"[^\r\n]+")
_PIECE = re.compile("[^\\s\x02\ufffe]+[\x02\ufffe]?")
_FIGURES = re.compile(r"\d\S*\s.*\d")
_SHORT, _SHORT_ANYWAY, _LEAST_ROWS, _LOOKED_AT = 0.7, 40, 3, 6
"""Of the longest line, or characters: a line that is no longer could be a table's, where so many follow each other."""
_DIGITS = re.compile(
    r"\d(?<=[^\d$€£¥(#]\d)\d{0,6}(?!\d|,\d{3}(?!\d))(?<!\d,\d{3})"
    r"(?:(?<!\s\d)|(?:(?<=\S \d)|(?<=[\s\S]\r\n\d))(?=\r\n))"
)
"""Digits that could be a raised number, or end in one, as far as the text alone tells: they are glued to what they
follow, or are several, or end a line. No amount of money is, and no part of a number in groups of three."""
_BASE = re.compile(r"(?:[^\W\d_]+|\d+)\Z")
_POWERS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_BELOW = re.compile(r" ?[^\W\d_A-Z]|[ .,;:)]")
_ENDS = " .,;:)"
_RAISED_SIZE, _MOST_ALONE = 0.85, 3
_EDGE = 3
"""A page whose table has at most so many lines behind it ends with that, and the next may begin with the rest of it."""


@dataclass(frozen=True, slots=True)
class Above:
    """The table that a page ends with: where its columns are, and what they are called."""

    edges: Edges
    header: tuple[str, ...]


_Edit = tuple[int, int, str]
"""``text[start:end]``, and what is to stand there instead."""


def laid_out(
    text: str, page: Any, raw: Any, hidden: Sequence[tuple[int, int]], above: Above | None
) -> tuple[str, Above | None]:
    """A page's ``text`` as the eye reads it, and the table that it ends with.

    ``page`` is PDFium's text page, ``raw`` its functions; ``text`` is what that page has, character by character, and
    ``hidden`` are the stretches of it to leave out. Raised digits are told apart from what they follow, tables are rows
    below their header, and columns stand one after the other. A table that goes on from the one ``above``, which the
    page before ended with, has that one's header.
    """
    edits = _edits(text, page, raw, hidden)
    parts: list[str] = []
    at = 0
    table: Above | None = None
    words = list(_words(text, page, raw))
    for part in (
        sorted(arrange(words, text, above.edges if above else ()), key=lambda part: part.start) if words else ()
    ):
        parts.append(_edited(text, edits, at, part.start).strip())
        table = None
        if isinstance(part, Columns):
            parts.append("\n".join(_said(line, text, edits) for line in part.lines))
        else:
            header = tuple(_said(cell, text, edits) for cell in part.header)
            if not header and above is not None and not at and parts[-1].count("\n") < _EDGE:
                header = above.header if len(above.header) == len(part.edges) else ()
            rows = [[_said(cell, text, edits) for cell in row] for row in part.rows]
            parts += [block.text for block in blocks(header, list(enumerate(rows, start=1)))]
            table = Above(part.edges, header)
        at = part.end
    rest = _edited(text, edits, at, len(text))
    return "\n\n".join(part for part in (*parts, rest.strip() if at else rest) if part), (
        table if rest.strip().count("\n") < _EDGE else None
    )


def _edits(text: str, page: Any, raw: Any, hidden: Sequence[tuple[int, int]]) -> list[_Edit]:
    """What is to be changed of the text, in order: what is hidden is left out, and raised digits are told apart from
    what they follow, a power as ``10^3`` and ``m²``, the mark of a footnote as ``1932 [2]``."""
    found: list[_Edit] = []
    font_size, letters = calls().font_size, address(page)
    for start, end in hidden:
        line = text[end : end + 2] == "\r\n" and text[start - 1 : start] in ("", "\n")
        found.append((start, end + 2 * line, ""))
    for run in _DIGITS.finditer(text):
        start, end = run.span()
        alone = _is_alone(text, start, end)
        before = start - 3 if alone else _before(text, start)
        first = font_size(letters, start)
        last = font_size(letters, end - 1) if end - start > 1 else first
        if last < _RAISED_SIZE * first:
            while font_size(letters, start) > last / _RAISED_SIZE:
                start += 1
            before = start - 1
        if before < 0 or last >= _RAISED_SIZE * font_size(letters, before) or not _is_raised(page, before, start, raw):
            continue
        if alone and not _is_beside(page, before, start, raw):
            continue
        digits = text[start:end]
        base = _BASE.search(text, max(0, before - 3), before + 1)
        if base and base[0] == "10":
            mark = f"^{digits}"
        elif base and base[0].isalpha() and len(base[0]) <= 2 and (start == before + 1 or alone):
            mark = digits.translate(_POWERS)
        else:
            mark = f" [{digits}]"
        if alone:
            end, mark = end + 2, mark if text[end + 2 : end + 3] in _ENDS else f"{mark} "
        elif text[end : end + 2] == "\r\n" and (after := _BELOW.match(text, end + 2)):
            end, mark = end + 2, mark if after[0][0] in _ENDS else f"{mark} "
        found.append((before + 1, end, mark))
    return sorted(found)


def _edited(text: str, edits: Sequence[_Edit], start: int, end: int) -> str:
    """``text[start:end]`` with those of the edits that begin in it."""
    begun = bisect_left(edits, (start,))
    if begun == len(edits) or edits[begun][0] >= end:
        return text[start:end]
    parts, at = [], start
    for first, last, instead in edits[begun : bisect_left(edits, (end,))]:
        if first >= at:
            parts += [text[at:first], instead]
            at = last
    return "".join([*parts, text[at:end]])


def _said(words: Sequence[Word], text: str, edits: Sequence[_Edit]) -> str:
    """Words as a line, which stand in several pieces of the text where they are of several lines."""
    parts: list[str] = []
    start = at = -1
    for word in words:
        if word.start != at + 1 or start < 0:
            parts += [_edited(text, edits, start, at)] if start >= 0 else []
            start = word.start
        at = word.end
    parts += [_edited(text, edits, start, at)] if start >= 0 else []
    return "".join(part if MARK.match(part[-1:]) else f"{part} " for part in parts).rstrip()


def _words(text: str, page: Any, raw: Any) -> Iterator[Word]:
    """The words, with their boxes, of the lines that could be a table's, as a look at some of them confirms; of all, if
    a look at some of the others shows that these have gaps too."""
    lines = [match.span() for match in _LINE.finditer(text)]
    longest = max((end - start for start, end in lines), default=0)
    marks = [_could_be_row(text, span, longest) for span in lines]
    box = _Boxes(text, page, raw)
    wanted: list[tuple[int, int]] = []
    others: list[tuple[int, int]] = []
    for could, run in groupby(zip(marks, lines, strict=True), key=itemgetter(0)):
        spans = [span for _, span in run]
        if could and len(spans) >= _LEAST_ROWS and any(map(box.has_gap, _some(spans))):
            wanted += spans
        else:
            others += spans
    some = _some(others)
    if some and 2 * sum(map(box.has_gap, some)) > len(some):
        wanted = lines
    for span in wanted:
        yield from box.words(span)


def _some(spans: Sequence[tuple[int, int]]) -> Sequence[tuple[int, int]]:
    return spans[:: max(1, len(spans) // _LOOKED_AT)][:_LOOKED_AT]


def _could_be_row(text: str, span: tuple[int, int], longest: int) -> bool:
    return span[1] - span[0] <= max(_SHORT * longest, _SHORT_ANYWAY) or bool(_FIGURES.search(text, *span))


class _Boxes:
    """Looks up where words are."""

    def __init__(self, text: str, page: Any, raw: Any) -> None:
        self._text, self._page = text, address(page)
        self._first, self._last = raw.FS_RECTF(), raw.FS_RECTF()
        self._box = calls().line_box
        self._known: dict[tuple[int, int], list[Word]] = {}

    def words(self, span: tuple[int, int]) -> list[Word]:
        """The words of a line."""
        if span not in self._known:
            self._known[span] = self._look(span)
        return self._known[span]

    def _look(self, span: tuple[int, int]) -> list[Word]:
        box, page, first, last = self._box, self._page, self._first, self._last
        found = []
        for match in _PIECE.finditer(self._text, *span):
            start, end = match.span()
            if box(page, start, first) and box(page, end - 1, last):
                found.append(Word(start, end, first.left, first.bottom, last.right, first.top))
        return found

    def has_gap(self, span: tuple[int, int]) -> bool:
        """Whether words of a line are parted by more than a space."""
        return has_gap(self.words(span))


def _is_alone(text: str, start: int, end: int) -> bool:
    """Whether a few digits are a line of their own: PDFium makes one of what stands much higher than the rest."""
    return end - start <= _MOST_ALONE and start > 2 and text[start - 2 : start] == text[end : end + 2] == "\r\n"


def _is_beside(page: Any, base: int, at: int, raw: Any) -> bool:
    """Whether a character stands right behind another, though not lower than its upper half."""
    one, other = raw.FS_RECTF(), raw.FS_RECTF()
    if not (raw.FPDFText_GetLooseCharBox(page, base, one) and raw.FPDFText_GetLooseCharBox(page, at, other)):
        return False
    height = one.top - one.bottom
    return bool(abs(other.left - one.right) < height / 2 and other.bottom < one.top)


def _before(text: str, at: int) -> int:
    """The index of the character that a digit follows, over one space that the reader may have put there."""
    at -= 1
    return at - 1 if at > 0 and text[at] == " " else at


def _is_raised(page: Any, base: int, at: int, raw: Any) -> bool:
    """Whether a character stands higher than the one before."""
    bottoms = []
    for index in (base, at):
        x, y = ctypes.c_double(), ctypes.c_double()
        if not raw.FPDFText_GetCharOrigin(page, index, x, y):
            return False
        bottoms.append(y.value)
    return bottoms[1] > bottoms[0] + 0.5
