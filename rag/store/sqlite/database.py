"""The library's SQLite file: how it is opened, shared between threads, and what its errors mean."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from rag.errors import DiskFull, LibraryDamaged, LibraryFormat, StoreError
from rag.platform.files import open_private
from rag.store.common import INDEX_FOLDER
from rag.store.lock import prepare_folder, unusable
from rag.store.sqlite import schema
from rag.store.sqlite.words import Fts5
from rag.store.tables.engine import Engine

FILE_NAME = "library.sqlite3"
BUSY_SECONDS = 5.0
_WAL_SINCE = (3, 51, 3)
_NOT_TEXT = "Could not decode to UTF-8"
_NOT_A_FORMAT = "unsupported file format"
_NOT_FTS = "invalid fts5 file format"


def choose_journal(version: tuple[int, int, int]) -> str:
    """The journal to use with a SQLite of ``version``.

    Before 3.51.3 a reset of the write-ahead log can corrupt the file. The rollback journal is truncated, not
    deleted, because with ``synchronous=FULL`` SQLite syncs a truncation and so makes the commit durable.
    """
    return "wal" if version >= _WAL_SINCE else "truncate"


class SqliteConnection(sqlite3.Connection):
    """``rag.store.tables.connection.Connection`` in SQLite."""

    closed = False
    """Nothing ends one behind this process's back."""

    def insert(self, statement: str, values: Sequence[Any], /) -> int:
        """Run an INSERT of one row; the ``id`` it got."""
        return int(self.execute(statement, values).lastrowid or 0)

    def load(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], /) -> None:
        """Put many new rows into a table, each with the values of ``columns``."""
        self.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})", rows)

    def take_passages(self, count: int) -> int:
        """The first of ``count`` numbers that no passage ever had; SQLite notes them when they are used."""
        row = self.execute("SELECT seq FROM sqlite_sequence WHERE name = 'passage'").fetchone()
        return (row[0] if row else 0) + 1

    def columns(self, table: str) -> list[str]:
        """The names of a table's columns."""
        return [str(row[1]) for row in self.execute(f"PRAGMA table_info({table})")]

    def last_numbers(self) -> dict[str, int]:
        """The greatest number that a row of each table ever had, where numbers are not used again."""
        return dict(self.execute("SELECT name, seq FROM sqlite_sequence").fetchall())

    def take_numbers(self, last: Mapping[str, int]) -> None:
        """Use none of the numbers up to these, nor of those that are there."""
        there = self.last_numbers()
        counted = self.execute("SELECT name FROM sqlite_schema WHERE sql LIKE '%AUTOINCREMENT%'").fetchall()
        for (name,) in counted:
            if name not in there:
                self.execute("INSERT INTO sqlite_sequence VALUES (?, 0)", (name,))
            self.execute("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?", (last.get(name, 0), name))


