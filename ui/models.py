"""What answers: the state of Ollama and its models, the choice of one, and downloads as tasks of the server."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from rag.errors import ModelError, RagError, StoreError
from rag.models.choose import (
    AUTO,
    BUILTIN,
    MULTILINGUAL,
    OLLAMA,
    QUOTES,
    ServerFacts,
    open_client,
    served_names,
    server_facts,
)
from rag.models.families import DEFAULT_CHAT_PULL, RECOMMENDED, canonical
from rag.models.multilingual import multilingual_installed
from rag.platform.machine import memory_bytes
from ui.lists import Status
from ui.sharing import LEASE_SECONDS
from ui.signal import Signal
from ui.warm import WarmUp

if TYPE_CHECKING:
    from rag.library import Library

_QUOTING = "Answers are the sentences of your documents that say it. A model would write them in its own words."
_PULL, _CANCELLED = "pull", "pull-cancelled"
_TOLD_SECONDS = 1.0
_START = "Install Ollama, start it with `ollama serve`, then press “Check again”."


class Models:
    """The models of one server. All methods may block for as long as Ollama takes to answer."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._lock = threading.Lock()
        self._pull: Pull | None = None
        self.changed = Signal()
        self.warm = WarmUp(library, self.changed)
        self._elsewhere: Status | None = None
        self._failed = ""

    def status(self) -> Status:
        """What answers now, or what stands in the way."""
        try:
            return self._pulling() or self._standing()
        except StoreError as error:
            return Status("bad", "The library cannot be reached", error.explain())

    def _pulling(self) -> Status | None:
        """How far the download is that runs here, or in another page of the library."""
        pull = self._pull
        if pull is not None and not pull.done:
            return pull.status()
        told = (self._library.shared.get(_PULL) if self._library.shared else None) or {}
        there = time.time() - told.get("seen", 0.0) < LEASE_SECONDS
        self._elsewhere = _progress(told["name"], told["percent"]) if there else None
        return self._elsewhere

    def _standing(self) -> Status:
        facts = server_facts(self._library.config)
        try:
            choice = self._library.llm_choice
            if self._library.llm_wanted == AUTO and choice.name == QUOTES and _chat_models(facts):
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
        if self._library.llm_wanted == QUOTES:
            return Status("quotes", "Quoting, no model", self._failed)
        if not facts.reachable:
            return Status("quotes-only", "Quoting: Ollama is not running", f"{_QUOTING} {_START}")
        size = _size(DEFAULT_CHAT_PULL)
        fits = f"{_QUOTING} {DEFAULT_CHAT_PULL} takes {size} of this machine's {_memory_gb()} GB of memory."
        return Status("missing", "Quoting: no chat model", self._failed or fits, DEFAULT_CHAT_PULL, size)

    def embedders(self) -> list[str]:
        """What a collection can be embedded with: the built-in embedder, the multilingual one where its extra is
        installed, then the models of Ollama that embed."""
        facts = server_facts(self._library.config)
        names = (
            m.name.removesuffix(":latest") for m in facts.models if "embedding" in m.capabilities and not m.is_remote
        )
        own = [BUILTIN, MULTILINGUAL] if multilingual_installed() else [BUILTIN]
        return [*own, *(f"{OLLAMA}{name}" for name in sorted(names))]

    def choices(self) -> list[str]:
        """Names to choose from: quoting, the installed models that can chat, and those of other servers in use."""
        config = self._library.config
        installed = (f"{OLLAMA}{name}" for name in _chat_models(server_facts(config)))
        return [QUOTES, *installed, *served_names(config, self.current())]

    def current(self) -> str:
        """The name of what answers, or of what was asked for while that cannot be used."""
        try:
            return self._library.llm_choice.name.removesuffix(":latest")
        except StoreError:
            return self._library.config.llm
        except RagError:
            return self._library.llm_wanted

    def use(self, name: str) -> str:
        """Answer with another model from now on; what went wrong, or empty."""
        try:
            self._library.use_llm(name)
        except RagError as error:
            return error.explain()
        self.warm.start()
        return ""

    def pull(self, name: str) -> None:
        """Start to download a model, unless a download runs, here or in another page."""
        with self._lock:
            if self._pulling() is None:
                self._failed = ""
                self._pull = Pull(self._library, name, self.changed, self._ended)
                self._pull.start()

    @property
    def busy(self) -> bool:
        """Whether a download runs or a model is being made ready; ``changed`` tells how it goes."""
        pull = self._pull
        return self.warm.running or self._elsewhere is not None or (pull is not None and not pull.done)

    def cancel(self) -> None:
        """End the download that runs, here or in another page; what was fetched is kept by Ollama."""
        pull, shared = self._pull, self._library.shared
        if pull is not None and not pull.done:
            pull.cancel()
        elif shared is not None and (told := shared.get(_PULL)):
            shared.set(_CANCELLED, told.get("id"))

    def close(self) -> None:
        """End what runs here."""
        if self._pull is not None:
            self._pull.cancel()
        self.warm.close()

    def _ended(self, name: str, error: str) -> None:
        self._failed = error
        if not error:
            self.use(f"{OLLAMA}{name}")

    def _trouble(self, facts: ServerFacts, error: ModelError) -> Status:
        wanted = self._library.llm_wanted.removeprefix(OLLAMA)
        if not facts.reachable:
            return _down(facts)
        if wanted and not _has(facts, wanted):
            return Status("missing", f"{wanted} is not downloaded", self._failed, wanted, _size(wanted))
        return Status("bad", "The model cannot be used", error.explain())


class Pull:
    """One download, in a thread of its own; the other pages of a library in a database are told how far it is."""

    def __init__(self, library: Library, name: str, changed: Signal, ended: Callable[[str, str], None]) -> None:
        self.name = name
        self._changed = changed
        self._library = library
        self._ended = ended
        self._layers: dict[str, tuple[int, int]] = {}
        self._stopping = False
        self._id = secrets.token_hex(8)
        self._told = 0.0
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
        return _progress(self.name, 100 * completed / total if total else None)

    def _tell(self, *, ended: bool = False) -> None:
        """Tell the other pages, and hear whether one of them has cancelled it."""
        shared, now = self._library.shared, time.monotonic()
        if shared is None or (now - self._told < _TOLD_SECONDS and not ended):
            return
        self._told = now
        with suppress(StoreError):  # a database that is away stops no download
            seen = 0.0 if ended else time.time()
            shared.set(_PULL, {"id": self._id, "name": self.name, "percent": self.status().percent, "seen": seen})
            self._stopping = self._stopping or shared.get(_CANCELLED) == self._id

    def _run(self) -> None:
        error = "The download was cancelled."
        try:
            with open_client(self._library.config) as client, closing(client.pull(self.name)) as steps:
                for step in steps:
                    self._tell()
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
            self._tell(ended=True)
            self.done = True
            self._changed.notify()


def _progress(name: str, percent: float | None) -> Status:
    shown = f" – {percent:.0f} %" if percent is not None else "…"
    return Status("pulling", f"Downloading {name}{shown}", "", name, percent=percent)


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
