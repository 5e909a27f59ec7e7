"""Dense search over a library: exact from the truth, or through Chroma once a collection is large."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
import numpy.typing as npt

from rag.store.audit import AuditReport, IndexFailure, State, VectorIndex
from rag.store.catalog import Collection
from rag.store.documents import Vector
from rag.store.exact import ExactSearch, Ids, best, cosines
from rag.store.fingerprint import settle
from rag.store.generations import passage_ids, some_vectors
from rag.store.keeper import Keeper
from rag.store.truth import Truth

if TYPE_CHECKING:
    from chromadb.api.client import Client
    from chromadb.api.collection_configuration import CreateCollectionConfiguration

__all__ = ["AuditReport", "ChromaIndex", "DenseIndex", "IndexFailure", "State", "VectorIndex"]

EXACT_BYTES = 128_000_000
"""Up to this size of its vectors (4 bytes x dimension x passages) a collection is searched exactly. That misses
nothing, and up to here it is as fast: at 100,000 passages x 256 it takes 3-8 ms, and Chroma 5-8 ms where its graph is
searched widely enough to find 98 of 100. Beyond, Chroma saves time and memory."""

_NAME = "passages"
_FEW_CHANGES = 1_000
_PARAMETERS: CreateCollectionConfiguration = {
    "hnsw": {
        "space": "cosine",
        "max_neighbors": 16,
        "ef_construction": 100,
        "ef_search": 3_200,
        "sync_threshold": 1_000,
        "batch_size": 100,
    }
}
"""Measured at 100,000 real passages x 256: recall@50 is 0.72 with Chroma's ef_search of 100, 0.98 with 3,200, at
4.9 ms a query; a graph with 32 neighbours needs half the search for the same but twice the time to build. Up to
``sync_threshold`` changes are told to the graph again whenever the index is opened."""


class ChromaIndex:
    """A ``VectorIndex`` in a folder of its own, kept by Chroma inside this process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with _failures(folder):
            from chromadb import PersistentClient
            from chromadb.config import Settings

            self._client = cast("Client", PersistentClient(str(folder), Settings(anonymized_telemetry=False)))
            try:
                self._collection = self._client.get_or_create_collection(
                    _NAME, configuration=_PARAMETERS, embedding_function=None
                )
            except BaseException:
                self._client.close()
                raise

    def upsert(self, ids: Ids, vectors: Vector) -> None:
        """Add vectors, or replace those of known ids; at most 5,461 at once."""
        with _failures(self._folder):
            self._collection.upsert(ids=[str(i) for i in ids], embeddings=vectors)

    def delete(self, ids: Ids) -> None:
        """Take vectors out; unknown ids are ignored."""
        with _failures(self._folder):
            self._collection.delete(ids=[str(i) for i in ids])

    def query(self, vector: Vector, limit: int) -> Ids:
        """The ids of the nearest vectors by cosine, best first, at most ``limit``."""
        with _failures(self._folder):
            found = self._collection.query(query_embeddings=vector.reshape(1, -1), n_results=limit, include=[])
            return np.array(found["ids"][0], dtype=np.int64)

    def ids(self) -> Ids:
        """Every id, ascending."""
        with _failures(self._folder):
            return np.sort(np.array(self._collection.get(include=[])["ids"], dtype=np.int64))

    def flush(self) -> None:
        """Return once everything so far is on the disk."""
        with _failures(self._folder):
            # Chroma applies what it was told when it is next read.
            self._collection.get(limit=1, include=[])
            settle(self._folder)

    def close(self) -> None:
        """Release memory and files."""
        with _failures(self._folder):
            self._client.close()


