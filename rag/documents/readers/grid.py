"""A sheet as text: each table below its header, also where a sheet has several; what is hidden and remarks are told."""

from __future__ import annotations

from collections.abc import Sequence

from rag.documents.build import Builder
from rag.documents.readers.marks import NO_MARKS, Marks
from rag.documents.tables import Row, header_of, is_value


def write_sheet(build: Builder, name: str, rows: list[Row], left: int = 0, marks: Marks = NO_MARKS) -> None:
    """A sheet's rows below its name, those of each table below its header; then what was remarked on its cells.

    ``left`` is the index of the column that the first cells are in.
    """
    if not rows and not marks.remarks:
        return
    start = build.end
    build.heading(1, name)
    shown = NO_MARKS if marks.hidden else marks

    def part(begin: int, end: int, header: Sequence[str], body: list[Row]) -> None:
        first = left + begin
        label = f"{name}!{column(first)}:{column(left + end - 1)}"
        unseen = frozenset(n for n in range(end - begin) if first + n in shown.columns)
        build.table(header[begin:end], [(n, cells[begin:end]) for n, cells in body], "sheet", label, shown.rows, unseen)

    header: Sequence[str] = ()
    first = last = 0
    for group in _groups(rows):
        begin, end = _extent(group)
        named = header_of(group)
        below = (text for _, cells in group[named + 1 :] for text in cells)
        if named >= 0 and (not header or (begin, end) != (first, last) or any(map(is_value, below))):
            part(begin, end, (), group[:named])
            header, first, last, group = group[named][1], begin, end, group[named + 1 :]
        elif begin < first or end > last or not any(sum(map(bool, cells)) > 1 for _, cells in group):
            part(begin, end, (), group)
            continue
        part(first, last, header, group)
    for place, text in marks.remarks:
        begun = build.end
        build.write(f"Comment on {place}: {text}")
        build.place("note", 1, begun, f"on {name}!{place}")
    if marks.hidden:
        build.place("hidden", 1, start)


def _groups(rows: list[Row]) -> list[list[Row]]:
    """The rows that follow each other without an empty one; a header keeps what comes behind an empty row."""
    groups: list[list[Row]] = []
    for row in rows:
        if groups and (groups[-1][-1][0] + 1 == row[0] or header_of([*groups[-1][-20:], row]) == len(groups[-1]) - 1):
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups


def _extent(rows: list[Row]) -> tuple[int, int]:
    """The first column that has anything, and the one behind the last."""
    filled = [n for _, cells in rows for n, text in enumerate(cells) if text.strip()]
    return min(filled, default=0), max(filled, default=0) + 1


def column(index: int) -> str:
    """A column's letters: 0 is A, 26 is AA."""
    letters = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        letters = chr(65 + rest) + letters
    return letters
