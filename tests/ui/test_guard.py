"""The guard, over real HTTP: what passes, what is refused, and what every response carries."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Iterator, MutableMapping
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.api.guard import LOOPBACK, Refusal, is_loopback
from tests.ui.servers import raw, read_reply, request, serving
from ui.guard import HEADERS, READ, WRITE, Guard, Rules, plain_body, rules_for

LIMIT = 1_000
EVENTS = "/gradio_api/queue/join"
EMPTY = b'{"data":[]}'


class Echo:
    """Answers everything it is reached with, and remembers it."""

    def __init__(self) -> None:
        self.reached: list[str] = []
        self.headers: list[tuple[bytes, bytes]] = []

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        self.reached.append(scope["path"])
        self.headers = list(scope["headers"])
        size = 0
        while True:
            message = await receive()
            size += len(message.get("body", b""))
            if not message.get("more_body"):
                break
        body = str(size).encode()
        headers = [(b"access-control-allow-origin", b"*"), (b"x-frame-options", b"ALLOWALL")]
        headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def echo() -> Echo:
    return Echo()


@pytest.fixture(scope="module")
def port(echo: Echo) -> Iterator[int]:
    with serving(Guard(echo, Rules(upload_bytes=LIMIT, event_bytes=LIMIT))) as number:
        yield number


READS = [
    "/", "/theme.css", "/config", "/manifest.json", "/favicon.ico", "/gradio_api/info", "/assets/index-a_B.1.js",
    "/static/fonts/a/b.woff2", "/gradio_api/queue/data?session_hash=abc", "/gradio_api/heartbeat/abc123",
    "/gradio_api/app_id", "/gradio_api/call/ask/0af3", "/page/12/3.png?start=1&end=9",
    "/export/0af3.md", "/export/0af3.json",
]  # fmt: skip
WRITES = [EVENTS, "/gradio_api/run/search", "/gradio_api/call/ask", "/upload?name=a.txt"]
ROUTES = [("GET", path) for path in READS] + [("POST", path) for path in WRITES]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_what_the_page_needs_passes(port: int, method: str, path: str) -> None:
    own = f"http://127.0.0.1:{port}"
    body = EMPTY if method == "POST" else b""
    assert request(port, path, method, body=body).status == 200
    assert (
        request(port, path, method, body=body, headers={"Origin": own, "Sec-Fetch-Site": "same-origin"}).status == 200
    )


FOREIGN = [
    {"host": "evil.example"},
    {"host": "evil.example:7860"},
    {"host": "localhost.evil.example"},
    {"host": "127.0.0.1.evil.example"},
    {"host": "[::1].evil.example"},
    {"host": "::1:80"},
    {"host": "localhost:80:80"},
    {"host": "user@localhost"},
    {"host": "10.0.0.5"},
    {"host": ""},
    {"Origin": "http://evil.example"},
    {"Origin": "https://127.0.0.1"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "file://"},
    {"Origin": "http://127.0.0.1:{port}/x"},
    {"Origin": "http://127.0.0.1:{port}@evil.example"},
    {"Origin": "javascript://127.0.0.1:{port}"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1:{port}"},
    {"Sec-Fetch-Site": "anything"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "iframe", "Sec-Fetch-Mode": "navigate"},
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_foreign_names_and_sites_are_refused(
    port: int, echo: Echo, method: str, path: str, headers: dict[str, str]
) -> None:
    echo.reached.clear()
    given = {name: value.replace("{port}", str(port)) for name, value in headers.items()}
    reply = request(port, path, method, host=given.pop("host", None), headers=given)
    assert reply.status in (400, 403, 421)
    assert echo.reached == []
    assert_sealed(reply.headers)


def test_a_link_from_elsewhere_opens_the_start_page_and_nothing_else(port: int) -> None:
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert request(port, "/", headers=link).status == 200
    assert request(port, "/config", headers=link).status == 403
    assert request(port, EVENTS, "POST", headers=link).status == 403


@pytest.mark.parametrize("count", [0, 2])
def test_a_request_has_one_host(port: int, echo: Echo, count: int) -> None:
    echo.reached.clear()
    hosts = f"Host: 127.0.0.1:{port}\r\n" * count
    head = f"GET / HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n"
    assert raw(port, head.encode()).status == 400
    assert echo.reached == []


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY", "get"])
def test_other_methods_are_refused(port: int, echo: Echo, method: str) -> None:
    echo.reached.clear()
    assert request(port, "/", method).status in (400, 405)
    assert echo.reached == []


def leaking_paths() -> list[str]:
    """Ways to write Gradio's file and proxy routes, and to climb out of its static folders."""
    bare = [
        "/gradio_api/file=/etc/passwd", "/file=/etc/passwd", "/gradio_api/file/etc/passwd", "/file/etc/passwd",
        "/gradio_api/file=http://10.0.0.1/", "/file=https://evil.example/x", "/gradio_api/file=//evil.example/x",
        "/gradio_api/proxy=http://evil.example/", "/proxy=http://evil.example/", "/proxy=https://a.hf.space/x",
        "/gradio_api/stream/a/b/c/playlist.m3u8", "/gradio_api/upload", "/gradio_api/component_server",
        "/static/../../etc/passwd", "/assets/../config", "/assets/./x", "/assets//x", "/static/%2e%2e/x",
        "/static/.hidden/x", "/assets/..;/x", "/assets/a\\..\\b", "/svelte/svelte.js", "/login", "/logout",
        "/gradio_api/runs", "/gradio_api/run-history/records", "/monitoring", "/monitoring/summary", "/pwa_icon/9",
        "/gradio_api/vibe-edit", "/gradio_api/profiling/traces", "/gradio_api/dev/reload", "/gradio_api/cancel",
        "/gradio_api/deep_link", "/custom_component/a/b/c/d", "/page/1/../../x.png", "/page/-1/1.png",
        "/export/..%2f..%2fx.md", "/docs", "/openapi.json", "/redoc", "/gradio_api/token",
        "/gradio_api/user", "/gradio_api/call/delete_collection",
        "/gradio_api/run/predict", "/gradio_api/api/ask_1",
        "/gradio_api/startup-events", "/gradio_api/theme.css", "/gradio_api/reset",
    ]  # fmt: skip
    written: list[str] = []
    for path in bare:
        once = quote(path, safe="/")
        twice = quote(once, safe="/")
        everything = "/" + "".join(f"%{byte:02x}" for byte in path[1:].encode())
        written += [path, once, twice, everything, path + "?x=1", path.upper() if "=" in path else path + "/"]
        written += [path.replace("=", "%3D"), path.replace("=", "%253d"), "/" + path, path.replace("/", "%2f")]
    return sorted({path for path in written if path.startswith("/") and " " not in path})


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_files_and_proxies_are_out_of_reach_in_every_encoding(port: int, echo: Echo, method: str) -> None:
    paths = leaking_paths()
    assert len(paths) >= 200
    echo.reached.clear()
    for path in paths:
        reply = request(port, path, method)
        assert reply.status in (400, 404), path
    assert echo.reached == []


