"""Ollama's rules as the specification has them: names, checks of a request, keep_alive, windows and truncation."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from tests.fake_ollama_model import MODES, VERIFYING, Mode, tokens

DEFAULT_WINDOW = 4096
SMALLEST_WINDOW = 4
NUM_KEEP = 4
MAX_BATCH = 2048
SPECIAL_TOKENS = 2
_NAME = re.compile(r"[\w.\-]+(?:/[\w.\-]+){0,3}(?::[\w.\-]+)?(?::\d+)?")
_DURATION = re.compile(r"[-+]?(?:\d+(?:\.\d*)?(?:ns|us|µs|ms|s|m|h))+")
_UNIT_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_INTEGERS = {"num_ctx", "num_predict", "num_keep", "seed", "top_k", "num_batch", "num_gpu", "main_gpu", "num_thread"}
_FLOATS = {"temperature", "top_p", "min_p", "repeat_penalty"}
_SCHEMA_TYPES = {"null", "boolean", "integer", "number", "string", "array", "object"}
_LEVELS = ("low", "medium", "high", "max")

Message = Mapping[str, Any]


class Refusal(Exception):
    """A request is answered with this status and body: ``error`` text, or a body that is not JSON."""

    def __init__(self, status: int, error: str | None, plain: str = "") -> None:
        super().__init__(error or plain)
        self.status = status
        self.error = error
        self.plain = plain


class Speaker(Protocol):
    """A real model behind the wire."""

    def count(self, messages: Sequence[Message]) -> int:
        """Tokens of the prompt that these messages make."""

    def speak(
        self, messages: Sequence[Message], room: int, options: Mapping[str, Any], wanted: Any
    ) -> Iterator[tuple[bool, str]]:
        """(is thinking, piece) in order, at most ``room`` tokens and one."""


@dataclass(frozen=True)
class FakeModel:
    """An installed model; a ``speaker`` writes its replies instead of the deterministic one.

    ``native``: its template is the GGUF's own, so nothing but whole messages is cut. Without a ``mode`` the name's last
    part decides (``anything-ramble`` or ``anything:ramble`` rambles).
    """

    name: str
    capabilities: tuple[str, ...] = ()
    mode: Mode | None = None
    context_length: int = 131_072
    dimension: int = 256
    size: int = 3_900_000_000
    parameters: int = 3_200_000_000
    native: bool = False
    remote_host: str = ""
    digest: str = ""
    modified_at: str = "2026-08-20T09:15:00.123456789+02:00"
    old_server: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)
    speaker: Speaker | None = None

    def completed(self) -> FakeModel:
        """With the tag, the capabilities, the mode and the digest that its name implies."""
        name = with_tag(self.name)
        embeds = "embed" in name or "minilm" in name or "bge" in name
        last = re.split(r"[-:]", name.removesuffix(":latest"))
        checks: Mode = next((m for m in VERIFYING if m in name), "honest")
        mode = self.mode or next((m for m in MODES if m.split("-") == last[-len(m.split("-")) :]), checks)
        thinks = ("thinking",) if mode in ("think", "think-only") else ()
        return replace(
            self,
            name=name,
            mode=mode,
            capabilities=self.capabilities or (("embedding",) if embeds else ("completion", "tools", *thinks)),
            digest=self.digest or f"{hash_of(name):064x}",
            context_length=min(self.context_length, 2048) if embeds else self.context_length,
        )

    @property
    def architecture(self) -> str:
        """What ``general.architecture`` says."""
        return "bert" if "embedding" in self.capabilities else "llama"


def hash_of(name: str) -> int:
    """A stable number for a name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest(), "big")


def with_tag(name: str) -> str:
    """The name as ``tags`` prints it."""
    short = name.removeprefix("registry.ollama.ai/").removeprefix("library/")
    return short if ":" in short.rsplit("/", 1)[-1] else f"{short}:latest"


def check_name(name: str) -> None:
    """Refuse characters that no name may have."""
    if not _NAME.fullmatch(name):
        raise Refusal(400, "invalid model name")


def keep_alive_seconds(value: Any) -> float:
    """Seconds from a number or a Go duration; infinity for a negative one; refuses a text without a unit."""
    if value is None:
        return 300.0
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Refusal(400, f"invalid type for keep_alive: {type(value).__name__}")
    if isinstance(value, str):
        if value != "0" and not _DURATION.fullmatch(value):
            why = "missing unit in" if re.fullmatch(r"[-+]?\d+(\.\d*)?", value) else "invalid"
            raise Refusal(400, f'time: {why} duration "{value}"')
        parts = re.findall(r"(\d+(?:\.\d*)?)(ns|us|µs|ms|s|m|h)", value)
        seconds = sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts)
        value = -seconds if value.startswith("-") else seconds
    return math.inf if value < 0 else float(value)


def check_options(options: Any) -> dict[str, Any]:
    """The known options that are not null; refuses a wrong type as Ollama does, with status 500."""
    if options is None:
        return {}
    given = {key: value for key, value in options.items() if value is not None}
    for key, value in given.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if key in _INTEGERS and not number:
            raise Refusal(500, f'option "{key}" must be of type integer')
        if key in _FLOATS and not number:
            raise Refusal(500, f'option "{key}" must be of type float32')
        if key == "stop" and not isinstance(value, list):
            raise Refusal(500, 'option "stop" must be of type array')
    return {key: value for key, value in given.items() if key in _INTEGERS | _FLOATS | {"stop"}}


