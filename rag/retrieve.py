"""Hybrid retrieval: dense and full-text candidates united, both scores for each, min-max scaled and summed; then what
the encoder, which reads in context, says of each, and what their documents are about, since a passage seldom repeats
the name of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rag.arguments import expecting
from rag.config import Config
from rag.encode import PassageEncoder
from rag.errors import QuestionError
from rag.language.questions import wanted_of
from rag.models.embed import BuiltinEmbedding, Embedder, EncoderEmbedding, MultilingualEmbedding, embed_query
from rag.models.encoder import KNOWN_PASSAGE, KNOWN_QUESTION
from rag.store.dense import DenseIndex
from rag.store.truth import Collection, Encoded, Home, Lexical, Truth
from rag.text import words
from rag.types import Hit, Passage

Array = npt.NDArray[np.float64]

NEAR_DUPLICATE = 0.9
"""Share of common words (Jaccard) from which two passages count as the same text."""
_TURNS = frozenset("not no never cannot without neither nor isn aren wasn weren don doesn didn won can couldn".split())


PRIOR_PASSAGES = 16
"""A term's passages are spread over the documents as if so many more held it, shared out by length: what a document
names once or twice is chance, what it names throughout is its subject."""

_SPARE = 2
"""So many hits more are read at once than are wanted: few of the best are near-duplicates."""

VOICES = 3
"""So many passages more are found, unless it is said how many, for a question whether something is so."""


@dataclass(frozen=True, slots=True)
class Fusion:
    """``candidates`` from each side; ``weight`` in [0, 1] is the dense side's share, 0.5 being equal weights.

    ``document`` >= 0 is what ``subjects`` counts beside the passage's own score. Measured: file hit@1, hit@5 and
    recall@10 on 195 questions over quarterly reports 0.31, 0.72, 0.79 without it and 0.67, 0.97, 0.98 with it, while
    XQuAD stays the same however its paragraphs are cut into documents, and among other documents.

    ``encoder`` >= 0 is what the encoder counts beside dense and full text, which together count 1, for a passage whose
    language it knows.

    ``again`` >= 0 is what sets every passage but the best of its document back where it is asked whether something is
    so: then each document that may say otherwise is to be heard. Of the steps of 0.05 the first by which each tuned
    question of the samples has a gold file in five passages; held out, recall of the files goes from 0.83 to 0.92, over
    their originals from 0.67 to 0.83. Other questions lose by it: over quarterly reports, five passages hold a right
    file for 0.98 of them instead of 0.95, but 0.29 of an answer's figures instead of 0.32.
    """

    candidates: int = 50
    weight: float = 0.5
    document: float = 0.8
    encoder: float = 1.0
    again: float = 0.2


@expecting(question=QuestionError)
class HybridRetriever:
    """Finds passages of one collection. ``rag.answer.llama`` has it as LlamaIndex's retriever."""

    def __init__(
        self,
        truth: Truth,
        dense: DenseIndex,
        lexical: Lexical,
        collection: Collection,
        embedder: Embedder,
        *,
        encoder: PassageEncoder | None = None,
        top_k: int = 6,
        fusion: Fusion | None = None,
        within: npt.NDArray[np.int64] | None = None,
    ) -> None:
        self._truth = truth
        self._dense = dense
        self._lexical = lexical
        self._collection = collection
        self._embedder = embedder
        self._encoder = encoder
        self._top_k = top_k
        self._fusion = fusion or Fusion()
        self._within = within

    @property
    def embedder(self) -> Embedder:
        """What embeds the questions."""
        return self._embedder

    @property
    def multilingual(self) -> Embedder | None:
        """The embedder, or else the encoder, that is none of the English ones that ship: it may know more languages."""
        models = (self._embedder, None if self._encoder is None else self._encoder.model)
        english = (BuiltinEmbedding, EncoderEmbedding)
        return next((model for model in models if model is not None and not isinstance(model, english)), None)

    def hits(self, question: str, k: int | None = None) -> list[Hit]:
        """The best ``k`` passages, best first, near-duplicates left out. Empty for an empty collection."""
        return self.found(question, k).hits

    def found(self, question: str, k: int | None = None) -> Found:
        """``hits``, and how many of the candidates the encoder had seen when they were put in order."""
        if self._encoder is not None and self._fusion.encoder:
            self._encoder.load_soon()
        whether = wanted_of(question) == "whether"
        limit = self._top_k + VOICES * whether if k is None else k
        vector = embed_query(self._embedder, question)
        # The nearest are looked for while the full text is searched, and then, while that is scored, the encoder reads
        # the question: none of it needs the interpreter for long.
        with ThreadPoolExecutor(1, "search") as beside:
            scored = self._scores(question, vector, max(self._fusion.candidates, limit), beside)
        if not scored.ids:
            return Found([])
        order = np.lexsort((np.asarray(scored.ids), -scored.fused))
        # A margin of further candidates stands in for those that turn out to be near-duplicates.
        head = [int(i) for i in order[: limit * 2 + 10]]
        different = distinct(self._hits(scored, head, limit + _SPARE), limit=len(head) if whether else limit)
        heard = spread(different, self._fusion.again)[:limit] if whether else different
        return Found(heard, len(scored.ids), scored.read)

    def _hits(self, scored: _Scored, places: Sequence[int], at_once: int) -> Iterator[Hit]:
        """The candidates at these places; their texts are read as they are wanted, some at once."""
        for at in range(0, len(places), at_once):
            some = places[at : at + at_once]
            passages = self._truth.passages.get([scored.ids[i] for i in some])
            for i in some:
                if (passage := passages.get(scored.ids[i])) is not None:
                    yield Hit(passage, *(float(column[i]) for column in scored.columns))

    def holding(self, wanted: Sequence[str], limit: int) -> tuple[list[Passage], int]:
        """The first ``limit`` passages that hold all of these words, and how many there are."""
        ids, total = self._lexical.holding(self._collection.id, wanted, limit, self._within)
        return list(self._truth.passages.get(ids).values()), total

    def document(self, document_id: int, limit: int) -> Sequence[Passage]:
        """The first ``limit`` passages of a document, in order."""
        return self._truth.passages.of(document_id, limit)

    def _scores(
        self, question: str, vector: npt.NDArray[np.float32], candidates: int, beside: Executor
    ) -> _Scored:  # fmt: skip
        nearest = beside.submit(self._dense.search, self._collection, vector, candidates, self._within)
        asked = beside.submit(lambda: self._asked(question) if nearest.result() else None)
        lexical = self._lexical.rank(
            self._collection.id, question, candidates, lambda: [i for i, _ in nearest.result()], self._within
        )
        dense = dict(nearest.result())
        only_lexical = [i for i in lexical if i not in dense]
        dense.update(self._dense.scores(self._collection, vector, only_lexical))
        homes = self._truth.passages.homes([i for i in dense if i in lexical])
        ids = list(homes)
        a = np.array([dense[i] for i in ids], dtype=np.float64)
        b = np.array([lexical[i] for i in ids], dtype=np.float64)
        document = self._documents(question, [homes[i] for i in ids])
        cosines, known, read = self._encoded(asked.result(), ids, fuse(a, b, document, self._fusion))
        knows_more = isinstance(self._embedder, MultilingualEmbedding)
        fused = fuse(a, b, document, self._fusion, cosines, known, spread=knows_more)
        return _Scored(ids, (fused, a, b, document, cosines, known), read)

    def _asked(self, question: str) -> Encoded | None:
        """The question as the encoder reads it; None where that is off, or does not know its language."""
        if self._encoder is None or not self._fusion.encoder:
            return None
        asked = self._encoder.question(question)
        return asked if asked.known else None

    def _encoded(self, asked: Encoded | None, ids: Sequence[int], before: Array) -> tuple[Array, Array, int]:
        """The encoder's cosine of each candidate, how far it is to be believed, and how many it has seen; ``before`` is
        their score without it, by which those come first that there may be no time for."""
        if self._encoder is None or asked is None or not ids:
            return np.zeros(len(ids)), np.zeros(len(ids)), len(ids)
        order = np.lexsort((np.asarray(ids), -before))
        vectors = self._encoder.passages([ids[i] for i in order])
        return *cosines(asked, vectors, ids), len(vectors)

    def _documents(self, question: str, homes: Sequence[Home]) -> Array:
        """What ``subjects`` gives the document of each candidate."""
        different = list(dict.fromkeys(homes))
        counts = self._lexical.counts(self._collection.id, question, different)
        found = subjects(counts, np.array([home.size for home in different]))
        by_home = dict(zip(different, found, strict=True))
        return np.array([by_home[home] for home in homes], dtype=np.float64)


