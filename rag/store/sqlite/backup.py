"""A library's file copied while it is in use, put back, and saved from what damage left of it."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from rag.errors import LibraryDamaged, LibraryFormat, RagError, StoreError
from rag.platform.files import open_private, sync
from rag.store.common import INDEX_FOLDER
from rag.store.lock import prepare_folder
from rag.store.sqlite import schema
from rag.store.sqlite.database import FILE_NAME, SqliteConnection, SqliteDatabase, translated
from rag.store.sqlite.words import Fts5
from rag.store.tables import passages as slices
from rag.store.tables.collections import insert_generation
from rag.store.truth import EmbedderInfo

_PAGES = 32_768
"""Copied at once, about 256 MB: nobody who writes meanwhile waits longer than that takes."""

_PROBES = 100_000
"""Rows looked for one by one between those that can be read from either side of a damaged page."""

_TABLES = (
    "meta", "collection", "generation", "document", "text", "layout", "original", "content", "passage", "vector",
    "encoding", "unread", "conversation", "turn", "feedback", "account", "share", "audit",
)  # fmt: skip

_LEFT_OVER = (
    "DELETE FROM turn WHERE conversation_id NOT IN (SELECT id FROM conversation) OR NOT json_valid(answer)",
    "DELETE FROM feedback WHERE NOT EXISTS (SELECT 1 FROM turn t WHERE t.conversation_id = feedback.conversation_id"
    " AND t.ordinal = feedback.ordinal)",
    "DELETE FROM content WHERE id NOT IN (SELECT content_id FROM passage)",
    "DELETE FROM unread WHERE collection_id NOT IN (SELECT id FROM collection)",
    "DELETE FROM generation WHERE collection_id NOT IN (SELECT id FROM collection)",
    "DELETE FROM vector WHERE content_id NOT IN (SELECT id FROM content)"
    " OR generation NOT IN (SELECT id FROM generation)"
    " OR length(data) <> 4 * (SELECT dimension FROM generation WHERE id = vector.generation)",
    "DELETE FROM encoding WHERE content_id NOT IN (SELECT id FROM content)",
    "DELETE FROM share WHERE collection_id NOT IN (SELECT id FROM collection)"
    " OR account_id NOT IN (SELECT id FROM account)",
    "DELETE FROM meta WHERE NOT json_valid(value)",
    "UPDATE collection SET settings = '{}' WHERE NOT json_valid(settings)",
)
"""What rows that are gone leave behind."""


@dataclass(frozen=True, slots=True)
class Salvage:
    """What a repair did: ``lost`` are the sources whose text could not be saved whole, ``kept`` is the damaged file."""

    documents: int
    lost: tuple[str, ...]
    conversations: int
    kept: Path


def backup(database: SqliteDatabase, target: Path) -> int:
    """Copy the library as it is at one moment into the file ``target``, for its owner alone; its size in bytes.

    Others go on reading and writing. Raises StoreError when ``target`` exists or cannot be written, DiskFull.
    """
    if target.exists():
        raise StoreError(f"{target} exists already; nothing was written.", hint="Choose another name, or delete it.")
    partial = target.with_name(f".{target.name}.partial")
    try:
        os.close(open_private(partial, empty=True))
        with database.copying() as source, translated(partial), closing(sqlite3.connect(partial)) as copy:
            source.backup(copy, pages=_PAGES)
        _expect_sound(partial)
        sync(partial)
        partial.rename(target)
        sync(target.parent)
    except OSError as error:
        raise StoreError(f"Cannot write {target}: {error.strerror or error}.", hint="Choose another place.") from error
    finally:
        partial.unlink(missing_ok=True)
    return target.stat().st_size


def restore(source: Path, folder: Path, *, replace: bool = False) -> None:
    """Make the backup ``source`` the library in ``folder``, whose lock the caller holds.

    A library that is there is kept beside it under another name when ``replace`` is set. Raises LibraryFormat or
    LibraryDamaged, with nothing changed, for what is no sound backup; StoreError for a library that is there.
    """
    if not source.is_file():
        raise StoreError(f"There is no backup {source}.", hint="Check its spelling.")
    with closing(_read_only(source)) as connection, translated(source):
        if schema.examine(connection, source) == 0:
            raise LibraryFormat(f"{source} is no backup of a library.", hint="Choose a file that `rag backup` wrote.")
    _expect_sound(source)
    prepare_folder(folder)
    present = folder / FILE_NAME
    if present.exists() and not replace:
        raise StoreError(
            f"There is a library in {folder}; nothing was changed.", hint="Choose another folder, or give --replace."
        )
    partial = folder / f".{FILE_NAME}.restored"
    try:
        shutil.copyfile(source, partial)
        partial.chmod(0o600)
        _forget_indexes(partial)
        _forget_sessions(partial)
        _switch(partial, folder, "before-restore")
    except OSError as error:
        raise StoreError(f"Cannot restore into {folder}: {error.strerror or error}.", hint="Check its disk.") from error
    finally:
        partial.unlink(missing_ok=True)


def salvage(folder: Path, embedder: EmbedderInfo) -> Salvage:
    """Write the library in ``folder``, whose lock the caller holds, anew from all that can be read of it.

    A document is saved when its text is whole, as the hashes of its passages prove. Vectors that are lost are pending
    (``Vectors.pending``) in their generation; one of ``embedder`` is begun where the generation is lost. The damaged
    file is kept. Raises LibraryDamaged when not even its tables can be read.
    """
    damaged, made = folder / FILE_NAME, folder / ".salvaged"
    shutil.rmtree(made, ignore_errors=True)
    try:
        with SqliteDatabase.open(made, writer=True) as database:
            with closing(_read_only(damaged)) as source, database.writing() as connection:
                connection.execute("PRAGMA defer_foreign_keys = ON")
                try:
                    source.execute("SELECT name FROM sqlite_schema").fetchall()
                except sqlite3.Error as error:
                    raise LibraryDamaged(
                        f"Nothing can be read of {damaged}: {error}.", hint="Restore a backup with `rag restore`."
                    ) from error
                named = {row["id"]: str(row["source"]) for row in _rows(source, "document") if _whole(row)}
                for table in _TABLES:
                    _copy(source, connection, table)
                lost = _reconcile(connection, embedder)
                documents = {row[0] for row in connection.execute("SELECT id FROM document")}
                talks = connection.execute("SELECT count(*) FROM conversation").fetchone()[0]
        _forget_indexes(made / FILE_NAME)
        kept = _switch(made / FILE_NAME, folder, "damaged")
    finally:
        shutil.rmtree(made, ignore_errors=True)
    missing = {name for number, name in named.items() if number not in documents}
    return Salvage(len(documents), tuple(sorted(missing | set(lost))), int(talks), kept or damaged)


def _rows(source: sqlite3.Connection, table: str) -> Iterator[sqlite3.Row]:
    """Every row of a table that can be read: from the beginning, from the end, and one by one between."""
    source.row_factory = sqlite3.Row
    keyed = table == "meta"
    column = "key" if keyed else "rowid"
    select = f"SELECT {column} AS number_, * FROM {table} NOT INDEXED"
    ends: list[int] = []
    seen: set[object] = set()
    for order in ("ASC", "DESC"):
        last = 0
        try:
            for row in source.execute(
                f"SELECT {column} AS number_, * FROM {table} NOT INDEXED ORDER BY {column} {order}"
            ):
                if row["number_"] in seen:
                    return
                seen.add(row["number_"])
                last = 0 if keyed else int(row["number_"])
                yield row
        except (sqlite3.Error, ValueError, TypeError):
            ends.append(last)
        else:
            return
    if keyed or len(ends) < 2 or not ends[1]:
        return
    for number in range(ends[0] + 1, min(ends[1], ends[0] + _PROBES)):
        with suppress(sqlite3.Error):
            yield from source.execute(f"{select} WHERE rowid = ?", (number,))


def _whole(row: sqlite3.Row) -> bool:
    return isinstance(row["id"], int) and isinstance(row["source"], str)


def _copy(source: sqlite3.Connection, connection: SqliteConnection, table: str) -> None:
    """The rows of a table as far as they are rows of it; columns that an older format lacks get their defaults."""
    known = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
    for row in _rows(source, table):
        names = [name for name in row.keys() if name in known]  # noqa: SIM118 - a Row iterates over its values
        marks = ", ".join("?" * len(names))
        with suppress(sqlite3.IntegrityError):
            connection.execute(
                f"INSERT OR IGNORE INTO {table} ({', '.join(names)}) VALUES ({marks})", [row[name] for name in names]
            )


def _reconcile(connection: SqliteConnection, embedder: EmbedderInfo) -> list[str]:
    """Make the rows agree again; the sources that had to be given up."""
    _mend_collections(connection, embedder)
    nameless = connection.execute(
        "SELECT DISTINCT document_id FROM text WHERE document_id NOT IN (SELECT id FROM document)"
    ).fetchall()
    lost = [f"document number {number}, whose name is lost" for (number,) in nameless]
    for child in ("text", "layout", "original", "passage"):
        connection.execute(f"DELETE FROM {child} WHERE document_id NOT IN (SELECT id FROM document)")
    for number, name, passages, characters in connection.execute(
        "SELECT id, source, passages, characters FROM document"
    ).fetchall():
        if not _proven(connection, number, passages, characters):
            lost.append(str(name))
            connection.execute("DELETE FROM document WHERE id = ?", (number,))
    for statement in _LEFT_OVER:
        connection.execute(statement)
    for (number,) in connection.execute("SELECT id FROM collection").fetchall():
        Fts5().write_anew(connection, number)
    return lost


def _mend_collections(connection: SqliteConnection, embedder: EmbedderInfo) -> None:
    """A collection for every document, and a generation for every collection."""
    for (number,) in connection.execute(
        "SELECT DISTINCT collection_id FROM document WHERE collection_id NOT IN (SELECT id FROM collection)"
    ).fetchall():
        connection.execute(
            "INSERT INTO collection (id, name, generation, splitter) VALUES (?, ?, 0, '')", (number, f"saved-{number}")
        )
    homeless = connection.execute(
        "SELECT id FROM collection c WHERE generation NOT IN (SELECT id FROM generation g WHERE g.collection_id = c.id)"
    )
    for (number,) in homeless.fetchall():
        row = connection.execute("SELECT max(id) FROM generation WHERE collection_id = ?", (number,)).fetchone()
        generation = row[0] or insert_generation(connection, number, embedder)
        connection.execute("UPDATE collection SET generation = ? WHERE id = ?", (generation, number))


def _proven(connection: SqliteConnection, document_id: int, passages: int, characters: int) -> bool:
    """Whether a document's text and places are all there and its passages are what was put in."""
    layout = connection.execute("SELECT 1 FROM layout WHERE document_id = ?", (document_id,)).fetchone()
    rows = connection.execute("SELECT data FROM text WHERE document_id = ?", (document_id,))
    whole = sum(len(slices.decoded(row[0])) for row in rows) == characters
    try:
        return bool(layout) and whole and len(slices.of_document(connection, document_id)) == passages
    except RagError:
        return False


