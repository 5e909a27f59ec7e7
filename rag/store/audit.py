"""A dense index is told what the truth holds. Does it hold that, and does it find it?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from rag.errors import StoreError
from rag.store.truth import Collection, Ids, Truth, Vector

State = Literal["ready", "rebuilding", "exact"]

SELF_HITS = 0.99
"""The share of sampled vectors that must find themselves, but for one: among many alike (67 passages of one sentence
repeated) Chroma's graph now and then leads past one of them."""

_ALL = 2**62
_SECOND_LOOK = 8
_NEAR = 5
_SAME = 0.9999


class IndexFailure(StoreError):
    """A dense index cannot be opened, read or written; it is rebuilt from the truth."""

    code = "index"
    hint = "Search goes on exactly, from the truth, while the index is rebuilt."


class Outdated(IndexFailure):
    """The collection was embedded anew while an index of the old vectors was at work."""


class VectorIndex(Protocol):
    """A derived index of ids and unit vectors. Every method raises IndexFailure when the engine fails."""

    def upsert(self, ids: Ids, vectors: Vector) -> None:
        """Add vectors, or replace those of known ids."""
        ...

    def delete(self, ids: Ids) -> None:
        """Take vectors out; unknown ids are ignored."""
        ...

    def query(self, vector: Vector, limit: int) -> Ids:
        """The ids of the nearest vectors by cosine, best first, at most ``limit``."""
        ...

    def ids(self) -> Ids:
        """Every id, ascending."""
        ...

    def flush(self) -> None:
        """Return once everything so far is on the disk."""
        ...

    def close(self) -> None:
        """Release memory and files."""
        ...


@dataclass(frozen=True, slots=True)
class AuditReport:
    """A dense index compared with the truth.

    ``missing`` passages are in the truth alone, ``extra`` ids in the index alone (both beyond the ``unsynced``
    changes still on their way); of ``sampled`` vectors ``self_hits`` found themselves. ``indexed`` is -1 and
    nothing is sampled when this process may not open the index (a reader), or there is none yet and it is this process
    that will make it (``own``): after a restore.
    """

    state: State
    passages: int
    indexed: int
    unsynced: int = 0
    missing: int = 0
    extra: int = 0
    sampled: int = 0
    self_hits: int = 0
    problem: str = ""
    own: bool = False

    @property
    def ok(self) -> bool:
        """Whether the index, as far as it was examined, agrees with the truth."""
        return not (self.problem or self.missing or self.extra) and _enough(self.self_hits, self.sampled)

    @property
    def hint(self) -> str:
        """What happens next; empty when all is well."""
        return "" if self.ok else "Search is exact meanwhile; the index is rebuilt when the library is next written to."

    def describe(self) -> str:
        """The report in one line."""
        if self.indexed < 0:
            index = "is made with the next document" if self.own else "belongs to the writing process"
            return f"{self.passages} passages, searched exactly; the index {index}"
        text = f"{self.passages} passages, {self.indexed} in the index"
        text += f", {self.self_hits} of {self.sampled} found themselves"
        faults = {"waiting": self.unsynced, "missing": self.missing, "too many": self.extra}
        text += "".join(f", {count} {name}" for name, count in faults.items() if count)
        return f"{text}; {self.problem}" if self.problem else text


def examine(truth: Truth, collection: Collection, index: VectorIndex, sample: int, state: State) -> AuditReport:
    """Compare the id sets, and query the index with ``sample`` of its own vectors, half of them the newest.

    An approximate index may miss itself once in a while: a poor first sample is followed by one eight times as large.
    Raises Outdated, and IndexFailure as the index does.
    """
    indexed = index.ids()
    with truth.snapshot():
        expect_current(truth, collection)
        expected = truth.passages.ids(collection.id)
        waiting = truth.outbox.changes(collection.id, _ALL)
    added = np.array([change.id for change in waiting if not change.removed], dtype=np.int64)
    removed = np.array([change.id for change in waiting if change.removed], dtype=np.int64)
    missing = np.setdiff1d(np.setdiff1d(expected, indexed), added)
    extra = np.setdiff1d(np.setdiff1d(indexed, expected), removed)
    both = np.intersect1d(expected, indexed)
    sampled, hits = _self_queries(truth, collection, index, _sample(both, sample))
    if not _enough(hits, sampled):
        sampled, hits = _self_queries(truth, collection, index, _sample(both, sample * _SECOND_LOOK))
    return AuditReport(
        state=state,
        passages=len(expected),
        indexed=len(indexed),
        unsynced=len(waiting),
        missing=len(missing),
        extra=len(extra),
        sampled=sampled,
        self_hits=hits,
    )


def _enough(hits: int, sampled: int) -> bool:
    return hits >= min(SELF_HITS * sampled, max(sampled - 1, min(sampled, 1)))


def drain(
    truth: Truth, collection: Collection, index: VectorIndex, most: int, ready: Callable[[int, int], None]
) -> int:
    """Tell an index what the outbox holds, ``most`` changes at once; how many they were.

    ``ready`` is called before each batch with its changes and those that were told before it, and may raise to stop.
    Raises Outdated, and IndexFailure.
    """
    told = 0
    while True:
        with truth.snapshot():
            expect_current(truth, collection)
            changes = truth.outbox.changes(collection.id, most)
            came = [change.id for change in changes if not change.removed]
            ids, vectors = truth.vectors.some(collection.id, came)
        if not changes:
            return told
        ready(len(changes), told)
        if len(ids):
            index.upsert(ids, vectors)
        if removed := [change.id for change in changes if change.removed]:
            index.delete(np.array(removed, dtype=np.int64))
        truth.outbox.told(collection.id, changes[-1].seq)
        told += len(changes)


def expect_current(truth: Truth, collection: Collection) -> None:
    """Raise Outdated when the collection has another generation by now."""
    if truth.collections.get(collection.id).generation != collection.generation:
        raise outdated(collection)


def outdated(collection: Collection) -> Outdated:
    """The error of a collection whose vectors are of another generation now."""
    return Outdated(f"The collection {collection.name!r} was embedded anew meanwhile.")


def _sample(ids: Ids, size: int) -> Ids:
    newest = ids[max(0, len(ids) - size // 2) :]
    older = ids[: len(ids) - len(newest)]
    drawn = np.random.default_rng().choice(older, min(len(older), size - len(newest)), replace=False)
    return np.concatenate((newest, drawn))


def _self_queries(truth: Truth, collection: Collection, index: VectorIndex, ids: Ids) -> tuple[int, int]:
    """How many vectors were asked for, and how many were found (or an equal one of another passage)."""

    def vectors_of(wanted: Ids) -> Vector:
        with truth.snapshot():
            expect_current(truth, collection)
            return truth.vectors.some(collection.id, wanted.tolist())[1]

    vectors = vectors_of(ids)
    vectors = vectors[np.any(vectors != 0, axis=1)]
    hits = 0
    for vector in vectors:
        near = vectors_of(index.query(vector, _NEAR))
        hits += bool(len(near) and np.max(near @ vector) >= _SAME)
    return len(vectors), hits
