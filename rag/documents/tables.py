"""Tables as text: a line a row, with the header again above every few rows, so that each passage holds it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from rag.documents.decode import canonical

_ROWS, _CHARACTERS = 5, 700
"""Of a block: as many rows as an answer quotes with their header, and less than a passage."""
_WIDEST = 600
_NUMBER = re.compile(r"[-+(]?[\W_]?\d[\d.,:/ %-]*\W?")

Row = tuple[int, Sequence[str]]
"""A row's number in its table or file, and its cells."""


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows with their header, as lines; ``rows`` are numbered on from ``number``, one a line from ``start`` on.
    ``hidden`` are the stretches of the text that stand in columns which are not shown, in order."""

    text: str
    number: int
    start: int
    hidden: tuple[tuple[int, int], ...] = ()


def cell(text: str) -> str:
    """A cell's text on one line, in which no bar can be taken for the end of the cell."""
    plain = text.isascii() and text.isprintable()  # as nearly all are, which canonical text is already
    return " ".join((text if plain else canonical(text)).split()).replace("|", "\\|")


def blocks(header: Sequence[str], rows: Iterable[Row], hidden: Collection[int] = ()) -> Iterator[Block]:
    """The rows in blocks of a few, each below the header (none, if ``header`` is empty); empty rows are left out.

    A row too wide to be read below its header is written as ``name: value; name: value`` instead. ``hidden`` are the
    columns, from 0, that are not shown.
    """
    heads = [cell(name) for name in header]
    head = f"{_line(heads)}\n|{' --- |' * len(heads)}\n" if heads and len(_line(heads)) <= _WIDEST // 2 else ""
    pending: list[str] = []
    unseen = above = tuple(_spans(enumerate(heads), hidden, 2)) if head else ()
    first = size = 0
    for number, cells in rows:
        texts = [cell(value) for value in cells]
        while texts and not texts[-1]:
            texts.pop()
        alone = not heads and sum(map(bool, texts)) <= 1
        line = " ".join(texts).strip() if alone else _line(texts)
        wide = heads and (not head or len(line) > _WIDEST)
        full = len(pending) == _ROWS or size + len(line) > _CHARACTERS
        if pending and (not texts or wide or full or number != first + len(pending)):
            yield Block(head + "\n".join(pending), first, len(head), unseen)
            pending, size, unseen = [], 0, above
        if texts and wide:
            named = list(_named(heads, texts))
            spans = tuple(_spans(named, hidden, 0, between=2))
            yield Block("; ".join(text for _, text in named), number, 0, spans)
        elif texts:
            first = first if pending else number
            begun = len(head) + size + len(pending)
            filled = ((n, text) for n, text in enumerate(texts) if text or not alone)
            unseen += tuple(_spans(filled, hidden, begun + (0 if alone else 2)))
            pending.append(line)
            size += len(line)
    if pending:
        yield Block(head + "\n".join(pending), first, len(head), unseen)


def header_of(rows: Sequence[Row]) -> int:
    """The index of the row that names the columns, or -1: the first that is as wide as its table (but for a column)
    and holds words alone, each only once, with a row below it."""
    width = max((sum(map(bool, cells)) for _, cells in rows[:50]), default=0)
    for index, (_, cells) in enumerate(rows[:20]):
        filled = [value.strip() for value in cells if value.strip()]
        if width >= 2 and len(filled) >= max(2, width - 1) and index + 1 < len(rows):
            named = all(any(map(str.isalpha, value)) or _is_year(value) for value in filled)
            plain = not any(map(is_value, filled))
            return index if named and plain and len(set(filled)) == len(filled) else -1
    return -1


def is_value(text: str) -> bool:
    """Whether a cell is a number, and no year, which could name a column."""
    return bool(_NUMBER.fullmatch(text)) and not _is_year(text)


def _is_year(value: str) -> bool:
    return bool(re.fullmatch(r"(?:FY ?)?(?:19|20)\d\d", value))


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _named(heads: Sequence[str], cells: Sequence[str]) -> Iterator[tuple[int, str]]:
    """The cells that hold anything, each behind the name of its column, with that column's number."""
    for n, value in enumerate(cells):
        name = heads[n] if n < len(heads) else ""
        if value:
            yield n, f"{name}: {value}" if name else value


def _spans(
    cells: Iterable[tuple[int, str]], columns: Collection[int], at: int, *, between: int = 3
) -> Iterator[tuple[int, int]]:
    """Where the cells of these columns are in a text in which the first begins ``at``, so far apart from the next."""
    for column, text in cells if columns else ():
        if text and column in columns:
            yield at, at + len(text)
        at += len(text) + between
