"""What the server counts, as ``/metrics`` tells it: Prometheus' text form, version 0.0.4."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag.api.front import seen
from rag.platform.machine import process_use

_BUCKETS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0)
"""Upper bounds of the classes of durations, in seconds."""


class Meter:
    """Counts of one server. ``answering`` is how many questions are being answered now.

    Changed from the event loop alone.
    """

    def __init__(self) -> None:
        self.answering = 0
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._seconds: dict[str, list[float]] = {}
        self._since = time.time()

    def note(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered with ``status`` after ``seconds``."""
        self._requests[method, route, status] += 1
        row = self._seconds.setdefault(route, [0.0] * (len(_BUCKETS) + 2))
        row[bisect_left(_BUCKETS, seconds)] += 1
        row[-1] += seconds

    def text(self) -> str:
        """All of it, a metric a line."""
        return "\n".join((*self._counts(), *self._durations(), *self._gauges(), ""))

    def _counts(self) -> Iterator[str]:
        yield "# HELP rag_requests_total Requests answered."
        yield "# TYPE rag_requests_total counter"
        for (method, route, status), count in sorted(self._requests.items()):
            yield _line("rag_requests_total", count, {"method": method, "route": route, "status": status})

    def _durations(self) -> Iterator[str]:
        yield "# HELP rag_request_seconds How long requests took, to the last byte of the answer."
        yield "# TYPE rag_request_seconds histogram"
        for route, row in sorted(self._seconds.items()):
            below = 0.0
            for bound, count in zip((*map(str, _BUCKETS), "+Inf"), row[:-1], strict=True):
                below += count
                yield _line("rag_request_seconds_bucket", below, {"route": route, "le": bound})
            yield _line("rag_request_seconds_sum", row[-1], {"route": route})
            yield _line("rag_request_seconds_count", below, {"route": route})

    def _gauges(self) -> Iterator[str]:
        rows = {
            "rag_answers_running": ("gauge", "Questions being answered now.", self.answering),
            "process_start_time_seconds": ("gauge", "When the server started, in UNIX seconds.", self._since),
            "process_cpu_seconds_total": ("counter", "Processor time used.", time.process_time()),
        }
        used = process_use()
        if used is not None:
            rows["process_resident_memory_bytes"] = ("gauge", "Memory in use.", used.bytes)
            rows["process_open_fds"] = ("gauge", "Open file descriptors.", used.descriptors)
        for name, (kind, told, value) in rows.items():
            yield f"# HELP {name} {told}"
            yield f"# TYPE {name} {kind}"
            yield _line(name, value, {})


class Metered:
    """Middleware that notes every request at ``meter``, by its route and not by its path, which may name documents."""

    def __init__(self, app: ASGIApp, meter: Meter) -> None:
        self._app = app
        self._meter = meter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, begun = 500, time.perf_counter()

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            seen(scope, route=route_of(scope))
            self._meter.note(_method(scope), route_of(scope), status, time.perf_counter() - begun)


def route_of(scope: Mapping[str, Any]) -> str:
    """The route that answered, with names for what varies in it; "other" for an address of nothing."""
    path = getattr(scope.get("route"), "path", None)
    return str(path) if path else "other"


def _method(scope: Mapping[str, Any]) -> str:
    known = ("GET", "HEAD", "POST", "DELETE")
    return scope["method"] if scope["method"] in known else "other"


def _line(name: str, value: float, labels: Mapping[str, object]) -> str:
    told = ",".join(f'{key}="{_escaped(str(label))}"' for key, label in labels.items())
    return f"{name}{{{told}}} {value:.10g}" if told else f"{name} {value:.10g}"


def _escaped(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
