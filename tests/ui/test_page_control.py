"""In a real browser: stop, retry, undo, edit, scroll, reload, restart, conversations, thumbs, two tabs."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from rag.config import Config
from rag.library import Library
from tests.fake_ollama import FakeOllama
from tests.ui.pilot import Pilot, page_over, tab
from ui.chat import Chat, Update

pytestmark = pytest.mark.browser
LEAVE = "How many days of paid annual leave do full-time staff receive?"
PARKING = "When does the car park on Mill Lane open?"


def wait_for_text(pilot: Pilot, least: int) -> None:
    """Until the growing answer has this many characters."""
    pilot.page.wait_for_function(
        "n => (document.querySelector('#chat .answer.live')?.textContent.length ?? 0) > n", arg=least
    )


def test_stop_ends_at_once_and_closes_the_request_to_the_model(
    browser: Browser, writing_page: str, fake: FakeOllama
) -> None:
    with tab(browser, writing_page) as pilot:
        pilot.choose("ollama:fake-ramble")
        pilot.send(LEAVE)
        wait_for_text(pilot, 80)
        pilot.page.locator("#box .stop-button").click()
        expect(pilot.answers.last.locator(".note.stopped")).to_contain_text("Stopped.")
        expect(pilot.page.locator("#box .submit-button")).to_be_visible()
        request = fake.sent("/api/chat")[-1]
        end = time.monotonic() + 5
        while not request.disconnected and time.monotonic() < end:
            time.sleep(0.02)
        assert request.disconnected
        said = pilot.answers.last.inner_text()
        pilot.page.wait_for_timeout(300)
        assert pilot.answers.last.inner_text() == said
        pilot.choose("ollama:fake-chat")


def test_retry_replaces_the_answer(browser: Browser, quoting_page: str) -> None:
    with tab(browser, quoting_page) as pilot:
        pilot.ask(PARKING)
        before = pilot.page.locator("#chat .bot-row").count()
        pilot.page.locator("#chat button[aria-label='Retry']").click()
        pilot.page.wait_for_timeout(200)
        pilot.settle()
        expect(pilot.page.locator("#chat .bot-row")).to_have_count(before)
        expect(pilot.answers.last).to_contain_text("6:30")


def test_undo_puts_the_question_back(browser: Browser, quoting_page: str) -> None:
    with tab(browser, quoting_page) as pilot:
        pilot.ask(PARKING)
        pilot.ask(LEAVE)
        pilot.page.locator("#chat button[aria-label='Undo']").click()
        expect(pilot.box).to_have_value(LEAVE)
        expect(pilot.page.locator("#chat .user-row")).to_have_count(1)
        expect(pilot.page.locator("#sources .turn.on")).to_have_attribute("id", "t1")


def test_editing_a_question_cuts_what_came_after(browser: Browser, quoting_page: str) -> None:
    odd = "What is *said* about <b>parking</b> & ${x}?"
    with tab(browser, quoting_page) as pilot:
        pilot.ask(odd)
        pilot.ask(LEAVE)
        pilot.page.locator("#chat .message-buttons-right button[aria-label='Edit']").first.click()
        area = pilot.page.locator("#chat textarea.edit-textarea")
        expect(area).to_have_value(odd)
        area.fill(PARKING)
        pilot.page.locator("#chat button[aria-label='Submit']").first.click()
        expect(pilot.page.locator("#chat .user-row .q")).to_have_text(PARKING)
        pilot.settle()
        expect(pilot.page.locator("#chat .user-row")).to_have_count(1)
        expect(pilot.answers.last).to_contain_text("6:30")


def test_a_reader_who_scrolled_up_stays_there(browser: Browser, writing_page: str, fake: FakeOllama) -> None:
    fast = fake.delay
    with tab(browser, writing_page) as pilot:
        pilot.choose("ollama:fake-ramble")
        pilot.page.set_viewport_size({"width": 1360, "height": 420})
        pilot.send(LEAVE)
        pilot.page.wait_for_function("""() => {
            const b = document.querySelector('#chat .bubble-wrap');
            return document.querySelector('#chat .answer.live') && b.scrollHeight > b.clientHeight + 250;
        }""")
        fake.delay = 10 * fast  # however slow the machine, the answer still grows when the reader has scrolled up
        at_end = pilot.sizes("#chat .bubble-wrap")
        assert at_end["top"] + at_end["shown"] >= at_end["height"] - 60
        pilot.page.locator("#chat .bubble-wrap").hover()
        pilot.page.mouse.wheel(0, -2_000)
        pilot.page.wait_for_function("document.querySelector('#chat .bubble-wrap').scrollTop === 0")
        before = pilot.sizes("#chat .bubble-wrap")["height"]
        pilot.page.wait_for_function(
            "n => document.querySelector('#chat .bubble-wrap').scrollHeight > n + 40", arg=before
        )
        assert pilot.sizes("#chat .bubble-wrap")["top"] == 0
        pilot.page.locator("#box .stop-button").click()
        pilot.settle()
        fake.delay = fast
        pilot.choose("ollama:fake-chat")
        pilot.send(PARKING)
        pilot.page.wait_for_function("""() => {
            const b = document.querySelector('#chat .bubble-wrap');
            return b.scrollTop + b.clientHeight >= b.scrollHeight - 60;
        }""")
        pilot.settle()


def test_what_is_typed_while_the_page_opens_is_kept(
    browser: Browser, quoting_page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy server tells late what a page opens with; a question that was typed by then is still to be asked."""
    typed = threading.Event()
    opened = Chat.open

    async def late(chat: Chat, conversation: str, view: str) -> Update | None:
        await asyncio.to_thread(typed.wait, 60)
        return await opened(chat, conversation, view)

    with tab(browser, quoting_page) as pilot:
        monkeypatch.setattr(Chat, "open", late)
        pilot.page.reload()
        pilot.box.fill(PARKING)
        typed.set()
        pilot.ready()
        expect(pilot.box).to_have_value(PARKING)
        pilot.box.press("Enter")
        pilot.settle()
        expect(pilot.answers.last).to_contain_text("6:30")


