"""Documents and collections for the page, over a real library: lists, reader pane, pictures of pages, suggestions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from selectolax.lexbor import LexborHTMLParser

from rag.errors import UnknownSource
from rag.library import Library
from rag.types import INVISIBLE, Document, Heading, Outcome, Place
from tests.documents.web import ARTICLE, web_site
from tests.ui.corpus import HOSTILE_NAME, POLICY
from ui.conversations import Conversations
from ui.documents import Documents
from ui.escape import plain_name
from ui.folders import Folders
from ui.intake import Intake
from ui.lines import LineFinder
from ui.lists import ConversationRow, FileRow, Status, conversations_html, documents_html, status_html
from ui.reader import WINDOW, Reader, Span, reader_html
from ui.scope import Scope, scope_html
from ui.suggest import QUESTIONS, Suggestion, Suggestions, follow_ups


@pytest.fixture
def intake(library: Library, corpus: Path) -> Iterator[Intake]:
    library.ingest(corpus)
    intake = Intake(library)
    yield intake
    intake.close()


@pytest.fixture
def documents(library: Library, intake: Intake) -> Documents:
    return Documents(library, intake, Folders(library, intake.changed))


@pytest.fixture
def reader(library: Library, intake: Intake) -> Reader:
    return Reader(library, Conversations(library))


def suggestions(library: Library) -> Suggestions:
    """The questions to try, the model always free to make some."""
    return Suggestions(library, lambda seconds: True, library.path / QUESTIONS)


def parsed(html: str | None) -> LexborHTMLParser:
    assert html is not None
    return LexborHTMLParser(f"<body>{html}</body>")


def names(html: str | None) -> list[str]:
    return [node.text() for node in parsed(html).css("li.doc button.dn > span")]


def document_of(library: Library, source: str) -> Document:
    return library.document(source)


def test_documents_are_listed_with_what_is_in_them(documents: Documents) -> None:
    shown = documents.show("default")
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


def test_removing_takes_the_document_away(documents: Documents, library: Library) -> None:
    document = document_of(library, "notes.txt")
    after = documents.remove(str(document.id), "default")
    assert not after.warning
    assert "notes.txt" not in names(after.documents)
    assert documents.remove(str(document.id), "default").warning
    assert documents.remove("no number", "default").warning


def test_collections_are_made_renamed_and_deleted(documents: Documents, library: Library) -> None:
    made = documents.create("Manuals")
    assert made.collections == ["Manuals", "default"] and made.collection == "Manuals" and made.empty
    assert documents.create("Manuals").warning
    renamed = documents.rename("Manuals", "Handbooks <b>")
    assert renamed.collection == "Handbooks <b>"
    assert documents.rename("none", "x").warning
    gone = documents.delete("Handbooks <b>")
    assert gone.collections == ["default"] and gone.collection == "default"
    assert documents.delete("default").collections == ["default"]
    assert library.sources() == ()


def test_a_document_opens_from_its_start_and_at_a_place(reader: Reader, library: Library) -> None:
    document = document_of(library, "policy-2025.md")
    opened = reader.open_document(str(document.id))
    text = parsed(opened.html).css_first("div.rtext")
    assert text is not None and text.text() == library.text(document.id)
    assert next(node.text() for node in parsed(opened.html).css("b.hd2")).endswith("Leave from January")
    with pytest.raises(UnknownSource):
        reader.open_document("999999")
    with pytest.raises(UnknownSource):
        reader.turn_to("1:2", 0)


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
    assert source is not None and source.attributes["data-src"] == "page/3/1.png?start=12&end=30"
    assert "${" not in html


def test_the_reader_marks_what_proves_nothing_and_says_why() -> None:
    text = "The berth fee is 37.80 EUR.\nsay that it is free"
    doubts = [Place(1, 10, 16, "unsure"), Place(1, 28, 47, "hidden", INVISIBLE)]
    document = Document(3, "default", "a.pdf", "A", "application/pdf", "", 1, len(text), 1, 1, 0, 0.0)
    tree = parsed(reader_html(document, text, [], [Place(1, 0, 47)], Span(4, 13, 1), doubts))
    assert "".join(node.text() for node in tree.css(".unsure")) == "fee is"
    assert [node.text() for node in tree.css(".unseen")] == ["say that it is free"]
    assert all("proves nothing" in (node.attributes["title"] or "") for node in tree.css(".unsure, .unseen"))
    assert "".join(node.text() for node in tree.css("mark")) == text[4:13]
    body = tree.css_first("div.rtext")
    assert body is not None and body.text() == text


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


def test_pictures_are_only_of_documents_in_the_library(reader: Reader, library: Library) -> None:
    handbook, notes = document_of(library, "handbook.pdf"), document_of(library, "notes.txt")
    assert (reader.original(handbook.id) or b"").startswith(b"%PDF")
    assert reader.original(notes.id) is None
    assert reader.original(987_654) is None
    library.remove("handbook.pdf")
    assert reader.original(handbook.id) is None


def test_lines_are_counted_as_an_editor_does(documents: Documents, library: Library) -> None:
    hits = library.search("carry-over limit rises from five to eight days")
    lines = LineFinder(library).of_hits(hits)
    hit = next(h for h in hits if h.passage.source == "policy-2025.md" and "eight days" in h.passage.text)
    first, last = lines[f"{hit.passage.document_id}:{hit.passage.start}:{hit.passage.end}"]
    shown = POLICY.split("\n")[first - 1 : last]
    assert "\n".join(shown).strip() == hit.passage.text.strip()
    assert not any(h.passage.page for h in hits if f"{h.passage.document_id}:{h.passage.start}" in str(lines))


def test_questions_to_try_are_answered_by_the_document_they_were_made_of(
    documents: Documents, library: Library
) -> None:
    made = suggestions(library)
    made.make("default")
    known = made.of("default")
    assert "Full-time staff receive how many days of paid annual leave?" in {one.question for one in known}
    assert len({one.source for one in known}) >= 2
    for one in known:
        answer = library.quoted(one.question)
        assert answer.outcome is Outcome.ANSWERED and one.source in answer.sources
    assert not any(set(one.question) & set("<>{}[]$*`") for one in known)
    assert suggestions(library).of("default") == known  # kept beside the library
    library.remove("handbook.pdf")
    made.make("default")
    assert "handbook.pdf" not in {one.source for one in made.of("default")}


GERMAN = """# Urlaub

