"""The backends of the truth, and which of them opens what. A new one is added here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rag.config import DATABASES
from rag.errors import StoreError
from rag.store.common import MOVING
from rag.store.served import ELECTION, Election
from rag.store.sqlite.backup import Salvage, restore, salvage
from rag.store.sqlite.database import FILE_NAME, SqliteDatabase, expect_not_lost
from rag.store.sqlite.truth import SqliteTruth
from rag.store.tables.accounts import AccountsTables
from rag.store.truth import AccountRows, Truth

if TYPE_CHECKING:
    from rag.store.postgres.truth import PostgresTruth

__all__ = [
    "FILE_NAME",
    "FILLING",
    "Salvage",
    "expect_not_lost",
    "is_database",
    "open_accounts",
    "open_election",
    "open_tables",
    "open_truth",
    "restore",
    "salvage",
]


def open_truth(address: Path | str, *, writer: bool) -> Truth:
    """Open the library at ``address``, its folder or a ``postgresql://`` URI; a writer creates it, or updates it.

    Raises LibraryFormat for a file of a newer version or of another program, StoreError for what cannot be used, or
    holds no library, or half of one, when opened for reading.
    """
    truth = open_tables(address, writer=writer)
    try:
        if truth.settings.get(MOVING) is not None:
            raise StoreError(
                "A library was being moved here, and not all of it has come.", hint="Run the same `rag move` again."
            )
    except BaseException:
        truth.close()
        raise
    return truth


def open_tables(address: Path | str, *, writer: bool) -> SqliteTruth | PostgresTruth:
    """The same for what copies a library, also into one that is not whole yet."""
    if is_database(address):
        return _open_database(str(address), writer=writer)
    return SqliteTruth.open(Path(address), writer=writer)


@contextmanager
def open_accounts(address: Path | str) -> Iterator[AccountRows]:
    """The accounts of the library at ``address`` for changing, also while another process writes its documents.

    Raises as ``open_truth`` does for a reader.
    """
    if is_database(address):
        with _open_database(str(address), writer=True) as truth:
            yield truth.accounts
        return
    with SqliteDatabase.beside(Path(address)) as database:
        yield AccountsTables(database)


FILLING = 0x52414733
"""The number of the lock of the process that fills in the encoder's vectors."""


def open_election(truth: Truth, number: int = ELECTION) -> Election:
    """The election of the process that tells a Chroma server what the library in a database holds, or that does what
    else has the ``number``."""
    from rag.store.postgres.election import Election as Lock

    return Lock(truth.address, number)


def is_database(address: Path | str) -> bool:
    """Whether this is the address of a database rather than a folder."""
    return isinstance(address, str) and address.startswith(DATABASES)


def _open_database(address: str, *, writer: bool) -> PostgresTruth:
    try:
        from rag.store.postgres.truth import PostgresTruth
    except ModuleNotFoundError as error:
        raise StoreError(
            f"A library in PostgreSQL needs the package {error.name}, which is not installed.",
            hint="Install it with `pip install 'rag-cited[postgres]'`.",
        ) from error
    return PostgresTruth.open(address, writer=writer)
