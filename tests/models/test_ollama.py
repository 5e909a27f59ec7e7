"""Ollama's models as LlamaIndex sees them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.llms import LLM, ChatMessage, MessageRole
from llama_index.core.schema import TextNode

from rag.config import Config
from rag.errors import ModelError, ModelMissing, ModelRefused, PromptTooLong, WrongModelKind
from rag.models.families import Prefixes
from rag.models.ollama import OllamaClient, OllamaEmbedding, OllamaLLM
from tests.fake_ollama import FakeModel, FakeOllama, Fault, Record
from tests.fake_ollama_model import embed

TALE = "[1] A b c.\n\nQuestion: A b?"
CONFIG = Config()


@pytest.fixture
def server() -> Iterator[FakeOllama]:
    models: list[str | FakeModel] = [
        "chat-s",
        "chat-think",
        FakeModel("chat-tiny", context_length=1024),
        FakeModel("gpt-oss:20b", capabilities=("completion", "thinking")),
        FakeModel("nomic-embed-text", dimension=32),
        FakeModel("embed-tiny", context_length=64, dimension=32),
        FakeModel("embed-minute", context_length=20, dimension=32),
        FakeModel("stub", remote_host="https://elsewhere"),
    ]
    with FakeOllama(models) as running:
        yield running


@pytest.fixture
def client(server: FakeOllama) -> Iterator[OllamaClient]:
    with OllamaClient(server.url) as made:
        yield made


def test_opening_checks_the_model(client: OllamaClient) -> None:
    for name, kind in (("gone", ModelMissing), ("stub", ModelRefused), ("a:cloud", ModelRefused)):
        with pytest.raises(kind):
            OllamaLLM.open(client, name, CONFIG)
        with pytest.raises(kind):
            OllamaEmbedding.open(client, name, CONFIG)
    with pytest.raises(WrongModelKind, match="cannot chat: it is for embedding") as chat:
        OllamaLLM.open(client, "nomic-embed-text", CONFIG)
    with pytest.raises(WrongModelKind, match="cannot embed"):
        OllamaEmbedding.open(client, "chat-s", CONFIG)
    assert chat.value.hint


def test_the_window_is_fixed_and_capped_by_the_trained_length(server: FakeOllama, client: OllamaClient) -> None:
    llm = OllamaLLM.open(client, "chat-s", CONFIG)
    assert isinstance(llm, LLM)
    assert (llm.metadata.context_window, llm.metadata.num_output) == (8192, 1024)
    assert llm.metadata.model_name == "chat-s" and llm.metadata.is_chat_model and len(llm.digest) == 64
    tiny = OllamaLLM.open(client, "chat-tiny", CONFIG)
    assert (tiny.metadata.context_window, tiny.metadata.num_output) == (1024, 256)
    tiny.complete("hi")
    options = server.sent("/api/chat")[-1].json["options"]
    assert options == {"num_ctx": 1024, "num_predict": 256, "temperature": 0.0, "seed": 0}


def test_warming_up_loads_what_the_questions_use(server: FakeOllama, client: OllamaClient) -> None:
    llm = OllamaLLM.open(client, "chat-s", CONFIG)
    llm.warm_up()
    llm.complete("hi")
    llm.chat([ChatMessage("hi")], num_predict=5, format={"type": "object"}, stop=["x"])
    assert [(load.num_ctx, load.shift) for load in server.loads] == [(8192, False)]
    sent = server.sent("/api/chat")[-1].json
    assert sent["options"]["num_predict"] == 5 and sent["options"]["stop"] == ["x"] and sent["format"]


def test_a_stream_gives_deltas_and_ends_with_the_counters(client: OllamaClient) -> None:
    llm = OllamaLLM.open(client, "chat-s", CONFIG)
    *parts, last = llm.stream_chat([ChatMessage("be brief", role=MessageRole.SYSTEM), ChatMessage("hi")])
    assert "".join(part.delta or "" for part in parts) == "You said: hi" == last.message.content
    assert last.message.role == MessageRole.ASSISTANT
    facts = last.additional_kwargs
    assert facts == last.raw and facts["done_reason"] == "stop"
    assert (
        facts["prompt_eval_count"] == facts["prompt_tokens"] > 5 and facts["eval_count"] == facts["completion_tokens"]
    )
    assert facts["total_ms"] > 0 and "load_ms" in facts
    assert not any("done_reason" in part.additional_kwargs for part in parts)
    whole = llm.chat([ChatMessage("hi")])
    assert whole.message.content == "You said: hi" and whole.additional_kwargs["eval_count"]


def test_completion_is_a_chat_of_one_message(server: FakeOllama, client: OllamaClient) -> None:
    llm = OllamaLLM.open(client, "chat-s", CONFIG)
    assert llm.complete("hi").text == "You said: hi"
    *parts, last = llm.stream_complete("hi")
    assert "".join(part.delta or "" for part in parts) == last.text == "You said: hi"
    assert server.sent("/api/chat")[0].json["messages"] == [{"role": "user", "content": "hi"}]


def test_roles_become_ollamas(server: FakeOllama, client: OllamaClient) -> None:
    roles = [MessageRole.DEVELOPER, MessageRole.USER, MessageRole.MODEL, MessageRole.TOOL, MessageRole.CHATBOT]
    OllamaLLM.open(client, "chat-s", CONFIG).chat([*(ChatMessage("x", role=role) for role in roles), ChatMessage("y")])
    sent = [message["role"] for message in server.sent("/api/chat")[0].json["messages"]]
    assert sent == ["system", "user", "assistant", "tool", "assistant", "user"]


@pytest.mark.parametrize(("name", "think"), [("chat-s", False), ("chat-think", False), ("gpt-oss:20b", "low")])
def test_thinking_is_off_or_as_low_as_it_goes(
    server: FakeOllama, client: OllamaClient, name: str, think: object
) -> None:
    llm = OllamaLLM.open(client, name, CONFIG)
    answers = list(llm.stream_chat([ChatMessage("hi")]))
    assert server.sent("/api/chat")[0].json["think"] == think
    assert answers[-1].message.content == "You said: hi"
    assert any(answer.additional_kwargs.get("thinking") for answer in answers) is (think == "low")


def test_the_async_methods_run_in_a_thread(client: OllamaClient) -> None:
    llm = OllamaLLM.open(client, "chat-s", CONFIG)

    async def everything() -> list[str]:
        said = [(await llm.achat([ChatMessage("hi")])).message.content or "", (await llm.acomplete("hi")).text]
        said.append("".join([part.delta or "" async for part in await llm.astream_chat([ChatMessage("hi")])]))
        said.append("".join([part.delta or "" async for part in await llm.astream_complete("hi")]))
        return said

    assert asyncio.run(everything()) == ["You said: hi"] * 4


def test_closing_a_stream_of_responses_ends_the_request() -> None:
    with FakeOllama(["chat-ramble"], delay=0.02) as server, OllamaClient(server.url) as client:
        llm = OllamaLLM.open(client, "chat-ramble", CONFIG)
        for start in (partial(llm.stream_chat, [ChatMessage(TALE)]), partial(llm.stream_complete, TALE)):
            responses = start()
            next(part for part in responses if part.delta)
            closed = time.monotonic()
            responses.close()
            record = server.sent("/api/chat")[-1]
            assert server.wait_for(partial(_has_left, record), 60)
            assert record.disconnected - closed < 1


def _has_left(record: Record) -> bool:
    return record.disconnected > 0


def test_an_embedding_model_puts_its_prefixes_and_gives_unit_vectors(server: FakeOllama, client: OllamaClient) -> None:
    model = OllamaEmbedding.open(client, "nomic-embed-text", CONFIG)
    assert isinstance(model, BaseEmbedding)
    assert (model.dimension, model.query_prefix, model.document_prefix) == (32, "search_query: ", "search_document: ")
    assert len(model.digest) == 64
    vectors = model.embed_array(["a cat", "  ", "a dog"])
    assert vectors.shape == (3, 32) and vectors.dtype == np.float32 and not vectors[1].any()
    assert np.allclose(vectors[0], embed("search_document: a cat", 32), atol=1e-6)
    assert server.sent("/api/embed")[-1].json["input"] == ["search_document: a cat", "search_document: a dog"]
    assert np.allclose(model.get_query_embedding("a cat"), embed("search_query: a cat", 32), atol=1e-6)
    assert np.allclose(model.get_text_embedding("a cat"), vectors[0])
    assert np.allclose(model.get_text_embedding_batch(["a dog"])[0], vectors[2])
    assert np.allclose(asyncio.run(model.aget_query_embedding("a cat")), model.get_query_embedding("a cat"))
    assert np.allclose(asyncio.run(model.aget_text_embedding_batch(["a dog"]))[0], vectors[2])
    assert np.allclose(model([TextNode(text="a dog")])[0].get_embedding(), vectors[2])
    sent = server.sent("/api/embed")[-1].json
    assert sent["options"] == {"num_ctx": 2048} and sent["keep_alive"] == "10m" and sent["truncate"] is False


def test_prefixes_can_be_given(client: OllamaClient) -> None:
    model = OllamaEmbedding.open(client, "nomic-embed-text", CONFIG, prefixes=Prefixes("q: ", ""))
    assert (model.query_prefix, model.document_prefix) == ("q: ", "")
    assert np.allclose(model.embed_array(["cat"])[0], embed("cat", 32), atol=1e-6)


def test_a_model_tells_how_much_it_takes(client: OllamaClient) -> None:
    assert OllamaEmbedding.open(client, "nomic-embed-text", CONFIG).max_tokens == 2048 - 16 - 9
    tiny = OllamaEmbedding.open(client, "embed-tiny", CONFIG)
    assert (tiny.max_tokens, tiny.max_characters) == (48, 96)
    assert tiny.embed_array(["x" * tiny.max_characters]).any()


def test_a_passage_over_the_limit_stands_as_the_mean_of_its_parts(server: FakeOllama, client: OllamaClient) -> None:
    tiny = OllamaEmbedding.open(client, "embed-tiny", CONFIG, prefixes=Prefixes("", "text: "))
    first, second = "Once upon a time " + "there was a word " * 10, "and another phrase " * 9
    vectors = tiny.embed_array(["short", first + second, "also short"])
    assert np.allclose(vectors[0], embed("text: short", 32), atol=1e-6)
    assert np.allclose(vectors[2], embed("text: also short", 32), atol=1e-6)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    accepted = [r.json["input"] for r in server.sent("/api/embed") if r.status == 200]
    parts = [text for texts in accepted for text in texts if "short" not in text]
    assert "".join(part.removeprefix("text: ") for part in parts) == first + second, "nothing is cut off"
    assert all(part.startswith("text: ") for part in parts) and len(server.sent("/api/embed")) < 20
    mean = sum(len(part) * embed(part, 32) for part in parts)
    assert np.allclose(vectors[1], mean / np.linalg.norm(mean), atol=0.1)
    # What no cut makes shorter is refused by name.
    minute = OllamaEmbedding.open(client, "embed-minute", CONFIG)
    with pytest.raises(PromptTooLong, match="a,b,c"):
        minute.embed_array(["a,b,c,d,e,f,g,h,i,j,k,l,m,n,o"])


def test_the_digest_is_the_servers_present_one(
    server: FakeOllama, client: OllamaClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = OllamaEmbedding.open(client, "nomic-embed-text", CONFIG)
    before, asked = model.digest, len(server.sent("/api/tags"))
    other = replace(server.models["nomic-embed-text:latest"], digest="f" * 64)
    server.models["nomic-embed-text:latest"] = other
    assert model.digest == before and len(server.sent("/api/tags")) == asked, "not asked every time"
    monkeypatch.setattr("rag.models.ollama._DIGEST_SECONDS", 0.0)
    assert model.digest == "f" * 64
    server.script(Fault("/api/tags", status=500, text="boom"))
    assert model.digest == "f" * 64, "the last one known"
    del server.models["nomic-embed-text:latest"]
    assert model.digest == "f" * 64


def test_a_question_that_is_too_long_is_cut(client: OllamaClient) -> None:
    tiny = OllamaEmbedding.open(client, "embed-tiny", CONFIG)
    question = "Which word was there? " + "there was a word " * 40
    assert np.allclose(tiny.get_query_embedding(question), embed(question[:48], 32), atol=1e-6)


def test_a_model_replaced_by_another_is_noticed(server: FakeOllama, client: OllamaClient) -> None:
    model = OllamaEmbedding.open(client, "nomic-embed-text", CONFIG)
    server.models["nomic-embed-text:latest"] = FakeModel("nomic-embed-text", dimension=16).completed()
    with pytest.raises(ModelError, match="16 dimensions instead of 32") as caught:
        model.embed_array(["x"])
    assert "reindex" in caught.value.hint


def test_an_unknown_dimension_is_measured() -> None:
    with FakeOllama([FakeModel("nomic-embed-text", dimension=24)]) as server, OllamaClient(server.url) as client:
        server.script(Fault("/api/show", body=b'{"model_info":{},"capabilities":["embedding"]}', times=2))
        server.script(Fault("/api/tags", body=b'{"models":[]}'))
        assert OllamaEmbedding.open(client, "nomic-embed-text", CONFIG).dimension == 24
