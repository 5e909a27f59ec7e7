"""Servers that speak OpenAI's protocol, over real HTTP: answers, counts, embeddings, failures as typed errors."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag import Library
from rag.config import Config
from rag.errors import (
    ConfigError,
    ModelError,
    ModelMissing,
    ModelRefused,
    ModelTimeout,
    PromptTooLong,
    ServerBusy,
    ServerError,
    ServerNotRunning,
    StreamBroken,
)
from rag.models.choose import choose_embedder, choose_llm, served_names
from rag.models.embed import describe_embedder, embed_documents
from rag.models.foreign import Served, served_models
from rag.types import Support

FACT = "The foghorn of the Skerry lighthouse sounds every 40 seconds in winter"
QUESTION = "How often does the foghorn of the Skerry lighthouse sound in winter?"
STATUSES = {"missing": 404, "locked": 401, "busy": 503, "long": 400, "broken": 500}


class OpenAI(BaseHTTPRequestHandler):
    """As much of the protocol as a chat and an embedding need; the model's name says what goes wrong."""

    sent: list[dict[str, Any]]

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's word
        """Silent."""

    def do_GET(self) -> None:
        """What it serves, under the right path only."""
        rows = [{"id": "org/one:q4", "object": "model"}, {"id": "two", "object": "model"}]
        if self.path == "/v1/models":
            self._send(200, "application/json", json.dumps({"object": "list", "data": rows}))
        else:
            self._send(404, "text/plain", "no")

    def do_POST(self) -> None:
        """A stream of pieces with the counts at its end, vectors, or an error."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.sent.append({**body, "key": self.headers["Authorization"]})  # type: ignore[attr-defined]
        status = STATUSES.get(body["model"], 200)
        if status != 200:
            text = "This model's maximum context length is 4096 tokens" if status == 400 else "no"
            self._send(status, "application/json", json.dumps({"error": {"message": text}}))
        elif self.path.endswith("/embeddings"):
            rows = [
                {"index": i, "embedding": [1.0, float(len(text))], "object": "embedding"}
                for i, text in enumerate(body["input"])
            ]
            usage = {"prompt_tokens": 1, "total_tokens": 1}
            reply = {"object": "list", "model": "m", "data": rows, "usage": usage}
            self._send(200, "application/json", json.dumps(reply))
        elif body["model"] == "nothing":  # what llama-cpp-python's server makes of a prompt that is too long
            self._send(200, "text/event-stream", "")
        else:
            self._send(200, "text/event-stream", "".join(f"data: {row}\n\n" for row in self._rows(body["model"])))

    def _rows(self, model: str) -> Iterator[str]:
        base = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": model}
        for piece in (f"{FACT} ", "[1]", "."):
            yield json.dumps({**base, "choices": [{"index": 0, "delta": {"role": "assistant", "content": piece}}]})
        stop = "length" if model == "cut" else "stop"
        yield json.dumps({**base, "choices": [{"index": 0, "delta": {}, "finish_reason": stop}]})
        usage = {"prompt_tokens": 321, "completion_tokens": 12, "total_tokens": 333}
        yield json.dumps({**base, "choices": [], "usage": usage})
        yield "[DONE]"

    def _send(self, status: int, kind: str, body: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    running = ThreadingHTTPServer(("127.0.0.1", 0), OpenAI)
    running.sent = []  # type: ignore[attr-defined]
    threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
    yield running
    running.shutdown()
    running.server_close()


def url(server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}/v1"


def library(tmp_path: Path, llm: str) -> Library:
    (tmp_path / "note.txt").write_text(f"{FACT}. Its keeper is Mrs Dahl.\n", "utf-8")
    opened = Library.open(tmp_path / "library", llm=llm, embedder="builtin", encoder="off", abstain_below=0.0)
    opened.ingest([tmp_path / "note.txt"])
    return opened


def test_an_answer_is_cited_counted_and_carries_the_models_name(
    tmp_path: Path, server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sesame")
    with library(tmp_path, f"openai:some/model@{url(server)}") as opened:
        answer = opened.ask(QUESTION)
        assert answer.text == f"{FACT} [1]." and answer.model == f"openai:some/model@{url(server)}"
        assert [s.support for s in answer.sentences] == [Support.QUOTED]
        assert answer.tokens["prompt"] == 321 and answer.tokens["answer"] == 12
        (sent,) = server.sent  # type: ignore[attr-defined]
        assert sent["key"] == "Bearer sesame" and sent["model"] == "some/model" and sent["temperature"] == 0


def test_an_answer_at_its_limit_is_told(tmp_path: Path, server: ThreadingHTTPServer) -> None:
    with library(tmp_path, f"openai:cut@{url(server)}") as opened:
        assert any("num_predict" in notice for notice in opened.ask(QUESTION).notices)


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("missing", ModelMissing), ("locked", ModelRefused), ("busy", ServerBusy), ("long", PromptTooLong),
        ("broken", ServerError), ("nothing", StreamBroken),
    ],
)  # fmt: skip
def test_a_failure_is_a_typed_error(
    tmp_path: Path, server: ThreadingHTTPServer, model: str, kind: type[ModelError]
) -> None:
    with library(tmp_path, f"openai:{model}@{url(server)}") as opened:
        with pytest.raises(ModelError) as caught:
            opened.ask(QUESTION)
        assert type(caught.value) is kind and caught.value.hint, caught.value.explain()


def test_nothing_listens_or_nothing_comes(tmp_path: Path) -> None:
    with library(tmp_path, "openai:m@http://127.0.0.1:9/v1") as opened, pytest.raises(ServerNotRunning):
        opened.ask(QUESTION)
    silent = ThreadingHTTPServer(("127.0.0.1", 0), OpenAI)
    try:
        opened = Library.open(
            tmp_path / "library", llm=f"openai:m@{url(silent)}", encoder="off", read_seconds=1.0, abstain_below=0.0
        )
        with opened, pytest.raises(ModelTimeout):
            opened.ask(QUESTION)
    finally:
        silent.server_close()


def test_embeddings_are_found_again_by_their_name(server: ThreadingHTTPServer) -> None:
    name = f"openai:embed@{url(server)}"
    model, choice = choose_embedder(Config(embedder=name))
    vectors = embed_documents(model, ["a", "bbb"])
    assert vectors.shape == (2, 2) and np.allclose(np.linalg.norm(vectors, axis=1), 1)
    assert choice.name == name == describe_embedder(model).name
    again, _ = choose_embedder(Config(), recorded=name)
    assert describe_embedder(again) == describe_embedder(model)


def test_another_machine_is_refused_before_anything_is_sent() -> None:
    name = "openai:m@http://192.0.2.1:8000/v1"
    for ask in (lambda c: choose_llm(c.with_(llm=name)), lambda c: choose_embedder(c.with_(embedder=name))):
        with pytest.raises(ModelRefused, match="leave") as caught:
            ask(Config())
        assert "allow_remote" in caught.value.hint
        assert ask(Config(allow_remote=True))[0] is not None


def test_the_models_of_a_server_are_names_to_choose_from(server: ThreadingHTTPServer) -> None:
    here = url(server)
    both = (f"openai:org/one:q4@{here}", f"openai:two@{here}")
    assert served_models(here, Config()) == served_models(f"{here}/", Config()) == both
    assert served_names(Config(llm="quotes"), both[1]) == both
    assert served_names(Config(llm=f"openai:gone@{here}")) == (*both, f"openai:gone@{here}")
    down = "openai:m@http://127.0.0.1:9/v1"
    assert served_names(Config(llm=down)) == (down,) and served_names(Config()) == ()
    assert Served.parse(both[0]).model == "org/one:q4"
    with pytest.raises(ServerError, match="does not tell its models"):
        served_models(here.removesuffix("/v1"), Config())
    with pytest.raises(ModelRefused):
        served_models("http://192.0.2.1:8000/v1", Config())


@pytest.mark.parametrize("name", ["openai:", "openai:m", "openai:@http://h/v1", "openai:m@ftp://h", "openai:m@http://"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(ConfigError):
        Served.parse(name)
    with pytest.raises(ConfigError):
        Config(llm=name)


def test_a_name_may_hold_slashes_and_colons() -> None:
    assert Served.parse("openai:org/m:q4@x@http://127.0.0.1:1/v1/") == Served("org/m:q4@x", "http://127.0.0.1:1/v1")
