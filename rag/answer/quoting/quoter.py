"""Answers without a model: the sentences that answer, verbatim, each a true slice of its document."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from rag.answer.quoting.question import analyse
from rag.answer.quoting.ranking import FEATURES, Candidate, Ranked, is_row, rank
from rag.answer.synonymy import Array, has_digit
from rag.answer.weights import NEAR, POINTED, QUOTE
from rag.language.questions import QUESTION_MARKS
from rag.language.sentences import list_mark
from rag.models.static import StaticVectors
from rag.types import Hit, Passage

if TYPE_CHECKING:
    from rag.answer.reading import Reader

# Each is set smaller and larger by ``python -m tests.bench quoting``, whose held-out halves are meant below.
LIMIT = 4
"""So many quotes: of two CLAPNQ's answers lose 0.11 of their words, eight add 0.03 by 0.3 quotes more."""
_SAME_DOCUMENT, _OTHER_DOCUMENT = 5.0, 0.7
"""How far below the best a further quote may lie, in log-odds, in the same and in another document."""
_COVERED = 0.7
"""What share of the question's terms, by weight, a quote from another document than the best must hold."""
_SAME_WORDS = 0.8
"""The cosine of two sentences' words from which one repeats the other: at 0.4 CLAPNQ's best quotes lose 0.01."""
_MUCH_THE_SAME = 0.35
"""The same from which another document's sentence backs the best one's, so that what contradicts it is quoted, too: at
0.17 of one, and with none of it of three of the reports' 49 answers the number of quotes is another."""
_DOUBTFUL = 0.4
"""What share of the odds the best sentence's document must have, or it is doubtful which document answers."""
_BESIDE = 4.0
"""How far below the best sentence of the hits, in log-odds, what an answer rests on may lie and still answer."""
_FEWEST_WORDS = 3
"""Less is a scrap; with six as the least, short rows of tables and sentences are lost."""
_NAMED_BEFORE = 0.2
"""From this share of the question on, by weight, that the sentence before names for it, that one is quoted too: at 0.4
the best quotes of CLAPNQ lose 0.05 and of the samples 0.07, 0.1 gains CLAPNQ's 0.01."""
_NEIGHBOUR = 0.7
"""What a term in a sentence beside counts for. The abstention was fitted over it: at 0.35 one of 49 of the reports'
questions is held back, at 1 none."""


@dataclass(frozen=True, slots=True)
class Quote:
    """``document.text[start:end]``, within ``passage``; ``score`` in [0, 1] is its share of all candidates' odds.

    ``head`` is where the head of its table lies, if it is a row.
    """

    passage: Passage
    start: int
    end: int
    score: float
    head: tuple[int, int] | None = None

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
        *,
        reader: Reader | None = None,
        near: float = NEAR,
        pointed: float = POINTED,
    ) -> None:
        self._vectors = vectors
        self._frequency = document_frequency
        self._count = passage_count
        self._reader = reader
        self._near = near
        self._pointed = pointed

    def answer(self, question: str, hits: Sequence[Hit], limit: int = LIMIT) -> list[Quote]:
        """At most ``limit`` quotes, the best first, without near-duplicates; none when no sentence fits.

        Sentences far below the best are left out, sentences of another document sooner; only the best is left where
        it is doubtful which document answers. A quote takes in the sentence before it where that names what it
        speaks of.
        """
        ranked = rank(self._vectors, analyse(question, self._frequency, self._count), hits)
        if not ranked.candidates:
            return []
        scores = score(ranked) + self._nearness(ranked, hits)
        shares = np.exp(scores - scores.max())
        shares /= shares.sum()
        quotes: list[Quote] = []
        for row in choose(ranked, scores):
            if not quotes and _backing(ranked, shares, row) < _DOUBTFUL:
                limit = 1
            quotes = _with(quotes, _quote(ranked, row, float(shares[row])))
            if len(quotes) == limit:
                break
        return quotes

    def _nearness(self, ranked: Ranked, hits: Sequence[Hit]) -> Array:
        """What the encoder adds to each candidate's log-odds: by how much nearer the question is to it, in context,
        than to the farthest; nothing for what it has not read."""
        if self._reader is None:
            return np.zeros(len(ranked.candidates))
        reading = self._reader.reading(ranked.question, hits)
        added = self._near * reading.nearness(ranked.candidates) + self._pointed * reading.pointing(ranked.candidates)
        return np.asarray(reading.known * added, dtype=np.float64)

    def holds_answer(self, question: str, hits: Sequence[Hit], spans: Sequence[tuple[int, int, int]]) -> bool:
        """Whether one of ``spans`` (document, start, end) answers ``question`` about as well as the best sentence of
        the ``hits`` does: no more than ``_BESIDE`` below it, in log-odds. True where nothing can be told."""
        ranked = rank(self._vectors, analyse(question, self._frequency, self._count), hits)
        if not ranked.candidates or not spans:
            return True
        scores = score(ranked)
        own = [
            float(scores[row])
            for row, candidate in enumerate(ranked.candidates)
            for document, start, end in spans
            if candidate.passage.document_id == document and _begin(candidate) < end and candidate.end > start
        ]
        return not own or float(scores.max()) - max(own) <= _BESIDE


