"""Numbers, amounts and dates in a text as values that compare: "$1.7 trillion", "half a million", "3. März 1987".

One parser for answers, sources and the gold set. Numerals in words are read by text2num; separators, scales, units and
dates by the text's language.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache, lru_cache
from typing import Literal

from text_to_num import find_numbers  # type: ignore[attr-defined]  # its __all__ holds no names

from rag.language.languages import CHECKED, language_of
from rag.language.tables import cells, listed, table

Kind = Literal["number", "money", "percent", "ordinal", "year", "date"]
Bound = Literal["about", "least", "most"]

_YEAR = r"(?:1[0-9]{3}|20[0-9]{2})"
_GROUP = "[,'’\u00a0\u202f\u2009 ]"
_DIGITS = (
    rf"\d{{1,3}}(?:{_GROUP}\d{{3}})+(?![\d])(?:\.\d+)?|\d{{1,3}}(?:\.\d{{3}}){{2,}}(?:,\d+)?|\d{{1,3}}(?:\.\d{{3}})+,\d+"
    rf"|\d+(?:[.,]\d+)?|\.\d+"
)
_WORD = re.compile(r"[^\W\d_]+|\S")
_COMMA_DECIMAL = frozenset(["de", "fr", "es", "pt", "it"])
_NUMERIC_DATE = rf"\b(?P<d>\d{{1,2}})(?P<mark>[./-])(?P<m>\d{{1,2}})(?P=mark)(?P<y>{_YEAR})\b(?![./-]\d)"
_ISO_DATE = rf"\b(?P<y>{_YEAR})-(?P<m>\d{{2}})-(?P<d>\d{{2}})(?!\d|-\d)"
# Characters before a value that are looked at for "about" or "not more than": the longest of the table has 19.
_BOUND_REACH = 24


@dataclass(frozen=True, slots=True)
class Value:
    """A value at ``text[start:end]``. Dates carry the parts they state (0 where not), others ``amount``.

    ``unit`` is the next word, lower-cased, or the currency's sign; empty if there is none. ``plain`` is the amount
    without its scale word (200 of "200 million"); ``spelled`` tells that it stands in words. ``swapped``: day and month
    may be meant the other way round. ``bounds`` are what the words before make it: rounded, a least, a most.
    """

    kind: Kind
    start: int
    end: int
    amount: Decimal = Decimal(0)
    unit: str = ""
    year: int = 0
    month: int = 0
    day: int = 0
    plain: Decimal = Decimal(0)
    spelled: bool = False
    swapped: bool = False
    bounds: frozenset[Bound] = frozenset()

    @property
    def number(self) -> float:
        """The amount as a floating-point number."""
        return float(self.amount)


def values_of(text: str, language: str | None = None) -> tuple[Value, ...]:
    """The numbers, amounts and dates of a text, in order, without overlaps.

    ``language`` is the text's; by default what ``language_of`` finds. Where that is none, or has no number words,
    digits are read as English.
    """
    found = language_of(text, "en") if language is None else language
    return _values_of(text, found if found in CHECKED else "en")


@lru_cache(maxsize=4_096)
def _values_of(text: str, language: str) -> tuple[Value, ...]:
    plain = western(text)
    grammar = _grammar(language)
    taken = bytearray(len(plain))
    found: list[Value] = []
    for reader in (_dates, _times, _ordinals, _parts, _figures, _spelled):
        for value in reader(plain, grammar, taken):
            if taken.find(1, value.start, value.end) < 0:
                taken[value.start : value.end] = b"\1" * (value.end - value.start)
                found.append(value)
    found.sort(key=lambda value: value.start)
    return tuple(_bounded(plain, value, grammar) for value in found)


def western(text: str) -> str:
    """Decimal digits of any script, and their separators, as ASCII, and one blank for any white space; the length
    stays."""
    if text.isascii():
        return re.sub(r"\s", " ", text)
    marks = {"٫": ".", "٬": ",", "−": "-"}
    return "".join(
        " " if c in "\t\n\r\f\v\x1c\x1d\x1e\x1f\x85\u2028\u2029"
        else str(unicodedata.decimal(c)) if c.isdecimal() and not c.isascii()
        else marks.get(c, c)
        for c in text
    )  # fmt: skip


@dataclass(frozen=True)
class _Grammar:
    """The patterns of one language, from its tables."""

    language: str
    months: dict[str, int]
    scales: dict[str, Decimal]
    parts: dict[str, Decimal]
    and_parts: dict[str, Decimal]
    times: dict[str, Decimal]
    ordinals: dict[str, Decimal]
    variants: dict[str, str]
    money: dict[str, str]
    dates: tuple[re.Pattern[str], ...]
    lone_month: re.Pattern[str]
    figure: re.Pattern[str]
    tail: re.Pattern[str]
    part: re.Pattern[str]
    bounds: dict[Bound, re.Pattern[str]]


def _any(words: Sequence[str]) -> str:
    """A pattern for any of the words, the longest first; one that nothing matches for none."""
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True)) or r"(?!)"


def _numbers(language: str, kind: str) -> dict[str, Decimal]:
    rows = [r for r in table("number_words") if r["language"] in (language, "*") and r["kind"] == kind]
    return {row["word"]: Decimal(row["value"]) for row in rows}


@cache
def month_names(language: str) -> dict[str, int]:
    """The months' names and abbreviations in one language, in small letters, by number."""
    rows = [row for row in table("months") if row["language"] == language]
    return {name: int(row["month"]) for row in rows for name in cells(row["names"])}


