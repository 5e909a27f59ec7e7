"""Word vectors that are remembered are those that are computed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.models import static
from rag.models.static import DIMENSION, StaticVectors, static_vectors

WORDS = st.lists(st.one_of(st.text(max_size=60), st.sampled_from(["leave", "days", "Straße", "水", "x" * 200])))


@given(WORDS)
def test_remembered_words_are_the_computed_ones(words: list[str]) -> None:
    vectors = static_vectors()
    expected = vectors.embed(words)
    for _ in range(2):
        rows = vectors.embed_words(words)
        assert rows.shape == (len(words), DIMENSION)
        assert np.array_equal(rows, expected)


def test_memory_is_bounded_and_rows_stay_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(static, "_REMEMBERED", 10)
    vectors = StaticVectors()
    words = [f"word{number}" for number in range(25)]
    for first in range(20):
        some = words[first : first + 5]
        assert np.array_equal(vectors.embed_words(some), vectors.embed(some))
        assert 1 <= len(vectors._words) <= 10
    vectors.embed_words(["x" * 10_000])
    assert all(len(word) <= 40 for word in vectors._words)


def test_threads_share_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(static, "_REMEMBERED", 50)
    vectors = StaticVectors()
    words = [f"word{number}" for number in range(200)]
    expected = vectors.embed(words)

    def look(first: int) -> bool:
        return np.array_equal(vectors.embed_words(words[first : first + 40]), expected[first : first + 40])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(look, list(range(160)) * 2))
