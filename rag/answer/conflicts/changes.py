"""Of two dated documents the later may change what the earlier says: that is a change, and no disagreement."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from rag.answer.conflicts.statement import Statement, asked_of, covers
from rag.language import Value, same_value, values_of
from rag.types import Passage

_FILE_DATE = re.compile(r"(?<!\d)((?:19|20)\d{2})(?:[-_. ]?(\d{2})(?:[-_. ]?(\d{2}))?)?(?!\d)")
_NUMBERS = re.compile(r"[\W\d_]+")

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
    """Whether the later sentence gives another value for what is asked, and what was said before still stood.

    That is where the later document names the date of the earlier one; and where both give dates and the earlier one's
    still lay ahead when the later was written.
    """
    if not all(covers(s, asked_of(question)) for s in (earlier, later)):
        return False
    before, after = earlier.values, later.values
    if not _speaks_of(earlier.passage, later.passage):
        before, after = (_ahead(values, later.passage) for values in (before, after))
    kinds = {v.kind for v in before} & {v.kind for v in after}
    return any(v.kind in kinds and not any(same_value(v, other) for other in before) for v in after)


def _ahead(values: Iterable[Value], written: Passage) -> tuple[Value, ...]:
    """The dates that lay ahead when a passage was written."""
    today, _ = _dated(written.source, written.title)
    return tuple(v for v in values if v.kind == "date" and v.year and (v.year, v.month, v.day) > today)


def _speaks_of(earlier: Passage, later: Passage) -> bool:
    """Whether the later names the earlier's date."""
    then = next(iter(values_of(date_of(earlier))), None)
    return then is not None and any(v.kind == "date" and v.day and same_value(v, then) for v in values_of(later.text))
