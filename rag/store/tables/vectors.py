"""Vectors by generation: the set a collection is searched with, and the next one while it is being made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rag.errors import StoreError
from rag.store.common import ROUNDING, damaged_vectors, matrix_of, unit_bytes
from rag.store.tables.collections import find_collection, insert_generation, touch
from rag.store.tables.connection import Connection, Database, numbers
from rag.store.tables.passages import of_contents
from rag.store.truth import Collection, EmbedderInfo, Ids, Vector

_STEP = 4096
_MISSING = """FROM content c WHERE c.collection_id = ?
    AND NOT EXISTS (SELECT 1 FROM vector v WHERE v.generation = ? AND v.content_id = c.id)"""


class VectorsTables:
    """``rag.store.truth.Vectors`` in tables."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def known(self, generation: int, keys: Sequence[bytes]) -> dict[bytes, Vector]:
        with self._database.reading() as connection:
            find = (
                "SELECT v.data FROM generation g JOIN content c ON c.collection_id = g.collection_id AND c.key = ?"
                " JOIN vector v ON v.generation = g.id AND v.content_id = c.id WHERE g.id = ?"
            )
            rows = ((key, connection.execute(find, (key, generation)).fetchone()) for key in dict.fromkeys(keys))
            return {key: _vector(row[0]) for key, row in rows if row is not None}

    def of_document(self, generation: int, document_id: int) -> dict[bytes, Vector]:
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT c.key, v.data FROM passage p JOIN content c ON c.id = p.content_id"
                " JOIN vector v ON v.generation = ? AND v.content_id = c.id WHERE p.document_id = ?",
                (generation, document_id),
            )
            return {key: _vector(data) for key, data in rows}

    def all(self, collection_id: int) -> tuple[Ids, Vector]:
        with self._database.reading() as connection:
            return all_vectors(connection, find_collection(connection, collection_id))

    def some(self, collection_id: int, ids: Sequence[int]) -> tuple[Ids, Vector]:
        with self._database.reading() as connection:
            return some_vectors(connection, find_collection(connection, collection_id), ids)

    def begin(self, collection: Collection, embedder: EmbedderInfo) -> int:
        with self._database.writing() as connection:
            current = find_collection(connection, collection.id).generation
            rows = connection.execute(
                "SELECT id, embedder, digest, dimension, query_prefix, document_prefix FROM generation"
                " WHERE collection_id = ? AND id <> ?",
                (collection.id, current),
            ).fetchall()
            for number, *described in rows:
                if EmbedderInfo(*described) == embedder:
                    return int(number)
                _drop(connection, number)
            return insert_generation(connection, collection.id, embedder)

    def unfinished(self, collection_id: int) -> EmbedderInfo | None:
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT embedder, digest, dimension, query_prefix, document_prefix FROM generation"
                " WHERE collection_id = ? AND id <> ?",
                (collection_id, find_collection(connection, collection_id).generation),
            ).fetchone()
        return EmbedderInfo(*row) if row is not None else None

    def pending(self, generation: int, limit: int) -> list[tuple[bytes, str]]:
        with self._database.reading() as connection:
            owner = _collection_of(connection, generation)
            rows = connection.execute(f"SELECT c.id, c.key {_MISSING} LIMIT ?", (owner, generation, limit)).fetchall()
            texts = of_contents(connection, [number for number, _ in rows])
        return [(key, texts[number].index_text) for number, key in rows]

    def pending_count(self, generation: int) -> int:
        with self._database.reading() as connection:
            return _missing(connection, generation)

    def unsound(self, generation: int) -> int:
        with self._database.reading() as connection:
            return _missing(connection, generation) + len(_not_unit(connection, generation))

    def drop_unsound(self, generation: int) -> None:
        with self._database.writing() as connection:
            connection.execute(
                "DELETE FROM vector WHERE generation = ? AND content_id IN (SELECT value FROM json_each(?))",
                (generation, numbers(_not_unit(connection, generation))),
            )
            touch(connection, _collection_of(connection, generation))

    def put(self, generation: int, vectors: Mapping[bytes, npt.NDArray[Any]]) -> None:
        with self._database.writing() as connection:
            owner = _collection_of(connection, generation)
            (dimension,) = connection.execute("SELECT dimension FROM generation WHERE id = ?", (generation,)).fetchone()
            connection.executemany(
                "INSERT INTO vector SELECT ?, id, ? FROM content WHERE collection_id = ? AND key = ?"
                " ON CONFLICT (generation, content_id) DO UPDATE SET data = excluded.data",
                [(generation, unit_bytes(vector, dimension), owner, key) for key, vector in vectors.items()],
            )

    def promote(self, generation: int) -> None:
        with self._database.writing() as connection:
            owner = _collection_of(connection, generation)
            if missing := _missing(connection, generation):
                raise StoreError(
                    f"{missing} passages are not embedded anew yet.", hint="Run `rag reindex` again to finish."
                )
            old = find_collection(connection, owner).generation
            if old == generation:
                return
            connection.execute("UPDATE collection SET generation = ? WHERE id = ?", (generation, owner))
            _drop(connection, old)
            touch(connection, owner)


