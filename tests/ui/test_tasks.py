"""Answers as tasks, conversations and the chat's handlers, over a real library and a model's server on loopback."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from rag.errors import ServerBusy, StoreError, UnknownConversation
from rag.library import Library
from tests.fake_ollama import FakeOllama
from ui.chat import Chat, Update
from ui.conversations import Conversations
from ui.signal import Signal
from ui.suggest import QUESTIONS, Suggestions
from ui.tasks import MOST_RUNNING, Answers, AnswerTask, history_of

PARKING = "When does the car park on Mill Lane open?"
LEAVE = "How many days of paid annual leave do full-time staff receive?"


def suggestions(library: Library) -> Suggestions:
    """The questions to try, the model always free to make some."""
    return Suggestions(library, lambda seconds: True, library.path / QUESTIONS)


class Desk:
    """What a page has, without the page."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.conversations = Conversations(library)
        self.answers = Answers(library)
        self.chat = Chat(
            library,
            self.answers,
            self.conversations,
            suggestions(library),
        )

    def ask(self, question: str, conversation: str = "", view: str = "tab") -> list[Update]:
        return self.steps(self.chat.ask(question, conversation, "default", view), view)

    def steps(self, begun: Awaitable[Update | None], view: str = "tab") -> list[Update]:
        """The three steps that the page takes."""

        async def taken() -> list[Update]:
            start, grown, end = await begun, await gather(self.chat.follow(view)), await self.chat.settle(view)
            return [update for update in (start, *grown, end) if update is not None]

        return asyncio.run(taken())

    def texts(self, conversation: str) -> list[str]:
        found = self.conversations.get(conversation)
        assert found is not None
        return [turn.question for turn in found.turns]


async def gather(updates: AsyncIterator[Update]) -> list[Update]:
    return [update async for update in updates]


