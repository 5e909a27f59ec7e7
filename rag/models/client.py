"""An Ollama server through its official client: what it has, chats, embeddings and downloads, as plain values.

Everything that can go wrong comes out as an error of ``rag.errors``. Documents stay on this machine: a model that runs
at ollama.com, by its name or by what the server says of it, is refused before anything is sent to it.

Numbers and texts that are absent (Ollama leaves out zeros and empties) read as zero or empty; what an answer cannot do
without raises a ModelError.
"""

from __future__ import annotations

import re
import threading
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import httpx
import numpy as np
import numpy.typing as npt
import ollama
from pydantic import ValidationError

from rag.errors import (
    EmptyAnswer,
    ModelMissing,
    ModelRefused,
    PromptTooLong,
    ServerError,
    StreamBroken,
    WrongModelKind,
)
from rag.models.errors import Call
from rag.models.families import EMBEDDING_ARCHITECTURES, canonical, is_cloud_name
from rag.models.host import is_cloud_host
from rag.models.wire import Lane, Wire

Row = Mapping[str, Any]
Vectors = npt.NDArray[np.float32]
Item = TypeVar("Item")
Split = Callable[[str], Sequence[str]]

EMBED_BATCH = 32
_NANOSECONDS_A_MS = 1e6
_FACTS_SECONDS = 10.0
_SHOWN_OF_A_TEXT = 60
_ALLOW_HINT = "Choose a model that runs on this machine, or set allow_remote if you accept that."
_TOO_LONG_HINT = "Use smaller passages (passage_characters) or an embedding model with a longer window."
_EMBED_HINT = "Update Ollama or choose another embedding model."
_OPENINGS = ("<think>", "<thinking>")
_CLOSINGS = {"<think>": "</think>", "<thinking>": "</thinking>"}


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """An installed model. ``context_length`` is the trained one in tokens, ``parameters`` how many weights it has, both
    0 where unknown; ``size`` is in bytes.

    ``remote_host`` is set for a stub whose model runs elsewhere. ``/api/tags`` tells neither lengths nor, on older
    servers, capabilities; ``OllamaClient.show`` always does.
    """

    name: str
    size: int = 0
    digest: str = ""
    family: str = ""
    parameter_size: str = ""
    quantization: str = ""
    context_length: int = 0
    embedding_length: int = 0
    capabilities: tuple[str, ...] = ()
    remote_host: str = ""
    modified_at: str = ""
    parameters: int = 0

    @property
    def is_remote(self) -> bool:
        """Whether it runs on another company's machines."""
        return bool(self.remote_host) or is_cloud_name(self.name)

    @classmethod
    def listed(cls, model: ollama.ListResponse.Model, row: Row) -> ModelInfo:
        """One entry of the list; ``row`` is the same as the server wrote it, with what the client's type leaves out."""
        details, raw = model.details, _mapping(row, "details")
        return cls(
            name=model.model or _text(row, "name"),
            size=int(model.size or 0),
            digest=model.digest or "",
            family=(details and details.family) or "",
            parameter_size=(details and details.parameter_size) or "",
            quantization=(details and details.quantization_level) or "",
            context_length=_count(raw, "context_length"),
            embedding_length=_count(raw, "embedding_length"),
            capabilities=_texts(row, "capabilities"),
            remote_host=_text(row, "remote_host") or _text(row, "remote_model"),
            modified_at=_text(row, "modified_at"),
            parameters=_parameters({}, (details and details.parameter_size) or ""),
        )

    @classmethod
    def shown(cls, name: str, shown: ollama.ShowResponse, row: Row, listed: ModelInfo) -> ModelInfo:
        """What ``show`` tells, completed by the list, which alone knows size and digest."""
        details, facts = shown.details, shown.modelinfo or {}
        architecture = _text(facts, "general.architecture")
        return cls(
            name=name,
            size=listed.size,
            digest=listed.digest,
            family=(details and details.family) or architecture,
            parameter_size=(details and details.parameter_size) or "",
            quantization=(details and details.quantization_level) or "",
            context_length=_count(facts, f"{architecture}.context_length") or listed.context_length,
            embedding_length=_count(facts, f"{architecture}.embedding_length") or listed.embedding_length,
            capabilities=tuple(shown.capabilities or ()) or _guessed_capabilities(architecture, facts),
            remote_host=_text(row, "remote_host") or _text(row, "remote_model") or listed.remote_host,
            modified_at=_text(row, "modified_at") or listed.modified_at,
            parameters=_parameters(facts, (details and details.parameter_size) or ""),
        )


