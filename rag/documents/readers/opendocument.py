"""OpenDocument texts, presentations and spreadsheets: content.xml read as it is, spaces, tabs and repeats included."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element

from rag.config import Limits
from rag.documents.archive import Archive, local, packed
from rag.documents.build import Builder
from rag.documents.formats import one_line
from rag.documents.readers.grid import write_sheet
from rag.documents.readers.odf import (
    SKIPPED,
    attribute,
    codes_of,
    marks_of,
    remarks,
    rows_of,
    take_unseen,
    text_of,
    unseen_styles,
)  # fmt: skip
from rag.documents.tables import header_of
from rag.types import INVISIBLE, ParsedDocument

_NAMES = "urn:oasis:names:tc:opendocument:xmlns"


def _sample() -> bytes:
    return packed({
        "content.xml": f'<o:document-content xmlns:o="{_NAMES}:office:1.0" xmlns:t="{_NAMES}:text:1.0"><o:body><o:text>'
        "<t:p>Sample</t:p></o:text></o:body></o:document-content>"
    })  # fmt: skip


SAMPLES = {"sample.odt": _sample}


def parse(data: bytes, source: str, limits: Limits) -> ParsedDocument:
    """odt, odp or ods file to document: headings and paragraphs, slides with notes, sheets with cells as shown.

    Raises EncryptedDocument, DamagedDocument, EmptyDocument and LimitExceeded.
    """
    archive = Archive(data, source, limits)
    root = archive.xml("content.xml")
    build = Builder(source, limits)
    roots = [root, *([archive.xml("styles.xml")] if "styles.xml" in archive.names else [])]
    unseen = frozenset(style for one in roots for style in unseen_styles(one))
    body = next((e for e in root if local(e.tag) == "body"), root)
    hidden = take_unseen(body, unseen)
    sheets, texts = source.lower().endswith(".ods"), source.lower().endswith(".odt")
    codes = codes_of(*roots) if sheets else None
    for line in _around(roots[-1], "header") if texts else ():
        build.write(line)
    slide = 0
    for element in _blocks(body):
        kind = local(element.tag)
        if kind == "page":
            slide += 1
            _slide(build, element, slide, hidden=("drawing-page", attribute(element, "style-name")) in unseen)
        elif kind == "table" and sheets:
            off = ("table", attribute(element, "style-name")) in unseen
            write_sheet(build, attribute(element, "name"), rows_of(element, codes), marks=marks_of(element, hidden=off))
        else:
            _block(build, element)
    for line in _around(roots[-1], "footer") if texts else ():
        build.write(line)
    for words in hidden:
        start = build.end
        if build.write(words):
            build.place("hidden", 1, start, INVISIBLE)
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
        rows = rows_of(element)
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
    for remark in remarks(element) if kind != "table" else ():
        start = build.end
        build.write(f"Comment: {remark}")
        build.place("note", 1, start)


def _slide(build: Builder, page: Element, number: int, *, hidden: bool) -> None:
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
    if hidden:
        build.place("hidden", number, start)
    build.place("slide", number, start)


def _around(styles: Element, kind: str) -> list[str]:
    """The different texts of the headers or feet of a text's pages."""
    found: dict[str, None] = {}
    for element in styles.iter():
        if local(element.tag) in (kind, f"{kind}-left", f"{kind}-first") and attribute(element, "display") != "false":
            text = " ".join(line for e in element.iter() if local(e.tag) in ("p", "h") and (line := text_of(e)))
            if any(map(str.isalpha, text)):
                found[text] = None
    return list(found)


def _title(archive: Archive) -> str:
    if "meta.xml" not in archive.names:
        return ""
    return one_line(next((e.text or "" for e in archive.xml("meta.xml").iter() if local(e.tag) == "title"), ""))
