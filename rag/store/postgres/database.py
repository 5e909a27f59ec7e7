"""A library's PostgreSQL database: how it is opened, shared between threads, and what its errors mean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Self

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict

from rag.errors import DiskFull, LibraryDamaged, LibraryFormat, StoreError
from rag.store.postgres import schema
from rag.store.postgres.connection import PostgresConnection, connect
from rag.store.postgres.words import Postings
from rag.store.tables.engine import Engine

_WAIT_SECONDS = 30
_LOCK = 0x52414731
"""The advisory lock that one transaction of a library holds while it writes, with the number of its schema."""


class PostgresDatabase(Engine[PostgresConnection]):
    """``rag.store.tables.connection.Database`` in PostgreSQL.

    A connection that breaks is replaced when it is next wanted. All writers of a library, wherever they run, write one
    after the other; a transaction takes milliseconds, and what takes long is done before it.
    """

    def __init__(self, address: str, *, writer: bool) -> None:
        super().__init__(shown(address))
        self.address = address
        self.words = Postings()
        self._writes = writer
        self._writer: PostgresConnection | None = None

    @classmethod
    def open(cls, address: str, *, writer: bool) -> Self:
        """Open the library at ``address``, a ``postgresql://`` URI; a writer makes its tables or updates them.

        Raises StoreError for a database that cannot be reached or, opened for reading, holds no library; LibraryFormat
        for one of another version.
        """
        database = cls(address, writer=writer)
        try:
            if writer:
                database._migrate()
            else:
                with database.reading() as connection:
                    database._expect_current(_version(connection))
        except BaseException:
            database.close()
            raise
        return database

    @property
    def writer(self) -> bool:
        """Whether this object may write."""
        return self._writes

    @property
    def shown(self) -> str:
        """The address without its password."""
        return self._place

    @contextmanager
    def writing(self) -> Iterator[PostgresConnection]:
        """One transaction: committed and durable when the block ends, undone when it raises; no other writes then."""
        self.expect_own_process()
        with self._write_lock, self._translated():
            connection = self._the_writer()
            try:
                self._open_transaction(connection, "BEGIN")
                connection.raw.execute("SELECT pg_advisory_xact_lock(%s, hashtext(current_schema()))", (_LOCK,))
                yield connection
                connection.raw.execute("COMMIT")
            finally:
                self._undo(connection)

    def settle(self) -> None:
        """Count what is there and give back what is free; it stands outside every transaction."""
        with self._write_lock, self._translated():
            self._the_writer().execute(f"VACUUM (ANALYZE) {', '.join(schema.TABLES)}")

    def _migrate(self) -> None:
        with self.writing() as connection:
            version = _version(connection)
            if version > schema.VERSION:
                self._expect_current(version)
            for step in schema.STEPS[version:]:
                connection.raw.execute(step)
            if version < schema.VERSION:
                connection.raw.execute("DELETE FROM library")
                connection.raw.execute("INSERT INTO library VALUES (%s)", (schema.VERSION,))

    def _expect_current(self, version: int) -> None:
        if version == 0:
            raise StoreError(f"There is no library in {self.shown}.", hint="Create it with `rag ingest FILES`.")
        if version != schema.VERSION:
            older = version < schema.VERSION
            raise LibraryFormat(
                f"The library {self.shown} is of format {version}; this version of the program reads {schema.VERSION}.",
                hint="Run `rag ingest` or `rag ui` once: opened for writing, it is brought up to date."
                if older
                else "Upgrade this program, or choose another library.",
            )

    def _the_writer(self) -> PostgresConnection:
        if not self._writes:
            raise StoreError(f"The library {self.shown} is open for reading only.", hint="Open it for writing.")
        self._expect_open()
        if self._writer is None or self._writer.closed:
            self._writer = self._reader()
        return self._writer

    def _reader(self) -> PostgresConnection:
        return connect(self.address, _WAIT_SECONDS)

    def _begin(self, connection: PostgresConnection) -> None:
        self._open_transaction(connection, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

    def _open_transaction(self, connection: PostgresConnection, statement: str) -> None:
        """Begin, on a new connection where the server has gone and come back since the last use of this one."""
        try:
            connection.raw.execute(statement)
        except psycopg.OperationalError:
            if not connection.closed:
                raise
            connection.raw = self._reader().raw
            connection.raw.execute(statement)

    def _undo(self, connection: PostgresConnection) -> None:
        if not connection.idle:
            with suppress(psycopg.Error):
                connection.raw.execute("ROLLBACK")
            if not connection.idle:
                connection.close()

    def _close_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn what PostgreSQL reports about itself into this program's errors.

        Anything else (a wrong statement, a violated constraint) is a bug and passes unchanged.
        """
        try:
            yield
        except psycopg.Error as error:
            known = self._meaning(error)
            if known is None:
                raise
            raise known from error

    def _meaning(self, error: psycopg.Error) -> StoreError | None:
        told = str(error).strip().partition("\n")[0]
        match error:
            case errors.DiskFull():
                return DiskFull(f"No space left to write in {self.shown}.")
            case errors.LockNotAvailable() | errors.QueryCanceled() | errors.DeadlockDetected():
                return StoreError(
                    f"The library {self.shown} was busy for more than {_WAIT_SECONDS} seconds.",
                    hint="Another process is using it heavily; try again in a moment.",
                )
            case errors.DataCorrupted() | errors.IndexCorrupted():
                return LibraryDamaged(f"The library {self.shown} is damaged: {told}.")
            case errors.InsufficientPrivilege() | errors.ReadOnlySqlTransaction():
                return StoreError(f"Cannot use {self.shown}: {told}.", hint="Check the rights of its database role.")
            case psycopg.OperationalError() | psycopg.InterfaceError():
                return StoreError(
                    f"The database {self.shown} cannot be reached: {told}.", hint="Check that it runs, then try again."
                )
        return None


def shown(address: str) -> str:
    """A database's address for people: without what is secret in it."""
    try:
        parts = conninfo_to_dict(address)
    except psycopg.ProgrammingError:
        return "postgresql://"
    host, port = parts.get("host") or "", parts.get("port")
    return f"postgresql://{host}{f':{port}' if port else ''}/{parts.get('dbname') or ''}"


def _version(connection: PostgresConnection) -> int:
    """The version of the library that a connection sees; 0 where there is none."""
    there = connection.execute("SELECT to_regclass('library')").fetchone()
    if there is None or there[0] is None:
        return 0
    row = connection.execute("SELECT version FROM library").fetchone()
    return 0 if row is None else int(row[0])
