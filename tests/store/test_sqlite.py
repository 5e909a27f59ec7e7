"""The truth in SQLite: whose the file is, how it is opened, and what it says when it can't be."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from rag.errors import LibraryFormat, StoreError
from rag.store.sqlite import schema
from rag.store.sqlite.database import FILE_NAME, choose_journal
from rag.store.sqlite.truth import SqliteTruth
from tests.store.invariants import check
from tests.store.material import EMBEDDER, prose, put, writer


def test_a_new_library_belongs_to_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "library"
    with writer(folder) as truth:
        put(truth, truth.collections.create("default", EMBEDDER, "v1"), "a.txt", "some text")
        assert folder.stat().st_mode & 0o777 == 0o700
        assert {entry.stat().st_mode & 0o777 for entry in folder.iterdir()} == {0o600}
        assert truth.writer and truth.path == folder / FILE_NAME
        assert truth.database.journal_mode == choose_journal(sqlite3.sqlite_version_info)


def test_the_write_ahead_log_is_used_only_where_it_is_sound() -> None:
    assert choose_journal((3, 40, 1)) == choose_journal((3, 51, 2)) == "truncate"
    assert choose_journal((3, 51, 3)) == choose_journal((4, 0, 0)) == "wal"


def test_a_library_left_in_another_journal_mode_is_taken_back(tmp_path: Path) -> None:
    with writer(tmp_path) as truth:
        put(truth, truth.collections.create("default", EMBEDDER, "v1"), "a.txt", "some text")
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    with writer(tmp_path) as truth:
        assert truth.database.journal_mode == choose_journal(sqlite3.sqlite_version_info)
        check(truth)


def test_foreign_and_newer_files_are_refused_unchanged(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    with writer(tmp_path):
        pass
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    connection.close()
    newer = path.read_bytes()
    for is_writer in (True, False):
        with pytest.raises(LibraryFormat, match="newer"):
            SqliteTruth.open(tmp_path, writer=is_writer)
    assert path.read_bytes() == newer
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE recipes (id)")
    connection.close()
    foreign = path.read_bytes()
    with pytest.raises(LibraryFormat, match="another program"):
        SqliteTruth.open(tmp_path, writer=True)
    assert path.read_bytes() == foreign
    path.write_bytes(b"this is a text file, not a database" * 100)
    for is_writer in (True, False):
        with pytest.raises(LibraryFormat):
            SqliteTruth.open(tmp_path, writer=is_writer)


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for folder in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/rag-library")):
        with pytest.raises(StoreError, match=str(folder)) as caught:
            SqliteTruth.open(folder, writer=True)
        assert "--library" in caught.value.hint


def test_a_busy_file_is_an_error_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag.store.sqlite.database.BUSY_SECONDS", 0.1)
    with writer(tmp_path) as truth:
        other = sqlite3.connect(tmp_path / FILE_NAME)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match="busy"):
            truth.settings.set("a", 1)
        other.close()
        truth.settings.set("a", 2)


def test_an_older_library_is_brought_up_to_date_or_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with writer(tmp_path) as truth:
        put(truth, truth.collections.create("default", EMBEDDER, "v1"), "a.txt", prose(1))
    before = (tmp_path / FILE_NAME).read_bytes()
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    with pytest.raises(LibraryFormat, match=f"format {len(schema.MIGRATIONS)}") as caught:
        SqliteTruth.open(tmp_path, writer=False)
    assert "rag ingest" in caught.value.hint
    broken = "CREATE TABLE more (id);\nINSERT INTO nowhere VALUES (1);\n"
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, broken))
        with pytest.raises(sqlite3.OperationalError, match="nowhere"):
            writer(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == before
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, "CREATE TABLE more (id);\n"))
    with writer(tmp_path) as truth, truth.database.reading() as connection:
        assert connection.execute("SELECT count(*) FROM more").fetchone() == (0,)
        assert connection.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
        assert len(truth.documents.list(1)) == 1


def test_reading_needs_a_library(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no library") as caught:
        SqliteTruth.open(tmp_path / "absent", writer=False)
    assert "rag ingest" in caught.value.hint
    assert not (tmp_path / "absent").exists()
