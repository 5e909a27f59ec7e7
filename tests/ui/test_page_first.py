"""In a real browser: the first minutes, before there are documents or a model."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from rag.library import Library
from tests.fake_ollama import FakeOllama
from tests.ui.pilot import PHONE, page_over, tab, write

pytestmark = pytest.mark.browser


def test_an_empty_page_says_what_is_read_and_that_it_quotes(browser: Browser, tmp_path: Path) -> None:
    with Library.open(tmp_path / "l", llm="auto", embedder="builtin") as library:
        with page_over(library) as address:
            with tab(browser, address) as pilot:
                start = pilot.page.locator("#chat .placeholder")
                expect(start).to_contain_text("Add your documents")
                for kind in ("PDF", "Word", "spreadsheets", "web pages"):
                    expect(start).to_contain_text(kind)
                expect(pilot.page.locator("#docsum")).to_contain_text("No documents yet")
                expect(pilot.page.locator("#status")).to_contain_text("Quoting: Ollama is not running")
                notice = pilot.page.locator("#notices li")
                expect(notice).to_contain_text("the sentences of your documents that say it")
                expect(notice).to_contain_text("ollama serve")
                assert "--llm" not in notice.inner_text()
                pilot.page.locator("#up input[type=file]").first.set_input_files(
                    write(tmp_path, gate__md="The gate closes at nine.\n")
                )
                expect(pilot.page.locator("#docsum")).to_contain_text("1 document can be asked")
                expect(pilot.ask("When does the gate close?")).to_contain_text("at nine")
            with tab(browser, address, viewport=PHONE) as pilot:
                said = pilot.page.locator("#status .said")
                expect(said).to_have_text("Quoting: Ollama is not running")
                assert said.evaluate("e => e.scrollWidth <= e.clientWidth && e.scrollHeight <= e.clientHeight + 2")


def test_where_ollama_is_there_one_button_fetches_a_model(browser: Browser, tmp_path: Path) -> None:
    with (
        FakeOllama([]) as server,
        Library.open(tmp_path / "l", llm="auto", embedder="builtin", ollama_host=server.url) as library,
        page_over(library) as address,
        tab(browser, address) as pilot,
    ):
        expect(pilot.page.locator("#status button[data-act=pull]")).to_have_text(re.compile(r"Download [\d.]+ GB"))
        expect(pilot.page.locator("#notices li")).to_contain_text("GB of memory")
