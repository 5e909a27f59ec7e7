"""Numbers of a spreadsheet as it shows them: 0.25 under the format ``0 %`` is "25 %" to whoever reads the sheet."""

from __future__ import annotations

import re
from functools import cache

from rag.documents.archive import Archive, local

BUILT_IN = {
    1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 9: "0%", 10: "0.00%", 11: "0.00E+00",
    37: "#,##0;(#,##0)", 38: "#,##0;(#,##0)", 39: "#,##0.00;(#,##0.00)", 40: "#,##0.00;(#,##0.00)",
    41: "#,##0;-#,##0;-", 43: "#,##0.00;-#,##0.00;-",
}  # fmt: skip
"""The formats that Excel knows without being told, by number."""
GENERAL = ("General", "@")
"""The formats under which a number is shown as it is."""
_CELL = re.compile(
    rb'<(?:\w+:)?c\b(?=[^>]*\br="([A-Z]{1,3})(\d{1,7})")(?=[^>]*\bs="(\d{1,6})")(?![^>]*\bt="(?!n"))[^>]*>'
)
_TOKEN = re.compile(
    r'"([^"]*)"|\\(.)|_.|\*.|\[\$([^\]-]*)(?:-[^\]]*)?\]|\[[^\]]*\]|([#0?][#0?,.]*(?:[eE][+-][#0?]+)?|\.[#0?]+)|(General)|(%)|([^;])'
)
_EXACT = 2**53
_DATE = re.compile(r"[ymdhs]", re.I)


class Formats:
    """The number formats of a workbook's cells; those of a sheet are read when first asked for."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._codes = _codes(archive)
        self._parts = _sheet_parts(archive)
        self._sheets: dict[str, dict[tuple[int, int], str]] = {}

    def code(self, sheet: str, row: int, column: int) -> str:
        """The format of the cell in row (from 1) and column (from 0); "" for a general one."""
        if sheet not in self._sheets:
            self._sheets[sheet] = self._read(self.part(sheet))
        return self._sheets[sheet].get((row, column), "")

    def part(self, sheet: str) -> str:
        """The part of the archive that holds a sheet; "" if none is known to."""
        return self._parts.get(sheet, "")

    def _read(self, part: str) -> dict[tuple[int, int], str]:
        if part not in self._archive.names:
            return {}
        found = {}
        for letters, row, style in _CELL.findall(self._archive.read(part)):
            code = self._codes[int(style)] if int(style) < len(self._codes) else ""
            if code:
                found[int(row), _index(letters)] = code
        return found


def xlsx_formats(archive: Archive) -> Formats | None:
    """The formats of a workbook, if it is of the kind that tells them (xlsx)."""
    return Formats(archive) if "xl/workbook.xml" in archive.names else None


def shown(value: float, code: str) -> str:
    """A number under a format; as it is under one that is no number's (a date's, a fraction's)."""
    sections = _sections(code)
    if value < 0 and len(sections) > 1:
        section, value = sections[1], -value
    elif value == 0 and len(sections) > 2:
        section = sections[2]
    else:
        section = sections[0]
    plain = "".join(text for kind, text in section if kind == "text")
    if "/" in plain or (_DATE.search(plain) and not any(kind == "number" for kind, _ in section)):
        return general(value)
    value *= 100 ** sum(kind == "percent" for kind, _ in section)
    parts, used = [], False
    for kind, text in section:
        if kind == "percent":
            parts.append("%")
        elif kind in ("number", "general"):
            parts.append("" if used else general(abs(value)) if kind == "general" else _digits(abs(value), text))
            used = True
        else:
            parts.append(text)
    sign = "-" if value < 0 and used else ""
    return " ".join((sign + "".join(parts)).split()) if used or parts else general(value)


def general(value: float) -> str:
    """A number without a format of its own; a whole one with all its digits, as far as it is known to the last."""
    return f"{value:.0f}" if abs(value) < _EXACT and value == int(value) else f"{value:.15g}"


def _digits(value: float, pattern: str) -> str:
    body, _, exponent = pattern.upper().partition("E")
    scaled = body.rstrip(",")
    value /= 1000 ** (len(body) - len(scaled))
    whole, _, decimals = scaled.partition(".")
    places = sum(c in "0#?" for c in decimals)
    if exponent:
        return f"{value:.{places}E}"
    text = f"{value:{',' if ',' in whole else ''}.{places}f}"
    spare = len(decimals) - len(decimals.rstrip("#"))
    while spare and text.endswith("0") and "." in text:
        text, spare = text[:-1], spare - 1
    text = text.rstrip(".")
    least = whole.count("0")
    left, dot, right = text.partition(".")
    return left.rjust(least, "0") + dot + right if "," not in left else text


@cache
def _sections(code: str) -> tuple[tuple[tuple[str, str], ...], ...]:
    """Each part of a format (positive, negative, zero) as kinds and texts."""
    sections: list[list[tuple[str, str]]] = [[]]
    at = 0
    while at < len(code):
        match = _TOKEN.match(code, at)
        if match is None:
            sections.append([])
            at += 1
            continue
        at = match.end()
        quoted, escaped, money, number, any_number, percent, other = match.groups()
        if number:
            sections[-1].append(("number", number))
        elif any_number:
            sections[-1].append(("general", ""))
        elif percent:
            sections[-1].append(("percent", "%"))
        elif text := quoted or escaped or money or other:
            sections[-1].append(("text", text))
    return tuple(tuple(section) for section in sections)


def _codes(archive: Archive) -> list[str]:
    """The format of each cell style, "" where it is general or a text's."""
    if "xl/styles.xml" not in archive.names:
        return []
    own = dict(BUILT_IN)
    styles: list[str] = []
    root = archive.xml("xl/styles.xml")
    for element in root.iter():
        if local(element.tag) == "numFmt" and element.get("numFmtId", "").isdigit():
            own[int(element.get("numFmtId", "0"))] = element.get("formatCode", "")[:200]
    for group in root:
        if local(group.tag) == "cellXfs":
            ids = (element.get("numFmtId", "0") for element in group)
            styles = [own.get(int(number) if number.isdigit() else 0, "") for number in ids]
    return ["" if code in GENERAL else code for code in styles]


def _sheet_parts(archive: Archive) -> dict[str, str]:
    """The part of the archive that holds each sheet, by the sheet's name."""
    if "xl/_rels/workbook.xml.rels" not in archive.names:
        return {}
    targets = {e.get("Id"): e.get("Target", "") for e in archive.xml("xl/_rels/workbook.xml.rels")}
    parts = {}
    for element in archive.xml("xl/workbook.xml").iter():
        if local(element.tag) == "sheet":
            key = next((value for name, value in element.attrib.items() if name.endswith("}id")), None)
            target = targets.get(key, "")
            parts[element.get("name", "")] = target[1:] if target.startswith("/") else f"xl/{target}"
    return parts


def _index(letters: bytes) -> int:
    index = 0
    for letter in letters:
        index = 26 * index + letter - 64
    return index - 1
