"""Full-text search by BM25 over title, heading path and body: what every engine does alike."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from rag.store.tables.collections import revision
from rag.store.tables.connection import Connection, Database
from rag.store.terms import Term, query_terms
from rag.store.truth import Home, Ids

MAX_TERMS = 32
SEARCH_ROWS = 10_000
"""The rarest terms that together occur in at most so many passages choose the candidates: BM25 costs about 0.5 µs
for each row a term is in, and at 100,000 passages two of the commonest words alone would take 165 ms."""

SCORE_ROWS = 60_000
"""The candidates are scored by the rarest terms that occur in at most so many: leaving common words out here costs
hits (measured on XQuAD among 4,259 passages: 0.912 right at rank 1 without the words of every tenth passage, 0.919
with them), and passing over a row that is no candidate costs a tenth of scoring it."""

COUNT_ROWS = 20_000
"""The documents are told apart by the rarest terms that occur in at most so many passages: fetching a row's number
costs about 0.1 µs."""

_CACHED_TERMS = 20_000
_CACHED_NUMBERS = 1_000_000
"""So many numbers of passages are kept, 8 bytes each, of the terms that were asked for last: people ask one library in
much the same words."""

_Key = tuple[int, int, Term]
"""A collection, its revision, a term."""


class LexicalTables:
    """``rag.store.truth.Lexical`` in tables."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._words = database.words
        self._lock = threading.Lock()
        self._frequencies: OrderedDict[_Key, int] = OrderedDict()
        self._holders: OrderedDict[_Key, Ids] = OrderedDict()
        self._held = 0

    def search(self, collection_id: int, question: str, limit: int) -> list[tuple[int, float]]:
        found = self.rank(collection_id, question, limit)
        return sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))

    def scores(self, collection_id: int, question: str, ids: Sequence[int]) -> dict[int, float]:
        return self.rank(collection_id, question, 0, lambda: ids)

    def rank(
        self, collection_id: int, question: str, limit: int, also: Callable[[], Iterable[int]] = tuple,
        within: Ids | None = None,
    ) -> dict[int, float]:  # fmt: skip
        words = self._words
        with self._database.reading() as connection:
            terms = self._present(connection, collection_id, question)
            many = affordable(terms, SCORE_ROWS)
            few = affordable(terms, self._search_rows(connection, collection_id, within)) if terms else {}
            enough = limit if few == many else 2 * limit
            best = words.best(connection, collection_id, few, enough, within) if few and limit > 0 else {}
        wanted = dict.fromkeys(map(int, also()), 0.0)  # outside: it may wait for who waits for this to end
        unscored = wanted if few == many else best | wanted
        if many and unscored:
            with self._database.reading() as connection:
                scored = words.scores(connection, collection_id, many, unscored)
            if few != many:
                ranked = sorted(best.keys() & scored.keys(), key=lambda number: (-scored[number], number))
                best = {number: scored[number] for number in ranked[:limit]}
            wanted.update((number, scored[number]) for number in wanted if number in scored)
        return wanted | best

    def counts(self, collection_id: int, question: str, homes: Sequence[Home]) -> Ids:
        firsts = np.array([home.first for home in homes], dtype=np.int64)
        ends = firsts + np.array([home.size for home in homes], dtype=np.int64)
        counted = []
        with self._database.reading() as connection:
            at = revision(connection, collection_id)
            for term in affordable(self._present(connection, collection_id, question), COUNT_ROWS):
                found = self._known_holders(connection, collection_id, at, term)
                counted.append(np.searchsorted(found, ends) - np.searchsorted(found, firsts))
        return np.array(counted, dtype=np.int64).reshape(len(counted), len(homes))

    def holding(
        self, collection_id: int, wanted: Sequence[str], limit: int, within: Ids | None = None
    ) -> tuple[list[int], int]:
        with self._database.reading() as connection:
            asked = query_terms(" ".join(wanted), MAX_TERMS)
            terms = [term for _, term in self._present(connection, collection_id, " ".join(wanted))]
            if not terms or len(terms) < len(asked):
                return [], 0
            found = self._words.holders(connection, collection_id, terms[0])
            for term in terms[1:]:
                found = np.intersect1d(found, self._words.holders(connection, collection_id, term))
        if within is not None:
            found = np.intersect1d(found, within)
        return [int(number) for number in found[:limit]], len(found)

    def document_frequency(self, collection_id: int, term: str) -> int:
        terms = query_terms(term, MAX_TERMS)
        with self._database.reading() as connection:
            at = revision(connection, collection_id)
            if not terms or at < 0:
                return 0
            return min(self._frequency(connection, collection_id, at, one) for one in terms)

    def _search_rows(self, connection: Connection, collection_id: int, within: Ids | None) -> int:
        """In how many passages the terms that choose the candidates may occur: where only a part of them counts, in so
        many more."""
        if within is None:
            return SEARCH_ROWS
        (total,) = connection.execute(
            "SELECT coalesce(sum(passages), 0) FROM document WHERE collection_id = ?", (collection_id,)
        ).fetchone()
        return min(SCORE_ROWS, SEARCH_ROWS * int(total) // max(1, len(within)))

    def _present(self, connection: Connection, collection_id: int, question: str) -> list[tuple[int, Term]]:
        """The question's terms that occur at all, each after its number of passages, rarest first."""
        at = revision(connection, collection_id)
        terms = query_terms(question, MAX_TERMS) if at >= 0 else []
        counted = [(self._frequency(connection, collection_id, at, term), term) for term in terms]
        return sorted((pair for pair in counted if pair[0]), key=lambda pair: pair[0])

    def _frequency(self, connection: Connection, collection_id: int, at: int, term: Term) -> int:
        key = (collection_id, at, term)
        with self._lock:
            if key in self._frequencies:
                self._frequencies.move_to_end(key)
                return self._frequencies[key]
        count = self._words.count(connection, collection_id, term)
        with self._lock:
            self._frequencies[key] = count
            while len(self._frequencies) > _CACHED_TERMS:
                self._frequencies.popitem(last=False)
        return count

    def _known_holders(self, connection: Connection, collection_id: int, at: int, term: Term) -> Ids:
        """``Words.holders``, remembered."""
        key = (collection_id, at, term)
        with self._lock:
            known = self._holders.get(key)
            if known is not None:
                self._holders.move_to_end(key)
                return known
        found = self._words.holders(connection, collection_id, term)
        with self._lock:
            if key not in self._holders:
                self._holders[key] = found
                self._held += len(found)
            while self._held > _CACHED_NUMBERS:
                self._held -= len(self._holders.popitem(last=False)[1])
        return found


def affordable(terms: Sequence[tuple[int, Term]], rows: int) -> dict[Term, int]:
    """As many terms, rarest first, as together occur in at most ``rows`` passages, at least one; each with its
    number of passages."""
    chosen: dict[Term, int] = {}
    for frequency, term in terms:
        rows -= frequency
        if chosen and rows < 0:
            break
        chosen[term] = frequency
    return chosen
