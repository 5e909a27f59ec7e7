"""Whether the documents answer a question at all: a calibrated probability from what the retrieval found."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import MappingProxyType

import numpy as np

from rag.answer.question import Question, analyse
from rag.answer.quotes import score
from rag.answer.ranking import FEATURES, Ranked, rank
from rag.models.static import StaticVectors
from rag.types import Hit

DEFAULT_THRESHOLD = 0.2
_BEST = 3
_PRESENT = 0.75


@dataclass(frozen=True, slots=True)
class Features:
    """What speaks for and against an answer; shares and similarities in [0, 1] except ``log_odds``.

    ``sentence``: weighted share of the question's terms in the best sentence. ``window``: with its neighbours and
    heading. ``passage``: in the best single passage. ``missing``: weighted share of the terms that no found passage
    has. ``unknown``: share of terms in no passage of the collection. ``rarest``: how well the rarest term is matched
    by the best sentence's window. ``names``: share of the question's names in the best passage. ``cosine``: best
    sentence's; ``pairs``: neighbouring words kept together; ``typed``: an answer of the wanted kind is there;
    ``agreement``: the best hit's fused score over 2; ``margin``: how far it leads the third; ``log_odds``: of the best
    quote over the mean candidate.
    """

    sentence: float = 0.0
    window: float = 0.0
    passage: float = 0.0
    missing: float = 1.0
    unknown: float = 1.0
    rarest: float = 0.0
    names: float = 0.0
    cosine: float = 0.0
    pairs: float = 0.0
    typed: float = 0.0
    agreement: float = 0.0
    margin: float = 0.0
    log_odds: float = 0.0


@dataclass(frozen=True, slots=True)
class Weights:
    """A logistic regression over ``Features``."""

    bias: float
    of: Mapping[str, float] = field(default_factory=dict)


# Fitted by `python -m tests.bench.fit_answer abstain`.
WEIGHTS = Weights(
    bias=-9.33,
    of=MappingProxyType(
        {
            "sentence": 2.96,
            "window": -0.37,
            "passage": 3.98,
            "missing": -1.44,
            "unknown": 4.99,
            "rarest": 0.55,
            "names": 1.43,
            "cosine": 5.51,
            "pairs": 1.1,
            "typed": -1.65,
            "agreement": 1.32,
            "margin": 3.46,
            "log_odds": 1.54,
        }
    ),
)


class Abstainer:
    """Judges whether the found passages answer. The same for every embedder of the collection."""

    def __init__(
        self,
        vectors: StaticVectors,
        document_frequency: Callable[[str], int],
        passage_count: int,
        weights: Weights | None = None,
    ) -> None:
        self._vectors = vectors
        self._frequency = document_frequency
        self._count = passage_count
        self._weights = weights or WEIGHTS

    def probability(self, question: str, hits: Sequence[Hit]) -> float:
        """The probability in [0, 1] that the documents answer ``question``; 0 without hits."""
        if not hits:
            return 0.0
        values = asdict(self.features(question, hits))
        total = self._weights.bias + sum(weight * values[name] for name, weight in self._weights.of.items())
        return 1 / (1 + math.exp(-max(-50.0, min(50.0, total))))

    def features(self, question: str, hits: Sequence[Hit]) -> Features:
        """The evidence behind ``probability``."""
        analysed = analyse(question, self._frequency, self._count)
        ranked = rank(self._vectors, analysed, hits)
        return features_of(analysed, ranked, hits) if ranked.candidates else Features()


def features_of(question: Question, ranked: Ranked, hits: Sequence[Hit]) -> Features:
    """The features of the best sentences, and of the hits as a whole."""
    column = {name: ranked.features[:, place] for place, name in enumerate(FEATURES)}
    scores = score(ranked)
    order = np.argsort(-scores, kind="stable")
    best = int(order[0])
    weights = np.array([max(term.weight, 1e-3) for term in question.terms])
    weights /= weights.sum()
    by_passage: dict[int, list[int]] = {}
    for row, candidate in enumerate(ranked.candidates):
        by_passage.setdefault(candidate.passage.id, []).append(row)
    covered = {key: ranked.matches[rows].max(axis=0) for key, rows in by_passage.items()}
    here = covered[ranked.candidates[best].passage.id]
    names = [row for row, term in enumerate(question.terms) if term.name]
    window = column["soft"] + column["previous"] + column["following"] + column["heading"]
    top = [int(i) for i in order[:_BEST]]
    fused = [hit.score for hit in hits]
    return Features(
        sentence=float(column["soft"][best]),
        window=float(min(1.0, window[best])),
        passage=float(max(row @ weights for row in covered.values())),
        missing=float((np.max(list(covered.values()), axis=0) < _PRESENT) @ weights),
        unknown=float(np.mean([term.frequency == 0 for term in question.terms])) if question.count else 0.0,
        rarest=float(here[int(np.argmax(weights))]),
        names=float((here[names] >= _PRESENT).mean()) if names else 0.5,
        cosine=float(column["cosine"][top].max()),
        pairs=float(column["pairs"][best]),
        typed=float(column["typed"][top].max()),
        agreement=fused[0] / 2,
        margin=(fused[0] - fused[min(2, len(fused) - 1)]) / 2,
        log_odds=float(scores[best] - scores.mean()) / 10,
    )
