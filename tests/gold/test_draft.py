from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from rag.answer.writing.generate import Odds
from rag.answer.writing.judge import json_in
from rag.config import Config
from rag.errors import ModelTimeout
from rag.gold import GoldSet, Run, compare, run, verdict
from rag.gold.commands.draft import drafts, from_feedback
from rag.gold.files.lint import lint
from rag.gold.metrics.llm_judge import Chat, Judge, open_chat
from rag.gold.types import Fact, Review, Source
from rag.library import Library
from rag.prompts import load_prompt
from tests.fake_ollama import FakeOllama
from tests.gold import handbook
from tests.gold.corpus import Texts

CORPUS = Texts(handbook.DOCUMENTS)
GOOD = {"question": "What does a lost badge cost?", "fact": "15 euros", "quote": "A lost badge costs 15 euros."}


def chat(*replies: object) -> Chat:
    """A model that gives these replies in turn, the last one for ever."""
    waiting = list(replies)

    def say(messages: object, **options: object) -> tuple[str, Odds]:
        reply = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        if isinstance(reply, Exception):
            raise reply
        return (reply if isinstance(reply, str) else json.dumps(reply)), ()

    return Chat("ollama:judge", "sha256:1", say)


def made(*rows: Mapping[str, object], files: tuple[str, ...] = ("security.md",), count: int = 20) -> list[object]:
    replies = drafts(CORPUS, chat({"questions": list(rows)}), load_prompt("draft"), files=files, count=count)
    return list(replies.questions)


def test_a_draft_holds_a_quote_that_lint_has_checked() -> None:
    (draft,) = drafts(CORPUS, chat({"questions": [GOOD]}), load_prompt("draft"), files=["security.md"]).questions
    assert draft.id == "security-01"
    assert draft.review == Review("draft", "model") and not draft.gates
    assert draft.facts == (Fact("answer", any=("15 euros",)),)
    assert draft.sources == (Source("security.md", quote="A lost badge costs 15 euros."),)
    assert lint(GoldSet("x", (draft,)), CORPUS) == ()


@pytest.mark.parametrize(
    "change",
    [
        {"quote": "A lost badge costs 99 euros."},
        {"quote": "A"},
        {"quote": ""},
        {"fact": "99 euros"},
        {"fact": ""},
        {"question": " "},
        {"question": None, "fact": 3},
    ],
)
def test_what_the_model_makes_up_is_dropped(change: Mapping[str, object]) -> None:
    assert made({**GOOD, **change}) == []


def test_what_was_dropped_is_counted_by_its_reason() -> None:
    def told(*rows: Mapping[str, object]) -> str:
        return str(drafts(CORPUS, chat({"questions": list(rows)}), load_prompt("draft"), files=["security.md"]))

    made_up = {**GOOD, "quote": "A lost badge costs 99 euros."}
    assert told(GOOD) == "1 proposed"
    assert told(GOOD, *[made_up] * 6) == "7 proposed, 6 dropped: quote not in the text"
    assert told({**GOOD, "fact": "99 euros"}, {**GOOD, "quote": "A"}, GOOD, GOOD) == (
        "4 proposed, 3 dropped: 1 fact not in the quote, 1 incomplete, 1 asked before"
    )
    assert told() == "0 proposed"


def test_a_question_is_drafted_once_and_ids_are_fresh() -> None:
    assert len(made(GOOD, GOOD)) == 1
    prompt = load_prompt("draft")
    (draft,) = drafts(
        CORPUS, chat({"questions": [GOOD]}), prompt, files=["security.md"], taken=["security-01"]
    ).questions
    assert draft.id == "security-02"


@pytest.mark.parametrize("reply", ["", "no", "[1]", '{"questions": 3}', '{"questions": [1, null]}', '{"questions": ['])
def test_a_reply_that_is_no_list_of_drafts_is_dropped(reply: str) -> None:
    assert drafts(CORPUS, chat(reply), load_prompt("draft")).questions == ()


