"""Dense search over a library: exact from the truth, or through Chroma once a collection is large."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from rag.store.audit import AuditReport, IndexFailure, State, VectorIndex
from rag.store.chroma import ChromaIndex
from rag.store.exact import ExactSearch, best, cosines
from rag.store.truth import Collection, Ids, Truth, Vector
from rag.store.upkeep import Upkeep

EXACT_BYTES = 128_000_000
"""Up to this size of its vectors (4 bytes x dimension x passages) a collection is searched exactly. That misses
nothing, and up to here it is as fast: at 100,000 passages x 256 it takes 3-8 ms, and Chroma 5-8 ms where its graph is
searched widely enough to find 98 of 100. Beyond, Chroma saves time and memory."""

_FEW_CHANGES = 1_000
_FEW_PASSAGES = 20_000
"""Up to so many vectors are read from the file for one question (about 5 ms a thousand), rather than all of them
loaded."""


class DenseIndex:
    """Dense search over one library. Thread-safe.

    The writing process keeps a Chroma index of each collection in step with the truth; every other process, and
    this one while an index is small, missing or being rebuilt, searches the truth exactly.
    """

    def __init__(self, truth: Truth, exact: ExactSearch, upkeep: Upkeep | None) -> None:
        self._truth = truth
        self._exact = exact
        self._upkeep = upkeep

    @classmethod
    def open(cls, truth: Truth, folder: Path | None) -> Self:
        """Open the dense search of the library in ``folder``; without one it is exact always. Chroma is loaded when it
        is first needed."""
        exact = ExactSearch(truth)
        return cls(truth, exact, Upkeep(truth, folder, ChromaIndex) if truth.writer and folder is not None else None)

    def search(
        self, collection: Collection, vector: npt.NDArray[Any], limit: int, within: Ids | None = None
    ) -> list[tuple[int, float]]:
        """The nearest passages of the newest committed state: (passage id, cosine), best first; only of ``within``,
        ascending, if given, and then exactly.

        Raises EmbedderMismatch for a vector of another dimension or a collection embedded anew since.
        """
        index = self._index_for(collection)
        if within is not None and index is not None and len(within) <= _FEW_PASSAGES:
            return best(*self._scored(collection, vector, within), limit)
        if within is not None or index is None or self._upkeep is None:
            return self._exact.search(collection, vector, limit, within)
        try:
            return self._through(index, collection, vector, limit)
        except IndexFailure:
            self._upkeep.fail(collection, index)
            return self._exact.search(collection, vector, limit)

    def scores(self, collection: Collection, vector: npt.NDArray[Any], ids: Sequence[int]) -> dict[int, float]:
        """The cosine of each of these passages; those that are gone are left out. Raises EmbedderMismatch."""
        if self._exact.loaded(collection.id) or self._index_for(collection) is None:
            return self._exact.scores(collection, vector, ids)
        return {int(i): float(s) for i, s in zip(*self._scored(collection, vector, ids), strict=True)}

    def sync(self, collection: Collection | None = None) -> int:
        """Bring Chroma in step with the truth, for one collection or all; how many changes it had to be told.

        Call it after an ingest or a removal. A reader does nothing. Raises DiskFull, and IndexFailure when even a
        new index fails; the truth, and search, are unharmed by both.
        """
        if self._upkeep is None:
            self._tell_nobody()
            return 0
        alive = {one.id: one for one in self._truth.collections.list()}
        self._exact.keep_only(alive)
        self._upkeep.keep_only(alive)
        return sum(self._upkeep.sync(one) for one in alive.values() if collection is None or one.id == collection.id)

    def _tell_nobody(self) -> None:
        """Forget what an index would have to be told, where there is none: its first is built from the truth."""
        outbox = self._truth.outbox
        for one in self._truth.collections.list() if self._truth.writer else ():
            last = outbox.last(one.id)
            if last and outbox.pointer(one.id) is None:
                outbox.told(one.id, last)

    def catch_up(self, collection: Collection) -> None:
        """Begin to bring Chroma in step in the background, while more documents are parsed; ``sync`` ends it.

        Measured on 1,037 pages and two free cores: 3.7 s instead of 6.1 s.
        """
        if self._upkeep is not None:
            self._upkeep.wake(collection.id)

    def audit(self, collection: Collection, sample: int = 64) -> AuditReport:
        """Compare Chroma with the truth: id sets, and ``sample`` vectors that must find themselves."""
        if self._upkeep is not None:
            return self._upkeep.audit(collection, sample)
        return AuditReport("exact", self._truth.passages.count(collection.id), -1)

    def state(self, collection: Collection) -> State:
        """Whether Chroma is ``ready`` for this collection, ``rebuilding`` or not in use (``exact``)."""
        return "exact" if self._upkeep is None else self._upkeep.state(collection)

    def problem(self, collection: Collection) -> str:
        """Why Chroma's index of this collection cannot be used now; empty when it can, or is not needed."""
        return "" if self._upkeep is None else self._upkeep.problem(collection)

    def rebuild(self, collection: Collection) -> None:
        """Build the collection's Chroma index anew from the truth, without embedding; readers do nothing.

        It also frees what removed vectors left behind. Raises as ``sync`` does.
        """
        if self._upkeep is not None:
            self._upkeep.rebuild(collection)

    def compact(self) -> None:
        """Rebuild every collection's Chroma index and delete what was put aside; readers do nothing.

        In a process that never held them, no vector of a removed passage stays on the disk; Chroma writes memory it
        has not filled into its files, and that may hold what this process had before. Raises as ``sync`` does.
        """
        if self._upkeep is not None:
            for collection in self._truth.collections.list():
                self.rebuild(collection)
            self._upkeep.empty_quarantine()

    def close(self) -> None:
        """Stop what runs in the background and release every file."""
        if self._upkeep is not None:
            self._upkeep.close()

    def _scored(self, collection: Collection, vector: npt.NDArray[Any], ids: Sequence[int] | Ids) -> tuple[Ids, Vector]:
        """These passages, as far as they exist, and their cosines, from the truth."""
        with self._truth.snapshot():
            self._exact.expect_current(collection)
            found, matrix = self._truth.vectors.some(collection.id, [int(number) for number in ids])
        return found, cosines(matrix, vector)

    def _index_for(self, collection: Collection) -> VectorIndex | None:
        """The index to ask, or None to search exactly."""
        if self._upkeep is None or self._exact.size(collection) <= EXACT_BYTES:
            return None
        return self._upkeep.ready(collection)

    def _through(
        self, index: VectorIndex, collection: Collection, vector: npt.NDArray[Any], limit: int
    ) -> list[tuple[int, float]]:
        """Ask the index, then let the truth decide: gone passages fall out, those on their way come in, and the
        cosines are exact."""
        with self._truth.snapshot():
            self._exact.expect_current(collection)
            waiting = self._truth.outbox.changes(collection.id, _FEW_CHANGES + 1)
            if len(waiting) > _FEW_CHANGES:
                return self._exact.search(collection, vector, limit)
            query = np.asarray(vector, dtype=np.float32).reshape(-1)
            cosines(np.empty((0, collection.embedder.dimension), dtype=np.float32), query)
            removed = sum(change.removed for change in waiting)
            found = index.query(query, limit + removed)
            coming = (change.id for change in waiting if not change.removed)
            ids, matrix = self._truth.vectors.some(collection.id, [*found.tolist(), *coming])
        self._exact.forget(collection.id)
        return best(ids, cosines(matrix, query), limit)
