"""``rag verify``: an answer exported today, held against the documents of tomorrow."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rag.cli import run

TEXT = "The Brackwater bridge opened in 1931, two years late. It has four arches of red granite.\n"


@pytest.fixture
def docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RAG_LIBRARY", str(tmp_path / "library"))
    monkeypatch.setenv("RAG_LLM", "quotes")
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "bridge.txt").write_text(TEXT, encoding="utf-8")
    assert run(["ingest", str(folder)]) == 0
    return folder


@pytest.fixture
def exported(docs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    capsys.readouterr()
    assert run(["ask", "When did the Brackwater bridge open?", "--json"]) == 0
    file = tmp_path / "answer.json"
    file.write_text(capsys.readouterr().out, encoding="utf-8")
    return file


def test_against_the_library_and_against_the_bare_files(
    docs: Path, exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["verify", str(exported)]) == 0
    assert "1 of 1 citations hold." in capsys.readouterr().out
    assert run(["verify", str(exported), str(docs), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["report"]["citations"][0]["found_in"] == "bridge.txt"


def test_what_has_changed_since_is_said(docs: Path, exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (docs / "bridge.txt").write_text("Foreword.\n\n" + TEXT, encoding="utf-8")
    assert run(["verify", str(exported), str(docs)]) == 1
    assert "[1] moved: bridge.txt" in capsys.readouterr().out
    (docs / "bridge.txt").write_text("The bridge is closed.\n", encoding="utf-8")
    assert run(["verify", str(exported), str(docs)]) == 1
    assert "[1] gone: bridge.txt" in capsys.readouterr().out


def test_what_is_no_answer_is_refused(docs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "no.json"
    for data in (b"", b"[]", b"{", b"\xff\xfe", b'{"citations": [1], "text": ""}'):
        file.write_bytes(data)
        assert run(["verify", str(file)]) == 1
        error = capsys.readouterr().err
        assert error.startswith("Error: ") and "Traceback" not in error
