"""Ollama's models as LlamaIndex sees them: chat models are an ``LLM``, embedding models a ``BaseEmbedding``."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, suppress
from typing import Any, Literal, TypeVar

import numpy as np
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
    LogProb,
    MessageRole,
)
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.llm import LLM
from pydantic import PrivateAttr

from rag.config import Config
from rag.errors import ModelError, PromptTooLong
from rag.models.client import EMBED_BATCH, ChatChunk, OllamaClient, Split, Vectors, finished
from rag.models.families import Prefixes, prefixes_for, think_setting
from rag.models.foreign import in_thread
from rag.tokens import count

__all__ = ["OllamaClient", "OllamaEmbedding", "OllamaLLM"]

_ROLES = {
    MessageRole.SYSTEM: "system",
    MessageRole.DEVELOPER: "system",
    MessageRole.USER: "user",
    MessageRole.TOOL: "tool",
    MessageRole.FUNCTION: "tool",
}

# A text is refused by encoders above the server's batch size, min(2048, num_ctx); more window would only cost memory.
_EMBED_WINDOW = 2048
_SPECIAL_TOKENS = 16
_CHARACTERS_A_TOKEN = 2
_SHORTEST_HALVED = 32
_DIGEST_SECONDS = 5.0
_REMEMBERED = 256

Item = TypeVar("Item")


class OllamaLLM(LLM):
    """A chat model. Every request has the same ``num_ctx``, so the server neither reloads it nor guesses a window.

    The last response of an answer carries, in ``raw`` and ``additional_kwargs``: ``done_reason``,
    ``prompt_eval_count`` and ``eval_count`` (tokens; also as ``prompt_tokens`` and ``completion_tokens``, the names
    LlamaIndex counts by), ``load_ms`` and ``total_ms``. While the server is silent, responses with an empty ``delta``
    come about five times a second, so that a caller can stop.
    """

    model_name: str
    digest: str = ""
    parameters: int = 0
    num_ctx: int
    num_predict: int
    temperature: float = 0.0
    seed: int = 0
    keep_alive: str = "10m"
    think: bool | str | None = False
    _client: OllamaClient = PrivateAttr()

    def __init__(self, client: OllamaClient, **fields: Any) -> None:
        super().__init__(**fields)
        self._client = client

    @classmethod
    def class_name(cls) -> str:
        """The name LlamaIndex records."""
        return "OllamaLLM"

    @classmethod
    def open(cls, client: OllamaClient, name: str, config: Config) -> OllamaLLM:
        """The installed chat model of that name, its window capped by what it was trained for.

        Where that makes the window smaller than configured, an answer gets a quarter of it at most.
        Raises ModelMissing, WrongModelKind, ModelRefused, or what the connection raises.
        """
        info = client.require(name, "completion", "chat")
        num_ctx = min(config.num_ctx, info.context_length or config.num_ctx)
        return cls(
            client,
            model_name=name,
            digest=info.digest,
            parameters=info.parameters,
            num_ctx=num_ctx,
            num_predict=min(config.answer_tokens, num_ctx // 4) if num_ctx < config.num_ctx else config.answer_tokens,
            temperature=config.temperature,
            seed=config.seed,
            keep_alive=config.keep_alive,
            think=think_setting(name),
        )

    @property
    def client(self) -> OllamaClient:
        """The connection it uses."""
        return self._client

    @property
    def metadata(self) -> LLMMetadata:
        """The window (prompt and answer together) and the room for the answer, in tokens."""
        return LLMMetadata(
            context_window=self.num_ctx,
            num_output=self.num_predict,
            is_chat_model=True,
            model_name=self.model_name,
        )

    def warm_up(self) -> None:
        """Have the server load the model, with the very options of the questions to come; read the token table, too."""
        count("")
        self._client.load(self.model_name, self._options(None), keep_alive=self.keep_alive)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """The whole answer at once; takes what ``stream_chat`` takes."""
        return _last(self._responses(messages, **kwargs))

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """The answer as it comes. ``format`` (a JSON schema), ``num_predict``, ``stop`` and ``top_logprobs`` (how many
        alternatives of each token to tell in ``logprobs``) may be given."""
        return self._responses(messages, **kwargs)

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """The whole answer to one user message."""
        return _completion(_last(self._responses([ChatMessage(prompt)], **kwargs)))

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        """The answer to one user message as it comes."""

        def responses() -> CompletionResponseGen:
            with closing(self._responses([ChatMessage(prompt)], **kwargs)) as answers:
                for response in answers:
                    yield _completion(response)

        return responses()

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """``chat`` in a thread."""
        return await asyncio.to_thread(self.chat, messages, **kwargs)

    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        """``stream_chat`` in a thread."""
        return in_thread(lambda: self.stream_chat(messages, **kwargs))

    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """``complete`` in a thread."""
        return await asyncio.to_thread(self.complete, prompt, formatted, **kwargs)

    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseAsyncGen:
        """``stream_complete`` in a thread."""
        return in_thread(lambda: self.stream_complete(prompt, formatted, **kwargs))

    def _responses(
        self,
        messages: Sequence[ChatMessage],
        *,
        format: Literal["json"] | Mapping[str, Any] | None = None,  # noqa: A002 - Ollama's word
        num_predict: int | None = None,
        stop: Sequence[str] | None = None,
        top_logprobs: int = 0,
    ) -> Generator[ChatResponse, None, None]:
        options = self._options(num_predict)
        if stop:
            options["stop"] = list(stop)
        chunks = self._client.chat(
            self.model_name,
            [_wire_message(message) for message in messages],
            options=options,
            keep_alive=self.keep_alive,
            think=self.think,
            format=format,
            top_logprobs=top_logprobs,
        )
        text = ""
        with closing(chunks):
            for chunk in chunks:
                text += chunk.text
                yield _response(chunk, text)

    def _options(self, num_predict: int | None) -> dict[str, Any]:
        return {
            "num_ctx": self.num_ctx,
            "num_predict": min(num_predict or self.num_predict, self.num_ctx),
            "temperature": self.temperature,
            "seed": self.seed,
        }


def _wire_message(message: ChatMessage) -> dict[str, str]:
    """``additional_kwargs["role"]`` names a role of the model's own template, which LlamaIndex does not know."""
    role = message.additional_kwargs.get("role") or _ROLES.get(message.role, "assistant")
    return {"role": role, "content": message.content or ""}


