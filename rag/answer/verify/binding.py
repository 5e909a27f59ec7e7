"""What belongs to what: the number to its thing, the doer to the deed, the comparison to what is compared.

A window may hold every word of a sentence and still say another thing; these look at which words stand together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from rag.answer.contrast import CLAUSE_END
from rag.answer.lexicon import Word, stem
from rag.answer.values import Value, values_of
from rag.answer.verify.evidence import Claim, Window

Same = Callable[[Value, Value], bool]

_EVERY = re.compile(
    r"\b(?:every|each|per|once an?)\s+(?:single\s+)?(hour|day|week|month|quarter|year|decade|century)\b"
    r"|\b(hourly|daily|weekly|monthly|quarterly|yearly|annual)(?:ly)?\b",
    re.IGNORECASE,
)
_PERIODS = {
    "hourly": "hour", "daily": "day", "weekly": "week", "monthly": "month", "quarterly": "quarter", "yearly": "year",
    "annual": "year",
}  # fmt: skip
_RISING = frozenset("more higher larger greater bigger faster older stronger better longer high large strong".split())
_FALLING = frozenset("less fewer lower smaller slower younger weaker worse shorter low small weak".split())
_PASSIVE = re.compile(r"\b(?:is|are|was|were|be|been|being|got|by)\b", re.IGNORECASE)
_AHEAD, _BETWEEN = 3, 4
_OPPOSED = """
fast quick rapid swift : slow
large big great huge : small tiny
help benefit : harm hurt damage
glad happy pleased : unhappy sad angry
supporter advocate champion : opponent critic
often frequently usually : rarely seldom
rich wealthy : poor
warm hot : cold cool
majority : minority
unite merge combine integrate : split separate divide
difficult hard : easy
create build : destroy
strength powerful : weak
positive : negative
legal lawful : illegal
presence : absence
simple : complex
inside : outside
widespread common : rare
advantage : disadvantage
agree : disagree
internal : external
attract : repel
"""

OPPOSED = tuple(
    (frozenset(map(stem, left.split())), frozenset(map(stem, right.split())))
    for left, _, right in (line.partition(":") for line in _OPPOSED.strip().splitlines())
)
"""Opposites beside those of ``rag.answer.contrast``."""


def stands_with_another(claim: Claim, value: Value, window: Window, same: Same, sort: Same) -> int:
    """By how many of the claim's words another value of the same sort stands with more of them than ``value`` does.

    Counted in the clause of each; where they stand in different sentences, in those, less one. 0 or less: by none.
    """
    taken = claim.values
    own = {w.stem for w in claim.words if w.content and not any(v.start <= w.start < v.end for v in taken)}
    ours: list[tuple[int, int, int]] = []
    others: list[tuple[int, int, int]] = []
    for place, unit in enumerate(window.units):
        said = len(own & {word.stem for word in unit.words})
        for other in values_of(unit.text):
            here = (place, said, _near(unit.text, unit.words, other, own))
            if same(value, other):
                ours.append(here)
            elif sort(value, other) and not any(same(v, other) for v in taken):
                others.append(here)
    if not ours or not others:
        return 0
    best = max(ours, key=lambda one: one[1:])
    return max(other[2] - best[2] if other[0] == best[0] else other[1] - best[1] - 1 for other in others)


def _near(text: str, words: Sequence[Word], value: Value, own: set[str]) -> int:
    """How many of the stems ``own`` stand in the value's clause."""
    start = max((m.end() for m in CLAUSE_END.finditer(text, 0, value.start)), default=0)
    end = next((m.start() for m in CLAUSE_END.finditer(text, value.end)), len(text))
    return len(own & {word.stem for word in words if start <= word.start < end})


def another_period(claim: str, window: str) -> bool:
    """Whether "every week" in the claim is "each year" in the window."""
    said, there = set(_periods(claim)), set(_periods(window))
    return bool(said and there and not said & there)


def _periods(text: str) -> Iterator[str]:
    for match in _EVERY.finditer(text):
        word = (match[1] or match[2]).lower()
        yield _PERIODS.get(word, word)


def turned_round(claim: Claim, window: Window) -> bool:
    """Whether the claim says "A did B" of two names with little between them, and the window only "B did A"."""
    known = {word.stem for unit in window.units for word in unit.words if word.name}
    there = [deed for unit in window.units for deed in _deeds(unit.text, unit.words, known)]
    for one, other in _deeds(claim.text, claim.words, known):
        crossed = any(one & after and other & before and not one & before for before, after in there)
        if crossed and not any(one & before and other & after for before, after in there):
            return True
    return False


def _deeds(text: str, words: Sequence[Word], known: set[str]) -> Iterator[tuple[frozenset[str], frozenset[str]]]:
    """Names that follow each other in one clause with one to four words between, one of them a content word, none
    passive. A word that opens a sentence is a name where it is ``known`` as one."""
    names: list[tuple[int, int, frozenset[str]]] = []
    for place, word in enumerate(words):
        if not (word.name or (word.content and word.stem in known and text[word.start].isupper())):
            continue
        if names and names[-1][1] == place - 1 and text[words[place - 1].end : word.start] == " ":
            names[-1] = (names[-1][0], place, names[-1][2] | {word.stem})
        else:
            names.append((place, place, frozenset([word.stem])))
    for (_, end, one), (start, _, other) in pairwise(names):
        between = text[words[end].end : words[start].start]
        stand_near = start - end - 1 <= _BETWEEN and any(words[k].content for k in range(end + 1, start))
        if stand_near and between[:1] == " " and not CLAUSE_END.search(between) and not _PASSIVE.search(between):
            yield one, other


def compared_the_other_way(claim: Claim, window: Window) -> bool:
    """Whether "less oxygen" of the claim is only ever "more oxygen" in the window."""
    said = set(_compared(claim.text, claim.words))
    there = {pair for unit in window.units for pair in _compared(unit.text, unit.words)}
    return any((-way, word) in there and (way, word) not in there for way, word in said)


def _compared(text: str, words: Sequence[Word]) -> Iterator[tuple[int, str]]:
    """(1 or -1, stem) of the content words soon after "more" or "less"."""
    for place, word in enumerate(words):
        shown = text[word.start : word.end].lower()
        way = 1 if shown in _RISING else -1 if shown in _FALLING else 0
        if not way:
            continue
        for following in words[place + 1 : place + 1 + _AHEAD]:
            if CLAUSE_END.search(text, word.end, following.start):
                break
            if following.content:
                yield way, following.stem
