"""What there is to know about a library's file, for `rag doctor`."""

from __future__ import annotations

from dataclasses import dataclass

from rag.store.database import Database


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


class Facts(Database):
    """The part of the truth that describes itself."""

    def facts(self) -> StoreFacts:
        """Sizes, counts, and what ``integrity`` says."""
        journal, problems = self.journal_mode, self.integrity()
        with self.reading() as connection:
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
            sqlite_version=self.sqlite_version,
            journal=journal,
            bytes=one["page_size"] * one["page_count"],
            free_bytes=one["page_size"] * one["freelist_count"],
            problems=problems,
            collections=tuple(CollectionFacts(*row) for row in counts),
        )
