"""Exact dense search: every vector of a collection in memory, compared with the question's."""

from __future__ import annotations

import threading
import time
from collections.abc import Container, Sequence
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rag.errors import EmbedderMismatch
from rag.store import saved
from rag.store.truth import Collection, Ids, Truth, Vector

_FEW = 4
"""Below the so-maniest part of all rows it is cheaper to take them out than to compare all."""
_RUN = 8
"""Rows that follow each other need not be copied; that pays from so many a run."""
_KEPT_SECONDS = 600.0
"""So long after the last question to chosen documents the vectors stay in memory for the next."""


@dataclass(frozen=True, slots=True)
class _Rows:
    """A collection's vectors at one revision: ``ids`` ascending, ``matrix`` row by row, both views of a larger
    ``buffer`` so that additions seldom copy. Searches under way keep their own views: rows are never moved. ``view`` is
    the file that they are a part of, if they are."""

    revision: int
    generation: int
    ids: Ids
    matrix: Vector
    buffer: Vector
    view: mmap | None = None

    @property
    def whole(self) -> bool:
        """Whether the file has not been cut short meanwhile, which would end the process that reads it."""
        return self.view is None or self.view.size() >= len(self.view)


class ExactSearch:
    """Exact cosine search over the truth, 4 bytes x dimension x passages of memory for each collection in use.

    Thread-safe. Every search sees the newest committed state, of this process or another: the rows are kept by
    revision, and a change of the collection costs only the rows that changed.
    """

    def __init__(self, truth: Truth, folder: Path | None = None) -> None:
        """``folder``: the library's, where a copy of the vectors is kept that is read faster than the truth."""
        self._truth = truth
        self._folder = folder
        self._lock = threading.Lock()
        self._loaded: dict[int, _Rows] = {}
        self._filtered: dict[int, float] = {}

    def search(
        self, collection: Collection, vector: npt.NDArray[Any], limit: int, within: Ids | None = None
    ) -> list[tuple[int, float]]:
        """The nearest passages: (passage id, cosine), best first, ties by id; only of ``within``, ascending, if given.

        Raises EmbedderMismatch.
        """
        rows = self._rows(collection)
        if within is None:
            return best(rows.ids, cosines(rows.matrix, vector), limit)
        self._filtered[collection.id] = time.monotonic()
        places = np.searchsorted(rows.ids, within)
        places = places[places < len(rows.ids)]
        places = places[np.isin(rows.ids[places], within, assume_unique=True)]
        if len(places) * _FEW < len(rows.ids):
            return best(rows.ids[places], _cosines_at(rows.matrix, places, vector), limit)
        return best(rows.ids[places], cosines(rows.matrix, vector)[places], limit)

    def scores(self, collection: Collection, vector: npt.NDArray[Any], ids: Sequence[int]) -> dict[int, float]:
        """The cosine of each of these passages; those that are gone are left out."""
        rows = self._rows(collection)
        wanted = np.unique(np.asarray(ids, dtype=np.int64))
        places = np.searchsorted(rows.ids, wanted)
        present = places < len(rows.ids)
        present[present] = rows.ids[places[present]] == wanted[present]
        found = cosines(rows.matrix[places[present]], vector)
        return {int(i): float(s) for i, s in zip(wanted[present], found, strict=True)}

    def size(self, collection: Collection) -> int:
        """The bytes that the collection's vectors take in memory, as far as the newest committed state says."""
        return self._truth.passages.count(collection.id) * 4 * collection.embedder.dimension

    def loaded(self, collection_id: int) -> bool:
        """Whether the collection's vectors are in memory."""
        return collection_id in self._loaded

    def forget(self, collection_id: int) -> None:
        """Free the memory of one collection, unless questions to chosen documents need it these minutes."""
        if time.monotonic() - self._filtered.get(collection_id, -_KEPT_SECONDS) < _KEPT_SECONDS:
            return
        with self._lock:
            self._loaded.pop(collection_id, None)

    def keep_only(self, collection_ids: Container[int]) -> None:
        """Free the memory of every other collection, and the disk where this process writes."""
        with self._lock:
            self._loaded = {number: rows for number, rows in self._loaded.items() if number in collection_ids}
        if self._folder is not None and self._truth.writer:
            saved.keep_only(self._folder, collection_ids)

    def save(self, collection: Collection) -> None:
        """Keep a copy of a large collection's vectors beside the truth, for whoever opens the library next."""
        if self._folder is not None and self._truth.writer:
            saved.save(self._truth, self._folder, collection)

    def drop_saved(self, collection: Collection) -> None:
        """Delete that copy."""
        if self._folder is not None and self._truth.writer:
            saved.drop(self._folder, collection.id)

    def expect_current(self, collection: Collection) -> Collection:
        """The collection as it is now. Raises EmbedderMismatch when it has another generation now."""
        now = self._truth.collections.get(collection.id)
        if now.generation != collection.generation:
            raise EmbedderMismatch(
                f"The collection {now.name!r} was embedded anew with {now.embedder.name} meanwhile.", hint="Ask again."
            )
        return now

    def _rows(self, collection: Collection) -> _Rows:
        with self._lock, self._truth.snapshot():
            old = self._loaded.get(collection.id)
            if old is not None and not old.whole:
                old = None
            at = self._truth.collections.revision(collection.id)
            if old is not None and old.revision == at and old.generation == collection.generation:
                return old
            now = self.expect_current(collection)
            if old is None or old.generation != now.generation:
                self._loaded.pop(collection.id, None)
                rows = self._saved(now, at) or _Rows(at, now.generation, *_twice(self._truth.vectors.all(now.id)))
            else:
                rows = _refresh(self._truth, now, old, at)
            self._loaded[collection.id] = rows
            return rows

    def _saved(self, collection: Collection, at: int) -> _Rows | None:
        """The rows as of the file beside the truth, brought up to date, if they agree with it."""
        found = saved.read(self._folder, collection) if self._folder is not None else None
        if found is None:
            return None
        rows = _Rows(found.revision, collection.generation, found.ids, found.matrix, found.matrix, found.view)
        if found.revision != at:
            rows = _refresh(self._truth, collection, rows, at)
        return rows if saved.agrees(self._truth, collection, rows.ids, rows.matrix) else None


