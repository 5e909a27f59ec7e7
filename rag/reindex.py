"""Embedding a collection anew with another model, while the old vectors go on serving."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

import numpy as np
import numpy.typing as npt

from rag.errors import ModelError
from rag.store.truth import Collection, EmbedderInfo, Truth
from rag.types import ReindexEvent

Embed = Callable[[Sequence[str]], npt.NDArray[np.float32]]

_FETCH = 512
_BATCH = 32
"""Passages between two commits: what an interruption costs at most. One request of an embedding server."""


def wanted_embedder(truth: Truth, collection: Collection, configured: str) -> str:
    """The embedder that a reindex without a name means: of an unfinished one, else the configured, else the present."""
    unfinished = truth.vectors.unfinished(collection.id)
    if unfinished is not None:
        return unfinished.name
    return collection.embedder.name if configured == "auto" else configured


def reindex(
    truth: Truth,
    collection: Collection,
    describe: Callable[[], EmbedderInfo],
    embed: Embed,
    *,
    quiet: AbstractContextManager[object],
) -> Iterator[ReindexEvent]:
    """Embed every passage with ``embed`` and then switch to its vectors in one transaction.

    ``describe`` tells which embedder that is, now: when it was replaced by another version meanwhile, ModelError is
    raised and nothing is switched, since its vectors would be mixed.

    Resumes where an earlier run of the same embedder stopped. Closing the iterator keeps what is done. Documents put
    in meanwhile are embedded too: ``quiet`` is entered for the last of them and the switch, and keeps others out.
    """
    embedder = describe()
    generation = truth.vectors.begin(collection, embedder)
    progress = _Progress(truth.vectors.pending_count(generation))
    for count in fill(truth, generation, embed):
        if progress.done + count > progress.total:
            progress.total = progress.done + count + truth.vectors.pending_count(generation)
        yield progress.advance(count)
    with quiet:
        last = sum(fill(truth, generation, embed))
        if describe() != embedder:
            raise ModelError(
                f"The embedder {embedder.name} was replaced by another version while it embedded the passages.",
                hint="Run `rag reindex` again; the old vectors serve until then.",
            )
        truth.vectors.promote(generation)
    if last:
        progress.total += last
        yield progress.advance(last)


def fill(truth: Truth, generation: int, embed: Embed) -> Iterator[int]:
    """Embed what is pending, a durable batch at a time; how many passages each had."""
    while pending := truth.vectors.pending(generation, _FETCH):
        for first in range(0, len(pending), _BATCH):
            batch = pending[first : first + _BATCH]
            vectors = embed([text for _, text in batch])
            truth.vectors.put(generation, {key: row for (key, _), row in zip(batch, vectors, strict=True)})
            yield len(batch)


class _Progress:
    """How far it is, and how long the rest takes at the pace so far."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0
        self._started = time.perf_counter()

    def advance(self, count: int) -> ReindexEvent:
        self.done += count
        left = (time.perf_counter() - self._started) / self.done * (self.total - self.done)
        return ReindexEvent(self.done, self.total, left)
