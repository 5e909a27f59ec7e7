"""The truth's rows about the dense indexes: where each lies, whether it is settled, what it has still to be told."""

from __future__ import annotations

from dataclasses import dataclass

from rag.store.audit import expect_current
from rag.store.catalog import Collection
from rag.store.documents import Vector
from rag.store.exact import Ids
from rag.store.generations import some_vectors
from rag.store.truth import Truth


@dataclass(frozen=True, slots=True)
class Pointer:
    """The folder of a collection's index, the generation it holds, and the fingerprint of its settled files."""

    folder: str
    generation: int
    dirty: bool
    manifest: str


@dataclass(frozen=True, slots=True)
class Changes:
    """Some of what an index has still to be told, up to the change ``last``, ``count`` of them."""

    count: int
    last: int
    ids: Ids
    vectors: Vector
    removed: tuple[int, ...]


class Pointers:
    """Reads and writes those rows."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth

    def get(self, collection_id: int) -> Pointer | None:
        """The pointer of a collection, or None before its first index."""
        with self._truth.reading() as connection:
            row = connection.execute(
                "SELECT folder, generation, dirty, manifest FROM dense WHERE collection_id = ?", (collection_id,)
            ).fetchone()
        return None if row is None else Pointer(row[0], row[1], bool(row[2]), row[3])

    def begin(self, collection_id: int) -> None:
        """Note, durably, that the index is about to be touched."""
        with self._truth.writing() as connection:
            connection.execute("UPDATE dense SET dirty = 1 WHERE collection_id = ?", (collection_id,))

    def settle(self, collection_id: int, manifest: str) -> None:
        """Note that the index lies on the disk with these files."""
        with self._truth.writing() as connection:
            connection.execute(
                "UPDATE dense SET dirty = 0, manifest = ? WHERE collection_id = ?", (manifest, collection_id)
            )

    def switch(self, collection: Collection, folder: str, manifest: str, last: int) -> None:
        """Point to a new index, which knows every change up to ``last``.

        Raises Outdated.
        """
        with self._truth.writing() as connection:
            expect_current(connection, collection)
            connection.execute(
                "INSERT OR REPLACE INTO dense VALUES (?, ?, ?, 0, ?)",
                (collection.id, folder, collection.generation, manifest),
            )
            connection.execute("DELETE FROM outbox WHERE collection_id = ? AND seq <= ?", (collection.id, last))

    def changes(self, collection: Collection, limit: int) -> Changes | None:
        """The oldest changes the index has not been told, or None when there are none. Raises Outdated."""
        with self._truth.reading() as connection:
            expect_current(connection, collection)
            rows = connection.execute(
                "SELECT seq, passage_id, removed FROM outbox WHERE collection_id = ? ORDER BY seq LIMIT ?",
                (collection.id, limit),
            ).fetchall()
            if not rows:
                return None
            removed = tuple(passage for _, passage, gone in rows if gone)
            ids, vectors = some_vectors(connection, collection, [passage for _, passage, gone in rows if not gone])
        return Changes(len(rows), rows[-1][0], ids, vectors, removed)

    def told(self, collection_id: int, last: int) -> None:
        """Forget the changes up to ``last``."""
        with self._truth.writing() as connection:
            connection.execute("DELETE FROM outbox WHERE collection_id = ? AND seq <= ?", (collection_id, last))

    def last_change(self, collection_id: int) -> int:
        """The newest change waiting, 0 when there is none."""
        with self._truth.reading() as connection:
            row = connection.execute("SELECT max(seq) FROM outbox WHERE collection_id = ?", (collection_id,)).fetchone()
        return int(row[0] or 0)

    def unsettled(self) -> list[int]:
        """The collections whose index was left dirty or has changes waiting."""
        with self._truth.reading() as connection:
            rows = connection.execute(
                "SELECT id FROM collection WHERE id IN (SELECT collection_id FROM dense WHERE dirty)"
                " OR id IN (SELECT collection_id FROM outbox)"
            ).fetchall()
        return [row[0] for row in rows]

    def prune(self) -> set[str]:
        """Drop the pointers of collections that are gone; the folders that are still pointed to."""
        with self._truth.writing() as connection:
            connection.execute("DELETE FROM dense WHERE collection_id NOT IN (SELECT id FROM collection)")
            return {row[0] for row in connection.execute("SELECT folder FROM dense")}
