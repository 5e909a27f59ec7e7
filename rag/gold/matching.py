"""Whether an answer states a fact or a forbidden wording: on token boundaries, in any writing, numbers as numbers."""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal

from rag.gold.numbers import Number, numbers, words_after
from rag.gold.patterns import time_limit
from rag.gold.schema import Fact
from rag.text import fold

_LIMIT = 50_000
_UNITS = {
    "%": "percent", "‰": "permille", "$": "dollar", "us$": "dollar", "usd": "dollar", "€": "euro", "eur": "euro",
    "£": "pound", "gbp": "pound", "¥": "yen", "jpy": "yen", "₹": "rupee", "inr": "rupee", "pct": "percent",
    "kilometre": "km", "kilometer": "km", "kilogram": "kg", "metre": "m", "meter": "m",
}  # fmt: skip
_REACH = 3
"""A unit may stand at most this many words after its number ("5 paid working days")."""


def states(fact: Fact, text: str) -> bool:
    """Whether ``text`` (an answer without its markers) states ``fact``."""
    if fact.number is not None:
        return _states_number(fact, text[:_LIMIT])
    return any(occurs(wording, text) for wording in fact.any)


def violations(patterns: Sequence[str], text: str) -> tuple[str, ...]:
    """Those of the forbidden wordings that occur in ``text``."""
    return tuple(pattern for pattern in patterns if occurs(pattern, text))


def occurs(wording: str, text: str) -> bool:
    """Whether a plain wording or ``re:`` pattern occurs in ``text`` with no token cut at its edges.

    Both sides are folded (NFKC, case, dashes, quotation marks, white space); "12" is not in "2012", "12.5" or
    "1,012", and a pattern is also tried on the unfolded text. Raises SlowPattern when a pattern explodes on it.
    """
    text = text[:_LIMIT]
    if wording.startswith("re:"):
        pattern = re.compile(wording[3:], re.IGNORECASE)
        with time_limit(wording[3:]):
            return _bounded(pattern, fold(text)) or _bounded(pattern, text)
    needle = fold(wording)
    return bool(needle) and _bounded(re.compile(f"(?={re.escape(needle)})"), fold(text), len(needle))


def _bounded(pattern: re.Pattern[str], text: str, width: int | None = None) -> bool:
    return any(
        not cuts_token(text, match.start())
        and not cuts_token(text, match.end() if width is None else match.start() + width)
        for match in pattern.finditer(text)
        if width is not None or match.group()
    )


def cuts_token(text: str, position: int) -> bool:
    """Whether a cut at ``position`` would part a word or a number."""
    if not 0 < position < len(text):
        return False
    left, right = text[position - 1], text[position]
    if _is_word(left) and _is_word(right):
        return not (_unspaced(left) or _unspaced(right))
    inner_right = right in ".," and left.isdigit() and text[position + 1 : position + 2].isdigit()
    inner_left = left in ".," and right.isdigit() and text[position - 2 : position - 1].isdigit() and position > 1
    return inner_left or inner_right


def _is_word(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character).startswith("M")


def _unspaced(character: str) -> bool:
    """Scripts that put no space between words, or attach particles without one."""
    code = ord(character)
    return (
        0x0E00 <= code <= 0x0EFF  # Thai, Lao
        or 0x1000 <= code <= 0x109F  # Burmese
        or 0x1100 <= code <= 0x11FF  # Hangul letters
        or 0x1780 <= code <= 0x17FF  # Khmer
        or 0x2E80 <= code <= 0xA4CF  # CJK, kana
        or 0xAC00 <= code <= 0xD7FF  # Hangul
        or 0xF900 <= code <= 0xFAFF  # CJK compatibility
        or 0x20000 <= code <= 0x3FFFF  # CJK extensions
    )


def _states_number(fact: Fact, text: str) -> bool:
    wanted, tolerance = Decimal(fact.number or "0"), Decimal(fact.tolerance)
    # A bare "one" is far more often a pronoun than a count, so it needs its unit.
    return any(
        any(abs(value - wanted) <= tolerance for value in number.values) and _has_unit(fact.unit, number, text)
        for number in numbers(text)
        if fact.unit or not (number.spelled and number.values == (Decimal(1),))
    )


def _has_unit(unit: str, number: Number, text: str) -> bool:
    if not unit:
        return True
    wanted = [_unit(word) for word in re.findall(r"[^\W\d_]+|[^\w\s]+", fold(unit))]
    if wanted == ["per", "cent"]:
        wanted = ["percent"]
    if len(wanted) == 1 and number.before and _unit(number.before) == wanted[0]:
        return True
    if len(wanted) == 1 and _unit(_word_before(text, number.start)) == wanted[0]:
        return True
    # The reading without its scale word ("200" of "200 million") has the unit "million".
    after = [_unit(word) for start in {number.end, _digits_end(text, number)} for word in _after(text, start, wanted)]
    return any(after[at : at + len(wanted)] == wanted for at in range(len(after)))


def _after(text: str, start: int, wanted: list[str]) -> list[str]:
    found = words_after(text, start, _REACH + len(wanted))
    if found[:2] == ["per", "cent"]:
        found[:2] = ["percent"]
    return [*found[: _REACH + len(wanted) - 1], ""]


def _digits_end(text: str, number: Number) -> int:
    end = number.start
    while end < number.end and not (text[end - 1 : end].isdigit() and not (text[end].isdigit() or text[end] in ".,'")):
        end += 1
    return end


def _word_before(text: str, position: int) -> str:
    match = re.search(r"([^\W\d_]+|[$€£¥₹])\s?$", text[max(0, position - 40) : position])
    return match[1].lower() if match else ""


def _unit(word: str) -> str:
    word = word.lower()
    single = word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
    return _UNITS.get(word) or _UNITS.get(single) or single


def number_support(answer: str, evidence: Iterable[str]) -> float | None:
    """Share of the numbers of ``answer`` that also stand in one of the ``evidence`` texts; ``None`` without numbers."""
    stated = [number for number in numbers(answer) if not (number.spelled and number.values == (Decimal(1),))]
    if not stated:
        return None
    known = {value for text in evidence for number in numbers(text) for value in number.values}
    return sum(any(value in known for value in number.values) for number in stated) / len(stated)


def token_f1(answer: str, references: Sequence[str]) -> float:
    """The best token F1 of ``answer`` against the references, as SQuAD's evaluation script defines it: lower case,
    without punctuation and articles."""
    return max((_f1(_tokens(answer), _tokens(reference)) for reference in references), default=0.0)


def _tokens(text: str) -> list[str]:
    bare = "".join(character for character in text.lower() if character not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", bare).split()


def _f1(predicted: list[str], gold: list[str]) -> float:
    if not predicted or not gold:
        return float(predicted == gold)
    shared = sum((Counter(predicted) & Counter(gold)).values())
    if not shared:
        return 0.0
    precision, recall = shared / len(predicted), shared / len(gold)
    return 2 * precision * recall / (precision + recall)
