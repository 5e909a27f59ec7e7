from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.retrieve import Fusion, distinct, fuse, min_max, to_node
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


scored = st.tuples(st.floats(-1, 1), st.floats(0, 50), st.integers(1, 5))


@given(st.lists(scored, min_size=1, max_size=40), st.floats(0, 1), st.floats(0, 2))
def test_fused_scores_lie_in_their_range(rows: list[tuple[float, float, int]], weight: float, document: float) -> None:
    dense, lexical = np.array([d for d, _, _ in rows]), np.array([b for _, b, _ in rows])
    homes = [(number, number * 7) for *_, number in rows]
    fused = fuse(dense, lexical, homes, Fusion(weight=weight, document=document))
    assert ((fused >= 0) & (fused <= 2 + 1e-9)).all()
    plain = fuse(dense, lexical, homes, Fusion(weight=weight, document=0.0))
    assert np.allclose(plain, 2 * weight * min_max(dense) + 2 * (1 - weight) * min_max(lexical))
    for one, other in combinations(range(len(rows)), 2):
        if homes[one] == homes[other] and abs(plain[one] - plain[other]) > 1e-9:  # inside a document the order stays
            assert (fused[one] > fused[other]) == (plain[one] > plain[other])


def test_of_equal_passages_that_of_the_document_on_the_subject_wins() -> None:
    dense, lexical = np.array([0.5, 0.5, 0.48, 0.4, 0.1]), np.array([5.0, 5.0, 4.8, 4.0, 0.0])
    homes = [(1, 90), (2, 90), (2, 90), (2, 90), (3, 90)]
    fused = fuse(dense, lexical, homes, Fusion())
    assert fused[1] > fused[0] > fused[4]


def test_a_long_document_wins_nothing_over_a_note_of_one_passage() -> None:
    """One good passage among a book's and a whole note that is as good: the note is on the subject."""
    fused = fuse(np.array([0.5, 0.5, 0.1]), np.array([5.0, 5.0, 0.0]), [(1, 900), (2, 1), (1, 900)], Fusion())
    assert fused[1] > fused[0]


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


def test_a_node_carries_what_a_citation_needs() -> None:
    node = to_node(hit(5, "text"))
    assert (node.node.node_id, node.score, node.node.metadata["page"]) == ("5", 1.0, 3)
    assert node.node.metadata["heading"] == "One > Two" and node.node.get_content() == "text"
