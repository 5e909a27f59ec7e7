"""Questions in another language than the passages found. They share hardly a word, by which all else is judged: only an
embedding that knows both languages tells which sentences answer, and whether any does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

import numpy as np

from rag.answer.quoting.quoter import Quote, quote_of, says_nothing
from rag.answer.quoting.ranking import Candidate, candidates_of
from rag.answer.reading import READ
from rag.answer.synonymy import Array
from rag.language.languages import language_of
from rag.models.embed import Embedder, MultilingualEmbedding, embed_documents, embed_query
from rag.types import Hit

BIAS, COSINE = -5.82, 18.91
"""The log-odds that the documents answer, by the cosine of the question and the sentence nearest to it, of the model
``multilingual``. Fitted on half of XQuAD's articles: English questions over German, Spanish, Chinese and Arabic ones
and the reverse, asked of their half's collection and of the other half's. Area under the curve 0.910 and, held out,
0.858; with five features more of the same cosines 0.917 and 0.858."""

UNTOLD = 0.2
"""The probability where the model's cosines are not known to mean one: the closest passages are shown, as such."""

LIMIT, _BEHIND = 3, 0.1
"""So many sentences are quoted at most, and none with a cosine so far behind the best. On the tuned half 0.72 of the
answers are in the quotes so, 2.4 of them; within 0.05 0.63 in 1.8, within 0.15 0.75 in 2.7."""


class Judging(Protocol):
    """Whether the documents answer; see ``rag.answer.abstain.Abstainer``."""

    def probability(self, question: str, hits: Sequence[Hit]) -> float:
        """The probability in [0, 1]."""


class Quoting(Protocol):
    """Which sentences answer; see ``rag.answer.quoting.Quoter``."""

    def answer(self, question: str, hits: Sequence[Hit]) -> list[Quote]:
        """The quotes, the best first."""

    def holds_answer(self, question: str, hits: Sequence[Hit], spans: Sequence[tuple[int, int, int]]) -> bool:
        """Whether one of ``spans`` answers about as well as the best sentence."""


class Across:
    """Judges and quotes as ``judging`` and ``quoting`` do, and across languages by ``model``; None where no model that
    the library is searched with knows more than English."""

    def __init__(self, judging: Judging, quoting: Quoting, model: Embedder | None) -> None:
        self._judging = judging
        self._quoting = quoting
        self._model = model
        self._read = lru_cache(maxsize=8)(self._reading)

    def probability(self, question: str, hits: Sequence[Hit]) -> float:
        """The probability in [0, 1] that the documents answer. Raises ModelError."""
        if self._model is None or not foreign(question, hits):
            return self._judging.probability(question, hits)
        _, cosines = self._read(question, tuple(hits[:READ]))
        if not len(cosines):
            return 0.0
        if not isinstance(self._model, MultilingualEmbedding):
            return UNTOLD
        return 1 / (1 + math.exp(-(BIAS + COSINE * float(cosines.max()))))

    def answer(self, question: str, hits: Sequence[Hit]) -> list[Quote]:
        """The quotes, the best first. Raises ModelError."""
        if self._model is None or not foreign(question, hits):
            return self._quoting.answer(question, hits)
        candidates, cosines = self._read(question, tuple(hits[:READ]))
        order = np.argsort(-cosines, kind="stable")[:LIMIT]
        near = [row for row in order if cosines[row] >= cosines[order[0]] - _BEHIND]
        return [quote_of(candidates[row], max(0.0, float(cosines[row]))) for row in near]

    def holds_answer(self, question: str, hits: Sequence[Hit], spans: Sequence[tuple[int, int, int]]) -> bool:
        """Whether one of ``spans`` answers about as well as the best sentence; True where that can't be told."""
        return foreign(question, hits) or self._quoting.holds_answer(question, hits, spans)

    def notice(self, question: str, hits: Sequence[Hit]) -> str:
        """What is to be said of a question in another language than what was found; else empty."""
        if not foreign(question, hits):
            return ""
        if self._model is None:
            return (
                "The passages found are in another language than the question, and the search model knows English "
                "only: what answers may not have been found. A multilingual one finds it: `pip install "
                "'rag-cited[multilingual]'`, then `rag reindex multilingual`."
            )
        if isinstance(self._model, MultilingualEmbedding):
            return ""
        return (
            "The passages found are in another language than the question: they are ranked by the search model "
            "alone, and whether they answer is not judged."
        )

    def _reading(self, question: str, hits: tuple[Hit, ...]) -> tuple[list[Candidate], Array]:
        """The sentences of the hits and the cosine of each with the question."""
        assert self._model is not None
        candidates = [candidate for candidate in candidates_of(hits) if not says_nothing(candidate)]
        if not candidates:
            return [], np.zeros(0)
        vectors = embed_documents(self._model, [candidate.unit.text for candidate in candidates])
        return candidates, np.asarray(vectors @ embed_query(self._model, question), dtype=np.float64)


def foreign(question: str, hits: Sequence[Hit]) -> bool:
    """Whether the first hits are in other languages than the question, as far as that is told of it and of one of them
    at least."""
    asked = language_of(question)
    found = {language_of(hit.passage.text) for hit in hits[:READ]} - {""}
    return bool(asked and found) and asked not in found
