"""The sample corpus is in the project's own words, and its gold set really points into it."""

import os
import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest
import yaml

REPO = Path(__file__).parents[1]
BRIEFS = sorted((REPO / "seeds").glob("*.md"))
ORIGINALS = REPO.parent / "shared" / "seeds"
GOLD = REPO / "tests" / "data" / "seeds.yaml"
KINDS = {
    "single-fact",
    "several-sources",
    "who-said-what",
    "disagreement",
    "follow-up",
    "unanswerable",
}
LONGEST_SHARED_RUN = 7  # words; enough for names, figures and short quotations, too short for a sentence


def fold(text: str) -> str:
    """Text after NFKC with every run of white space as one space: what quotes are compared in."""
    return " ".join(unicodedata.normalize("NFKC", text).split())


def words(text: str) -> list[str]:
    return re.findall(r"\w+", fold(text).casefold())


def named_original(brief: Path) -> str:
    """The file name on the brief's "Original:" line."""
    found = re.findall(r"^Original: `(\d{3}_[0-9a-f]{16}\.txt)`", brief.read_text("utf-8"), re.MULTILINE)
    assert len(found) == 1, f"{brief.name} must have one line 'Original: `NNN_<16 hex digits>.txt`'"
    return str(found[0])


def original_text(name: str) -> str:
    if not ORIGINALS.is_dir():
        reason = f"the originals are not at {ORIGINALS}, so the briefs cannot be compared with them"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return (ORIGINALS / name).read_text("utf-8")


def runs(tokens: list[str], length: int) -> set[tuple[str, ...]]:
    return {tuple(tokens[i : i + length]) for i in range(len(tokens) - length + 1)}


def sentences(text: str) -> list[str]:
    """Sentences of three words or more; a blank line, a heading or a list item ends one as well."""
    parts = re.split(r"(?<=[.?!])\s+|\n\s*\n|\n(?=[-#])", text)
    return [part for part in parts if len(words(part)) >= 3]


@pytest.fixture(scope="module")
def questions() -> list[dict[str, Any]]:
    gold = yaml.load(GOLD.read_text("utf-8"), Loader=yaml.BaseLoader)
    assert set(gold) == {"version", "defaults", "questions"}
    loaded: list[dict[str, Any]] = gold["questions"]
    return loaded


def test_there_is_one_brief_for_each_original() -> None:
    assert len(BRIEFS) == 5
    assert len({named_original(brief) for brief in BRIEFS}) == 5


@pytest.mark.parametrize("brief", BRIEFS, ids=lambda path: path.stem)
def test_brief_has_a_title_headings_and_the_agreed_length(brief: Path) -> None:
    text = brief.read_text("utf-8")
    assert text.startswith("# ")
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1
    assert len(re.findall(r"^## \S", text, re.MULTILINE)) >= 3
    assert 500 <= len(text.split()) <= 900


@pytest.mark.parametrize("brief", BRIEFS, ids=lambda path: path.stem)
def test_brief_takes_over_no_sentence_of_its_original(brief: Path) -> None:
    original, text = original_text(named_original(brief)), brief.read_text("utf-8")
    length = LONGEST_SHARED_RUN + 1
    assert runs(words(text), length) & runs(words(original), length) == set()
    taken = {tuple(words(s)) for s in sentences(text)} & {tuple(words(s)) for s in sentences(original)}
    assert taken == set()


def test_gold_set_is_large_enough_and_of_every_kind(questions: list[dict[str, Any]]) -> None:
    ids = [question["id"] for question in questions]
    assert len(ids) >= 50
    assert len(ids) == len(set(ids))
    assert sum(question["unanswerable"] == "true" for question in questions) >= 12
    for question in questions:
        tags = set(question["tags"])
        assert len(tags & KINDS) == 1, question["id"]
        assert len(tags & {"tune", "holdout"}) == 1, question["id"]
        assert ("unanswerable" in tags) == (question["unanswerable"] == "true"), question["id"]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_third_of_every_kind_is_held_out(questions: list[dict[str, Any]], kind: str) -> None:
    held = ["holdout" in question["tags"] for question in questions if kind in question["tags"]]
    assert 0.25 <= sum(held) / len(held) <= 0.4


def test_follow_ups_have_a_history(questions: list[dict[str, Any]]) -> None:
    for question in questions:
        for turn in question.get("turns", []):
            assert set(turn) == {"user", "bot"}, question["id"]
        if "follow-up" in question["tags"]:
            assert question["turns"], question["id"]


def test_every_quote_occurs_in_its_brief(questions: list[dict[str, Any]]) -> None:
    briefs = {brief.name: fold(brief.read_text("utf-8")) for brief in BRIEFS}
    for question in questions:
        assert bool(question["sources"]) == (question["unanswerable"] == "false"), question["id"]
        for source in question["sources"]:
            assert fold(source["quote"]) in briefs[source["file"]], (question["id"], source["quote"])


def test_questions_over_several_sources_name_two_briefs(questions: list[dict[str, Any]]) -> None:
    for question in questions:
        if "several-sources" in question["tags"]:
            assert len({source["file"] for source in question["sources"]}) >= 2, question["id"]


def stated(fact: dict[str, Any], text: str) -> bool:
    """Whether the text has one wording of the fact, or its number, on token boundaries."""
    if "number" in fact:
        numbers = re.findall(r"(?<![\w.,])\d[\d,]*(?:\.\d+)?", text)
        return float(fact["number"]) in {float(number.replace(",", "")) for number in numbers}
    return any(re.search(rf"(?<!\w){re.escape(wording)}(?!\w)", text) for wording in fact["any"])


def test_every_fact_is_in_its_quotes_and_none_that_is_forbidden(questions: list[dict[str, Any]]) -> None:
    for question in questions:
        quotes = fold(" ".join(source["quote"] for source in question["sources"]))
        for fact in question["facts"]:
            assert stated(fact, quotes), (question["id"], fact)
        assert not stated({"any": question["must_not_contain"]}, quotes), question["id"]


def test_every_fact_is_in_an_original_as_well(questions: list[dict[str, Any]]) -> None:
    originals = {brief.name: fold(original_text(named_original(brief))) for brief in BRIEFS}
    for question in questions:
        files = {source["file"] for source in question["sources"]}
        for fact in question["facts"]:
            assert any(stated(fact, originals[name]) for name in files), (question["id"], fact)