def _switch(made: Path, folder: Path, why: str) -> Path | None:
    """Put ``made`` in the place of the library's file, which is kept under another name, and the index aside."""
    present, kept = folder / FILE_NAME, None
    if present.exists():
        kept = folder / f"library-{why}-{datetime.now():%Y%m%d-%H%M%S-%f}.sqlite3"
        present.rename(kept)
    for suffix in ("-journal", "-wal", "-shm"):
        present.with_name(f"{FILE_NAME}{suffix}").unlink(missing_ok=True)
    sync(made)
    made.rename(present)
    sync(folder)
    shutil.rmtree(folder / INDEX_FOLDER, ignore_errors=True)
    return kept


def _forget_indexes(path: Path) -> None:
    """The indexes lie in another folder: they are made anew."""
    with translated(path), closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM dense")
        connection.execute("DELETE FROM outbox")


def _forget_sessions(path: Path) -> None:
    """What was ended since the backup was made does not begin again with it."""
    with translated(path), closing(sqlite3.connect(path)) as connection, connection:
        if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'credential'").fetchone():
            connection.execute("DELETE FROM credential WHERE kind = 'session'")


def _expect_sound(path: Path) -> None:
    with translated(path), closing(_read_only(path)) as connection:
        problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if problem != "ok":
        raise LibraryDamaged(
            f"{path} is damaged: {problem}.", hint="Save what is left with `rag doctor --repair`, then back that up."
        )


def _read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)
