"""Children that are started, not forked, keep every promise of the sandbox. Windows has no others."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator

import pytest

from rag.config import Limits
from rag.documents import ParserPool
from rag.errors import DocumentError, ParserCrashed, UnsupportedFormat
from rag.platform.apart import NotStarted
from rag.platform.spawning import SpawnedChild, Spawner
from tests.documents.material import open_descriptors, processes_below

SLOW = b"<div>" * 100_000 + b"x"


@pytest.fixture(autouse=True)
def spawned(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("rag.documents.sandbox.children", lambda module: Spawner("tests.platform.spawned"))
    yield


def pool_with(**limits: int) -> ParserPool:
    return ParserPool(Limits(**limits), characters=1_000, overlap=100, workers=2)


def test_documents_and_refusals_come_back_and_nothing_is_left() -> None:
    gc.collect()
    before = open_descriptors(), sorted(processes_below("self"))
    with pool_with() as pool:
        text = "Ünïcode 😀 text. " * 500
        waiting = [pool.submit(f"# Title {n}\n\n{text}".encode(), f"notes/{n}.md") for n in range(3)]
        assert [one.result().document.title for one in waiting] == ["Title 0", "Title 1", "Title 2"]
        with pytest.raises(DocumentError, match="is damaged or is no PDF"):
            pool.parse(b"nothing", "a.pdf")
        with pytest.raises(UnsupportedFormat):
            pool.parse(b"x", "a.xyz")
    gc.collect()
    assert (open_descriptors(), sorted(processes_below("self"))) == before


def test_time_is_limited_by_both_ends() -> None:
    with pool_with(child_wall_seconds=1) as pool:
        with pytest.raises(ParserCrashed, match=r"takes more than 1 s of time \(limits\.child_wall_seconds\)"):
            pool.parse(SLOW, "s.html")
    with pool_with(child_cpu_seconds=1) as pool:
        with pytest.raises(ParserCrashed, match=r"takes more than 1 s of processor time \(limits\.child_cpu"):
            pool.parse(SLOW, "s.html")
        assert pool.parse(b"after", "a.txt").document.text == "after"


def test_closing_ends_what_runs() -> None:
    pool = pool_with()
    pool.parse(b"x", "a.txt")
    running = pool.submit(SLOW, "s.html")
    deadline = time.monotonic() + 30
    while not running.running() and time.monotonic() < deadline:
        time.sleep(0.01)
    pool.close()
    assert isinstance(running.exception(), ParserCrashed)


def test_one_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    child = SpawnedChild("tests.platform.absent")
    with pytest.raises(NotStarted, match=r"No module named 'tests\.platform\.absent'"):
        child.begin(0)
    child.close()
    monkeypatch.setattr("rag.documents.sandbox.children", lambda module: Spawner("tests.platform.absent"))
    with pool_with() as pool, pytest.raises(ParserCrashed, match=r"cannot be started: .*No module named"):
        pool.parse(b"x", "a.txt")
