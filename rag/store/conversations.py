"""Conversations: questions, and answers with all their evidence, kept so that reopening one needs no model."""

from __future__ import annotations

import json
import sqlite3
import time
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rag.errors import UnknownConversation
from rag.store.database import Database

TITLE_LIMIT = 80

_COLUMNS = """SELECT c.id, c.collection, c.owner, c.title, c.created, c.updated,
    (SELECT count(*) FROM turn t WHERE t.conversation_id = c.id) FROM conversation c"""
_EXCERPT = 160


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation without its turns. Times are UNIX seconds."""

    id: int
    collection: str
    owner: str
    title: str
    created: float
    updated: float
    turns: int


@dataclass(frozen=True, slots=True)
class Feedback:
    """What the reader thought of an answer: ``value`` 1 or -1, and why."""

    value: int
    note: str
    created: float


@dataclass(frozen=True, slots=True)
class StoredTurn:
    """Question ``index`` (from 0) of a conversation, what was ``asked`` in its place, and ``Answer.to_dict()``."""

    index: int
    question: str
    asked: str
    answer: Mapping[str, Any]
    created: float
    feedback: Feedback | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A turn that holds the words looked for, and the text around the first of them."""

    conversation: Conversation
    index: int
    excerpt: str


class Conversations:
    """The conversations of a library. Thread-safe; changes need a library open for writing.

    Every call is for one ``owner`` ("" where nobody logs in): another owner's conversation is as unknown as one
    that does not exist (UnknownConversation).
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, collection: str, owner: str = "", title: str = "") -> int:
        """Begin a conversation over a collection; its number. Without a title it takes that of its first question."""
        now = time.time()
        with self._database.writing() as connection:
            cursor = connection.execute(
                "INSERT INTO conversation (collection, owner, title, created, updated) VALUES (?, ?, ?, ?, ?)",
                (collection, owner, _title(title), now, now),
            )
            return int(cursor.lastrowid or 0)

    def append(
        self, conversation_id: int, question: str, asked: str, answer: Mapping[str, Any], owner: str = ""
    ) -> int:
        """Add a question and its finished answer; the turn's index."""
        now = time.time()
        with self._database.writing() as connection:
            conversation = _find(connection, conversation_id, owner)
            text = _clean(str(answer.get("text", "")))
            connection.execute(
                "INSERT INTO turn (conversation_id, ordinal, owner, question, asked, text, answer, created)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (conversation_id, conversation.turns, owner, _clean(question), _clean(asked), text,
                 json.dumps(answer), now),
            )  # fmt: skip
            connection.execute(
                "UPDATE conversation SET updated = ?, title = ? WHERE id = ?",
                (now, conversation.title or _title(question), conversation_id),
            )
            return conversation.turns

    def list(self, owner: str = "", collection: str | None = None, limit: int = 200) -> tuple[Conversation, ...]:
        """The owner's conversations, of one collection or all, the last changed first."""
        with self._database.reading() as connection:
            rows = connection.execute(
                f"{_COLUMNS} WHERE c.owner = ? AND (? IS NULL OR c.collection = ?)"
                " ORDER BY c.updated DESC, c.id DESC LIMIT ?",
                (owner, collection, collection, limit),
            ).fetchall()
        return tuple(Conversation(*row) for row in rows)

    def get(self, conversation_id: int, owner: str = "") -> tuple[Conversation, tuple[StoredTurn, ...]]:
        """A conversation with its turns, in order."""
        with self._database.reading() as connection:
            conversation = _find(connection, conversation_id, owner)
            rows = connection.execute(
                "SELECT t.ordinal, t.question, t.asked, t.answer, t.created, f.value, f.note, f.created FROM turn t"
                " LEFT JOIN feedback f ON f.conversation_id = t.conversation_id AND f.ordinal = t.ordinal"
                " WHERE t.conversation_id = ? ORDER BY t.ordinal",
                (conversation_id,),
            ).fetchall()
        return conversation, tuple(_turn(row) for row in rows)

    def rename(self, conversation_id: int, title: str, owner: str = "") -> None:
        """Give a conversation another title, cut to its limit."""
        with self._database.writing() as connection:
            _find(connection, conversation_id, owner)
            connection.execute("UPDATE conversation SET title = ? WHERE id = ?", (_title(title), conversation_id))

    def delete(self, conversation_id: int, owner: str = "") -> None:
        """Delete a conversation with its turns and their feedback."""
        with self._database.writing() as connection:
            _find(connection, conversation_id, owner)
            connection.execute("DELETE FROM conversation WHERE id = ?", (conversation_id,))

    def delete_turns_from(self, conversation_id: int, index: int, owner: str = "") -> int:
        """Delete turn ``index`` and all after it (a question is asked again); how many there were."""
        with self._database.writing() as connection:
            _find(connection, conversation_id, owner)
            cursor = connection.execute(
                "DELETE FROM turn WHERE conversation_id = ? AND ordinal >= ?", (conversation_id, index)
            )
            connection.execute("UPDATE conversation SET updated = ? WHERE id = ?", (time.time(), conversation_id))
            return cursor.rowcount

    def search(self, text: str, owner: str = "", limit: int = 50) -> tuple[Found, ...]:
        """The turns whose question and answer hold every word of ``text``, whatever the case, newest first."""
        wanted = _folded(text).split()
        if not wanted:
            return ()
        found: list[Found] = []
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT conversation_id, ordinal, question, text FROM turn WHERE owner = ?"
                " ORDER BY created DESC, conversation_id DESC, ordinal DESC",
                (owner,),
            )
            for conversation_id, index, question, answer in rows:
                whole = f"{question}\n{answer}"
                folded = _folded(whole)
                if all(word in folded for word in wanted):
                    found.append(Found(_find(connection, conversation_id, owner), index, _excerpt(whole, wanted[0])))
                    if len(found) == limit:
                        break
        return tuple(found)

    def feedback(self, conversation_id: int, index: int, value: int, note: str = "", owner: str = "") -> None:
        """Keep what the reader thought of an answer: 1, -1, or 0 to take it back."""
        if value not in (-1, 0, 1):
            raise ValueError(f"feedback is -1, 0 or 1, not {value}")
        with self._database.writing() as connection:
            _find(connection, conversation_id, owner)
            key = (conversation_id, index)
            if not connection.execute("SELECT 1 FROM turn WHERE conversation_id = ? AND ordinal = ?", key).fetchone():
                raise UnknownConversation(f"Conversation {conversation_id} has no turn {index}.", hint="Reload it.")
            connection.execute("DELETE FROM feedback WHERE conversation_id = ? AND ordinal = ?", key)
            if value:
                connection.execute(
                    "INSERT INTO feedback VALUES (?, ?, ?, ?, ?, ?)", (*key, owner, value, _clean(note), time.time())
                )


