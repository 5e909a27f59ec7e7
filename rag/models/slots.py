"""A bounded number of places and a bounded queue before them, first come, first served."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from rag.errors import ServerBusy

Place = TypeVar("Place")


@dataclass(eq=False, slots=True)
class Ticket(Generic[Place]):
    """A turn in the queue. ``place`` is set once ``ready`` is; give it back with ``Slots.leave``."""

    place: Place | None = None
    ready: threading.Event = field(default_factory=threading.Event)


class Slots(Generic[Place]):
    """Lends out ``places``; at most ``queue`` callers wait. Thread-safe."""

    def __init__(self, places: Sequence[Place], queue: int) -> None:
        self._free = list(places)
        self._count = len(places)
        self._queue = queue
        self._waiting: deque[Ticket[Place]] = deque()
        self._lock = threading.Lock()

    def enter(self) -> Ticket[Place]:
        """A ticket, ready at once if a place is free. Raises ServerBusy at once when the queue is full."""
        ticket: Ticket[Place] = Ticket()
        with self._lock:
            if self._free:
                ticket.place = self._free.pop()
                ticket.ready.set()
            elif len(self._waiting) >= self._queue:
                raise ServerBusy(
                    f"{self._count} requests to the model are running and {self._queue} are waiting; there is no room "
                    "for another."
                )
            else:
                self._waiting.append(ticket)
        return ticket

    def leave(self, ticket: Ticket[Place]) -> None:
        """Give the place to the next in the queue, or leave the queue before having got one."""
        with self._lock:
            if ticket.place is None:
                self._waiting.remove(ticket)
                return
            place, ticket.place = ticket.place, None
            if self._waiting:
                following = self._waiting.popleft()
                following.place = place
                following.ready.set()
            else:
                self._free.append(place)
