"""The models of an open library: chosen once, when first needed, and shared by everything that asks."""

from __future__ import annotations

import threading
from dataclasses import asdict
from typing import TYPE_CHECKING

from rag.config import Config
from rag.errors import EmbedderMismatch
from rag.store.truth import EmbedderInfo

if TYPE_CHECKING:
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from llama_index.core.llms.llm import LLM

    from rag.models.choose import Choice


class ModelRegistry:
    """The chat model and the embedders. Models that the caller gave are used instead of the configured ones and stay
    the caller's to close; the others are closed by ``close``. Thread-safe."""

    def __init__(self, config: Config, llm: LLM | None, embed_model: BaseEmbedding | None) -> None:
        self.config = config
        self._given_llm = llm
        self._given_embedder = embed_model
        self._guard = threading.RLock()
        self._llm: tuple[LLM | None, Choice] | None = None
        self._embedders: dict[str, tuple[BaseEmbedding, Choice]] = {}

    def llm(self) -> tuple[LLM | None, Choice]:
        """The chat model (None: answers are quoted) and why it was chosen. Raises ModelError."""
        from rag.models.choose import Choice, choose_llm

        with self._guard:
            if self._llm is None:
                if self._given_llm is not None:
                    name = type(self._given_llm).__name__
                    self._llm = (self._given_llm, Choice(name, f"Answers with the given model {name}."))
                else:
                    self._llm = choose_llm(self.config)
            return self._llm

    @property
    def llm_name(self) -> str:
        """The chat model's name as far as it is known without asking a server; ``auto`` where it is not."""
        with self._guard:
            if self._llm is not None:
                return self._llm[1].name
            return self.config.llm if self._given_llm is None else type(self._given_llm).__name__

    def use_llm(self, name: str) -> None:
        """Answer with ``auto``, ``quotes``, ``ollama:NAME`` or a bare name of Ollama's from now on.

        Raises ConfigError or ModelError, and then keeps the model in use.
        """
        from rag.models.choose import choose_llm

        known = name in ("auto", "quotes") or name.startswith("ollama:")
        config = self.config.with_(llm=name if known else f"ollama:{name}")
        chosen = choose_llm(config)
        with self._guard:
            before, self.config, self._llm = self._llm, config, chosen
        if before is not None and before[0] is not self._given_llm:
            _close(before[0])

    def embedder(self, recorded: str | None) -> tuple[BaseEmbedding, Choice]:
        """The embedder of a collection that was embedded by ``recorded``; None for one that is yet to be made.

        Raises EmbedderMismatch when another one was asked for, ModelError when it cannot be used.
        """
        from rag.models.choose import Choice, choose_embedder
        from rag.models.embed import describe_embedder

        with self._guard:
            if self._given_embedder is not None:
                name = describe_embedder(self._given_embedder).name
                if recorded not in (None, name):
                    raise EmbedderMismatch(
                        f"The collection was embedded by {recorded}, not by {name}.",
                        hint="Open the library without embed_model, or make a new collection.",
                    )
                return self._given_embedder, Choice(name, f"Embeds with the given model {name}.")
            key = recorded or ""
            if key not in self._embedders:
                self._embedders[key] = choose_embedder(self.config, recorded)
            return self._embedders[key]

    def new_embedder(self, name: str) -> tuple[BaseEmbedding, Choice]:
        """Another embedder, for a reindex. From now on no embedder is insisted on but what each collection records."""
        from rag.models.choose import choose_embedder

        with self._guard:
            model, choice = choose_embedder(self.config.with_(embedder=name))
            self.config = self.config.with_(embedder="auto")
            self._embedders[choice.name] = (model, choice)
            return model, choice

    def close(self) -> None:
        """Close connections to servers."""
        with self._guard:
            for model, _ in self._embedders.values():
                _close(model)
            if self._llm is not None and self._llm[0] is not self._given_llm:
                _close(self._llm[0])
            self._embedders.clear()
            self._llm = None


def embedder_info(model: BaseEmbedding) -> EmbedderInfo:
    """What the truth keeps of an embedder."""
    from rag.models.embed import describe_embedder

    return EmbedderInfo(**asdict(describe_embedder(model)))


def _close(model: object) -> None:
    close = getattr(model, "close", None)
    if close is not None:
        close()
