"""HTTP to an Ollama server: pooled connections, retries of "busy", and streams that can be stopped at any moment.

httpx is used directly because the official client drops fields (capabilities among them) and cannot send ``truncate``
for embeddings together with ``shift`` for chats, and because it gives no way to stop a request before its first byte.

A server that loads a model or reads a long prompt is silent, headers included, for up to minutes. A thread that waits
in ``recv`` cannot be stopped from Python, so each stream is read by a thread of its own and handed over through a
queue; the caller gets a sign of life (``None``) every ``HEARTBEAT`` seconds and may close the generator there. Closing
it shuts the socket down, which ends the thread and tells the server to stop.
"""

from __future__ import annotations

import contextlib
import json
import queue
import random
import socket
import ssl
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

import httpx

from rag.errors import ModelError, RagError, ServerBusy
from rag.models.host import is_loopback, redact
from rag.models.ollama_errors import Call, bad_proxy, from_status, garbage, translated
from rag.models.slots import Slots, Ticket

HEARTBEAT = 0.2
LARGEST_BODY = 64 * 1024 * 1024
_BACKOFF = (0.2, 0.4, 0.8, 1.6)
_BUFFERED_PARTS = 256
_PLAIN_CONNECTIONS = 4
_SEE_OUT = 0.5
_END: Literal["end"] = "end"

Parts = Generator[bytes | None, None, None]


class Lane:
    """One connection for streams, lent to one stream at a time, so that its socket is known and can be shut down."""

    def __init__(self, make_client: Callable[[], httpx.Client]) -> None:
        self._make_client = make_client
        self._client: httpx.Client | None = None
        self.socket: socket.socket | None = None

    @property
    def client(self) -> httpx.Client:
        """The lane's client, made at its first use."""
        if self._client is None:
            self._client = self._make_client()
        return self._client

    def hang_up(self) -> None:
        """End the connection from any thread; a read that waits on it returns."""
        if self.socket is not None:
            with contextlib.suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Hang up and give the connection back to the system."""
        self.hang_up()
        if self._client is not None:
            self._client.close()


class Wire:
    """The connections to one server. Thread-safe; ``close`` ends everything that runs."""

    def __init__(
        self,
        base_url: str,
        *,
        connect_seconds: float,
        read_seconds: float,
        concurrency: int,
        queue: int,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.base_url = base_url
        self.address = redact(base_url)
        self._transport = transport
        self._timeouts = (connect_seconds, read_seconds)
        self._closing = threading.Event()
        with translated(self.call("")):
            self._tls: ssl.SSLContext | bool = httpx.create_ssl_context() if base_url.startswith("https:") else False
            self._plain = self._make_client(_PLAIN_CONNECTIONS)
        self._lanes = [Lane(lambda: self._make_client(1)) for _ in range(concurrency + 1)]
        self._slots = Slots(self._lanes[1:], queue)
        self._single = Slots(self._lanes[:1], queue)
        self._extra: set[Lane] = set()
        self._lock = threading.Lock()

    def _make_client(self, connections: int) -> httpx.Client:
        """A client that uses a proxy only for another machine: a proxy cannot see this one's loopback."""
        connect, read = self._timeouts
        try:
            return httpx.Client(
                timeout=httpx.Timeout(read, connect=connect, pool=read),
                limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
                trust_env=not is_loopback(self.base_url),
                verify=self._tls,
                transport=self._transport,
                headers={"Accept-Encoding": "identity"},
            )
        except (ImportError, ValueError) as error:
            raise bad_proxy(error, self.call("")) from error

    def call(self, model: str) -> Call:
        """What messages say about a request for this model."""
        return Call(self.address, model, *self._timeouts)

    def request(
        self,
        method: str,
        path: str,
        payload: Mapping[str, Any] | None,
        call: Call,
        *,
        read_seconds: float | None = None,
    ) -> bytes:
        """The body of a 200 answer; raises a ModelError for everything else. Retries "busy" for about 3 s."""
        connect, read = self._timeouts
        limit = min(read, read_seconds or read)
        call = replace(call, read_seconds=limit)
        timeout = httpx.Timeout(limit, connect=min(connect, limit), pool=read)
        for pause in (*_BACKOFF, None):
            try:
                with self.guard(call):
                    request = self._plain.build_request(method, self._url(path), timeout=timeout, **_body(payload))
                    return self._read(self._plain.send(request, stream=True), call)
            except ServerBusy:
                if pause is None or self._closing.wait(_jittered(pause)):
                    raise
        raise AssertionError("the last round returns or raises")

    def stream(self, path: str, payload: Mapping[str, Any], call: Call, *, single: bool = False) -> Parts:
        """The parts of the answer's body as they come, ``None`` for every ``HEARTBEAT`` seconds without any.

        Waits for a free lane first; of ``single`` requests one runs at a time, on a lane of their own. Closing the
        generator ends the request at once, wherever it stands. Raises ServerBusy when the queue for lanes is full,
        and a ModelError for whatever else goes wrong.
        """
        self._check_open()
        slots = self._single if single else self._slots
        ticket = slots.enter()
        try:
            while not ticket.ready.wait(HEARTBEAT):
                yield None
        except BaseException:
            slots.leave(ticket)
            raise
        yield from _Exchange(self, slots, ticket, self._url(path), _body(payload), call).parts()

    def stream_apart(self, path: str, payload: Mapping[str, Any], call: Call) -> Parts:
        """As ``stream``, on a connection of its own that no conversation waits for (downloads take minutes)."""
        self._check_open()
        lane = Lane(lambda: self._make_client(1))
        with self._lock:
            self._extra.add(lane)
        own = Slots([lane], 0)
        try:
            yield from _Exchange(self, own, own.enter(), self._url(path), _body(payload), call).parts()
        finally:
            lane.close()
            with self._lock:
                self._extra.discard(lane)

    def close(self) -> None:
        """End every request and close every connection; may be called twice."""
        self._closing.set()
        with self._lock:
            lanes = [*self._lanes, *self._extra]
        for lane in lanes:
            lane.close()
        self._plain.close()

    def _url(self, path: str) -> str:
        return f"{self.base_url}{path}"

    def _check_open(self) -> None:
        if self._closing.is_set():
            raise ModelError("The connection to Ollama was closed.", hint="Open the library again.")

    @contextlib.contextmanager
    def guard(self, call: Call) -> Iterator[None]:
        """Translate exceptions; httpx answers a request on a closed client with a RuntimeError."""
        self._check_open()
        try:
            with translated(call):
                yield
        except RuntimeError:
            self._check_open()
            raise

    def _read(self, response: httpx.Response, call: Call) -> bytes:
        try:
            body = read_body(response, call)
        finally:
            response.close()
        if response.status_code != 200:
            raise from_status(response.status_code, body, call)
        return body


