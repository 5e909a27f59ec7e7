"""Ollama's chat models as LlamaIndex sees them: an ``LLM``. The embedding models are next door."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import closing
from typing import Any, TypeVar

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
    MessageRole,
)
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.llm import LLM
from pydantic import PrivateAttr

from rag.config import Config
from rag.models.families import think_setting
from rag.models.ollama_client import OllamaClient
from rag.models.ollama_embedding import OllamaEmbedding
from rag.models.ollama_values import ChatChunk
from rag.tokens import count

__all__ = ["OllamaClient", "OllamaEmbedding", "OllamaLLM"]

_ROLES = {
    MessageRole.SYSTEM: "system",
    MessageRole.DEVELOPER: "system",
    MessageRole.USER: "user",
    MessageRole.TOOL: "tool",
    MessageRole.FUNCTION: "tool",
}

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
            num_ctx=num_ctx,
            num_predict=min(config.num_predict, num_ctx // 4 if num_ctx < config.num_ctx else num_ctx // 2),
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
        """The answer as it comes. ``format`` (a JSON schema), ``num_predict`` and ``stop`` may be given."""
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
        return _in_thread(lambda: self.stream_chat(messages, **kwargs))

    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """``complete`` in a thread."""
        return await asyncio.to_thread(self.complete, prompt, formatted, **kwargs)

    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseAsyncGen:
        """``stream_complete`` in a thread."""
        return _in_thread(lambda: self.stream_complete(prompt, formatted, **kwargs))

    def _responses(
        self,
        messages: Sequence[ChatMessage],
        *,
        format: Mapping[str, Any] | str | None = None,  # noqa: A002 - Ollama's word
        num_predict: int | None = None,
        stop: Sequence[str] | None = None,
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
    return {"role": _ROLES.get(message.role, "assistant"), "content": message.content or ""}


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
    return ChatResponse(message=message, delta=chunk.text, raw=facts, additional_kwargs=facts)


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


async def _in_thread(start: Callable[[], Generator[Item, None, None]]) -> AsyncGenerator[Item, None]:
    """A generator's items, each awaited in a thread; closing this closes it."""
    items = await asyncio.to_thread(start)
    end = object()
    try:
        while (item := await asyncio.to_thread(next, items, end)) is not end:
            yield item  # type: ignore[misc]
    finally:
        items.close()
