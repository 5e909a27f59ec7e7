"""Full-text search finds what it should, and never fails on a question."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.store.terms import query_terms
from rag.store.truth import Collection, Truth
from tests.store.contract.conftest import Backend
from tests.store.material import EMBEDDER, prose, put

TEXTS = {
    "cat.txt": "The quick brown fox jumps over the lazy dog while the cats watch.",
    "cafe.txt": "Le café de la gare était fermé; naïve résumé.",
    "ja.txt": "日本の首都は東京です。猫が好きです。",
    "zh.txt": "中华人民共和国的首都是北京。",
    "th.txt": "กรุงเทพมหานครเป็นเมืองหลวงของประเทศไทย",
    "hi.txt": "नई दिल्ली भारत की राजधानी है।",
    "ko.txt": "대한민국의 수도는 서울이다.",
    "code.txt": "Set num_ctx=8192 and RAG_LIBRARY; call foo.bar() in C++ or AT&T.",
}


@pytest.fixture(name="library", scope="module")
def texts(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Truth, Collection]]:
    """One library with every text."""
    with backend.open(tmp_path_factory.mktemp("lexical")) as truth:
        collection = truth.collections.create("default", EMBEDDER, "v1")
        for source, text in TEXTS.items():
            put(truth, collection, source, text, title=source)
        yield truth, collection


@pytest.mark.parametrize(
    ("question", "source"),
    [
        ("quick FOX?", "cat.txt"),
        ("jumping", "cat.txt"),
        ("cat", "cat.txt"),
        ("cafe ferme", "cafe.txt"),
        ("ＣＡＦＥ\u0301", "cafe.txt"),
        ("日本の首都はどこですか", "ja.txt"),
        ("東京", "ja.txt"),
        ("猫", "ja.txt"),
        ("北京", "zh.txt"),
        ("เมืองหลวงของไทย", "th.txt"),
        ("दिल्ली", "hi.txt"),
        ("서울", "ko.txt"),
        ("num_ctx", "code.txt"),
        ("what is AT&T", "code.txt"),
    ],
)
def test_the_right_document_comes_first(library: tuple[Truth, Collection], question: str, source: str) -> None:
    truth, collection = library
    hits = truth.lexical.search(collection.id, question, 5)
    best = truth.passages.get([hits[0][0]])[hits[0][0]]
    assert best.source == source
    assert hits == sorted(hits, key=lambda hit: -hit[1])
    assert all(score >= 0 for _, score in hits)


def test_scores_of_any_passage_agree_with_the_search(library: tuple[Truth, Collection]) -> None:
    truth, collection = library
    search = truth.lexical
    question = "the quick dog in the café 東京 num_ctx"
    hits = dict(search.search(collection.id, question, 100))
    ids = [int(i) for i in truth.vectors.all(collection.id)[0]]
    assert len(hits) < len(ids)
    assert search.scores(collection.id, question, ids) == {i: pytest.approx(hits.get(i, 0.0)) for i in ids}
    assert search.scores(collection.id, question, [10**9]) == {10**9: 0.0}
    both = search.rank(collection.id, question, 1, lambda: [ids[-1], 10**9])
    first = search.search(collection.id, question, 1)
    assert both == pytest.approx({ids[-1]: hits.get(ids[-1], 0.0), 10**9: 0.0, **dict(first)})
    assert search.scores(collection.id, question, []) == {}
    assert search.search(collection.id, question, 0) == []


def test_frequencies_follow_the_library(backend: Backend, tmp_path: Path) -> None:
    with backend.open(tmp_path) as truth:
        collection = truth.collections.create("default", EMBEDDER, "v1")
        search = truth.lexical
        assert truth.passages.count(collection.id) == 0
        assert search.document_frequency(collection.id, "walking") == 0
        put(truth, collection, "a", "He walks.")
        put(truth, collection, "b", "She walked home.")
        assert truth.passages.count(collection.id) == 2
        assert search.document_frequency(collection.id, "Walking") == 2
        assert search.document_frequency(collection.id, "walk home") == 1
        assert search.document_frequency(collection.id, "?!") == 0
        truth.documents.remove(collection.id, "b")
        assert search.document_frequency(collection.id, "walk") == 1
        assert search.search(collection.id, "home", 5) == []
        assert search.document_frequency(99, "walk") == 0
        assert search.search(99, "walk", 5) == []


def test_a_title_counts_more_than_the_text(backend: Backend, tmp_path: Path) -> None:
    with backend.open(tmp_path) as truth:
        collection = truth.collections.create("default", EMBEDDER, "v1")
        put(truth, collection, "a.txt", "apple stands in the text", title="Fruit")
        put(truth, collection, "b.txt", "fruit stands in the text", title="Apple")
        best = truth.lexical.search(collection.id, "apple", 2)[0][0]
        assert truth.passages.get([best])[best].title == "Apple"


NASTY = [
    "", " ", '"', '""', "'", "*", "a*", "^a", "a OR", "AND", "NOT a", "NEAR(a b)", "NEAR(", "a AND NOT", "head:a",
    "{head body}: a", "-a", "+", "a + b", "(((", ")", "\\", "\0", "a\0b", "%", "_", ";DROP TABLE document;--",
    "\ud800", "a\udfffb", "\U0010ffff", "\u202e", "ﷺ" * 50, "a" * 100_000, "é" * 9_000, "🎉👩‍👩‍👧‍👦", "\u0301" * 100,
    "ก" * 1000, "漢" * 5000, "１２３", "ſtraße İI ıi", "\u1e9e", "$1 :a ?1 @b", "rank", "fts_1", "\r\n\t\x0b",
]  # fmt: skip


@pytest.mark.parametrize("question", NASTY, ids=range(len(NASTY)))
def test_no_nasty_question_breaks_the_search(library: tuple[Truth, Collection], question: str) -> None:
    _ask(library, question)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200))
def test_no_question_at_all_breaks_the_search(library: tuple[Truth, Collection], question: str) -> None:
    _ask(library, question)


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("\"*^()+-:{}~\\\0 ANDORTNE'aé東猫ไท\ud800\u0301_"), max_size=40))
def test_no_syntax_breaks_the_search(library: tuple[Truth, Collection], question: str) -> None:
    _ask(library, question)


def _ask(library: tuple[Truth, Collection], question: str) -> None:
    truth, collection = library
    search = truth.lexical
    hits = search.search(collection.id, question, 10)
    assert search.scores(collection.id, question, [i for i, _ in hits]) == {i: pytest.approx(s) for i, s in hits}
    search.document_frequency(collection.id, question)


@settings(max_examples=100, deadline=None)
@given(st.text(min_size=1, max_size=60))
def test_every_word_of_a_text_finds_it(library: tuple[Truth, Collection], text: str) -> None:
    truth, collection = library
    document = put(truth, collection, "drawn.txt", text)
    ids = {p.id for p in truth.passages.of(document.id)}
    search = truth.lexical
    for term in query_terms(text, 1000)[:20]:
        if len(term.text) < 1000:
            assert ids & {i for i, _ in search.search(collection.id, term.text, 1000)}, term


def test_each_documents_passages_with_a_term_are_counted(backend: Backend, tmp_path: Path) -> None:
    with backend.open(tmp_path) as truth:
        collection = truth.collections.create("default", EMBEDDER, "v1")
        for number in range(6):
            put(truth, collection, f"{number}.txt", prose(number, 150), title=f"{number}")
        put(truth, collection, "2.txt", prose(20, 90), title="2")
        documents = truth.documents.list(collection.id)
        passages = {d.id: truth.passages.of(d.id) for d in documents}
        homes = truth.passages.homes([own[0].id for own in passages.values()]).values()
        assert [(home.document, home.size) for home in homes] == [(d.id, d.passages) for d in documents]
        question = "word17 word3 word999 word201 word77"
        counts = truth.lexical.counts(collection.id, question, list(homes))
        words = {d: [set(p.text.split()) for p in own] for d, own in passages.items()}
        expected = [[sum(w in own for own in words[d.id]) for d in documents] for w in question.split()]
        assert sorted(counts.tolist()) == sorted(row for row in expected if any(row)) != []
        assert truth.lexical.counts(collection.id, "absent?", list(homes)).shape == (0, 6)
        assert truth.lexical.counts(collection.id, question, []).shape[1] == 0
