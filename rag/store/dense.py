"""Dense search over a library: exact from the truth, or through Chroma once a collection is large.

Chroma is embedded where the library is a folder, and one server for every process where it is a database.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from math import inf
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from rag.store.audit import AuditReport, IndexFailure, State, VectorIndex
from rag.store.chroma import ChromaIndex
from rag.store.exact import ExactSearch, best, cosines
from rag.store.served import Election, Served
from rag.store.truth import Collection, Ids, Truth
from rag.store.upkeep import Upkeep

EXACT_BYTES = 128_000_000
"""Up to this size of its vectors (4 bytes x dimension x passages) a collection is searched exactly. That misses
nothing, and up to here it is as fast: at 100,000 passages x 256 it takes 3-8 ms, and Chroma 5-8 ms where its graph is
searched widely enough to find 98 of 100. Beyond, Chroma saves time and memory."""

STAND_IN_BYTES = 1_000_000_000
"""Up to this size a collection that belongs on a Chroma server is searched exactly while that cannot be asked: each
process then holds all of it in memory, a million passages x 250."""

_TOLD_TOGETHER = 5_000
_FEW_CHANGES = 1_000
_FEW_PASSAGES = 20_000
"""Up to so many vectors are read from the file for one question (about 5 ms a thousand), rather than all of them
loaded."""


class Keeper(Protocol):
    """What keeps the indexes of a library: ``Upkeep`` in a folder, ``Served`` on a server."""

    def ready(self, collection: Collection) -> VectorIndex | None: ...
    def state(self, collection: Collection) -> State: ...
    def problem(self, collection: Collection) -> str: ...
    def outlook(self, collection: Collection) -> str: ...
    def sync(self, collection: Collection) -> int: ...
    def rebuild(self, collection: Collection) -> None: ...
    def empty_quarantine(self) -> None: ...
    def audit(self, collection: Collection, sample: int) -> AuditReport: ...
    def fail(self, collection: Collection, index: VectorIndex, error: IndexFailure) -> None: ...
    def keep_only(self, collection_ids: Container[int]) -> None: ...
    def wake(self, collection_id: int) -> None: ...
    def close(self) -> None: ...


class DenseIndex:
    """Dense search over one library. Thread-safe.

    In a folder the writing process keeps a Chroma index of each collection in step with the truth; every other process,
    and this one while an index is small, missing or being rebuilt, searches the truth exactly. With a server every
    process asks it, and a collection of more than ``stand_in`` bytes is searched by it alone.
    """

    def __init__(self, truth: Truth, exact: ExactSearch, upkeep: Keeper | None, stand_in: float = inf) -> None:
        self._truth = truth
        self._exact = exact
        self._upkeep = upkeep
        self._stand_in = stand_in

    @classmethod
    def open(cls, truth: Truth, folder: Path | None) -> Self:
        """Open the dense search of the library in ``folder``; without one it is exact always. Chroma is loaded when it
        is first needed."""
        exact = ExactSearch(truth, folder)
        return cls(truth, exact, Upkeep(truth, folder, ChromaIndex) if truth.writer and folder is not None else None)

    @classmethod
    def on_server(cls, truth: Truth, address: str, election: Election | None) -> Self:
        """Search through the Chroma server at ``address``; who wins the ``election`` keeps it in step with the truth,
        and without one this process only asks. The server is looked for when it is first needed."""
        return cls(truth, ExactSearch(truth), Served(truth, address, election), STAND_IN_BYTES)

    def search(
        self, collection: Collection, vector: npt.NDArray[Any], limit: int, within: Ids | None = None
    ) -> list[tuple[int, float]]:
        """The nearest passages of the newest committed state: (passage id, cosine), best first; only of ``within``,
        ascending, if given, and then exactly.

        Raises EmbedderMismatch for a vector of another dimension or a collection embedded anew since, IndexFailure for
        a collection that only a server can search, which does not answer.
        """
        index = self._index_for(collection)
        large = self._too_large(collection)
        few = index is not None and within is not None and len(within) <= _FEW_PASSAGES
        if within is not None and (large or (few and not self._exact.loaded(collection.id))):
            return self._among(collection, vector, limit, within)
        if within is not None or index is None or self._upkeep is None:
            return self._exactly(collection, vector, limit, within)
        try:
            found = self._through(index, collection, vector, limit)
        except IndexFailure as error:
            self._upkeep.fail(collection, index, error)
            found = None
        return self._exactly(collection, vector, limit) if found is None else found

    def scores(self, collection: Collection, vector: npt.NDArray[Any], ids: Sequence[int]) -> dict[int, float]:
        """The cosine of each of these passages; those that are gone are left out. Raises EmbedderMismatch."""
        return self._exact.scores(collection, vector, ids)

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
        told = 0
        for one in alive.values():
            if collection is None or one.id == collection.id:
                told += self._upkeep.sync(one)
                self._exact.save(one)
        return told

    def _tell_nobody(self) -> None:
        """Forget what an index would have to be told, where there is none: its first is built from the truth."""
        outbox = self._truth.outbox
        for one in self._truth.collections.list() if self._truth.writer else ():
            last = outbox.last(one.id)
            if last and outbox.pointer(one.id) is None:
                outbox.told(one.id, last)

    def catch_up(self, collection: Collection, changes: int) -> bool:
        """Begin to bring Chroma in step in the background, while more documents are parsed, where there is no index
        yet, or once there are enough ``changes`` since it was last begun; whether it was. ``sync`` ends it.

        While a collection is searched exactly they may be many: told after each document instead of at once, the index
        of 20 documents of 4,228 passages takes 0.4 s of the processor more. It is begun with the first document, since
        one made later, of many, is made by a process of its own, whose start takes longer than all of that.
        """
        if self._upkeep is None:
            return False
        small = self._exact.size(collection) <= EXACT_BYTES
        if small and changes < _TOLD_TOGETHER and self._upkeep.state(collection) != "exact":
            return False
        self._upkeep.wake(collection.id)
        return True

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

    def outlook(self, collection: Collection) -> str:
        """What becomes of an index that cannot be used, as the beginning of a sentence."""
        return "" if self._upkeep is None else self._upkeep.outlook(collection)

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
                self._exact.drop_saved(collection)
                self.rebuild(collection)
                self._exact.save(collection)
            self._upkeep.empty_quarantine()

    def close(self) -> None:
        """Stop what runs in the background and release every file."""
        if self._upkeep is not None:
            self._upkeep.close()

    def _too_large(self, collection: Collection) -> bool:
        """Whether the collection is not for this process's memory."""
        return self._stand_in < inf and self._exact.size(collection) > self._stand_in

    def _exactly(
        self, collection: Collection, vector: npt.NDArray[Any], limit: int, within: Ids | None = None
    ) -> list[tuple[int, float]]:
        if self._too_large(collection):
            why = self.problem(collection) or "it is behind the documents, or being made"
            raise IndexFailure(
                f"The collection {collection.name!r} is too large ({self._exact.size(collection) / 1e6:.0f} MB of"
                f" vectors) to be searched without its index, which cannot be asked now: {why.rstrip('.')}.",
                hint="Check the Chroma server; the search goes on by itself when it answers.",
            )
        return self._exact.search(collection, vector, limit, within)

    def _among(
        self, collection: Collection, vector: npt.NDArray[Any], limit: int, within: Ids
    ) -> list[tuple[int, float]]:
        """The best of these passages, read piece by piece."""
        found: list[tuple[int, float]] = []
        with self._truth.snapshot():
            self._exact.expect_current(collection)
            for at in range(0, len(within), _FEW_PASSAGES):
                part = within[at : at + _FEW_PASSAGES].tolist()
                ids, matrix = self._truth.vectors.some(collection.id, part)
                found += best(ids, cosines(matrix, vector), limit)
        return sorted(found, key=lambda one: (-one[1], one[0]))[:limit]

    def _index_for(self, collection: Collection) -> VectorIndex | None:
        """The index to ask, or None to search exactly."""
        if self._upkeep is None or self._exact.size(collection) <= EXACT_BYTES:
            return None
        return self._upkeep.ready(collection)

    def _through(
        self, index: VectorIndex, collection: Collection, vector: npt.NDArray[Any], limit: int
    ) -> list[tuple[int, float]] | None:
        """Ask the index, then let the truth decide: gone passages fall out, those on their way come in, and the
        cosines are exact. None when too much is on its way."""
        few = _FEW_PASSAGES if self._too_large(collection) else _FEW_CHANGES
        with self._truth.snapshot():
            self._exact.expect_current(collection)
            waiting = self._truth.outbox.changes(collection.id, few + 1)
            if len(waiting) > few:
                return None
            query = np.asarray(vector, dtype=np.float32).reshape(-1)
            cosines(np.empty((0, collection.embedder.dimension), dtype=np.float32), query)
            removed = sum(change.removed for change in waiting)
            found = index.query(query, limit + removed)
            coming = (change.id for change in waiting if not change.removed)
            ids, matrix = self._truth.vectors.some(collection.id, [*found.tolist(), *coming])
        self._exact.forget(collection.id)
        return best(ids, cosines(matrix, query), limit)
