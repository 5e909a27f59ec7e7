"""The truth in tables, put together: what SQLite and PostgreSQL do alike."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Self

from rag.store.tables.accounts import AccountsTables
from rag.store.tables.collections import CollectionsTables, SettingsTables
from rag.store.tables.connection import Database
from rag.store.tables.conversations import ConversationsTables
from rag.store.tables.documents import DocumentsTables
from rag.store.tables.encodings import EncodingsTables
from rag.store.tables.jobs import JobsTables
from rag.store.tables.lexical import LexicalTables
from rag.store.tables.outbox import OutboxTables
from rag.store.tables.passages import PassagesTables
from rag.store.tables.vectors import VectorsTables
from rag.store.truth import (
    AccountRows,
    CollectionFacts,
    Collections,
    Conversations,
    Documents,
    Encodings,
    Jobs,
    Lexical,
    Outbox,
    Passages,
    Settings,
    Vectors,
)


class TruthTables:
    """The parts of ``rag.store.truth.Truth`` that an engine's own need not change."""

    def __init__(self, database: Database) -> None:
        self._tables = database
        self.collections: Collections = CollectionsTables(database)
        self.settings: Settings = SettingsTables(database)
        self.documents: Documents = DocumentsTables(database)
        self.passages: Passages = PassagesTables(database)
        self.vectors: Vectors = VectorsTables(database)
        self.encodings: Encodings = EncodingsTables(database)
        self.lexical: Lexical = LexicalTables(database)
        self.conversations: Conversations = ConversationsTables(database)
        self.outbox: Outbox = OutboxTables(database)
        self.accounts: AccountRows = AccountsTables(database)
        self.jobs: Jobs = JobsTables(database)

    @property
    def database_of_tables(self) -> Database:
        """What the tables are in."""
        return self._tables

    @property
    def writer(self) -> bool:
        """Whether this object may write."""
        return self._tables.writer

    @property
    def inherited(self) -> bool:
        """Whether this process was forked from the one that opened the library."""
        return self._tables.inherited

    def expect_own_process(self) -> None:
        """Raise StoreError when the library is ``inherited``."""
        self._tables.expect_own_process()

    def snapshot(self) -> AbstractContextManager[None]:
        """Everything that this thread reads until the block ends is of one committed state."""
        return self._tables.snapshot()

    def close(self) -> None:
        """Close every connection; a read under way in another thread ends first. May be called twice."""
        self._tables.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def counts(self) -> tuple[CollectionFacts, ...]:
        """The counts of each collection, by name."""
        with self._tables.reading() as connection:
            rows = connection.execute(
                "SELECT name, (SELECT count(*) FROM document d WHERE d.collection_id = c.id),"
                " (SELECT count(*) FROM document d JOIN passage p ON p.document_id = d.id"
                " WHERE d.collection_id = c.id),"
                " (SELECT count(*) FROM vector v WHERE v.generation = c.generation),"
                " (SELECT count(*) FROM outbox o WHERE o.collection_id = c.id),"
                " (SELECT count(*) FROM generation g WHERE g.collection_id = c.id AND g.id <> c.generation)"
                " FROM collection c ORDER BY name"
            )
            return tuple(CollectionFacts(*row) for row in rows)
