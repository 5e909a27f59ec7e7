"""What a sentence may not get wrong: numbers, dates, names, negations, opposites and quantity words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rag.answer.contrast import (
    APPROXIMATE,
    AT_LEAST,
    AT_MOST,
    CLAUSE_END,
    CONTRARY,
    NEGATION,
    OPPOSITES,
    PARTED,
    QUANTITIES,
)
from rag.answer.evidence import Claim, Window, alike
from rag.answer.lexicon import Word, words_of
from rag.answer.values import Value, same_value, values_of

_SCOPE_WORDS = 5
_APPROXIMATELY = 0.05
_SMALL = 10
_NAME_BEGINNING = 4
_CLOSE_NAME = 0.85
DOUBT = 0.5


@dataclass(frozen=True, slots=True)
class Gates:
    """1 passed, 0.5 in doubt, 0 failed; for each kind, and the ``worst`` of them."""

    values: float = 1.0
    names: float = 1.0
    negation: float = 1.0
    quantity: float = 1.0
    opposite: float = 1.0

    @property
    def worst(self) -> float:
        """The lowest of them, which decides."""
        return min(self.values, self.names, self.negation, self.quantity, self.opposite)


def gates(claim: Claim, window: Window, context: str, question: str = "") -> Gates:
    """Hold ``claim`` against the window it is best supported by.

    ``context`` is what else may name things: the passage around the window, its title and headings. Numbers and
    names that only the context has leave a doubt for numbers and pass for names; names that only ``question`` has
    leave a doubt.
    """
    return Gates(
        values=_values(claim, window.text, context),
        names=_names(claim, context, question),
        negation=_negation(claim, window),
        quantity=_quantity(claim, window),
        opposite=_opposite(claim, window),
    )


def _values(claim: Claim, window: str, context: str) -> float:
    near, far = _values_in(window), _values_in(context)
    result = 1.0
    for value in claim.values:
        if any(_same(value, other, claim.text, window) for other in near):
            continue
        if any(_same(value, other, claim.text, context) for other in far):
            result = min(result, DOUBT)
        elif not claim.text[value.start : value.end].isalpha() or value.number > _SMALL or value.kind == "date":
            return 0.0
        elif value.number != 1:
            result = min(result, DOUBT)
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
    if same_value(value, other):
        return True
    close = abs(value.number - other.number) <= _APPROXIMATELY * max(abs(value.number), abs(other.number))
    return bool(value.kind == other.kind and value.number and close and APPROXIMATE.search(before))


def _names(claim: Claim, context: str, question: str) -> float:
    """Every name must be in the context: as it is, as an adjective of it ("Pakistani"), or as its initials."""
    names = [word for word in claim.words if word.name and not claim.text[word.start : word.end].isdigit()]
    if not names:
        return 1.0
    known = words_of(context)
    stems = {word.stem for word in known}
    initials = _initials(context, known)
    missing = [word.stem for word in names if not _known(word, claim.text, stems, initials)]
    asked = {word.stem for word in words_of(question)} if missing else set()
    return 1.0 if not missing else DOUBT if asked.issuperset(missing) else 0.0


def _known(word: Word, text: str, stems: set[str], initials: str) -> bool:
    shown = text[word.start : word.end]
    if word.stem in stems or (shown.isupper() and shown in initials):
        return True
    return any(
        alike(word.stem, other, 0.0) or _same_root(word.stem, other) for other in stems if other[:2] == word.stem[:2]
    )


def _same_root(a: str, b: str) -> bool:
    """ "Pakistan" and "pakistani", "russia" and "russian"; not "iran" and "iraq"."""
    short, long = sorted((a, b), key=len)
    return len(short) >= _NAME_BEGINNING and (long.startswith(short[:-1]) and len(long) - len(short) <= 4)


def _initials(context: str, words: Sequence[Word]) -> str:
    """The first letters of the capitalised words in a row, a space between rows."""
    out: list[str] = []
    last = 0
    for word in words:
        first = context[word.start]
        if first.isupper():
            if context[last : word.start].strip(" \n\t-"):
                out.append(" ")
            out.append(first)
            last = word.end
        elif word.content:
            out.append(" ")
            last = word.end
        else:
            last = word.end
    return "".join(out)


def _negation(claim: Claim, window: Window) -> float:
    """Words the claim negates must be negated in the window too, and the other way round."""
    own = _content(claim.words)
    text = max((u.text for u in window.units), key=lambda t: len(own & _content(words_of(t))))
    claimed, stated = _negated(claim.text, claim.words), _negated(text, words_of(text))
    shared = {stem for stem in claimed | stated if stem in own and stem in _content(words_of(text))}
    turned = {stem for stem in shared if (stem in claimed) != (stem in stated)}
    if turned and turned == shared:
        contrary = bool(CONTRARY.search(text)) if turned & claimed else bool(CONTRARY.search(claim.text))
        return DOUBT if contrary else 0.0
    if NEGATION.search(claim.text) and not NEGATION.search(text) and not CONTRARY.search(text):
        return 0.0
    return 1.0


def _content(words: Sequence[Word]) -> set[str]:
    return {word.stem for word in words if word.content and not word.name}


def _negated(text: str, words: Sequence[Word]) -> set[str]:
    """The stems that occur only within five content words after a negation, up to the end of its clause."""
    inside: set[Word] = set()
    for match in NEGATION.finditer(text):
        if text[match.start() : match.end() + 5].lower() in ("not only", "no doubt"):
            continue
        end = CLAUSE_END.search(text, match.end())
        stop = end.start() if end else len(text)
        scope = [word for word in words if match.end() <= word.start < stop and word.content]
        inside.update(scope[:_SCOPE_WORDS])
    outside = {word.stem for word in words if word not in inside}
    return {word.stem for word in inside if not word.name} - outside


def _quantity(claim: Claim, window: Window) -> float:
    """ "All", "only", "never" and "most" need a word of their kind in the window."""
    stated = {word.stem for word in words_of(window.text)}
    own = set(claim.stems)
    unmet = any(own & group and not stated & group for group in QUANTITIES)
    return DOUBT if unmet else 1.0


def _opposite(claim: Claim, window: Window) -> float:
    """A word of the claim whose opposite stands in the window instead of it."""
    stated = {word.stem for word in words_of(window.text)}
    own = set(claim.stems)
    for left, right in OPPOSITES:
        for ours, theirs in ((left, right), (right, left)):
            if own & ours and not own & theirs and stated & theirs and not stated & ours:
                return 0.0
    return 1.0
