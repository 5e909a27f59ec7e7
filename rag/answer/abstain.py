"""Whether the documents answer a question at all: a calibrated probability from what the retrieval found."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from rag.answer.quoting import FEATURES, Question, Ranked, analyse, rank, says_nothing, score, windows_of
from rag.answer.reading import Reader
from rag.answer.synonymy import Array
from rag.answer.weights import ABSTAIN, ABSTAIN_BIAS, ABSTAIN_READ, ABSTAIN_READ_BIAS
from rag.language.questions import Wanted
from rag.models.static import StaticVectors
from rag.types import Hit

DEFAULT_THRESHOLD = 0.25
"""Below this probability nothing is answered: the highest, in steps of 0.01, at which at most one in 20 of the real
search questions that are answered lie below it, and one in 50 of XQuAD's, of the quarter of the documents that what the
span model says was weighed on (``fit_answer read``). Of the quarter that no fit saw it is 2 of 30, and one in 50."""

ABSENT_BELOW = 0.1
"""Below this probability it is not in the documents; from here on the closest passages are shown, which may not answer.
Refusing an answerable question costs more than showing them: one in a hundred of the held-out half's lies below it, of
those that are not answered 0.35 to 0.9."""

# The weights were fitted over these. What half and twice as large move of the held-out AUC of seven corpora, read and
# without (``python -m tests.bench reliability``). Sentences that are the best: 1 costs articles alone 0.027 without the
# encoder, 6 gains 0.018 there.
_BEST = 3
# Passages of the smallest collection: 0.002 at most.
_SMALLEST = 10
# From here on a term counts as matched: 0.004 at most.
_PRESENT = 0.5
# Terms of a short question: 3 costs XQuAD 0.009 and gains articles alone 0.018, 12 costs those 0.009 and the reports
# 0.010.
_SHORT = 6
# A strong BM25: 15 and 60 cost CLAPNQ 0.003 and 0.007 without the encoder.
_STRONG = 30.0
# Of a window that hardly holds a term the gap is not told by its share: 0.004 at most.
_LEAST_WINDOW = 0.2
_SORTS: Mapping[Wanted, str] = {
    "count": "number", "amount": "number", "percent": "number", "measure": "number", "time": "time",
    "person": "name", "place": "name",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Features:
    """What speaks for and against an answer.

    ``passage``: weighted share of the question's terms in the best single passage. ``unknown``: share of its terms
    that no passage of the collection has, times the collection's size (the natural logarithm of its passages over
    10, over 10): in a large one hardly any word that matters is missing. ``weak``: how far the best BM25 stays below
    30, over 30, times the size: among many passages some match a little. ``unknown_names``: 1 if an unknown term is a
    name. ``names``: how well its names are matched in the best sentence's passage. ``focus_missing``: 1 if the noun
    that types the answer is nowhere. ``cosine``: the best sentences' largest. ``gap_*``: for a question that wants a
    number, a time or a name, how far the sentences that hold one fall behind those that hold the question's terms,
    in [0, 1].
    ``typed_*``: whether the best sentence holds one. ``open``: 1 if the wanted kind has no outward sign.
    ``margin``: the best hit's lead over the third, fused, over 2. ``log_odds``: the best sentence's over the mean,
    over 10. ``dense``, ``dense_mean``: the largest static cosine of question and passage, and the best three's mean.

    With an encoder that reads the first three passages, each token of the question is as near to a text as the best
    cosine, in context, with one of the text's tokens; of several texts the one counts that they are nearest to.
    ``read_low``: how near the farthest quarter of them is to a passage. ``span``: the log-odds, over 5, that a token of
    the passages answers (``rag.models.span_model``). ``unseen``: which share of the terms, by rarity, is nowhere. What
    the others depend on: ``asked``, the question's terms, at least six, over 8; ``score`` of the best hit; ``lexical``,
    the logarithm of the best BM25; ``size``, as above. All are 0 without an encoder.
    """

    passage: float = 0.0
    unknown: float = 0.0
    weak: float = 0.0
    unknown_names: float = 0.0
    names: float = 0.0
    focus_missing: float = 0.0
    cosine: float = 0.0
    gap_number: float = 0.0
    gap_time: float = 0.0
    gap_name: float = 0.0
    typed_number: float = 0.0
    typed_name: float = 0.0
    open: float = 0.0
    margin: float = 0.0
    log_odds: float = 0.0
    dense: float = 0.0
    dense_mean: float = 0.0
    read_low: float = 0.0
    span: float = 0.0
    unseen: float = 0.0
    asked: float = 0.0
    score: float = 0.0
    lexical: float = 0.0
    size: float = 0.0


@dataclass(frozen=True, slots=True)
class Weights:
    """A logistic regression over ``Features``."""

    bias: float = ABSTAIN_BIAS
    of: Mapping[str, float] = field(default_factory=lambda: ABSTAIN)

    def log_odds(self, features: Features) -> float:
        """That the documents answer."""
        values: dict[str, float] = asdict(features)
        return self.bias + sum(weight * values[name] for name, weight in self.of.items())


def read_weights() -> Weights:
    """For questions and passages in a language that the encoder knows."""
    return Weights(ABSTAIN_READ_BIAS, ABSTAIN_READ)


class Abstainer:
    """Judges whether the found passages answer. The same for every embedder of the collection.

    With a ``reader`` by ``read`` weights as far as it knows the language of question and passages, else by
    ``weights``. It reads three passages, which takes it about a sixth of a second.
    """

    def __init__(
        self,
        vectors: StaticVectors,
        document_frequency: Callable[[str], int],
        passage_count: int,
        weights: Weights | None = None,
        *,
        reader: Reader | None = None,
        read: Weights | None = None,
    ) -> None:
        self._vectors = vectors
        self._frequency = document_frequency
        self._count = passage_count
        self._weights = weights or Weights()
        self._reader = reader
        self._read = read or read_weights()

    def probability(self, question: str, hits: Sequence[Hit]) -> float:
        """The probability in [0, 1] that the documents answer ``question``; 0 without hits or words in common."""
        features = self.features(question, hits)
        if features is None:
            return 0.0
        known = 0.0
        if self._reader is not None:
            known = self._reader.reading(analyse(question, self._frequency, self._count), hits).known
        total = (1 - known) * self._weights.log_odds(features) + known * self._read.log_odds(features)
        return 1 / (1 + math.exp(-max(-50.0, min(50.0, total))))

    def features(self, question: str, hits: Sequence[Hit]) -> Features | None:
        """The evidence behind ``probability``; None if there is nothing to compare."""
        asked = analyse(question, self._frequency, self._count)
        ranked = rank(self._vectors, asked, hits)
        if not ranked.candidates:
            return None
        rows = self._vectors.embed([question, *(hit.passage.index_text for hit in hits)])
        found = features_of(asked, ranked, hits, rows[1:] @ rows[0])
        if self._reader is None:
            return found
        return replace(found, **_around(ranked, hits), **self._reader.reading(asked, hits).features())


def _around(ranked: Ranked, hits: Sequence[Hit]) -> dict[str, float]:
    """What the reading depends on."""
    question, first = ranked.question, hits[0]
    return {
        "unseen": float(_weights(question) @ _unknown(ranked)),
        "asked": max(len(question.terms), _SHORT) / 8,
        "score": first.score,
        "lexical": math.log1p(max(hit.lexical for hit in hits)),
        "size": _size(question),
    }


def _size(question: Question) -> float:
    return math.log(max(question.count, _SMALLEST) / _SMALLEST) / 10


def features_of(question: Question, ranked: Ranked, hits: Sequence[Hit], cosines: Sequence[float]) -> Features:
    """The features, from the ranked sentences and each hit's static cosine to the question."""
    column = {name: ranked.features[:, place] for place, name in enumerate(FEATURES)}
    scores = score(ranked)
    telling = np.array([not says_nothing(candidate) for candidate in ranked.candidates])
    order = np.argsort(np.where(telling, -scores, np.inf), kind="stable")
    best, top = int(order[0]), order[:_BEST]
    weights, unknown = _weights(question), _unknown(ranked)
    covered = _by_passage(ranked)
    here = covered[ranked.candidates[best].passage.id]
    size = _size(question)
    near = float(column["cosine"][top].max())
    names = [row for row, term in enumerate(question.terms) if term.name]
    focus = question.focus
    fused = [hit.score for hit in hits]
    dense = [float(x) for x in cosines]
    return Features(
        passage=float(max(row @ weights for row in covered.values())),
        unknown=float(np.mean(unknown)) * size,
        weak=max(0.0, 1 - max(hit.lexical for hit in hits) / _STRONG) * size,
        unknown_names=float(bool(question.count) and any(unknown[row] for row in names)),
        names=float(here[names].mean()) if names else 0.5,
        focus_missing=float(focus is not None and focus.frequency == 0 and column["focus"][top].max() < _PRESENT),
        cosine=near,
        **_typed(ranked, column, best),
        margin=(fused[0] - fused[min(2, len(fused) - 1)]) / 2,
        log_odds=float(scores[best] - scores.mean()) / 10,
        dense=max(dense),
        dense_mean=sum(dense[:_BEST]) / len(dense[:_BEST]),
    )


