"""Ollama's embedding models as LlamaIndex sees them: a ``BaseEmbedding``."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from llama_index.core.base.embeddings.base import BaseEmbedding
from pydantic import PrivateAttr

from rag.config import Config
from rag.errors import ModelError, PromptTooLong
from rag.models.families import Prefixes, prefixes_for
from rag.models.ollama_client import EMBED_BATCH, OllamaClient, Split, finished
from rag.models.ollama_values import Vectors

# A text is refused by encoders above the server's batch size, min(2048, num_ctx); more window would only cost memory.
_EMBED_WINDOW = 2048
_SPECIAL_TOKENS = 16
_CHARACTERS_A_TOKEN = 2
_SHORTEST_HALVED = 32
_DIGEST_SECONDS = 5.0
_REMEMBERED = 256


class OllamaEmbedding(BaseEmbedding):
    """An embedding model. Vectors are of unit length; the prefixes of its family are put before every text."""

    dimension: int
    max_tokens: int
    num_ctx: int
    query_prefix: str = ""
    document_prefix: str = ""
    keep_alive: str = "10m"
    _client: OllamaClient = PrivateAttr()
    _digest: str = PrivateAttr()
    _digest_from: float = PrivateAttr()
    _questions: dict[str, Vectors] = PrivateAttr(default_factory=dict)
    _guard: threading.Lock = PrivateAttr(default_factory=threading.Lock)

    def __init__(self, client: OllamaClient, *, digest: str = "", **fields: Any) -> None:
        super().__init__(**fields)
        self._client = client
        self._digest, self._digest_from = digest, time.monotonic()

    @classmethod
    def class_name(cls) -> str:
        """The name LlamaIndex records."""
        return "OllamaEmbedding"

    @classmethod
    def open(
        cls, client: OllamaClient, name: str, config: Config, *, prefixes: Prefixes | None = None
    ) -> OllamaEmbedding:
        """The installed embedding model of that name; ``prefixes`` replace those of its family.

        Raises ModelMissing, WrongModelKind, ModelRefused, or what the connection raises.
        """
        info = client.require(name, "embedding", "embed")
        prefixes = prefixes or prefixes_for(name)
        num_ctx = min(info.context_length or _EMBED_WINDOW, _EMBED_WINDOW)
        options = {"num_ctx": num_ctx}
        dimension = info.embedding_length
        if not dimension:
            dimension = client.embed(name, ["dimension"], options=options, keep_alive=config.keep_alive).shape[1]
        return cls(
            client,
            model_name=name,
            embed_batch_size=EMBED_BATCH,
            digest=info.digest,
            dimension=dimension,
            max_tokens=num_ctx - _SPECIAL_TOKENS - _tokens_of(prefixes.document),
            num_ctx=num_ctx,
            query_prefix=prefixes.query,
            document_prefix=prefixes.document,
            keep_alive=config.keep_alive,
        )

    @property
    def client(self) -> OllamaClient:
        """The connection it uses."""
        return self._client

    @property
    def digest(self) -> str:
        """The digest of the model that the server has now, at most five seconds old; the last known one while the
        server cannot be asked. It changes when the model is pulled anew."""
        if time.monotonic() - self._digest_from > _DIGEST_SECONDS:
            with suppress(ModelError):
                self._digest = self._client.listed(self.model_name).digest or self._digest
            self._digest_from = time.monotonic()
        return self._digest

    @property
    def max_characters(self) -> int:
        """How long a passage may be so that it surely fits, at two characters a token (dense tables; words have 4)."""
        return self.max_tokens * _CHARACTERS_A_TOKEN

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def embed_array(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of passages, shape (len(texts), dimension); a blank text is not sent and gives zeros.

        A text over the model's limit is embedded in halves, whose mean stands for it: nothing of it is cut off.
        """
        out = np.zeros((len(texts), self.dimension), dtype=np.float32)
        filled = [index for index, text in enumerate(texts) if text.strip()]
        if filled:
            prefixed = [f"{self.document_prefix}{texts[index]}" for index in filled]
            out[filled] = finished(self._embedding(prefixed, self._halves))
        return out

    def embed_question(self, question: str) -> Vectors:
        """The unit vector of a question. One over the model's limit is cut at its end, since its start matters most."""
        return finished(self.asking(question))

    def asking(self, question: str) -> Generator[None, None, Vectors]:
        """``embed_question`` in steps, which yield while the server loads the model or does other things first.

        Closing the generator ends the request at once. The latest questions are remembered.
        """
        if not question.strip():
            return np.zeros(self.dimension, dtype=np.float32)
        with self._guard:
            known = self._questions.get(question)
        if known is not None:
            return known
        text = f"{self.query_prefix}{question}"
        try:
            vectors = yield from self._embedding([text])
        except PromptTooLong:
            vectors = yield from self._embedding([text[: max(self.max_tokens, 1)]])
        vector: Vectors = vectors[0]
        with self._guard:
            self._questions[question] = vector
            if len(self._questions) > _REMEMBERED:
                del self._questions[next(iter(self._questions))]
        return vector

    def _embedding(self, texts: Sequence[str], split: Split | None = None) -> Generator[None, None, Vectors]:
        vectors = yield from self._client.embedding(
            self.model_name, texts, options={"num_ctx": self.num_ctx}, keep_alive=self.keep_alive, split=split
        )
        if vectors.shape[1] != self.dimension:
            raise ModelError(
                f"The model {self.model_name} gave {vectors.shape[1]} dimensions instead of {self.dimension}.",
                hint="It was replaced by another of the same name; run `rag reindex`.",
            )
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.where(norms > 0, norms, 1), dtype=np.float32)

    def _halves(self, text: str) -> tuple[str, ...]:
        """A prefixed passage as two, cut at the white space nearest before its middle; none of one that is short."""
        own = text.removeprefix(self.document_prefix)
        if len(own) < _SHORTEST_HALVED:
            return ()
        middle = len(own) // 2
        space = max(own.rfind(" ", 1, middle), own.rfind("\n", 1, middle))
        cut = space if space > middle // 2 else middle
        return tuple(f"{self.document_prefix}{half}" for half in (own[:cut], own[cut:]) if half.strip())

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return [[float(x) for x in row] for row in self.embed_array(texts)]

    def _get_query_embedding(self, query: str) -> list[float]:
        return [float(x) for x in self.embed_question(query)]

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await asyncio.to_thread(self._get_query_embedding, query)

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return await asyncio.to_thread(self._get_text_embedding, text)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return await asyncio.to_thread(self._get_text_embeddings, texts)


def _tokens_of(prefix: str) -> int:
    return -(-len(prefix) // _CHARACTERS_A_TOKEN)
