"""Embedding a collection anew with another model, while the old vectors go on serving."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from rag.store.truth import Collection, EmbedderInfo, Truth
from rag.types import ReindexEvent

Embed = Callable[[Sequence[str]], npt.NDArray[np.float32]]

_BATCH = 128
"""Passages between two commits: what an interruption costs at most."""


def reindex(truth: Truth, collection: Collection, embedder: EmbedderInfo, embed: Embed) -> Iterator[ReindexEvent]:
    """Embed every passage with ``embedder`` and then switch to its vectors in one transaction.

    Resumes where an earlier run of the same embedder stopped. Closing the iterator keeps what is done. Documents put
    in meanwhile are embedded too before the switch.
    """
    generation = truth.begin_generation(collection, embedder)
    total = truth.pending_count(generation)
    started = time.perf_counter()
    done = 0
    while pending := truth.pending(generation, _BATCH):
        vectors = embed([text for _, text in pending])
        truth.put_vectors(generation, {key: row for (key, _), row in zip(pending, vectors, strict=True)})
        done += len(pending)
        total = max(total, done)
        left = (time.perf_counter() - started) / done * (total - done)
        yield ReindexEvent(done, total, left)
    truth.promote(generation)
