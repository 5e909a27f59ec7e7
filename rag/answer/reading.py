"""What the encoder reads: how near each token of a question is to a passage, and to each of its sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from rag.answer.passages import units_of
from rag.answer.quoting.question import Question
from rag.answer.synonymy import Array
from rag.language.questions import question_words
from rag.language.words import words_of
from rag.models.encoder import KNOWN_PASSAGE, KNOWN_QUESTION, Encoder, TokenVectors
from rag.types import Hit, Passage

READ = 3
"""So many passages are read, the first: a thirtieth of a second each."""
_THREADS = 2
_LOWEST = 0.25
_SHORT_OF, _LEAST_RARITY, _FEWEST_TOKENS = 0.6, 0.3, 2


@dataclass(frozen=True)
class Read:
    """How near each token of a question is to one passage, and to each of its sentences, by their place in it."""

    passage: Passage
    near: Array
    sentences: dict[int, Array]
    question_word: float

    @property
    def mean(self) -> float:
        """To the passage, on average."""
        return float(self.near.mean())

    @cached_property
    def nearest(self) -> Array:
        """To the sentence that they are nearest to on average; to the passage where it has no sentence."""
        return max(self.sentences.values(), key=lambda near: float(near.mean()), default=self.near)


@dataclass(frozen=True)
class Reading:
    """What was read for a question: its passages, the share of each of its tokens by rarity, and how well, in [0, 1],
    the encoder knows the languages of both."""

    read: tuple[Read, ...]
    weights: Array
    known: float

    def features(self) -> dict[str, float]:
        """Those of ``rag.answer.abstain.Features`` that are read; none where nothing could be."""
        if not self.read:
            return {}
        best = max(self.read, key=lambda one: one.mean)
        sentence = max((one.nearest for one in self.read), key=lambda near: float(near.mean()))
        return {
            "read_low": _lowest(best.near),
            "sentence_low": _lowest(sentence),
            "sentence_gap": float(np.maximum(0, _SHORT_OF - sentence) @ self.weights),
            "question_word": max(one.question_word for one in self.read),
            "read_lead": best.mean - float(np.mean([one.mean for one in self.read])),
        }

    def nearness(self, passage_id: int, place: int) -> float | None:
        """How near the question is on average to sentence ``place`` of a passage; None where that was not read."""
        for one in self.read:
            if one.passage.id == passage_id and place in one.sentences:
                return float(one.sentences[place].mean())
        return None


class Reader:
    """Reads the first passages found for a question, once for all who ask."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.read = lru_cache(maxsize=8)(self._read)

    def reading(self, question: Question, hits: Sequence[Hit]) -> Reading:
        """What is read for ``question`` in the first three of the hits."""
        return self.read(question, tuple(hit.passage for hit in hits[:READ]))

    def _read(self, question: Question, passages: tuple[Passage, ...]) -> Reading:
        known, *found = self._encoder.known([question.text, *(passage.text for passage in passages)])
        sure = min(1.0, float(known) / KNOWN_QUESTION) * min(1.0, float(np.mean(found)) / KNOWN_PASSAGE)
        asked, *texts = self._encoder.tokens([question.text, *(p.index_text for p in passages)], _THREADS)
        tokens = _asking(question, asked)
        if not len(tokens.rows):
            return Reading((), tokens.weights, sure)
        vectors = asked.vectors[tokens.rows]
        read = (_reads(tokens, vectors @ t.vectors.T, t.spans, p) for t, p in zip(texts, passages, strict=True))
        return Reading(tuple(one for one in read if one.near.size), tokens.weights, sure)


@dataclass(frozen=True, slots=True)
class _Asking:
    """The rows of a question's tokens that are no punctuation, their share by rarity, and which of them ask."""

    rows: npt.NDArray[np.int64]
    weights: Array
    asks: npt.NDArray[np.bool_]


def _asking(question: Question, asked: TokenVectors) -> _Asking:
    text = question.text
    rows = [row for row, (start, end) in enumerate(asked.spans) if any(map(str.isalnum, text[start:end]))]
    rarity = {term.stem: term.weight for term in question.terms}
    words = words_of(text)
    weights, asks = [], []
    for row in rows:
        start, end = asked.spans[row]
        word = next((w for w in words if w.start < end and start < w.end), None)
        weights.append(max(rarity.get(word.stem, 0.0) if word else 0.0, _LEAST_RARITY))
        asks.append(word is not None and text[word.start : word.end].lower() in question_words())
    shares = np.array(weights) / (sum(weights) or 1.0)
    return _Asking(np.array(rows, dtype=np.int64), shares, np.array(asks, dtype=bool))


def _reads(tokens: _Asking, cosines: npt.NDArray[np.float32], spans: npt.NDArray[np.int64], passage: Passage) -> Read:
    if not cosines.shape[1]:
        return Read(passage, np.zeros(0), {}, 0.0)
    near = np.asarray(cosines.max(axis=1), dtype=np.float64)
    head = len(passage.index_text) - len(passage.text)
    sentences = {}
    for place, unit in enumerate(units_of(passage.text)):
        inside = (spans[:, 0] >= head + unit.start) & (spans[:, 1] <= head + unit.end)
        if inside.sum() >= _FEWEST_TOKENS:
            sentences[place] = np.asarray(cosines[:, inside].max(axis=1), dtype=np.float64)
    asking = float(near[tokens.asks].mean()) if tokens.asks.any() else 0.5
    return Read(passage, near, sentences, asking)


def _lowest(near: Array) -> float:
    """The mean of the lowest quarter."""
    return float(np.sort(near)[: max(1, round(_LOWEST * len(near)))].mean())
