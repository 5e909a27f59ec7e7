"""Rows of tables that an answer cites, shown as tables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ui.chips import Record, chip
from ui.escape import inert, name

_RULE = re.compile(r"\|(?:\s*:?-+:?\s*\|)+\s*")
_CELL = re.compile(r"(?<!\\)\|")
_MOST = 6
"""Tables below one answer."""


@dataclass(slots=True)
class _Table:
    """The head of a table and those of its rows that are cited, by where they begin, each with its citation."""

    source: str
    head: Sequence[str]
    rows: dict[int, tuple[Sequence[str], Record]] = field(default_factory=dict)


def cited_rows(record: Record, turn: int) -> str:
    """The table rows that the answer's citations lie in, below their heads; nothing of those it quotes as a table."""
    if "\n|" in f"\n{record.get('text', '')}":
        return ""
    passages = {hit["passage"]["id"]: hit["passage"] for hit in record.get("hits", ())}
    tables: dict[tuple[int, tuple[str, ...]], _Table] = {}
    for citation in record.get("citations", ()):
        passage = passages.get(citation["passage_id"])
        for start, head, row in _rows(passage, citation) if passage is not None else ():
            key = (citation["document_id"], tuple(head))
            tables.setdefault(key, _Table(citation["source"], head)).rows.setdefault(start, (row, citation))
    return "".join(_html(table, record, turn) for table in list(tables.values())[:_MOST])


def _rows(passage: Record, citation: Record) -> Iterator[tuple[int, list[str], list[str]]]:
    """The rows of a passage's tables that a citation touches: where each begins, its head's cells and its own."""
    at, before = int(passage["start"]), ""
    head: list[str] = []
    for line in passage["text"].splitlines(keepends=True):
        start, at = at, at + len(line)
        text = line.strip()
        if not text.startswith("|"):
            head = []
        elif _RULE.fullmatch(text):
            head = _cells(before)
        elif head and start < citation["end"] and citation["start"] < start + len(line.rstrip()):
            yield start, head, _cells(text)
        before = text


def _cells(line: str) -> list[str]:
    return [cell.strip().replace("\\|", "|") for cell in _CELL.split(line.strip().removeprefix("|").removesuffix("|"))]


def _html(table: _Table, record: Record, turn: int) -> str:
    head = "".join(f"<th>{inert(cell)}</th>" for cell in table.head)
    rows = []
    for _, (cells, citation) in sorted(table.rows.items()):
        link = chip(citation, turn, record.get("lines", {}))
        body = "".join(f"<td>{inert(cell)}</td>" for cell in cells[: len(table.head)])
        rows.append(f"<tr>{body}<td>{link}</td></tr>")
    return (
        f'<div class="rows"><p>From a table of {name(table.source)}</p><table><thead><tr>{head}<td></td></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )
