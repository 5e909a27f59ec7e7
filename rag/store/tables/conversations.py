"""Conversations: questions, and answers with all their evidence, kept so that reopening one needs no model."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rag.arguments import expecting
from rag.errors import UnknownConversation
from rag.store.common import clean, excerpt_of, folded, no_conversation, title_of
from rag.store.tables.connection import Connection, Database
from rag.store.truth import Conversation, Feedback, Found, Growing, StoredTurn

_COLUMNS = """SELECT c.id, c.collection, c.owner, c.title, c.created, c.updated,
    (SELECT count(*) FROM turn t WHERE t.conversation_id = c.id) FROM conversation c"""


_TURNS = """SELECT t.ordinal, t.question, t.asked, t.answer, t.created, t.task, t.seen, t.text, f.value, f.note,
    f.created FROM turn t LEFT JOIN feedback f ON f.conversation_id = t.conversation_id AND f.ordinal = t.ordinal
    WHERE t.conversation_id = ?"""

_WRITTEN = "conversation_id = ? AND ordinal = ? AND task = ? AND task <> ''"


@expecting()
class ConversationsTables:
    """``rag.store.truth.Conversations`` in tables."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, collection: str, owner: str = "", title: str = "") -> int:
        now = time.time()
        with self._database.writing() as connection:
            return connection.insert(
                "INSERT INTO conversation (collection, owner, title, created, updated) VALUES (?, ?, ?, ?, ?)",
                (collection, owner, title_of(title), now, now),
            )

    def append(
        self, conversation_id: int, question: str, asked: str, answer: Mapping[str, Any], owner: str = "",
        task: str = "",
    ) -> int:  # fmt: skip
        now = time.time()
        with self._database.writing() as connection:
            conversation = _find(connection, conversation_id, owner)
            text = clean(str(answer.get("text", "")))
            connection.execute(
                "INSERT INTO turn (conversation_id, ordinal, owner, question, asked, text, answer, created, task, seen)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (conversation_id, conversation.turns, owner, clean(question), clean(asked), text,
                 json.dumps(answer), now, task, now),
            )  # fmt: skip
            connection.execute(
                "UPDATE conversation SET updated = ?, title = ? WHERE id = ?",
                (now, conversation.title or title_of(question), conversation_id),
            )
            return conversation.turns

    def keep(self, growing: Sequence[Growing]) -> tuple[str, ...]:
        now, gone = time.time(), list[str]()
        with self._database.writing() as connection:
            for one in growing:
                values: list[Any] = [clean(one.text), now]
                if one.answer is not None:
                    values.append(json.dumps(one.answer))
                changed = connection.execute(
                    f"UPDATE turn SET text = ?, seen = ?{'' if one.answer is None else ', answer = ?'}"
                    f" WHERE {_WRITTEN}",
                    (*values, one.conversation_id, one.index, one.task),
                )
                if not changed.rowcount:
                    gone.append(one.task)
        return tuple(gone)

    def end(
        self, conversation_id: int, index: int, task: str, asked: str, answer: Mapping[str, Any], owner: str = ""
    ) -> bool:
        now = time.time()
        with self._database.writing() as connection:
            changed = connection.execute(
                "UPDATE turn SET asked = ?, text = ?, answer = ?, created = ?, task = ''"
                f" WHERE {_WRITTEN} AND owner = ?",
                (clean(asked), clean(str(answer.get("text", ""))), json.dumps(answer), now, conversation_id, index,
                 task, owner),
            ).rowcount  # fmt: skip
            connection.execute("UPDATE conversation SET updated = ? WHERE id = ?", (now, conversation_id))
        return bool(changed)

    def turn(self, conversation_id: int, index: int, owner: str = "") -> StoredTurn | None:
        with self._database.reading() as connection:
            row = connection.execute(
                f"{_TURNS} AND t.ordinal = ? AND t.owner = ?", (conversation_id, index, owner)
            ).fetchone()
        return None if row is None else _turn(row)

    def list(self, owner: str = "", collection: str | None = None, limit: int = 200) -> tuple[Conversation, ...]:
        with self._database.reading() as connection:
            one, values = ("", ()) if collection is None else (" AND c.collection = ?", (collection,))
            rows = connection.execute(
                f"{_COLUMNS} WHERE c.owner = ?{one} ORDER BY c.updated DESC, c.id DESC LIMIT ?", (owner, *values, limit)
            ).fetchall()
        return tuple(Conversation(*row) for row in rows)

    def get(self, conversation_id: int, owner: str = "") -> tuple[Conversation, tuple[StoredTurn, ...]]:
        with self._database.reading() as connection:
            conversation = _find(connection, conversation_id, owner)
            rows = connection.execute(f"{_TURNS} ORDER BY t.ordinal", (conversation_id,)).fetchall()
        return conversation, tuple(_turn(row) for row in rows)

    def rename(self, conversation_id: int, title: str, owner: str = "") -> None:
        with self._database.writing() as connection:
            _find(connection, conversation_id, owner)
            connection.execute("UPDATE conversation SET title = ? WHERE id = ?", (title_of(title), conversation_id))

    def delete(self, conversation_id: int, owner: str = "") -> None:
        with self._database.writing() as connection:
            _find(connection, conversation_id, owner)
            connection.execute("DELETE FROM conversation WHERE id = ?", (conversation_id,))

    def delete_turns_from(self, conversation_id: int, index: int, owner: str = "") -> int:
        with self._database.writing() as connection:
            _find(connection, conversation_id, owner)
            cursor = connection.execute(
                "DELETE FROM turn WHERE conversation_id = ? AND ordinal >= ?", (conversation_id, index)
            )
            connection.execute("UPDATE conversation SET updated = ? WHERE id = ?", (time.time(), conversation_id))
            return cursor.rowcount

    def search(self, text: str, owner: str = "", limit: int = 50) -> tuple[Found, ...]:
        wanted = folded(text).split()
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
                if excerpt := excerpt_of(question, answer, wanted):
                    found.append(Found(_find(connection, conversation_id, owner), index, excerpt))
                    if len(found) == limit:
                        break
        return tuple(found)

    def feedback(self, conversation_id: int, index: int, value: int, note: str = "", owner: str = "") -> None:
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
                    "INSERT INTO feedback VALUES (?, ?, ?, ?, ?, ?)", (*key, owner, value, clean(note), time.time())
                )


def _find(connection: Connection, conversation_id: int, owner: str) -> Conversation:
    row = connection.execute(f"{_COLUMNS} WHERE c.id = ? AND c.owner = ?", (conversation_id, owner)).fetchone()
    if row is None:
        raise no_conversation(conversation_id)
    return Conversation(*row)


def _turn(row: tuple[Any, ...]) -> StoredTurn:
    index, question, asked, answer, created, task, seen, text, value, note, noted = row
    feedback = None if value is None else Feedback(value, note, noted)
    kept = json.loads(answer)
    if task:
        kept["text"] = text
    return StoredTurn(index, question, asked, kept, created, feedback, task, seen)
