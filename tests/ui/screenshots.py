"""Pictures of the page: ``python -m tests.ui.screenshots FOLDER``.

In FOLDER those of the README (page, dark, phone, empty, refused), over the sample corpus; in FOLDER/states one of each
state. Real browser, real library; the model is the tests' fake server.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser

from rag.library import Library
from rag.models.families import DEFAULT_CHAT_PULL
from tests.browser import chromium
from tests.fake_ollama import FakeModel, FakeOllama
from tests.ui.corpus import HOSTILE_NAME, write_corpus
from tests.ui.pilot import PHONE, WIDE, Pilot, page_over, tab
from tests.ui.test_people import PASSWORD, served

ROOT = Path(__file__).parents[2]
MODELS = (FakeModel("qwen3:4b"), *map(FakeModel, ("fake-hallucinate", "fake-ramble", "fake-forget")))
INVENTING = (FakeModel("qwen3:4b", mode="hallucinate"),)
BREAD = "How do I bake sourdough bread at home?"
PRICES = "Item,Price,Stock\nCup,3.50,12\nPlate,7.20,40\nBowl,5.10,31\nJug,14.90,4\n"
LEAVE = "How many days of paid annual leave do full-time staff receive, and how many may be carried over?"


def main(folder: Path) -> None:
    """Write every picture into ``folder``."""
    os.environ["OLLAMA_HOST"] = "http://127.0.0.1:9"
    (folder / "states").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place, chromium() as browser:
        Camera(browser, folder, Path(place)).readme()
        take = Camera(browser, folder / "states", Path(place))
        take.answers()
        take.dark()
        take.phone()
        take.models()
        take.people()


class Camera:
    """Takes the pictures, each method a group of states."""

    def __init__(self, browser: Browser, folder: Path, place: Path) -> None:
        self.browser = browser
        self.folder = folder
        self.place = place
        self.docs = write_corpus(place / "docs")
        (self.docs / "finance").mkdir(exist_ok=True)
        (self.docs / "finance" / "prices.csv").write_text(PRICES, encoding="utf-8")
        for seed in sorted((ROOT / "seeds").glob("*.md")):
            (self.docs / seed.name).write_bytes(seed.read_bytes())

    def shoot(self, pilot: Pilot, name: str) -> None:
        pilot.page.wait_for_timeout(400)
        pilot.page.screenshot(path=self.folder / f"{name}.png")
        sys.stdout.write(f"{name}.png\n")

    @contextmanager
    def page(self, models: Sequence[FakeModel] = MODELS, **options: Any) -> Iterator[Pilot]:
        """A tab over a fresh library."""
        with (
            FakeOllama(models, delay=0.02, parallel=4) as server,
            Library.open(
                tempfile.mkdtemp(dir=self.place), llm="ollama:qwen3:4b", embedder="builtin", ollama_host=server.url
            ) as library,
        ):
            library.sync(self.docs)
            with page_over(library) as address, tab(self.browser, address, **options) as pilot:
                yield pilot

    def readme(self) -> None:
        (self.docs / HOSTILE_NAME).unlink()
        with self.page(INVENTING) as pilot:
            pilot.page.locator("#suggestions button").first.wait_for(timeout=60_000)
            self.shoot(pilot, "empty")
            pilot.ask(LEAVE)
            self.shoot(pilot, "page")
            pilot.page.locator("#acts [data-act=theme]").click()
            self.shoot(pilot, "dark")
            pilot.page.locator("#acts [data-act=theme]").click()
            pilot.ask(BREAD)
            self.shoot(pilot, "refused")
        with self.page(INVENTING, viewport=PHONE, has_touch=True, is_mobile=True, device_scale_factor=2) as pilot:
            pilot.ask(LEAVE)
            self.shoot(pilot, "phone")

    def answers(self) -> None:
        with self.page() as pilot:
            pilot.page.locator("#suggestions button").first.wait_for(timeout=60_000)
            self.shoot(pilot, "light_empty")
            pilot.choose("ollama:fake-ramble")
            pilot.send(LEAVE)
            pilot.page.wait_for_function("document.querySelector('#chat .answer.live')?.textContent.length > 200")
            self.shoot(pilot, "light_streaming")
            pilot.page.locator("#box .stop-button").click()
            pilot.settle()
            self.shoot(pilot, "light_stopped")
            pilot.new()
            pilot.choose("ollama:qwen3:4b")
            pilot.ask(LEAVE)
            self.shoot(pilot, "light_answer")
            pilot.chips.last.click()
            self.shoot(pilot, "light_chip")
            pilot.choose("ollama:fake-hallucinate")
            pilot.ask("When does the car park on Mill Lane open?")
            self.shoot(pilot, "light_unsupported")
            pilot.choose("ollama:fake-forget")
            pilot.ask("How much may a hotel cost a night?")
            self.shoot(pilot, "light_attributed")
            pilot.choose("quotes")
            pilot.ask("What does Khan want with Russia?")
            self.shoot(pilot, "light_quotes")
            pilot.ask("Who won the chess championship in Buenos Aires?")
            self.shoot(pilot, "light_abstained")
            self._reading(pilot)
            self._choosing(pilot)
            self._lists(pilot)

    def _reading(self, pilot: Pilot) -> None:
        pilot.new()
        pilot.ask("How many days of paid annual leave do full-time staff receive?")
        pilot.page.locator("#sources .turn.on .src", has_text="handbook.pdf").first.locator("[data-open]").click()
        self.shoot(pilot, "light_reader_text")
        pilot.page.locator("#reader [data-view=page]").click()
        pilot.page.wait_for_function("document.querySelector('#reader .rpage img').naturalWidth > 0")
        self.shoot(pilot, "light_reader_page")
        pilot.page.keyboard.press("Escape")

    def _choosing(self, pilot: Pilot) -> None:
        with pilot.documents() as place:
            self.shoot(pilot, "light_documents")
            place.locator("li.doc input[type=checkbox]").nth(2).check()
            place.locator("[data-only]").click()
        pilot.ask(LEAVE)
        self.shoot(pilot, "light_asks_only")
        pilot.page.locator("#asking [data-act=all]").click()
        with pilot.settings():
            self.shoot(pilot, "light_settings")
        pilot.page.locator("#exports [data-act=about]").click()
        pilot.page.locator("#chat .user-row .q", has_text="What was found").wait_for()
        pilot.settle()
        self.shoot(pilot, "light_summary")
        pilot.page.pdf(path=self.folder / "print.pdf", format="A4")

    def _failing(self, pilot: Pilot, theme: str) -> None:
        """Files on their way in, two that fail, one of a name that there is; then a filter over the list."""
        files = [self.place / name for name in ("harbour.md", "broken.pdf", "program.exe", "tool.exe", "notes.txt")]
        for file, data in zip(
            files, (b"%d closes at nine.\n" * 9_000, b"%PDF-1.4 broken", b"MZ\0", b"MZ\0", b"Other notes."), strict=True
        ):
            file.write_bytes(data)
        pilot.page.locator("#up input[type=file]").first.set_input_files([str(path) for path in files])
        pilot.page.wait_for_function("document.querySelectorAll('#docs li.failed').length === 3")
        pilot.page.locator("#docs .decide").wait_for()
        pilot.page.locator("#docs li.doc", has_text="harbour.md").get_by_text("passages").wait_for()
        self.shoot(pilot, f"{theme}_upload_failed")
        pilot.page.locator("#docs .decide [data-act=dismiss]").click()
        pilot.page.locator("#docs .failures > button").click()
        pilot.page.locator("#docs .failures").wait_for(state="detached")
        pilot.page.locator("#docs input[type=search]").fill("md")
        pilot.page.locator("#docs li.doc:not([hidden]) input[type=checkbox]").first.check()
        self.shoot(pilot, f"{theme}_filter")
        pilot.page.locator("#docs [data-close]").click()

    def _lists(self, pilot: Pilot) -> None:
        self._failing(pilot, "light")
        pilot.page.locator("#collacts [data-act=delete]").click()
        self.shoot(pilot, "light_dialog")
        pilot.page.locator("#ask-dialog .no").click()
        pilot.page.locator("#chat button[aria-label='Like']").last.click()
        self.shoot(pilot, "light_feedback")
        pilot.page.locator("#chat .message-buttons-right button[aria-label='Edit']").first.click()
        self.shoot(pilot, "light_edit")

    def dark(self) -> None:
        with self.page() as pilot:
            pilot.page.locator("#acts [data-act=theme]").click()
            self.shoot(pilot, "dark_empty")
            pilot.choose("ollama:fake-hallucinate")
            pilot.ask(LEAVE)
            pilot.chips.first.click()
            self.shoot(pilot, "dark_answer")
            pilot.cards.first.locator("[data-open]").click()
            self.shoot(pilot, "dark_reader")
            pilot.page.keyboard.press("Escape")
            with pilot.documents():
                self.shoot(pilot, "dark_documents")
            with pilot.settings():
                self.shoot(pilot, "dark_settings")
            self._failing(pilot, "dark")

    def phone(self) -> None:
        with self.page(viewport=PHONE, has_touch=True, is_mobile=True, device_scale_factor=2) as pilot:
            pilot.page.wait_for_function("!document.querySelector('#left').classList.contains('open')")
            self.shoot(pilot, "phone_empty")
            pilot.ask(LEAVE)
            self.shoot(pilot, "phone_answer")
            pilot.chips.last.tap()
            self.shoot(pilot, "phone_sheet")
            pilot.cards.first.locator("[data-open]").tap()
            self.shoot(pilot, "phone_reader")
            pilot.page.locator("#reader [data-act=close-reader]").tap()
            pilot.page.locator("#sources [data-act=close]").tap()
            pilot.page.locator("#left .toggle-button").tap()
            self.shoot(pilot, "phone_sidebar")
            pilot.page.locator("#docsum [data-documents]").tap()
            self.shoot(pilot, "phone_documents")
            pilot.page.locator("#docs [data-close]").tap()
            self._failing(pilot, "phone")
            pilot.page.locator("#left .toggle-button").tap()
            with pilot.settings():
                self.shoot(pilot, "phone_settings")

    def models(self) -> None:
        self._down()
        with FakeOllama([], delay=0.6, library={DEFAULT_CHAT_PULL: 3_400_000_000}) as server:
            self._pulling(server)

    def _pulling(self, server: FakeOllama) -> None:
        with (
            Library.open(tempfile.mkdtemp(dir=self.place), embedder="builtin", ollama_host=server.url) as library,
            page_over(library) as address,
            tab(self.browser, address) as pilot,
        ):
            self.shoot(pilot, "light_model_missing")
            pilot.page.locator("#status [data-act=pull]").click()
            pilot.page.wait_for_function("/[1-9]\\d* %/.test(document.querySelector('#status').innerText)")
            self.shoot(pilot, "light_model_pull")

    def people(self) -> None:
        """Signing in, what a wrong password says, the page of an account, the chat of who has signed in."""
        with Library.open(tempfile.mkdtemp(dir=self.place), llm="quotes", embedder="builtin") as library:
            view = library.for_user(library.accounts.add("anna", PASSWORD, "editor"))
            view.collections.create("Manuals")
            view.add("The gate closes at nine.", source="gate.txt", collection="Manuals")
            library.accounts.new_token("anna", "the nightly report")
            for theme, size in (("light", WIDE), ("dark", WIDE), ("phone", PHONE)):
                scheme: Any = "dark" if theme == "dark" else "light"
                context = self.browser.new_context(viewport=size, color_scheme=scheme, locale="en-GB")  # type: ignore[arg-type]
                page = context.new_page()
                with served(library) as running:
                    page.goto(running.address)
                    page.screenshot(path=self.folder / f"{theme}_sign_in.png")
                    for password in ("not the password", PASSWORD):
                        page.get_by_label("Name").fill("anna")
                        page.get_by_label("Password").fill(password)
                        page.get_by_role("button", name="Sign in").click()
                        if password != PASSWORD:
                            page.get_by_role("alert").wait_for()
                            page.screenshot(path=self.folder / f"{theme}_sign_in_refused.png")
                    self.shoot(Pilot(page, running.address).ready(), f"{theme}_signed_in")
                    page.goto(f"{running.address}/account")
                    page.screenshot(path=self.folder / f"{theme}_account.png", full_page=True)
                    context.close()

    def _down(self) -> None:
        with (
            Library.open(tempfile.mkdtemp(dir=self.place), llm="ollama:qwen3:4b", embedder="builtin") as library,
            page_over(library) as address,
            tab(self.browser, address) as pilot,
        ):
            library.ingest(self.docs)
            pilot.page.reload()
            pilot.ready()
            pilot.ask(LEAVE)
            self.shoot(pilot, "light_model_down")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
