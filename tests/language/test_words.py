"""Words, stems and the language of a text."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.language import language_of, parse, stem, unchecked, words_of
from rag.language.tables import FOLDER, table
from rag.language.words import seat_of, words_for_country


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        ("en", "international", "internal"),
        ("en", "general", "generous"),
        ("en", "university", "universal"),
        ("en", "organ", "organised"),
        ("en", "new", "news"),
        ("en", "police", "policy"),
        ("de", "gestiegen", "gesunken"),
        ("fr", "poisson", "poison"),
    ],
)
def test_different_words_keep_different_stems(language: str, one: str, other: str) -> None:
    assert stem(one.lower(), language) != stem(other.lower(), language)


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        ("en", "added", "adds"),
        ("en", "base", "based"),
        ("en", "care", "cared"),
        ("en", "went", "going"),
        ("en", "won", "winning"),
        ("en", "organised", "organized"),
        ("en", "organisation", "organization"),
        ("en", "colour", "colors"),
        ("en", "better", "good"),
        ("en", "children", "child"),
        ("en", "rose", "rising"),
        ("de", "gestiegen", "steigen"),
        ("de", "stieg", "steigt"),
        ("de", "gesunken", "sinkt"),
        ("de", "häuser", "haus"),
        ("fr", "approuvé", "approuver"),
        ("es", "aumentaron", "aumentar"),
        ("es", "cayó", "caer"),
        ("pt", "subiram", "subir"),
        ("pt", "caiu", "cair"),
        ("it", "salito", "salire"),
    ],
)
def test_forms_of_one_word_share_their_stem(language: str, one: str, other: str) -> None:
    assert stem(one, language) == stem(other, language)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The council did not approve the plan.", "en"),
        ("Der Rat hat den Plan nicht genehmigt.", "de"),
        ("Le conseil n'a pas approuvé le plan.", "fr"),
        ("El consejo no aprobó el plan de la ciudad.", "es"),
        ("A câmara não aprovou o plano da cidade.", "pt"),
        ("Il consiglio non ha approvato il piano.", "it"),
        ("De raad heeft het plan niet goedgekeurd.", "nl"),
        ("Совет не утвердил план.", "ru"),
        ("議会は計画を承認しなかった。", "ja"),
        ("议会没有批准该计划。", "zh"),
        ("المجلس لم يوافق على الخطة", "ar"),
        ("Norvik 340, Osk 12", ""),
        ("", ""),
        ("1,234", ""),
        (
            "Rada miasta nie zatwierdziła planu budowy mostu, lecz mieszkańcy nadal czekają na decyzję, którą "
            "burmistrz obiecał ogłosić jeszcze przed końcem roku, choć radni ciągle kłócą się o pieniądze",
            "sl",
        ),
    ],
)
def test_the_language_of_a_text(text: str, language: str) -> None:
    found = language_of(text)
    if language == "sl":
        # Polish is none of the known languages: whatever it is taken for has no data.
        assert unchecked(found)
    else:
        assert found == language


def test_no_long_text_is_kept_for_its_language() -> None:
    text = "The council has not approved the plan for the bridge. " * 1_000
    before = sys.getrefcount(text)
    language = language_of(text)
    kept = sys.getrefcount(text) - before
    assert (language, kept) == ("en", 0)


def test_a_line_that_tells_no_language_is_in_that_of_the_text_around_it() -> None:
    assert parse("Norvik 340", otherwise="de").language == "de"
    assert parse("Norvik 340").read_as == "en"


def test_a_language_without_data_says_what_is_not_checked() -> None:
    assert unchecked("en") == unchecked("it") == ()
    assert set(unchecked("ru")) == set(unchecked("other")) == {"stems", "numbers", "negation", "opposites"}
    assert parse("Совет не утвердил план.").unchecked


def test_elided_articles_are_words_of_their_own() -> None:
    assert [w.stem for w in words_of("L'eau n'a pas monté.", "fr")][:4] == ["l", "eau", "n", "a"]
    assert [w.stem for w in words_of("the mayor's wife", "en")] == ["the", "mayor", "wife"]


def test_names_and_countries() -> None:
    words = {w.stem: w for w in words_of("In Berlin the German minister met NATO. He left.", "en")}
    assert words["germany"].name and words["nato"].name and words["berlin"].name
    assert not words["minist"].name and not words["leav"].name
    named = [w.stem for w in words_of("Deutschland, Germans, the U.S.", "en") if w.name]
    assert named == ["germany", "germany", "america"]
    assert "germans" in words_for_country("germany") and words_for_country("table") == ()
    assert seat_of(stem("paris"), "france") and not seat_of("london", "france")


@given(st.text(max_size=120), st.sampled_from(["en", "de", "fr", "es", "pt", "it", "ru", "other"]))
def test_any_text_gives_words_within_it(text: str, language: str) -> None:
    last = 0
    for word in words_of(text, language):
        assert last <= word.start < word.end <= len(text) and word.stem
        last = word.start
    language_of(text)


def test_every_table_tells_its_source_and_is_sound() -> None:
    files = sorted(FOLDER.glob("*.tsv"))
    assert len(files) >= 8
    for path in files:
        head = [line for line in path.read_text("utf-8").splitlines() if line.startswith("#")]
        assert any(line.startswith("# Source:") for line in head), path.name
        rows = table(path.stem)
        assert rows and len({tuple(row.values()) for row in rows}) == len(rows), path.name
