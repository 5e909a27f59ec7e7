"""Answers without a model: the sentences that answer, verbatim, each a true slice of its document."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from rag.answer.question import analyse
from rag.answer.ranking import FEATURES, Array, Candidate, Ranked, leans_on_previous, rank
from rag.models.static import StaticVectors
from rag.types import Hit, Passage

LIMIT = 4
_SAME_DOCUMENT, _OTHER_DOCUMENT = 2.5, 0.3
_SAME_WORDS = 0.8
_FEWEST_WORDS = 3

# Fitted by `python -m tests.bench.fit_answer quotes`: a softmax over the sentences of the found passages.
WEIGHTS = {
    "exact": 1.06, "soft": 3.04, "pairs": 0.81, "cosine": 2.18, "previous": 4.27, "following": 2.83, "heading": 0.24,
    "passage": 1.19, "elsewhere": -0.27, "names": -0.73, "score": 3.77, "first": 0.36, "typed": 1.62,
    "typed_near": 0.92, "novel": 0.82, "short": -3.2, "long": 0.2, "question": -3.0,
    "listed": 0.0, "rarest": 0.4, "matched": 4.47,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Quote:
    """``document.text[start:end]``, within ``passage``; ``score`` in [0, 1] is its share of all candidates' odds."""

    passage: Passage
    start: int
    end: int
    score: float

    @property
    def text(self) -> str:
        """The quoted text, verbatim."""
        return self.passage.text[self.start - self.passage.start : self.end - self.passage.start]


class Quoter:
    """Picks the sentences that answer a question. ``document_frequency`` counts the passages that hold a word."""

    def __init__(
        self,
        vectors: StaticVectors,
        document_frequency: Callable[[str], int] | None = None,
        passage_count: int = 0,
    ) -> None:
        self._vectors = vectors
        self._frequency = document_frequency
        self._count = passage_count

    def answer(self, question: str, hits: Sequence[Hit], limit: int = LIMIT) -> list[Quote]:
        """At most ``limit`` quotes, the best first, without near-duplicates; none when no sentence fits.

        Sentences far below the best are left out, sentences of another document sooner.
        """
        ranked = rank(self._vectors, analyse(question, self._frequency, self._count), hits)
        if not ranked.candidates:
            return []
        scores = score(ranked)
        shares = np.exp(scores - scores.max())
        shares /= shares.sum()
        chosen = choose(ranked, scores, limit)
        quotes = [self._quote(ranked.candidates[i], float(shares[i])) for i in chosen]
        return _without_overlaps(quotes)

    def _quote(self, candidate: Candidate, share: float) -> Quote:
        first = candidate.index
        while first > 0 and leans_on_previous(candidate.units[first]) and candidate.index - first < 2:
            first -= 1
        return Quote(candidate.passage, candidate.passage.start + candidate.units[first].start, candidate.end, share)


def score(ranked: Ranked) -> Array:
    """The log-odds of each candidate, up to a constant."""
    return np.asarray(ranked.features @ np.array([WEIGHTS[name] for name in FEATURES]), dtype=np.float64)


def choose(ranked: Ranked, scores: Array, limit: int) -> list[int]:
    """The rows of the sentences worth quoting, best first."""
    chosen: list[int] = []
    for row in np.argsort(-scores, kind="stable"):
        candidate = ranked.candidates[row]
        if len(chosen) == limit:
            break
        if _says_nothing(candidate):
            continue
        if chosen:
            best = chosen[0]
            same = candidate.passage.document_id == ranked.candidates[best].passage.document_id
            if scores[best] - scores[row] > (_SAME_DOCUMENT if same else _OTHER_DOCUMENT):
                continue
            if any(_alike(candidate, ranked.candidates[other]) for other in chosen):
                continue
        chosen.append(int(row))
    return chosen


def _says_nothing(candidate: Candidate) -> bool:
    unit = candidate.unit
    return unit.text.startswith("#") or len(unit.words) < _FEWEST_WORDS


def _alike(a: Candidate, b: Candidate) -> bool:
    """Whether two sentences have nearly the same words."""
    one, two = ({w.stem for w in c.unit.words} for c in (a, b))
    return len(one & two) >= _SAME_WORDS * math.sqrt(len(one) * len(two))


def _without_overlaps(quotes: Sequence[Quote]) -> list[Quote]:
    """Joins quotes whose spans meet after widening: the better one takes in what the other adds, if it can."""
    kept: list[Quote] = []
    for quote in quotes:
        for place, other in enumerate(kept):
            same = other.passage.document_id == quote.passage.document_id
            if not (same and quote.start < other.end and other.start < quote.end):
                continue
            start, end = min(quote.start, other.start), max(quote.end, other.end)
            if other.passage.start <= start and end <= other.passage.end:
                kept[place] = Quote(other.passage, start, end, max(other.score, quote.score))
            break
        else:
            kept.append(quote)
    return kept
