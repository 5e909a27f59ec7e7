"""Questions that a text answers: those it asks itself, and those made from the values it states, where the value gives
way to what asks for it.

"The river Minho is 300 kilometres long." becomes "The river Minho is how many kilometres long?"; in a language of which
nothing is known that would fit everywhere, a gap stands for it, as in an exercise: "Der Minho ist … Kilometer lang?".
Whether the program really answers one is for the caller to try.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from rag.answer.writing.condense import leans
from rag.language.languages import language_of
from rag.language.quantities import Value, currency_of, measure_of, values_of
from rag.language.sentences import sentences
from rag.language.tables import table

_SHORTEST, _LONGEST = 30, 120
"""Columns that a sentence takes, up to about a line of the page: a character of Chinese or Japanese takes two."""
_OPENING = 12
"""Characters: "In March 1987" opens a sentence, and "the bridge opened in March 1987" does not."""
_GAP = "…"
_FIGURE = re.compile(r"\d+(?:[.,:'’\u00a0\u202f]\d+)*")
_UNIT = re.compile(r"\s*(\w+)")
_MARKUP = re.compile(r"^[#>*_\s-]+|[*_\s]+$")
_PLAIN = re.compile(r"\w[^\s|#>*_`\[\]()<>{}\"“”„«»:;]*(?: [^\s|#>*_`\[\]()<>{}\"“”„«»:;]+)*")
"""A sentence on one line without quotations, brackets, markup or parts that lean on each other."""


@dataclass(frozen=True, slots=True)
class FactQuestion:
    """A question and the sentence ``text[start:end]`` that answers it."""

    question: str
    start: int
    end: int


def own_questions(text: str) -> Iterator[FactQuestion]:
    """The questions of a text that a sentence other than a question follows, as in a list of questions and answers."""
    for (start, end), (after, last) in pairwise(sentences(text)):
        question = _MARKUP.sub("", text[start:end])
        if _is(question, "QUESTION MARK") and "QUESTION MARK" not in unicodedata.name(text[last - 1], ""):
            yield FactQuestion(question, after, last)


def fact_questions(text: str) -> Iterator[FactQuestion]:
    """A question for each plain sentence that states one measure, price, share or date, in the order of the text."""
    language = language_of(text, "en")
    for start, end in sentences(text):
        sentence = text[start:end]
        if not _is(sentence, "FULL STOP", "DANDA"):
            continue
        asked = _by_value(sentence, language) if language in _interrogatives() else _by_gap(sentence)
        if asked:
            yield FactQuestion(f"{asked[0].upper()}{asked[1:]}{_mark_of(sentence)}", start, end)


def _by_value(sentence: str, language: str) -> str:
    """The sentence with the words of its language for its one value; empty where it has none or several."""
    values = [value for value in values_of(sentence, language) if _asks(value, language)]
    if len(values) != 1:
        return ""
    value = values[0]
    rest = sentence[value.end : -1]
    if value.kind == "money" and (unit := _UNIT.match(rest)) and currency_of(unit[1], language):
        rest = rest[unit.end() :]
    return f"{sentence[: value.start]}{_asks(value, language)}{rest}"


def _by_gap(sentence: str) -> str:
    """The sentence with a gap for its one figure, in the digits of any script; empty where it has none or several, or
    where the figure is a part of a name ("B12")."""
    figures = list(_FIGURE.finditer(sentence))
    if len(figures) != 1:
        return ""
    start, end = figures[0].span()
    around = sentence[max(0, start - 1) : start] + sentence[end : end + 1]
    return "" if around.upper() != around.lower() else f"{sentence[:start]}{_GAP}{sentence[end:-1]}"


def _is(sentence: str, *ends: str) -> bool:
    """Whether it is a plain sentence, of a fair length and for itself, that ends in what Unicode names so."""
    if not sentence or not any(end in unicodedata.name(sentence[-1], "") for end in ends):
        return False
    columns = sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in sentence)
    return _SHORTEST <= columns <= _LONGEST and bool(_PLAIN.fullmatch(sentence)) and not leans(sentence)


def _mark_of(sentence: str) -> str:
    """The question mark of the script that a sentence is written in."""
    if any(unicodedata.east_asian_width(character) in "WF" for character in sentence):
        return "？"
    return "؟" if any(unicodedata.bidirectional(character) == "AL" for character in sentence) else "?"


def _asks(value: Value, language: str) -> str:
    """What asks for a value; empty where nothing does: a bare number may be a name or a count of anything."""
    if value.kind == "number" and not measure_of(value.unit, language):
        return ""
    if value.kind in ("date", "year") and not (value.start > _OPENING and (value.year or value.day)):
        return ""  # a month alone; or it opens the sentence, which a question would have to turn round
    return _interrogatives()[language].get(value.kind, "")


@cache
def _interrogatives() -> dict[str, dict[str, str]]:
    """By language and the kind of a value, what asks for it."""
    found: dict[str, dict[str, str]] = {}
    for row in table("interrogatives"):
        found.setdefault(row["language"], {})[row["kind"]] = row["words"]
    return found
