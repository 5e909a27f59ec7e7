"""Models of other packages, and servers that speak OpenAI's protocol: what their clients raise becomes a ModelError.

``openai:MODEL@http://host:port/v1`` names a model of llama.cpp's, vLLM's, LM Studio's, LocalAI's or any such server. It
is reached by LlamaIndex's OpenAI-like models, which the extra ``openai`` installs. Documents stay on this machine: a
server on another one is refused unless ``allow_remote`` is set. A key comes from the environment only, from
``OPENAI_API_KEY``.
"""

from __future__ import annotations

import asyncio
import os
import re
import weakref
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.llms.llm import LLM

from rag.config import Config
from rag.errors import (
    ConfigError,
    DamagedDocument,
    EmptyDocument,
    ModelError,
    ModelMissing,
    ModelRefused,
    ModelTimeout,
    PromptTooLong,
    RagError,
    ServerBusy,
    ServerError,
    ServerNotRunning,
    ServerUnreachable,
    StreamBroken,
    WrongModelKind,
)
from rag.models.host import is_loopback, redact

if TYPE_CHECKING:
    from llama_index.core.node_parser import NodeParser
    from llama_index.core.readers.base import BaseReader

if TYPE_CHECKING:
    from llama_index.core.base.embeddings.base import BaseEmbedding

Item = TypeVar("Item")

OPENAI = "openai:"
_NO_KEY = "none"
_TOO_LONG = re.compile(r"exceed\w*.{0,60}(?:context|window)|context (?:length|window|size)|too long", re.IGNORECASE)
# What a status means to every server of the kind.
_BY_STATUS: dict[int, tuple[type[ModelError], str]] = {
    401: (ModelRefused, "Set OPENAI_API_KEY to a key that this server takes."),
    403: (ModelRefused, "Set OPENAI_API_KEY to a key that this server takes."),
    404: (ModelMissing, "Check the model's name, and that the address ends as the server's documentation says."),
    429: (ServerBusy, "Wait a moment and ask again."),
    503: (ServerBusy, "Wait until the server has loaded the model, and ask again."),
}
_KINDS: tuple[tuple[type[BaseException], type[ModelError]], ...] = (
    (TimeoutError, ModelTimeout),
    (httpx.TimeoutException, ModelTimeout),
    (ConnectionRefusedError, ServerUnreachable),
    (httpx.ConnectError, ServerNotRunning),
    (ConnectionError, ServerUnreachable),
    (NotImplementedError, WrongModelKind),
)
_LONGEST = 300


@dataclass(frozen=True, slots=True)
class Served:
    """A model of a server that speaks OpenAI's protocol; ``url`` is what such servers call the base URL."""

    model: str
    url: str

    @classmethod
    def parse(cls, name: str) -> Served:
        """``openai:MODEL@http://host:port/v1``. Raises ConfigError for anything else."""
        model, _, url = name.removeprefix(OPENAI).rpartition("@http")
        try:
            address = httpx.URL(f"http{url}")
        except httpx.InvalidURL:
            address = httpx.URL("")
        if not model or not address.host or address.scheme not in ("http", "https"):
            raise ConfigError(
                f"{redact(name)!r} does not name a model of a server.",
                hint="Write it as openai:MODEL@http://host:port/v1, for example openai:smollm2@http://127.0.0.1:8080/v1.",
            )
        return cls(model, str(address).rstrip("/"))

    def allowed(self, config: Config) -> Served:
        """The same; raises ModelRefused when it is on another machine and that is not allowed."""
        if not (config.allow_remote or is_loopback(self.url)):
            raise ModelRefused(
                f"{redact(self.url)} is not this machine: documents would leave it.",
                hint="Use a server on this machine, or set allow_remote if you accept that.",
            )
        return self

    def http(self, config: Config) -> httpx.Client:
        """How it is reached; a proxy is used for another machine only."""
        timeout = httpx.Timeout(config.read_seconds, connect=config.connect_seconds)
        return httpx.Client(timeout=timeout, trust_env=not is_loopback(self.url))


