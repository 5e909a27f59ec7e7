"""The wire to an Ollama server beneath the official client: connections that can be stopped, queues, retries of "busy".

The official client is an httpx client, so what it lacks goes into its transport, a ``Lane``: fields it has no argument
for (``shift``, ``truncate`` of a chat), the body as the server wrote it (the client's types leave out what a list says
of capabilities and of remote models), typed errors, and the socket, by which a request is ended from any thread.

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
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Literal, TypeVar

import httpx
import ollama

from rag.errors import ModelError, RagError, ServerBusy
from rag.models.errors import Call, bad_proxy, checked, from_status, garbage, parse_object, translated
from rag.models.host import is_loopback, redact

HEARTBEAT = 0.2
LARGEST_BODY = 64 * 1024 * 1024
_BACKOFF = (0.2, 0.4, 0.8, 1.6)
_BUFFERED_PARTS = 256
_PLAIN_CONNECTIONS = 4
_MANY = 1_000_000
_SEE_OUT = 0.5
_END: Literal["end"] = "end"
# The client adds the path; where the server is, with a user's name or a path before it, only the lane knows.
_ANYWHERE = "http://ollama.invalid"
_OWN_HEADERS = ("host", "content-length", "accept-encoding", "connection")

Place = TypeVar("Place")
Item = TypeVar("Item")


@dataclass(eq=False, slots=True)
class Ticket(Generic[Place]):
    """A turn in the queue. ``place`` is set once ``ready`` is; give it back with ``Slots.leave``."""

    place: Place | None = None
    ready: threading.Event = field(default_factory=threading.Event)


class Slots(Generic[Place]):
    """Lends out ``places``, first come, first served; at most ``queue`` callers wait. Thread-safe."""

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


class Lane(httpx.BaseTransport):
    """One connection, lent to one request at a time, and the official client that speaks through it.

    ``call`` says what messages tell of the request and how long it may take, ``extra`` which fields go into its body.
    ``row`` is then the answer's object as the server wrote it, where it was one object.
    """

    def __init__(self, base_url: str, make_http: Callable[[], httpx.Client]) -> None:
        self._base_url = base_url
        self._make_http = make_http
        self._http: httpx.Client | None = None
        self._client: ollama.Client | None = None
        self._socket: socket.socket | None = None
        self._stopped: threading.Event = threading.Event()
        self._body = b""
        self.call = Call(redact(base_url))
        self.extra: Mapping[str, Any] = {}

    @property
    def client(self) -> ollama.Client:
        """The official client, made at its first use."""
        if self._client is None:
            self._client = ollama.Client(_ANYWHERE, transport=self)
        return self._client

    @property
    def row(self) -> Mapping[str, Any]:
        """The last answer that was one object. Raises StreamBroken where it is none."""
        return parse_object(self._body, self.call)

    def get(self, path: str) -> Mapping[str, Any]:
        """The object at a path that the official client has no method for."""
        self.handle_request(httpx.Request("GET", f"{_ANYWHERE}{path}")).close()
        return self.row

    def lend(self, call: Call, extra: Mapping[str, Any], stopped: threading.Event) -> None:
        """Prepare for the next request, which ends at its next step once ``stopped`` is set."""
        self.call, self.extra, self._stopped = call, extra, stopped

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send the client's request to the server. Raises a ModelError for any failure and any status but 200."""
        if self._http is None:
            self._http = self._make_http()
        body, streams = self._completed(request.read())
        with translated(self.call):
            response = self._http.send(self._readdressed(request, body), stream=True)
        try:
            if response.status_code != 200:
                raise from_status(response.status_code, _whole(response, self.call), self.call)
            kind = {"Content-Type": response.headers.get("Content-Type", "")}
            if streams:
                return httpx.Response(200, headers=kind, stream=_Lines(response, self.call))
            self._body = _whole(response, self.call)
            checked(self.row, self.call)
        except BaseException:
            response.close()
            raise
        response.close()
        return httpx.Response(200, headers=kind, content=self._body)

    def hang_up(self) -> None:
        """End the connection from any thread; a read that waits on it returns."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Hang up and give the connection back to the system."""
        self.hang_up()
        if self._http is not None:
            self._http.close()

    def _completed(self, body: bytes) -> tuple[bytes, bool]:
        """The body with the extra fields, and whether it asks for a stream."""
        if not body:
            return b"", False
        row = {**json.loads(body), **self.extra}
        return json.dumps(row).encode("ascii"), row.get("stream") is True

    def _readdressed(self, request: httpx.Request, body: bytes) -> httpx.Request:
        assert self._http is not None
        connect, read = self.call.connect_seconds, self.call.read_seconds
        return self._http.build_request(
            request.method,
            f"{self._base_url}{request.url.raw_path.decode('ascii')}",
            content=body or None,
            headers={name: value for name, value in request.headers.items() if name not in _OWN_HEADERS},
            timeout=httpx.Timeout(read, connect=min(connect, read), pool=read),
            extensions={"trace": self._trace},
        )

    def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Learn the socket from httpx, and hang up at the next event when the caller left before it was known."""
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self._socket = info["return_value"].get_extra_info("socket")
        if self._stopped.is_set():
            self.hang_up()


class _Lines(httpx.SyncByteStream):
    """A stream's lines, each known to be an object that tells of no error before the client reads it."""

    def __init__(self, response: httpx.Response, call: Call) -> None:
        self._response = response
        self._call = call

    def __iter__(self) -> Iterator[bytes]:
        rest = bytearray()
        with translated(self._call):
            for part in self._response.iter_bytes():
                rest += part
                if b"\n" in part:
                    *whole, tail = rest.split(b"\n")
                    rest = bytearray(tail)
                    yield from (self._good(line) for line in whole if line.strip())
                if len(rest) > LARGEST_BODY:
                    raise garbage("a line without an end", self._call)
        if rest.strip():
            yield self._good(rest)

    def _good(self, line: bytearray) -> bytes:
        if not line.lstrip().startswith(b"{") or b'"error"' in line:
            checked(parse_object(bytes(line), self._call), self._call)
        return bytes(line) + b"\n"

    def close(self) -> None:
        """End the answer; what was not read ends the connection, too."""
        self._response.close()


