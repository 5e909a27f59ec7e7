"""The values of Ollama's HTTP API, and how they are read from what the server sends.

Numbers and texts that are absent (Ollama leaves out zeros and empties) or have an unexpected type read as zero or
empty; what an answer cannot do without raises a ModelError.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rag.errors import EmptyAnswer, ServerError, StreamBroken
from rag.models.families import EMBEDDING_ARCHITECTURES, is_cloud_name
from rag.models.ollama_errors import Call, from_text, garbage, parse_object
from rag.models.thinking import ThinkFilter

Row = Mapping[str, Any]
Vectors = npt.NDArray[np.float32]

_NANOSECONDS_A_MS = 1e6
_EMBED_HINT = "Update Ollama or choose another embedding model."


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """An installed model. ``context_length`` is the trained one, 0 where unknown; ``size`` is in bytes.

    ``remote_host`` is set for a stub whose model runs elsewhere. ``/api/tags`` of older servers tells neither
    lengths nor capabilities; ``OllamaClient.show`` always does.
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

    @property
    def is_remote(self) -> bool:
        """Whether it runs on another company's machines."""
        return bool(self.remote_host) or is_cloud_name(self.name)

    @classmethod
    def from_tags(cls, row: Row) -> ModelInfo:
        """One entry of ``/api/tags``."""
        details = read_mapping(row, "details")
        return cls(
            name=read_text(row, "name") or read_text(row, "model"),
            size=read_count(row, "size"),
            digest=read_text(row, "digest"),
            family=read_text(details, "family"),
            parameter_size=read_text(details, "parameter_size"),
            quantization=read_text(details, "quantization_level"),
            context_length=read_count(details, "context_length"),
            embedding_length=read_count(details, "embedding_length"),
            capabilities=read_texts(row, "capabilities"),
            remote_host=read_text(row, "remote_host") or read_text(row, "remote_model"),
            modified_at=read_text(row, "modified_at"),
        )

    @classmethod
    def from_show(cls, name: str, shown: Row, listed: ModelInfo) -> ModelInfo:
        """The answer of ``/api/show``, completed by the list, which alone knows size and digest."""
        details, facts = read_mapping(shown, "details"), read_mapping(shown, "model_info")
        architecture = read_text(facts, "general.architecture")
        return cls(
            name=name,
            size=listed.size,
            digest=listed.digest,
            family=read_text(details, "family") or architecture,
            parameter_size=read_text(details, "parameter_size"),
            quantization=read_text(details, "quantization_level"),
            context_length=read_count(facts, f"{architecture}.context_length") or listed.context_length,
            embedding_length=read_count(facts, f"{architecture}.embedding_length") or listed.embedding_length,
            capabilities=read_texts(shown, "capabilities") or _guessed_capabilities(architecture, facts),
            remote_host=read_text(shown, "remote_host") or read_text(shown, "remote_model") or listed.remote_host,
            modified_at=read_text(shown, "modified_at") or listed.modified_at,
        )


def _guessed_capabilities(architecture: str, facts: Row) -> tuple[str, ...]:
    """For servers older than the field: a pooling type, or an encoder's architecture, means embeddings."""
    embeds = f"{architecture}.pooling_type" in facts or architecture in EMBEDDING_ARCHITECTURES
    return ("embedding",) if embeds else ("completion",)


@dataclass(frozen=True, slots=True)
class Running:
    """A loaded model: bytes of memory, of which ``size_vram`` on a GPU, and its allocated window in tokens."""

    name: str
    size: int
    size_vram: int
    context_length: int
    expires_at: str

    @classmethod
    def from_ps(cls, row: Row) -> Running:
        """One entry of ``/api/ps``."""
        return cls(
            read_text(row, "name"),
            read_count(row, "size"),
            read_count(row, "size_vram"),
            read_count(row, "context_length"),
            read_text(row, "expires_at"),
        )


@dataclass(frozen=True, slots=True)
class PullProgress:
    """A step of a download; ``completed`` of ``total`` bytes of the layer ``digest`` (empty between layers)."""

    status: str
    digest: str = ""
    total: int = 0
    completed: int = 0
    done: bool = False

    @classmethod
    def from_line(cls, row: Row) -> PullProgress:
        """One line of ``/api/pull``."""
        status = read_text(row, "status")
        return cls(
            status,
            read_text(row, "digest"),
            read_count(row, "total"),
            read_count(row, "completed"),
            status == "success",
        )


@dataclass(frozen=True, slots=True)
class ChatChunk:
    """A piece of an answer. All empty is a sign of life while the server is silent.

    The last one has ``done`` and the counters: tokens of the prompt after the server's template, tokens of the answer
    (thinking included), and times in milliseconds.
    """

    text: str = ""
    thinking: str = ""
    done: bool = False
    done_reason: str = ""
    prompt_tokens: int = 0
    answer_tokens: int = 0
    load_ms: float = 0.0
    total_ms: float = 0.0


