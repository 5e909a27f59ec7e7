from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.text import find_folded, fold, fold_with_map, remove_invisible, words


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("  A \n\t b ", "a b"),
        ("“Quoted” – it’s", '"quoted" - it\'s'),
        ("co-\noperate", "cooperate"),
        ("co\u00adoperate", "cooperate"),
        ("ﬁve ½", "five 1⁄2"),
        ("e\u0301", "é"),
        ("zero\u200bwidth", "zerowidth"),
        ("", ""),
    ],
)
def test_fold(text: str, folded: str) -> None:
    assert fold(text) == folded


@given(st.text())
def test_the_map_points_into_the_text(text: str) -> None:
    folded, origin = fold_with_map(text)
    assert len(origin) == len(folded) + 1
    assert all(a <= b for a, b in itertools.pairwise(origin))
    assert all(0 <= o <= len(text) for o in origin)
    assert "  " not in folded and folded == folded.strip()


@given(st.text(), st.text(min_size=1), st.text())
def test_a_part_is_found_where_it_stands(before: str, part: str, after: str) -> None:
    haystack = f"{before} {part} {after}"
    found = find_folded(part, haystack)
    if not fold(part):
        assert found is None
        return
    assert found is not None
    start, end = found
    assert 0 <= start < end <= len(haystack)
    assert fold(part) in fold(haystack[max(0, start - 2) : end + 2]) or fold(haystack[start:end])


def test_find_folded_gives_exact_offsets() -> None:
    text = "He said:\n“the pro-\nrata entitlement  is 15 days”, then left."
    found = find_folded("the prorata entitlement is 15 days", text)
    assert found is not None
    assert text[found[0] : found[1]] == "the pro-\nrata entitlement  is 15 days"
    assert find_folded("sixteen days", text) is None


def test_invisible_characters_go() -> None:
    assert remove_invisible("a\u202eb\u200bc\U000e0041d") == "abcd"


def test_words() -> None:
    assert words("Ünïcode №5, it's ＡＢＣ") == ["ünïcode", "no5", "it", "s", "abc"]
