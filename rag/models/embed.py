"""Embedding with any LlamaIndex ``BaseEmbedding`` or a built-in model: texts in, one array out, checked and of unit
length.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from rag.errors import ModelError
from rag.models import encoder as sentence
from rag.models import multilingual
from rag.models.encoder import Encoder, shared_encoder
from rag.models.multilingual import Multilingual, shared_multilingual
from rag.models.static import DIMENSION, NAME, StaticVectors, static_vectors
from rag.platform.machine import cores

Matrix = npt.NDArray[np.float32]

BUILTIN, MULTILINGUAL = "builtin", "multilingual"
_MOST_THREADS = 4
_PROBE = "How long is a vector of this model?"
_HINT = "Choose another embedding model, or update this one."


class Embedder(Protocol):
    """What is asked of an embedding model: as much of LlamaIndex's ``BaseEmbedding``, which every other model is, as is
    used here. The built-in ones are not made of it, since a question in a terminal would wait for its import (0.5 s).

    What else a model may have: ``embed_array``, ``asking``, ``hurried``, ``known``, ``load_soon``, ``dimension``,
    ``digest``, and the prefixes of questions and documents.
    """

    @property
    def model_name(self) -> str:
        """The model's name."""

    def get_query_embedding(self, query: str) -> list[float]:
        """The vector of a question."""

    def get_text_embedding_batch(self, texts: list[str]) -> list[list[float]]:
        """The vectors of documents."""


class _Own(ABC):
    """An embedding model that computes in this process."""

    @abstractmethod
    def embed_array(self, texts: Sequence[str]) -> Matrix:
        """Unit vectors of texts as one array, shape (len(texts), dimension)."""

    def get_query_embedding(self, query: str) -> list[float]:
        """The vector of a question."""
        return self.get_text_embedding(query)

    def get_text_embedding(self, text: str) -> list[float]:
        """The vector of a document."""
        return self.get_text_embedding_batch([text])[0]

    def get_text_embedding_batch(self, texts: list[str]) -> list[list[float]]:
        """The vectors of documents."""
        return [[float(x) for x in row] for row in self.embed_array(texts)]


class BuiltinEmbedding(_Own):
    """Static 256-dimensional embeddings; needs no server and no download."""

    model_name = NAME

    def __init__(self, vectors: StaticVectors | None = None) -> None:
        self.vectors = vectors or static_vectors()

    @property
    def dimension(self) -> int:
        """256."""
        return DIMENSION

    @property
    def digest(self) -> str:
        """SHA-256 of the weights."""
        return self.vectors.digest

    def embed_array(self, texts: Sequence[str]) -> Matrix:
        """Unit vectors of documents as one array, shape (len(texts), 256)."""
        return self.vectors.embed(texts)


