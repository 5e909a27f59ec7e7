"""The streaming marker parser."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.answer.markers import Marker, MarkerParser, join, parse

PIECES = st.lists(
    st.sampled_from(
        ["[", "]", "[[", "]]", "(", ")", "【", "】", "［", "］", "1", "2", "12", "³", "٣", " ", ", ", "-", "–", "^",
         "#", "and", "Source ", "Sources 1", "source", "So", "S", "Quelle", "Bron ", "来源",
         "(see ", "; ", " – ", "`", "``", "```", "~~~", "\n", "x", "word ", "†",
         ":", ".", "/a.md", "\u200b", "\u202e", "é"]
    ),
    max_size=30,
).map("".join)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "numbers", "invalid"),
    [
        ("[1]", (1,), 0),
        ("[1, 3]", (1, 3), 0),
        ("[1,3]", (1, 3), 0),
        ("[1; 2]", (1, 2), 0),
        ("[1 and 2]", (1, 2), 0),
        ("[1-3]", (1, 3, 2), 0),
        ("[1–3]", (1, 3, 2), 0),
        ("[[2]]", (2,), 0),
        ("[^1]", (1,), 0),
        ("[#2]", (2,), 0),
        ("【1】", (1,), 0),
        ("【1†source】", (1,), 0),
        ("［2］", (2,), 0),
        ("〔2〕", (2,), 0),
        ("[Source 1]", (1,), 0),
        ("[source: 2]", (2,), 0),
        ("[Sources 1, 2]", (1, 2), 0),
        ("[Source 1, Source 3]", (1, 3), 0),
        ("[Source 1: leave.pdf]", (1,), 0),
        ("[1, p. 4]", (1,), 0),
        ("[doc 2]", (2,), 0),
        ("(Source 3)", (3,), 0),
        ("Source 2", (2,), 0),
        ("Sources 1 and 3", (1, 3), 0),
        ("[1](https://evil.example/x.png)", (1,), 0),
        ("[\u200b1]", (1,), 0),
        ("[1, 1]", (1,), 0),
        ("[4]", (), 1),
        ("[0]", (), 1),
        ("[2, 9]", (2,), 1),
        ("[999999999]", (), 1),
        ("[2024]", (), 1),
        ("[1, page 3]", (1,), 0),
        ("[2; leave.pdf]", (2,), 0),
        ("[Source 2 – leave (final).pdf]", (2,), 0),
        ("[Source 2 (leave.pdf)]", (2,), 0),
        ("[Source 2 leave.pdf]", (2,), 0),
        ("【2:0†leave.pdf】", (2,), 0),
        ("[^2^]", (2,), 0),
        ("([2])", (2,), 0),
        ("([1], [3])", (1, 3), 0),
        ("([7])", (), 1),
        ("(see [2])", (2,), 0),
        ("(see source 2)", (2,), 0),
        ("(according to source 2)", (2,), 0),
        ("(Source: 2)", (2,), 0),
        ("(Source [2])", (2,), 0),
        ("(Sources: [1], [3])", (1, 3), 0),
        ("(Source 2, page 3)", (2,), 0),
        ("(source 1; source 2)", (1, 2), 0),
        ("Source [2]", (2,), 0),
        ("Source [7]", (), 1),
        ("Sources [1], [2]", (1, 2), 0),
        ("SOURCE 2", (2,), 0),
        ("Quelle 2", (2,), 0),
        ("[Quelle 2]", (2,), 0),
        ("[Document 2]", (2,), 0),
        ("[Fuentes 1, 2]", (1, 2), 0),
        ("[fonte 2]", (2,), 0),
        ("[bron 2]", (2,), 0),
        ("[Источник 2]", (2,), 0),
        ("[来源2]", (2,), 0),
        ("[出典：2]", (2,), 0),
        ("[المصدر ٢]", (2,), 0),
        ("(siehe Quelle 2)", (2,), 0),
    ],
)
def test_variants(text: str, numbers: tuple[int, ...], invalid: int) -> None:
    parts = parse(f"Before {text} after.", 3)
    assert parts == ["Before ", Marker(numbers, invalid), " after."]


@pytest.mark.parametrize(
    "text",
    [
        "a list[0:1] of `x[1]` things",
        "``a ` [1]``",
        "```python\nx[1]\n```",
        "~~~\n[1]\n~~~",
        "   ```\n[1] and Source 1\n",
        "(1) first (2) second",
        "[one] [1a] [] [1.5] [a 1]",
        "Open Source 2024 and Source 9",
        "Resource 1, Source 1.5, Source 1a",
        "[1\n]",
        "[1",
        "【",
        "\\[x\\]",
        "(see Source)",
        "(see 2) and (page 1)",
        "(in 2 days) (from 1 to 3)",
        "[2 apples] [1/2] [+1]",
        "Bronze 2 and Sourced 1",
        "a source 2 miles away",
    ],
)
def test_plain_text_stays(text: str) -> None:
    assert parse(text, 3) == [text]


def test_a_number_in_parentheses_is_no_marker() -> None:
    assert parse("So (1).", 3) == ["So (1)."]


def test_neighbours_and_words_after_a_marker() -> None:
    assert parse("A [1][3] (really).", 3) == ["A ", Marker((1,)), Marker((3,)), " (really)."]
    assert parse("A [1], [2]; [3].", 3) == ["A ", Marker((1,)), Marker((2,)), Marker((3,)), "."]
    assert parse("A [1], B [2], [x].", 3) == ["A ", Marker((1,)), ", B ", Marker((2,)), ", [x]."]
    assert parse("[see [1]] [[2]", 3) == ["[see ", Marker((1,)), "] [", Marker((2,))]
    assert parse("A [1](really).", 3) == ["A ", Marker((1,)), "(really)."]


def test_code_ends() -> None:
    parts = parse("```\n[1]\n```\nSo it is [2]. `x[1]` too [3]; a lone ` tick [1].", 3)
    assert [part for part in parts if isinstance(part, Marker)] == [Marker((2,)), Marker((3,)), Marker((1,))]


def test_code_on_a_line_is_no_block() -> None:
    assert parse("```x[1]``` is code [2]", 3) == ["```x[1]``` is code ", Marker((2,))]


@given(PIECES, st.data())
def test_chunking_changes_nothing_and_no_half_marker_shows(text: str, data: st.DataObject) -> None:
    whole = parse(text, 3)
    parser = MarkerParser(3)
    parts: list[str | Marker] = []
    at = 0
    while at < len(text):
        size = data.draw(st.integers(1, 5))
        parts += parser.feed(text[at : at + size])
        at += size
        shown = join(parts)
        assert shown[:-1] == whole[: max(0, len(shown) - 1)]
        if shown:
            expected = whole[len(shown) - 1]
            last = shown[-1]
            if isinstance(expected, str) and isinstance(last, str):
                assert expected.startswith(last)
            else:
                assert expected == last
    assert join(parts + parser.finish()) == whole


@given(PIECES)
def test_nothing_is_lost_but_markers(text: str) -> None:
    parts = parse(text, 3)
    rest = text
    for part in parts:
        if isinstance(part, str):
            assert part in rest
            rest = rest[rest.index(part) + len(part) :]
        else:
            assert part.numbers or part.invalid
            assert all(1 <= number <= 3 for number in part.numbers)


@pytest.mark.parametrize(
    "unit",
    ["[", "`", "~", "[1", "``a", "Source ", "(", "[1, ", "S", "`a``b```c", "[1](", "【", "\n```", "[1 (a", "(see "],
)
def test_hostile_input_is_held_back_only_within_bounds(unit: str) -> None:
    text = unit * (20_000 // len(unit))
    parser = MarkerParser(3)
    shown = 0
    for position, character in enumerate(text):
        parts = parser.feed(character)
        shown += sum(len(part) for part in parts if isinstance(part, str))
        if unit != "[1](":
            assert position + 1 - shown <= 500
    parser.finish()


@pytest.mark.parametrize(
    "unit",
    ["[", "`", "~", "[1", "``a", "Source ", "(", "[1, ", "S", "`a``b```c", "[1](", "【", "\n```", "[1]",
     "[^1](http://a", " ", "[\u200b", "Sources 1 and ", "\0", "\u202e", "[1-999999999]", "[source: ", "(Source ",
     "([1], ", "[1], ", "[1 - a (", "(see [1] [", "Quelle [1]", "Sourc"],
)  # fmt: skip
def test_a_long_text_is_parsed_in_one_pass(unit: str) -> None:
    """A step that looked back over the text would take hours here, where one pass takes seconds."""
    text = unit * (100_000 // len(unit))
    parts = parse(text, 3)
    assert sum(len(part) for part in parts if isinstance(part, str)) <= len(text)
    parser = MarkerParser(3)
    fed: list[str | Marker] = []
    for start in range(0, len(text), 1_000):
        fed += parser.feed(text[start : start + 1_000])
    assert join([*fed, *parser.finish()]) == parts


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=300), st.integers(1, 9))
def test_any_text_gives_markers_within_range_only(text: str, count: int) -> None:
    for part in parse(text, count):
        if isinstance(part, Marker):
            assert all(1 <= number <= count for number in part.numbers)
            assert len(set(part.numbers)) == len(part.numbers)
            assert part.numbers or part.invalid
        else:
            assert part