def all_vectors(connection: Connection, collection: Collection) -> tuple[Ids, Vector]:
    """Every passage's number, ascending, and its unit vector, in the state that ``connection`` sees."""
    pairs = _array(connection.execute(
        "SELECT p.id, p.content_id FROM document d JOIN passage p ON p.document_id = d.id WHERE d.collection_id = ?"
        " ORDER BY p.id", (collection.id,),
    ).fetchall())  # fmt: skip
    (count,) = connection.execute(
        "SELECT count(*) FROM vector WHERE generation = ?", (collection.generation,)
    ).fetchone()
    rows = connection.execute(
        "SELECT content_id, data FROM vector WHERE generation = ? ORDER BY content_id", (collection.generation,)
    )
    contents = np.empty(count, dtype=np.int64)
    matrix = np.empty((count, collection.embedder.dimension), dtype=np.float32)
    at = 0
    while chunk := rows.fetchmany(_STEP):
        contents[at : at + len(chunk)] = [number for number, _ in chunk]
        matrix[at : at + len(chunk)] = matrix_of([data for _, data in chunk], collection)
        at += len(chunk)
    places = np.searchsorted(contents, pairs[:, 1])
    if not np.array_equal(contents[np.minimum(places, count - 1)] if count else contents, pairs[:, 1]):
        raise damaged_vectors(collection)
    if len(places) == count and np.array_equal(places, np.arange(count)):
        return pairs[:, 0], matrix
    return pairs[:, 0], matrix[places]


def some_vectors(connection: Connection, collection: Collection, ids: Sequence[int]) -> tuple[Ids, Vector]:
    """The numbers and unit vectors of these passages, as far as they exist, in ascending order."""
    rows = connection.execute(
        "SELECT p.id, v.data FROM passage p JOIN document d ON d.id = p.document_id AND d.collection_id = ?"
        " JOIN vector v ON v.generation = ? AND v.content_id = p.content_id"
        " WHERE p.id IN (SELECT value FROM json_each(?)) ORDER BY p.id",
        (collection.id, collection.generation, numbers(ids)),
    ).fetchall()
    found = np.array([number for number, _ in rows], dtype=np.int64)
    return found, matrix_of([data for _, data in rows], collection)


def _array(pairs: list[tuple[int, int]]) -> Ids:
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _vector(data: bytes) -> Vector:
    return np.frombuffer(data, dtype="<f4")


def _collection_of(connection: Connection, generation: int) -> int:
    row = connection.execute("SELECT collection_id FROM generation WHERE id = ?", (generation,)).fetchone()
    if row is None:
        raise StoreError(f"There is no generation {generation}.", hint="Start again with `rag reindex`.")
    return int(row[0])


def _missing(connection: Connection, generation: int) -> int:
    owner = _collection_of(connection, generation)
    return int(connection.execute(f"SELECT count(*) {_MISSING}", (owner, generation)).fetchone()[0])


def _not_unit(connection: Connection, generation: int) -> list[int]:
    """The contents whose vector in a generation is none of its dimension, or neither of unit length nor zero."""
    (dimension,) = connection.execute("SELECT dimension FROM generation WHERE id = ?", (generation,)).fetchone()
    rows = connection.execute("SELECT content_id, data FROM vector WHERE generation = ?", (generation,))
    return [number for number, data in rows if not _is_unit(data, dimension)]


def _is_unit(data: object, dimension: int) -> bool:
    if not isinstance(data, bytes) or len(data) != 4 * dimension:
        return False
    with np.errstate(over="ignore", invalid="ignore"):
        row = _vector(data)
        length = float(row @ row)
    return length == 0 or abs(length - 1) < ROUNDING


def _drop(connection: Connection, generation: int) -> None:
    connection.execute("DELETE FROM vector WHERE generation = ?", (generation,))
    connection.execute("DELETE FROM generation WHERE id = ?", (generation,))
