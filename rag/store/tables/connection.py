"""What the tables ask of an engine."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from rag.store.terms import Term
from rag.store.truth import Ids


def numbers(ids: Iterable[int]) -> str:
    """Numbers as one parameter: ``json_each(?)`` makes a table of them, which unlike a parameter each has no limit."""
    return json.dumps([int(number) for number in ids])


class Rows(Protocol):
    """What a statement found, in order."""

    @property
    def rowcount(self) -> int:
        """How many rows a statement changed."""

    def fetchone(self) -> Any:
        """The next row, or None."""

    def fetchmany(self, size: int) -> list[Any]:
        """At most ``size`` rows more."""

    def fetchall(self) -> list[Any]:
        """All other rows."""

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """One transaction of an engine. Parameters are ``?``, their values int, float, str, bytes or None; a statement uses
    nothing that one of the engines lacks."""

    def execute(self, statement: str, values: Sequence[Any] = ..., /) -> Rows:
        """Run a statement."""

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]], /) -> object:
        """Run a statement for each row of values."""

    def insert(self, statement: str, values: Sequence[Any], /) -> int:
        """Run an INSERT of one row; the ``id`` it got."""

    def load(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], /) -> object:
        """Put many new rows into a table, each with the values of ``columns``."""

    @property
    def closed(self) -> bool:
        """Whether it is known to be of no more use."""

    def close(self) -> None:
        """Give it up."""

    def take_passages(self, count: int) -> int:
        """The first of ``count`` numbers that no passage ever had."""

    def columns(self, table: str) -> list[str]:
        """The names of a table's columns."""

    def last_numbers(self) -> dict[str, int]:
        """The greatest number that a row of each table ever had, where numbers are not used again."""

    def take_numbers(self, last: Mapping[str, int]) -> None:
        """Use none of the numbers up to these, nor of those that are there."""


class Words(Protocol):
    """The full-text index of an engine. ``rows`` are a passage's number, its title and headings, and its text, each as
    ``terms.columns`` cuts them."""

    def create(self, connection: Connection, collection_id: int) -> None:
        """Make the index of a new collection."""

    def drop(self, connection: Connection, collection_id: int) -> None:
        """Delete the index of a collection."""

    def cut(self, rows: Sequence[tuple[int, str, str]]) -> Any:
        """What ``write`` puts in for these passages; made before its transaction begins, since nobody else writes in
        that."""

    def write(self, connection: Connection, collection_id: int, cut: Any, first: int = 0) -> None:
        """Put passages in that were ``cut``, their numbers counted from ``first``."""

    def forget(self, connection: Connection, collection_id: int, document_id: int) -> bool:
        """Take a document out; False where its text is damaged, so that nobody knows its words: the index is then to be
        written anew once the document is gone."""

    def write_anew(self, connection: Connection, collection_id: int) -> None:
        """Write the index again from the canonical texts."""

    def write_all(self, connection: Connection, collection_ids: Iterable[int]) -> None:
        """Write the indexes of all collections from the canonical texts, in a library that nobody reads meanwhile."""

    def count(self, connection: Connection, collection_id: int, term: Term) -> int:
        """How many passages hold a term."""

    def best(
        self, connection: Connection, collection_id: int, terms: Mapping[Term, int], limit: int,
        within: Ids | None = ...,
    ) -> dict[int, float]:  # fmt: skip
        """The ``limit`` (at least 1) best passages by these terms, each given with its ``count``, only of ``within`` if
        given, with their BM25."""

    def scores(
        self, connection: Connection, collection_id: int, terms: Mapping[Term, int], ids: Iterable[int]
    ) -> dict[int, float]:
        """The BM25 of those of ``ids`` that hold one of the terms."""

    def holders(self, connection: Connection, collection_id: int, term: Term) -> Ids:
        """The numbers of the passages that hold a term, of which there is one, ascending."""


class Database(Protocol):
    """An engine, open; every method may be called from any thread."""

    @property
    def words(self) -> Words:
        """Its full-text index."""

    def reading(self) -> AbstractContextManager[Connection]:
        """A connection that sees one consistent, committed state of the library until the block ends."""

    def writing(self) -> AbstractContextManager[Connection]:
        """One transaction: committed and durable when the block ends, undone when it raises; no other writes then."""

    def snapshot(self) -> AbstractContextManager[None]:
        """Every ``reading`` of this thread sees the same state until the block ends."""

    def settle(self) -> None:
        """After very much was written: do what the engine needs to find it as fast as what came bit by bit."""

    @property
    def writer(self) -> bool:
        """Whether this object may write."""

    @property
    def inherited(self) -> bool:
        """Whether this process was forked from the one that opened the library."""

    def expect_own_process(self) -> None:
        """Raise StoreError when the library is ``inherited``."""

    def close(self) -> None:
        """Close every connection; a read under way in another thread ends first. May be called twice."""
