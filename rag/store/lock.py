"""One writer for each library: an advisory lock that the operating system drops when its holder dies."""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from rag.errors import LibraryLocked, StoreError
from rag.platform.files import Busy, lock, open_private, unlock

LOCK_NAME = "lock"
NOTE_NAME = "writer"
"""Who holds the lock: a file beside it, since Windows lets nobody read what is locked."""
_PAUSE = 0.05
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that writes to a library: its number, its program, and since when (UNIX seconds)."""

    pid: int
    program: str
    since: float


class WriterLock:
    """The right to write to one library, held until ``release`` or the end of the process."""

    def __init__(self, descriptor: int, folder: Path) -> None:
        self._descriptor: int | None = descriptor
        self._folder = folder
        self._process = os.getpid()

    @classmethod
    def acquire(cls, folder: Path, timeout: float = 0.5) -> WriterLock:
        """Take the lock of the library in ``folder`` (created if absent), waiting at most ``timeout`` seconds.

        Raises LibraryLocked naming the holder, StoreError when the folder cannot be used.
        """
        prepare_folder(folder)
        path = folder / LOCK_NAME
        try:
            descriptor = open_private(path)
        except OSError as error:
            raise unusable(folder, error) from error
        try:
            _wait_for(descriptor, folder, timeout)
            _sign(folder)
        except OSError as error:
            os.close(descriptor)
            raise unusable(folder, error) from error
        except LibraryLocked:
            os.close(descriptor)
            raise
        return cls(descriptor, folder)

    @classmethod
    def wanted(cls, folder: Path, write: bool | None) -> WriterLock | None:
        """The lock for ``write`` True (or LibraryLocked), none for False, and for None the lock if it is free and the
        folder can be written to; one that cannot, and is none yet, raises StoreError."""
        if write is False:
            return None
        try:
            return cls.acquire(folder)
        except LibraryLocked:
            if write:
                raise
            return None
        except StoreError as error:
            cause = error.__cause__
            if write or not folder.is_dir() or not isinstance(cause, OSError) or cause.errno not in _READ_ONLY:
                raise
            return None

    @staticmethod
    def holder(folder: Path) -> Holder | None:
        """Who holds the lock of the library in ``folder`` now, or None when it is free or no library."""
        path = folder / LOCK_NAME
        try:
            descriptor = open_private(path, create=False)
        except OSError:
            return None
        try:
            lock(descriptor, shared=True)
        except OSError:
            return _signature(folder)
        finally:
            os.close(descriptor)
        return None

    @classmethod
    def describe(cls, folder: Path) -> str:
        """One sentence that says who writes to the library in ``folder`` and since when."""
        holder = cls.holder(folder)
        return f"Nobody writes to the library {folder}." if holder is None else _sentence(folder, holder)

    def release(self) -> None:
        """Give the lock back; a second call does nothing. A forked process gives its copy back, not the lock."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            if os.getpid() == self._process:
                with suppress(OSError):  # of a folder that is gone
                    (self._folder / NOTE_NAME).unlink(missing_ok=True)
                unlock(descriptor)  # closing alone would leave the lock with a child that is just being started
            os.close(descriptor)

    def __enter__(self) -> WriterLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def prepare_folder(folder: Path) -> None:
    """Create the library's folder, for its owner alone; an existing one keeps its mode.

    Raises StoreError when there is something else, or no right to write.
    """
    try:
        if not folder.is_dir():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise unusable(folder, error) from error


def unusable(folder: Path, error: OSError) -> StoreError:
    """The error for a folder that cannot hold a library."""
    return StoreError(
        f"Cannot use {folder} as a library: {error.strerror or error}.",
        hint="Choose a folder you may write to with --library or RAG_LIBRARY.",
    )


def _wait_for(descriptor: int, folder: Path, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while True:
        try:
            lock(descriptor)
        except Busy:
            if time.monotonic() >= deadline:
                raise LibraryLocked(_sentence(folder, _signature(folder))) from None
            time.sleep(_PAUSE)
        else:
            return


def _sentence(folder: Path, holder: Holder) -> str:
    if not holder.pid:
        return f"Another process writes to the library {folder}."
    since = datetime.fromtimestamp(holder.since).strftime("%Y-%m-%d %H:%M:%S")
    return f"{holder.program} (process {holder.pid}) has been writing to the library {folder} since {since}."


def _sign(folder: Path) -> None:
    program = " ".join([Path(sys.argv[0]).name or "python", *sys.argv[1:2]])
    note = json.dumps(asdict(Holder(os.getpid(), program, time.time())))
    with os.fdopen(open_private(folder / NOTE_NAME, empty=True), "wb") as file:
        file.write(note.encode())


def _signature(folder: Path) -> Holder:
    """What the holder wrote about itself; number 0 when it has not got that far."""
    try:
        note = json.loads((folder / NOTE_NAME).read_bytes())
        return Holder(int(note["pid"]), str(note["program"]), float(note["since"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Holder(0, "", 0.0)
