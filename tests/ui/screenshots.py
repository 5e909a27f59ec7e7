"""``make screenshots``: the page over the sample library, with the fake model streaming, as pictures.

``python -m tests.ui.screenshots FOLDER`` writes page.png (light, an answer), dark.png, phone.png, empty.png and
refused.png.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from rag.library import Library
from rag.prompts import shipped_folder
from tests.fake_ollama import FakeModel, FakeOllama
from tests.ui.servers import serving
from ui.app import application

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
QUESTION = "Which two large seaports does Gorka give to Pakistan, and what does the reader object?"
OFF_TOPIC = "How do I bake sourdough bread at home?"
WIDE = (1360, 860)
PHONE = (390, 844)


def main(folder: Path) -> None:
    """Write the pictures into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    with page_of_seeds() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        for name, size, dark, question in (
            ("empty", WIDE, False, ""),
            ("page", WIDE, False, QUESTION),
            ("dark", WIDE, True, QUESTION),
            ("phone", PHONE, False, QUESTION),
            ("refused", WIDE, False, OFF_TOPIC),
        ):
            page = browser.new_page(viewport={"width": size[0], "height": size[1]}, locale="en-GB")
            page.goto(address)
            page.locator("#box textarea").wait_for()
            if dark:
                page.locator("[data-act=theme]").first.click()
            if question:
                ask(page, question)
            page.wait_for_timeout(1_000)
            page.screenshot(path=folder / f"{name}.png")
            page.close()
        browser.close()


@contextmanager
def page_of_seeds() -> Iterator[str]:
    """The page's address over a library of the sample documents, answered by the fake model."""
    with (
        tempfile.TemporaryDirectory() as home,
        FakeOllama([FakeModel("sample-hallucinate")]) as model,
        Library.open(Path(home) / "library", ollama_host=model.url, embedder="builtin") as library,
    ):
        library.ingest(shipped_folder("seeds"))
        with application(library, "127.0.0.1") as app, serving(app, lifespan="on") as port:
            yield f"http://127.0.0.1:{port}/"


def ask(page: Page, question: str) -> None:
    """Ask and wait until the answer is complete."""
    page.locator("#box textarea").fill(question)
    page.keyboard.press("Enter")
    page.locator("#chat small.foot").last.wait_for(timeout=30_000)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
