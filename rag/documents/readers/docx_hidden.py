"""What a Word file holds and formats as hidden: taken out of it, and told apart."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree import ElementTree

from rag.documents.archive import Archive, local, packed

_PIECES = ("t", "tab", "br")
_WITH_TEXT = frozenset(f"word/{part}.xml" for part in ("document", "footnotes", "endnotes", "comments"))
_FIELD = re.compile(rb"</?(?:\w+:)?fldSimple\b[^<>]*>")


def without_hidden(archive: Archive, data: bytes) -> tuple[bytes, list[str]]:
    """The file without the text that is formatted as hidden, which mammoth would show, and that text.

    What simple fields show, which mammoth would not, stands there without them.
    """
    styles = frozenset(_hidden_styles(archive))
    hidden: list[str] = []
    changed: dict[str, bytes] = {}
    for name in sorted(archive.names & _WITH_TEXT):
        raw = archive.read(name)
        if b"vanish" not in raw and not styles:
            if b"fldSimple" in raw:
                changed[name] = _FIELD.sub(b"", raw)
            continue
        root = archive.xml(name)
        gone_here = False
        for paragraph in [element for element in root.iter() if local(element.tag) == "p"]:
            gone = [run for run in paragraph.iter() if local(run.tag) == "r" and _is_hidden(run, styles)]
            if text := " ".join(filter(None, map(text_of, gone))):
                hidden.append(text)
                gone_here = True
            for run in gone:
                run.clear()
        if gone_here or b"fldSimple" in raw:
            changed[name] = _FIELD.sub(b"", ElementTree.tostring(root, encoding="utf-8"))
    if not changed:
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


def text_of(paragraph: ElementTree.Element) -> str:
    """A paragraph's text on one line."""
    parts = [(e.text or "") if local(e.tag) == "t" else " " for e in paragraph.iter() if local(e.tag) in _PIECES]
    return " ".join("".join(parts).split())
