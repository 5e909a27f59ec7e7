"""Collections, conversations, patterns, unquoted questions and common options on the command line."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from rag import Library
from rag.commands.cli import run

ANSWER = {
    "text": "It opened in 1931. [1]",
    "sentences": [],
    "citations": [
        {
            "marker": 1,
            "source": "bridge.txt",
            "page": None,
            "heading": [],
            "quote": "opened in 1931",
            "document_id": 1,
            "start": 0,
            "end": 14,
        }
    ],
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAG_LLM", "quotes")
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "bridge.txt").write_text("The Brackwater bridge opened in 1931, two years late.\n", encoding="utf-8")
    (docs / "leave.txt").write_text("Full-time staff receive 28 days of paid annual leave.\n", encoding="utf-8")
    (docs / "notes.md").write_text("# Notes\n\nThe pump house is painted green.\n", encoding="utf-8")
    assert run(["--library", "lib", "ingest", str(docs)]) == 0
    return tmp_path / "lib"


def test_common_options_stand_once_before_the_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run(["--library", "lib", "sources", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 3
    assert run(["--library", "elsewhere", "sources", "--library", "lib", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 3


def test_a_question_needs_no_quotes_and_comes_from_stdin_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run(["--library", "lib", "ask", "When", "did", "the", "Brackwater", "bridge", "open?"]) == 0
    assert "1931" in capsys.readouterr().out
    stdin = io.TextIOWrapper(io.BytesIO(b"When did the Brackwater bridge open?\n"), encoding="utf-8")
    monkeypatch.setattr("sys.stdin", stdin)
    assert run(["--library", "lib", "ask", "-"]) == 0
    assert "1931" in capsys.readouterr().out


def test_collections(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = ["--library", "lib", "collections"]
    assert run([*base, "create", "old"]) == 0 and run([*base, "rename", "old", "new"]) == 0
    capsys.readouterr()
    assert run([*base, "list", "--json"]) == 0
    listed = {row["name"]: row["documents"] for row in json.loads(capsys.readouterr().out)}
    assert listed == {"default": 3, "new": 0}
    assert run([*base, "delete", "new", "--yes"]) == 0
    assert run([*base, "delete", "new", "--yes"]) == 1
    assert "No collection 'new'" in capsys.readouterr().err
    assert run([*base, "list"]) == 0
    assert capsys.readouterr().out == "default: 3 documents, searched with builtin\n"


def test_what_cannot_be_undone_is_asked(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert run(["--library", "lib", "collections", "delete", "default"]) == 130
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert run(["--library", "lib", "remove", "--all"]) == 130
    with Library.open(folder, write=False) as library:
        assert len(library.sources()) == 3


def test_documents_are_removed_by_patterns(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--library", "lib", "remove"]) == 2
    assert run(["--library", "lib", "remove", "x", "--all"]) == 2
    assert run(["--library", "lib", "remove", "*.txt", "--yes"]) == 0
    with Library.open(folder, write=False) as library:
        assert [document.source for document in library.sources()] == ["notes.md"]
    assert run(["--library", "lib", "remove", "*.pdf"]) == 1
    assert "*.pdf" in capsys.readouterr().err
    assert run(["--library", "lib", "remove", "--all", "--yes"]) == 0
    with Library.open(folder, write=False) as library:
        assert library.sources() == ()


def test_conversations(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Library.open(folder, write=True) as library:
        number = library.conversations.create("default")
        library.conversations.append(number, "When did the bridge open?", "", ANSWER)
    base = ["--library", "lib", "conversations"]
    capsys.readouterr()
    assert run([*base, "list"]) == 0
    assert "When did the bridge open?  (1 question, default)" in capsys.readouterr().out
    assert run([*base, "list", "--search", "nothing of the kind"]) == 0
    assert "No conversation" in capsys.readouterr().out
    assert run([*base, "show", str(number)]) == 0
    shown = capsys.readouterr().out
    assert "It opened in 1931. [1]" in shown and "[1] bridge.txt" in shown
    assert run([*base, "export", str(number), "--json", "-o", "talk.json"]) == 0
    assert json.loads((tmp_path / "talk.json").read_text("utf-8"))["turns"][0]["answer"]["text"] == ANSWER["text"]
    assert run([*base, "export", str(number), "-o", "no/such/folder.md"]) == 1
    assert run([*base, "delete", str(number), "--yes"]) == 0
    assert run([*base, "show", str(number)]) == 1
    assert "Traceback" not in capsys.readouterr().err
