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

    def candidates(self) -> dict[int, str]:
        """The connections of the processes that could tell Chroma, and their names."""
        with psycopg.connect(self.address) as connection:
            return dict(
                connection.execute(
                    "SELECT pid, application_name FROM pg_stat_activity WHERE application_name LIKE 'rag index, %'"
                ).fetchall()
            )

    def teller(self) -> int | None:
        """The connection of the process that tells Chroma."""
        with psycopg.connect(self.address) as connection:
            found = connection.execute(
                "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = %s AND granted", (served.ELECTION,)
            ).fetchone()
        return None if found is None else int(found[0])

    def _kill_teller(self) -> None:
        """The process that tells Chroma; its connection, where that is this one."""
        found = self.teller()
        name = self.candidates().get(found or 0, "")
        for number, worker in self.workers.items():
            if f"process {worker.pid} " in name:
                self._kill_worker(number)
                return
        if found is not None:
            with psycopg.connect(self.address, autocommit=True) as connection:
                connection.execute("SELECT pg_terminate_backend(%s)", (found,))

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
    chance = random.Random(15)
    rounds = [*KINDS, *(chance.choice(KINDS) for _ in range(96 if soak else 6))]
    chance.shuffle(rounds)
    papers = Papers(team, tmp_path / "docs", chance)
    readers = Readers(team.library, papers.acknowledged)
    try:
        for kind in rounds:
            papers.disturbed(kind)
    finally:
        readers.end()
    assert readers.stale == [] and readers.found > len(rounds)
    settled(team)
    assert papers.wrong() == (0, 0), "none lost, none twice"
    facts, dead = team.library.queue()
    assert (facts.waiting, facts.running, dead) == (0, 0, ())
    report = team.library._dense.audit(team.library.collections.get("default"))
    assert report.ok and report.passages == report.indexed == len(NAMES)


class Papers:
    """Documents in ``folder`` that change again and again, and are put in each time."""

    def __init__(self, team: Team, folder: Path, chance: random.Random) -> None:
        self._team = team
        self._folder = folder
        self._chance = chance
        self.written: dict[str, int] = {}
        self.acknowledged: dict[str, int] = {}
        folder.mkdir()
        for name in NAMES:
            _write(folder, name, self.written)
        _put_in(team.library, folder, self.written, self.acknowledged)

    def disturbed(self, kind: str) -> float:
        """Change some and put them in, one of a ``kind`` being killed meanwhile; when that was (``time.monotonic``)."""
        for name in self._chance.sample(NAMES, 3):
            _write(self._folder, name, self.written)
        given = (self._team.library, self._folder, self.written, self.acknowledged)
        putting = threading.Thread(target=_put_in, args=given)
        putting.start()
        time.sleep(self._chance.random() * 0.5)  # somewhere in the middle of it
        killed = time.monotonic()
        self._team.kill(kind, self._chance)
        putting.join(SLOW)
        assert not putting.is_alive(), f"nothing went on after {kind} was killed"
        return killed

    def wrong(self) -> tuple[int, int]:
        """How many are not there as they were written and acknowledged last, and how many are there twice."""
        library, sources = self._team.library, self._team.library.sources()
        there = {one.source: version_in(library.text(one.id)) for one in sources}
        lost = sum(not there.get(name) == self.written[name] == self.acknowledged[name] for name in NAMES)
        return lost, len(sources) - len(NAMES)


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


def settled(team: Team) -> None:
    """Return when everything has been told to the index."""
    library, ended = team.library, time.monotonic() + SLOW
    collection = library.collections.get("default")
    while library._truth.outbox.last(collection.id) or library._dense.state(collection) != "ready":
        assert time.monotonic() < ended, "the index was never told"
        time.sleep(0.1)
