"""Plain HTTP for looking at the fake server from outside: http.client, and a bare socket for the framing."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.fake_ollama import FakeOllama


@dataclass(frozen=True)
class Seen:
    """An answer as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as one JSON value."""
        return json.loads(self.body)

    @property
    def rows(self) -> list[Any]:
        """The body as lines of JSON."""
        assert self.body.endswith(b"\n") and b"\n\n" not in self.body
        return [json.loads(line) for line in self.body.splitlines()]

    @property
    def error(self) -> str:
        """The error's text."""
        assert set(self.json) == {"error"}
        return str(self.json["error"])


def ask(
    server: FakeOllama,
    method: str,
    path: str,
    body: object = None,
    *,
    raw: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Seen:
    """One request over http.client."""
    parts = urlsplit(server.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    data = raw if raw is not None else None if body is None else json.dumps(body).encode()
    try:
        connection.request(method, path, data, dict(headers or {}))
        answer = connection.getresponse()
        return Seen(answer.status, dict(answer.getheaders()), answer.read())
    finally:
        connection.close()


def post(server: FakeOllama, path: str, **body: object) -> Seen:
    """One POST of these fields."""
    return ask(server, "POST", path, body)


def raw_exchange(server: FakeOllama, request: bytes) -> bytes:
    """All bytes that come back for these bytes, until the server closes."""
    parts = urlsplit(server.url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=60) as connection:
        connection.sendall(request)
        received = b""
        while part := connection.recv(65536):
            received += part
    return received


def raw_post(path: str, body: object) -> bytes:
    """A request that asks the server to close afterwards."""
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len(data)}\r\n\r\n"
    return head.encode() + data


def user(text: str) -> list[dict[str, str]]:
    """One message."""
    return [{"role": "user", "content": text}]
