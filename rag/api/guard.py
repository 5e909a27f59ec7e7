"""What a request must be before a server of this program reads it: plain ASGI, for the page and for programs alike.

Whoever can make a browser talk to this machine could read the documents. Refused are therefore names that are not
this machine's (DNS rebinding), requests that another site's page sends (Origin, Sec-Fetch-Site), and bodies over their
limit.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Header = tuple[bytes, bytes]

LOOPBACK = ("localhost", "127.0.0.1", "::1")

SEALING: tuple[Header, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"x-dns-prefetch-control", b"off"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=(), display-capture=()"),
)
"""What every response carries, a refusal too, beside its content policy."""
_API_HEADERS: tuple[Header, ...] = ((b"content-security-policy", b"default-src 'none'"), *SEALING)
_DRAINED_SECONDS = 5.0
_PORT = re.compile(r":\d{1,5}$")
_STRIPPED = re.compile(rb"x-forwarded-.*|forwarded|x-real-ip|x-gradio-.*|x-direct-url|x-ip-token")


@dataclass(frozen=True, slots=True)
class Names:
    """``hosts``: names a server answers to; ``any_address``: also any IP address (a name is what rebinding needs)."""

    hosts: tuple[str, ...] = LOOPBACK
    any_address: bool = False


def names_for(host: str, names: Iterable[str] = ()) -> Names:
    """The names when listening on ``host``: loopback's, ``names``, and, away from loopback, any IP address."""
    own = () if _is_address(host) else (host,)
    return Names(tuple(dict.fromkeys((*LOOPBACK, *own, *names))), any_address=not is_loopback(host))


class Refusal(Exception):
    """Why a request goes no further: the HTTP ``status`` and a sentence."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


FILES = "/api/documents"
"""The route that takes files."""


class ApiGuard:
    """Wraps the application for programs: HTTP only, every route of it, bodies up to ``limit`` bytes, files up to
    ``file_bytes``."""

    def __init__(self, app: App, names: Names, limit: int = 2_000_000, file_bytes: int = 50_000_000) -> None:
        self.app = app
        self._names = names
        self._limit = limit
        self._file_bytes = file_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not await is_request(self.app, scope, receive, send):
            return
        received = Received(receive)
        headers: list[Header] = list(scope["headers"])
        limit = self._file_bytes if scope["path"] == FILES else self._limit
        try:
            host = host_of(headers, self._names)
            check_site(headers, host, reading=scope["method"] in ("GET", "HEAD"))
            check_length(headers, limit)
        except Refusal as refusal:
            await refuse(scope, received, send, refusal, _API_HEADERS)
            return
        await Exchange(self.app, limit, _API_HEADERS).run(without_forwarding(scope), received, send)


class Beside:
    """Two guarded applications at one address, started and ended together: what programs call goes to ``programs``,
    all else to ``page``."""

    _PROGRAMS = re.compile(r"/(?:v1|api|mcp)/.*|/mcp|/metrics|/healthz|/readyz|/openapi\.json")

    def __init__(self, page: App, programs: App) -> None:
        self._page = page
        self._programs = programs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            lives = [_Life(app, scope) for app in (self._page, self._programs)]
            for message in ("startup", "shutdown"):
                await receive()
                told = [await life.tell(message) for life in lives]
                await send(next((one for one in told if one["type"].endswith(".failed")), told[0]))
            return
        chosen = self._programs if self._PROGRAMS.fullmatch(scope["path"]) else self._page
        await chosen(scope, receive, send)


class _Life:
    """The start and the end of one application among several."""

    def __init__(self, app: App, scope: Scope) -> None:
        self._told: asyncio.Queue[Message] = asyncio.Queue()
        self._said: asyncio.Queue[Message] = asyncio.Queue()
        self._run = asyncio.ensure_future(app({**scope}, self._told.get, self._said.put))

    async def tell(self, message: str) -> Message:
        """Tell it to start or to end; what it says to that, once it has."""
        await self._told.put({"type": f"lifespan.{message}"})
        said = asyncio.ensure_future(self._said.get())
        await asyncio.wait((said, self._run), return_when=asyncio.FIRST_COMPLETED)
        if said.done():
            return said.result()
        said.cancel()
        error = self._run.exception()
        kind = "complete" if error is None else "failed"
        return {"type": f"lifespan.{message}.{kind}", "message": "" if error is None else str(error)}


async def is_request(app: App, scope: Scope, receive: Receive, send: Send) -> bool:
    """Whether this is an HTTP request; else it is dealt with: ``app`` starts and ends, a WebSocket is closed."""
    if scope["type"] == "lifespan":
        await app(scope, receive, send)
    elif scope["type"] != "http":
        await send({"type": "websocket.close", "code": 1008})
    return bool(scope["type"] == "http")


def without_forwarding(scope: Scope) -> Scope:
    """The request without the headers by which a proxy speaks for its client: there is no proxy to believe."""
    return {**scope, "headers": [h for h in scope["headers"] if not _STRIPPED.fullmatch(h[0].lower())]}


class Received:
    """``receive`` that knows whether there is more to come."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._instead: bytes | None = None
        self.ended = False

    def replace(self, body: bytes) -> None:
        """Give ``body`` instead of what came."""
        self._instead = body

    async def __call__(self) -> Message:
        if self._instead is not None:
            body, self._instead = self._instead, None
            return {"type": "http.request", "body": body, "more_body": False}
        message = await self._receive()
        self.ended = message["type"] == "http.disconnect" or not message.get("more_body", False)
        return message


