"""Tables as text: a line a row, with the header again above every few rows, so that each passage holds it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
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
    """Some rows with their header, as lines; ``rows`` are numbered on from ``number``, one a line from ``start`` on."""

    text: str
    number: int
    start: int


def cell(text: str) -> str:
    """A cell's text on one line, in which no bar can be taken for the end of the cell."""
    return " ".join(canonical(text).split()).replace("|", "\\|")


def blocks(header: Sequence[str], rows: Iterable[Row]) -> Iterator[Block]:
    """The rows in blocks of a few, each below the header (none, if ``header`` is empty); empty rows are left out.

    A row too wide to be read below its header is written as ``name: value; name: value`` instead.
    """
    heads = [cell(name) for name in header]
    head = f"{_line(heads)}\n|{' --- |' * len(heads)}\n" if heads and len(_line(heads)) <= _WIDEST // 2 else ""
    pending: list[str] = []
    first = size = 0
    for number, cells in rows:
        texts = [cell(value) for value in cells]
        while texts and not texts[-1]:
            texts.pop()
        line = _line(texts) if sum(map(bool, texts)) > 1 or heads else " ".join(texts).strip()
        wide = heads and (not head or len(line) > _WIDEST)
        full = len(pending) == _ROWS or size + len(line) > _CHARACTERS
        if pending and (not texts or wide or full or number != first + len(pending)):
            yield Block(head + "\n".join(pending), first, len(head))
            pending, size = [], 0
        if texts and wide:
            yield Block(_named(heads, texts), number, 0)
        elif texts:
            first = first if pending else number
            pending.append(line)
            size += len(line)
    if pending:
        yield Block(head + "\n".join(pending), first, len(head))


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


def _named(heads: Sequence[str], cells: Sequence[str]) -> str:
    names = [*heads, *[""] * (len(cells) - len(heads))]
    return "; ".join(f"{name}: {value}" if name else value for name, value in zip(names, cells, strict=False) if value)