def _guessed_capabilities(architecture: str, facts: Row) -> tuple[str, ...]:
    """For servers older than the field: a pooling type, or an encoder's architecture, means embeddings."""
    embeds = f"{architecture}.pooling_type" in facts or architecture in EMBEDDING_ARCHITECTURES
    return ("embedding",) if embeds else ("completion",)


def _parameters(facts: Row, written: str) -> int:
    """How many weights: as counted, else as written (``134.52M``, ``8x7B``); 0 where neither tells."""
    number = re.fullmatch(r"(?:(\d+)x)?(\d+(?:\.\d+)?)\s*([KMBT])", written.strip().upper())
    if counted := _count(facts, "general.parameter_count"):
        return counted
    if number is None:
        return 0
    return int(int(number[1] or 1) * float(number[2]) * 1000 ** ("KMBT".index(number[3]) + 1))


@dataclass(frozen=True, slots=True)
class Running:
    """A loaded model: bytes of memory, of which ``size_vram`` on a GPU, and its allocated window in tokens."""

    name: str
    size: int
    size_vram: int
    context_length: int


@dataclass(frozen=True, slots=True)
class PullProgress:
    """A step of a download; ``completed`` of ``total`` bytes of the layer ``digest`` (empty between layers)."""

    status: str
    digest: str = ""
    total: int = 0
    completed: int = 0
    done: bool = False


@dataclass(frozen=True, slots=True)
class ChatChunk:
    """A piece of an answer. All empty is a sign of life while the server is silent.

    The last one has ``done`` and the counters: tokens of the prompt after the server's template, tokens of the answer
    (thinking included), and times in milliseconds. ``odds`` holds for each token, where they were asked for and the
    server tells them, itself and what it could have been, with the natural logarithm of each one's probability.
    """

    text: str = ""
    thinking: str = ""
    done: bool = False
    done_reason: str = ""
    prompt_tokens: int = 0
    answer_tokens: int = 0
    load_ms: float = 0.0
    total_ms: float = 0.0
    odds: tuple[tuple[tuple[str, float], ...], ...] = ()


def read_chat(responses: Iterator[ollama.ChatResponse | None], call: Call) -> Iterator[ChatChunk]:
    """Chat responses as chunks, thinking parted from the answer; the last one is ``done``.

    Raises StreamBroken without a last line, EmptyAnswer when nothing but thinking or blanks came.
    """
    parted = ThinkFilter()
    seen, thought = False, False
    for response in responses:
        if response is None:
            yield ChatChunk()
            continue
        reasoning = response.message.thinking or ""
        text, more = parted.feed(response.message.content or "")
        if response.done:
            rest, rest_thinking = parted.finish()
            text, more = text + rest, more + rest_thinking
        seen, thought = seen or bool(text.strip()), thought or bool(reasoning or more)
        if not response.done:
            yield ChatChunk(text, reasoning + more, odds=_odds(response))
            continue
        next(responses, None)  # the end of the body, so that the connection can be used again
        if not seen:
            raise _empty(response, thought, call)
        yield _last_chunk(text, reasoning + more, response)
        return
    raise StreamBroken(
        f"The answer of {call.model} ended without its last line.",
        hint="Ask again; a model that repeats itself is stopped by Ollama, then another wording or model helps.",
    )


