"""The fake server against the specification: transport, errors, names, loading, listing, pulling."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from datetime import datetime

import pytest

from tests.fake_ollama import VERSION, FakeModel, FakeOllama
from tests.fake_ollama_model import MODES
from tests.models.wire import ask, post, raw_exchange, raw_post, user


@pytest.fixture(scope="module")
def server() -> Iterator[FakeOllama]:
    models = [
        FakeModel("chat-s", modified_at="2026-08-21T09:15:00+02:00", context_length=8192),
        FakeModel("embed-s"),
        FakeModel("thinker", capabilities=("completion", "thinking")),
        FakeModel("bare", capabilities=("completion",)),
        FakeModel("big:cloud", remote_host="https://elsewhere"),
    ]
    with FakeOllama(models) as running:
        yield running


def test_the_root_answers_in_plain_text_without_a_newline(server: FakeOllama) -> None:
    seen = ask(server, "GET", "/")
    assert (seen.status, seen.body) == (200, b"Ollama is running")
    assert seen.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert ask(server, "HEAD", "/").body == b""


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/nowhere", 404, b"404 page not found"),
        ("POST", "/api/tags", 405, b"405 method not allowed"),
        ("GET", "/api/chat", 405, b"405 method not allowed"),
        ("HEAD", "/api/ps", 405, b""),
        ("HEAD", "/api/tags", 200, b""),
        ("HEAD", "/api/version", 200, b""),
    ],
)
def test_unknown_paths_and_methods_answer_in_plain_text(
    server: FakeOllama, method: str, path: str, status: int, body: bytes
) -> None:
    seen = ask(server, method, path)
    assert (seen.status, seen.body) == (status, body)
    if status != 200:
        assert seen.headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "localhost:11434"}, 200),
        ({"Host": "printer.local"}, 200),
        ({"Host": "192.168.1.4"}, 200),
        ({"Host": "8.8.8.8"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:7860"}, 200),
        ({"Origin": "app://obsidian"}, 200),
    ],
)
def test_foreign_hosts_and_origins_are_refused(server: FakeOllama, headers: dict[str, str], status: int) -> None:
    seen = ask(server, "GET", "/api/version", headers=headers)
    assert seen.status == status
    assert seen.body == (b"" if status == 403 else json.dumps({"version": VERSION}, separators=(",", ":")).encode())


def test_a_stream_is_chunked_lines_of_json(server: FakeOllama) -> None:
    received = raw_exchange(server, raw_post("/api/chat", {"model": "chat-s", "messages": user("a <b> & c")}))
    head, _, rest = received.partition(b"\r\n\r\n")
    assert b"HTTP/1.1 200" in head and b"Content-Type: application/x-ndjson" in head
    assert b"Transfer-Encoding: chunked" in head and b"Content-Length" not in head
    chunks = []
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        chunks.append(rest[: int(size, 16)])
        assert rest[int(size, 16) :].startswith(b"\r\n")
        rest = rest[int(size, 16) + 2 :]
    assert chunks.pop() == b""
    assert all(chunk.endswith(b"\n") and chunk.count(b"\n") == 1 for chunk in chunks)
    assert b"\\u003c" in b"".join(chunks) and b"\\u0026" in b"".join(chunks) and b"<" not in b"".join(chunks)


def test_headers_wait_for_the_first_token(server: FakeOllama) -> None:
    with FakeOllama(["chat-s"], load_seconds=0.3) as slow:
        started = time.monotonic()
        post(slow, "/api/chat", model="chat-s", messages=user("hi"))
        assert slow.requests[0].first_byte - started >= 0.3


def test_a_single_object_has_a_length_and_a_type(server: FakeOllama) -> None:
    seen = post(server, "/api/chat", model="chat-s", messages=user("hi"), stream=False)
    assert seen.headers["Content-Type"] == "application/json; charset=utf-8"
    assert int(seen.headers["Content-Length"]) == len(seen.body)


@pytest.mark.parametrize(
    ("path", "body", "status", "error"),
    [
        ("/api/chat", b"", 400, "missing request body"),
        ("/api/show", b"  ", 400, "missing request body"),
        ("/api/chat", b"xml", 400, "invalid character 'x' looking for beginning of value"),
        ("/api/chat", b"nonsense", 400, "invalid character 'o' in literal null (expecting 'u')"),
        ("/api/chat", b"tru", 400, "unexpected EOF"),
        ("/api/chat", b"{model:1}", 400, "invalid character 'm' looking for beginning of object key string"),
        ("/api/chat", b'{"model" 1}', 400, "invalid character '1' after object key"),
        ("/api/chat", b'{"model":"x" 1}', 400, "invalid character '1' after object key:value pair"),
        ("/api/chat", b'{"model":"chat', 400, "unexpected EOF"),
        ("/api/chat", b'{"model":', 400, "unexpected EOF"),
        ("/api/chat", b"[]", 400, "json: cannot unmarshal array into Go value of type api.ChatRequest"),
        ("/api/embed", b"7", 400, "json: cannot unmarshal number into Go value of type api.EmbedRequest"),
        (
            "/api/chat",
            b'{"model":5}',
            400,
            "json: cannot unmarshal number into Go struct field ChatRequest.model of type string",
        ),
        (
            "/api/chat",
            b'{"model":"chat-s","messages":"hi"}',
            400,
            "json: cannot unmarshal string into Go struct field ChatRequest.messages of type []api.Message",
        ),
        (
            "/api/chat",
            b'{"model":"chat-s","messages":[{"role":"user","content":5}]}',
            400,
            "json: cannot unmarshal number into Go struct field Alias.content of type string",
        ),
        (
            "/api/generate",
            b'{"model":"chat-s","options":[]}',
            400,
            "json: cannot unmarshal array into Go struct field GenerateRequest.options of type map[string]interface {}",
        ),
        ("/api/chat", b"{}", 400, "model is required"),
        ("/api/show", b"{}", 400, "model is required"),
        ("/api/generate", b"{}", 404, "model '' not found"),
        ("/api/embed", b"{}", 404, "model '' not found"),
        ("/api/pull", b"{}", 400, "invalid model name"),
        ("/api/chat", b'{"model":"a b"}', 400, "invalid model name"),
        ("/api/chat", b'{"model":"Gone"}', 404, "model 'Gone' not found"),
        ("/api/generate", b'{"model":"gone"}', 404, "model 'gone' not found"),
        ("/api/show", b'{"model":"gone"}', 404, "model 'gone:latest' not found"),
        ("/api/embed", b'{"model":"gone"}', 404, 'model "gone" not found, try pulling it first'),
        ("/api/chat", b'{"model":"embed-s"}', 400, '"embed-s" does not support chat'),
        ("/api/generate", b'{"model":"embed-s"}', 400, '"embed-s" does not support generate'),
        ("/api/chat", b'{"model":"chat-s","think":true}', 400, '"chat-s" does not support thinking'),
        (
            "/api/chat",
            b'{"model":"bare","tools":[{}]}',
            400,
            "registry.ollama.ai/library/bare:latest does not support tools",
        ),
        (
            "/api/chat",
            b'{"model":"chat-s","options":{"num_ctx":"8k"}}',
            500,
            'option "num_ctx" must be of type integer',
        ),
        ("/api/chat", b'{"model":"chat-s","options":{"stop":"x"}}', 500, 'option "stop" must be of type array'),
        ("/api/chat", b'{"model":"chat-s","keep_alive":"300"}', 400, 'time: missing unit in duration "300"'),
        ("/api/chat", b'{"model":"chat-s","top_logprobs":21}', 400, "top_logprobs must be between 0 and 20"),
        ("/api/embed", b'{"model":"embed-s","input":[1]}', 400, "invalid input type"),
        (
            "/api/embed",
            b'{"model":"chat-s","input":"x"}',
            501,
            "This server does not support embeddings. Start it with `--embeddings`",
        ),
    ],
)
def test_errors_have_the_status_and_text_of_the_specification(
    server: FakeOllama, path: str, body: bytes, status: int, error: str
) -> None:
    seen = ask(server, "POST", path, raw=body)
    assert (seen.status, seen.error) == (status, error)
    assert seen.headers["Content-Type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/tags", None),
        ("POST", "/api/show", {"model": "chat-s"}),
        ("POST", "/api/embed", {"model": "embed-s", "input": ["x"]}),
    ],
)
def test_tags_show_and_embed_are_chunked(server: FakeOllama, method: str, path: str, body: object) -> None:
    seen = ask(server, method, path, body)
    assert seen.headers["Transfer-Encoding"] == "chunked" and "Content-Length" not in seen.headers
    assert seen.headers["Content-Type"] == "application/json; charset=utf-8" and isinstance(seen.json, dict)


def test_delete_removes_a_model_and_tells_in_json_that_there_is_none() -> None:
    with FakeOllama(["chat-s"]) as server:
        assert (ask(server, "DELETE", "/api/delete", {"model": "chat-s"}).status, server.models) == (200, {})
        seen = ask(server, "DELETE", "/api/delete", {"model": "chat-s"})
        assert (seen.status, seen.error) == (404, "model 'chat-s' not found")
        assert seen.headers["Content-Type"].startswith("application/json")


def test_a_tiny_window_is_taken(server: FakeOllama) -> None:
    seen = post(server, "/api/chat", model="chat-s", messages=user("hi"), options={"num_ctx": 8}, stream=False)
    assert seen.status == 200 and seen.json["done"]


@pytest.mark.parametrize("schema", [{"type": "no-type"}, {"type": "object", "properties": {"n": {"type": "int"}}}])
def test_a_bad_schema_is_refused_with_json_in_a_string(server: FakeOllama, schema: object) -> None:
    seen = post(server, "/api/chat", model="chat-s", messages=user("x"), format=schema)
    inner = json.loads(seen.error)["error"]
    assert seen.status == inner["code"] == 400 and "Unrecognized schema" in inner["message"]


@pytest.mark.parametrize("value", ["xml", 5, True])
def test_a_bad_format_is_a_500(server: FakeOllama, value: object) -> None:
    seen = post(server, "/api/chat", model="chat-s", messages=user("x"), format=value)
    assert seen.status == 500 and seen.error.startswith("invalid format: ")


def test_cloud_models_are_refused_while_cloud_is_off(server: FakeOllama) -> None:
    seen = post(server, "/api/chat", model="big:cloud", messages=user("hi"))
    assert seen.status == 403 and seen.error.startswith("ollama cloud is disabled: ")


@pytest.mark.parametrize("name", ["chat-s", "CHAT-S", "chat-s:latest", "library/chat-s"])
def test_names_match_without_case_and_are_echoed_as_sent(server: FakeOllama, name: str) -> None:
    seen = post(server, "/api/chat", model=name, messages=user("hi"), stream=False)
    assert seen.status == 200 and seen.json["model"] == name


def test_tags_lists_the_newest_first(server: FakeOllama) -> None:
    rows = ask(server, "GET", "/api/tags").json["models"]
    assert rows[0]["name"] == rows[0]["model"] == "chat-s:latest"
    by_name = {row["name"]: row for row in rows}
    assert by_name["embed-s:latest"]["capabilities"] == ["embedding"]
    assert not {"context_length", "embedding_length"} & set(by_name["embed-s:latest"]["details"])
    assert by_name["big:cloud"]["remote_host"] == "https://elsewhere"
    assert all(re.fullmatch("[0-9a-f]{64}", row["digest"]) for row in rows)
    assert all(datetime.fromisoformat(row["modified_at"]).tzinfo for row in rows)
    with FakeOllama([]) as empty:
        assert ask(empty, "GET", "/api/tags").body == b'{"models":[]}'


def test_show_gives_the_trained_length_under_the_architecture(server: FakeOllama) -> None:
    shown = post(server, "/api/show", model="chat-s").json
    assert shown["model_info"]["general.architecture"] == "llama"
    assert shown["model_info"]["llama.context_length"] == 8192
    assert shown["capabilities"] == ["completion", "tools"] and "remote_host" not in shown
    assert post(server, "/api/show", name="embed-s").json["model_info"]["bert.pooling_type"] == 1


def test_show_of_an_old_server_has_no_capabilities() -> None:
    with FakeOllama([FakeModel("chat-s", old_server=True)]) as old:
        assert "capabilities" not in post(old, "/api/show", model="chat-s").json
        assert "capabilities" not in ask(old, "GET", "/api/tags").json["models"][0]


def test_a_model_is_loaded_once_for_the_same_options() -> None:
    with FakeOllama(["chat-s"]) as server:
        for options in ({"num_ctx": 4096}, {}, {"num_ctx": 4096, "temperature": 1.0}):
            post(server, "/api/chat", model="chat-s", messages=user("hi"), options=options)
        assert [load.num_ctx for load in server.loads] == [4096]
        post(server, "/api/chat", model="chat-s", messages=user("hi"), options={"num_ctx": 8192})
        post(server, "/api/chat", model="chat-s", messages=user("hi"), options={"num_ctx": 8192}, shift=False)
        assert [(load.num_ctx, load.shift) for load in server.loads] == [(4096, True), (8192, True), (8192, False)]


@pytest.mark.parametrize(("path", "body"), [("/api/chat", {"messages": []}), ("/api/generate", {"prompt": ""})])
def test_an_empty_request_loads_and_unloads(path: str, body: dict[str, object]) -> None:
    with FakeOllama(["chat-s"]) as server:
        seen = post(server, path, model="chat-s", options={"num_ctx": 8192}, **body)
        assert seen.json["done_reason"] == "load" and seen.json["done"] is True
        row = ask(server, "GET", "/api/ps").json["models"][0]
        assert (row["name"], row["context_length"], row["size_vram"]) == ("chat-s:latest", 8192, 0)
        assert datetime.fromisoformat(row["expires_at"]).tzinfo
        assert post(server, path, model="chat-s", keep_alive=0, **body).json["done_reason"] == "unload"
        assert ask(server, "GET", "/api/ps").json == {"models": []}


def test_keep_alive_takes_numbers_and_go_durations() -> None:
    with FakeOllama(["chat-s"]) as server:
        for value in (5, -1, "10m", "1h30m", "-1m"):
            assert post(server, "/api/chat", model="chat-s", messages=user("hi"), keep_alive=value).status == 200
            assert len(ask(server, "GET", "/api/ps").json["models"]) == 1
        assert post(server, "/api/chat", model="chat-s", messages=user("hi"), keep_alive="0").status == 200
        assert ask(server, "GET", "/api/ps").json["models"] == []


def test_a_full_queue_answers_503_with_two_spaces() -> None:
    with FakeOllama(["chat-s"], max_queue=0) as server:
        seen = post(server, "/api/chat", model="chat-s", messages=user("hi"))
    assert seen.status == 503
    assert seen.error == "server busy, please try again.  maximum pending requests exceeded"


def test_one_generation_runs_at_a_time_and_a_client_that_leaves_frees_its_place() -> None:
    with FakeOllama(["chat-ramble"], delay=0.01) as server:
        body = {"model": "chat-ramble", "messages": user("[1] A b c.\n\nQuestion: A b?")}
        leaving = socket.create_connection(("127.0.0.1", int(server.url.rsplit(":", 1)[1])))
        leaving.sendall(raw_post("/api/chat", body))
        assert server.wait_for(lambda: bool(server.requests) and server.requests[0].lines > 2)
        second = threading.Thread(
            target=post, args=(server, "/api/chat"), kwargs={**body, "options": {"num_predict": 3}}
        )
        second.start()
        assert server.wait_for(lambda: len(server.requests) == 2)
        lines = server.requests[0].lines
        assert server.wait_for(lambda: server.requests[0].lines > lines + 5)
        assert server.requests[1].lines == 0
        leaving.close()
        second.join(timeout=5)
        assert server.requests[0].disconnected and server.requests[1].lines == 4
        assert server.requests[1].first_byte >= server.requests[0].disconnected


def test_pull_tells_its_progress_and_ends_with_success() -> None:
    with FakeOllama([], library={"new-model": 400}) as server:
        rows = post(server, "/api/pull", model="new-model").rows
        statuses = [row["status"] for row in rows]
        assert statuses[0] == "pulling manifest"
        assert statuses[-3:] == ["verifying sha256 digest", "writing manifest", "success"]
        layers = [row for row in rows if row.get("total")]
        assert "completed" not in layers[0] and [row["completed"] for row in layers[1:]] == [100, 200, 300, 400]
        assert re.fullmatch("pulling [0-9a-f]{12}", layers[0]["status"]) and layers[0]["digest"].startswith("sha256:")
        again = [row for row in post(server, "/api/pull", model="new-model").rows if row.get("total")]
        assert [row["completed"] for row in again] == [400]
        assert post(server, "/api/pull", model="new-model", stream=False).json == {"status": "success"}
        assert post(server, "/api/show", model="new-model").status == 200


def test_a_failing_pull_is_a_line_in_a_stream_and_a_500_without() -> None:
    text = "pull model manifest: file does not exist"
    with FakeOllama([]) as server:
        assert post(server, "/api/pull", model="no-such").rows == [{"status": "pulling manifest"}, {"error": text}]
        seen = post(server, "/api/pull", model="no-such", stream=False)
        assert (seen.status, seen.error) == (500, text)


def test_it_can_be_run_by_hand() -> None:
    command = [sys.executable, "-m", "tests.fake_ollama", "--port", "0", "--delay", "0", "--load", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        address, models, hint = child.stdout.readline(), child.stdout.readline(), child.stdout.readline()
        url = address.split()[-1]
        assert "fake-chat" in models and "fake-hallucinate" in models and f"OLLAMA_HOST={url}" in hint
        with urllib.request.urlopen(f"{url}/api/tags", timeout=5) as answer:
            assert len(json.load(answer)["models"]) == 2 + len(MODES) - 1
        taken = subprocess.run([*command[:3], "--port", url.split(":")[-1]], capture_output=True, text=True)
        assert taken.returncode == 1 and "Address already in use" in taken.stderr and "--port" in taken.stderr
        child.send_signal(signal.SIGINT)
        assert child.stdout.read().endswith("Stopped.\n")
    assert child.returncode == 0
