"""A library in PostgreSQL answers as one in a folder does, for several processes at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest

from rag.errors import ConfigError, StoreError
from rag.library import Library
from tests.conftest import ROOT
from tests.postgres import Server

QUESTIONS = ("Which port did the article wrongly call Pakistani?", "When did the 2018 election take place?",
             "What does a spaceship cost?")  # fmt: skip


@pytest.fixture(name="address", scope="module")
def database(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A library with the sample documents."""
    address = postgres.address("samples")
    with _opened(address, tmp_path_factory.mktemp("hand")) as library:
        assert not library.ingest(ROOT / "seeds").failed
        list(library.encode_events())
    return address


def _opened(address: str, folder: Path) -> Library:
    return Library.open(address, library=folder, llm="quotes", embedder="builtin")


def test_it_answers_as_a_folder_does(address: str, tmp_path: Path) -> None:
    with (
        _opened(address, tmp_path / "hand") as there,
        Library.open(tmp_path / "here", llm="quotes", embedder="builtin") as here,
    ):
        here.ingest(ROOT / "seeds")
        list(here.encode_events())
        assert [d.source for d in there.sources()] == [d.source for d in here.sources()]
        for question in QUESTIONS:
            other, own = there.ask(question), here.ask(question)
            assert (other.text, other.outcome) == (own.text, own.outcome)
            assert [(c.source, c.start, c.end) for c in other.citations] == [
                (c.source, c.start, c.end) for c in own.citations
            ]


def test_several_write_at_once_and_see_each_other(postgres: Server, tmp_path: Path) -> None:
    address = postgres.address("several")
    folders = []
    for number in range(2):
        folder = tmp_path / f"docs{number}"
        folder.mkdir()
        for name in range(5):
            text = f"# Note {number}{name}\n\nThe gate {number}{name} is green.\n"
            (folder / f"{name}.md").write_text(text, encoding="utf-8")
        folders.append(folder)
    with _opened(address, tmp_path / "a") as first, _opened(address, tmp_path / "b") as second:
        assert first.writable and second.writable
        both = [Thread(target=one.ingest, args=(folder,)) for one, folder in zip((first, second), folders, strict=True)]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join()
        assert len(first.sources()) == len(second.sources()) == 10
        assert "gate 14 is green" in first.ask("What colour is the gate 14?").text
        number = first.conversations.create("default", title="shared")
        assert second.conversations.get(number)[0].title == "shared"


def test_the_command_line_takes_it(address: str, tmp_path: Path) -> None:
    environment = {**os.environ, "RAG_DATABASE": address, "RAG_LIBRARY": str(tmp_path / "hand"), "RAG_LLM": "quotes"}

    def rag(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "rag", *arguments], env=environment, capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr

    assert "khan-election-and-moscow.md" in rag("sources")
    assert "There is no library" in rag("sources", "--library", str(tmp_path / "other")), (
        "a folder that is named is meant"
    )
    del environment["RAG_DATABASE"]
    assert "khan-election-and-moscow.md" in rag("--library", address, "sources")
    environment["RAG_DATABASE"] = address
    assert "PostgreSQL" in rag("doctor")
    assert "is a database" in rag("restore", "backup.sqlite3") and "pg_dump" in rag("backup", str(tmp_path / "copy"))


def test_what_is_no_database_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="PostgreSQL"):
        Library.open(tmp_path, database="mysql://here")
    with pytest.raises(StoreError, match="cannot be reached") as caught:
        _opened(f"postgresql://me:secret@/db?host={tmp_path}", tmp_path / "hand")
    assert "secret" not in str(caught.value)
