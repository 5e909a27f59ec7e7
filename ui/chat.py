"""What the page does when somebody asks, stops, retries, edits or opens a conversation: plain generators of updates.

Nothing here knows Gradio. A handler gets identifiers, never the history; what is shown always comes from the library's
store or from the running task. Each browser tab has a *view*: a handler that shows something in a tab ends the one
that showed something there before, so that a followed answer never writes over what was opened since.

An answer is shown in three steps, which the page takes one after the other: a handler that begins it (``ask``,
``retry``, ``edit``, ``open``), ``follow`` while it grows, changing as little of the page as possible, and ``settle``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rag.answer.summary import conversation_summary
from rag.errors import QuestionError, RagError
from rag.types import AnswerEvent, Done
from ui.conversations import Conversation, Conversations, Exchange
from ui.export import answer_of
from ui.render import answer_html, question_html
from ui.scope import Scope
from ui.sharing import Place, Written
from ui.sources import section_html
from ui.suggest import Suggestion, Suggestions, follow_ups
from ui.tasks import Answers, AnswerTask, history_of
from ui.views import Views

if TYPE_CHECKING:
    from rag.library import Library

COALESCE = 0.045
"""Seconds between two updates of a growing answer: as often as an eye sees, not as often as tokens come."""
SLOWEST = 0.12
"""The same for a long answer, of which the browser draws all anew each time; reached at about 4,000 characters."""
_QUICK = 600
_SLOWING = 45_000
_PATIENCE = 1.0
_OVERTAKEN = 0.15
"""Seconds after which an update of a replaced handler, still on its way to the tab, has arrived there."""

ALL = Scope()

Message = dict[str, Any]
Events = Callable[[], Generator[AnswerEvent, None, None]]


@dataclass(slots=True, eq=False)
class _Showing:
    """What a tab shows: a conversation, whether an answer grows in it, and whether the end of that is shown; the
    ``question`` that was asked there last, and whether it has ``begun``."""

    conversation: str = ""
    growing: bool = False
    settled: bool = False
    question: str = ""
    begun: bool = True


@dataclass(frozen=True, slots=True)
class Update:
    """What is to change on the page; None leaves a part as it is.

    ``opened`` tells that other turns are shown than before, and ``warning`` is a message to show once. Only what was
    sent or taken back changes the ``box``: what a reader types while the page opens something is theirs.
    """

    messages: list[Message] | None = None
    thumbs: list[str | None] | None = None
    sections: list[str] | None = None
    box: str | None = None
    busy: bool | None = None
    conversation: str | None = None
    collection: str | None = None
    history_changed: bool = False
    opened: bool = False
    warning: str = ""


class Chat:
    """The chat of one server over ``library``; ``view`` arguments name browser tabs."""

    def __init__(
        self, library: Library, answers: Answers, conversations: Conversations, suggestions: Suggestions
    ) -> None:
        self._library = library
        self._suggestions = suggestions
        self._answers = answers
        self._conversations = conversations
        self._views = Views[_Showing]()

    async def ask(
        self, question: str, conversation: str, collection: str, view: str, scope: Scope = ALL
    ) -> Update | None:
        """Begin to answer ``question`` in ``conversation`` (empty: a new one); None for an empty question, and for one
        that the tab has just asked: Enter was pressed twice."""
        if not question.strip() or self._asked_twice(question.strip(), conversation, view):
            return None
        shown = await self._answer(question.strip(), conversation, collection, None, view, scope)
        return shown if shown is None or shown.warning else replace(shown, box="")

    async def retry(self, turn: int, conversation: str, collection: str, view: str) -> Update | None:
        """Begin to answer turn ``turn`` (from 0) again, from the same documents; it and all after it are replaced.

        None if there is no such turn.
        """
        found = await asyncio.to_thread(self._found, conversation)
        if found is None or not 0 <= turn < len(found.turns):
            return None
        told = found.turns[turn].record.get("scope", {})
        scope = Scope.of(told.get("documents", ()), told.get("folders", ()))
        return await self._answer(found.turns[turn].question, conversation, collection, turn, view, scope)

    async def edit(
        self, turn: int, question: str, conversation: str, collection: str, view: str, scope: Scope = ALL
    ) -> Update | None:
        """Begin to answer another question in place of turn ``turn``; all after it is cut."""
        if not question.strip():
            return await self.open(conversation, view)
        return await self._answer(question.strip(), conversation, collection, turn, view, scope)

    async def summarise(self, source: str, conversation: str, collection: str, view: str) -> Update | None:
        """Tell what a document is about, or with an empty name the conversation, as its next turn."""
        question = f"What is “{source}” about?" if source else "What was found in this conversation?"

        def events() -> Generator[AnswerEvent, None, None]:
            if source:
                yield Done(self._library.summary(source, collection))
            else:
                found = self._conversations.get(conversation)
                answers = [answer_of(t.record) for t in found.turns if not t.record.get("state")] if found else []
                yield Done(conversation_summary(question, answers))

        return await self._answer(question, conversation, collection, None, view, ALL, events)

    async def undo(self, turn: int, conversation: str, view: str) -> Update | None:
        """Take turn ``turn`` and all after it away; its question goes back into the box. None if there is no such."""
        found = await asyncio.to_thread(self._found, conversation)
        if found is None or not 0 <= turn < len(found.turns):
            return None
        self._answers.stop(conversation)
        try:
            await asyncio.to_thread(self._conversations.cut, conversation, turn)
        except RagError as error:
            return Update(warning=error.explain())
        shown = await self.open(conversation, view)
        return None if shown is None else replace(shown, box=found.turns[turn].question)

    async def open(self, conversation: str, view: str) -> Update | None:
        """Show a conversation as it is now, an empty chat for an unknown one; None when the tab has moved on."""
        return await self._show(conversation, self._take(view))

    async def follow(self, view: str) -> AsyncIterator[Update]:
        """How the answer that a tab shows grows, until its end; nothing when none is being written."""
        shown = self._views.get(view)
        task = None if shown is None else self._answers.running(shown.conversation)
        if shown is None or task is None:
            return
        showing = self._take(view, replace(shown, growing=True, settled=False))  # one follower a tab
        found = await asyncio.to_thread(self._found, shown.conversation)
        if found is not None:
            async for update in self._follow(task, self._whole(found, task), len(found.turns), showing):
                yield update

    async def settle(self, view: str) -> Update | None:
        """What a tab shows, after its answer has ended; None when nothing is to change.

        Where no answer grew, once more what was opened: an update of the handler before it, which was on its way to
        the tab when this one began, has arrived by then.
        """
        shown = self._views.get(view)
        if shown is None or shown.settled or not shown.begun or self._writing(shown.conversation):
            return None
        shown.settled = True
        if not shown.growing:
            await asyncio.sleep(_OVERTAKEN)
        found = await asyncio.to_thread(self._found, shown.conversation)
        if not self._current(shown):
            return None
        if found is None:
            return Update([], [], [], busy=False, conversation="")
        return replace(self._whole(found, None), conversation=found.id, history_changed=shown.growing)

    def rate(self, conversation: str, turn: int, thumb: int | None, note: str = "") -> Update:
        """Keep what the reader thinks of turn ``turn`` (from 0), which also makes it a draft of a gold question.

        ``thumb`` is 1, -1, 0 to take it back, or None to keep what there is, else 1. Raises UnknownConversation.
        """
        found = self._conversations.get(conversation)
        if thumb is None and found is not None and 0 <= turn < len(found.turns):
            thumb, note = found.turns[turn].thumb or 1, found.turns[turn].note
        self._conversations.feedback(conversation, turn, 1 if thumb is None else thumb, note)
        found = self._conversations.get(conversation)
        return Update() if found is None else self._whole(found, self._answers.running(conversation))

    def stop(self, conversation: str, view: str) -> None:
        """End the running answer of what a tab shows, else of ``conversation``; whoever follows it is told."""
        shown = self._views.get(view)
        self._answers.stop(conversation if shown is None else shown.conversation)

    async def _answer(
        self, question: str, conversation: str, collection: str, replaced: int | None, view: str, scope: Scope,
        events: Events | None = None,
    ) -> Update | None:  # fmt: skip
        showing = self._take(view, _Showing(settled=view not in self._views, question=question, begun=False))
        showing.conversation = conversation
        try:
            conversation = await asyncio.to_thread(
                self._begin, question, conversation, collection, replaced, scope, events
            )
        except RagError as error:
            showing.question, showing.growing = "", self._writing(conversation)
            return Update(warning=error.explain(), busy=self._answers.running(conversation) is not None)
        finally:
            showing.conversation, showing.begun = conversation, True
        shown = await self._show(conversation, showing)
        # A question more changes nobody's thumb, and an update of the chat without thumbs is a cheap one.
        return shown if shown is None or replaced is not None else replace(shown, thumbs=None)

    def _begin(
        self, question: str, conversation: str, collection: str, replaced: int | None, scope: Scope,
        events: Events | None,
    ) -> str:  # fmt: skip
        """Start the question's task and store it; the conversation it is in.

        The passages are found while the disk confirms the question; nothing of it is shown before.
        """
        limit = self._library.config.limits.question_characters
        if len(question) > limit:
            raise QuestionError(
                f"The question has {len(question):,} characters; the limit is {limit:,}.", hint="Shorten it."
            )
        chosen = scope.filters(self._library, collection)
        found = self._found(conversation)
        if replaced is not None:
            self._answers.stop(conversation)
        self._answers.check_room(conversation)
        if replaced is not None:
            self._conversations.cut(conversation, replaced)
            found = self._conversations.get(conversation)
        collection = collection or self._library.collections.get().name
        found = found or self._conversations.create(collection)
        turns = [(turn.question, turn.record) for turn in found.turns]
        place: Future[Place] = Future()
        more = {"scope": scope.plain()} if scope else {}
        task = AnswerTask(found.id, question, lambda record: place.result().end(record), more=more)
        if events is None:
            self._answers.start(task, history_of(turns), collection, **chosen)
        else:
            self._answers.run(task, events)
        try:
            task.place = self._conversations.begin(found.id, question)
            place.set_result(task.place)
        except RagError as error:
            place.set_exception(error)
            task.stop()
            raise
        return found.id

    def _found(self, conversation: str) -> Conversation | None:
        """A conversation; what another page writes in it is followed from now on."""
        found = self._conversations.get(conversation)
        if found is not None:
            self._answers.join(found)
        return found

    async def _show(self, conversation: str, showing: _Showing) -> Update | None:
        task = self._answers.running(conversation)
        found = await asyncio.to_thread(self._found, conversation)
        if not self._current(showing):
            return None
        task = task or self._answers.running(conversation)
        showing.growing = task is not None
        showing.settled = showing.settled and not showing.growing  # a new tab has nothing to settle
        if found is None:
            return Update([], [], [], busy=False, conversation="", history_changed=True, opened=True)
        showing.conversation = found.id
        where: dict[str, Any] = {"conversation": found.id, "collection": found.collection}
        return replace(self._whole(found, task), history_changed=True, opened=True, **where)

    def _asked_twice(self, question: str, conversation: str, view: str) -> bool:
        shown = self._views.get(view)
        if shown is None or shown.question != question or conversation not in ("", shown.conversation):
            return False
        return not shown.begun or self._writing(shown.conversation)

    def _writing(self, conversation: str) -> bool:
        task = self._answers.running(conversation)
        return task is not None and not task.done

    async def _follow(self, task: Written, base: Update, turn: int, showing: _Showing) -> AsyncIterator[Update]:
        """Messages and sections while the task runs, its turn being number ``turn`` (from 1), at most one in
        ``pause`` seconds."""
        messages, sections = base.messages or [], base.sections or []
        found: object = None
        shown_at = 0.0
        seen = -1
        written = 0
        while self._current(showing):
            version, record = task.changed.version, task.record
            if version != seen:
                seen, shown_at, written = version, time.monotonic(), len(record.get("text", ""))
                if found is not record.get("hits"):
                    found = record.get("hits")
                    sections = [*sections[:-1], section_html(task.question, record, turn)]
                yield Update([*messages[:-1], _answer_message(record, turn)], sections=sections)
            if task.done:
                return
            await task.changed.wait(version, _PATIENCE)
            early = pause(written) - (time.monotonic() - shown_at)
            if early > 0 and not task.done and (written or not task.record.get("text")):  # the first word at once
                await asyncio.sleep(early)

    def _whole(self, found: Conversation, task: Written | None) -> Update:
        return whole_view(found, task, self._suggestions.of(found.collection))

    def _take(self, view: str, showing: _Showing | None = None) -> _Showing:
        """Make the caller the one who shows things in a tab."""
        shown = _Showing(settled=view not in self._views) if showing is None else showing
        self._views.show(view, shown)
        return shown

    def _current(self, showing: _Showing) -> bool:
        return self._views.is_shown(showing)


def pause(characters: int) -> float:
    """Seconds between two updates of an answer that has so many characters."""
    return min(SLOWEST, COALESCE + max(0, characters - _QUICK) / _SLOWING)


def whole_view(found: Conversation, task: Written | None, known: Sequence[Suggestion] = ()) -> Update:
    """Everything there is to show of a conversation; the last turn comes from ``task`` while it runs. What can be asked
    next comes from the ``known`` questions."""
    turns = list(found.turns)
    if task is not None and turns:
        turns[-1] = Exchange(turns[-1].question, task.record)
    else:
        turns = [_settled(turn) for turn in turns]
    messages: list[Message] = []
    for number, turn in enumerate(turns, 1):
        messages.append({"role": "user", "content": question_html(turn.question)})
        options = _options(turn, known) if number == len(turns) and task is None else []
        messages.append({**_answer_message(turn.record, number), "options": options})
    return Update(
        messages=messages,
        thumbs=[{1: "Like", -1: "Dislike"}.get(turn.thumb) for turn in turns],
        sections=[
            section_html(turn.question, turn.record, number, rated=turn.thumb != 0)
            for number, turn in enumerate(turns, 1)
        ],
        busy=task is not None,
    )


def _settled(turn: Exchange) -> Exchange:
    """A stored turn that nobody answers any more was cut off when the program ended."""
    if turn.record.get("state") != "writing":
        return turn
    return replace(turn, record={**turn.record, "state": "interrupted"})


def _options(turn: Exchange, known: Sequence[Suggestion]) -> list[dict[str, str]]:
    return [{"value": question, "label": question} for question in follow_ups(turn.record, known)]


def _answer_message(record: Any, number: int) -> Message:
    return {"role": "assistant", "content": answer_html(record, number)}


def plain_turns(found: Conversation) -> Sequence[tuple[str, Any]]:
    """Questions and records, for the export."""
    return [(turn.question, _settled(turn).record) for turn in found.turns]
