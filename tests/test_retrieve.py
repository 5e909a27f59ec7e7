from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rag.retrieve import distinct, min_max, to_node
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


def test_near_duplicates_are_left_out() -> None:
    text = "the annual leave of full time staff is twenty eight days in every calendar year without exception"
    hits = [hit(1, text), hit(2, text.upper()), hit(3, "quite another passage about parking"), hit(4, text + " now")]
    assert [h.passage.id for h in distinct(hits, 10)] == [1, 3]
    assert [h.passage.id for h in distinct(hits, 1)] == [1]


def test_a_node_carries_what_a_citation_needs() -> None:
    node = to_node(hit(5, "text"))
    assert (node.node.node_id, node.score, node.node.metadata["page"]) == ("5", 1.0, 3)
    assert node.node.metadata["heading"] == "One > Two" and node.node.get_content() == "text"
