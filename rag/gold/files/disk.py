"""Files of the gold set: written whole or not at all, one writer at a time, read back as what they were."""

from __future__ import annotations

import json
import os
from collections.abc import Hashable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from rag.errors import GoldError
from rag.platform.files import Busy, lock, open_private


def write_whole(path: Path, data: str | bytes) -> None:
    """Write ``path`` (folders above it are made) in one step: a reader sees the old file or the new one.

    A device or pipe is written to as it is; a link stays a link. Raises GoldError when it cannot be written.
    """
    data = data.encode("utf-8", "replace") if isinstance(data, str) else data
    target = path.resolve()
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        if target.exists() and not target.is_file():
            target.write_bytes(data)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_bytes(data)
            with suppress(FileNotFoundError):
                part.chmod(target.stat().st_mode & 0o777)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error


def append(path: Path, lines: str) -> None:
    """Add whole lines at the end of a file, in one piece. Raises GoldError when it cannot be written."""
    try:
        with path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(lines)
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> GoldError:
    """What to raise when ``path`` cannot be written."""
    return GoldError(f"Cannot write {path}: {error.strerror}.", hint="Choose another path, or make room.")


@contextmanager
def claimed(path: Path) -> Iterator[None]:
    """The sole right to write ``path``, which is made if it is not there; it ends with the block or the process.

    Raises GoldError at once when another process has it, or when the file cannot be written. What is locked is a file
    beside it, which is gone afterwards: Windows lets nobody write or rename what is locked.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.lock")
        descriptor = _locked(beside)
        path.touch()
    except Busy as error:
        raise GoldError(
            f"Another run is being written to {path}.", hint="Wait until it has ended, or choose another --out."
        ) from error
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        yield
    finally:
        # Before it is given back, so that nobody takes a lock that is about to vanish; Windows can only afterwards.
        with suppress(PermissionError):
            beside.unlink(missing_ok=True)
        os.close(descriptor)
        with suppress(PermissionError):
            beside.unlink(missing_ok=True)


def _locked(path: Path) -> int:
    while True:
        descriptor = open_private(path)
        try:
            lock(descriptor)
            # Whoever had it may have taken the file away in the meantime: then the name means another file now.
            if os.fstat(descriptor).st_ino == path.stat().st_ino:
                return descriptor
        except FileNotFoundError:
            pass
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)


T = TypeVar("T")


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def from_plain(kind: type[T], value: Any) -> T:
    """``value`` (parsed JSON) as a ``kind``: a dataclass of scalars, enums, tuples, mappings and dataclasses.

    Missing fields take their default and unknown ones are left out, so that files of older versions stay readable.
    Raises GoldError naming the field when a value cannot be of its type.
    """
    try:
        read: T = _adapter(cast(Hashable, kind)).validate_json(json.dumps(value), strict=True)
        return read
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, (kind.__name__, *first["loc"])))
        told = "is missing" if first["type"] == "missing" else first["msg"].removeprefix("Input ")
        raise GoldError(f"{where} {told}.", hint="The file is damaged; make it again.") from error
