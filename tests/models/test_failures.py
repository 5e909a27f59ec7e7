"""Every way in which a model can fail, driven on the wire: one typed error that says what to do."""

from __future__ import annotations

import inspect
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import httpcore
import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rag import errors
from rag.errors import (
    EmptyAnswer,
    ModelError,
    ModelMissing,
    ModelOutOfMemory,
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
from rag.models.ollama_client import OllamaClient
from rag.models.ollama_errors import WIRE_ERRORS, Call, from_exception, from_status, from_text
from tests.fake_ollama import FakeModel, FakeOllama, Fault
from tests.fake_ollama_rules import nested_overflow
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


STREAM_FAULTS = [
    pytest.param(Fault(raw=b""), StreamBroken, "broke off", id="closed without an answer"),
    pytest.param(Fault(after=2, then="cut"), StreamBroken, "broke off", id="cut stream"),
    pytest.param(Fault(after=2, then="end"), StreamBroken, "without its last line", id="stream without done"),
    pytest.param(Fault(after=0, then="end"), StreamBroken, "without its last line", id="empty stream"),
    pytest.param(
        Fault(after=2, line=b'{"error":"llama runner process has terminated: exit status 2"}', then="end"),
        ServerError, "has terminated", id="error line in mid-stream",
    ),
    pytest.param(
        Fault(after=1, line=b'{"error":"CUDA error: out of memory"}', then="end"),
        ModelOutOfMemory, "memory", id="out of memory in mid-stream",
    ),
    pytest.param(Fault(after=1, line=b"<html>bad gateway</html>"), StreamBroken, "bad gateway", id="garbage line"),
    pytest.param(Fault(after=1, line=b"\xff\xfe\x00"), StreamBroken, "no answer", id="bytes that are no text"),
    pytest.param(Fault(after=1, line=b"[1,2]"), StreamBroken, "a list", id="a list for an object"),
    pytest.param(Fault(after=1, line=b'{"done":false}'), StreamBroken, "message", id="a line without a message"),
    pytest.param(
        Fault(after=1, line=b'{"message":{"content":7}}'), StreamBroken, "not text", id="a number for a text"
    ),
    pytest.param(Fault(after=1, line=b"[" * 100_000), StreamBroken, "no answer", id="a bomb of brackets"),
    pytest.param(
        Fault(status=500, text="model requires more system memory (9.1 GiB) than is available (3.2 GiB)"),
        ModelOutOfMemory, "9.1 GiB", id="out of memory",
    ),
    pytest.param(
        Fault(status=500, text="timed out waiting for llama runner to start"), ModelTimeout, "load", id="slow load"
    ),
    pytest.param(Fault(status=500, text="something new"), ServerError, "something new", id="unknown failure"),
    pytest.param(
        Fault(status=400, text=nested_overflow(9000, 4096)), PromptTooLong, "9000 tokens", id="runner's overflow"
    ),
    pytest.param(Fault(status=404, text="404 page not found", plain=True), ServerError, "like Ollama", id="no Ollama"),
    pytest.param(Fault(status=403, text="", plain=True), ServerUnreachable, "refuses", id="foreign host"),
    pytest.param(Fault(status=302, text="", plain=True), ServerError, "like Ollama", id="redirect"),
    pytest.param(Fault(status=504, text="gateway timeout", plain=True), ModelTimeout, "nothing", id="gateway timeout"),
    pytest.param(Fault(raw=b"SSH-2.0-OpenSSH_9\r\n"), StreamBroken, "broke off", id="no HTTP"),
    pytest.param(Fault(body=b""), StreamBroken, "last line", id="empty 200"),
]  # fmt: skip


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
        assert time.monotonic() - started < 5
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
        assert server.wait_for(lambda: server.open_connections == 0, 1)


def exceptions_of(module: object) -> list[type[Exception]]:
    return [kind for _, kind in inspect.getmembers(module, inspect.isclass) if issubclass(kind, Exception)]


def instance(kind: type[Exception]) -> Exception:
    if issubclass(kind, httpx.HTTPStatusError):
        return kind("x", request=httpx.Request("GET", "http://x"), response=httpx.Response(500))
    return (
        kind("x") if "message" in inspect.signature(kind).parameters or kind.__init__ is Exception.__init__ else kind()
    )


def test_the_map_knows_every_exception_of_the_http_library() -> None:
    for kind in exceptions_of(httpx):
        assert issubclass(kind, WIRE_ERRORS), f"{kind.__name__} would escape"
        check(from_exception(instance(kind), Call("http://127.0.0.1:1", "m")))


RAISED = [
    *(instance(kind) for kind in exceptions_of(httpx)),
    OSError(113, "No route to host"), ConnectionResetError(104, "reset"), TimeoutError("slow"), ssl.SSLError("bad"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), UnicodeEncodeError("ascii", "é", 0, 1, "bad"),
]  # fmt: skip


@pytest.mark.parametrize("raised", RAISED, ids=lambda error: type(error).__name__)
def test_no_exception_of_the_wire_escapes(raised: Exception) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise raised

    with OllamaClient(NO_SUCH_PORT, transport=httpx.MockTransport(handler), allow_remote=True) as client:
        for ask in _all_calls(client):
            with pytest.raises(ModelError) as caught:
                ask()
            check(caught.value)


@pytest.mark.parametrize("raised", [httpcore.ReadError("x"), httpcore.RemoteProtocolError("x")], ids=repr)
def test_nor_one_that_comes_within_a_body(raised: Exception) -> None:
    class Broken(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield b'{"message":{"content":"a"},"done":false}\n'
            raise httpx.ReadError("x") from raised

    transport = httpx.MockTransport(lambda request: httpx.Response(200, stream=Broken()))
    with OllamaClient(NO_SUCH_PORT, transport=transport, allow_remote=True) as client:
        for ask in _all_calls(client):
            with pytest.raises(StreamBroken):
                ask()


def _all_calls(client: OllamaClient) -> list[Callable[[], object]]:
    return [
        client.version,
        client.models,
        client.running,
        lambda: client.show("m"),
        lambda: client.load("m", {}),
        lambda: client.embed("m", ["x"]),
        lambda: list(client.chat("m", user("x"), options={})),
        lambda: list(client.pull("m")),
    ]


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["message", "content", "error", "done", "models", "embeddings", "status"]), inner
        )
    ),
    max_leaves=8,
)
BODIES = st.binary(max_size=60) | st.lists(JSON_VALUES, max_size=3).map(
    lambda values: b"\n".join(json.dumps(value).encode() for value in values)
)


