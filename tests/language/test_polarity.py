"""Negations, what they reach, and opposites, in six languages."""

from __future__ import annotations

import pytest

from rag.language import CHECKED, parse, stem
from rag.language.polarity import opposites, pattern, sides_in
from rag.language.words import key, words_of


@pytest.mark.parametrize(
    ("text", "reached"),
    [
        ("The council did not approve the plan.", "approv"),
        ("They won't approve the plan.", "approv"),
        ("Der Rat hat den Plan nicht genehmigt.", "genehm"),
        ("Der Rat genehmigte den Plan nicht.", "genehmigt"),
        ("Le conseil n'a pas approuvé le plan de la ville.", "approuv"),
        ("El consejo no aprobó el plan.", "aprob"),
        ("A câmara não aprovou o plano da cidade.", "aprov"),
        ("Il consiglio non ha approvato il piano.", "approv"),
    ],
)
def test_a_negation_reaches_its_verb(text: str, reached: str) -> None:
    said = parse(text)
    assert any(word.stem.startswith(reached[:6]) for n in said.negations for word in n.reached), said


@pytest.mark.parametrize("text", ["Not only the council approved it.", "Il n'y a rien.", "No doubt it is true."])
def test_what_only_looks_like_a_negation(text: str) -> None:
    assert bool(parse(text).negations) is ("rien" in text)


@pytest.mark.parametrize("language", CHECKED)
def test_each_language_has_its_rows(language: str) -> None:
    assert len(opposites(language)) >= 45
    assert pattern(language, "negation").pattern != "(?!)"


def test_both_sides_of_every_row_are_told_apart() -> None:
    for language in CHECKED:
        for pair, (left, right) in enumerate(opposites(language)):
            for sign, entries in ((1, left), (-1, right)):
                for entry in (e.replace(" ~", "") for e in entries):
                    found = {s.sign for s in sides_in(words_of(entry, language), language) if s.pair == pair}
                    assert found == {sign}, (language, entry)


def test_synonyms_have_one_key() -> None:
    assert key(stem("worker")) == key(stem("employees")) != key(stem("visitor"))
    assert key("unheard") == "unheard"
