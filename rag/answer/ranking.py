"""Which sentences of the found passages answer a question: candidates, their features and a linear score."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from rag.answer.lexicon import PRONOUNS, Word, words_of
from rag.answer.question import Question, Term, Wanted
from rag.answer.sentences import sentences
from rag.answer.values import Value, values_of
from rag.models.static import StaticVectors
from rag.types import Hit, Passage

Array = npt.NDArray[np.float64]

_SOFT_FROM, _SOFT_TO, _SOFT_MOST = 0.35, 0.8, 0.9
_PREFIX = 5
_NEAR = 4
_REASON = re.compile(
    r"\b(?:because|due to|owing to|since|so that|in order to|as a result|result(?:s|ed)? (?:of|from|in)|caused?|reason"
    r"|therefore|thanks to|led to|leads to|to avoid|to prevent|purpose|explain(?:s|ed)?)\b",
    re.IGNORECASE,
)
_TIME_WORDS = re.compile(
    r"\b(?:century|centuries|decade|\d{4}s|today|yesterday|morning|evening|night|spring|summer|autumn|winter|fall"
    r"|monday|tuesday|wednesday|thursday|friday|saturday|sunday|era|period|ago|early|late|during|until|before|after)\b",
    re.IGNORECASE,
)
_PLACE_WORDS = re.compile(r"\b(?:in|at|from|near|to|across|outside|inside|north|south|east|west)\s+(?:the\s+)?[A-Z]")

FEATURES = (
    "exact", "soft", "pairs", "cosine", "previous", "following", "heading", "passage", "elsewhere", "names", "score",
    "first", "typed", "typed_near", "novel", "short", "long", "question", "listed", "rarest", "matched",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Unit:
    """A sentence at ``passage.text[start:end]`` with its words and values, offsets relative to the sentence."""

    text: str
    start: int
    end: int
    words: tuple[Word, ...]

    @property
    def values(self) -> tuple[Value, ...]:
        """The numbers and dates in it."""
        return values_of(self.text)


@dataclass(frozen=True, slots=True)
class Candidate:
    """Sentence ``index`` of ``units`` of the passage of hit number ``rank`` (from 0)."""

    passage: Passage
    rank: int
    units: tuple[Unit, ...]
    index: int

    @property
    def unit(self) -> Unit:
        """The sentence itself."""
        return self.units[self.index]

    @property
    def before(self) -> Unit | None:
        """The sentence before it in the passage."""
        return self.units[self.index - 1] if self.index else None

    @property
    def after(self) -> Unit | None:
        """The sentence after it in the passage."""
        return self.units[self.index + 1] if self.index + 1 < len(self.units) else None

    @property
    def start(self) -> int:
        """Its offset in the document."""
        return self.passage.start + self.unit.start

    @property
    def end(self) -> int:
        """Its end in the document."""
        return self.passage.start + self.unit.end


@lru_cache(maxsize=2_048)
def units_of(text: str) -> tuple[Unit, ...]:
    """The sentences of a passage that hold a word."""
    found = []
    for start, end in sentences(text):
        words = tuple(words_of(text[start:end]))
        if words:
            found.append(Unit(text[start:end], start, end, words))
    return tuple(found)


def candidates_of(hits: Sequence[Hit]) -> list[Candidate]:
    """The sentences of the hits, each place of a document once, in the order of the hits."""
    seen: set[tuple[int, int]] = set()
    found: list[Candidate] = []
    for rank, hit in enumerate(hits):
        units = units_of(hit.passage.text)
        for index, unit in enumerate(units):
            end = (hit.passage.document_id, hit.passage.start + unit.end)
            start = (hit.passage.document_id, -hit.passage.start - unit.start - 1)
            if end in seen or start in seen:
                continue
            seen.update((end, start))
            found.append(Candidate(hit.passage, rank, units, index))
    return found


class Similar:
    """How well each of a question's terms is matched by each stem that occurs in the candidates, in [0, 1].

    1 for the same stem; less for a common beginning or for near-synonyms by the static vectors' cosine.
    """

    def __init__(self, vectors: StaticVectors, terms: Sequence[Term], vocabulary: dict[str, str]) -> None:
        self._row = {stem: row for row, stem in enumerate(vocabulary)}
        stems = list(vocabulary)
        table = np.zeros((len(terms), len(stems)))
        if stems and terms:
            cosines = vectors.embed([t.word.lower() for t in terms]) @ vectors.embed(list(vocabulary.values())).T
            table = np.clip((cosines - _SOFT_FROM) / (_SOFT_TO - _SOFT_FROM), 0, 1) * _SOFT_MOST
            for i, term in enumerate(terms):
                for j, other in enumerate(stems):
                    table[i, j] = _spelling(term.stem, other, float(table[i, j]))
        self.table: Array = np.asarray(table, dtype=np.float64)

    def best(self, words: Sequence[Word]) -> Array:
        """For each term its best match among the words."""
        rows = [self._row[w.stem] for w in words if w.stem in self._row]
        if not rows:
            return np.zeros(len(self.table))
        return np.asarray(self.table[:, rows].max(axis=1), dtype=np.float64)


def _spelling(a: str, b: str, similar: float) -> float:
    """Same stems match; numbers only then; a long common beginning nearly."""
    if a == b:
        return 1.0
    if a.isdigit() or b.isdigit() or any(c.isdigit() for c in a + b):
        return 0.0
    shorter = min(len(a), len(b))
    if shorter >= _PREFIX and a[: (n := max(_PREFIX, round(0.75 * shorter)))] == b[:n]:
        return max(similar, 0.8)
    return similar


@dataclass(frozen=True, slots=True)
class Ranked:
    """The candidates of a question with their features, row by row, and the terms' best matches."""

    question: Question
    candidates: tuple[Candidate, ...]
    features: Array
    matches: Array


def rank(vectors: StaticVectors, question: Question, hits: Sequence[Hit]) -> Ranked:
    """The features of every candidate sentence among the hits. Costs about 2 ms a passage."""
    candidates = candidates_of(hits)
    if not candidates or not question.terms:
        return Ranked(question, (), np.zeros((0, len(FEATURES))), np.zeros((0, len(question.terms))))
    similar = Similar(vectors, question.terms, _vocabulary(candidates))
    weights = np.array([max(term.weight, 1e-3) for term in question.terms])
    weights /= weights.sum()
    cosines = vectors.embed([c.unit.text for c in candidates]) @ vectors.embed([question.text])[0]
    best_of = {id(u): similar.best(u.words) for c in candidates for u in c.units}
    heads = {h.passage.id: similar.best(words_of(" ".join([h.passage.title, *h.passage.heading]))) for h in hits}
    passages = {
        h.passage.id: np.max([best_of[id(u)] for u in units_of(h.passage.text)], axis=0)
        for h in hits
        if units_of(h.passage.text)
    }
    rows, matches = [], []
    for candidate, cosine in zip(candidates, cosines, strict=True):
        own = best_of[id(candidate.unit)]
        around = _Around(
            own,
            best_of[id(before)] if (before := candidate.before) else own * 0,
            best_of[id(after)] if (after := candidate.after) else own * 0,
            heads[candidate.passage.id],
            passages[candidate.passage.id],
        )
        hit = hits[candidate.rank]
        rows.append([*_coverage(question, weights, around), *_rest(question, candidate, hit, float(cosine), own)])
        matches.append(own)
    ordered = _ordered(np.array(rows))
    return Ranked(question, tuple(candidates), ordered, np.array(matches))


def _vocabulary(candidates: Sequence[Candidate]) -> dict[str, str]:
    found: dict[str, str] = {}
    for passage in {id(c.passage): c for c in candidates}.values():
        for unit in passage.units:
            for word in unit.words:
                if word.content and word.stem not in found:
                    found[word.stem] = unit.text[word.start : word.end].lower()
        head = " ".join([passage.passage.title, *passage.passage.heading])
        for word in words_of(head):
            if word.content:
                found.setdefault(word.stem, head[word.start : word.end].lower())
    return found


@dataclass(frozen=True, slots=True)
class _Around:
    own: Array
    previous: Array
    following: Array
    heading: Array
    passage: Array


_COVERAGE = ("exact", "soft", "previous", "following", "heading", "passage", "rarest", "matched")
_REST = (
    "pairs", "cosine", "elsewhere", "names", "score", "first", "typed", "typed_near", "novel", "short", "long",
    "question", "listed",
)  # fmt: skip