@given(status=st.sampled_from([200, 200, 200, 204, 301, 400, 404, 418, 500, 599]), body=BODIES)
@example(status=200, body=b'{"embeddings":[[1e999999]]}')
@example(status=200, body=b'{"models":[{"name":5,"details":[]}]}')
@example(status=500, body=b'{"error":{"message":{"a":1}}}')
@example(status=500, body=b'{"error":"{\\"error\\":[1]}"}')
def test_whatever_a_server_answers_only_our_errors_come_out(status: int, body: bytes) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(status, content=body))
    with OllamaClient(NO_SUCH_PORT, transport=transport, allow_remote=True) as client:
        for ask in _all_calls(client):
            try:
                ask()
            except ModelError as error:
                assert str(error)


@given(data=st.binary(max_size=200) | st.binary(max_size=80).map(lambda b: b"HTTP/1.1 200 OK\r\n" + b))
@example(data=b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nnonsense")
@example(data=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
@example(data=b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}")
@example(data=b"HTTP/1.1 abc\r\n\r\n")
def test_whatever_bytes_come_only_our_errors_come_out(data: bytes) -> None:
    server, client = SHARED.pair()
    server.script(Fault("/api/version", raw=data), Fault(raw=data))
    for ask in (client.version, lambda: list(client.chat("chat-s", user("x"), options={}))):
        try:
            ask()
        except ModelError as error:
            assert str(error)


class Shared:
    """One server for all examples of a property."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pair: tuple[FakeOllama, OllamaClient] | None = None

    def pair(self) -> tuple[FakeOllama, OllamaClient]:
        with self._lock:
            if self._pair is None:
                server = FakeOllama(["chat-s"]).__enter__()
                self._pair = server, OllamaClient(server.url, allow_remote=True)
            return self._pair

    def close(self) -> None:
        if self._pair is not None:
            self._pair[1].close()
            self._pair[0].close()


SHARED = Shared()


@pytest.fixture(scope="module", autouse=True)
def _end() -> Iterator[None]:
    yield
    SHARED.close()


@given(st.text())
def test_any_text_of_the_server_makes_a_clean_message(text: str) -> None:
    call = Call("http://127.0.0.1:1", "m")
    for error in (from_text(text, call), from_status(500, json.dumps({"error": text}).encode(), call)):
        assert str(error) == " ".join(str(error).split()) and str(error).isprintable() and len(str(error)) < 500


def test_every_model_error_has_a_code_of_its_own() -> None:
    kinds = [kind for kind in exceptions_of(errors) if issubclass(kind, ModelError)]
    assert len({kind.code for kind in kinds if issubclass(kind, RagError)}) == len(kinds)
