"""What a machine read with doubt, and what no reader sees, certifies nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rag.answer.compose import quoted_answer
from rag.answer.quoting.quoter import Quote
from rag.answer.verify.checker import Checker
from rag.models.static import static_vectors
from rag.types import INVISIBLE, Hit, Passage, Place, PlaceKind, Support

TEXT = "The berth fee is 37.80 EUR per night. Fires are forbidden on deck."
CHECKER = Checker(static_vectors())
PASSAGE = Passage(1, 1, "fees.png", "Fees", 0, 100, 100 + len(TEXT), TEXT, 1)


def doubted(words: str, kind: PlaceKind = "unsure", label: str = "") -> Passage:
    at = 100 + TEXT.index(words)
    return replace(PASSAGE, places=(Place(1, 100, PASSAGE.end), Place(1, at, at + len(words), kind, label)))


@pytest.mark.parametrize(
    ("passage", "held"),
    [
        (PASSAGE, True),
        (doubted("37.80"), False),
        (doubted("deck"), True),
        (doubted("37.80", "hidden", INVISIBLE), False),
        (doubted("37.80", "hidden", "slide"), True),
    ],
)
def test_a_doubted_figure_proves_nothing(passage: Passage, held: bool) -> None:
    sentence = "The berth fee is 37.80 EUR per night."
    assert CHECKER.check(sentence, [passage]).holds is held
    assert (passage.certain == TEXT) is (len(passage.places) == 0 or passage.places[-1].label == "slide")
    assert len(passage.certain) == len(TEXT)
    start = passage.start
    answer = quoted_answer("q", [Quote(passage, start, start + len(sentence), 1.0)], [Hit(passage, 1.0, 1.0, 1.0)])
    assert answer.sentences[0].support is (Support.QUOTED if held else Support.PARTIAL)
    assert answer.sentences[0].text == sentence
