"""Word documents: mammoth's HTML through the walker of web pages, then headers, feet; footnotes and comments in it."""

from __future__ import annotations

import io
import re
from xml.parsers.expat import ExpatError

from rag.config import Limits
from rag.documents.archive import UNREADABLE, Archive, local, packed
from rag.documents.build import Builder
from rag.documents.formats import has_text, one_line, shown
from rag.documents.readers import html
from rag.documents.readers.docx_hidden import text_of, without_hidden
from rag.errors import DamagedDocument
from rag.types import INVISIBLE, ParsedDocument, Place

_PARAGRAPH = re.compile(r"[^\n]+(?:\n[^\n]+)*")
_AROUND = re.compile(r"word/(header|footer)\d*\.xml")
_PLACEHOLDERS = ("word document", "microsoft word document", "document", "untitled", "title")
_STYLES = "comment-reference => sup\np[style-name='Title'] => h1:fresh\np[style-name='Subtitle'] => p:fresh"


_FAILURES = (ExpatError, *UNREADABLE, IndexError, AttributeError, TypeError)
"""mammoth has no errors of its own: what a damaged file lacks surfaces as whatever missed it."""
_SPACE = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_RELATION = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"


def _sample() -> bytes:
    return packed({
        "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types"><Override PartName="/word/document.xml"'
        ' ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
        f'<Relationship Id="r1" Target="word/document.xml" Type="{_RELATION}"/></Relationships>',
        "word/document.xml": f"<w:document {_SPACE}><w:body><w:p><w:r><w:t>Sample</w:t></w:r></w:p></w:body>"
        "</w:document>",
    })  # fmt: skip


SAMPLES = {"sample.docx": _sample}


def parse(data: bytes, source: str, limits: Limits) -> ParsedDocument:
    """Word file to document; its blocks are its places. Title: as the file states it, else the first top heading.

    What was inserted under tracked changes is read, what was deleted is not; what is formatted as hidden stands apart.
    Raises EncryptedDocument, DamagedDocument, EmptyDocument and LimitExceeded.
    """
    archive = Archive(data, source, limits)
    if "word/document.xml" not in archive.names and "[Content_Types].xml" not in archive.names:
        raise DamagedDocument(f"{shown(source)} is no Word document.", hint="Give the file the suffix of what it is.")
    data, hidden = without_hidden(archive, data)
    body = html.read_markup(_html(data, source), data=True)
    build = Builder(source, limits)
    for line in _around(archive, "header"):
        build.write(line)
    start = build.end
    build.section(body.text, body.headings)
    text = body.text.strip()
    for number, block in enumerate(_PARAGRAPH.finditer(text), start=1):
        build.places.append(Place(number, start + block.start(), start + block.end(), "paragraph"))
    for line in _around(archive, "footer"):
        build.write(line)
    for words in hidden:
        start = build.end
        if build.write(words):
            build.place("hidden", 1, start, INVISIBLE)
    return build.finish(_title(archive) or (body.headings[0].title if body.headings else ""))


def _html(data: bytes, source: str) -> str:
    import mammoth

    try:
        found = mammoth.convert_to_html(
            io.BytesIO(data), style_map=_STYLES, convert_image=lambda _: [], ignore_empty_paragraphs=True
        )
    except _FAILURES as error:
        raise DamagedDocument(
            f"{shown(source)} is damaged ({type(error).__name__}).",
            hint="Open it in its own program, save it anew and add that.",
        ) from error
    return str(found.value)


def _around(archive: Archive, kind: str) -> list[str]:
    """The different texts of the headers or feet."""
    found: dict[str, None] = {}
    for name in sorted(archive.names):
        match = _AROUND.fullmatch(name)
        if match and match[1] == kind:
            lines = (text_of(p) for p in archive.xml(name).iter() if local(p.tag) == "p")
            text = " ".join(line for line in lines if line)
            if has_text(text) and any(map(str.isalpha, text)):
                found[text] = None
    return list(found)


def _title(archive: Archive) -> str:
    if "docProps/core.xml" not in archive.names:
        return ""
    titles = (e.text or "" for e in archive.xml("docProps/core.xml").iter() if local(e.tag) == "title")
    stated = one_line(next(titles, ""))
    return "" if stated.lower() in _PLACEHOLDERS else stated
