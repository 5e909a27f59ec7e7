"""The page: how soon it can be used, what it adds to a model's first token, twenty streams at once, a long answer.

``rag ui`` and the model's server (``ui_model``) run in processes of their own, so every figure crosses real sockets;
the browser is the tests'. Times of the model are in its tokens, so they need no clock of this process.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from playwright.sync_api import Browser, Page

from rag.library import Library
from tests.bench.tables import percentile, table
from tests.bench.ui_model import QUESTION, since
from tests.browser import chromium
from tests.ui.corpus import write_corpus

ROUNDS = 10
STREAMS = 20
TURNS = 20
USABLE = (
    "document.activeElement?.closest('#box') && document.querySelector('#docs li.doc') && "
    "document.querySelector('#status .st') && document.querySelector('#hist .list')"
)
FIRST_TOKEN = """() => {
    window.first = null;
    const seen = new MutationObserver(() => {
        const live = [...document.querySelectorAll('#chat .answer')].at(-1);
        const stamps = live?.textContent.match(/q\\d{7}/g) ?? [];
        if (stamps.length < 2 || live.dataset.seen) return;
        seen.disconnect();
        window.first = {at: performance.timeOrigin + performance.now(), stamps: stamps.slice(0, 2)};
    });
    seen.observe(document.querySelector('#chat'), {childList: true, subtree: true, characterData: true});
}"""

DOCUMENTS, CONVERSATIONS = 500, 200
FILTER = """text => new Promise(done => {
    const box = document.querySelector('#docs .dtools input[type=search]'), at = performance.now();
    box.value = text;
    box.dispatchEvent(new Event('input', {bubbles: true}));
    requestAnimationFrame(() => setTimeout(() => done(performance.now() - at)));
})"""
SCROLL = """() => new Promise(done => {
    const list = document.querySelector('#docs .list'), frames = [];
    let last = performance.now();
    const step = now => {
        frames.push(now - last);
        last = now;
        list.scrollTop += 200;
        if (list.scrollTop + list.clientHeight >= list.scrollHeight - 1) done(frames.slice(1));
        else requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
})"""

Row = tuple[str, str, str, str]


def main() -> None:
    """Measure and print."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as home, _process([sys.executable, "-m", "tests.bench.ui_model"]) as port:
        folder = Path(home) / "library"
        conversation = _fill(folder, Path(home))
        environ = {**os.environ, "RAG_LIBRARY": str(folder), "RAG_OLLAMA_HOST": f"127.0.0.1:{port}"}
        with chromium() as browser:
            rows += _start_and_first_token(browser, environ)
            rows.append(_long_answer(browser, environ, conversation))
            rows += _many(browser, Path(home))
        rows += asyncio.run(_streams(environ))
    table(("", "p50", "p95", "wanted"), rows)


def _fill(folder: Path, home: Path) -> int:
    """A library with the tests' collection and a conversation of ``TURNS`` turns; its number."""
    with Library.open(folder, llm="quotes", embedder="builtin") as library:
        library.ingest(write_corpus(home / "docs"))
        answer = library.ask(QUESTION).to_dict()
        number = library.conversations.create("default")
        for _ in range(TURNS):
            library.conversations.append(number, QUESTION, "", answer)
        return number


def _many(browser: Browser, home: Path) -> list[Row]:
    """The page over ``DOCUMENTS`` documents in folders and ``CONVERSATIONS`` conversations: until it is usable, from
    a text in the filter to the next frame, and how long frames take while the list is scrolled from end to end."""
    docs = home / "many"
    for number in range(DOCUMENTS):
        path = docs / f"department {number % 20:02d}" / f"minutes of the meeting number {number:03d}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# Meeting {number}\n\nThe meeting number {number} took {number % 90 + 5} minutes.\n")
    folder = home / "many library"
    with Library.open(folder, llm="quotes", embedder="builtin") as library:
        library.sync(docs)
        answer = library.ask("How long did meeting number 7 take?").to_dict()
        for number in range(CONVERSATIONS):
            made = library.conversations.create("default")
            library.conversations.append(made, f"How long did meeting number {number} take?", "", answer)
    loads, filters, frames = [], [], []
    with _page({**os.environ, "RAG_LIBRARY": str(folder), "RAG_LLM": "quotes"}) as address:
        context = browser.new_context(viewport={"width": 1360, "height": 860}, locale="en-GB")
        page = context.new_page()
        for _ in range(4):
            loads.append(_load(page, address))
        page.wait_for_function(f"document.querySelectorAll('#docs li.doc').length === {DOCUMENTS}")
        page.locator("#docsum [data-documents]").click()
        for _ in range(ROUNDS):
            filters += [page.evaluate(FILTER, text) for text in ("7", "number 12", "")]
        frames = page.evaluate(SCROLL)
        context.close()
    return [
        (
            f"{DOCUMENTS} documents, {CONVERSATIONS} conversations: page usable, cold, ms",
            f"{loads[0]:,.0f}",
            "",
            "1,600",
        ),
        _row("  warm", loads[1:], ""),
        _row("  filter, ms to the next frame", filters, "100"),
        _row(f"  scrolling, {len(frames)} frames, ms a frame", frames, "34"),
    ]


