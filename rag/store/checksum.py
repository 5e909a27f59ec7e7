"""What a folder of index files holds, as one hash: damage is found before the files are handed to their library.

Loading a damaged HNSW file can end the process (measured with Chroma 1.5.9: 2 of 30 kinds of damage end in a
segmentation fault, 12 go unnoticed and cost hits), so a check after loading comes too late.
"""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from rag.platform.files import sync

_BLOCK = 1 << 20
_VOLATILE = "acquire_write"
"""Chroma's table that gets a row whenever a client opens the folder."""


Hashes = dict[Path, tuple[tuple[int, ...], bytes]]
"""The hash of each file's content, and what the file looked like then."""


def checksum(folder: Path, known: Hashes | None = None) -> str:
    """A hash of every file's name and content below ``folder``; empty when something cannot be read.

    A SQLite file counts by the rows of its tables, because merely opening it for writing changes its bytes. With the
    hashes ``known`` from before, of a folder that this process alone writes to, only files that look different are read
    again: a graph of a million vectors takes 1.2 GB, and seldom changes. They are kept up to date.
    """
    total = hashlib.blake2b(digest_size=16)
    try:
        for path in files(folder):
            total.update(f"{path.relative_to(folder)}\0".encode())
            total.update(_rows(path) if path.suffix == ".sqlite3" else _bytes(path, {} if known is None else known))
    except (OSError, sqlite3.Error):
        return ""
    return total.hexdigest()


def intact(folder: Path) -> bool:
    """Whether the SQLite files below ``folder`` are sound where no row shows it: in their indexes and free space."""
    try:
        for path in files(folder):
            if path.suffix == ".sqlite3":
                with closing(_read_only(path)) as connection:
                    if connection.execute("PRAGMA integrity_check(1)").fetchone() != ("ok",):
                        return False
    except sqlite3.Error:
        return False
    return True


def settle(folder: Path) -> None:
    """Have the operating system write every file below ``folder`` to the disk, readable by the owner alone."""
    for path in files(folder):
        path.chmod(0o600)
        sync(path)
    for directory in {folder, *(path.parent for path in files(folder))}:
        directory.chmod(0o700)
        sync(directory)


def files(folder: Path) -> list[Path]:
    """Every file below ``folder``, sorted; SQLite's journals, which come and go, left out."""
    return sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.endswith(("-journal", "-wal", "-shm")))


def _bytes(path: Path, known: Hashes) -> bytes:
    status = path.stat()
    looks = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    if path in known and known[path][0] == looks:
        return known[path][1]
    hashed = hashlib.blake2b(digest_size=16)
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            hashed.update(block)
    known[path] = (looks, hashed.digest())
    return known[path][1]


def _rows(path: Path) -> bytes:
    hashed = hashlib.blake2b(digest_size=16)
    with closing(_read_only(path)) as connection:
        names = connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> ? ORDER BY name", (_VOLATILE,)
        ).fetchall()
        for (name,) in names:
            hashed.update(repr(name).encode())
            for row in connection.execute(f'SELECT * FROM "{name}"'):
                hashed.update(repr(row).encode())
    return hashed.digest()


def _read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)
