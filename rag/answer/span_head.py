"""Which tokens of a passage answer a question: a small head on the encoder's token vectors, fitted.

The encoder tells what speaks of the same, not whether the answer stands there. The head is fitted to point at the
tokens that answer, and at none where the passages do not, as of SQuAD 2's models ("Know What You Don't Know", 2018).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rag.answer.synonymy import Array
from rag.models.encoder import Matrix

FILE = Path(__file__).parents[1] / "data" / "span_head.npz"
"""Written by ``python -m tests.bench.fit_answer span``, from the tuned halves of the public data and the samples."""

BESIDE = 12
"""So many tokens to either side are a token's neighbourhood."""
_LOWEST = 0.25


@dataclass(frozen=True, slots=True)
class SpanHead:
    """A token's log-odds of being of the answer: the product of what the question is mapped to by ``asked``, of shape
    (768, rank), and the token by ``told``, of shape (384, rank), both less their ``mean``, plus ``near`` by what
    ``neighbourhood`` says of the token, plus ``bias``."""

    asked: Array
    told: Array
    mean: Array
    near: Array
    bias: float

    def log_odds(self, question: Array, tokens: Matrix, near: Array) -> Array:
        """For each of n tokens that it is of the answer, against that none of them is: shape (n,)."""
        mapped = (question - np.tile(self.mean, 2)) @ self.asked
        return np.asarray((tokens - self.mean) @ (self.told @ mapped) + near @ self.near + self.bias, dtype=np.float64)


def asking(vectors: Matrix, asks: npt.NDArray[np.bool_]) -> Array:
    """What the head takes of a question: the mean of its tokens' ``vectors``, then of those that ask, or all again."""
    mean = vectors.mean(axis=0)
    return np.concatenate([mean, vectors[asks].mean(axis=0) if asks.any() else mean]).astype(np.float64)


def neighbourhood(
    cosines: npt.NDArray[np.float32], weights: Array, sentences: Iterable[npt.NDArray[np.bool_]]
) -> Array:
    """What stands around each of n tokens, shape (n, 5), by its ``cosines`` with the question's tokens, a row each: how
    near the token is to one of them; how near they find its neighbourhood, on average by ``weights``, and the farthest
    quarter of them; how near they find its sentence, 0 where it is in none; and the passage, on average."""
    padded = np.pad(cosines, ((0, 0), (BESIDE, BESIDE)), constant_values=-1.0)
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * BESIDE + 1, axis=1).max(axis=-1)
    lowest = np.sort(around, axis=0)[: max(1, round(_LOWEST * len(around)))].mean(axis=0)
    own = np.zeros(cosines.shape[1])
    for inside in sentences:
        own[inside] = weights @ cosines[:, inside].max(axis=1)
    whole = np.full(cosines.shape[1], weights @ cosines.max(axis=1))
    return np.column_stack([cosines.max(axis=0), weights @ around, lowest, own, whole]).astype(np.float64)


@cache
def span_head(path: Path = FILE) -> SpanHead:
    """The head that ships."""
    with np.load(path, allow_pickle=False) as kept:
        return SpanHead(
            **{n: kept[n].astype(np.float64) for n in ("asked", "told", "mean", "near")}, bias=float(kept["bias"])
        )
