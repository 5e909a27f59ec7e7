"""Numbers, amounts and dates as values that compare, in six languages."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.language.quantities import Value, other_unit, same_value, values_of


def only(text: str, language: str = "en") -> Value:
    (value,) = values_of(text, language)
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
        ("40 €", "money", 40),
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
        ("two hundred and fifty flats", "number", 250),
        ("one hundred and twenty pupils", "number", 120),
        ("two and a half million people", "number", 2.5e6),
        ("1.250.000 people", "number", 1_250_000),
        ("1,250,000 people", "number", 1_250_000),
        ("1.25 million people", "number", 1_250_000),
        ("-5 degrees", "number", -5),
        ("٣٤ days", "number", 34),
    ],
)
def test_numbers(text: str, kind: str, number: float) -> None:
    value = only(text)
    assert value.kind == kind
    assert value.number == pytest.approx(number)


@pytest.mark.parametrize(
    ("language", "text", "kind", "number"),
    [
        ("de", "zweihundertfünfzig Wohnungen", "number", 250),
        ("de", "eine halbe Million Menschen", "number", 5e5),
        ("de", "1.250.000 Euro", "money", 1_250_000),
        ("de", "1.250 Mitarbeiter", "number", 1250),
        ("de", "3,5 Mio. €", "money", 3.5e6),
        ("de", "2 Milliarden Euro", "money", 2e9),
        ("de", "2,5 Prozent", "percent", 2.5),
        ("de", "anderthalb Millionen Menschen", "number", 1.5e6),
        ("de", "eine Billion Sterne", "number", 1e12),
        ("fr", "deux cent cinquante logements", "number", 250),
        ("fr", "un demi-million d'habitants", "number", 5e5),
        ("fr", "un million et demi d'euros", "money", 1.5e6),
        ("fr", "quatre-vingt-dix-sept élèves", "number", 97),
        ("fr", "1 250 000 euros", "money", 1_250_000),
        ("fr", "12,5 %", "percent", 12.5),
        ("fr", "une douzaine d'œufs", "number", 12),
        ("es", "doscientos cincuenta pisos", "number", 250),
        ("es", "medio millón de personas", "number", 5e5),
        ("es", "veintiún alumnos", "number", 21),
        ("es", "mil millones de euros", "money", 1e9),
        ("es", "el 12 por ciento", "percent", 12),
        ("pt", "duzentos e cinquenta alunos", "number", 250),
        ("pt", "meio milhão de pessoas", "number", 5e5),
        ("pt", "R$ 5 milhões", "money", 5e6),
        ("pt", "dois milhões e meio", "number", 2.5e6),
        ("it", "duecentocinquanta alunni", "number", 250),
        ("it", "mezzo milione di euro", "money", 5e5),
        ("it", "1,5 miliardi di euro", "money", 1.5e9),
        ("it", "il 7 per cento", "percent", 7),
    ],
)
def test_numbers_of_other_languages(language: str, text: str, kind: str, number: float) -> None:
    value = only(text, language)
    assert value.kind == kind and value.number == pytest.approx(number)


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
        ("3 March 1987", (1987, 3, 3)),
        ("March 3rd, 1987", (1987, 3, 3)),
        ("March 3 1987", (1987, 3, 3)),
        ("25/03/1987", (1987, 3, 25)),
        ("03/25/1987", (1987, 3, 25)),
    ],
)
def test_dates(text: str, date: tuple[int, int, int]) -> None:
    value = only(text)
    assert value.kind in ("date", "year")
    assert (value.year, value.month, value.day) == date


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("de", "3. März 1987"),
        ("de", "03.03.1987"),
        ("fr", "3 mars 1987"),
        ("es", "3 de marzo de 1987"),
        ("pt", "3 de março de 1987"),
        ("it", "3 marzo 1987"),
        ("en", "03/03/1987"),
        ("en", "the 3rd of March 1987"),
    ],
)
def test_one_date_in_many_forms(language: str, text: str) -> None:
    assert same_value(only(text, language), only("1987-03-03"))
    assert not same_value(only(text, language), only("1987-03-04"))


def test_an_order_that_is_not_told_fits_both() -> None:
    assert same_value(only("3/12/1987"), only("3 December 1987")) and same_value(
        only("3/12/1987"), only("12 March 1987")
    )
    assert not same_value(only("3/12/1987"), only("3/11/1987"))
    assert not same_value(only("3/12/1987", "fr"), only("12 March 1987"))


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "one of them"),
        ("en", "no one"),
        ("en", "they may go"),
        ("en", "F-16 jets"),
        ("en", "Su-35"),
        ("en", "page"),
        ("en", ""),
        ("en", "v2.x"),
        ("en", "hundreds of people"),
        ("de", "ein Mann"),
        ("de", "Millionen Menschen"),
        ("fr", "un homme"),
        ("es", "una casa"),
        ("it", "un uomo"),
    ],
)
def test_no_values(language: str, text: str) -> None:
    assert values_of(text, language) == ()


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
        ("two hundred and fifty", "250"),
        ("half a million", "500,000"),
        ("1.250.000", "1,250,000"),
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
        ("one hundred and twenty pupils", "20 pupils"),
        ("-5 degrees", "5 degrees"),
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


@pytest.mark.parametrize(
    ("language", "text", "bounds"),
    [
        ("en", "about 300 people", {"about"}),
        ("en", "at least 300 people", {"least"}),
        ("en", "up to 300 people", {"most"}),
        ("de", "mindestens 300 Menschen", {"least"}),
        ("fr", "au plus 300 personnes", {"most"}),
        ("en", "300 people", set()),
    ],
)
def test_bounds(language: str, text: str, bounds: set[str]) -> None:
    assert only(text, language).bounds == bounds


def test_a_number_keeps_what_it_is_without_its_scale() -> None:
    value = only("200 million people")
    assert (value.plain, value.amount) == (Decimal(200), Decimal(200_000_000))


TEXTS = st.one_of(
    st.text(max_size=80),
    st.lists(
        st.sampled_from(
            [
                "12",
                "3.5",
                ",",
                "000",
                " ",
                "million",
                "%",
                "$",
                "May",
                "2015",
                "-",
                "16",
                "th",
                "one",
                "twenty",
                "of",
                "October",
                "٣",
                "½",
                "²",
                "days",
                "\n",
                "1e9",
                "halbe",
                "Million",
                "demi",
                "de",
                "mil",
                "hundred",
                "and",
                ".",
            ]
        ),
        max_size=20,
    ).map("".join),
)
LANGUAGES = st.sampled_from(["en", "de", "fr", "es", "pt", "it", "ru"])


@given(TEXTS, LANGUAGES)
def test_any_text_gives_ordered_spans_that_do_not_overlap(text: str, language: str) -> None:
    end = 0
    for value in values_of(text, language):
        assert end <= value.start < value.end <= len(text)
        assert same_value(value, value)
        end = value.end


@given(TEXTS, TEXTS, LANGUAGES)
def test_comparison_is_symmetric(one: str, two: str, language: str) -> None:
    for a in values_of(one, language):
        for b in values_of(two, language):
            assert same_value(a, b) == same_value(b, a)
