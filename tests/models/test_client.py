"""The client at work: what it sends, how it streams, stops, queues and gives back its connections."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag.errors import ModelError, ServerBusy, ServerNotRunning
from rag.models.client import OllamaClient
from tests.fake_ollama import FakeModel, FakeOllama, Fault
from tests.models.wire import user

TALE = "[1] A b c.\n\nQuestion: A b?"
OPTIONS = {"num_ctx": 4096, "num_predict": 400}


@pytest.fixture
def server() -> Iterator[FakeOllama]:
    with FakeOllama(["chat-s", "chat-ramble", "embed-s"]) as running:
        yield running


@pytest.fixture
def client(server: FakeOllama) -> Iterator[OllamaClient]:
    with OllamaClient(server.url) as made:
        yield made


def text_of(client: OllamaClient, model: str = "chat-s", prompt: str = "hi", **more: Any) -> str:
    return "".join(chunk.text for chunk in client.chat(model, user(prompt), options=OPTIONS, **more))


def test_the_facts_of_a_server(server: FakeOllama, client: OllamaClient) -> None:
    assert client.version() == "0.33.0"
    listed = {info.name: info for info in client.models()}
    assert set(listed) == {"chat-s:latest", "chat-ramble:latest", "embed-s:latest"}
    assert listed["embed-s:latest"].capabilities == ("embedding",)
    assert (client.show("embed-s").context_length, client.show("embed-s").embedding_length) == (2048, 256)
    shown = client.show("CHAT-S")
    assert (shown.name, shown.context_length, shown.embedding_length) == ("CHAT-S", 131_072, 3072)
    assert shown.digest == listed["chat-s:latest"].digest and shown.size == listed["chat-s:latest"].size
    assert client.running() == ()
    text_of(client)
    assert [(row.name, row.context_length, row.size_vram) for row in client.running()] == [("chat-s:latest", 4096, 0)]


def test_an_old_server_without_capabilities_is_understood() -> None:
    models = [FakeModel("chat-s", old_server=True), FakeModel("embed-s", old_server=True)]
    with FakeOllama(models) as server, OllamaClient(server.url) as client:
        assert client.show("chat-s").capabilities == ("completion",)
        assert client.show("embed-s").capabilities == ("embedding",)


def test_what_a_chat_sends(server: FakeOllama, client: OllamaClient) -> None:
    text_of(client, prompt="a \ud800 lone surrogate, ü and 日本", keep_alive="300", format={"type": "object"})
    sent = server.sent("/api/chat")[0]
    assert sent.headers["content-type"] == "application/json" and sent.raw.isascii()
    assert {key: value for key, value in sent.json.items() if key != "messages"} == {
        "model": "chat-s",
        "stream": True,
        "options": OPTIONS,
        "think": False,
        "format": {"type": "object"},
        "truncate": False,
        "shift": False,
        "keep_alive": 300,
        "tools": [],
    }
    assert sent.json["messages"][0]["content"].endswith("ü and 日本")


@pytest.mark.parametrize(("value", "sent"), [("10m", "10m"), ("-1", -1), (" 0 ", 0), ("", None), (None, None)])
def test_keep_alive_without_a_unit_is_sent_as_a_number(
    server: FakeOllama, client: OllamaClient, value: str | None, sent: object
) -> None:
    text_of(client, keep_alive=value)
    assert server.sent("/api/chat")[0].json.get("keep_alive") == sent


def test_the_last_chunk_counts(client: OllamaClient) -> None:
    *chunks, last = client.chat("chat-s", user("hi"), options=OPTIONS)
    assert last.done and last.done_reason == "stop" and last.prompt_tokens > 3
    assert last.answer_tokens == sum(bool(chunk.text) for chunk in chunks) + 1
    assert last.total_ms > 0 and last.load_ms > 0 and not any(chunk.done for chunk in chunks)


def test_thinking_is_parted_from_the_answer() -> None:
    with FakeOllama(["m-think", "m-think-tags"]) as server, OllamaClient(server.url) as client:
        for model, think in (("m-think", None), ("m-think-tags", False)):
            chunks = list(client.chat(model, user("hi"), options=OPTIONS, think=think))
            assert "".join(chunk.text for chunk in chunks) == "You said: hi"
            assert "I look into the sources" in "".join(chunk.thinking for chunk in chunks)


def test_loading_with_the_options_of_the_chat_spares_a_second_load(server: FakeOllama, client: OllamaClient) -> None:
    client.load("chat-s", OPTIONS, keep_alive="5m")
    assert [(load.num_ctx, load.shift) for load in server.loads] == [(4096, False)]
    text_of(client)
    assert len(server.loads) == 1


def test_connections_are_used_again(server: FakeOllama, client: OllamaClient) -> None:
    for _ in range(5):
        text_of(client)
        client.embed("embed-s", ["x"])
        client.version()
    assert server.open_connections == server.accepted_connections == 3, "chats, embeddings and facts"
    client.close()
    assert server.wait_for(lambda: server.open_connections == 0, 60)


def test_a_server_that_was_restarted_is_found_again() -> None:
    with FakeOllama(["chat-s", "embed-s"]) as first:
        port = int(first.url.rpartition(":")[2])
        client = OllamaClient(first.url)
        assert text_of(client) and client.embed("embed-s", ["x"]).size and client.version()
    with pytest.raises(ServerNotRunning):
        text_of(client)
    with FakeOllama(["chat-s", "embed-s"], port=port) as second, client:
        assert text_of(client) and client.embed("embed-s", ["x"]).size and client.version()
        second.script(Fault(raw=b""))
        with pytest.raises(ModelError):
            text_of(client)
        assert text_of(client)
    with FakeOllama(["chat-s", "embed-s"]) as server, OllamaClient(server.url) as client:
        assert text_of(client) and client.embed("embed-s", ["x"]).size
        server._server.end_connections()
        assert server.wait_for(lambda: server.open_connections == 0)
        assert text_of(client) and client.embed("embed-s", ["x"]).size, "connections closed while idle are made anew"


def test_opening_a_model_asks_once(server: FakeOllama, client: OllamaClient) -> None:
    client.require("chat-s", "completion", "chat")
    client.require("embed-s", "embedding", "embed")
    assert [record.path for record in server.requests] == ["/api/show", "/api/tags"] * 2


def test_a_forgotten_client_gives_its_connections_back(server: FakeOllama) -> None:
    OllamaClient(server.url).version()
    gc.collect()
    assert server.wait_for(lambda: server.open_connections == 0, 60)


def test_closing_the_generator_ends_the_request_within_a_second() -> None:
    models = ["chat-ramble", "chat-s"]
    with FakeOllama(models, delay=0.02) as server, OllamaClient(server.url, concurrency=1) as client:
        chunks = client.chat("chat-ramble", user(TALE), options=OPTIONS)
        next(chunk for chunk in chunks if chunk.text)
        closed = time.monotonic()
        chunks.close()
        record = server.sent("/api/chat")[0]
        assert server.wait_for(lambda: record.disconnected > 0, 60)
        assert record.disconnected - closed < 1 and record.lines < 100
        assert text_of(client), "the lane is free again"


@pytest.mark.parametrize("where", ["load", "stall", "queue of the server", "own queue", "backoff"])
def test_a_silent_request_can_be_stopped_too(where: str) -> None:
    slow = 120.0
    with (
        FakeOllama(["chat-ramble"], delay=0.02, load_seconds=slow if where == "load" else 0) as server,
        OllamaClient(server.url, concurrency=1 if where == "own queue" else 2) as client,
    ):
        faults = {"stall": Fault(stall=slow), "backoff": Fault(status=503, text="server busy", times=9)}
        if where in faults:
            client.load("chat-ramble", OPTIONS)
            server.script(faults[where])
        other = client.chat("chat-ramble", user(TALE), options=OPTIONS)
        if "queue" in where:
            next(chunk for chunk in other if chunk.text)
        stopped = client.chat("chat-ramble", user(TALE), options=OPTIONS)
        assert not next(stopped).text
        closed = time.monotonic()
        stopped.close()
        assert time.monotonic() - closed < slow / 2, "it waited for the server"
        if where != "own queue":
            record = server.sent("/api/chat")[-1]
            ended = server.wait_for(lambda: record.disconnected > 0 or where == "backoff", 60)
            assert ended, "the server was not told"
        other.close()


def test_a_generator_that_is_dropped_ends_its_request() -> None:
    with FakeOllama(["chat-ramble"], delay=0.02) as server, OllamaClient(server.url) as client:
        chunks = client.chat("chat-ramble", user(TALE), options=OPTIONS)
        next(chunk for chunk in chunks if chunk.text)
        del chunks
        gc.collect()
        assert server.wait_for(lambda: server.sent("/api/chat")[0].disconnected > 0, 60)


def test_a_download_can_be_cancelled_and_goes_on_later() -> None:
    with FakeOllama([], delay=0.3, library={"big": 400}) as server, OllamaClient(server.url) as client:
        with closing(client.pull("big")) as steps:
            done = next(step for step in steps if step.completed == 100)
            assert done.total == 400 and not done.done
            server.delay = 120  # but for what is on its way, nothing moves any more
            kept = next(step for before, step in pairwise(steps) if step == before).completed  # a sign of life
        record = server.sent("/api/pull")[0]
        assert server.wait_for(lambda: record.disconnected > 0, 60) and server.open_connections <= 1
        assert next(step for step in client.pull("big") if step.completed).completed >= kept > 0
        assert client.models() == ()


def test_twenty_conversations_at_once_leak_nothing() -> None:
    with FakeOllama(["chat-s", "chat-ramble"], delay=0.001, parallel=4) as server:
        with OllamaClient(server.url, concurrency=4, queue=16) as client:
            text_of(client)
            before = _descriptors()
            with ThreadPoolExecutor(20) as pool:
                answers = list(pool.map(lambda i: text_of(client, prompt=f"question {i}"), range(60)))
            assert answers == [f"You said: question {i}" for i in range(60)]
            assert server.wait_for(lambda: server.open_connections <= 5, 60)
            with ThreadPoolExecutor(20) as pool:
                list(pool.map(lambda i: _stop_early(client, i), range(60)))
            assert server.wait_for(lambda: server.open_connections <= 5, 60), server.open_connections
            assert text_of(client) == "You said: hi"
            names = [thread.name for thread in threading.enumerate()]
            assert names.count("ollama-stream") == 0
            assert _descriptors() <= before + 2 * 4
        assert server.wait_for(lambda: server.open_connections == 0, 60)


def _stop_early(client: OllamaClient, number: int) -> None:
    chunks = client.chat("chat-ramble", user(TALE), options=OPTIONS)
    for _ in range(number % 4):
        next(chunks)
    chunks.close()


def _descriptors() -> int:
    return len(list(Path(f"/proc/{os.getpid()}/fd").iterdir()))


def test_at_most_so_many_run_at_once() -> None:
    with FakeOllama(["chat-ramble"], delay=0.002, parallel=8) as server:
        with OllamaClient(server.url, concurrency=3, queue=20) as client, ThreadPoolExecutor(12) as pool:
            short = {**OPTIONS, "num_predict": 20}
            tasks = [
                pool.submit(lambda: list(client.chat("chat-ramble", user(TALE), options=short))) for _ in range(12)
            ]
            assert all(task.result()[-1].done for task in tasks)
        spans = [(r.started, r.finished) for r in server.sent("/api/chat")]
        assert max(sum(a <= t < b for a, b in spans) for t, _ in spans) <= 3


def test_a_full_queue_is_told_at_once() -> None:
    with FakeOllama(["chat-ramble"], delay=0.05) as server, OllamaClient(server.url, concurrency=1, queue=2) as client:
        running = [client.chat("chat-ramble", user(TALE), options=OPTIONS) for _ in range(3)]
        for chunks in running:
            next(chunks)
        with pytest.raises(ServerBusy, match="2 are waiting") as caught:
            next(client.chat("chat-ramble", user(TALE), options=OPTIONS))
        assert caught.value.hint
        running[2].close()
        late = client.chat("chat-ramble", user(TALE), options=OPTIONS)
        assert not next(late).text, "a place in the queue became free"
        for chunks in (*running, late):
            chunks.close()


def test_one_embedding_request_at_a_time_in_batches() -> None:
    with FakeOllama([FakeModel("embed-s", dimension=8)], delay=0.0005) as server, OllamaClient(server.url) as client:
        with ThreadPoolExecutor(4) as pool:
            tables = list(pool.map(lambda i: client.embed("embed-s", [f"t{i} {j}" for j in range(70)]), range(4)))
        assert [table.shape for table in tables] == [(70, 8)] * 4 and tables[0].dtype == np.float32
        assert np.allclose(tables[2][41], client.embed("embed-s", ["t2 41"])[0])
        sent = server.sent("/api/embed")[:-1]
        assert sorted(len(record.json["input"]) for record in sent) == [6] * 4 + [32] * 8
        assert all(record.json["truncate"] is False for record in sent)
        spans = sorted((record.started, record.first_byte) for record in sent)
        assert all(end <= start for (_, end), (start, _) in pairwise(spans))


def test_embedding_nothing_sends_nothing(server: FakeOllama, client: OllamaClient) -> None:
    assert client.embed("embed-s", []).shape == (0, 0)
    assert not server.sent("/api/embed")


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_is_not_asked_for_the_own_machine(
    server: FakeOllama, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    with OllamaClient(server.url) as client:
        assert text_of(client) == "You said: hi" and client.version()


def test_a_path_prefix_is_kept(server: FakeOllama) -> None:
    with OllamaClient(f"{server.url}/ollama") as client, suppress(ModelError):
        client.version()
    assert server.requests[0].path == "/ollama/api/version"


def test_a_slow_reader_holds_the_server_back_and_loses_nothing(server: FakeOllama, client: OllamaClient) -> None:
    expected = text_of(client, "chat-ramble", TALE)
    said = ""
    for number, chunk in enumerate(client.chat("chat-ramble", user(TALE), options=OPTIONS)):
        if number < 5:
            time.sleep(0.05)
        said += chunk.text
    assert said == expected


def test_an_interrupt_ends_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeOllama(["chat-ramble"], delay=0.02) as server, OllamaClient(server.url) as client:
        with pytest.raises(KeyboardInterrupt):
            _interrupted(client.chat("chat-ramble", user(TALE), options=OPTIONS).__iter__, 3)
        gc.collect()
        assert server.wait_for(lambda: server.sent("/api/chat")[0].disconnected > 0, 60)


def _interrupted(start: Callable[[], Iterator[Any]], after: int) -> None:
    for number, _ in enumerate(start()):
        if number == after:
            raise KeyboardInterrupt