def served_llm(name: str, config: Config) -> LLM:
    """The chat model ``openai:MODEL@URL``; its window is the configured ``num_ctx``. Nothing is sent yet.

    Raises ConfigError, ModelRefused, or ModelError where the extra is not installed.
    """
    served = Served.parse(name).allowed(config)
    with _extra_needed():
        from llama_index.llms.openai_like import OpenAILike
    http = served.http(config)
    llm = OpenAILike(
        model=served.model,
        api_base=served.url,
        api_key=os.environ.get("OPENAI_API_KEY") or _NO_KEY,
        is_chat_model=True,
        context_window=config.num_ctx,
        max_tokens=config.answer_tokens,
        temperature=config.temperature,
        timeout=config.read_seconds,
        max_retries=0,
        http_client=http,
        additional_kwargs={"seed": config.seed, "stream_options": {"include_usage": True}},
    )
    weakref.finalize(llm, http.close)  # it has no method that does
    return llm


def served_embedder(name: str, config: Config) -> BaseEmbedding:
    """The embedding model ``openai:MODEL@URL``. Raises as ``served_llm`` does."""
    served = Served.parse(name).allowed(config)
    with _extra_needed():
        from llama_index.embeddings.openai_like import OpenAILikeEmbedding
    http = served.http(config)
    embedder = OpenAILikeEmbedding(
        model_name=served.model,
        api_base=served.url,
        api_key=os.environ.get("OPENAI_API_KEY") or _NO_KEY,
        embed_batch_size=32,
        max_retries=0,
        timeout=config.read_seconds,
        http_client=http,
    )
    weakref.finalize(embedder, http.close)
    return embedder