def _ordered(rows: Array) -> Array:
    """Columns in the order of FEATURES."""
    names = [*_COVERAGE, *_REST]
    return rows[:, [names.index(name) for name in FEATURES]]


def _coverage(question: Question, weights: Array, around: _Around) -> list[float]:
    own = around.own
    gain = [np.maximum(other - own, 0) @ weights for other in (around.previous, around.following, around.heading)]
    seen = np.max([own, around.previous, around.following, around.heading], axis=0)
    rarest = int(np.argmax(weights))
    return [
        float((own >= 1) @ weights),
        float(own @ weights),
        *map(float, gain),
        float(np.maximum(around.passage - seen, 0) @ weights),
        float(own[rarest]),
        float(np.mean(own >= 0.8)),
    ]


def _rest(question: Question, candidate: Candidate, hit: Hit, cosine: float, own: Array) -> list[float]:
    unit = candidate.unit
    names = [row for row, term in enumerate(question.terms) if term.name]
    size = sum(word.content for word in unit.words)
    typed, near = answer_type(question, unit)
    novel = sum(word.content and word.stem not in question.stems for word in unit.words)
    return [
        _pairs(question, unit),
        cosine,
        float(candidate.rank),
        float(own[names].mean()) if names else 0.5,
        hit.score / 2,
        float(candidate.rank == 0),
        typed,
        near,
        min(novel, 8) / 8,
        max(0.0, 1 - size / 6),
        math.log(max(size, 12) / 12),
        float(unit.text.endswith("?") or unit.text.startswith("#")),
        float(unit.text[0] in "-*•|"),
    ]


def _pairs(question: Question, unit: Unit) -> float:
    """The share of the question's neighbouring content words that stand close together in the sentence too."""
    if not question.pairs:
        return 0.0
    places: dict[str, list[int]] = {}
    for place, word in enumerate(word for word in unit.words if word.content):
        places.setdefault(word.stem, []).append(place)
    near = sum(
        any(abs(i - j) <= _NEAR - 1 for i in places.get(a, ()) for j in places.get(b, ())) for a, b in question.pairs
    )
    return near / len(question.pairs)


def answer_type(question: Question, unit: Unit) -> tuple[float, float]:
    """Whether the sentence holds something of the wanted kind that the question does not, and how near to a match.

    Both in [0, 1]; 0.5 where the kind has no outward sign.
    """
    places = _typed_places(question, unit)
    if question.wanted in ("thing", "manner", "whether"):
        return 0.5, 0.5
    if not places:
        return 0.0, 0.0
    matched = [w.start for w in unit.words if w.content and w.stem in question.stems]
    if not matched:
        return 1.0, 0.0
    gap = min(abs(p - m) for p in places for m in matched)
    return 1.0, 1 / (1 + gap / 40)


_NUMERIC: dict[Wanted, tuple[str, ...]] = {
    "count": ("number", "year"),
    "amount": ("money", "number", "percent"),
    "percent": ("percent", "number"),
    "measure": ("number", "percent", "money", "ordinal"),
    "time": ("year", "date"),
}


def _typed_places(question: Question, unit: Unit) -> list[int]:
    wanted = question.wanted
    if wanted in _NUMERIC:
        asked = {(v.kind, v.number, v.year, v.month, v.day) for v in question.values}
        places = [
            v.start
            for v in unit.values
            if v.kind in _NUMERIC[wanted] and (v.kind, v.number, v.year, v.month, v.day) not in asked
        ]
        if wanted == "time" and not places:
            places = [m.start() for m in _TIME_WORDS.finditer(unit.text)]
        return places
    if wanted in ("person", "place"):
        capital = [w.start for w in unit.words if unit.text[w.start].isupper() and w.content]
        named = [w for w in unit.words if w.content and w.stem not in question.stems and w.start in capital]
        return [w.start for w in named if w.name or unit.text[w.start : w.start + 1].isupper()]
    if wanted == "reason":
        return [m.start() for m in _REASON.finditer(unit.text)]
    return []


def leans_on_previous(unit: Unit) -> bool:
    """Whether the sentence's first words point back: a pronoun or "such a" where its subject should stand."""
    first = [unit.text[w.start : w.end].lower() for w in unit.words[:2]]
    return bool(first) and first[0] in PRONOUNS
