"""Full-text search with FTS5: BM25 over title, heading path and body."""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence

import numpy as np

from rag.errors import LibraryDamaged
from rag.store.sqlite import passages as slices
from rag.store.sqlite import schema
from rag.store.sqlite.collections import revision, touch
from rag.store.sqlite.database import Database
from rag.store.sqlite.passages import numbers
from rag.store.terms import Term, query_terms, searchable
from rag.store.truth import Home, Ids
from rag.types import index_text

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

HEAD_WEIGHT = 2.0
"""A match in title or headings counts for so many in the text."""

_CACHED_TERMS = 20_000


class SqliteLexical:
    """``rag.store.truth.Lexical`` in SQLite."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._frequencies: OrderedDict[tuple[int, int, Term], int] = OrderedDict()

    def search(self, collection_id: int, question: str, limit: int) -> list[tuple[int, float]]:
        found = self.rank(collection_id, question, limit)
        return sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))

    def scores(self, collection_id: int, question: str, ids: Sequence[int]) -> dict[int, float]:
        return self.rank(collection_id, question, 0, ids)

    def rank(
        self, collection_id: int, question: str, limit: int, also: Sequence[int] = (),
        within: Ids | None = None,
    ) -> dict[int, float]:  # fmt: skip
        wanted = dict.fromkeys((int(number) for number in also), 0.0)
        with self._database.reading() as connection:
            terms = self._present(connection, collection_id, question)
            if not terms:
                return wanted
            many = affordable(terms, SCORE_ROWS)
            few = affordable(terms, SEARCH_ROWS) if within is None else many
            table = schema.fts(collection_id)
            if few == many:
                best = _candidates(connection, table, few, limit, within)
                scored = _score(connection, table, many, wanted)
            else:
                candidates = _candidates(connection, table, few, 2 * limit)
                scored = _score(connection, table, many, candidates | wanted)
                ranked = sorted(candidates, key=lambda number: (-scored[number], number))
                best = {number: scored[number] for number in ranked[:limit]}
        wanted.update((number, scored[number]) for number in wanted if number in scored)
        return wanted | best

    def counts(self, collection_id: int, question: str, homes: Sequence[Home]) -> Ids:
        firsts = np.array([home.first for home in homes], dtype=np.int64)
        ends = firsts + np.array([home.size for home in homes], dtype=np.int64)
        counted = []
        with self._database.reading() as connection:
            table = schema.fts(collection_id)
            for term in affordable(self._present(connection, collection_id, question), COUNT_ROWS):
                found = np.sort(np.fromstring(_numbers_of(connection, table, term), dtype=np.int64, sep=","))
                counted.append(np.searchsorted(found, ends) - np.searchsorted(found, firsts))
        return np.array(counted, dtype=np.int64).reshape(len(counted), len(homes))

    def mend(self, collection_id: int) -> bool:
        """Write a collection's full-text table again from the canonical texts if it is damaged; whether it was."""
        table = schema.fts(collection_id)
        try:
            with self._database.writing() as connection:
                connection.execute(f"INSERT INTO {table}({table}) VALUES ('integrity-check')")
        except LibraryDamaged:
            with self._database.writing() as connection:
                write_anew(connection, collection_id)
                touch(connection, collection_id)
            return True
        return False

    def document_frequency(self, collection_id: int, term: str) -> int:
        terms = query_terms(term, MAX_TERMS)
        with self._database.reading() as connection:
            at = revision(connection, collection_id)
            if not terms or at < 0:
                return 0
            return min(self._frequency(connection, collection_id, at, one) for one in terms)

    def _present(self, connection: sqlite3.Connection, collection_id: int, question: str) -> list[tuple[int, Term]]:
        """The question's terms that occur at all, each after its number of passages, rarest first."""
        at = revision(connection, collection_id)
        terms = query_terms(question, MAX_TERMS) if at >= 0 else []
        counted = [(self._frequency(connection, collection_id, at, term), term) for term in terms]
        return sorted((pair for pair in counted if pair[0]), key=lambda pair: pair[0])

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


