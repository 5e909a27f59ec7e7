"""True sentences in other words, changed in one respect: whatever else they say, they never come out supported."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from rag.answer.verify.evidence import Reader
from rag.answer.verify.verifier import Verifier
from rag.language import Value, parse, values_of
from rag.models.static import static_vectors
from rag.types import Passage
from tests.bench.claims_data import Claimed, about_briefs, about_paragraphs

READER, VERIFIER = Reader(static_vectors()), Verifier(static_vectors())
_VERB = re.compile(r"\b(?:is|are|was|were|has|had|have|can|could|will|would|may)\b(?! been)")
_STRANGERS = ("Oslo", "Ramos", "Denver")
_NUMBERS = {"two": "four", "three": "six", "four": "nine", "five": "eight", "six": "ten", "eight": "three"}


def holds(one: Claimed, sentence: str) -> bool:
    """Whether the sentence comes out supported or quoted."""
    return VERIFIER.check(sentence, [Passage(0, 0, "a", "", 0, 0, len(t), t) for t in one.sources]).holds


def other_values(one: Claimed) -> Iterator[str]:
    """The sentence with one of its values changed to one that no source has."""
    known = {value.number for text in one.sources for value in values_of(text)}
    for value in values_of(one.sentence):
        shown = one.sentence[value.start : value.end]
        changed = _changed(shown, value, known)
        if changed != shown:
            yield one.sentence[: value.start] + changed + one.sentence[value.end :]


def _changed(shown: str, value: Value, known: set[float]) -> str:
    if shown.lower() in _NUMBERS:
        return _NUMBERS[shown.lower()]
    for digit in "3579":
        changed = re.sub(r"\d(?=\D*$)", digit, shown, count=1)
        (found,) = values_of(changed) or (value,)
        if found.number not in known:
            return changed
    return shown


def other_names(one: Claimed) -> Iterator[str]:
    """The sentence with one of its names changed to one that no source has."""
    for word in READER.claim(one.sentence).words:
        shown = one.sentence[word.start : word.end]
        if word.name and shown.isalpha():
            for stranger in _STRANGERS:
                yield one.sentence[: word.start] + stranger + one.sentence[word.end :]


def denied(one: Claimed) -> Iterator[str]:
    """The sentence with a "not" behind its first verb."""
    verb = _VERB.search(one.sentence)
    if verb and not parse(one.sentence).negations and not parse(one.sentence).denials:
        yield f"{one.sentence[: verb.end()]} not{one.sentence[verb.end() :]}"


@pytest.fixture(scope="module")
def true() -> list[Claimed]:
    return [one for claims in (about_briefs, about_paragraphs) for one in claims() if one.right]


@pytest.mark.parametrize("change", [other_values, other_names, denied])
def test_one_change_and_it_is_not_supported(change: Callable[[Claimed], Iterator[str]], true: list[Claimed]) -> None:
    tried = [(changed, one) for one in true for changed in change(one)]
    assert len(tried) > 20
    assert [changed for changed, one in tried if holds(one, changed)] == []