def test_a_reload_in_the_middle_of_an_answer_loses_nothing(browser: Browser, writing_page: str) -> None:
    with tab(browser, writing_page) as pilot:
        pilot.choose("ollama:fake-ramble")
        pilot.page.locator("#acts [data-act=theme]").click()
        pilot.send(LEAVE)
        wait_for_text(pilot, 60)
        pilot.page.reload()
        pilot.ready()
        expect(pilot.page.locator("#chat .user-row .q")).to_have_text(LEAVE)
        wait_for_text(pilot, 200)
        assert pilot.page.evaluate("document.body.classList.contains('dark')")
        pilot.page.locator("#box .stop-button").click()
        expect(pilot.answers.last.locator(".note.stopped")).to_be_visible()
        assert pilot.cards.count() >= 1
        pilot.choose("ollama:fake-chat")


def test_a_restart_of_the_server_restores_everything(browser: Browser, corpus: Path, tmp_path: Path) -> None:
    settings = Config(llm="quotes", embedder="builtin")
    context = browser.new_context(viewport={"width": 1360, "height": 860}, locale="en-GB")
    with Library.open(tmp_path / "library", config=settings) as library:
        library.ingest(corpus)
        with page_over(library) as address, tab(browser, address, context) as pilot:
            pilot.ask(PARKING)
            pilot.page.locator("#acts [data-act=theme]").click()
            said, cards = pilot.answers.last.inner_text(), pilot.cards.count()
    with Library.open(tmp_path / "library", config=settings) as library:
        cut = library.conversations.create("default")
        library.conversations.append(cut, LEAVE, "", {"question": LEAVE, "text": "", "state": "writing"})
        port = int(address.rpartition(":")[2].strip("/"))
        with page_over(library, port) as again, tab(browser, again, context) as pilot:
            expect(pilot.answers).to_have_count(1)
            assert pilot.answers.last.inner_text() == said
            assert pilot.cards.count() == cards
            assert pilot.page.evaluate("document.body.classList.contains('dark')")
            pilot.page.locator("#hist .conv", has_text=LEAVE[:12]).locator(".pick").click()
            expect(pilot.answers.last.locator(".note.failed")).to_contain_text("Interrupted.")
    context.close()