def affordable(terms: Sequence[tuple[int, Term]], rows: int) -> list[Term]:
    """As many terms, rarest first, as together occur in at most ``rows`` passages; at least one."""
    chosen: list[Term] = []
    for frequency, term in terms:
        rows -= frequency
        if chosen and rows < 0:
            break
        chosen.append(term)
    return chosen


def _candidates(
    connection: sqlite3.Connection, table: str, terms: Sequence[Term], limit: int,
    within: Ids | None = None,
) -> dict[int, float]:  # fmt: skip
    """The best passages by these terms, with their scores."""
    if limit < 1:
        return {}
    rows = connection.execute(
        f"SELECT rowid, max(0.0, -{_bm25(table)}) AS score FROM {table} WHERE {table} MATCH ?"
        f"{'' if within is None else ' AND +rowid IN (SELECT value FROM json_each(?))'}"
        " ORDER BY score DESC, rowid LIMIT ?",
        (_match(terms), *([] if within is None else [numbers(within.tolist())]), limit),
    )
    return dict(rows.fetchall())


def _score(connection: sqlite3.Connection, table: str, terms: Sequence[Term], ids: Iterable[int]) -> dict[int, float]:
    """The scores of those of ``ids`` that hold one of the terms.

    The unary plus keeps FTS5 from starting anew for each id (which counts every term again, 5-13 ms for 50 ids at
    100,000 passages): it runs through the matches once (1-4 ms).
    """
    wanted = numbers(ids)
    if wanted == "[]":
        return {}
    rows = connection.execute(
        f"SELECT rowid, max(0.0, -{_bm25(table)}) FROM {table} WHERE {table} MATCH ?"
        " AND +rowid IN (SELECT value FROM json_each(?))",
        (_match(terms), wanted),
    )
    return dict(rows.fetchall())


def _numbers_of(connection: sqlite3.Connection, table: str, term: Term) -> str:
    """The numbers of the passages with a term, with commas: as one text they come four times as fast as row by row."""
    row = connection.execute(f"SELECT group_concat(rowid) FROM {table} WHERE {table} MATCH ?", (term.match,)).fetchone()
    return str(row[0])


def _bm25(table: str) -> str:
    return f"bm25({table}, {HEAD_WEIGHT}, 1.0)"


def _match(terms: Sequence[Term]) -> str:
    return " OR ".join(term.match for term in terms)


def forget(connection: sqlite3.Connection, collection_id: int, document_id: int) -> bool:
    """Take a document out of the full-text table; False where its words are damaged, so that nobody knows them."""
    try:
        rows = _rows(connection, document_id)
    except LibraryDamaged:
        return False
    table = schema.fts(collection_id)
    connection.executemany(f"INSERT INTO {table}({table}, rowid, head, body) VALUES ('delete', ?, ?, ?)", rows)
    return True


def columns(title: str, heading: tuple[str, ...], text: str) -> tuple[str, str]:
    """The two columns of the full-text table. A change here needs a migration that writes the tables again,
    because deleting from a contentless table takes the very words that were inserted."""
    return searchable(index_text(title, heading, "")), searchable(text)


def _rows(connection: sqlite3.Connection, document_id: int, *, as_found: bool = False) -> list[tuple[int, str, str]]:
    passages = slices.of_document(connection, document_id, as_found=as_found)
    return [(p.id, *columns(p.title, p.heading, p.text)) for p in passages]


def write(connection: sqlite3.Connection, collection_id: int, rows: Iterable[tuple[int, str, str]]) -> None:
    connection.executemany(f"INSERT INTO {schema.fts(collection_id)}(rowid, head, body) VALUES (?, ?, ?)", rows)


def write_anew(connection: sqlite3.Connection, collection_id: int) -> None:
    connection.execute(f"DROP TABLE IF EXISTS {schema.fts(collection_id)}")
    schema.create_fts(connection, collection_id)
    documents = connection.execute("SELECT id FROM document WHERE collection_id = ?", (collection_id,))
    for (document_id,) in documents.fetchall():
        write(connection, collection_id, _rows(connection, document_id, as_found=True))
