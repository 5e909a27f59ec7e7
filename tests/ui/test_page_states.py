"""In a real browser: axe-core in the states that pass quickly or only appear when something goes wrong."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from rag.library import Library
from rag.models.families import DEFAULT_CHAT_PULL
from tests.fake_ollama import FakeModel, FakeOllama
from tests.ui.corpus import write_corpus
from tests.ui.pilot import PHONE, Pilot, page_over, tab, write
from tests.ui.test_page_access import faults
from tests.ui.test_people import PASSWORD, served

pytestmark = pytest.mark.browser

LEAVE = "How many days of paid annual leave do full-time staff receive?"
MODELS = (FakeModel("qwen3:4b"), *map(FakeModel, ("fake-hallucinate", "fake-ramble")))
THEMES = ("light", "dark") if os.environ.get("RAG_SOAK") else ("light",)
Look = Callable[[str], None]
long = pytest.mark.skipif(not os.environ.get("RAG_SOAK"), reason="the long form, RAG_SOAK=1")


@contextmanager
def looking(pilot: Pilot) -> Iterator[Look]:
    """What looks at a state by name; at the end nothing may have been found in any."""
    states: dict[str, list[str]] = {}

    def look(name: str) -> None:
        for theme in THEMES:
            pilot.page.evaluate("dark => document.body.classList.toggle('dark', dark)", theme == "dark")
            states[f"{name}, {theme}"] = faults(pilot)

    yield look
    assert {name: found for name, found in states.items() if found} == {}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page over a library that a model answers from."""
    home = tmp_path_factory.mktemp("states")
    with (
        FakeOllama(MODELS, delay=0.02, parallel=4) as server,
        Library.open(home / "l", llm="ollama:qwen3:4b", embedder="builtin", ollama_host=server.url) as library,
    ):
        library.ingest(write_corpus(home / "docs"))
        with page_over(library) as found:
            yield found


@long
def test_while_an_answer_is_written_stopped_flagged_and_rated(browser: Browser, address: str) -> None:
    with tab(browser, address) as pilot, looking(pilot) as look:
        pilot.choose("ollama:fake-ramble")
        pilot.send(LEAVE)
        pilot.page.wait_for_function("document.querySelector('#chat .answer.live')?.textContent.length > 60")
        pilot.page.locator("#box .stop-button").click()
        pilot.settle()
        look("stopped")
        pilot.choose("ollama:fake-hallucinate")
        pilot.ask("When does the car park on Mill Lane open?")
        pilot.page.locator("#chat button[aria-label='Like']").last.click()
        pilot.page.locator("#feedback form").wait_for()
        look("flagged, and rated")
        pilot.page.locator("#chat .message-buttons-right button[aria-label='Edit']").first.click()
        pilot.page.locator("#chat textarea.edit-textarea").wait_for()
        look("edited")
        pilot.choose("ollama:qwen3:4b")


def test_dialogs_and_what_goes_wrong_with_files(browser: Browser, address: str, tmp_path: Path) -> None:
    files = write(tmp_path, program__exe="MZ\x00", tool__exe="MZ\x00", notes__txt="Other notes of the same name.\n")
    with tab(browser, address) as pilot, looking(pilot) as look:
        for act in ("create", "rename", "delete"):
            pilot.page.locator(f"#collacts [data-act={act}]").click()
            look(f"dialog: {act}")
            pilot.page.locator("#ask-dialog .no").click()
        pilot.page.locator("#up input[type=file]").first.set_input_files(files)
        pilot.page.wait_for_function("document.querySelectorAll('#docs li.failed').length === 2")
        pilot.page.locator("#docs .decide").wait_for()  # the place opens by itself
        pilot.page.locator("#docs input[type=search]").fill("handbook")
        expect(pilot.page.locator("#docs .dtools .shown")).to_contain_text("1 of")
        look("failures, a decision and a filter")
        pilot.page.locator("#docs input[type=search]").fill("nothing is called so")
        look("nothing found")
        pilot.page.locator("#docs .decide [data-act=dismiss]").click()
        pilot.page.locator("#docs .failures > button").click()
        pilot.page.locator("#docs [data-close]").click()


def test_what_a_phone_opens(browser: Browser, address: str) -> None:
    with tab(browser, address, viewport=PHONE, has_touch=True, is_mobile=True) as pilot, looking(pilot) as look:
        pilot.ask(LEAVE)
        pilot.chips.first.tap()
        pilot.cards.first.locator("[data-open]").tap()
        pilot.page.locator("#reader .rtext").wait_for()
        look("reader")
        pilot.page.locator("#reader [data-act=close-reader]").tap()
        pilot.page.locator("#sources [data-act=close]").tap()
        with pilot.settings():
            look("settings")
        pilot.page.locator("#left .toggle-button").tap()
        pilot.page.wait_for_function("document.querySelector('#left').classList.contains('open')")
        look("sidebar")
        pilot.page.locator("#docsum [data-documents]").tap()
        pilot.page.locator("#docs .dhead").wait_for()
        look("documents")


@long
def test_the_states_of_the_model(browser: Browser, tmp_path: Path) -> None:
    with (
        FakeOllama([], delay=0.6, library={DEFAULT_CHAT_PULL: 3_400_000_000}) as server,
        Library.open(tmp_path / "l", embedder="builtin", ollama_host=server.url) as library,
        page_over(library) as address,
        tab(browser, address) as pilot,
        looking(pilot) as look,
    ):
        pilot.page.locator("#status [data-act=pull]").wait_for()
        look("no model, no documents")
        pilot.page.locator("#status [data-act=pull]").click()
        pilot.page.locator("#status progress").wait_for()
        look("a download")
        pilot.page.locator("#status [data-act=cancel]").click()
        server.close()
        pilot.page.locator("#status [data-act=cancel]").wait_for(state="detached", timeout=60_000)
        pilot.page.reload()
        pilot.ready()
        pilot.page.locator("#status [data-act=check]").wait_for()
        look("nothing there")


def test_the_pages_of_an_account(browser: Browser, tmp_path: Path) -> None:
    with Library.open(tmp_path / "library", llm="quotes", embedder="builtin") as library:
        library.accounts.add("anna", PASSWORD, "editor")
        library.for_user(library.accounts.get("anna")).collections.create("annas")
        with served(library) as running:
            context = browser.new_context(locale="en-GB")
            page = context.new_page()
            page.goto(running.address)
            plain(page, "signing in")
            page.get_by_label("Name").fill("anna")
            page.get_by_label("Password").fill("not the password")
            page.get_by_role("button", name="Sign in").click()
            page.get_by_label("Password").wait_for()
            plain(page, "a wrong password")
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button", name="Sign in").click()
            page.locator("#box textarea").wait_for()
            page.goto(f"{running.address}/account")
            plain(page, "the account")
            context.close()


def plain(page: Page, name: str) -> None:
    """A page without scripts, in either scheme of colours."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert faults(Pilot(page, page.url)) == [], f"{name}, {scheme}"