def read_chat(lines: Iterator[bytes | None], call: Call) -> Iterator[ChatChunk]:
    """Chat lines as chunks, thinking parted from the answer; the last one is ``done``.

    Raises StreamBroken without a last line, EmptyAnswer when nothing but thinking or blanks came.
    """
    parted = ThinkFilter()
    seen, thought = False, False
    for line in lines:
        if line is None:
            yield ChatChunk()
            continue
        row = checked(parse_object(line, call), call)
        done = row.get("done") is True
        content, reasoning = _message(row, done, call)
        text, more = parted.feed(content)
        if done:
            rest, rest_thinking = parted.finish()
            text, more = text + rest, more + rest_thinking
        seen, thought = seen or bool(text.strip()), thought or bool(reasoning or more)
        if not done:
            yield ChatChunk(text, reasoning + more)
            continue
        next(lines, None)  # the end of the body, so that the connection can be used again
        if not seen:
            raise _empty(row, thought, call)
        yield _last_chunk(text, reasoning + more, row)
        return
    raise StreamBroken(
        f"The answer of {call.model} ended without its last line.",
        hint="Ask again; a model that repeats itself is stopped by Ollama, then another wording or model helps.",
    )


def _message(row: Row, done: bool, call: Call) -> tuple[str, str]:
    message = row.get("message")
    if not isinstance(message, dict):
        if done:
            return "", ""
        raise garbage("a line without a message", call)
    content, thinking = message.get("content") or "", message.get("thinking") or ""
    if not isinstance(content, str) or not isinstance(thinking, str):
        raise garbage("a message that is not text", call)
    return content, thinking


def _last_chunk(text: str, thinking: str, row: Row) -> ChatChunk:
    return ChatChunk(
        text,
        thinking,
        True,
        read_text(row, "done_reason"),
        read_count(row, "prompt_eval_count"),
        read_count(row, "eval_count"),
        read_count(row, "load_duration") / _NANOSECONDS_A_MS,
        read_count(row, "total_duration") / _NANOSECONDS_A_MS,
    )


def _empty(row: Row, thought: bool, call: Call) -> EmptyAnswer:
    if not thought:
        return EmptyAnswer(
            f"The model {call.model} ended without a word.", hint="Ask in other words, or choose another model."
        )
    ran_out = " and ran out of room" if row.get("done_reason") == "length" else ""
    return EmptyAnswer(
        f"The model {call.model} only thought{ran_out}, and gave no answer.",
        hint="Raise num_predict, or choose a model that can answer without thinking.",
    )


def checked(row: Row, call: Call) -> Row:
    """The row, unless it tells of an error, which is then raised."""
    error = row.get("error")
    if error:
        raise from_text(error, call)
    return row


def read_vectors(row: Row, expected: int, call: Call) -> list[Vectors]:
    """The vectors of ``/api/embed``; raises ServerError unless there are ``expected``, all finite and not empty."""
    given = row.get("embeddings")
    if not isinstance(given, list) or len(given) != expected:
        got = len(given) if isinstance(given, list) else "no"
        raise ServerError(f"{call.who} gave {got} vectors for {expected} texts.", hint=_EMBED_HINT)
    try:
        with np.errstate(over="ignore"):
            vectors = [np.asarray(vector, dtype=np.float32) for vector in given]
    except (TypeError, ValueError, OverflowError) as error:
        raise ServerError(f"{call.who} gave a vector that is not made of numbers.", hint=_EMBED_HINT) from error
    if any(vector.ndim != 1 or not len(vector) or not np.isfinite(vector).all() for vector in vectors):
        raise ServerError(f"{call.who} gave an empty vector or one with values that are no numbers.", hint=_EMBED_HINT)
    return vectors


def read_models(answer: Row) -> list[Row]:
    """The entries of ``/api/tags`` and ``/api/ps``."""
    rows = answer.get("models")
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def read_text(row: Row, key: str) -> str:
    """A text, empty where it is absent."""
    value = row.get(key)
    return value if isinstance(value, str) else ""


def read_texts(row: Row, key: str) -> tuple[str, ...]:
    """A list of texts, empty where it is absent."""
    value = row.get(key)
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def read_mapping(row: Row, key: str) -> Row:
    """An object, empty where it is absent."""
    value = row.get(key)
    return value if isinstance(value, dict) else {}


def read_count(row: Row, key: str) -> int:
    """A count or a duration in nanoseconds, 0 where it is absent."""
    value = row.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else 0
