"""In a real browser: models made ready in advance, notices, embedding anew, drafts of gold questions."""

from __future__ import annotations

import re
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from rag.gold.commands.draft import from_feedback
from rag.library import Library
from rag.models.multilingual import multilingual_installed
from tests.fake_ollama import FakeModel, FakeOllama
from tests.ui.pilot import Pilot, page_over, tab

pytestmark = pytest.mark.browser
PARKING = "When does the car park on Mill Lane open?"
Usage = namedtuple("Usage", "total used free")


def status(pilot: Pilot) -> str:
    return pilot.page.locator("#status").inner_text()


def test_the_model_is_loaded_when_the_page_starts_and_only_once(browser: Browser, corpus: Path, tmp_path: Path) -> None:
    """What loads a model again is another option: the first question must send what the warm-up sent."""
    with (
        FakeOllama(["fake-chat", "fake-ramble"], load_seconds=300) as server,
        Library.open(tmp_path / "l", llm="ollama:fake-chat", embedder="builtin", ollama_host=server.url) as library,
    ):
        library.ingest(corpus)
        with page_over(library) as address, tab(browser, address) as pilot:
            expect(pilot.page.locator("#status")).to_contain_text("fake-chat is being loaded")
            server.scheduler.load_seconds = 0
            expect(pilot.page.locator("#status")).to_contain_text("fake-chat ready")
            assert [load.model for load in server.loads] == ["fake-chat:latest"]
            pilot.ask(PARKING)
            assert len(server.loads) == 1
            server.scheduler.load_seconds = 300
            pilot.choose("ollama:fake-ramble")
            expect(pilot.page.locator("#status")).to_contain_text("fake-ramble is being loaded")
            server.scheduler.load_seconds = 0
            expect(pilot.page.locator("#status")).to_contain_text("fake-ramble ready")
            assert [load.model for load in server.loads] == ["fake-chat:latest", "fake-ramble:latest"]


def test_the_page_ends_while_a_model_is_being_loaded(corpus: Path, tmp_path: Path) -> None:
    with (
        FakeOllama(["fake-chat"], load_seconds=30) as server,
        Library.open(tmp_path / "l", llm="ollama:fake-chat", embedder="builtin", ollama_host=server.url) as library,
    ):
        library.ingest(corpus)
        with page_over(library):
            assert server.wait_for(lambda: bool(server.sent("/api/chat")), 60)
        assert server.open_connections == 1 and server.loads == []  # it did not wait for the model


def test_an_embedder_that_changed_is_a_notice_and_embedding_again_ends_it(
    browser: Browser, corpus: Path, tmp_path: Path
) -> None:
    first, second = FakeModel("embed-s", digest="a" * 64), FakeModel("embed-s", digest="b" * 64)
    with FakeOllama([first]) as server:
        with Library.open(tmp_path / "l", llm="quotes", embedder="ollama:embed-s", ollama_host=server.url) as library:
            library.ingest(corpus)
            assert library.notices == ()
        server.models["embed-s:latest"] = second.completed()
        with (
            Library.open(tmp_path / "l", llm="quotes", embedder="auto", ollama_host=server.url) as library,
            page_over(library) as address,
            tab(browser, address) as pilot,
        ):
            notice = pilot.page.locator("#notices li")
            expect(notice).to_contain_text("embed-s has changed since the collection default was made")
            expect(notice).to_be_in_viewport()
            with pilot.settings():
                expect(pilot.page.locator("#embedding")).to_contain_text("Search model: embed-s")
                pilot.page.locator("#embedding [data-act=reindex]").click()
                choice = pilot.page.locator("#ask-dialog select")
                own = ["builtin", "multilingual"] if multilingual_installed() else ["builtin"]
                assert choice.locator("option").all_inner_texts() == ["ollama:embed-s", *own]
                expect(choice).to_have_value("ollama:embed-s")
                pilot.dialog()
            expect(pilot.page.locator("#notices li")).to_have_count(0)
            assert library.notices == ()
            assert "6:30" in pilot.ask(PARKING).inner_text()


