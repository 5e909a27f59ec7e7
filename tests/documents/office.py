"""Everyday files made for the tests: office formats part by part, so that each test says what is in the file."""

from __future__ import annotations

import datetime
import io
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from rag.documents.archive import packed

_W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_TYPE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml"
_ODF = "urn:oasis:names:tc:opendocument:xmlns"
ODF = " ".join(f'xmlns:{n}="{_ODF}:{n}:1.0"' for n in ("office", "text", "table", "presentation")) + (
    f' xmlns:draw="{_ODF}:drawing:1.0"'
)


def docx(body: str, parts: Mapping[str, str] | None = None) -> bytes:
    """A Word file: ``body`` is WordprocessingML, ``parts`` its footnotes, comments, headers by kind."""
    more = dict(parts or {})
    kinds = {name: name.rstrip("0123456789") for name in more}
    return packed({
        "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types"><Override PartName="/word/document.xml"'
        f' ContentType="{_WORD}.document.main+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="r1"'
        f' Target="word/document.xml" Type="{_TYPE}/officeDocument"/></Relationships>',
        "word/_rels/document.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
        + "".join(f'<Relationship Id="n{n}" Target="{n}.xml" Type="{_TYPE}/{kinds[n]}"/>' for n in more)
        + "</Relationships>",
        "word/styles.xml": f'<w:styles {_W}><w:style w:type="paragraph" w:styleId="Heading1">'
        '<w:name w:val="heading 1"/></w:style></w:styles>',
        "word/document.xml": f"<w:document {_W}><w:body>{body}</w:body></w:document>",
        **{f"word/{name}.xml": markup for name, markup in more.items()},
    })  # fmt: skip


def paragraph(text: str, style: str = "") -> str:
    styled = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{styled}<w:r><w:t>{text}</w:t></w:r></w:p>"


def odf(body: str, meta: str = "") -> bytes:
    return packed({"content.xml": f"<office:document-content {ODF}><office:body>{body}</office:body>"
                                  "</office:document-content>"} | ({"meta.xml": meta} if meta else {}))  # fmt: skip


def xlsx(sheets: Mapping[str, Sequence[Sequence[Any]]], formats: Mapping[tuple[int, int], str] | None = None) -> bytes:
    """A workbook; ``formats`` gives number formats by row and column of every sheet."""
    import xlsxwriter

    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"default_date_format": "yyyy-mm-dd"}) as book:
        styles = {place: book.add_format({"num_format": code}) for place, code in (formats or {}).items()}
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            for r, row in enumerate(rows):
                for c, value in enumerate(row):
                    if isinstance(value, datetime.date):
                        sheet.write_datetime(r, c, value)
                    elif value is not None:
                        sheet.write(r, c, value, styles.get((r, c)))
    return out.getvalue()


def xls(rows: Sequence[Sequence[str | float]], code: str, hidden: tuple[int, int]) -> bytes:
    """A workbook of Excel 97 with one sheet, "A", whose numbers have this format; row (from 1) and column (from 0) that
    are ``hidden``."""

    def record(kind: int, body: bytes) -> bytes:
        return struct.pack("<HH", kind, len(body)) + body

    def begin(kind: int) -> bytes:
        return record(0x809, struct.pack("<HHHHII", 0x600, kind, 0, 0, 0, 0x600))

    end = record(0x0A, b"")
    styles = record(0x41E, struct.pack("<HHB", 164, len(code), 0) + code.encode("latin-1"))
    styles += b"".join(record(0xE0, struct.pack("<HH16x", 0, number)) for number in (0, 164))
    cells = record(0x7D, struct.pack("<HHHHHH", hidden[1], hidden[1], 0, 0, 1, 0))
    for r, row in enumerate(rows):
        cells += record(0x208, struct.pack("<HHHHHHI", r, 0, len(row), 0, 0, 0, 0x20 * (r + 1 == hidden[0])))
        for c, value in enumerate(row):
            if isinstance(value, str):
                cells += record(0x204, struct.pack("<HHHHB", r, c, 0, len(value), 0) + value.encode("latin-1"))
            else:
                cells += record(0x203, struct.pack("<HHHd", r, c, 1, value))
    size = record(0x200, struct.pack("<IIHHH", 0, len(rows), 0, max(map(len, rows)), 0))
    head = begin(5) + styles
    at = len(head) + len(record(0x85, bytes(9))) + len(end)
    sheet = record(0x85, struct.pack("<IBBBB", at, 0, 0, 1, 0) + b"A")
    return compound({"Workbook": head + sheet + end + begin(0x10) + size + cells + end})


