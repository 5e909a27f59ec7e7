"""What a request must be before the page sees it: plain ASGI middleware with a frozen list of routes.

The page has no login, so whoever can make a browser talk to it could read the documents. Refused are therefore names
that are not this machine's (DNS rebinding), requests that another site's page sends (Origin, Sec-Fetch-Site), every
route that the page does not need (among them Gradio's ``file=`` and ``proxy=``, in any encoding), bodies over their
limit, and bodies that hold more than plain values: Gradio takes any object that looks like a file's description for
one, wherever it stands, and fetches or copies what it names. What passes is written anew, so that the application
reads what was checked. Every response, a refusal too, carries a content policy under which nothing leaves the machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, NoReturn, Protocol
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Header = tuple[bytes, bytes]

LOOPBACK = ("localhost", "127.0.0.1", "::1")
UPLOAD = "/upload"
EVENT_BYTES = 1_000_000
"""The largest body of an event: the longest question in four-byte characters, escaped, many times over."""

CSP = "; ".join((
    "default-src 'self'",
    # Gradio's page starts from inline scripts, and gr.HTML builds its templates with Function().
    "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data: blob:",
    "font-src 'self' data:",
    "media-src 'none'",
    "worker-src 'self' blob:",
    "connect-src 'self'",
    "object-src 'none'",
    "frame-src 'none'",
    "frame-ancestors 'none'",
    "base-uri 'self'",
    "form-action 'none'",
))  # fmt: skip

HEADERS: tuple[Header, ...] = (
    (b"content-security-policy", CSP.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"x-dns-prefetch-control", b"off"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=(), display-capture=()"),
)

_NAME = "[A-Za-z0-9_.-]+"
PUBLIC = ("ask", "search", "sources")
"""The functions for programs. The page's own handlers have names too; Gradio hides those, and would run them."""
_CALL = rf"(?:run|api|call)/(?:{'|'.join(PUBLIC)})"
READ = re.compile(
    r"/|/theme\.css|/config/?|/manifest\.json|/favicon\.ico|/robots\.txt|/gradio_api/info/?"
    rf"|/(?:assets|static)(?:/{_NAME})+"
    rf"|/gradio_api/queue/data|/gradio_api/heartbeat/{_NAME}|/gradio_api/{_CALL}/{_NAME}"
    rf"|/page/\d{{1,12}}/\d{{1,5}}\.png|/export/{_NAME}\.(?:md|json)"
)
WRITE = re.compile(rf"/gradio_api/queue/join|/gradio_api/{_CALL}/?|/upload")
_KEPT = ("data", "event_data", "fn_index", "trigger_id", "session_hash")
"""What an event's body may hold; all else (among it what turns off checks of Gradio's) is left out."""
_SESSION = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FILE_KEYS = frozenset(("path", "url", "meta", "_type", "orig_name"))
_DRAINED_SECONDS = 5.0
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\%]|//|/\.|\.\.")
_PORT = re.compile(r":\d{1,5}$")
_STRIPPED = re.compile(rb"x-forwarded-.*|forwarded|x-real-ip|x-gradio-.*|x-direct-url|x-ip-token")


@dataclass(frozen=True, slots=True)
class Rules:
    """``hosts``: names the page answers to; ``any_address``: also to any IP address (a name is what rebinding needs).

    ``upload_bytes`` bounds the body of one uploaded file, ``event_bytes`` every other body.
    """

    hosts: tuple[str, ...] = LOOPBACK
    any_address: bool = False
    upload_bytes: int = 50_000_000
    event_bytes: int = EVENT_BYTES


class Refusal(Exception):
    """Why a request goes no further: the HTTP ``status`` and a sentence."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Calls(Protocol):
    """What the application knows of its events; each method raises Refusal."""

    def check(self, path: str, body: Mapping[str, Any]) -> None:
        """Whether there is such an event, and its values are of the right kinds."""

    def check_waiting(self, path: str, query: bytes) -> None:
        """Whether something is, or will be, there to be read at this address of an event stream."""


class Guard:
    """Wraps ``app``; HTTP only. A WebSocket is closed, for the page uses none."""

    def __init__(self, app: App, rules: Rules, calls: Calls | None = None) -> None:
        self.app = app
        self._rules = rules
        self._calls = calls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        body = _Body(receive)
        try:
            limit = check(scope, self._rules)
            passed = {**scope, "headers": [h for h in scope["headers"] if not _STRIPPED.fullmatch(h[0].lower())]}
            if scope["method"] == "POST" and scope["path"] != UPLOAD:
                self._rewrite(passed, body, await _whole(body, limit))
            elif self._calls is not None:
                self._calls.check_waiting(scope["path"], scope["query_string"])
        except Refusal as refusal:
            await _refuse(scope, body, send, refusal)
            return
        await _Exchange(self.app, limit).run(passed, body, send)

    def _rewrite(self, scope: Scope, body: _Body, raw: bytes) -> None:
        """Check the body of an event, and have the application read what was checked."""
        event = plain_body(raw)
        if self._calls is not None:
            self._calls.check(scope["path"], event)
        written = json.dumps(event, separators=(",", ":")).encode()
        body.replace(written)
        told = [(b"content-type", b"application/json"), (b"content-length", str(len(written)).encode())]
        scope["headers"] = [*(h for h in scope["headers"] if h[0].lower() not in _BODY_HEADERS), *told]


class _Body:
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


_BODY_HEADERS = (b"content-type", b"content-length", b"content-encoding", b"transfer-encoding")


def plain_body(raw: bytes) -> dict[str, Any]:
    """The body of an event: a JSON object in UTF-8 whose ``data`` are plain values. Raises Refusal.

    Nothing in it describes a file: ``data`` holds no object or list, ``event_data`` none with a file's keys.
    """
    try:
        body = json.loads(raw.decode("utf-8"), parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise Refusal(400, "The body is not JSON in UTF-8.") from None
    if not isinstance(body, dict) or not isinstance(body.get("data"), list):
        raise Refusal(400, 'The body is not an object with a list "data".')
    if any(isinstance(value, dict | list) for value in body["data"]) or _describes_file(body.get("event_data")):
        raise Refusal(400, "Values are texts, numbers, true, false or null; files have their own route, /upload.")
    for key, kinds in (("fn_index", int), ("trigger_id", int), ("session_hash", str)):
        value = body.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, kinds)):
            raise Refusal(400, f'"{key}" is of the wrong kind.')
    if not _SESSION.fullmatch(body.get("session_hash") or "none"):
        raise Refusal(400, '"session_hash" is up to 64 letters and digits.')
    return {key: body[key] for key in _KEPT if key in body}


def _no_number(name: str) -> NoReturn:
    raise ValueError(name)


def _describes_file(value: Any) -> bool:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            if not _FILE_KEYS.isdisjoint(item):
                return True
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
    return False


async def _whole(receive: Receive, limit: int) -> bytes:
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


def check(scope: Scope, rules: Rules) -> int:
    """The limit of the request's body in bytes. Raises Refusal unless it may pass."""
    headers: list[Header] = list(scope["headers"])
    host = _host(headers, rules)
    method, path = scope["method"], scope["path"]
    reading = method in ("GET", "HEAD")
    if not reading and method != "POST":
        raise Refusal(405, "Only GET, HEAD and POST are used here.")
    _check_site(headers, host, reading=reading, start_page=path == "/")
    if _UNSAFE.search(path) or not (READ if reading else WRITE).fullmatch(path):
        raise Refusal(404, "There is nothing at this address.")
    limit = 0 if reading else rules.upload_bytes if path == UPLOAD else rules.event_bytes
    _check_length(headers, limit)
    return limit


