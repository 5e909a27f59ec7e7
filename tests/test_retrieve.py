from __future__ import annotations

from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.answer.llama import to_node
from rag.retrieve import Fusion, distinct, fuse, min_max, spread, subjects
from rag.types import Hit, Passage


def hit(number: int, text: str) -> Hit:
    return Hit(Passage(number, 7, "a.pdf", "T", number, 10, 10 + len(text), text, 3, ("One", "Two")), 1.0, 0.5, 2.0)


@given(st.lists(st.floats(-1e6, 1e6), max_size=30))
def test_min_max_scales_and_keeps_the_order(values: list[float]) -> None:
    scaled = min_max(np.array(values))
    assert ((scaled >= 0) & (scaled <= 1)).all()
    for (a, x), (b, y) in zip(
        zip(values, scaled, strict=True), list(zip(values, scaled, strict=True))[1:], strict=False
    ):
        assert (a <= b) == (x <= y) or x == y


def test_equal_values_scale_to_zero() -> None:
    assert min_max(np.array([3.0, 3.0])).tolist() == [0.0, 0.0]


scored = st.tuples(st.floats(-1, 1), st.floats(0, 50), st.floats(0, 1))


@given(st.lists(scored, min_size=1, max_size=40), st.floats(0, 1), st.floats(0, 2))
def test_fused_scores_lie_in_their_range(
    rows: list[tuple[float, float, float]], weight: float, document: float
) -> None:
    dense, lexical, own = (np.array(column) for column in zip(*rows, strict=True))
    fused = fuse(dense, lexical, own, Fusion(weight=weight, document=document))
    assert ((fused >= 0) & (fused <= 2 + 1e-9)).all()
    plain = fuse(dense, lexical, own, Fusion(weight=weight, document=0.0))
    assert np.allclose(plain, 2 * weight * min_max(dense) + 2 * (1 - weight) * min_max(lexical))
    for one, other in combinations(range(len(rows)), 2):
        if own[one] == own[other] and abs(plain[one] - plain[other]) > 1e-9:  # inside a document the order stays
            assert (fused[one] > fused[other]) == (plain[one] > plain[other])


@st.composite
def counted(draw: st.DrawFn) -> tuple[list[int], list[list[int]]]:
    sizes = draw(st.lists(st.integers(1, 5000), min_size=1, max_size=8))
    term = st.tuples(*(st.integers(0, size) for size in sizes)).map(list)
    return sizes, draw(st.lists(term, max_size=6))


@given(counted())
def test_how_much_a_document_is_about_a_question_lies_between_0_and_1(case: tuple[list[int], list[list[int]]]) -> None:
    sizes, counts = case
    found = subjects(np.array(counts, dtype=np.int64).reshape(-1, len(sizes)), np.array(sizes))
    assert found.shape == (len(sizes),)
    assert ((found >= 0) & (found <= 1 + 1e-9)).all()
    if len(sizes) == 1 or not counts:
        assert not found.any()


def test_a_document_is_about_what_it_names_throughout() -> None:
    sizes = np.array([200, 200, 200])
    company, everywhere, once = [150, 4, 0], [180, 190, 185], [0, 0, 1]
    assert subjects(np.array([company]), sizes) == pytest.approx([0.681, 0.041, 0.023], abs=1e-3)
    assert subjects(np.array([everywhere]), sizes).max() < 0.01, "what all name tells nothing"
    assert subjects(np.array([once]), sizes).max() < 0.01, "what one names once is chance"
    together = subjects(np.array([company, everywhere, once]), sizes)
    assert together.argmax() == 0 and together[0] > 0.5


def test_a_note_is_not_beaten_by_a_book_that_names_a_thing_more_often() -> None:
    """The note names it in both of its passages, the book in five of nine hundred."""
    note, book = subjects(np.array([[2, 5]]), np.array([2, 900]))
    assert note > book


def test_near_duplicates_are_left_out() -> None:
    text = "the annual leave of full time staff is twenty eight days in every calendar year without exception"
    hits = [hit(1, text), hit(2, text.upper()), hit(3, "quite another passage about parking"), hit(4, text + " now")]
    assert [h.passage.id for h in distinct(hits, 10)] == [1, 3]
    assert [h.passage.id for h in distinct(hits, 1)] == [1]


@pytest.mark.parametrize(
    "other", ["all staff are not paid in the last week of every month by bank transfer to their own account now",
              "all 40 staff are paid in the last week of every month by bank transfer to their own account now"],
)  # fmt: skip
def test_a_passage_that_contradicts_another_is_no_duplicate_of_it(other: str) -> None:
    """Two versions of a rule differ by one figure or one "not"; both must reach the answer."""
    text = "all staff are paid in the last week of every month by bank transfer to their own account now"
    assert [h.passage.id for h in distinct([hit(1, text), hit(2, other)], 10)] == [1, 2]


@given(st.lists(st.tuples(st.integers(1, 4), st.floats(0, 2)), max_size=20), st.floats(0, 1))
def test_the_best_of_each_document_is_heard_sooner(found: list[tuple[int, float]], again: float) -> None:
    found.sort(key=lambda one: -one[1])
    hits = [Hit(replace(hit(n, "x").passage, document_id=d), score, 0, 0) for n, (d, score) in enumerate(found)]
    heard = spread(hits, again)
    assert sorted(h.passage.id for h in heard) == [h.passage.id for h in hits] and heard[:1] == hits[:1]
    first = {h.passage.document_id: h for h in reversed(hits)}
    for before, after in pairwise(heard):
        owed = again * (
            (first[before.passage.document_id] is not before) - (first[after.passage.document_id] is not after)
        )
        assert before.score - owed >= after.score - 1e-9
    assert spread(hits, 0.0) == hits


def test_a_node_carries_what_a_citation_needs() -> None:
    node = to_node(hit(5, "text"))
    assert (node.node.node_id, node.score, node.node.metadata["page"]) == ("5", 1.0, 3)
    assert node.node.metadata["heading"] == "One > Two" and node.node.get_content() == "text"
