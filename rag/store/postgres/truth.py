"""The truth in a PostgreSQL database."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from rag.errors import StoreError
from rag.store.postgres.database import PostgresDatabase
from rag.store.tables.collections import touch
from rag.store.tables.truth import TruthTables
from rag.store.truth import StoreFacts


class PostgresTruth(TruthTables):
    """``rag.store.truth.Truth`` in PostgreSQL."""

    def __init__(self, database: PostgresDatabase) -> None:
        super().__init__(database)
        self.database = database

    @classmethod
    def open(cls, address: str, *, writer: bool) -> Self:
        """Open the library at a ``postgresql://`` address. Raises as ``PostgresDatabase.open``."""
        return cls(PostgresDatabase.open(address, writer=writer))

    @property
    def address(self) -> str:
        return self.database.address

    def compact(self) -> None:
        for collection in self.collections.list():
            with self.database.writing() as connection:
                if not self.database.words.sound(connection, collection.id):
                    self.database.words.write_anew(connection, collection.id)
                    touch(connection, collection.id)
        self.database.settle()

    def backup(self, target: Path) -> int:
        raise StoreError(
            f"{self.database.shown} is a PostgreSQL database; nothing was written.",
            hint="Back it up as databases are: `pg_dump` copies it as it is at one moment.",
        )

    def facts(self) -> StoreFacts:
        with self.database.reading() as connection:
            engine = connection.execute("SHOW server_version").fetchone()
            size = connection.execute(
                "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0) FROM pg_class c"
                " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = current_schema() AND c.relkind = 'r'"
            ).fetchone()
        assert engine is not None and size is not None
        return StoreFacts(
            engine=f"PostgreSQL {engine[0]}", bytes=int(size[0]), free_bytes=0, problems="", collections=self.counts()
        )
