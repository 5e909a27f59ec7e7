"""Passages, read as slices of the canonical text."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rag.errors import LibraryDamaged
from rag.store.database import Database
from rag.types import Passage, Place

PART = 4096
"""Characters of canonical text in one row: a passage of 1,000 lies in one or two."""

_COLUMNS = """SELECT p.id, p.document_id, d.source, d.title, p.ordinal, p.start, p.stop, p.page, p.heading, p.places,
    (SELECT key FROM content WHERE content.id = p.content_id)
    FROM passage p JOIN document d ON d.id = p.document_id"""

_KINDS = (int, int, str, str, int, int, int, int | None, str, str, bytes)
_MOST_PARTS = 4096
"""More than any passage has; a damaged row may say so."""


def text_key(index_text: str) -> bytes:
    """The 16-byte BLAKE2b hash of an index text: equal texts share one vector, and a changed one is found out."""
    return blake2b(index_text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class Home(NamedTuple):
    """A document and its passages, which are numbered without a gap: ``size`` of them from ``first`` on."""

    document: int
    first: int
    size: int


class Passages:
    """A library's passages, read."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, ids: Sequence[int]) -> dict[int, Passage]:
        """The passages of these numbers, in the order asked for; numbers that are gone are left out."""
        if not ids:
            return {}
        with self._database.reading() as connection:
            rows = connection.execute(
                f"{_COLUMNS} WHERE p.id IN (SELECT value FROM json_each(?))", (numbers(ids),)
            ).fetchall()
            found = {passage.id: passage for passage in build(connection, rows)}
        return {number: found[number] for number in dict.fromkeys(ids) if number in found}

    def homes(self, ids: Sequence[int]) -> dict[int, Home]:
        """Where each of these passages belongs; those gone are left out."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT p.id, d.id, p.id - p.ordinal, d.passages FROM json_each(?) JOIN passage p ON p.id = value"
                " JOIN document d ON d.id = p.document_id",
                (numbers(ids),),
            )
            return {number: Home(*home) for number, *home in rows}

    def numbers_in(self, document_ids: Sequence[int]) -> npt.NDArray[np.int64]:
        """The numbers of all passages of these documents, ascending."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT id FROM passage WHERE document_id IN (SELECT value FROM json_each(?)) ORDER BY id",
                (numbers(document_ids),),
            ).fetchall()
        return np.array(rows, dtype=np.int64).reshape(-1)

    def neighbours(self, passage: Passage) -> tuple[Passage | None, Passage | None]:
        """The passages before and after this one in its document."""
        with self._database.reading() as connection:
            rows = connection.execute(
                f"{_COLUMNS} WHERE p.document_id = ? AND p.ordinal IN (?, ?)",
                (passage.document_id, passage.ordinal - 1, passage.ordinal + 1),
            ).fetchall()
            found = {other.ordinal: other for other in build(connection, rows)}
        return found.get(passage.ordinal - 1), found.get(passage.ordinal + 1)

    def of(self, document_id: int) -> tuple[Passage, ...]:
        """Every passage of a document, in order."""
        with self._database.reading() as connection:
            return tuple(of_document(connection, document_id))


def numbers(ids: Iterable[int]) -> str:
    """Numbers as the JSON list that ``json_each`` takes, which unlike parameters has no limit."""
    return json.dumps([int(number) for number in ids])


def build(connection: sqlite3.Connection, rows: Iterable[tuple[Any, ...]], *, as_found: bool = False) -> list[Passage]:
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
            _slice(texts, document, start, stop), page, _heading(heading), _places(places),
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


def changed(source: str) -> LibraryDamaged:
    """The error of a document whose text is not what was put in."""
    return LibraryDamaged(
        f"The stored text of {source} is damaged: it is not what was put in.",
        hint=f"Run `rag remove {source}` and ingest the file again, or restore the library's folder from a backup.",
    )


def of_document(connection: sqlite3.Connection, document_id: int, *, as_found: bool = False) -> list[Passage]:
    """Every passage of a document in the state that ``connection`` sees, in order; see ``build``."""
    rows = connection.execute(f"{_COLUMNS} WHERE p.document_id = ? ORDER BY p.ordinal", (document_id,))
    return build(connection, rows, as_found=as_found)


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


def _read_parts(connection: sqlite3.Connection, document: int, wanted: set[int]) -> list[tuple[int, str]]:
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


def _heading(stored: str) -> tuple[str, ...]:
    """A heading path; of a damaged row an empty one, which its passage's hash gives away."""
    try:
        return tuple(map(str, json.loads(stored)))
    except (ValueError, TypeError):
        return ()


def stored(places: Iterable[Place]) -> str:
    """Places as a row of the truth holds them; what is as usual is left out."""
    return json.dumps([_row(place) for place in places], ensure_ascii=False, separators=(",", ":"))


def _row(place: Place) -> list[int | str]:
    row: list[int | str] = [place.number, place.start, place.end, place.kind, place.label]
    return row if place.label else row[:4] if place.kind != "page" else row[:3]


def _places(stored: str) -> tuple[Place, ...]:
    """A passage's places; of a damaged row none, so that it is still told by its page and heading."""
    try:
        return tuple(Place(*row) for row in json.loads(stored))
    except (ValueError, TypeError):
        return ()


def _slice(texts: dict[tuple[int, int], str], document: int, start: int, stop: int) -> str:
    first = start // PART
    whole = "".join(texts.get((document, part), "") for part in _parts(start, stop))
    return whole[start - first * PART : stop - first * PART]


def _parts(start: int, stop: int) -> range:
    """The rows of text that a passage lies in."""
    first = start // PART
    return range(first, min((stop - 1) // PART + 1, first + _MOST_PARTS) if stop > start >= 0 else first)
