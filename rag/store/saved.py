"""A collection's vectors in one file that is mapped into memory: row by row from the truth, 300,000 take 2-5 s to read.

It is derived, like an index: written by the writing process beside the truth, replaced as a whole, and believed only
after it was compared with the truth. Whatever is wrong with it, it is as if it were not there.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rag.platform.files import open_private, sync
from rag.store.common import INDEX_FOLDER, are_units
from rag.store.truth import Collection, Ids, Truth, Vector

LEAST_BYTES = 16_000_000
"""Smaller collections are read from the truth in less than a tenth of a second."""

_HEAD = struct.Struct("<16s6q")
_MAGIC = b"rag vectors 1".ljust(16, b"\0")
_NAME = "vectors-"
_STEP = 4_096
_SAMPLE = 64
_SHARE, _REVISIONS = 8, 1_000
"""It is written anew once so large a part of the passages came or went, or after so many changes."""


@dataclass(frozen=True, slots=True)
class Saved:
    """The rows at one revision of a collection, ``ids`` ascending, as parts of the mapped file ``view``."""

    revision: int
    ids: Ids
    matrix: Vector
    view: mmap.mmap


def read(folder: Path, collection: Collection) -> Saved | None:
    """What was saved of the collection's present generation, sound in itself, or None."""
    try:
        with _path(folder, collection.id).open("rb") as stream:
            revision, count = _facts(stream.read(_HEAD.size), collection)
            width = _width(collection)
            if count < 1 or os.fstat(stream.fileno()).st_size != _HEAD.size + count * (8 + 4 * width):
                return None
            view = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):
        return None
    ids = np.frombuffer(view, dtype="<i8", count=count, offset=_HEAD.size)
    matrix = np.frombuffer(view, dtype="<f4", offset=_HEAD.size + 8 * count).reshape(count, width)
    return Saved(revision, ids, matrix, view) if np.all(ids[1:] > ids[:-1]) and are_units(matrix) else None


def agrees(truth: Truth, collection: Collection, ids: Ids, matrix: Vector, *, some_gone: bool) -> bool:
    """Whether some of these rows, the newest among them, are those that the truth has; ``some_gone``: as far as it
    still has them."""
    drawn = np.random.default_rng().integers(0, len(ids), _SAMPLE) if len(ids) else np.empty(0, dtype=np.int64)
    places = np.unique(np.append(drawn, np.arange(max(0, len(ids) - 4), len(ids))))
    found, rows = truth.vectors.some(collection.id, ids[places].tolist())
    there = places[np.isin(ids[places], found)]
    enough = len(there) > 0 if some_gone else len(there) == len(places)
    return enough and np.array_equal(rows, matrix[there])


def save(truth: Truth, folder: Path, collection: Collection) -> None:
    """Write the file of a large collection, unless the one that is there will do; little of it is in memory at once.

    Where it cannot be written the old one, or none, stays.
    """
    count = truth.passages.count(collection.id)
    revision = truth.collections.revision(collection.id)
    if count * 4 * _width(collection) < LEAST_BYTES or _will_do(folder, collection, revision, count):
        return
    path = _path(folder, collection.id)
    part = path.with_suffix(".part")
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with os.fdopen(open_private(part, empty=True), "wb") as stream:
            whole = _write(truth, collection, revision, stream.fileno())
        if whole:
            sync(part)
            part.replace(path)
    except OSError:
        whole = False
    if not whole:
        part.unlink(missing_ok=True)


def keep_only(folder: Path, collection_ids: Container[int]) -> None:
    """Delete the files of every other collection."""
    for path in (folder / INDEX_FOLDER).glob(f"{_NAME}*"):
        number = path.name.removeprefix(_NAME).partition(".")[0]
        if not number.isdigit() or int(number) not in collection_ids:
            path.unlink(missing_ok=True)


def drop(folder: Path, collection_id: int) -> None:
    """Delete a collection's file, which may hold vectors of what was removed."""
    _path(folder, collection_id).unlink(missing_ok=True)


def _write(truth: Truth, collection: Collection, revision: int, descriptor: int) -> bool:
    """Write the rows of what is there now, and whether all of it was still there in the end.

    The truth is not held: passages never change, and what is removed meanwhile makes the file useless.
    """
    ids = truth.passages.ids(collection.id)
    os.write(
        descriptor, _HEAD.pack(_MAGIC, collection.id, collection.generation, _width(collection), revision, len(ids), 0)
    )
    _write_all(descriptor, ids.astype("<i8").tobytes())
    for at in range(0, len(ids), _STEP):
        with truth.snapshot():
            if truth.collections.get(collection.id).generation != collection.generation:
                return False
            found, rows = truth.vectors.some(collection.id, ids[at : at + _STEP].tolist())
        if len(found) != len(ids[at : at + _STEP]):
            return False
        _write_all(descriptor, rows.astype("<f4").tobytes())
    return True


def _write_all(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def _will_do(folder: Path, collection: Collection, revision: int, count: int) -> bool:
    try:
        with _path(folder, collection.id).open("rb") as stream:
            saved, held = _facts(stream.read(_HEAD.size), collection)
    except OSError:
        return False
    return held >= 0 and abs(count - held) * _SHARE <= held and abs(revision - saved) <= _REVISIONS


def _facts(head: bytes, collection: Collection) -> tuple[int, int]:
    """The revision that a file is of, and how many rows it has; -1, if it is not of this generation."""
    if len(head) < _HEAD.size:
        return 0, -1
    magic, number, generation, width, revision, count, _ = _HEAD.unpack(head)
    same = (magic, number, generation, width) == (_MAGIC, collection.id, collection.generation, _width(collection))
    return revision, count if same else -1


def _width(collection: Collection) -> int:
    return collection.embedder.dimension


def _path(folder: Path, collection_id: int) -> Path:
    return folder / INDEX_FOLDER / f"{_NAME}{collection_id}"
