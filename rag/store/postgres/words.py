"""The full-text index in one table of postings: BM25 in plain SQL, with the terms and weights of FTS5.

SQLite itself cuts the texts into terms, in memory, so that both engines index and look for the very same ones. The
score is that of FTS5's ``bm25``: k1 1.2, b 0.75, a match in the head counted ``HEAD_WEIGHT`` times, the inverse
document frequency of Robertson and Sparck Jones, never below 0.000001.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
import psycopg

from rag.errors import LibraryDamaged
from rag.store.postgres.connection import PostgresConnection
from rag.store.postgres.schema import POSTING_KEY
from rag.store.tables import passages as slices
from rag.store.tables.connection import Connection
from rag.store.terms import HEAD_WEIGHT, TOKENIZER, Term, columns
from rag.store.truth import Ids

_LONGEST = 500
"""Bytes of a term that a row of the index can hold; a longer one is known by its hash."""

_BATCH = 2_000

_ASKED = """whole AS MATERIALIZED (
    SELECT passages::float8 AS passages, terms::float8 / greatest(passages, 1) AS length
    FROM indexed WHERE collection_id = %(collection)s
), asked AS MATERIALIZED (
    SELECT n, term, need, greatest(ln((passages - holders + 0.5) / (holders + 0.5)), 1e-6)::float8 AS idf
    FROM unnest(%(n)s::int[], %(terms)s::text[], %(need)s::int[], %(holders)s::float8[])
        AS given(n, term, need, holders) CROSS JOIN whole
)"""
"""Constants are cast to float8 here and below: PostgreSQL takes them for numeric, of which each step costs ten times as
much."""

_OFTEN = f"({HEAD_WEIGHT}::float8 * p.head + p.body)"

_HITS = f"""{_ASKED}, hit AS NOT MATERIALIZED (
    SELECT a.n, a.idf, p.passage_id, max(p.length) AS length,
        CASE WHEN max(a.need) > 0 THEN min({_OFTEN}) ELSE sum({_OFTEN}) END AS often
    FROM asked a JOIN posting p ON p.collection_id = %(collection)s AND p.term = a.term
    GROUP BY a.n, a.idf, p.passage_id HAVING max(a.need) = 0 OR count(*) = max(a.need)
)"""

_SINGLE_HITS = f"""{_ASKED}, hit AS NOT MATERIALIZED (
    SELECT a.n, a.idf, p.passage_id, p.length, {_OFTEN} AS often
    FROM asked a JOIN posting p ON p.collection_id = %(collection)s AND p.term = a.term
)"""
"""The same where each asked for is one term: nothing to group, and a search among some passages reads only theirs."""

_SCORED = """SELECT passage_id, sum(idf * often * 2.2::float8
    / (often + 1.2::float8 * (0.25::float8 + 0.75::float8 * hit.length / whole.length))) AS score
    FROM hit CROSS JOIN whole"""


class _Posting(NamedTuple):
    """A term in one passage: how often in its head and in its body, of how many terms in all."""

    term: str
    passage: int
    head: int
    body: int
    length: int


class _Cut(NamedTuple):
    """The terms of so many passages."""

    passages: int
    postings: Sequence[_Posting]


class Postings:
    """``rag.store.tables.connection.Words`` in PostgreSQL."""

    def create(self, connection: Connection, collection_id: int) -> None:
        connection.execute("INSERT INTO indexed VALUES (?, 0, 0)", (collection_id,))

    def drop(self, connection: Connection, collection_id: int) -> None:
        for table in ("posting", "indexed"):
            connection.execute(f"DELETE FROM {table} WHERE collection_id = ?", (collection_id,))

    def cut(self, rows: Sequence[tuple[int, str, str]]) -> _Cut:
        return _Cut(len(rows), [one for at in range(0, len(rows), _BATCH) for one in _postings(rows[at : at + _BATCH])])

    def write(self, connection: Connection, collection_id: int, cut: _Cut, first: int = 0) -> None:
        with _raw(connection).cursor() as cursor, cursor.copy(
            "COPY posting (collection_id, term, passage_id, head, body, length) FROM STDIN"
        ) as copy:  # fmt: skip
            # A term is of letters, digits and marks alone: nothing in it has a meaning to COPY.
            lines = (
                f"{collection_id}\t{term}\t{first + passage}\t{head}\t{body}\t{length}\n"
                for term, passage, head, body, length in cut.postings
            )
            copy.write("".join(lines))
        connection.execute(
            "UPDATE indexed SET passages = passages + ?, terms = terms + ? WHERE collection_id = ?",
            (cut.passages, sum(one.head + one.body for one in cut.postings), collection_id),
        )

    def forget(self, connection: Connection, collection_id: int, document_id: int) -> bool:
        try:
            rows = _rows(connection, document_id)
        except LibraryDamaged:
            return False
        gone = self.cut(rows).postings
        _raw(connection).execute(
            "DELETE FROM posting p USING unnest(%s::text[], %s::bigint[]) AS gone(term, passage_id)"
            " WHERE p.collection_id = %s AND p.term = gone.term AND p.passage_id = gone.passage_id",
            ([one.term for one in gone], [one.passage for one in gone], collection_id),
        )
        connection.execute(
            "UPDATE indexed SET passages = passages - ?, terms = terms - ? WHERE collection_id = ?",
            (len(rows), sum(one.head + one.body for one in gone), collection_id),
        )
        return True

    def write_anew(self, connection: Connection, collection_id: int) -> None:
        self.drop(connection, collection_id)
        self.create(connection, collection_id)
        documents = connection.execute("SELECT id FROM document WHERE collection_id = ? ORDER BY id", (collection_id,))
        rows: list[tuple[int, str, str]] = []
        for (document_id,) in documents.fetchall():
            rows += _rows(connection, document_id, as_found=True)
            if len(rows) >= _BATCH:
                self.write(connection, collection_id, self.cut(rows))
                rows = []
        self.write(connection, collection_id, self.cut(rows))

    def write_all(self, connection: Connection, collection_ids: Iterable[int]) -> None:
        """The primary key is made anew at the end, which sorts all rows once: they come by document, so that keeping it
        meanwhile would put each row somewhere else."""
        connection.execute("ALTER TABLE posting DROP CONSTRAINT posting_pkey")
        for number in collection_ids:
            self.write_anew(connection, number)
        connection.execute(f"ALTER TABLE posting ADD {POSTING_KEY}")

    def sound(self, connection: Connection, collection_id: int) -> bool:
        """Whether the postings are as many as were put in, of passages that are there."""
        row = connection.execute(
            "SELECT coalesce(sum(head + body), 0) = (SELECT terms FROM indexed WHERE collection_id = ?)"
            " AND NOT EXISTS (SELECT passage_id FROM posting WHERE collection_id = ? EXCEPT SELECT id FROM passage)"
            " FROM posting WHERE collection_id = ?",
            (collection_id, collection_id, collection_id),
        ).fetchone()
        return bool(row and row[0])

    def count(self, connection: Connection, collection_id: int, term: Term) -> int:
        asked = _asked(connection, collection_id, {term: 0})
        found = _raw(connection).execute(f"WITH {_hits(asked)} SELECT count(*) FROM hit", asked).fetchone()
        return int(found[0]) if found else 0

    def best(
        self, connection: Connection, collection_id: int, terms: Mapping[Term, int], limit: int,
        within: Ids | None = None,
    ) -> dict[int, float]:  # fmt: skip
        asked = _asked(connection, collection_id, terms)
        only = "" if within is None else "WHERE passage_id = ANY(%(within)s)"
        rows = _raw(connection).execute(
            f"WITH {_hits(asked)} {_SCORED} {only} GROUP BY passage_id ORDER BY score DESC, passage_id LIMIT %(limit)s",
            {**asked, "limit": limit, **({} if within is None else {"within": within.tolist()})},
        )
        return dict(rows.fetchall())

    def scores(
        self, connection: Connection, collection_id: int, terms: Mapping[Term, int], ids: Iterable[int]
    ) -> dict[int, float]:
        asked = _asked(connection, collection_id, terms)
        rows = _raw(connection).execute(
            f"WITH {_hits(asked)} {_SCORED} WHERE passage_id = ANY(%(ids)s) GROUP BY passage_id",
            {**asked, "ids": [int(number) for number in ids]},
        )
        return dict(rows.fetchall())

    def holders(self, connection: Connection, collection_id: int, term: Term) -> Ids:
        asked = _asked(connection, collection_id, {term: 0})
        rows = _raw(connection).execute(f"WITH {_hits(asked)} SELECT passage_id FROM hit ORDER BY 1", asked).fetchall()
        return np.array(rows, dtype=np.int64).reshape(-1)


def _hits(asked: Mapping[str, Any]) -> str:
    return _SINGLE_HITS if all(need == 1 for need in asked["need"]) else _HITS


def _raw(connection: Connection) -> psycopg.Connection[tuple[Any, ...]]:
    assert isinstance(connection, PostgresConnection)
    return connection.raw


def _asked(connection: Connection, collection_id: int, terms: Mapping[Term, int]) -> dict[str, Any]:
    """The terms as the parameters of ``_HITS``: a term's parts must all be there (``need``), or be any beginning so."""
    places: list[int] = []
    words: list[str] = []
    need: list[int] = []
    holders: list[int] = []
    for place, (term, count) in enumerate(terms.items()):
        parts: Sequence[str] = _parts(term.text)
        if term.prefix:
            parts = _beginning(connection, collection_id, parts)
        places += [place] * len(parts)
        words += parts
        need += [0 if term.prefix else len(parts)] * len(parts)
        holders += [count] * len(parts)
    return {"n": places, "terms": words, "need": need, "holders": holders, "collection": collection_id}