def assert_sealed(headers: Any) -> None:
    for name, value in HEADERS:
        assert headers.get(name.decode()) == value.decode()
    assert not any(name.startswith("access-control-") for name in headers)


def test_every_response_is_sealed(port: int) -> None:
    for reply in (request(port, "/"), request(port, "/nothing"), request(port, "/", "PUT"), request(port, "/", "HEAD")):
        assert_sealed(reply.headers)
    policy = dict(HEADERS)[b"content-security-policy"].decode()
    assert "default-src 'self'" in policy
    assert "http" not in policy.replace("https", "http").split("default-src")[1]
    assert "*" not in policy


@pytest.mark.parametrize("path", [EVENTS, "/upload"])
@pytest.mark.parametrize(("size", "status"), [(LIMIT - 1, 200), (LIMIT, 200), (LIMIT + 1, 413)])
def test_bodies_are_bounded_to_the_byte(port: int, echo: Echo, path: str, size: int, status: int) -> None:
    echo.reached.clear()
    body = b'{"data":["' + b"x" * (size - 13) + b'"]}'
    told = request(port, path, "POST", body=body)
    assert told.status == status
    assert status == 413 or told.body == str(size).encode()
    chunked = (
        (
            f"POST {path} HTTP/1.1\r\nHost: localhost:{port}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        ).encode()
        + b"".join(b"1\r\n%c\r\n" % byte for byte in body)
        + b"0\r\n\r\n"
    )
    untold = raw(port, chunked)
    assert untold.status == status
    assert_sealed(untold.headers)
    if status == 413:
        assert f"{LIMIT:,} bytes" in told.body.decode()
        assert f"{LIMIT:,} bytes" in untold.body.decode()


@pytest.mark.parametrize("length", ["-1", "1e3", "0x10", "１", "9" * 40, "", "5, 5"])
def test_odd_lengths_are_refused(port: int, echo: Echo, length: str) -> None:
    echo.reached.clear()
    head = f"POST {EVENTS} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    assert raw(port, head.encode()).status in (400, 413)
    assert echo.reached == []


FILE = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}


