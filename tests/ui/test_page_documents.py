"""In a real browser: files in by button and drop, refusals by name, removal, collections, the reader pane."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Route, expect

from rag.library import Library
from tests.documents.web import ARTICLE, web_site
from tests.ui.pilot import Pilot, page_over, tab, write

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def shelf(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """A library to change."""
    home = tmp_path_factory.mktemp("shelf")
    with Library.open(home, llm="quotes", embedder="builtin", addresses="private") as opened:
        opened.ingest(corpus)
        yield opened


@pytest.fixture(scope="module")
def address(shelf: Library) -> Iterator[str]:
    with page_over(shelf) as found:
        yield found


def upload(pilot: Pilot, files: list[str]) -> None:
    pilot.page.locator("#up input[type=file]").first.set_input_files(files)


def drop(pilot: Pilot, files: dict[str, str]) -> None:
    """Drop files on the middle of the page."""
    pilot.page.evaluate(
        """files => {
            const data = new DataTransfer();
            for (const [name, text] of Object.entries(files)) data.items.add(new File([text], name));
            const fire = type => document.querySelector('#chat').dispatchEvent(
                new DragEvent(type, {dataTransfer: data, bubbles: true, cancelable: true}));
            fire('dragenter');
            window.hinted = document.body.classList.contains('drag');
            fire('dragover');
            fire('drop');
        }""",
        files,
    )


def row(pilot: Pilot, source: str) -> Locator:
    """The document's line in the list."""
    return pilot.page.locator("#docs li.doc", has_text=source)


def test_several_files_go_in_with_progress_and_then_counts(browser: Browser, address: str, tmp_path: Path) -> None:
    with tab(browser, address) as pilot:
        pilot.page.evaluate("""() => {
            window.progress = new Set();
            const look = () => document.querySelectorAll('#up progress, #docs progress').forEach(
                p => window.progress.add(p.getAttribute('aria-label')));
            new MutationObserver(look).observe(document.body, {childList: true, subtree: true});
        }""")
        rivers = "The river Minho is 300 kilometres long.\n" * 2_000
        upload(pilot, write(tmp_path, rivers__md=rivers, hills__txt="The hill of Larouco is 1535 metres high.\n"))
        expect(row(pilot, "rivers.md")).to_contain_text("passages")
        expect(row(pilot, "hills.txt")).to_contain_text("1 passage")
        seen = pilot.page.evaluate("[...window.progress]")
        assert any("rivers.md" in label for label in seen)
        assert any("hills.txt" in label for label in seen)
        expect(pilot.page.locator("#up .sending li")).to_have_count(0)
        answer = pilot.ask("How high is the hill of Larouco?")
        expect(answer).to_contain_text("1535 metres")


def test_a_bad_file_is_named_and_the_others_go_on(browser: Browser, address: str, tmp_path: Path) -> None:
    files = write(tmp_path, good__md="Sheep are shorn in May.\n", bad__exe="MZ\x00\x01")
    broken = tmp_path / "broken.pdf"
    broken.write_bytes(b"%PDF-1.4 broken")
    with tab(browser, address) as pilot:
        upload(pilot, [*files, str(broken)])
        expect(row(pilot, "good.md")).to_contain_text("1 passage")
        with pilot.documents():
            for name in ("bad.exe", "broken.pdf"):
                expect(row(pilot, name)).to_contain_text("Failed:")
            pilot.page.evaluate("""async () => {  // the second is clicked while the first is on its way
                for (const button of document.querySelectorAll('#docs li.failed [data-act=dismiss]')) {
                    button.click();
                    await new Promise(requestAnimationFrame);
                }
            }""")
            for name in ("bad.exe", "broken.pdf"):
                expect(row(pilot, name)).to_have_count(0)


def test_a_file_over_the_limit_is_refused_before_it_is_sent(browser: Browser, address: str) -> None:
    with tab(browser, address) as pilot:
        pilot.page.evaluate("""() => {
            const file = new File(['x'], 'huge.txt');
            Object.defineProperty(file, 'size', {value: 2 ** 40});
            const data = new DataTransfer();
            const input = document.querySelector('#up input[type=file]');
            Object.defineProperty(input, 'files', {value: [file], configurable: true});
            input.dispatchEvent(new Event('change', {bubbles: true}));
        }""")
        expect(pilot.page.locator("#up .sending li")).to_contain_text("larger than 50 MB")


def test_files_can_be_dropped_anywhere(browser: Browser, address: str) -> None:
    with tab(browser, address) as pilot:
        drop(pilot, {"bees.md": "A hive holds about 40,000 bees in summer.\n"})
        assert pilot.page.evaluate("window.hinted")
        expect(row(pilot, "bees.md")).to_contain_text("1 passage")
        assert not pilot.page.evaluate("document.body.classList.contains('drag')")


