"""What a question asks: its weighted terms, names and values, and the kind of answer it wants."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from rag.language import Value, Word, parse
from rag.language.questions import Wanted, focus_of, question_words, wanted_of
from rag.language.words import words_for_country

# What the focus weighs beside other terms, less where its kind shows in the answer. The abstention was fitted over it.
# The benchmark ``quoting`` sets them half and twice as large: no held-out answer is lost, and one question more or less
# of those that are not answered is held back.
_TYPED_FOCUS, _FOCUS_WEIGHT = 0.35, 0.7


@dataclass(frozen=True, slots=True)
class Term:
    """A content word of the question: ``weight`` is its inverse document frequency, ``frequency`` its passages."""

    word: str
    stem: str
    weight: float
    frequency: int
    name: bool


@dataclass(frozen=True, slots=True)
class Question:
    """A question taken apart. ``terms`` holds each stem once, in order; ``focus`` is the noun that types the answer."""

    text: str
    wanted: Wanted
    terms: tuple[Term, ...]
    pairs: tuple[tuple[str, str], ...]
    values: tuple[Value, ...]
    stems: frozenset[str]
    focus: Term | None
    count: int


def analyse(text: str, document_frequency: Callable[[str], int] | None, passage_count: int) -> Question:
    """Take ``text`` apart; without document frequencies every term weighs the same."""
    counted = document_frequency if passage_count else None
    parsed = parse(text)
    words = parsed.words
    wanted = wanted_of(text)
    content = [w for w in words if w.content and text[w.start : w.end].lower() not in question_words()]
    if not content:
        content = [w for w in words if w.content] or list(words)
    focus = focus_of(text)
    lighter = _FOCUS_WEIGHT if wanted in ("thing", "whether", "manner") else _TYPED_FOCUS
    terms: dict[str, Term] = {}
    for word in content:
        if word.stem in terms:
            continue
        factor = lighter if focus and word.stem == focus.stem else 1.0
        terms[word.stem] = _term(text, word, counted, passage_count, factor)
    stems = [w.stem for w in content]
    return Question(
        text=text,
        wanted=wanted,
        terms=tuple(terms.values()),
        pairs=tuple(dict.fromkeys(pairwise(stems))),
        values=parsed.values,
        stems=frozenset(w.stem for w in words),
        focus=_term(text, focus, counted, passage_count, 1.0) if focus else None,
        count=passage_count,
    )


def _term(text: str, word: Word, counted: Callable[[str], int] | None, count: int, factor: float) -> Term:
    shown = text[word.start : word.end]
    frequency = max(map(counted, words_for_country(word.stem) or (shown,))) if counted else 0
    weight = factor * (_inverse_frequency(frequency, count) if counted else 1.0)
    return Term(shown, word.stem, weight, frequency, word.name or (shown[0].isupper() and word.start > 0))


def _inverse_frequency(frequency: int, count: int) -> float:
    """BM25's inverse document frequency of a word that is in ``frequency`` of ``count`` passages; at least 0."""
    return math.log(1 + max(0.0, count - frequency + 0.5) / (frequency + 0.5))
