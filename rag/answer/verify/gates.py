"""What a sentence may not get wrong: numbers, dates, names, who did what, negations, opposites, quantity words.

Each rule holds a sentence against the window that says most of it; ``RULES`` lists them, and the benchmark's ablation
(``python -m tests.bench ablation``) tells what each is worth on sentences it was not made on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from types import MappingProxyType

from rag.answer.contrast import (
    APPROXIMATE,
    AT_LEAST,
    AT_MOST,
    CLAUSE_END,
    CONTRARY,
    DENIAL,
    NEGATION,
    OPPOSITES,
    PARTED,
    QUANTITIES,
)
from rag.answer.countries import VARIANTS
from rag.answer.lexicon import Word, seat_of, stem, words_of
from rag.answer.values import Value, other_unit, same_value, values_of
from rag.answer.verify.evidence import Claim, Window

_SCOPE_WORDS = 5
_APPROXIMATELY = 0.05
_SMALL = 10
_NAME_BEGINNING = 4
_BEFORE = 2
_REACH = 4
_ASTRAY = 1
_PASSIVE = re.compile(r"\b(?:is|are|was|were|be|been|being|got)\s+(?:\w+\s+)?$", re.IGNORECASE)
# Of the words that look like "un-": no denials.
_NOT_UNDOING = re.compile(r"un(?:it|der|til|ion|ivers|iq|iform|less|cle)", re.IGNORECASE)
_OF_THE_NEXT = frozenset(["former", "past", "few", "little"])
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

_OPPOSED_PAIRS = tuple(
    (frozenset(map(stem, left.split())), frozenset(map(stem, right.split())))
    for left, _, right in (line.partition(":") for line in _OPPOSED.strip().splitlines())
)

DOUBT, UNPROVEN = 0.5, 0.25


@dataclass(frozen=True, slots=True)
class Gates:
    """1 passed, 0.5 in doubt, 0.25 found nowhere (a small number, which may be a count), 0 failed; for each kind, and
    the ``worst`` of them."""

    values: float = 1.0
    names: float = 1.0
    roles: float = 1.0
    negation: float = 1.0
    quantity: float = 1.0
    opposite: float = 1.0

    @property
    def worst(self) -> float:
        """The lowest of them, which decides."""
        return min(self.values, self.names, self.roles, self.negation, self.quantity, self.opposite)


@dataclass(frozen=True)
class _Pair:
    """A claim and the window it is held against; ``context`` and ``question`` may name things, too."""

    claim: Claim
    window: Window
    context: str
    question: str

    @cached_property
    def near(self) -> tuple[Value, ...]:
        """The window's values."""
        return _values_in(self.window.text)

    @cached_property
    def far(self) -> tuple[Value, ...]:
        """The context's."""
        return _values_in(self.context)

    @cached_property
    def words(self) -> tuple[Word, ...]:
        """The window's words."""
        return words_of(self.window.text)

    @cached_property
    def stems(self) -> frozenset[str]:
        """Their stems."""
        return frozenset(word.stem for word in self.words)

    def same(self, value: Value, other: Value) -> bool:
        """Whether the claim's value is that of the window."""
        return _same(value, other, self.claim.text, self.window.text)

    def said(self, value: Value) -> bool:
        """Whether the window has the claim's value."""
        return any(self.same(value, other) for other in self.near)


def gates(
    claim: Claim, window: Window, context: str, question: str = "", *, without: Collection[str] = frozenset()
) -> Gates:
    """Hold ``claim`` against the window it is best supported by, by all rules but those named in ``without``.

    ``context`` is what else may name things: the passage around the window, its title and headings. What only the
    context has leaves a doubt, and fails where the window says something else of the same sort instead. Names that
    only ``question`` has leave a doubt.
    """
    pair = _Pair(claim, window, context, question)
    held: dict[str, float] = {}
    for name, (gate, rule) in RULES.items():
        if name not in without:
            held[gate] = min(held.get(gate, 1.0), rule(pair))
    return Gates(**held)


def _another_value(pair: _Pair) -> float:
    """Each value must be near the window, or in its context where the window says nothing else of its sort."""
    claim, result = pair.claim, 1.0
    others = [v for v in pair.near if not any(same_value(v, own) for own in claim.values)]
    for value in claim.values:
        if pair.said(value):
            continue
        rival = any(_same_sort(value, other) for other in others)
        if any(_same(value, other, claim.text, pair.context) for other in pair.far):
            result = min(result, 0.0 if rival else DOUBT)
        elif (
            not claim.text[value.start : value.end].isalpha() or value.number > _SMALL or value.kind == "date" or rival
        ):
            return 0.0
        elif value.number != 1:
            result = min(result, UNPROVEN)
    return result