def with_file(event: Any) -> bytes:
    return json.dumps(event).encode()


BODIES = {
    "a file": with_file({"data": [FILE, 6, ""]}),
    "without meta": with_file({"data": [{"path": "/etc/passwd"}]}),
    "with an address": with_file({"data": ["x", {"url": "http://127.0.0.1:1/"}]}),
    "any object": with_file({"data": [{"a": 1}]}),
    "a list": with_file({"data": [["x", FILE]]}),
    "deep": with_file({"data": ["x"], "event_data": {"a": [[{"b": {"c": [FILE]}}]]}}),
    "deep, a path alone": with_file({"data": [], "event_data": [[[{"path": "x"}]]]}),
    "escaped keys": with_file({"data": [FILE]}).replace(b"path", b"\\u0070ath").replace(b"meta", b"m\\u0065ta"),
    "twice the same key": b'{"data":["x"],"data":' + json.dumps([FILE]).encode() + b"}",
    "UTF-16": with_file({"data": [FILE]}).decode().encode("utf-16"),
    "UTF-32": with_file({"data": [FILE]}).decode().encode("utf-32-le"),
    "a mark before it": "\ufeff".encode() + with_file({"data": ["x"]}),
    "compressed": gzip.compress(with_file({"data": [FILE]})),
    "no JSON": b"data=x",
    "a part of a form": b'--x\r\nContent-Disposition: form-data; name="data"\r\n\r\n[]\r\n--x--\r\n',
    "no object": b"[]",
    "no list": b'{"data":"x"}',
    "no number": b'{"data":[NaN]}',
    "nested without end": b'{"data":' + b"[" * 490 + b"]" * 490 + b"}",
    "a session that is none": b'{"data":[],"session_hash":"../x"}',
    "a number for a session": b'{"data":[],"session_hash":7}',
    "a text for a number": b'{"data":[],"fn_index":"7"}',
}


@pytest.mark.parametrize(
    "kind", ["application/json", "text/plain", "application/json; charset=utf-16", "multipart/form-data; boundary=x"]
)
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_no_body_describes_a_file(port: int, echo: Echo, body: bytes, kind: str) -> None:
    echo.reached.clear()
    for path in (EVENTS, "/gradio_api/run/search", "/gradio_api/api/ask", "/gradio_api/call/sources/"):
        reply = request(port, path, "POST", body=body, headers={"Content-Type": kind})
        assert reply.status == 400, path
        assert_sealed(reply.headers)
    assert echo.reached == []


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=12,
    ),
    place=st.sampled_from(["data", "event_data", "nested"]),
)
def test_a_file_is_found_wherever_it_stands(value: Any, place: str) -> None:
    hidden = [value, {"a": [value, {"b": FILE}]}]
    event: dict[str, Any] = {"data": [hidden] if place == "data" else [], "event_data": hidden}
    with pytest.raises(Refusal):
        plain_body(json.dumps(event).encode())


