"""Workers, the process that tells Chroma, Chroma and PostgreSQL are killed at random while documents change.

No document that was acknowledged is lost, none is there twice, nothing older than what was acknowledged before is ever
found, and all goes on by itself once what was killed runs again.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest

from rag.config import Config
from rag.errors import RagError
from rag.library import Library
from rag.store import served
from tests.chroma import ChromaRun
from tests.conftest import ROOT
from tests.postgres import Server, server

SLOW = 240
"""Seconds that anything may take on a machine with much to do."""
NAMES = [f"{name}.md" for name in ("amber", "birch", "cedar", "delta", "ember", "fjord")]
KINDS = ("worker", "teller", "chroma", "postgres")


class Team:
    """PostgreSQL, Chroma, two workers, and this process, which puts files in and searches."""

    def __init__(self, stack: ExitStack, postgres: Server, place: Path) -> None:
        self.postgres = postgres
        self.address = postgres.address("faults")
        self.chroma = ChromaRun(place / "chroma")
        stack.callback(self.chroma.stop)
        self.place = place
        self.library = stack.enter_context(
            Library.open(
                self.address, config=Config(**_MODELS), library=place / "page", chroma=self.chroma.address, queue=True
            )
        )
        self.workers: dict[int, subprocess.Popen[bytes]] = {}
        stack.callback(self._end)
        for number in range(2):
            self.work(number)

    def work(self, number: int) -> None:
        """Start a worker."""
        environment = {
            **os.environ, **{f"RAG_{k.upper()}": v for k, v in _MODELS.items()}, "RAG_DATABASE": self.address,
            "RAG_CHROMA": self.chroma.address, "RAG_LIBRARY": str(self.place / f"worker{number}"),
        }  # fmt: skip
        self.workers[number] = subprocess.Popen(
            [sys.executable, "-m", "rag", "worker"], env=environment, cwd=ROOT, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def kill(self, kind: str, chance: random.Random) -> None:
        """Kill one of a kind, and start it again."""
        if kind == "chroma":
            self.chroma.stop(signal.SIGKILL)
            self.chroma.start()
        elif kind == "postgres":
            self.postgres.kill()
            self.postgres.start()
        elif kind == "teller":
            self._kill_teller()
        else:
            self._kill_worker(chance.choice(sorted(self.workers)))

    def _kill_worker(self, number: int) -> None:
        self.workers[number].send_signal(signal.SIGKILL)
        self.workers[number].wait(60)
        self.work(number)

    def _kill_teller(self) -> None:
        """The process that tells Chroma; its connection, where that is this one."""
        with psycopg.connect(self.address, autocommit=True) as connection:
            found = connection.execute(
                "SELECT a.pid, a.application_name FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid"
                " WHERE l.locktype = 'advisory' AND l.classid = %s AND l.granted",
                (served.ELECTION,),
            ).fetchone()
            for number, worker in self.workers.items():
                if found is not None and f"process {worker.pid} " in found[1]:
                    self._kill_worker(number)
                    return
            if found is not None:
                connection.execute("SELECT pg_terminate_backend(%s)", (found[0],))

    def _end(self) -> None:
        for worker in self.workers.values():
            worker.kill()
            worker.wait(60)


_MODELS: dict[str, Any] = {"llm": "quotes", "embedder": "builtin", "encoder": "off"}


@pytest.fixture(name="team")
def team_with_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Team]:
    monkeypatch.setattr("rag.store.dense.EXACT_BYTES", -1)
    with TemporaryDirectory(prefix="pg") as folder, server(Path(folder)) as postgres, ExitStack() as stack:
        yield Team(stack, postgres, tmp_path)


def version_in(text: str) -> int:
    return int(text.rpartition("version ")[2].split(".")[0])


class Readers:
    """Searches all the time; what was found that was older than what had been acknowledged before is kept."""

    def __init__(self, library: Library, acknowledged: dict[str, int]) -> None:
        self._library = library
        self._acknowledged = acknowledged
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.stale: list[str] = []
        self.found = 0
        self._thread.start()

    def end(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        chance = random.Random(1)
        while not self._stop.is_set():
            name, before = chance.choice(NAMES), dict(self._acknowledged)
            try:
                hits = self._library.search(f"What does {name.removesuffix('.md')} say?", 3)
            except RagError:
                continue  # the database is away: that is said
            self.found += len(hits)
            for hit in hits:
                if version_in(hit.passage.text) < before.get(hit.passage.source, 0):
                    self.stale.append(f"{hit.passage.text} when {before} was acknowledged")


@pytest.mark.timeout(14_400)
def test_whatever_is_killed_all_goes_on(team: Team, tmp_path: Path, soak: bool) -> None:
    chance, acknowledged, written = random.Random(15), dict[str, int](), dict[str, int]()
    folder = tmp_path / "docs"
    folder.mkdir()
    rounds = [*KINDS, *(chance.choice(KINDS) for _ in range(96 if soak else 6))]
    chance.shuffle(rounds)
    for name in NAMES:
        _write(folder, name, written)
    _put_in(team.library, folder, written, acknowledged)
    readers = Readers(team.library, acknowledged)
    try:
        for kind in rounds:
            for name in chance.sample(NAMES, 3):
                _write(folder, name, written)
            putting = threading.Thread(target=_put_in, args=(team.library, folder, written, acknowledged))
            putting.start()
            time.sleep(chance.random() * 0.5)  # somewhere in the middle of it
            team.kill(kind, chance)
            putting.join(SLOW)
            assert not putting.is_alive(), f"nothing went on after {kind} was killed"
    finally:
        readers.end()
    assert readers.stale == [] and readers.found > len(rounds)
    _settled(team)
    library = team.library
    assert [document.source for document in library.sources()] == sorted(NAMES), "none lost, none twice"
    for document in library.sources():
        assert version_in(library.text(document.id)) == written[document.source] == acknowledged[document.source]
    facts, dead = library.queue()
    assert (facts.waiting, facts.running, dead) == (0, 0, ())
    report = library._dense.audit(library.collections.get("default"))
    assert report.ok and report.passages == report.indexed == len(NAMES)


def _write(folder: Path, name: str, written: dict[str, int]) -> None:
    written[name] = written.get(name, 0) + 1
    text = f"# Paper\n\nThe {name.removesuffix('.md')} says that this is version {written[name]}.\n"
    (folder / name).write_text(text, encoding="utf-8")


def _put_in(library: Library, folder: Path, written: dict[str, int], acknowledged: dict[str, int]) -> None:
    """Put the folder in, again and again until all of it is: what a person or a timer does when told of a failure."""
    wanted, ended = dict(written), time.monotonic() + SLOW
    while any(acknowledged.get(name, 0) < version for name, version in wanted.items()):
        assert time.monotonic() < ended, "the documents never went in"
        try:
            for event in library.ingest_events(folder):
                if event.status in ("added", "updated", "unchanged"):
                    acknowledged[event.source] = wanted[event.source]
        except RagError:
            time.sleep(0.2)  # the database is away, and that was said


def _settled(team: Team) -> None:
    """Return when everything has been told to the index."""
    library, ended = team.library, time.monotonic() + SLOW
    collection = library.collections.get("default")
    while library._truth.outbox.last(collection.id) or library._dense.state(collection) != "ready":
        assert time.monotonic() < ended, "the index was never told"
        time.sleep(0.1)
