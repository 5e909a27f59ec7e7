from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.gold.metrics.matching import cuts_token, number_support, numbers, occurs, states, token_f1, violations
from rag.gold.types import Fact


def values(text: str) -> list[tuple[Decimal, ...]]:
    return [readings for _, readings in numbers(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$1,577.00", ["1577.00"]),
        ("1.577,00 euros", ["1577.00"]),
        ("1\u202f577\u202f000", ["1577000"]),
        ("1'577'000", ["1577000"]),
        ("0.5 and .5 and 0,5", ["0.5", "0.5", "0.5"]),
        ("-5, \u22127 and 10-15", ["-5", "-7", "10", "15"]),
        ("$-3", ["-3"]),
        ("２０１２年", ["2012"]),
        ("١٬٢٣٤٫٥", ["1234.5"]),
        ("twenty-five and ninety", ["25", "90"]),
        ("a hundred", ["100"]),
        ("H1N1, 3rd, 21st, v1.2.3, Q3", []),
        ("in 2012.", ["2012"]),
    ],
)
def test_numbers_are_read_as_numbers(text: str, expected: list[str]) -> None:
    assert [reading[-1] for reading in values(text)] == [Decimal(number) for number in expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$1.5 million", {"1.5", "1500000"}),
        ("2bn", {"2", "2000000000"}),
        ("77 thousand", {"77", "77000"}),
        ("3 hundred million", {"3", "300000000"}),
        ("5 m", {"5"}),
        ("5m", {"5", "5000000"}),
    ],
)
def test_scale_words_give_a_second_reading(text: str, expected: set[str]) -> None:
    assert set(values(text)[0]) == {Decimal(number) for number in expected}


@given(st.integers(0, 10**12), st.sampled_from(["", "$", "€"]))
def test_any_grouped_integer_reads_as_itself(number: int, sign: str) -> None:
    assert values(f"it cost {sign}{number:,} then") == [(Decimal(number),)]
    assert values(f"it cost {sign}{number:,}.25 then")[0] == (Decimal(number) + Decimal("0.25"),)


@given(st.text(max_size=200))
def test_number_spans_lie_in_the_text(text: str) -> None:
    for value, readings in numbers(text):
        assert 0 <= value.start < value.end <= len(text)
        assert readings


def fact(number: str, unit: str = "", tolerance: str = "0") -> Fact:
    return Fact("x", number=number, unit=unit, tolerance=tolerance)


@pytest.mark.parametrize(
    ("wanted", "text", "stated"),
    [
        (fact("1577"), "The total is $1,577.00.", True),
        (fact("1577", "USD"), "The total is $1,577.00.", True),
        (fact("1577", "EUR"), "The total is $1,577.00.", False),
        (fact("12"), "in 2012", False),
        (fact("12"), "12.5 litres", False),
        (fact("12"), "1,012 litres", False),
        (fact("12.5", tolerance="0.5"), "12 litres", True),
        (fact("12.5", tolerance="0.4"), "12 litres", False),
        (fact("5", "days"), "Carry over 5 days.", True),
        (fact("5", "days"), "a five-day trip", True),
        (fact("5", "days"), "five paid working days", True),
        (fact("5", "days"), "25 days", False),
        (fact("5", "days"), "2.5 days", False),
        (fact("5", "days"), "5 weeks, then days", False),
        (fact("5", "working days"), "5 working days", True),
        (fact("200", "million"), "$200 million", True),
        (fact("200000000"), "$200 million", True),
        (fact("200000000", "dollars"), "200 million dollars", True),
        (fact("12", "%"), "12 per cent", True),
        (fact("12", "per cent"), "12%", True),
        (fact("12", "percent"), "12 people", False),
        (fact("5", "EUR"), "EUR 5", True),
        (fact("1100", "km"), "1,100 kilometres", True),
        (fact("1"), "one of them", False),
        (fact("1", "day"), "one day", True),
        (fact("1"), "1 of them", True),
        (fact("2"), "two of them", True),
    ],
)
def test_a_number_is_stated_by_value_and_unit(wanted: Fact, text: str, stated: bool) -> None:
    assert states(wanted, text) is stated


@pytest.mark.parametrize(
    ("wording", "text", "found"),
    [
        ("12", "2012", False),
        ("12", "12.5", False),
        ("12", "1,012", False),
        ("12", "It is 12.", True),
        ("12", "(12)", True),
        ("12", "12%", True),
        ("5 days", "25 days", False),
        ("cat", "concatenate", False),
        ("cat", "The CAT sat", True),
        ("five-day", "a five\u2011day trip", True),
        ("pro rata entitlement", "pro  rata\nentitle\u00adment", True),
        ("entitlement", "entitle-\nment", True),
        ("ﬁnal", "the final word", True),
        ("caf\u00e9", "cafe\u0301", True),
        ("don't", "don\u2019t", True),
        ("北京", "我在北京市", True),
        ("서울", "서울은 크다", True),
        ("re:fifteen\\s+days", "Fifteen  days", True),
        ("re:1[25]", "2012", False),
        ("re:1[25]", "12", True),
        ("re:withdr(ew|awn)", "withdrawn", True),
        ("re:Acme\u2013Corp", "Acme\u2013Corp", True),
        ("$200 million", "US$200 million", True),
        ("$200 million", "about $200 million", True),
    ],
)
def test_a_wording_occurs_on_token_boundaries(wording: str, text: str, found: bool) -> None:
    assert occurs(wording, text) is found


@given(st.text(st.characters(categories=["Ll", "Nd"], max_codepoint=127), min_size=1, max_size=10), st.data())
def test_a_word_is_found_among_words_and_not_inside_one(word: str, data: st.DataObject) -> None:
    assert occurs(word, f"so {word} it is")
    assert not occurs(word, f"soq{word}q")
    assert violations([word], f"x {word}") == (word,)


@given(st.text(max_size=30), st.integers(0, 30))
def test_cutting_at_white_space_parts_no_token(text: str, position: int) -> None:
    position = min(position, len(text))
    if 0 < position < len(text) and (text[position].isspace() or text[position - 1].isspace()):
        assert not cuts_token(text, position)


def test_all_wordings_of_a_fact_count() -> None:
    wanted = Fact("days", any=("15 days", "re:fifteen\\s+days"))
    assert states(wanted, "You get fifteen days.")
    assert states(wanted, "You get 15 days.")
    assert not states(wanted, "You get 115 days.")


def test_token_f1_is_squads() -> None:
    assert token_f1("The Eiffel Tower!", ["eiffel tower"]) == 1.0
    assert token_f1("in the Eiffel Tower", ["Eiffel Tower", "Paris"]) == pytest.approx(0.8)
    assert token_f1("London", ["Paris"]) == 0.0
    assert token_f1("anything", []) == 0.0


def test_numbers_of_an_answer_are_sought_in_what_it_cites() -> None:
    assert number_support("It grew by 12% to $1,577.", ["a rise of 12 per cent", "1577 dollars"]) == 1.0
    assert number_support("It grew by 12% to $1,577.", ["a rise of 12 per cent"]) == 0.5
    assert number_support("It grew.", ["12"]) is None
    assert number_support("Two of five.", ["2 of 5"]) == 1.0
