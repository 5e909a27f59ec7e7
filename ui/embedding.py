"""What a collection is searched with, and embedding it anew as a task of the server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.commands.terminal import duration
from rag.errors import RagError
from ui.escape import inert, name, sentence
from ui.signal import Signal

if TYPE_CHECKING:
    from rag.library import Library
    from rag.types import IndexFacts, ReindexEvent

_PATIENCE = 1.0
_COALESCE = 0.1


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a collection's embedding anew is; ``event`` is None before its first batch. ``error`` says how it ended,
    empty while it runs."""

    embedder: str
    event: ReindexEvent | None = None
    error: str = ""


class Embedding:
    """Embeds collections of ``library`` anew, one at a time. The old vectors serve until the new ones are complete."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._lock = threading.Lock()
        self._states: dict[str, Progress] = {}
        self._running = ""
        self._stopping = False
        self._thread: threading.Thread | None = None
        self.changed = Signal()

    def start(self, collection: str, embedder: str) -> str:
        """Begin, or go on where an earlier run of the same embedder stopped; why not, or empty."""
        with self._lock:
            if self._running:
                return f"The collection {self._running!r} is being read by a search model. Wait, or cancel it."
            self._running, self._stopping = collection, False
            self._states[collection] = Progress(embedder)
            self._thread = threading.Thread(target=self._run, args=(collection, embedder), name="reindex", daemon=True)
            self._thread.start()
        return ""

    def cancel(self) -> None:
        """Stop after the batch in hand; what is done is kept."""
        self._stopping = True

    def close(self) -> None:
        """Stop, and wait for the batch in hand. May be called twice."""
        self.cancel()
        if self._thread is not None:
            self._thread.join(_PATIENCE)

    def html(self, collection: str, embedders: Sequence[str]) -> str:
        """The line about a collection; ``embedders`` are what it can be embedded with."""
        try:
            facts = self._library.index(collection)
        except RagError:
            return ""
        with self._lock:
            state, running = self._states.get(collection), self._running == collection
        return embedding_html(facts, state, embedders, running=running)

    async def follow(self, collection: str, embedders: Sequence[str]) -> AsyncIterator[str]:
        """The line whenever it changes, until nothing runs."""
        shown = ""
        while True:
            seen, running = self.changed.version, bool(self._running)
            line = await asyncio.to_thread(self.html, collection, embedders)
            if line != shown:
                shown = line
                yield line
            if not running:
                return
            await self.changed.wait(seen, _PATIENCE)
            await asyncio.sleep(_COALESCE)

    def _run(self, collection: str, embedder: str) -> None:
        error = "It ended because of a fault; the program's log says more."
        try:
            with closing(self._library.reindex_events(embedder, collection)) as events:
                for event in events:
                    if self._stopping:
                        break
                    self._set(collection, Progress(embedder, event))
            error = "Cancelled; what is done is kept." if self._stopping else ""
        except RagError as problem:
            error = problem.explain()
        finally:
            with self._lock:
                self._running = ""
                self._states[collection] = Progress(embedder, error=error)
            self.changed.notify()

    def _set(self, collection: str, state: Progress) -> None:
        with self._lock:
            self._states[collection] = state
        self.changed.notify()


def embedding_html(facts: IndexFacts, state: Progress | None, embedders: Sequence[str], *, running: bool) -> str:
    """The collection's embedder, how its embedding anew goes, and the button for it."""
    if running and state is not None:
        return _running(state)
    said = [f"<span>Search model: {_shown(facts.embedder)}</span>"]
    if state is not None and state.error:
        said.append(f'<span class="bad">{sentence(state.error)}</span>')
    elif facts.unfinished:
        said.append(f'<span class="w">{_shown(facts.unfinished)} has not read everything yet.</span>')
    if facts.problem:
        said.append('<span class="w">Index being repaired, searches stay exact.</span>')
    label = "Go on" if facts.unfinished else "Change…"
    wanted = facts.unfinished or facts.embedder
    offered = inert("\n".join(dict.fromkeys((wanted, *embedders))))
    button = (
        f'<button type="button" data-act="reindex" data-name="{name(wanted)}" data-options="{offered}">{label}</button>'
    )
    return f'<div class="emb"><p>{"".join(said)}</p>{button}</div>'


def _running(state: Progress) -> str:
    event = state.event
    value, said = "", "starting…"
    if event is not None:
        value = f' value="{event.done}" max="{event.total}"'
        said = f"{event.done:,} of {event.total:,} passages, about {duration(event.seconds_left)} left"
    return (
        f'<div class="emb" role="status"><p><span>{_shown(state.embedder)} reads the collection</span>'
        f"<span>{said}</span>"
        f'<progress{value} aria-label="Passages read"></progress></p>'
        '<button type="button" data-act="cancel">Cancel</button></div>'
    )


def _shown(embedder: str) -> str:
    included = {"builtin": "the included model", "multilingual": "the multilingual model"}
    return included.get(embedder) or name(embedder.removeprefix("ollama:"))