def _twice(rows: tuple[Ids, Vector]) -> tuple[Ids, Vector, Vector]:
    return *rows, rows[1]


def _cosines_at(matrix: Vector, places: npt.NDArray[np.intp], vector: npt.NDArray[Any]) -> Vector:
    """The cosines of some rows, by ascending place, without a copy of those that follow each other."""
    ends = np.append(np.flatnonzero(np.diff(places) != 1) + 1, len(places)) if len(places) else places
    if len(ends) * _RUN > len(places):
        return cosines(matrix[places], vector)
    starts = np.append(0, ends[:-1])
    return np.concatenate(
        [cosines(matrix[places[a] : places[b - 1] + 1], vector) for a, b in zip(starts, ends, strict=True)]
    )


def cosines(matrix: Vector, vector: npt.NDArray[Any]) -> Vector:
    """The cosine of each unit row of ``matrix`` with ``vector``, in [-1, 1]; 0 for a zero vector.

    Raises EmbedderMismatch for another dimension.
    """
    query = np.asarray(vector, dtype=np.float32).reshape(-1)
    if len(query) != matrix.shape[1]:
        raise EmbedderMismatch(
            f"The question's vector has {len(query)} dimensions, the collection's {matrix.shape[1]}.",
            hint="Use the embedder that made the collection, or run `rag reindex`.",
        )
    norm = np.linalg.norm(query)
    if norm == 0 or not len(matrix):
        return np.zeros(len(matrix), dtype=np.float32)
    return np.clip(matrix @ (query / norm), -1.0, 1.0)


def best(ids: Ids, scores: Vector, limit: int) -> list[tuple[int, float]]:
    """The ``limit`` highest scores with their ids, best first, ties by id."""
    if limit < 1 or not len(ids):
        return []
    if limit < len(ids):
        edge = np.partition(scores, len(scores) - limit)[len(scores) - limit]
        keep = np.flatnonzero(scores >= edge)
        ids, scores = ids[keep], scores[keep]
    order = np.lexsort((ids, -scores))[:limit]
    return [(int(ids[i]), float(scores[i])) for i in order]


def _refresh(truth: Truth, collection: Collection, old: _Rows, at: int) -> _Rows:
    """The rows at a later revision: those that are gone taken out, new ones put at the end (ids only grow)."""
    now = truth.passages.ids(collection.id)
    stay = np.isin(old.ids, now, assume_unique=True)
    count = int(stay.sum())
    if count == len(old.ids):
        buffer = old.buffer
    else:
        buffer = old.matrix[stay]
    _, added = truth.vectors.some(collection.id, now[count:].tolist())
    if len(now) > len(buffer):
        larger = np.empty((len(now) + len(now) // 8, collection.embedder.dimension), dtype=np.float32)
        larger[:count] = buffer[:count]
        buffer = larger
    if len(added):
        buffer[count : len(now)] = added
    return _Rows(at, collection.generation, now, buffer[: len(now)], buffer)
