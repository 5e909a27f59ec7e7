"""Whether the documents answer a question at all: a calibrated probability from what the retrieval found."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import numpy.typing as npt

from rag.answer.passages import units_of
from rag.answer.quoting import FEATURES, Question, Ranked, analyse, rank, says_nothing, score, windows_of
from rag.answer.synonymy import Array
from rag.answer.weights import ABSTAIN, ABSTAIN_BIAS, ABSTAIN_READ, ABSTAIN_READ_BIAS
from rag.language.questions import Wanted, question_words
from rag.language.words import words_of
from rag.models.encoder import KNOWN_PASSAGE, KNOWN_QUESTION, Encoder, TokenVectors
from rag.models.static import StaticVectors
from rag.types import Hit, Passage

DEFAULT_THRESHOLD = 0.28
"""Below this probability nothing is answered. Chosen on the tune halves alone: of the answerable search questions there
not quite one in twenty lies below it, and of XQuAD's not quite three in a hundred."""

ABSENT_BELOW = 0.12
"""Below this probability it is not in the documents; from here on the closest passages are shown, which may not answer.
Refusing an answerable question costs more than showing them."""

_BEST = 3
_READ = 3
_LOWEST = 0.25
_SHORT_OF, _LEAST_RARITY, _FEWEST_TOKENS = 0.6, 0.3, 2
_THREADS = 2
_SMALLEST = 10
_PRESENT = 0.5
_STRONG = 30.0
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
    ``read_low``: how near the farthest quarter of them is to a passage, ``sentence_low`` to a single sentence.
    ``sentence_gap``: how far they fall short of 0.6 in it, on average by their rarity. ``question_word``: how near the
    words that ask are to a passage, 0.5 if there are none. ``read_lead``: how much nearer one passage is than the three
    on average. What the others depend on: ``asked``, the question's terms, over 8; ``document``, what its document is
    about, and ``score`` of the best hit; ``lexical``, the logarithm of the best BM25; ``same``, the share of the hits
    that are of the best one's document; ``size``, as above. All are 0 without an encoder.
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
    sentence_low: float = 0.0
    sentence_gap: float = 0.0
    question_word: float = 0.0
    read_lead: float = 0.0
    asked: float = 0.0
    document: float = 0.0
    score: float = 0.0
    lexical: float = 0.0
    same: float = 0.0
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

    With an ``encoder`` by ``read`` weights as far as it knows the language of question and passages, else by
    ``weights``. It reads three passages, which takes it about a tenth of a second.
    """

    def __init__(
        self,
        vectors: StaticVectors,
        document_frequency: Callable[[str], int],
        passage_count: int,
        weights: Weights | None = None,
        *,
        encoder: Encoder | None = None,
        read: Weights | None = None,
    ) -> None:
        self._vectors = vectors
        self._frequency = document_frequency
        self._count = passage_count
        self._weights = weights or Weights()
        self._encoder = encoder
        self._read = read or read_weights()

    def probability(self, question: str, hits: Sequence[Hit]) -> float:
        """The probability in [0, 1] that the documents answer ``question``; 0 without hits or words in common."""
        features = self.features(question, hits)
        if features is None:
            return 0.0
        known = self._known(question, hits)
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
        if self._encoder is None:
            return found
        return replace(found, **_around(asked, hits), **reading(self._encoder, asked, hits))

    def _known(self, question: str, hits: Sequence[Hit]) -> float:
        """How well, in [0, 1], the encoder knows the languages of the question and of the first passages."""
        if self._encoder is None:
            return 0.0
        asked, *found = self._encoder.known([question, *(hit.passage.text for hit in hits[:_READ])])
        return min(1.0, float(asked) / KNOWN_QUESTION) * min(1.0, float(np.mean(found)) / KNOWN_PASSAGE)


def _around(question: Question, hits: Sequence[Hit]) -> dict[str, float]:
    """What the reading depends on."""
    first = hits[0]
    return {
        "asked": len(question.terms) / 8,
        "document": first.document,
        "score": first.score,
        "lexical": math.log1p(max(hit.lexical for hit in hits)),
        "same": float(np.mean([hit.passage.document_id == first.passage.document_id for hit in hits])),
        "size": _size(question),
    }


def reading(encoder: Encoder, question: Question, hits: Sequence[Hit]) -> dict[str, float]:
    """The features of ``Features`` that the encoder reads in the first three passages."""
    asked, *found = encoder.tokens([question.text, *(hit.passage.index_text for hit in hits[:_READ])], _THREADS)
    tokens = _asking(question, asked)
    read = [
        _reads(tokens, asked.vectors[tokens.rows] @ one.vectors.T, one.spans, hit.passage)
        for one, hit in zip(found, hits, strict=False)
        if len(one.vectors)
    ]
    if not len(tokens.rows) or not read:
        return {}
    best = max(read, key=lambda one: one.mean)
    closest = max((one for one in read if one.sentence.size), key=lambda one: float(one.sentence.mean()), default=best)
    sentence = closest.sentence if closest.sentence.size else best.near
    return {
        "read_low": _lowest(best.near),
        "sentence_low": _lowest(sentence),
        "sentence_gap": float(np.maximum(0, _SHORT_OF - sentence) @ tokens.weights),
        "question_word": max(one.question_word for one in read),
        "read_lead": best.mean - float(np.mean([one.mean for one in read])),
    }


@dataclass(frozen=True, slots=True)
class _Asking:
    """The rows of a question's tokens that are no punctuation, their share by rarity, and which of them ask."""

    rows: npt.NDArray[np.int64]
    weights: Array
    asks: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Read:
    """How near each token of a question is to one passage, and to its nearest sentence (empty where it has none)."""

    near: Array
    sentence: Array
    question_word: float

    @property
    def mean(self) -> float:
        return float(self.near.mean())


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
    return _Asking(
        np.array(rows, dtype=np.int64), np.array(weights) / (sum(weights) or 1.0), np.array(asks, dtype=bool)
    )


