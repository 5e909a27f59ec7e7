"""In a real browser: everybody can use it. axe-core in each state, the keyboard alone, widths, folders, print."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pypdfium2
import pytest
from playwright.sync_api import Browser, expect

from rag.library import Library
from tests.ui.corpus import write_corpus
from tests.ui.pilot import PHONE, Pilot, page_over, tab

pytestmark = pytest.mark.browser

AXE = (Path(__file__).parents[1] / "data" / "axe" / "axe.min.js").read_text(encoding="utf-8")
LEAVE = "How many days of paid annual leave do full-time staff receive?"
CHESS = "Who won the chess championship in Buenos Aires?"
PRICES = "Item,Price,Stock\nCup,3.50,12\nPlate,7.20,40\nBowl,5.10,31\nJug,14.90,4\n"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """A library that mirrors a folder with two folders in it, one file of which cannot be read."""
    docs = write_corpus(tmp_path_factory.mktemp("access") / "docs")
    (docs / "hr").mkdir()
    (docs / "hr" / "prices.csv").write_text(PRICES)
    (docs / "hr" / "old.pdf").write_bytes(b"%PDF-1.4 broken")
    with Library.open(docs.parent / "library", llm="quotes", embedder="builtin") as opened:
        opened.sync(docs)
        yield opened


@pytest.fixture(scope="module")
def address(library: Library) -> Iterator[str]:
    with page_over(library) as found:
        yield found


def faults(pilot: Pilot) -> list[str]:
    """What axe-core calls serious or critical, with where."""
    pilot.page.wait_for_timeout(200)  # what fades in is not yet of its full colour
    pilot.page.evaluate(f"window.axe || (() => {{ {AXE} }})()")
    found: list[dict[str, Any]] = pilot.page.evaluate(
        "axe.run(document, {resultTypes: ['violations']}).then(result => result.violations)"
    )
    return [
        f"{rule['id']}: {node['target']} {node['failureSummary']}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


def test_axe_finds_nothing_serious_in_any_state_in_light_or_dark(browser: Browser, address: str) -> None:
    with tab(browser, address) as pilot:
        expect(pilot.page.locator("#suggestions button").first).to_be_visible()
        states: dict[str, list[str]] = {}

        def look(name: str) -> None:
            for theme in ("light", "dark"):
                states[f"{name}, {theme}"] = faults(pilot)
                pilot.page.evaluate("document.querySelector('#acts [data-act=theme]').click()")

        look("empty")
        pilot.ask(LEAVE)
        pilot.ask("What is the price of a jug?")
        pilot.ask(CHESS)
        look("answers")
        pilot.chips.first.click()
        pilot.cards.first.locator("[data-open]").click()
        expect(pilot.page.locator("#reader .rtext")).to_be_visible()
        look("reader")
        pilot.page.keyboard.press("Escape")
        with pilot.settings():
            look("settings")
        with pilot.documents() as place:
            place.locator("[data-folder-ask]").first.wait_for()
            look("documents")
            place.locator("[data-folder-ask]").first.click()
        look("asks only")
        assert {name: found for name, found in states.items() if found} == {}


def test_axe_finds_nothing_serious_on_a_phone(browser: Browser, address: str) -> None:
    with tab(browser, address, viewport=PHONE) as pilot:
        pilot.ask(LEAVE)
        assert faults(pilot) == []
        pilot.chips.first.click()
        assert faults(pilot) == []


def test_from_question_to_source_and_back_in_twelve_keys(browser: Browser, address: str) -> None:
    """The question's own letters apart: a name or a number has to be typed."""
    with tab(browser, address) as pilot:
        press = pilot.page.keyboard.press
        pilot.page.keyboard.type(LEAVE)  # the box has the focus
        press("Enter")
        pilot.answers.first.wait_for()
        pilot.settle()
        keys = ["Alt+ArrowDown"]  # the first source
        press(keys[-1])
        expect(pilot.cards.first).to_be_focused()
        keys += ["Tab", "Enter"]  # its button opens the document
        press(keys[-2])
        press(keys[-1])
        expect(pilot.page.locator("#reader-mark")).to_be_in_viewport()
        keys += ["Escape", "/"]  # back, and to the next question
        press(keys[-2])
        expect(pilot.page.locator("#reader")).not_to_be_visible()
        press(keys[-1])
        expect(pilot.box).to_be_focused()
        assert 1 + len(keys) <= 12


