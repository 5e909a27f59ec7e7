"""E-books: the chapters of the spine in order, through the walker of web pages."""

from __future__ import annotations

import posixpath
from urllib.parse import unquote

from rag.config import Limits
from rag.documents.archive import Archive, local, packed
from rag.documents.build import Builder
from rag.documents.decode import decode
from rag.documents.formats import one_line, shown
from rag.documents.readers import html
from rag.errors import DamagedDocument
from rag.types import ParsedDocument


def _sample() -> bytes:
    return packed({
        "META-INF/container.xml": '<container><rootfile full-path="a.opf"/></container>',
        "a.opf": '<package><manifest><item id="i" href="a.xhtml" media-type="application/xhtml+xml"/></manifest>'
        '<spine><itemref idref="i"/></spine></package>',
        "a.xhtml": "<html><body><p>Sample</p></body></html>",
    })  # fmt: skip


SAMPLES = {"sample.epub": _sample}

_PAGES = ("application/xhtml+xml", "text/html")


def parse(data: bytes, source: str, limits: Limits) -> ParsedDocument:
    """epub file to document, a place a chapter (those with text). Title: the book's own.

    Raises EncryptedDocument, DamagedDocument, EmptyDocument and LimitExceeded.
    """
    archive = Archive(data, source, limits)
    package = _package(archive, source)
    root = archive.xml(package)
    items = {e.get("id"): e for e in root.iter() if local(e.tag) == "item"}
    build = Builder(source, limits)
    number = 0
    for reference in (e for e in root.iter() if local(e.tag) == "itemref"):
        item = items.get(reference.get("idref"))
        if item is None or item.get("media-type") not in _PAGES:
            continue
        name = posixpath.normpath(posixpath.join(posixpath.dirname(package), unquote(item.get("href", ""))))
        if name not in archive.names or "nav" in (item.get("properties") or "").split():
            continue
        page = html.read_markup(decode(archive.read(name), source), xhtml=True)
        start = build.end
        if page.text.strip():
            number += 1
            build.section(page.text, page.headings)
            build.place("chapter", number, start)
    titles = (e.text or "" for e in root.iter() if local(e.tag) == "title")
    return build.finish(one_line(next(titles, "")))


def _package(archive: Archive, source: str) -> str:
    """The name of the file that lists the book's parts."""
    if "META-INF/container.xml" in archive.names:
        for element in archive.xml("META-INF/container.xml").iter():
            if local(element.tag) == "rootfile" and element.get("full-path") in archive.names:
                return str(element.get("full-path"))
    raise DamagedDocument(f"{shown(source)} is no e-book: its list of parts is missing.", hint="Export it anew.")