def _last_chunk(text: str, thinking: str, response: ollama.ChatResponse) -> ChatChunk:
    return ChatChunk(
        text,
        thinking,
        True,
        response.done_reason or "",
        response.prompt_eval_count or 0,
        response.eval_count or 0,
        (response.load_duration or 0) / _NANOSECONDS_A_MS,
        (response.total_duration or 0) / _NANOSECONDS_A_MS,
        _odds(response),
    )


def _odds(response: ollama.ChatResponse) -> tuple[tuple[tuple[str, float], ...], ...]:
    """Of each token what came, and then what else could have come."""
    return tuple(
        tuple({told.token: told.logprob, **{one.token: one.logprob for one in told.top_logprobs or ()}}.items())
        for told in response.logprobs or ()
    )


def _empty(response: ollama.ChatResponse, thought: bool, call: Call) -> EmptyAnswer:
    if not thought:
        return EmptyAnswer(
            f"The model {call.model} ended without a word.", hint="Ask in other words, or choose another model."
        )
    ran_out = " and ran out of room" if response.done_reason == "length" else ""
    return EmptyAnswer(
        f"The model {call.model} only thought{ran_out}, and gave no answer.",
        hint="Raise num_predict, or choose a model that can answer without thinking.",
    )


class ThinkFilter:
    """Takes ``<think>...</think>`` at the head of an answer out of it, however the tags are cut into pieces.

    Only the head is looked at, because an answer about such tags may rightly hold them. White space before the answer
    goes as well.
    """

    def __init__(self) -> None:
        self._held = ""
        self._closing = ""
        self._in_body = False

    def feed(self, text: str) -> tuple[str, str]:
        """What of the text so far can be told apart: (answer, thinking). The rest is kept for later."""
        if self._in_body:
            return text, ""
        self._held += text
        thinking = ""
        while True:
            if self._closing:
                inside, done = self._take_thinking()
                thinking += inside
                if not done:
                    return "", thinking
            head = self._held.lstrip()
            opening = next((tag for tag in _OPENINGS if head.startswith(tag)), "")
            if opening:
                self._closing = _CLOSINGS[opening]
                self._held = head[len(opening) :]
            elif any(tag.startswith(head) for tag in _OPENINGS):
                return "", thinking
            else:
                self._in_body, self._held = True, ""
                return head, thinking

    def finish(self) -> tuple[str, str]:
        """The rest, once the stream has ended: (answer, thinking)."""
        rest, self._held = self._held, ""
        return ("", rest) if self._closing else (rest.lstrip(), "")

    def _take_thinking(self) -> tuple[str, bool]:
        """Thinking up to the closing tag and True, or all but what may be the tag's beginning and False."""
        inside, tag, after = self._held.partition(self._closing)
        if tag:
            self._held, self._closing = after.lstrip(), ""
            return inside, True
        keep = next(n for n in range(len(self._closing) - 1, -1, -1) if self._held.endswith(self._closing[:n]))
        cut = len(self._held) - keep
        inside, self._held = self._held[:cut], self._held[cut:]
        return inside, False


