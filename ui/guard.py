"""What a request must be before the page sees it: plain ASGI middleware with a frozen list of routes.

Whoever can make a browser talk to the page could read the documents. Refused are therefore names
that are not this machine's (DNS rebinding), requests that another site's page sends (Origin, Sec-Fetch-Site), every
route that the page does not need (among them Gradio's ``file=`` and ``proxy=``, in any encoding), bodies over their
limit, and bodies that hold more than plain values: Gradio takes any object that looks like a file's description for
one, wherever it stands, and fetches or copies what it names. What passes is written anew, so that the application
reads what was checked. Every response, a refusal too, carries a content policy under which nothing leaves the machine.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol
from urllib.parse import parse_qs, urlencode

from rag.api.front import seen
from rag.api.guard import (
    SEALING,
    App,
    Exchange,
    Header,
    Names,
    Receive,
    Received,
    Refusal,
    Scope,
    Send,
    check_length,
    check_site,
    host_of,
    is_request,
    names_for,
    refuse,
    whole,
    without_forwarding,
)

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
    *SEALING,
)

_NAME = "[A-Za-z0-9_.-]+"
PUBLIC = ("ask", "search", "sources")
"""The functions for programs. The page's own handlers have names too; Gradio hides those, and would run them."""
_CALL = rf"(?:run|api|call)/(?:{'|'.join(PUBLIC)})"
READ = re.compile(
    r"/|/theme\.css|/config/?|/manifest\.json|/favicon\.ico|/robots\.txt|/gradio_api/info/?|/gradio_api/app_id"
    rf"|/(?:assets|static)(?:/{_NAME})+"
    rf"|/gradio_api/queue/data|/gradio_api/heartbeat/{_NAME}|/gradio_api/{_CALL}/{_NAME}"
    rf"|/page/\d{{1,12}}/\d{{1,5}}\.png|/export/{_NAME}\.(?:md|json)"
)
WRITE = re.compile(rf"/gradio_api/queue/join|/gradio_api/{_CALL}/?|/upload")
_KEPT = ("data", "event_data", "fn_index", "trigger_id", "session_hash")
"""What an event's body may hold; all else (among it what turns off checks of Gradio's) is left out."""
_SESSION = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FILE_KEYS = frozenset(("path", "url", "meta", "_type", "orig_name"))
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\%]|//|/\.|\.\.")


@dataclass(frozen=True, slots=True)
class Rules(Names):
    """The names the page answers to. ``upload_bytes`` bounds the body of one uploaded file, ``event_bytes`` every
    other body.
    """

    upload_bytes: int = 50_000_000
    event_bytes: int = EVENT_BYTES


class Calls(Protocol):
    """What the application knows of its events; each method raises Refusal."""

    def check(self, path: str, body: dict[str, Any]) -> None:
        """Whether there is such an event, and its values are of the right kinds; what it may not say is taken out."""

    def check_waiting(self, path: str, query: bytes, mine: str) -> None:
        """Whether something is, or will be, there to be read at this address of an event stream, and its session
        begins with ``mine``."""


class Guard:
    """Wraps ``app``; HTTP only. A WebSocket is closed, for the page uses none.

    With ``people`` every request is a user's (``rag.user``), and none goes through without: Gradio's sessions carry no
    user, so the name that a browser gives its session gets the user's mark before it, and whatever a request names,
    it names within the sessions of the user who sent it.
    """

    def __init__(self, app: App, rules: Rules, calls: Calls | None = None, *, people: bool = False) -> None:
        self.app = app
        self._rules = rules
        self._calls = calls
        self._people = people

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not await is_request(self.app, scope, receive, send):
            return
        body = Received(receive)
        try:
            limit = check(scope, self._rules)
            seen(scope, route="/".join(scope["path"].split("/")[:3]) if "_api" in scope["path"] else _first(scope))
            passed = without_forwarding(scope)
            mine = self._mark(scope)
            if mine:
                _bind(passed, mine)
            if scope["method"] == "POST" and scope["path"] != UPLOAD:
                self._rewrite(passed, body, await whole(body, limit), mine)
            elif self._calls is not None:
                self._calls.check_waiting(passed["path"], passed["query_string"], mine)
        except Refusal as refusal:
            await refuse(scope, body, send, refusal, HEADERS)
            return
        await Exchange(self.app, limit, HEADERS).run(passed, body, send)

    def _mark(self, scope: Scope) -> str:
        """What the sessions of whoever sent this begin with; empty where there are no accounts. Raises Refusal."""
        if not self._people:
            return ""
        if not isinstance(scope.get("rag.user"), int):
            raise Refusal(401, "Sign in first.")
        return mark(scope["rag.user"])

    def _rewrite(self, scope: Scope, body: Received, raw: bytes, mine: str) -> None:
        """Check the body of an event, and have the application read what was checked."""
        event = plain_body(raw)
        if mine:
            event["session_hash"] = mine + (event.get("session_hash") or uuid.uuid4().hex)
        if self._calls is not None:
            self._calls.check(scope["path"], event)
        written = json.dumps(event, separators=(",", ":")).encode()
        body.replace(written)
        told = [(b"content-type", b"application/json"), (b"content-length", str(len(written)).encode())]
        scope["headers"] = [*(h for h in scope["headers"] if h[0].lower() not in _BODY_HEADERS), *told]


def _first(scope: Scope) -> str:
    """The route without the names in it."""
    return "/" + str(scope["path"]).split("/")[1]


def mark(user: int) -> str:
    """What the names of a user's sessions begin with."""
    return f"u{user}-"


def user_of(session: str) -> int:
    """Whose session this is, by its name behind the guard. Raises ValueError for nobody's."""
    found = _MARKED.match(session)
    if found is None:
        raise ValueError("This session is nobody's.")
    return int(found[1])


def _bind(scope: Scope, mine: str) -> None:
    """Mark the session that an address names as the sender's."""
    if scope["path"].startswith(_HEARTBEAT):
        scope["path"] = f"{_HEARTBEAT}{mine}{scope['path'].removeprefix(_HEARTBEAT)}"
        scope["raw_path"] = scope["path"].encode()
    told = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    if "session_hash" in told:
        if len(told["session_hash"]) != 1 or not _SESSION.fullmatch(told["session_hash"][0]):
            raise Refusal(400, '"session_hash" is up to 64 letters and digits.')
        scope["query_string"] = urlencode({**told, "session_hash": [mine + told["session_hash"][0]]}, True).encode()


_HEARTBEAT = "/gradio_api/heartbeat/"
_MARKED = re.compile(r"u(\d{1,15})-")
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


def check(scope: Scope, rules: Rules) -> int:
    """The limit of the request's body in bytes. Raises Refusal unless it may pass."""
    headers: list[Header] = list(scope["headers"])
    host = host_of(headers, rules)
    method, path = scope["method"], scope["path"]
    reading = method in ("GET", "HEAD")
    if not reading and method != "POST":
        raise Refusal(405, "Only GET, HEAD and POST are used here.")
    check_site(headers, host, reading=reading, start_page=path == "/")
    if _UNSAFE.search(path) or not (READ if reading else WRITE).fullmatch(path):
        raise Refusal(404, "There is nothing at this address.")
    limit = 0 if reading else rules.upload_bytes if path == UPLOAD else rules.event_bytes
    check_length(headers, limit)
    return limit


def rules_for(host: str, upload_bytes: int, names: Iterable[str] = ()) -> Rules:
    """Rules for listening on ``host``: loopback names, ``names``, and, away from loopback, any IP address."""
    allowed = names_for(host, names)
    return Rules(allowed.hosts, allowed.any_address, upload_bytes)
