"""A whole library copied, row by row, from one engine to the other: both keep the same tables.

Numbers stay what they are, so that kept answers still point to their passages, and so do vectors: nothing is embedded.
The full-text index is written anew from the texts. The copy is marked until it is whole and has been compared with the
original, and no other command opens it before; begun again, it goes on behind the last row that is there, unless the
original has changed meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from rag.errors import StoreError
from rag.store.common import MOVING
from rag.store.tables.connection import Database
from rag.store.tables.truth import TruthTables

KEYS: dict[str, tuple[str, ...]] = {
    "collection": ("id",), "generation": ("id",), "account": ("id",), "share": ("collection_id", "account_id"),
    "credential": ("digest",), "attempt": ("name",), "audit": ("id",), "document": ("id",),
    "text": ("document_id", "part"), "layout": ("document_id",), "original": ("document_id",), "content": ("id",),
    "passage": ("id",), "vector": ("generation", "content_id"), "encoding": ("content_id", "encoder"),
    "unread": ("id",), "conversation": ("id",), "turn": ("conversation_id", "ordinal"),
    "feedback": ("conversation_id", "ordinal"),
}  # fmt: skip
"""What is copied, in an order that keeps every row's references, and by what rows are told apart. ``meta`` comes last;
what is derived (indexes) or passes (the queue, the outbox) is not copied."""

_OWN = (MOVING, "index-aside")
"""Settings that belong to one place."""

_LARGE = {"original": 1, "text": 64, "layout": 64, "turn": 200}
_BATCH = 2_000


@dataclass(frozen=True, slots=True)
class MoveEvent:
    """Row ``done`` of ``total`` is copied; ``questions`` were asked of both in the end, and answered alike."""

    table: str
    done: int
    total: int
    questions: int = 0


def copy(source: TruthTables, target: TruthTables) -> Iterator[MoveEvent]:
    """Copy all of ``source`` into ``target``, an event a batch, and compare the two.

    Raises StoreError when the target holds another library, the source's queue is not empty, or the copy is not the
    same; ``finish`` ends the copy when nothing was raised.
    """
    there, here = target.database_of_tables, source.database_of_tables
    facts = source.jobs.facts(0)
    if facts.waiting or facts.running or facts.dead:
        raise StoreError(
            "Files wait in the queue of the library that is to be moved.",
            hint="Let `rag worker` read them, and `rag queue --forget` those that were given up.",
        )
    with source.snapshot():
        state = _state(here)
        _prepare(there, target, state)
        counts = {table: _count(here, table) for table in KEYS}
        total, done = sum(counts.values()), 0
        for table in KEYS:
            done += _count(there, table)
            yield MoveEvent(table, done, total)
            for copied in _copy_table(here, there, table):
                done += copied
                yield MoveEvent(table, done, total)
        yield MoveEvent("words", done, total)
        with there.writing() as connection:
            there.words.write_all(connection, [collection.id for collection in target.collections.list()])
        _copy_meta(here, there)
        different = [table for table in KEYS if _hash(here, table) != _hash(there, table)]
    if different:
        raise StoreError(
            f"The copy is not the same in {', '.join(different)}.", hint="Empty the target, and move the library again."
        )
    yield MoveEvent("compared", total, total)


def finish(target: TruthTables) -> None:
    """The copy is a library like any other from now on."""
    with target.database_of_tables.writing() as connection:
        connection.execute("DELETE FROM meta WHERE key = ?", (MOVING,))
    target.database_of_tables.settle()


def _state(database: Database) -> str:
    """What changes whenever a library does, as far as a copy is concerned."""
    with database.reading() as connection:
        collections = connection.execute("SELECT id, revision FROM collection ORDER BY id").fetchall()
        numbers = connection.last_numbers()
        counts = [
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("turn", "feedback", "account", "share", "encoding", "vector")
        ]
    kept = {name: number for name, number in numbers.items() if name in KEYS}
    return json.dumps([[list(row) for row in collections], sorted(kept.items()), counts])


def _prepare(database: Database, target: TruthTables, state: str) -> None:
    """Mark the target, or empty it when it was begun from another state. Raises StoreError when it holds a library."""
    begun = target.settings.get(MOVING)
    if begun is None and any(_count(database, table) for table in KEYS):
        raise StoreError(
            "The target holds a library already; nothing was written.", hint="Name a new folder, or an empty schema."
        )
    if begun not in (None, state):
        with database.writing() as connection:
            for (number,) in connection.execute("SELECT id FROM collection").fetchall():
                database.words.write_anew(connection, number)
                database.words.drop(connection, number)
            for table in reversed(KEYS):
                connection.execute(f"DELETE FROM {table}")
    target.settings.set(MOVING, state)


def _count(database: Database, table: str) -> int:
    with database.reading() as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def _columns(database: Database, table: str) -> list[str]:
    """A table's columns, in the order of the alphabet: the engines list them as they came to be."""
    with database.reading() as connection:
        return sorted(connection.columns(table))


def _rows(database: Database, table: str, after: tuple[Any, ...] | None = None) -> Iterator[list[tuple[Any, ...]]]:
    """The rows of a table in the order of its key, behind the key ``after``, in batches."""
    keys = KEYS[table]
    columns = _columns(database, table)
    places = [columns.index(key) for key in keys]
    marks = ", ".join("?" for _ in keys)
    limit = _LARGE.get(table, _BATCH)
    while True:
        where = "" if after is None else f"WHERE ({', '.join(keys)}) > ({marks})"
        with database.reading() as connection:
            batch = connection.execute(
                f"SELECT {', '.join(columns)} FROM {table} {where} ORDER BY {', '.join(keys)} LIMIT {limit}",
                after or (),
            ).fetchall()
        if not batch:
            return
        yield [tuple(row) for row in batch]
        after = tuple(batch[-1][place] for place in places)


def _copy_table(source: Database, target: Database, table: str) -> Iterator[int]:
    keys, columns = KEYS[table], _columns(source, table)
    with target.reading() as connection:
        last = connection.execute(
            f"SELECT {', '.join(keys)} FROM {table} ORDER BY {', '.join(f'{key} DESC' for key in keys)} LIMIT 1"
        ).fetchone()
    for batch in _rows(source, table, None if last is None else tuple(last)):
        with target.writing() as connection:
            connection.load(table, columns, batch)
        yield len(batch)


def _copy_meta(source: Database, target: Database) -> None:
    """Settings of the whole library, and the greatest number of everything that is never to be used again."""
    with source.reading() as connection:
        rows = connection.execute("SELECT key, value FROM meta").fetchall()
        numbers = connection.last_numbers()
    with target.writing() as connection:
        connection.executemany(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            [(key, value) for key, value in rows if key not in _OWN],
        )
        connection.take_numbers({name: number for name, number in numbers.items() if name in KEYS})


def _hash(database: Database, table: str) -> str:
    total = blake2b(digest_size=16)
    for batch in _rows(database, table):
        for row in batch:
            total.update(repr(row).encode("utf-8", "surrogatepass"))
    return total.hexdigest()
