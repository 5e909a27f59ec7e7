"""What the dense indexes have still to be told, and where they lie."""

from __future__ import annotations

from rag.store.tables.collections import find_collection
from rag.store.tables.connection import Database
from rag.store.truth import Change, Collection, Pointer


class OutboxTables:
    """``rag.store.truth.Outbox`` in tables."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def changes(self, collection_id: int, limit: int) -> tuple[Change, ...]:
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT seq, passage_id, removed FROM outbox WHERE collection_id = ? ORDER BY seq LIMIT ?",
                (collection_id, limit),
            )
            return tuple(Change(seq, passage, bool(removed)) for seq, passage, removed in rows)

    def last(self, collection_id: int) -> int:
        with self._database.reading() as connection:
            row = connection.execute("SELECT max(seq) FROM outbox WHERE collection_id = ?", (collection_id,)).fetchone()
        return int(row[0] or 0)

    def told(self, collection_id: int, last: int) -> None:
        with self._database.writing() as connection:
            connection.execute("DELETE FROM outbox WHERE collection_id = ? AND seq <= ?", (collection_id, last))

    def pointer(self, collection_id: int) -> Pointer | None:
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT folder, generation, dirty, manifest FROM dense WHERE collection_id = ?", (collection_id,)
            ).fetchone()
        return None if row is None else Pointer(row[0], row[1], bool(row[2]), row[3])

    def begin(self, collection_id: int) -> None:
        with self._database.writing() as connection:
            connection.execute("UPDATE dense SET dirty = 1 WHERE collection_id = ?", (collection_id,))

    def settle(self, collection_id: int, manifest: str) -> None:
        with self._database.writing() as connection:
            connection.execute(
                "UPDATE dense SET dirty = 0, manifest = ? WHERE collection_id = ?", (manifest, collection_id)
            )

    def switch(self, collection: Collection, folder: str, manifest: str, last: int) -> bool:
        with self._database.writing() as connection:
            if find_collection(connection, collection.id).generation != collection.generation:
                return False
            connection.execute(
                "INSERT INTO dense VALUES (?, ?, ?, 0, ?) ON CONFLICT (collection_id)"
                " DO UPDATE SET folder = excluded.folder, generation = excluded.generation, dirty = 0,"
                " manifest = excluded.manifest",
                (collection.id, folder, collection.generation, manifest),
            )
            connection.execute("DELETE FROM outbox WHERE collection_id = ? AND seq <= ?", (collection.id, last))
        return True

    def unsettled(self) -> list[int]:
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT id FROM collection WHERE id IN (SELECT collection_id FROM dense WHERE dirty <> 0)"
                " OR id IN (SELECT collection_id FROM outbox)"
            ).fetchall()
        return [row[0] for row in rows]

    def prune(self) -> set[str]:
        with self._database.writing() as connection:
            connection.execute("DELETE FROM dense WHERE collection_id NOT IN (SELECT id FROM collection)")
            return {row[0] for row in connection.execute("SELECT folder FROM dense")}