def test_conversations_are_opened_renamed_searched_and_deleted(browser: Browser, quoting_page: str) -> None:
    with tab(browser, quoting_page) as pilot:
        pilot.ask("Which class are train journeys booked in?")
        pilot.new()
        expect(pilot.page.locator("#sources .src")).to_have_count(0)
        pilot.ask("Where is the assembly point?")
        row = pilot.page.locator("#hist .conv", has_text="train journeys").first
        row.locator(".pick").click()
        expect(pilot.page.locator("#chat .user-row .q")).to_have_text("Which class are train journeys booked in?")
        expect(pilot.answers.last).to_contain_text("second class")
        row.locator("[data-act=rename]").click()
        pilot.dialog("Trains <b>${x}</b>")
        renamed = pilot.page.locator("#hist .conv", has_text="Trains <b>${x}</b>")
        expect(renamed).to_have_count(1)
        pilot.page.locator("#histfind input").fill("second class")
        expect(pilot.page.locator("#hist .conv", has_text="Where is the assembly")).to_have_count(0)
        expect(renamed).to_have_count(1)
        pilot.page.locator("#histfind input").fill("")
        expect(pilot.page.locator("#hist .conv", has_text="Where is the assembly")).to_have_count(1)
        renamed.locator("[data-act=delete]").click()
        pilot.dialog()
        expect(renamed).to_have_count(0)
        expect(pilot.page.locator("#chat .user-row")).to_have_count(0)


def test_a_thumb_and_its_note_last(browser: Browser, quoting_page: str, filled: Library) -> None:
    with tab(browser, quoting_page) as pilot:
        pilot.ask("What is served in the canteen, and when?")
        pilot.page.locator("#chat button[aria-label='Dislike']").last.click()
        pilot.page.locator("#feedback input").fill("Too short")
        pilot.page.locator("#feedback button[type=submit]").click()
        expect(pilot.page.locator("#feedback form")).to_have_count(0)
        number = int(pilot.page.locator("#conversation textarea, #conversation input").first.input_value())
        _, turns = filled.conversations.get(number)
        assert turns[0].feedback is not None
        assert (turns[0].feedback.value, turns[0].feedback.note) == (-1, "Too short")
        pilot.page.reload()
        pilot.ready()
        expect(pilot.page.locator("#chat button[aria-label='Disliked']")).to_have_count(1)


def test_two_tabs_stream_at_once(browser: Browser, writing_page: str) -> None:
    with tab(browser, writing_page) as one:
        one.choose("ollama:fake-ramble")
        with tab(browser, writing_page) as two:
            one.send(LEAVE)
            two.send(PARKING)
            wait_for_text(one, 40)
            wait_for_text(two, 40)
            assert re.search("leave", one.page.locator("#chat .q").inner_text())
            assert re.search("Mill Lane", two.page.locator("#chat .q").inner_text())
            for pilot in (one, two):
                pilot.page.locator("#box .stop-button").click()
                expect(pilot.answers.last.locator(".note.stopped")).to_be_visible()
        one.choose("ollama:fake-chat")


def test_opening_another_conversation_does_not_end_the_answer(browser: Browser, writing_page: str) -> None:
    with tab(browser, writing_page) as pilot:
        pilot.choose("ollama:fake-ramble")
        pilot.send("What is said about leave and travel?")
        wait_for_text(pilot, 40)
        pilot.new()
        pilot.page.wait_for_timeout(400)
        expect(pilot.page.locator("#chat .user-row")).to_have_count(0)
        pilot.page.locator("#hist .conv", has_text="leave and travel").first.locator(".pick").click()
        wait_for_text(pilot, 120)
        pilot.page.locator("#box .stop-button").click()
        expect(pilot.answers.last.locator(".note.stopped")).to_be_visible()
        pilot.choose("ollama:fake-chat")