def test_lists_are_one_tab_stop_each_and_the_first_tab_skips_to_the_question(browser: Browser, address: str) -> None:
    with tab(browser, address) as pilot:
        for question in (LEAVE, CHESS):
            pilot.new()
            pilot.ask(question)
        expect(pilot.page.locator("#hist .pick[tabindex='0']")).to_have_count(1)
        stops = pilot.page.locator("#hist [tabindex='-1']").count()
        assert stops == 3 * pilot.page.locator("#hist .conv").count() - 1
        pilot.page.locator("#hist .pick[tabindex='0']").focus()
        pilot.page.keyboard.press("End")
        pilot.page.keyboard.press("Home")
        expect(pilot.page.locator("#hist .pick").first).to_be_focused()
        pilot.page.keyboard.press("F2")
        pilot.dialog("Chess")
        expect(pilot.page.locator("#hist .pick").first).to_have_text("Chess")
        skip = pilot.page.locator("#skip button")
        skip.focus()
        expect(skip).to_be_in_viewport()
        pilot.page.keyboard.press("Enter")
        expect(pilot.box).to_be_focused()


def test_widths_are_set_by_keys_and_pointer_and_remembered(browser: Browser, address: str) -> None:
    with tab(browser, address) as pilot:
        split, pane = pilot.page.locator("#split-sources"), pilot.page.locator("#srccol")
        wide = pane.bounding_box()
        split.focus()
        for _ in range(3):
            pilot.page.keyboard.press("ArrowLeft")
        assert wide is not None
        expect(split).to_have_attribute("aria-valuenow", str(380 + 72))
        box = pane.bounding_box()
        assert box is not None and box["width"] > wide["width"] + 50
        grip = split.bounding_box()
        assert grip is not None
        pilot.page.mouse.move(grip["x"] + 4, 400)
        pilot.page.mouse.down()
        pilot.page.mouse.move(grip["x"] - 96, 400, steps=4)
        pilot.page.mouse.up()
        dragged = pane.bounding_box()
        assert dragged is not None and dragged["width"] > box["width"] + 60
        pilot.page.reload()
        pilot.ready()
        again = pane.bounding_box()
        assert again is not None and abs(again["width"] - dragged["width"]) < 2
        left = pilot.page.locator("#left").bounding_box()
        pilot.page.locator("#split-left").focus()
        pilot.page.keyboard.press("ArrowRight")
        moved = pilot.page.locator("#left").bounding_box()
        assert left is not None and moved is not None and moved["width"] == left["width"] + 24


def test_folders_are_groups_synced_and_asked_alone(browser: Browser, address: str, library: Library) -> None:
    root = Path(library.folders()[0].path)
    with tab(browser, address) as pilot:
        with pilot.documents() as place:
            expect(place.locator(".group")).to_have_count(2)
            expect(place.locator(".synced")).to_contain_text("1 synced folder")
            (root / "hr" / "bees.md").write_text("A hive holds about 40,000 bees in summer.\n")
            place.locator("[data-act=sync]").click()
            expect(place.locator("li.doc", has_text="bees.md")).to_have_count(1)
            expect(place.locator(".synced")).to_contain_text("1 added")
            place.locator(".group", has_text="hr").locator("[data-folder-ask]").click()
            expect(place).not_to_be_visible()
        assert pilot.box.evaluate("e => e === document.activeElement")
        chip = pilot.page.locator("#asking .one")
        expect(chip).to_contain_text("docs/hr/")
        answer = pilot.ask(LEAVE)
        assert "28 days" not in answer.inner_text()
        expect(answer).to_contain_text("Asked only: docs/hr/")
        chip.locator("button").click()
        expect(chip).to_have_count(0)
        assert "28 days" in pilot.ask(LEAVE).inner_text()


