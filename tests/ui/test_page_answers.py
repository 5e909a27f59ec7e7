"""In a real browser: an answer beside its evidence, from the empty page to the keyboard."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, expect

from tests.ui.pilot import tab

pytestmark = pytest.mark.browser


def test_the_empty_page_is_ready_and_a_question_of_the_collection_is_one_click_away(
    browser: Browser, quoting_page: str
) -> None:
    with tab(browser, quoting_page) as pilot:
        expect(pilot.box).to_be_focused()
        examples = pilot.page.locator("#suggestions button")
        expect(examples).to_have_count(4)  # made meanwhile, and each of them asked
        shown = [text.strip() for text in examples.all_inner_texts()]
        assert all(text.endswith("?") for text in shown) and any("leave" in text.lower() for text in shown)
        examples.first.click()
        expect(pilot.page.locator("#chat .user-row .q")).to_have_text(shown[0])
        pilot.settle()
        expect(pilot.answers).to_have_count(1)


def test_every_chip_resolves_to_a_card_with_file_place_and_one_mark(browser: Browser, quoting_page: str) -> None:
    with tab(browser, quoting_page) as pilot:
        pilot.ask("How many days of paid annual leave do full-time staff receive?")
        assert pilot.chips.count() >= 1
        for chip in pilot.chips.all():
            target = (chip.get_attribute("href") or "").rpartition("#")[2]
            card = pilot.page.locator(f"[id='{target}']")
            expect(card).to_have_count(1)
            expect(card.locator("mark")).to_have_count(1)
            assert card.locator("h4 span").inner_text() and card.locator("h4 em").inner_text()
            assert "·" in (chip.get_attribute("title") or "")
        first = pilot.cards.first
        assert "handbook.pdf" in first.locator("h4").inner_text()
        assert "p. 2" in first.locator("h4 em").inner_text()
        assert "28 days of paid annual leave" in first.locator("mark").inner_text()


def test_a_chip_highlights_its_card_without_touching_the_address(browser: Browser, quoting_page: str) -> None:
    with tab(browser, quoting_page) as pilot:
        pilot.ask("What is said about leave?")
        chip = pilot.chips.last
        before = pilot.page.url
        chip.click()
        card = pilot.page.locator("#sources .src.on")
        expect(card).to_have_count(1)
        expect(card).to_be_in_viewport()
        expect(chip).to_have_attribute("aria-current", "true")
        assert pilot.page.url == before


def test_a_chip_of_an_older_turn_brings_its_sources_back(browser: Browser, quoting_page: str) -> None:
    with tab(browser, quoting_page) as pilot:
        pilot.ask("When does the car park on Mill Lane open?")
        pilot.ask("How much may a hotel cost a night?")
        expect(pilot.page.locator("#sources .turn.on")).to_have_attribute("id", "t2")
        pilot.answers.first.locator("a.cite").first.click()
        expect(pilot.page.locator("#sources .turn.on")).to_have_attribute("id", "t1")
        expect(pilot.page.locator("#sources .turn.on .tq")).to_contain_text("Mill Lane")


def test_sources_come_before_the_answer_ends_and_the_text_grows(browser: Browser, writing_page: str) -> None:
    with tab(browser, writing_page) as pilot:
        pilot.page.evaluate("""() => {
            window.seen = {cards: [], lengths: []};
            new MutationObserver(() => {
                const live = document.querySelector('#chat .answer.live');
                if (!live) return;
                window.seen.cards.push(document.querySelectorAll('#sources .turn.on > .src').length);
                const size = live.textContent.length;
                if (window.seen.lengths.at(-1) !== size) window.seen.lengths.push(size);
            }).observe(document.body, {childList: true, subtree: true, characterData: true});
        }""")
        pilot.choose("ollama:fake-ramble")
        pilot.send("How many days of paid annual leave do full-time staff receive?")
        pilot.page.wait_for_function("window.seen.lengths.filter((n, i, all) => i && n > all[i - 1]).length >= 5")
        assert max(pilot.page.evaluate("window.seen.cards")) >= 3
        pilot.page.locator("#box .stop-button").click()
        pilot.settle()
        pilot.choose("ollama:fake-chat")
        pilot.ask("How many days of paid annual leave do full-time staff receive?")
        expect(pilot.page.locator("small.foot").last).to_contain_text("tok/s")


def test_what_nothing_supports_is_labelled_and_counted(browser: Browser, writing_page: str) -> None:
    with tab(browser, writing_page) as pilot:
        pilot.choose("ollama:fake-hallucinate")
        answer = pilot.ask("When does the car park on Mill Lane open?")
        flagged = answer.locator("mark.unsup.end")
        expect(flagged).to_contain_text("Atlantis")
        label = flagged.evaluate("e => getComputedStyle(e, '::after').content")
        assert "not in your documents" in label
        expect(pilot.page.locator("#sources .turn.on .sum")).to_contain_text("1 sentence without support")
        pilot.choose("ollama:fake-chat")


def test_citations_that_the_check_added_look_different(browser: Browser, writing_page: str) -> None:
    with tab(browser, writing_page) as pilot:
        pilot.choose("ollama:fake-forget")
        answer = pilot.ask("When does the car park on Mill Lane open?")
        added = answer.locator("a.cite.added").first
        expect(added).to_be_visible()
        assert "added by the check" in (added.get_attribute("title") or "")
        expect(pilot.cards.first.locator(".tag.added")).to_be_visible()
        pilot.choose("ollama:fake-chat")


def test_what_is_not_in_the_documents_is_said_with_the_nearest_passages(browser: Browser, quoting_page: str) -> None:
    with tab(browser, quoting_page) as pilot:
        answer = pilot.ask("Who won the chess championship in Buenos Aires?")
        expect(answer.locator(".abstain")).to_contain_text("This is not in the documents.")
        assert answer.locator(".abstain a.cite").count() == pilot.cards.count() >= 1
        expect(pilot.page.locator("#sources .turn.on .sum")).to_contain_text("nearest passage")


def test_follow_ups_are_offered_on_the_last_answer_and_ask(browser: Browser, quoting_page: str) -> None:
    with tab(browser, quoting_page) as pilot:
        expect(pilot.page.locator("#suggestions button")).to_have_count(4)
        pilot.ask("When does the car park on Mill Lane open?")
        options = pilot.page.locator("#chat .options .option")
        assert options.count() >= 1
        wanted = options.first.inner_text()
        options.first.click()
        expect(pilot.page.locator("#chat .user-row .q").last).to_have_text(wanted)
        pilot.settle()
        expect(pilot.page.locator("#chat .options")).to_have_count(1)
        assert pilot.page.evaluate("""() => {
            const rows = [...document.querySelectorAll('#chat .message-row')];
            const options = document.querySelector('#chat .options');
            return !!(rows.at(-1).compareDocumentPosition(options) & Node.DOCUMENT_POSITION_FOLLOWING);
        }""")


def test_the_rewritten_follow_up_is_shown(browser: Browser, writing_page: str) -> None:
    with tab(browser, writing_page) as pilot:
        pilot.ask("When does the car park on Mill Lane open?")
        answer = pilot.ask("How many cars does it hold?")
        expect(answer.locator(".note.asked")).to_contain_text("Searched for")


def test_the_copy_button_copies_the_answer_with_markers_and_sources(browser: Browser, quoting_page: str) -> None:
    with tab(browser, quoting_page, permissions=["clipboard-read", "clipboard-write"]) as pilot:
        pilot.ask("When does the car park on Mill Lane open?")
        pilot.page.locator("#chat .message-buttons-left button[aria-label^='Cop']").last.click()
        copied = pilot.page.evaluate("navigator.clipboard.readText()")
        assert re.search(r"6:30.*\[1\]", copied)
        assert "[1] faq.html" in copied
        assert "<" not in copied


@pytest.mark.parametrize(("kind", "holds"), [("Markdown", "## When does"), ("JSON", '"question": "When does')])
def test_a_conversation_can_be_exported(browser: Browser, quoting_page: str, kind: str, holds: str) -> None:
    with tab(browser, quoting_page) as pilot:
        pilot.ask("When does the car park on Mill Lane open?")
        with pilot.page.expect_download() as waiting:
            pilot.page.locator("#export a", has_text=kind).click()
        text = waiting.value.path().read_text(encoding="utf-8")
        assert holds in text and "[1]" in text and "faq.html" in text
        assert "<a" not in text and "<div" not in text


def test_the_keyboard_is_enough(browser: Browser, quoting_page: str) -> None:
    with tab(browser, quoting_page) as pilot:
        keyboard = pilot.page.keyboard
        keyboard.type("What is said about leave?")
        keyboard.press("Enter")
        pilot.page.wait_for_selector("#chat .footline")
        pilot.settle()
        pilot.chips.first.focus()
        keyboard.press("Enter")
        expect(pilot.page.locator("#sources .src.on")).to_be_focused()
        first = pilot.page.locator("#sources .src.on").get_attribute("id")
        keyboard.press("Alt+ArrowDown")
        expect(pilot.page.locator("#sources .src.on")).not_to_have_attribute("id", first or "")
        keyboard.press("Alt+ArrowUp")
        expect(pilot.page.locator("#sources .src.on")).to_have_attribute("id", first or "")
        keyboard.press("/")
        expect(pilot.box).to_be_focused()
        nameless = pilot.page.evaluate("""() => [...document.querySelectorAll('button, a, input, textarea')]
            .filter(e => e.checkVisibility() && !(e.getAttribute('aria-label') || e.textContent.trim() || e.title ||
                e.labels?.[0]?.textContent.trim()))
            .map(e => e.outerHTML.slice(0, 200))""")
        assert nameless == []
