"""What stands beside what on a page: tables and columns of text, told from where the words are.

All measures are those of the page, in which ``top`` is above ``bottom``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from rag.documents.tables import header_of, is_value

_GAP = 0.75
"""Of a line's height: words farther apart are in different cells."""
_APART = 2.6
"""Of a line's height: rows farther apart are not of one table."""
_SPACED = 1.25
"""A row that is so much farther away than the nearest ones are begins another row of cells."""
_LEAST_ROWS, _LEAST_LINES, _MOST_HEAD, _MOST_COLUMNS = 3, 6, 4, 30
_FULL, _LETTERS = 0.7, 18
"""A line of prose fills so much of its column, and has so many characters."""
_BESIDE = 2.0
"""Of a line's height: a name of several columns need not stand over each of them, but so near."""
_BEFORE_NUMBER, _BEHIND_NUMBER = frozenset("$€£¥"), frozenset((")", "%", ")%", "％"))


class Word(NamedTuple):
    """``text[start:end]`` and its box."""

    start: int
    end: int
    left: float
    bottom: float
    right: float
    top: float


Edges = tuple[tuple[float, float], ...]
Cell = tuple[Word, ...]
"""The words of a cell, of one line or of several, as they are read."""


@dataclass(frozen=True, slots=True)
class Table:
    """The cells of ``text[start:end]``: what names the columns, if anything does, and below it the rows; a cell may be
    empty. ``edges`` are the left and right ends of the columns."""

    start: int
    end: int
    edges: Edges
    header: tuple[Cell, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, slots=True)
class Columns:
    """The lines of ``text[start:end]``, which stand in columns, as they are read: one column after the other."""

    start: int
    end: int
    lines: tuple[Cell, ...]


class _Group(NamedTuple):
    """Words of a line that no wide gap parts, and where they begin and end."""

    left: float
    right: float
    words: list[Word]


@dataclass(slots=True)
class _Line:
    """Words that stand beside each other, in groups that are parted by wide gaps."""

    top: float
    bottom: float
    cells: list[_Group]

    @property
    def height(self) -> float:
        return self.top - self.bottom

    def words(self) -> Iterator[Word]:
        for cell in self.cells:
            yield from cell.words


def arrange(words: Sequence[Word], text: str, above: Edges = ()) -> Iterator[Table | Columns]:
    """The tables, and the columns of prose that are mixed up line by line, from the page's ``words``.

    A table whose columns are at the edges of the one ``above``, which the page before ended with, goes on from it.
    """
    for block in _blocks(_lines(words, text)):
        edges = _edges(block)
        if edges is None:
            continue
        inside = [word for line in block for word in line.words()]
        start, end = min(word.start for word in inside), max(word.end for word in inside)
        if sum(word.end - word.start for word in inside) != sum(map(len, text[start:end].split())):
            continue  # something else stands between them in the text
        grid = [_placed(line, edges) for line in block]
        groups = _groups(block, grid, text)
        if _is_prose(block, grid, edges, groups, text):
            yield Columns(start, end, tuple(tuple(line[n]) for n in range(len(edges)) for line in grid if line[n]))
        elif len(groups) >= 2 and (table := _table(grid, groups, block, edges, text, bare=_alike(edges, above))):
            yield Table(start, end, edges, *table)


def has_gap(words: Sequence[Word]) -> bool:
    """Whether words that follow each other on a line are parted by more than a space somewhere."""
    return any(_apart(before, word) for before, word in pairwise(words))


def _apart(before: Word, word: Word) -> bool:
    return word.left - before.right > _GAP * min(before.top - before.bottom, word.top - word.bottom)


