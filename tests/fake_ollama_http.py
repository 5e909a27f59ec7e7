"""The wire of the fake server: HTTP as Go writes it, a log of requests, scripted faults, clients that leave."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

from tests.fake_ollama_rules import Refusal

JSON = "application/json; charset=utf-8"
LATE_JSON = "application/json"
NDJSON = "application/x-ndjson"
PLAIN = "text/plain; charset=utf-8"
BARE = "text/plain"
RUNNER_KILLED = "an error was encountered while running the model: unexpected EOF"
"""What the server writes, in a stream or with status 500, when the process that runs the model is killed."""
_CHUNKED = frozenset({"/api/tags", "/api/show", "/api/embed"})
_POLL = 0.01
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


class ClientGone(Exception):
    """The client closed its connection."""


class Cut(Exception):
    """A fault that ends the connection without a word."""


@dataclass(frozen=True)
class Fault:
    """What goes wrong with the next ``times`` requests for ``path``, after ``after`` lines of a stream.

    First ``stall`` seconds of silence. Then, of these, the first that is set: ``raw`` bytes in place of an HTTP
    answer, a ``status`` with ``text`` as its error, a ``body`` of an otherwise good answer. In a stream ``line`` is
    written, and ``then`` the stream goes on, ends cleanly or is cut.
    """

    path: str = "/api/chat"
    after: int = 0
    stall: float = 0.0
    raw: bytes | None = None
    status: int = 0
    text: str = ""
    plain: bool = False
    body: bytes | None = None
    line: bytes | None = None
    then: Literal["go-on", "end", "cut"] = "go-on"
    times: int = 1


@dataclass
class Record:
    """One request as the server saw it; times are ``time.monotonic``, 0 until they happen."""

    method: str
    path: str
    headers: Mapping[str, str]
    raw: bytes = b""
    started: float = field(default_factory=time.monotonic)
    first_byte: float = 0.0
    finished: float = 0.0
    disconnected: float = 0.0
    status: int = 0
    lines: int = 0

    @property
    def json(self) -> dict[str, Any]:
        """The body, an empty object where it is none."""
        try:
            value = json.loads(self.raw)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}


Reply = Mapping[str, Any] | Iterator[Mapping[str, Any]] | str


class App(Protocol):
    """What the handler needs of the server: routes, a log, faults."""

    requests: list[Record]

    def take_fault(self, path: str) -> Fault | None:
        """The fault scripted for this request, if any."""

    def reply(self, exchange: Exchange) -> Reply:
        """The answer: an object, lines, or plain text; raises Refusal."""


class FakeHTTPServer(ThreadingHTTPServer):
    """Threads for connections, which are counted and can all be ended."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], app: App) -> None:
        self.app = app
        self.connections: set[socket.socket] = set()
        self.accepted = 0
        self.lock = threading.Lock()
        super().__init__(address, Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept and count."""
        connection, address = super().get_request()
        with self.lock:
            self.connections.add(connection)
            self.accepted += 1
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        """Uncount and close."""
        with self.lock:
            self.connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that vanished is no error of the server's; anything else is shown."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    def end_connections(self) -> None:
        """Shut every connection down; their threads end."""
        with self.lock:
            connections = list(self.connections)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class Handler(BaseHTTPRequestHandler):
    """Any method goes the same way; the app knows the routes."""

    protocol_version = "HTTP/1.1"
    server: FakeHTTPServer
    disable_nagle_algorithm = True

    def version_string(self) -> str:
        """Go sends no name."""
        return ""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's word
        """Silent."""

    def do_any(self) -> None:
        """Serve one request."""
        record = Record(self.command, urlsplit(self.path).path, dict(self.headers.items()))
        record.raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.app.requests.append(record)
        try:
            Exchange(self, record).serve(self.server.app)
        except ClientGone:
            record.disconnected = time.monotonic()
            self.close_connection = True
        except (Cut, OSError) as error:
            record.disconnected = 0.0 if isinstance(error, Cut) else time.monotonic()
            self.close_connection = True
        finally:
            record.finished = time.monotonic()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_any  # noqa: N815 - as http.server asks


class Exchange:
    """One request and its answer."""

    def __init__(self, handler: Handler, record: Record) -> None:
        self.handler = handler
        self.record = record

    def serve(self, app: App) -> None:
        """Answer, with the fault that is scripted."""
        fault = app.take_fault(self.record.path)
        try:
            if fault is not None and self._instead(fault):
                return
            if not self._host_allowed() or not self._origin_allowed():
                self.send(403, b"", "")
                return
            reply = app.reply(self)
            if isinstance(reply, str):
                self.send(200, reply.encode(), PLAIN)
            elif isinstance(reply, Mapping):
                self._send_object(reply, fault)
            else:
                self._stream(reply, fault)
        except Refusal as refusal:
            self._refuse(refusal)

    def pause(self, seconds: float) -> None:
        """Sleep; raises ClientGone as soon as the client has left."""
        end = time.monotonic() + seconds
        while True:
            if self.gone():
                raise ClientGone
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, _POLL))

    def gone(self) -> bool:
        """Whether the client has closed its side."""
        connection = self.handler.connection
        try:
            readable, _, _ = select.select([connection], [], [], 0)
            return bool(readable) and connection.recv(1, socket.MSG_PEEK) == b""
        except (OSError, ValueError):
            return True

    def send(self, status: int, body: bytes, content_type: str) -> None:
        """A whole answer."""
        self._head(status, content_type, {"Content-Length": str(len(body))})
        if self.record.method != "HEAD":
            self.handler.wfile.write(body)

    def _head(self, status: int, content_type: str, headers: Mapping[str, str]) -> None:
        self.record.status = status
        self.record.first_byte = time.monotonic()
        self.handler.send_response_only(status)
        if content_type:
            self.handler.send_header("Content-Type", content_type)
        self.handler.send_header("Date", self.handler.date_time_string())
        for name, value in headers.items():
            self.handler.send_header(name, value)
        self.handler.end_headers()

    def _instead(self, fault: Fault) -> bool:
        """Do what replaces the answer; False when the fault comes later, in the stream."""
        if fault.stall and not fault.after:
            self.pause(fault.stall)
        if fault.raw is not None:
            self.handler.wfile.write(fault.raw)
            raise Cut
        if fault.status:
            body = fault.text.encode() if fault.plain else encode({"error": fault.text})
            self.send(fault.status, body, PLAIN if fault.plain else JSON)
        elif fault.body is not None:
            self.send(200, fault.body, JSON)
        return bool(fault.status) or fault.body is not None

    def _send_object(self, reply: Mapping[str, Any], fault: Fault | None) -> None:
        body = encode(reply)
        cut = fault is not None and fault.then == "cut"
        if self.record.path in _CHUNKED and self.record.method != "HEAD":
            self._head(200, JSON, {"Transfer-Encoding": "chunked"})
            for part in (body[: len(body) // 2], b"" if cut else body[len(body) // 2 :]):
                if part:
                    self._chunk(part)
            if cut:
                raise Cut
            self.handler.wfile.write(b"0\r\n\r\n")
        elif cut:
            self._head(200, JSON, {"Content-Length": str(len(body))})
            self.handler.wfile.write(body[: len(body) // 2])
            raise Cut
        else:
            self.send(200, body, JSON)

    def _chunk(self, data: bytes) -> None:
        self.handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def _stream(self, rows: Iterator[Mapping[str, Any]], fault: Fault | None) -> None:
        """Chunked lines, one chunk each; headers go out with the first, as the server withholds them until then.

        What goes wrong before the first line has a status of its own, and its JSON comes without a charset.
        """
        try:
            for row in rows:
                if fault is not None and self.record.lines == fault.after and self._within(fault):
                    break
                self._line(encode(row))
        except Refusal as refusal:
            if not self.record.lines:
                self._refuse(refusal, LATE_JSON)
                return
            self._line(encode({"error": refusal.error}))
        self._start_stream()
        self.handler.wfile.write(b"0\r\n\r\n")

    def _within(self, fault: Fault) -> bool:
        """Do in the stream what the fault says; True when the stream then ends."""
        if fault.stall and fault.after:
            self.pause(fault.stall)
        if fault.line is not None:
            self._line(fault.line)
        if fault.then == "cut":
            self._start_stream()
            self.handler.wfile.write(b'40\r\n{"model":')
            raise Cut
        return fault.then == "end"

    def _start_stream(self) -> None:
        if not self.record.status:
            self._head(200, NDJSON, {"Transfer-Encoding": "chunked"})

    def _line(self, line: bytes) -> None:
        self._start_stream()
        self._chunk(line + b"\n")
        self.record.lines += 1

    def _refuse(self, refusal: Refusal, content_type: str = JSON) -> None:
        if refusal.error is None:
            self.send(refusal.status, refusal.plain.encode(), BARE if refusal.plain else "")
        else:
            self.send(refusal.status, encode({"error": refusal.error}), content_type)

    def _host_allowed(self) -> bool:
        """Bound to loopback, only a local Host is served, against names that an attacker points at 127.0.0.1."""
        return _is_local(urlsplit(f"//{self.record.headers.get('Host', '')}").hostname or "")

    def _origin_allowed(self) -> bool:
        origin = self.record.headers.get("Origin")
        if origin is None or origin.split("://")[0] in ("app", "file", "tauri", "vscode-webview"):
            return True
        return (urlsplit(origin).hostname or "") in ("localhost", "127.0.0.1", "0.0.0.0", "::1")


def _is_local(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".local", ".internal"))
    return address.is_loopback or address.is_private or address.is_unspecified


def encode(value: Mapping[str, Any]) -> bytes:
    """JSON as Go's encoder writes it: compact, UTF-8, with the characters of HTML escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    return text.encode("utf-8", "replace")
