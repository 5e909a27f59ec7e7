"""The command line as a person meets it: what is printed, where, and with which exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from llama_index.core.base.embeddings.base import BaseEmbedding

from rag.commands.cli import cli, run
from rag.commands.terminal import answer_text, checks_text, safe
from rag.errors import ModelError
from rag.models import embed
from rag.types import Answer, Check, Sentence, Support

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
    monkeypatch.setenv("RAG_ENCODER", "off")
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

    assert run(["ingest", "docs", "--json"]) == 0
    event, end = map(json.loads, capsys.readouterr().out.splitlines())
    assert event["status"] == "added" and event["source"] == "lighthouse.txt"
    assert end["added"] == 1 and end["failed"] == 0 and end["stopped"] is False
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
        (["ingest", ""], 2, "an empty path names nothing"),
        (["ingest", "docs", " "], 2, "an empty path names nothing"),
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


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_finishes_the_file_in_hand_and_the_next_start_alarms_nobody(home: Path, kind: signal.Signals) -> None:
    for number in range(60):
        text = f"Note {number} says {number * 7}. " * 200
        (home / "docs" / f"note-{number:02}.txt").write_text(text, encoding="utf-8")
    command = [*RAG, "ingest", "docs", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and child.stderr is not None
        first = json.loads(child.stdout.readline())
        os.kill(child.pid, kind)
        lines = [first, *map(json.loads, child.stdout)]
        assert child.wait(timeout=120) == 128 + kind, child.stderr.read()
        assert "Stopped" in child.stderr.read()
    assert lines[-1]["stopped"] is True and 1 <= lines[-1]["added"] == len(lines) - 1 < 60
    listed = subprocess.run([*RAG, "sources", "--json"], capture_output=True, text=True, timeout=120)
    assert {d["source"] for d in json.loads(listed.stdout)} == {line["source"] for line in lines[:-1]}
    done = subprocess.run([*RAG, "ingest", "docs"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "Note:" not in done.stderr, done.stderr
    assert f"{lines[-1]['added']} unchanged" in done.stdout


def test_json_tells_each_document_also_when_the_run_ends_in_an_error(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "docs" / "zebra.txt").write_text("The zebra's vector is refused.", encoding="utf-8")
    real = embed.embed_documents

    def refuse(embedder: BaseEmbedding, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        if any("zebra" in text for text in texts):
            raise ModelError("The embedder is gone.", hint="Start it.")
        return real(embedder, texts)

    monkeypatch.setattr(embed, "embed_documents", refuse)
    assert run(["ingest", "docs", "--json"]) == 1
    captured = capsys.readouterr()
    event, error = map(json.loads, captured.out.splitlines())
    assert event["source"] == "lighthouse.txt" and event["status"] == "added"
    assert error == {"error": "The embedder is gone.", "hint": "Start it.", "code": "model"}
    assert "The embedder is gone." in captured.err


def test_files_that_fail_alike_share_a_line(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(13):
        (home / "docs" / f"picture-{number:02}.bin").write_bytes(b"\x00\x01")
    (home / "docs" / "empty.txt").write_bytes(b"")
    lines = out(capsys, "ingest", "docs", code=1).splitlines()
    failed = [line for line in lines if line.startswith("Failed:")]
    assert len(failed) == 2 and failed[0].startswith("Failed: 13 files: …")
    assert "picture-00.bin, picture-01.bin" in lines[lines.index(failed[0]) + 1]
    assert lines[lines.index(failed[0]) + 1].endswith("and 3 more")


def test_a_library_whose_file_is_gone_is_no_new_library(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out(capsys, "ingest", "docs")
    (home / "library" / "library.sqlite3").unlink()
    for command in (["ingest", "docs"], ["sources"], ["ask", "foghorn?"], ["doctor"]):
        text = out(capsys, *command, code=1)
        assert "is missing, though the index made from it is there" in text, command
    assert not (home / "library" / "library.sqlite3").exists()


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


def test_a_quote_flows_and_a_table_keeps_its_rows() -> None:
    parts = ["The ferry leaves\nat nine and\n\nreturns.\n- Tickets are dear.", "| a | b |\n| 1 | 2 |"]
    text = "\n\n".join(parts)
    sentences = tuple(
        Sentence(part, text.index(part), text.index(part) + len(part), Support.QUOTED) for part in parts
    )  # fmt: skip
    shown = answer_text(Answer("?", text, abstained=False, sentences=sentences))
    assert shown == "The ferry leaves at nine and\n\nreturns.\n- Tickets are dear.\n\n| a | b |\n| 1 | 2 |"


def test_the_doctors_lines_hang_below_their_names() -> None:
    check = Check("index", "warn", "one two three four five six", "seven eight nine ten eleven")
    assert checks_text([check], 30).splitlines() == [
        "warn  index: one two three", "      four five six", "      seven eight nine ten", "      eleven",
    ]  # fmt: skip
