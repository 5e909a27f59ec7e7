"""Questions over many of a kind are answered from all of them, and comparisons for each side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rag.answer.quoting import Series, ranging_of, sides_of
from rag.answer.quoting.series import MOST
from rag.library import Library
from rag.types import Answer, Hit, Outcome
from tests.answer.passages import hits, passage

LIGHTS = {"Alnes": (1853, 17), "Brek": (1901, 41), "Dorv": (1779, 9), "Ekra": (1932, 28), "Fjell": (1888, 33)}
WAGONS = 120
CRANES = MOST + 60


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """Lighthouses in files of their own, a table of wagons, and more cranes than are read."""
    home = tmp_path_factory.mktemp("series")
    folder = home / "documents"
    folder.mkdir()
    for name, (year, range_) in LIGHTS.items():
        text = f"# Lighthouse {name}\n\nThe lighthouse {name} was lit in {year}. Its light reaches {range_} miles.\n"
        (folder / f"{name}.md").write_text(text, encoding="utf-8")
    rows = "".join(f"| W-{number:04} | type {number % 7} | {number * 37 % 101 + 10} |\n" for number in range(1, WAGONS))
    (folder / "wagons.md").write_text(
        f"# Wagons\n\n| Wagon | Type | Load (tonnes) |\n|---|---|---|\n{rows}| W-0200 | type 9 | 300 |\n",
        encoding="utf-8",
    )
    for number in range(CRANES):
        (folder / f"crane-{number:03}.txt").write_text(
            f"Crane {number} of the western quay lifts {number + 20} tons at full reach.\n", encoding="utf-8"
        )
    with Library.open(home / "library", llm="quotes", embedder="builtin", encoder="off") as library:
        library.ingest(folder)
        yield library


def names_in(answer: Answer) -> list[str]:
    return [name for name in LIGHTS if any(name in s.text for s in answer.sentences)]


@pytest.mark.parametrize(
    ("question", "names"),
    [
        ("Which lighthouse reaches the most miles?", ["Brek"]),
        ("Which lighthouse reaches the fewest miles?", ["Dorv"]),
        ("Which lighthouse was lit first?", ["Dorv"]),
        ("Which lighthouse was lit last?", ["Ekra"]),
        ("Which lighthouses were lit before 1880?", ["Alnes", "Dorv"]),
        ("Which lighthouses were lit after 1900?", ["Brek", "Ekra"]),
        ("List all lighthouses.", list(LIGHTS)),
        ("How many lighthouses are there?", list(LIGHTS)),
    ],
)
def test_all_of_a_kind_are_read_and_sorted_or_counted(library: Library, question: str, names: list[str]) -> None:
    answer = library.ask(question)
    assert answer.outcome is Outcome.ANSWERED and names_in(answer) == names, answer.text
    assert "5 sentences of this kind" in answer.text
    for mark in answer.markers:
        assert answer.text[mark.start : mark.end] == f"[{answer.citations[mark.citation].marker}]"
    assert {c.passage_id for c in answer.citations} <= {hit.passage.id for hit in answer.hits}


def test_the_rows_of_a_table_are_read_wherever_they_stand(library: Library) -> None:
    answer = library.ask("Which wagon has the largest load?")
    assert f"{WAGONS} rows of this kind, the highest in \u201cLoad (tonnes)\u201d" in answer.text
    (row,) = answer.sentences
    assert "W-0200" in row.text


def test_of_more_than_are_read_it_is_said_how_many(library: Library) -> None:
    text = library.ask("Which crane of the western quay lifts the most tons?").text
    assert f"seen in {MOST} of {CRANES} passages" in text


def test_what_a_sentence_says_outright_is_not_sorted_out(tmp_path: Path) -> None:
    texts = {
        "a.md": "The largest lake is Lake Orm. It covers 90 square miles.",
        "b.md": "Lake Vann covers 40 square miles.", "c.md": "Lake Isk covers 50 square miles.",
        "d.md": "Lake Tun covers 60 square miles.",
    }  # fmt: skip
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    with Library.open(tmp_path / "library", llm="quotes", embedder="builtin", encoder="off") as library:
        library.ingest([tmp_path / name for name in texts])
        answer = library.ask("What is the largest lake?")
    assert "Lake Orm" in answer.text and "of this kind" not in answer.text


@pytest.mark.parametrize(
    "question", ["Where is the canteen?", "Who founded the company?", "", "before", "???", "Why most?"]
)
def test_a_question_for_one_thing_ranges_over_nothing(question: str) -> None:
    assert (ranging_of(question) is None) == (question != "Why most?")


@pytest.mark.parametrize(
    ("question", "sides"),
    [
        ("Was Brek or Ekra lit earlier?", ["Brek", "Ekra"]),
        ("How did sales change from 2022 to 2024?", ["2022", "2024"]),
        ("Compare Brek, Dorv and Ekra.", ["Brek", "Dorv", "Ekra"]),
        ("What do ERR-4041 and ERR-4042 mean?", ["ERR-4041", "ERR-4042"]),
        ("Who lit the lighthouse Brek in 1901?", []),
        ("Where do Mary Poppins and her friends live?", []),
    ],
)
def test_the_sides_of_a_comparison_are_told_apart(question: str, sides: list[str]) -> None:
    assert [side.name for side in sides_of(question)] == sides


def test_each_side_is_answered_or_said_to_be_missing(library: Library) -> None:
    assert names_in(library.ask("When were the lighthouses Brek and Ekra lit?")) == ["Brek", "Ekra"]
    answer = library.ask("When were the lighthouses Brek and Zand lit?")
    assert names_in(answer)[:1] == ["Brek"] and "The documents do not name Zand." in answer.notices


def test_a_model_reads_the_members_that_answer_first() -> None:
    found = hits({"a.md": "Alnes.", "b.md": "Brek.", "c.md": "Dorv."})
    other = Hit(passage("Ekra.", 9), 0.0, 0.0, 0.0)
    led = Series("", "", hits=(other, replace(found[1], score=0.0))).led(found)
    assert [hit.passage.text for hit in led] == ["Ekra.", "Brek.", "Alnes."]
    assert led[1] == found[1]
