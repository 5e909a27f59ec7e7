"""What is read of the first passages for a question: by the encoder how near each of its tokens is to a passage and to
each of its sentences, by the span model whether the answer stands there."""

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
from rag.answer.synonymy import Array
from rag.models.encoder import KNOWN_PASSAGE, KNOWN_QUESTION, Encoder, TokenVectors
from rag.models.span_model import Pointed, SpanModel, shared_span_model
from rag.models.transformer import Matrix
from rag.types import Hit, Passage

READ = 3
"""So many passages are read, the first: by either model a thirtieth of a second each."""
# The cores of the smallest machine.
_THREADS = 2
_LOWEST = 0.25
_SPAN_SCALE = 5.0
"""Log-odds that a passage answers are told in units of so many, which is about their spread."""
# One token alone is a bullet or a number. The weights of what is read (``fit_answer near read``) were fitted over it.
_FEWEST_TOKENS = 2


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
    the passage answers against that none does, ``spans`` those that one of a sentence does, by its place."""

    passage: Passage
    near: Array
    sentences: dict[int, Array]
    span: float
    spans: dict[int, float]

    @property
    def mean(self) -> float:
        """To the passage, on average."""
        return float(self.near.mean())


@dataclass(frozen=True)
class Reading:
    """What was read for a question: its passages, and how well, in [0, 1], the encoder knows the languages of both."""

    read: tuple[Read, ...]
    known: float

    def features(self) -> dict[str, float]:
        """Those of ``rag.answer.abstain.Features`` that are read; none where nothing could be."""
        if not self.read:
            return {}
        best = max(self.read, key=lambda one: one.mean)
        return {
            "read_low": _lowest(best.near),
            "span": float(np.logaddexp.reduce([one.span for one in self.read])) / _SPAN_SCALE,
        }

    def nearness(self, sentences: Sequence[Sentence]) -> Array:
        """How near the question is to each sentence on average, from the farthest one on; 0 for what was not read."""
        read = {one.passage.id: one.sentences for one in self.read}
        near = [read.get(one.passage.id, {}).get(one.index) for one in sentences]
        return _from_lowest([np.nan if one is None else float(one.mean()) for one in near])

    def pointing(self, sentences: Sequence[Sentence]) -> Array:
        """The log-odds that each sentence answers, from the lowest on; 0 for what was not read."""
        read = {one.passage.id: one.spans for one in self.read}
        return _from_lowest([read.get(one.passage.id, {}).get(one.index, np.nan) for one in sentences])


class Reader:
    """Reads the first passages found for a question, once for all who ask."""

    def __init__(self, encoder: Encoder, spans: SpanModel | None = None) -> None:
        self._encoder = encoder
        self._spans = spans or shared_span_model()
        self.read = lru_cache(maxsize=8)(self._read)

    def reading(self, question: Question, hits: Sequence[Hit]) -> Reading:
        """What is read for ``question`` in the first three of the hits."""
        return self.read(question, tuple(hit.passage for hit in hits[:READ]))

    def _read(self, question: Question, passages: tuple[Passage, ...]) -> Reading:
        known, *found = self._encoder.known([question.text, *(passage.text for passage in passages)])
        sure = min(1.0, float(known) / KNOWN_QUESTION) * min(1.0, float(np.mean(found)) / KNOWN_PASSAGE)
        if not sure:
            return Reading((), sure)
        texts = [passage.index_text for passage in passages]
        asked, *vectors = self._encoder.tokens([question.text, *texts], _THREADS)
        own = _asking(question, asked)
        if not len(own):
            return Reading((), sure)
        pointed = self._spans.point(question.text, texts, _THREADS)
        read = (
            _one(*found)
            for found in zip(passages, (own @ one.vectors.T for one in vectors), vectors, pointed, strict=True)
        )
        return Reading(tuple(one for one in read if one.near.size), sure)


def _from_lowest(told: Sequence[float]) -> Array:
    values = np.array(told)
    return np.nan_to_num(values - np.nanmin(values)) if np.isfinite(values).any() else np.zeros(len(values))


def _one(passage: Passage, cosines: npt.NDArray[np.float32], text: TokenVectors, pointed: Pointed) -> Read:
    if not cosines.shape[1]:
        return Read(passage, np.zeros(0), {}, -np.inf, {})
    near = np.asarray(cosines.max(axis=1), dtype=np.float64)
    sentences = _to_sentences(cosines, sentences_in(passage, text.spans), passage)
    spans = {
        place: float(np.logaddexp.reduce(pointed.log_odds[inside]))
        for place, inside in sentences_in(passage, pointed.spans).items()
    }
    return Read(passage, near, sentences, pointed.answered, spans)


def _asking(question: Question, asked: TokenVectors) -> Matrix:
    """The vectors of a question's tokens that are no punctuation."""
    return asked.vectors[[any(map(str.isalnum, question.text[start:end])) for start, end in asked.spans]]


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
