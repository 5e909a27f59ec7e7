"""One process of many does what only one may do: elected by a lock of the database that dies with its holder."""

from __future__ import annotations

import threading
from contextlib import suppress
from hashlib import blake2b
from os import getpid
from socket import gethostname

import psycopg

from rag.errors import StoreError
from rag.store.postgres.connection import PostgresConnection, connect

_WAIT_SECONDS = 5
_NOTICED = (
    "SET tcp_keepalives_idle = 3", "SET tcp_keepalives_interval = 1", "SET tcp_keepalives_count = 3",
    "SET tcp_user_timeout = 6000",
)  # fmt: skip
"""The server drops the connection, and with it the lock, of a machine that is gone after about six seconds; of a
process that ends, at once."""


class Election:
    """A session's advisory lock, of ``number``, on the library at ``address``. Thread-safe."""

    def __init__(self, address: str, number: int) -> None:
        self._address = address
        self._number = number
        self._connection: PostgresConnection | None = None
        self._held = False
        self._library = ""
        self._guard = threading.Lock()

    @property
    def library(self) -> str:
        """Twelve letters that tell this library from every other, wherever its copies are; once the lock was held."""
        return self._library

    def won(self) -> bool:
        """Whether this process holds the lock now, after trying to take it when it does not. Never waits for it; False,
        too, while the database cannot be reached."""
        with self._guard:
            try:
                if self._connection is None or self._connection.closed:
                    self._held = False
                    self._connect()
                if self._held:
                    self._ask("SELECT 1")
                else:
                    self._held = bool(self._ask(f"SELECT pg_try_advisory_lock({self._number:d}, {_SCHEMA})"))
            except psycopg.Error:
                self._lose()
            return self._held

    def expect(self) -> None:
        """Raise StoreError when another process holds the lock, or nobody can."""
        if not self.won():
            raise StoreError("Another process keeps the index of this library now.", hint="It goes on there.")

    def resign(self) -> None:
        """Give the lock back; another process may take it. May be called twice."""
        with self._guard:
            self._lose()

    def _connect(self) -> None:
        self._connection = connect(self._address, _WAIT_SECONDS)
        for setting in _NOTICED:
            self._connection.execute(setting)
        self._connection.execute(
            "SELECT set_config('application_name', ?, false)",
            (f"rag index, process {getpid()} on {gethostname()}"[:63],),
        )
        identity = self._ask(
            "SELECT system_identifier::text || '/' || current_database() || '/' || current_schema()"
            " FROM pg_control_system()"
        )
        self._library = blake2b(str(identity).encode(), digest_size=6).hexdigest()

    def _ask(self, statement: str) -> object:
        assert self._connection is not None
        row = self._connection.execute(statement).fetchone()
        return None if row is None else row[0]

    def _lose(self) -> None:
        connection, self._connection, self._held = self._connection, None, False
        if connection is not None:
            with suppress(psycopg.Error):
                connection.close()


_SCHEMA = "hashtext(current_schema())"
