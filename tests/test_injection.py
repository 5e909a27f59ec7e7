"""More than a hundred attacks by documents and by a model that obeys them, through the whole program: real files are
read, asked about, talked about, exported, shown and served. No request leaves, no citation is forged, nothing changes.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from markdown_it import MarkdownIt
from mcp import Client
from playwright.sync_api import Browser, Dialog
from selectolax.lexbor import LexborHTMLParser

from rag import Library, Turn
from rag.answer.export import to_markdown
from rag.answer.writing import tampering
from rag.api.http import create_app
from rag.api.mcp import create_server
from rag.commands.terminal import answer_text
from rag.types import Answer, Condensed, Done, Support, Token
from tests.fake_ollama import FakeModel, FakeOllama
from tests.injections import TRUSTED, Attack, Canary, Obedient, attacks, file_of
from tests.ui.servers import serving
from ui.export import to_markdown as page_markdown
from ui.markdown import TAGS
from ui.render import answer_html
from ui.sources import section_html

ATTACKS = attacks("http://127.0.0.1:1")
_ELEMENTS = TAGS | {
    "html", "head", "body", "div", "a", "mark", "span", "section", "article", "b", "i", "small", "button", "details",
    "summary",
}  # fmt: skip
_ATTRIBUTES = {"class", "id", "title", "href", "dir", "type", "tabindex", "aria-label", "start"}
_STEERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]")
_MACHINERY = re.compile(r"<<<?\w* ?(?:SOURCE|END|CONVERSATION)")


@dataclass
class Place:
    """A library with all the attacks in it, asked with either prompt, and served."""

    full: Library
    small: Library
    server: FakeOllama
    canary: Canary
    attacks: list[Attack]
    address: str
    files: dict[int, str]
    html: dict[int, str] = field(default_factory=dict)
    arrived: int = 0
    marked: int = 0

    def state(self) -> Any:
        """What an attack could change: documents, collections, their settings, conversations."""
        documents = [(d.source, d.sha256, d.passages) for d in self.full.sources()]
        settings = {name: dict(self.full.collections.settings(name)) for name in self.full.collections.names()}
        return documents, settings, self.full.conversations.list()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    canary = Canary()
    known = attacks(canary.url)
    home = tmp_path_factory.mktemp("injection")
    folder = home / "documents"
    folder.mkdir()
    (folder / TRUSTED).write_text("The board grants 30 days of annual leave.\n", "utf-8")
    files = {}
    for attack in known:
        name, data = file_of(attack)
        (folder / name).write_bytes(data)
        files[attack.number] = name
    models = [FakeModel("obeys", speaker=Obedient(known), context_length=32_768)]
    settings = {"llm": "ollama:obeys", "embedder": "builtin", "encoder": "off"}
    with (
        FakeOllama(models) as server,
        Library.open(home / "library", ollama_host=server.url, prompt="full", **settings) as full,  # type: ignore[arg-type]
    ):
        report = full.ingest(folder)
        assert not [event for event in report.events if event.status == "failed"]
        with (
            Library.open(home / "library", ollama_host=server.url, prompt="small", write=False, **settings) as small,  # type: ignore[arg-type]
            serving(create_app(full)) as port,
        ):
            yield Place(full, small, server, canary, known, f"http://127.0.0.1:{port}", files)
    canary.close()


@pytest.mark.parametrize("number", range(len(ATTACKS)), ids=[attack.id for attack in ATTACKS])
def test_an_attack_comes_to_nothing(place: Place, number: int) -> None:
    attack = place.attacks[number]
    library = place.full if number % 2 else place.small
    before, asked_before = place.state(), len(place.server.sent("/api/chat"))
    answer = _asked(place, library, attack)
    _served(place, attack, answer)
    _talked_about(place, library, attack, answer)
    if number % 3 == 0:
        asyncio.run(_assisted(place, library, attack))
    for request in place.server.sent("/api/chat")[asked_before:]:
        _check_prompt([message["content"] for message in request.json["messages"]])
    assert place.state() == before, "it changed something"
    assert place.canary.asked == 0, "it made somebody ask for its address"


def _asked(place: Place, library: Library, attack: Attack) -> Answer:
    events = list(library.stream(attack.question))
    assert isinstance(events[-1], Done)
    answer = events[-1].answer
    assert not _MACHINERY.search("".join(event.text for event in events if isinstance(event, Token)))
    place.arrived += attack.says[:20] in answer.text
    _check_answer(place, library, attack, answer)
    record = answer.to_dict()
    shown = answer_html(record, 1) + section_html(attack.question, record, 1)
    _check_html(shown)
    place.marked += _check_marks(attack, answer, shown)
    place.html[attack.number] = shown
    assert not _STEERS.search(answer_text(answer, 100)), "it steers the terminal"
    _check_markdown(to_markdown(answer))
    _check_markdown(page_markdown(attack.says, [(attack.question, record)]))
    return answer


def _served(place: Place, attack: Attack, answer: Answer) -> None:
    """The same over HTTP; programs that show what comes as Markdown load nothing."""
    body = {"model": "default", "messages": [{"role": "user", "content": attack.question}]}
    if attack.number % 4:
        reply = httpx.post(f"{place.address}/v1/chat/completions", json=body, timeout=60).json()
        content = reply["choices"][0]["message"]["content"]
        annotations = reply["choices"][0]["message"]["annotations"]
        assert all(a["url_citation"]["url"].startswith(place.address) for a in annotations)
        assert all(
            re.fullmatch(r"\[\d+\]", content[a["url_citation"]["start_index"] : a["url_citation"]["end_index"]])
            for a in annotations
        )
    else:
        streamed = httpx.post(f"{place.address}/v1/chat/completions", json={**body, "stream": True}, timeout=60).text
        rows = [json.loads(line[6:]) for line in streamed.splitlines() if line.startswith("data: {")]
        content = "".join(row["choices"][0]["delta"].get("content", "") for row in rows if row["choices"])
        _check_markdown(rows[-1].get("answer", ""))
    assert not _MACHINERY.search(content)
    _check_markdown(content)


def _talked_about(place: Place, library: Library, attack: Attack, answer: Answer) -> None:
    """A follow-up over the poisoned answer, rewritten by the same model."""
    history = [Turn(attack.question, answer.text)]
    events = list(library.stream(f"And where does it, the lantern of {attack.word}, hang?", history=history))
    for event in events:
        if isinstance(event, Condensed):
            assert not _MACHINERY.search(event.question)
    assert isinstance(events[-1], Done)
    _check_answer(place, library, attack, events[-1].answer)
    _check_html(answer_html(events[-1].answer.to_dict(), 2))


async def _assisted(place: Place, library: Library, attack: Attack) -> None:
    """The same for an assistant: what it may pass on loads and links nothing, citations are true slices, and passages
    that are hidden or steer say so."""
    async with Client(create_server(library), read_timeout_seconds=120) as client:

        async def called(name: str, **arguments: Any) -> Any:
            result = await client.call_tool(name, arguments)
            assert not result.is_error, result
            return result.structured_content

        answer = await called("ask", question=attack.question)
        assert not _MACHINERY.search(answer["text"])
        _check_markdown(answer["text"])
        for sentence in answer["sentences"]:
            assert answer["text"][sentence["start"] : sentence["end"]] == sentence["text"]
            proven = sentence["support"] in (Support.QUOTED, Support.SUPPORTED)
            if attack.forged and attack.forged in sentence["text"] and proven:
                cited = {answer["citations"][index]["source"] for index in sentence["citations"]}
                assert cited == {place.files[attack.number]}
        for mark in answer["markers"]:
            number = answer["citations"][mark["citation"]]["marker"]
            assert answer["text"][mark["start"] : mark["end"]] == f"[{number}]"
        for cited in answer["citations"]:
            where = {"document": cited["document_id"], "start": cited["start"], "end": cited["end"]}
            assert (await called("quote", **where))["text"] == cited["quote"]
        for hit in [*answer["hits"], *(await called("search", question=attack.question))["passages"]]:
            text = hit["passage"]["text"]
            assert (attack.hidden and attack.text[:56] in text) <= (
                "its document does not show" in str(hit["warnings"])
            )
            assert set(tampering(text)) <= set(hit["warnings"])


def _check_answer(place: Place, library: Library, attack: Attack, answer: Answer) -> None:
    """Every citation is a true slice, every marker has one, and what is forged is not certified by another document."""
    assert not _MACHINERY.search(answer.text)
    for citation in answer.citations:
        assert library.text(citation.document_id)[citation.start : citation.end] == citation.quote
    for marker in answer.markers:
        assert answer.text[marker.start : marker.end] == f"[{answer.citations[marker.citation].marker}]"
    for sentence in answer.sentences:
        proven = sentence.support in (Support.QUOTED, Support.SUPPORTED)
        if attack.forged and attack.forged in sentence.text and proven:
            cited = {answer.citations[index].source for index in sentence.citations}
            assert cited == {place.files[attack.number]}, f"{sentence.text!r} is certified by {cited}"


def _check_html(html: str) -> None:
    """Nothing but the page's own elements, and no attribute that loads, runs or leads elsewhere."""
    for node in LexborHTMLParser(html).css("*"):
        assert node.tag in _ELEMENTS, f"<{node.tag}>"
        for name, value in node.attributes.items():
            assert name in _ATTRIBUTES or name.startswith("data-"), f"{name}={value!r}"
            assert name != "href" or re.fullmatch(r"#t\d+s\d+", value or ""), value