class DenseIndex:
    """Dense search over one library. Thread-safe.

    The writing process keeps a Chroma index of each collection in step with the truth; every other process, and
    this one while an index is small, missing or being rebuilt, searches the truth exactly.
    """

    def __init__(self, truth: Truth, exact: ExactSearch, keeper: Keeper | None) -> None:
        self._truth = truth
        self._exact = exact
        self._keeper = keeper

    @classmethod
    def open(cls, truth: Truth, folder: Path) -> Self:
        """Open the dense search of the library in ``folder``. Chroma is loaded when it is first needed."""
        exact = ExactSearch(truth)
        return cls(truth, exact, Keeper(truth, folder, ChromaIndex) if truth.writer else None)

    def search(self, collection: Collection, vector: npt.NDArray[Any], limit: int) -> list[tuple[int, float]]:
        """The nearest passages of the newest committed state: (passage id, cosine), best first.

        Raises EmbedderMismatch for a vector of another dimension or a collection embedded anew since.
        """
        index = self._index_for(collection)
        if index is None or self._keeper is None:
            return self._exact.search(collection, vector, limit)
        try:
            return self._through(index, collection, vector, limit)
        except IndexFailure:
            self._keeper.fail(collection, index)
            return self._exact.search(collection, vector, limit)

    def scores(self, collection: Collection, vector: npt.NDArray[Any], ids: Sequence[int]) -> dict[int, float]:
        """The cosine of each of these passages; those that are gone are left out. Raises EmbedderMismatch."""
        if self._exact.loaded(collection.id) or self._index_for(collection) is None:
            return self._exact.scores(collection, vector, ids)
        with self._truth.reading() as connection:
            self._exact.expect_current(connection, collection)
            found, matrix = some_vectors(connection, collection, ids)
        return {int(i): float(s) for i, s in zip(found, cosines(matrix, vector), strict=True)}

    def sync(self, collection: Collection | None = None) -> int:
        """Bring Chroma in step with the truth, for one collection or all; how many changes it had to be told.

        Call it after an ingest or a removal. A reader does nothing. Raises DiskFull, and IndexFailure when even a
        new index fails; the truth, and search, are unharmed by both.
        """
        if self._keeper is None:
            return 0
        alive = {one.id: one for one in self._truth.collections()}
        self._exact.keep_only(alive)
        self._keeper.keep_only(alive)
        return sum(self._keeper.sync(one) for one in alive.values() if collection is None or one.id == collection.id)

    def catch_up(self, collection: Collection) -> None:
        """Begin to bring Chroma in step in the background, while more documents are parsed; ``sync`` ends it.

        Measured on 1,037 pages and two free cores: 3.7 s instead of 6.1 s.
        """
        if self._keeper is not None:
            self._keeper.wake(collection.id)

    def audit(self, collection: Collection, sample: int = 64) -> AuditReport:
        """Compare Chroma with the truth: id sets, and ``sample`` vectors that must find themselves."""
        if self._keeper is not None:
            return self._keeper.audit(collection, sample)
        with self._truth.reading() as connection:
            return AuditReport("exact", len(passage_ids(connection, collection.id)), -1)

    def state(self, collection: Collection) -> State:
        """Whether Chroma is ``ready`` for this collection, ``rebuilding`` or not in use (``exact``)."""
        return "exact" if self._keeper is None else self._keeper.state(collection)

    def problem(self, collection: Collection) -> str:
        """Why Chroma's index of this collection cannot be used now; empty when it can, or is not needed."""
        return "" if self._keeper is None else self._keeper.problem(collection)

    def rebuild(self, collection: Collection) -> None:
        """Build the collection's Chroma index anew from the truth, without embedding; readers do nothing.

        It also frees what removed vectors left behind. Raises as ``sync`` does.
        """
        if self._keeper is not None:
            self._keeper.rebuild(collection)

    def compact(self) -> None:
        """Rebuild every collection's Chroma index and delete what was put aside; readers do nothing.

        In a process that never held them, no vector of a removed passage stays on the disk; Chroma writes memory it
        has not filled into its files, and that may hold what this process had before. Raises as ``sync`` does.
        """
        if self._keeper is not None:
            for collection in self._truth.collections():
                self.rebuild(collection)
            self._keeper.empty_quarantine()

    def close(self) -> None:
        """Stop what runs in the background and release every file."""
        if self._keeper is not None:
            self._keeper.close()

    def _index_for(self, collection: Collection) -> VectorIndex | None:
        """The index to ask, or None to search exactly."""
        if self._keeper is None or self._exact.size(collection) <= EXACT_BYTES:
            return None
        return self._keeper.ready(collection)

    def _through(
        self, index: VectorIndex, collection: Collection, vector: npt.NDArray[Any], limit: int
    ) -> list[tuple[int, float]]:
        """Ask the index, then let the truth decide: gone passages fall out, those on their way come in, and the
        cosines are exact."""
        with self._truth.reading() as connection:
            self._exact.expect_current(connection, collection)
            waiting = connection.execute(
                "SELECT passage_id, removed FROM outbox WHERE collection_id = ? LIMIT ?",
                (collection.id, _FEW_CHANGES + 1),
            ).fetchall()
            if len(waiting) > _FEW_CHANGES:
                return self._exact.search(collection, vector, limit)
            query = np.asarray(vector, dtype=np.float32).reshape(-1)
            cosines(np.empty((0, collection.embedder.dimension), dtype=np.float32), query)
            removed = sum(gone for _, gone in waiting)
            found = index.query(query, limit + removed)
            ids, matrix = some_vectors(
                connection, collection, [*found.tolist(), *(number for number, gone in waiting if not gone)]
            )
        self._exact.forget(collection.id)
        return best(ids, cosines(matrix, query), limit)


@contextmanager
def _failures(folder: Path) -> Iterator[None]:
    """Turn whatever Chroma raises into IndexFailure: its own errors, SQLite's, and panics of its Rust part, which
    are no ``Exception``."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, GeneratorExit, IndexFailure):
        raise
    except BaseException as error:
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise IndexFailure(f"Chroma failed in {folder}: {error}") from error
        raise