def _host(headers: Iterable[Header], rules: Rules) -> str:
    values = _values(headers, b"host")
    if len(values) != 1:
        raise Refusal(400, "A request needs one Host.")
    host = values[0].lower()
    name = _PORT.sub("", host).strip("[]") if host.startswith("[") or host.count(":") < 2 else ""
    if name in rules.hosts or (rules.any_address and _is_address(name)):
        return host
    raise Refusal(421, "This name does not belong to the page. Open it by the address it printed when it started.")


def _check_site(headers: list[Header], host: str, *, reading: bool, start_page: bool) -> None:
    """Another site's page may link to the start page and do nothing else."""
    sites = _values(headers, b"sec-fetch-site")
    linked = start_page and reading and _values(headers, b"sec-fetch-dest") == ["document"]
    own = {"same-origin", "none"} if reading else {"same-origin"}
    if any(site not in own for site in sites) and not linked:
        raise Refusal(403, "Requests from other sites are refused.")
    for origin in _values(headers, b"origin"):
        parts = urlsplit(origin) if origin.isascii() and origin.isprintable() else urlsplit("")
        if parts.scheme not in ("http", "https") or parts.netloc.lower() != host or (parts.path or parts.query):
            raise Refusal(403, "Requests from other sites are refused.")


def _check_length(headers: list[Header], limit: int) -> None:
    lengths = _values(headers, b"content-length")
    if len(lengths) > 1 or any(not (value.isascii() and value.isdecimal()) for value in lengths):
        raise Refusal(400, "The Content-Length is not a number.")
    if lengths and int(lengths[0]) > limit:
        raise too_large(limit)


def too_large(limit: int) -> Refusal:
    """The refusal of a body over ``limit`` bytes."""
    return Refusal(413, f"This is larger than the limit of {limit:,} bytes.")


class _Exchange:
    """One request and its response: counts the body, adds the headers."""

    def __init__(self, app: App, limit: int) -> None:
        self._app = app
        self._limit = limit
        self._seen = 0
        self._started = False

    async def run(self, scope: Scope, receive: _Body, send: Send) -> None:
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
                message = {**message, "headers": _sealed(message.get("headers", ()))}
            await send(message)

        try:
            await self._app(scope, counted, sealed)
        except Refusal:
            if self._started:
                raise
        if self._seen > self._limit and not self._started:
            await _refuse(scope, receive, send, too_large(self._limit))


def _sealed(headers: Iterable[Header]) -> list[Header]:
    """The response's own headers without those this guard sets, and without any leave for other origins."""
    ours = {name for name, _ in HEADERS}
    kept = [h for h in headers if h[0].lower() not in ours and not h[0].lower().startswith(b"access-control-")]
    return [*kept, *HEADERS]


async def _refuse(scope: Scope, receive: _Body, send: Send, refusal: Refusal) -> None:
    """Answer, and take what is still being sent, as far as that is not much: a connection that is closed over unread
    bytes is reset, and whoever sends them never reads the answer."""
    body = b"" if scope["method"] == "HEAD" else f"{refusal.reason}\n".encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"connection", b"close"),
        *HEADERS,
    ]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    if not _values(scope["headers"], b"expect"):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAINED_SECONDS):
                while not receive.ended:
                    await receive()
    await send({"type": "http.response.body", "body": b""})


def _values(headers: Iterable[Header], name: bytes) -> list[str]:
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


def rules_for(host: str, upload_bytes: int, names: Iterable[str] = ()) -> Rules:
    """Rules for listening on ``host``: loopback names, ``names``, and, away from loopback, any IP address."""
    own = () if _is_address(host) else (host,)
    return Rules(
        hosts=tuple(dict.fromkeys((*LOOPBACK, *own, *names))),
        any_address=not is_loopback(host),
        upload_bytes=upload_bytes,
    )
