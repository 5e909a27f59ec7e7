"""Numbers, amounts and dates in a text as values that compare: "$1.7 trillion", "16 October 2015"."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from rag.answer.lexicon import MONTHS

Kind = Literal["number", "money", "percent", "ordinal", "year", "date"]

_SCALES = {
    "hundred": 1e2, "thousand": 1e3, "k": 1e3, "million": 1e6, "mn": 1e6, "m": 1e6, "mio": 1e6, "billion": 1e9,
    "bn": 1e9, "b": 1e9, "trillion": 1e12, "tn": 1e12, "dozen": 12, "lakh": 1e5, "crore": 1e7,
}  # fmt: skip
_UNITS_20 = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen"
)
_NUMBER_WORDS = {name: float(value) for value, name in enumerate(_UNITS_20.split())} | {
    name: 10.0 * value for value, name in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), 2)
}
_ORDINAL_WORDS = {
    name: value
    for value, name in enumerate(
        "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth"
        " fifteenth"
        " sixteenth seventeenth eighteenth nineteenth twentieth".split(),
        1,
    )
}
_TENS = "|".join(name for name, value in _NUMBER_WORDS.items() if value >= 20)
_ONES = "|".join(name for name, value in _NUMBER_WORDS.items() if 0 < value < 10)
_WORDS = rf"(?:(?:{_TENS})(?:[- ](?:{_ONES}))?|{'|'.join(_NUMBER_WORDS)})"
_MONTH = "|".join(sorted(MONTHS, key=len, reverse=True))
_CURRENCY = r"[$€£¥₹]|US\$|USD|EUR|GBP|Rs\.?"
_SCALE = "|".join(sorted(_SCALES, key=len, reverse=True))
_YEAR = r"(?:1[0-9]{3}|20[0-9]{2})"
_DATE = re.compile(
    rf"\b(?:(?P<d1>\d{{1,2}})(?:st|nd|rd|th)?(?: of)?[ ](?P<m1>{_MONTH})\b\.?(?:,?[ ](?P<y1>{_YEAR}))?"
    rf"|(?P<m2>{_MONTH})\b\.?[ ](?P<d2>\d{{1,2}})(?:st|nd|rd|th)?\b(?!,\d)(?:,?[ ](?P<y2>{_YEAR}))?"
    rf"|(?P<m3>{_MONTH})\b\.?,?(?:[ ]of)?[ ](?P<y3>{_YEAR})"
    rf"|(?P<y4>{_YEAR})-(?P<m4>\d{{2}})-(?P<d4>\d{{2}}))\b",
    re.IGNORECASE,
)
_LONE_MONTH = re.compile(
    r"\b(January|February|March|April|June|July|August|September|October|November|December)\b|(?<=in )\bMay\b"
)
_NUMBER = re.compile(
    rf"(?P<currency>(?<!\w)(?:{_CURRENCY})\s?)?(?<![\w.])(?<![A-Za-z]-)"
    rf"(?:(?P<digits>\d{{1,3}}(?:[, ]\d{{3}})+(?:\.\d+)?|\d+(?:\.\d+)?)|(?P<words>\b{_WORDS}\b))"
    rf"(?P<ordinal>st|nd|rd|th)?"
    rf"(?:[ -]?(?P<scale>{_SCALE})\b(?:[ ](?P<scale2>thousand|million|billion|trillion)\b)?)?"
    rf"(?:\s?(?P<percent>%|per\s?cent\b|percent(?:age points?)?\b)|(?:[ -](?P<unit>[A-Za-z]{{1,20}})))?",
    re.IGNORECASE,
)
_PART = re.compile(
    r"\b(?:(?P<part>half|(?:a |one[ -])?quarter of|three[ -]quarters of)\s)?an?\s"
    r"(?P<scale>hundred|thousand|million|billion|trillion|dozen)\b(?:[ ](?P<scale2>(?:m|b|tr)illion|thousand)\b)?"
    r"(?:[ -](?P<unit>[A-Za-z]{1,20}))?",
    re.IGNORECASE,
)
_PARTS = {"half": 0.5, "quarter": 0.25, "three": 0.75}
_TIMES = re.compile(r"\b(?:(?P<twice>twice)|thrice)\b(?! as\b)", re.IGNORECASE)
_ORDINAL = re.compile(rf"\b(?:(?P<tens>{_TENS})-)?(?P<word>{'|'.join(_ORDINAL_WORDS)})\b", re.IGNORECASE)
_MONEY_UNITS = {
    word: symbol
    for symbol, words in {
        "$": "$ us$ usd dollar dollars cent cents", "€": "€ eur euro euros", "£": "£ gbp pound pounds pence",
        "₹": "₹ rs rs. rupee rupees", "¥": "¥ yen yuan renminbi", "kr": "crown crowns krone kroner krona kronor",
        "fr": "franc francs", "rub": "ruble rubles rouble roubles", "peso": "peso pesos", "zł": "zloty zlotys zlotych",
        "rial": "rial rials riyal riyals", "dinar": "dinar dinars", "dirham": "dirham dirhams", "lira": "lira liras",
        "baht": "baht", "rand": "rand rands", "shekel": "shekel shekels",
    }.items()
    for word in words.split()
}  # fmt: skip
_UNITS = {
    word: canonical
    for canonical, words in {
        "second": "seconds sec", "minute": "minutes min", "hour": "hours hrs", "day": "days", "week": "weeks",
        "month": "months", "year": "years", "decade": "decades", "century": "centuries",
        "millimetre": "mm millimeters millimetres", "centimetre": "cm centimeters centimetres",
        "metre": "m meter meters metres", "kilometre": "km kms kilometer kilometers kilometres",
        "mile": "miles", "foot": "ft feet", "inch": "inches", "yard": "yards", "acre": "acres",
        "hectare": "hectares ha",
        "gram": "g grams", "kilogram": "kg kilograms kilo kilos", "tonne": "tonnes ton tons t", "ounce": "ounces oz",
        "litre": "l liter liters litres", "gallon": "gallons", "watt": "w watts", "kilowatt": "kw kilowatts",
        "megawatt": "mw megawatts", "degree": "degrees",
    }.items()
    for word in (canonical, *words.split())
}  # fmt: skip
_AFTER_PRONOUN = frozenset(["", "of", "another", "or", "and", "is", "was", "that", "who", "which", "to", "can", "may"])
_BEFORE_PRONOUN = re.compile(r"\b(?:no|any|some|every|each|this|that|the|which|only)\s$", re.IGNORECASE)
_SPACES = re.compile(r"\s")


@dataclass(frozen=True, slots=True)
class Value:
    """A value at ``text[start:end]``. Dates carry the parts they state (0 where not), others ``number``.

    ``unit`` is the next word, lower-cased, or the currency's sign; empty if there is none.
    """

    kind: Kind
    start: int
    end: int
    number: float = 0.0
    unit: str = ""
    year: int = 0
    month: int = 0
    day: int = 0


@lru_cache(maxsize=4_096)
def values_of(text: str) -> tuple[Value, ...]:
    """The numbers, amounts and dates of a text, in order, without overlaps."""
    text = _SPACES.sub(" ", text)
    found = [_date(match) for match in _DATE.finditer(text)]
    taken = bytearray(len(text))
    for value in found:
        _take(taken, value)
    for match in _LONE_MONTH.finditer(text):
        if _free(match, taken):
            found.append(Value("date", *match.span(), month=MONTHS[match[0].lower()]))
    for match in _ORDINAL.finditer(text):
        if _free(match, taken):
            number = _ORDINAL_WORDS[match["word"].lower()] + _NUMBER_WORDS.get((match["tens"] or "").lower(), 0)
            found.append(_take(taken, Value("ordinal", *match.span(), number=float(number))))
    for match in _PART.finditer(text):
        if _free(match, taken):
            found.append(_take(taken, _part(match)))
    for match in _TIMES.finditer(text):
        found.append(_take(taken, Value("number", *match.span(), number=2.0 if match["twice"] else 3.0, unit="times")))
    for match in _NUMBER.finditer(text):
        if _free(match, taken) and not _is_pronoun(match, text):
            found.append(_take(taken, _number(match)))
    return tuple(sorted(found, key=lambda value: value.start))


def _is_pronoun(match: re.Match[str], text: str) -> bool:
    """Whether a bare "one" stands for a noun: "one of them", "no one", "this one"."""
    if (match["words"] or "").lower() != "one" or match["scale"]:
        return False
    unit = (match["unit"] or "").lower()
    return unit in _AFTER_PRONOUN or bool(_BEFORE_PRONOUN.search(text[: match.start()]))


def _take(taken: bytearray, value: Value) -> Value:
    """Mark the value's characters as read."""
    taken[value.start : value.end] = b"\1" * (value.end - value.start)
    return value


