"""One transaction of a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import psycopg
from psycopg.types.string import StrDumperUnknown, TextLoader

_TABLE_OF_NUMBERS = "(SELECT value::bigint AS value FROM json_array_elements_text(?::json)) AS listed"


_MARK = "\U0010ffff"
"""Begins what stands for a character that PostgreSQL cannot hold: NUL, and this one."""


class _TextDumper(StrDumperUnknown):
    def dump(self, obj: str) -> Any:
        if "\0" in obj or _MARK in obj:
            obj = obj.replace(_MARK, f"{_MARK}1").replace("\0", f"{_MARK}0")
        return super().dump(obj)


class _TextLoader(TextLoader):
    def load(self, data: Any) -> bytes | str:
        text = super().load(data)
        if isinstance(text, str) and _MARK in text:
            return text.replace(f"{_MARK}0", "\0").replace(f"{_MARK}1", _MARK)
        return text


def connect(address: str, wait_seconds: int) -> PostgresConnection:
    """A connection outside any transaction; nothing on it waits longer than ``wait_seconds`` for another."""
    raw = psycopg.connect(address, autocommit=True, connect_timeout=wait_seconds, application_name="rag")
    raw.adapters.register_dumper(str, _TextDumper)
    raw.adapters.register_loader("text", _TextLoader)
    raw.execute(f"SET lock_timeout = '{wait_seconds}s'")
    raw.execute("SET synchronous_commit = on")
    return PostgresConnection(raw)


class PostgresConnection:
    """``rag.store.tables.connection.Connection`` in PostgreSQL."""

    def __init__(self, raw: psycopg.Connection[tuple[Any, ...]]) -> None:
        self.raw = raw

    @property
    def closed(self) -> bool:
        """Whether it is known to be of no more use."""
        return self.raw.closed

    def close(self) -> None:
        """Give it up."""
        self.raw.close()

    @property
    def idle(self) -> bool:
        """Whether no transaction is open on it."""
        return self.raw.info.transaction_status == psycopg.pq.TransactionStatus.IDLE

    def execute(self, statement: str, values: Sequence[Any] = (), /) -> psycopg.Cursor[tuple[Any, ...]]:
        """Run a statement."""
        return self.raw.execute(spelled(statement), values)

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]], /) -> None:
        """Run a statement for each row of values."""
        with self.raw.cursor() as cursor:
            cursor.executemany(spelled(statement), rows)

    def insert(self, statement: str, values: Sequence[Any], /) -> int:
        """Run an INSERT of one row; the ``id`` it got."""
        row = self.raw.execute(spelled(f"{statement} RETURNING id"), values).fetchone()
        assert row is not None
        return int(row[0])

    def load(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], /) -> None:
        """Put many new rows into a table, each with the values of ``columns``."""
        with self.raw.cursor() as cursor, cursor.copy(
            f"COPY {table} ({', '.join(columns)}) FROM STDIN".encode()
        ) as copy:  # fmt: skip
            for row in rows:
                copy.write_row(row)

    def take_passages(self, count: int) -> int:
        """The first of ``count`` numbers that no passage ever had."""
        row = self.raw.execute("UPDATE passage_number SET last = last + %s RETURNING last", (count,)).fetchone()
        assert row is not None
        return int(row[0]) - count + 1

    def columns(self, table: str) -> list[str]:
        """The names of a table's columns."""
        rows = self.raw.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = current_schema()"
            " AND table_name = %s ORDER BY ordinal_position",
            (table,),
        )
        return [str(row[0]) for row in rows]

    def last_numbers(self) -> dict[str, int]:
        """The greatest number that a row of each table ever had, where numbers are not used again."""
        found = {}
        for table in self._numbered():
            row = self.raw.execute(
                "SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence(%s, 'id')), 0)", (table,)
            ).fetchone()
            found[table] = int(row[0]) if row else 0
        row = self.raw.execute("SELECT last FROM passage_number").fetchone()
        return {**found, "passage": int(row[0]) if row else 0}

    def take_numbers(self, last: Mapping[str, int]) -> None:
        """Use none of the numbers up to these, nor of those that are there."""
        for table in self._numbered():
            self.raw.execute(
                f"SELECT setval(pg_get_serial_sequence(%s, 'id'), greatest((SELECT max(id) FROM {table}), %s, 1))",
                (table, last.get(table, 0)),
            )
        self.raw.execute(
            "UPDATE passage_number SET last = greatest(last, (SELECT max(id) FROM passage), %s)",
            (last.get("passage", 0),),
        )

    def _numbered(self) -> list[str]:
        """The tables whose rows the database numbers."""
        rows = self.raw.execute(
            "SELECT table_name FROM information_schema.columns WHERE table_schema = current_schema()"
            " AND column_name = 'id' AND is_identity = 'YES' ORDER BY 1"
        ).fetchall()
        return [str(row[0]) for row in rows]


@lru_cache(maxsize=512)
def spelled(statement: str) -> str:
    """A statement of ``rag.store.tables`` as psycopg takes it; its values are parameters always."""
    return statement.replace("%", "%%").replace("json_each(?)", _TABLE_OF_NUMBERS).replace("?", "%s")
