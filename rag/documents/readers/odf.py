"""The text of OpenDocument's elements: spaces, tabs and line breaks are elements there."""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element

from rag.documents.archive import local

SKIPPED = frozenset(
    ("tracked-changes", "forms", "sequence-decls", "variable-decls", "user-field-decls", "title", "desc")
)
_WHITE = re.compile(r"[ \t\r\n]+")
_MOST_SPACES = 1_000


def text_of(element: Element) -> str:
    """The text of a paragraph with its spaces, tabs and line breaks; a note's apart, a comment's left out."""
    parts: list[str] = []
    waiting: list[Element | str] = [element]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            parts.append(_WHITE.sub(" ", item))
            continue
        kind = local(item.tag)
        tail = item.tail if item is not element else None
        waiting.append(tail or "")
        if kind == "s":
            parts.append(" " * min(count(item, "c"), _MOST_SPACES))
        elif kind == "tab":
            parts.append("\t")
        elif kind == "line-break":
            parts.append("\n")
        elif kind == "note":
            parts.append(f" ({' '.join(' '.join(e.itertext()) for e in item if local(e.tag) == 'note-body').strip()})")
        elif kind not in ("annotation", "table") and kind not in SKIPPED:
            waiting.extend(reversed(list(item)))
            waiting.append(item.text or "")
    return "\n".join(line.strip() for line in "".join(parts).split("\n")).strip()


def attribute(element: Element, name: str) -> str:
    """An attribute by its name without the namespace; "" if it is not there."""
    return next((value for key, value in element.attrib.items() if local(key) == name), "")


def count(element: Element, name: str) -> int:
    """How often something is repeated, as an attribute says; 1 where it does not."""
    stated = attribute(element, name)
    return max(1, int(stated)) if stated.isascii() and stated.isdigit() and len(stated) < 9 else 1