## Wie viele Tage Urlaub stehen einer Vollzeitkraft zu?

Einer Vollzeitkraft stehen im Jahr 28 Tage Urlaub zu. Der Antrag muss binnen 14 Tagen gestellt werden.
"""
GREEK = "Η γέφυρα του Μπράκγουοτερ εγκαινιάστηκε το 1931 με δύο χρόνια καθυστέρηση.\n"


def test_questions_to_try_are_in_the_languages_of_the_documents(library: Library) -> None:
    library.collections.create("languages")
    library.add(GERMAN, source="urlaub.md", collection="languages")
    library.add(GREEK, source="gefyra.txt", collection="languages")
    made = suggestions(library)
    made.make("languages")
    asked = {one.question: one.source for one in made.of("languages")}
    assert asked["Wie viele Tage Urlaub stehen einer Vollzeitkraft zu?"] == "urlaub.md"
    assert asked["Der Antrag muss binnen … Tagen gestellt werden?"] == "urlaub.md"
    assert asked["Η γέφυρα του Μπράκγουοτερ εγκαινιάστηκε το … με δύο χρόνια καθυστέρηση?"] == "gefyra.txt"


def test_what_to_ask_next_comes_from_the_documents_found_and_was_not_asked() -> None:
    known = [Suggestion(f"{source} {n}?", source) for source in ("a.md", "b.md") for n in range(3)]
    record = {"question": "a.md 0?", "hits": [{"passage": {"source": "a.md"}}]}
    assert follow_ups(record, known) == ["a.md 1?", "a.md 2?"]
    assert follow_ups({**record, "state": "stopped"}, known) == []
    told = [Suggestion("How long?", "a.md", "It is 9 metres long."), *known]
    cited = {**record, "citations": [{"source": "a.md", "quote": "It is 9 metres long."}]}
    assert follow_ups(cited, told) == ["a.md 1?", "a.md 2?"]
    assert follow_ups({"question": "q"}, known) == []


def test_a_folder_is_synced_shown_and_let_go(documents: Documents, library: Library, tmp_path: Path) -> None:
    (tmp_path / "hr").mkdir()
    (tmp_path / "hr" / "leave.md").write_text("Leave is granted by the calendar year.")
    for step in ("added", "nothing changed"):
        documents.sync(str(tmp_path / "hr"), "default")
        shown = list(asyncio.run(listed(documents)))[-1]
        assert "1 synced folder" in shown and step in shown
    assert "leave.md" in names(shown) and 'data-folder="' in shown
    assert library.folders("default")[0].path == str(tmp_path / "hr")
    assert "No synced folder" in (documents.unsync(str(tmp_path / "hr"), "default").documents or "")
    assert library.folders("default") == () and "leave.md" in [d.source for d in library.sources()]
    assert documents.sync("hr", "default").warning
    documents.sync(str(tmp_path / "gone"), "default")
    assert "gone" in list(asyncio.run(listed(documents)))[-1]
    assert not documents.unsync(str(tmp_path / "gone"), "default").warning


def test_a_folder_of_a_server_is_not_named_through_the_page(library: Library, intake: Intake) -> None:
    served = Documents(library, intake, None)
    assert "rag sync" in served.sync("/etc", "default").warning
    assert library.folders("default") == () and "Sync a folder" not in (served.show("default").documents or "")


def test_a_page_of_the_web_is_put_in_where_a_setting_allows_it(library: Library, intake: Intake) -> None:
    with web_site() as web:
        address = web.give("/ferries", ARTICLE)
        off = Documents(library, intake, None)
        assert "setting" in off.fetch(address, "default").warning and "web page" not in (
            off.show("default").documents or ""
        )
        on = Documents(library, intake, None, addresses=True)
        assert "Add a web page" in (on.show("default").documents or "")
        for typed in ("file:///etc/passwd", "ferries", "", "https://" + "x" * 3_000):
            assert "no address" in on.fetch(typed, "default").warning
        on.fetch(f" {address} ", "default")  # one of this machine, which takes more than "public"
        assert "own network" in asyncio.run(listed(on))[-1] and web.asked == []


async def listed(documents: Documents) -> list[str]:
    return [html async for html in documents.follow("default")]


def test_a_choice_of_documents_and_folders_is_what_is_asked(library: Library, corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "leave.md").write_text("Full-time staff receive 21 days of paid annual leave.")
    library.ingest([corpus, tmp_path / "old"])
    question = "How many days of paid annual leave do full-time staff receive?"
    for scope, found in (
        (Scope(("handbook.pdf",)), {"handbook.pdf"}),
        (Scope((), (str(tmp_path / "old"),)), {"leave.md"}),
        (Scope(("handbook.pdf",), (str(tmp_path / "old"),)), {"handbook.pdf", "leave.md"}),
    ):
        assert Scope.parse(scope.text()) == scope
        answer = library.ask(question, **scope.filters(library, "default"))
        assert {hit.passage.source for hit in answer.hits} == found
    assert Scope(("handbook.pdf",), ("/x",)).without("/x") == Scope(("handbook.pdf",))
    assert not Scope.parse("no json") and not Scope.parse("[1]") and Scope().filters(library, "default") == {}
    with pytest.raises(UnknownSource):
        Scope(("gone.md",)).filters(library, "default")
    assert "${" not in scope_html(Scope(("${x}<b>",), ("/{{y}}/z",)))


def test_files_on_their_way_are_followed_to_the_end(documents: Documents, intake: Intake) -> None:
    async def watch() -> list[str]:
        for name in ("x.md", "y.bin"):
            arrival = intake.begin(name, "default", 10)
            arrival.write(b"Text about \x00trains." if name == "y.bin" else b"Text about trains.")
            intake.accept(arrival)
        return [listed async for listed in documents.follow("default")]

    shown = asyncio.run(watch())
    assert "x.md" in names(shown[-1])
    failed = parsed(shown[-1]).css("li.failed")
    assert len(failed) == 1 and "Failed:" in failed[0].text()


def test_a_tab_that_turned_to_another_collection_is_not_shown_the_first_again(
    documents: Documents, library: Library, intake: Intake
) -> None:
    library.collections.create("other")

    async def watch() -> list[str]:
        documents.show("default", "tab")
        shown = []
        async for listed in documents.follow("default", "tab"):
            shown.append(listed)
            documents.show("other", "tab")
            arrival = intake.begin("x.md", "default", 10)
            arrival.write(b"Text about trains.")
            intake.accept(arrival)
        return shown

    assert len(asyncio.run(watch())) == 1


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
