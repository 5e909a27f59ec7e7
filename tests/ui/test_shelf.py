"""Documents and collections for the page, over a real library: lists, reader pane, pictures of pages, suggestions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from selectolax.lexbor import LexborHTMLParser

from rag.library import Library
from rag.types import Document, Heading, Place, to_plain
from tests.ui.corpus import HOSTILE_NAME, POLICY
from ui.escape import plain_name
from ui.intake import Intake
from ui.lines import LineFinder
from ui.lists import ConversationRow, FileRow, Status, conversations_html, documents_html, status_html
from ui.reader import WINDOW, Span, reader_html
from ui.shelf import Shelf
from ui.suggest import examples, follow_ups
from ui.talks import Talks


@pytest.fixture
def shelf(library: Library, corpus: Path) -> Iterator[Shelf]:
    library.ingest(corpus)
    intake = Intake(library)
    yield Shelf(library, intake, Talks(library))
    intake.close()


def parsed(html: str | None) -> LexborHTMLParser:
    assert html is not None
    return LexborHTMLParser(f"<body>{html}</body>")


def names(html: str | None) -> list[str]:
    return [node.text() for node in parsed(html).css("li.doc button.dn > span")]


def document_of(library: Library, source: str) -> Document:
    return library.document(source)


def test_documents_are_listed_with_what_is_in_them(shelf: Shelf) -> None:
    shown = shelf.show("default")
    assert shown.collections == ["default"] and shown.collection == "default"
    assert set(names(shown.documents)) == {
        plain_name(HOSTILE_NAME), "faq.html", "handbook.pdf", "notes.txt", "policy-2025.md",
    }  # fmt: skip
    facts = [node.text() for node in parsed(shown.documents).css("button.dn small")]
    assert any(text.startswith("3 pages · ") for text in facts)
    assert_list_inert(shown.documents or "")


def assert_list_inert(html: str) -> None:
    for node in parsed(html).css("script, img, style, iframe"):
        raise AssertionError(node.html)
    assert "${" not in html and "{{" not in html


def test_pages_without_text_are_shown(library: Library, tmp_path: Path) -> None:
    from tests.documents.material import pdf

    (tmp_path / "scan.pdf").write_bytes(pdf(["A page with words.", None, None]))
    library.ingest(tmp_path / "scan.pdf")
    assert "⚠ 2 without text" in documents_html("default", library.sources(), ())


def test_removing_takes_the_document_away(shelf: Shelf, library: Library) -> None:
    document = document_of(library, "notes.txt")
    after = shelf.remove(str(document.id), "default")
    assert not after.warning
    assert "notes.txt" not in names(after.documents)
    assert shelf.remove(str(document.id), "default").warning
    assert shelf.remove("no number", "default").warning


def test_collections_are_made_renamed_and_deleted(shelf: Shelf, library: Library) -> None:
    made = shelf.create("Manuals")
    assert made.collections == ["Manuals", "default"] and made.collection == "Manuals" and made.examples == []
    assert shelf.create("Manuals").warning
    renamed = shelf.rename("Manuals", "Handbooks <b>")
    assert renamed.collection == "Handbooks <b>"
    assert shelf.rename("none", "x").warning
    gone = shelf.delete("Handbooks <b>")
    assert gone.collections == ["default"] and gone.collection == "default"
    assert shelf.delete("default").collections == ["default"]
    assert library.sources() == ()


def test_a_document_opens_from_its_start_and_at_a_place(shelf: Shelf, library: Library) -> None:
    document = document_of(library, "policy-2025.md")
    opened = shelf.open_document(str(document.id))
    text = parsed(opened.reader).css_first("div.rtext")
    assert text is not None and text.text() == library.text(document.id)
    assert next(node.text() for node in parsed(opened.reader).css("b.hd2")).endswith("Leave from January")
    assert shelf.open_document("999999").warning
    assert shelf.turn_to("1:2", 0).warning


def test_the_reader_marks_the_span_across_pages_and_headings(library: Library, corpus: Path) -> None:
    text = "Title\nfirst page\nsecond <page> ${x}\nend"
    pages = [Place(1, 0, 17), Place(2, 17, 40)]
    document = Document(3, "default", "a.pdf", "A", "application/pdf", "", 1, len(text), 1, 2, 0, 0.0)
    html = reader_html(document, text, [Heading(1, "Title", 0)], pages, Span(12, 30, 1), image=True)
    tree = parsed(html)
    assert "".join(node.text() for node in tree.css("mark")) == text[12:30]
    assert len(tree.css("#reader-mark")) == 1
    assert [node.text() for node in tree.css(".pagebreak")] == ["Page 1", "Page 2"]
    assert [node.text() for node in tree.css("b.hd1")] == ["Title"]
    source = tree.css_first("img")
    assert source is not None and source.attributes["data-src"] == "/page/3/1.png?start=12&end=30"
    assert "${" not in html


def test_long_documents_are_read_in_parts() -> None:
    text = "".join(f"line {number} of a long text\n" for number in range(20_000))
    document = Document(3, "default", "a.txt", "A", "text/plain", "", 1, len(text), 1, 0, 0, 0.0)
    middle = len(text) // 2
    html = reader_html(document, text, [], [], Span(middle, middle + 20))
    shown = parsed(html).css_first("div.rtext")
    assert shown is not None and len(shown.text()) < 2 * WINDOW + 100
    more = [(node.text(), node.attributes["data-offset"]) for node in parsed(html).css("button.rmore")]
    assert [label for label, _ in more] == ["Show earlier text", "Show later text"]
    covered, offset = 0, 0
    for _ in range(50):
        part = reader_html(document, text, [], [], Span(0, 0), centre=offset)
        later = [n for n in parsed(part).css("button.rmore") if n.text() == "Show later text"]
        covered += 1
        if not later:
            break
        offset = int(later[0].attributes["data-offset"] or 0)
    assert covered < 20


def test_pictures_are_only_of_documents_in_the_library(shelf: Shelf, library: Library) -> None:
    handbook, notes = document_of(library, "handbook.pdf"), document_of(library, "notes.txt")
    assert (shelf.original(handbook.id) or b"").startswith(b"%PDF")
    assert shelf.original(notes.id) is None
    assert shelf.original(987_654) is None
    library.remove("handbook.pdf")
    assert shelf.original(handbook.id) is None


def test_lines_are_counted_as_an_editor_does(shelf: Shelf, library: Library) -> None:
    hits = library.search("carry-over limit rises from five to eight days")
    lines = LineFinder(library).of_hits(hits)
    hit = next(h for h in hits if h.passage.source == "policy-2025.md" and "eight days" in h.passage.text)
    first, last = lines[f"{hit.passage.document_id}:{hit.passage.start}:{hit.passage.end}"]
    shown = POLICY.split("\n")[first - 1 : last]
    assert "\n".join(shown).strip() == hit.passage.text.strip()
    assert not any(h.passage.page for h in hits if f"{h.passage.document_id}:{h.passage.start}" in str(lines))


def test_examples_fit_the_collection_and_hold_no_markup(shelf: Shelf, library: Library) -> None:
    found = examples(library, "default")
    assert len(found) == 4 and found == examples(library, "default")
    assert any("arental leave" in question for question in examples(library, "default", 20))
    assert not any(set(question) & set("<>{}[]$*`") for question in examples(library, "default", 20))


def test_follow_ups_come_from_headings_not_asked_yet(shelf: Shelf, library: Library) -> None:
    hits = [to_plain(hit) for hit in library.search("parental leave")]
    found = follow_ups({"question": "Tell me about parental leave", "hits": hits})
    assert found and not any("arental leave" in question for question in found)
    assert follow_ups({"question": "q", "hits": hits, "state": "stopped"}) == []
    assert follow_ups({"question": "q"}) == []


def test_files_on_their_way_are_followed_to_the_end(shelf: Shelf, library: Library) -> None:
    async def watch() -> list[str]:
        intake = shelf._intake
        for name in ("x.md", "y.bin"):
            arrival = intake.begin(name, "default", 10)
            arrival.write(b"Text about \x00trains." if name == "y.bin" else b"Text about trains.")
            intake.accept(arrival)
        return [listed async for listed in shelf.follow("default")]

    shown = asyncio.run(watch())
    assert "x.md" in names(shown[-1])
    failed = parsed(shown[-1]).css("li.failed")
    assert len(failed) == 1 and "Failed:" in failed[0].text()


def test_hostile_rows_stay_text() -> None:
    bad = "${x}{{y}}<img src=x onerror=alert(1)>\u202e'\"&"
    rows = [FileRow("j", bad, "failed", bad, bad), FileRow("k", bad, "reading"), FileRow("l", bad, "waiting")]
    assert_list_inert(documents_html("<b>${x}</b>", (), rows))
    assert_list_inert(status_html(Status("missing", bad, bad, bad, bad)))
    assert_list_inert(status_html(Status("pulling", bad, bad, bad, percent=12.5)))
    assert_list_inert(conversations_html([ConversationRow("1", bad, bad, 2)], "1"))
    document = Document(3, "d", bad, bad, "text/plain", "", 1, 9, 1, 0, 0, 0.0)
    html = reader_html(document, bad, [Heading(1, bad, 0)], [], Span(1, 5))
    assert_list_inert(html)


def test_the_status_offers_the_one_thing_that_helps() -> None:
    def acts(status: Status) -> list[str | None]:
        return [node.attributes["data-act"] for node in parsed(status_html(status)).css("button")]

    assert acts(Status("ok", "qwen3:4b ready")) == []
    assert acts(Status("down", "Ollama is not running", "Start it.")) == ["check"]
    assert acts(Status("missing", "not downloaded", model="qwen3:4b", size="2.6 GB")) == ["pull"]
    assert acts(Status("pulling", "Downloading", model="m", percent=40.0)) == ["cancel"]
    assert 'value="40.0"' in status_html(Status("pulling", "Downloading", model="m", percent=40.0))
    assert "value" not in status_html(Status("pulling", "Downloading", model="m"))
