"""A question in a conversation: asked alone when the documents answer it so, and nothing searched for a thank-you."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rag import Library, Turn
from rag.answer.courtesy import is_courtesy
from rag.models.encoder import shared_encoder
from rag.types import Answer, Condensed, Outcome, Retrieved

ABOUT = "How many samples does the laboratory analyse per year?"


@pytest.fixture(scope="module")
def library(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    with Library.open(tmp_path_factory.mktemp("ids"), llm="quotes", embedder="builtin") as opened:
        opened.ingest(shared / "cases" / "ids")
        yield opened


@pytest.fixture(scope="module")
def history(library: Library) -> list[Turn]:
    return [Turn(ABOUT, library.ask(ABOUT).text)]


def ask(library: Library, question: str, history: list[Turn]) -> Answer:
    return library.ask(question, history=history)


def test_a_short_question_that_stands_alone_is_asked_alone(library: Library, history: list[Turn]) -> None:
    for question, fact in (("Who is the treasurer?", "treasurer"), ("What is the nitrate limit?", "nitrate")):
        answer, alone = ask(library, question, history), ask(library, question, [])
        assert answer.asked == question and answer.text == alone.text
        assert answer.outcome is alone.outcome
        assert fact in answer.text.lower() and answer.outcome is Outcome.ANSWERED


def test_what_is_not_there_is_not_answered_from_the_earlier_topic(library: Library, history: list[Turn]) -> None:
    answer = ask(library, "What is photosynthesis?", history)
    assert answer.abstained and answer.outcome is not Outcome.ANSWERED


@pytest.mark.parametrize("message", ["Thanks!", "thank you very much", "Hello there", "Good evening", "bye"])
def test_a_courtesy_searches_nothing(library: Library, history: list[Turn], message: str) -> None:
    events = list(library.stream(message, history=history))
    assert not any(isinstance(event, Retrieved | Condensed) for event in events)
    answer = events[-1].answer  # type: ignore[union-attr]
    assert answer.abstained and not answer.hits and "nothing was searched" in answer.text
    assert answer.question == message and answer.model == "quotes" and answer.timings["total"] >= 0


def test_a_question_that_points_back_takes_the_turn_before_along(library: Library, history: list[Turn]) -> None:
    asked = ask(library, "And how many of them per day?", history).asked
    assert asked.startswith("And how many of them per day?") and ABOUT in asked


@pytest.mark.parametrize(
    "message", ["", "   ", "Who is the treasurer?", "Virtualization", "Hello, what is the nitrate limit?", "hello?",
                "ERR-4041", "Thanks to whom was the company founded?", "Nitrate limit"],
)  # fmt: skip
def test_a_question_is_no_courtesy(message: str) -> None:
    assert not is_courtesy(shared_encoder(), message)
