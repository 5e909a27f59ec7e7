"""Citations as chips, and where in its document one is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ui.escape import name

Record = Mapping[str, Any]

ORIGINS = {
    "attributed": ("added", "added by the check, the model cited nothing here"),
    "corrected": ("fixed", "corrected by the check, the model cited another passage"),
}
_QUOTE_SHOWN = 160


def place(item: Record, lines: Record) -> str:
    """Where in its document a citation or passage is: page, sheet or the like, else lines, else heading; escaped."""
    if item.get("place") and item["place"] != f"page {item.get('page')}":
        return name(item["place"])
    if item.get("page"):
        return f"p. {int(item['page'])}"
    key = f"{item['document_id']}:{item['start']}:{item['end']}"
    if key in lines:
        first, last = lines[key]
        return f"line {int(first)}" if first == last else f"lines {int(first)}–{int(last)}"
    headings = item.get("heading") or ()
    return f"§ {name(headings[-1])}" if headings else ""


def chip(citation: Record, turn: int, lines: Record) -> str:
    """The chip of a citation: a link to its card, with file, place and quote as tooltip."""
    return loose_chip(
        int(citation["marker"]), turn, citation, lines, citation.get("quote", ""), citation.get("origin", "")
    )


def loose_chip(number: int, turn: int, item: Record, lines: Record, quote: str, origin: str = "") -> str:
    """The chip of passage or citation ``number`` of a turn."""
    kind, why = ORIGINS.get(origin, ("", ""))
    shown = quote if len(quote) <= _QUOTE_SHOWN else quote[: _QUOTE_SHOWN - 1].rstrip() + "…"
    about = [name(item.get("source", "")), place(item, lines), f"“{name(shown)}”" if shown else "", why]
    title = " · ".join(part for part in about if part)
    return f'<a class="{f"cite {kind}".strip()}" href="#t{turn}s{number}" title="{title}">{number}</a>'