def test_a_folder_goes_in_by_button_and_by_drop_with_its_paths(browser: Browser, address: str, tmp_path: Path) -> None:
    folder = tmp_path / "farm"
    (folder / "animals").mkdir(parents=True)
    (folder / "animals" / "goats.md").write_text("A goat gives three litres of milk a day.\n")
    (folder / "fields.txt").write_text("The long field has nine hectares.\n")
    with tab(browser, address) as pilot:
        pilot.page.locator("#up input[webkitdirectory]").set_input_files(str(folder))
        expect(row(pilot, "farm/animals/goats.md")).to_contain_text("1 passage")
        expect(row(pilot, "farm/fields.txt")).to_contain_text("1 passage")
        pilot.page.evaluate("""() => {
            const file = (path, text) => ({isFile: true, isDirectory: false, name: path.split('/').at(-1),
                fullPath: path, file: done => done(new File([text], path.split('/').at(-1)))});
            const folder = (path, children) => ({isFile: false, isDirectory: true, name: path.split('/').at(-1),
                fullPath: path, createReader: () => ({readEntries: done => done(children.splice(0, 1))})});
            const tree = folder('/mill', [file('/mill/wheel.md', 'The wheel turns twelve times a minute.'),
                folder('/mill/.git', [file('/mill/.git/config.md', 'hidden')]),
                folder('/mill/barn', [file('/mill/barn/owls.md', 'Two owls live in the barn.')])]);
            const drop = new DragEvent('drop', {bubbles: true, cancelable: true});
            Object.defineProperty(drop, 'dataTransfer',
                {value: {types: ['Files'], files: [], items: [{webkitGetAsEntry: () => tree}]}});
            document.querySelector('#chat').dispatchEvent(drop);
        }""")
        expect(row(pilot, "mill/wheel.md")).to_contain_text("1 passage")
        expect(row(pilot, "mill/barn/owls.md")).to_contain_text("1 passage")
        expect(row(pilot, "config.md")).to_have_count(0)
        expect(pilot.page.locator("#docs .sync")).to_contain_text("documents can be asked")


def test_an_upload_can_be_cancelled_before_and_while_it_is_sent(
    browser: Browser, address: str, shelf: Library, tmp_path: Path
) -> None:
    with tab(browser, address) as pilot:
        held: list[Route] = []
        pilot.page.route("**/upload?*", lambda route: held.append(route))
        upload(pilot, write(tmp_path, first__md="First.\n", second__md="Second.\n", third__md="The third ox.\n"))
        waiting = pilot.page.locator("#up .sending li")
        expect(waiting).to_have_count(3)
        waiting.filter(has_text="second.md").locator("button").click()
        waiting.filter(has_text="first.md").locator("button").click()
        expect(waiting).to_have_count(1)
        pilot.page.wait_for_timeout(300)
        pilot.page.unroute("**/upload?*")
        expect(row(pilot, "third.md")).to_contain_text("1 passage")
        assert {"first.md", "second.md"}.isdisjoint(d.source for d in shelf.sources())


def test_a_removed_document_is_asked_about_and_then_no_longer_cited(
    browser: Browser, address: str, shelf: Library, tmp_path: Path
) -> None:
    with tab(browser, address) as pilot:
        upload(pilot, write(tmp_path, comet__md="The comet Halley returns every 76 years.\n"))
        expect(row(pilot, "comet.md")).to_contain_text("1 passage")
        assert "76 years" in pilot.ask("How often does the comet Halley return?").inner_text()
        with pilot.documents():
            row(pilot, "comet.md").locator("[data-act=remove]").click()
            pilot.page.locator("#ask-dialog[open] button.no").click()
            expect(row(pilot, "comet.md")).to_have_count(1)
            row(pilot, "comet.md").locator("[data-act=remove]").click()
            pilot.dialog()
            expect(row(pilot, "comet.md")).to_have_count(0)
        pilot.new()
        answer = pilot.ask("How often does the comet Halley return?")
        assert "76 years" not in answer.inner_text()
        assert "comet.md" not in [d.source for d in shelf.sources()]