def _whole(response: httpx.Response, call: Call) -> bytes:
    """The whole body; raises StreamBroken over ``LARGEST_BODY`` bytes."""
    body = bytearray()
    with translated(call):
        for part in response.iter_bytes():
            body += part
            if len(body) > LARGEST_BODY:
                raise garbage(f"more than {LARGEST_BODY // 2**20} MB", call)
    return bytes(body)


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
        self._base_url = base_url
        self._address = redact(base_url)
        self._transport = transport
        self._timeouts = (connect_seconds, read_seconds)
        self._closing = threading.Event()
        with translated(self.call("")):
            self._tls: ssl.SSLContext | bool = httpx.create_ssl_context() if base_url.startswith("https:") else False
            self._make_http().close()  # a proxy that cannot be used is told now
        self._lanes = [self._lane() for _ in range(concurrency + 1 + _PLAIN_CONNECTIONS)]
        self._single = Slots(self._lanes[:1], queue)
        self._slots = Slots(self._lanes[1 : 1 + concurrency], queue)
        self._plain = Slots(self._lanes[1 + concurrency :], _MANY)
        self._extra: set[Lane] = set()
        self._lock = threading.Lock()

    def _lane(self) -> Lane:
        return Lane(self._base_url, self._make_http)

    def _make_http(self) -> httpx.Client:
        """One connection; a proxy is used only for another machine: it cannot see this one's loopback."""
        try:
            return httpx.Client(
                limits=httpx.Limits(max_connections=1, max_keepalive_connections=1),
                trust_env=not is_loopback(self._base_url),
                verify=self._tls,
                transport=self._transport,
                headers={"Accept-Encoding": "identity"},
            )
        except (ImportError, ValueError) as error:
            raise bad_proxy(error, self.call("")) from error

    def call(self, model: str) -> Call:
        """What messages say about a request for this model."""
        return Call(self._address, model, *self._timeouts)

    def ask(
        self,
        question: Callable[[Lane], Item],
        call: Call,
        *,
        extra: Mapping[str, Any] | None = None,
        read_seconds: float | None = None,
    ) -> Item:
        """What ``question`` gets from a free lane. Raises ModelError; retries "busy" for about 3 s."""
        call = replace(call, read_seconds=min(call.read_seconds, read_seconds or call.read_seconds))
        self._check_open()
        ticket = self._plain.enter()
        ticket.ready.wait()
        assert ticket.place is not None
        try:
            for pause in (*_BACKOFF, None):
                try:
                    with self.guard(call):
                        ticket.place.lend(call, extra or {}, self._closing)
                        return question(ticket.place)
                except ServerBusy:
                    if pause is None or self._closing.wait(_jittered(pause)):
                        raise
        finally:
            self._plain.leave(ticket)
        raise AssertionError("the last round returns or raises")

    def stream(
        self,
        question: Callable[[Lane], Iterable[Item]],
        call: Call,
        *,
        extra: Mapping[str, Any] | None = None,
        single: bool = False,
    ) -> Generator[Item | None, None, None]:
        """What ``question`` gets from a lane, as it comes, and ``None`` for every ``HEARTBEAT`` seconds of silence.

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
        yield from _Exchange(self, slots, ticket, question, call, extra or {}).items()

    def stream_apart(
        self, question: Callable[[Lane], Iterable[Item]], call: Call
    ) -> Generator[Item | None, None, None]:
        """As ``stream``, on a connection of its own that no conversation waits for (downloads take minutes)."""
        self._check_open()
        lane = self._lane()
        with self._lock:
            self._extra.add(lane)
        own = Slots([lane], 0)
        try:
            yield from _Exchange(self, own, own.enter(), question, call, {}).items()
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


class _Exchange(Generic[Item]):
    """One request on a lane: a thread reads, the caller takes what came from a queue."""

    def __init__(
        self,
        wire: Wire,
        slots: Slots[Lane],
        ticket: Ticket[Lane],
        question: Callable[[Lane], Iterable[Item]],
        call: Call,
        extra: Mapping[str, Any],
    ) -> None:
        assert ticket.place is not None
        self._wire = wire
        self._slots = slots
        self._ticket = ticket
        self._lane = ticket.place
        self._question = question
        self._call = call
        self._came: queue.Queue[Item | RagError | Literal["end"]] = queue.Queue(_BUFFERED_PARTS)
        self._cancelled = threading.Event()
        self._left = threading.Event()
        self._lock = threading.Lock()
        self._lane.lend(call, extra, self._cancelled)

    def items(self) -> Generator[Item | None, None, None]:
        threading.Thread(target=self._run, name="ollama-stream", daemon=True).start()
        try:
            while (item := self._next()) != _END:
                if isinstance(item, RagError):
                    raise item
                yield item
        finally:
            self._cancel()

    def _next(self) -> Item | RagError | Literal["end"] | None:
        try:
            return self._came.get(timeout=HEARTBEAT)
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
        with self._wire.guard(self._call), contextlib.closing(_stepped(self._question(self._lane))) as answer:
            for item in answer:
                if not self._put(item):
                    return

    def _put(self, item: Item | RagError | Literal["end"]) -> bool:
        """Hand over; False once the caller has left."""
        while not self._cancelled.is_set():
            try:
                self._came.put(item, timeout=HEARTBEAT)
            except queue.Full:
                continue
            return True
        return False


def _stepped(answer: Iterable[Item]) -> Generator[Item, None, None]:
    yield from answer


def _jittered(pause: float) -> float:
    return pause * random.uniform(0.75, 1.25)
