"""Sentences held against texts token by token: what the encoder knows helps, what it does not leaves all as it was."""

from __future__ import annotations

import pytest

from rag.answer.verify import Reader, Verifier
from rag.answer.verify.tokens import TokenReader
from rag.models.encoder import shared_encoder
from rag.models.static import static_vectors
from tests.answer.passages import passage

READER = Reader(static_vectors())
TOKENS = TokenReader(shared_encoder())
PLAIN, SHARP = Verifier(static_vectors()), Verifier(static_vectors(), shared_encoder())

PLANT = (
    "The cooling pumps of the Halden plant were replaced in March 2019 at a cost of 4.2 million crowns. "
    "The work took three weeks, during which the plant stood still."
)


def test_the_same_words_are_as_like_as_can_be_and_others_less() -> None:
    same = TOKENS.likeness(READER.claim("The work took three weeks, during which the plant stood still."), PLANT)
    other = TOKENS.likeness(READER.claim("The orchestra played a waltz by Strauss on the terrace."), PLANT)
    assert same and other
    assert same.mean == pytest.approx(1, abs=0.02) and same.lowest == pytest.approx(1, abs=0.02)
    assert other.lowest <= other.mean < 0.5
    assert same.known > 0.5


def test_what_is_said_in_other_words_is_liker_than_what_is_not_said() -> None:
    said = TOKENS.likeness(READER.claim("The factory was shut down for three weeks while the work lasted."), PLANT)
    unsaid = TOKENS.likeness(READER.claim("The factory hired twelve new engineers while the strike lasted."), PLANT)
    assert said and unsaid
    assert said.mean > unsaid.mean and said.lowest > unsaid.lowest


@pytest.mark.parametrize(
    "wrong",
    [
        "The cooling pumps of the Halden plant were replaced in March 2018.",
        "The cooling pumps of the Halden plant were not replaced in March 2019.",
        "The cooling pumps of the Bergen plant were replaced in March 2019.",
    ],
)
def test_likeness_lifts_no_gate(wrong: str) -> None:
    verdict = SHARP.check(wrong, [passage(PLANT)])
    assert not verdict.holds and verdict.score < 0.5


@pytest.mark.parametrize(
    ("claim", "text"),
    [
        (
            "Die Genossenschaft hat elf Gemeinden als Mitglieder.",
            "Die Genossenschaft wurde von elf Gemeinden gegr\u00fcndet, die bis heute Mitglieder sind. Der Vorstand"
            " trifft sich viermal im Jahr, und jedes Mitglied hat eine Stimme, gleich wie gro\u00df es ist.",
        ),
        (
            "\u5408\u4f5c\u793e\u6709\u5341\u4e00\u4e2a\u6210\u5458\u3002",
            "\u8be5\u5408\u4f5c\u793e\u7531\u5341\u4e00\u4e2a\u5e02\u9547\u521b\u7acb\uff0c"
            "\u5b83\u4eec\u81f3\u4eca\u4ecd\u662f\u6210\u5458\u3002",
        ),
    ],
)
def test_what_the_encoder_cannot_read_is_judged_as_without_it(claim: str, text: str) -> None:
    assert TOKENS.likeness(READER.claim(claim), text) is None
    assert SHARP.check(claim, [passage(text)]) == PLAIN.check(claim, [passage(text)])
