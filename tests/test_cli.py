"""The command line as a person meets it: what is printed, where, and with which exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rag.cli import cli, run
from rag.terminal import safe

RAG = [sys.executable, "-m", "rag"]
TEXT = "The lighthouse keeper lives in the red house.\n\nThe foghorn sounds every 40 seconds in winter.\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "lighthouse.txt").write_text(TEXT, encoding="utf-8")
    monkeypatch.setenv("RAG_LIBRARY", str(tmp_path / "library"))
    monkeypatch.setenv("RAG_LLM", "quotes")
    monkeypatch.setenv("RAG_EMBEDDER", "builtin")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def out(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert run(arguments) == code
    captured = capsys.readouterr()
    return captured.out + captured.err


def test_ingest_ask_search_sources_remove(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "1 added" in out(capsys, "ingest", "docs")
    assert "1 unchanged" in out(capsys, "ingest", "docs")
    answer = out(capsys, "ask", "How often does the foghorn sound in winter?")
    assert "every 40 seconds" in answer and "[1] lighthouse.txt" in answer and "characters" in answer
    assert "lighthouse.txt" in out(capsys, "search", "foghorn")
    assert "lighthouse.txt" in out(capsys, "sources")
    assert "Removed" in out(capsys, "remove", "lighthouse.txt")
    assert "No documents" in out(capsys, "sources")


def test_json_is_json(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def parsed(*arguments: str) -> object:
        assert run(arguments) == 0
        return json.loads(capsys.readouterr().out)

    report = parsed("ingest", "docs", "--json")
    assert isinstance(report, dict) and report["events"][0]["status"] == "added"
    answer = parsed("ask", "How often does the foghorn sound?", "--json")
    assert isinstance(answer, dict) and answer["abstained"] is False
    citation = answer["citations"][0]
    assert TEXT[citation["start"] : citation["end"]] == citation["quote"]
    hits = parsed("search", "foghorn", "--json", "-k", "1")
    assert isinstance(hits, list) and hits[0]["passage"]["source"] == "lighthouse.txt"
    assert isinstance(parsed("sources", "--json"), list)
    assert isinstance(parsed("doctor", "--json"), list)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["ingest", "absent"], 1, "absent"),
        (["ask", "anything"], 1, "rag ingest"),
        (["ask", ""], 1, "rag ingest"),
        (["frobnicate"], 2, "No such command"),
        (["ask"], 2, "Missing argument"),
        (["search", "x", "-k", "0"], 2, "0 is not in the range"),
        (["ask", "x", "--llm", "gpt"], 2, "llm must be"),
    ],
)
def test_wrong_input_is_named(
    home: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    text = out(capsys, *arguments, code=code)
    assert message in text and "Traceback" not in text


def test_a_model_by_name_without_ollama_says_how_to_go_on(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out(capsys, "ingest", "docs")
    text = out(capsys, "ask", "foghorn?", "--llm", "ollama:qwen3:4b", code=1)
    assert "ollama serve" in text and "quotes" in text


def test_unknown_collection_and_variable(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out(capsys, "ingest", "docs")
    assert "default" in out(capsys, "ask", "x", "--collection", "nowhere", code=1)
    monkeypatch.setenv("RAG_TOPK", "3")
    assert "RAG_TOP_K" in out(capsys, "sources", code=2)


def test_a_bad_file_is_reported_and_changes_the_exit_code(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "docs" / "broken.pdf").write_bytes(b"%PDF-1.4 rubbish")
    text = out(capsys, "ingest", "docs", code=1)
    assert "broken.pdf" in text and "1 added, 1 failed" in text


def test_the_doctor_speaks_with_and_without_a_library(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "none in" in out(capsys, "doctor")
    out(capsys, "ingest", "docs")
    text = out(capsys, "doctor")
    assert "SQLite" in text and "1 documents" in text and "builtin" in text


def test_a_second_writer_is_told_who_holds_the_library(home: Path) -> None:
    code = (
        "import sys, time; from rag import Library\n"
        "with Library.open(write=True) as l: l.ingest(['docs']); print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"open\n"
        done = subprocess.run([*RAG, "ingest", "docs"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and f"process {holder.pid}" in done.stderr
        asked = subprocess.run([*RAG, "ask", "How often the foghorn?"], capture_output=True, text=True, timeout=60)
        assert asked.returncode == 0 and "40 seconds" in asked.stdout
        holder.communicate(b"", timeout=60)


def test_chat_follows_commands_and_follow_ups(home: Path) -> None:
    subprocess.run([*RAG, "ingest", "docs"], check=True, capture_output=True, timeout=60)
    typed = ("/help", "How often does the foghorn sound?", "/sources", "/hits", "/model quotes", "/export talk.md",
             "/bogus", "/new", "/quit")  # fmt: skip
    lines = "\n".join(typed) + "\n"
    done = subprocess.run([*RAG, "chat"], input=lines, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for expected in ("every 40 seconds", "/export", "lighthouse.txt", "Written to talk.md", "Unknown command /bogus"):
        assert expected in done.stdout
    assert "40 seconds" in (home / "talk.md").read_text(encoding="utf-8")


def test_interrupting_an_ingest_loses_nothing_acknowledged(home: Path) -> None:
    for number in range(60):
        (home / "docs" / f"note-{number:02}.txt").write_text(
            f"Note {number} says {number * 7}. " * 200, encoding="utf-8"
        )
    with subprocess.Popen([*RAG, "ingest", "docs"], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as child:
        deadline = time.monotonic() + 30
        while not (home / "library" / "library.sqlite3").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.3)
        os.kill(child.pid, signal.SIGINT)
        assert child.wait(timeout=60) in (0, 130)
    done = subprocess.run([*RAG, "ingest", "docs"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    listed = subprocess.run([*RAG, "sources"], capture_output=True, text=True, timeout=60)
    assert len(listed.stdout.splitlines()) == 61


@pytest.mark.parametrize("name", sorted(cli.list_commands(None)))  # type: ignore[arg-type]
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = out(capsys, name, "--help")
    assert text.startswith("Usage: rag") and len(text) > 60


def test_escape_sequences_of_documents_never_reach_the_terminal() -> None:
    assert safe("a\x1b[31mred\x07\u202e\x9b2Jb\nc\td") == "a[31mred2Jb\nc\td"


def test_output_into_a_closed_pipe_is_no_error(home: Path) -> None:
    subprocess.run([*RAG, "ingest", "docs"], check=True, capture_output=True, timeout=60)
    line = f"{sys.executable} -m rag ask 'How often does the foghorn sound?' | true"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr
