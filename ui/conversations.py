"""Conversations as the page uses them, over the library's own store: names as text, records of unfinished turns."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rag.errors import UnknownConversation
from ui.lists import ConversationRow

if TYPE_CHECKING:
    from rag.library import Library
    from rag.store.truth import Conversation as Stored


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question and the record of its answer; ``thumb`` is 1, -1 or 0 for none."""

    question: str
    record: Mapping[str, Any]
    thumb: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation with its turns, in order."""

    id: str
    title: str
    collection: str
    turns: tuple[Exchange, ...]


class Conversations:
    """``owner`` is whose conversations these are; there are no accounts, so one owner without a name."""

    def __init__(self, library: Library, owner: str = "") -> None:
        self._store = library.conversations
        self._owner = owner
        self._writing = threading.Lock()

    def rows(self, search: str = "") -> list[ConversationRow]:
        """The conversations, latest first; with ``search`` those in whose title or turns it occurs."""
        listed = self._store.list(self._owner)
        wanted = search.casefold().split()
        if wanted:
            found = {hit.conversation.id for hit in self._store.search(search, self._owner)}
            listed = tuple(c for c in listed if c.id in found or all(word in c.title.casefold() for word in wanted))
        return [_row(conversation) for conversation in listed if conversation.turns]

    def latest(self, collection: str) -> str:
        """The conversation of a collection that was last begun or gone on with; empty when there is none."""
        return next((row.id for row in self.rows() if row.collection == collection), "")

    def get(self, conversation: str) -> Conversation | None:
        """A conversation, None if there is none of that name."""
        key = _key(conversation)
        if key is None:
            return None
        try:
            with self._writing:  # never between the two steps of a save
                head, turns = self._store.get(key, self._owner)
        except UnknownConversation:
            return None
        exchanges = tuple(
            Exchange(t.question, t.answer, t.feedback.value if t.feedback else 0, t.feedback.note if t.feedback else "")
            for t in turns
        )
        return Conversation(str(head.id), head.title, head.collection, exchanges)

    def create(self, collection: str) -> Conversation:
        """Begin a conversation over a collection."""
        return Conversation(str(self._store.create(collection, self._owner)), "", collection, ())

    def begin(self, conversation: str, question: str) -> Callable[[Mapping[str, Any]], None]:
        """Store a question whose answer is yet to come; what stores the answer then. Raises UnknownConversation."""
        key = _known(conversation)
        pending = {"question": question, "text": "", "state": "writing", "task": uuid.uuid4().hex}
        index = self._store.append(key, question, "", pending, self._owner)

        def save(record: Mapping[str, Any]) -> None:
            with self._writing:
                _, turns = self._store.get(key, self._owner)
                if len(turns) != index + 1 or turns[index].answer.get("task") != pending["task"]:
                    return  # taken away meanwhile
                self._store.delete_turns_from(key, index, self._owner)
                self._store.append(key, question, str(record.get("asked", "")), record, self._owner)

        return save

    def cut(self, conversation: str, turn: int) -> None:
        """Delete turn ``turn`` (from 0) and all after it."""
        with self._writing:
            self._store.delete_turns_from(_known(conversation), turn, self._owner)

    def rename(self, conversation: str, title: str) -> None:
        """Give a conversation another title. Raises UnknownConversation."""
        self._store.rename(_known(conversation), title, self._owner)

    def delete(self, conversation: str) -> None:
        """Delete a conversation. Raises UnknownConversation."""
        self._store.delete(_known(conversation), self._owner)

    def feedback(self, conversation: str, turn: int, thumb: int, note: str = "") -> None:
        """Keep what the reader thinks of turn ``turn`` (from 0): 1, -1, or 0 to take it back."""
        self._store.feedback(_known(conversation), turn, thumb, note, self._owner)


def _row(conversation: Stored) -> ConversationRow:
    return ConversationRow(str(conversation.id), conversation.title, conversation.collection, conversation.turns)


def _key(conversation: str) -> int | None:
    usable = conversation.isascii() and conversation.isdecimal() and len(conversation) <= 15
    return int(conversation) if usable else None


def _known(conversation: str) -> int:
    key = _key(conversation)
    if key is None:
        raise UnknownConversation("There is no such conversation.", hint="It may have been deleted; start a new one.")
    return key
