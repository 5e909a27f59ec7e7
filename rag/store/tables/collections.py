"""Collections: their embedder, splitter and settings, and the values that belong to the whole library."""

from __future__ import annotations

import json
from typing import Any

from rag.errors import StoreError, UnknownCollection
from rag.store.common import check_collection_name, no_collection
from rag.store.tables.connection import Connection, Database
from rag.store.truth import Collection, EmbedderInfo

_COLUMNS = """SELECT c.id, c.name, c.generation, c.splitter, c.settings, c.owner,
    g.embedder, g.digest, g.dimension, g.query_prefix, g.document_prefix
    FROM collection c JOIN generation g ON g.id = c.generation"""


class CollectionsTables:
    """``rag.store.truth.Collections`` in tables."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self) -> tuple[Collection, ...]:
        with self._database.reading() as connection:
            rows = connection.execute(f"{_COLUMNS} ORDER BY c.name").fetchall()
        return tuple(_collection(row) for row in rows)

    def get(self, which: str | int) -> Collection:
        with self._database.reading() as connection:
            return find_collection(connection, which)

    def create(self, name: str, embedder: EmbedderInfo, splitter: str, owner: str = "") -> Collection:
        check_collection_name(name)
        if embedder.dimension < 1:
            raise StoreError(f"The embedder {embedder.name} has no dimensions.", hint="Choose another embedder.")
        with self._database.writing() as connection:
            _expect_free(connection, name)
            collection_id = connection.insert(
                "INSERT INTO collection (name, generation, splitter, owner) VALUES (?, 0, ?, ?)",
                (name, splitter, owner),
            )
            generation = insert_generation(connection, collection_id, embedder)
            connection.execute("UPDATE collection SET generation = ? WHERE id = ?", (generation, collection_id))
            self._database.words.create(connection, collection_id)
        return self.get(name)

    def rename(self, name: str, new_name: str) -> Collection:
        check_collection_name(new_name)
        with self._database.writing() as connection:
            collection = find_collection(connection, name)
            if new_name != name:
                _expect_free(connection, new_name)
                connection.execute("UPDATE collection SET name = ? WHERE id = ?", (new_name, collection.id))
                connection.execute("UPDATE conversation SET collection = ? WHERE collection = ?", (new_name, name))
                touch(connection, collection.id)
        return self.get(new_name)

    def delete(self, name: str) -> None:
        with self._database.writing() as connection:
            key = (find_collection(connection, name).id,)
            connection.execute("DELETE FROM document WHERE collection_id = ?", key)
            connection.execute("DELETE FROM content WHERE collection_id = ?", key)
            connection.execute(
                "DELETE FROM vector WHERE generation IN (SELECT id FROM generation WHERE collection_id = ?)", key
            )
            connection.execute("DELETE FROM outbox WHERE collection_id = ?", key)
            self._database.words.drop(connection, key[0])
            connection.execute("DELETE FROM collection WHERE id = ?", key)

    def set_setting(self, collection_id: int, key: str, value: Any) -> None:
        with self._database.writing() as connection:
            row = connection.execute("SELECT settings FROM collection WHERE id = ?", (collection_id,)).fetchone()
            if row is None:
                raise _unknown(connection, collection_id)
            settings = {**json.loads(row[0]), key: value}
            if value is None:
                del settings[key]
            connection.execute("UPDATE collection SET settings = ? WHERE id = ?", (json.dumps(settings), collection_id))
            touch(connection, collection_id)

    def revision(self, collection_id: int) -> int:
        with self._database.reading() as connection:
            return revision(connection, collection_id)


class SettingsTables:
    """``rag.store.truth.Settings`` in tables."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, key: str) -> Any:
        with self._database.reading() as connection:
            row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else json.loads(row[0])

    def set(self, key: str, value: Any) -> None:
        with self._database.writing() as connection:
            connection.execute(
                "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                (key, json.dumps(value)),
            )


def revision(connection: Connection, collection_id: int) -> int:
    """The collection's revision in the state that ``connection`` sees, -1 for an unknown collection."""
    row = connection.execute("SELECT revision FROM collection WHERE id = ?", (collection_id,)).fetchone()
    return -1 if row is None else int(row[0])


def find_collection(connection: Connection, which: str | int) -> Collection:
    """The collection of that name or number in the state that ``connection`` sees. Raises UnknownCollection."""
    column = "id" if isinstance(which, int) else "name"
    row = connection.execute(f"{_COLUMNS} WHERE c.{column} = ?", (which,)).fetchone()
    if row is None:
        raise _unknown(connection, which)
    return _collection(row)


def insert_generation(connection: Connection, collection_id: int, embedder: EmbedderInfo) -> int:
    """Start a set of vectors for a collection; its number."""
    return connection.insert(
        "INSERT INTO generation (collection_id, embedder, digest, dimension, query_prefix, document_prefix)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (collection_id, embedder.name, embedder.digest, embedder.dimension,
         embedder.query_prefix, embedder.document_prefix),
    )  # fmt: skip


def touch(connection: Connection, collection_id: int) -> None:
    """Note a change of the collection."""
    connection.execute("UPDATE collection SET revision = revision + 1 WHERE id = ?", (collection_id,))


def _collection(row: tuple[Any, ...]) -> Collection:
    number, name, generation, splitter, settings, owner, *embedder = row
    return Collection(number, name, generation, EmbedderInfo(*embedder), splitter, json.loads(settings), owner)


def _unknown(connection: Connection, which: str | int) -> UnknownCollection:
    return no_collection(
        which, [str(row[0]) for row in connection.execute("SELECT name FROM collection ORDER BY name")]
    )


def _expect_free(connection: Connection, name: str) -> None:
    if connection.execute("SELECT 1 FROM collection WHERE name = ?", (name,)).fetchone():
        raise StoreError(f"There is already a collection {name!r}.", hint="Choose another name.")
