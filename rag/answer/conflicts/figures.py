"""When two numbers, amounts or dates of different sources cannot both be right, as far as their sentences tell."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rag.answer.conflicts.statement import DATES, Statement, asked_of, share_of
from rag.language import Value, key, other_unit, same_value, words_of
from rag.language.quantities import currency_of, measure_of
from rag.language.tables import listed, pattern
from rag.language.words import stems_listed

# What "about" leaves open, and what a rounding to fewer digits changes, as shares of the larger.
_ABOUT, _ROUNDED = 0.1, 0.02
# A sentence with more values lists or tabulates them.
_MOST_VALUES = 4
# Of the words of the question, or of the shorter sentence, that make it the same event. As those of the room
# ``conflict``, it moves one held-out pair at most (``python -m tests.bench rules``).
_EVENT = 0.7
_GAP = re.compile(r"[ \-’']|['’]s ")


@dataclass(frozen=True, slots=True)
class Figure:
    """A value with what is counted or measured by it: the words right behind, the rate, the word before."""

    value: Value
    noun: tuple[str, ...]
    tail: frozenset[str]
    rate: str
    before: str
    clause: frozenset[str]
    text: str


def different_figures(one: Statement, other: Statement, question: str) -> list[tuple[str, str]]:
    """The pairs of values, as written, that are given for the same thing and cannot both be right."""
    asked = frozenset(asked_of(question))
    mine, theirs = ([f for f in _figures(s) if not _frames(f, s, question)] for s in (one, other))
    if max(len(mine), len(theirs)) > _MOST_VALUES:
        return []
    found = []
    for a in mine:
        if any(_agree(a, b) for b in theirs):
            continue
        rivals = [b for b in theirs if _same_thing(a, one, b, other, asked)]
        if (
            not rivals
            or any(not same_value(rivals[0].value, b.value) for b in rivals)
            or any(_agree(c, rivals[0]) for c in mine)
        ):
            continue
        if sum(_same_thing(c, one, rivals[0], other, asked) for c in mine) == 1 and _tied_alike(
            a, one, rivals[0], other
        ):
            found.append((a.text, rivals[0].text))
    return found


def _frames(figure: Figure, statement: Statement, question: str) -> bool:
    """Whether a date only says of what time another figure is."""
    value = figure.value
    if value.kind not in DATES or (question and pattern("time asked").search(question)):
        return False
    first, last = statement.clause(value.start, value.end)
    counted = any(v.kind not in DATES and first <= v.start < last for v in statement.values)
    return counted or bool(pattern("opening date").match(statement.text[: value.start]))


def _figures(statement: Statement) -> list[Figure]:
    found = []
    for value in statement.values:
        before, after = statement.text[: value.start], statement.text[value.end :]
        if value.kind == "ordinal" and not (pattern("rank").search(before) or pattern("superlative").match(after)):
            continue
        found.append(_figure(statement, value))
    return found


def _figure(statement: Statement, value: Value) -> Figure:
    shown = _shown(statement.text, value)
    end = value.start + len(shown)
    first, last = statement.clause(value.start, value.end)
    words = [w for w in statement.all_words if first <= w.start < last and not value.start <= w.start < value.end]
    noun, at = [], value.end
    for word in (w for w in words if w.start >= value.end):
        if not word.content or not _GAP.fullmatch(statement.text[at : word.start]):
            break
        noun.append(key(word.stem))
        at = word.end
    rate = pattern("rate").match(statement.text[value.end :])
    before = pattern("relation").search(statement.text[: value.start])
    clause = frozenset(key(w.stem) for w in words if statement.tells(w))
    return Figure(
        value, tuple(noun), _tail(statement.text[max(at, end) : last]), rate[1].lower() if rate else "",
        before[1].lower() if before else "", clause, shown,
    )  # fmt: skip


def _tail(text: str) -> frozenset[str]:
    """The keys of what a preposition right behind the noun joins to it: "of meadow", "in the old town"."""
    joins = pattern("joined behind")
    if not joins.match(text):
        return frozenset()
    found = []
    for place, word in enumerate(words_of(text)):
        behind = text[word.start :]
        if word.content and word.stem not in stems_listed("en", "light"):
            found.append(key(word.stem))
        elif word.content or (place and not joins.match(" " + behind) and not pattern("determiner").match(behind)):
            break
    return frozenset(found)


def _shown(text: str, value: Value) -> str:
    """The value with its unit, as written."""
    unit = re.match(r"[ -]?([^\W\d_]+)", text[value.end :])
    counted = unit and value.unit and value.unit in (unit[1].lower(), currency_of(unit[1]))
    return text[value.start : value.end + (unit.end() if unit and counted else 0)]


def _agree(a: Figure, b: Figure) -> bool:
    """Whether two values may both be right: the same, one a rounding of the other, or within the other's bound."""
    x, y = a.value, b.value
    if same_value(x, y):
        return True
    if x.kind in DATES or y.kind in DATES or x.kind != y.kind or not (x.number and y.number):
        return False
    gap = abs(x.number - y.number) / max(abs(x.number), abs(y.number))
    if "about" in x.bounds | y.bounds and gap <= _ABOUT:
        return True
    for bound, stated in ((x, y), (y, x)):
        if ("least" in bound.bounds and stated.amount >= bound.amount) or (
            "most" in bound.bounds and stated.amount <= bound.amount
        ):
            return True
    coarse, fine = sorted((x, y), key=lambda v: _digits(v.number))
    return gap <= _ROUNDED and _digits(coarse.number) < _digits(fine.number)


