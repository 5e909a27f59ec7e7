"""The encoder's vectors: a cache by content, and so by the hash of its text, that dies with the content."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from rag.store.tables.connection import Database, numbers
from rag.store.tables.passages import of_contents
from rag.store.truth import Encoded
from rag.types import Passage

_MISSING = """FROM content c WHERE c.collection_id = ? AND c.id > ?
    AND NOT EXISTS (SELECT 1 FROM encoding e WHERE e.content_id = c.id AND e.encoder = ?)"""


class EncodingsTables:
    """``rag.store.truth.Encodings`` in tables."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, encoder: str, passage_ids: Sequence[int]) -> dict[int, Encoded]:
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT p.id, e.known, e.data FROM json_each(?) JOIN passage p ON p.id = value"
                " JOIN encoding e ON e.content_id = p.content_id AND e.encoder = ?",
                (numbers(passage_ids), encoder),
            ).fetchall()
        return _encoded(rows)

    def pending(self, collection_id: int, encoder: str, after: int, limit: int) -> dict[int, Passage]:
        with self._database.reading() as connection:
            rows = connection.execute(
                f"SELECT c.id {_MISSING} ORDER BY c.id LIMIT ?", (collection_id, after, encoder, limit)
            )
            wanted = [number for (number,) in rows]
            found = of_contents(connection, wanted)
        return {number: found[number] for number in wanted if number in found}

    def seen_counts(self, collection_id: int, encoder: str, known: float) -> tuple[int, int]:
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT count(*), coalesce(sum(CASE WHEN e.known < ? THEN 1 ELSE 0 END), 0) FROM content c"
                " JOIN encoding e ON e.content_id = c.id AND e.encoder = ? WHERE c.collection_id = ?",
                (known, encoder, collection_id),
            ).fetchone()
        return int(row[0]), int(row[1])

    def pending_count(self, collection_id: int, encoder: str) -> int:
        with self._database.reading() as connection:
            row = connection.execute(f"SELECT count(*) {_MISSING}", (collection_id, -1, encoder)).fetchone()
        return int(row[0])

    def content_count(self, collection_id: int) -> int:
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT count(*) FROM content WHERE collection_id = ?", (collection_id,)
            ).fetchone()
        return int(row[0])

    def put(self, encoder: str, encoded: Mapping[int, Encoded]) -> None:
        with self._database.writing() as connection:
            connection.executemany(
                "INSERT INTO encoding SELECT id, ?, ?, ? FROM content WHERE id = ?"
                " ON CONFLICT (content_id, encoder) DO UPDATE SET known = excluded.known, data = excluded.data",
                [
                    (encoder, float(one.known), one.vector.astype("<f2").tobytes(), number)
                    for number, one in encoded.items()
                ],
            )

    def drop_others(self, encoder: str) -> None:
        with self._database.writing() as connection:
            connection.execute("DELETE FROM encoding WHERE encoder <> ?", (encoder,))


def _encoded(rows: Sequence[tuple[int, object, object]]) -> dict[int, Encoded]:
    """The vectors of these rows (passage, how well it is known, data); of a damaged one nothing. All of a length are
    read at once: one by one they take three times as long."""
    by_length: defaultdict[int, list[tuple[int, float, bytes]]] = defaultdict(list)
    for number, known, data in rows:
        if isinstance(data, bytes) and isinstance(known, float):
            by_length[len(data)].append((number, known, data))
    found: dict[int, Encoded] = {}
    for length, some in by_length.items():
        if length and not length % 2:
            matrix = np.frombuffer(b"".join(data for _, _, data in some), dtype="<f2").reshape(len(some), -1)
            vectors = matrix.astype(np.float32)
            sound = np.asarray(np.isfinite(vectors).all(axis=1))
            found |= {
                number: Encoded(vector, known)
                for (number, known, _), vector, whole in zip(some, vectors, sound, strict=True)
                if whole
            }
    return found
