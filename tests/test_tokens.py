from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.tokens import FIRST_FACTOR, TokenCounter, caution, count, fewest, truncate


def test_known_counts() -> None:
    # cl100k_base: "hello world" is two tokens; a special token's text is counted as plain text.
    assert count("hello world") == 2
    assert count("") == 0
    assert count("<|endoftext|>") > 1


@given(st.text(), st.integers(0, 50))
def test_truncated_text_is_a_beginning(text: str, limit: int) -> None:
    cut = truncate(text, limit)
    assert text.startswith(cut)
    if count(text) <= limit:
        assert cut == text


def test_the_counter_learns_from_the_server() -> None:
    counter = TokenCounter()
    assert counter.factor == FIRST_FACTOR
    text = "word " * 400
    for _ in range(30):
        counter.observe(counter.count(text), 480, counter.factor)
    assert 480 <= counter.count(text) <= 480 * 1.06


def test_estimates_made_at_the_same_time_do_not_add_up() -> None:
    counter = TokenCounter()
    estimates = [(counter.count("word " * 400), counter.factor) for _ in range(20)]
    for estimated, factor in estimates:
        counter.observe(estimated, 800, factor)
    assert 800 <= counter.count("word " * 400) <= 800 * 1.06


def test_a_count_that_is_missing_teaches_nothing() -> None:
    counter = TokenCounter(1.2, 5)
    counter.observe(0, 5, 1.2)
    counter.observe(5, 0, 1.2)
    assert (counter.factor, counter.observations) == (1.2, 5)


def test_a_script_that_the_model_is_good_at_is_learnt_with_care() -> None:
    counter = TokenCounter()
    for _ in range(60):
        counter.observe(counter.count("नमस्ते दुनिया " * 50), count("नमस्ते दुनिया " * 50) // 3, counter.factor)
    assert 0.5 <= counter.factor < 0.6


@pytest.mark.parametrize(
    ("text", "least"),
    [("", 0), ("two words", 2), ("One, two - three.", 4), ("中华人民共和国成立", 1 + 2), ("ภาษาไทยเขียนติดกัน", 1 + 4)],
)
def test_the_fewest_tokens_of_a_text(text: str, least: int) -> None:
    assert fewest(text) == least <= count(text)


@given(st.text(alphabet="ab 12.é漢ไ\n", max_size=200))
def test_no_estimate_is_below_the_fewest(text: str) -> None:
    assert fewest(text) <= count(text)


@pytest.mark.parametrize(
    ("estimated", "reported", "factor"),
    [(1000, 0, 1.3), (1000, 500, 1.3), (1000, 2000, 2.1), (1000, 10**9, 8.0), (0, 0, 1.3)],
)
def test_caution_is_bounded(estimated: int, reported: int, factor: float) -> None:
    assert caution(estimated, reported) == factor


@given(st.lists(st.integers(60, 300), min_size=1, max_size=20))
def test_the_factor_stays_near_what_was_seen(reports: list[int]) -> None:
    counter = TokenCounter(1.0, 0)
    for reported in reports:
        counter.observe(counter.count("x " * 100), reported, counter.factor)
    assert 0.2 < counter.factor < 4
