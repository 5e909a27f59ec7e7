"""The truth in one SQLite file: a library's documents, passages, vectors, full-text rows and conversations."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from rag.errors import LibraryDamaged
from rag.store.sqlite.backup import backup
from rag.store.sqlite.database import SqliteDatabase
from rag.store.tables.collections import touch
from rag.store.tables.truth import TruthTables
from rag.store.truth import StoreFacts


class SqliteTruth(TruthTables):
    """``rag.store.truth.Truth`` in SQLite."""

    def __init__(self, database: SqliteDatabase) -> None:
        super().__init__(database)
        self.database = database

    @classmethod
    def open(cls, folder: Path, *, writer: bool) -> Self:
        """Open the library in ``folder``; a writer creates it, or brings it up to date.

        Raises as ``SqliteDatabase.open``.
        """
        return cls(SqliteDatabase.open(folder, writer=writer))

    @property
    def path(self) -> Path:
        """The library's file."""
        return self.database.path

    @property
    def address(self) -> str:
        return str(self.database.path.parent)

    def compact(self) -> None:
        for collection in self.collections.list():
            self._mend_words(collection.id)
        self.database.compact()

    def backup(self, target: Path) -> int:
        return backup(self.database, target)

    def facts(self) -> StoreFacts:
        journal, problems = self.database.journal_mode, self.database.integrity()
        with self.database.reading() as connection:
            one = {
                name: int(connection.execute(f"PRAGMA {name}").fetchone()[0])
                for name in ("page_size", "page_count", "freelist_count")
            }
        return StoreFacts(
            engine=f"SQLite {self.database.sqlite_version}, journal mode {journal}",
            bytes=one["page_size"] * one["page_count"],
            free_bytes=one["page_size"] * one["freelist_count"],
            problems=problems,
            collections=self.counts(),
        )

    def _mend_words(self, collection_id: int) -> None:
        """Write a collection's full-text index again if it is damaged."""
        try:
            with self.database.writing() as connection:
                self.database.words.check(connection, collection_id)
        except LibraryDamaged:
            with self.database.writing() as connection:
                self.database.words.write_anew(connection, collection_id)
                touch(connection, collection_id)