def check_think(think: Any, model: FakeModel, name: str) -> bool:
    """Whether the model thinks; refuses what it cannot do."""
    if isinstance(think, str) and think not in _LEVELS:
        raise Refusal(400, f'invalid think value: "{think}" (must be "high", "medium", "low", "max", true, or false)')
    able = "thinking" in model.capabilities
    if think and not able:
        raise Refusal(400, f'"{name}" does not support thinking')
    return able and (think is not False or "gpt-oss" in name)


def check_format(value: Any) -> Any:
    """``json``, a schema, or None; refuses the rest."""
    if value is None or value == "":
        return None
    if isinstance(value, dict) and (bad := _unknown_type(value)) is not None:
        raise Refusal(400, nested_bad_schema(bad))
    if value == "json" or isinstance(value, dict):
        return value
    raise Refusal(500, f'invalid format: {json.dumps(value)}; expected "json" or a valid JSON Schema object')


def _unknown_type(schema: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The first part of a schema whose type JSON Schema does not know."""
    kinds = schema.get("type", [])
    if not set([kinds] if isinstance(kinds, str) else kinds) <= _SCHEMA_TYPES:
        return schema
    inner = [*schema.get("properties", {}).values(), schema.get("items")]
    return next((bad for part in inner if isinstance(part, dict) and (bad := _unknown_type(part)) is not None), None)


def nested_bad_schema(schema: Mapping[str, Any]) -> str:
    """The runner's refusal of a schema, forwarded as JSON within a string."""
    shown = json.dumps(schema, separators=(",", ":"))
    message = f"JSON schema conversion failed:\nUnrecognized schema: {shown}"
    error = {"code": 400, "message": message, "type": "invalid_request_error"}
    return json.dumps({"error": error}, separators=(",", ":"))


def check_messages(value: Any) -> list[Message]:
    """The messages with lower-case roles; refuses what Go's decoder refuses."""
    if value is None:
        return []
    for message in value:
        if not isinstance(message, dict) or not isinstance(message.get("content", ""), str):
            raise Refusal(400, "json: cannot unmarshal number into Go struct field Alias.content of type string")
    return [{**m, "role": str(m.get("role", "")).lower(), "content": m.get("content", "")} for m in value]


def window(options: Mapping[str, Any], model: FakeModel) -> int:
    """The effective ``num_ctx``."""
    return max(SMALLEST_WINDOW, min(int(options.get("num_ctx", DEFAULT_WINDOW)), model.context_length))


def render(messages: Sequence[Message]) -> str:
    """The prompt as the template makes it; one token more than its text for the beginning of the sequence."""
    return "".join(f"<|{m['role']}|>\n{m['content']}\n" for m in messages) + "<|assistant|>\n"


def count(text: str) -> int:
    """Tokens of a rendered prompt."""
    return len(tokens(text)) + 1


def fit(messages: Sequence[Message], num_ctx: int, body: Mapping[str, Any], model: FakeModel) -> tuple[str, int]:
    """The prompt that the model sees and its number of tokens, by the rules for over-long prompts."""
    truncate = body.get("truncate") is not False
    kept = drop_oldest(messages, num_ctx) if truncate else list(messages)
    text = render(kept)
    length = count(text)
    if not truncate or model.native:
        if length >= num_ctx:
            raise Refusal(400, nested_overflow(length, num_ctx))
        return text, length
    if length <= num_ctx - 1:
        return text, length
    if body.get("shift") is False:
        raise Refusal(
            400,
            "the prompt is longer than the context length currently available to the model; shorten the prompt, "
            "adjust the context length in settings, or use a model with a longer context length",
        )
    pieces = ["", *tokens(text)]
    keep = NUM_KEEP + 1
    newest = num_ctx - max((num_ctx - keep) // 2, 1) - keep
    return "".join(pieces[:keep] + pieces[-newest:]), keep + newest


def drop_oldest(messages: Sequence[Message], num_ctx: int) -> list[Message]:
    """Whole messages go, oldest first, until the prompt fits; system messages move to the front, the last one stays."""
    for first in range(len(messages)):
        systems = [m for m in messages[:first] if m["role"] == "system"]
        kept = [*systems, *messages[first:]]
        if count(render(kept)) <= num_ctx:
            return kept
    return kept if messages else []


def nested_overflow(length: int, num_ctx: int) -> str:
    """The runner's refusal, forwarded as JSON within a string."""
    return json.dumps(
        {
            "error": {
                "code": 400,
                "message": f"request ({length} tokens) exceeds the available context size ({num_ctx} tokens), "
                "try increasing it",
                "type": "exceed_context_size_error",
                "n_prompt_tokens": length,
                "n_ctx": num_ctx,
            }
        },
        separators=(",", ":"),
    )


def fit_input(text: str, options: Mapping[str, Any], truncate: bool, model: FakeModel) -> tuple[str, int]:
    """An input of ``embed``, cut if it may be, and its tokens; refused if it may not."""
    limit = min(window(options, model), int(options.get("num_batch", MAX_BATCH))) - SPECIAL_TOKENS
    if limit <= 0:
        raise Refusal(400, "input after truncation exceeds maximum context length")
    pieces = tokens(text)
    if len(pieces) > limit and not truncate:
        raise Refusal(400, "the input length exceeds the context length")
    return "".join(pieces[:limit]), min(len(pieces), limit) + SPECIAL_TOKENS
