"""What mammoth would show wrongly or not at all: hidden text is taken out of a Word file, formulas are made text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree import ElementTree

from rag.documents.archive import Archive, local, packed

_WORDS = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_PIECES = ("t", "tab", "br")
_WITH_TEXT = frozenset(f"word/{part}.xml" for part in ("document", "footnotes", "endnotes", "comments"))
_FIELD = re.compile(rb"</?(?:\w+:)?fldSimple\b[^<>]*>")


def without_hidden(archive: Archive, data: bytes) -> tuple[bytes, list[str]]:
    """The file without the text that is formatted as hidden, which mammoth would show, and that text.

    What simple fields and formulas show, which mammoth would not, stands there as text.
    """
    styles = frozenset(_hidden_styles(archive))
    hidden: list[str] = []
    changed: dict[str, bytes] = {}
    for name in sorted(archive.names & _WITH_TEXT):
        raw = archive.read(name)
        formulas = b"oMath" in raw
        if b"vanish" not in raw and not styles and not formulas:
            if b"fldSimple" in raw:
                changed[name] = _FIELD.sub(b"", raw)
            continue
        root = archive.xml(name)
        if formulas:
            _spell_out(root)
        gone_here = formulas
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


def _spell_out(root: ElementTree.Element) -> None:
    """Make each formula a run of text."""
    for element in list(root.iter()):
        if local(element.tag) == "oMathPara":
            element.tag = f"{_WORDS}smartTag"  # what is in one is read
        elif local(element.tag) == "oMath":
            text, tail = _on_a_line(element), element.tail
            element.clear()
            element.tag, element.tail = f"{_WORDS}r", tail
            ElementTree.SubElement(element, f"{_WORDS}t").text = text


def _on_a_line(element: ElementTree.Element) -> str:
    """A formula as it is typed: a/b, x^2, x_1, √(x)."""
    kind = local(element.tag)
    if kind == "t":
        return element.text or ""
    parts = {local(child.tag): _on_a_line(child) for child in element}
    if kind == "f":
        return "/".join(_bracketed(parts.get(name, "")) for name in ("num", "den"))
    if kind in ("sSup", "sSub", "sSubSup"):
        raised = f"^{_bracketed(parts['sup'])}" if "sup" in parts else ""
        return parts.get("e", "") + (f"_{_bracketed(parts['sub'])}" if "sub" in parts else "") + raised
    if kind == "rad":
        return f"{parts.get('deg', '')}√{_bracketed(parts.get('e', ''))}"
    if kind == "d":
        return f"({', '.join(_on_a_line(child) for child in element if local(child.tag) == 'e')})"
    return "".join(map(_on_a_line, element))


def _bracketed(text: str) -> str:
    return text if text.isalnum() else f"({text})"


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
