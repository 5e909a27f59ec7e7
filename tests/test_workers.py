"""A team's queue: files are put in it by one process and read by others, and every one of them tells the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from rag import workers
from rag.errors import ConfigError, ModelError, StoreError
from rag.library import Library
from rag.types import IngestEvent
from tests.conftest import ROOT
from tests.postgres import Server
from tests.test_encode import Counting

SLOW = 240
"""Seconds that anything may take on a machine with much to do."""


def opened(address: str, folder: Path, *, queue: bool = False) -> Library:
    return Library.open(address, library=folder, llm="quotes", embedder="builtin", encoder="off", queue=queue)


@contextmanager
def working(address: str, folder: Path) -> Iterator[list[IngestEvent]]:
    """A worker until the block ends; what it told."""
    stop, told = threading.Event(), list[IngestEvent]()
    with opened(address, folder) as library:
        thread = threading.Thread(target=lambda: told.extend(library.work(stop)))
        thread.start()
        try:
            yield told
        finally:
            stop.set()
            thread.join()


def said(events: tuple[IngestEvent, ...]) -> list[tuple[str, str, str, int, int]]:
    return sorted((e.source, e.status, e.code, e.passages, e.pages) for e in events)


@pytest.fixture(name="docs")
def documents(tmp_path: Path) -> Path:
    """Files of several kinds; one holds another, and one cannot be read."""
    folder = tmp_path / "docs"
    (folder / "sub").mkdir(parents=True)
    for number in range(12):
        (folder / f"{number}.md").write_text(f"# Note {number}\n\nThe gate {number} is green.\n", encoding="utf-8")
    (folder / "sub" / "0.md").write_text("# Other\n\nThe other gate is red.\n", encoding="utf-8")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4 no")
    (folder / "mail.eml").write_bytes(
        b"From: a@example.org\nSubject: Gates\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n"
        b"--b\nContent-Type: text/plain\n\nSee the list.\n--b\nContent-Type: text/plain\n"
        b"Content-Disposition: attachment; filename=list.txt\n\nThe list says that gate 99 is blue.\n--b--\n"
    )
    return folder


def test_workers_make_of_files_what_one_process_makes(postgres: Server, docs: Path, tmp_path: Path) -> None:
    alone, team = postgres.address("w_alone"), postgres.address("w_team")
    with opened(alone, tmp_path / "a") as library:
        expected = library.ingest(docs, metadata={"year": 2024})
        unread = library.unread()
    with opened(team, tmp_path / "t", queue=True) as library, working(team, tmp_path / "w"):
        report = library.ingest(docs, metadata={"year": 2024})
        assert said(report.events) == said(expected.events) and len(report.failed) == 1
        assert {event.path for event in report.events} == {event.path for event in expected.events}
        assert max(event.done for event in report.events) == len(report.events)
        assert [(one.source, one.origin, one.code) for one in library.unread()] == [
            (one.source, one.origin, one.code) for one in unread
        ]
        assert {one.metadata.get("modified") for one in library.sources()} != {None}
        assert "gate 99 is blue" in library.ask("Which colour has gate 99?").text
        again = library.ingest(docs, metadata={"year": 2024})
        assert {event.status for event in again.events} == {"unchanged", "failed"}
        (docs / "3.md").write_text("# Note 3\n\nThe gate 3 is yellow.\n", encoding="utf-8")
        (docs / "4.md").rename(docs / "four.md")
        (docs / "5.md").unlink()
        synced = {event.source: event.status for event in library.sync(docs).events if event.status != "unchanged"}
        del synced["broken.pdf"]
        assert synced == {"3.md": "updated", "four.md": "moved", "5.md": "removed"}
        assert not list((tmp_path / "w" / "in-hand").iterdir()), "nothing is left of what was in hand"


def test_uploads_of_one_name_ask(postgres: Server, tmp_path: Path) -> None:
    address = postgres.address("w_uploads")
    files = []
    for number in range(2):
        (tmp_path / str(number)).mkdir()
        files.append(tmp_path / str(number) / "plan.md")
        files[-1].write_text(f"# Plan\n\nPlan {number} is good.\n", encoding="utf-8")
    with opened(address, tmp_path / "t", queue=True) as library, working(address, tmp_path / "w"):
        assert [e.status for e in library.ingest(files[0], uploads=True).events] == ["added"]
        (asked,) = library.ingest(files[1], uploads=True).events
        assert asked.code == "same-name" and library.unread() == ()
        (kept,) = library.ingest(files[1], uploads=True, same_name="keep").events
        assert kept.status == "added" and [one.source for one in library.sources()] == ["plan (2).md", "plan.md"]


def test_without_a_model_files_are_tried_again_and_given_up(
    postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "FIRST_WAIT", 0.0)
    address = postgres.address("w_dead")
    (tmp_path / "a.md").write_text("# A\n\nA gate.\n", encoding="utf-8")
    with opened(address, tmp_path / "t", queue=True) as library, opened(address, tmp_path / "w") as worker:
        with monkeypatch.context() as broken:

            def away(*_: object) -> None:
                raise ModelError("the embedder is away")

            broken.setattr("rag.models.embed.embed_documents", away)
            stop = threading.Event()
            thread = threading.Thread(target=lambda: list(worker.work(stop)))
            thread.start()
            (event,) = library.ingest(tmp_path / "a.md").events
            stop.set()
            thread.join()
        assert event.code == "dead-letter" and "away" in event.error and "rag queue" in event.hint
        facts, dead = library.queue()
        assert facts.dead == 1 and dead[0].source == "a.md"
        assert library.settle_queue(again=True) == 1
        assert [e.status for e in worker.work(threading.Event(), until_empty=True)] == ["added"]
        assert library.queue()[0].dead == 0 and library.settle_queue(again=False) == 0


def test_a_folder_has_no_queue(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="queue is for a library in a database"):
        Library.open(tmp_path, queue=True)
    with Library.open(tmp_path, llm="quotes", embedder="builtin") as library:
        with pytest.raises(StoreError, match="is a folder"):
            next(library.work(threading.Event()))
        with pytest.raises(StoreError, match="is a folder"):
            library.queue()


def test_the_commands(postgres: Server, docs: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "RAG_DATABASE": postgres.address("w_commands"), "RAG_LLM": "quotes",
                   "RAG_ENCODER": "off", "RAG_EMBEDDER": "builtin"}  # fmt: skip

    def command(*words: str, folder: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "rag", *words], env={**environment, "RAG_LIBRARY": str(tmp_path / folder)}, cwd=ROOT,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    with command("ingest", "--queue", "--json", str(docs), folder="i") as ingest:
        assert ingest.stderr is not None and "No worker" in ingest.stderr.readline()
        with command("worker", "--json", folder="w") as worker:
            lines = [json.loads(line) for line in (ingest.stdout or ())]
            assert lines[-1]["added"] == 15 and lines[-1]["failed"] == 1 and ingest.wait(120) == 1
            with command("queue", "--json", folder="q") as queue:
                told = json.loads(queue.communicate()[0])
            assert (told["waiting"], told["running"], told["dead"], told["workers"]) == (0, 0, 0, 1)
            worker.send_signal(signal.SIGTERM)
            out, _ = worker.communicate(timeout=120)
            assert worker.returncode == 0 and len(out.splitlines()) == 16


def test_only_one_of_many_fills_in_what_the_encoder_makes(
    postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag.encode._QUIET_SECONDS", 0.0)
    monkeypatch.setattr("rag.encode._TURN_SECONDS", 0.05)
    address, encoders = postgres.address("w_filled"), [Counting(), Counting(), Counting()]
    with ExitStack() as stack:
        libraries = [
            stack.enter_context(
                Library.open(address, library=tmp_path / str(n), llm="quotes", embedder="builtin", encoder=encoder)
            )
            for n, encoder in enumerate(encoders)
        ]
        first = libraries[0]
        first.collections.ensure()
        first._filler.close()  # so that all of it is left to the others
        for number in range(40):
            first.add(f"The gate {number} is green.", source=f"{number}.txt")
        for library in libraries[1:]:
            library._filler.wake()
        ended = time.monotonic() + SLOW
        while first.index().pending:
            assert time.monotonic() < ended
            time.sleep(0.02)
    asked = sum(encoder.asked for encoder in encoders)
    assert 40 <= asked <= 40 + len(encoders), "each text once, and one to learn what a model is"
