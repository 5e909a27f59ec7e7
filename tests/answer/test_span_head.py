"""The head that points at an answer's tokens."""

from __future__ import annotations

import numpy as np
import pytest

from rag.answer.quoting import analyse
from rag.answer.reading import Reader, asking_tokens, sentences_in
from rag.answer.span_head import asking, neighbourhood, span_head
from rag.models.encoder import shared_encoder
from tests.answer.passages import passage

TEXT = "The ferry to Halden leaves at noon. It carries 120 passengers. Captain Elin Berg has sailed it since 2011."


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("How many passengers does the ferry carry?", "120"),
        ("Who is the captain of the ferry?", "Elin Berg"),
        ("Since when has Elin Berg sailed the ferry?", "since 2011"),
    ],
)
def test_the_likeliest_token_is_of_the_answer(question: str, answer: str) -> None:
    asked, text = shared_encoder().tokens([question, TEXT])
    words = asking_tokens(analyse(question, None, 0), asked)
    own = asked.vectors[words.rows]
    place = passage(TEXT)
    near = neighbourhood(own @ text.vectors.T, words.weights, sentences_in(place, text.spans).values())
    odds = span_head().log_odds(asking(own, words.asks), text.vectors, near)
    start, end = text.spans[int(np.argmax(odds))]
    assert TEXT[start:end] in answer


def test_what_a_passage_answers_is_likelier_than_what_it_does_not() -> None:
    reader = Reader(shared_encoder())

    def span(question: str) -> float:
        (read,) = reader.read(analyse(question, None, 0), (passage(TEXT),)).read
        return read.span

    assert span("How many passengers does the ferry carry?") > span("How many cars does the ferry carry?")
    assert span("Who is the captain of the ferry?") > span("Who is the owner of the ferry?")


def test_a_token_has_the_best_of_its_neighbourhood() -> None:
    cosines = np.zeros((2, 40), dtype=np.float32)
    cosines[0, 5] = cosines[1, 20] = 1.0
    inside = np.arange(40) < 10
    near = neighbourhood(cosines, np.array([0.5, 0.5]), [inside])
    assert near.shape == (40, 5)
    assert near[5].tolist() == [1.0, 0.5, 0.0, 0.5, 1.0] and near[12, 1] == 1.0 and near[20, 3] == 0.0
