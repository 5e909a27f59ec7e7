"""Conversations as the page uses them, over the library's own store: names as text, records of unfinished turns."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rag.errors import UnknownConversation
from ui.lists import ConversationRow
from ui.sharing import Place

if TYPE_CHECKING:
    from rag.library import Library
    from rag.store.truth import Conversation as Stored
    from rag.store.truth import StoredTurn


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question and the record of its answer; ``thumb`` is 1, -1 or 0 for none; ``place`` is where the
    answer goes that is yet to come."""

    question: str
    record: Mapping[str, Any]
    thumb: int = 0
    note: str = ""
    place: Place | None = None


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
            head, turns = self._store.get(key, self._owner)
        except UnknownConversation:
            return None
        return Conversation(str(head.id), head.title, head.collection, tuple(self._exchange(key, t) for t in turns))

    def create(self, collection: str) -> Conversation:
        """Begin a conversation over a collection."""
        return Conversation(str(self._store.create(collection, self._owner)), "", collection, ())

    def begin(self, conversation: str, question: str) -> Place:
        """Store a question whose answer is yet to come; where that goes. Raises UnknownConversation."""
        key, task = _known(conversation), uuid.uuid4().hex
        pending = {"question": question, "text": "", "state": "writing"}
        index = self._store.append(key, question, "", pending, self._owner, task)
        return Place(self._store, key, index, task, self._owner)

    def cut(self, conversation: str, turn: int) -> None:
        """Delete turn ``turn`` (from 0) and all after it."""
        self._store.delete_turns_from(_known(conversation), turn, self._owner)

    def rename(self, conversation: str, title: str) -> None:
        """Give a conversation another title. Raises UnknownConversation."""
        self._store.rename(_known(conversation), title, self._owner)

    def delete(self, conversation: str) -> None:
        """Delete a conversation. Raises UnknownConversation."""
        self._store.delete(_known(conversation), self._owner)

    def _exchange(self, conversation: int, turn: StoredTurn) -> Exchange:
        thumb, note = (turn.feedback.value, turn.feedback.note) if turn.feedback else (0, "")
        place = Place(self._store, conversation, turn.index, turn.task, self._owner) if turn.task else None
        return Exchange(turn.question, turn.answer, thumb, note, place)

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