def _of_another_thing(pair: _Pair) -> float:
    """Fails where the words after a value follow another value of the window, and not this one."""
    wrong = (
        pair.said(v) and _counts_something_else(v, pair.claim, pair.window.text, pair.near) for v in pair.claim.values
    )
    return 0.0 if any(wrong) else 1.0


def _beside_another(pair: _Pair) -> float:
    """In doubt where another value of the same sort stands with more of the claim's words than the claim's own does."""
    doubtful = (
        pair.said(v) and _stands_with_another(pair.claim, v, pair.window, pair.same) >= _ASTRAY
        for v in pair.claim.values
    )
    return DOUBT if any(doubtful) else 1.0


def _another_period(pair: _Pair) -> float:
    """Fails where "every week" in the claim is "each year" in the window."""
    said, there = set(_periods(pair.claim.text)), set(_periods(pair.window.text))
    return 0.0 if said and there and not said & there else 1.0


def _values_in(text: str) -> tuple[Value, ...]:
    """The values, also read as if a line break or tokeniser had parted "3, 800" and "98. 7"."""
    joined = PARTED.sub(r"\1", text)
    return values_of(text) if joined == text else values_of(text) + values_of(joined)


def _same(value: Value, other: Value, claim: str, text: str) -> bool:
    """Equal, or within 5 % where the claim says "about"; "more than" never stands for "less than"."""
    before, there = claim[: value.start], text[: other.start]
    if (AT_LEAST.search(before) and AT_MOST.search(there)) or (AT_MOST.search(before) and AT_LEAST.search(there)):
        return False
    if other_unit(value, other):
        return False
    if same_value(value, other):
        return True
    beyond = (AT_LEAST.search(before) and value.number > other.number) or (
        AT_MOST.search(before) and value.number < other.number
    )
    close = abs(value.number - other.number) <= _APPROXIMATELY * max(abs(value.number), abs(other.number))
    return bool(value.kind == other.kind and value.number and close and not beyond and APPROXIMATE.search(before))


def _same_sort(a: Value, b: Value) -> bool:
    dates = ("date", "year")
    return (a.kind in dates and b.kind in dates) or (a.kind == b.kind and a.kind not in dates and a.unit == b.unit)


def _counts_something_else(value: Value, claim: Claim, window: str, near: Sequence[Value]) -> bool:
    """Whether the words after the value follow another value of the window, and not this one."""
    own = _after(value, claim.values, claim.words)
    if not own:
        return False
    words = words_of(window)
    follows = [(_same(value, other, claim.text, window), bool(own & _after(other, near, words))) for other in near]
    return any(other for same, other in follows if not same) and not any(hit for same, hit in follows if same)


def _after(value: Value, values: Sequence[Value], words: Sequence[Word]) -> set[str]:
    """The stems of the content words right after a value, up to the next one; "the first two" share theirs."""
    end = value.end
    for start, stop in sorted((v.start, v.end) for v in values if v.start >= value.end):
        if start > end + 1:
            return {w.stem for w in [w for w in words if w.content and end <= w.start < start][:_REACH]}
        end = stop
    return {w.stem for w in [w for w in words if w.content and end <= w.start][:_REACH]}


def _stands_with_another(claim: Claim, value: Value, window: Window, same: Callable[[Value, Value], bool]) -> int:
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
            elif _same_sort(value, other) and not any(same(v, other) for v in taken):
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


def _periods(text: str) -> Iterator[str]:
    for match in _EVERY.finditer(text):
        word = (match[1] or match[2]).lower()
        yield _PERIODS.get(word, word)


def _another_name(pair: _Pair) -> float:
    """Every name must be near the window: as it is, as its country, its government's seat, or its initials."""
    claim, window = pair.claim, pair.window
    names = [word for word in claim.words if word.name and not claim.text[word.start : word.end].isdigit()]
    if not names:
        return 1.0
    first = max(0, window.first - _BEFORE)
    near = _Known(window.source.text[window.source.units[first].start : window.end])
    absent = [word for word in names if not near.has(word, claim.text)]
    if not absent:
        return 1.0
    known = _Known(pair.context)
    missing = [word.stem for word in absent if not known.has(word, claim.text)]
    if missing:
        asked = {word.stem for word in words_of(pair.question)}
        return DOUBT if asked.issuperset(missing) else 0.0
    subject = next((w for w in pair.words if w.name), None)
    swapped = subject is not None and absent[0] is names[0] and not _Known(claim.text).has(subject, window.text)
    return 0.0 if swapped else DOUBT


