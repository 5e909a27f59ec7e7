"""Questions that a text answers, made from the values it states: the value gives way to what asks for it.

"The river Minho is 300 kilometres long." becomes "The river Minho is how many kilometres long?". Whether the program
really answers one is for the caller to try.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from rag.answer.compose import ended
from rag.answer.writing.condense import leans
from rag.language.languages import language_of
from rag.language.quantities import Value, currency_of, measure_of, values_of
from rag.language.sentences import sentences
from rag.language.tables import table

_SHORTEST, _LONGEST = 30, 120
_OPENING = 12
_UNIT = re.compile(r"\s*(\w+)")
_PLAIN = re.compile(r"\w[^\s|#>*_`\[\]()<>{}\"“”„«»:;]*(?: [^\s|#>*_`\[\]()<>{}\"“”„«»:;]+)*[.。]")
"""A sentence on one line without quotations, brackets, markup or parts that lean on each other."""


@dataclass(frozen=True, slots=True)
class FactQuestion:
    """A question and the sentence ``text[start:end]`` that answers it."""

    question: str
    start: int
    end: int


def fact_questions(text: str) -> Iterator[FactQuestion]:
    """A question for each plain sentence that states one measure, price, share or date, in the order of the text."""
    language = language_of(text, "en")
    for start, end in sentences(text):
        sentence = text[start:end]
        if not (_SHORTEST <= len(sentence) <= _LONGEST and _PLAIN.fullmatch(sentence) and ended(sentence)):
            continue
        values = [value for value in values_of(sentence, language) if _asks(value, language)]
        if len(values) != 1 or leans(sentence):
            continue
        value = values[0]
        rest = sentence[value.end :]
        if value.kind == "money" and (unit := _UNIT.match(rest)) and currency_of(unit[1], language):
            rest = rest[unit.end() :]
        asked = f"{sentence[: value.start]}{_asks(value, language)}{rest}".rstrip(".。")
        yield FactQuestion(f"{asked[0].upper()}{asked[1:]}?", start, end)


def _asks(value: Value, language: str) -> str:
    """What asks for a value; empty where nothing does: a bare number may be a name or a count of anything."""
    if value.kind == "number" and not measure_of(value.unit, language):
        return ""
    if value.kind in ("date", "year") and not (value.start > _OPENING and (value.year or value.day)):
        return ""  # a month alone; or it opens the sentence, which a question would have to turn round
    return _interrogatives().get((language, value.kind), "")


@cache
def _interrogatives() -> dict[tuple[str, str], str]:
    return {(row["language"], row["kind"]): row["words"] for row in table("interrogatives")}
