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
_MOST_MISSING = 20_000
"""So many new passages are read from the truth for a question rather than all rows brought up to date."""
_MOST_NEW = 2_000
"""So many new passages are read from the truth for a question to all."""
_NONE = np.empty(0, dtype=np.int64)
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
        if within is None:
            return self._among_all(collection, vector, limit)
        self._filtered[collection.id] = time.monotonic()
        rows = self._rows(collection, stale=True)
        places = _places(rows.ids, within)
        if len(within) - len(places) > _MOST_MISSING:
            rows = self._rows(collection)
            places = _places(rows.ids, within)
        missing = np.setdiff1d(within, rows.ids[places], assume_unique=True)
        new, added = missing, None
        if len(missing):
            with self._truth.snapshot():
                self.expect_current(collection)
                new, added = self._truth.vectors.some(collection.id, missing.tolist())
        if len(places) * _FEW < len(rows.ids):
            scores = _cosines_at(rows.matrix, places, vector)
        else:
            scores = cosines(rows.matrix, vector)[places]
        if added is None:
            return best(rows.ids[places], scores, limit)
        return best(np.append(rows.ids[places], new), np.append(scores, cosines(added, vector)), limit)

    def _among_all(self, collection: Collection, vector: npt.NDArray[Any], limit: int) -> list[tuple[int, float]]:
        """The nearest of all; a large collection is not brought up to date for a few changes: the new passages are read
        beside it, and of the nearest those are passed over that are gone."""
        rows = self._rows(collection, stale=True)
        with self._truth.snapshot():
            self.expect_current(collection)
            changed = rows.revision != self._truth.collections.revision(collection.id)
            last = int(rows.ids[-1]) if len(rows.ids) else 0
            new = self._truth.passages.newer(collection.id, last, _MOST_NEW + 1) if changed else _NONE
        if changed and (rows.matrix.nbytes < saved.LEAST_BYTES or len(new) > _MOST_NEW):
            rows, changed = self._rows(collection), False
        scores = cosines(rows.matrix, vector)
        found, wanted = best(rows.ids, scores, limit), limit
        if not changed:
            return found
        with self._truth.snapshot():
            self.expect_current(collection)
            while len(there := self._truth.passages.homes([number for number, _ in found])) < min(limit, len(found)):
                if wanted >= len(rows.ids):
                    break
                wanted *= 4
                found = best(rows.ids, scores, wanted)
            ids, matrix = self._truth.vectors.some(collection.id, new.tolist())
        found = [one for one in found if one[0] in there] + best(ids, cosines(matrix, vector), limit)
        return sorted(found, key=lambda one: (-one[1], one[0]))[:limit]

    def scores(self, collection: Collection, vector: npt.NDArray[Any], ids: Sequence[int]) -> dict[int, float]:
        """The cosine of each of these passages, at most some thousands; those that are gone are left out. Raises
        EmbedderMismatch.

        What is in memory is not brought up to date for them: a copy of a million rows takes seconds.
        """
        wanted = np.unique(np.asarray(ids, dtype=np.int64))
        with self._truth.snapshot():
            self.expect_current(collection)
            rows = self._loaded.get(collection.id)
            current = (self._truth.collections.revision(collection.id), collection.generation)
            if rows is None or (rows.revision, rows.generation) != current or not rows.whole:
                found, matrix = self._truth.vectors.some(collection.id, wanted.tolist())
            else:
                places = _places(rows.ids, wanted)
                found, matrix = rows.ids[places], rows.matrix[places]
        return {int(i): float(s) for i, s in zip(found, cosines(matrix, vector), strict=True)}

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

    def _rows(self, collection: Collection, *, stale: bool = False) -> _Rows:
        """The rows as they are now; ``stale``: or as they were, if they are at hand. A passage's vector never changes:
        only which passages there are can be out of date.

        Not to be called in a snapshot: who waits for the lock with one keeps a writer from ending, and that keeps the
        lock's holder from reading.
        """
        with self._lock, self._truth.snapshot():
            old = self._loaded.get(collection.id)
            if old is not None and not old.whole:
                old = None
            at = self._truth.collections.revision(collection.id)
            if old is not None and old.generation == collection.generation and (stale or old.revision == at):
                self.expect_current(collection)
                return old
            now = self.expect_current(collection)
            if old is None or old.generation != now.generation:
                self._loaded.pop(collection.id, None)
                rows = self._saved(now, at, stale=stale) or _Rows(
                    at, now.generation, *_twice(self._truth.vectors.all(now.id))
                )
            else:
                rows = _refresh(self._truth, now, old, at)
            self._loaded[collection.id] = rows
            return rows

    def _saved(self, collection: Collection, at: int, *, stale: bool) -> _Rows | None:
        """The rows as of the file beside the truth, brought up to date, if they agree with it."""
        found = saved.read(self._folder, collection) if self._folder is not None else None
        if found is None:
            return None
        rows = _Rows(found.revision, collection.generation, found.ids, found.matrix, found.matrix, found.view)
        if found.revision != at and not stale:
            rows = _refresh(self._truth, collection, rows, at)
        sound = saved.agrees(self._truth, collection, rows.ids, rows.matrix, some_gone=rows.revision != at)
        return rows if sound else None


def _places(ids: Ids, wanted: Ids) -> npt.NDArray[np.intp]:
    """Where those of the wanted numbers are that are there; both are ascending."""
    places = np.searchsorted(ids, wanted)
    inside = places < len(ids)
    places, wanted = places[inside], wanted[inside]
    return np.asarray(places[ids[places] == wanted])


def _twice(rows: tuple[Ids, Vector]) -> tuple[Ids, Vector, Vector]:
    return *rows, rows[1]


def _cosines_at(matrix: Vector, places: npt.NDArray[np.intp], vector: npt.NDArray[Any]) -> Vector:
    """The cosines of some rows, by ascending place, without a copy of those that follow each other."""
    ends = np.append(np.flatnonzero(np.diff(places) != 1) + 1, len(places)) if len(places) else places
    if len(ends) * _RUN >= len(places):  # or there is none
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
    # Row by row: what BLAS makes of the whole takes two and a half times as long, and its threads spin for more.
    return np.asarray(np.clip(np.vecdot(matrix, query / norm), -1.0, 1.0))


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