def _weights(question: Question) -> Array:
    """The share of each term by its rarity."""
    weights = np.array([max(term.weight, 1e-3) for term in question.terms])
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def _unknown(ranked: Ranked) -> Array:
    """For each term 1 where the collection and what was found lack it, else 0."""
    absent = np.array([term.frequency == 0 for term in ranked.question.terms])
    return np.asarray(absent & (ranked.matches.max(axis=0) < _PRESENT), dtype=np.float64)


def _by_passage(ranked: Ranked) -> dict[int, Array]:
    """For each passage the best match of each term among its sentences."""
    rows: dict[int, list[int]] = {}
    for row, candidate in enumerate(ranked.candidates):
        rows.setdefault(candidate.passage.id, []).append(row)
    return {key: ranked.matches[own].max(axis=0) for key, own in rows.items()}


def _typed(ranked: Ranked, column: Mapping[str, Array], best: int) -> dict[str, float]:
    """Whether something of the wanted kind stands where the question's terms stand."""
    sort = _SORTS.get(ranked.question.wanted)
    if sort is None:
        return {"open": 1.0}
    window = windows_of(ranked)
    typed = np.minimum(1, column["typed"])
    widest = float(window.max())
    gap = max(0.0, widest - float((typed * window).max())) / max(widest, _LEAST_WINDOW)
    found = {f"gap_{sort}": gap}
    if sort in ("number", "name"):
        found[f"typed_{sort}"] = float(typed[best])
    return found
