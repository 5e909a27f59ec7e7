"""Of two dated documents the later may change what the earlier says: that is a change, and no disagreement."""

from __future__ import annotations

import re
from functools import lru_cache

from rag.answer.conflicts.statement import Statement, asked_of, share_of
from rag.language import key, same_value, values_of, words_of
from rag.types import Passage

_COVERED, _FEWEST_SHARED = 0.65, 2
_FILE_DATE = re.compile(r"(?<!\d)((?:19|20)\d{2})(?:[-_. ]?(\d{2})(?:[-_. ]?(\d{2}))?)?(?!\d)")
_NUMBERS = re.compile(r"[\W\d_]+")
_BACK = re.compile(r"\b(?:earlier|previous|former|prior|preceding|original)\s+(\w+)", re.IGNORECASE)

Date = tuple[int, int, int]


@lru_cache(maxsize=1_024)
def _dated(source: str, title: str) -> tuple[Date, str]:
    for text in (source.rsplit("/", 1)[-1], title):
        for value in values_of(text):
            if value.kind == "date" and value.year:
                return (value.year, value.month, value.day), text[value.start : value.end]
        match = _FILE_DATE.search(text)
        if match:
            year, month, day = (int(part or 0) for part in match.groups())
            return (year, month, day), match[0]
    return (0, 0, 0), ""


def date_of(passage: Passage) -> str:
    """The date in the name of the source or in its title, as written there; empty if there is none."""
    return _dated(passage.source, passage.title)[1]


def in_order(one: Statement, other: Statement) -> tuple[Statement, Statement] | None:
    """The earlier and the later, where both are of one series of dated documents; None where they are not.

    A series shares its name but for the date; dates are told apart by the day or month, since the figures of two
    years' reports are those of two years.
    """
    (a, _), (b, _) = (_dated(s.passage.source, s.passage.title) for s in (one, other))
    names = {_NUMBERS.sub(" ", s.passage.source.rsplit("/", 1)[-1].lower()).strip() for s in (one, other)}
    if len(names) > 1 or a == b or not (a[1] and b[1]):
        return None
    return (one, other) if a < b else (other, one)


def changes(earlier: Statement, later: Statement, question: str) -> bool:
    """Whether the later document speaks of the earlier one, and the sentence gives another value for what is asked."""
    asked = asked_of(question)
    shared = earlier.topic.keys() & later.topic.keys()
    if len(shared) < _FEWEST_SHARED or not asked or not _speaks_of(earlier.passage, later.passage):
        return False
    if any(share_of(asked, s, s.header) < _COVERED for s in (earlier, later)):
        return False
    kinds = {v.kind for v in earlier.values} & {v.kind for v in later.values}
    return any(v.kind in kinds and not any(same_value(v, other) for other in earlier.values) for v in later.values)


def _speaks_of(earlier: Passage, later: Passage) -> bool:
    """Whether the later names the earlier's date, or "the earlier decision" of which the earlier speaks."""
    then = next(iter(values_of(date_of(earlier))), None)
    if then and any(v.kind == "date" and v.day and same_value(v, then) for v in values_of(later.text)):
        return True
    there = {key(word.stem) for word in words_of(earlier.text)}
    return any(key(words_of(match[1])[0].stem) in there for match in _BACK.finditer(later.text))
