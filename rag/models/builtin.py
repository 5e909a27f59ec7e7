"""The built-in embedder as a LlamaIndex ``BaseEmbedding``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from llama_index.core.base.embeddings.base import BaseEmbedding
from pydantic import PrivateAttr

from rag.models.static import DIMENSION, NAME, StaticVectors, static_vectors


class BuiltinEmbedding(BaseEmbedding):
    """Static 256-dimensional embeddings computed in this process; needs no server and no download."""

    _vectors: StaticVectors = PrivateAttr()

    def __init__(self, vectors: StaticVectors | None = None, **kwargs: Any) -> None:
        super().__init__(model_name=NAME, **kwargs)
        self._vectors = vectors or static_vectors()

    @property
    def dimension(self) -> int:
        """256."""
        return DIMENSION

    @property
    def digest(self) -> str:
        """SHA-256 of the weights."""
        return self._vectors.digest

    @property
    def vectors(self) -> StaticVectors:
        """The token vectors behind it."""
        return self._vectors

    def embed_array(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Unit vectors of documents as one array, shape (len(texts), 256)."""
        return self._vectors.embed(texts)

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._row(text)

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return [[float(x) for x in row] for row in self._vectors.embed(texts)]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._row(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._row(query)

    def _row(self, text: str) -> list[float]:
        return [float(x) for x in self._vectors.embed([text])[0]]
