"""One question to a chat model, one JSON value back: for the judge and for drafts."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rag.errors import ConfigError

if TYPE_CHECKING:
    from rag.config import Config

Ask = Callable[[str, str, Mapping[str, Any]], str]
"""System text, user text and JSON schema in; the reply out. Raises ModelError."""
_BRACES = re.compile(r"\{.*\}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat model by ``name`` with the ``digest`` of its weights."""

    name: str
    digest: str
    ask: Ask


@contextmanager
def open_chat(config: Config, name: str) -> Iterator[Chat]:
    """The chat model ``name`` (``ollama:NAME`` or ``auto``). Raises ConfigError when it means no model, ModelError when
    it cannot be used."""
    from rag.models.choose import choose_llm

    llm, choice = choose_llm(config.with_(llm=name))
    if llm is None:
        raise ConfigError(
            f"This needs a chat model, and '{name}' is none.",
            hint="Start Ollama and name a model, as ollama:qwen3:8b; `rag models` lists those it has.",
        )
    model = llm

    def ask(system: str, user: str, schema: Mapping[str, Any]) -> str:
        return str(model.complete(f"{system}\n\n{user}", format=schema).text)

    try:
        yield Chat(choice.name, str(getattr(llm, "digest", "")), ask)
    finally:
        close = getattr(llm, "close", None)
        if close is not None:
            close()


def read_json(reply: str) -> Mapping[str, Any] | None:
    """The JSON object in a reply, with or without words around it; ``None`` when there is none."""
    found = _BRACES.search(reply)
    if found is None:
        return None
    try:
        value = json.loads(found[0])
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def fence() -> str:
    """A mark that no document can foresee."""
    return secrets.token_hex(8)