async def whole(receive: Receive, limit: int) -> bytes:
    """A body of at most ``limit`` bytes. Raises Refusal for a longer one."""
    pieces, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refusal(400, "The body was broken off.")
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > limit:
            raise too_large(limit)
        more = message.get("more_body", False)
    return b"".join(pieces)


def host_of(headers: Iterable[Header], names: Names) -> str:
    """The Host of a request. Raises Refusal unless it is one of ``names``."""
    values = values_of(headers, b"host")
    if len(values) != 1:
        raise Refusal(400, "A request needs one Host.")
    host = values[0].lower()
    name = _PORT.sub("", host).strip("[]") if host.startswith("[") or host.count(":") < 2 else ""
    if name in names.hosts or (names.any_address and _is_address(name)):
        return host
    raise Refusal(421, "This name does not belong to the page. Open it by the address it printed when it started.")


def check_site(headers: list[Header], host: str, *, reading: bool, start_page: bool = False) -> None:
    """Another site's page may link to the start page and do nothing else. Raises Refusal."""
    sites = values_of(headers, b"sec-fetch-site")
    linked = start_page and reading and values_of(headers, b"sec-fetch-dest") == ["document"]
    own = {"same-origin", "none"} if reading else {"same-origin"}
    if any(site not in own for site in sites) and not linked:
        raise Refusal(403, "Requests from other sites are refused.")
    for origin in values_of(headers, b"origin"):
        parts = urlsplit(origin) if origin.isascii() and origin.isprintable() else urlsplit("")
        if parts.scheme not in ("http", "https") or parts.netloc.lower() != host or (parts.path or parts.query):
            raise Refusal(403, "Requests from other sites are refused.")


def check_length(headers: list[Header], limit: int) -> None:
    """Raises Refusal for a body that says it is longer than ``limit`` bytes."""
    lengths = values_of(headers, b"content-length")
    if len(lengths) > 1 or any(not (value.isascii() and value.isdecimal()) for value in lengths):
        raise Refusal(400, "The Content-Length is not a number.")
    if lengths and int(lengths[0]) > limit:
        raise too_large(limit)


def too_large(limit: int) -> Refusal:
    """The refusal of a body over ``limit`` bytes."""
    return Refusal(413, f"This is larger than the limit of {limit:,} bytes.")


class Exchange:
    """One request and its response: counts the body, adds the headers."""

    def __init__(self, app: App, limit: int, headers: tuple[Header, ...]) -> None:
        self._app = app
        self._limit = limit
        self._headers = headers
        self._seen = 0
        self._started = False

    async def run(self, scope: Scope, receive: Received, send: Send) -> None:
        async def counted() -> Message:
            message = await receive()
            self._seen += len(message.get("body", b""))
            if self._seen > self._limit:
                raise too_large(self._limit)
            return message

        async def sealed(message: Message) -> None:
            if self._seen > self._limit:
                return  # whatever the application says to a body it did not get whole
            if message["type"] == "http.response.start":
                self._started = True
                message = {**message, "headers": _sealed(message.get("headers", ()), self._headers)}
            await send(message)

        try:
            await self._app(scope, counted, sealed)
        except Refusal:
            if self._started:
                raise
        if self._seen > self._limit and not self._started:
            await refuse(scope, receive, send, too_large(self._limit), self._headers)


def _sealed(headers: Iterable[Header], ours: tuple[Header, ...]) -> list[Header]:
    """The response's own headers without those this guard sets, and without any leave for other origins."""
    set_here = {name for name, _ in ours}
    kept = [h for h in headers if h[0].lower() not in set_here and not h[0].lower().startswith(b"access-control-")]
    return [*kept, *ours]


async def refuse(scope: Scope, receive: Received, send: Send, refusal: Refusal, ours: tuple[Header, ...]) -> None:
    """Answer, and take what is still being sent, as far as that is not much: a connection that is closed over unread
    bytes is reset, and whoever sends them never reads the answer."""
    body = b"" if scope["method"] == "HEAD" else f"{refusal.reason}\n".encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"connection", b"close"),
        *ours,
    ]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    if not values_of(scope["headers"], b"expect"):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAINED_SECONDS):
                while not receive.ended:
                    await receive()
    await send({"type": "http.response.body", "body": b""})


def values_of(headers: Iterable[Header], name: bytes) -> list[str]:
    return [value.decode("latin-1").strip() for key, value in headers if key.lower() == name]


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether listening on ``host`` keeps the page on this machine."""
    return host == "localhost" or (_is_address(host) and ip_address(host).is_loopback)