def _free(match: re.Match[str], taken: bytearray) -> bool:
    return taken.find(1, *match.span()) < 0


def _date(match: re.Match[str]) -> Value:
    part = {name: text for name, text in match.groupdict().items() if text}
    kinds = {name[0]: text for name, text in part.items()}
    month = kinds["m"].lower()
    return Value(
        "date",
        *match.span(),
        year=int(kinds.get("y", 0)),
        month=int(month) if month.isdigit() else MONTHS[month],
        day=int(kinds.get("d", 0)),
    )


def _part(match: re.Match[str]) -> Value:
    """ "Half a million people", "a dozen"."""
    words = (match["part"] or "").lower().replace("-", " ").split()
    share = next((_PARTS[word] for word in words if word in _PARTS), 1.0)
    number = share * _SCALES[match["scale"].lower()] * _SCALES.get((match["scale2"] or "").lower(), 1.0)
    unit = (match["unit"] or "").lower()
    end = match.start("unit") - 1 if match["unit"] else match.end()
    money = currency_of(unit)
    return Value("money" if money else "number", match.start(), end, number, money or unit)


def _number(match: re.Match[str]) -> Value:
    words = (match["words"] or "").lower()
    number = sum(_NUMBER_WORDS[w] for w in re.split("[- ]", words)) if words else _float(match["digits"])
    scale, currency, unit = (match["scale"] or "").lower(), match["currency"], (match["unit"] or "").lower()
    if scale in ("m", "b", "k", "mn", "bn") and not currency and match["scale"].islower() and scale in ("m", "b"):
        unit, scale = scale, ""
    number *= _SCALES.get(scale, 1.0) * _SCALES.get((match["scale2"] or "").lower(), 1.0)
    end = match.start("unit") - 1 if match["unit"] else match.end()
    start = match.start()
    if match["percent"]:
        return Value("percent", start, end, number, "%")
    if currency or unit in _MONEY_UNITS:
        number *= 0.01 if not currency and unit in ("cent", "cents", "pence") else 1.0
        return Value("money", start, end, number, _MONEY_UNITS[(currency or unit).strip().lower()])
    if match["ordinal"]:
        return Value("ordinal", start, end, number)
    digits = match["digits"] or ""
    if re.fullmatch(_YEAR, digits) and not scale:
        return Value("year", start, end, number, year=int(digits))
    return Value("number", start, end, number, unit)


