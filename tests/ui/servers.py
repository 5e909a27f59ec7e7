"""Real servers on loopback for tests, and requests as raw bytes."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import uvicorn

from rag.api.server import configured


@dataclass(frozen=True)
class Reply:
    """A raw HTTP response."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@contextmanager
def serving(app: Callable[..., Any], lifespan: Literal["on", "off"] = "off", port: int = 0) -> Iterator[int]:
    """The port on which ``app`` is served while the block runs."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(128)
        server = uvicorn.Server(configured(app, lifespan))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.005)
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(60)


def raw(port: int, request: bytes) -> Reply:
    """Send ``request`` as it is; the response up to the end of the connection or of its body."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(request)
        return read_reply(connection, head_only=request.startswith(b"HEAD"))


def read_reply(connection: socket.socket, *, head_only: bool = False) -> Reply:
    """Read one response from a connection."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            break
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    expected = int(headers.get("content-length", "-1"))
    while not head_only and (expected < 0 or len(body) < expected):
        piece = connection.recv(65536)
        if not piece:
            break
        body += piece
    return Reply(int(first.split()[1]), headers, body)


def request(
    port: int,
    path: str,
    method: str = "GET",
    *,
    host: str | None = None,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """A request with one Host, ``Connection: close`` and the given headers."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host if host is not None else f'127.0.0.1:{port}'}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body or method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    lines.append("Connection: close")
    return raw(port, ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body)