def _response(chunk: ChatChunk, text: str) -> ChatResponse:
    facts: dict[str, Any] = {}
    if chunk.thinking:
        facts["thinking"] = chunk.thinking
    if chunk.done:
        facts |= {
            "done_reason": chunk.done_reason,
            "prompt_eval_count": chunk.prompt_tokens,
            "eval_count": chunk.answer_tokens,
            "prompt_tokens": chunk.prompt_tokens,
            "completion_tokens": chunk.answer_tokens,
            "load_ms": chunk.load_ms,
            "total_ms": chunk.total_ms,
        }
    message = ChatMessage(role=MessageRole.ASSISTANT, content=text)
    odds = [[LogProb(token=token, logprob=logprob) for token, logprob in one] for one in chunk.odds]
    return ChatResponse(
        message=message, delta=chunk.text, raw=facts, additional_kwargs=facts, logprobs=odds or None
    )  # fmt: skip


def _last(responses: Generator[ChatResponse, None, None]) -> ChatResponse:
    """The final response, which holds the whole text."""
    final: ChatResponse | None = None
    with closing(responses):
        for response in responses:
            final = response
    assert final is not None, "a stream that ends without a last line raises"
    return ChatResponse(message=final.message, raw=final.raw, additional_kwargs=final.additional_kwargs)


def _completion(response: ChatResponse) -> CompletionResponse:
    return CompletionResponse(
        text=response.message.content or "",
        delta=response.delta,
        raw=response.raw,
        additional_kwargs=response.additional_kwargs,
    )


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
