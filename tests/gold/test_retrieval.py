from __future__ import annotations

import random

import ir_measures
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ir_measures import RR, R, Success, nDCG

from rag.gold.metrics.retrieval import (
    character_precision,
    covers,
    file_metrics,
    first_occurrences,
    found_at,
    hit,
    length,
    merge,
    ndcg,
    overlap,
    passage_metrics,
    recall,
    reciprocal_rank,
)
from rag.gold.types import Place

FILES = [f"f{number}" for number in range(12)]


def random_case(seed: int) -> tuple[list[str], set[str], int]:
    """A ranking with repeats, at least one gold file (perhaps never retrieved), and a k."""
    chance = random.Random(seed)
    ranking = [chance.choice(FILES) for _ in range(chance.randint(1, 30))]
    gold = set(chance.sample(FILES, chance.randint(1, 6)))
    return ranking, gold, chance.randint(1, 12)


def test_metrics_equal_ir_measures_on_1000_random_cases() -> None:
    for seed in range(1_000):
        ranking, gold, k = random_case(seed)
        run = {"q": {name: -float(rank) for rank, name in enumerate(first_occurrences(ranking))}}
        judged = {"q": dict.fromkeys(gold, 1)}
        oracle = ir_measures.calc_aggregate([Success @ k, R @ k, RR, nDCG @ k], judged, run)
        assert hit(ranking, gold, k) == pytest.approx(oracle[Success @ k])
        assert recall(ranking, gold, k) == pytest.approx(oracle[R @ k])
        assert reciprocal_rank(ranking, gold) == pytest.approx(oracle[RR])
        assert ndcg(ranking, gold, k) == pytest.approx(oracle[nDCG @ k])


def test_an_empty_ranking_scores_0() -> None:
    scores = file_metrics([], {"a"}, [1, 5])
    assert set(scores) == {"file_hit@1", "file_recall@1", "file_ndcg@1", "file_hit@5", "file_recall@5", "file_ndcg@5",
                           "file_rr"}  # fmt: skip
    assert set(scores.values()) == {0.0}
    assert set(passage_metrics([], [(Place("a", 0, 5),)], 5).values()) == {0.0}


@given(st.lists(st.sampled_from(FILES), max_size=40), st.sets(st.sampled_from(FILES), min_size=1), st.integers(1, 20))
def test_every_metric_lies_in_0_to_1_however_often_a_file_is_found(ranking: list[str], gold: set[str], k: int) -> None:
    for value in file_metrics(ranking, gold, [k]).values():
        assert 0 <= value <= 1 + 1e-12


PLACES = st.builds(
    lambda source, start, size: Place(source, start, start + size),
    st.sampled_from(["a", "b"]),
    st.integers(0, 50),
    st.integers(1, 30),
)


@given(st.lists(PLACES, max_size=12), st.lists(st.lists(PLACES, max_size=2).map(tuple), min_size=1, max_size=4),
       st.integers(1, 8))  # fmt: skip
def test_passage_metrics_lie_in_0_to_1_and_agree_with_each_other(
    ranking: list[Place], quotes: list[tuple[Place, ...]], k: int
) -> None:
    scores = passage_metrics(ranking, quotes, k)
    assert all(0 <= value <= 1 + 1e-12 for value in scores.values())
    assert (scores[f"passage_hit@{k}"] > 0) == (scores[f"passage_recall@{k}"] > 0) == (scores[f"passage_ndcg@{k}"] > 0)


@given(st.lists(PLACES, max_size=12), PLACES)
def test_a_quote_found_at_a_rank_stays_found_by_brute_force(ranking: list[Place], quote: Place) -> None:
    distinct = list(dict.fromkeys(ranking))
    expected = None
    for k in range(1, len(distinct) + 1):
        held = {i for p in distinct[:k] if p.source == quote.source for i in range(p.start, p.end)}
        if len(held & set(range(quote.start, quote.end))) >= 0.9 * (quote.end - quote.start):
            expected = k
            break
    assert found_at(ranking, [(quote,)]) == [expected]


def test_a_quote_across_two_passages_is_found_with_the_second() -> None:
    quote = (Place("a", 90, 110),)
    ranking = [Place("a", 0, 100), Place("b", 90, 110), Place("a", 100, 200)]
    assert found_at(ranking, [quote]) == [3]
    assert passage_metrics(ranking, [quote], 2)["passage_hit@2"] == 0.0
    assert passage_metrics(ranking, [quote], 3)["passage_hit@3"] == 1.0


def test_nine_tenths_of_a_quote_are_enough_and_less_is_not() -> None:
    assert covers([(0, 90)], (0, 100))
    assert not covers([(0, 89)], (0, 100))


def test_two_quotes_in_one_passage_give_a_full_ndcg() -> None:
    quotes = [(Place("a", 0, 10),), (Place("a", 20, 30),)]
    assert passage_metrics([Place("a", 0, 100)], quotes, 5)["passage_ndcg@5"] == pytest.approx(1.0)


def test_any_place_of_a_repeated_quote_will_do() -> None:
    quote = (Place("a", 0, 10), Place("a", 500, 510))
    assert found_at([Place("a", 495, 600)], [quote]) == [1]


def test_character_precision_counts_each_character_once() -> None:
    passages = [Place("a", 0, 100), Place("a", 50, 150), Place("b", 0, 50)]
    assert character_precision(passages, [(Place("a", 60, 80),)]) == pytest.approx(20 / 200)


SPANS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=8)


@given(SPANS, SPANS)
def test_span_arithmetic_equals_sets(a: list[tuple[int, int]], b: list[tuple[int, int]]) -> None:
    left = {i for start, end in a for i in range(start, end)}
    right = {i for start, end in b for i in range(start, end)}
    assert length(a) == len(left)
    assert overlap(a, b) == len(left & right)
    assert {i for start, end in merge(a) for i in range(start, end)} == left
