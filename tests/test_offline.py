"""Without any network at all, in a namespace of its own, everything but Ollama works."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def isolated() -> list[str]:
    """The command that takes the network away, or a skip where the system does not allow it."""
    if shutil.which("unshare"):
        tried = subprocess.run(["unshare", "-rn", "true"], capture_output=True, timeout=60)
        if tried.returncode == 0:
            return ["unshare", "-rn"]
    pytest.skip("needs `unshare -rn` (util-linux, user namespaces) to take the network away")


CONNECTS = re.compile(r"connect\(\d+, \{sa_family=AF_INET6?, [^}]*addr\(\"?(?!127\.|::1)[^}]*\}")


def test_no_library_calls_home_beyond_pythons_sockets(tmp_path: Path) -> None:
    """What the tests' guard of Python's sockets does not see: onnxruntime asked for an address of its makers."""
    if not shutil.which("strace"):
        pytest.skip("needs strace to see what compiled libraries connect to")
    (tmp_path / "note.txt").write_text("The ferry to Utsira leaves at 07:40 from pier 3.\n", encoding="utf-8")
    program = (
        "from rag import Library\n"
        "with Library.open('library', llm='quotes', embedder='builtin') as library:\n"
        "    library.ingest(['note.txt'])\n"
        "    print(library.ask('When does the ferry to Utsira leave?').text)\n"
    )
    seen = tmp_path / "connections"
    command = ["strace", "-f", "-e", "trace=connect", "-o", str(seen), sys.executable, "-c", program]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), os.environ["PYTHONPATH"]))}
    environ |= {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "home")}
    done = subprocess.run(command, capture_output=True, text=True, env=environ, cwd=tmp_path, timeout=250)
    if "PTRACE" in done.stderr or "ptrace" in done.stderr:
        pytest.skip("this system lets nobody be traced")
    assert done.returncode == 0 and "07:40" in done.stdout, done.stderr
    assert seen.stat().st_size and not CONNECTS.findall(seen.read_text(encoding="utf-8"))
    assert not list(tmp_path.rglob("deviceid"))


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
