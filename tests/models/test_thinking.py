"""Thinking is taken out of an answer wherever the pieces are cut, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.models.client import ThinkFilter


def parted(pieces: list[str]) -> tuple[str, str]:
    """Answer and thinking of a stream of pieces."""
    parts = ThinkFilter()
    found = [parts.feed(piece) for piece in pieces] + [parts.finish()]
    return "".join(answer for answer, _ in found), "".join(thinking for _, thinking in found)


@pytest.mark.parametrize(
    ("text", "answer", "thinking"),
    [
        ("Hello", "Hello", ""),
        ("<think>a</think>Hello", "Hello", "a"),
        ("\n<think>\na < b </thin\n</think>\n\n Hello", "Hello", "\na < b </thin\n"),
        ("<thinking>a</think>b</thinking>Hello", "Hello", "a</think>b"),
        ("<think>a</think> <think>b</think>c", "c", "ab"),
        ("<think></think>Hello", "Hello", ""),
        ("<think>never ends", "", "never ends"),
        ("<think>ends</thi", "", "ends</thi"),
        ("<thin", "<thin", ""),
        ("<b>bold</b>", "<b>bold</b>", ""),
        ("Use the tag <think>x</think> so.", "Use the tag <think>x</think> so.", ""),
        ("  ", "", ""),
    ],
)
def test_every_cut_gives_the_same(text: str, answer: str, thinking: str) -> None:
    assert parted([text]) == (answer, thinking)
    assert parted(list(text)) == (answer, thinking)
    for cut in range(len(text)):
        assert parted([text[:cut], text[cut:]]) == (answer, thinking)


@given(st.lists(st.text(alphabet="<>/thinkg a\n", max_size=6), max_size=12))
def test_cuts_never_matter(pieces: list[str]) -> None:
    assert parted(pieces) == parted(["".join(pieces)])


@given(st.text(min_size=1).filter(lambda text: not text.lstrip().startswith("<t")))
def test_an_answer_without_thinking_is_untouched(text: str) -> None:
    assert parted(list(text)) == (text.lstrip(), "")
