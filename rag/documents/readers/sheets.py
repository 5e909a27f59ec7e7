"""Spreadsheets (xlsx, xls, xlsb): each sheet's rows with their header, each row a place of its sheet."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from typing import Any

from rag.config import Limits
from rag.documents import numbers
from rag.documents.archive import Archive, packed
from rag.documents.build import Builder
from rag.documents.formats import shown, stem
from rag.documents.numbers import Formats, xlsx_formats
from rag.documents.readers.biff import Workbook
from rag.documents.readers.grid import write_sheet
from rag.documents.readers.marks import Marks, of_sheet
from rag.documents.tables import Row
from rag.errors import DamagedDocument, EncryptedDocument, LimitExceeded
from rag.types import ParsedDocument

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def _sample() -> bytes:
    return packed({
        "_rels/.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        f'<Relationship Id="r1" Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets><sheet name="S" sheetId="1"'
        ' r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/'
        f'relationships"><Relationship Id="r1" Type="{_OFFICE}/worksheet" Target="worksheets/sheet1.xml"/>'
        "</Relationships>",
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{_MAIN}"><sheetData><row r="1"><c r="A1"><v>1</v></c></row>'
        "</sheetData></worksheet>",
    })  # fmt: skip


SAMPLES = {"sample.xlsx": _sample}

_COMPOUND = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_MOST_CELLS = 2_000_000


def parse(data: bytes, source: str, limits: Limits) -> ParsedDocument:
    """Spreadsheet to document. A heading a sheet; numbers as the sheet shows them (xlsb: as they are).

    Raises EncryptedDocument, DamagedDocument, EmptyDocument and LimitExceeded.
    """
    from python_calamine import CalamineError, CalamineWorkbook, PasswordError, SheetTypeEnum, SheetVisibleEnum

    archive = None if data.startswith(_COMPOUND) else Archive(data, source, limits)
    formats = xlsx_formats(archive) if archive else Workbook(data)
    try:
        book = CalamineWorkbook.from_filelike(io.BytesIO(data))
        build = Builder(source, limits)
        cells = 0
        for sheet in book.sheets_metadata:
            if sheet.typ != SheetTypeEnum.WorkSheet:
                continue
            read = book.get_sheet_by_name(sheet.name)
            rows = read.to_python()
            cells += sum(map(len, rows))
            if cells > _MOST_CELLS:
                raise LimitExceeded(
                    f"{shown(source)} has more than {_MOST_CELLS:,} cells.", hint="Split the file by sheets."
                )
            corner = read.start or (0, 0)
            hidden = sheet.visible != SheetVisibleEnum.Visible
            marks = _marks(archive, formats, sheet.name, hidden=hidden)
            write_sheet(build, sheet.name, _cells(rows, corner, formats, sheet.name), corner[1], marks)
    except PasswordError as error:
        raise EncryptedDocument(
            f"{shown(source)} is encrypted and needs a password.", hint="Save it without the password and add that."
        ) from error
    except CalamineError as error:
        raise DamagedDocument(
            f"{shown(source)} is damaged or no spreadsheet.",
            hint="Open it in its own program, save it anew and add that.",
        ) from error
    return build.finish(stem(source))


def _marks(archive: Archive | None, formats: Formats | Workbook | None, sheet: str, *, hidden: bool) -> Marks:
    if isinstance(formats, Workbook):
        return replace(formats.marks(sheet), hidden=hidden)
    return of_sheet(archive, formats.part(sheet), hidden=hidden) if archive and formats else Marks(hidden)


def _cells(rows: list[list[Any]], corner: tuple[int, int], formats: Formats | Workbook | None, sheet: str) -> list[Row]:
    """The rows that hold anything, numbered as the sheet numbers them, each cell as it is shown."""
    top, left = corner
    return [
        (top + n, [_shown(value, formats, sheet, top + n, left + m) for m, value in enumerate(row)])
        for n, row in enumerate(rows, start=1)
        if any(value != "" for value in row)
    ]


def _shown(value: Any, formats: Formats | Workbook | None, sheet: str, row: int, column_index: int) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float):
        code = formats.code(sheet, row, column_index) if formats else ""
        return numbers.shown(value, code) if code else numbers.general(value)
    if isinstance(value, datetime):
        midnight = value.time() == time(0)
        return (
            value.date().isoformat() if midnight else value.isoformat(" ", "minutes" if not value.second else "seconds")
        )
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, time):
        return value.isoformat("minutes" if not value.second else "seconds")
    if isinstance(value, timedelta):
        minutes, seconds = divmod(round(value.total_seconds()), 60)
        return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
    return str(value)