def served_models(url: str, config: Config) -> tuple[str, ...]:
    """What a server has, as names ``openai:MODEL@URL``, asked for at most ``connect_seconds``.

    Raises ModelRefused for another machine where that is not allowed, ModelError when it does not tell.
    """
    served = Served("", url.rstrip("/")).allowed(config)
    key = os.environ.get("OPENAI_API_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        with served.http(config) as http:
            told = http.get(f"{served.url}/models", headers=headers, timeout=config.connect_seconds)
            names = [row["id"] for row in told.raise_for_status().json()["data"]]
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        raise ServerError(
            f"The server at {redact(served.url)} does not tell its models: {str(error)[:_LONGEST]}",
            hint="Check that it runs, and that the address ends as its documentation says (most: /v1).",
        ) from error
    return tuple(f"{OPENAI}{name}@{served.url}" for name in names if isinstance(name, str))


@contextmanager
def _extra_needed() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise ModelError(
            "Servers that speak OpenAI's protocol need packages that are not installed.",
            hint="Install them with: pip install 'rag-cited[openai]'",
        ) from error


def name_of(llm: LLM) -> str:
    """What a model that was passed in calls itself; its class where it has no name."""
    named = llm.metadata.model_name
    return named if named and named != "unknown" else type(llm).__name__


def finish_reason(response: ChatResponse) -> str:
    """Why a model stopped, in the words that Ollama and OpenAI share (``stop``, ``length``); empty where untold."""
    told = (response.additional_kwargs or {}).get("done_reason")
    choices = getattr(response.raw, "choices", None) or ()
    return str(told or next((reason for c in choices if (reason := getattr(c, "finish_reason", None))), ""))


def replies(llm: LLM, messages: Sequence[ChatMessage], **options: Any) -> Generator[ChatResponse, None, None]:
    """The responses of any LlamaIndex model as they come. Raises ModelError; closing this closes the model's stream.

    A stream without any response is broken: so some servers end one that they cannot begin.
    """
    with translated(llm):
        responses = iter(llm.stream_chat(messages, **options))
    came = False
    try:
        while True:
            with translated(llm):
                response = next(responses, None)
            if response is None:
                break
            came = True
            yield response
        if not came:
            raise StreamBroken(
                f"The model {name_of(llm)} ended its answer before it began.",
                hint="Its server may have a smaller window than num_ctx, or have failed: look into its log.",
            )
    finally:
        close = getattr(responses, "close", None)
        if close is not None:
            close()


@contextmanager
def translated(llm: object) -> Iterator[None]:
    """Failures of a model of another package as ModelError; a bug of this package's own models is not caught."""
    try:
        yield
    except RagError:
        raise
    except Exception as error:  # every vendor's client has a tree of its own, and some raise plain exceptions
        if type(llm).__module__.partition(".")[0] == "rag":
            raise
        kind, hint = _kind_of(error)
        said = " ".join(str(error).split())[:_LONGEST]
        raise kind(
            f"The model {type(llm).__name__} failed: {type(error).__name__}{f': {said}' if said else ''}.", hint=hint
        ) from error


def read_by(reader: BaseReader, path: Path) -> tuple[str, dict[str, Any]]:
    """What a reader of LlamaIndex makes of a file: one text, its documents a blank line apart, and their metadata that
    are plain values, the first one's before others. It runs in this process, not in a confined child.

    Raises DamagedDocument for whatever it raises, EmptyDocument for no text.
    """
    try:
        documents = list(reader.load_data(file=path))
        texts = [document.get_content() for document in documents]
        noted = {key: value for document in reversed(documents) for key, value in document.metadata.items()}
    except Exception as error:  # every reader has errors of its own
        said = " ".join(str(error).split())[:_LONGEST]
        raise DamagedDocument(
            f"{type(reader).__name__} could not read {path.name}: {type(error).__name__}{f': {said}' if said else ''}.",
            hint="Check that the file opens elsewhere, or read it without this reader.",
        ) from error
    text = "\n\n".join(texts)
    if not text.strip():
        raise EmptyDocument(f"{type(reader).__name__} found no text in {path.name}.", hint="Check the file.")
    return text, {key: value for key, value in noted.items() if isinstance(value, str | int | float | bool)}


def cut_by(parser: NodeParser, text: str) -> list[tuple[int, int]]:
    """Where the nodes that a parser of LlamaIndex makes of a text stand in it, in order, without white space around.

    Raises DamagedDocument for a node that is no part of the text, and for whatever the parser raises: a passage is a
    true slice, or it could not be cited.
    """
    from llama_index.core.schema import Document, MetadataMode

    spans: list[tuple[int, int]] = []
    name, begun = type(parser).__name__, 0
    try:
        nodes = [n.get_content(MetadataMode.NONE) for n in parser.get_nodes_from_documents([Document(text=text)])]
    except Exception as error:  # every parser has errors of its own
        raise DamagedDocument(f"{name} failed: {type(error).__name__}: {error}.", hint="Use another parser.") from error
    for content in nodes:
        wanted = content.strip()
        if not wanted:
            continue
        start = text.find(wanted, begun)
        start = text.find(wanted) if start < 0 else start
        if start < 0:
            shown = " ".join(wanted.split())[:60]
            raise DamagedDocument(
                f"{name} made a passage that is no part of the text: {shown!r}.",
                hint="Use a parser that cuts texts and does not change them.",
            )
        spans.append((start, start + len(wanted)))
        begun = start + 1
    return sorted(set(spans))


def _kind_of(error: Exception) -> tuple[type[ModelError], str]:
    """The error for a vendor's exception: by its HTTP status, else by what it came from."""
    status = getattr(error, "status_code", None)
    if status == 400 and _TOO_LONG.search(str(error)):
        return (
            PromptTooLong,
            "Ask a shorter question, or set num_ctx to the server's window.",
        )
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    hint = "Check that its server runs and that its settings are right, or use another model."
    if isinstance(status, int) and status >= 400:
        return ServerError, hint
    cause: BaseException | None = error
    while cause is not None:
        for theirs, ours in _KINDS:
            if isinstance(cause, theirs):
                return ours, hint
        cause = cause.__cause__ or cause.__context__
    return ModelError, hint


async def in_thread(start: Callable[[], Generator[Item, None, None]]) -> AsyncGenerator[Item, None]:
    """A generator's items, each awaited in a thread; closing or cancelling this closes it, once its step has ended."""
    items = await asyncio.to_thread(start)
    end = object()
    step: asyncio.Future[Any] | None = None
    try:
        while True:
            step = asyncio.ensure_future(asyncio.to_thread(next, items, end))
            if (item := await asyncio.shield(step)) is end:
                return
            yield item
    finally:
        if step is not None and not step.done():
            await asyncio.wait([step])
        await asyncio.to_thread(items.close)
