"""The second opinion by a model: only for sentences in doubt, after the stream, and harmless when it fails."""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from rag import Library
from rag.answer.writing.budget import Message
from rag.answer.writing.generate import Chunk
from rag.answer.writing.judge import General, Judge, Opinions, probability_of_yes, verdict_in
from rag.prompts import load_prompt
from rag.types import Answer, AnswerEvent, Citation, Done, Sentence, Support, Token
from tests.fake_ollama import FakeModel, FakeOllama, Fault

DOCS = {
    "leave.md": "# Leave policy\n\n## Annual leave\n\nFull-time staff receive 28 days of paid annual leave a year.\n",
    "pumps.txt": "The cooling pumps of the Halden plant were replaced in March 2019 at a cost of 4.2 million crowns.\n",
}
QUESTION = "What did the cooling pumps of the Halden plant cost?"
QUOTED = "The cooling pumps of the Halden plant were replaced in March 2019"
DOUBTFUL = "The Halden plant paid crowns for its new pumps"
WRONG = "The cooling pumps of the Halden plant were replaced in March 2018"


@pytest.fixture
def server() -> Iterator[FakeOllama]:
    with FakeOllama([FakeModel("chat")]) as running:
        yield running


def library(tmp_path: Path, server: FakeOllama, **settings: Any) -> Library:
    folder = tmp_path / "docs"
    folder.mkdir()
    for name, text in DOCS.items():
        (folder / name).write_text(text, encoding="utf-8")
    opened = Library.open(
        tmp_path / "library", llm="ollama:chat", embedder="builtin", ollama_host=server.url, **settings
    )
    opened.ingest([folder])
    return opened


def says(text: str) -> Fault:
    """The model's next reply, word for word."""
    rows = [
        {"message": {"role": "assistant", "content": text}, "done": False},
        {"message": {"role": "assistant", "content": ""}, "done": True},
    ]
    return Fault(line="".join(json.dumps(row) + "\n" for row in rows).encode(), then="end")


ANSWER = says(f"{QUOTED} [1]. {DOUBTFUL} [1]. {WRONG} [1].")


def asked(opened: Library) -> tuple[list[AnswerEvent], dict[str, Sentence]]:
    events = list(opened.stream(QUESTION))
    answer = answer_of(events)
    for sentence in answer.sentences:
        assert answer.text[sentence.start : sentence.end] == sentence.text
    return events, {
        key: next(s for s in answer.sentences if s.text.startswith(key)) for key in (QUOTED, DOUBTFUL, WRONG)
    }


def answer_of(events: Sequence[AnswerEvent]) -> Answer:
    assert isinstance(events[-1], Done)
    return events[-1].answer


def test_no_opinion_is_asked_for_by_default(tmp_path: Path, server: FakeOllama) -> None:
    with library(tmp_path, server) as opened:
        server.script(ANSWER)
        _, said = asked(opened)
        assert len(server.sent("/api/chat")) == 1
        assert [s.support for s in said.values()] == [Support.QUOTED, Support.PARTIAL, Support.UNSUPPORTED]


@pytest.mark.parametrize(
    ("verdict", "support", "share"),
    [
        ("supported", Support.SUPPORTED, 1.0),
        ("partial", Support.PARTIAL, 0.5),
        ("unsupported", Support.UNSUPPORTED, 0.0),
    ],
)
def test_only_the_sentence_in_doubt_is_judged(
    tmp_path: Path, server: FakeOllama, verdict: str, support: Support, share: float
) -> None:
    with library(tmp_path, server, verify="llm") as opened:
        server.script(ANSWER, says(f'So: {{"verdict": "{verdict}"}}'))
        events, said = asked(opened)
        assert [s.support for s in said.values()] == [Support.QUOTED, support, Support.UNSUPPORTED]
        assert said[DOUBTFUL].evidence["judge"] == share
        assert all("judge" not in said[key].evidence for key in (QUOTED, WRONG))
        _, request = (record.json for record in server.sent("/api/chat"))
        assert request["format"]["properties"]["verdict"]["enum"] == ["supported", "partial", "unsupported"]
        shown = request["messages"][-1]["content"]
        assert f"Sentence: {DOUBTFUL}" in shown and "at a cost of 4.2 million crowns" in shown
        assert "28 days" not in shown
        assert answer_of(events).notices == () and answer_of(events).timings["judge"] > 0


