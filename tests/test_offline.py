"""Without any network at all, in a namespace of its own, everything but Ollama works."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def isolated() -> list[str]:
    """The command that takes the network away, or a skip where the system does not allow it."""
    if shutil.which("unshare"):
        tried = subprocess.run(["unshare", "-rn", "true"], capture_output=True, timeout=10)
        if tried.returncode == 0:
            return ["unshare", "-rn"]
    pytest.skip("needs `unshare -rn` (util-linux, user namespaces) to take the network away")


def test_ingest_ask_and_doctor_without_a_network(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("The ferry to Utsira leaves at 07:40 from pier 3.\n", encoding="utf-8")
    environ = {**os.environ, "RAG_LIBRARY": str(tmp_path / "library"), "HF_HUB_OFFLINE": ""}

    def rag(*arguments: str) -> str:
        command = [*isolated(), sys.executable, "-W", "error", "-m", "rag", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=environ, cwd=tmp_path, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "1 added" in rag("ingest", "note.txt")
    assert "07:40" in rag("ask", "When does the ferry to Utsira leave?")
    assert "Answers by quoting the documents" in rag("doctor")
