"""How much of a sentence a passage says: words, their order and meaning, in the best one or two of its sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from rag.answer.passages import Unit, units_of
from rag.answer.synonymy import Array, Vocabulary
from rag.answer.weights import VERIFY, VERIFY_BIAS, VERIFY_SOFTNESS
from rag.language import Parsed, Value, Word, parse, same_value
from rag.language.words import is_title
from rag.models.static import DIMENSION, StaticVectors

# What follows makes the features; their weights were fitted over it, so that another value wants another fit.
_WIDEST = 2
# Lengths in the embedder's tokens, each half as long again; those are looked at that are about as long as the claim.
_PIECES = (5, 8, 12, 18, 27, 40)
_SHORTER, _LONGER = 0.6, 2.4
# From this share of its runs of three words on a sentence counts as wholly copied, in the source's order or in pieces.
_PATCHED = 0.6


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence to check, without its markers, parsed; ``words`` are its own with the names told that open it."""

    parsed: Parsed
    words: tuple[Word, ...]

    @property
    def text(self) -> str:
        """The sentence itself."""
        return self.parsed.text

    @property
    def language(self) -> str:
        """The language it is read in."""
        return self.parsed.read_as

    @property
    def content(self) -> tuple[Word, ...]:
        """Its content words."""
        return tuple(word for word in self.words if word.content)

    @property
    def stems(self) -> tuple[str, ...]:
        """The stems of all its words, in order."""
        return tuple(word.stem for word in self.words)

    @property
    def values(self) -> tuple[Value, ...]:
        """Its numbers and dates."""
        return self.parsed.values