class EncoderEmbedding(_Own):
    """The sentence encoder that ships (English, 384 dimensions), on ``threads`` threads of this process."""

    model_name = sentence.NAME

    def __init__(self, encoder: Encoder | None = None, threads: int = 1) -> None:
        self.encoder = encoder or shared_encoder()
        self.threads = threads

    @property
    def dimension(self) -> int:
        """384."""
        return sentence.DIMENSION

    @property
    def digest(self) -> str:
        """SHA-256 of the weights."""
        return self.encoder.digest

    @property
    def hurried(self) -> EncoderEmbedding:
        """The same, on every core up to four, for when somebody waits."""
        return EncoderEmbedding(self.encoder, threads=min(_MOST_THREADS, cores()))

    def load_soon(self) -> None:
        """Begin to load it in the background."""
        self.encoder.load_soon()

    def known(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """How well, in [0, 1], it knows each text's language; see ``Encoder.known``."""
        return self.encoder.known(texts)

    def embed_array(self, texts: Sequence[str]) -> Matrix:
        """Unit vectors of texts as one array, shape (len(texts), 384)."""
        return self.encoder.embed(texts, self.threads)

    def get_query_embedding(self, query: str) -> list[float]:
        """The vector of a question, remembered for a while."""
        return [float(x) for x in self.encoder.embed_question(query)]


class MultilingualEmbedding(_Own):
    """The embedding of the extra ``multilingual`` (16 languages, 512 dimensions). Raises ModelError without it."""

    model_name = multilingual.NAME

    def __init__(self, model: Multilingual | None = None) -> None:
        self.model = model or shared_multilingual()

    @property
    def dimension(self) -> int:
        """512."""
        return multilingual.DIMENSION

    @property
    def digest(self) -> str:
        """SHA-256 of the weights."""
        return self.model.digest

    def embed_array(self, texts: Sequence[str]) -> Matrix:
        """Vectors of texts as one array, shape (len(texts), 512)."""
        return self.model.embed(texts)


@dataclass(frozen=True, slots=True)
class EmbedderFacts:
    """What is stored with a collection, so that it is only ever searched with the model that embedded it."""

    name: str
    digest: str
    dimension: int
    query_prefix: str
    document_prefix: str


def embed_documents(model: Embedder, texts: Sequence[str]) -> Matrix:
    """Unit vectors of passages, shape (len(texts), dimension), float32, C-contiguous.

    A blank text is not sent to the model and gives zeros, which are similar to nothing. Raises ModelError when the
    model gives another number of vectors, another dimension than its own, or a value that is no finite number.
    """
    filled = [index for index, text in enumerate(texts) if text.strip()]
    vectors = _embed_filled(model, [texts[index] for index in filled])
    out = np.zeros((len(texts), vectors.shape[1]), dtype=np.float32)
    out[filled] = vectors
    return out


def embed_query(model: Embedder, text: str) -> Matrix:
    """The unit vector of a question, shape (dimension,), float32; a blank one gives zeros. Raises ModelError."""
    if not text.strip():
        return np.zeros(_dimension(model), dtype=np.float32)
    with _refusing(model):
        row = model.get_query_embedding(text)
    vector: Matrix = _checked(model, [row], 1)[0]
    return vector


def asking(model: Embedder, text: str) -> Generator[None, None, None]:
    """What there is to wait for before ``embed_query``: yields while the model's server is silent, raises ModelError.

    A model that computes here yields nothing. Closing the generator ends the request.
    """
    steps = getattr(model, "asking", None)
    if steps is not None:
        yield from steps(text)


def describe_embedder(model: Embedder) -> EmbedderFacts:
    """Name, digest, dimension and prefixes; asks for one embedding where the model does not tell its dimension.

    The name is ``builtin``, ``multilingual``, ``ollama:NAME``, or ``CLASS/MODEL`` for any other model.
    """
    return EmbedderFacts(
        name=_name(model),
        digest=str(getattr(model, "digest", "")),
        dimension=_dimension(model),
        query_prefix=str(getattr(model, "query_prefix", "")),
        document_prefix=str(getattr(model, "document_prefix", "")),
    )


def _embed_filled(model: Embedder, texts: list[str]) -> Matrix:
    if not texts:
        return np.zeros((0, _dimension(model)), dtype=np.float32)
    embed_array = getattr(model, "embed_array", None)
    with _refusing(model):
        rows = model.get_text_embedding_batch(texts) if embed_array is None else embed_array(texts)
    return _checked(model, rows, len(texts))


@contextmanager
def _refusing(model: Embedder) -> Iterator[None]:
    """LlamaIndex checks what a model gives as well, and says so in its own way."""
    if isinstance(model, _Own):
        yield
        return
    from pydantic import ValidationError

    from rag.models.foreign import translated

    with translated(model):
        try:
            yield
        except ValidationError as error:
            raise ModelError(f"{_name(model)} gave something that is no vector.", hint=_HINT) from error


def _checked(model: Embedder, rows: object, count: int) -> Matrix:
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


def _name(model: Embedder) -> str:
    """The name under which ``choose_embedder`` finds the model again, where it can."""
    if (kind := type(model).__name__) == "OllamaEmbedding":
        return f"ollama:{model.model_name}"
    if kind == "OpenAILikeEmbedding":
        return f"openai:{model.model_name}@{getattr(model, 'api_base', '')}"
    if kind in (own := {"BuiltinEmbedding": BUILTIN, "MultilingualEmbedding": MULTILINGUAL}):
        return own[kind]
    named = getattr(model, "class_name", None)  # LlamaIndex's own word for a class, which others may set
    return f"{kind if named is None else named()}/{model.model_name}"


def _known_dimension(model: Embedder) -> int:
    value = getattr(model, "dimension", 0)
    return value if isinstance(value, int) else 0


def _dimension(model: Embedder) -> int:
    return _known_dimension(model) or _embed_filled(model, [_PROBE]).shape[1]
