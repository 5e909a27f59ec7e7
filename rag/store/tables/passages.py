"""Passages, read as slices of the canonical text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from rag.store.common import changed, read_heading, read_places
from rag.store.tables.collections import revision
from rag.store.tables.connection import Connection, Database, numbers
from rag.store.truth import Home, Ids, text_key
from rag.types import Passage

PART = 4096
"""Characters of canonical text in one row: a passage of 1,000 lies in one or two."""

_COLUMNS = """SELECT p.id, p.document_id, d.source, d.title, p.ordinal, p.start, p.stop, p.page, p.heading, p.places,
    (SELECT key FROM content WHERE content.id = p.content_id)
    FROM passage p JOIN document d ON d.id = p.document_id"""

_KINDS = (int, int, str, str, int, int, int, int | None, str, str, bytes)
_MOST_PARTS = 4096
"""More than any passage has; a damaged row may say so."""


class PassagesTables:
    """``rag.store.truth.Passages`` in tables."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counts: dict[int, tuple[int, int]] = {}

    def get(self, ids: Sequence[int]) -> dict[int, Passage]:
        if not ids:
            return {}
        with self._database.reading() as connection:
            rows = connection.execute(
                f"{_COLUMNS} WHERE p.id IN (SELECT value FROM json_each(?))", (numbers(ids),)
            ).fetchall()
            found = {passage.id: passage for passage in build(connection, rows)}
        return {number: found[number] for number in dict.fromkeys(ids) if number in found}

    def homes(self, ids: Sequence[int]) -> dict[int, Home]:
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT p.id, d.id, p.id - p.ordinal, d.passages FROM json_each(?) JOIN passage p ON p.id = value"
                " JOIN document d ON d.id = p.document_id",
                (numbers(ids),),
            )
            found = {number: Home(*home) for number, *home in rows}
        return {number: found[number] for number in ids if number in found}

    def numbers_in(self, document_ids: Sequence[int]) -> Ids:
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT p.id, d.passages FROM document d JOIN passage p ON p.document_id = d.id AND p.ordinal = 0"
                " WHERE d.id IN (SELECT value FROM json_each(?)) ORDER BY p.id",
                (numbers(document_ids),),
            ).fetchall()
        firsts, sizes = np.array(rows, dtype=np.int64).reshape(-1, 2).T
        # A document's passages are numbered without a gap.
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return np.asarray(np.repeat(firsts, sizes) + within, dtype=np.int64)

    def ids(self, collection_id: int) -> Ids:
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT p.id FROM document d JOIN passage p ON p.document_id = d.id WHERE d.collection_id = ?"
                " ORDER BY p.id",
                (collection_id,),
            ).fetchall()
        return np.array(rows, dtype=np.int64).reshape(-1)

    def newer(self, collection_id: int, number: int, limit: int) -> Ids:
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT p.id FROM passage p JOIN document d ON d.id = p.document_id"
                " WHERE p.id > ? AND d.collection_id = ? ORDER BY p.id LIMIT ?",
                (number, collection_id, limit),
            ).fetchall()
        return np.array(rows, dtype=np.int64).reshape(-1)

    def count(self, collection_id: int) -> int:
        with self._database.reading() as connection:
            at = revision(connection, collection_id)
            known = self._counts.get(collection_id)
            if known is None or known[0] != at:
                row = connection.execute(
                    "SELECT coalesce(sum(passages), 0) FROM document WHERE collection_id = ?", (collection_id,)
                ).fetchone()
                self._counts[collection_id] = known = (at, int(row[0]))
        return known[1]

    def neighbours(self, passage: Passage) -> tuple[Passage | None, Passage | None]:
        with self._database.reading() as connection:
            rows = connection.execute(
                f"{_COLUMNS} WHERE p.document_id = ? AND p.ordinal IN (?, ?)",
                (passage.document_id, passage.ordinal - 1, passage.ordinal + 1),
            ).fetchall()
            found = {other.ordinal: other for other in build(connection, rows)}
        return found.get(passage.ordinal - 1), found.get(passage.ordinal + 1)

    def of(self, document_id: int, limit: int | None = None) -> tuple[Passage, ...]:
        with self._database.reading() as connection:
            return tuple(of_document(connection, document_id, limit=limit))


def build(connection: Connection, rows: Iterable[tuple[Any, ...]], *, as_found: bool = False) -> list[Passage]:
    """Passages from rows of passage and document, with their slices of text.

    Each is proven by the hash of what was put in. Raises LibraryDamaged for one that is not what it was, unless it is
    wanted ``as_found``, to save what is left of it.
    """
    rows = [row for row in rows if _sound(row, as_found=as_found)]
    parts: dict[int, set[int]] = defaultdict(set)
    for row in rows:
        parts[row[1]].update(_parts(row[5], row[6]))
    texts = {
        (document, part): text for document, wanted in parts.items()
        for part, text in _read_parts(connection, document, wanted)
    }  # fmt: skip
    found = []
    for number, document, source, title, ordinal, start, stop, page, heading, places, key in rows:
        passage = Passage(
            number, document, source, title, ordinal, start, stop,
            _slice(texts, document, start, stop), page, read_heading(heading), read_places(places),
        )  # fmt: skip
        if not as_found and text_key(passage.index_text) != key:
            raise changed(source)
        found.append(passage)
    return found


def _sound(row: tuple[Any, ...], *, as_found: bool) -> bool:
    """Whether the row holds what its columns are for: SQLite lets a damaged one hold anything."""
    sound = all(isinstance(value, kind) for value, kind in zip(row, _KINDS, strict=True))
    if not sound and not as_found:
        raise changed(str(row[2]))
    return sound


def of_document(
    connection: Connection, document_id: int, *, as_found: bool = False, limit: int | None = None
) -> list[Passage]:
    """Every passage of a document, or the first ``limit``, in the state that ``connection`` sees, in order; see
    ``build``."""
    some, values = ("", ()) if limit is None else (" LIMIT ?", (limit,))
    rows = connection.execute(f"{_COLUMNS} WHERE p.document_id = ? ORDER BY p.ordinal{some}", (document_id, *values))
    return build(connection, rows, as_found=as_found)


def of_contents(connection: Connection, contents: Iterable[int]) -> dict[int, Passage]:
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


def _read_parts(connection: Connection, document: int, wanted: set[int]) -> list[tuple[int, str]]:
    rows = connection.execute(
        "SELECT part, data FROM text WHERE document_id = ? AND part IN (SELECT value FROM json_each(?))",
        (document, numbers(wanted)),
    )
    return [(part, decoded(data)) for part, data in rows]


def decoded(data: object) -> str:
    """The text of a row; of a damaged one something else, which the hashes of its passages give away."""
    if not isinstance(data, bytes):
        return ""
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace")


def _slice(texts: dict[tuple[int, int], str], document: int, start: int, stop: int) -> str:
    first = start // PART
    whole = "".join(texts.get((document, part), "") for part in _parts(start, stop))
    return whole[start - first * PART : stop - first * PART]


def _parts(start: int, stop: int) -> range:
    """The rows of text that a passage lies in."""
    first = start // PART
    return range(first, min((stop - 1) // PART + 1, first + _MOST_PARTS) if stop > start >= 0 else first)