@cache
def _units(kind: str, language: str) -> dict[str, str]:
    """The words of units of one kind and what they stand for: those of the language over the English ones."""
    found: dict[str, str] = {}
    for wanted in ("*", "en", language):
        for row in table("units"):
            if row["kind"] == kind and row["language"] == wanted:
                found.update(dict.fromkeys(cells(row["words"]), row["unit"]))
    return found


@cache
def _grammar(language: str) -> _Grammar:
    months = month_names(language)
    if language != "en":
        months = {**{name: n for name, n in month_names("en").items() if len(name) > 3}, **months}
    scales, parts, and_parts = (_numbers(language, kind) for kind in ("scale", "part", "and part"))
    percent = _any(list(_units("percent", language)))
    scale, month = _any(list(scales)), _any(list(months))
    of = rf"(?:[ ](?:{_any(_listed('before month'))})\b)?"
    nth, st = _any(_listed("ordinal ending", "en")), rf"(?:{_any(_listed('ordinal ending'))}|\.)?"
    year = rf"(?:(?:,|[ ]of|[ ]de|[ ]del)?[ ](?P<y>{_YEAR}))?"
    flags = re.IGNORECASE
    full = [cells(row["names"])[0] for row in table("months") if row["language"] == language]
    full = [name for name in full if len(name) > 3]
    lone = rf"\b({_any([n.capitalize() for n in full])})\b" if language in ("en", "de") else rf"\b({_any(full)})\b"
    if language == "en":
        lone += r"|(?<=in )\bMay\b"
    sign, then = r"[ ]?(?P<sign>[€$£¥₹])", r"(?P<joint>[ ]d['’]|[ ]d[ei][ ]|[ -])(?P<unit>[^\W\d_]{1,20})"
    scale2 = rf"(?:[ ](?:de[ ])?(?P<scale2>{scale})\b)?"
    tail = (
        rf"(?:[ ]?-?(?P<scale>{scale})\b\.?{scale2})?"
        rf"(?:[ ](?P<more>{_any(list(and_parts))})\b(?:[ ](?P<scale3>{scale})\b)?)?"
        rf"(?:\s?(?P<percent>{percent})(?!\w)|{sign}|{then})?"
    )
    currency = rf"[A-Z]{{1,3}}\$|[$€£¥₹]|{_any(list(_units('before', language)))}"
    return _Grammar(
        language, months, scales, parts, and_parts, _numbers(language, "times"), _numbers(language, "ordinal"),
        {row["word"]: row["value"] for row in table("number_words")
         if row["kind"] == "variant" and row["language"] == language},
        _units("money", language),
        tuple(re.compile(pattern, flags) for pattern in (
            rf"\b(?P<d>\d{{1,2}}){st}{of}[ ](?P<m>{month})\b\.?{year}",
            rf"\b(?P<m>{month})\b\.?[ ](?P<d>\d{{1,2}})(?:{nth})?\b(?![,.]\d){year}",
            rf"\b(?P<m>{month})\b\.?,?(?:[ ](?:of|de|del))?[ ](?P<y>{_YEAR})\b",
            _ISO_DATE, _NUMERIC_DATE,
        )),
        re.compile(lone),
        re.compile(
            rf"(?P<minus>(?<!\S)-(?=\S)|(?<=[(\s])-)?(?P<currency>(?<!\w)(?:{currency})\s?-?)?(?<![\w.])(?<![A-Za-z]-)"
            rf"(?P<digits>{_DIGITS})(?![.,]?\d)(?P<ordinal>(?:{nth})\b)?{tail}", flags),
        re.compile(tail, flags),
        re.compile(
            rf"(?<!\w)(?P<part>{_any(list(parts))})(?:[ ]|(?<=-))(?P<scale>{scale})\b{scale2}(?:{sign}|{then})?", flags
        ),
        {bound: re.compile(rf"(?<!\w)(?:{_any(phrases)})\s*$", flags) for bound, phrases in _bounds(language).items()},
    )  # fmt: skip