def test_the_opinion_comes_after_the_stream(tmp_path: Path, server: FakeOllama) -> None:
    with library(tmp_path, server, verify="llm") as opened:
        server.script(ANSWER)
        told, requests = "", 0
        for event in opened.stream(QUESTION):
            if isinstance(event, Token) and event.text:
                told += event.text
                requests = len(server.sent("/api/chat"))
        assert told.rstrip(".").endswith("[1]") and WRONG in told
        assert requests == 1
        assert len(server.sent("/api/chat")) == 2


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (Fault(status=500, text="the runner has crashed"), "the runner has crashed"),
        (Fault(after=1, then="cut"), ""),
        (says("I think it is supported."), "no verdict"),
        (says('{"verdict": "maybe"}'), "no verdict"),
        (says('{"verdict": ["supported"]}'), "no verdict"),
        (says("[" * 400), "no verdict"),
    ],
)
def test_a_failing_judge_leaves_the_first_verdict_and_says_so(
    tmp_path: Path, server: FakeOllama, fault: Fault, told: str
) -> None:
    with library(tmp_path, server, verify="llm") as opened:
        server.script(ANSWER, fault)
        events, said = asked(opened)
        assert [s.support for s in said.values()] == [Support.QUOTED, Support.PARTIAL, Support.UNSUPPORTED]
        (notice,) = answer_of(events).notices
        assert "second opinion" in notice and "first verdict stands" in notice and told in notice


VERIFYING = ("bespoke-minicheck", "granite3-guardian:8b", "granite3.2-guardian:5b", "ibm/granite4.1-guardian")


@pytest.mark.parametrize("name", VERIFYING)
@pytest.mark.parametrize("old", [False, True])
def test_a_verifying_model_is_asked_as_it_was_trained(tmp_path: Path, name: str, old: bool) -> None:
    with (
        FakeOllama([FakeModel("chat"), FakeModel(name, old_server=old)]) as server,
        library(tmp_path, server, verify=f"ollama:{name}") as opened,
    ):
        server.script(ANSWER)
        events, said = asked(opened)
        assert [s.support for s in said.values()] == [Support.QUOTED, Support.SUPPORTED, Support.UNSUPPORTED]
        # Four of the claim's six words are in the passage: the odds are told, but not by an old server.
        assert said[DOUBTFUL].evidence["judge"] == pytest.approx(1.0 if old else 4 / 6 - 0.1)
        assert answer_of(events).notices == () and answer_of(events).timings["judge"] > 0
        request = server.sent("/api/chat")[-1].json
        assert request["model"] == name and "format" not in request and request["options"]["temperature"] == 0
        shown = [(message["role"], message["content"]) for message in request["messages"]]
        if "guardian" in name:
            assert [role for role, _ in shown] == ["system", "context", "assistant"]
            assert shown[0][1] == "groundedness" and shown[2][1] == f"{DOUBTFUL}." and "4.2 million" in shown[1][1]
        else:
            ((role, text),) = shown
            document, claim = text.split("\n")
            assert role == "user" and document.startswith("Document: ") and "4.2 million" in document
            assert claim == f"Claim: {DOUBTFUL}."