def build_retriever(
    config: Config, truth: Truth, dense: DenseIndex, lexical: Lexical, collection: Collection,
    embedder: Embedder, encoder: PassageEncoder | None = None, within: npt.NDArray[np.int64] | None = None,
) -> HybridRetriever:  # fmt: skip
    """The retriever of a collection as configured; a fusion weight fitted for the collection beats the setting.

    ``within``: the passages it finds, ascending; None for all.
    """
    weight = float(collection.settings.get("fusion_weight", config.fusion_weight))
    fusion = Fusion(config.candidates, weight, config.document_weight, config.encoder_weight)
    return HybridRetriever(
        truth, dense, lexical, collection, embedder, encoder=encoder, top_k=config.top_k, fusion=fusion, within=within
    )


@dataclass(frozen=True, slots=True)
class Found:
    """The hits of a question; of its ``candidates`` the encoder has seen ``read``, the likeliest first, all of them
    where it is off."""

    hits: list[Hit]
    candidates: int = 0
    read: int = 0

    @property
    def notice(self) -> str:
        """What is to be said of an order that is likely to change: where not even twice as many as the hits were seen;
        else empty."""
        if self.read >= min(self.candidates, 2 * len(self.hits)):
            return ""
        return (
            f"The ranking model has read {self.read} of the {self.candidates} passages that may answer: their order, "
            "and so the answer, may change once it has read all."
        )