def _digits(number: float) -> int:
    """How many significant digits a number is written with."""
    return len(f"{number:.10g}".replace(".", "").strip("0")) if "e" not in f"{number:.10g}" else 1


def _same_thing(a: Figure, one: Statement, b: Figure, other: Statement, asked: frozenset[str]) -> bool:
    """Whether two values measure the same: kind, unit, noun with its modifiers, rate, "by" or "to"."""
    x, y = a.value, b.value
    if x.kind in DATES and y.kind in DATES:
        shared, fewest = len(one.topic.keys() & other.topic.keys()), min(len(one.topic), len(other.topic))
        if shared < _EVENT * fewest and any(share_of(asked, s, s.header) < _EVENT for s in (one, other)):
            return False
        return a.before == b.before or not {a.before, b.before} & {"until", "till", "since", "before", "after", "from"}
    if x.kind != y.kind or other_unit(x, y) or a.rate != b.rate:
        return False
    if a.before != b.before and ("by" in (a.before, b.before) or "from" in (a.before, b.before)):
        return False
    near = (*one.topic, *one.header), (*other.topic, *other.header)
    if (a.tail - asked).difference(near[1], other.around) or (b.tail - asked).difference(near[0], one.around):
        return False
    if x.kind in ("money", "percent"):
        return bool(a.clause & b.clause) or not (a.clause and b.clause)
    if measure_of(x.unit) and measure_of(x.unit) == measure_of(y.unit):
        return bool(a.clause & b.clause) or not (a.clause and b.clause)
    return _same_noun(a.noun, b.noun, a, b)


def _same_noun(one: Sequence[str], other: Sequence[str], a: Figure, b: Figure) -> bool:
    """Whether what is counted is called the same, with the same words before it."""
    for place, word in enumerate(one):
        if word in other:
            return set(one[:place]) == set(other[: list(other).index(word)])
    if one and other:
        # "4,000 victims" and "killed 6,500 people"
        return ("person" in other and one[0] in b.clause) or ("person" in one and other[0] in a.clause)
    # "Floors: 44", "a population of 900": what is counted stands before the number.
    first = (one or other)[:1]
    return bool(a.clause & b.clause) if not first else first[0] in (b.clause if one else a.clause)


def _tied_alike(a: Figure, one: Statement, b: Figure, other: Statement) -> bool:
    """Whether nothing ties one value to a time, a case or a plan that the other is not tied to."""
    units = {*a.noun, *b.noun, a.rate, b.rate, a.value.unit, b.value.unit}
    # Beside the date of an event these tell no other event.
    free = listed("en", "of no other event") if a.value.kind in DATES else frozenset[str]()
    ties = [
        {word for word in s.ties(f.value.start, f.value.end) - free if key(word) not in units}
        for s, f in ((one, a), (other, b))
    ]
    known = [{w.lower().rstrip("s") for w in re.findall(r"[^\W\d_]+(?:-\w+)?", s.text)} for s in (one, other)]
    if ties[0] - known[1] - {"?"} or ties[1] - known[0] - {"?"} or ("?" in ties[0]) != ("?" in ties[1]):
        return False
    return _times(one, a.value, other) and _times(other, b.value, one)


def _times(statement: Statement, value: Value, other: Statement) -> bool:
    """Whether the other sentence has every time that this one states beside the value."""
    first, last = statement.clause(value.start, value.end)
    opening = re.match(r"^[^,;:]{1,40},", statement.text)
    times = [
        v for v in statement.values
        if v is not value and v.kind in DATES and (first <= v.start < last or (opening and v.end <= opening.end()))
    ]  # fmt: skip
    return all(any(same_value(v, w) for w in other.values) for v in times)
