"""The whole server over raw HTTP: uploads, pictures, exports, every route from elsewhere, a flood, start and end."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from rag.api.server import address_of, listen
from rag.config import Config, Limits
from rag.errors import ConfigError, LibraryLocked
from rag.library import Library
from tests.ui.corpus import write_corpus
from tests.ui.pilot import page_over
from tests.ui.servers import Reply, raw, read_reply, request
from tests.ui.test_guard import EVENTS, assert_sealed, leaking_paths
from ui.app import application
from ui.guard import PUBLIC, READ, WRITE
from ui.intake import MEGABYTE

ROOT = Path(__file__).parents[2]
OWN = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture(scope="module")
def small(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """A library with low limits."""
    config = Config(llm="quotes", embedder="builtin", limits=Limits(file_mb=1, upload_mb=2))
    with Library.open(tmp_path_factory.mktemp("small"), config=config) as library:
        library.ingest(corpus)
        yield library


@pytest.fixture(scope="module")
def port(small: Library) -> Iterator[int]:
    with page_over(small) as address:
        yield int(address.rpartition(":")[2].strip("/"))


def upload(port: int, name: str, body: bytes, collection: str = "default", **more: str) -> Reply:
    return request(
        port, f"/upload?name={quote(name)}&collection={collection}", "POST", body=body, headers={**OWN, **more}
    )


def settle(library: Library, source: str) -> None:
    end = time.monotonic() + 30
    while source not in [d.source for d in library.sources()]:
        assert time.monotonic() < end
        time.sleep(0.05)


def leftovers(library: Library) -> set[Path]:
    """Files of uploads that wait, or came in part."""
    return {path for path in (library.path / "incoming").rglob("*") if path.is_file()}


def test_an_upload_becomes_a_document(port: int, small: Library) -> None:
    reply = upload(port, "Ünï/größe.md", b"The barn is 12 metres wide.\n")
    assert reply.status == 200, reply.body
    settle(small, "Ünï/größe.md")


@pytest.mark.parametrize("name", ["", "../x.md", "/etc/passwd", ".hidden", "a\0.md", "x" * 300])
def test_unusable_names_are_refused(port: int, name: str) -> None:
    reply = upload(port, name, b"text")
    assert reply.status == 400
    assert b"Rename the file" in reply.body
    assert_sealed(reply.headers)


def test_the_limit_of_a_file_holds_to_the_byte_and_leaves_nothing(port: int, small: Library) -> None:
    before = leftovers(small)
    head = f"POST /upload?name=big.txt HTTP/1.1\r\nHost: localhost:{port}\r\nTransfer-Encoding: chunked\r\n\r\n"
    piece = b"1000\r\n" + b"x" * 4096 + b"\r\n"
    over = raw(port, head.encode() + piece * (MEGABYTE // 4096) + b"1\r\nx\r\n0\r\n\r\n")
    assert over.status == 413
    assert f"{MEGABYTE:,} bytes" in over.body.decode()
    assert upload(port, "told.txt", b"x" * (MEGABYTE + 1)).status == 413
    assert leftovers(small) == before
    assert upload(port, "fits.txt", (b"word " * MEGABYTE)[: MEGABYTE - 1] + b"\n").status == 200
    settle(small, "fits.txt")
    small.remove("fits.txt")


def test_a_broken_off_upload_leaves_nothing(port: int, small: Library) -> None:
    before = leftovers(small)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        head = f"POST /upload?name=half.txt HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Length: 100000\r\n\r\n"
        connection.sendall(head.encode() + b"x" * 50_000)
        time.sleep(0.3)
    end = time.monotonic() + 10
    while leftovers(small) != before and time.monotonic() < end:
        time.sleep(0.05)
    assert leftovers(small) == before


def test_pictures_are_of_pages_of_the_library_only(port: int, small: Library) -> None:
    handbook, notes = small.document("handbook.pdf"), small.document("notes.txt")
    start = small.text(handbook.id).index("28 days")
    shown = request(port, f"/page/{handbook.id}/2.png?start={start}&end={start + 7}")
    assert shown.status == 200 and shown.body.startswith(b"\x89PNG") and shown.headers["cache-control"] == "no-store"
    assert request(port, f"/page/{handbook.id}/99.png").status == 422
    assert request(port, f"/page/{notes.id}/1.png").status == 404
    assert request(port, "/page/987654321/1.png").status == 404
    assert request(port, f"/page/{handbook.id}/1.png", headers={"Sec-Fetch-Site": "cross-site"}).status == 403


def test_the_pages_own_files_are_kept_by_a_browser_and_no_other_is_served(port: int) -> None:
    page = request(port, "/").body.decode()
    name = re.search(r"assets/(index-[\w-]+\.js)", page)
    assert name is not None
    served = request(port, f"/assets/{name[1]}")
    assert served.status == 200 and served.headers["content-type"].startswith("text/javascript")
    assert "immutable" in served.headers["cache-control"] and b"import" in served.body
    assert_sealed(served.headers)
    for path in ("no-such.js", "..%2findex.html", "../index.html", "%2e%2e/index.html", ".", ""):
        assert request(port, f"/assets/{path}").status in (400, 403, 404), path


def test_a_conversation_is_exported_under_a_harmless_name(port: int, small: Library) -> None:
    answer = small.ask("When does the car park on Mill Lane open?").to_dict()
    number = small.conversations.create("default", title='../../"evil\r\nX: 1"; <b> ünï')
    small.conversations.append(number, "When?", "", answer)
    markdown = request(port, f"/export/{number}.md")
    assert markdown.status == 200
    assert markdown.headers["content-disposition"] == 'attachment; filename="evil X 1 b n.md"'
    assert "[1]" in markdown.body.decode() and "x" not in markdown.headers
    stored = json.loads(request(port, f"/export/{number}.json").body)
    assert stored["turns"][0]["answer"]["text"] == answer["text"]
    for missing in ("999999.md", f"{number}.exe", "abc.md", f"{number}"):
        assert request(port, f"/export/{missing}").status == 404


def real_routes(library: Library) -> list[tuple[str, str]]:
    """Method and an example path of every route that Gradio and this package define."""
    found: set[tuple[str, str]] = set()

    def walk(routes: Iterable[Any], prefix: str) -> None:
        for route in routes:
            included = getattr(route, "original_router", None)
            if included is not None:
                walk(included.routes, f"{prefix}/gradio_api")
            path = prefix + str(getattr(route, "path", None) or "")
            walk(getattr(route, "routes", None) or (), path)
            example = re.sub(r"\{[^}]*\}", "1", path) or "/"
            found.update((method, example) for method in getattr(route, "methods", None) or ())

    def build() -> None:
        with application(library) as door:
            app: Any = door  # a door, the guard, the application
            walk(app.app.app.routes, "")

    with ThreadPoolExecutor(1) as pool:
        pool.submit(build).result()
    return sorted(found)


def test_every_route_is_refused_from_elsewhere_and_most_do_not_exist(port: int, small: Library) -> None:
    routes = real_routes(small)
    assert len(routes) > 60
    for method, path in routes:
        for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}):
            assert request(port, path, method, headers=headers).status in (400, 403, 405), (method, path)
        assert request(port, path, method, host="evil.example").status in (400, 405, 421), (method, path)
        if not (READ if method in ("GET", "HEAD") else WRITE).fullmatch(path):
            assert request(port, path, method).status in (404, 405), (method, path)


def test_no_file_is_read_and_nothing_fetched_through_the_real_page(port: int) -> None:
    with socket.socket() as canary:
        canary.bind(("127.0.0.1", 0))
        canary.listen()
        canary.setblocking(False)
        address = f"http://127.0.0.1:{canary.getsockname()[1]}/canary"
        variants = [path.replace("http://evil.example/", address) for path in leaking_paths()]
        for path in [*variants, f"/gradio_api/file={address}", f"/gradio_api/proxy={address}", f"/file={address}"]:
            reply = request(port, path)
            assert reply.status in (400, 404), path
            assert b"root:" not in reply.body
        with pytest.raises(BlockingIOError):
            canary.accept()


JSON = {"Content-Type": "application/json"}


def events(port: int) -> list[dict[str, Any]]:
    """The page's events, as it tells them."""
    listed: list[dict[str, Any]] = json.loads(request(port, "/config").body)["dependencies"]
    return listed


