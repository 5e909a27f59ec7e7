"""The HTML report in a real browser: it asks for nothing, fits a phone, filters, and prints with everything open."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from rag.gold import compare, verdict
from rag.gold.report.content import build_report
from rag.gold.report.files import html_report
from tests.gold.test_reports import NASTY, hostile_report, runs

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    with browser.new_page(viewport={"width": 1200, "height": 900}) as opened:
        yield opened


def opened(page: Page, path: Path, text: str) -> tuple[list[str], list[str]]:
    """The page's requests and complaints while it loads."""
    path.write_text(text, encoding="utf-8")
    requests: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(path.as_uri())
    return requests, complaints


@pytest.fixture
def report() -> str:
    first, second = runs()
    comparison = compare(first, second)
    return html_report(build_report(second, comparison, verdict(second, comparison)))


def test_it_asks_for_nothing_and_fits_each_width(page: Page, report: str, tmp_path: Path) -> None:
    requests, complaints = opened(page, tmp_path / "r.html", report)
    assert len(requests) == 1 and complaints == []
    for width in (1200, 390):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    for scheme, dark in (("light", False), ("dark", True)):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        red = int(ground.removeprefix("rgb(").split(",")[0])
        assert (red < 128) is dark


def test_filters_by_state_tag_and_words(page: Page, report: str, tmp_path: Path) -> None:
    opened(page, tmp_path / "r.html", report)
    page.set_viewport_size({"width": 1200, "height": 900})
    shown = page.locator("#all details.case:not(.hidden)")
    expect(shown).to_have_count(9)
    page.get_by_role("button", name="worse 5").click()
    expect(shown).to_have_count(5)
    expect(page.locator("#shown")).to_have_text("5 of 9 shown")
    page.get_by_role("button", name="better 1").click()
    expect(shown).to_have_count(6)
    page.get_by_role("button", name="worse 5").click()
    page.get_by_role("button", name="better 1").click()
    page.get_by_role("button", name="none", exact=True).click()
    expect(shown).to_have_count(1)
    page.get_by_role("button", name="none", exact=True).click()
    page.get_by_role("searchbox").fill("ollama does")
    expect(shown).to_have_count(1)
    assert shown.locator(".name").text_content() == "down"


def test_it_prints_what_broke_in_full_and_the_rest_as_a_list(page: Page, report: str, tmp_path: Path) -> None:
    opened(page, tmp_path / "r.html", report.replace('" open><summary>', '"><summary>'))
    broken = "document.querySelectorAll('h3 ~ details.case:not([open])').length"
    listed = "document.querySelectorAll('#all details.case[open]').length"
    closed = page.evaluate(broken)
    assert closed > 0 and page.evaluate(listed) == 0
    page.locator("#all details.case summary").first.click()
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate(broken) == 0 and page.evaluate(listed) == 1
    colour = "getComputedStyle(document.querySelector('h1')).color"
    page.emulate_media(color_scheme="light")
    on_screen = page.evaluate(colour)
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate(colour) == on_screen, "paper is white, whatever the screen is"
    expect(page.locator(".filters")).to_be_hidden()
    page.set_viewport_size({"width": 688, "height": 900})  # A4 between its margins
    assert page.evaluate("document.documentElement.scrollWidth") <= 688
    page.emulate_media(media="screen")
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.evaluate(broken) == closed and page.evaluate(listed) == 1


def test_hostile_text_does_nothing(page: Page, tmp_path: Path) -> None:
    nasty = f"{NASTY}<img src=x onerror=document.title='taken'><style>*{{display:none}}</style>"
    requests, complaints = opened(page, tmp_path / "r.html", html_report(hostile_report(nasty)))
    assert len(requests) == 1 and complaints == []
    assert page.title() != "taken"
    expect(page.locator("h1")).to_be_visible()
    assert page.locator("main img, main script, main style").count() == 0
