"""What the fake server generates: windows, truncation, thinking, formats, counters, embeddings, and its modes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fake_ollama import FakeModel, FakeOllama, Fault
from tests.fake_ollama_model import INVENTION, MODES, REFUSAL, embed, read_sources, tokens
from tests.fake_ollama_rules import count, drop_oldest, render
from tests.models.wire import Seen, post, raw_exchange, raw_post, user

PROMPT = """<<<ab12 SOURCE 1: a.md, page 2>>>
The capital of Freedonia is Sylvania City. It rains there [3] often.
<<<ab12 END 1>>>

<<<ab12 SOURCE 2: b.md>>>
Nothing of interest. The mayor of Sylvania City is Rufus Firefly.
<<<ab12 END 2>>>

Question: What is the capital of Freedonia?"""
ANSWER = "The capital of Freedonia is Sylvania City."


@pytest.fixture(scope="module")
def server() -> Iterator[FakeOllama]:
    models: list[str | FakeModel] = [
        "chat-s",
        FakeModel("native", native=True),
        FakeModel("thinker", capabilities=("completion", "thinking")),
        FakeModel("gpt-oss", capabilities=("completion", "thinking")),
        FakeModel("small", context_length=512),
        FakeModel("embed-s", dimension=16),
        FakeModel("embed-32", dimension=32),
        *(f"m-{mode}" for mode in MODES),
    ]
    with FakeOllama(models) as running:
        yield running


def text_of(seen: Seen) -> str:
    return "".join(row["message"]["content"] for row in seen.rows)


def chat(server: FakeOllama, model: str, prompt: str = PROMPT, **body: object) -> Seen:
    return post(server, "/api/chat", **{"model": model, "messages": user(prompt), **body})


def test_the_lines_of_a_chat_have_the_fields_of_the_specification(server: FakeOllama) -> None:
    *rows, last = chat(server, "chat-s", options={"num_predict": 64}).rows
    for row in rows:
        assert set(row) == {"model", "created_at", "message", "done"} and row["done"] is False
        assert set(row["message"]) == {"role", "content"} and row["message"]["role"] == "assistant"
        assert row["created_at"].endswith("Z")
    assert last["message"] == {"role": "assistant", "content": ""}
    assert last["done"] is True and last["done_reason"] == "stop"
    assert last["eval_count"] == len(rows) + 1
    assert last["prompt_eval_count"] == count(render(user(PROMPT)))
    for name in ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration"):
        assert isinstance(last[name], int) and last[name] > 0


def test_the_honest_model_quotes_its_sources_with_markers(server: FakeOllama) -> None:
    assert text_of(chat(server, "chat-s")) == f"{ANSWER} [1]"
    joined = chat(server, "chat-s", stream=False).json
    assert joined["message"]["content"] == f"{ANSWER} [1]" and joined["done"] is True
    assert text_of(chat(server, "chat-s", PROMPT.replace("capital of Freedonia?", "weight of quarks?"))) == REFUSAL
    assert (
        text_of(chat(server, "chat-s", "[1] Cats purr a lot.\n\n[2] Dogs bark.\n\nDo dogs bark?")) == "Dogs bark. [2]"
    )


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("hallucinate", f"{ANSWER} [1] {INVENTION} [1]"),
        ("forget", ANSWER),
        ("cite9", f"{ANSWER} [9]"),
        ("refuse", REFUSAL),
        ("silent", ""),
        ("think-only", ""),
        ("think", f"{ANSWER} [1]"),
    ],
)
def test_modes_go_by_the_end_of_the_name(server: FakeOllama, mode: str, expected: str) -> None:
    assert text_of(chat(server, f"m-{mode}")) == expected


def test_ramble_and_think_tags(server: FakeOllama) -> None:
    assert len(text_of(chat(server, "m-ramble"))) > 1000
    said = text_of(chat(server, "m-think-tags"))
    assert said.startswith("<think>") and said.endswith(f"</think>\n\n{ANSWER} [1]")


@pytest.mark.parametrize(
    ("model", "think", "thinks"),
    [
        ("thinker", None, True),
        ("thinker", False, False),
        ("thinker", "low", True),
        ("gpt-oss", False, True),
        ("chat-s", False, False),
        ("m-think", None, True),
    ],
)
def test_thinking_comes_first_in_its_own_field(server: FakeOllama, model: str, think: object, thinks: bool) -> None:
    rows = chat(server, model, think=think).rows
    thoughts = [row for row in rows if row["message"].get("thinking")]
    assert bool(thoughts) is thinks
    assert rows[: len(thoughts)] == thoughts and all(row["message"]["content"] == "" for row in thoughts)
    assert rows[-1]["eval_count"] == len(rows)
    assert text_of(chat(server, model, think=think)) == f"{ANSWER} [1]"


def test_a_bad_level_is_a_400(server: FakeOllama) -> None:
    assert chat(server, "thinker", think="hard").status == 400


def test_a_follow_up_is_rewritten(server: FakeOllama) -> None:
    system = {"role": "system", "content": "You rewrite the last question of a conversation."}
    history = "Conversation:\nUser: Who is mayor of Sylvania City?\nAssistant: Rufus.\n\nLast question: How big is it?"
    asked = [system, *user(f"{history}\n\nStand-alone question:")]
    assert text_of(chat(server, "chat-s", messages=asked)) == "How big is Sylvania City?"


def test_a_schema_gives_json(server: FakeOllama) -> None:
    judged = "<<<ab PASSAGE>>>\nCats purr at night.\n<<<ab END>>>\n\nSentence: {}"
    for sentence, verdict in (("Cats purr.", "supported"), ("Quarks weigh tons.", "unsupported")):
        said = text_of(chat(server, "chat-s", judged.format(sentence), format={"type": "object"}))
        assert json.loads(said) == {"verdict": verdict}
    schema = {"type": "object", "properties": {"n": {"type": "integer"}, "kind": {"enum": ["a", "b"]}}}
    assert json.loads(text_of(chat(server, "chat-s", "Hi", format=schema))) == {"n": 0, "kind": "a"}
    assert isinstance(json.loads(text_of(chat(server, "chat-s", "Hi", format="json"))), dict)


@pytest.mark.parametrize("stream", [True, False])
def test_the_odds_of_tokens_are_told_where_they_are_asked_for(server: FakeOllama, stream: bool) -> None:
    seen = chat(server, "chat-s", stream=stream, logprobs=True, top_logprobs=2)
    told = [one for row in (seen.rows if stream else [seen.json]) for one in row.get("logprobs", [])]
    assert told and all(set(one) == {"token", "logprob", "bytes", "top_logprobs"} for one in told)
    assert all(bytes(one["bytes"]).decode() == one["token"] and one["logprob"] < 0 for one in told)
    assert "logprobs" not in (chat(server, "chat-s", stream=False).json or {})


def test_num_predict_and_stop_end_an_answer(server: FakeOllama) -> None:
    rows = chat(server, "m-ramble", options={"num_predict": 5}).rows
    assert len(rows) == 6 and rows[-1]["done_reason"] == "length" and rows[-1]["eval_count"] == 5
    assert text_of(chat(server, "chat-s", options={"stop": [" is"]})) == "The capital of Freedonia"


def test_without_shift_the_window_ends_an_answer(server: FakeOllama) -> None:
    length = count(render(user(PROMPT)))
    options = {"num_ctx": length + 10}
    assert chat(server, "m-ramble", options=options, shift=False).rows[-1]["eval_count"] == 10
    assert chat(server, "m-ramble", options=options).rows[-1]["eval_count"] > 10


def test_stage_b_keeps_the_head_and_the_newest(server: FakeOllama) -> None:
    for num_ctx, left in ((64, 64 - (64 - 5) // 2), (512, 512 - (512 - 5) // 2)):
        last = chat(server, "chat-s", "word " * 3000, options={"num_ctx": num_ctx}).rows[-1]
        assert last["prompt_eval_count"] == left
    refused = chat(server, "chat-s", "word " * 3000, options={"num_ctx": 64}, shift=False)
    assert refused.status == 400
    assert refused.error.startswith("the prompt is longer than the context length currently available to the model; ")


@pytest.mark.parametrize(("model", "body"), [("native", {}), ("chat-s", {"truncate": False})])
def test_the_runner_refuses_with_json_in_a_string(server: FakeOllama, model: str, body: dict[str, Any]) -> None:
    refused = chat(server, model, "word " * 3000, options={"num_ctx": 64}, **body)
    inner = json.loads(refused.error)["error"]
    assert refused.status == 400 and inner["type"] == "exceed_context_size_error" and inner["n_ctx"] == 64
    assert refused.headers["Content-Type"] == "application/json", "refused by the runner, after the server's checks"


@given(
    st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), st.integers(1, 40)), min_size=1, max_size=8)
)
def test_stage_a_drops_whole_messages_and_keeps_systems_and_the_last(shape: list[tuple[str, int]]) -> None:
    messages = [{"role": role, "content": f"m{i} " + "w " * size} for i, (role, size) in enumerate(shape)]
    kept = drop_oldest(messages, 60)
    assert kept[-1] == messages[-1]
    assert [m for m in kept if m["role"] == "system"] == [m for m in messages if m["role"] == "system"]
    others = [m for m in messages if m["role"] != "system"]
    assert [m for m in kept if m["role"] != "system"] == others[
        len(others) - sum(m["role"] != "system" for m in kept) :
    ]
    if count(render(messages)) <= 60:
        assert kept == messages


@given(st.text())
def test_tokens_join_to_the_text(text: str) -> None:
    assert "".join(tokens(text)) == text


def test_the_window_is_clamped_to_the_trained_length() -> None:
    with FakeOllama([FakeModel("small", context_length=512)]) as server:
        chat(server, "small", options={"num_ctx": 8192})
        chat(server, "small", options={"num_ctx": 1})
        assert [load.num_ctx for load in server.loads] == [512, 4]


def test_generate_has_its_own_fields(server: FakeOllama) -> None:
    rows = post(server, "/api/generate", model="chat-s", prompt=PROMPT, system="Be brief.").rows
    assert "".join(row["response"] for row in rows) == f"{ANSWER} [1]"
    assert all("message" not in row for row in rows) and len(rows[-1]["context"]) == rows[-1]["prompt_eval_count"]
    assert "context" not in post(server, "/api/generate", model="chat-s", prompt="x", raw=True).rows[-1]
    assert post(server, "/api/generate", model="chat-s", prompt="x", raw=True, system="y").status == 400


def test_loose_sources_are_read() -> None:
    assert [s.number for s in read_sources("SOURCE 3: a\nCats.\n\n[7] b\nDogs.")] == [3, 7]


def test_embed_gives_unit_vectors_in_order_with_counters(server: FakeOllama) -> None:
    seen = post(server, "/api/embed", model="embed-s", input=["a cat", "a dog", ""], truncate=False).json
    vectors = np.array(seen["embeddings"])
    assert vectors.shape == (3, 16) and np.allclose(np.linalg.norm(vectors, axis=1), 1)
    assert np.allclose(vectors[0], embed("a cat", 16)) and seen["model"] == "embed-s"
    assert seen["prompt_eval_count"] == 4 + 4 + 2 and seen["total_duration"] > 0
    single = post(server, "/api/embed", model="embed-s", input="a cat").json
    assert np.allclose(single["embeddings"], vectors[:1])


@pytest.mark.parametrize("given_input", [{}, {"input": ""}, {"input": []}])
def test_embed_of_nothing_loads(server: FakeOllama, given_input: dict[str, Any]) -> None:
    assert post(server, "/api/embed", model="embed-s", **given_input).json == {"model": "embed-s", "embeddings": []}


def test_dimensions_cut_and_renormalise(server: FakeOllama) -> None:
    cut = np.array(post(server, "/api/embed", model="embed-32", input="cat", dimensions=8).json["embeddings"])
    assert cut.shape == (1, 8) and np.allclose(np.linalg.norm(cut), 1)
    assert (
        np.array(post(server, "/api/embed", model="embed-32", input="c", dimensions=99).json["embeddings"]).shape[1]
        == 32
    )


def test_embed_cuts_silently_unless_told_not_to(server: FakeOllama) -> None:
    long = "word " * 5000
    cut = post(server, "/api/embed", model="embed-s", input=["ok", long], options={"num_ctx": 64}).json
    assert cut["prompt_eval_count"] == 3 + 64
    refused = post(server, "/api/embed", model="embed-s", input=["ok", long], truncate=False)
    assert (refused.status, refused.error) == (400, "the input length exceeds the context length")


def test_legacy_embeddings_are_not_normalised(server: FakeOllama) -> None:
    vector = post(server, "/api/embeddings", model="embed-s", prompt="cat").json["embedding"]
    assert np.isclose(np.linalg.norm(vector), 3)


def test_similar_texts_have_similar_vectors() -> None:
    near = embed("the capital of Freedonia", 256) @ embed("capitals in Freedonia", 256)
    far = embed("the capital of Freedonia", 256) @ embed("purple quarks weigh tons", 256)
    assert near > 0.6 > 0.3 > far


def test_faults_happen_where_they_are_scripted(server: FakeOllama) -> None:
    server.script(Fault(after=2, line=b'{"error":"boom"}', then="end"))
    assert chat(server, "chat-s").rows[2:] == [{"error": "boom"}]
    server.script(Fault(status=500, text="no"), Fault(raw=b""))
    assert chat(server, "chat-s").error == "no"
    assert raw_exchange(server, raw_post("/api/chat", {})) == b""
    server.script(Fault(after=1, then="cut"))
    cut = raw_exchange(server, raw_post("/api/chat", {"model": "chat-s", "messages": user("hi")}))
    assert cut.endswith(b'40\r\n{"model":')
    assert chat(server, "chat-s").status == 200
