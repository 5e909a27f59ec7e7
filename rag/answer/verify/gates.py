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

from rag.answer.verify.evidence import Claim, Window
from rag.language import Check, Parsed, Value, Word, other_unit, parse, same_value, unchecked, words_of
from rag.language.polarity import clause_end, quantities
from rag.language.words import capitalises_nouns, seat_of, words_for_country

# The ablation also sets each of these about half and twice as large. No held-out set's AUC moves by more than 0.008 for
# that, but with _ASTRAY at 0, where a tie counts: then 0.02 to 0.09 of what is right is supported no more.
_APPROXIMATELY = 0.05
"""What "about 500" leaves open: half a rounding to one digit."""
_SMALL = 10
"""Up to here a number in words may be what is counted in the text, as "two" for "both pumps"."""
_NAME_BEGINNING, _NAME_ENDING = 4, 4
"""Letters that a name keeps and gets as an adjective: "Peru", "Peruvian"."""
_BEFORE = 2
"""Sentences before the window that a name may stand in, for which the window has a pronoun."""
_REACH = 4
"""Content words that what a number counts may stand behind it."""
_ASTRAY = 1
# "3, 800" and "98. 7" as a line break or tokeniser parts them.
_PARTED = re.compile(r"(\d[.,])\s+(?=\d)")
_PASSIVE = re.compile(r"\b(?:is|are|was|were|be|been|being|got|by)\b", re.IGNORECASE)
_BETWEEN = 4
"""Words between two names for one to do something to the other: "Rome later conquered Carthage"."""
DOUBT, UNPROVEN = 0.5, 0.25


@dataclass(frozen=True, slots=True)
class Gates:
    """1 passed, 0.5 in doubt, 0.25 found nowhere (a small number, which may be a count), 0 failed; for each kind, and
    the ``worst`` of them. ``unchecked``: what no data was there to check by; that it passed says nothing."""

    values: float = 1.0
    names: float = 1.0
    roles: float = 1.0
    negation: float = 1.0
    quantity: float = 1.0
    opposite: float = 1.0
    unchecked: tuple[Check, ...] = ()

    @property
    def each(self) -> tuple[float, ...]:
        """All of them."""
        return (self.values, self.names, self.roles, self.negation, self.quantity, self.opposite)

    @property
    def worst(self) -> float:
        """The lowest of them, which decides."""
        return min(self.each)


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
        return _values_in(self.there)

    @cached_property
    def far(self) -> tuple[Value, ...]:
        """The context's."""
        return _values_in(parse(self.context, self.language))

    @property
    def language(self) -> str:
        """The language the window is read in."""
        return self.window.units[0].parsed.read_as

    @cached_property
    def there(self) -> Parsed:
        """The window, parsed."""
        return parse(self.window.text, self.language)

    @property
    def unchecked(self) -> tuple[Check, ...]:
        """What there is no data for, or none to compare two languages by."""
        if self.claim.language != self.language:
            return ("negation", "opposites")
        return unchecked(self.language)

    @property
    def words(self) -> tuple[Word, ...]:
        """The window's words."""
        return self.there.words

    @cached_property
    def stems(self) -> frozenset[str]:
        """Their stems."""
        return frozenset(word.stem for word in self.words)

    def said(self, value: Value) -> bool:
        """Whether the window has the claim's value."""
        return any(_same(value, other) for other in self.near)


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
    return Gates(**held, unchecked=pair.unchecked)


def _another_value(pair: _Pair) -> float:
    """Each value must be near the window, or in its context where the window says nothing else of its sort."""
    claim, result = pair.claim, 1.0
    others = [v for v in pair.near if not any(same_value(v, own) for own in claim.values)]
    for value in claim.values:
        if pair.said(value):
            continue
        rival = any(_same_sort(value, other) for other in others)
        if any(_same(value, other) for other in pair.far):
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
    wrong = (pair.said(v) and _counts_something_else(v, pair.claim, pair.near, pair.words) for v in pair.claim.values)
    return 0.0 if any(wrong) else 1.0


def _beside_another(pair: _Pair) -> float:
    """In doubt where another value of the same sort stands with more of the claim's words than the claim's own does."""
    doubtful = (pair.said(v) and _stands_with_another(pair.claim, v, pair.window) >= _ASTRAY for v in pair.claim.values)
    return DOUBT if any(doubtful) else 1.0


def _values_in(text: Parsed) -> tuple[Value, ...]:
    """The values, also read as if a line break or tokeniser had parted "3, 800" and "98. 7"."""
    joined = _PARTED.sub(r"\1", text.text)
    return text.values if joined == text.text else text.values + parse(joined, text.read_as).values


