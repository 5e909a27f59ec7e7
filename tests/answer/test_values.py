"""Numbers, amounts and dates as values that compare."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.answer.values import Value, other_unit, same_value, values_of


def only(text: str) -> Value:
    (value,) = values_of(text)
    return value


@pytest.mark.parametrize(
    ("text", "kind", "number"),
    [
        ("28 days", "number", 28),
        ("1,234.5 litres", "number", 1234.5),
        ("twenty-one guns", "number", 21),
        ("seventeen seats", "number", 17),
        ("3 dozen eggs", "number", 36),
        ("1.7 trillion stars", "number", 1.7e12),
        ("40 thousand people", "number", 40_000),
        ("5 lakh people", "number", 500_000),
        ("12 %", "percent", 12),
        ("12 per cent", "percent", 12),
        ("7.5 percent", "percent", 7.5),
        ("$3.2 million", "money", 3.2e6),
        ("€40", "money", 40),
        ("4.2 million crowns", "money", 4.2e6),
        ("£2bn", "money", 2e9),
        ("4.2 million dollars", "money", 4.2e6),
        ("50 cents", "money", 0.5),
        ("Rs. 300", "money", 300),
        ("half a million people", "number", 500_000),
        ("a quarter of a million euros", "money", 250_000),
        ("three quarters of a million people", "number", 750_000),
        ("a hundred thousand people", "number", 100_000),
        ("a dozen eggs", "number", 12),
        ("won twice", "number", 2),
        ("the 3rd", "ordinal", 3),
        ("the twenty-first", "ordinal", 21),
    ],
)
def test_numbers(text: str, kind: str, number: float) -> None:
    value = only(text)
    assert value.kind == kind
    assert value.number == pytest.approx(number)


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("16 October 2015", (2015, 10, 16)),
        ("October 16, 2015", (2015, 10, 16)),
        ("16th of October", (0, 10, 16)),
        ("Oct. 2015", (2015, 10, 0)),
        ("2015-10-16", (2015, 10, 16)),
        ("in May", (0, 5, 0)),
        ("1931", (1931, 0, 0)),
    ],
)
def test_dates(text: str, date: tuple[int, int, int]) -> None:
    value = only(text)
    assert value.kind in ("date", "year")
    assert (value.year, value.month, value.day) == date


@pytest.mark.parametrize("text", ["one of them", "no one", "they may go", "F-16 jets", "Su-35", "page", "", "v2.x"])
def test_no_values(text: str) -> None:
    assert values_of(text) == ()


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("3.8 million people", "3,800,000 people"),
        ("twelve months", "12 months"),
        ("$4 billion", "4 billion dollars"),
        ("16 October 2015", "October 2015"),
        ("16 October 2015", "2015-10-16"),
        ("2015", "16 October 2015"),
        ("third", "3rd"),
    ],
)
def test_the_same_value_in_other_words(a: str, b: str) -> None:
    assert same_value(only(a), only(b)) and same_value(only(b), only(a))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("28 days", "25 days"),
        ("3.8 million people", "3.8 billion people"),
        ("12 %", "12 months"),
        ("16 October 2015", "15 October 2015"),
        ("16 October 2015", "16 October 2016"),
        ("2015", "October 2016"),
        ("2015", "2,015 %"),
        ("3rd", "3 %"),
    ],
)
def test_different_values(a: str, b: str) -> None:
    assert not same_value(only(a), only(b)) and not same_value(only(b), only(a))


@pytest.mark.parametrize(
    ("a", "b", "differ"),
    [
        ("28 days", "28 weeks", True),
        ("28 days", "28 day", False),
        ("5 km", "5 miles", True),
        ("$5", "€5", True),
        ("$5", "5 dollars", False),
        ("28 days", "28 visitors", False),
    ],
)
def test_units(a: str, b: str, differ: bool) -> None:
    assert other_unit(only(a), only(b)) is differ


TEXTS = st.one_of(
    st.text(max_size=80),
    st.lists(
        st.sampled_from(
            ["12", "3.5", ",", "000", " ", "million", "%", "$", "May", "2015", "-", "16", "th", "one", "twenty", "of",
             "October", "٣", "½", "²", "days", "\n", "1e9"]
        ),
        max_size=20,
    ).map("".join),
)  # fmt: skip


@given(TEXTS)
def test_any_text_gives_ordered_spans_that_do_not_overlap(text: str) -> None:
    end = 0
    for value in values_of(text):
        assert end <= value.start < value.end <= len(text)
        assert same_value(value, value)
        end = value.end


@given(TEXTS, TEXTS)
def test_comparison_is_symmetric(one: str, two: str) -> None:
    for a in values_of(one):
        for b in values_of(two):
            assert same_value(a, b) == same_value(b, a)
            assert other_unit(a, b) == other_unit(b, a)
