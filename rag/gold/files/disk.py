"""Files of the gold set: written whole or not at all, one writer at a time, read back as what they were."""

from __future__ import annotations

import fcntl
import os
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from rag.errors import GoldError


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


def unwritable(path: Path, error: OSError) -> GoldError:
    """What to raise when ``path`` cannot be written."""
    return GoldError(f"Cannot write {path}: {error.strerror}.", hint="Choose another path, or make room.")


@contextmanager
def claimed(path: Path) -> Iterator[None]:
    """The sole right to write ``path``, which is made if it is not there; it ends with the block or the process.

    Raises GoldError at once when another process has it, or when the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _locked(path)
    except BlockingIOError as error:
        raise GoldError(
            f"Another run is being written to {path}.", hint="Wait until it has ended, or choose another --out."
        ) from error
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        yield
    finally:
        os.close(descriptor)


def _locked(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever had it may have renamed the file in the meantime: then the name means another file now.
            if os.fstat(descriptor).st_ino == path.stat().st_ino:
                return descriptor
        except FileNotFoundError:
            pass
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)


T = TypeVar("T")


def from_plain(kind: type[T], value: Any) -> T:
    """``value`` (parsed JSON) as a ``kind``: a dataclass of scalars, enums, tuples, mappings and dataclasses.

    Missing fields take their default and unknown ones are left out, so that files of older versions stay readable.
    Raises GoldError naming the field when a value cannot be of its type.
    """
    built: T = _build(kind, value, kind.__name__)
    return built


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _build(kind: Any, value: Any, where: str) -> Any:
    origin = get_origin(kind)
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        return _build_union(get_args(kind), value, where)
    if origin is Literal:
        return value if value in get_args(kind) else _wrong(kind, value, where)
    if isinstance(kind, type) and is_dataclass(kind):
        return _build_dataclass(kind, value, where)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value) if value in [member.value for member in kind] else _wrong(kind, value, where)
    if origin is tuple:
        item = get_args(kind)[0]
        rows = value if isinstance(value, list | tuple) else _wrong(kind, value, where)
        return tuple(_build(item, row, f"{where}[{index}]") for index, row in enumerate(rows))
    if origin is not None and issubclass(origin, Mapping):
        item = get_args(kind)[1]
        rows = value if isinstance(value, Mapping) else _wrong(kind, value, where)
        return {str(key): _build(item, row, f"{where}.{key}") for key, row in rows.items()}
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return value if type(value) is kind else _wrong(kind, value, where)


def _build_union(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None:
        return None if type(None) in kinds else _wrong(kinds, value, where)
    for kind in kinds:
        if kind is not type(None):
            return _build(kind, value, where)
    return _wrong(kinds, value, where)


def _build_dataclass(kind: type[Any], value: Any, where: str) -> Any:
    if not isinstance(value, Mapping):
        _wrong(kind, value, where)
    hints: dict[str, Any] = _hints(kind)  # type: ignore[arg-type]
    given = {f.name: _build(hints[f.name], value[f.name], f"{where}.{f.name}") for f in fields(kind) if f.name in value}
    try:
        return kind(**given)
    except TypeError as error:
        raise GoldError(f"{where} lacks a field: {error}.", hint="The file is damaged; make it again.") from error


def _wrong(kind: Any, value: Any, where: str) -> Any:
    name = getattr(kind, "__name__", str(kind))
    raise GoldError(f"{where} should be {name}, not {str(value)[:80]!r}.", hint="The file is damaged; make it again.")
