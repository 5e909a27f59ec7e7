"""In a real browser: what a person in a hurry does, and that nothing of it is lost or told wrongly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route, expect

from rag.library import Library
from tests.fake_ollama import FakeModel, FakeOllama
from tests.ui.corpus import write_corpus
from tests.ui.pilot import page_over, tab, write

pytestmark = pytest.mark.browser
LEAVE = "How many days of paid annual leave do full-time staff receive?"
PARKING = "When does the car park on Mill Lane open?"
PATIENCE = 60_000


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """A library whose answers a model writes slowly."""
    home = tmp_path_factory.mktemp("hurry")
    with (
        FakeOllama([FakeModel("fake-ramble", mode="ramble")], delay=0.05, parallel=4) as server,
        Library.open(home / "l", llm="ollama:fake-ramble", embedder="builtin", ollama_host=server.url) as opened,
    ):
        opened.ingest(write_corpus(home / "docs"))
        opened.collections.create("Manuals")
        yield opened


@pytest.fixture(scope="module")
def address(library: Library) -> Iterator[str]:
    with page_over(library) as found:
        yield found


def test_files_go_where_they_were_put_though_another_collection_is_chosen_meanwhile(
    browser: Browser, address: str, library: Library, tmp_path: Path
) -> None:
    with tab(browser, address) as pilot:
        held: list[Route] = []
        pilot.page.route("**/upload?*", lambda route: held.append(route))
        files = pilot.page.locator("#up input[type=file]").first
        files.set_input_files(write(tmp_path, first__md="The first ox.\n", second__md="The second ox.\n"))
        expect(pilot.page.locator("#up .sending li")).to_have_count(2)
        pilot.collection("Manuals")
        pilot.page.unroute("**/upload?*")  # lets go of what is held
        expect(pilot.page.locator("#up .sending li")).to_have_count(0, timeout=PATIENCE)
        pilot.collection("default")
        expect(pilot.page.locator("#docs li.doc", has_text="second.md")).to_contain_text("passage", timeout=PATIENCE)
        assert not library.sources("Manuals")


def test_hidden_files_of_a_chosen_folder_stay_where_they_are(browser: Browser, address: str, tmp_path: Path) -> None:
    (tmp_path / "project" / ".git").mkdir(parents=True)
    (tmp_path / "project" / ".git" / "config.md").write_text("hidden\n")
    (tmp_path / "project" / "plan.md").write_text("The plan has nine steps.\n")
    with tab(browser, address) as pilot:
        pilot.page.locator("#up input[webkitdirectory]").set_input_files(str(tmp_path / "project"))
        expect(pilot.page.locator("#docs li.doc", has_text="plan.md")).to_contain_text("passage", timeout=PATIENCE)
        expect(pilot.page.locator("#docs li.doc", has_text="config.md")).to_have_count(0)


def test_a_page_whose_server_was_restarted_comes_back_with_the_question_that_was_being_typed(
    browser: Browser, tmp_path: Path
) -> None:
    """It asked for an address that the guard refused, and said for good that it was about to reconnect."""
    with Library.open(tmp_path / "l", llm="quotes", embedder="builtin") as library:
        library.ingest(write_corpus(tmp_path / "docs"))
        context = browser.new_context(locale="en-GB")
        page = context.new_page()
        with page_over(library) as address:
            page.goto(address)
            page.locator("#box textarea").fill(PARKING)
            page.locator("#box textarea").press("Enter")
            page.locator("#chat .footline").wait_for(timeout=PATIENCE)
            page.locator("#box .submit-button").wait_for()
            page.locator("#box textarea").press_sequentially("And on Sun")
            page.evaluate("window.same = true")
        page.get_by_text("Connection to the server was lost").wait_for(timeout=PATIENCE)
        with page_over(library, int(address.rstrip("/").rpartition(":")[2])):
            page.wait_for_function("window.same === undefined", timeout=PATIENCE)
            expect(page.locator("#chat .user-row .q")).to_have_text(PARKING, timeout=PATIENCE)
            expect(page.locator("#box textarea")).to_have_value("And on Sun", timeout=PATIENCE)
            page.locator("#box textarea").press("Enter")
            expect(page.locator("#chat .user-row")).to_have_count(2, timeout=PATIENCE)
            page.reload()
            expect(page.locator("#chat .user-row")).to_have_count(2, timeout=PATIENCE)
            expect(page.locator("#box textarea")).to_have_value("")
        context.close()


def test_what_is_copied_is_copied_where_browsers_have_no_clipboard_for_pages(
    browser: Browser, quoting_page: str
) -> None:
    with tab(browser, quoting_page) as pilot:
        pilot.ask(PARKING)
        pilot.page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined, configurable: true})")
        pilot.page.locator("#sources .turn.on [data-markdown]").click()
        expect(pilot.page.locator("#sources .turn.on [data-markdown]")).to_have_text("Copied")
        pilot.box.focus()
        pilot.page.keyboard.press("Control+V")
        assert "[^1]" in pilot.box.input_value()
        pilot.page.evaluate("document.execCommand = () => false")
        expect(pilot.page.locator("#sources .turn.on [data-markdown]")).to_have_text("Copy as Markdown")
        pilot.page.locator("#sources .turn.on [data-markdown]").click()
        expect(pilot.page.locator("#sources .turn.on [data-markdown]")).to_have_text("Not copied")


def test_a_question_asked_too_early_or_too_long_is_told_of_and_kept(browser: Browser, address: str) -> None:
    with tab(browser, address) as pilot:
        pilot.send(LEAVE)
        pilot.page.wait_for_function("document.querySelector('#chat .answer.live')?.textContent.length > 40")
        pilot.box.fill(PARKING)
        pilot.box.press("Enter")
        pilot.page.wait_for_timeout(500)
        expect(pilot.box).to_have_value(PARKING)
        expect(pilot.page.locator("#chat .user-row .q")).to_have_text(LEAVE)
        expect(pilot.page.locator("#chat .answer.live")).to_have_count(1)
        pilot.page.locator("#box .stop-button").click()
        pilot.settle()
        long = "Why? " * 2_000
        pilot.box.fill(long)
        pilot.box.press("Enter")
        expect(pilot.page.locator(".toast-body")).to_contain_text("8,000", timeout=PATIENCE)
        pilot.page.wait_for_timeout(500)
        expect(pilot.page.locator("#chat .user-row .q")).to_have_text(LEAVE)
        assert pilot.box.input_value().strip() == long.strip()


def test_enter_pressed_twice_asks_once(browser: Browser, address: str, library: Library) -> None:
    before = len(library.conversations.list())
    with tab(browser, address) as pilot:
        pilot.box.fill(LEAVE)
        pilot.box.press("Enter")
        pilot.box.press("Enter")
        pilot.page.locator("#chat .answer.live").wait_for()
        pilot.page.wait_for_timeout(1_000)
        expect(pilot.page.locator("#chat .user-row .q")).to_have_text(LEAVE)
        expect(pilot.page.locator(".toast-body")).to_have_count(0)
        pilot.page.locator("#box .stop-button").click()
        pilot.settle()
    assert len(library.conversations.list()) == before + 1


def test_the_console_keeps_quiet_of_leaving_alone(browser: Browser, address: str) -> None:
    with tab(browser, address) as pilot:
        pilot.send(LEAVE)
        pilot.page.wait_for_function("document.querySelector('#chat .answer.live')?.textContent.length > 40")
        pilot.page.reload()
        pilot.ready()
        pilot.page.locator("#box .stop-button").click()
        pilot.settle()
        # Now and then Gradio's client is told a change of what it does not have yet; the answer's end puts that right.
        assert [said for said in pilot.errors if not said.startswith("Unexpected client exception")] == []
        pilot.page.evaluate("""() => {
            console.error(new DOMException('ended', 'AbortError'));
            console.error('Connection errored out.');
        }""")
        pilot.page.wait_for_function("window.waited ??= setTimeout(() => { window.over = true; }, 1500), window.over")
        assert len(pilot.errors) == 2
