"""Passages, read as slices of the canonical text."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from rag.store.database import Database
from rag.types import Passage

PART = 4096
"""Characters of canonical text in one row: a passage of 1,000 lies in one or two."""

_COLUMNS = """SELECT p.id, p.document_id, d.source, d.title, p.ordinal, p.start, p.stop, p.page, p.heading
    FROM passage p JOIN document d ON d.id = p.document_id"""


class Passages(Database):
    """The part of the truth that reads passages."""

    def passages(self, ids: Sequence[int]) -> dict[int, Passage]:
        """The passages of these numbers, in the order asked for; numbers that are gone are left out."""
        if not ids:
            return {}
        with self.reading() as connection:
            rows = connection.execute(
                f"{_COLUMNS} WHERE p.id IN (SELECT value FROM json_each(?))", (numbers(ids),)
            ).fetchall()
            found = {passage.id: passage for passage in build(connection, rows)}
        return {number: found[number] for number in dict.fromkeys(ids) if number in found}

    def homes(self, ids: Sequence[int]) -> dict[int, tuple[int, int]]:
        """For each of these passages its document's id and how many passages that has; those gone are left out."""
        with self.reading() as connection:
            rows = connection.execute(
                "SELECT p.id, d.id, d.passages FROM json_each(?) JOIN passage p ON p.id = value"
                " JOIN document d ON d.id = p.document_id",
                (numbers(ids),),
            )
            return {number: (document, count) for number, document, count in rows}

    def neighbours(self, passage: Passage) -> tuple[Passage | None, Passage | None]:
        """The passages before and after this one in its document."""
        with self.reading() as connection:
            rows = connection.execute(
                f"{_COLUMNS} WHERE p.document_id = ? AND p.ordinal IN (?, ?)",
                (passage.document_id, passage.ordinal - 1, passage.ordinal + 1),
            ).fetchall()
            found = {other.ordinal: other for other in build(connection, rows)}
        return found.get(passage.ordinal - 1), found.get(passage.ordinal + 1)

    def document_passages(self, document_id: int) -> tuple[Passage, ...]:
        """Every passage of a document, in order."""
        with self.reading() as connection:
            return tuple(of_document(connection, document_id))


def numbers(ids: Iterable[int]) -> str:
    """Numbers as the JSON list that ``json_each`` takes, which unlike parameters has no limit."""
    return json.dumps([int(number) for number in ids])


def build(connection: sqlite3.Connection, rows: Iterable[tuple[Any, ...]]) -> list[Passage]:
    """Passages from rows of passage and document, with their slices of text."""
    rows = list(rows)
    parts: dict[int, set[int]] = defaultdict(set)
    for row in rows:
        if row[6] > row[5]:
            parts[row[1]].update(range(row[5] // PART, (row[6] - 1) // PART + 1))
    texts = {
        (document, part): text for document, wanted in parts.items()
        for part, text in _read_parts(connection, document, wanted)
    }  # fmt: skip
    return [
        Passage(number, document, source, title, ordinal, start, stop,
                _slice(texts, document, start, stop), page, tuple(json.loads(heading)))
        for number, document, source, title, ordinal, start, stop, page, heading in rows
    ]  # fmt: skip


def of_document(connection: sqlite3.Connection, document_id: int) -> list[Passage]:
    """Every passage of a document in the state that ``connection`` sees, in order."""
    return build(
        connection, connection.execute(f"{_COLUMNS} WHERE p.document_id = ? ORDER BY p.ordinal", (document_id,))
    )


def of_contents(connection: sqlite3.Connection, contents: Iterable[int]) -> dict[int, Passage]:
    """One passage for each of these contents."""
    pairs = connection.execute(
        "SELECT content_id, min(id) FROM passage WHERE content_id IN (SELECT value FROM json_each(?)) GROUP BY 1",
        (numbers(contents),),
    ).fetchall()
    rows = connection.execute(
        f"{_COLUMNS} WHERE p.id IN (SELECT value FROM json_each(?))", (numbers(number for _, number in pairs),)
    )
    found = {passage.id: passage for passage in build(connection, rows)}
    return {content: found[number] for content, number in pairs}


def split_parts(text: str) -> list[bytes]:
    """Canonical text as the rows that hold it."""
    return [text[at : at + PART].encode("utf-8", "surrogatepass") for at in range(0, len(text), PART)]


def join_parts(parts: Iterable[bytes]) -> str:
    """Canonical text from its rows."""
    return "".join(part.decode("utf-8", "surrogatepass") for part in parts)


def _read_parts(connection: sqlite3.Connection, document: int, wanted: set[int]) -> list[tuple[int, str]]:
    rows = connection.execute(
        "SELECT part, data FROM text WHERE document_id = ? AND part IN (SELECT value FROM json_each(?))",
        (document, numbers(wanted)),
    )
    return [(part, join_parts([data])) for part, data in rows]


def _slice(texts: dict[tuple[int, int], str], document: int, start: int, stop: int) -> str:
    if stop <= start:
        return ""
    first = start // PART
    whole = "".join(texts[document, part] for part in range(first, (stop - 1) // PART + 1))
    return whole[start - first * PART : stop - first * PART]