def _listed(kind: str, language: str = "") -> list[str]:
    """The words of one kind of ``number_words.tsv``, of one language or of all."""
    rows = [r for r in table("number_words") if r["kind"] == kind and language in ("", r["language"])]
    return [word for row in rows for word in cells(row["word"])]


def _bounds(language: str) -> dict[Bound, list[str]]:
    kinds: tuple[Bound, ...] = ("about", "least", "most")
    rows = [row for row in table("number_words") if row["language"] == language]
    return {kind: [word for row in rows if row["kind"] == kind for word in cells(row["word"])] for kind in kinds}


def _dates(text: str, grammar: _Grammar, taken: bytearray) -> Iterator[Value]:
    for pattern in grammar.dates:
        for match in pattern.finditer(text):
            if value := _date(match, grammar):
                yield value
    for match in grammar.lone_month.finditer(text):
        yield Value("date", *match.span(), month=grammar.months[match[0].lower()])


def _date(match: re.Match[str], grammar: _Grammar) -> Value | None:
    part = {name: text for name, text in match.groupdict().items() if text}
    name, day, year = part["m"].lower(), int(part.get("d", 0)), int(part.get("y", 0))
    if not name.isdigit():
        return Value("date", *match.span(), year=year, month=grammar.months[name], day=day) if day <= 31 else None
    month, swapped = int(name), False
    if part.get("mark") and grammar.language == "en" and part["mark"] != ".":
        # 3/12/1987 is written for either order; one of more than 12 tells.
        swapped = day <= 12 and month <= 12 and day != month
        if day <= 12 < month:
            day, month = month, day
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    return Value("date", *match.span(), year=year, month=month, day=day, swapped=swapped)


def _times(text: str, grammar: _Grammar, taken: bytearray) -> Iterator[Value]:
    """ "Twice", but not "twice as much"."""
    for match in re.finditer(rf"\b(?:{_any(list(grammar.times))})\b(?! as\b)", text, re.IGNORECASE):
        amount = grammar.times[match[0].lower()]
        yield Value("number", *match.span(), amount, "times", plain=amount, spelled=True)


def _ordinals(text: str, grammar: _Grammar, taken: bytearray) -> Iterator[Value]:
    """The English ordinals to the fifteenth, of which text2num leaves "second" to its other senses."""
    for match in re.finditer(rf"(?<![\w-])(?:{_any(list(grammar.ordinals))})\b", text, re.IGNORECASE):
        amount = grammar.ordinals[match[0].lower()]
        yield Value("ordinal", *match.span(), amount, plain=amount, spelled=True)


def _parts(text: str, grammar: _Grammar, taken: bytearray) -> Iterator[Value]:
    """ "Half a million people", "a dozen", "une douzaine"."""
    for match in grammar.part.finditer(text):
        share = grammar.parts[match["part"].lower()]
        amount = share * grammar.scales[match["scale"].lower()]
        yield _measured(match, grammar, match.start(), amount * _scale(match["scale2"], grammar), share, spelled=True)


