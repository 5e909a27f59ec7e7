"""The calls of Ollama's HTTP API that this program makes, typed.

Everything that can go wrong comes out as an error of ``rag.errors``. Documents stay on this machine: a model that runs
at ollama.com, by its name or by what the server says of it, is refused before anything is sent to it.
"""

from __future__ import annotations

import re
import threading
import weakref
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from typing import Any

import httpx
import numpy as np

from rag.errors import ModelRefused, PromptTooLong, ServerError, StreamBroken, WrongModelKind
from rag.models.families import canonical, is_cloud_name
from rag.models.host import is_cloud_host
from rag.models.ollama_errors import Call, parse_object
from rag.models.ollama_values import (
    ChatChunk,
    ModelInfo,
    PullProgress,
    Row,
    Running,
    Vectors,
    checked,
    read_chat,
    read_models,
    read_text,
    read_vectors,
)
from rag.models.ollama_wire import Wire, lines, whole

Split = Callable[[str], Sequence[str]]

EMBED_BATCH = 32
_FACTS_SECONDS = 10.0
_SHOWN_OF_A_TEXT = 60
_ALLOW_HINT = "Choose a model that runs on this machine, or set allow_remote if you accept that."
_TOO_LONG_HINT = "Use smaller passages (passage_characters) or an embedding model with a longer window."


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
        return read_text(self._facts("GET", "/api/version"), "version")

    def models(self) -> tuple[ModelInfo, ...]:
        """The installed models, latest first."""
        return tuple(ModelInfo.from_tags(row) for row in read_models(self._facts("GET", "/api/tags")))

    def running(self) -> tuple[Running, ...]:
        """The loaded models."""
        return tuple(Running.from_ps(row) for row in read_models(self._facts("GET", "/api/ps")))

    def show(self, name: str) -> ModelInfo:
        """All that is known of one model. Raises ModelMissing."""
        shown = self._facts("POST", "/api/show", name)
        info = ModelInfo.from_show(name, shown, self.listed(name))
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
            shown = self._facts("POST", "/api/show", name)
            if not (read_text(shown, "remote_host") or read_text(shown, "remote_model")):
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
        payload = _without_none({
            "model": name, "messages": [], "stream": False, "options": dict(options), "shift": shift,
            "keep_alive": _keep_alive(keep_alive),
        })  # fmt: skip
        call = self._call(name)
        checked(parse_object(self._wire.request("POST", "/api/chat", payload, call), call), call)

    def chat(
        self,
        name: str,
        messages: Sequence[Mapping[str, Any]],
        *,
        options: Mapping[str, Any],
        keep_alive: str | None = None,
        think: bool | str | None = False,
        format: str | Mapping[str, Any] | None = None,  # noqa: A002 - Ollama's word
        shift: bool | None = False,
    ) -> Generator[ChatChunk, None, None]:
        """Stream an answer; the last chunk is ``done``. Any failure raises a ModelError, also in mid-stream.

        The server is told not to cut a prompt that is too long (``truncate: false``): that raises PromptTooLong.
        While the server is silent an empty chunk comes about five times a second. Closing the generator ends the
        request at once.
        """
        self.refuse_remote(name)
        payload = _without_none({
            "model": name, "messages": list(messages), "stream": True, "options": dict(options), "think": think,
            "format": format, "truncate": False, "shift": shift, "keep_alive": _keep_alive(keep_alive),
        })  # fmt: skip
        call = self._call(name)
        with closing(self._wire.stream("/api/chat", payload, call)) as parts:
            yield from read_chat(lines(parts, call), call)

    def pull(self, name: str) -> Generator[PullProgress, None, None]:
        """Download a model. Only a step with ``done`` means that it is there; closing the generator cancels.

        While nothing moves, the last step is repeated about five times a second.
        """
        if is_cloud_name(name):
            self.refuse_remote(name)
        call = self._call(name)
        last = PullProgress("waiting for the server")
        with closing(self._wire.stream_apart("/api/pull", {"model": name, "stream": True}, call)) as parts:
            for line in lines(parts, call):
                if line is not None:
                    last = PullProgress.from_line(checked(parse_object(line, call), call))
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
        base = _without_none({
            "model": name, "truncate": False, "options": dict(options or {}), "keep_alive": _keep_alive(keep_alive),
        })  # fmt: skip
        found: list[Vectors] = []
        for first in range(0, len(texts), EMBED_BATCH):
            found += yield from self._embed_batch(base, texts[first : first + EMBED_BATCH], self._call(name), split)
        return _stacked(found) if found else np.zeros((0, 0), dtype=np.float32)

    def _embed_batch(
        self, base: Row, texts: Sequence[str], call: Call, split: Split | None
    ) -> Generator[None, None, list[Vectors]]:
        try:
            payload = {**base, "input": list(texts)}
            with closing(self._wire.stream("/api/embed", payload, call, single=True)) as parts:
                answer = yield from whole(parts, call)
        except (ServerError, PromptTooLong) as error:
            if len(texts) > 1:
                half = len(texts) // 2
                left = yield from self._embed_batch(base, texts[:half], call, split)
                right = yield from self._embed_batch(base, texts[half:], call, split)
                return [*left, *right]
            long = isinstance(error, PromptTooLong)
            halves = split(texts[0]) if long and split is not None else ()
            if halves:
                vectors = yield from self._embed_batch(base, halves, call, split)
                return [_mean(vectors, [len(half) for half in halves])]
            hint = _TOO_LONG_HINT if long else error.hint
            raise type(error)(f"{error} The text starts with {_start_of(texts[0])}.", hint=hint) from error
        return read_vectors(checked(parse_object(answer, call), call), len(texts), call)

    def _remember_local(self, name: str) -> None:
        with self._lock:
            self._local.add(canonical(name))

    def _call(self, model: str = "") -> Call:
        return self._wire.call(model)

    def _facts(self, method: str, path: str, model: str = "") -> Row:
        call = self._call(model)
        payload = {"model": model} if method == "POST" else None
        body = self._wire.request(method, path, payload, call, read_seconds=_FACTS_SECONDS)
        return checked(parse_object(body, call), call)


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


def _without_none(payload: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in payload.items() if value is not None}


def _keep_alive(value: str | None) -> str | int | None:
    """A text without a unit means seconds to people, but Ollama takes seconds only as a number."""
    text = (value or "").strip()
    return int(text) if re.fullmatch(r"-?\d{1,9}", text) else text or None


def _start_of(text: str) -> str:
    line = " ".join(text.split())
    return repr(line if len(line) <= _SHOWN_OF_A_TEXT else f"{line[:_SHOWN_OF_A_TEXT]}...")
