"""A change counter that threads raise and event loops wait for."""

from __future__ import annotations

import asyncio
import threading


class Signal:
    """``notify`` from any thread; ``wait`` in any event loop. Cheap while nobody waits."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._version = 0
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    @property
    def version(self) -> int:
        """How many changes there were."""
        return self._version

    def notify(self) -> None:
        """Tell everybody who waits that something changed."""
        with self._lock:
            self._version += 1
            waiting, self._waiting = self._waiting, set()
        for loop, event in waiting:
            if not loop.is_closed():
                loop.call_soon_threadsafe(event.set)

    async def wait(self, seen: int, seconds: float) -> int:
        """Return the version as soon as it is not ``seen``, or after ``seconds``."""
        event = asyncio.Event()
        entry = (asyncio.get_running_loop(), event)
        with self._lock:
            if self._version != seen:
                return self._version
            self._waiting.add(entry)
        try:
            # In Python 3.11 wait_for loses a cancellation that comes with the event, and the waiter goes on for ever.
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            pass
        finally:
            with self._lock:
                self._waiting.discard(entry)
        return self._version