def test_collections_are_made_switched_renamed_and_deleted(browser: Browser, address: str, tmp_path: Path) -> None:
    with tab(browser, address) as pilot:
        pilot.page.locator("#collacts [data-act=create]").click()
        pilot.dialog("Manuals")
        expect(pilot.page.locator("#coll input")).to_have_value("Manuals")
        expect(pilot.page.locator("#docs")).to_contain_text("No documents yet")
        expect(pilot.page.locator("#chat .placeholder")).to_contain_text("Add your documents")
        upload(pilot, write(tmp_path, router__md="The router has 12 network ports.\n"))
        expect(row(pilot, "router.md")).to_contain_text("1 passage")
        answer = pilot.ask("How many network ports does the router have?")
        expect(answer).to_contain_text("12 network ports")
        pilot.collection("default")
        expect(row(pilot, "router.md")).to_have_count(0)
        expect(row(pilot, "handbook.pdf")).to_have_count(1)
        expect(pilot.page.locator("#chat .user-row .q", has_text="network ports")).to_have_count(0)
        pilot.new()
        assert "12 network ports" not in pilot.ask("How many network ports does the router have?").inner_text()
        pilot.collection("Manuals")
        expect(pilot.answers.last).to_contain_text("12 network ports")  # its latest conversation
        pilot.page.locator("#collacts [data-act=rename]").click()
        pilot.dialog("Devices")
        expect(pilot.page.locator("#coll input")).to_have_value("Devices")
        expect(row(pilot, "router.md")).to_have_count(1)
        pilot.page.locator("#collacts [data-act=delete]").click()
        pilot.dialog()
        expect(pilot.page.locator("#coll input")).to_have_value("default")
        expect(row(pilot, "handbook.pdf")).to_have_count(1)


def test_a_card_opens_its_document_at_the_span(browser: Browser, address: str) -> None:
    with tab(browser, address) as pilot:
        pilot.ask("How many days of paid annual leave do full-time staff receive?")
        pilot.cards.first.locator("[data-open]").click()
        reader = pilot.page.locator("#reader")
        mark = reader.locator("#reader-mark")
        expect(mark).to_be_in_viewport()
        expect(mark).to_contain_text("28 days of paid annual leave")
        expect(reader.locator(".pagebreak")).to_have_text(
            [re.compile("Page 1"), re.compile("Page 2"), re.compile("Page 3")]
        )
        reader.locator("[data-view=page]").click()
        picture = reader.locator(".rpage img")
        expect(picture).to_be_visible()
        pilot.page.wait_for_function("document.querySelector('#reader .rpage img').naturalWidth === 1100")
        marked = pilot.page.evaluate("""() => {
            const image = document.querySelector('#reader .rpage img');
            const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight).getContext('2d');
            canvas.drawImage(image, 0, 0);
            const data = canvas.getImageData(0, 0, image.naturalWidth, image.naturalHeight).data;
            let yellow = 0;
            for (let i = 0; i < data.length; i += 4) if (data[i] > 240 && data[i + 2] < 200) yellow++;
            return yellow;
        }""")
        assert marked > 3_000
        pilot.page.keyboard.press("Escape")
        assert not pilot.page.evaluate("document.body.classList.contains('reading')")


def test_a_document_of_the_list_opens_from_its_start(browser: Browser, address: str) -> None:
    with tab(browser, address) as pilot:
        with pilot.documents():
            row(pilot, "faq.html").locator("button.dn").click()
            expect(pilot.page.locator("#reader .rtext")).to_contain_text("The canteen serves lunch")
            pilot.page.locator("#reader [data-act=close-reader]").click()
            expect(pilot.page.locator("#reader .rtext")).not_to_be_visible()


NOTES = "The gate closes at nine."