class OllamaClient:
    """One server's API over pooled connections. Thread-safe. Close it, or use it as a context manager.

    At most ``concurrency`` chats run at once and ``queue`` wait; one embedding request runs at a time. ``transport``
    replaces the network.
    """

    def __init__(
        self,
        base_url: str,
        *,
        connect_seconds: float = 5.0,
        read_seconds: float = 300.0,
        concurrency: int = 2,
        queue: int = 32,
        allow_remote: bool = False,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        if is_cloud_host(base_url) and not allow_remote:
            raise ModelRefused(f"{base_url} is not this machine: documents would leave it.", hint=_ALLOW_HINT)
        self.base_url = base_url
        self.allow_remote = allow_remote
        self._wire = Wire(
            base_url,
            connect_seconds=connect_seconds,
            read_seconds=read_seconds,
            concurrency=concurrency,
            queue=queue,
            transport=transport,
        )
        self._local: set[str] = set()
        self._lock = threading.Lock()
        self._finalizer = weakref.finalize(self, self._wire.close)

    def __enter__(self) -> OllamaClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End what runs and close all connections; may be called twice."""
        self._finalizer()

    def version(self) -> str:
        """The server's version."""
        return _text(self._facts(lambda lane: lane.get("/api/version")), "version")

    def models(self) -> tuple[ModelInfo, ...]:
        """The installed models, latest first."""

        def ask(lane: Lane) -> tuple[ModelInfo, ...]:
            listed = lane.client.list().models
            return tuple(ModelInfo.listed(*pair) for pair in zip(listed, lane.row["models"], strict=True))

        return self._facts(ask)

    def running(self) -> tuple[Running, ...]:
        """The loaded models."""
        loaded = self._facts(lambda lane: lane.client.ps().models)
        return tuple(
            Running(row.name or row.model or "", int(row.size or 0), int(row.size_vram or 0), row.context_length or 0)
            for row in loaded
        )

    def show(self, name: str) -> ModelInfo:
        """All that is known of one model. Raises ModelMissing."""
        shown, row = self._shown(name)
        info = ModelInfo.shown(name, shown, row, self.listed(name))
        if not info.is_remote:
            self._remember_local(name)
        return info

    def listed(self, name: str) -> ModelInfo:
        """What the list of installed models says of one; only the name where it is not there."""
        return next((info for info in self.models() if canonical(info.name) == canonical(name)), ModelInfo(name))

    def refuse_remote(self, name: str) -> None:
        """Raise ModelRefused when the model runs elsewhere and that is not allowed. Asks the server once a model."""
        if self.allow_remote:
            return
        if not is_cloud_name(name):
            with self._lock:
                if canonical(name) in self._local:
                    return
            _, row = self._shown(name)
            if not (_text(row, "remote_host") or _text(row, "remote_model")):
                self._remember_local(name)
                return
        raise ModelRefused(
            f"The model {name} runs on another company's machines: documents would leave this one.",
            hint=_ALLOW_HINT,
        )

    def require(self, name: str, capability: str, verb: str) -> ModelInfo:
        """What is known of a model that is to be used for this. Raises ModelRefused, ModelMissing, WrongModelKind."""
        if is_cloud_name(name):
            self.refuse_remote(name)
        info = self.show(name)
        if info.is_remote:
            self.refuse_remote(name)
        if capability not in info.capabilities:
            raise WrongModelKind(
                f"The model {name} cannot {verb}: it is for {', '.join(info.capabilities) or 'nothing known'}.",
                hint="`rag models list` says which models can chat and which can embed.",
            )
        return info

    def load(
        self, name: str, options: Mapping[str, Any], *, keep_alive: str | None = None, shift: bool | None = False
    ) -> None:
        """Have the model loaded. With the options of the chats to come, else the server loads it again for them."""
        self.refuse_remote(name)
        stay = _keep_alive(keep_alive)
        self._wire.ask(
            lambda lane: lane.client.chat(name, [], options=dict(options), keep_alive=stay),
            self._wire.call(name),
            extra=_without_none(shift=shift),
        )

    def chat(
        self,
        name: str,
        messages: Sequence[Mapping[str, Any]],
        *,
        options: Mapping[str, Any],
        keep_alive: str | None = None,
        think: bool | str | None = False,
        format: Literal["json"] | Mapping[str, Any] | None = None,  # noqa: A002 - Ollama's word
        shift: bool | None = False,
        top_logprobs: int = 0,
    ) -> Generator[ChatChunk, None, None]:
        """Stream an answer; the last chunk is ``done``. Any failure raises a ModelError, also in mid-stream.

        Roles are ``system``, ``user``, ``assistant``, ``tool``, or one that the model's own template knows. Of each
        token the ``top_logprobs`` likeliest alternatives are asked for, 0 to 20; old servers tell none.

        The server is told not to cut a prompt that is too long (``truncate: false``): that raises PromptTooLong.
        While the server is silent an empty chunk comes about five times a second. Closing the generator ends the
        request at once.
        """
        self.refuse_remote(name)
        sent = [{**message, "content": sendable(message.get("content") or "")} for message in messages]
        given = format if format is None or format == "json" else dict(format)
        stay = _keep_alive(keep_alive)

        def ask(lane: Lane) -> Iterable[ollama.ChatResponse]:
            return lane.client.chat(
                name, sent, stream=True, options=dict(options), think=think, format=given, keep_alive=stay,
                logprobs=top_logprobs > 0 or None, top_logprobs=top_logprobs or None,
            )  # fmt: skip

        call = self._wire.call(name)
        extra = {"truncate": False, **_without_none(shift=shift)}
        with closing(self._wire.stream(ask, call, extra=extra)) as responses:
            yield from read_chat(responses, call)

    def pull(self, name: str) -> Generator[PullProgress, None, None]:
        """Download a model. Only a step with ``done`` means that it is there; closing the generator cancels.

        While nothing moves, the last step is repeated about five times a second.
        """
        if is_cloud_name(name):
            self.refuse_remote(name)
        last = PullProgress("waiting for the server")
        call = self._wire.call(name)
        with closing(self._wire.stream_apart(lambda lane: lane.client.pull(_named(name), stream=True), call)) as steps:
            for step in steps:
                if step is not None:
                    status = step.status or ""
                    counted = (step.total or 0, step.completed or 0)
                    last = PullProgress(status, step.digest or "", *counted, status == "success")
                yield last
                if last.done:
                    return
        raise StreamBroken(
            f"The download of {name} ended before it was complete.",
            hint="Run it again; what was downloaded is kept.",
        )

    def embed(
        self,
        name: str,
        texts: Sequence[str],
        *,
        options: Mapping[str, Any] | None = None,
        keep_alive: str | None = None,
        split: Split | None = None,
    ) -> Vectors:
        """One vector a text, in order, shape (len(texts), dimension); the server never cuts a text.

        Sent in batches of 32. A batch that is refused is halved until the offending text is found and named. For a
        text over the model's limit the mean of the parts stands that ``split`` makes of it, by their lengths.
        Raises PromptTooLong where there is no ``split`` or no parts, ServerError for wrong counts or values.
        """
        return finished(self.embedding(name, texts, options=options, keep_alive=keep_alive, split=split))

    def embedding(
        self,
        name: str,
        texts: Sequence[str],
        *,
        options: Mapping[str, Any] | None = None,
        keep_alive: str | None = None,
        split: Split | None = None,
    ) -> Generator[None, None, Vectors]:
        """``embed`` in steps: yields about five times a second while the server is silent, and returns the vectors.

        Closing the generator ends the request at once.
        """
        self.refuse_remote(name)
        stay = _keep_alive(keep_alive)

        def ask(lane: Lane, batch: Sequence[str]) -> object:
            try:
                return lane.client.embed(name, batch, False, dict(options or {}), stay).embeddings
            except ValidationError:  # of what is wrong with vectors ``read_vectors`` tells
                return lane.row.get("embeddings")

        found: list[Vectors] = []
        for first in range(0, len(texts), EMBED_BATCH):
            batch = [sendable(text) for text in texts[first : first + EMBED_BATCH]]
            found += yield from self._embed_batch(ask, batch, self._wire.call(name), split)
        return _stacked(found) if found else np.zeros((0, 0), dtype=np.float32)

    def _embed_batch(
        self, ask: Callable[[Lane, Sequence[str]], object], texts: Sequence[str], call: Call, split: Split | None
    ) -> Generator[None, None, list[Vectors]]:
        given: object = None
        try:
            with closing(self._wire.stream(lambda lane: [(ask(lane, texts),)], call, single=True)) as steps:
                for step in steps:
                    if step is None:
                        yield
                    else:
                        (given,) = step
        except (ServerError, PromptTooLong) as error:
            if len(texts) > 1:
                half = len(texts) // 2
                left = yield from self._embed_batch(ask, texts[:half], call, split)
                right = yield from self._embed_batch(ask, texts[half:], call, split)
                return [*left, *right]
            long = isinstance(error, PromptTooLong)
            halves = split(texts[0]) if long and split is not None else ()
            if halves:
                vectors = yield from self._embed_batch(ask, halves, call, split)
                return [_mean(vectors, [len(half) for half in halves])]
            hint = _TOO_LONG_HINT if long else error.hint
            raise type(error)(f"{error} The text starts with {_start_of(texts[0])}.", hint=hint) from error
        return read_vectors(given, len(texts), call)

    def _remember_local(self, name: str) -> None:
        with self._lock:
            self._local.add(canonical(name))

    def _shown(self, name: str) -> tuple[ollama.ShowResponse, Row]:
        return self._facts(lambda lane: (lane.client.show(_named(name)), lane.row), name)

    def _facts(self, ask: Callable[[Lane], Item], model: str = "") -> Item:
        return self._wire.ask(ask, self._wire.call(model), read_seconds=_FACTS_SECONDS)


def read_vectors(given: object, expected: int, call: Call) -> list[Vectors]:
    """Vectors as the server gave them; raises ServerError unless there are ``expected``, all finite and not empty."""
    if not isinstance(given, Sequence) or len(given) != expected:
        got = len(given) if isinstance(given, Sequence) else "no"
        raise ServerError(f"{call.who} gave {got} vectors for {expected} texts.", hint=_EMBED_HINT)
    try:
        with np.errstate(over="ignore"):
            vectors = [np.asarray(vector, dtype=np.float32) for vector in given]
    except (TypeError, ValueError, OverflowError) as error:
        raise ServerError(f"{call.who} gave a vector that is not made of numbers.", hint=_EMBED_HINT) from error
    if any(vector.ndim != 1 or not len(vector) or not np.isfinite(vector).all() for vector in vectors):
        raise ServerError(f"{call.who} gave an empty vector or one with values that are no numbers.", hint=_EMBED_HINT)
    return vectors


def finished(steps: Generator[None, None, Vectors]) -> Vectors:
    """What the steps return, once they have all been taken."""
    with closing(steps):
        while True:
            try:
                next(steps)
            except StopIteration as end:
                vectors: Vectors = end.value
                return vectors


def _stacked(vectors: Sequence[Vectors]) -> Vectors:
    if len({len(vector) for vector in vectors}) > 1:
        raise ServerError("The embedding model gave vectors of different lengths.", hint="Choose another model.")
    return np.stack(vectors)


def _mean(vectors: Sequence[Vectors], weights: Sequence[int]) -> Vectors:
    return np.asarray(np.average(_stacked(vectors), axis=0, weights=weights), dtype=np.float32)


def sendable(text: str) -> str:
    """The text without lone surrogates, which UTF-8 cannot carry."""
    return text.encode("utf-8", "replace").decode()


def _named(name: str) -> str:
    """The name; raises ModelMissing for a blank one, of which nothing needs to be asked."""
    if not name.strip():
        raise ModelMissing("A model without a name was asked for.", hint="Name one that `rag models list` shows.")
    return name


def _without_none(**fields: Any) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}


def _keep_alive(value: str | None) -> str | int | None:
    """A text without a unit means seconds to people, but Ollama takes seconds only as a number."""
    text = (value or "").strip()
    return int(text) if re.fullmatch(r"-?\d{1,9}", text) else text or None


def _start_of(text: str) -> str:
    line = " ".join(text.split())
    return repr(line if len(line) <= _SHOWN_OF_A_TEXT else f"{line[:_SHOWN_OF_A_TEXT]}...")


def _text(row: Row, key: str) -> str:
    value = row.get(key)
    return value if isinstance(value, str) else ""


def _texts(row: Row, key: str) -> tuple[str, ...]:
    value = row.get(key)
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def _mapping(row: Row, key: str) -> Row:
    value = row.get(key)
    return value if isinstance(value, dict) else {}


def _count(row: Row, key: str) -> int:
    value = row.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else 0