def _begin(candidate: Candidate) -> int:
    return candidate.passage.start + candidate.units[candidate.index].start


def score(ranked: Ranked) -> Array:
    """The log-odds of each candidate, up to a constant."""
    return np.asarray(ranked.features @ np.array([QUOTE[name] for name in FEATURES]), dtype=np.float64)


def windows_of(ranked: Ranked) -> Array:
    """For each sentence the weighted share of the question's terms in it, its heading and, less, its neighbours."""
    column = {name: ranked.features[:, place] for place, name in enumerate(FEATURES)}
    around = _NEIGHBOUR * (column["previous"] + column["following"])
    inside = column["soft"] + column["back"] + column["onward"] + column["heading"]
    return np.asarray(np.minimum(1, inside + around), dtype=np.float64)


def choose(ranked: Ranked, scores: Array) -> Iterator[int]:
    """The rows of the sentences worth quoting, best first, without near-duplicates."""
    chosen: list[int] = []
    for row in np.argsort(-scores, kind="stable"):
        candidate = ranked.candidates[row]
        if row not in ranked.bound or says_nothing(candidate):
            continue
        if chosen:
            best = chosen[0]
            same = candidate.passage.document_id == ranked.candidates[best].passage.document_id
            if scores[best] - scores[row] > (_SAME_DOCUMENT if same else _OTHER_DOCUMENT):
                continue
            if not same and ranked.features[row, FEATURES.index("soft")] < _COVERED:
                continue
            if any(_alike(candidate, ranked.candidates[other]) for other in chosen):
                continue
        chosen.append(int(row))
        yield int(row)


def _backing(ranked: Ranked, shares: Array, best: int) -> float:
    """The share of the odds that the best sentence's document has, with what others say in much the same words."""
    document = ranked.candidates[best].passage.document_id
    said = [_stems(c) for c in ranked.candidates if c.passage.document_id == document]
    return sum(
        float(share)
        for share, c in zip(shares, ranked.candidates, strict=True)
        if c.passage.document_id == document or any(_overlap(_stems(c), words) >= _MUCH_THE_SAME for words in said)
    )


def says_nothing(candidate: Candidate) -> bool:
    """Whether a candidate is a heading, a question, the head of a table or too short to answer, but for a named value
    ("Insured: yes")."""
    own = candidate.unit.text.rstrip()
    short = len(candidate.unit.words) < (_FEWEST_WORDS if ": " not in own else 2)
    return short or own.endswith(QUESTION_MARKS) or candidate.is_heading or candidate.is_head


