"""What the configured names mean, and that nothing is replaced silently."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest

from rag.config import Config
from rag.errors import ConfigError, EmbedderMismatch, ModelMissing, ModelRefused, ServerNotRunning, WrongModelKind
from rag.models.choose import choose_embedder, choose_llm, open_client, server_facts
from rag.models.embed import BuiltinEmbedding
from rag.models.ollama import OllamaEmbedding, OllamaLLM
from tests.fake_ollama import FakeModel, FakeOllama, Fault

GB = 1_000_000_000
DOWN = Config(ollama_host="127.0.0.1:9")


@pytest.fixture
def server() -> Iterator[FakeOllama]:
    models = [
        FakeModel("chat-small", size=GB // 10),
        FakeModel("chat-large", size=GB // 5),
        FakeModel("chat-huge", size=100_000 * GB),
        FakeModel("gpt:cloud", size=300, remote_host="https://elsewhere"),
        FakeModel("embed-s"),
    ]
    with FakeOllama(models) as running:
        yield running


def config(server: FakeOllama, **settings: Any) -> Config:
    return Config(ollama_host=server.url, **settings)


def chosen_llm(settings: Config) -> tuple[str, str]:
    """The name and the reason; closes the model."""
    llm, choice = choose_llm(settings)
    if llm is not None:
        assert isinstance(llm, OllamaLLM) and choice.name == f"ollama:{llm.model_name}"
        llm.close()
    else:
        assert choice.name == "quotes"
    return choice.name, choice.reason


def chosen_embedder(settings: Config, recorded: str | None = None) -> tuple[str, str]:
    """The name and the reason; closes the model."""
    model, choice = choose_embedder(settings, recorded)
    if isinstance(model, OllamaEmbedding):
        model.close()
    else:
        assert isinstance(model, BuiltinEmbedding)
    return choice.name, choice.reason


def test_quotes_and_builtin_need_no_server(server: FakeOllama) -> None:
    assert chosen_llm(config(server, llm="quotes"))[0] == "quotes"
    assert chosen_embedder(config(server, embedder="builtin"))[0] == "builtin"
    assert chosen_embedder(config(server), "builtin")[0] == "builtin"
    assert server.requests == [] and server.accepted_connections == 0


def test_nor_do_they_import_the_http_library() -> None:
    code = (
        "import sys; from rag.config import Config; from rag.models.choose import *;"
        "choose_llm(Config(llm='quotes')); choose_llm(Config(ollama_host='127.0.0.1:9'));"
        "server_facts(Config(ollama_host='127.0.0.1:9'));"
        "import json; print(json.dumps([name for name in ('httpx', 'llama_index', 'numpy') if name in sys.modules]))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout) == []


def test_auto_without_a_server_quotes_and_says_why() -> None:
    name, reason = chosen_llm(DOWN)
    assert name == "quotes" and "not running" in reason and "ollama serve" in reason
    assert "--llm quotes" not in reason, "that is what it does already"
    name, reason = chosen_embedder(DOWN)
    assert name == "builtin" and "not running" in reason


def test_auto_takes_a_favourite_first(server: FakeOllama) -> None:
    server.models["gemma3:4b"] = FakeModel("gemma3:4b", size=GB // 50).completed()
    server.models["qwen3:8b"] = FakeModel("Qwen3:8b", size=GB // 20).completed()
    assert chosen_llm(config(server))[0] == "ollama:Qwen3:8b"


def test_auto_takes_else_the_largest_that_fits(server: FakeOllama) -> None:
    assert chosen_llm(config(server)) == ("ollama:chat-large", "Answers with the model chat-large of Ollama.")


def test_a_small_window_makes_the_longest_answer_shorter_and_says_so(server: FakeOllama) -> None:
    for settings in (
        config(server, llm="ollama:chat-large", num_ctx=600),
        Config(llm="openai:m@http://127.0.0.1:9/v1", num_ctx=600),
    ):
        llm, choice = choose_llm(settings)
        assert llm is not None and llm.metadata.num_output == 300
        assert "at most 300 tokens instead of num_predict = 1024" in choice.reason and "num_ctx = 600" in choice.reason
        if isinstance(llm, OllamaLLM):
            llm.close()
    assert "at most" not in chosen_llm(config(server, llm="ollama:chat-large"))[1]


def test_auto_never_takes_a_remote_or_an_embedding_model() -> None:
    models = [FakeModel("big:cloud"), FakeModel("stub", remote_host="https://elsewhere"), FakeModel("embed-s")]
    with FakeOllama(models) as server:
        name, reason = chosen_llm(config(server))
        assert name == "quotes" and "no chat model" in reason and "ollama pull" in reason


def test_auto_understands_a_server_that_lists_no_capabilities() -> None:
    models = [
        FakeModel("chat-s", old_server=True),
        FakeModel("nomic-embed-text", old_server=True),
        FakeModel("stub", old_server=True, remote_host="https://elsewhere", size=GB),
    ]
    with FakeOllama(models) as server:
        assert chosen_llm(config(server))[0] == "ollama:chat-s"
        assert chosen_embedder(config(server))[0] == "ollama:nomic-embed-text"


def test_auto_with_a_server_that_is_something_else(server: FakeOllama) -> None:
    for fault in (
        Fault("/api/tags", body=b"<html>"),
        Fault("/api/tags", status=500, text="boom"),
        Fault("/api/tags", raw=b"SSH-2.0\r\n"),
        Fault("/api/show", status=500, text="boom", times=2),
    ):
        server.script(fault)
        name, reason = chosen_llm(config(server))
        assert name == "quotes" and reason.startswith("Answers by quoting the documents: "), reason
    assert server.wait_for(lambda: server.open_connections == 0, 60), "the connection is given back"


def test_auto_takes_only_embedders_of_the_short_list(server: FakeOllama) -> None:
    name, reason = chosen_embedder(config(server))
    assert name == "builtin" and "short list" in reason
    server.models["nomic-embed-text:latest"] = FakeModel("nomic-embed-text").completed()
    assert chosen_embedder(config(server))[0] == "ollama:nomic-embed-text"


def test_a_model_by_name_is_used_or_refused(server: FakeOllama) -> None:
    assert chosen_llm(config(server, llm="ollama:chat-small"))[0] == "ollama:chat-small"
    assert chosen_embedder(config(server, embedder="ollama:embed-s"))[0] == "ollama:embed-s"
    for settings, kind in (
        (config(server, llm="ollama:gone"), ModelMissing),
        (config(server, llm="ollama:embed-s"), WrongModelKind),
        (config(server, llm="ollama:gpt:cloud"), ModelRefused),
        (DOWN.with_(llm="ollama:chat-small"), ServerNotRunning),
    ):
        with pytest.raises(kind):
            choose_llm(settings)
    for settings, kind in (
        (config(server, embedder="ollama:gone"), ModelMissing),
        (config(server, embedder="ollama:chat-small"), WrongModelKind),
        (DOWN.with_(embedder="ollama:embed-s"), ServerNotRunning),
    ):
        with pytest.raises(kind):
            choose_embedder(settings)
    assert server.wait_for(lambda: server.open_connections == 0, 60)


def test_a_recorded_embedder_is_opened_again(server: FakeOllama) -> None:
    assert chosen_embedder(config(server), "ollama:embed-s")[0] == "ollama:embed-s"
    assert chosen_embedder(config(server, embedder="ollama:EMBED-S:latest"), "ollama:embed-s")[0] == "ollama:embed-s"
    with pytest.raises(ServerNotRunning):
        choose_embedder(DOWN, "ollama:embed-s")
    for settings, recorded in (("builtin", "ollama:embed-s"), ("ollama:embed-s", "builtin"), ("ollama:a", "ollama:b")):
        with pytest.raises(EmbedderMismatch) as caught:
            choose_embedder(config(server, embedder=settings), recorded)
        assert "rag reindex" in caught.value.hint
    with pytest.raises(EmbedderMismatch, match="given to this program"):
        choose_embedder(config(server), "OpenAIEmbedding/x")


def test_prefixes_can_be_configured(server: FakeOllama) -> None:
    server.models["nomic-embed-text:latest"] = FakeModel("nomic-embed-text").completed()
    for settings, query, document in (
        ({}, "search_query: ", "search_document: "),
        ({"query_prefix": "ask:", "document_prefix": "none"}, "ask: ", ""),
    ):
        model, _ = choose_embedder(config(server, embedder="ollama:nomic-embed-text", **settings))
        assert isinstance(model, OllamaEmbedding)
        assert (model.query_prefix, model.document_prefix) == (query, document)
        model.close()


def test_a_client_can_be_shared_and_stays_open(server: FakeOllama) -> None:
    with closing(open_client(config(server))) as client:
        llm, _ = choose_llm(config(server), client=client)
        choose_embedder(config(server), client=client)
        choose_embedder(config(server, embedder="ollama:embed-s"), client=client)
        with pytest.raises(ModelMissing):
            choose_llm(config(server, llm="ollama:gone"), client=client)
        assert llm is not None and llm.complete("hi").text == "You said: hi"


def test_the_facts_of_a_server(server: FakeOllama) -> None:
    llm, _ = choose_llm(config(server))
    assert isinstance(llm, OllamaLLM)
    llm.warm_up()
    facts = server_facts(config(server))
    llm.close()
    assert facts.reachable and facts.local and facts.base_url == server.url and facts.version == "0.33.0"
    assert len(facts.models) == 5 and [row.name for row in facts.running] == ["chat-large:latest"] and not facts.error


@pytest.mark.parametrize(
    ("host", "says"),
    [("127.0.0.1:9", "not running"), ("::bad::", "not valid"), ("https://ollama.com", "leave")],
)
def test_facts_never_raise(host: str, says: str) -> None:
    facts = server_facts(Config(ollama_host=host))
    assert not facts.reachable and says in facts.error and facts.hint


def test_a_bad_address_is_an_error_not_a_fallback() -> None:
    for choose in (choose_llm, choose_embedder):
        with pytest.raises(ConfigError):
            choose(Config(ollama_host="x:y"))


def test_a_port_that_accepts_and_says_nothing_does_not_hang() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        settings = Config(ollama_host=f"127.0.0.1:{listener.getsockname()[1]}", read_seconds=1)
        with ThreadPoolExecutor(1) as pool:
            assert "sent nothing for 1 s" in pool.submit(server_facts, settings).result(60).error


def test_auto_quotes_rather_than_take_a_model_too_small_to_help(server: FakeOllama) -> None:
    server.models.clear()
    small = FakeModel("smol:135m", parameters=134_515_008)
    server.models["smol:135m"] = small.completed()
    name, reason = chosen_llm(config(server))
    assert name == "quotes" and "smol:135m" in reason and "0.13 billion" in reason and "rag models use" in reason
    assert chosen_llm(config(server, smallest_llm=0.1))[0] == "ollama:smol:135m"
    assert chosen_llm(config(server, llm="ollama:smol:135m"))[0] == "ollama:smol:135m", "by its name it is taken"
    server.models["mid:3b"] = FakeModel("mid:3b", size=1).completed()
    assert chosen_llm(config(server))[0] == "ollama:mid:3b"
