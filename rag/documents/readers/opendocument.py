"""OpenDocument texts, presentations and spreadsheets: content.xml read as it is, spaces, tabs and repeats included."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element

from rag.config import Limits
from rag.documents.archive import Archive, local, packed
from rag.documents.build import Builder
from rag.documents.formats import one_line
from rag.documents.readers.odf import SKIPPED, attribute, count, text_of
from rag.documents.readers.sheets import write_sheet
from rag.documents.tables import Row, header_of
from rag.types import ParsedDocument

_NAMES = "urn:oasis:names:tc:opendocument:xmlns"


def _sample() -> bytes:
    return packed({
        "content.xml": f'<o:document-content xmlns:o="{_NAMES}:office:1.0" xmlns:t="{_NAMES}:text:1.0"><o:body><o:text>'
        "<t:p>Sample</t:p></o:text></o:body></o:document-content>"
    })  # fmt: skip


SAMPLES = {"sample.odt": _sample}

_MOST_REPEATED, _MOST_COLUMNS, _MOST_CELLS = 1_000, 1_000, 2_000_000


def parse(data: bytes, source: str, limits: Limits) -> ParsedDocument:
    """odt, odp or ods file to document: headings and paragraphs, slides with notes, sheets with cells as shown.

    Raises EncryptedDocument, DamagedDocument, EmptyDocument and LimitExceeded.
    """
    archive = Archive(data, source, limits)
    root = archive.xml("content.xml")
    build = Builder(source, limits)
    body = next((e for e in root if local(e.tag) == "body"), root)
    slide = 0
    for element in _blocks(body):
        kind = local(element.tag)
        if kind == "page":
            slide += 1
            _slide(build, element, slide)
        elif kind == "table" and source.lower().endswith(".ods"):
            write_sheet(build, attribute(element, "name"), _rows(element), hidden=False)
        else:
            _block(build, element)
    return build.finish(_title(archive))


def _blocks(top: Element) -> Iterator[Element]:
    """The paragraphs, headings, tables and slides below an element, in order and none inside another."""
    waiting = list(reversed(list(top)))
    while waiting:
        element = waiting.pop()
        kind = local(element.tag)
        if kind in ("h", "p", "table", "page", "list-item"):
            yield element
        elif kind not in SKIPPED:
            waiting.extend(reversed(list(element)))


def _block(build: Builder, element: Element, level: int = 0) -> None:
    kind = local(element.tag)
    if kind == "h":
        stated = attribute(element, "outline-level")
        build.heading(int(stated) if stated.isdigit() else 1, text_of(element))
    elif kind == "table":
        rows = _rows(element)
        named = header_of(rows)
        build.table(rows[named][1] if named >= 0 else (), rows[named + 1 :])
    elif kind == "list-item":
        build.write(
            "\n".join(f"- {text}" for e in element.iter() if local(e.tag) in ("p", "h") and (text := text_of(e)))
        )
    else:
        build.write(text_of(element))
        for frame in element.iter():
            if local(frame.tag) == "table" and frame is not element:
                _block(build, frame)


def _slide(build: Builder, page: Element, number: int) -> None:
    start = build.end
    titled = False
    for frame in page:
        kind = local(frame.tag)
        if kind == "notes":
            notes = "\n".join(text for e in frame.iter() if local(e.tag) == "p" and (text := text_of(e)))
            begun = build.end
            if build.write(f"Notes: {notes}" if notes else ""):
                build.place("note", number, begun, "of the speaker")
            continue
        if attribute(frame, "class") == "title" and not titled:
            titled = True
            build.heading(1, " ".join(text_of(e) for e in frame.iter() if local(e.tag) == "p"))
            continue
        for element in _blocks(frame):
            _block(build, element)
    build.place("slide", number, start)


def _rows(table: Element) -> list[Row]:
    """A table's rows with their numbers; those that repeat an empty row are only counted."""
    rows: list[Row] = []
    number = total = 0
    for line in table.iter():
        if local(line.tag) != "table-row":
            continue
        repeated = count(line, "number-rows-repeated")
        cells = _cells(line)
        if cells:
            for n in range(1, min(repeated, _MOST_REPEATED) + 1):
                rows.append((number + n, cells))
                total += len(cells)
            if total > _MOST_CELLS:
                break
        number += repeated
    return rows


def _cells(line: Element) -> list[str]:
    cells: list[str] = []
    for cell in line:
        if local(cell.tag) in ("table-cell", "covered-table-cell"):
            text = " ".join(text_of(e) for e in cell if local(e.tag) in ("p", "h", "list"))
            cells += [text] * min(count(cell, "number-columns-repeated"), _MOST_COLUMNS - len(cells))
    while cells and not cells[-1]:
        cells.pop()
    return cells


def _title(archive: Archive) -> str:
    if "meta.xml" not in archive.names:
        return ""
    return one_line(next((e.text or "" for e in archive.xml("meta.xml").iter() if local(e.tag) == "title"), ""))
