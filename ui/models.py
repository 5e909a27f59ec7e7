"""What answers: the state of Ollama and its models, the choice of one, and downloads as tasks of the server."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING

from rag.errors import ModelError, RagError
from rag.models.choose import AUTO, BUILTIN, OLLAMA, QUOTES, ServerFacts, open_client, served_names, server_facts
from rag.models.families import DEFAULT_CHAT_PULL, RECOMMENDED, canonical
from rag.platform.machine import memory_bytes
from ui.lists import Status
from ui.signal import Signal
from ui.warm import WarmUp

if TYPE_CHECKING:
    from rag.library import Library

_QUOTING = "Answers are the sentences of your documents that say it. A model would write them in its own words."
_START = "Install Ollama, start it with `ollama serve`, then press “Check again”."


class Models:
    """The models of one server. All methods may block for as long as Ollama takes to answer."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._lock = threading.Lock()
        self._pull: Pull | None = None
        self.changed = Signal()
        self.warm = WarmUp(library, self.changed)
        self._failed = ""
        self._wanted = library.config.llm

    def status(self) -> Status:
        """What answers now, or what stands in the way."""
        pull = self._pull
        if pull is not None and not pull.done:
            return pull.status()
        facts = server_facts(self._library.config)
        try:
            choice = self._library.llm_choice
            if self._wanted == AUTO and choice.name == QUOTES and _chat_models(facts):
                self.use(AUTO)  # Ollama was started, or a model fetched, since
                choice = self._library.llm_choice
        except ModelError as error:
            return self._trouble(facts, error)
        if choice.name != QUOTES:
            name = choice.name.removeprefix(OLLAMA)
            if choice.name.startswith(OLLAMA) and not facts.reachable:
                return _down(facts)
            if choice.name.startswith(OLLAMA) and not _has(facts, name):
                return Status("missing", f"{name} is not downloaded", self._failed, name, _size(name))
            shown = name.removesuffix(":latest")
            if choice.name.startswith(OLLAMA) and self.warm.running:
                return Status("loading", f"{shown} is being loaded…")
            return Status("ok", f"{shown} ready", self._failed)
        if self._wanted == QUOTES:
            return Status("quotes", "Quoting, no model", self._failed)
        if not facts.reachable:
            return Status("quotes-only", "Quoting: Ollama is not running", f"{_QUOTING} {_START}")
        size = _size(DEFAULT_CHAT_PULL)
        fits = f"{_QUOTING} {DEFAULT_CHAT_PULL} takes {size} of this machine's {_memory_gb()} GB of memory."
        return Status("missing", "Quoting: no chat model", self._failed or fits, DEFAULT_CHAT_PULL, size)

    def embedders(self) -> list[str]:
        """What a collection can be embedded with: the built-in embedder, then the installed models that embed."""
        facts = server_facts(self._library.config)
        names = (
            m.name.removesuffix(":latest") for m in facts.models if "embedding" in m.capabilities and not m.is_remote
        )
        return [BUILTIN, *(f"{OLLAMA}{name}" for name in sorted(names))]

    def choices(self) -> list[str]:
        """Names to choose from: quoting, the installed models that can chat, and those of other servers in use."""
        config = self._library.config
        installed = (f"{OLLAMA}{name}" for name in _chat_models(server_facts(config)))
        return [QUOTES, *installed, *served_names(config, self.current())]

    def current(self) -> str:
        """The name of what answers, or of what was asked for while that cannot be used."""
        try:
            return self._library.llm_choice.name.removesuffix(":latest")
        except RagError:
            return self._wanted

    def use(self, name: str) -> str:
        """Answer with another model from now on; what went wrong, or empty."""
        try:
            self._library.use_llm(name)
        except RagError as error:
            return error.explain()
        self._wanted = name
        self.warm.start()
        return ""

    def pull(self, name: str) -> Pull:
        """Start to download a model, or join the download that runs."""
        with self._lock:
            if self._pull is None or self._pull.done:
                self._failed = ""
                self._pull = Pull(self._library, name, self.changed, self._ended)
                self._pull.start()
            return self._pull

    @property
    def busy(self) -> bool:
        """Whether a download runs or a model is being made ready; ``changed`` tells how it goes."""
        pull = self._pull
        return self.warm.running or (pull is not None and not pull.done)

    def cancel(self) -> None:
        """End the download that runs; what was fetched is kept by Ollama."""
        pull = self._pull
        if pull is not None:
            pull.cancel()

    def close(self) -> None:
        """End what runs."""
        self.cancel()
        self.warm.close()

    def _ended(self, name: str, error: str) -> None:
        self._failed = error
        if not error:
            self.use(f"{OLLAMA}{name}")

    def _trouble(self, facts: ServerFacts, error: ModelError) -> Status:
        wanted = self._wanted.removeprefix(OLLAMA)
        if not facts.reachable:
            return _down(facts)
        if wanted and not _has(facts, wanted):
            return Status("missing", f"{wanted} is not downloaded", self._failed, wanted, _size(wanted))
        return Status("bad", "The model cannot be used", error.explain())


class Pull:
    """One download, in a thread of its own."""

    def __init__(self, library: Library, name: str, changed: Signal, ended: Callable[[str, str], None]) -> None:
        self.name = name
        self._changed = changed
        self._library = library
        self._ended = ended
        self._layers: dict[str, tuple[int, int]] = {}
        self._stopping = False
        self.done = False

    def start(self) -> None:
        """Begin."""
        threading.Thread(target=self._run, name="pull", daemon=True).start()

    def cancel(self) -> None:
        """Stop at the server's next sign of life, which comes about five times a second."""
        self._stopping = True

    def status(self) -> Status:
        """How far it is; per cent of the bytes that are known of."""
        total = sum(total for total, _ in self._layers.values())
        completed = sum(completed for _, completed in self._layers.values())
        percent = 100 * completed / total if total else None
        shown = f" – {percent:.0f} %" if percent is not None else "…"
        return Status("pulling", f"Downloading {self.name}{shown}", "", self.name, percent=percent)

    def _run(self) -> None:
        error = "The download was cancelled."
        try:
            with open_client(self._library.config) as client, closing(client.pull(self.name)) as steps:
                for step in steps:
                    if self._stopping:
                        return
                    if step.digest:
                        self._layers[step.digest] = (step.total, step.completed)
                    self._changed.notify()
            error = ""
        except RagError as problem:
            error = problem.explain()
        finally:
            self._ended(self.name, error)
            self.done = True
            self._changed.notify()


def _down(facts: ServerFacts) -> Status:
    short = "Ollama is not running" if "not running" in facts.error else "Ollama does not answer"
    return Status("down", short, f"{facts.error} {facts.hint}".strip())


def _chat_models(facts: ServerFacts) -> list[str]:
    """The installed models of this machine that can chat; older servers do not say which can."""
    return sorted(
        model.name.removesuffix(":latest")
        for model in facts.models
        if "completion" in (model.capabilities or ("completion",)) and not model.is_remote
    )


def _has(facts: ServerFacts, name: str) -> bool:
    return canonical(name) in {canonical(model.name) for model in facts.models}


def _memory_gb() -> int:
    return round(memory_bytes() / 2**30)


def _size(name: str) -> str:
    known = {canonical(model.name): model.size_gb for model in RECOMMENDED}
    size = known.get(canonical(name))
    return f"{size:g} GB" if size else ""