def _figures(text: str, grammar: _Grammar, taken: bytearray) -> Iterator[Value]:
    for match in grammar.figure.finditer(text):
        plain = _decimal(match["digits"], grammar.language)
        if match["minus"] or (match["currency"] or "").endswith("-"):
            plain = -plain
        start = match.start()
        if match["ordinal"]:
            yield Value("ordinal", start, match.end("ordinal"), plain, plain=plain)
            continue
        currency = (match["currency"] or "").strip(" -")
        scale = match["scale"] or ""
        if scale in ("m", "b") and not currency:
            # Of "5 m" and "5m" the first is a length.
            scaled, unit = plain, scale
            yield Value("number", start, match.end("digits"), scaled, unit, plain=plain)
            continue
        amount = _total(plain, match, grammar)
        year = not scale and not match["more"] and not currency and re.fullmatch(_YEAR, match["digits"])
        value = _measured(match, grammar, start, amount, plain, currency=currency)
        yield replace(value, kind="year", unit="", year=int(plain)) if year and value.kind == "number" else value


def _spelled(text: str, grammar: _Grammar, taken: bytearray) -> Iterator[Value]:
    """Numerals in words, as text2num reads them, with the scales and units behind them."""
    tokens = [_Token(text, *match.span(), grammar.variants) for match in _WORD.finditer(text)]
    for found in find_numbers(tokens, grammar.language, threshold=0):
        first, last = tokens[found.start], tokens[found.end - 1]
        start, end, word = first.start, last.end, first.text().lower()
        if any(character.isdigit() for character in text[start:end]) or taken.find(1, start, end) >= 0:
            continue
        amount = Decimal(str(found.value))
        if found.is_ordinal:
            yield Value("ordinal", start, end, amount, plain=amount, spelled=True)
            continue
        tail = grammar.tail.match(text, end)
        if tail is None or (found.end - found.start == 1 and _no_number(text, word, amount, start, tail, grammar)):
            continue
        yield _measured(tail, grammar, start, _total(amount, tail, grammar), amount, spelled=True)
    for word, amount in _numbers(grammar.language, "number").items():
        for match in re.finditer(rf"\b{word}\b", text, re.IGNORECASE):
            tail = grammar.tail.match(text, match.end())
            if tail:
                yield _measured(tail, grammar, match.start(), _total(amount, tail, grammar), amount, spelled=True)


class _Token:
    """A word or sign of the text, as text2num wants them."""

    def __init__(self, text: str, start: int, end: int, variants: dict[str, str]) -> None:
        self.start, self.end = start, end
        word = text[start:end]
        self._text = variants.get(word.lower(), word)

    def text(self) -> str:
        return self._text

    def nt_separated(self, previous: _Token) -> bool:
        return False

    def not_a_number_part(self) -> bool:
        return False


def _no_number(text: str, word: str, amount: Decimal, start: int, tail: re.Match[str], grammar: _Grammar) -> bool:
    """Whether a single word is no count: an article, a pronoun, or a bare scale ("hundreds of", "Millionen")."""
    if word in grammar.scales:
        return grammar.language == "en" or amount >= 1_000_000
    if amount != 1 or tail["scale"] or tail["more"]:
        return False
    if grammar.language != "en":
        return word != "eins"
    # "one of them", "no one", "this one"
    unit = (tail["unit"] or "").lower()
    before = re.search(r"\b([a-z]+)\s$", text[max(0, start - 20) : start], re.IGNORECASE)
    return (
        not unit
        or unit in listed("en", "after one")
        or bool(before and before[1].lower() in listed("en", "before one"))
    )


def _scale(word: str | None, grammar: _Grammar) -> Decimal:
    return grammar.scales[word.lower()] if word else Decimal(1)


