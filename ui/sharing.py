"""Answers that several pages of one library show: kept while they are written, and followed from any of them.

A page keeps what its running answers have so far in the library's database twice a second. Another page that opens such
a conversation reads it from there, until it ends or its writer was not heard of for ``LEASE_SECONDS``.
"""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rag.errors import RagError
from rag.store.truth import Growing
from ui.signal import Signal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rag.store.truth import Conversations, StoredTurn

logger = logging.getLogger(__name__)

LEASE_SECONDS = 20.0
"""A page that was not heard of for so long is taken for dead. The clocks of the machines agree better than that."""
_KEEP_SECONDS = 0.5
_BEAT_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class Place:
    """The turn that a task's answer is written in."""

    store: Conversations
    conversation: int
    index: int
    task: str
    owner: str = ""

    def end(self, record: Mapping[str, Any]) -> None:
        """Store the finished answer, unless the turn was taken away or ended meanwhile. Raises StoreError."""
        self.store.end(self.conversation, self.index, self.task, str(record.get("asked", "")), record, self.owner)

    def turn(self) -> StoredTurn | None:
        """The turn as it is kept now; None when it was taken away. Raises StoreError."""
        return self.store.turn(self.conversation, self.index, self.owner)

    def alive(self, turn: StoredTurn) -> bool:
        """Whether the task writes on in this turn, as far as can be known."""
        return turn.task == self.task and time.time() - turn.seen < LEASE_SECONDS


class Keeper:
    """Keeps what ``running`` answers have so far, from ``wake`` until there are none; one that was ended by another
    page is stopped. Thread-safe."""

    def __init__(self, store: Conversations, running: Callable[[], Sequence[Written]]) -> None:
        self._store = store
        self._running = running
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """There is an answer more."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="answers-kept", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        kept: dict[str, tuple[str, object, float]] = {}
        while True:
            with self._lock:
                running = self._running()
                if not running:
                    self._thread = None
                    return
            self._keep(running, kept)
            time.sleep(_KEEP_SECONDS)

    def _keep(self, running: Sequence[Written], kept: dict[str, tuple[str, object, float]]) -> None:
        now, growing = time.monotonic(), dict[str, tuple[Growing, Written]]()
        for task in running:
            place, record = task.place, task.record
            if place is None or task.done:
                continue
            before = kept.get(place.task, ("", None, 0.0))
            now_kept = (record["text"], record.get("hits"), now)
            if now_kept[:2] != before[:2] or now - before[2] > _BEAT_SECONDS:
                more = None if now_kept[1] is before[1] else record
                growing[place.task] = (Growing(place.conversation, place.index, place.task, record["text"], more), task)
                kept[place.task] = now_kept
        if not growing:
            return
        try:
            gone = self._store.keep([one for one, _ in growing.values()])
        except RagError as error:
            logger.warning("Answers on their way could not be kept: %s", error)
            kept.clear()
            return
        for name in gone:
            growing[name][1].stop()


class Written(ABC):
    """What there is to show of an answer on its way: the page's own, or another page's.

    ``record`` is always what there is to show; ``changed`` tells when it changes; ``place`` is known once its question
    is stored.
    """

    def __init__(self, conversation: str, question: str, owner: str = "", place: Place | None = None) -> None:
        self.conversation = conversation
        self.question = question
        self.owner = owner
        self.changed = Signal()
        self.place = place

    @property
    @abstractmethod
    def done(self) -> bool:
        """Whether nothing more will come, and what came is stored."""

    @property
    @abstractmethod
    def record(self) -> dict[str, Any]:
        """What there is so far, as the stored record of the turn."""

    @abstractmethod
    def stop(self) -> None:
        """End it for everybody who looks."""


class Followed(Written):
    """An answer that another page writes."""

    place: Place

    def __init__(self, conversation: str, place: Place, turn: StoredTurn, owner: str) -> None:
        super().__init__(conversation, turn.question, owner, place)
        self._turn = turn
        self._record = dict(turn.answer)
        self._done = False

    @property
    def done(self) -> bool:
        return self._done

    @property
    def record(self) -> dict[str, Any]:
        return self._record

    def stop(self) -> None:
        """End it there, too: the page that writes it finds its turn ended."""
        self._record, self._done = {**self._record, "state": "stopped"}, True
        self.changed.notify()
        self.place.end(self._record)

    def run(self) -> None:
        """Follow it to its end."""
        while not self._done:
            time.sleep(_KEEP_SECONDS)
            try:
                turn = self.place.turn()
            except RagError:
                turn = self._turn  # the database is away for a moment, or for longer than the lease
            if not self._done:
                self._take(turn)

    def _take(self, turn: StoredTurn | None) -> None:
        if turn is not None and turn != self._turn:
            self._turn, self._record = turn, dict(turn.answer)
        self._done = turn is None or not self.place.alive(turn)
        if self._done and self._turn.task == self.place.task:  # its writer is gone
            self._record = {**self._record, "state": "interrupted"}
        self.changed.notify()
