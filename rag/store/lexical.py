"""Full-text search with FTS5: BM25 over title, heading path and body."""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Sequence

from rag.store import schema
from rag.store.catalog import revision
from rag.store.passages import numbers
from rag.store.terms import Term, query_terms
from rag.store.truth import Truth

MAX_TERMS = 32
COMMON = 0.1
"""A term in more than this share of the passages is left out when rarer ones remain ..."""
COMMON_ROWS = 1_000
"""... and is in more than this many: below, it costs nothing."""
SEARCH_ROWS = 20_000
"""The rarest terms that together occur in at most this many passages choose the candidates."""

_CACHED_TERMS = 20_000


class Lexical:
    """BM25 search over the truth's full-text tables. Thread-safe."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._lock = threading.Lock()
        self._frequencies: OrderedDict[tuple[int, int, Term], int] = OrderedDict()
        self._counts: dict[int, tuple[int, int]] = {}

    def search(self, collection_id: int, question: str, limit: int) -> list[tuple[int, float]]:
        """The best passages for a question: (passage id, BM25 >= 0), best first. Never fails on a question."""
        with self._truth.reading() as connection:
            terms = self._choose(connection, collection_id, question, SEARCH_ROWS)
            if not terms or limit < 1:
                return []
            rows = connection.execute(
                f"SELECT rowid, -{_bm25(collection_id)} AS score FROM {schema.fts(collection_id)}"
                f" WHERE {schema.fts(collection_id)} MATCH ? ORDER BY score DESC, rowid LIMIT ?",
                (_match(terms), limit),
            ).fetchall()
        return [(number, max(score, 0.0)) for number, score in rows]

    def scores(self, collection_id: int, question: str, ids: Sequence[int]) -> dict[int, float]:
        """The BM25 score of each of these passages, on the scale of ``search``; 0.0 where nothing matches."""
        found = dict.fromkeys((int(number) for number in ids), 0.0)
        with self._truth.reading() as connection:
            terms = self._choose(connection, collection_id, question, SEARCH_ROWS)
            if terms and found:
                # The unary plus keeps FTS5 from starting anew for each id: it runs through the matches once.
                rows = connection.execute(
                    f"SELECT rowid, -{_bm25(collection_id)} FROM {schema.fts(collection_id)}"
                    f" WHERE {schema.fts(collection_id)} MATCH ? AND +rowid IN (SELECT value FROM json_each(?))",
                    (_match(terms), numbers(found)),
                )
                found.update((number, max(score, 0.0)) for number, score in rows)
        return found

    def document_frequency(self, collection_id: int, term: str) -> int:
        """In how many passages a word occurs (all its words, when it is more than one), folded and stemmed."""
        terms = query_terms(term, MAX_TERMS)
        with self._truth.reading() as connection:
            at = revision(connection, collection_id)
            if not terms or at < 0:
                return 0
            return min(self._frequency(connection, collection_id, at, one) for one in terms)

    def passage_count(self, collection_id: int) -> int:
        """How many passages the collection has."""
        with self._truth.reading() as connection:
            return self._count(connection, collection_id, revision(connection, collection_id))

    def _choose(self, connection: sqlite3.Connection, collection_id: int, question: str, rows: int) -> list[Term]:
        """The terms to search with: none too common, rarest first, as many as ``rows`` allows, at least one."""
        at = revision(connection, collection_id)
        terms = query_terms(question, MAX_TERMS) if at >= 0 else []
        counted = [(self._frequency(connection, collection_id, at, term), term) for term in terms]
        present = sorted((pair for pair in counted if pair[0] > 0), key=lambda pair: pair[0])
        most = max(COMMON * self._count(connection, collection_id, at), COMMON_ROWS)
        chosen: list[Term] = []
        for frequency, term in present:
            if chosen and (frequency > most or frequency > rows):
                break
            chosen.append(term)
            rows -= frequency
        return chosen

    def _count(self, connection: sqlite3.Connection, collection_id: int, at: int) -> int:
        cached = self._counts.get(collection_id)
        if cached is None or cached[0] != at:
            row = connection.execute(
                "SELECT coalesce(sum(passages), 0) FROM document WHERE collection_id = ?", (collection_id,)
            ).fetchone()
            self._counts[collection_id] = cached = (at, int(row[0]))
        return cached[1]

    def _frequency(self, connection: sqlite3.Connection, collection_id: int, at: int, term: Term) -> int:
        key = (collection_id, at, term)
        with self._lock:
            if key in self._frequencies:
                self._frequencies.move_to_end(key)
                return self._frequencies[key]
        table = schema.fts(collection_id)
        row = connection.execute(f"SELECT count(*) FROM {table} WHERE {table} MATCH ?", (term.match,)).fetchone()
        with self._lock:
            self._frequencies[key] = int(row[0])
            while len(self._frequencies) > _CACHED_TERMS:
                self._frequencies.popitem(last=False)
        return int(row[0])


def _bm25(collection_id: int) -> str:
    return f"bm25({schema.fts(collection_id)}, 1.0, 1.0)"


def _match(terms: Sequence[Term]) -> str:
    return " OR ".join(term.match for term in terms)