@given(
    data=st.lists(
        st.none()
        | st.booleans()
        | st.integers(-(10**9), 10**9)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text()
    ),
    told=st.dictionaries(
        st.sampled_from(["id", "name", "index", "value"]), st.text() | st.lists(st.integers()), max_size=4
    ),
)
def test_what_the_page_sends_passes_unchanged(data: list[Any], told: dict[str, Any]) -> None:
    event = {"data": data, "event_data": told, "fn_index": 3, "session_hash": "a1b2", "trigger_id": None}
    more = {**event, "simple_format": True, "batched": True, "oauth_token": "x", "event_id": "y"}
    assert plain_body(json.dumps(more).encode()) == event


def test_the_application_reads_what_was_checked(port: int, echo: Echo) -> None:
    spaced = b'  {"data" : [ "x" ], "batched": true }  '
    reply = request(
        port, EVENTS, "POST", body=spaced, headers={"Content-Type": "text/plain", "Content-Encoding": "gzip"}
    )
    assert reply.body == str(len(b'{"data":["x"]}')).encode()
    assert [v for n, v in echo.headers if n.startswith(b"content-")] == [b"application/json", b"14"]


def test_a_refused_body_is_answered_while_it_is_still_being_sent(port: int) -> None:
    """Not reset: whoever sends too much reads why."""
    for path, told in ((EVENTS, True), ("/upload", True), (EVENTS, False), ("/upload", False)):
        size = 3_000_000
        length = f"Content-Length: {size}" if told else "Transfer-Encoding: chunked"
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost:{port}\r\n{length}\r\n\r\n".encode())
            for _ in range(size // 100_000):
                connection.sendall(b"x" * 100_000 if told else b"186a0\r\n" + b"x" * 100_000 + b"\r\n")
            connection.sendall(b"" if told else b"0\r\n\r\n")
            reply = read_reply(connection)
        assert reply.status == 413 and f"{LIMIT:,} bytes" in reply.body.decode(), path


def test_a_read_has_no_body(port: int, echo: Echo) -> None:
    echo.reached.clear()
    assert request(port, "/", body=b"x").status == 413
    assert echo.reached == []


def test_headers_that_pretend_to_come_from_a_proxy_are_dropped(port: int, echo: Echo) -> None:
    claims = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "Forwarded": "host=evil"}
    request(port, "/", headers={**claims, "Accept": "*/*"})
    names = {name for name, _ in echo.headers}
    assert b"accept" in names
    assert not any(b"forward" in name for name in names)


def test_a_websocket_is_closed(port: int, echo: Echo) -> None:
    echo.reached.clear()
    head = (
        f"GET {EVENTS} HTTP/1.1\r\nHost: localhost:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(head.encode())
        assert read_reply(connection).status != 101
    assert echo.reached == []


def test_away_from_loopback_any_address_but_no_foreign_name() -> None:
    assert not rules_for("127.0.0.1", LIMIT).any_address
    assert rules_for("localhost", LIMIT).hosts == LOOPBACK
    open_rules = rules_for("0.0.0.0", LIMIT)
    with serving(Guard(Echo(), open_rules)) as port:
        assert request(port, "/", host="192.168.1.7:7860").status == 200
        assert request(port, "/", host="[fe80::1]:7860").status == 200
        assert request(port, "/", host="localhost").status == 200
        assert request(port, "/", host="evil.example").status == 421
        assert request(port, "/", host="192.168.1.7", headers={"Origin": "http://192.168.1.8"}).status == 403


def test_what_is_loopback() -> None:
    assert all(is_loopback(host) for host in ("localhost", "127.0.0.1", "127.1.2.3", "::1"))
    assert not any(is_loopback(host) for host in ("0.0.0.0", "::", "192.168.1.1", "machine.local", ""))


def test_the_routes_are_frozen() -> None:
    """A new route is a decision: it belongs here, in the guard and in the promises."""
    assert {p for _, p in ROUTES if (READ.fullmatch(p.split("?")[0]) or WRITE.fullmatch(p.split("?")[0]))} == {
        p for _, p in ROUTES
    }
    assert READ.pattern.count("|/") == 13
    assert WRITE.pattern.count("|/") == 2