class _Known:
    """The names a text knows."""

    def __init__(self, text: str) -> None:
        words = words_of(text)
        capital = {word.stem for word in words if text[word.start].isupper() or text[word.start].isdigit()}
        # A text in small letters throughout names things too.
        self._stems = capital if any(word.name for word in words) else {word.stem for word in words}
        self._initials = _initials(text, words)

    def has(self, word: Word, text: str) -> bool:
        """Whether the name ``word`` of ``text`` occurs, perhaps as an adjective, a capital or an abbreviation."""
        shown = text[word.start : word.end]
        if word.stem in self._stems or (shown.isupper() and len(shown) > 1 and shown in self._initials):
            return True
        return any(_same_root(word.stem, other) or seat_of(word.stem, other) for other in self._stems)


def _same_root(a: str, b: str) -> bool:
    """One is the other with a short ending, as "genetic" and "genetics"; not "iran" and "iraq", "niger" and
    "nigeria": a country's words have one stem already."""
    if a[:2] != b[:2] or a in VARIANTS or b in VARIANTS:
        return False
    short, long = sorted((a, b), key=len)
    return len(short) >= _NAME_BEGINNING and long.startswith(short[:-1]) and 1 <= len(long) - len(short) <= 4


def _initials(text: str, words: Sequence[Word]) -> str:
    """The first letters of the capitalised words in a row, a space between rows."""
    out: list[str] = []
    last = 0
    for word in words:
        first = text[word.start]
        if first.isupper():
            if text[last : word.start].strip(" \n\t-"):
                out.append(" ")
            out.append("".join(part[0] for part in text[word.start : word.end].split()))
        elif word.content:
            out.append(" ")
        last = word.end
    return "".join(out)


def _turned_round(pair: _Pair) -> float:
    """Fails where the claim says "A did B" of two names with little between them, and the window only "B did A"."""
    units = pair.window.units
    known = {word.stem for unit in units for word in unit.words if word.name}
    there = [deed for unit in units for deed in _deeds(unit.text, unit.words, known)]
    for one, other in _deeds(pair.claim.text, pair.claim.words, known):
        crossed = any(one & after and other & before and not one & before for before, after in there)
        if crossed and not any(one & before and other & after for before, after in there):
            return 0.0
    return 1.0


def _changed_places(pair: _Pair) -> float:
    """Fails where two names change places around a word both texts have."""
    for verb, before, after, passive in _acts(pair.claim.text, pair.claim.words):
        for other, theirs_before, theirs_after, theirs_passive in _acts(pair.window.text, pair.words):
            crossed = before & theirs_after and after & theirs_before and not before & after
            if verb == other and crossed and passive == theirs_passive:
                return 0.0
    return 1.0


def _another_subject(pair: _Pair) -> float:
    """Fails where another name stands right before a word both texts have."""
    for unit in pair.window.units:
        names = {word.stem for word in unit.words if word.name}
        for verb, subject in _subjects(pair.claim.text, pair.claim.words):
            if any(verb == v and subject not in {s, *names} for v, s in _subjects(unit.text, unit.words)):
                return 0.0
    return 1.0


def _subjects(text: str, words: Sequence[Word]) -> Iterator[tuple[str, str]]:
    """(stem, name) of the content words that follow a name with only a space between: "Russia began"."""
    for one, other in pairwise(words):
        if one.name and other.content and not other.name and text[one.end : other.start] == " ":
            yield other.stem, one.stem


def _acts(text: str, words: Sequence[Word]) -> Iterator[tuple[str, frozenset[str], frozenset[str], bool]]:
    """(stem, nearest name before, nearest name after, is it passive) of the words between two names; a name's words
    are a set, since a text may leave some out."""
    names = _names_in(text, words)
    for place, word in enumerate(words):
        if not word.content or word.name:
            continue
        before = next((name for last, name in reversed(names) if last < place), None)
        after = next((name for last, name in names if last > place), None)
        if before and after:
            yield word.stem, before, after, bool(_PASSIVE.search(text[: word.start]))


def _names_in(text: str, words: Sequence[Word]) -> list[tuple[int, frozenset[str]]]:
    """The names, words in a row being one, each with the place of its last word."""
    found: list[tuple[int, frozenset[str]]] = []
    for place, word in enumerate(words):
        if not word.name:
            continue
        last, name = found[-1] if found else (-2, frozenset[str]())
        if last == place - 1 and text[words[last].end : word.start] == " ":
            found[-1] = (place, name | {word.stem})
        else:
            found.append((place, frozenset([word.stem])))
    return found


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


def _denied(pair: _Pair) -> float:
    """Words the claim negates must be negated in the window too, and the other way round."""
    claim = pair.claim
    own = _content(claim.words)
    text = max((u.text for u in pair.window.units), key=lambda t: len(own & _content(words_of(t))))
    words = words_of(text)
    claimed, stated = _negated(claim.text, claim.words), _negated(text, words)
    both = own & _content(words)
    shared = (claimed | stated) & both
    turned = {stem for stem in shared if (stem in claimed) != (stem in stated)}
    denied = (_heads(claim.text, claim.words) & both) - stated
    if not (denied or (turned and turned == shared)):
        return 1.0
    ours, theirs = denied or turned & claimed, turned & stated
    return DOUBT if _undone(text, words, ours) or _undone(claim.text, claim.words, theirs) else 0.0