def test_a_verifying_model_may_be_asked_about_every_sentence(tmp_path: Path) -> None:
    reworded = "In March 2019 the Halden plant replaced its cooling pumps"
    with (
        FakeOllama([FakeModel("chat"), FakeModel("bespoke-minicheck")]) as server,
        library(tmp_path, server, verify="ollama:bespoke-minicheck", verify_all=True) as opened,
    ):
        server.script(says(f"{QUOTED} [1]. {DOUBTFUL} [1]. {WRONG} [1]. {reworded} [1]."))
        answer = answer_of(list(opened.stream(QUESTION)))
        asked_of = [r.json["messages"][0]["content"].split("Claim: ")[1] for r in server.sent("/api/chat")[1:]]
        assert asked_of == [f"{DOUBTFUL}.", f"{reworded}."], "neither a quotation nor what a gate has refused"
        assert [s.support for s in answer.sentences] == [
            Support.QUOTED, Support.SUPPORTED, Support.UNSUPPORTED, Support.SUPPORTED,
        ]  # fmt: skip


def test_without_its_verifying_model_an_answer_is_checked_by_the_rules_and_says_so(
    tmp_path: Path, server: FakeOllama
) -> None:
    with library(tmp_path, server, verify="ollama:bespoke-minicheck") as opened:
        server.script(ANSWER, ANSWER)
        events, said = asked(opened)
        assert [s.support for s in said.values()] == [Support.QUOTED, Support.PARTIAL, Support.UNSUPPORTED]
        (notice,) = answer_of(events).notices
        assert "does not have the model bespoke-minicheck" in notice and "first verdict stands" in notice
        checked = {check.name: check for check in opened.doctor()}["verify"]
        assert checked.state == "warn" and "pull bespoke-minicheck" in checked.hint
        server.models["bespoke-minicheck:latest"] = FakeModel("bespoke-minicheck").completed()
        events, said = asked(opened)
        assert said[DOUBTFUL].support is Support.SUPPORTED and not answer_of(events).notices
        assert {check.name: check for check in opened.doctor()}["verify"].state == "ok"


def test_a_general_model_beside_the_answering_one_may_judge(tmp_path: Path) -> None:
    with (
        FakeOllama([FakeModel("chat"), FakeModel("other")]) as server,
        library(tmp_path, server, verify="ollama:other") as opened,
    ):
        server.script(ANSWER, says(GOOD))
        _, said = asked(opened)
        assert said[DOUBTFUL].support is Support.SUPPORTED
        request = server.sent("/api/chat")[-1].json
        assert request["model"] == "other" and "verdict" in request["format"]["properties"]


@pytest.mark.parametrize(
    ("reply", "odds", "yes"),
    [
        ("Yes", [], 1.0),
        (" no.", [], 0.0),
        ("Yes", [[("Yes", -0.5), ("No", -0.5)]], 0.5),
        ("No", [[("No", 0.0), (" no", -50.0)]], 0.0),
        ("Yes", [[("\n", -0.1)], [("Yes", -0.1054), ("▁yes", -5.0)]], 0.9067),
        ("No\n<confidence> High </confidence>", [[("No", -0.2231)]], 0.2),
        ("<score> yes </score>", [[("<", 0.0)], [("score", 0.0)], [(" yes", -0.6931), (" no", -1.3863)]], 2 / 3),
        ("<think>no doubt</think><score>yes</score>", [[("no", 0.0)], [("yes", 0.0)]], 1.0),
        ("Perhaps", [[("Perhaps", 0.0)]], None),
        ("", [], None),
        ("Yesterday", [], None),
    ],
)
def test_yes_and_no_are_read_as_a_probability(
    reply: str, odds: Sequence[Sequence[tuple[str, float]]], yes: float | None
) -> None:
    assert probability_of_yes(reply, odds) == (yes if yes is None else pytest.approx(yes, abs=1e-3))


def test_a_model_against_the_rules_leaves_a_sentence_unproven() -> None:
    def ask(messages: Sequence[Message]) -> Generator[Chunk, None, None]:
        yield Chunk('{"verdict": "unsupported"}')

    given = [sentence("One.", Support.SUPPORTED), sentence("Two."), sentence("Three.", Support.QUOTED)]
    waiting = Judge(GENERAL, every=True).opinions(ask, given, [CITATION], [])
    while True:
        try:
            next(waiting)
        except StopIteration as end:
            assert [s.support for s in end.value.sentences] == [Support.PARTIAL, Support.UNSUPPORTED, Support.QUOTED]
            break