def _total(plain: Decimal, match: re.Match[str], grammar: _Grammar) -> Decimal:
    """The amount with the scales and the part behind it: "two and a half million", "un million et demi"."""
    more = grammar.and_parts[match["more"].lower()] if match["more"] else Decimal(0)
    scale = _scale(match["scale"], grammar) * _scale(match["scale2"], grammar)
    if more and match["scale"]:
        return (plain + more) * scale * _scale(match["scale3"], grammar)
    if more and plain >= 1_000 and plain % 1_000 == 0:
        # text2num has read "un million" as one number.
        return plain + more * Decimal(10) ** (len(str(int(plain))) - len(str(int(plain)).rstrip("0")))
    return (plain + more) * scale * _scale(match["scale3"], grammar)


def _measured(
    match: re.Match[str],
    grammar: _Grammar,
    start: int,
    amount: Decimal,
    plain: Decimal,
    *,
    currency: str = "",
    spelled: bool = False,
) -> Value:
    """The value with what stands behind it: a percentage, money, or a number with its unit."""
    groups = match.groupdict()
    unit = (groups["unit"] or "").lower()
    end = match.start("joint") if unit else match.end()
    if groups.get("percent"):
        return Value("percent", start, end, amount, "%", plain=plain, spelled=spelled)
    money = grammar.money.get((currency or groups.get("sign") or unit).lower(), "")
    if money or currency:
        if not currency and unit in _units("hundredth", grammar.language):
            amount = amount / 100
        return Value("money", start, end, amount, money or currency, plain=plain, spelled=spelled)
    return Value("number", start, end, amount, unit, plain=plain, spelled=spelled)


def _decimal(digits: str, language: str) -> Decimal:
    """Digits as a number: a mark that stands more than once, or with three digits behind it where the language parts
    thousands by it, parts thousands; of two marks the last is the decimal one."""
    plain = re.sub("['’\u00a0\u202f\u2009 ]", "", digits)
    comma, stop = plain.count(","), plain.count(".")
    if comma and stop:
        decimal = "," if plain.rindex(",") > plain.rindex(".") else "."
    elif comma + stop > 1:
        decimal = ""
    else:
        mark = "," if comma else "."
        grouped = re.fullmatch(r"[1-9]\d{0,2}[.,]\d{3}", plain) is not None
        thousands = "." if language in _COMMA_DECIMAL else ","
        decimal = "" if grouped and mark == thousands else mark
    whole, _, part = plain.partition(decimal) if decimal else (plain, "", "")
    return Decimal(re.sub(r"[.,]", "", whole) + (f".{part}" if part else ""))


def _bounded(text: str, value: Value, grammar: _Grammar) -> Value:
    before = text[max(0, value.start - _BOUND_REACH) : value.start]
    bounds = frozenset(bound for bound, pattern in grammar.bounds.items() if pattern.search(before))
    return replace(value, bounds=bounds) if bounds else value


def same_value(a: Value, b: Value) -> bool:
    """Whether two values can be the same: dates agree in all parts both state, numbers in number and kind."""
    if "date" in (a.kind, b.kind):
        if a.kind not in ("date", "year") or b.kind not in ("date", "year"):
            return False
        return _same_date(a, b) or (a.swapped != b.swapped and _same_date(a, replace(b, month=b.day, day=b.month)))
    if a.kind != b.kind and {a.kind, b.kind} & {"percent", "money", "ordinal"}:
        return bool({a.kind, b.kind} <= {"money", "number"}) and a.amount == b.amount
    return a.amount == b.amount


def _same_date(a: Value, b: Value) -> bool:
    parts = [(a.year, b.year), (a.month, b.month), (a.day, b.day)]
    stated = [(x, y) for x, y in parts if x and y]
    return bool(stated) and all(x == y for x, y in stated)


def currency_of(word: str, language: str = "en") -> str:
    """The sign that ``Value.unit`` holds for a currency's name or sign; empty if it is none."""
    return _units("money", language).get(word.lower(), "")


def measure_of(word: str, language: str = "en") -> str:
    """The one name of a unit of measure, such as "kilometre" for "km"; empty if the word is none."""
    return _units("measure", language).get(word.lower(), "")


def other_unit(a: Value, b: Value) -> bool:
    """Whether two values are measured differently: days and weeks, dollars and euros."""
    if a.kind == b.kind == "money":
        return a.unit != b.unit
    one, two = measure_of(a.unit), measure_of(b.unit)
    return bool(one and two) and one != two