def test_what_was_chosen_is_not_chosen_once_more(port: int) -> None:
    """The reply to a choice came when another was made already, and undid it."""
    config = json.loads(request(port, "/config").body)
    field = next(c["id"] for c in config["components"] if c["props"].get("elem_id") == "coll")
    chosen = config["components"][[c["id"] for c in config["components"]].index(field)]["props"]["value"]
    told = 0
    for event in config["dependencies"]:
        if field in event["outputs"] and any(target[0] == field for target in event["targets"]):
            session = f"chosen{event['id']}"
            data = [chosen if number == field else "" for number in event["inputs"]]
            body = {"data": data, "fn_index": event["id"], "session_hash": session}
            assert request(port, EVENTS, "POST", body=json.dumps(body).encode(), headers=JSON).status == 200
            lines = request(port, f"/gradio_api/queue/data?session_hash={session}").body.decode().splitlines()
            (done,) = (line for line in lines if "process_completed" in line)
            output = json.loads(done.removeprefix("data: "))["output"]["data"][event["outputs"].index(field)]
            assert isinstance(output, dict) and "value" not in output, (event["id"], output)
            told += 1
    assert told >= 2


def test_no_listing_of_documents_is_the_last_word_while_things_change(port: int) -> None:
    """One that was made before a click and arrived after it brought a dismissed file back."""
    config = json.loads(request(port, "/config").body)
    place, chosen = (
        next(c["id"] for c in config["components"] if c["props"].get("elem_id") == name) for name in ("docs", "coll")
    )
    events = [event for event in config["dependencies"] if place in event["outputs"] and chosen in event["inputs"]]
    repeated = {event["trigger_after"] for event in events if event["outputs"] == [place]}
    once = {event["id"] for event in events if event["outputs"] != [place]}
    assert len(once) >= 8
    assert once <= repeated


