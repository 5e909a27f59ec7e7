"""What a question asks: its weighted terms, names and values, and the kind of answer it wants."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from rag.answer.lexicon import QUESTION_WORDS, Word, words_of
from rag.answer.values import Value, values_of

Wanted = Literal[
    "count", "amount", "percent", "measure", "time", "person", "place", "reason", "manner", "thing", "whether"
]

_KINDS: tuple[tuple[Wanted, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern))  # type: ignore[misc]
    for kind, pattern in (
        ("percent", r"\b(?:what|which|how (?:much|many))\b[^?]{0,20}"
                    r"\b(?:percent|percentage|per cent|share|proportion|fraction)\b"),
        ("count", r"\bhow many\b|\b(?:what|which) (?:is|was|were|are)? ?(?:the )?(?:\w+ )?number of\b"
                  r"|^number of\b|\bwhat (?:number|population)\b|\bthe population of\b"),
        ("amount", r"\bhow much\b|\bwhat (?:is|was|were|are|did)? ?(?:the |an? )?(?:\w+ ){0,3}"
                   r"(?:price|cost|sum|amount|salary|budget|revenue|income|fee|wage|value|profit|spending)\b"),
        ("measure", r"\bhow (?:long|old|far|tall|high|deep|large|big|fast|wide|heavy|hot|cold|often|close|early|late)\b"
                    r"|\bwhat (?:is|was) (?:the )?(?:\w+ )?(?:length|height|width|depth|size|area|distance|speed|age"
                    r"|temperature|rate|capacity|weight|altitude|density)\b"),
        ("time", r"\bwhen\b|\b(?:what|which|in what|in which|on what|on which) (?:\w+ )?"
                 r"(?:year|date|day|month|century|decade|era|period|time|age|season|years|dates)\b|\bsince when\b"
                 r"|\bdate of\b|\bwhat (?:is|was) the (?:year|date|time)\b"),
        ("person", r"\bwho(?:m|se)?\b|\b(?:what|which) (?:\w+ ){0,3}"
                   r"(?:person|man|woman|king|queen|president|minister|leader|author|scientist|actor|singer|player|coach"
                   r"|director|general|emperor|pope|spokesman|spokesperson|diplomat|professor|member|engineer|artist"
                   r"|physicist|mathematician|economist|philosopher|composer|architect|officer|pilot|ambassador)\b"),
        ("place", r"\bwhere\b|\b(?:what|which|in what|in which) (?:\w+ ){0,2}"
                  r"(?:city|country|state|place|town|village|region|area|continent|province|county|river|island|street"
                  r"|building|location|capital|neighborhood|nation|hotel|address|stadium|university|countries|cities)\b"),
        ("reason", r"\bwhy\b|\b(?:what|which) (?:\w+ )?(?:reasons?|caused?|causes|purpose|motive)\b|\bhow come\b"),
        ("manner", r"\bhow\b"),
        ("whether", r"^(?:and |but |so )?(?:is|are|was|were|do|does|did|has|have|had|can|could|will|would|should)\b"),
    )
)  # fmt: skip
_FOCUS = re.compile(r"\b(?:which|what|how many|how much|whose)\s+((?:\w+[ -]){0,2}?\w+)\s", re.IGNORECASE)
_TYPED_FOCUS = 0.35
_FOCUS_WEIGHT = 0.7


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
    """A question taken apart. ``terms`` holds each stem once, in order."""

    text: str
    wanted: Wanted
    terms: tuple[Term, ...]
    pairs: tuple[tuple[str, str], ...]
    values: tuple[Value, ...]
    stems: frozenset[str]
    count: int

    @property
    def weight(self) -> float:
        """The sum of the terms' weights."""
        return sum(term.weight for term in self.terms)


def analyse(text: str, document_frequency: Callable[[str], int] | None, passage_count: int) -> Question:
    """Take ``text`` apart; without document frequencies every term weighs the same."""
    words = words_of(text)
    wanted = wanted_of(text)
    content = [w for w in words if w.content and _lower(text, w) not in QUESTION_WORDS]
    if not content:
        content = [w for w in words if w.content] or words
    focus = _focus_stems(text)
    terms: dict[str, Term] = {}
    for word in content:
        shown = text[word.start : word.end]
        frequency = document_frequency(shown) if document_frequency and passage_count else 0
        weight = inverse_frequency(frequency, passage_count) if document_frequency and passage_count else 1.0
        if word.stem in focus:
            weight *= _FOCUS_WEIGHT if wanted in ("thing", "whether", "manner") else _TYPED_FOCUS
        name = word.name or (shown[0].isupper() and word.start > 0)
        terms.setdefault(word.stem, Term(shown, word.stem, weight, frequency, name))
    stems = [w.stem for w in content]
    return Question(
        text=text,
        wanted=wanted,
        terms=tuple(terms.values()),
        pairs=tuple(dict.fromkeys(pairwise(stems))),
        values=values_of(text),
        stems=frozenset(w.stem for w in words),
        count=passage_count,
    )


def wanted_of(text: str) -> Wanted:
    """The kind of answer a question wants, by its cue words; ``thing`` when nothing else fits."""
    lower = text.lower().strip()
    return next((kind for kind, pattern in _KINDS if pattern.search(lower)), "thing")


def inverse_frequency(frequency: int, count: int) -> float:
    """BM25's inverse document frequency of a word that is in ``frequency`` of ``count`` passages; at least 0."""
    return math.log(1 + max(0.0, count - frequency + 0.5) / (frequency + 0.5))


def _focus_stems(text: str) -> frozenset[str]:
    """The stems of the noun right after "which", "what" or "how many", which types the answer."""
    match = _FOCUS.search(text)
    if not match:
        return frozenset()
    inside: list[Word] = [w for w in words_of(match[1]) if w.content]
    return frozenset(w.stem for w in inside[:1])


def _lower(text: str, word: Word) -> str:
    return text[word.start : word.end].lower()