def _find(connection: sqlite3.Connection, conversation_id: int, owner: str) -> Conversation:
    row = connection.execute(f"{_COLUMNS} WHERE c.id = ? AND c.owner = ?", (conversation_id, owner)).fetchone()
    if row is None:
        raise UnknownConversation(
            f"There is no conversation number {conversation_id}.", hint="It may have been deleted; start a new one."
        )
    return Conversation(*row)


def _turn(row: tuple[Any, ...]) -> StoredTurn:
    index, question, asked, answer, created, value, note, noted = row
    feedback = None if value is None else Feedback(value, note, noted)
    return StoredTurn(index, question, asked, json.loads(answer), created, feedback)


def _title(text: str) -> str:
    """Text on one line, cut at a word where it is too long."""
    line = " ".join(_clean(text).split())
    if len(line) <= TITLE_LIMIT:
        return line
    return f"{line[: TITLE_LIMIT - 1].rsplit(' ', 1)[0]}…"


def _clean(text: str) -> str:
    """Text that UTF-8 can hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _excerpt(text: str, word: str) -> str:
    """About 160 characters around the first place of ``word`` (folding may move it a little)."""
    at = max(0, _folded(text).find(word) - _EXCERPT // 3)
    piece = " ".join(text[at : at + _EXCERPT].split())
    return f"{'…' if at else ''}{piece}{'…' if at + _EXCERPT < len(text) else ''}"
