"""Embedding with any LlamaIndex ``BaseEmbedding``: one array in, checked and of unit length out; the built-in ones."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from llama_index.core.base.embeddings.base import BaseEmbedding
from pydantic import PrivateAttr, ValidationError

from rag.errors import ModelError
from rag.models import encoder as sentence
from rag.models.encoder import Encoder, shared_encoder
from rag.models.foreign import translated
from rag.models.static import DIMENSION, NAME, StaticVectors, static_vectors
from rag.platform.machine import cores

Matrix = npt.NDArray[np.float32]

BUILTIN = "builtin"
_MOST_THREADS = 4
_PROBE = "How long is a vector of this model?"
_HINT = "Choose another embedding model, or update this one."


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

    def embed_array(self, texts: Sequence[str]) -> Matrix:
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


class EncoderEmbedding(BaseEmbedding):
    """The sentence encoder that ships (English, 384 dimensions), on ``threads`` threads of this process."""

    threads: int = 1
    _encoder: Encoder = PrivateAttr()

    def __init__(self, encoder: Encoder | None = None, **kwargs: Any) -> None:
        super().__init__(model_name=sentence.NAME, **kwargs)
        self._encoder = encoder or shared_encoder()

    @classmethod
    def class_name(cls) -> str:
        """The name LlamaIndex records."""
        return "EncoderEmbedding"

    @property
    def dimension(self) -> int:
        """384."""
        return sentence.DIMENSION

    @property
    def digest(self) -> str:
        """SHA-256 of the weights."""
        return self._encoder.digest

    @property
    def hurried(self) -> EncoderEmbedding:
        """The same, on every core up to four, for when somebody waits."""
        return EncoderEmbedding(self._encoder, threads=min(_MOST_THREADS, cores()))

    @property
    def encoder(self) -> Encoder:
        """The model behind it."""
        return self._encoder

    def known(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """How well, in [0, 1], it knows each text's language; see ``Encoder.known``."""
        return self._encoder.known(texts)

    def embed_array(self, texts: Sequence[str]) -> Matrix:
        """Unit vectors of texts as one array, shape (len(texts), 384)."""
        return self._encoder.embed(texts, self.threads)

    def _get_text_embedding(self, text: str) -> list[float]:
        return [float(x) for x in self._encoder.embed([text])[0]]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return [[float(x) for x in row] for row in self.embed_array(texts)]

    def _get_query_embedding(self, query: str) -> list[float]:
        return [float(x) for x in self._encoder.embed_question(query)]

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_query_embedding(query)


@dataclass(frozen=True, slots=True)
class EmbedderFacts:
    """What is stored with a collection, so that it is only ever searched with the model that embedded it."""

    name: str
    digest: str
    dimension: int
    query_prefix: str
    document_prefix: str


def embed_documents(model: BaseEmbedding, texts: Sequence[str]) -> Matrix:
    """Unit vectors of passages, shape (len(texts), dimension), float32, C-contiguous.

    A blank text is not sent to the model and gives zeros, which are similar to nothing. Raises ModelError when the
    model gives another number of vectors, another dimension than its own, or a value that is no finite number.
    """
    filled = [index for index, text in enumerate(texts) if text.strip()]
    vectors = _embed_filled(model, [texts[index] for index in filled])
    out = np.zeros((len(texts), vectors.shape[1]), dtype=np.float32)
    out[filled] = vectors
    return out


def embed_query(model: BaseEmbedding, text: str) -> Matrix:
    """The unit vector of a question, shape (dimension,), float32; a blank one gives zeros. Raises ModelError."""
    if not text.strip():
        return np.zeros(_dimension(model), dtype=np.float32)
    with _refusing(model):
        row = model.get_query_embedding(text)
    vector: Matrix = _checked(model, [row], 1)[0]
    return vector


def asking(model: BaseEmbedding, text: str) -> Generator[None, None, None]:
    """What there is to wait for before ``embed_query``: yields while the model's server is silent, raises ModelError.

    A model that computes here yields nothing. Closing the generator ends the request.
    """
    steps = getattr(model, "asking", None)
    if steps is not None:
        yield from steps(text)


def describe_embedder(model: BaseEmbedding) -> EmbedderFacts:
    """Name, digest, dimension and prefixes; asks for one embedding where the model does not tell its dimension.

    The name is ``builtin``, ``ollama:NAME``, or ``CLASS/MODEL`` for any other model.
    """
    return EmbedderFacts(
        name=_name(model),
        digest=str(getattr(model, "digest", "")),
        dimension=_dimension(model),
        query_prefix=str(getattr(model, "query_prefix", "")),
        document_prefix=str(getattr(model, "document_prefix", "")),
    )


def _embed_filled(model: BaseEmbedding, texts: list[str]) -> Matrix:
    if not texts:
        return np.zeros((0, _dimension(model)), dtype=np.float32)
    embed_array = getattr(model, "embed_array", None)
    with _refusing(model):
        rows = model.get_text_embedding_batch(texts) if embed_array is None else embed_array(texts)
    return _checked(model, rows, len(texts))


@contextmanager
def _refusing(model: BaseEmbedding) -> Iterator[None]:
    """LlamaIndex checks what a model gives as well, and says so in its own way."""
    with translated(model):
        try:
            yield
        except ValidationError as error:
            raise ModelError(f"{_name(model)} gave something that is no vector.", hint=_HINT) from error


def _checked(model: BaseEmbedding, rows: object, count: int) -> Matrix:
    try:
        with np.errstate(over="ignore"):
            vectors = np.asarray(rows, dtype=np.float32)
    except (TypeError, ValueError, OverflowError) as error:
        raise ModelError(f"{_name(model)} gave vectors of different lengths or not of numbers.", hint=_HINT) from error
    if vectors.ndim != 2 or len(vectors) != count or not vectors.shape[1]:
        raise ModelError(
            f"{_name(model)} gave an array of shape {vectors.shape} for {count} texts.",
            hint=_HINT,
        )
    known = _known_dimension(model)
    if known and vectors.shape[1] != known:
        raise ModelError(f"{_name(model)} gave {vectors.shape[1]} dimensions instead of {known}.", hint=_HINT)
    if not np.isfinite(vectors).all():
        raise ModelError(f"{_name(model)} gave values that are no numbers.", hint=_HINT)
    return _unit(vectors)


def _unit(vectors: Matrix) -> Matrix:
    """Rows scaled to length 1, in float64 so that huge values do not overflow; zeros stay zeros."""
    wide = vectors.astype(np.float64)
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    return np.ascontiguousarray(wide / np.where(norms > 0, norms, 1), dtype=np.float32)


def _name(model: BaseEmbedding) -> str:
    """The name under which ``choose_embedder`` finds the model again, where it can."""
    if (kind := type(model).__name__) == "OllamaEmbedding":
        return f"ollama:{model.model_name}"
    if kind == "OpenAILikeEmbedding":
        return f"openai:{model.model_name}@{getattr(model, 'api_base', '')}"
    return BUILTIN if kind == "BuiltinEmbedding" else f"{model.class_name()}/{model.model_name}"


def _known_dimension(model: BaseEmbedding) -> int:
    value = getattr(model, "dimension", 0)
    return value if isinstance(value, int) else 0


def _dimension(model: BaseEmbedding) -> int:
    return _known_dimension(model) or _embed_filled(model, [_PROBE]).shape[1]