def test_closing_the_stream_ends_the_judging(tmp_path: Path, server: FakeOllama) -> None:
    with library(tmp_path, server, verify="llm") as opened:
        server.script(ANSWER, Fault(stall=30.0))
        stream = opened.stream(QUESTION)
        for _ in stream:
            if len(server.sent("/api/chat")) == 2:
                break
        stopped = time.monotonic()
        stream.close()
        record = server.sent("/api/chat")[1]
        while not record.disconnected and time.monotonic() < stopped + 5:
            time.sleep(0.01)
        assert record.disconnected


def sentence(text: str, support: Support = Support.PARTIAL) -> Sentence:
    return Sentence(text, 0, len(text), support, (0,), 0.3, {"recall": 0.5})


CITATION = Citation(1, 1, 1, "a.txt", "", None, (), 0, 5, "Dogs.")


def opinions(judge: Judge, replies: Sequence[str], count: int, silence: int = 0) -> tuple[Opinions, list[str]]:
    """What a judge makes of ``count`` doubtful sentences; ``silence`` empty pieces come before each reply."""
    sent: list[str] = []

    def ask(messages: Sequence[Message]) -> Generator[Chunk, None, None]:
        sent.append(messages[-1].content)
        for _ in range(silence):
            time.sleep(0.01)
            yield Chunk("")
        yield Chunk(replies[len(sent) - 1])

    waiting = judge.opinions(ask, [sentence(f"Claim {n}.") for n in range(count)], [CITATION], [])
    while True:
        try:
            assert next(waiting) == Token("")
        except StopIteration as end:
            assert isinstance(end.value, Opinions)
            return end.value, sent


GOOD = '{"verdict": "supported"}'
GENERAL = General(load_prompt("judge"), b"s")


def test_the_time_is_bounded_for_the_whole_answer() -> None:
    judge = Judge(GENERAL, seconds=0.1)
    done, sent = opinions(judge, [GOOD] * 3, 3, silence=1_000)
    assert len(sent) == 1 and done.asked == 1
    assert [s.support for s in done.sentences] == [Support.PARTIAL] * 3
    assert "took more than" in done.failure


def test_an_unreadable_reply_does_not_stop_the_others() -> None:
    done, sent = opinions(Judge(GENERAL), [GOOD, "what?", GOOD], 3)
    assert len(sent) == done.asked == 3
    assert [s.support for s in done.sentences] == [Support.SUPPORTED, Support.PARTIAL, Support.SUPPORTED]
    assert done.notice and done.sentences[0].evidence == {"recall": 0.5, "judge": 1.0}


def test_an_endless_reply_is_cut() -> None:
    done, _ = opinions(Judge(GENERAL), [GOOD[:-1] + " " * 100_000 + "}"], 1)
    assert done.sentences[0].support is Support.SUPPORTED

    def ask(messages: Sequence[Message]) -> Generator[Chunk, None, None]:
        while True:
            yield Chunk("word ")

    waiting = Judge(GENERAL).opinions(ask, [sentence("Claim.")], [CITATION], [])
    assert sum(1 for _ in waiting) < 200


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        (GOOD, "supported"),
        ('```json\n{"verdict": "partial"}\n```', "partial"),
        ('{"why": {"a": 1}, "verdict": "unsupported"}', "unsupported"),
        ("", None),
        ("supported", None),
        ('{"verdict": "Supported"}', None),
        ('{"verdict": null}', None),
        ('["verdict"]', None),
        ("}{", None),
        ('{"a":' * 20_000 + "}", None),
    ],
)
def test_what_counts_as_a_verdict(reply: str, verdict: str | None) -> None:
    assert verdict_in(reply) == verdict