def _same(value: Value, other: Value) -> bool:
    """Equal, or within 5 % where the claim says "about"; "more than" never stands for "less than"."""
    if ("least" in value.bounds and "most" in other.bounds) or ("most" in value.bounds and "least" in other.bounds):
        return False
    if other_unit(value, other):
        return False
    if same_value(value, other):
        return True
    beyond = ("least" in value.bounds and value.amount > other.amount) or (
        "most" in value.bounds and value.amount < other.amount
    )
    close = abs(value.number - other.number) <= _APPROXIMATELY * max(abs(value.number), abs(other.number))
    return bool(value.kind == other.kind and value.number and close and not beyond and "about" in value.bounds)


def _same_sort(a: Value, b: Value) -> bool:
    dates = ("date", "year")
    return (a.kind in dates and b.kind in dates) or (a.kind == b.kind and a.kind not in dates and a.unit == b.unit)


def _counts_something_else(value: Value, claim: Claim, near: Sequence[Value], words: Sequence[Word]) -> bool:
    """Whether the words after the value follow another value of the window, and not this one."""
    own = _after(value, claim.values, claim.words)
    if not own:
        return False
    follows = [(_same(value, other), bool(own & _after(other, near, words))) for other in near]
    return any(other for same, other in follows if not same) and not any(hit for same, hit in follows if same)


def _after(value: Value, values: Sequence[Value], words: Sequence[Word]) -> set[str]:
    """The stems of the content words right after a value, up to the next one; "the first two" share theirs."""
    end = value.end
    for start, stop in sorted((v.start, v.end) for v in values if v.start >= value.end):
        if start > end + 1:
            return {w.stem for w in [w for w in words if w.content and end <= w.start < start][:_REACH]}
        end = stop
    return {w.stem for w in [w for w in words if w.content and end <= w.start][:_REACH]}


def _stands_with_another(claim: Claim, value: Value, window: Window) -> int:
    """By how many of the claim's words another value of the same sort stands with more of them than ``value`` does.

    Counted in the clause of each; where they stand in different sentences, in those, less one. 0 or less: by none.
    """
    taken = claim.values
    own = {w.stem for w in claim.words if w.content and not any(v.start <= w.start < v.end for v in taken)}
    ours: list[tuple[int, int, int]] = []
    others: list[tuple[int, int, int]] = []
    for place, unit in enumerate(window.units):
        said = len(own & {word.stem for word in unit.words})
        for other in unit.values:
            here = (place, said, _near(unit.parsed, other, own))
            if _same(value, other):
                ours.append(here)
            elif _same_sort(value, other) and not any(_same(v, other) for v in taken):
                others.append(here)
    if not ours or not others:
        return 0
    best = max(ours, key=lambda one: one[1:])
    return max(other[2] - best[2] if other[0] == best[0] else other[1] - best[1] - 1 for other in others)


def _near(text: Parsed, value: Value, own: set[str]) -> int:
    """How many of the stems ``own`` stand in the value's clause."""
    start, end = text.clause(value.start, value.end)
    return len(own & {word.stem for word in text.words if start <= word.start < end})


def _another_name(pair: _Pair) -> float:
    """Every name must be near the window: as it is, as its country, its government's seat, or its initials."""
    claim, window = pair.claim, pair.window
    # "March" and "Millionen" are parts of values, which have rules of their own.
    names = [w for w in claim.words if w.name and not any(v.start <= w.start < v.end for v in claim.values)]
    if not names:
        return 1.0
    first = max(0, window.first - _BEFORE)
    near = _Known(window.source.text[window.source.units[first].start : window.end], pair.language)
    absent = [word for word in names if not near.has(word, claim.text)]
    if not absent:
        return 1.0
    known = _Known(pair.context, pair.language)
    missing = [word.stem for word in absent if not known.has(word, claim.text)]
    if missing:
        asked = {word.stem for word in words_of(pair.question, claim.language)}
        return DOUBT if asked.issuperset(missing) else 0.0
    subject = next((w for w in pair.words if w.name), None)
    swapped = (
        subject is not None
        and absent[0] is names[0]
        and not _Known(claim.text, claim.language).has(subject, window.text)
    )
    return 0.0 if swapped else DOUBT


class _Known:
    """The names a text knows."""

    def __init__(self, text: str, language: str) -> None:
        words = words_of(text, language)
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
    if a[:2] != b[:2] or words_for_country(a) or words_for_country(b):
        return False
    short, long = sorted((a, b), key=len)
    return len(short) >= _NAME_BEGINNING and long.startswith(short[:-1]) and 1 <= len(long) - len(short) <= _NAME_ENDING


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
    there = [deed for unit in units for deed in _deeds(unit.parsed, unit.words, known)]
    for one, other in _deeds(pair.claim.parsed, pair.claim.words, known):
        crossed = any(one & after and other & before and not one & before for before, after in there)
        if crossed and not any(one & before and other & after for before, after in there):
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


