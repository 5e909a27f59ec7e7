"""In a real browser: every kind of evidence, hostile and huge content, and what happens away from the page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from rag.library import Library
from tests.fake_ollama import FakeOllama
from tests.ui.pilot import PHONE, WIDE, Pilot, page_over, tab
from tests.ui.records import leave_record
from ui.conversations import Conversations

pytestmark = pytest.mark.browser
LEAVE = "How many days of paid annual leave do full-time staff receive?"
PARKING = "When does the car park on Mill Lane open?"
HOSTILE = (
    "${window.pwned=1} {{constructor.constructor('window.pwned=2')()}} <img src=x onerror='window.pwned=3'> "
    "![x](http://192.0.2.1/leak.png) [click](javascript:window.pwned=4) <style>*{display:none}</style> "
    "$$\\href{javascript:window.pwned=5}{x}$$ \u202egnp.exe\u202c `${window.pwned=6}` <script>window.pwned=7</script>"
)
OVERFLOWS = """() => ['html', '#chat .bubble-wrap', '#srccol', '#left .sidebar-content', '#reader'].flatMap(s =>
    [...document.querySelectorAll(s)]).filter(e => e.scrollWidth > e.clientWidth + 1 && e.checkVisibility() &&
        getComputedStyle(e).overflowX !== 'hidden')
    .map(e => [e.id || e.className, e.scrollWidth, e.clientWidth])"""

BEYOND = """() => [...document.querySelectorAll('#chat .answer > *, #chat .q, #sources .turn.on > .src')]
    .map(e => [e.tagName, e.className, e.getBoundingClientRect().right]).filter(row => row[2] > innerWidth + 1)"""


def store(library: Library, *turns: tuple[str, dict[str, object]], title: str = "") -> int:
    """A conversation with these questions and records."""
    number = library.conversations.create("default", title=title)
    for question, record in turns:
        library.conversations.append(number, question, "", record)
    return number


def open_stored(pilot: Pilot, number: int) -> None:
    pilot.page.evaluate(
        "n => { for (const s of [sessionStorage, localStorage]) s.setItem('rag.conversation', n) }", number
    )
    pilot.page.reload()
    pilot.ready()
    pilot.answers.first.wait_for()


def test_every_kind_of_evidence_is_recognisable(browser: Browser, quoting_page: str, filled: Library) -> None:
    number = store(filled, ("How much leave?", leave_record()))
    with tab(browser, quoting_page) as pilot:
        open_stored(pilot, number)
        answer = pilot.answers.last
        expect(answer.locator(".note.asked")).to_contain_text("How much annual leave do staff get?")
        labels = {
            kind: answer.locator(f"a.cite{kind}").first.evaluate("e => getComputedStyle(e, '::after').content")
            for kind in (".added", ".fixed")
        }
        assert labels == {".added": '"+"', ".fixed": '"↻"'}
        assert pilot.errors == [], "the console is quiet on reload"
        assert "corrected by the check" in (answer.locator("a.cite.fixed").get_attribute("title") or "")
        assert "partly" in answer.locator("mark.partly.end").evaluate("e => getComputedStyle(e, '::after').content")
        differ = answer.locator(".note.differ")
        expect(differ).to_contain_text("The sources disagree about carry-over.")
        expect(differ.locator("li")).to_have_count(2)
        expect(answer.locator(".note.notice")).to_contain_text("may have been cut")
        foot = answer.locator("small.foot").inner_text()
        assert all(
            part in foot for part in ("1.9 s", "first word 0.3 s", "73 tokens", "qwen3:4b", "1 invented citation")
        )
        summary = pilot.page.locator("#sources .turn.on .sum")
        expect(summary).to_contain_text("1 sentence without support")
        expect(summary).to_contain_text("1 sentence only partly supported")
        differ.locator("a.cite").first.click()
        expect(pilot.page.locator("#sources .src.on")).to_have_count(1)
        filled.conversations.delete(number)


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_hostile_and_endless_content_stays_inert_and_in_place(
    browser: Browser, quoting_page: str, filled: Library, size: dict[str, int]
) -> None:
    record = json.loads(json.dumps(leave_record()))
    line = "x" * 10_000
    record["text"] = f"{HOSTILE}\n\n{line}\n\n| {line} | b |\n|---|---|\n| c | d |\n\n```\n{line}\n```\n\nSo it is. [1]"
    record |= {"sentences": [], "markers": [], "asked": HOSTILE, "notices": [HOSTILE + line], "model": HOSTILE}
    for citation in record["citations"]:
        citation |= {"source": HOSTILE + line, "title": HOSTILE, "heading": [HOSTILE, line], "quote": HOSTILE + line}
    number = store(filled, (HOSTILE + line, record), title=HOSTILE)
    with tab(browser, quoting_page, viewport=size) as pilot:
        open_stored(pilot, number)
        expect(pilot.page.locator("#chat .q")).to_contain_text("${window.pwned=1} {{constructor")
        if size is WIDE:
            expect(pilot.page.locator("#hist .conv.cur")).to_contain_text("${window.pwned=1}")
        else:
            pilot.page.locator("#acts [data-act=sheet]").click()
        expect(pilot.cards.first).to_be_visible()
        assert pilot.page.evaluate(OVERFLOWS) == []
        assert pilot.page.evaluate(BEYOND) == []
        assert pilot.page.evaluate("window.pwned") is None
        assert (
            pilot.page.locator(
                "#chat :is(.answer, .q) :is(img, script, style, iframe), .src :is(img, script, style)"
            ).count()
            == 0
        )
        assert pilot.page.locator("#chat a:not(.cite), #sources a").count() == 0
        assert [error for error in pilot.errors if "pwned" in error] == []
    filled.conversations.delete(number)


def test_what_a_model_writes_from_a_hostile_document_stays_text(browser: Browser, writing_page: str) -> None:
    with tab(browser, writing_page) as pilot:
        answer = pilot.ask("When was the Zanzibar protocol signed?")
        expect(answer).to_contain_text("signed in 1987")
        assert pilot.page.evaluate("window.pwned") is None
        assert pilot.page.locator("#chat img, #chat script, #chat a:not(.cite)").count() == 0


def test_a_huge_answer_opens_and_can_be_scrolled(browser: Browser, quoting_page: str, filled: Library) -> None:
    record = {**leave_record(), "sentences": [], "markers": []}
    record["text"] = "\n\n".join(f"{n}. Staff get **{n} days** of leave, and `more` of it. [1]" for n in range(4_000))
    number = store(filled, ("How much leave, at length?", record))
    with tab(browser, quoting_page) as pilot:
        open_stored(pilot, number)
        expect(pilot.answers.last).to_contain_text("3999 days")
        sizes = pilot.sizes("#chat .bubble-wrap")
        assert sizes["height"] > 50_000 and sizes["top"] + sizes["shown"] >= sizes["height"] - 60
        assert pilot.page.evaluate(OVERFLOWS) == []
        pilot.ask(PARKING)
        expect(pilot.answers.last).to_contain_text("6:30")
    filled.conversations.delete(number)


def test_what_is_typed_while_an_answer_grows_is_kept_and_escape_stops_it(browser: Browser, writing_page: str) -> None:
    with tab(browser, writing_page) as pilot:
        pilot.choose("ollama:fake-ramble")
        pilot.send(LEAVE)
        pilot.page.wait_for_function("document.querySelector('#chat .answer.live')?.textContent.length > 40")
        pilot.box.press_sequentially("My next question", delay=40)
        expect(pilot.box).to_have_value("My next question")
        expect(pilot.box).to_be_focused()
        pilot.page.keyboard.press("Escape")
        expect(pilot.answers.last.locator(".note.stopped")).to_be_visible()
        pilot.settle()
        expect(pilot.box).to_have_value("My next question")
        pilot.choose("ollama:fake-chat")


def test_an_answer_is_finished_while_no_page_is_open(browser: Browser, writing_page: str, written: Library) -> None:
    with tab(browser, writing_page) as pilot:
        pilot.send(LEAVE)
        pilot.page.wait_for_function("document.querySelector('#conversation :is(input, textarea)').value !== ''")
        number = pilot.page.locator("#conversation textarea, #conversation input").first.input_value()
        pilot.page.goto("about:blank")
        conversations = Conversations(written)
        pilot.page.wait_for_timeout(100)
        for _ in range(150):
            found = conversations.get(number)
            if found is not None and found.turns and not found.turns[-1].record.get("state"):
                break
            pilot.page.wait_for_timeout(100)
        assert found is not None and "28 days" in found.turns[-1].record["text"]
        pilot.open()
        expect(pilot.answers.last).to_contain_text("28 days")
        expect(pilot.answers.last.locator("a.cite").first).to_be_visible()


def test_a_second_tab_follows_the_same_answer(browser: Browser, writing_page: str) -> None:
    with tab(browser, writing_page) as one:
        one.choose("ollama:fake-ramble")
        one.send(LEAVE)
        one.page.wait_for_function("document.querySelector('#chat .answer.live')?.textContent.length > 40")
        two = Pilot(one.page.context.new_page(), writing_page)
        two.open()
        two.page.wait_for_function("document.querySelector('#chat .answer.live')?.textContent.length > 60")
        expect(two.page.locator("#chat .q")).to_have_text(LEAVE)
        two.page.locator("#box .stop-button").click()
        for pilot in (one, two):
            expect(pilot.answers.last.locator(".note.stopped")).to_be_visible()
            pilot.settle()
        two.page.close()
        one.choose("ollama:fake-chat")


@pytest.fixture
def stopping(corpus: Path, tmp_path: Path) -> Iterator[tuple[FakeOllama, Path]]:
    with FakeOllama(["fake-ramble"], delay=0.05) as server:
        with Library.open(tmp_path / "l", llm="quotes", embedder="builtin") as library:
            library.ingest(corpus)
        yield server, tmp_path / "l"


def test_a_restart_in_the_middle_of_an_answer_keeps_what_was_written(
    browser: Browser, stopping: tuple[FakeOllama, Path]
) -> None:
    server, folder = stopping
    context = browser.new_context(viewport=WIDE, locale="en-GB")  # type: ignore[arg-type]
    with Library.open(folder, llm="ollama:fake-ramble", embedder="builtin", ollama_host=server.url) as library:
        with page_over(library) as address, tab(browser, address, context) as pilot:
            pilot.send(LEAVE)
            pilot.page.wait_for_function("document.querySelector('#chat .answer.live')?.textContent.length > 120")
    port = int(address.rpartition(":")[2].strip("/"))
    with Library.open(folder, llm="ollama:fake-ramble", embedder="builtin", ollama_host=server.url) as library:
        with page_over(library, port) as again, tab(browser, again, context) as pilot:
            expect(pilot.page.locator("#chat .q")).to_have_text(LEAVE)
            expect(pilot.answers.last).to_contain_text("28 days of paid annual leave")
            expect(pilot.answers.last.locator(".note.stopped")).to_contain_text("Stopped.")
            assert pilot.cards.count() >= 1
    context.close()