def test_a_body_reaches_no_file_and_no_address(port: int, tmp_path: Path) -> None:
    """Every event by number and every function by name: nothing is fetched and nothing copied, here and later."""
    secret = tmp_path / "secret.txt"
    secret.write_text("root:secret", encoding="utf-8")
    before = temporary_files()
    with socket.socket() as canary:
        canary.bind(("127.0.0.1", 0))
        canary.listen()
        canary.setblocking(False)
        address = f"http://127.0.0.1:{canary.getsockname()[1]}/canary"
        for target in (
            address,
            address.replace("http", "HTTP"),
            str(secret),
            f"file://{secret}",
            "http://localhost:1/x",
        ):
            for file in (
                {"path": target, "meta": {"_type": "gradio.FileData"}},
                {"path": target, "url": target, "meta": {"_type": "gradio.FileData"}, "orig_name": "x"},
                {"url": target},
            ):
                for where in ({"data": [file, 6, ""]}, {"data": [[file]]}, {"data": [], "event_data": {"x": [file]}}):
                    for path in (f"/gradio_api/{how}/{name}" for how in ("run", "api", "call") for name in PUBLIC):
                        assert request(port, path, "POST", body=json.dumps(where).encode(), headers=JSON).status == 400
                    for event in events(port) if target == address else ():
                        body = {**where, "fn_index": event["id"], "session_hash": "thief"}
                        reply = request(port, EVENTS, "POST", body=json.dumps(body).encode(), headers=JSON)
                        assert reply.status == 400 and b"secret" not in reply.body
        with pytest.raises(BlockingIOError):
            canary.accept()
    assert temporary_files() == before


def temporary_files() -> set[Path]:
    """Files where Gradio would keep what it copied or fetched."""
    return {path for path in Path(os.environ["GRADIO_TEMP_DIR"]).rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("name", "data", "status", "said"),
    [
        ("search", ["leave", "abc", ""], 422, "k must be a whole number"),
        ("search", ["leave", 2.5], 422, "k must be a whole number"),
        ("search", ["leave", True], 422, "k must be a whole number"),
        ("search", [], 422, "question must be a text"),
        ("search", [5, 2, ""], 422, "question must be a text"),
        ("ask", [None], 422, "question must be a text"),
        ("sources", ["default", "more"], 422, "2 values are too many"),
        ("search", ["leave", 0], 500, "Ask for 1 to 200 passages"),
        ("search", ["leave", 2, "nowhere"], 500, "No collection"),
        ("ask", ["  "], 500, "The question is empty"),
    ],
)
def test_wrong_values_are_answered_in_sentences(port: int, name: str, data: list[Any], status: int, said: str) -> None:
    reply = request(port, f"/gradio_api/run/{name}", "POST", body=json.dumps({"data": data}).encode(), headers=JSON)
    assert reply.status == status and said in reply.body.decode()
    assert "object at 0x" not in reply.body.decode() and "Traceback" not in reply.body.decode()


