"""The full-text index in FTS5."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from rag.errors import LibraryDamaged
from rag.store.sqlite import schema
from rag.store.tables import passages as slices
from rag.store.tables.connection import Connection, numbers
from rag.store.terms import HEAD_WEIGHT, Term, columns
from rag.store.truth import Ids

_MANY = 2_000
"""Of more passages to choose from, those that match are told first: handing over a hundred thousand numbers takes
60 ms, comparing them a tenth of it."""


class Fts5:
    """``rag.store.tables.connection.Words``: a contentless FTS5 table for each collection."""

    def create(self, connection: Connection, collection_id: int) -> None:
        schema.create_fts(connection, collection_id)

    def drop(self, connection: Connection, collection_id: int) -> None:
        connection.execute(f"DROP TABLE {schema.fts(collection_id)}")

    def cut(self, rows: Sequence[tuple[int, str, str]]) -> Sequence[tuple[int, str, str]]:
        return rows

    def write(
        self, connection: Connection, collection_id: int, cut: Sequence[tuple[int, str, str]], first: int = 0
    ) -> None:
        connection.executemany(
            f"INSERT INTO {schema.fts(collection_id)}(rowid, head, body) VALUES (?, ?, ?)",
            [(first + number, head, body) for number, head, body in cut],
        )

    def forget(self, connection: Connection, collection_id: int, document_id: int) -> bool:
        try:
            rows = _rows(connection, document_id)
        except LibraryDamaged:
            return False
        table = schema.fts(collection_id)
        connection.executemany(f"INSERT INTO {table}({table}, rowid, head, body) VALUES ('delete', ?, ?, ?)", rows)
        return True

    def write_anew(self, connection: Connection, collection_id: int) -> None:
        connection.execute(f"DROP TABLE IF EXISTS {schema.fts(collection_id)}")
        schema.create_fts(connection, collection_id)
        documents = connection.execute("SELECT id FROM document WHERE collection_id = ?", (collection_id,))
        for (document_id,) in documents.fetchall():
            self.write(connection, collection_id, _rows(connection, document_id, as_found=True))

    def write_all(self, connection: Connection, collection_ids: Iterable[int]) -> None:
        for number in collection_ids:
            self.write_anew(connection, number)

    def check(self, connection: Connection, collection_id: int) -> None:
        """Raise LibraryDamaged when the index is damaged."""
        table = schema.fts(collection_id)
        connection.execute(f"INSERT INTO {table}({table}) VALUES ('integrity-check')")

    def count(self, connection: Connection, collection_id: int, term: Term) -> int:
        table = schema.fts(collection_id)
        found = connection.execute(f"SELECT count(*) FROM {table} WHERE {table} MATCH ?", (term.match,)).fetchone()
        return int(found[0])

    def best(
        self, connection: Connection, collection_id: int, terms: Mapping[Term, int], limit: int,
        within: Ids | None = None,
    ) -> dict[int, float]:  # fmt: skip
        table = schema.fts(collection_id)
        if within is not None and len(within) > _MANY:
            within = np.intersect1d(self._matching(connection, table, _match(terms)), within, assume_unique=True)
        rows = connection.execute(
            f"SELECT rowid, max(0.0, -{_bm25(table)}) AS score FROM {table} WHERE {table} MATCH ?"
            f"{'' if within is None else ' AND +rowid IN (SELECT value FROM json_each(?))'}"
            " ORDER BY score DESC, rowid LIMIT ?",
            (_match(terms), *([] if within is None else [numbers(within.tolist())]), limit),
        )
        return dict(rows.fetchall())

    def scores(
        self, connection: Connection, collection_id: int, terms: Mapping[Term, int], ids: Iterable[int]
    ) -> dict[int, float]:
        """The unary plus keeps FTS5 from starting anew for each id (which counts every term again, 5-13 ms for 50 ids
        at 100,000 passages): it runs through the matches once (1-4 ms)."""
        table = schema.fts(collection_id)
        rows = connection.execute(
            f"SELECT rowid, max(0.0, -{_bm25(table)}) FROM {table} WHERE {table} MATCH ?"
            " AND +rowid IN (SELECT value FROM json_each(?))",
            (_match(terms), numbers(ids)),
        )
        return dict(rows.fetchall())

    def holders(self, connection: Connection, collection_id: int, term: Term) -> Ids:
        return self._matching(connection, schema.fts(collection_id), term.match)

    def _matching(self, connection: Connection, table: str, match: str) -> Ids:
        """As one text the numbers come four times as fast as row by row."""
        found = connection.execute(f"SELECT group_concat(rowid) FROM {table} WHERE {table} MATCH ?", (match,))
        return np.sort(np.fromstring(str(found.fetchone()[0] or ""), dtype=np.int64, sep=","))


def _bm25(table: str) -> str:
    return f"bm25({table}, {HEAD_WEIGHT}, 1.0)"


def _match(terms: Mapping[Term, int]) -> str:
    return " OR ".join(term.match for term in terms)


def _rows(connection: Connection, document_id: int, *, as_found: bool = False) -> list[tuple[int, str, str]]:
    passages = slices.of_document(connection, document_id, as_found=as_found)
    return [(p.id, *columns(p.title, p.heading, p.text)) for p in passages]