def _quote(ranked: Ranked, row: int, share: float) -> Quote:
    """The sentence, with the one before it where a pronoun, "these", "however" or the question's words point there.

    A table's row comes with the table's head where both stand in the passage.
    """
    named = sum(ranked.features[row, FEATURES.index(name)] for name in ("back", "onward", "previous"))
    return quote_of(ranked.candidates[row], share, named)


def quote_of(candidate: Candidate, share: float, named: float = 0.0) -> Quote:
    """The quote of a sentence; ``named`` is what share of the question the one before names for it."""
    unit, first, head = candidate.unit, candidate.index, None
    if is_row(unit.text):
        head = _above_row(candidate)
    elif candidate.label:
        head = _above_figures(candidate)
    elif _goes_on(candidate) and (unit.points_back or unit.connects or unit.refers or named > _NAMED_BEFORE):
        first -= 1
    start = candidate.passage.start + candidate.units[first].start
    return Quote(candidate.passage, start, candidate.end, share, head)


def _goes_on(candidate: Candidate) -> bool:
    """Whether a sentence goes on in the same paragraph or list item after another one."""
    unit, before, text = candidate.unit, candidate.before, candidate.passage.text
    if before is None or is_row(before.text) or replace(candidate, index=candidate.index - 1).is_heading:
        return False
    return text.count("\n", before.end, unit.start) < 2 and not list_mark(text, unit.start, unit.end)


def _above_row(candidate: Candidate) -> tuple[int, int] | None:
    """Where the head of a row's table lies in its document, with the line of dashes below; None where the passage has
    none."""
    first = candidate.index
    while first > 0 and is_row(candidate.units[first - 1].text):
        first -= 1
    if first == candidate.index or not replace(candidate, index=first).is_head:
        return None
    head = candidate.units[first]
    below = candidate.passage.text[head.end : candidate.units[first + 1].start].rstrip()
    return candidate.passage.start + head.start, candidate.passage.start + head.end + len(below)


def _above_figures(candidate: Candidate) -> tuple[int, int] | None:
    """Where what stands above lines of figures lies, as names of columns and units, up to the last sentence or heading
    before it; None where the passage begins with figures."""

    def at(index: int) -> Candidate:
        return replace(candidate, index=index)

    last = candidate.index - 1
    # A line such as "Cost of sales:" parts rows of one table.
    while last >= 0 and (at(last).label or (last > 0 and at(last - 1).label)):
        last -= 1
    first = last + 1
    while first > 0:
        above = at(first - 1)
        if above.is_heading or above.label or above.unit.text.rstrip().endswith((".", "?", "!")):
            break
        first -= 1
    if first > last:
        return None
    start = candidate.passage.start
    return start + candidate.units[first].start, start + candidate.units[last].end


def _alike(a: Candidate, b: Candidate) -> bool:
    """Whether two sentences have nearly the same words, and the same numbers."""
    one, two = _stems(a), _stems(b)
    return _overlap(one, two) >= _SAME_WORDS and not any(map(has_digit, one ^ two))


def _stems(candidate: Candidate) -> frozenset[str]:
    return frozenset(word.stem for word in candidate.unit.words)


def _overlap(one: frozenset[str], two: frozenset[str]) -> float:
    """The cosine of two sets of words, in [0, 1]."""
    return len(one & two) / math.sqrt(len(one) * len(two))


def _with(quotes: Sequence[Quote], quote: Quote) -> list[Quote]:
    """The quotes and one more; where their spans meet, the better one takes in what the other adds, if it can."""
    kept = list(quotes)
    for place, other in enumerate(kept):
        same = other.passage.document_id == quote.passage.document_id
        if same and quote.start < other.end and other.start < quote.end:
            start, end = min(quote.start, other.start), max(quote.end, other.end)
            if other.passage.start <= start and end <= other.passage.end:
                kept[place] = replace(other, start=start, end=end)
            return kept
    return [*kept, quote]
