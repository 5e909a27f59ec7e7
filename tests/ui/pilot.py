"""A real browser on the real page: what a person does, and a log of every request."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from rag.library import Library
from tests.browser import PATIENCE_MS
from tests.ui.servers import serving
from ui.app import application

WIDE = {"width": 1360, "height": 860}
PHONE = {"width": 390, "height": 844}


@contextmanager
def page_over(library: Library, port: int = 0) -> Iterator[str]:
    """The address of the page over ``library`` while the block runs; built in a thread without a running loop."""
    address: Future[str] = Future()
    ended = threading.Event()

    def serve() -> None:
        with application(library) as app, serving(app, "on", port) as number:
            address.set_result(f"http://127.0.0.1:{number}/")
            ended.wait()

    with ThreadPoolExecutor(1) as pool:
        served = pool.submit(serve)
        either: list[Future[Any]] = [address, served]
        wait(either, timeout=60, return_when=FIRST_COMPLETED)
        if served.done():
            served.result()
        try:
            yield address.result(0)
        finally:
            ended.set()
            served.result(60)


@dataclass
class Pilot:
    """One tab. ``requests`` holds every address it asked for, ``errors`` what its console called an error."""

    page: Page
    address: str
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)

    def open(self) -> Pilot:
        """Load the page and wait until it can be used."""
        self.page.goto(self.address)
        return self.ready()

    def ready(self) -> Pilot:
        """Wait until the page has asked for everything it shows at first."""
        self.page.wait_for_selector("#box textarea")
        self.page.wait_for_selector("#docs .list", state="attached")
        self.page.wait_for_selector("#status .st")
        self.page.wait_for_selector("#hist .list")
        return self

    @property
    def box(self) -> Locator:
        """The question box."""
        return self.page.locator("#box textarea")

    @property
    def answers(self) -> Locator:
        """The answers, oldest first."""
        return self.page.locator("#chat .bot-row .answer")

    @property
    def chips(self) -> Locator:
        """The citation chips of all answers."""
        return self.page.locator("#chat a.cite")

    @property
    def cards(self) -> Locator:
        """The numbered cards of the turn that is shown."""
        return self.page.locator("#sources .turn.on > .src")

    def send(self, question: str) -> None:
        """Ask, without waiting."""
        self.box.fill(question)
        self.box.press("Enter")

    def ask(self, question: str) -> Locator:
        """Ask and wait for the end; the answer."""
        before = self.answers.count()
        self.send(question)
        self.page.wait_for_function("n => document.querySelectorAll('#chat .bot-row .answer').length > n", arg=before)
        self.settle()
        return self.answers.last

    def settle(self) -> None:
        """Wait until the last answer in this tab has ended, and its end is shown."""
        self.answers.last.locator(".footline, .note.stopped, .note.failed").first.wait_for()
        self.page.wait_for_selector("#box .submit-button")

    @contextmanager
    def documents(self) -> Iterator[Locator]:
        """The documents' own place, open while the block runs, or until a click in it closes it."""
        self.page.locator("#docsum [data-documents]").click()
        self.page.wait_for_selector("#docs .dhead")
        yield self.page.locator("#docs")
        if self.page.evaluate("document.body.classList.contains('documents')"):
            self.page.locator("#docs [data-close]").click()
        expect(self.page.locator("#docs")).not_to_be_visible()

    @contextmanager
    def settings(self) -> Iterator[Locator]:
        """The settings, open while the block runs."""
        self.page.locator("#acts [data-act=settings]").click()
        yield self.page.locator("#settings")
        self.page.locator("#settings [data-act=close-settings]").click()
        expect(self.page.locator("#settings")).not_to_be_visible()

    def new(self) -> None:
        """Begin a new conversation; what was shown is gone when this returns.

        Where nothing was shown that can't be seen, so that at least the server has to have heard of it: a question that
        it hears of first would be put away with what was shown.
        """
        with self.page.expect_response(lambda response: "/queue/join" in response.url):
            self.page.locator("#new").click()
        expect(self.page.locator("#conversation textarea, #conversation input").first).to_have_value("")
        expect(self.page.locator("#chat .user-row")).to_have_count(0)

    def dialog(self, name: str | None = None) -> None:
        """Confirm the dialog that is open, with ``name`` typed into it."""
        dialog = self.page.locator("#ask-dialog[open]")
        dialog.wait_for()
        if name is not None:
            dialog.locator("input").fill(name)
        dialog.locator("button.yes").click()

    def choose(self, model: str) -> None:
        """Pick a model from the list."""
        with self.settings():
            field = self.page.locator("#model input")
            field.click()
            wanted = re.compile(f"^\\W*{re.escape(model)}\\s*$")
            self.page.locator("ul[role=listbox] li", has_text=wanted).first.click()
            expect(field).to_have_value(model)

    def collection(self, name: str) -> None:
        """Pick a collection from the list; its latest conversation opens."""
        field = self.page.locator("#coll input")
        field.click()
        self.page.locator("ul[role=listbox] li", has_text=re.compile(f"^\\W*{re.escape(name)}\\s*$")).first.click()
        expect(field).to_have_value(name)

    def sizes(self, selector: str) -> dict[str, Any]:
        """Scroll position and sizes of an element."""
        found: dict[str, Any] = self.page.eval_on_selector(
            selector,
            "e => ({top: e.scrollTop, height: e.scrollHeight, shown: e.clientHeight, width: e.scrollWidth,"
            " fits: e.clientWidth})",
        )
        return found

    def strangers(self) -> list[str]:
        """Requests that went anywhere but to the page's own server."""
        own = urlsplit(self.address).netloc
        return [url for url in self.requests if urlsplit(url).netloc != own and not re.match(r"(?:data|blob):", url)]


@contextmanager
def tab(browser: Browser, address: str, context: BrowserContext | None = None, **options: Any) -> Iterator[Pilot]:
    """A tab on the page. Fails when it asked anybody but the page's server.

    With ``options`` it has a profile of its own; without, an emptied one that keeps the cached scripts; ``context``
    is a profile to use as it is.
    """
    defaults = {"viewport": WIDE, "locale": "en-GB", "accept_downloads": True}
    if context is not None:
        own = context
    elif options or not browser.contexts:
        own = browser.new_context(**{**defaults, **options})
    else:
        own = browser.contexts[0]
    page = own.new_page()
    if context is None:
        page.goto(f"{address}robots.txt")
        page.evaluate("localStorage.clear()")
    pilot = Pilot(page, address)
    yield pilot.open()
    assert pilot.strangers() == []
    page.close()
    if options:
        own.close()


def write(folder: Path, **files: str) -> list[str]:
    """Files for an upload; ``__`` in a name stands for a dot. Their paths."""
    paths = []
    for name, text in files.items():
        path = folder / name.replace("__", ".")
        path.write_text(text, encoding="utf-8")
        paths.append(str(path))
    return paths
