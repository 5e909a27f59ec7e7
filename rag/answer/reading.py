"""What the encoder reads: how near each token of a question is to a passage, and to each of its sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

from rag.answer.passages import units_of
from rag.answer.quoting.question import Question
from rag.answer.quoting.ranking import Candidate
from rag.answer.span_head import SpanHead, asking, neighbourhood, span_head
from rag.answer.synonymy import Array
from rag.language.questions import question_words
from rag.language.words import words_of
from rag.models.encoder import KNOWN_PASSAGE, KNOWN_QUESTION, Encoder, TokenVectors
from rag.types import Hit, Passage

READ = 3
"""So many passages are read, the first: a thirtieth of a second each."""
# The cores of the smallest machine.
_THREADS = 2
_LOWEST = 0.25
_SPAN_SCALE = 5.0
"""Log-odds of spans are told in units of so many, which is about their spread."""
# A word that stands everywhere still asks something; one token alone is a bullet or a number. The weights of what is
# read (``fit_answer near read``) were fitted over these.
_LEAST_RARITY, _FEWEST_TOKENS = 0.3, 2


class Sentence(Protocol):
    """Sentence ``index`` of a passage, of those that ``units_of`` gives."""

    @property
    def passage(self) -> Passage: ...
    @property
    def index(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Read:
    """How near each token of a question is to one passage, and to each of its sentences, by their place in it: to the
    sentence with the heading or the head of the table that it stands under. ``span`` is the log-odds that a token of
    the passage answers against that none does."""

    passage: Passage
    near: Array
    sentences: dict[int, Array]
    span: float

    @property
    def mean(self) -> float:
        """To the passage, on average."""
        return float(self.near.mean())


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
        return {
            "read_low": _lowest(best.near),
            "read_lead": best.mean - float(np.mean([one.mean for one in self.read])),
            "span": float(np.logaddexp.reduce([one.span for one in self.read])) / _SPAN_SCALE,
        }

    def nearness(self, sentences: Sequence[Sentence]) -> Array:
        """How near the question is to each sentence on average, from the farthest one on; 0 for what was not read."""
        read = {one.passage.id: one.sentences for one in self.read}
        near = [read.get(one.passage.id, {}).get(one.index) for one in sentences]
        told = np.array([np.nan if one is None else one.mean() for one in near])
        return np.nan_to_num(told - np.nanmin(told)) if np.isfinite(told).any() else np.zeros(len(near))


class Reader:
    """Reads the first passages found for a question, once for all who ask."""

    def __init__(self, encoder: Encoder, head: SpanHead | None = None) -> None:
        self._encoder = encoder
        self._head = head or span_head()
        self.read = lru_cache(maxsize=8)(self._read)

    def reading(self, question: Question, hits: Sequence[Hit]) -> Reading:
        """What is read for ``question`` in the first three of the hits."""
        return self.read(question, tuple(hit.passage for hit in hits[:READ]))

    def _read(self, question: Question, passages: tuple[Passage, ...]) -> Reading:
        known, *found = self._encoder.known([question.text, *(passage.text for passage in passages)])
        sure = min(1.0, float(known) / KNOWN_QUESTION) * min(1.0, float(np.mean(found)) / KNOWN_PASSAGE)
        asked, *texts = self._encoder.tokens([question.text, *(p.index_text for p in passages)], _THREADS)
        tokens = asking_tokens(question, asked)
        if not len(tokens.rows):
            return Reading((), tokens.weights, sure)
        vectors = asked.vectors[tokens.rows]
        whole = asking(vectors, tokens.asks)

        def one(text: TokenVectors, passage: Passage) -> Read:
            cosines = vectors @ text.vectors.T
            if not cosines.shape[1]:
                return Read(passage, np.zeros(0), {}, -np.inf)
            inside = sentences_in(passage, text.spans)
            odds = self._head.log_odds(whole, text.vectors, neighbourhood(cosines, tokens.weights, inside.values()))
            near = np.asarray(cosines.max(axis=1), dtype=np.float64)
            return Read(passage, near, _to_sentences(cosines, inside, passage), float(np.logaddexp.reduce(odds)))

        read = (one(text, passage) for text, passage in zip(texts, passages, strict=True))
        return Reading(tuple(one for one in read if one.near.size), tokens.weights, sure)


@dataclass(frozen=True, slots=True)
class Asking:
    """The rows of a question's tokens that are no punctuation, their share by rarity, and which of them ask."""

    rows: npt.NDArray[np.int64]
    weights: Array
    asks: npt.NDArray[np.bool_]


def asking_tokens(question: Question, asked: TokenVectors) -> Asking:
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
    return Asking(np.array(rows, dtype=np.int64), shares, np.array(asks, dtype=bool))


def sentences_in(passage: Passage, spans: npt.NDArray[np.int64]) -> dict[int, npt.NDArray[np.bool_]]:
    """Which of a passage's tokens are in each of its sentences, by their place in it, where that are two or more."""
    head = len(passage.index_text) - len(passage.text)
    found = {}
    for place, unit in enumerate(units_of(passage.text)):
        inside = (spans[:, 0] >= head + unit.start) & (spans[:, 1] <= head + unit.end)
        if inside.sum() >= _FEWEST_TOKENS:
            found[place] = inside
    return found


def _to_sentences(
    cosines: npt.NDArray[np.float32], inside: Mapping[int, npt.NDArray[np.bool_]], passage: Passage
) -> dict[int, Array]:
    """How near each token of the question is to each sentence with what it stands under."""
    units = units_of(passage.text)
    sentences: dict[int, Array] = {}
    above = np.full(len(cosines), -1.0)
    for place in range(len(units)):
        if place in inside:
            sentences[place] = np.asarray(cosines[:, inside[place]].max(axis=1), dtype=np.float64)
        own = Candidate(passage, 0, units, place)
        if own.is_head or own.is_heading:
            above = sentences.get(place, above)
        elif place in sentences:
            sentences[place] = np.maximum(sentences[place], above)
    return sentences


def _lowest(near: Array) -> float:
    """The mean of the lowest quarter."""
    return float(np.sort(near)[: max(1, round(_LOWEST * len(near)))].mean())