@dataclass(frozen=True, slots=True)
class _Scored:
    """The candidates' numbers, their scores in the order in which a ``Hit`` has them, fused first, and how many of
    them the encoder has seen."""

    ids: list[int]
    columns: tuple[Array, ...]
    read: int

    @property
    def fused(self) -> Array:
        return self.columns[0]


def cosines(asked: Encoded, encoded: Mapping[int, Encoded], ids: Sequence[int]) -> tuple[Array, Array]:
    """The encoder's cosine of each passage with the question, and how well, in [0, 1], it knows both their languages;
    0 and 0 for a passage without a vector."""
    found = np.zeros(len(ids))
    known = np.zeros(len(ids))
    sure = min(1.0, asked.known / KNOWN_QUESTION)
    for place, number in enumerate(ids):
        if (one := encoded.get(number)) is not None and one.vector.shape == asked.vector.shape:
            found[place] = float(one.vector @ asked.vector)
            known[place] = sure * min(1.0, one.known / KNOWN_PASSAGE)
    return found, known


def fuse(
    dense: Array, lexical: Array, document: Array, fusion: Fusion,
    encoder: Array | None = None, known: Array | None = None, *, spread: bool = False,
) -> Array:  # fmt: skip
    """The score in [0, 2] of each candidate of one question, from its two scores and its document's in [0, 1], and from
    the encoder's cosine, which counts for each as much as the encoder is ``known`` to know its language.

    ``spread``: what the encoder does not know the dense score counts for, since the embedder knows more languages.
    """
    nearness = min_max(dense)
    own = fusion.weight * nearness + (1 - fusion.weight) * min_max(lexical)
    if encoder is not None and known is not None and (known.any() or spread):
        read = known > 0
        scaled = np.zeros(len(own))
        scaled[read] = min_max(encoder[read])
        rest = (1 - known) * spread
        own = (own + fusion.encoder * (known * scaled + rest * nearness)) / (1 + fusion.encoder * (known + rest))
    # The document's is not scaled: where all are on one subject, they must not be told apart by a trifle.
    return 2 * (own + fusion.document * document) / (1 + fusion.document)


def subjects(counts: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]) -> Array:
    """How much each document is about what is asked, in [0, 1], from ``counts`` of shape (terms, documents): in how
    many of its passages, ``sizes``, each term of the question occurs. A passage seldom repeats what all of its document
    is about.

    A term weighs as much as it tells the documents apart: 1 less the entropy of its spread over them (Dumais,
    "Improving the retrieval of information from external sources", 1991), on counts smoothed by ``PRIOR_PASSAGES``. A
    document gets of that weight what its density of the term is of the highest.
    """
    if not counts.size or counts.shape[1] < 2:
        return np.zeros(counts.shape[1])
    density = (counts + PRIOR_PASSAGES * sizes / sizes.sum()) / sizes
    spread = density / density.sum(axis=1, keepdims=True)
    # Of terms that are spread evenly the sum may miss -1 by a rounding.
    weights = np.maximum(1 + (spread * np.log(spread)).sum(axis=1) / np.log(len(sizes)), 0.0)
    shares = density / density.max(axis=1, keepdims=True)
    return np.asarray(weights @ shares / max(1.0, float(weights.sum())), dtype=np.float64)


def min_max(values: Array) -> Array:
    """Values scaled to [0, 1]; all zeros where they do not differ."""
    if not len(values):
        return values
    low, high = float(values.min()), float(values.max())
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def distinct(hits_in_order: Iterable[Hit], limit: int) -> list[Hit]:
    """The first ``limit`` hits without those whose words nearly equal an earlier hit's."""
    kept: list[Hit] = []
    seen: list[frozenset[str]] = []
    for hit in hits_in_order:
        bag = frozenset(words(hit.passage.text))
        if any(_alike(bag, other) for other in seen):
            continue
        kept.append(hit)
        seen.append(bag)
        if len(kept) == limit:
            break
    return kept


def spread(hits_in_order: Sequence[Hit], again: float) -> list[Hit]:
    """The hits with those behind the best of their document set back, as if they had ``again`` less: what a document
    says further tells less than what another one says. Maximal marginal relevance (Carbonell and Goldstein, 1998), with
    "of the same document" for the likeness."""
    first: dict[int, Hit] = {}
    for hit in hits_in_order:
        first.setdefault(hit.passage.document_id, hit)
    return sorted(hits_in_order, key=lambda hit: again * (first[hit.passage.document_id] is not hit) - hit.score)


def _alike(a: frozenset[str], b: frozenset[str]) -> bool:
    if not a or not b:
        return a == b
    small, large = sorted((len(a), len(b)))
    if small < NEAR_DUPLICATE * large or len(a & b) < NEAR_DUPLICATE * len(a | b):
        return False
    # Another figure or a "not" makes it a text that contradicts the other, and no copy of it.
    return not any(word in _TURNS or any(c.isdigit() for c in word) for word in a ^ b)
