"""Promise: a stop loses nothing accepted. The program is told to end at each stage, and started again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from rag.library import Library
from tests.fake_ollama import FakeOllama
from tests.ui.corpus import write_corpus
from tests.ui.servers import request
from ui.intake import Intake

SIGNALS = [signal.SIGTERM, signal.SIGHUP, signal.SIGINT]
QUESTION = "How many days of paid annual leave do full-time staff receive?"


@contextmanager
def page(folder: Path, server: FakeOllama) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """``rag ui`` and its port; killed at the end if it still runs."""
    environment = {
        **os.environ, "RAG_LIBRARY": str(folder), "RAG_LLM": "ollama:fake-ramble", "RAG_EMBEDDER": "builtin",
        "RAG_ENCODER": "off", "RAG_OLLAMA_HOST": server.url, "PYTHONFAULTHANDLER": "1",
    }  # fmt: skip
    command = [sys.executable, "-m", "rag", "ui", "--port", "0"]
    # Under nohup a hang-up is ignored, here and in every child, and rightly so; here it is to be heard.
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    child = subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    signal.signal(signal.SIGHUP, before)
    try:
        assert child.stdout is not None
        said = child.stdout.readline()
        assert said.startswith("Ready: "), said
        yield child, int(said.split()[1].rpartition(":")[2].strip("/"))
    finally:
        child.kill()
        child.communicate()


def ended(child: subprocess.Popen[str]) -> tuple[str, str]:
    """What it printed until its end; where it does not end, the test fails with what its threads are at."""
    try:
        return child.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGABRT)
        pytest.fail(child.communicate(timeout=60)[1])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library with the collection, to be copied."""
    folder = tmp_path_factory.mktemp("made")
    with Library.open(folder, llm="quotes", embedder="builtin", encoder="off") as library:
        library.ingest(write_corpus(tmp_path_factory.mktemp("docs")))
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "library"))


def ask(port: int) -> None:
    """Ask as the page's question box does."""
    config = json.loads(request(port, "/config").body)
    box = next(c["id"] for c in config["components"] if c["props"].get("elem_id") == "box")
    event = next(d for d in config["dependencies"] if [box, "submit"] in d["targets"])
    begun = {c["id"]: c["props"].get("value") for c in config["components"]}
    data = [QUESTION, *(begun[number] for number in event["inputs"][1:])]
    body = {"fn_index": event["id"], "session_hash": "tab", "data": data}
    assert request(port, "/gradio_api/queue/join", "POST", body=json.dumps(body).encode()).status == 200


@pytest.mark.parametrize("number", SIGNALS, ids=lambda s: s.name)
def test_nothing_accepted_is_lost_and_nothing_left_behind(folder: Path, number: signal.Signals) -> None:
    names = [f"kept/{n}.md" for n in range(12)]
    with FakeOllama(["fake-ramble"], delay=0.1) as server, page(folder, server) as (child, port):
        ask(port)
        assert server.wait_for(lambda: any(record.lines > 3 for record in server.sent("/api/chat")), 60)
        for name in names:
            text = f"# {name}\n\n" + f"The chapter {name} is about rivers and lakes.\n\n" * 100
            assert request(port, f"/upload?name={quote(name)}", "POST", body=text.encode()).status == 200
        with socket.create_connection(("127.0.0.1", port)) as half:
            head = f"POST /upload?name=half.md HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Length: 100000\r\n\r\n"
            half.sendall(head.encode() + b"x" * 5_000)
            child.send_signal(number)
            out, error = ended(child)
    assert (child.returncode, out) == (0, "") and "Traceback" not in error and "Error" not in error, error
    assert not (folder / "temporary").exists()
    with Library.open(folder, llm="quotes", embedder="builtin", encoder="off") as library:
        found = library.conversations.list()[0]
        answer = library.conversations.get(found.id)[1][0].answer
        assert answer["state"] == "stopped" and answer["text"]
        intake = Intake(library)
        end = time.monotonic() + 60
        while intake.busy():
            assert time.monotonic() < end
            time.sleep(0.05)
        assert [d.source for d in library.sources() if d.source.startswith("kept/")] == sorted(names)
        assert "half.md" not in [d.source for d in library.sources()]
        intake.close()
    assert not (folder / "incoming").exists()


def test_what_a_killed_program_left_is_cleared_at_the_next_start(folder: Path) -> None:
    with FakeOllama(["fake-ramble"], delay=0.1) as server:
        with page(folder, server) as (child, port):
            ask(port)
            assert server.wait_for(lambda: any(record.lines > 3 for record in server.sent("/api/chat")), 60)
            assert request(port, "/upload?name=kept.md", "POST", body=b"The barn is red.\n").status == 200
            (folder / "temporary" / "left").write_text("what Gradio kept", encoding="utf-8")
            child.kill()
            child.communicate()
        with page(folder, server) as (child, port):
            assert not (folder / "temporary" / "left").exists()
            conversation = json.loads(request(port, "/export/1.json").body)
            assert conversation["turns"][0]["answer"]["state"] == "interrupted"
            end = time.monotonic() + 60
            while (folder / "incoming").exists() and list((folder / "incoming").iterdir()):
                assert time.monotonic() < end
                time.sleep(0.05)
            sources = json.loads(request(port, "/gradio_api/run/sources", "POST", body=b'{"data":[]}').body)
            assert "kept.md" in [d["source"] for d in sources["data"][0]]


def test_a_signal_while_it_starts_ends_it(folder: Path) -> None:
    environment = {**os.environ, "RAG_LIBRARY": str(folder), "RAG_LLM": "quotes", "RAG_ENCODER": "off"}
    code = (
        "import os, signal, sys, ui.app\nfrom rag.commands.cli import main\n"
        "ui.app.Site.routes = lambda self: os.kill(os.getpid(), signal.SIGTERM)\n"
        "sys.argv = ['rag', 'ui', '--port', '0']; main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 130 and "Traceback" not in done.stderr and "Interrupted." in done.stderr
    assert not (folder / "temporary").exists()
