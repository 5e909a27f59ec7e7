"""What an xls file says beside its cells' values: their number formats, and which rows and columns are hidden.

The records are those of [MS-XLS], of Excel 97 and later.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

import olefile

from rag.documents.numbers import BUILT_IN, GENERAL
from rag.documents.readers.marks import Marks

_BOF, _EOF, _SHEET, _FORMAT, _XF = 0x809, 0x0A, 0x85, 0x41E, 0xE0
_NUMBER, _RK, _MANY_RK, _FORMULA, _ROW, _COLUMNS = 0x203, 0x27E, 0xBD, 0x06, 0x208, 0x7D
_ROW_HIDDEN, _COLUMN_HIDDEN = 0x20, 0x01
_MOST_COLUMNS = 256
_DAMAGE = (OSError, ValueError, IndexError, KeyError, TypeError, AttributeError, struct.error)
"""What olefile raises for a file that is damaged: its own error, or that of whatever missed something."""

Codes = dict[tuple[int, int], str]


class Workbook:
    """The number formats and marks of a workbook's sheets, by the sheets' names; of a damaged one none."""

    def __init__(self, data: bytes) -> None:
        self._stream = _stream(data)
        self._at: dict[str, int] = {}
        own = dict(BUILT_IN)
        styles: list[int] = []
        for kind, body in _records(self._stream, 0):
            if kind == _SHEET and len(body) > 8:
                self._at[_text(body[6:7], body[7:])] = int.from_bytes(body[:4], "little")
            elif kind == _FORMAT and len(body) > 5:
                own[_short(body, 0)] = _text(body[2:4], body[4:])[:200]
            elif kind == _XF and len(body) >= 4:
                styles.append(_short(body, 2))
        self._codes = ["" if (code := own.get(number, "")) in GENERAL else code for number in styles]
        self._sheets: dict[str, tuple[Codes, Marks]] = {}

    def code(self, sheet: str, row: int, column: int) -> str:
        """The format of the cell in row (from 1) and column (from 0); "" for a general one."""
        return self._of(sheet)[0].get((row, column), "")

    def marks(self, sheet: str) -> Marks:
        """Which of a sheet's rows and columns are hidden."""
        return self._of(sheet)[1]

    def _of(self, sheet: str) -> tuple[Codes, Marks]:
        if sheet not in self._sheets:
            self._sheets[sheet] = self._read(self._at.get(sheet, len(self._stream)))
        return self._sheets[sheet]

    def _read(self, at: int) -> tuple[Codes, Marks]:
        codes: Codes = {}
        rows: set[int] = set()
        columns: set[int] = set()
        for kind, body in _records(self._stream, at):
            if kind in (_NUMBER, _RK, _FORMULA, _MANY_RK) and len(body) >= 6:
                row, first = _short(body, 0) + 1, _short(body, 2)
                count = (len(body) - 6) // 6 if kind == _MANY_RK else 1
                for n in range(count):
                    style = _short(body, 4 + 6 * n)
                    if style < len(self._codes) and (code := self._codes[style]):
                        codes[row, first + n] = code
            elif kind == _ROW and len(body) >= 14 and body[12] & _ROW_HIDDEN:
                rows.add(_short(body, 0) + 1)
            elif kind == _COLUMNS and len(body) >= 10 and body[8] & _COLUMN_HIDDEN:
                columns.update(range(_short(body, 0), min(_short(body, 2) + 1, _MOST_COLUMNS)))
        return codes, Marks(rows=frozenset(rows), columns=frozenset(columns))


def _stream(data: bytes) -> bytes:
    try:
        with olefile.OleFileIO(io.BytesIO(data)) as file:
            return bytes(file.openstream("Workbook").read()) if file.exists("Workbook") else b""
    except _DAMAGE:
        return b""


def _records(stream: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    """The records from the one at ``at`` that begins a part to the one that ends it."""
    depth = 0
    while at + 4 <= len(stream):
        kind, size = _short(stream, at), _short(stream, at + 2)
        yield kind, stream[at + 4 : at + 4 + size]
        at += 4 + size
        depth += (kind == _BOF) - (kind == _EOF)
        if depth <= 0:
            return


def _short(data: bytes, at: int) -> int:
    return data[at] | data[at + 1] << 8


def _text(length: bytes, rest: bytes) -> str:
    """The text of so many characters whose first byte tells how wide they are."""
    count = int.from_bytes(length, "little")
    if rest[:1] and rest[0] & 1:
        return rest[1 : 1 + 2 * count].decode("utf-16-le", "replace")
    return rest[1 : 1 + count].decode("latin-1")
