"""OpenDocument's elements: text, in which spaces, tabs and line breaks are elements; tables; and what is not shown."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping, Sequence
from math import isfinite
from xml.etree.ElementTree import Element

from rag.documents import numbers
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
_NOT_SHOWN = ("collapse", "filter")
_VALUES = ("string-value", "date-value", "time-value", "boolean-value")
_MOST_PLACES = 15


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


def rows_of(table: Element, codes: Mapping[str, str] | None = None) -> list[Row]:
    """A table's rows with their numbers; those that repeat an empty row are only counted. ``codes`` are the formats of
    a spreadsheet, as ``codes_of`` tells them."""
    rows: list[Row] = []
    number = total = 0
    codes = codes or {}
    by_column = [name for name, _ in _columns(table)] if codes else []
    for line in table.iter():
        if local(line.tag) != "table-row":
            continue
        repeated = count(line, "number-rows-repeated")
        cells = _cells(line, codes, by_column)
        if cells:
            for n in range(1, min(repeated, _MOST_REPEATED) + 1):
                rows.append((number + n, cells))
                total += len(cells)
            if total > _MOST_CELLS:
                break
        number += repeated
    return rows


def marks_of(table: Element, *, hidden: bool) -> Marks:
    """Which of a table's rows and columns are hidden, and the remarks on its cells."""
    rows: set[int] = set()
    told: list[tuple[str, str]] = []
    number = 0
    for line in (e for e in table.iter() if local(e.tag) == "table-row"):
        repeated = count(line, "number-rows-repeated")
        if attribute(line, "visibility") in _NOT_SHOWN:
            rows.update(range(number + 1, number + 1 + min(repeated, _MOST_REPEATED)))
        at = 0
        for cell in line:
            told += [(f"{column(at)}{number + 1}", text) for text in remarks(cell)]
            at += count(cell, "number-columns-repeated")
        number += repeated
    columns = frozenset(n for n, (_, shown) in enumerate(_columns(table)) if not shown)
    return Marks(hidden, frozenset(rows), columns, tuple(told))


def _columns(table: Element) -> Iterator[tuple[str, bool]]:
    """Of each column, the first ones alone, the style of its cells and whether it is shown."""
    left = _MOST_COLUMNS
    for element in (e for e in table.iter() if local(e.tag) == "table-column"):
        repeated = min(count(element, "number-columns-repeated"), left)
        left -= repeated
        shown = attribute(element, "visibility") not in _NOT_SHOWN
        yield from [(attribute(element, "default-cell-style-name"), shown)] * repeated


def _cells(line: Element, codes: Mapping[str, str], by_column: Sequence[str]) -> list[str]:
    cells: list[str] = []
    for cell in line:
        if local(cell.tag) in ("table-cell", "covered-table-cell"):
            text = " ".join(text_of(e) for e in cell if local(e.tag) in ("p", "h", "list"))
            style = attribute(cell, "style-name") or attribute(line, "default-cell-style-name")
            style = style or (by_column[len(cells)] if len(cells) < len(by_column) else "")
            text = _as_shown(cell, text, codes.get(style, ""))
            cells += [text] * min(count(cell, "number-columns-repeated"), _MOST_COLUMNS - len(cells))
    while cells and not cells[-1]:
        cells.pop()
    return cells


def _as_shown(cell: Element, text: str, code: str) -> str:
    """A cell's text as its program writes it; where another one wrote none, or the bare number, what its value and
    style make of it."""
    stated = attribute(cell, "value")
    if not stated:
        return text or next(filter(None, (attribute(cell, name) for name in _VALUES)), "")
    try:
        value = float(stated)
    except ValueError:
        return text or stated
    if not isfinite(value) or text not in ("", stated, numbers.general(value)):
        return text
    if not code and attribute(cell, "value-type") == "percentage":
        code = "General%"
    return numbers.shown(value, code) if code else text or numbers.general(value)


def codes_of(*roots: Element) -> dict[str, str]:
    """The number formats of the styles of cells, by name, as spreadsheets of other kinds write them; those of numbers,
    percentages and amounts of money alone."""
    formats: dict[str, str] = {}
    styles: dict[str, tuple[str, str]] = {}
    for element in (e for root in roots for e in root.iter()):
        kind, name = local(element.tag), attribute(element, "name")
        if kind in ("number-style", "percentage-style", "currency-style"):
            conditional = any(local(part.tag) == "map" for part in element)  # another one for some numbers
            formats[name] = "" if conditional else "".join(map(_part_of_code, element))
        elif kind == "style" and attribute(element, "family") == "table-cell":
            styles[name] = attribute(element, "data-style-name"), attribute(element, "parent-style-name")
    own = {name: formats.get(format_, "") for name, (format_, _) in styles.items()}
    return {name: code for name, (_, above) in styles.items() if (code := own[name] or own.get(above, ""))}


def _part_of_code(element: Element) -> str:
    kind = local(element.tag)
    if kind == "number":
        stated = attribute(element, "decimal-places")
        places = min(int(stated), _MOST_PLACES) if stated.isascii() and stated.isdigit() else 0
        grouped = "#,##" if attribute(element, "grouping") == "true" else ""
        return f"{grouped}0{'.' * bool(places)}{'0' * places}"
    if kind in ("text", "currency-symbol"):
        text = (element.text or "").replace('"', "")
        return text if text.strip() == "%" else f'"{text}"'
    return ""