def _reads(tokens: _Asking, cosines: npt.NDArray[np.float32], spans: npt.NDArray[np.int64], passage: Passage) -> _Read:
    near = np.asarray(cosines.max(axis=1), dtype=np.float64) if len(cosines) else np.zeros(0)
    head = len(passage.index_text) - len(passage.text)
    nearest = np.zeros(0)
    for unit in units_of(passage.text):
        inside = (spans[:, 0] >= head + unit.start) & (spans[:, 1] <= head + unit.end)
        if len(cosines) and inside.sum() >= _FEWEST_TOKENS:
            own = np.asarray(cosines[:, inside].max(axis=1), dtype=np.float64)
            nearest = own if not nearest.size or own.mean() > nearest.mean() else nearest
    return _Read(near, nearest, float(near[tokens.asks].mean()) if tokens.asks.any() else 0.5)


def _lowest(near: Array) -> float:
    """The mean of the lowest quarter."""
    return float(np.sort(near)[: max(1, round(_LOWEST * len(near)))].mean())


def _size(question: Question) -> float:
    return math.log(max(question.count, _SMALLEST) / _SMALLEST) / 10


def features_of(question: Question, ranked: Ranked, hits: Sequence[Hit], cosines: Sequence[float]) -> Features:
    """The features, from the ranked sentences and each hit's static cosine to the question."""
    column = {name: ranked.features[:, place] for place, name in enumerate(FEATURES)}
    scores = score(ranked)
    telling = np.array([not says_nothing(candidate) for candidate in ranked.candidates])
    order = np.argsort(np.where(telling, -scores, np.inf), kind="stable")
    best, top = int(order[0]), order[:_BEST]
    weights = np.array([max(term.weight, 1e-3) for term in question.terms])
    weights /= weights.sum()
    covered = _by_passage(ranked)
    here = covered[ranked.candidates[best].passage.id]
    anywhere = np.max(list(covered.values()), axis=0)
    unknown = [term.frequency == 0 and anywhere[row] < _PRESENT for row, term in enumerate(question.terms)]
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