def until(condition: Callable[[], object], seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def desk(library: Library, corpus: Path) -> Desk:
    library.ingest(corpus)
    return Desk(library)


@pytest.fixture
def slow(corpus: Path, tmp_path: Path) -> Iterator[tuple[Desk, FakeOllama]]:
    """A desk whose model takes long to load and longer to answer."""
    with (
        FakeOllama(["fake-ramble"], delay=0.02, load_seconds=8, parallel=4) as server,
        Library.open(
            tmp_path / "slow", llm="ollama:fake-ramble", embedder="builtin", ollama_host=server.url
        ) as library,
    ):
        library.ingest(corpus)
        desk = Desk(library)
        yield desk, server
        desk.answers.close()


def test_an_answer_is_stored_with_what_the_page_needs(desk: Desk) -> None:
    updates = desk.ask(PARKING)
    last = updates[-1]
    assert last.busy is False and last.messages is not None and len(last.messages) == 2
    assert updates[0].busy is True and updates[0].box == "" and updates[0].conversation
    found = desk.conversations.get(updates[0].conversation or "")
    assert found is not None and found.title.startswith("When does the car park")
    record = found.turns[0].record
    assert "state" not in record and "6:30" in record["text"] and record["citations"]
    assert [row.id for row in desk.conversations.rows()] == [found.id]


def test_the_second_question_continues_the_conversation(desk: Desk) -> None:
    conversation = desk.ask(PARKING)[0].conversation or ""
    updates = desk.ask(LEAVE, conversation)
    assert desk.texts(conversation) == [PARKING, LEAVE]
    assert len(updates[-1].messages or []) == 4 and len(updates[-1].sections or []) == 2
    assert not (updates[-1].messages or [{}])[1].get("options")


def test_nothing_is_asked_of_an_empty_box_and_a_long_question_is_refused(desk: Desk) -> None:
    assert desk.ask("  \n ") == []
    refused = desk.ask("x" * 8_001)
    assert "8,000" in refused[0].warning
    assert desk.conversations.rows() == []


def test_retry_edit_and_undo(desk: Desk) -> None:
    conversation = desk.ask(PARKING)[0].conversation or ""
    desk.ask(LEAVE, conversation)
    desk.steps(desk.chat.retry(1, conversation, "default", "tab"))
    assert desk.texts(conversation) == [PARKING, LEAVE]
    undone = desk.steps(desk.chat.undo(1, conversation, "tab"))
    assert undone[0].box == LEAVE and desk.texts(conversation) == [PARKING]
    desk.steps(desk.chat.edit(0, LEAVE, conversation, "default", "tab"))
    assert desk.texts(conversation) == [LEAVE]
    assert asyncio.run(desk.chat.undo(7, conversation, "tab")) is None
    assert asyncio.run(desk.chat.retry(-1, conversation, "default", "tab")) is None


def test_an_unknown_conversation_opens_empty(desk: Desk) -> None:
    for name in ("", "12345", "no number", "9" * 40, "१"):
        shown = desk.steps(desk.chat.open(name, "tab"))
        assert shown[0].messages == [] and shown[0].conversation == ""
    with pytest.raises(UnknownConversation):
        desk.conversations.rename("no number", "x")


def test_an_unknown_collection_is_a_failed_turn_with_a_remedy(desk: Desk) -> None:
    updates = desk.steps(desk.chat.ask(PARKING, "", "nowhere", "tab"))
    assert "No answer:" in (updates[-1].messages or [])[-1]["content"]


def test_stop_during_loading_shows_at_once_and_closes_the_request(slow: tuple[Desk, FakeOllama]) -> None:
    desk, server = slow
    asked = threading.Thread(target=desk.ask, args=(PARKING,))
    asked.start()
    until(lambda: server.sent("/api/chat"))
    conversation = desk.conversations.rows()[0].id
    desk.chat.stop(conversation, "another tab")
    found = desk.conversations.get(conversation)
    assert found is not None and found.turns[0].record["state"] == "stopped"
    until(lambda: server.sent("/api/chat")[-1].disconnected)
    asked.join(60)
    assert desk.answers.running(conversation) is None


def test_an_answer_goes_on_when_nobody_looks(slow: tuple[Desk, FakeOllama]) -> None:
    desk, _ = slow

    begun = asyncio.run(desk.chat.ask(PARKING, "", "default", "tab"))
    assert begun is not None
    conversation = begun.conversation or ""
    task = desk.answers.running(conversation)
    assert task is not None
    until(lambda: task.record["text"])
    shown = asyncio.run(desk.chat.open(conversation, "another tab"))
    assert shown is not None and shown.busy is True and "answer live" in (shown.messages or [])[-1]["content"]
    with pytest.raises(ServerBusy):
        desk.answers.check_room(conversation)
    refused = desk.ask(LEAVE, conversation, "third tab")
    assert "still being answered" in refused[0].warning
    task.stop()


def test_a_view_that_shows_something_else_is_left_alone(slow: tuple[Desk, FakeOllama]) -> None:
    desk, _ = slow

    async def switch() -> str:
        seen: list[Update] = []

        async def follow() -> None:
            async for update in desk.chat.follow("tab"):
                seen.append(update)

        begun = await desk.chat.ask(PARKING, "", "default", "tab")
        assert begun is not None
        following = asyncio.create_task(follow())
        while not seen:
            await asyncio.sleep(0.01)
        await desk.chat.open("", "tab")
        count = len(seen)
        await asyncio.wait_for(following, 60)
        assert len(seen) == count
        return begun.conversation or ""

    conversation = asyncio.run(switch())
    assert desk.answers.running(conversation) is not None
    desk.answers.stop(conversation)


def test_an_answer_cut_off_by_the_end_of_the_program_says_so(desk: Desk) -> None:
    found = desk.conversations.create("default")
    desk.conversations.begin(found.id, PARKING)
    shown = desk.steps(desk.chat.open(found.id, "tab"))
    assert "Interrupted." in (shown[0].messages or [])[-1]["content"]
    desk.steps(desk.chat.retry(0, found.id, "default", "tab"))
    again = desk.conversations.get(found.id)
    assert again is not None and "6:30" in again.turns[0].record["text"]


def test_a_stopped_answer_does_not_come_back_after_its_turn_was_cut(desk: Desk) -> None:
    found = desk.conversations.create("default")
    place = desk.conversations.begin(found.id, PARKING)
    desk.conversations.cut(found.id, 0)
    place.end({"text": "late", "state": "stopped"})
    assert desk.texts(found.id) == []
    second = desk.conversations.begin(found.id, LEAVE)
    place.end({"text": "late", "state": "stopped"})
    second.end({"text": "right"})
    stored = desk.conversations.get(found.id)
    assert stored is not None and [turn.record["text"] for turn in stored.turns] == ["right"]


def test_an_answer_that_cannot_be_stored_is_shown_with_a_notice(desk: Desk) -> None:
    def refuse(_: object) -> None:
        raise StoreError("The disk is full.")

    task = AnswerTask("1", PARKING, refuse)
    desk.answers.start(task, [], "default")
    until(lambda: task.done)
    assert "6:30" in task.record["text"]
    assert task.record["notices"] == ["This answer could not be stored: The disk is full."]


def test_a_question_that_cannot_be_stored_is_refused_and_its_answer_stopped(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = desk.ask(PARKING)[0].conversation or ""

    def refuse(*_: object) -> None:
        raise StoreError("The disk is full.")

    with monkeypatch.context() as full:
        full.setattr(desk.conversations, "begin", refuse)
        refused = desk.ask(LEAVE, conversation)
    assert "The disk is full." in refused[0].warning
    until(lambda: desk.answers.running(conversation) is None)
    assert desk.texts(conversation) == [PARKING]
    assert desk.ask(LEAVE, conversation)[-1].messages


def test_the_server_takes_only_so_many_questions(slow: tuple[Desk, FakeOllama]) -> None:
    desk, _ = slow
    tasks = [AnswerTask(str(number), PARKING, lambda _: None) for number in range(MOST_RUNNING)]
    for task in tasks:
        desk.answers.start(task, [], "default")
    with pytest.raises(ServerBusy, match=str(MOST_RUNNING)):
        desk.answers.check_room("one more")
    for task in tasks:
        task.stop()
    desk.answers.check_room("one more")


def test_history_is_the_last_complete_exchanges() -> None:
    turns = [(f"q{n}", {"text": f"a{n}"}) for n in range(9)] + [("half", {"text": "x", "state": "stopped"})]
    assert [turn.user for turn in history_of(turns)] == ["q3", "q4", "q5", "q6", "q7", "q8"]


def test_feedback_and_search(desk: Desk) -> None:
    conversation = desk.ask(PARKING)[0].conversation or ""
    desk.ask(LEAVE)
    desk.conversations.feedback(conversation, 0, -1, "too long")
    found = desk.conversations.get(conversation)
    assert found is not None and (found.turns[0].thumb, found.turns[0].note) == (-1, "too long")
    assert [row.id for row in desk.conversations.rows("6:30 mill")] == [conversation]
    assert len(desk.conversations.rows("")) == 2 and desk.conversations.rows("zebra") == []
    desk.conversations.delete(conversation)
    assert desk.conversations.get(conversation) is None


def test_a_signal_wakes_waiters_in_any_loop() -> None:
    changed = Signal()

    async def wait_for_one() -> int:
        return await changed.wait(changed.version, 20)

    results: list[int] = []
    threads = [threading.Thread(target=lambda: results.append(asyncio.run(wait_for_one()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: len(changed._waiting) == 4)
    changed.notify()
    for thread in threads:
        thread.join(60)
    assert results == [1, 1, 1, 1]
    assert asyncio.run(changed.wait(0, 0.01)) == 1
    assert asyncio.run(changed.wait(1, 0.01)) == 1


@pytest.mark.parametrize("turns", range(5))
def test_a_wait_that_is_ended_as_the_signal_comes_ends(turns: int) -> None:
    """It went on, and with it an answer's follower: the page that was told to end did so when the answer was whole."""

    async def wait_until_cancelled() -> bool:
        changed = Signal()
        waiter = asyncio.create_task(changed.wait(0, 60))
        await asyncio.sleep(0)
        changed.notify()
        for _ in range(turns):
            await asyncio.sleep(0)
        cancelled = waiter.cancel()
        await asyncio.wait([waiter])
        return waiter.cancelled() == cancelled

    assert asyncio.run(wait_until_cancelled())