def _deeds(parsed: Parsed, words: Sequence[Word], known: set[str]) -> Iterator[tuple[frozenset[str], frozenset[str]]]:
    """Names that follow each other in one clause with one to four words between, one of them a content word, none
    passive. A word that opens a sentence is a name where it is ``known`` as one."""
    text, ends = parsed.text, clause_end(parsed.read_as)
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
        if stand_near and between[:1] == " " and not ends.search(between) and not _PASSIVE.search(between):
            yield one, other


def _denied(pair: _Pair) -> float:
    """Words the claim negates must be negated in the window too, and the other way round."""
    claim = pair.claim
    own = _telling(claim.words, claim.language)
    unit = max((u.parsed for u in pair.window.units), key=lambda u: len(own & _telling(u.words, pair.language)))
    claimed, stated = _negated(claim.parsed), _negated(unit)
    both = own & _telling(unit.words, pair.language)
    shared = (claimed | stated) & both
    turned = {stem for stem in shared if (stem in claimed) != (stem in stated)}
    denied = (_heads(claim.parsed) & both) - stated
    if denied:
        return DOUBT if _undone(unit, denied) else 0.0
    if not turned or turned != shared:
        return 1.0
    return DOUBT if _undone(unit, turned & claimed) or _undone(claim.parsed, turned & stated) else 0.0


def _denies(pair: _Pair) -> float:
    """A claim that denies something needs a window that does, of a word in common."""
    claim, there = pair.claim, pair.there
    if not (claim.parsed.negations or claim.parsed.denials):
        return 1.0
    if not there.denies():
        return 0.0
    claimed = _negated(claim.parsed)
    said = claimed - _negated(there)
    own = _telling(claim.words, claim.language)
    return DOUBT if claimed and said == claimed and not _undone(there, own) else 1.0


def _heads(text: Parsed) -> set[str]:
    """The stem that each "not" or "never" stands right before; "no city is larger" denies no city."""
    verbs = [n for n in text.negations if text.read_as != "en" or text.text[n.start : n.end].lower() != "no"]
    return {n.reached[0].stem for n in verbs if n.reached}


def _undone(text: Parsed, stems: set[str]) -> bool:
    """Whether a word that acts like a "not" stands in one clause with one of the stems: "refused to approve"."""
    return any(word.stem in stems for undoing in text.contraries for word in undoing.reached)


def _telling(words: Sequence[Word], language: str) -> set[str]:
    """The stems of the content words that are no names, as far as a capital tells one."""
    return {word.stem for word in words if word.content and (not word.name or capitalises_nouns(language))}


def _negated(text: Parsed) -> set[str]:
    """The stems that occur only where a negation reaches them."""
    inside = {word for negation in text.negations for word in negation.reached}
    outside = {word.stem for word in text.words if word not in inside}
    return _telling(tuple(inside), text.read_as) - outside


def _quantity(pair: _Pair) -> float:
    """ "All", "only", "never" and "most" need a word of their kind in the window."""
    own = set(pair.claim.stems)
    return DOUBT if any(own & group and not pair.stems & group for group in quantities(pair.language)) else 1.0


def _opposite(pair: _Pair) -> float:
    """A word of the claim whose opposite stands in the window instead of it; a negation on one side lifts it."""
    said = {side.pair: side.sign for side in pair.claim.parsed.sides}
    both = {side.pair for side in pair.claim.parsed.sides if said[side.pair] != side.sign}
    stated = {(side.pair, side.sign) for side in pair.there.sides}
    for view, sign in said.items():
        if view not in both and (view, -sign) in stated and (view, sign) not in stated:
            turned = bool(pair.claim.parsed.negations) != bool(pair.there.negations)
            return 1.0 if turned else 0.0
    return 1.0


RULES: Mapping[str, tuple[str, Callable[[_Pair], float]]] = MappingProxyType({
    "another value": ("values", _another_value),
    "of another thing": ("values", _of_another_thing),
    "beside another": ("values", _beside_another),
    "another name": ("names", _another_name),
    "turned round": ("roles", _turned_round),
    "another subject": ("roles", _another_subject),
    "denied": ("negation", _denied),
    "denies": ("negation", _denies),
    "quantity": ("quantity", _quantity),
    "opposite": ("opposite", _opposite),
})  # fmt: skip
"""Each rule with the gate it belongs to."""
