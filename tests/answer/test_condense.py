from __future__ import annotations

import pytest

from rag.answer.condense import condense_by_rule, needs_context, rewriting_prompt, rewritten
from rag.prompts import load_prompt
from rag.types import Turn

HISTORY = [Turn("How much leave do full-time staff get?", "Full-time staff receive 28 days.")]


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
    assert rewriting_prompt(question, HISTORY, load_prompt("condense")) is None


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


def test_the_models_rewriting_is_used_without_its_quotes() -> None:
    condensed = rewritten("And part-time?", '"How much leave do part-time staff get?"\n')
    assert condensed is not None and condensed.question == "How much leave do part-time staff get?"
    assert rewritten("And part-time?", "And part-time?") is None


def test_the_model_is_shown_the_conversation() -> None:
    asked = rewriting_prompt("And part-time?", HISTORY, load_prompt("condense"))
    assert asked is not None and "Full-time staff receive 28 days." in asked[1]


def test_names_of_the_last_answer_help_when_the_question_before_names_nobody() -> None:
    history = [Turn("Which port is meant?", "The article calls Chabahar Port a Pakistani one.")]
    condensed = condense_by_rule("Who corrects it?", history)
    assert condensed is not None
    assert condensed.question == "Who corrects it? (Pakistani; Chabahar Port; Which port is meant?)"