def _lines(words: Sequence[Word], text: str) -> list[_Line]:
    """The words in lines from top to bottom, and each line's in cells from left to right."""
    lines: list[list[Word]] = []
    for word in sorted(words, key=lambda w: -(w.top + w.bottom)):
        middle = (word.top + word.bottom) / 2
        if lines and lines[-1][0].bottom < middle < lines[-1][0].top:
            lines[-1].append(word)
        else:
            lines.append([word])
    return [_line(sorted(line, key=lambda w: w.left), text) for line in lines]


def _line(words: Sequence[Word], text: str) -> _Line:
    cells: list[list[Word]] = [[words[0]]]
    for before, word in pairwise(words):
        alone = len(cells[-1]) == 1
        if _apart(before, word) and not (
            text[word.start : word.end] in _BEHIND_NUMBER
            or (alone and text[before.start : before.end] in _BEFORE_NUMBER)
        ):
            cells.append([word])
        else:
            cells[-1].append(word)
    groups = [_Group(cell[0].left, max(w.right for w in cell), cell) for cell in cells]
    return _Line(max(w.top for w in words), min(w.bottom for w in words), groups)


def _blocks(lines: Sequence[_Line]) -> Iterator[list[_Line]]:
    """Lines below each other of which most have several cells, from the first such line to the last."""
    block: list[_Line] = []
    for line in lines:
        near = block and block[-1].bottom - line.top < (_APART - 1) * max(line.height, block[-1].height)
        single = len(line.cells) == 1
        if not near or (single and len(block[-1].cells) == 1 and not _hangs(line, block)):
            yield from _trimmed(block)
            block = []
        if block or not single:
            block.append(line)
    yield from _trimmed(block)


def _hangs(line: _Line, block: Sequence[_Line]) -> bool:
    """Whether a line stands below a cell that is not the first of its line."""
    left, near = line.cells[0].left, line.height / 4
    return any(abs(cell.left - left) < near for one in block for cell in one.cells[1:])


def _trimmed(block: list[_Line]) -> Iterator[list[_Line]]:
    while block and len(block[-1].cells) == 1 and not _hangs(block[-1], block):
        block.pop()
    if sum(len(line.cells) > 1 for line in block) >= _LEAST_ROWS:
        yield block


def _edges(block: Sequence[_Line]) -> Edges | None:
    """Where the columns are, from the lines that have most of them; None if those do not agree."""
    counts = sorted((len(line.cells) for line in block), reverse=True)
    width = counts[min(1, len(counts) - 1)]
    fullest = [line for line in block if len(line.cells) >= width]
    spans = sorted(cell[:2] for line in fullest for cell in line.cells)
    edges: list[tuple[float, float]] = []
    for left, right in spans:
        if edges and left < edges[-1][1]:
            edges[-1] = edges[-1][0], max(edges[-1][1], right)
        else:
            edges.append((left, right))
    return tuple(edges) if 2 <= len(edges) <= _MOST_COLUMNS and len(edges) >= width else None


def _placed(line: _Line, edges: Edges) -> list[list[Word]]:
    """The words of a line by column; those of a cell over several columns are in the first of them."""
    row: list[list[Word]] = [[] for _ in edges]
    for cell in line.cells:
        row[_column_of(cell, edges)].extend(cell.words)
    return row


def _column_of(cell: _Group, edges: Edges) -> int:
    """The first column that a cell stands in or over, or else the nearest."""
    left, right, _ = cell
    for n, (start, end) in enumerate(edges):
        if start < right and left < end:
            return n
    return min(range(len(edges)), key=lambda n: max(edges[n][0] - right, left - edges[n][1]))


