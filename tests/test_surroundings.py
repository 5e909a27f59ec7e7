"""Odd surroundings: closed and full streams, no working folder, no home, a path that is no text: sentences all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rag.library import Library

RAG = f"{sys.executable} -m rag"
ROOT = Path(__file__).parents[1]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "barn.txt").write_text("The barn is red.\n", encoding="utf-8")
    with Library.open(tmp_path / "library", llm="quotes", embedder="builtin") as library:
        library.ingest(tmp_path / "barn.txt")
    monkeypatch.setenv("RAG_LIBRARY", str(tmp_path / "library"))
    monkeypatch.setenv("RAG_LLM", "quotes")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(ROOT), os.environ["PYTHONPATH"])))
    monkeypatch.chdir(tmp_path)
    return tmp_path


CASES = {
    "full output": ("{rag} ask barn > /dev/full", 1, "could not be written: No space left"),
    "full output, help": ("{rag} --help > /dev/full", 1, "could not be written: No space left"),
    "full output, JSON": ("{rag} sources --json > /dev/full", 1, "could not be written: No space left"),
    "closed input": ("{rag} ask barn <&-", 0, "The barn is red. [1]"),
    "closed input, chat": ("{rag} chat <&-", 0, "Ask a question"),
    "closed output": ("{rag} ask barn >&-", 0, "Answers by quoting"),
    "closed error": ("{rag} ask barn 2>&-", 0, "The barn is red. [1]"),
    "all closed": ("{rag} ask barn <&- >&- 2>&-", 0, ""),
    "deleted folder": ("mkdir gone; cd gone; rmdir ../gone; {rag} ask barn", 0, "The barn is red. [1]"),
    "deleted folder, ingest": ("mkdir gone; cd gone; rmdir ../gone; {rag} ingest .", 1, "no file or folder"),
    "no home": ("cd /; unset HOME RAG_LIBRARY; {unknown} {rag} sources", 2, "no home folder"),
    "no text": ("RAG_LIBRARY=$'l\\xff\\xfe' {rag} sources", 2, "is no UTF-8"),
}


@pytest.mark.parametrize(("command", "code", "said"), CASES.values(), ids=CASES.keys())
def test_odd_surroundings_are_told_in_sentences(home: Path, command: str, code: int, said: str) -> None:
    if "{unknown}" in command and os.geteuid() != 0:
        pytest.skip("only root can become a user whom nobody knows")
    line = command.format(rag=RAG, unknown="setpriv --reuid 54321 --clear-groups")
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=120, check=False)
    shown = done.stdout + done.stderr
    assert done.returncode == code and said in shown, shown
    assert "Traceback" not in shown and "Exception ignored" not in shown