def test_hundreds_of_documents_are_filtered_sorted_selected_and_removed(browser: Browser, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    (folder / "a folder with a long name, longer than the line that it is shown on").mkdir(parents=True)
    for number in range(298):
        (folder / f"note {number}.md").write_text(f"Note {number}: the gate closes at {number}.\n")
    long = folder / "a folder with a long name, longer than the line that it is shown on"
    for number in (1, 2):
        (long / f"{'minutes of the meeting of the board ' * 4}{number}.txt").write_text(f"Meeting {number}.\n")
    with Library.open(tmp_path / "l", llm="quotes", embedder="builtin", encoder="off") as library:
        assert not library.ingest(folder).failed
        with page_over(library) as address, tab(browser, address) as pilot:
            page = pilot.page
            expect(page.locator("#docsum")).to_contain_text("300 documents can be asked")
            with pilot.documents() as place:
                seen = place.locator(".list > .doc:visible")
                expect(seen).to_have_count(300)
                tail = seen.first.locator(".cut > :last-child")
                assert tail.inner_text().endswith("1.txt") and pilot.sizes("#docs .list")["width"] <= 985
                page.locator("#docs .dtools input[type=search]").fill("NOTE 29")
                expect(seen).to_have_count(11)
                expect(place.locator(".shown")).to_have_text("11 of 300")
                assert page.evaluate("document.querySelectorAll('#docs .list [tabindex=\"0\"]').length") == 1
                page.keyboard.press("ArrowDown")  # from the filter into the list, then on
                page.keyboard.press("ArrowDown")
                page.keyboard.press("Space")
                page.keyboard.press("End")
                page.keyboard.press("Space")
                expect(place.locator("[data-many]")).to_have_text("Remove selected (2)")
                page.keyboard.press("Delete")
                expect(page.locator("#ask-dialog")).to_contain_text("Remove 2 documents?")
                pilot.dialog()
                expect(seen).to_have_count(9)
                expect(page.locator("#docsum")).to_contain_text("298 documents")
                place.locator(".dtools select").select_option("kind")
                page.locator("#docs .dtools input[type=search]").fill("")
                expect(seen).to_have_count(298)
                expect(seen.first).to_contain_text("MD")
                expect(seen.last).to_contain_text("TXT")
        names = [d.name for d in library.sources()]
        assert len(names) == 298 and "note 29.md" in names and {"note 129.md", "note 297.md"}.isdisjoint(names)


def test_failures_of_one_reason_stand_together_and_go_at_once(browser: Browser, address: str, tmp_path: Path) -> None:
    bad = [str(path) for path in (tmp_path / f"bad{n}.exe" for n in range(6)) if path.write_bytes(b"MZ\x00\x01")]
    broken = tmp_path / "broken.pdf"
    broken.write_bytes(b"%PDF-1.4 broken")
    with tab(browser, address) as pilot:
        upload(pilot, [*bad, str(broken)])
        expect(pilot.page.locator("#docsum")).to_contain_text("7 failed")
        with pilot.documents() as place:
            failures = place.locator(".failures")
            expect(failures.locator("summary")).to_have_text("7 files could not be read")
            expect(failures.locator(".why")).to_have_count(1)
            expect(failures.locator(".why")).to_contain_text("6 files")
            expect(row(pilot, "handbook.pdf")).to_be_visible()
            failures.locator("> button").click()
            expect(failures).to_have_count(0)


def test_a_button_that_is_drawn_anew_while_it_is_pressed_is_pressed(
    browser: Browser, address: str, tmp_path: Path
) -> None:
    """A list is drawn anew with each step of its files, and a click then fell into nothing."""
    broken = tmp_path / "broken.pdf"
    broken.write_bytes(b"%PDF-1.4 broken")
    with tab(browser, address) as pilot:
        upload(pilot, [str(broken)])
        with pilot.documents() as place:
            button = place.locator(".file [data-act=dismiss]")
            button.hover()
            pilot.page.mouse.down()
            button.evaluate("button => { const list = button.closest('.file').parentElement; list.innerHTML += '' }")
            pilot.page.mouse.up()
            expect(button).to_have_count(0)


def test_a_file_of_a_known_name_asks_what_to_do(browser: Browser, address: str, shelf: Library, tmp_path: Path) -> None:
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    for folder, text in ((first, "The gate closes at eight."), (second, NOTES), (third, "The gate closes at ten.")):
        folder.mkdir()
        (folder / "gate.md").write_text(text)
    with tab(browser, address) as pilot:
        upload(pilot, [str(first / "gate.md")])
        expect(row(pilot, "gate.md")).to_contain_text("1 passage")
        upload(pilot, [str(second / "gate.md")])
        asking = pilot.page.locator("#docs .decide li")
        expect(asking).to_be_visible()  # the question comes to the reader
        expect(asking).to_contain_text("other content")
        asking.locator("[data-choice=replace]").click()
        expect(asking).to_have_count(0)
        expect(pilot.page.locator("#docs .file")).to_have_count(0)
        expect(row(pilot, "gate.md")).to_have_count(1)
        assert shelf.text(shelf.document("gate.md").id) == NOTES
        upload(pilot, [str(third / "gate.md")])
        asking.locator("[data-choice=keep]").click()
        expect(pilot.page.locator("#docs .file")).to_have_count(0)  # else the next click meets this question
        expect(row(pilot, "gate")).to_have_count(2)
        upload(pilot, [str(first / "gate.md")])
        asking.locator("[data-act=dismiss]").click()
        expect(pilot.page.locator("#docs .file")).to_have_count(0)
        texts = sorted(shelf.text(d.id) for d in shelf.sources() if d.name == "gate.md")
        assert texts == [NOTES, "The gate closes at ten."]


def test_a_page_of_the_web_is_added_by_its_address(browser: Browser, address: str, shelf: Library) -> None:
    with web_site() as web, tab(browser, address) as pilot:
        page = web.give("/ferries", ARTICLE)
        with pilot.documents() as place:
            place.locator("[data-addaddress]").click()
            dialog = pilot.sizes("#ask-dialog")
            assert dialog["width"] <= dialog["fits"], "its field is no wider than the dialog"
            pilot.dialog(page)
            put_in = pilot.page.locator(
                "#docs li.doc:not(.file)", has_text="ferries"
            )  # beside it for a moment: its file
            expect(put_in).to_contain_text("1 passage")
        assert page in [document.origin for document in shelf.sources()]
