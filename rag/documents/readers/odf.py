"""OpenDocument's elements: text, in which spaces, tabs and line breaks are elements; tables; and what is not shown."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from xml.etree.ElementTree import Element

from rag.documents.archive import local
from rag.documents.readers.grid import column
from rag.documents.readers.marks import Marks
from rag.documents.tables import Row

SKIPPED = frozenset(
    ("tracked-changes", "forms", "sequence-decls", "variable-decls", "user-field-decls", "title", "desc")
)
_WHITE = re.compile(r"[ \t\r\n]+")
_MOST_SPACES = 1_000
_MOST_REPEATED, _MOST_COLUMNS, _MOST_CELLS = 1_000, 1_000, 2_000_000
_BREAK = "\0"
"""No text of XML holds one."""


def text_of(element: Element) -> str:
    """The text of a paragraph with its spaces, tabs and line breaks; a note's apart, a comment's left out, and what is
    in a frame on lines of its own."""
    parts: list[str] = []
    waiting: list[Element | str] = [element]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            parts.append("\n" if item == _BREAK else _WHITE.sub(" ", item))
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
            inside = item is not element and kind in ("p", "h")
            waiting += [_BREAK] * inside
            waiting.extend(reversed(list(item)))
            waiting.append(item.text or "")
            parts += ["\n"] * inside
    return "\n".join(filter(None, (line.strip() for line in "".join(parts).split("\n"))))


def remarks(element: Element) -> list[str]:
    """What was remarked on it or on a part of it."""
    found = (e for e in element.iter() if local(e.tag) == "annotation")
    return [text for e in found if (text := "\n".join(text_of(p) for p in e.iter() if local(p.tag) == "p"))]


Style = tuple[str, str]
"""A style's family and name."""


def unseen_styles(root: Element) -> Iterator[Style]:
    """The styles whose text, sheet or slide is not shown."""
    for style in root.iter():
        if local(style.tag) == "style" and any(
            attribute(e, "display") in ("none", "false") or attribute(e, "visibility") == "hidden" for e in style
        ):
            yield attribute(style, "family"), attribute(style, "name")


def take_unseen(root: Element, unseen: Container[Style]) -> list[str]:
    """Take out what no reader sees: sections that are not shown, paragraphs and words of such a style; their texts."""
    taken = []
    for element in list(root.iter()):
        kind, style = local(element.tag), attribute(element, "style-name")
        family = {"span": "text", "p": "paragraph", "h": "paragraph"}.get(kind, "")
        if (kind == "section" and attribute(element, "display") == "none") or (family, style) in unseen:
            blocks = [element] if family else [e for e in element.iter() if local(e.tag) in ("p", "h")]
            taken += [text for e in blocks if (text := text_of(e))]
            tail = element.tail
            element.clear()
            element.tail = tail
    return taken


def attribute(element: Element, name: str) -> str:
    """An attribute by its name without the namespace; "" if it is not there."""
    return next((value for key, value in element.attrib.items() if local(key) == name), "")


def count(element: Element, name: str) -> int:
    """How often something is repeated, as an attribute says; 1 where it does not."""
    stated = attribute(element, name)
    return max(1, int(stated)) if stated.isascii() and stated.isdigit() and len(stated) < 9 else 1


def rows_of(table: Element) -> list[Row]:
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


def marks_of(table: Element, *, hidden: bool) -> Marks:
    """Which of a table's rows are hidden, and the remarks on its cells."""
    rows: set[int] = set()
    told: list[tuple[str, str]] = []
    number = 0
    for line in (e for e in table.iter() if local(e.tag) == "table-row"):
        repeated = count(line, "number-rows-repeated")
        if attribute(line, "visibility") in ("collapse", "filter"):
            rows.update(range(number + 1, number + 1 + min(repeated, _MOST_REPEATED)))
        at = 0
        for cell in line:
            told += [(f"{column(at)}{number + 1}", text) for text in remarks(cell)]
            at += count(cell, "number-columns-repeated")
        number += repeated
    return Marks(hidden, frozenset(rows), tuple(told))


def _cells(line: Element) -> list[str]:
    cells: list[str] = []
    for cell in line:
        if local(cell.tag) in ("table-cell", "covered-table-cell"):
            text = " ".join(text_of(e) for e in cell if local(e.tag) in ("p", "h", "list"))
            cells += [text] * min(count(cell, "number-columns-repeated"), _MOST_COLUMNS - len(cells))
    while cells and not cells[-1]:
        cells.pop()
    return cells
