"""A library copied while it is written to, put back, and saved from what damage left of it."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing, suppress
from pathlib import Path

import pytest

from rag import Library
from rag.commands.cli import run
from rag.errors import LibraryDamaged, LibraryFormat, RagError, StoreError
from rag.store.sqlite.backup import backup, restore, salvage
from rag.store.sqlite.database import FILE_NAME
from rag.store.sqlite.schema import PAGE_SIZE
from rag.store.sqlite.truth import SqliteTruth
from rag.store.truth import Truth
from tests.store.invariants import check
from tests.store.material import EMBEDDER, prose, put, writer

DOCUMENTS = 12


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with writer(tmp_path / "library") as truth:
        collection = truth.collections.create("default", EMBEDDER, "v1")
        for number in range(DOCUMENTS):
            put(truth, collection, f"{number}.txt", prose(number, 400))
        talk = truth.conversations.create("default")
        truth.conversations.append(talk, "What?", "What?", {"text": "That."})
    return tmp_path / "library"


def texts(truth: Truth) -> dict[str, str]:
    return {d.source: truth.documents.text(d.id) for d in truth.documents.list(1)}


def test_a_backup_made_while_documents_go_in_is_whole(folder: Path, tmp_path: Path) -> None:
    with writer(folder) as truth:
        collection = truth.collections.get("default")
        stop = threading.Event()

        def go_on() -> None:
            number = 100
            while not stop.is_set():
                put(truth, collection, f"{number}.txt", prose(number, 100))
                number += 1

        thread = threading.Thread(target=go_on)
        thread.start()
        try:
            with SqliteTruth.open(folder, writer=False) as reader:
                sizes = [backup(one.database, tmp_path / f"{n}.backup") for n, one in enumerate((truth, reader, truth))]
        finally:
            stop.set()
            thread.join(timeout=60)
        everything = texts(truth)
    for number, size in enumerate(sizes):
        copy = tmp_path / f"{number}.backup"
        assert copy.stat().st_size == size and copy.stat().st_mode & 0o777 == 0o600
        restore(copy, tmp_path / f"restored-{number}")
        with writer(tmp_path / f"restored-{number}") as again:
            check(again)
            held = texts(again)
            assert len(held) >= DOCUMENTS and held.items() <= everything.items()


def test_what_is_there_is_not_overwritten(folder: Path, tmp_path: Path) -> None:
    with SqliteTruth.open(folder, writer=False) as truth:
        backup(truth.database, tmp_path / "a.backup")
        with pytest.raises(StoreError, match="exists already"):
            backup(truth.database, tmp_path / "a.backup")
    with pytest.raises(StoreError, match="There is a library"):
        restore(tmp_path / "a.backup", folder)
    restore(tmp_path / "a.backup", folder, replace=True)
    assert len(list(folder.glob("library-before-restore-*"))) == 1
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "text").write_text("no library at all " * 100)
    with closing(sqlite3.connect(tmp_path / "other")) as connection:
        connection.execute("CREATE TABLE t (x)")
    for name in ("empty", "text", "other"):
        with pytest.raises(LibraryFormat):
            restore(tmp_path / name, tmp_path / "new")
    bad = bytearray((tmp_path / "a.backup").read_bytes())
    bad[5 * PAGE_SIZE : 6 * PAGE_SIZE] = bytes(PAGE_SIZE)
    (tmp_path / "bad").write_bytes(bad)
    with pytest.raises(LibraryDamaged):
        restore(tmp_path / "bad", tmp_path / "new")
    assert not (tmp_path / "new" / FILE_NAME).exists()


@pytest.mark.parametrize("way", ["zeros", "noise"])
def test_all_that_a_damaged_page_leaves_is_saved_and_the_rest_is_named(folder: Path, way: str, soak: bool) -> None:
    path = folder / FILE_NAME
    good = path.read_bytes()
    with SqliteTruth.open(folder, writer=False) as truth:
        whole = texts(truth)
    spoiled = bytes(PAGE_SIZE) if way == "zeros" else bytes((7 * n * n + 13) % 256 for n in range(PAGE_SIZE))
    starts = range(PAGE_SIZE, len(good), PAGE_SIZE * (1 if soak else 5))
    saved = 0
    for start in starts:
        path.write_bytes(good[:start] + spoiled + good[start + PAGE_SIZE :])
        done = salvage(folder, EMBEDDER)
        assert done.kept.is_file()
        with writer(folder) as truth:
            assert truth.facts().problems == ""
            held = {name: text for c in truth.collections.list() for name, text in (
                (d.source, truth.documents.text(d.id)) for d in truth.documents.list(c.id))}  # fmt: skip
            assert held.items() <= whole.items(), "nothing but what was put in"
            assert len(held) == done.documents
            assert set(whole) - set(held) <= set(done.lost) or any("name is lost" in name for name in done.lost)
            saved += len(held) == len(whole)
        done.kept.unlink()
    assert saved >= len(starts) / 3, "most pages cost no document"
    path.write_bytes(bytes(PAGE_SIZE) + good[PAGE_SIZE:])
    with pytest.raises(LibraryDamaged, match="Nothing can be read"):
        salvage(folder, EMBEDDER)
    assert path.read_bytes()[PAGE_SIZE:] == good[PAGE_SIZE:], "what cannot be saved is left as it is"


def test_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("LIBRARY", str(tmp_path / "library")), ("LLM", "quotes"), ("EMBEDDER", "builtin")):
        monkeypatch.setenv(f"RAG_{name}", value)
    with Library.open() as library:
        library.add("The ferry leaves at nine.", source="ferry")
        library.add("The tide turns at six.", source="tide")
        answer = library.ask("When does the ferry leave?")
        assert run(["backup", str(tmp_path / "b")]) == 0
    path = tmp_path / "library" / FILE_NAME
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM vector")
        connection.commit()
    assert run(["doctor", "--repair"]) == 0
    assert "is sound, with 2 documents and 0 conversations. 2 vectors were made again." in capsys.readouterr().out
    with Library.open() as library:
        assert library.ask("When does the ferry leave?").text == answer.text
        assert library.notices == ()
    assert run(["restore", str(tmp_path / "b")]) == 1
    assert run(["restore", str(tmp_path / "b"), "--replace"]) == 0
    with Library.open() as library:
        assert library.ask("When does the ferry leave?").text == answer.text and library.notices == ()
    with suppress(RagError):
        Library.restore(tmp_path / "b", tmp_path / "elsewhere")
    with Library.open(tmp_path / "elsewhere") as library:
        assert len(library.sources()) == 2
