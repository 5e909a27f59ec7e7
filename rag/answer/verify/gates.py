"""What a sentence may not get wrong: numbers, dates, names, who did what, negations, opposites, quantity words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

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
from rag.answer.lexicon import Word, seat_of, words_of
from rag.answer.values import Value, other_unit, same_value, values_of
from rag.answer.verify.binding import OPPOSED, another_period, compared_the_other_way, stands_with_another, turned_round
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


def gates(claim: Claim, window: Window, context: str, question: str = "") -> Gates:
    """Hold ``claim`` against the window it is best supported by.

    ``context`` is what else may name things: the passage around the window, its title and headings. What only the
    context has leaves a doubt, and fails where the window says something else of the same sort instead. Names that
    only ``question`` has leave a doubt.
    """
    return Gates(
        values=_values(claim, window, context),
        names=_names(claim, window, context, question),
        roles=_roles(claim, window),
        negation=_negation(claim, window),
        quantity=_quantity(claim, window),
        opposite=_opposite(claim, window),
    )


def _values(claim: Claim, window: Window, context: str) -> float:
    near, far = _values_in(window.text), _values_in(context)
    others = [v for v in near if not any(same_value(v, own) for own in claim.values)]
    result = 0.0 if another_period(claim.text, window.text) else 1.0

    def same(value: Value, other: Value) -> bool:
        return _same(value, other, claim.text, window.text)

    for value in claim.values:
        if any(same(value, other) for other in near):
            if _counts_something_else(value, claim, window.text, near):
                return 0.0
            if stands_with_another(claim, value, window, same, _same_sort) >= _ASTRAY:
                result = min(result, DOUBT)
        elif any(_same(value, other, claim.text, context) for other in far):
            if any(_same_sort(value, other) for other in others):
                return 0.0
            result = min(result, DOUBT)
        elif (
            not claim.text[value.start : value.end].isalpha()
            or value.number > _SMALL
            or value.kind == "date"
            or any(_same_sort(value, other) for other in others)
        ):
            return 0.0
        elif value.number != 1:
            result = min(result, UNPROVEN)
    return result


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


def _names(claim: Claim, window: Window, context: str, question: str) -> float:
    """Every name must be near the window: as it is, as its country, its government's seat, or its initials."""
    names = [word for word in claim.words if word.name and not claim.text[word.start : word.end].isdigit()]
    if not names:
        return 1.0
    first = max(0, window.first - _BEFORE)
    near = _Known(window.source.text[window.source.units[first].start : window.end])
    absent = [word for word in names if not near.has(word, claim.text)]
    if not absent:
        return 1.0
    known = _Known(context)
    missing = [word.stem for word in absent if not known.has(word, claim.text)]
    if missing:
        asked = {word.stem for word in words_of(question)}
        return DOUBT if asked.issuperset(missing) else 0.0
    subject = next((w for w in words_of(window.text) if w.name), None)
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


def _roles(claim: Claim, window: Window) -> float:
    """Fails where two names change places around a word both texts have, or another name stands right before it."""
    if turned_round(claim, window):
        return 0.0
    there = words_of(window.text)
    for verb, before, after, passive in _acts(claim.text, claim.words):
        for other, theirs_before, theirs_after, theirs_passive in _acts(window.text, there):
            crossed = before & theirs_after and after & theirs_before and not before & after
            if verb == other and crossed and passive == theirs_passive:
                return 0.0
    for unit in window.units:
        names = {word.stem for word in unit.words if word.name}
        for verb, subject in _subjects(claim.text, claim.words):
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


def _negation(claim: Claim, window: Window) -> float:
    """Words the claim negates must be negated in the window too, and the other way round."""
    own = _content(claim.words)
    text = max((u.text for u in window.units), key=lambda t: len(own & _content(words_of(t))))
    words = words_of(text)
    claimed, stated = _negated(claim.text, claim.words), _negated(text, words)
    both = own & _content(words)
    shared = (claimed | stated) & both
    turned = {stem for stem in shared if (stem in claimed) != (stem in stated)}
    denied = (_heads(claim.text, claim.words) & both) - stated
    if denied or (turned and turned == shared):
        ours, theirs = denied or turned & claimed, turned & stated
        undone = _undone(text, words, ours) or _undone(claim.text, claim.words, theirs)
        return DOUBT if undone else 0.0
    if not (NEGATION.search(claim.text) or DENIAL.search(claim.text)):
        return 1.0
    if not (NEGATION.search(window.text) or CONTRARY.search(window.text)):
        return 0.0
    said = claimed - _negated(window.text, words_of(window.text))
    return DOUBT if claimed and said == claimed and not _undone(window.text, words_of(window.text), own) else 1.0


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


def _quantity(claim: Claim, window: Window) -> float:
    """ "All", "only", "never" and "most" need a word of their kind in the window."""
    stated = {word.stem for word in words_of(window.text)}
    own = set(claim.stems)
    unmet = any(own & group and not stated & group for group in QUANTITIES)
    return DOUBT if unmet else 1.0


def _opposite(claim: Claim, window: Window) -> float:
    """A word of the claim whose opposite stands in the window instead of it; a negation on one side lifts it."""
    stated = {word.stem for word in words_of(window.text)}
    own = set(claim.stems)
    for left, right in (*OPPOSITES, *OPPOSED):
        for ours, theirs in ((left, right), (right, left)):
            if own & ours and not own & theirs and stated & theirs and not stated & ours:
                turned = bool(NEGATION.search(claim.text)) != bool(NEGATION.search(window.text))
                return 1.0 if turned else 0.0
    return DOUBT if compared_the_other_way(claim, window) else 1.0
