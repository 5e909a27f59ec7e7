from __future__ import annotations

from collections.abc import Sequence

import pytest

from rag.answer.writing.condense import condense_by_rule, needs_context, rewriting_prompt, rewritten
from rag.errors import PromptTooLong
from rag.prompts import load_prompt
from rag.tokens import TokenCounter
from rag.types import Turn

HISTORY = [Turn("How much leave do full-time staff get?", "Full-time staff receive 28 days.")]


def asked_of_the_model(question: str, history: Sequence[Turn] = HISTORY, room: int = 5_000) -> tuple[str, str] | None:
    counter = TokenCounter(1.0, 1)
    return rewriting_prompt(question, history, load_prompt("condense"), room=room, counter=counter, secret=b"s")


@pytest.mark.parametrize(
    "question",
    [
        "And part-time?",
        "Why?",
        "When did he say that?",
        "What about managers?",
        "Who approves it?",
        "How long?",
        "More",
    ],
)
def test_follow_ups_are_recognised(question: str) -> None:
    assert needs_context(question)


@pytest.mark.parametrize(
    "question",
    ["How many days of parental leave do managers receive?", "Which port did the article call Pakistani?"],
)
def test_questions_that_stand_alone_are_left_alone(question: str) -> None:
    assert not needs_context(question)
    assert condense_by_rule(question, HISTORY) is None
    assert asked_of_the_model(question) is None


def test_the_rule_adds_the_question_before() -> None:
    condensed = condense_by_rule("And part-time?", HISTORY)
    assert condensed is not None
    assert condensed.question == "And part-time? (How much leave do full-time staff get?)"
    assert condensed.original == "And part-time?"


def test_the_rule_goes_back_to_a_question_that_stands_alone() -> None:
    history = [Turn("When did Imran Khan visit Washington?", "In July 2019."), Turn("And why?", "To meet Mr Trump.")]
    condensed = condense_by_rule("Who invited him?", history)
    assert condensed is not None and "Imran Khan visit Washington" in condensed.question


def test_without_history_nothing_is_rewritten() -> None:
    assert condense_by_rule("And part-time?", []) is None


@pytest.mark.parametrize("reply", ["", "   ", "one\ntwo", "x" * 2_000])
def test_an_implausible_rewriting_is_not_used_and_this_is_said(reply: str) -> None:
    condensed = rewritten("And part-time?", reply)
    assert condensed is not None
    assert condensed.question == "And part-time?" and "could not be rewritten" in condensed.note


@pytest.mark.parametrize(
    "reply",
    [
        '"{q}"\n',
        "Stand-alone question: {q}",
        "**Standalone question:** {q}",
        "Rewritten question: “{q}”",
        "> Question: {q}",
        "{q}\n\n(I put the subject of the conversation in.)",
    ],
)
def test_the_models_rewriting_is_used_without_what_it_adds(reply: str) -> None:
    wanted = "How much leave do part-time staff get?"
    condensed = rewritten("And part-time?", reply.format(q=wanted))
    assert condensed is not None and condensed.question == wanted and not condensed.note


def test_a_question_left_as_it_was_is_no_rewriting() -> None:
    assert rewritten("And part-time? ", '"And part-time?"') is None
    condensed = rewritten("Which question: the first?", "Which question: the first one of Mr Khan?")
    assert condensed is not None and condensed.question == "Which question: the first one of Mr Khan?"


def test_the_model_is_shown_the_conversation() -> None:
    asked = asked_of_the_model("And part-time?")
    assert asked is not None and "Full-time staff receive 28 days." in asked[1]
    assert "two lines that begin with <<<" in asked[0] and asked[1].startswith("<<<")


def test_the_newest_turns_that_fit_are_shown() -> None:
    history = [Turn(f"Question {n}?", f"Answer {n} " * 60) for n in range(5)]
    for room, shown in ((5_000, {2, 3, 4}), (500, {4})):
        asked = asked_of_the_model("And why?", history, room)
        assert asked is not None
        assert {n for n in range(5) if f"Question {n}?" in asked[1]} == shown
    with pytest.raises(PromptTooLong):
        asked_of_the_model("And why?", history, 300)


@pytest.mark.parametrize(
    ("question", "asks"),
    [
        ("Und wann wurden die Pumpen ersetzt?", True),
        ("Et pour les cadres ?", True),
        ("他们什么时候更换的？", True),
        ("When were the pumps of the Halden plant replaced?", False),
        ("Explain Imran Khan's visit to Washington", False),
    ],
)
def test_only_the_model_can_tell_of_other_languages(question: str, asks: bool) -> None:
    assert (asked_of_the_model(question) is not None) is asks
    if question.startswith("Und"):
        assert condense_by_rule(question, HISTORY) is None


def test_names_of_the_last_answer_help_when_the_question_before_names_nobody() -> None:
    history = [Turn("Which port is meant?", "The article calls Chabahar Port a Pakistani one.")]
    condensed = condense_by_rule("Who corrects it?", history)
    assert condensed is not None
    assert condensed.question == "Who corrects it? (Pakistani; Chabahar Port; Which port is meant?)"