def _start_and_first_token(browser: Browser, environ: dict[str, str]) -> list[Row]:
    """From the process's start, from opening the page with nothing in the browser's cache, and again; then the
    time that question and answer take beyond the model's own."""
    starts, cold, warm, added, tail = [], [], [], [], []
    for _ in range(3):
        begun = time.perf_counter()
        with _page({**environ, "RAG_LLM": "ollama:prose:40x50"}) as address:
            starts.append((time.perf_counter() - begun) * 1000)
            context = browser.new_context(viewport={"width": 1360, "height": 860}, locale="en-GB")
            page = context.new_page()
            cold.append(_load(page, address))
            warm += [_load(page, address) for _ in range(3)]
            if len(starts) == 3:
                for whole, after in (_first_token(page) for _ in range(ROUNDS)):
                    added.append(whole)
                    tail.append(after)
            context.close()
    both = [start + load for start, load in zip(starts, cold, strict=True)]
    return [
        _row("process start to page usable, ms", both, ""),
        _row("page usable, cold, ms", cold, "1,600"),
        _row("page usable, warm, ms", warm, ""),
        _row("question to first token, beyond the model's own, ms", added, "60"),
        _row("  of it after the token was written, ms", tail, ""),
    ]


def _load(page: Page, address: str) -> float:
    """Milliseconds from opening the page to its being usable."""
    begun = time.perf_counter()
    page.goto(address, wait_until="commit")
    page.wait_for_function(USABLE, polling=10)
    return (time.perf_counter() - begun) * 1000


def _first_token(page: Page) -> tuple[float, float]:
    """Milliseconds between question and first token without the model's own, and from that token to the page."""
    page.wait_for_function("document.querySelector('#box .submit-button')")
    page.locator("#new").click()
    page.wait_for_function("!document.querySelector('#chat .user-row')")
    page.wait_for_timeout(400)
    page.evaluate(FIRST_TOKEN)
    page.locator("#box textarea").fill(QUESTION)
    asked = page.evaluate("""() => {
        const at = performance.timeOrigin + performance.now();
        document.querySelector('#box .submit-button').click();
        return at;
    }""")
    page.wait_for_function("window.first", polling=50)
    seen = page.evaluate("window.first")
    arrived, written = (since(stamp, seen["at"] / 1000) for stamp in seen["stamps"])
    page.wait_for_selector("#chat .footline")
    return (seen["at"] - asked) - (arrived - written), written


def _long_answer(browser: Browser, environ: dict[str, str], conversation: int) -> Row:
    """Seconds of processor time of the browser's main thread for 1,000 tokens in 22 s, after ``TURNS`` turns."""
    with _page({**environ, "RAG_LLM": "ollama:prose:1000x45"}) as address:
        context = browser.new_context(viewport={"width": 1360, "height": 860}, locale="en-GB")
        page = context.new_page()
        page.add_init_script(f"localStorage.setItem('rag.conversation', '{conversation}')")
        _load(page, address)
        page.wait_for_function(f"document.querySelectorAll('#chat .answer').length === {TURNS}")
        page.wait_for_timeout(1_500)
        session = context.new_cdp_session(page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})  # its own time, whatever else runs here
        page.locator("#box textarea").fill(QUESTION)
        before, begun = _task_seconds(session), time.perf_counter()
        page.locator("#box .submit-button").click()
        page.wait_for_selector("#box .stop-button")
        page.wait_for_selector("#box .submit-button", timeout=120_000)
        used, took = _task_seconds(session) - before, time.perf_counter() - begun
        context.close()
    return (f"main thread, 1,000 tokens after {TURNS} turns, s of {took:.0f}", f"{used:.1f}", "", "6.5 of 22")


