"""Dense search over a library: what retrieval holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy.typing as npt

from rag.store.catalog import Collection
from rag.store.exact import ExactSearch
from rag.store.truth import Truth


class DenseIndex:
    """Dense search over one library. Thread-safe."""

    def __init__(self, truth: Truth, folder: Path) -> None:
        self._truth = truth
        self._folder = folder
        self._exact = ExactSearch(truth)

    @classmethod
    def open(cls, truth: Truth, folder: Path) -> Self:
        """Open the dense index of the library in ``folder``."""
        return cls(truth, folder)

    def search(self, collection: Collection, vector: npt.NDArray[Any], limit: int) -> list[tuple[int, float]]:
        """The nearest passages: (passage id, cosine), best first."""
        return self._exact.search(collection, vector, limit)

    def scores(self, collection: Collection, vector: npt.NDArray[Any], ids: Sequence[int]) -> dict[int, float]:
        """The cosine of each of these passages; those that are gone are left out."""
        return self._exact.scores(collection, vector, ids)

    def close(self) -> None:
        """Release everything."""
