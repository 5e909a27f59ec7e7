"""No exception but those of this program comes out of the Ollama client, whatever happens on the wire."""

from __future__ import annotations

import inspect
import json
import ssl
from collections.abc import Callable, Iterator

import httpcore
import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rag import errors
from rag.errors import ModelError, RagError, ServerUnreachable, StreamBroken
from rag.models.client import OllamaClient
from rag.models.errors import WIRE_ERRORS, Call, from_exception, from_status, from_text
from tests.fake_ollama import FakeOllama, Fault
from tests.models.test_failures import NO_SUCH_PORT, check
from tests.models.wire import user


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


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "nonsense://x"])
def test_a_proxy_that_cannot_be_used_is_told(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(ServerUnreachable) as caught:
        OllamaClient("http://192.0.2.1:1")
    check(caught.value)


def test_certificates_that_are_not_there_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    with pytest.raises(ModelError) as caught:
        OllamaClient("https://192.0.2.1:1")
    check(caught.value)


@pytest.mark.parametrize("raised", [httpcore.ReadError("x"), httpcore.RemoteProtocolError("x")], ids=repr)
def test_nor_one_that_comes_within_a_body(raised: Exception) -> None:
    class Broken(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield b'{"message":{"role":"assistant","content":"a"},"done":false}\n'
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


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[FakeOllama, OllamaClient]]:
    with FakeOllama(["chat-s"]) as server, OllamaClient(server.url, allow_remote=True) as client:
        yield server, client


@given(data=st.binary(max_size=200) | st.binary(max_size=80).map(lambda b: b"HTTP/1.1 200 OK\r\n" + b))
@example(data=b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nnonsense")
@example(data=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
@example(data=b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}")
@example(data=b"HTTP/1.1 abc\r\n\r\n")
def test_whatever_bytes_come_only_our_errors_come_out(pair: tuple[FakeOllama, OllamaClient], data: bytes) -> None:
    server, client = pair
    server.script(Fault("/api/version", raw=data), Fault(raw=data))
    for ask in (client.version, lambda: list(client.chat("chat-s", user("x"), options={}))):
        try:
            ask()
        except ModelError as error:
            assert str(error)


@given(st.text())
def test_any_text_of_the_server_makes_a_clean_message(text: str) -> None:
    call = Call("http://127.0.0.1:1", "m")
    for error in (from_text(text, call), from_status(500, json.dumps({"error": text}).encode(), call)):
        assert str(error) == " ".join(str(error).split()) and str(error).isprintable() and len(str(error)) < 500


def test_every_model_error_has_a_code_of_its_own() -> None:
    kinds = [kind for kind in exceptions_of(errors) if issubclass(kind, ModelError)]
    assert len({kind.code for kind in kinds if issubclass(kind, RagError)}) == len(kinds)