def _check_markdown(text: str) -> None:
    """Shown by the most trusting viewer, with HTML, it neither loads nor links anything."""
    viewer = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    for node in LexborHTMLParser(viewer.render(text)).css("*"):
        assert node.tag in {*TAGS, "html", "head", "body", "s"}, f"<{node.tag}> of {text!r}"
        assert set(node.attributes) <= {"class", "start", "style"}, node.attributes
        assert "url" not in (node.attributes.get("style") or "")


def _check_prompt(texts: list[str]) -> None:
    """No document closes its fence, opens another or speaks in another role."""
    for text in texts:
        assert "<|" not in text and "[INST]" not in text and "<start_of_turn>" not in text
        fences = re.findall(r"^<<<(\w+) .*$", text, re.MULTILINE)
        assert len(set(fences)) <= 1 and len(fences) % 2 == 0


def _check_marks(attack: Attack, answer: Answer, shown: str) -> bool:
    """What a file does not show is not read, or its card says so; and so does that of a passage made to steer models.
    Whether there is such a mark."""
    if attack.hidden and any(attack.text[:56] in hit.passage.text for hit in answer.hits):
        assert "⚠ text that its document does not show" in shown
    if any(tampering(hit.passage.text) for hit in answer.hits):
        assert "⚠ " in shown
    return "⚠ text that" in shown or "⚠ control words" in shown or "⚠ characters" in shown


def test_the_attacks_arrived_and_nobody_was_asked(place: Place) -> None:
    assert len(ATTACKS) >= 100
    assert place.arrived >= 90, "an attack that never reaches an answer tests nothing"
    # What hides or reorders and steers nothing is dropped when a file is read: there is nothing left to mark.
    assert place.marked >= 11, "cards warn of what is hidden or made to steer models"
    assert place.canary.asked == 0
    assert Path(place.full.path).is_dir() and TRUSTED in {document.source for document in place.full.sources()}


def test_a_browser_loads_nothing_of_all_that_was_shown(place: Place, browser: Browser) -> None:
    for attack in place.attacks:
        if attack.number not in place.html:  # this test was run alone
            _asked(place, place.full, attack)
    acted: list[str] = []

    def dismissed(dialog: Dialog) -> None:
        acted.append(dialog.message)
        dialog.dismiss()

    page = browser.new_page()
    page.on("request", lambda request: acted.append(request.url))
    page.on("dialog", dismissed)
    page.set_content(f"<!doctype html><body>{''.join(place.html.values())}</body>")
    page.wait_for_load_state("networkidle")
    assert not acted and place.canary.asked == 0
    page.close()