def _beginning(connection: Connection, collection_id: int, parts: Sequence[str]) -> list[str]:
    """The terms of a collection that begin so; those of the last part, where there is more than one."""
    if not parts:
        return []
    rows = connection.execute(
        "SELECT DISTINCT term FROM posting WHERE collection_id = ? AND starts_with(term, ?) AND term >= ?",
        (collection_id, parts[-1], parts[-1]),
    )
    return [str(row[0]) for row in rows]


@lru_cache(maxsize=4096)
def _parts(text: str) -> tuple[str, ...]:
    """The terms that SQLite makes of a text, each once."""
    return tuple(dict.fromkeys(one.term for one in _postings([(1, "", text)])))


def _postings(rows: Sequence[tuple[int, str, str]]) -> list[_Posting]:
    """Every term of these passages, as FTS5 sees them."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute(f"CREATE VIRTUAL TABLE words USING fts5(head, body, content='', tokenize=\"{TOKENIZER}\")")
        connection.execute("CREATE VIRTUAL TABLE seen USING fts5vocab(words, instance)")
        clean = [(number, *(text.encode("utf-8", "replace").decode() for text in texts)) for number, *texts in rows]
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO words(rowid, head, body) VALUES (?, ?, ?)", clean)
        found = connection.execute(
            "SELECT term, doc, sum(col = 'head'), sum(col = 'body') FROM seen GROUP BY term, doc"
        ).fetchall()
    lengths: defaultdict[int, int] = defaultdict(int)
    for _, passage, head, body in found:
        lengths[passage] += head + body
    made = [
        _Posting(term, passage, head, body, lengths[passage])
        for term, passage, head, body in found
        if term is not None and len(term) <= _LONGEST // 4
    ]
    odd: defaultdict[tuple[str, int], Counter[str]] = defaultdict(Counter)
    for term, passage, head, body in found:
        if term is None or len(term) > _LONGEST // 4:
            odd[_short(term), passage].update(head=head, body=body)
    return made + [_Posting(t, p, often["head"], often["body"], lengths[p]) for (t, p), often in odd.items()]


def _short(term: str | None) -> str:
    """A term as the index holds it. A mark that stands alone is one without a letter, which SQLite gives as NULL."""
    data = (term or "").encode()
    return term or "" if len(data) <= _LONGEST else f"{blake2b(data, digest_size=16).hexdigest()}+"


def _rows(connection: Connection, document_id: int, *, as_found: bool = False) -> list[tuple[int, str, str]]:
    passages = slices.of_document(connection, document_id, as_found=as_found)
    return [(p.id, *columns(p.title, p.heading, p.text)) for p in passages]
