"""The truth in one SQLite file: a library's documents, passages, vectors, full-text rows and conversations."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Self

from rag.store.sqlite.backup import backup
from rag.store.sqlite.collections import SqliteCollections, SqliteSettings
from rag.store.sqlite.conversations import SqliteConversations
from rag.store.sqlite.database import Database
from rag.store.sqlite.documents import SqliteDocuments
from rag.store.sqlite.encodings import SqliteEncodings
from rag.store.sqlite.lexical import SqliteLexical
from rag.store.sqlite.outbox import SqliteOutbox
from rag.store.sqlite.passages import SqlitePassages
from rag.store.sqlite.vectors import SqliteVectors
from rag.store.truth import (
    CollectionFacts,
    Collections,
    Conversations,
    Documents,
    Encodings,
    Lexical,
    Outbox,
    Passages,
    Settings,
    StoreFacts,
    Vectors,
)


class SqliteTruth:
    """``rag.store.truth.Truth`` in SQLite."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._lexical = SqliteLexical(database)
        self.collections: Collections = SqliteCollections(database)
        self.settings: Settings = SqliteSettings(database)
        self.documents: Documents = SqliteDocuments(database)
        self.passages: Passages = SqlitePassages(database)
        self.vectors: Vectors = SqliteVectors(database)
        self.encodings: Encodings = SqliteEncodings(database)
        self.lexical: Lexical = self._lexical
        self.conversations: Conversations = SqliteConversations(database)
        self.outbox: Outbox = SqliteOutbox(database)

    @classmethod
    def open(cls, folder: Path, *, writer: bool) -> Self:
        """Open the library in ``folder``; a writer creates it, or brings it up to date. Raises as ``Database.open``."""
        return cls(Database.open(folder, writer=writer))

    @property
    def path(self) -> Path:
        """The library's file."""
        return self.database.path

    @property
    def address(self) -> str:
        return str(self.database.path.parent)

    @property
    def writer(self) -> bool:
        return self.database.writer

    @property
    def inherited(self) -> bool:
        return self.database.inherited

    def expect_own_process(self) -> None:
        self.database.expect_own_process()

    def snapshot(self) -> AbstractContextManager[None]:
        return self.database.snapshot()

    def compact(self) -> None:
        for collection in self.collections.list():
            self._lexical.mend(collection.id)
        self.database.compact()

    def backup(self, target: Path) -> int:
        return backup(self.database, target)

    def close(self) -> None:
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def facts(self) -> StoreFacts:
        journal, problems = self.database.journal_mode, self.database.integrity()
        with self.database.reading() as connection:
            one = {
                name: int(connection.execute(f"PRAGMA {name}").fetchone()[0])
                for name in ("page_size", "page_count", "freelist_count")
            }
            counts = connection.execute(
                "SELECT name, (SELECT count(*) FROM document d WHERE d.collection_id = c.id),"
                " (SELECT count(*) FROM document d JOIN passage p ON p.document_id = d.id"
                " WHERE d.collection_id = c.id),"
                " (SELECT count(*) FROM vector v WHERE v.generation = c.generation),"
                " (SELECT count(*) FROM outbox o WHERE o.collection_id = c.id),"
                " (SELECT count(*) FROM generation g WHERE g.collection_id = c.id AND g.id <> c.generation)"
                " FROM collection c ORDER BY name"
            ).fetchall()
        return StoreFacts(
            engine=f"SQLite {self.database.sqlite_version}, journal mode {journal}",
            bytes=one["page_size"] * one["page_count"],
            free_bytes=one["page_size"] * one["freelist_count"],
            problems=problems,
            collections=tuple(CollectionFacts(*row) for row in counts),
        )