def _task_seconds(session: object) -> float:
    metrics = session.send("Performance.getMetrics")["metrics"]  # type: ignore[attr-defined]
    return float(next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration"))


async def _streams(environ: dict[str, str]) -> list[Row]:
    """``STREAMS`` answers at once, each token an update of its own: from a token's writing to its arrival."""
    with _page({**environ, "RAG_LLM": "ollama:stamps:150x15", "RAG_CONCURRENCY": str(STREAMS)}) as address:
        async with httpx.AsyncClient(base_url=address, timeout=120, limits=httpx.Limits(max_connections=64)) as client:
            config = (await client.get("config")).json()
            ask = next(d["id"] for d in config["dependencies"] if _asks(d, config))
            follow = next(d["id"] for d in config["dependencies"] if d["trigger_after"] == ask)
            begun = time.perf_counter()
            both = await asyncio.gather(*(_stream(client, ask, follow, f"bench{n}") for n in range(STREAMS)))
            took = time.perf_counter() - begun
    delays = [delay for one in both for _, delay in one]
    first, last = max(one[0][0] for one in both), min(one[-1][0] for one in both)
    steady = [delay for one in both for at, delay in one if first <= at <= last]
    return [
        _row(f"{STREAMS} streams, all writing, {len(steady)} updates: token to client, ms", steady, "10"),
        _row(f"  with their beginnings and checks, {len(delays)} updates", delays, ""),
        (f"{STREAMS} streams of 150 tokens at 15 a second, s", f"{took:.1f}", "", "10 ideal"),
    ]


def _asks(dependency: dict[str, object], config: dict[str, object]) -> bool:
    """Whether this is what the question box does."""
    components = config["components"]
    assert isinstance(components, list)
    box = next(c["id"] for c in components if c["props"].get("elem_id") == "box")
    return [box, "submit"] in dependency["targets"]  # type: ignore[operator]


async def _stream(client: httpx.AsyncClient, ask: int, follow: int, session: str) -> list[tuple[float, float]]:
    """Ask, and follow the answer as the page does; when each update came, and milliseconds for it."""
    await _updates(client, ask, [QUESTION, "", "default", ""], session)
    return await _updates(client, follow, [], session)


async def _updates(
    client: httpx.AsyncClient, function: int, data: list[str], session: str
) -> list[tuple[float, float]]:
    """Run a handler to its end; the arrival of each update, and milliseconds since its newest token was written."""
    body = {"fn_index": function, "session_hash": session, "data": data}
    (await client.post("gradio_api/queue/join", json=body)).raise_for_status()
    delays: list[tuple[float, float]] = []
    newest = ""
    async with client.stream("GET", "gradio_api/queue/data", params={"session_hash": session}) as response:
        async for line in response.aiter_lines():
            now = time.time()
            stamps = re.findall(r"q\d{7}", line)
            if stamps and stamps[-1] != newest:
                newest = stamps[-1]
                delays.append((now, since(newest, now)))
            if line.startswith("data:") and json.loads(line[5:]).get("msg") == "close_stream":
                return delays  # not before: Gradio would take the session for gone, with what it asks for next
    return delays


@contextmanager
def _page(environ: dict[str, str]) -> Iterator[str]:
    """The address of ``rag ui`` in a process of its own."""
    command = [str(Path(sys.executable).with_name("rag")), "ui", "--port", "0"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            yield child.stdout.readline().split()[1]
        finally:
            child.terminate()


@contextmanager
def _process(command: list[str]) -> Iterator[str]:
    """The first line that a program prints; it is ended with the block."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            yield child.stdout.readline().strip()
        finally:
            child.terminate()


def _row(name: str, values: list[float], wanted: str) -> Row:
    return name, f"{percentile(values, 0.5):,.1f}", f"{percentile(values, 0.95):,.1f}", wanted


if __name__ == "__main__":
    main()
