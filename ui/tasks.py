"""Answers as tasks of the server: each runs in its own thread and is written down, whoever is looking.

The page only follows a task, so a reload, a closed tab or a second tab changes nothing. The question is stored before
the work begins; if the program ends while it answers, the stored turn says so.
"""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from rag.errors import RagError, ServerBusy
from rag.types import Answer, Condensed, Done, Retrieved, Token, Turn, to_plain
from ui.lines import LineFinder
from ui.sharing import Followed, Keeper, Written

if TYPE_CHECKING:
    from rag.library import Library
    from rag.types import AnswerEvent
    from ui.conversations import Conversation

MOST_RUNNING = 32
MOST_OF_ONE = 8
Save = Callable[[Mapping[str, Any]], None]


class AnswerTask(Written):
    """One answer on its way; ``more`` is what the record says beside the answer, from its beginning on."""

    def __init__(
        self, conversation: str, question: str, save: Save, owner: str = "", more: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(conversation, question, owner)
        self._save = save
        self._lock = threading.Lock()
        self._more = dict(more or {})
        self._record: dict[str, Any] = {"question": question, "text": "", "state": "writing", **self._more}
        self._pieces: list[str] = []
        self._ending = False
        self._done = False
        self._started = time.perf_counter()

    @property
    def done(self) -> bool:
        return self._done

    @property
    def record(self) -> dict[str, Any]:
        with self._lock:
            if self._pieces:
                self._record["text"] += "".join(self._pieces)
                self._pieces.clear()
            return dict(self._record)

    def stop(self) -> None:
        """End it for everybody who looks, at once; the model's request is closed at its next sign of life."""
        self._finish({"state": "stopped", "timings": {"total": (time.perf_counter() - self._started) * 1000}})

    def run(self, events: Generator[AnswerEvent, None, None], lines: LineFinder) -> None:
        """Follow the events to their end, or until ``stop``."""
        try:
            with closing(events):
                for event in events:
                    if self._ending:
                        return
                    self._take(event, lines)
        except RagError as error:
            self._finish({"state": "failed", "error": {"message": str(error), "hint": error.hint, "code": error.code}})
        finally:
            told = {"message": "The program failed while it answered.", "hint": "Its log says more.", "code": "bug"}
            self._finish({"state": "failed", "error": told})

    def _take(self, event: AnswerEvent, lines: LineFinder) -> None:
        if isinstance(event, Done):
            self._finish(finished(event.answer, lines), whole=True)
            return
        with self._lock:
            if isinstance(event, Condensed):
                self._record["asked"] = event.question
            elif isinstance(event, Retrieved):
                self._record["hits"] = [to_plain(hit) for hit in event.hits]
                self._record["lines"] = lines.of_hits(event.hits)
            elif isinstance(event, Token):
                if not event.text:
                    return
                self._pieces.append(event.text)
        self.changed.notify()

    def _finish(self, end: Mapping[str, Any], *, whole: bool = False) -> None:
        """Show and store how it ended, once: whoever comes first wins."""
        with self._lock:
            if self._ending:
                return
            self._ending = True
        record = {**end, **self._more} if whole else {**self.record, **end}
        self._show(record)
        try:
            self._save(record)
        except RagError as error:  # shown: the answer is there, but a reload will not find it
            notices = [*record.get("notices", ()), f"This answer could not be stored: {error}"]
            self._show({**record, "notices": notices})
        finally:
            self._done = True
            self.changed.notify()

    def _show(self, record: dict[str, Any]) -> None:
        with self._lock:
            self._pieces.clear()  # a whole answer has its own text
            self._record = record
        self.changed.notify()


def finished(answer: Answer, lines: LineFinder) -> dict[str, Any]:
    """The record of a complete answer."""
    numbered = {**lines.of_hits(answer.hits), **lines.of_citations(answer.citations)}
    return {**answer.to_dict(), "lines": numbered}


class Answers:
    """The running answers of a server, at most one a conversation, ``MOST_OF_ONE`` a user and ``MOST_RUNNING`` in
    all."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._owner = ""
        self._lock = threading.Lock()
        self._tasks: dict[str, Written] = {}
        self._last = [time.monotonic()]
        self._keeper = Keeper(library.conversations, self._own_tasks) if library.shared else None

    def of(self, library: Library, owner: str) -> Answers:
        """Those of one user, from their view of the library: another's answer is neither seen nor stopped."""
        own = copy.copy(self)
        own._library, own._owner = library, owner
        return own

    def idle(self, seconds: float) -> bool:
        """Whether nothing is being answered, and nothing was for so many seconds."""
        with self._lock:
            return not self._tasks and time.monotonic() - self._last[0] >= seconds

    def start(self, task: AnswerTask, history: Sequence[Turn], collection: str, **chosen: Any) -> None:
        """Answer the task's question in the background; ``chosen`` are ``sources`` and ``where`` of ``Library.stream``.

        Raises ServerBusy when its conversation, or the server, has enough to do.
        """
        stream = self._library.stream
        self.run(task, lambda: stream(task.question, history=history, collection=collection, **chosen))

    def run(self, task: AnswerTask, events: Callable[[], Generator[AnswerEvent, None, None]]) -> None:
        """Have a task follow other events than a question's. Raises ServerBusy as ``start`` does."""
        task.owner = self._owner
        with self._lock:
            self._check_room(task.conversation)
            self._tasks[task.conversation] = task
        self._begin(task, lambda: task.run(events(), LineFinder(self._library)))
        if self._keeper is not None:
            self._keeper.wake()

    def join(self, found: Conversation) -> None:
        """Follow the answer that another page of the library writes in this conversation, where one does."""
        place = found.turns[-1].place if found.turns else None
        if self._keeper is None or place is None or found.id in self._tasks:
            return
        turn = place.turn()
        if turn is None or not place.alive(turn):
            return
        task = Followed(found.id, place, turn, self._owner)
        with self._lock:
            begun = self._tasks.setdefault(found.id, task)
        if begun is task:
            self._begin(task, task.run)

    def check_room(self, conversation: str) -> None:
        """Raise ServerBusy unless ``start`` would run a task for this conversation now."""
        with self._lock:
            self._check_room(conversation)

    def running(self, conversation: str) -> Written | None:
        """The task that answers in this conversation now."""
        with self._lock:
            task = self._tasks.get(conversation)
        return task if task is not None and task.owner == self._owner else None

    def stop(self, conversation: str) -> None:
        """Stop the answer of a conversation, if one runs."""
        task = self.running(conversation)
        if task is not None:
            task.stop()

    def close(self) -> None:
        """Stop all answers that are written here."""
        for task in self._own_tasks():
            task.stop()

    def _own_tasks(self) -> Sequence[AnswerTask]:
        with self._lock:
            return [task for task in self._tasks.values() if isinstance(task, AnswerTask)]

    def _check_room(self, conversation: str) -> None:
        running = [task for task in self._tasks.values() if not task.done]
        own = [task for task in running if task.owner == self._owner]
        if self._owner and len(own) >= MOST_OF_ONE:
            raise ServerBusy(f"{len(own)} questions of yours are being answered already.")
        if any(task.conversation == conversation for task in own):
            raise ServerBusy(
                "The last question of this conversation is still being answered.", hint="Wait, or stop it."
            )
        if len(running) >= MOST_RUNNING:
            raise ServerBusy(f"{len(running)} questions are being answered already.")

    def _begin(self, task: Written, work: Callable[[], None]) -> None:
        threading.Thread(target=self._run, args=(task, work), name="answer", daemon=True).start()

    def _run(self, task: Written, work: Callable[[], None]) -> None:
        try:
            work()
        finally:
            with self._lock:
                self._last[0] = time.monotonic()
                if self._tasks.get(task.conversation) is task:
                    del self._tasks[task.conversation]


def history_of(turns: Sequence[tuple[str, Mapping[str, Any]]], limit: int = 6) -> list[Turn]:
    """The last complete exchanges, for the rewriting of a follow-up question."""
    told = [Turn(question, str(record.get("text", ""))) for question, record in turns if not record.get("state")]
    return told[-limit:]