def _denies(pair: _Pair) -> float:
    """A claim that denies something needs a window that does, of a word in common."""
    claim, window = pair.claim, pair.window
    if not (NEGATION.search(claim.text) or DENIAL.search(claim.text)):
        return 1.0
    if not (NEGATION.search(window.text) or CONTRARY.search(window.text)):
        return 0.0
    claimed = _negated(claim.text, claim.words)
    said = claimed - _negated(window.text, pair.words)
    own = _content(claim.words)
    return DOUBT if claimed and said == claimed and not _undone(window.text, pair.words, own) else 1.0


def _heads(text: str, words: Sequence[Word]) -> set[str]:
    """The stem that each "not" or "never" stands right before; "no city is larger" denies no city."""
    verbs = [match for match in _negations(text) if match[0].lower() != "no"]
    return {word.stem for match in verbs if (word := next(iter(_scope(text, words, match)), None))}


def _undone(text: str, words: Sequence[Word], stems: set[str]) -> bool:
    """Whether a word that acts like a "not" stands in one clause with one of the stems: "refused to approve"."""
    for match in CONTRARY.finditer(text):
        if _NOT_UNDOING.match(match[0]):
            continue
        near = _scope(text, words, match)[:1]
        if match[0].lower() not in _OF_THE_NEXT:
            start = max((m.end() for m in CLAUSE_END.finditer(text, 0, match.start())), default=0)
            end = next((m.start() for m in CLAUSE_END.finditer(text, match.end())), len(text))
            near = [word for word in words if start <= word.start < end]
        if any(word.stem in stems for word in near):
            return True
    return False


def _content(words: Sequence[Word]) -> set[str]:
    return {word.stem for word in words if word.content and not word.name}


def _negated(text: str, words: Sequence[Word]) -> set[str]:
    """The stems that occur only within five content words after a negation, up to the end of its clause."""
    inside = {word for match in _negations(text) for word in _scope(text, words, match)}
    outside = {word.stem for word in words if word not in inside}
    return {word.stem for word in inside if not word.name} - outside


def _negations(text: str) -> Iterator[re.Match[str]]:
    for match in NEGATION.finditer(text):
        if text[match.start() : match.end() + 5].lower() not in ("not only", "no doubt"):
            yield match


def _scope(text: str, words: Sequence[Word], match: re.Match[str]) -> list[Word]:
    """The content words after a negation that it reaches."""
    end = CLAUSE_END.search(text, match.end())
    stop = end.start() if end else len(text)
    return [word for word in words if match.end() <= word.start < stop and word.content][:_SCOPE_WORDS]


def _quantity(pair: _Pair) -> float:
    """ "All", "only", "never" and "most" need a word of their kind in the window."""
    own = set(pair.claim.stems)
    return DOUBT if any(own & group and not pair.stems & group for group in QUANTITIES) else 1.0


def _opposite(pair: _Pair) -> float:
    """A word of the claim whose opposite stands in the window instead of it; a negation on one side lifts it."""
    own, stated = set(pair.claim.stems), pair.stems
    for left, right in (*OPPOSITES, *_OPPOSED_PAIRS):
        for ours, theirs in ((left, right), (right, left)):
            if own & ours and not own & theirs and stated & theirs and not stated & ours:
                turned = bool(NEGATION.search(pair.claim.text)) != bool(NEGATION.search(pair.window.text))
                return 1.0 if turned else 0.0
    return 1.0


def _compared(pair: _Pair) -> float:
    """In doubt where "less oxygen" of the claim is only ever "more oxygen" in the window."""
    said = set(_comparisons(pair.claim.text, pair.claim.words))
    there = {found for unit in pair.window.units for found in _comparisons(unit.text, unit.words)}
    return DOUBT if any((-way, word) in there and (way, word) not in there for way, word in said) else 1.0


def _comparisons(text: str, words: Sequence[Word]) -> Iterator[tuple[int, str]]:
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


RULES: Mapping[str, tuple[str, Callable[[_Pair], float]]] = MappingProxyType({
    "another value": ("values", _another_value),
    "of another thing": ("values", _of_another_thing),
    "beside another": ("values", _beside_another),
    "another period": ("values", _another_period),
    "another name": ("names", _another_name),
    "turned round": ("roles", _turned_round),
    "changed places": ("roles", _changed_places),
    "another subject": ("roles", _another_subject),
    "denied": ("negation", _denied),
    "denies": ("negation", _denies),
    "quantity": ("quantity", _quantity),
    "opposite": ("opposite", _opposite),
    "compared": ("opposite", _compared),
})  # fmt: skip
"""Each rule with the gate it belongs to."""