class SqliteDatabase(Engine[SqliteConnection]):
    """``rag.store.tables.connection.Database`` in a SQLite file."""

    FILE = FILE_NAME
    """The file's name inside the library's folder."""

    def __init__(self, path: Path, writer: SqliteConnection | None, journal: str = "") -> None:
        super().__init__(str(path.parent))
        self.path = path
        self.words = Fts5()
        self._writer = writer
        self._journal = journal

    @classmethod
    def open(cls, folder: Path, *, writer: bool) -> Self:
        """Open the library in ``folder``; a writer creates it (folder 0700, file 0600) or brings it up to date.

        Raises LibraryFormat for a file of a newer version or of another program, StoreError for a folder that
        cannot be used, or that holds no library when opened for reading.
        """
        path = folder / FILE_NAME
        if not writer:
            _expect_library(path)
            database = cls(path, None)
            with database.reading() as connection:
                _expect_current(schema.examine(connection, path), path)
            return database
        prepare_folder(folder)
        expect_not_lost(folder)
        try:
            os.close(open_private(path))
        except OSError as error:
            raise unusable(folder, error) from error
        with translated(path):
            return cls(path, *_open_writer(path))

    @classmethod
    def beside(cls, folder: Path) -> Self:
        """Open the library in ``folder`` to change its accounts, also while another process writes documents: SQLite
        keeps the two apart, and no index depends on what is changed. Raises as ``open`` does for a reader.
        """
        cls.open(folder, writer=False).close()
        path = folder / FILE_NAME
        with translated(path):
            return cls(path, _connect(path))

    @property
    def writer(self) -> bool:
        """Whether this object may write."""
        return self._writer is not None

    @property
    def sqlite_version(self) -> str:
        """The version of the SQLite library in use."""
        return sqlite3.sqlite_version

    @property
    def journal_mode(self) -> str:
        """How this object's writes are made safe, as SQLite names it; for a reader, how the file says so."""
        if self._writer is not None:
            return self._journal
        with self.reading() as connection:
            return str(connection.execute("PRAGMA journal_mode").fetchone()[0])

    def integrity(self) -> str:
        """What SQLite's quick check finds wrong with the file; empty when nothing is. Reads all of the file."""
        with self.reading() as connection:
            problems = [str(row[0]) for row in connection.execute("PRAGMA quick_check(20)") if row[0] != "ok"]
            broken = connection.execute("PRAGMA foreign_key_check").fetchmany(20)
        return "; ".join([*problems, *(f"a row of {row[0]} refers to a missing row of {row[2]}" for row in broken)])

    @contextmanager
    def writing(self) -> Iterator[SqliteConnection]:
        """One transaction: committed and durable when the block ends, undone when it raises.

        Raises StoreError for an object opened for reading; DiskFull and StoreError for what SQLite reports.
        """
        self.expect_own_process()
        with self._write_lock, translated(self.path):
            connection = self._the_writer()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                self._undo(connection)

    @contextmanager
    def copying(self) -> Iterator[SqliteConnection]:
        """A connection to copy the file through; this object's own writes wait meanwhile, those of others do not."""
        self.expect_own_process()
        with self._write_lock, translated(self.path):
            connection = self._borrow()
            try:
                yield connection
            finally:
                self._give_back(connection)

    def compact(self) -> None:
        """Rewrite the file without its free space, so that removed text leaves no bytes behind.

        Needs free disk space of the library's size for the while. Raises DiskFull, StoreError.
        """
        self.expect_own_process()
        with self._write_lock, translated(self.path):
            connection = self._the_writer()
            # Here, and only here, memory matters more than readers: the whole file passes through.
            connection.execute("PRAGMA cache_spill = ON")
            connection.execute("PRAGMA temp_store = FILE")
            try:
                for (collection_id,) in connection.execute("SELECT id FROM collection").fetchall():
                    name = schema.fts(collection_id)
                    connection.execute(f"INSERT INTO {name}({name}) VALUES ('optimize')")
                connection.execute("VACUUM")
            finally:
                connection.execute("PRAGMA temp_store = MEMORY")
                connection.execute("PRAGMA cache_spill = OFF")
            if self._journal == "wal":
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        with translated(self.path):
            yield

    def _reader(self) -> SqliteConnection:
        connection = _connect(self.path)
        connection.execute("PRAGMA query_only = ON")
        return connection

    def _begin(self, connection: SqliteConnection) -> None:
        connection.execute("BEGIN")

    def _undo(self, connection: SqliteConnection) -> None:
        if connection.in_transaction:
            connection.execute("ROLLBACK")

    def _close_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def _the_writer(self) -> SqliteConnection:
        if self._writer is None:
            raise StoreError(
                f"The library {self.path.parent} is open for reading only.",
                hint="Close the program that writes to it, then run this one again.",
            )
        self._expect_open()
        return self._writer


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn what SQLite reports about the disk, the file and other processes into this program's errors.

    Anything else (a wrong statement, a violated constraint) is a bug and passes unchanged.
    """
    try:
        yield
    except sqlite3.Error as error:
        known = _meaning(error, path)
        if known is None:
            raise
        raise known from error
    except UnicodeDecodeError as error:
        # Of a name in the schema, which Python decodes by itself.
        raise LibraryDamaged(f"{path} is damaged: {error}.") from error


def _meaning(error: sqlite3.Error, path: Path) -> StoreError | None:
    code: int | None = getattr(error, "sqlite_errorcode", None)
    if code is None:
        # Python's own complaint about a text that SQLite hands over as it finds it.
        return LibraryDamaged(f"{path} is damaged: {error}.") if _NOT_TEXT in str(error) else None
    if code == sqlite3.SQLITE_CORRUPT_VTAB or (code == sqlite3.SQLITE_ERROR and _NOT_FTS in str(error)):
        return LibraryDamaged(
            f"The full-text index in {path} is damaged.", hint="`rag compact` writes it anew from the documents' text."
        )
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE):
        return DiskFull(f"No space left to write {path}.")
    match code & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreError(
                f"{path} was busy for more than {BUSY_SECONDS:.0f} seconds.",
                hint="Another process is using the library heavily; try again in a moment.",
            )
        case sqlite3.SQLITE_NOTADB:
            return LibraryFormat(
                f"{path} is not a library, or it is damaged.",
                hint="Restore it from a backup, or choose another library with --library.",
            )
        case sqlite3.SQLITE_CORRUPT:
            return LibraryDamaged(f"{path} is damaged: {error}.")
        case sqlite3.SQLITE_ERROR if str(error) == _NOT_A_FORMAT:
            return LibraryDamaged(f"{path} is damaged: {error}.")
        case sqlite3.SQLITE_IOERR:
            return StoreError(f"Cannot read or write {path}: {error}.", hint="Check the disk it lies on.")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            return StoreError(f"Cannot use {path}: {error}.", hint="Check who owns the library's folder and files.")
    return None


def _expect_library(path: Path) -> None:
    try:
        present = path.stat().st_size > 0
    except FileNotFoundError:
        present = False
    except OSError as error:
        raise unusable(path.parent, error) from error
    if not present:
        expect_not_lost(path.parent)
        raise StoreError(f"There is no library in {path.parent}.", hint="Create it with `rag ingest FILES`.")


def expect_not_lost(folder: Path) -> None:
    """Raise LibraryDamaged when the index of a library is there and the library is not: it was deleted or moved."""
    index = folder / INDEX_FOLDER
    lost = not (folder / FILE_NAME).exists() and index.is_dir() and any(index.iterdir())
    if lost:
        raise LibraryDamaged(
            f"{folder / FILE_NAME} is missing, though the index made from it is there: all documents were in it.",
            hint=f"Put the file back, from a backup if need be. To begin anew, delete {index} first.",
        )


def _expect_current(version: int, path: Path) -> None:
    if version != schema.VERSION:
        raise LibraryFormat(
            f"{path} is of format {version}; this version of the program reads format {schema.VERSION}.",
            hint="Run `rag ingest` or `rag ui` once: opened for writing, the library is brought up to date.",
        )


def _connect(path: Path) -> SqliteConnection:
    connection = sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?mode=rw",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        factory=SqliteConnection,
    )
    for setting in ("foreign_keys = ON", "synchronous = FULL", "secure_delete = ON", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {setting}")
    connection.execute("PRAGMA cache_size = -16384")
    return connection


def _open_writer(path: Path) -> tuple[SqliteConnection, str]:
    connection = _connect(path)
    try:
        connection.execute(f"PRAGMA page_size = {schema.PAGE_SIZE}")
        connection.execute("PRAGMA auto_vacuum = NONE")
        # A transaction stays in memory until its commit: spilling would lock readers out for all of it.
        connection.execute("PRAGMA cache_size = -65536")
        connection.execute("PRAGMA cache_spill = OFF")
        if (version := schema.examine(connection, path)) < schema.VERSION:
            connection.execute("BEGIN EXCLUSIVE")
            schema.migrate(connection, version)
            connection.execute("COMMIT")
        (mode,) = connection.execute(f"PRAGMA journal_mode = {choose_journal(sqlite3.sqlite_version_info)}").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection, str(mode)
