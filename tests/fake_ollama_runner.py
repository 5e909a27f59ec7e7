"""Loading and scheduling as Ollama does it: one load at a time, reload when load options differ, few at once."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.fake_ollama_rules import FakeModel, Refusal, window

Pause = Callable[[float], None]

_POLL = 0.005
_LOAD_OPTIONS = ("num_batch", "num_gpu", "main_gpu", "use_mmap", "num_thread", "draft_num_predict")


@dataclass(frozen=True)
class Load:
    """One loading of a model, with what it was loaded for."""

    model: str
    num_ctx: int
    shift: bool


@dataclass
class Runner:
    """A loaded model."""

    model: FakeModel
    key: tuple[Any, ...]
    num_ctx: int
    free: int
    in_flight: int = 0
    expires: float = math.inf


@dataclass
class Scheduler:
    """Loaded models and who waits for them."""

    load_seconds: float = 0.0
    parallel: int = 1
    max_queue: int = 512
    loads: list[Load] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._runners: dict[str, Runner] = {}
        self._pending = 0
        self._lock = threading.Lock()
        self._loading = threading.Lock()

    def loaded(self) -> list[Runner]:
        """The models in memory, latest expiry first."""
        now = time.time()
        with self._lock:
            self._runners = {n: r for n, r in self._runners.items() if r.in_flight or r.expires > now}
            return sorted(self._runners.values(), key=lambda r: -r.expires)

    def unload(self, name: str) -> None:
        """Drop a model from memory."""
        with self._lock:
            self._runners.pop(name, None)

    @contextmanager
    def run(
        self, model: FakeModel, options: Mapping[str, Any], shift: bool, keep_alive: float, pause: Pause
    ) -> Iterator[tuple[Runner, int]]:
        """A turn on the model, loaded for these options, and the nanoseconds until it began.

        Raises Refusal 503 when too many wait for a load. ``pause`` raises when the client leaves.
        """
        started = time.monotonic_ns()
        runner = self._turn(model, options, shift, pause)
        try:
            yield runner, max(time.monotonic_ns() - started, 1)
        finally:
            with self._lock:
                runner.free += 1
                runner.in_flight -= 1
                runner.expires = time.time() + keep_alive
            if keep_alive == 0:
                self.unload(model.name)

    def _turn(self, model: FakeModel, options: Mapping[str, Any], shift: bool, pause: Pause) -> Runner:
        key = (window(options, model), shift, *(options.get(name) for name in _LOAD_OPTIONS))
        while True:
            with self._lock:
                runner = self._runners.get(model.name)
                if runner is not None and runner.key == key and runner.free:
                    runner.free -= 1
                    runner.in_flight += 1
                    return runner
            if runner is None or runner.key != key:
                self._load(model, key, pause)
            else:
                pause(_POLL)

    def _load(self, model: FakeModel, key: tuple[Any, ...], pause: Pause) -> None:
        with self._lock:
            if self._pending >= self.max_queue:
                raise Refusal(503, "server busy, please try again.  maximum pending requests exceeded")
            self._pending += 1
        try:
            while not self._loading.acquire(blocking=False):
                pause(_POLL)
            try:
                self._load_now(model, key, pause)
            finally:
                self._loading.release()
        finally:
            with self._lock:
                self._pending -= 1

    def _load_now(self, model: FakeModel, key: tuple[Any, ...], pause: Pause) -> None:
        """Wait until the old runner is idle, then load; somebody else may have loaded it meanwhile."""
        while True:
            with self._lock:
                runner = self._runners.get(model.name)
            if runner is not None and runner.key == key:
                return
            if runner is None or not runner.in_flight:
                break
            pause(_POLL)
        begun = time.monotonic()
        while time.monotonic() < begun + self.load_seconds:  # a test may shorten it while it lasts
            pause(_POLL)
        with self._lock:
            self.loads.append(Load(model.name, key[0], key[1]))
            parallel = 1 if "embedding" in model.capabilities else self.parallel
            self._runners[model.name] = Runner(model, key, key[0], parallel)
