"""In a real browser: hostile text stays text, nothing leaves the machine; phone, contrast, models, the API."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from playwright.sync_api import Browser, expect

from rag.library import Library
from rag.models.families import DEFAULT_CHAT_PULL
from tests.fake_ollama import FakeOllama
from tests.ui.corpus import HOSTILE_NAME
from tests.ui.pilot import PHONE, page_over, tab

pytestmark = pytest.mark.browser
ZANZIBAR = "When was the Zanzibar protocol signed?"


def test_hostile_names_passages_questions_and_answers_stay_inert(browser: Browser, quoting_page: str) -> None:
    hostile = (
        "${window.pwned = 7} {{x}} <script>window.pwned = 8</script> <img src=x onerror='window.pwned = 9'> Zanzibar?"
    )
    with tab(browser, quoting_page) as pilot:
        pilot.ask(ZANZIBAR)
        pilot.cards.first.locator("[data-open]").click()
        expect(pilot.page.locator("#reader .rtext")).to_contain_text("window.pwned = 3")
        pilot.page.keyboard.press("Escape")
        pilot.ask(hostile)
        expect(pilot.page.locator("#chat .q").last).to_have_text(hostile)
        expect(pilot.page.locator("#docs")).to_contain_text("${alert(1)} {{x}} <img src=x onerror=alert(1)>.md")
        expect(pilot.page.locator("#hist")).to_contain_text("Zanzibar")
        pilot.page.wait_for_timeout(200)
        assert pilot.page.evaluate("window.pwned") is None
        assert pilot.page.locator("#chat img, #sources img, #docs img, #chat script, #sources script").count() == 0
        assert pilot.page.locator("#chat a:not(.cite), #sources a").count() == 0
        assert pilot.errors == []


def test_the_policy_blocks_what_would_slip_through(browser: Browser, quoting_page: str) -> None:
    with tab(browser, quoting_page) as pilot:
        response = pilot.page.request.get(quoting_page)
        assert "default-src 'self'" in response.headers["content-security-policy"]
        blocked = pilot.page.evaluate("""() => new Promise(done => {
            document.addEventListener('securitypolicyviolation', e => done(e.violatedDirective));
            const image = new Image();
            image.onload = () => done('loaded');
            image.src = 'http://192.0.2.1/leak.png';
            document.body.append(image);
        })""")
        assert blocked.startswith("img-src")
        refused = pilot.page.evaluate("fetch('http://192.0.2.1/').then(() => 'sent', () => 'refused')")
        assert refused == "refused"
        pilot.requests.clear()


def test_the_server_looks_nothing_up(browser: Browser, quoting_page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    original = socket.getaddrinfo

    def listen(host: str, *rest: object, **more: object) -> object:
        asked.append(str(host))
        return original(host, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", listen)
    with tab(browser, quoting_page) as pilot:
        pilot.ask(ZANZIBAR)
    assert {host for host in asked if host not in ("127.0.0.1", "localhost", "::1")} == set()


def test_a_phone_shows_the_chat_and_the_sources_as_a_sheet(browser: Browser, quoting_page: str) -> None:
    with tab(browser, quoting_page, viewport=PHONE, has_touch=True, is_mobile=True) as pilot:
        expect(pilot.page.locator("#left")).not_to_have_class("open")
        pilot.page.wait_for_function("!document.querySelector('#left').classList.contains('open')")
        pilot.ask("How many days of paid annual leave do full-time staff receive?")
        assert pilot.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        sheet = pilot.page.locator("#srccol")
        expect(sheet).not_to_be_visible()
        pilot.chips.first.tap()
        expect(sheet).to_be_visible()
        expect(pilot.page.locator("#sources .src.on")).to_be_in_viewport()
        small = pilot.page.evaluate("""() => [...document.querySelectorAll('button, #chat a, summary')].filter(e => {
            const box = e.getBoundingClientRect();
            return e.checkVisibility({visibilityProperty: true, opacityProperty: true}) && box.width > 0 &&
                (box.width < 24 || box.height < 24) && box.right > 0 && box.left < innerWidth;
        }).map(e => e.outerHTML.slice(0, 160) + JSON.stringify(e.getBoundingClientRect()))""")
        assert small == []
        pilot.page.locator("#sources [data-act=close]").tap()
        expect(sheet).not_to_be_visible()
        pilot.page.locator("#acts [data-act=sheet]").tap()
        expect(sheet).to_be_visible()
        pilot.cards.first.locator("[data-open]").tap()
        expect(pilot.page.locator("#reader .rhead h2")).to_be_visible()
        pilot.page.wait_for_function("document.querySelector('#reader').getAnimations().length === 0")
        head = pilot.page.evaluate("""() => {
            const all = [...document.querySelectorAll('#reader .rhead :is(h2, button)')];
            return [all[0].getBoundingClientRect().width, all.filter(e => e.scrollWidth > e.clientWidth + 1 ||
                e.getBoundingClientRect().right > innerWidth).map(e => e.textContent)];
        }""")
        assert head[0] > 60 and head[1] == [], "the document's name, and what is done with it, are all there"


CONTRAST = """() => {
    const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    const over = (top, below) => {
        canvas.fillStyle = below; canvas.fillRect(0, 0, 1, 1);
        canvas.fillStyle = top; canvas.fillRect(0, 0, 1, 1);
        return 'rgb(' + [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).join(',') + ')';
    };
    const ground = e => {
        const layers = [];
        for (let at = e; at; at = at.parentElement) layers.unshift(getComputedStyle(at).backgroundColor);
        return layers.reduce((below, top) => over(top, below), 'rgb(255,255,255)');
    };
    const light = colour => {
        const linear = v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
        const [r, g, b] = colour.match(/\\d+/g).map(Number).map(linear);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const poor = [];
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const e = texts.currentNode.parentElement;
        const said = texts.currentNode.textContent.trim();
        if (!said || !e.checkVisibility({visibilityProperty: true, opacityProperty: true})) continue;
        if (/^(SCRIPT|STYLE|OPTION)$/.test(e.tagName) || e.closest('.sr, .sr-only')) continue;
        const below = ground(e), text = over(getComputedStyle(e).color, below);
        const [a, b] = [light(text), light(below)].sort((x, y) => y - x);
        const ratio = (a + 0.05) / (b + 0.05);
        if (ratio < 4.5) poor.push([said.slice(0, 40), e.className, ratio.toFixed(2), text, below]);
    }
    return poor;
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_text_has_contrast(browser: Browser, writing_page: str, theme: str) -> None:
    with tab(browser, writing_page) as pilot:
        if theme == "dark":
            pilot.page.locator("#acts [data-act=theme]").click()
        pilot.choose("ollama:fake-hallucinate")
        assert pilot.page.evaluate(CONTRAST) == []
        pilot.ask("When does the car park on Mill Lane open?")
        pilot.chips.first.click()
        pilot.page.wait_for_timeout(300)
        assert pilot.page.evaluate(CONTRAST) == []
        pilot.ask("Who won the chess championship in Buenos Aires?")
        assert pilot.page.evaluate(CONTRAST) == []
        pilot.cards.first.locator("[data-open]").click()
        pilot.page.wait_for_timeout(300)
        assert pilot.page.evaluate(CONTRAST) == []
        pilot.page.keyboard.press("Escape")
        pilot.choose("ollama:fake-chat")


def test_the_states_of_the_model_are_shown(browser: Browser, corpus: Path, tmp_path: Path) -> None:
    with FakeOllama([], delay=0.15, library={DEFAULT_CHAT_PULL: 40_000_000}) as server:
        port = int(server.url.rpartition(":")[2])
        with (
            Library.open(tmp_path / "l", llm="auto", embedder="builtin", ollama_host=server.url) as library,
            page_over(library) as address,
            tab(browser, address) as pilot,
        ):
            library.ingest(corpus)
            expect(pilot.page.locator("#status")).to_contain_text("no chat model")
            button = pilot.page.locator("#status [data-act=pull]")
            expect(button).to_be_visible()
            pilot.page.evaluate("""() => {
                window.percents = new Set();
                new MutationObserver(() => {
                    const said = document.querySelector('#status').innerText.match(/(\\d+) %/);
                    if (said) window.percents.add(said[1]);
                }).observe(document.querySelector('#status'), {childList: true, subtree: true, characterData: true});
            }""")
            button.click()
            expect(pilot.page.locator("#status")).to_contain_text("ready")
            assert len(pilot.page.evaluate("[...window.percents]")) >= 2
            server.close()
            pilot.page.reload()
            expect(pilot.page.locator("#status")).to_contain_text("not running")
            expect(pilot.page.locator("#status .st")).to_have_class("st bad")
            with FakeOllama([DEFAULT_CHAT_PULL], port=port):
                pilot.page.locator("#status [data-act=check]").click()
                expect(pilot.page.locator("#status")).to_contain_text("ready")


def test_an_error_of_the_model_is_a_message_with_a_remedy(browser: Browser, corpus: Path, tmp_path: Path) -> None:
    with (
        Library.open(
            tmp_path / "l", llm="ollama:missing", embedder="builtin", ollama_host="http://127.0.0.1:9"
        ) as library,
        page_over(library) as address,
        tab(browser, address) as pilot,
    ):
        library.ingest(corpus)
        answer = pilot.ask(ZANZIBAR)
        expect(answer.locator(".note.failed")).to_contain_text("not running")
        expect(answer.locator(".note.failed")).to_contain_text("ollama serve")


def test_programs_ask_search_and_list_over_the_api(quoting_page: str) -> None:
    def call() -> None:
        client = Client(quoting_page, verbose=False)
        answer = client.predict("When does the car park on Mill Lane open?", api_name="/ask")
        assert "6:30" in answer["text"]
        assert answer["citations"][0]["source"] == "faq.html"
        hits = client.predict("canteen", 2, api_name="/search")
        assert len(hits) == 2 and "canteen" in hits[0]["passage"]["text"]
        assert HOSTILE_NAME in [source["source"] for source in client.predict(api_name="/sources")]
        with pytest.raises(AppError, match="question is empty"):
            client.predict("  ", api_name="/ask")
        offered = client.view_api(return_format="dict", print_info=False)
        assert isinstance(offered, dict)
        assert set(offered["named_endpoints"]) == {"/ask", "/search", "/sources"}

    with ThreadPoolExecutor(1) as pool:  # away from the browser's event loop
        pool.submit(call).result()


def test_the_pages_own_handlers_are_not_called_by_name(quoting_page: str) -> None:
    config = httpx.get(f"{quoting_page}config", timeout=30).json()
    offered = {"ask", "search", "sources"}
    names = {str(d["api_name"]) for d in config["dependencies"] if d["api_name"]} - offered
    public = {d["api_name"] for d in config["dependencies"] if d["api_visibility"] == "public"}
    assert public == offered
    for name in {*names, "follow", "settle", "remove", "delete_collection", "reindex", "pull", "load"}:
        for route in ("call", "run", "api"):
            reply = httpx.post(f"{quoting_page}gradio_api/{route}/{name}", json={"data": []}, timeout=30)
            assert reply.status_code == 404, (route, name)
