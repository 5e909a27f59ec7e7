"""What every engine does alike with its connections: a pool of readers, snapshots, one process."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Generic, Self, TypeVar

from rag.errors import StoreError
from rag.store.tables.connection import Connection

C = TypeVar("C", bound=Connection)

_IDLE_READERS = 8


class Engine(ABC, Generic[C]):
    """One writer connection under a lock and a pool of readers; every method may be called from any thread.

    ``place`` says where the library is, for people.
    """

    def __init__(self, place: str) -> None:
        self._place = place
        self._write_lock = threading.RLock()
        self._pool_lock = threading.Lock()
        self._idle: list[C] = []
        self._closed = False
        self._process = os.getpid()
        self._snapshot = threading.local()

    @property
    def inherited(self) -> bool:
        """Whether this process was forked from the one that opened the library: nothing of it may be used here, since
        its locks, threads and connections belong to the other."""
        return os.getpid() != self._process

    def expect_own_process(self) -> None:
        """Raise StoreError when the library is ``inherited``."""
        if self.inherited:
            raise StoreError(
                f"The library {self._place} was opened by process {self._process}, before this one was forked from it.",
                hint="Open the library in the process that uses it.",
            )

    @contextmanager
    def reading(self) -> Iterator[C]:
        """A connection that sees one consistent, committed state of the library until the block ends."""
        self.expect_own_process()
        shared: C | None = getattr(self._snapshot, "connection", None)
        with self._translated():
            if shared is not None:
                yield shared
                return
            connection = self._borrow()
            try:
                self._begin(connection)
                yield connection
            finally:
                self._undo(connection)
                self._give_back(connection)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Every ``reading`` of this thread sees the same state until the block ends."""
        with self.reading() as connection:
            connection.execute("SELECT 1")  # PostgreSQL takes its snapshot at the first question, not before
            before, self._snapshot.connection = getattr(self._snapshot, "connection", None), connection
            try:
                yield
            finally:
                self._snapshot.connection = before

    def settle(self) -> None:
        """After very much was written: do what the engine needs to find it as fast as what came bit by bit."""

    def close(self) -> None:
        """Close every connection; a read under way in another thread ends first, on its own connection.

        A forked process leaves them as they are: closing one would end what the other process is writing.
        """
        if self.inherited:
            return
        with self._write_lock, self._pool_lock:
            self._closed = True
            for connection in self._idle:
                connection.close()
            self._idle.clear()
            self._close_writer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def _translated(self) -> AbstractContextManager[None]:
        """Turns the engine's errors into this program's."""

    @abstractmethod
    def _reader(self) -> C:
        """A new connection to read through."""

    @abstractmethod
    def _begin(self, connection: C) -> None:
        """Begin a transaction that reads."""

    @abstractmethod
    def _undo(self, connection: C) -> None:
        """End a transaction that is still open; a connection that cannot is closed."""

    @abstractmethod
    def _close_writer(self) -> None:
        """Close the connection to write through, if there is one."""

    def _borrow(self) -> C:
        with self._pool_lock:
            self._expect_open()
            while self._idle:
                connection = self._idle.pop()
                if not connection.closed:
                    return connection
        return self._reader()

    def _give_back(self, connection: C) -> None:
        with self._pool_lock:
            if not self._closed and not connection.closed and len(self._idle) < _IDLE_READERS:
                self._idle.append(connection)
                return
        connection.close()

    def _expect_open(self) -> None:
        if self._closed:
            raise StoreError(f"The library {self._place} is closed.", hint="Open it again.")
