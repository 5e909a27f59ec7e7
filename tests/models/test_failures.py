"""Every way in which a model can fail, driven on the wire: one typed error that says what to do."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import httpx
import pytest

from rag.errors import (
    EmptyAnswer,
    ModelError,
    ModelMissing,
    ModelRefused,
    ModelTimeout,
    PromptTooLong,
    RagError,
    ServerBusy,
    ServerError,
    ServerNotRunning,
    ServerUnreachable,
    StreamBroken,
    WrongModelKind,
)
from rag.models.client import OllamaClient
from rag.models.errors import Call, from_exception
from tests.fake_ollama import FakeModel, FakeOllama, Fault
from tests.models.faults import STREAM_FAULTS
from tests.models.wire import user

NO_SUCH_PORT = "http://127.0.0.1:9"


@pytest.fixture
def server() -> Iterator[FakeOllama]:
    with FakeOllama(["chat-s", "chat-silent", "chat-think-only", "chat-think", "embed-s"]) as running:
        yield running


@contextmanager
def connected(server: FakeOllama | str, **settings: float) -> Iterator[OllamaClient]:
    url = server if isinstance(server, str) else server.url
    with OllamaClient(url, **settings) as client:  # type: ignore[arg-type]
        yield client


def say(client: OllamaClient, model: str = "chat-s", **options: int) -> str:
    """A whole answer."""
    return "".join(chunk.text for chunk in client.chat(model, user("hi"), options=options))


def check(error: RagError) -> None:
    """The error names something and says what to do, on clean lines."""
    assert str(error) and error.hint and "\n" not in str(error), error.explain()


@pytest.mark.parametrize(("fault", "kind", "says"), STREAM_FAULTS)
def test_a_chat_that_fails_raises_one_typed_error(
    server: FakeOllama, fault: Fault, kind: type[ModelError], says: str
) -> None:
    server.script(fault)
    with connected(server) as client:
        with pytest.raises(ModelError) as caught:
            say(client)
        assert type(caught.value) is kind and says in str(caught.value), caught.value.explain()
        check(caught.value)
        assert say(client), "the client works on after a failure"


def test_nothing_listens() -> None:
    with connected(NO_SUCH_PORT) as client, pytest.raises(ServerNotRunning, match=r"127\.0\.0\.1:9") as caught:
        say(client)
    check(caught.value)
    assert "ollama serve" in caught.value.hint


def test_the_host_is_unknown() -> None:
    error = httpx.ConnectError("x")
    error.__cause__ = socket.gaierror(-2, "Name or service not known")
    found = from_exception(error, Call("http://nowhere:1"))
    assert type(found) is ServerUnreachable and "nowhere" in str(found)
    check(found)


def test_the_host_does_not_accept_a_connection() -> None:
    with closing(socket.create_server(("127.0.0.1", 0), backlog=0)) as listener:
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        with (
            connected(f"http://127.0.0.1:{address[1]}", connect_seconds=0.2) as client,
            pytest.raises(ServerUnreachable, match=r"within 0\.2 s") as caught,
        ):
            say(client)
        check(caught.value)
        for filler in fillers:
            filler.close()


def test_a_missing_model_comes_with_the_line_that_gets_it(server: FakeOllama) -> None:
    with connected(server) as client:
        for ask in (lambda: say(client, "gone"), lambda: client.show("gone"), lambda: client.embed("gone", ["x"])):
            with pytest.raises(ModelMissing) as caught:
                ask()
            assert "`ollama pull gone`" in caught.value.hint


def test_a_model_removed_while_we_run_is_missing(server: FakeOllama) -> None:
    with connected(server) as client:
        say(client)
        client.embed("embed-s", ["x"])
        del server.models["chat-s:latest"], server.models["embed-s:latest"]
        for ask in (lambda: say(client), lambda: client.embed("embed-s", ["x"])):
            with pytest.raises(ModelMissing):
                ask()


def test_the_wrong_kind_of_model(server: FakeOllama) -> None:
    with connected(server) as client:
        for ask in (lambda: say(client, "embed-s"), lambda: client.embed("chat-s", ["x"])):
            with pytest.raises(WrongModelKind) as caught:
                ask()
            check(caught.value)


def test_busy_is_retried_and_then_told(server: FakeOllama) -> None:
    server.script(Fault(status=503, text="server busy, please try again.  maximum pending requests exceeded", times=2))
    with connected(server) as client:
        assert say(client)
        assert len(server.sent("/api/chat")) == 3
        server.script(Fault(status=503, text="server busy, please try again.", times=9))
        started = time.monotonic()
        with pytest.raises(ServerBusy) as caught:
            say(client)
        assert time.monotonic() - started < 60, "it gives up"
        check(caught.value)


def test_busy_embedding_is_retried(server: FakeOllama) -> None:
    server.script(Fault(path="/api/embed", status=503, text="server busy, please try again."))
    with connected(server) as client:
        assert client.embed("embed-s", ["x"]).shape == (1, 256)


def test_silence_is_a_timeout(server: FakeOllama) -> None:
    for fault in (Fault(stall=5), Fault(after=2, stall=5)):
        server.script(fault)
        with connected(server, read_seconds=0.3) as client, pytest.raises(ModelTimeout, match=r"0\.3 s") as caught:
            say(client)
        check(caught.value)


def test_a_cold_load_is_waited_for_with_signs_of_life() -> None:
    with FakeOllama(["chat-s"], load_seconds=0.7) as server, connected(server) as client:
        chunks = list(client.chat("chat-s", user("hi"), options={}))
    waiting = [chunk for chunk in chunks if not chunk.text and not chunk.done]
    assert 2 <= len(waiting) <= 4 and chunks[: len(waiting)] == waiting
    assert chunks[-1].load_ms >= 700 and chunks[-1].done


def test_an_empty_answer_and_one_that_only_thought(server: FakeOllama) -> None:
    with connected(server) as client:
        with pytest.raises(EmptyAnswer, match="without a word") as caught:
            say(client, "chat-silent")
        check(caught.value)
        with pytest.raises(EmptyAnswer, match="only thought, "):
            say(client, "chat-think-only")
        with pytest.raises(EmptyAnswer, match="ran out of room"):
            list(client.chat("chat-think", user("hi"), options={"num_predict": 3}, think=None))


def test_an_overlong_prompt_is_refused_not_cut(server: FakeOllama) -> None:
    with connected(server) as client, pytest.raises(PromptTooLong) as caught:
        list(client.chat("chat-s", user("word " * 5000), options={"num_ctx": 512}))
    check(caught.value)
    assert server.sent("/api/chat")[0].json["truncate"] is False


@pytest.mark.parametrize("name", ["gpt-oss:120b-cloud", "Kimi:CLOUD", "qwen-cloud"])
def test_cloud_names_are_refused_before_anything_is_sent(server: FakeOllama, name: str) -> None:
    with connected(server) as client:
        for ask in (
            lambda: say(client, name),
            lambda: client.embed(name, ["secret"]),
            lambda: client.load(name, {}),
            lambda: list(client.pull(name)),
        ):
            with pytest.raises(ModelRefused, match="leave") as caught:
                ask()
            check(caught.value)
    assert server.requests == []


def test_a_stub_of_a_remote_model_is_refused_by_what_the_server_says() -> None:
    models = [FakeModel("innocent", remote_host="https://elsewhere"), FakeModel("own")]
    with FakeOllama(models, cloud=True) as server:
        with connected(server) as client:
            with pytest.raises(ModelRefused):
                say(client, "innocent")
            assert not server.sent("/api/chat")
            say(client, "own")
            say(client, "own")
            assert len(server.sent("/api/show")) == 2, "a model is looked at once"
        with OllamaClient(server.url, allow_remote=True) as client:
            assert say(client, "innocent")


def test_the_cloud_itself_is_refused() -> None:
    with pytest.raises(ModelRefused):
        OllamaClient("https://ollama.com:443")


def test_a_download_fails_with_a_reason() -> None:
    with FakeOllama([]) as server, connected(server) as client:
        with pytest.raises(ModelMissing, match="no-such") as caught:
            list(client.pull("no-such"))
        check(caught.value)
        server.offline = True
        with pytest.raises(ServerError, match="library") as offline:
            list(client.pull("some"))
        check(offline.value)
        server.offline = False
        server.script(Fault("/api/pull", after=3, then="end"), Fault("/api/pull", after=3, then="cut"))
        for says in ("before it was complete", "broke off"):
            with pytest.raises(StreamBroken, match=says):
                list(client.pull("some"))
        assert [step.done for step in client.pull("some")][-1]


def test_a_list_cut_in_its_chunks_breaks_off(server: FakeOllama) -> None:
    with connected(server) as client:
        server.script(Fault("/api/tags", then="cut"))
        with pytest.raises(StreamBroken, match="broke off") as caught:
            client.models()
        check(caught.value)
        assert client.models(), "the client works on after a failure"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"embeddings":[[1,0]]}', "1 vectors for 2"),
        (b'{"embeddings":null}', "no vectors for 2"),
        (b"{}", "no vectors"),
        (b'{"embeddings":[[1,0],[]]}', "empty"),
        (b'{"embeddings":[[1,0],[NaN,1]]}', "no numbers"),
        (b'{"embeddings":[[1,0],[1e400,1]]}', "no numbers"),
        (b'{"embeddings":[[1,0],[1e39,1]]}', "no numbers"),
        (b'{"embeddings":[[1,0],["a","b"]]}', "not made of numbers"),
        (b'{"embeddings":[[1,0],[1,0,0]]}', "different lengths"),
        (b'{"embeddings":[[1,0],[[1],[0]]]}', "empty"),
        (b'{"embeddings":[1,2]}', "empty"),
    ],
)
def test_wrong_vectors_are_refused(server: FakeOllama, body: bytes, says: str) -> None:
    server.script(Fault("/api/embed", body=body))
    with connected(server) as client, pytest.raises(ServerError, match=says) as caught:
        client.embed("embed-s", ["a", "b"])
    check(caught.value)


def test_the_text_that_is_too_long_is_found_and_named(server: FakeOllama) -> None:
    texts = [f"text {i}" for i in range(40)]
    texts[37] = "Here begins the tale " + "word " * 5000
    with connected(server) as client:
        with pytest.raises(PromptTooLong, match="Here begins the tale") as caught:
            client.embed("embed-s", texts)
        assert "passage_characters" in caught.value.hint
        sizes = [len(record.json["input"]) for record in server.sent("/api/embed")]
        assert sizes[:2] == [32, 8] and len(sizes) <= 2 + 2 * 3


def test_a_passing_refusal_of_a_batch_is_got_around(server: FakeOllama) -> None:
    server.script(Fault("/api/embed", status=400, text="some runner hiccup"))
    with connected(server) as client:
        assert client.embed("embed-s", ["a", "b", "c"]).shape == (3, 256)
    assert [len(record.json["input"]) for record in server.sent("/api/embed")] == [3, 1, 2]


def test_a_closed_client_says_so(server: FakeOllama) -> None:
    with connected(server) as client:
        client.version()
    client.close()
    for ask in (client.version, lambda: say(client), lambda: client.embed("embed-s", ["x"])):
        with pytest.raises(ModelError, match="closed"):
            ask()


def test_closing_the_client_ends_what_runs() -> None:
    with FakeOllama(["chat-ramble"], delay=0.05) as server:
        client = OllamaClient(server.url)
        chunks = client.chat("chat-ramble", user("[1] A b c.\n\nQuestion: A b?"), options={})
        next(chunk for chunk in chunks if chunk.text)
        client.close()
        with pytest.raises(ModelError):
            list(chunks)
        assert server.wait_for(lambda: server.open_connections == 0, 60)