def pptx(slides: Sequence[tuple[str, str, str]], table: Sequence[Sequence[str]] = ()) -> bytes:
    """A presentation of (title, text, notes), and a table on its last slide."""
    from pptx import Presentation

    made = Presentation()
    for title, text, notes in slides:
        slide = made.slides.add_slide(made.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = text
        if notes:
            slide.notes_slide.notes_text_frame.text = notes
    if table:
        cells = slide.shapes.add_table(len(table), len(table[0]), 0, 5_000_000, 900, 900).table
        for r, row in enumerate(table):
            for c, value in enumerate(row):
                cells.cell(r, c).text = value
    out = io.BytesIO()
    made.save(out)
    return out.getvalue()


def epub(chapters: Sequence[str], title: str = "") -> bytes:
    names = [f"c{n}.xhtml" for n in range(len(chapters))]
    return packed({
        "META-INF/container.xml": '<container><rootfiles><rootfile full-path="OEBPS/a.opf"/></rootfiles></container>',
        "OEBPS/a.opf": f"<package><metadata><title>{title}</title></metadata><manifest>"
        + "".join(f'<item id="{n}" href="{n}" media-type="application/xhtml+xml"/>' for n in names)
        + "</manifest><spine>" + "".join(f'<itemref idref="{n}"/>' for n in names) + "</spine></package>",
        **{f"OEBPS/{n}": text for n, text in zip(names, chapters, strict=True)},
    })  # fmt: skip


def msg(strings: Mapping[int, str], binaries: Mapping[int, bytes] | None = None) -> bytes:
    """An Outlook message: a compound file whose streams hold these properties, by their number."""
    streams = {f"__substg1.0_{tag:04X}001F": text.encode("utf-16-le") for tag, text in strings.items()}
    streams |= {f"__substg1.0_{tag:04X}0102": data for tag, data in (binaries or {}).items()}
    entries = [(0x1F, tag, len(text)) for tag, text in strings.items()]
    entries += [(0x102, tag, len(data)) for tag, data in (binaries or {}).items()]
    properties = b"".join(struct.pack("<HHIQ", kind, tag, 6, size) for kind, tag, size in entries)
    streams["__properties_version1.0"] = b"\0" * 32 + properties
    return compound(streams)


def compound(streams: Mapping[str, bytes]) -> bytes:
    """A compound file (version 3) with its streams in the root, all of them in the mini stream."""
    mini = bytearray()
    fat_of_mini: list[int] = []
    entries: list[tuple[str, int, int, int]] = []
    for name, data in sorted(streams.items(), key=lambda item: (len(item[0]), item[0].upper())):
        count = -(-len(data) // 64)
        first = len(fat_of_mini) if count else -2
        fat_of_mini += [*range(len(fat_of_mini) + 1, len(fat_of_mini) + count), -2] if count else []
        mini += data.ljust(count * 64, b"\0")
        entries.append((name, 2, first, len(data)))
    mini_sectors = -(-len(mini) // 512)
    directory = [("Root Entry", 5, 3 + _sectors(len(entries) + 1, 4), len(mini)), *entries]
    directory_sectors = _sectors(len(directory), 4)
    minifat_start = 1 + directory_sectors
    minifat_sectors = _sectors(len(fat_of_mini), 128)
    mini_start = minifat_start + minifat_sectors
    directory[0] = ("Root Entry", 5, mini_start, len(mini))
    fat = [
        -3,
        *_chain(1, directory_sectors),
        *_chain(minifat_start, minifat_sectors),
        *_chain(mini_start, mini_sectors),
    ]
    header = struct.pack(
        "<8s16xHHHHH6xIIIIIIIII", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0x3E, 3, 0xFFFE, 9, 6, 0, 1, 1, 0, 4096,
        minifat_start, minifat_sectors, 0xFFFFFFFE, 0,
    )  # fmt: skip
    header += struct.pack("<i", 0) + b"\xff" * 4 * 108
    out = header + b"".join(struct.pack("<i", n) for n in fat).ljust(512, b"\xff")
    for index, (name, kind, start, size) in enumerate(directory):
        child = 1 if index == 0 and len(directory) > 1 else -1
        right = index + 1 if 0 < index < len(directory) - 1 else -1
        raw = name.encode("utf-16-le")
        out += struct.pack("<64sHBBiii16x4x8x8xiQ", raw, len(raw) + 2, kind, 1, -1, right, child, start, size)
    out = out.ljust(512 * (2 + directory_sectors), b"\0")
    out += b"".join(struct.pack("<i", n) for n in fat_of_mini).ljust(512 * minifat_sectors, b"\xff")
    return out + bytes(mini).ljust(512 * mini_sectors, b"\0")


def _sectors(count: int, each: int) -> int:
    return max(1, -(-count // each))


def _chain(start: int, count: int) -> list[int]:
    return [*range(start + 1, start + count), -2] if count else []
