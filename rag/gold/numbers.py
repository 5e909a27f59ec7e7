"""Numbers in running text as numbers: "$1,577.00" is 1577, "1.5 million" is 1500000, "twenty-five" is 25."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

_GROUP = "[,'’\u00a0\u202f\u2009]"
_DIGITS = re.compile(
    rf"(?<![\w.,])(?P<sign>(?<!\S)[-−]|(?<=[(\s])[-−])?(?:(?P<before>[A-Z]{{1,3}}\$|[$€£¥₹])\s?(?P<minus>[-−])?)?"
    rf"(?P<number>\d{{1,3}}(?:{_GROUP}\d{{3}})+(?:\.\d+)?|\d{{1,3}}(?:\.\d{{3}}){{2,}}(?:,\d+)?|\d{{1,3}}(?:\.\d{{3}})+,\d+"
    rf"|\d+(?:[.,]\d+)?|\.\d+)(?![.,]?\d)"
)
_ATTACHED = re.compile(r"(?:st|nd|rd|th)\b", re.IGNORECASE)
_SCALE = {
    "hundred": 100, "thousand": 1_000, "k": 1_000, "million": 1_000_000, "millions": 1_000_000, "m": 1_000_000,
    "mn": 1_000_000, "mio": 1_000_000, "billion": 1_000_000_000, "billions": 1_000_000_000, "bn": 1_000_000_000,
    "b": 1_000_000_000, "trillion": 1_000_000_000_000, "trillions": 1_000_000_000_000, "tn": 1_000_000_000_000,
}  # fmt: skip
_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SPELLED = {word: value for value, word in enumerate(_ONES)} | {word: 20 + 10 * i for i, word in enumerate(_TENS)}
_WORDS = re.compile(
    rf"(?<![\w-])(?:(?P<tens>{'|'.join(_TENS)})(?:[-\s](?P<unit>{'|'.join(_ONES[1:10])}))?|(?P<plain>{'|'.join(_ONES)})"
    rf"|(?P<scaled>a(?=\s(?:hundred|thousand|million|billion|trillion)\b)))(?!\w)",
    re.IGNORECASE,
)
_NEXT = re.compile(r"[\s\u00a0-]{0,2}([^\W\d_]+|%|‰|[$€£¥₹°])")


@dataclass(frozen=True, slots=True)
class Number:
    """A number at ``text[start:end]``: ``values`` are its readings (with and without a word such as "million");
    ``before`` is a currency sign in front, ``spelled`` says that it was written in words."""

    start: int
    end: int
    values: tuple[Decimal, ...]
    before: str = ""
    spelled: bool = False


def numbers(text: str) -> Iterator[Number]:
    """The numbers of a text, first those in digits and then those in words. Ordinals, versions and digits inside a
    name ("H1N1") are none."""
    plain = _western(text)
    for match in _DIGITS.finditer(plain):
        if match["number"][-1].isdigit() and _ATTACHED.match(plain, match.end()):
            continue
        value = _value(match["number"])
        if value is None:
            continue
        value = -value if match["sign"] or match["minus"] else value
        end, values = _scaled(plain, match.end(), value)
        yield Number(match.start(), end, values, (match["before"] or "").strip())
    for match in _WORDS.finditer(plain):
        if match["scaled"]:
            amount = 1
        elif match["plain"]:
            amount = _SPELLED[match["plain"].lower()]
        else:
            amount = _SPELLED[match["tens"].lower()] + (_SPELLED[match["unit"].lower()] if match["unit"] else 0)
        end, values = _scaled(plain, match.end(), Decimal(amount))
        yield Number(match.start(), end, values[-1:], spelled=True)


def words_after(text: str, position: int, count: int) -> list[str]:
    """Up to ``count`` words or unit signs right after ``position``, within the sentence, lower-cased."""
    found: list[str] = []
    while len(found) < count and (match := _NEXT.match(text, position)):
        found.append(match[1].lower())
        position = match.end()
    return found


def _western(text: str) -> str:
    """Decimal digits of any script, and their separators, as ASCII; the length stays."""
    if text.isascii():
        return text
    marks = {"٫": ".", "٬": ","}
    return "".join(
        str(unicodedata.decimal(c)) if c.isdecimal() else marks.get(c, c) if not c.isascii() else c for c in text
    )


def _value(digits: str) -> Decimal | None:
    plain = re.sub("['’\u00a0\u202f\u2009]", "", digits)
    if "," in plain and "." in plain:
        decimal = "," if plain.rindex(",") > plain.rindex(".") else "."
    elif re.fullmatch(r"\d{1,3}(?:,\d{3})+", plain) or plain.count(".") > 1:
        decimal = ""
    else:
        decimal = "," if "," in plain else "."
    whole, mark, part = plain.rpartition(decimal) if decimal else (plain, "", "")
    if decimal and not mark:
        whole, part = plain, ""
    try:
        return Decimal(re.sub(r"[.,]", "", whole) + (f".{part}" if part else "") or "0")
    except InvalidOperation:
        return None


def _scaled(text: str, position: int, value: Decimal) -> tuple[int, tuple[Decimal, ...]]:
    """The value, and the value times a scale word that follows; the end moves behind that word."""
    end = position
    values: tuple[Decimal, ...] = (value,)
    while match := _NEXT.match(text, end):
        factor = _SCALE.get(match[1].lower())
        if factor is None or (len(match[1]) == 1 and match.start(1) > position):
            break
        values, end = (*values, values[-1] * factor), match.end()
    return end, values
