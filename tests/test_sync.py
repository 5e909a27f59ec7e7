"""Promise: a collection mirrors its folder, whatever happens in it, and never empties for a disk that is gone."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from rag import Library
from rag.commands.cli import run
from rag.config import Limits
from rag.documents import SourceFile, read_file
from rag.errors import PathError
from rag.sync import Mirror, SyncedFolder
from rag.types import IngestEvent, IngestReport


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    with Library.open(tmp_path / "library", llm="quotes", embedder="builtin") as opened:
        yield opened


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    for name, text in {"a.txt": "Apples.", "sub/b.txt": "Pears.", "sub/c.md": "Plums.", "d.txt": "Figs."}.items():
        write(folder / name, text)
    return folder


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def told(report: IngestReport) -> dict[str, str]:
    return {event.source: event.status for event in report.events if event.status != "unchanged"}


def held(library: Library) -> dict[str, str]:
    return {d.source: library.text(d.id).strip() for d in library.sources()} if library.collections.names() else {}


def test_the_library_mirrors_what_is_new_changed_moved_and_gone(library: Library, docs: Path) -> None:
    assert set(told(library.sync(docs)).values()) == {"added"}
    assert told(library.sync(docs)) == {}
    write(docs / "a.txt", "Green apples.")
    write(docs / "new.txt", "Quinces.")
    (docs / "sub" / "b.txt").rename(docs / "moved.txt")
    (docs / "d.txt").unlink()
    before = {d.source: d.id for d in library.sources()}
    foretold = library.sync(docs, dry_run=True)
    assert held(library)["d.txt"] == "Figs.", "a dry run changes nothing"
    report = library.sync(docs)
    changes = {"a.txt": "updated", "new.txt": "added", "moved.txt": "moved", "d.txt": "removed"}
    assert told(report) == told(foretold) == changes
    assert {e.done for e in report.events} == set(range(1, len(report.events) + 1))
    assert held(library) == {
        "a.txt": "Green apples.", "new.txt": "Quinces.", "moved.txt": "Pears.", "sub/c.md": "Plums.",
    }  # fmt: skip
    assert library.document("moved.txt").id == before["sub/b.txt"], "moved, not embedded again"
    assert library.search("pears")[0].passage.source == "moved.txt"


def test_a_folder_that_is_gone_or_empty_empties_nothing(library: Library, docs: Path, tmp_path: Path) -> None:
    library.sync(docs)
    docs.rename(tmp_path / "elsewhere")
    with pytest.raises(PathError, match="no folder"):
        library.sync(docs)
    docs.mkdir()
    with pytest.raises(PathError, match="is empty; its 4 documents stay"):
        library.sync(docs)
    write(docs / "a.txt", "Apples.")
    with pytest.raises(PathError, match="3 of 4 documents") as caught:
        library.sync(docs)
    assert "--allow-deletions" in caught.value.hint and len(library.sources()) == 4
    library.sync(docs, allow_deletions=True)
    assert held(library) == {"a.txt": "Apples."}


def test_a_file_that_looks_the_same_is_not_read_again(
    library: Library, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["rag.documents.discover"], "_SETTLED_NS", 0)
    monkeypatch.setattr("rag.ingest._MANY", 1)
    library.sync(docs)
    read: list[str] = []

    def reading(file: SourceFile, limits: Limits) -> bytes:
        read.append(file.name)
        return read_file(file, limits)

    monkeypatch.setattr("rag.ingest.read_file", reading)
    assert library.sync(docs).count("unchanged") == 4 and read == []
    write(docs / "a.txt", "Peaches.")
    os.utime(docs / "d.txt")
    assert told(library.sync(docs)) == {"a.txt": "updated"} and read == ["a.txt", "d.txt"]
    assert library.sync(docs).count("unchanged") == 4 and read == ["a.txt", "d.txt"], "what was compared is noted"


def test_a_text_that_changes_places_is_not_embedded_again(library: Library, docs: Path) -> None:
    library.sync(docs)
    write(docs / "a.txt", "Pears.")
    write(docs / "sub" / "b.txt", "Apples.")
    write(docs / "d.txt", "Quinces.")
    write(docs / "e.txt", "Figs.")
    report = library.sync(docs)
    assert sum(event.embedded for event in report.events) == 1
    assert held(library)["e.txt"] == "Figs." and held(library)["a.txt"] == "Pears."


def test_patterns_leave_files_out(library: Library, docs: Path) -> None:
    write(docs / ".ragignore", "*.txt\n!a.txt\n/drafts/\n")
    write(docs / "drafts" / "x.md", "Draft.")
    write(docs / "sub" / ".ragignore", "!b.txt\nc.*\n")
    library.sync(docs)
    assert set(held(library)) == {"a.txt", "sub/b.txt"}
    (docs / ".ragignore").unlink()
    library.sync(docs, exclude=["d.txt", "drafts"])
    assert set(held(library)) == {"a.txt", "sub/b.txt"}
    (folder,) = library.folders()
    assert (folder.path, folder.exclude) == (str(docs), ("d.txt", "drafts"))
    library.sync(docs)
    assert set(held(library)) == {"a.txt", "sub/b.txt"}, "the patterns are remembered with the folder"
    library.sync(docs, include=["*.md"], exclude=[], allow_deletions=True)
    assert set(held(library)) == {"drafts/x.md"}
    with pytest.raises(PathError, match="pattern"):
        library.sync(docs, exclude=["!"])
    library.forget_folder(str(docs))
    assert library.folders() == () and held(library)


def test_a_file_that_cannot_be_read_keeps_its_document(library: Library, docs: Path) -> None:
    library.sync(docs)
    (docs / "a.txt").write_bytes(b"\x00\x01\x02")
    shutil.rmtree(docs / "sub")
    (docs / "sub").symlink_to("/")
    report = library.sync(docs)
    assert {e.source: e.code for e in report.failed} == {"a.txt": "damaged", "sub": "document"}
    assert len(library.sources()) == 4
    assert {(file.source, file.origin): file.code for file in library.unread()} == {
        ("a.txt", str(docs / "a.txt")): "damaged", ("sub", str(docs / "sub")): "document",
    }  # fmt: skip
    (folder,) = library.folders()
    assert (folder.documents, folder.unread, folder.there) == (4, 2, True) and folder.checked > 0
    write(docs / "a.txt", "Apples.")
    (docs / "sub").unlink()
    library.sync(docs)
    assert library.unread() == () and not library.ask("Where are the bananas?").unread.told


def test_other_documents_are_left_alone(library: Library, docs: Path, tmp_path: Path) -> None:
    write(tmp_path / "docs-2" / "other.txt", "Other.")
    library.ingest([tmp_path / "docs-2"])
    library.sync(docs)
    (docs / "a.txt").unlink()
    library.sync(docs)
    assert "other.txt" in held(library)


def test_a_watched_folder_is_mirrored_within_seconds(library: Library, docs: Path) -> None:
    library.sync(docs)
    stop = threading.Event()
    events: list[IngestEvent] = []
    watcher = threading.Thread(target=lambda: events.extend(library.watch(stop=stop)))
    watcher.start()
    try:
        for number in range(3):
            write(docs / f"live-{number}.txt", f"Number {number} arrived.")
            start = time.monotonic()
            while f"live-{number}.txt" not in held(library):
                assert time.monotonic() - start < 60
                threading.Event().wait(0.02)
    finally:
        stop.set()
        watcher.join(timeout=60)
    assert not watcher.is_alive() and {e.status for e in events} == {"added"}


def test_on_the_command_line(
    library: Library, docs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    library.close()
    monkeypatch.setenv("RAG_LIBRARY", str(library.path))
    monkeypatch.setenv("RAG_LLM", "quotes")
    assert run(["sync", str(docs), "--exclude", "*.md"]) == 0
    assert "3 added" in capsys.readouterr().out
    assert run(["sources", "--folders"]) == 0
    assert f"{docs}  —  without *.md; 3 documents" in capsys.readouterr().out
    (docs / "d.txt").unlink()
    assert run(["sync", "--dry-run"]) == 0
    assert "removed: d.txt\nWould be: 2 unchanged, 1 removed. Nothing was changed." in capsys.readouterr().out
    monkeypatch.setenv("RAG_LIBRARY", str(library.path / "other"))
    assert run(["sync", str(docs), "--dry-run"]) == 0
    assert "Would be: 3 added." in capsys.readouterr().out and not (library.path / "other").exists()
    monkeypatch.setenv("RAG_LIBRARY", str(library.path))
    assert run(["sync"]) == 0
    assert "2 unchanged, 1 removed" in capsys.readouterr().out
    shutil.rmtree(docs)
    assert run(["sync"]) == 1
    assert "There is no folder" in capsys.readouterr().err
    assert run(["sync", ""]) == 2
    assert run(["sync", str(docs), "--forget"]) == 0 and run(["sync"]) == 2


NAMES = st.sampled_from(["a.txt", "b.md", "x/a.txt", "x/y/c.txt"])
TEXTS = st.sampled_from(["Apples are red.", "Pears are green.", "Plums are blue.", "Figs."])


class Folder(RuleBasedStateMachine):
    """Files come, change, move and go; after each sync the library holds exactly them."""

    def __init__(self) -> None:
        super().__init__()
        self.base = Path(tempfile.mkdtemp(prefix="rag-sync-"))
        self.docs = self.base / "docs"
        self.docs.mkdir()
        write(self.docs / "stays.txt", "It stays.")
        self.library = Library.open(self.base / "library", llm="quotes", embedder="builtin")
        self.synced = False
        self.changed: set[Path] = set()
        self.mirror: Mirror | None = None

    @rule(name=NAMES, text=TEXTS)
    def put(self, name: str, text: str) -> None:
        write(self.docs / name, text)
        self.touched(name)

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        (self.docs / name).unlink(missing_ok=True)
        self.touched(name)

    def touched(self, *names: str) -> None:
        self.changed.update(self.docs / name for name in names)
        self.synced = False

    @rule(old=NAMES, new=NAMES)
    def move(self, old: str, new: str) -> None:
        if (self.docs / old).exists():
            (self.docs / new).parent.mkdir(parents=True, exist_ok=True)
            (self.docs / old).rename(self.docs / new)
            self.touched(old, new)

    @rule()
    def sync(self) -> None:
        known = {d.sha256 for d in self.library.sources()} if self.library.collections.names() else set()
        report = self.library.sync(self.docs, allow_deletions=True)
        assert not report.failed
        new = {d.sha256 for d in self.library.sources()} - known
        assert sum(e.embedded for e in report.events) <= len(new), "what was known is not embedded again"
        self.synced = True

    @rule()
    def follow(self) -> None:
        """As a watch does: only the paths that changed are looked at."""
        with self.library._ingestor(None) as (target, ingestor):
            if self.mirror is None:
                self.mirror = Mirror(self.library._truth, target, SyncedFolder(str(self.docs)), Limits())
            changed = frozenset(self.changed)
            events = list(self.mirror.events(ingestor, allow_deletions=True, changed=changed))
        assert {event.status for event in events} <= {"added", "updated", "moved", "removed", "unchanged"}
        self.changed.clear()
        self.synced = True

    @invariant()
    def the_library_is_the_folder(self) -> None:
        if self.synced:
            files = {p.relative_to(self.docs).as_posix(): p.read_text() for p in self.docs.rglob("*") if p.is_file()}
            assert held(self.library) == files

    def teardown(self) -> None:
        self.library.close()
        shutil.rmtree(self.base)


def test_whatever_happens_in_the_folder_the_library_is_its_mirror() -> None:
    examples, steps = (300, 40) if os.environ.get("RAG_SOAK") else (12, 16)
    run_state_machine_as_test(
        Folder,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )  # fmt: skip