def test_what_may_be_left_out_is_filled_in(port: int) -> None:
    for data in (["leave"], ["leave", 6, ""], ["leave", None, None]):
        reply = request(port, "/gradio_api/run/search", "POST", body=json.dumps({"data": data}).encode(), headers=JSON)
        assert reply.status == 200 and b"handbook.pdf" in reply.body


def test_the_path_says_which_function_runs_and_not_the_body(port: int) -> None:
    """The body's number was believed, and what the path's function takes was checked."""
    plain = request(port, "/gradio_api/run/sources", "POST", body=b'{"data":[]}', headers=JSON).body
    for event in [*(one["id"] for one in events(port)), 10_000, -1]:
        body = json.dumps({"data": [], "fn_index": event}).encode()
        reply = request(port, "/gradio_api/run/sources", "POST", body=body, headers=JSON)
        assert reply.status == 200 and json.loads(reply.body)["data"] == json.loads(plain)["data"], event


def test_the_pages_events_take_texts_and_say_so(port: int, soak: bool, capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever an event is sent: an answer, and nothing of Python's in it nor in the log."""
    told: tuple[Any, ...] = (
        None,
        {},
        5,
        "x",
        {"index": "x", "value": [], "id": [], "name": {}, "turn": "x", "thumb": None, "offset": 1.5},
    )
    sent = 0
    for event in events(port)[3:]:
        odd: tuple[list[Any], ...] = ([], [7] * len(event["inputs"]), ["x"] * len(event["inputs"]), ["x"] * 9)
        pairs = [(data, more) for data in odd for more in told]
        for number, (data, more) in enumerate(pairs if soak else pairs[event["id"] % 4 :: 4]):
            session = f"odd{event['id']}n{number}"
            body = {"data": data, "event_data": more, "fn_index": event["id"], "session_hash": session}
            reply = request(port, EVENTS, "POST", body=json.dumps(body).encode(), headers=JSON)
            assert reply.status in (200, 404, 422), (event["id"], data, more)
            if reply.status == 200:
                sent += 1
                seen = request(port, f"/gradio_api/queue/data?session_hash={session}").body.decode()
                assert "process_completed" in seen and "object has no" not in seen and "Error:" not in seen
    assert sent > 100
    said = capfd.readouterr()
    assert "Traceback" not in said.out + said.err


def test_an_unknown_event_is_not_found(port: int, capfd: pytest.CaptureFixture[str]) -> None:
    for path in ("/gradio_api/call/ask/0af3", "/gradio_api/queue/data?session_hash=nobody", "/gradio_api/queue/data"):
        assert request(port, path).status == 404
    body = json.dumps({"data": ["leave"]}).encode()
    begun = json.loads(request(port, "/gradio_api/call/search", "POST", body=body, headers=JSON).body)["event_id"]
    assert b"event: complete" in request(port, f"/gradio_api/call/search/{begun}").body
    assert "Traceback" not in capfd.readouterr().err


def test_an_upload_to_an_unknown_collection_is_refused(port: int, small: Library) -> None:
    reply = upload(port, "lost.md", b"text", "nowhere")
    assert reply.status == 404 and b"no such collection" in reply.body
    assert "nowhere" not in small.collections.names()


def test_events_refuse_what_is_no_event(port: int) -> None:
    for body in (b"", b"{", b"[]", b'{"fn_index": 99999, "data": [], "session_hash": "x"}', b"\xff" * 100):
        reply = request(port, "/gradio_api/queue/join", "POST", body=body, headers={"Content-Type": "application/json"})
        assert 400 <= reply.status < 600
        assert b"Traceback" not in reply.body
    big = json.dumps({"data": ["x" * 1_000_001], "fn_index": 0, "session_hash": "x"}).encode()
    assert request(port, "/gradio_api/queue/join", "POST", body=big).status == 413


def test_a_flood_is_answered_or_told_to_wait(port: int) -> None:
    body = json.dumps({"data": ["When does the car park open?", "default"]}).encode()

    def ask(_: int) -> int:
        headers = {"Content-Type": "application/json"}
        return request(port, "/gradio_api/call/ask", "POST", body=body, headers=headers).status

    with ThreadPoolExecutor(20) as pool:
        answered = list(pool.map(ask, range(100)))
    assert set(answered) <= {200, 503}
    assert 503 in answered and 200 in answered
    assert request(port, "/").status == 200


def test_half_sent_requests_do_not_block_the_page(port: int, small: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """300 connections that send no more: closed in time, whatever they began with; a slow honest one is not."""
    monkeypatch.setattr("rag.api.server.PERIOD_SECONDS", 1.5)
    host = f"Host: localhost:{port}\r\n".encode()
    begun = (
        b"",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost",
        b"POST /upload?name=a.md HTTP/1.1\r\n" + host + b"Content-Length: 9000\r\n\r\nx",
        b"POST /gradio_api/run/ask HTTP/1.1\r\n" + host + b"Content-Length: 9000\r\n\r\n{",
        b"GET /robots.txt HTTP/1.1\r\n" + host + b"\r\nGET / HT",
    )
    with ExitStack() as stack:
        stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30)).close()
        slow = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
        slow.sendall(b"POST /upload?name=slow.md HTTP/1.1\r\n" + host + b"Content-Length: 12000\r\n\r\n")
        idle = [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30)) for _ in range(300)]
        for number, connection in enumerate(idle):
            with suppress(ConnectionError):  # over the most connections it is closed at once
                connection.sendall(begun[number % len(begun)])
        for _ in range(12):
            slow.sendall(b"word " * 200)
            time.sleep(0.5)
        assert read_reply(slow).status == 200
        for connection in idle:
            with suppress(ConnectionError):
                while connection.recv(65_536):
                    pass
        assert request(port, "/").status == 200
    settle(small, "slow.md")


