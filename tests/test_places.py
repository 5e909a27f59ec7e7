"""What a place is called: pages, slides, rows and cells of exactly the characters that are cited."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from rag.store.backends import open_truth
from rag.store.sqlite.schema import APPLICATION_ID, MIGRATIONS
from rag.types import Passage, Place, PlaceKind, place_name
from tests.store.material import EMBEDDER, put

PAGES = (Place(3, 0, 10, "page", "1"), Place(4, 10, 20, "page", "2"), Place(5, 20, 30, "page", "5"))
ROWS = "one\ntwo\nthree\nfour"


@pytest.mark.parametrize(
    ("places", "start", "end", "said"),
    [
        (PAGES, 0, 5, "page 3 (printed 1)"), (PAGES, 9, 11, "pages 3-4 (printed 1-2)"), (PAGES, 22, 23, "page 5"),
        (PAGES, 0, 30, "pages 3-5 (printed 1-5)"), (PAGES, 40, 50, ""), ((), 0, 5, ""),
        ([Place(7, 0, 18, "row")], 0, 3, "row 7"), ([Place(7, 0, 18, "row")], 4, 13, "rows 8-9"),
        ([Place(7, 4, 18, "line")], 0, 18, "lines 7-9"), ([Place(1, 0, 18, "sheet", "Q!A!B:D")], 8, 18, "Q!A!B3:D4"),
        ([Place(2, 0, 8, "slide"), Place(1, 4, 8, "hidden")], 5, 6, "slide 2, hidden text"),
        ([Place(1, 0, 4, "key", "a.b"), Place(2, 4, 8, "key", "a.c")], 0, 8, "key a.b - a.c"),
        ([Place(1, 0, 9, "message", "Ann, 3 May 2024, Boats")], 2, 3, "Ann, 3 May 2024, Boats"),
        ([Place(1, 0, 9, "note")], 2, 3, "note"), ([Place(2, 0, 3, "paragraph"), Place(3, 3, 9, "paragraph")], 0, 9,
                                                   "paragraphs 2-3"),
    ],
)  # fmt: skip
def test_names(places: tuple[Place, ...], start: int, end: int, said: str) -> None:
    assert place_name(places, start, end, ROWS) == said


@pytest.mark.parametrize("kind", ["row", "line", "sheet"])
def test_a_passage_counts_from_where_its_clipped_place_begins(kind: PlaceKind) -> None:
    whole = Place(7, 0, len(ROWS), kind, "A!A:B")
    for start in range(len(ROWS)):
        for end in range(start + 1, len(ROWS) + 1):
            clipped = whole.clipped(start, end, ROWS)
            passage = Passage(1, 1, "a", "", 0, start, end, ROWS[start:end], places=(clipped,))
            assert passage.place == place_name([whole], start, end, ROWS)


def test_an_older_library_s_passages_are_called_by_their_page() -> None:
    assert Passage(1, 1, "a.pdf", "", 0, 0, 3, "abc", 12).place == "page 12"
    assert Passage(1, 1, "a.md", "", 0, 0, 3, "abc").place == ""


def test_a_library_of_the_first_version_keeps_its_pages(tmp_path: Path) -> None:
    path = tmp_path / "library.sqlite3"
    connection = sqlite3.connect(path)
    connection.executescript(MIGRATIONS[0])
    connection.executescript(
        f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1;"
        "INSERT INTO collection VALUES (1, 'default', 1, '1', '{}', '', 0);"
        "INSERT INTO generation VALUES (1, 1, 'test', '', 16, '', '');"
        "INSERT INTO document VALUES (1, 1, 'a.pdf', 'A', 'application/pdf', '', 3, 3, 0, 2, 1, 0, '');"
        "INSERT INTO layout VALUES (1, '[[1, \"H\", 0]]', '[[1, 0, 3], [2, 3, 3]]');"
    )
    connection.close()
    with open_truth(tmp_path, writer=True) as truth:
        assert truth.documents.layout(1)[1] == (Place(1, 0, 3), Place(2, 3, 3))


def test_places_are_stored_with_passages_and_documents(tmp_path: Path) -> None:
    with open_truth(tmp_path, writer=True) as truth:
        collection = truth.collections.create("default", EMBEDDER, "1")
        document = put(truth, collection, "a.txt", "some text " * 30)
        assert [place.kind for place in truth.documents.layout(document.id)[1]] == ["page"] * 3
