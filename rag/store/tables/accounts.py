"""Accounts: who may sign in, what they showed to be let in, and what they may see."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Literal

from rag.errors import AccountError
from rag.store.tables.connection import Database
from rag.store.truth import EDITS, OWNS, READS, Credential, Kind, Noted, User

_COLUMNS = "SELECT a.id, a.name, a.role, a.disabled, a.created FROM account a"


class AccountsTables:
    """``rag.store.truth.AccountRows`` in tables."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> tuple[User, ...]:
        with self._database.reading() as connection:
            return tuple(_user(row) for row in connection.execute(f"{_COLUMNS} ORDER BY a.name"))

    def wanted(self) -> bool:
        with self._database.reading() as connection:
            return bool(
                connection.execute(
                    "SELECT EXISTS (SELECT 1 FROM account) OR EXISTS (SELECT 1 FROM meta WHERE key = 'accounts')"
                ).fetchone()[0]
            )

    def by_name(self, name: str) -> User | None:
        return self._one("a.name = ?", (name,))

    def by_id(self, number: int) -> User | None:
        return self._one("a.id = ?", (number,))

    def by_subject(self, subject: str) -> User | None:
        return self._one("a.subject = ?", (subject,))

    def password(self, name: str) -> str:
        with self._database.reading() as connection:
            row = connection.execute("SELECT password FROM account WHERE name = ?", (name,)).fetchone()
        return "" if row is None else str(row[0])

    def add(self, name: str, role: str, password: str, subject: str | None = None) -> User:
        with self._database.writing() as connection:
            if connection.execute("SELECT 1 FROM account WHERE name = ?", (name,)).fetchone():
                raise AccountError(f"There is already an account {name!r}.", hint="Choose another name.")
            number = connection.insert(
                "INSERT INTO account (name, role, password, subject, disabled, created) VALUES (?, ?, ?, ?, 0, ?)",
                (name, role, password, subject, time.time()),
            )
            connection.execute(
                "INSERT INTO meta (key, value) VALUES ('accounts', 'true')"
                " ON CONFLICT (key) DO UPDATE SET value = excluded.value"
            )
        found = self.by_id(number)
        assert found is not None
        return found

    def change(self, number: int, column: Literal["role", "password", "disabled"], value: str | bool) -> None:
        with self._database.writing() as connection:
            connection.execute(
                f"UPDATE account SET {column} = ? WHERE id = ?",
                (int(value) if isinstance(value, bool) else value, number),
            )

    # -- sessions and tokens ----------------------------------------------------------------------------------

    def keep(self, number: int, kind: Kind, digest: str, label: str, expires: float) -> None:
        now = time.time()
        with self._database.writing() as connection:
            connection.execute("DELETE FROM credential WHERE expires < ?", (now,))
            connection.execute(
                "INSERT INTO credential (digest, account_id, kind, label, created, seen, expires)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (digest, number, kind, label, now, now, expires),
            )

    def shown(self, kind: Kind, digest: str, idle: float) -> tuple[User, float] | None:
        now = time.time()
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT a.id, a.name, a.role, a.disabled, a.created, c.seen FROM credential c"
                " JOIN account a ON a.id = c.account_id"
                " WHERE c.digest = ? AND c.kind = ? AND c.expires > ? AND c.seen > ? AND a.disabled = 0",
                (digest, kind, now, now - idle),
            ).fetchone()
        return None if row is None else (_user(row[:5]), float(row[5]))

    def note_use(self, digest: str) -> None:
        with self._database.writing() as connection:
            connection.execute("UPDATE credential SET seen = ? WHERE digest = ?", (time.time(), digest))

    def listed(self, number: int, kind: Kind) -> tuple[Credential, ...]:
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT digest, label, created, expires FROM credential"
                " WHERE account_id = ? AND kind = ? AND expires > ? ORDER BY created",
                (number, kind, time.time()),
            ).fetchall()
        return tuple(Credential(str(row[0])[:8], *row[1:]) for row in rows)

    def end(self, digest: str) -> None:
        with self._database.writing() as connection:
            connection.execute("DELETE FROM credential WHERE digest = ?", (digest,))

    def end_named(self, number: int, name: str) -> bool:
        with self._database.writing() as connection:
            cursor = connection.execute(
                "DELETE FROM credential WHERE account_id = ? AND kind = 'token' AND substr(digest, 1, 8) = ?",
                (number, name),
            )
            return cursor.rowcount > 0

    def end_all(self, number: int, *, tokens: bool) -> None:
        with self._database.writing() as connection:
            which = "" if tokens else " AND kind = 'session'"
            connection.execute(f"DELETE FROM credential WHERE account_id = ?{which}", (number,))

    # -- guesses ----------------------------------------------------------------------------------------------

    def begin_attempt(self, name: str, free: int, first: float, longest: float) -> float:
        now = time.time()
        with self._database.writing() as connection:
            row = connection.execute("SELECT failures, until FROM attempt WHERE name = ?", (name,)).fetchone()
            failures, until = (int(row[0]), float(row[1])) if row else (0, 0.0)
            if until > now:
                return until - now
            over = failures + 1 - free
            locked = now + (min(longest, first * 2 ** min(over, 30)) if over >= 0 else 0.0)
            connection.execute(
                "INSERT INTO attempt (name, failures, until) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET"
                " failures = excluded.failures, until = excluded.until",
                (name, failures + 1, locked),
            )
            connection.execute("DELETE FROM attempt WHERE until < ?", (now - 10 * longest,))
        return 0.0

    def end_attempts(self, name: str) -> None:
        with self._database.writing() as connection:
            connection.execute("DELETE FROM attempt WHERE name = ?", (name,))

    # -- who may see what -------------------------------------------------------------------------------------

    def levels(self, number: int) -> Mapping[int, int]:
        with self._database.reading() as connection:
            account = connection.execute("SELECT role, disabled FROM account WHERE id = ?", (number,)).fetchone()
            if account is None or account[1]:
                return {}
            rows = connection.execute(
                "SELECT c.id, c.owner, c.public, s.edits FROM collection c"
                " LEFT JOIN share s ON s.collection_id = c.id AND s.account_id = ?",
                (number,),
            ).fetchall()
        most = READS if account[0] == "reader" else OWNS
        found = {row[0]: min(most, _level(row, str(number), admin=account[0] == "admin")) for row in rows}
        return {collection: level for collection, level in found.items() if level}

    def share(self, collection_id: int, number: int, edits: bool | None) -> None:
        with self._database.writing() as connection:
            connection.execute("DELETE FROM share WHERE collection_id = ? AND account_id = ?", (collection_id, number))
            if edits is not None:
                connection.execute("INSERT INTO share VALUES (?, ?, ?)", (collection_id, number, int(edits)))

    def publish(self, collection_id: int, *, public: bool) -> None:
        with self._database.writing() as connection:
            connection.execute("UPDATE collection SET public = ? WHERE id = ?", (int(public), collection_id))

    def give(self, collection_id: int, number: int) -> None:
        with self._database.writing() as connection:
            connection.execute("UPDATE collection SET owner = ? WHERE id = ?", (str(number), collection_id))

    def shares(self, collection_id: int) -> tuple[bool, dict[str, bool]]:
        with self._database.reading() as connection:
            row = connection.execute("SELECT public FROM collection WHERE id = ?", (collection_id,)).fetchone()
            rows = connection.execute(
                "SELECT a.name, s.edits FROM share s JOIN account a ON a.id = s.account_id WHERE s.collection_id = ?",
                (collection_id,),
            ).fetchall()
        return bool(row and row[0]), {str(name): bool(edits) for name, edits in rows}

    # -- the log ----------------------------------------------------------------------------------------------

    def note(self, who: str, event: str, about: str, address: str) -> None:
        with self._database.writing() as connection:
            connection.execute(
                "INSERT INTO audit (at, who, event, about, address) VALUES (?, ?, ?, ?, ?)",
                (time.time(), who, event, about, address),
            )

    def log(self, limit: int, who: str | None = None) -> tuple[Noted, ...]:
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT at, who, event, about, address FROM audit WHERE ? IS NULL OR who = ? ORDER BY id DESC LIMIT ?",
                (who, who, limit),
            ).fetchall()
        return tuple(Noted(*row) for row in rows)

    def _one(self, where: str, values: tuple[object, ...]) -> User | None:
        with self._database.reading() as connection:
            row = connection.execute(f"{_COLUMNS} WHERE {where}", values).fetchone()
        return None if row is None else _user(row)


def _user(row: tuple[Any, ...]) -> User:
    number, name, role, disabled, created = row
    return User(int(number), str(name), str(role), bool(disabled), float(created))


def _level(row: tuple[Any, ...], number: str, *, admin: bool) -> int:
    _, owner, public, edits = row
    if owner == number or (admin and owner == ""):
        return OWNS
    if edits is not None:
        return EDITS if edits else READS
    return READS if public else 0
