"""What stands before the guards: proxies that speak for their clients, the address a server lies under, the log of
requests; and how a server is told of them.
"""

from __future__ import annotations

import json
import ssl
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import TextIO

from rag.api.guard import App, Message, Receive, Scope, Send, values_of
from rag.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Front:
    """How a server is reached. ``names``: host names beside loopback's; ``proxies``: addresses or networks whose
    forwarded headers are believed; ``root``: the path it lies under at the proxy; ``certificate`` and ``key``: files
    in PEM form, for TLS; ``log``: the file for a line of JSON a request, "-" for the standard error.

    Raises ConfigError for what cannot be used.
    """

    names: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()
    root: str = ""
    certificate: str = ""
    key: str = ""
    log: str = ""

    def __post_init__(self) -> None:
        if self.root and (not self.root.startswith("/") or self.root.endswith("/") or "//" in self.root):
            raise ConfigError(f"The root path {self.root!r} is none.", hint="Write it like /rag.")
        _networks(self.proxies)
        if bool(self.certificate) != bool(self.key):
            raise ConfigError("TLS needs a certificate and its key.", hint="Give both --tls-cert and --tls-key.")
        if self.certificate:
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.certificate, self.key)
            except (OSError, ssl.SSLError) as error:
                raise ConfigError(
                    f"The certificate {self.certificate} and the key {self.key} can't be used: {error}.",
                    hint="Both are files in PEM form, and the key has no password.",
                ) from error

    @property
    def tls(self) -> bool:
        """Whether the server itself speaks TLS."""
        return bool(self.certificate)

    def before(self, app: App) -> App:
        """``app`` behind what stands before it."""
        if self.log:
            app = AccessLog(app, self.log)
        return Forwarded(app, self.proxies, self.root)


class Forwarded:
    """Takes the client's address and scheme from the headers of named proxies, and of nobody else.

    A proxy appends the address it sees to ``X-Forwarded-For``: the last that is no proxy's is the client's.
    """

    def __init__(self, app: App, proxies: Iterable[str] = (), root: str = "") -> None:
        self._app = app
        self._proxies = _networks(proxies)
        self._root = root

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = {**scope, "root_path": self._root}
            if self._named((scope.get("client") or ("",))[0]):
                self._believe(scope)
        await self._app(scope, receive, send)

    def _believe(self, scope: Scope) -> None:
        told = ",".join(values_of(scope["headers"], b"x-forwarded-for")).split(",")
        for address in (one.strip() for one in reversed(told)):
            if not _is_address(address):
                break
            scope["client"] = (address, 0)
            if not self._named(address):
                break
        protocols = values_of(scope["headers"], b"x-forwarded-proto")
        if protocols and protocols[-1] in ("http", "https"):
            scope["scheme"] = protocols[-1]

    def _named(self, address: str) -> bool:
        return _is_address(address) and any(ip_address(address) in network for network in self._proxies)


class AccessLog:
    """Writes a line of JSON a request: when, from where, who, what, how it ended, how long it took.

    No query, no body and no name of a document is in it: of an address it tells the route.
    """

    def __init__(self, app: App, target: str) -> None:
        self._app = app
        self._file = None if target == "-" else _opened(target)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, size, begun = 500, 0, time.perf_counter()

        async def seen(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
            size += len(message.get("body", b""))
            await send(message)

        scope["rag.seen"] = told = {"user": "", "route": ""}
        try:
            await self._app(scope, receive, seen)
        finally:
            line = {
                "at": round(time.time(), 3), "client": (scope.get("client") or ("",))[0], "user": told["user"],
                "method": scope["method"][:16], "route": told["route"] or "other", "status": status, "bytes": size,
                "ms": round((time.perf_counter() - begun) * 1000, 1),
            }  # fmt: skip
            self._write(json.dumps(line))

    def _write(self, line: str) -> None:
        file = sys.stderr if self._file is None else self._file
        with suppress(OSError):  # a full disk must not stop the answers
            file.write(f"{line}\n")
            file.flush()


def seen(scope: Scope, *, user: str = "", route: str = "") -> None:
    """Tell the log of requests, where there is one, who asks and which route answers."""
    told = scope.get("rag.seen")
    if told is not None:
        told["user"] = user or told["user"]
        told["route"] = route or told["route"]


def _opened(target: str) -> TextIO:
    try:
        return Path(target).open("a", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"Cannot write the log {target}: {error.strerror}.", hint="Choose another file.") from error


def _networks(names: Iterable[str]) -> tuple[IPv4Network | IPv6Network, ...]:
    try:
        return tuple(ip_network(name, strict=False) for name in names)
    except ValueError as error:
        raise ConfigError(f"{error}.", hint="Name a proxy by its address, or by a network like 10.0.0.0/8.") from error


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