@dataclass(frozen=True, slots=True)
class Source:
    """A passage's text taken apart: ``rows[u]`` lists the vocabulary rows of sentence ``u``'s content words.

    ``tokens`` are the embedder's, sentence ``u``'s from ``bounds[u]`` to ``bounds[u + 1]``; ``lengths[n][i]`` is the
    length of the sum of the ``n`` token vectors from the ``i``-th.
    """

    text: str
    units: tuple[Unit, ...]
    pairs: tuple[frozenset[tuple[str, str]], ...]
    triples: tuple[frozenset[tuple[str, str, str]], ...]
    rows: tuple[tuple[int, ...], ...]
    vocabulary: Vocabulary
    word_vectors: npt.NDArray[np.float32]
    vectors: npt.NDArray[np.float32]
    tokens: npt.NDArray[np.int64]
    bounds: tuple[int, ...]
    lengths: dict[int, npt.NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Window:
    """Sentences ``first..last`` of a source say what ``parts`` measure; ``logit`` sums them up.

    ``parts``: ``recall`` of content words (with synonyms), ``pairs`` and ``triples`` of neighbouring words, ``cosine``
    (the mean of the sentence's and of its best piece's), ``patched`` (it is copied in pieces: neither in the source's
    order nor in words of its own); each in [0, 1]; and ``words``, the logarithm of how many content words there are.
    ``matched[k]`` tells how well content word k of the claim is found.
    """

    source: Source
    first: int
    last: int
    logit: float
    parts: dict[str, float]
    matched: tuple[float, ...]

    @property
    def start(self) -> int:
        """Where the window begins in the source's text."""
        return self.source.units[self.first].start

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.source.units[self.last].end

    @property
    def units(self) -> tuple[Unit, ...]:
        """Its sentences."""
        return self.source.units[self.first : self.last + 1]

    @property
    def text(self) -> str:
        """The window's text."""
        return self.source.text[self.start : self.end]


class Reader:
    """Takes passages apart and compares sentences with them. Keeps the last 512 passages; thread-safe."""

    def __init__(self, vectors: StaticVectors) -> None:
        self._vectors = vectors
        self.source = lru_cache(maxsize=512)(self._source)
        self._claim_vectors = lru_cache(maxsize=64)(self._vectors_of)

    def claim(self, text: str, otherwise: str = "") -> Claim:
        """Take a sentence apart, in the language ``otherwise`` where it tells none itself.

        Where a capital is no sign of a name, at its beginning, the embedder's vocabulary tells one: it knows "London"
        as one word, and "london" only in pieces.
        """
        parsed = parse(text, otherwise=otherwise)
        words = list(parsed.words)
        for place, word in enumerate(words):
            shown = text[word.start : word.end]
            if word.content and not word.name and shown[0].isupper() and not is_title(shown):
                whole, small = map(len, self._vectors.token_ids([shown, shown.lower()]))
                words[place] = replace(word, name=whole == 1 < small)
        return Claim(parsed, tuple(words))

    def _vectors_of(self, claim: Claim) -> npt.NDArray[np.float32]:
        """The vector of the whole claim, then one for each of its content words."""
        words = [claim.text[w.start : w.end].lower() for w in claim.content]
        return np.concatenate([self._vectors.embed([claim.text]), self._vectors.embed_words(words)])

    def _size_of(self, claim: Claim) -> int:
        return len(self._vectors.token_ids([claim.text])[0])

    def _source(self, text: str) -> Source:
        units = units_of(text)
        orders = [_orders(unit.words, unit.values) for unit in units]
        vocabulary: dict[str, int] = {}
        shown: list[str] = []
        rows: list[tuple[int, ...]] = []
        for unit in units:
            row = []
            for word in unit.words:
                if not word.content:
                    continue
                if word.stem not in vocabulary:
                    vocabulary[word.stem] = len(shown)
                    shown.append(unit.text[word.start : word.end].lower())
                row.append(vocabulary[word.stem])
            rows.append(tuple(row))
        tokens = self._vectors.token_ids([unit.text for unit in units])
        bounds = np.cumsum([0, *map(len, tokens)])
        ids = np.concatenate(tokens) if tokens else np.zeros(0, dtype=np.int64)
        sums = np.concatenate([np.zeros((1, DIMENSION)), np.cumsum(self._vectors.table[ids], axis=0, dtype=np.float64)])
        return Source(
            text=text,
            units=units,
            pairs=tuple(frozenset(pair for order in both for pair in pairwise(order)) for both in orders),
            triples=tuple(frozenset(three for order in both for three in _threes(order)) for both in orders),
            rows=tuple(rows),
            vocabulary=Vocabulary(vocabulary),
            word_vectors=self._vectors.embed_words(shown),
            vectors=_unit_rows(sums[bounds[1:]] - sums[bounds[:-1]]),
            tokens=ids,
            bounds=tuple(int(bound) for bound in bounds),
            lengths={n: _norms(sums[n:] - sums[:-n]) for n in _PIECES if n <= len(ids)},
        )

    def windows(self, claim: Claim, source: Source, widest: int = _WIDEST) -> list[Window]:
        """Every run of at most ``widest`` neighbouring sentences, measured against ``claim``; best first."""
        matched = self._matches(claim, source)
        orders = _orders(claim.words, claim.values)
        pairs = [_present(list(pairwise(order)), source.pairs) for order in orders]
        triples = [_present(_threes(order), source.triples) for order in orders]
        whole = source.vectors @ self._claim_vectors(claim)[0]
        cosines = (whole + np.maximum(whole, self._pieces(claim, source))) / 2
        found = []
        for first in range(len(source.units)):
            for last in range(first, min(first + widest, len(source.units))):
                rows = slice(first, last + 1)
                copied = [table[rows] for table in pairs], [table[rows] for table in triples]
                found.append(_window(source, first, last, matched[rows], *copied, cosines[rows]))
        return sorted(found, key=lambda window: -window.logit)

    def _pieces(self, claim: Claim, source: Source) -> Array:
        """For each sentence of the source, the cosine of the piece of it that is likest to the claim; pieces are about
        as long as the claim, since a clause of a long sentence may say all of it."""
        best = np.full(len(source.units), -1.0)
        size = self._size_of(claim)
        sums = np.cumsum(self._vectors.table[source.tokens] @ self._claim_vectors(claim)[0], dtype=np.float64)
        sums = np.concatenate([[0.0], sums])
        for length, norms in source.lengths.items():
            if not _SHORTER * size <= length <= _LONGER * size:
                continue
            cosines = (sums[length:] - sums[:-length]) / norms
            for u, (start, end) in enumerate(pairwise(source.bounds)):
                if end - start > length:
                    best[u] = max(best[u], cosines[start : end - length + 1].max())
        return best

    def _matches(self, claim: Claim, source: Source) -> Array:
        """For each sentence of the source and each content word of the claim, how well it is found, in [0, 1]."""
        content = claim.content
        table = np.zeros((len(source.units), len(content)))
        if not content or not source.vocabulary.stems:
            return table
        own = self._claim_vectors(claim)[1:]
        stems = [word.stem for word in content]
        similar = source.vocabulary.matches(stems, own @ source.word_vectors.T, VERIFY_SOFTNESS)
        for u, rows in enumerate(source.rows):
            if rows:
                table[u] = similar[:, rows].max(axis=1)
        for value in claim.values:
            # "250" and "two hundred and fifty" have no word in common.
            inside = [k for k, word in enumerate(content) if value.start <= word.start < value.end]
            for u, unit in enumerate(source.units):
                if any(same_value(value, other) for other in unit.values):
                    table[u, inside] = 1.0
        return table


def _orders(words: Sequence[Word], values: Sequence[Value]) -> tuple[tuple[str, ...], ...]:
    """What stands behind what: the words' stems; and, where there are values, these in place of their words, since
    "250" and "two hundred and fifty" have none in common."""
    stems = tuple(word.stem for word in words)
    if not values:
        return (stems,)
    within = [next((v for v in values if v.start <= word.start < v.end), None) for word in words]
    named = groupby(zip(within, stems, strict=True), lambda pair: _name_of(pair[0]) if pair[0] else pair[1])
    return (stems, tuple(name for name, _ in named))


def _name_of(value: Value) -> str:
    if value.kind in ("date", "year"):
        return f"={value.year}-{value.month}-{value.day}"
    return f"={value.amount.normalize()}{'%' if value.kind == 'percent' else ''}"


def _threes(order: Sequence[str]) -> list[tuple[str, str, str]]:
    return list(zip(order, order[1:], order[2:], strict=False))


def _norms(rows: Array) -> npt.NDArray[np.float32]:
    """The length of each row, never 0."""
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    return np.asarray(np.maximum(lengths, 1e-6), dtype=np.float32)


def _unit_rows(rows: Array) -> npt.NDArray[np.float32]:
    return np.asarray(rows / _norms(rows)[:, None], dtype=np.float32)


def _present(wanted: Sequence[object], present: Sequence[frozenset[Any]]) -> Array:
    table = [[float(item in there) for item in wanted] for there in present]
    return np.array(table).reshape(len(present), len(wanted))


def _share(table: Array, otherwise: float) -> float:
    """The share of what is wanted (columns) that is in any of the sentences (rows)."""
    return float(table.max(axis=0).mean()) if table.shape[1] else otherwise


def _window(
    source: Source,
    first: int,
    last: int,
    matched: Array,
    pairs: Sequence[Array],
    triples: Sequence[Array],
    cosines: Array,
) -> Window:
    found = matched.max(axis=0)
    parts = {
        "recall": float(found.mean()) if found.size else 1.0,
        "cosine": float(max(cosines)),
    }
    parts["pairs"] = max(_share(table, parts["recall"]) for table in pairs)
    parts["triples"] = copied = max(_share(table, parts["pairs"]) for table in triples)
    parts["patched"] = min(1.0, copied / _PATCHED) * (1 - copied)
    parts["words"] = math.log(max(1, found.size))
    weighed = {**parts, "wider": last - first}
    logit = VERIFY_BIAS + sum(weight * weighed[name] for name, weight in VERIFY.items())
    return Window(source, first, last, logit, parts, tuple(float(x) for x in found))