def test_the_pieces_go_round_the_files_until_there_are_enough() -> None:
    seen: list[str] = []
    drafts(CORPUS, chat({"questions": []}), load_prompt("draft"), progress=lambda done, count, file: seen.append(file))
    assert seen == list(handbook.DOCUMENTS)


def test_json_is_found_among_words() -> None:
    assert json_in('Here: {"a": {"b": 1}} as asked') == {"a": {"b": 1}}
    assert json_in("{broken}") == json_in("[1]") == json_in("") == json_in("}{") == {}


def judged(healthy: Run, *replies: object) -> Run:
    judge = Judge.by(chat(*replies), load_prompt("judge"))
    return replace(healthy, records=tuple(judge.judged(record, healthy.passages) for record in healthy.records))


def test_the_judge_is_reported_and_never_gates(healthy: Run) -> None:
    second = judged(healthy, {"verdict": "unsupported"})
    leave = second.scores()["leave"]
    assert leave["judge_support"] == 0.0
    assert "judge_support" not in second.scores()["volcano"]
    comparison = compare(judged(healthy, {"verdict": "supported"}), second)
    assert verdict(second, comparison).code == 0
    (delta,) = (shift.delta for shift in comparison.shifts if shift.metric.name == "judge_support")
    assert delta is not None and delta.mean < -0.9


@pytest.mark.parametrize(
    "reply", ["", "0.7", "supported", {"verdict": "maybe"}, {"verdict": 1}, {}, ModelTimeout("No answer in 300 s.")]
)
def test_a_verdict_that_cannot_be_read_is_an_error_and_no_number(healthy: Run, reply: object) -> None:
    found = judged(healthy, reply)
    record = found.records[0]
    assert "judge_support" not in record.metrics
    assert record.notes[-1].startswith("judge error: ")
    assert found.scores()["leave"] == healthy.scores()["leave"]


@pytest.mark.parametrize("name", ["bespoke-minicheck", "granite3-guardian:8b"])
def test_a_model_trained_to_check_claims_judges_in_its_own_way(healthy: Run, name: str) -> None:
    with FakeOllama([name]) as server, open_chat(Config(ollama_host=server.url), f"ollama:{name}") as opened:
        judge = Judge.by(opened, load_prompt("judge"))
        record = next(record for record in healthy.records if record.id == "leave")
        judged = judge.judged(record, healthy.passages)
        assert judged.metrics["judge_support"] == 1.0, judged.notes
        roles = {message["role"] for message in server.sent("/api/chat")[0].json["messages"]}
        assert roles == ({"user"} if "minicheck" in name else {"system", "context", "assistant"})
        elsewhere = dict.fromkeys(healthy.passages, "Cats purr at night.")
        assert judge.judged(record, elsewhere).metrics["judge_support"] == 0.0


def test_the_judge_is_pinned_by_its_digest(library: Library, gold: GoldSet) -> None:
    judge = Judge.by(chat({"verdict": "supported"}), load_prompt("judge"))
    found = run(gold, library, judge=judge)
    assert found.fingerprint["judge"] == {"name": "ollama:judge", "digest": "sha256:1"}
    assert found.scores()["leave"]["judge_support"] == 1.0


def test_rated_answers_become_drafts(tmp_path: Path) -> None:
    with handbook.library(tmp_path) as library:
        talk = library.conversations.create("default")
        for question in ("What does a lost badge cost?", "And who cooks?", "Which volcano erupted in Iceland?"):
            answer = library.ask(question)
            library.conversations.append(talk, question, answer.asked, answer.to_dict())
        library.conversations.feedback(talk, 0, 1, "")
        library.conversations.feedback(talk, 1, -1, "It is Tomas\nHorak.")
        library.conversations.feedback(talk, 2, 1, "")
        liked, disliked, refused = from_feedback(library.conversations, "default")
    assert liked.sources and liked.sources[0].file == "security.md" and liked.severity == "must"
    assert disliked.aliases == ("It is Tomas Horak.",) and disliked.severity == "watch" and disliked.sources == ()
    assert disliked.turns[0].user == "What does a lost badge cost?"
    assert refused.unanswerable
    assert {q.review for q in (liked, disliked, refused)} == {Review("draft", "feedback")}
