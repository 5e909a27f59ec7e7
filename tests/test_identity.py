"""Promise: a different file never replaces another, and the same file is one document by whatever folder it comes."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from rag import Library
from rag.commands.terminal import report_text
from rag.errors import LibraryFormat
from rag.store.sqlite.database import FILE_NAME
from rag.types import IngestReport

CASES = Path(__file__).parents[1].parent / "shared" / "cases"
STORED = Path(__file__).parent / "store" / "stored"


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    with Library.open(tmp_path / "library", llm="quotes", embedder="builtin") as opened:
        yield opened


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def names(library: Library) -> list[str]:
    return [document.source for document in library.sources()]


def texts(library: Library) -> set[str]:
    return {library.text(document.id).strip() for document in library.sources()}


def put_uploads(library: Library, folder: Path, name: str, text: str, same_name: str | None = None) -> tuple[str, str]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / name).write_text(text, encoding="utf-8")
    (event,) = library.ingest([folder], uploads=True, same_name=same_name).events  # type: ignore[arg-type]
    assert event.path == str(folder / name)
    return event.status, event.code or event.source


def test_two_folders_with_a_file_of_one_name_are_two_documents(library: Library, tmp_path: Path) -> None:
    a, b = write(tmp_path / "a", readme="Alpha is in Riga."), write(tmp_path / "b", readme="Beta is in Oslo.")
    library.ingest([a])
    assert names(library) == ["readme.md"], "the shortest name, while there is one of it"
    (event,) = library.ingest([b / "readme.md"]).events
    assert (event.status, event.source) == ("added", "b/readme.md")
    assert event.renamed == (("readme.md", "a/readme.md"),)
    assert "readme.md is now shown as a/readme.md" in report_text(IngestReport((event,)))
    assert names(library) == ["a/readme.md", "b/readme.md"]
    assert texts(library) == {"Alpha is in Riga.", "Beta is in Oslo."}
    assert library.search("Riga")[0].passage.source == "a/readme.md"
    library.remove("a/readme.md")
    write(b, readme="Beta moved to Bergen.")
    library.ingest([b])
    assert names(library) == ["b/readme.md"], "a name changes only when another document comes"


def test_one_file_through_two_folders_is_one_document(library: Library, tmp_path: Path) -> None:
    docs = write(tmp_path / "home" / "docs", hr__leave="28 days of leave.", a="Nothing.")
    library.ingest([docs])
    for root in (docs / "hr", docs / "hr" / "leave.md", docs.parent, docs / "hr" / ".." / "hr"):
        report = library.ingest([root])
        assert {event.status for event in report.events} == {"unchanged"}
    write(docs, hr__leave="30 days of leave.")
    (event,) = library.ingest([docs / "hr" / "leave.md"]).events
    assert (event.status, event.source) == ("updated", "hr/leave.md")
    assert texts(library) == {"30 days of leave.", "Nothing."}


def test_a_document_is_found_by_where_it_came_from_too(library: Library, tmp_path: Path) -> None:
    docs = write(tmp_path / "docs", a="Some text.")
    library.ingest([docs])
    document = library.document(str(docs / "a.md"))
    assert (document.source, document.origin) == ("a.md", str(docs / "a.md"))
    library.remove(str(docs / "a.md"))
    assert names(library) == []


def test_a_moved_folder_can_take_the_place_of_the_old_one(library: Library, tmp_path: Path) -> None:
    library.ingest([write(tmp_path / "old", plan="The plan of May.")])
    new = write(tmp_path / "new", plan="The plan of June.")
    (asked,) = library.ingest([new], same_name="ask").events
    assert asked.code == "same-name" and texts(library) == {"The plan of May."}
    (event,) = library.ingest([new], same_name="replace").events
    assert (event.status, event.source) == ("updated", "plan.md") and texts(library) == {"The plan of June."}
    assert library.document("plan.md").origin == str(new / "plan.md")


def test_an_upload_asks_before_it_replaces(library: Library, tmp_path: Path) -> None:
    up = tmp_path / "up"
    assert put_uploads(library, up, "a.md", "First.") == ("added", "a.md")
    assert put_uploads(library, up, "a.md", "First.") == ("unchanged", "a.md")
    assert put_uploads(library, up, "a.md", "Second.") == ("failed", "same-name")
    assert texts(library) == {"First."}
    assert put_uploads(library, up, "a.md", "Second.", "keep") == ("added", "a (2).md")
    assert put_uploads(library, up, "a.md", "Third.", "keep") == ("added", "a (3).md")
    assert put_uploads(library, up, "a.md", "Second.") == ("unchanged", "a (2).md")
    assert texts(library) == {"First.", "Second.", "Third."}
    assert put_uploads(library, up, "a (3).md", "Fourth.", "replace") == ("updated", "a (3).md")
    assert texts(library) == {"First.", "Second.", "Fourth."}


def test_an_upload_and_a_file_of_one_name(library: Library, tmp_path: Path) -> None:
    docs = write(tmp_path / "docs", a="From the folder.")
    library.ingest([docs])
    up = tmp_path / "up"
    assert put_uploads(library, up, "a.md", "From the folder.") == ("unchanged", "a.md")
    assert put_uploads(library, up, "a.md", "Uploaded.") == ("failed", "same-name")
    assert put_uploads(library, up, "a.md", "Uploaded.", "keep") == ("added", "a.md")
    assert names(library) == ["a.md", "docs/a.md"]
    assert put_uploads(library, up, "b.md", "Sent first.") == ("added", "b.md")
    write(docs, b="Sent first.")
    assert {e.source: e.status for e in library.ingest([docs]).events} == {
        "docs/a.md": "unchanged",
        "b.md": "unchanged",
    }
    assert library.document("b.md").origin == str(docs / "b.md"), "the same bytes: it is that file from now on"


@pytest.mark.skipif(not CASES.is_dir(), reason="needs the shared cases beside the repository")
def test_the_shared_cases_of_one_name(library: Library) -> None:
    for case in ("samename/2022/report.md", "samename/2023/report.md", "twins/a", "twins/b"):
        library.ingest([CASES / case])
    assert names(library) == ["2022/report.md", "2023/report.md", "a/readme.md", "b/readme.md"]
    assert "14 open invoices" in library.ask("How many open invoices did the audit of 2022 find?").text


def stored_library(folder: Path) -> Path:
    folder.mkdir()
    with gzip.open(STORED / "format-1.sqlite3.gz") as stored, (folder / FILE_NAME).open("wb") as made:
        shutil.copyfileobj(stored, made)
    return folder


def test_a_library_of_the_first_format_is_brought_up_to_date(tmp_path: Path) -> None:
    folder = stored_library(tmp_path / "library")
    with pytest.raises(LibraryFormat, match="format 1"):
        Library.open(folder, write=False)
    docs = tmp_path / "docs"
    with Library.open(folder, llm="quotes") as library:
        assert [(d.source, d.origin) for d in library.sources()] == [
            ("hr/leave.md", "unknown:hr/leave.md"),
            ("parking.txt", "unknown:parking.txt"),
        ]
        assert "140 cars" in library.ask("How many cars does the car park on Mill Lane hold?").text
        assert library.collections.settings()["abstain_below"] == 0.25
        (talk,) = library.conversations.list()
        assert talk.turns == 1
        before = {d.source: d.id for d in library.sources()}
        for document in library.sources():
            path = docs / document.source
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(library.text(document.id), encoding="utf-8")
        (docs / "parking.txt").write_text("Another file of that name: bicycles only.", encoding="utf-8")
        leave = (docs / "hr" / "leave.md").read_text(encoding="utf-8")
        (docs / "hr" / "leave.md").write_text(leave, encoding="utf-8")
        report = library.ingest([docs])
        assert "docs/parking.txt" in {event.source for event in report.events}
        assert before["parking.txt"] == library.document("parking.txt").id, "nothing is lost on a guess"
        assert library.document("parking.txt").origin == "unknown:parking.txt"
        library.ingest([docs / "parking.txt"], same_name="replace")
        checks = {check.name: check for check in library.doctor()}
        assert checks["database"].state == "ok"