def _float(digits: str) -> float:
    return float(digits.replace(",", "").replace(" ", ""))


def same_value(a: Value, b: Value) -> bool:
    """Whether two values can be the same: dates agree in all parts both state, numbers in number and kind."""
    if "date" in (a.kind, b.kind):
        if a.kind not in ("date", "year") or b.kind not in ("date", "year"):
            return False
        parts = [(a.year, b.year), (a.month, b.month), (a.day, b.day)]
        stated = [(x, y) for x, y in parts if x and y]
        return bool(stated) and all(x == y for x, y in stated)
    if a.kind != b.kind and {a.kind, b.kind} & {"percent", "money", "ordinal"}:
        return bool({a.kind, b.kind} <= {"money", "number"}) and _equal(a.number, b.number)
    return _equal(a.number, b.number)


def currency_of(word: str) -> str:
    """The sign that ``Value.unit`` holds for a currency's name or sign; empty if it is none."""
    return _MONEY_UNITS.get(word.lower(), "")


def measure_of(word: str) -> str:
    """The one name of a unit of measure, such as "kilometre" for "km"; empty if the word is none."""
    return _UNITS.get(word.lower(), "")


def other_unit(a: Value, b: Value) -> bool:
    """Whether two values are measured differently: days and weeks, dollars and euros."""
    if a.kind == b.kind == "money":
        return a.unit != b.unit
    one, two = _UNITS.get(a.unit), _UNITS.get(b.unit)
    return one is not None and two is not None and one != two


def _equal(a: float, b: float) -> bool:
    return abs(a - b) <= 1e-9 * max(abs(a), abs(b), 1.0)
