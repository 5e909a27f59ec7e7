"""Pages of one library in a database, one of them another process: what is begun at one goes on at the other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from rag.library import Library
from tests.browser import PATIENCE_MS
from tests.chroma import ChromaRun
from tests.conftest import ROOT
from tests.fake_ollama import FakeOllama
from tests.postgres import Server
from tests.ui.corpus import write_corpus
from tests.ui.pilot import Pilot, page_over, tab
from tests.ui.test_ending import QUESTION, ask
from tests.ui.test_tasks import until
from ui.models import Models

SLOW = PATIENCE_MS / 1000


@pytest.fixture(name="model", scope="module")
def model_server() -> Iterator[FakeOllama]:
    """A model that rambles on for minutes, unless told to hurry."""
    with FakeOllama(["fake-ramble", "fake-chat"], delay=0.25, parallel=4) as server:
        yield server


def opened(address: str, folder: Path, model: FakeOllama, chroma: str = "") -> Library:
    return Library.open(
        address, library=folder, llm="ollama:fake-ramble", embedder="builtin", encoder="off", ollama_host=model.url,
        chroma=chroma,
    )  # fmt: skip


@contextmanager
def chroma_run(folder: Path) -> Iterator[ChromaRun]:
    """A Chroma server until the block ends."""
    running = ChromaRun(folder / "chroma")
    try:
        yield running
    finally:
        running.stop()


@contextmanager
def other_page(
    address: str, folder: Path, model: FakeOllama, chroma: str
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """``rag ui`` over the same library, and its port; killed at the end if it still runs."""
    environment = {
        **os.environ, "RAG_DATABASE": address, "RAG_CHROMA": chroma, "RAG_LIBRARY": str(folder),
        "RAG_LLM": "ollama:fake-ramble", "RAG_EMBEDDER": "builtin", "RAG_ENCODER": "off", "RAG_OLLAMA_HOST": model.url,
    }  # fmt: skip
    command = [sys.executable, "-m", "rag", "ui", "--port", "0"]
    with subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, cwd=ROOT) as child:
        try:
            assert child.stdout is not None
            yield child, int(child.stdout.readline().split()[1].rpartition(":")[2].strip("/"))
        finally:
            child.kill()


def begun_there(pilot: Pilot, port: int) -> str:
    """Ask at the other page, and open the conversation here; what there is of the answer."""
    ask(port)
    pilot.open()
    pilot.page.locator("#hist .pick").first.click()
    expect(pilot.page.locator("#chat .user-row")).to_contain_text(QUESTION)
    pilot.page.wait_for_function("() => document.querySelector('#chat .answer.live')?.innerText.length > 20")
    return pilot.answers.last.inner_text()


def test_an_answer_goes_on_at_another_page(
    postgres: Server, model: FakeOllama, browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = postgres.address("pages")
    with chroma_run(tmp_path) as chroma, opened(address, tmp_path / "here", model, chroma.address) as library:
        library.ingest(write_corpus(tmp_path / "docs"))
        with (
            other_page(address, tmp_path / "there", model, chroma.address) as (child, port),
            page_over(library) as here,
            tab(browser, here) as pilot,
        ):
            before = begun_there(pilot, port)
            pilot.page.wait_for_function(
                "n => document.querySelector('#chat .answer.live')?.innerText.length > n", arg=len(before)
            )
            pilot.page.locator("#box .stop-button").click()
            expect(pilot.answers.last.locator(".note.stopped")).to_contain_text("Stopped.")
            assert model.wait_for(lambda: all(r.finished or r.disconnected for r in model.sent("/api/chat")), SLOW), (
                "there, too"
            )

            begun_there(pilot, port)
            model.delay = 0.0
            pilot.settle()
            expect(pilot.answers.last.locator(".footline")).to_be_visible()
            model.delay = 0.25

            begun_there(pilot, port)
            child.send_signal(signal.SIGKILL)
            child.wait(SLOW)
            monkeypatch.setattr("ui.sharing.LEASE_SECONDS", 0.0)  # it is long
            expect(pilot.answers.last).to_contain_text("Interrupted.")
            pilot.page.wait_for_selector("#box .submit-button")
        turns = [library.conversations.get(one.id)[1][0].answer for one in library.conversations.list()]
        assert [turn.get("state") for turn in turns] == ["writing", None, "stopped"]
        assert all(turn["text"] for turn in turns)


def test_a_model_that_is_fetched_or_chosen_at_one_page_is_known_at_the_other(
    postgres: Server, model: FakeOllama, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.fake_ollama._PULL_STEPS", 400)
    address = postgres.address("pages_models")
    with opened(address, tmp_path / "a", model) as one, opened(address, tmp_path / "b", model) as other:
        one.collections.ensure()
        for library in (one, other):
            library.share_choices()
        here, there = Models(one), Models(other)
        assert here.use("quotes") == "" and there.current() == "quotes" and there.status().state == "quotes"
        assert other.llm_choice.name == "quotes"
        assert there.use("ollama:fake-chat") == "" and here.current() == "ollama:fake-chat"
        with Library.open(address, library=tmp_path / "c", llm="quotes", embedder="builtin") as own:
            own.share_choices()
            assert own.llm_choice.name == "quotes", "its own settings say another"
        here.pull("fake-new:1b")
        until(lambda: (there.status().percent or 0) > 0, SLOW)
        assert there.status().state == "pulling" and "fake-new:1b" in there.status().message and there.busy
        there.cancel()
        until(lambda: not here.busy, SLOW)
        assert here.current() == "ollama:fake-chat" and "cancelled" in here.status().hint
        assert there.status().state == "ok" and not there.busy
        model.delay = 0.0
        there.pull("fake-new:1b")
        until(lambda: there.current() == here.current() == "ollama:fake-new:1b", SLOW)
        for models in (here, there):
            models.close()


def test_a_library_in_a_folder_tells_nobody(tmp_path: Path) -> None:
    with Library.open(tmp_path, llm="quotes", embedder="builtin") as library:
        library.collections.ensure()
        library.share_choices()
        assert library.shared is None
        library.use_llm("auto")
        assert library._truth.settings.get("chosen-llm") is None
