"""The truth: one SQLite file that holds a library's documents, passages, vectors and full-text rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from rag.store.collections import Collection, Collections, EmbedderInfo, Settings
from rag.store.conversations import Conversations
from rag.store.database import Database
from rag.store.documents import Documents, NewDocument, NewPassage
from rag.store.encodings import Encoded, Encodings
from rag.store.lexical import Lexical
from rag.store.passages import Passages, text_key
from rag.store.vectors import Vectors

__all__ = [
    "Collection",
    "CollectionFacts",
    "EmbedderInfo",
    "Encoded",
    "NewDocument",
    "NewPassage",
    "StoreFacts",
    "Truth",
    "text_key",
]


@dataclass(frozen=True, slots=True)
class CollectionFacts:
    """Counts of one collection. ``unsynced`` changes wait for the dense index."""

    name: str
    documents: int
    passages: int
    vectors: int
    unsynced: int
    unfinished_generations: int


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """The state of the SQLite file. ``problems`` is empty when its check found nothing; sizes in bytes."""

    sqlite_version: str
    journal: str
    bytes: int
    free_bytes: int
    problems: str
    collections: tuple[CollectionFacts, ...]


class Truth:
    """Everything that must not be lost, by kind. Open it with ``Truth.open``; use it from any thread; close it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.collections = Collections(database)
        self.documents = Documents(database)
        self.passages = Passages(database)
        self.vectors = Vectors(database)
        self.encodings = Encodings(database)
        self.lexical = Lexical(database)
        self.conversations = Conversations(database)
        self.settings = Settings(database)

    @classmethod
    def open(cls, folder: Path, *, writer: bool) -> Self:
        """Open the library in ``folder``; a writer creates it, or brings it up to date. Raises as ``Database.open``."""
        return cls(Database.open(folder, writer=writer))

    @property
    def path(self) -> Path:
        """The library's file."""
        return self.database.path

    @property
    def writer(self) -> bool:
        """Whether this object may write."""
        return self.database.writer

    def compact(self) -> None:
        """Rewrite the file without its free space, and a damaged full-text table from the documents' text.

        Needs free disk space of the library's size for the while. Raises DiskFull, StoreError.
        """
        for collection in self.collections.list():
            self.lexical.mend(collection.id)
        self.database.compact()

    def close(self) -> None:
        """Close every connection; a read under way in another thread ends first."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def facts(self) -> StoreFacts:
        """Sizes, counts, and what ``integrity`` says."""
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
            sqlite_version=self.database.sqlite_version,
            journal=journal,
            bytes=one["page_size"] * one["page_count"],
            free_bytes=one["page_size"] * one["freelist_count"],
            problems=problems,
            collections=tuple(CollectionFacts(*row) for row in counts),
        )
