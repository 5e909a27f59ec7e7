"""Files on their way in: received, ingested in the background, refused by name, cancelled; nothing is left behind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rag.errors import LimitExceeded, PathError
from rag.library import Library
from ui.intake import MEGABYTE, Intake, checked_name


@pytest.fixture
def intake(library: Library) -> Iterator[Intake]:
    made = Intake(library)
    yield made
    made.close()
    assert not made.folder.exists()


def send(intake: Intake, source: str, content: bytes, collection: str = "default") -> str:
    arrival = intake.begin(source, collection, len(content))
    arrival.write(content)
    return intake.accept(arrival)


def settle(intake: Intake) -> None:
    end = time.monotonic() + 60
    while intake.busy():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_files_go_in_and_bad_ones_are_named(intake: Intake, library: Library) -> None:
    send(intake, "a.md", b"# A\n\nThe lighthouse is 40 metres high.\n")
    send(intake, "folder/b.txt", b"The harbour closes at nine.\n")
    send(intake, "broken.pdf", b"%PDF-1.7 nothing more")
    send(intake, "picture.exe", b"MZ\x00\x01")
    settle(intake)
    assert [d.source for d in library.sources()] == ["a.md", "folder/b.txt"]
    failed = {row.source: row for row in intake.rows("default")}
    assert set(failed) == {"broken.pdf", "picture.exe"}
    assert all(row.state == "failed" and row.message for row in failed.values())
    assert "picture.exe" in failed["picture.exe"].message
    assert [path for path in intake.folder.rglob("*") if path.is_file()] == []


def test_the_same_file_again_says_so(intake: Intake, library: Library) -> None:
    for _ in range(2):
        send(intake, "a.md", b"The lighthouse is 40 metres high.\n")
        settle(intake)
    assert len(library.sources()) == 1
    assert [(row.state, row.message) for row in intake.rows("default")] == [("done", "Already there, unchanged.")]
    intake.dismiss(intake.rows("default")[0].job)
    assert intake.rows("default") == []


def test_names_keep_what_they_are(intake: Intake, library: Library) -> None:
    names = ["${x} {{y}} <b>.md", "\u202egnp.md", "line\nbreak.md", "Ünï 漢字 🙂.md", "a'b\"c&d.md"]
    for number, name in enumerate(names):
        send(intake, name, f"Document number {number} is about ships.\n".encode())
    settle(intake)
    assert intake.rows("default") == []
    assert sorted(d.source for d in library.sources()) == sorted(names)


def test_two_files_of_one_name_and_several_collections(intake: Intake, library: Library) -> None:
    library.collections.create("other")
    send(intake, "a.md", b"First version about apples.\n")
    send(intake, "a.md", b"Second version about pears.\n")
    send(intake, "a.md", b"Third, in another collection.\n", "other")
    settle(intake)
    assert library.text(library.document("a.md").id) == "First version about apples.\n", "nothing is replaced unasked"
    (row,) = intake.rows("default")
    assert row.state == "asking" and "another document a.md" in row.message
    assert len(library.sources("other")) == 1
    intake.decide(row.job, "keep")
    settle(intake)
    assert intake.rows("default") == []
    texts = sorted(library.text(document.id) for document in library.sources())
    assert texts == ["First version about apples.\n", "Second version about pears.\n"]
    send(intake, "b.md", b"First of another name.\n")
    settle(intake)
    send(intake, "b.md", b"Second of another name.\n")
    settle(intake)
    intake.decide(intake.rows("default")[0].job, "replace")
    settle(intake)
    assert library.text(library.document("b.md").id) == "Second of another name.\n"


def test_what_waits_can_be_cancelled(intake: Intake, library: Library) -> None:
    keys = [send(intake, f"{number}.md", b"Text about rivers.\n" * 50) for number in range(30)]
    intake.dismiss(keys[-1])
    settle(intake)
    names = {d.source for d in library.sources()}
    assert "29.md" not in names
    assert len(names) == 29


@pytest.mark.parametrize(
    "name", ["", "/", ".", "..", "../a.md", "a/../../b.md", "/etc/passwd", "\\a", "a\0b", ".hidden", "a/.git/b",
             "x" * 300 + ".md", "/".join("a" * 30), "C:\\..\\a", "\ud800.md"],
)  # fmt: skip
def test_names_that_lead_elsewhere_are_refused(intake: Intake, name: str) -> None:
    with pytest.raises(PathError):
        intake.begin(name, "default", 1)


def test_a_windows_path_keeps_its_folders() -> None:
    assert checked_name("docs\\sub\\a.md") == ("docs", "sub", "a.md")


def test_the_total_is_bounded_to_the_byte(tmp_path: Path) -> None:
    from rag.config import Config, Limits

    config = Config(llm="quotes", embedder="builtin", limits=Limits(upload_mb=1))
    with Library.open(tmp_path / "small", config=config) as library:
        library.collections.ensure()
        intake = Intake(library)
        try:
            intake.drop(intake.begin("a.md", "default", MEGABYTE))
            with pytest.raises(LimitExceeded, match="upload_mb"):
                intake.begin("a.md", "default", MEGABYTE + 1)
            assert list(intake.folder.iterdir()) == []
        finally:
            intake.close()


def test_what_was_accepted_outlives_the_program(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """However it ended: the next one reads what was accepted, and clears what did not arrive whole."""
    library.collections.create("other")
    first = Intake(library)
    monkeypatch.setattr(first, "_run", lambda: None)  # it ends before it reads anything
    for number in range(3):
        send(
            first, f"sub/{number}.md", f"Chapter {number} is about lakes.\n".encode(), "other" if number else "default"
        )
    half = first.begin("half.md", "default", 100)
    half.write(b"half of it")
    (first.folder / "0123456789ab.new").write_bytes(b'{"source"')
    second = Intake(library)
    settle(second)
    assert [d.source for d in library.sources()] == ["sub/0.md"]
    assert [d.source for d in library.sources("other")] == ["sub/1.md", "sub/2.md"]
    assert list(second.folder.rglob("*")) == []
    half.file.close()
    second.close()
    assert not second.folder.exists()


def test_a_file_whose_note_is_damaged_is_told_and_cleared(library: Library, caplog: pytest.LogCaptureFixture) -> None:
    folder = library.path / "incoming"
    for number, note in enumerate((b"", b"{}", b"[]", b'{"source":"a.md","collection":"default","size":"x"}')):
        (folder / f"job{number}").mkdir(parents=True)
        (folder / f"job{number}.json").write_bytes(note)
    Intake(library).close()
    assert caplog.text.count("is damaged") == 4
    assert not folder.exists()


def test_a_collection_that_is_gone_takes_no_file(intake: Intake, library: Library) -> None:
    send(intake, "a.md", b"Text about bridges.\n", "gone")
    settle(intake)
    assert [(row.state, "is gone" in row.message) for row in intake.rows("gone")] == [("failed", True)]
    assert "gone" not in library.collections.names()


def test_a_broken_upload_leaves_nothing(intake: Intake) -> None:
    arrival = intake.begin("a.md", "default", 10)
    arrival.write(b"half")
    intake.drop(arrival)
    assert list(intake.folder.iterdir()) == []
    assert not intake.busy()


def test_changes_wake_who_waits(intake: Intake) -> None:
    async def watch() -> int:
        seen = intake.changed.version
        task = asyncio.create_task(intake.changed.wait(seen, 30))
        await asyncio.sleep(0)
        await asyncio.to_thread(send, intake, "a.md", b"Text about bridges.\n")
        return await task - seen

    assert asyncio.run(watch()) >= 1
    settle(intake)
