"""Many questions at once through one library: few at the server, a bounded queue, every connection given back."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

from rag import Library
from rag.errors import ServerBusy
from rag.types import Token
from tests.fake_ollama import FakeModel, FakeOllama, Fault
from tests.fake_ollama_http import Record

AT_ONCE = 20
AGAIN = 5
PLACES = 2
QUEUE = 32
PLAIN = 4
"""Connections for short requests, beside one for each place."""
LONG_WORDS = "International representatives acknowledged extraordinary administrative responsibilities. " * 8
"""One token a word by the estimate, two or three by the server's count."""


@pytest.fixture
def server() -> Iterator[FakeOllama]:
    models = [FakeModel("chat-s"), FakeModel("chat-ramble"), FakeModel("embed-s")]
    with FakeOllama(models, delay=0.002, parallel=8) as running:
        yield running


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(AT_ONCE):
        text = f"The pressure in boiler {number} is {number * 3 + 100} bar.\n\n"
        (folder / f"note-{number:02}.txt").write_text(text + LONG_WORDS, encoding="utf-8")
    return folder


def most_at_once(records: list[Record]) -> int:
    """How many of these requests the server had in hand together at most."""
    ends = sorted([(r.started, 1) for r in records] + [(r.finished, -1) for r in records])
    return max(accumulate(step for _, step in ends))


def opened(tmp_path: Path, docs: Path, server: FakeOllama, **settings: Any) -> Library:
    library = Library.open(tmp_path / "library", ollama_host=server.url, **settings)
    library.ingest([docs])
    return library


def question(number: int) -> str:
    return f"What is the pressure in boiler {number}?"


@pytest.mark.parametrize("embedder", ["builtin", "ollama:embed-s"])
def test_twenty_questions_at_once(tmp_path: Path, docs: Path, server: FakeOllama, embedder: str) -> None:
    with opened(tmp_path, docs, server, llm="ollama:chat-s", embedder=embedder, concurrency=PLACES) as library:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for count in (AGAIN, AT_ONCE):
                answers = list(pool.map(lambda n: library.ask(question(n)), range(count)))
                for number, answer in enumerate(answers):
                    assert answer.question == question(number)
                    assert f"{number * 3 + 100} bar" in answer.text and answer.citations[0].source
        for tokens in (answer.tokens for answer in answers):
            assert tokens["prompt"] * 0.9 < tokens["estimated"] < tokens["prompt"] * 1.3
        chats = server.sent("/api/chat")
        assert len(chats) == AGAIN + AT_ONCE and {record.status for record in chats} == {200}
        assert server.wait_for(lambda: all(record.finished for record in chats))
        assert most_at_once(chats) == PLACES, "the program's own limit holds, and its places are used"
        assert most_at_once(server.sent("/api/embed") or chats[:1]) == 1
        clients = 2 if embedder.startswith("ollama:") else 1
        assert server.accepted_connections <= clients * (PLACES + PLAIN), "connections are used again"
    assert server.wait_for(lambda: server.open_connections == 0)


def test_over_the_queue_is_busy_at_once_and_the_others_are_answered(
    tmp_path: Path, docs: Path, server: FakeOllama
) -> None:
    over = 7
    with opened(tmp_path, docs, server, llm="ollama:chat-s", embedder="builtin", concurrency=1) as library:
        library.ask(question(0))
        server.script(Fault(stall=120))
        holder = library.stream(question(1))
        next(event for event in holder if isinstance(event, Token))
        assert server.wait_for(lambda: len(server.sent("/api/chat")) == 2)
        before = 2

        def ask(number: int) -> str:
            try:
                return library.ask(question(number % AT_ONCE)).text
            except ServerBusy as error:
                assert error.hint and "no room" in str(error)
                return ""

        with ThreadPoolExecutor(QUEUE + over) as pool:
            waiting = [pool.submit(ask, number) for number in range(QUEUE + over)]
            assert server.wait_for(lambda: sum(future.done() for future in waiting) == over, 60)
            assert all(not future.result() for future in waiting if future.done())
            assert len(server.sent("/api/chat")) == before, "what waits has not been sent"
            holder.close()
            texts = [future.result(60) for future in waiting]
        assert sum("bar" in text for text in texts) == QUEUE
        assert len(server.sent("/api/chat")) == before + QUEUE
        assert "100 bar" in library.ask(question(0)).text
    assert server.wait_for(lambda: server.open_connections == 0)


def test_answers_that_are_stopped_give_their_places_back(tmp_path: Path, docs: Path, server: FakeOllama) -> None:
    with opened(tmp_path, docs, server, llm="ollama:chat-ramble", embedder="builtin", concurrency=PLACES) as library:

        def begin_and_stop(number: int) -> None:
            stream = library.stream(question(number))
            next(event for event in stream if isinstance(event, Token) and event.text)
            stream.close()

        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(begin_and_stop, range(AT_ONCE)))
        chats = server.sent("/api/chat")
        assert len(chats) == AT_ONCE and server.wait_for(lambda: all(record.finished for record in chats))
        library.use_llm("chat-s")
        assert "103 bar" in library.ask(question(1)).text
    assert server.wait_for(lambda: server.open_connections == 0)
