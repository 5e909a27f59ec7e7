"""Every route for programs, frozen: without a key, with a wrong one, from elsewhere, and with a file's description in
its body."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from rag import Library
from rag.api.guard import ApiGuard, names_for
from rag.api.http import create_app
from rag.api.mcp import create_server
from tests.ui.servers import serving

KEY = "the-right-key-of-a-program"
OPEN = {("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/openapi.json")}
ROUTES = [
    ("GET", "/v1/models", "/v1/models"),
    ("POST", "/v1/chat/completions", "/v1/chat/completions"),
    ("POST", "/v1/embeddings", "/v1/embeddings"),
    ("POST", "/api/ask", "/api/ask"),
    ("POST", "/api/search", "/api/search"),
    ("GET", "/api/sources", "/api/sources"),
    ("DELETE", "/api/sources/{source}", "/api/sources/a/b.txt"),
    ("GET", "/api/unread", "/api/unread"),
    ("GET", "/api/folders", "/api/folders"),
    ("POST", "/api/documents", "/api/documents?name=a.txt"),
    ("GET", "/api/documents/{document}/text", "/api/documents/1/text"),
    ("POST", "/api/verify", "/api/verify"),
    ("POST", "/api/proof", "/api/proof"),
    ("GET", "/metrics", "/metrics"),
]
ASSISTANTS = ("POST", "/mcp/", "/mcp/")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    with Library.open(tmp_path_factory.mktemp("library"), llm="quotes", embedder="builtin") as opened:
        opened.add("The Brackwater bridge opened in 1931.", source="bridge.txt")
        yield opened


@pytest.fixture(scope="module")
def address(library: Library) -> Iterator[str]:
    app = create_app(library, keys=[KEY], assistants=create_server(library))
    with serving(ApiGuard(app, names_for("127.0.0.1"), file_bytes=5_000_000), "on") as port:
        yield f"http://127.0.0.1:{port}"


def test_the_routes_are_frozen(address: str) -> None:
    """A new route is a decision: it belongs here, and behind the door."""
    paths = httpx.get(f"{address}/openapi.json").json()["paths"]
    described = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert described == {(method, path) for method, path, _ in ROUTES} | (OPEN - {("GET", "/openapi.json")})


@pytest.mark.parametrize(("method", "_", "path"), [*ROUTES, ASSISTANTS], ids=lambda value: str(value))
def test_no_route_answers_without_the_key_or_from_elsewhere(address: str, method: str, _: str, path: str) -> None:
    right = {"authorization": f"Bearer {KEY}"}
    wrong = ("", "Bearer", "Bearer wrong-key-of-a-program", f"Basic {KEY}", f"Bearer {KEY}x", f"Bearer {KEY[:-1]}")
    for told in wrong:
        reply = httpx.request(method, address + path, headers={"authorization": told} if told else {})
        assert reply.status_code == 401, told
    for foreign, status in (
        ({"host": "evil.example"}, 421),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
    ):
        assert httpx.request(method, address + path, headers={**right, **foreign}).status_code == status, foreign


def test_no_place_on_the_servers_disk_is_told(address: str, library: Library, tmp_path: Path) -> None:
    folder = tmp_path / "handed-in"
    folder.mkdir()
    (folder / "a.txt").write_text("The ferry sails at noon.", encoding="utf-8")
    (folder / "b.pdf").write_bytes(b"%PDF-1.7 and no more")
    library.sync(folder)
    headers = {"authorization": f"Bearer {KEY}"}
    for path in ("/api/sources", "/api/unread", "/api/folders"):
        told = httpx.get(address + path, headers=headers)
        assert told.status_code == 200 and any(name in told.text for name in ("handed-in", "a.txt", "b.pdf"))
        assert str(tmp_path) not in told.text, path
    library.forget_folder(str(folder))
    library.remove("a.txt")


def test_what_is_open_shows_nothing(address: str) -> None:
    for _, path in sorted(OPEN):
        reply = httpx.get(address + path)
        assert reply.status_code == 200 and "bridge" not in reply.text


@pytest.fixture
def canary() -> Iterator[tuple[str, list[object]]]:
    """An address on loopback, and who connected to it."""
    seen: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        ended = threading.Event()

        def watch() -> None:
            while not ended.is_set():
                with suppress(TimeoutError):
                    seen.append(listener.accept()[1])

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/x", seen
        ended.set()
        thread.join(60)


def test_a_files_description_in_a_body_is_only_data(
    address: str, library: Library, canary: tuple[str, list[object]], tmp_path: Path
) -> None:
    """Nothing is opened and nothing fetched, whatever a body says of a file."""
    where, seen = canary
    secret = tmp_path / "secret.txt"
    secret.write_text("CANARY-5d1f", encoding="utf-8")
    files: list[dict[str, Any]] = [
        {"path": str(secret), "meta": {"_type": "gradio.FileData"}},
        {"path": where, "url": where, "meta": {"_type": "gradio.FileData"}, "orig_name": "x"},
    ]
    headers = {"authorization": f"Bearer {KEY}"}
    for method, _, path in ROUTES:
        for file in files:
            for body in (
                file,
                {"question": file, "text": file, "input": file, "model": "default", "messages": [file]},
                {"question": json.dumps(file), "text": json.dumps(file), "model": "default", "input": json.dumps(file)},
                {"model": "default", "messages": [{"role": "user", "content": [{"type": "file", "file": file}]}]},
                {"model": "default", "messages": [{"role": "user", "content": "x", "files": [file]}], "files": [file]},
                {"data": [file], "citations": [file], "question": "x", "where": {"source": file}},
            ):
                kind = {"content-type": "application/json"} if method != "GET" else {}
                sent = json.dumps(body).encode() if method != "GET" else b""
                reply = httpx.request(method, address + path, headers={**headers, **kind}, content=sent, timeout=60)
                assert reply.status_code < 500 and "CANARY-5d1f" not in reply.text, (path, body)
    assert not seen
    assert not any("CANARY-5d1f" in library.text(one.id) for one in library.sources())


def test_what_is_counted(address: str) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    httpx.get(f"{address}/api/sources", headers=headers)
    text = httpx.get(f"{address}/metrics", headers=headers).text
    form = re.compile(r'# (?:HELP|TYPE) .+|[a-z_]+(?:\{(?:[a-z]+="[^"]*",?)+\})? -?[0-9.e+]+')
    assert all(form.fullmatch(line) for line in text.splitlines()), text
    found = re.search(r'rag_requests_total\{method="GET",route="/api/sources",status="200"\} (\d+)', text)
    assert found and int(found[1]) >= 1
    counts = [int(n) for n in re.findall(r'seconds_bucket\{route="/api/sources",le="[^"]+"\} (\d+)', text)]
    assert counts == sorted(counts)
    assert f'rag_request_seconds_count{{route="/api/sources"}} {counts[-1]}' in text
    assert "bridge" not in text and "rag_answers_running 0" in text