def test_a_read_only_library_is_refused(corpus: Path, tmp_path: Path) -> None:
    with Library.open(tmp_path / "l", llm="quotes", embedder="builtin") as writer:
        writer.collections.ensure()
        with Library.open(tmp_path / "l", llm="quotes", write=False) as reader, ThreadPoolExecutor(1) as pool:

            def start() -> None:
                with application(reader):
                    raise AssertionError("it started")

            with pytest.raises(LibraryLocked, match="reading only"):
                pool.submit(start).result()


def test_a_busy_port_is_passed_over_unless_it_was_named() -> None:
    with listen("127.0.0.1", 0, exactly=True) as taken:
        number = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"Port {number}"):
            listen("127.0.0.1", number, exactly=True)
        with listen("127.0.0.1", number, exactly=False) as other:
            assert other.getsockname()[1] > number
            assert address_of(other) == f"http://127.0.0.1:{other.getsockname()[1]}/"
    with pytest.raises(ConfigError, match="Cannot listen"):
        listen("::1%none", 0, exactly=True)


def test_listening_beyond_this_machine_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with listen("0.0.0.0", 0, exactly=True) as listener:
        assert address_of(listener).startswith("http://127.0.0.1:")
    assert "whoever reaches this machine" in caplog.text
    caplog.clear()
    listen("127.0.0.1", 0, exactly=True).close()
    assert caplog.text == ""


def test_the_server_starts_prints_nothing_and_ends_on_ctrl_c(tmp_path: Path) -> None:
    write_corpus(tmp_path / "docs")
    code = (
        "import sys\nfrom rag.library import Library\nfrom ui.app import serve\n"
        f"with Library.open({str(tmp_path / 'l')!r}, llm='quotes', embedder='builtin') as library:\n"
        "    serve(library, port=0, on_ready=lambda a: (sys.stderr.write(a + '\\n'), sys.stderr.flush()))\n"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert child.stderr is not None
    try:
        address = child.stderr.readline().strip()
        number = int(address.rpartition(":")[2].strip("/"))
        assert request(number, "/").status == 200
        # an event stream that is still open does not hold up the end
        with socket.create_connection(("127.0.0.1", number)) as stream:
            stream.sendall(f"GET /gradio_api/heartbeat/abc HTTP/1.1\r\nHost: localhost:{number}\r\n\r\n".encode())
            stream.recv(100)
            child.send_signal(signal.SIGINT)
            out, err = child.communicate(timeout=30)
    finally:
        child.kill()
        child.wait()
    assert (child.returncode, out, err) == (0, "", "")
    assert not list(tmp_path.glob("rag-*")) and not (tmp_path / "l" / "temporary").exists()