def test_outcomes_tables_and_files_that_could_not_be_read(browser: Browser, address: str) -> None:
    with tab(browser, address) as pilot:
        expect(pilot.ask(LEAVE).locator(".outcome")).to_have_text("answered")
        pilot.new()
        row = pilot.ask("What is the price of a jug?").locator("tr", has_text="14.90")
        expect(row.locator("a.cite").first).to_be_visible()
        absent = pilot.ask(CHESS)
        expect(absent.locator(".outcome")).to_have_text("not in the documents")
        expect(absent.locator(".unread")).to_contain_text("1 file could not be read")


def test_a_document_and_a_conversation_are_summed_up_with_sources(browser: Browser, address: str) -> None:
    with tab(browser, address, permissions=["clipboard-read", "clipboard-write"]) as pilot:
        with pilot.documents() as place:
            place.locator("button.dn", has_text="policy-2025.md").click()
            pilot.page.locator("#reader [data-act=about]").click()
            pilot.settle()
        expect(pilot.page.locator("#chat .user-row .q")).to_have_text("What is “policy-2025.md” about?")
        assert pilot.answers.last.locator("a.cite").count() >= 3
        expect(pilot.cards.first.locator("mark")).to_have_count(1)
        pilot.page.locator("#exports [data-act=about]").click()
        expect(pilot.answers).to_have_count(2)
        pilot.settle()
        assert pilot.answers.last.locator("a.cite").count() >= 3
        pilot.page.locator("#sources .turn.on [data-markdown]").click()
        expect(pilot.page.locator("#sources .turn.on [data-markdown]")).to_have_text("Copied")
        copied = pilot.page.evaluate("navigator.clipboard.readText()")
        assert "[^1]" in copied and "[^1]: " in copied and "policy-2025.md" in copied


def test_what_is_printed_is_the_conversation_and_its_sources(browser: Browser, address: str, tmp_path: Path) -> None:
    with tab(browser, address) as pilot:
        pilot.ask(LEAVE)
        pilot.ask("Which class are train journeys booked in?")
        pilot.page.pdf(path=tmp_path / "printed.pdf", format="A4")
        document = pypdfium2.PdfDocument(str(tmp_path / "printed.pdf"))  # type: ignore[no-untyped-call]
        text = " ".join(" ".join(page.get_textpage().get_text_bounded() for page in document).split())
        document.close()  # type: ignore[no-untyped-call]
    assert LEAVE in text and "28 days of paid annual leave" in text and "second class" in text
    assert text.index("Sources") > text.index("second class") and "handbook.pdf" in text
    assert "New chat" not in text and "Quoting, no model" not in text


def test_choosing_a_collection_opens_its_latest_conversation(
    browser: Browser, address: str, library: Library, tmp_path: Path
) -> None:
    shutil.copy(Path(library.folders()[0].path) / "faq.html", tmp_path)
    library.ingest(tmp_path / "faq.html", collection="Manuals")
    with tab(browser, address) as pilot:
        pilot.page.reload()
        pilot.ready()
        pilot.new()
        pilot.ask(LEAVE)
        pilot.collection("Manuals")
        expect(pilot.page.locator("#chat .user-row")).to_have_count(0)
        pilot.ask("When does the car park on Mill Lane open?")
        pilot.collection("default")
        expect(pilot.page.locator("#chat .user-row .q").first).to_have_text(LEAVE)
        pilot.collection("Manuals")
        expect(pilot.page.locator("#chat .user-row .q")).to_have_text("When does the car park on Mill Lane open?")
