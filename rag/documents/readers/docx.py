"""Word documents: mammoth's HTML through the walker of web pages, then headers, feet; footnotes and comments in it."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from xml.etree import ElementTree

from rag.config import Limits
from rag.documents.archive import Archive, local, packed
from rag.documents.build import Builder
from rag.documents.formats import has_text, one_line, shown
from rag.documents.readers import html
from rag.errors import DamagedDocument
from rag.types import INVISIBLE, ParsedDocument, Place

_PARAGRAPH = re.compile(r"[^\n]+(?:\n[^\n]+)*")
_AROUND = re.compile(r"word/(header|footer)\d*\.xml")
_PIECES = ("t", "tab", "br")
_WITH_TEXT = frozenset(f"word/{part}.xml" for part in ("document", "footnotes", "endnotes", "comments"))
_PLACEHOLDERS = ("word document", "microsoft word document", "document", "untitled", "title")
_STYLES = "comment-reference => sup\np[style-name='Title'] => h1:fresh\np[style-name='Subtitle'] => p:fresh"


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
    data, hidden = _without_hidden(archive, data)
    body = html.read_markup(_html(data, source))
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


def _without_hidden(archive: Archive, data: bytes) -> tuple[bytes, list[str]]:
    """The file without the text that is formatted as hidden, which mammoth would show, and that text."""
    styles = frozenset(_hidden_styles(archive))
    hidden: list[str] = []
    changed: dict[str, bytes] = {}
    for name in sorted(archive.names & _WITH_TEXT):
        raw = archive.read(name)
        if b"vanish" not in raw and not styles:
            continue
        root = archive.xml(name)
        for paragraph in [element for element in root.iter() if local(element.tag) == "p"]:
            gone = [run for run in paragraph.iter() if local(run.tag) == "r" and _is_hidden(run, styles)]
            if text := " ".join(filter(None, map(_text, gone))):
                hidden.append(text)
            for run in gone:
                run.clear()
        changed[name] = ElementTree.tostring(root, encoding="utf-8")
    if not hidden:
        return data, []
    return packed({name: changed[name] if name in changed else archive.read(name) for name in archive.names}), hidden


def _hidden_styles(archive: Archive) -> Iterator[str]:
    """The names of the character styles that hide."""
    if "word/styles.xml" in archive.names and b"vanish" in archive.read("word/styles.xml"):
        for style in archive.xml("word/styles.xml").iter():
            if local(style.tag) == "style" and any(_hides(element) for element in style.iter()):
                yield next((value for name, value in style.attrib.items() if local(name) == "styleId"), "")


def _is_hidden(run: ElementTree.Element, styles: frozenset[str]) -> bool:
    properties = next((child for child in run if local(child.tag) == "rPr"), None)
    if properties is None:
        return False
    own = [element for element in properties if local(element.tag) == "vanish"]
    if own:
        return _hides(own[0])
    return any(local(e.tag) == "rStyle" and _value(e) in styles for e in properties)


def _hides(element: ElementTree.Element) -> bool:
    return local(element.tag) == "vanish" and _value(element) not in ("0", "false", "off")


def _value(element: ElementTree.Element) -> str:
    return next((value for name, value in element.attrib.items() if local(name) == "val"), "")


def _html(data: bytes, source: str) -> str:
    import mammoth

    try:
        found = mammoth.convert_to_html(
            io.BytesIO(data), style_map=_STYLES, convert_image=lambda _: [], ignore_empty_paragraphs=True
        )
    except (KeyError, ValueError, IndexError, AttributeError, TypeError, OSError, zipfile.BadZipFile) as error:
        # mammoth has no errors of its own: what a damaged file lacks surfaces as whatever missed it
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
            lines = (_text(p) for p in archive.xml(name).iter() if local(p.tag) == "p")
            text = " ".join(line for line in lines if line)
            if has_text(text) and any(map(str.isalpha, text)):
                found[text] = None
    return list(found)


def _text(paragraph: ElementTree.Element) -> str:
    parts = [(e.text or "") if local(e.tag) == "t" else " " for e in paragraph.iter() if local(e.tag) in _PIECES]
    return " ".join("".join(parts).split())


def _title(archive: Archive) -> str:
    if "docProps/core.xml" not in archive.names:
        return ""
    titles = (e.text or "" for e in archive.xml("docProps/core.xml").iter() if local(e.tag) == "title")
    stated = one_line(next(titles, ""))
    return "" if stated.lower() in _PLACEHOLDERS else stated
