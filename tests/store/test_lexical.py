"""How a question becomes terms, and what FTS5 is asked with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.store.tables import lexical
from rag.store.terms import Term, query_terms, searchable
from tests.store.material import EMBEDDER, prose, put, writer


def test_common_words_choose_no_candidates_but_still_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with writer(tmp_path) as truth:
        collection = truth.collections.create("default", EMBEDDER, "v1")
        for number in range(30):
            put(truth, collection, f"{number}.txt", f"{'shared' if number < 12 else ''} n{number % 3} n{number}")
        search = truth.lexical
        full = search.search(collection.id, "n0 shared", 50)
        assert len(full) == 18
        monkeypatch.setattr(lexical, "SEARCH_ROWS", 10)
        rare = search.search(collection.id, "n0 shared", 50)
        assert rare == [hit for hit in full if hit[0] in dict(rare)], "the same scores, on fewer candidates"
        assert len(rare) == 10
        monkeypatch.setattr(lexical, "SCORE_ROWS", 10)
        assert len({score for _, score in search.search(collection.id, "n0 shared", 50)}) < len(dict(rare))
        assert len(search.search(collection.id, "shared", 50)) == 12, "the last term is never dropped"


def test_terms_of_a_question() -> None:
    assert query_terms("Hello, hello WORLD_wide 'n' ﬁne", 32) == [
        Term("hello"), Term("world"), Term("wide"), Term("n"), Term("fine"),
    ]  # fmt: skip
    assert query_terms("東京タワー", 32) == [Term("東京"), Term("京タ"), Term("タワ"), Term("ワー")]
    assert query_terms("猫 ไทย ไท", 32) == [Term("猫", prefix=True), Term("ไทย"), Term("ไท", prefix=True)]
    assert query_terms("--- \"' () *", 32) == []
    assert len(query_terms(prose(1, 500), 32)) == 32
    assert searchable("plain\0text") == "plain text"
    assert searchable("A 東京b, é_ö").split() == ["a", "東京", "京", "b", "é", "ö"]


def test_what_holds_all_words_is_counted_and_the_first_given(tmp_path: Path) -> None:
    with writer(tmp_path) as truth:
        collection = truth.collections.create("default", EMBEDDER, "v1")
        for number in range(12):
            put(truth, collection, f"{number}.txt", f"crane lifts {'gravel' if number % 2 else 'sand'} {number}")
        search = truth.lexical
        ids, total = search.holding(collection.id, ["cranes", "gravel"], 4)
        assert total == 6 and len(ids) == 4 and ids == sorted(ids)
        assert search.holding(collection.id, ["crane", "marble"], 4) == ([], 0)
        assert search.holding(collection.id, [], 4) == ([], 0)