def test_embedding_with_another_model_shows_progress_can_be_cancelled_and_goes_on(
    browser: Browser, corpus: Path, tmp_path: Path
) -> None:
    with (
        FakeOllama(["embed-s"]) as server,
        Library.open(tmp_path / "l", llm="quotes", embedder="auto", ollama_host="http://127.0.0.1:9") as library,
    ):
        (tmp_path / "long.md").write_text(
            "\n\n".join(f"# Chapter {n}\n\nThe lake number {n} is {n + 7} metres deep." for n in range(200))
        )
        library.ingest([corpus, tmp_path / "long.md"])
        assert library.index().embedder == "builtin"
    with (
        Library.open(tmp_path / "l", llm="quotes", embedder="auto", ollama_host=server.url) as library,
        server_again(server) as running,
        page_over(library) as address,
        tab(browser, address) as pilot,
    ):
        running.delay = 0.03
        line = pilot.page.locator("#embedding")
        expect(line).to_contain_text("Search model: the included model")
        with pilot.settings():
            line.locator("[data-act=reindex]").click()
            pilot.page.locator("#ask-dialog select").select_option("ollama:embed-s")
            pilot.dialog()
            expect(line.locator("progress")).to_be_visible()
        expect(line).to_contain_text(re.compile(r"[1-9]\d* of \d+ passages"))
        running.delay = 0.2  # seconds a text: far from its end when it is cancelled, however busy the machine
        assert "6:30" in pilot.ask(PARKING).inner_text()  # the old vectors answer meanwhile
        pilot.page.reload()
        pilot.ready()
        pilot.page.locator("#acts [data-act=settings]").click()
        expect(line.locator("progress")).to_be_visible()
        line.locator("[data-act=cancel]").click()
        expect(line).to_contain_text("Cancelled; what is done is kept.")
        assert library.index().unfinished == "ollama:embed-s"
        done = len(running.sent("/api/embed"))
        running.delay = 0.0
        line.locator("[data-act=reindex]", has_text="Go on").click()
        pilot.dialog()
        expect(line).to_contain_text("Search model: embed-s")
        expect(line.locator("progress")).to_have_count(0)
        pilot.page.keyboard.press("Escape")
        assert library.index().embedder == "ollama:embed-s" and library.index().unfinished == ""
        assert len(running.sent("/api/embed")) > done
        assert "6:30" in pilot.ask(PARKING).inner_text()


def server_again(server: FakeOllama) -> FakeOllama:
    """Another server with the same models at the same address."""
    return FakeOllama(list(server.models.values()), port=int(server.url.rpartition(":")[2]))


def test_a_damaged_index_is_said_and_answers_go_on(
    browser: Browser, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no room for a new one the library searches exactly, and says so until it could be rebuilt."""
    with Library.open(tmp_path / "l", llm="quotes", embedder="builtin") as library:
        library.ingest(corpus)
    damaged = next(path for path in (tmp_path / "l" / "index").rglob("*.sqlite3"))
    damaged.write_bytes(b"no database" * 100)
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 10**9, 0))
        with Library.open(tmp_path / "l", llm="quotes", embedder="builtin") as library:
            library.search("wake the index", 1)
            library.doctor()
            with page_over(library) as address, tab(browser, address) as pilot:
                expect(pilot.page.locator("#notices li")).to_contain_text("search index of the collection default")
                expect(pilot.page.locator("#notices li")).to_contain_text("nothing is lost")
                assert "6:30" in pilot.ask(PARKING).inner_text()
    with Library.open(tmp_path / "l", llm="quotes", embedder="builtin") as library:
        assert all(check.state == "ok" for check in library.doctor() if check.name == "index") or library.notices
        library.ingest(corpus)
        assert library.notices == ()


def test_an_answer_becomes_a_draft_of_a_gold_question(browser: Browser, quoting_page: str, filled: Library) -> None:
    with tab(browser, quoting_page) as pilot:
        pilot.ask("What is served in the canteen, and when?")
        pilot.ask("Which class are train journeys booked in?")
        pilot.answers.first.locator("a.cite").first.click()
        pilot.page.locator("#sources .turn.on [data-gold]").click()
        expect(pilot.page.locator("#sources .turn.on .gold")).to_contain_text("Saved as a draft")
        expect(pilot.page.locator("#sources .turn.on")).to_have_attribute("id", "t1")
        pilot.page.locator("#feedback input").fill("lunch from noon until two")
        pilot.page.locator("#feedback button[type=submit]").click()
        expect(pilot.page.locator("#feedback form")).to_have_count(0)
        expect(pilot.page.locator("#chat button[aria-label='Liked']")).to_have_count(1)
        draft = next(q for q in from_feedback(filled.conversations, "default") if "canteen" in q.question)
        assert draft.sources[0].file == "faq.html" and "lunch" in (draft.sources[0].quote or "")
        assert draft.aliases == ("lunch from noon until two",)
        assert draft.review.status == "draft"