class _Exchange:
    """One streamed request: a thread reads, the caller takes parts from a queue."""

    def __init__(
        self, wire: Wire, slots: Slots[Lane], ticket: Ticket[Lane], url: str, body: dict[str, Any], call: Call
    ) -> None:
        assert ticket.place is not None
        self._wire = wire
        self._slots = slots
        self._ticket = ticket
        self._lane = ticket.place
        self._url = url
        self._body = body
        self._call = call
        self._parts: queue.Queue[bytes | RagError | Literal["end"]] = queue.Queue(_BUFFERED_PARTS)
        self._cancelled = threading.Event()
        self._left = threading.Event()
        self._lock = threading.Lock()

    def parts(self) -> Parts:
        threading.Thread(target=self._run, name="ollama-stream", daemon=True).start()
        try:
            while (item := self._next()) != _END:
                if isinstance(item, RagError):
                    raise item
                yield item
        finally:
            self._cancel()

    def _next(self) -> bytes | RagError | Literal["end"] | None:
        try:
            return self._parts.get(timeout=HEARTBEAT)
        except queue.Empty:
            return None

    def _cancel(self) -> None:
        """Stop the thread, and see it out. Under the lock, because a lane given back belongs to somebody else."""
        self._cancelled.set()
        with self._lock:
            if not self._left.is_set():
                self._lane.hang_up()
        self._left.wait(_SEE_OUT)

    def _run(self) -> None:
        error: RagError | None = None
        try:
            self._attempt()
        except RagError as raised:
            error = raised
        finally:
            with self._lock:
                self._slots.leave(self._ticket)
                self._left.set()
            if error is not None:
                self._put(error)
            self._put(_END)

    def _attempt(self) -> None:
        for pause in (*_BACKOFF, None):
            try:
                self._send()
                return
            except ServerBusy:
                if pause is None or self._cancelled.wait(_jittered(pause)):
                    raise

    def _send(self) -> None:
        with (
            self._wire.guard(self._call),
            self._lane.client.stream("POST", self._url, extensions={"trace": self._trace}, **self._body) as response,
        ):
            if response.status_code != 200:
                raise from_status(response.status_code, read_body(response, self._call), self._call)
            for part in response.iter_bytes():
                if not self._put(part):
                    return

    def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Learn the socket from httpx, and hang up at the next event when the caller left before it was known."""
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self._lane.socket = info["return_value"].get_extra_info("socket")
        if self._cancelled.is_set():
            self._lane.hang_up()

    def _put(self, item: bytes | RagError | Literal["end"]) -> bool:
        """Hand over; False once the caller has left."""
        while not self._cancelled.is_set():
            try:
                self._parts.put(item, timeout=HEARTBEAT)
            except queue.Full:
                continue
            return True
        return False


def read_body(response: httpx.Response, call: Call) -> bytes:
    """The whole body; raises StreamBroken over ``LARGEST_BODY`` bytes."""
    body = bytearray()
    for part in response.iter_bytes():
        body += part
        if len(body) > LARGEST_BODY:
            raise garbage(f"more than {LARGEST_BODY // 2**20} MB", call)
    return bytes(body)


def whole(parts: Iterator[bytes | None], call: Call) -> Generator[None, None, bytes]:
    """All of ``parts``, yielding for each ``None``; raises StreamBroken over ``LARGEST_BODY`` bytes."""
    body = bytearray()
    for part in parts:
        if part is None:
            yield
            continue
        body += part
        if len(body) > LARGEST_BODY:
            raise garbage(f"more than {LARGEST_BODY // 2**20} MB", call)
    return bytes(body)


def lines(parts: Iterator[bytes | None], call: Call) -> Iterator[bytes | None]:
    """The non-blank lines in ``parts``, whatever their cuts; ``None`` is handed on."""
    rest = bytearray()
    for part in parts:
        if part is None:
            yield None
            continue
        rest += part
        if b"\n" in part:
            *whole, tail = rest.split(b"\n")
            rest = bytearray(tail)
            yield from (bytes(line) for line in whole if line.strip())
        if len(rest) > LARGEST_BODY:
            raise garbage("a line without an end", call)
    if rest.strip():
        yield bytes(rest)


def _body(payload: Mapping[str, Any] | None) -> dict[str, Any]:
    """ASCII JSON, since text may hold lone surrogates, which UTF-8 cannot carry."""
    if payload is None:
        return {}
    return {"content": json.dumps(payload).encode("ascii"), "headers": {"Content-Type": "application/json"}}


def _jittered(pause: float) -> float:
    return pause * random.uniform(0.75, 1.25)
