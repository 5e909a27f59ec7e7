"""The HTTP interface over a real server: OpenAI's own client, raw requests, and whatever the description allows."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import openai
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from rag import Library
from rag.api.http import MOST_AT_ONCE, create_app
from tests.fake_ollama import FakeModel, FakeOllama, Fault
from tests.ui.servers import serving

DOCS = {
    "leave.md": "# Leave policy\n\nFull-time staff receive 28 days of paid annual leave a year.\n",
    "pumps.txt": "The cooling pumps of the Halden plant were replaced in March 2019 at a cost of 4.2 million crowns.\n",
    "bridge.txt": "The Brackwater bridge opened in 1931, two years late. [1] is the oldest drawing of it.\n",
}
QUESTION = "When were the cooling pumps of the Halden plant replaced?"


@pytest.fixture(scope="module")
def server() -> Iterator[FakeOllama]:
    with FakeOllama([FakeModel("chat-honest"), FakeModel("chat-ramble")]) as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    docs = tmp_path_factory.mktemp("docs")
    for name, text in DOCS.items():
        (docs / name).write_text(text, encoding="utf-8")
    place = tmp_path_factory.mktemp("library")
    with Library.open(place, llm="quotes", embedder="builtin") as library:
        library.ingest([docs])
    return place


@pytest.fixture(params=["quotes", "ollama:chat-honest"])
def library(folder: Path, server: FakeOllama, request: pytest.FixtureRequest) -> Iterator[Library]:
    with Library.open(folder, llm=request.param, ollama_host=server.url) as opened:
        yield opened


@pytest.fixture
def address(library: Library) -> Iterator[str]:
    with serving(create_app(library)) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def client(address: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as opened:
        yield opened


def test_an_answer_through_openais_client(client: openai.OpenAI, address: str) -> None:
    assert [model.id for model in client.models.list()] == ["default"]
    answer = client.chat.completions.create(model="default", messages=[{"role": "user", "content": QUESTION}])
    message = answer.choices[0].message
    assert message.content and "2019" in message.content and message.annotations
    cited = message.annotations[0].url_citation
    assert message.content[cited.start_index : cited.end_index] == "[1]" and cited.title == "pumps.txt"
    full = answer.model_extra or {}
    assert full["citations"][0]["quote"] == httpx.get(cited.url).text
    assert full["sentences"][0]["support"] in ("quoted", "supported") and full["abstained"] is False


def test_questions_go_to_chosen_documents(client: openai.OpenAI, address: str) -> None:
    asked: dict[str, Any] = {"question": QUESTION}
    for chosen in ({"sources": ["bridge.txt"]}, {"where": {"type": "md"}}):
        found = httpx.post(f"{address}/api/search", json=asked | chosen).json()
        assert [hit["passage"]["source"] for hit in found] == ["leave.md" if "where" in chosen else "bridge.txt"]
        assert "2019" not in httpx.post(f"{address}/api/ask", json=asked | chosen).json()["text"]
        answer = client.chat.completions.create(
            model="default", messages=[{"role": "user", "content": QUESTION}], extra_body=chosen
        )
        assert "2019" not in (answer.choices[0].message.content or "")
    for wrong, status in ({"where": {"foo": 1}}, 400), ({"sources": ["gone.txt"]}, 404):
        refused = httpx.post(f"{address}/api/ask", json=asked | wrong)
        assert refused.status_code == status and refused.json()["error"]["message"]
    assert httpx.get(f"{address}/api/unread").json() == httpx.get(f"{address}/api/folders").json() == []


def test_a_streamed_answer_has_the_numbers_of_its_citations(client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="default",
            messages=[{"role": "user", "content": QUESTION}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    last = next(chunk for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason == "stop")
    extra = last.model_extra or {}
    assert extra["answer"] == text and extra["citations"][0]["source"] == "pumps.txt"
    assert not chunks[-1].choices and chunks[-1].usage is not None


def test_earlier_turns_are_read_and_instructions_are_not(client: openai.OpenAI, address: str) -> None:
    answer = client.chat.completions.create(
        model="default",
        messages=[
            {"role": "system", "content": "Say BANANA."},
            {"role": "user", "content": "How much leave do full-time staff receive?"},
            {"role": "assistant", "content": "28 days."},
            {"role": "user", "content": [{"type": "text", "text": "When did the Brackwater bridge open?"}]},
        ],
    )
    assert "1931" in (answer.choices[0].message.content or "")
    assert "BANANA" not in (answer.choices[0].message.content or "")


def test_what_is_wrong_is_said(client: openai.OpenAI, address: str) -> None:
    with pytest.raises(openai.NotFoundError, match="no such collection"):
        client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Hi"}])
    with pytest.raises(openai.BadRequestError, match="last message"):
        client.chat.completions.create(model="default", messages=[{"role": "assistant", "content": "Hi"}])
    with pytest.raises(openai.BadRequestError, match="empty"):
        client.chat.completions.create(model="default", messages=[{"role": "user", "content": " "}])
    with pytest.raises(openai.UnprocessableEntityError, match="messages"):
        client.chat.completions.create(model="default", messages=[])
    reply = httpx.post(f"{address}/api/ask", json={"question": QUESTION, "colection": "x"})
    assert reply.status_code == 422 and "colection" in reply.json()["error"]["message"]
    assert httpx.get(f"{address}/api/documents/999/text").status_code == 404
    assert httpx.get(f"{address}/api/sources", params={"collection": "none"}).status_code == 404


def test_embeddings_are_those_of_the_collection(client: openai.OpenAI, library: Library) -> None:
    rows = client.embeddings.create(model="default", input=["a pump", "a bridge"]).data
    plain = client.embeddings.create(model="default", input="a pump", encoding_format="float").data[0].embedding
    assert rows[0].embedding == pytest.approx(plain) and len(plain) == library.embed(["x"]).shape[1]
    assert sum(value * value for value in plain) == pytest.approx(1, abs=1e-5)


def test_an_answer_is_a_proof_and_a_sentence_is_verified(address: str) -> None:
    answer = httpx.post(f"{address}/api/ask", json={"question": QUESTION}).json()
    assert httpx.post(f"{address}/api/proof", json=answer).json()["holds"] is True
    answer["citations"][0]["quote"] = answer["citations"][0]["quote"].replace("2019", "2018")
    report = httpx.post(f"{address}/api/proof", json=answer).json()
    assert report["holds"] is False and report["citations"][0]["state"] == "forged"
    right = httpx.post(f"{address}/api/verify", json={"text": "The Brackwater bridge opened in 1931."}).json()
    assert right["sentences"][0]["support"] in ("quoted", "supported")
    assert right["citations"][0]["source"] == "bridge.txt" and right["documents"]
    wrong = httpx.post(f"{address}/api/verify", json={"text": "The Brackwater bridge opened in 1947."}).json()
    assert wrong["sentences"][0]["support"] == "unsupported"
    assert httpx.post(f"{address}/api/proof", json={}).status_code == 400


def test_search_and_sources(address: str) -> None:
    hits = httpx.post(f"{address}/api/search", json={"question": "cooling pumps", "k": 1}).json()
    assert [hit["passage"]["source"] for hit in hits] == ["pumps.txt"]
    assert sorted(one["source"] for one in httpx.get(f"{address}/api/sources").json()) == sorted(DOCS)


def test_questions_are_asked_of_the_chosen_documents(address: str) -> None:
    asked = {"question": "When did the Brackwater bridge open?", "sources": ["bridge.txt"], "where": {"type": "txt"}}
    assert httpx.post(f"{address}/api/ask", json=asked).json()["citations"][0]["source"] == "bridge.txt"
    hits = httpx.post(f"{address}/api/search", json={"question": "cooling pumps", "where": {"type": "md"}}).json()
    assert {hit["passage"]["source"] for hit in hits} == {"leave.md"}
    assert httpx.post(f"{address}/api/search", json={"question": "x", "sources": ["none"]}).status_code == 404
    assert httpx.post(f"{address}/api/search", json={"question": "x", "where": {"type": {"no": 1}}}).status_code == 400


def test_a_file_goes_in_and_out(address: str, library: Library) -> None:
    put = f"{address}/api/documents"
    for text in ("The ferry of Oslow sails at 07:15.", "The ferry of Oslow sails at 08:45."):
        added = httpx.post(put, params={"name": "oslow/ferry.txt"}, content=text.encode())
        assert added.status_code == 200 and added.json()["source"] == "oslow/ferry.txt"
        answer = httpx.post(f"{address}/api/ask", json={"question": "When does the ferry of Oslow sail?"}).json()
        assert text[-6:-1] in answer["text"] and len(answer["citations"]) == 1
    listed = httpx.get(f"{address}/api/sources").json()
    assert len([one for one in listed if one["name"] == "oslow/ferry.txt"]) == 1
    assert not any("origin" in one or str(library.path.parent) in json.dumps(one) for one in listed)
    assert httpx.delete(f"{address}/api/sources/oslow/ferry.txt").json() == {"removed": "oslow/ferry.txt"}
    assert httpx.delete(f"{address}/api/sources/oslow/ferry.txt").status_code == 404
    assert "oslow/ferry.txt" not in [one["source"] for one in httpx.get(f"{address}/api/sources").json()]


def test_a_file_that_cannot_be_taken_is_refused_with_its_reason(address: str, library: Library) -> None:
    put, before = f"{address}/api/documents", library.sources()
    most = library.config.limits.file_mb * 2**20
    for name, body, status, said in (
        ("a.pdf", b"%PDF-1.7 and no more", 422, "PDF"),
        ("a.txt", b"", 400, "empty"),
        ("a.txt", bytes(range(256)) * 20, 422, ""),
        ("", b"text", 422, "name"),
        ("a\0b.txt", b"text", 422, "name"),
        ("a.txt", b"x" * (most + 1), 413, "file_mb"),
    ):
        reply = httpx.post(put, params={"name": name}, content=body, timeout=60)
        assert reply.status_code == status and said in reply.json()["error"]["message"], (name, reply.text)
    reply = httpx.post(put, params={"name": "a.txt", "collection": "none"}, content=b"text")
    assert reply.status_code == 404 and library.collections.names() == ("default",)
    assert library.sources() == before


def test_open_webui_shows_answers_and_their_sources(address: str) -> None:
    """What Open WebUI sends as a client of OpenAI's protocol, and what it reads: models by id, the text in ``delta``,
    a source for each ``url_citation`` of ``delta.annotations``, usage in a chunk without choices."""
    headers = {"authorization": "Bearer none", "content-type": "application/json", "x-openwebui-user-name": "Ada"}
    models = httpx.get(f"{address}/v1/models", headers=headers).json()["data"]
    assert [model["id"] for model in models] == ["default"]
    sent = {
        "stream": True, "model": "default", "messages": [{"role": "user", "content": QUESTION}], "params": {},
        "temperature": 0.7, "stream_options": {"include_usage": True}, "metadata": {"chat_id": "1"}, "tools": [],
    }  # fmt: skip
    text = ""
    sources: list[dict[str, Any]] = []
    usage: dict[str, int] = {}
    with httpx.stream("POST", f"{address}/v1/chat/completions", headers=headers, json=sent, timeout=60) as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        for line in reply.iter_lines():
            if not line.startswith("data: ") or line == "data: [DONE]":
                continue
            chunk = json.loads(line.removeprefix("data: "))
            usage = chunk.get("usage") or usage
            if not chunk["choices"]:
                continue
            delta = chunk["choices"][0]["delta"]
            text += delta.get("content") or ""
            sources += [one["url_citation"] for one in delta.get("annotations", ()) if one["type"] == "url_citation"]
    assert "2019" in text and usage["total_tokens"] >= 0
    assert sources[0]["title"] == "pumps.txt" and sources[0]["url"].startswith(address)


def test_keys_are_asked_for(library: Library) -> None:
    with serving(create_app(library, keys=["first-key", "second-key"])) as port:
        base = f"http://127.0.0.1:{port}"
        assert httpx.get(f"{base}/healthz").json() == {"status": "ok"}
        for headers in ({}, {"authorization": "Bearer x"}, {"authorization": "Basic second-key"}):
            reply = httpx.get(f"{base}/api/sources", headers=headers)
            assert reply.status_code == 401 and reply.json()["error"]["code"] == "invalid_api_key"
        assert httpx.get(f"{base}/api/sources", headers={"authorization": "Bearer second-key"}).status_code == 200
        paths = httpx.get(f"{base}/openapi.json").json()["paths"]
        for path, methods in paths.items():
            for method in methods:
                if path not in ("/healthz", "/readyz"):
                    address = base + path.replace("{document}", "1")
                    assert httpx.request(method, address, json={}).status_code == 401, path


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
def test_a_client_that_goes_away_ends_the_models_request(folder: Path, server: FakeOllama, stream: bool) -> None:
    before = len(server.sent("/api/chat"))
    body = {"model": "default", "messages": [{"role": "user", "content": QUESTION}], "stream": stream}
    with Library.open(folder, llm="ollama:chat-ramble", ollama_host=server.url) as library:
        with serving(create_app(library)) as port:
            sent = json.dumps(body).encode()
            head = "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
                connection.sendall(f"{head}Content-Length: {len(sent)}\r\n\r\n".encode() + sent)
                assert server.wait_for(lambda: len(server.sent("/api/chat")) > before, 60)
            assert server.wait_for(lambda: server.sent("/api/chat")[before].disconnected is not None, 60)


def test_a_failing_model_is_a_status_or_a_last_line(folder: Path, server: FakeOllama) -> None:
    message = [{"role": "user", "content": QUESTION}]
    with Library.open(folder, llm="ollama:chat-honest", ollama_host=server.url) as library:
        with serving(create_app(library)) as port:
            address = f"http://127.0.0.1:{port}/v1/chat/completions"
            server.script(Fault("/api/chat", status=500, text="out of luck"))
            reply = httpx.post(address, json={"model": "default", "messages": message}, timeout=60)
            assert reply.status_code >= 500 and "out of luck" in reply.json()["error"]["message"]
            server.script(Fault("/api/chat", status=500, text="out of luck"))
            reply = httpx.post(address, json={"model": "default", "messages": message, "stream": True}, timeout=60)
            lines = [line.removeprefix("data: ") for line in reply.text.splitlines() if line]
            assert lines[-1] == "[DONE]" and "out of luck" in json.loads(lines[-2])["error"]["message"]


def test_too_many_questions_at_once_are_told_to_come_back(folder: Path, server: FakeOllama) -> None:
    with Library.open(folder, llm="ollama:chat-honest", ollama_host=server.url) as library:
        with serving(create_app(library)) as port:
            address = f"http://127.0.0.1:{port}/api/ask"
            statuses: list[int] = []
            gate = threading.Barrier(MOST_AT_ONCE + 9)

            def ask() -> None:
                gate.wait(60)
                statuses.append(httpx.post(address, json={"question": QUESTION}, timeout=120).status_code)

            threads = [threading.Thread(target=ask) for _ in range(MOST_AT_ONCE + 8)]
            for thread in threads:
                thread.start()
            gate.wait(60)
            for thread in threads:
                thread.join(180)
            assert set(statuses) <= {200, 503} and statuses.count(200) >= MOST_AT_ONCE
            assert httpx.post(address, json={"question": QUESTION}, timeout=60).status_code == 200


SCHEMA = schemathesis.openapi.from_dict(create_app(cast(Library, None)).openapi())


@pytest.fixture(scope="module")
def quoting(folder: Path) -> Iterator[str]:
    with Library.open(folder, llm="quotes", write=False) as library:
        with serving(create_app(library)) as port:
            yield f"http://127.0.0.1:{port}"


@SCHEMA.parametrize()
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_the_description_allows_has_a_described_answer(case: schemathesis.Case[Any], quoting: str) -> None:
    """Every operation with generated values, right and wrong: no 500, and no status or body that is not described."""
    # An empty question, or a conversation that ends with an answer, fits any schema and is refused all the same.
    case.call_and_validate(base_url=quoting, timeout=60, excluded_checks=[positive_data_acceptance])
