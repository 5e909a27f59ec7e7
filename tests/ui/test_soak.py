"""A server with accounts that is used for long takes no more memory and holds no more files than at first."""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from rag import Library

PASSWORD = "walnut orbit lantern"
QUESTIONS = ("When did the Brackwater bridge open?", "How many days of leave are there?", "Who painted the ferry?")
DOCS = {
    "bridge.txt": "The Brackwater bridge opened in 1931, two years late.\n",
    "leave.md": "# Leave policy\n\nFull-time staff receive 28 days of paid annual leave a year.\n",
}


def minutes() -> float:
    """How long: 20 in the long form, or ``SOAK_MINUTES``; else forty rounds, which only show that it runs."""
    return float(os.environ.get("SOAK_MINUTES", "20" if os.environ.get("RAG_SOAK") else "0"))


@contextmanager
def served(place: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``rag ui`` with accounts, and its address."""
    command = [sys.executable, "-m", "rag", "--llm", "quotes", "--library", str(place), "ui", "--port", "0"]
    environment = {name: value for name, value in os.environ.items() if name != "RAG_SOAK"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
        try:
            assert child.stdout is not None
            found = re.search(r"http://\S+:\d+", child.stdout.readline())
            assert found is not None
            yield child, found[0]
        finally:
            child.send_signal(signal.SIGTERM)
            assert child.wait(60) == 0


def megabytes(process: int) -> float:
    return int(Path(f"/proc/{process}/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def use(page: httpx.Client, program: httpx.Client, number: int) -> None:
    """What is done all day: the page is opened, asked, a file comes and goes, programs ask, somebody signs in."""
    question = QUESTIONS[number % len(QUESTIONS)]
    assert page.get("/config").status_code == 200
    event = page.post("/gradio_api/call/ask", json={"data": [question, ""]}).json()["event_id"]
    assert "complete" in page.get(f"/gradio_api/call/ask/{event}").text
    assert program.post("/api/ask", json={"question": question}).status_code == 200
    assert program.post("/api/search", json={"question": question}).status_code == 200
    if number % 10 == 0:
        put = program.post(
            "/api/documents", params={"name": "passing.txt"}, content=f"Number {number} passes.".encode()
        )
        assert put.status_code == 200
        assert program.delete("/api/sources/passing.txt").status_code == 200
    if number % 50 == 0:
        assert page.post("/login", data={"name": "ada", "password": PASSWORD}).status_code == 303


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory and descriptors are read from /proc")
@pytest.mark.timeout(4000)
def test_it_endures(tmp_path: Path) -> None:
    with Library.open(tmp_path / "library", llm="quotes", embedder="builtin") as library:
        user = library.accounts.add("ada", PASSWORD, "editor")
        for name, text in DOCS.items():
            library.for_user(user).add(text, source=name)
        token = library.accounts.new_token("ada", "soak")
    seconds = minutes() * 60
    with served(tmp_path / "library") as (child, address):
        bearer = {"authorization": f"Bearer {token}"}
        began = time.monotonic()
        memory, files = [], []
        with (
            httpx.Client(base_url=address, headers={"origin": address}, timeout=120) as page,
            httpx.Client(base_url=address, headers=bearer, timeout=120) as program,
        ):
            assert page.post("/login", data={"name": "ada", "password": PASSWORD}).status_code == 303
            for number in itertools.count(1):
                use(page, program, number)
                if number % 20 == 0:
                    memory.append(megabytes(child.pid))
                    files.append(len(list(Path(f"/proc/{child.pid}/fd").iterdir())))
                if time.monotonic() - began > seconds and len(memory) >= 2:
                    break
    first = memory[len(memory) // 4]
    told = f"{number} rounds in {seconds:.0f} s: {first:.0f} MB after a quarter, {memory[-1]:.0f} MB at the end; files "
    told += f"{files[len(files) // 4]}, {files[-1]}"
    sys.stderr.write(f"{told}\n")
    assert files[-1] <= files[len(files) // 4] + 8, told
    if seconds >= 240:  # before that it is still warming up
        assert memory[-1] <= 1.05 * first, told