def _groups(block: Sequence[_Line], grid: Sequence[Sequence[Sequence[Word]]], text: str) -> list[list[int]]:
    """The lines, by index, that make a row of the table together.

    Where a cell of several lines was written before the next cell was, the order of the text tells. Else a line goes on
    that has no first cell and is nearer to the one above than rows are, or is as all others in a table of words.
    """
    spans = [(min(w.start for w in line.words()), max(w.end for w in line.words())) for line in block]
    steps = [max(0.0, above.bottom - below.top) + below.height for above, below in pairwise(block)]
    wide = max(steps) > _SPACED * min(steps)
    worded = not any(is_value(_said(cell, text)) for row in grid for cell in row if cell)
    groups: list[list[int]] = [[0]]
    for n, step in enumerate(steps, start=1):
        tight = step * _SPACED <= max(steps) if wide else worded
        beneath = tight and not grid[n][0]
        if beneath or any(spans[m][1] > spans[n][0] for m in groups[-1]):
            groups[-1].append(n)
        else:
            groups.append([n])
    return groups


def _said(cell: Sequence[Word], text: str) -> str:
    return " ".join(text[word.start : word.end] for word in cell)


def _is_prose(
    block: Sequence[_Line], grid: Sequence[Sequence[Sequence[Word]]], edges: Edges,
    groups: Sequence[Sequence[int]], text: str,
) -> bool:  # fmt: skip
    """Whether the columns are of running text, written line by line over all of them."""
    if len(groups) < len(block) or len(block) < _LEAST_LINES or len(edges) > 3:
        return False
    cells = [(n, cell) for line in grid for n, cell in enumerate(line) if cell]
    full = sum(
        max(w.right for w in cell) - cell[0].left >= _FULL * (edges[n][1] - edges[n][0])
        and len(_said(cell, text)) >= _LETTERS
        and not is_value(_said(cell, text))
        for n, cell in cells
    )
    return full >= _FULL * len(cells)


def _alike(edges: Edges, above: Edges) -> bool:
    """Whether these are the same columns."""
    pairs = zip(edges, above, strict=False)
    return len(edges) == len(above) and all(one[0] < other[1] and other[0] < one[1] for one, other in pairs)


def _table(
    grid: Sequence[Sequence[Sequence[Word]]], groups: Sequence[Sequence[int]], block: Sequence[_Line],
    edges: Edges, text: str, *, bare: bool,
) -> tuple[tuple[Cell, ...], tuple[tuple[Cell, ...], ...]] | None:  # fmt: skip
    """The header, if anything names the columns, and the rows; None where the lines alone tell as much, unless also a
    ``bare`` table is wanted."""
    rows = [tuple(tuple(w for n in group for w in grid[n][column]) for column in range(len(edges))) for group in groups]
    said = [[_said(cell, text) for cell in row] for row in rows]
    headless = ((), tuple(rows)) if bare or len(groups) < len(block) else None
    first = next((n for n, row in enumerate(said) if _has_values(row)), 0)
    if not first:
        named = len(edges) > 2 and header_of(list(enumerate(said))) == 0
        return (rows[0], tuple(rows[1:])) if named else headless
    if first > _MOST_HEAD:
        return headless
    header: list[list[Word]] = [[] for _ in edges]
    for group in groups[:first]:
        for n in group:
            for column, cell in _above(block[n], edges):
                header[column].extend(cell)
    named_columns = sum(map(bool, header))
    if named_columns < max(1, len(edges) - 1) or len(rows) - first < 2:
        return headless
    return tuple(map(tuple, header)), tuple(rows[first:])


def _above(line: _Line, edges: Edges) -> Iterator[tuple[int, Sequence[Word]]]:
    """Which columns the cells of a line name: those that each stands over, and those beside that none is nearer to."""
    for column, (left, right) in enumerate(edges):
        near = [(max(0.0, cell.left - right, left - cell.right), cell) for cell in line.cells]
        distance, cell = min(near, key=lambda pair: pair[0])
        if distance == 0 or (column and distance <= _BESIDE * line.height):
            yield column, cell.words


def _has_values(row: Sequence[str]) -> bool:
    """Whether a row holds values, and no names of columns: numbers in half of its cells but the first."""
    cells = [cell for cell in row[1:] if cell]
    return bool(cells) and 2 * sum(map(is_value, cells)) >= len(cells)
