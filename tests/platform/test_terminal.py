"""Standard streams that cannot hold every character, as Windows' are when they are no console."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rag.platform.terminal import writable

TEXT = "The sign shows an arrow \u2192 and the word \u706f\u53f0."


def written(stream: io.TextIOWrapper, raw: io.BytesIO) -> bytes:
    writable(stream)
    stream.write(TEXT)
    stream.flush()
    return raw.getvalue()


def test_what_is_piped_is_utf8_whatever_the_code_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONIOENCODING", raising=False)
    for page in ("cp1252", "cp437", "utf-8", "UTF_8"):
        raw = io.BytesIO()
        assert written(io.TextIOWrapper(raw, page), raw).decode("utf-8") == TEXT


def test_an_encoding_that_was_asked_for_stays_and_fails_at_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "cp1252")
    raw = io.BytesIO()
    assert written(io.TextIOWrapper(raw, "cp1252"), raw) == TEXT.encode("cp1252", "backslashreplace")


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


def test_a_terminal_keeps_its_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONIOENCODING", raising=False)
    raw = io.BytesIO()
    assert written(Terminal(raw, "cp850"), raw) == TEXT.encode("cp850", "backslashreplace")


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_an_answer_is_told_through_a_code_page(tmp_path: Path, flags: tuple[str, ...]) -> None:
    (tmp_path / "a \u2192 b.md").write_text(f"# Tower\n\n{TEXT}\n", encoding="utf-8")
    environ = {
        **os.environ, "PYTHONIOENCODING": "cp1252", "RAG_LIBRARY": str(tmp_path / "library"), "RAG_LLM": "quotes",
        "RAG_EMBEDDER": "builtin", "RAG_ENCODER": "off",
    }  # fmt: skip
    rag = [sys.executable, "-m", "rag"]
    for arguments in (["ingest", str(tmp_path / "a \u2192 b.md")], ["ask", "What does the sign show?", *flags]):
        done = subprocess.run([*rag, *arguments], env=environ, capture_output=True, timeout=240)
        assert done.returncode == 0, done.stderr
    said = done.stdout.decode("cp1252")
    assert "\\u2192" in said
    if flags:
        assert TEXT in json.loads(said)["text"]
