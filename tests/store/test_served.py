"""The dense index on one Chroma server: told by one of many processes, asked by all, made anew when it is unsound."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from rag.store import served
from rag.store.audit import IndexFailure
from rag.store.backends import open_election
from rag.store.chroma import ChromaServer, Unreachable
from rag.store.dense import DenseIndex
from rag.store.postgres.truth import PostgresTruth
from rag.store.truth import Collection, EmbedderInfo
from tests.chroma import ChromaRun
from tests.conftest import ROOT
from tests.postgres import Server
from tests.store.contract.test_dense import QUERY, exact, same, wait_for
from tests.store.material import DIMENSION, EMBEDDER, embed, prose, put

SLOW = 120
"""Seconds that anything may take on a machine with much to do."""

Open = Callable[..., tuple[PostgresTruth, DenseIndex]]


@pytest.fixture(scope="module")
def chroma(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChromaRun]:
    running = ChromaRun(tmp_path_factory.mktemp("chroma"))
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture(name="another")
def opener(postgres: Server, chroma: ChromaRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Opens one library, each time as another process would; a collection is searched by Chroma however small."""
    monkeypatch.setattr("rag.store.dense.EXACT_BYTES", -1)
    monkeypatch.setattr(served, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(served, "_COUNT_SECONDS", 0.1)
    address = postgres.address(f"served_{tmp_path.name}")
    with ExitStack() as stack:

        def another(*, writer: bool = True) -> tuple[PostgresTruth, DenseIndex]:
            truth = stack.enter_context(PostgresTruth.open(address, writer=writer))
            dense = DenseIndex.on_server(truth, chroma.address, open_election(truth) if writer else None)
            stack.callback(dense.close)
            return truth, dense

        yield another


@pytest.fixture(name="library")
def library_of_five(another: Open) -> tuple[PostgresTruth, Collection, DenseIndex]:
    """A library with five documents, in the index."""
    truth, dense = another()
    collection = truth.collections.create("default", EMBEDDER, "v1")
    for number in range(5):
        put(truth, collection, f"{number}.txt", prose(number, 100))
    settled(truth, dense, collection)
    return truth, collection, dense


def settled(truth: PostgresTruth, dense: DenseIndex, collection: Collection) -> None:
    """Return once the index can be asked and nothing waits to be told."""

    def done() -> bool:
        dense.sync(collection)
        return dense.state(collection) == "ready" and not truth.outbox.last(collection.id)

    wait_for(done, SLOW)


def on_server(chroma: ChromaRun, truth: PostgresTruth, collection: Collection) -> str:
    """What the server calls a collection's index."""
    pointer = truth.outbox.pointer(collection.id)
    assert pointer is not None and pointer.folder in indexes(chroma)
    return pointer.folder


def pointed(truth: PostgresTruth, collection: Collection) -> str:
    """What the truth calls a collection's index."""
    pointer = truth.outbox.pointer(collection.id)
    return "" if pointer is None else pointer.folder


def indexes(chroma: ChromaRun) -> list[str]:
    """What the server has of libraries."""
    with ChromaServer(chroma.address) as server:
        return server.names("rag-")


def test_searches_follow_the_truth_whether_told_or_not(library: tuple[PostgresTruth, Collection, DenseIndex]) -> None:
    truth, collection, dense = library
    for step in range(3):
        assert same(dense.search(collection, QUERY, 10), exact(truth, collection, QUERY, 10))
        best = exact(truth, collection, QUERY, 1)[0][0]
        truth.documents.remove(collection.id, truth.passages.get([best])[best].source)
        assert same(dense.search(collection, QUERY, 10), exact(truth, collection, QUERY, 10))
        put(truth, collection, f"new{step}.txt", prose(70 + step))
        assert same(dense.search(collection, QUERY, 10), exact(truth, collection, QUERY, 10))
    assert not dense._exact.loaded(collection.id), "the server saves the memory of the exact search"
    settled(truth, dense, collection)
    report = dense.audit(collection)
    assert report.ok and report.passages == report.indexed and report.sampled > 0


def test_a_reader_asks_and_tells_nothing(library: tuple[PostgresTruth, Collection, DenseIndex], another: Open) -> None:
    truth, collection, _ = library
    seen, reader = another(writer=False)
    assert same(reader.search(collection, QUERY, 10), exact(truth, collection, QUERY, 10))
    assert reader.state(collection) == "ready" and reader.sync() == 0 and not reader._exact.loaded(collection.id)
    assert seen.outbox.pointer(collection.id) == truth.outbox.pointer(collection.id)
    assert reader.audit(collection).ok


TELLER = """
import sys
from rag.store import served
from rag.store.backends import open_election
from rag.store.dense import DenseIndex
from rag.store.postgres.truth import PostgresTruth
served.FIRST_SECONDS = 0.0
truth = PostgresTruth.open(sys.argv[1], writer=True)
election = open_election(truth)
dense = DenseIndex.on_server(truth, sys.argv[2], election)
assert election.won()
print("won", flush=True)
sys.stdin.read()
"""


def test_one_tells_and_another_takes_over_when_it_is_killed(another: Open, chroma: ChromaRun) -> None:
    truth, dense = another(writer=True)
    collection = truth.collections.create("default", EMBEDDER, "v1")
    dense.close()
    with subprocess.Popen(
        [sys.executable, "-c", TELLER, truth.address, chroma.address], cwd=ROOT, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:  # fmt: skip
        try:
            assert other.stdout is not None and other.stdout.readline() == b"won\n"
            mine, here = another()
            put(mine, collection, "first.txt", prose(1))
            assert here.sync(collection) == 0, "it is for the other one to tell"
            wait_for(lambda: here.state(collection) == "ready" and not mine.outbox.last(collection.id), SLOW)
        finally:
            other.send_signal(signal.SIGKILL)
    put(mine, collection, "second.txt", prose(2))
    assert same(here.search(collection, QUERY, 10), exact(mine, collection, QUERY, 10))
    wait_for(lambda: not mine.outbox.last(collection.id), SLOW)
    assert here.audit(collection).ok
    assert served.TAKEOVER_SECONDS + served.TURN_SECONDS < 10


@pytest.mark.parametrize("harm", ["gone", "fewer", "more", "wrong"])
def test_an_index_that_is_not_sound_is_put_aside_and_made_anew(
    library: tuple[PostgresTruth, Collection, DenseIndex], chroma: ChromaRun, harm: str
) -> None:
    truth, collection, dense = library
    name = on_server(chroma, truth, collection)
    ids, matrix = truth.vectors.all(collection.id)
    with ChromaServer(chroma.address) as server:
        match harm:
            case "gone":
                server.drop(name)
            case "fewer":
                server.open(name).delete(ids[:3])
            case "more":
                server.open(name).upsert(np.array([10**9]), matrix[:1])
            case _:
                server.open(name).upsert(ids, -matrix)
                truth.outbox.begin(collection.id)
    wait_for(lambda: dense.state(collection) == "ready" and pointed(truth, collection) != name, SLOW)
    on_server(chroma, truth, collection)
    assert dense.problem(collection) == ""
    assert same(dense.search(collection, QUERY, 10), exact(truth, collection, QUERY, 10))
    assert dense.audit(collection).ok
    if harm != "gone":
        assert name in indexes(chroma), "kept for whoever wants to look at it"
        dense.compact()
        wait_for(lambda: name not in indexes(chroma), SLOW)


def test_a_server_that_is_away_is_stood_in_for_up_to_a_size(
    library: tuple[PostgresTruth, Collection, DenseIndex], chroma: ChromaRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth, collection, dense = library
    chroma.stop(signal.SIGKILL)
    try:
        assert same(dense.search(collection, QUERY, 10), exact(truth, collection, QUERY, 10))
        assert chroma.address in dense.problem(collection) and dense.state(collection) == "exact"
        put(truth, collection, "meanwhile.txt", prose(77))
        assert dense.sync(collection) == 0, "told later"
        assert same(dense.search(collection, QUERY, 10), exact(truth, collection, QUERY, 10))
        assert not dense.audit(collection).ok
        monkeypatch.setattr(dense, "_stand_in", 100)
        with pytest.raises(IndexFailure, match="too large .* cannot be asked now: .*" + chroma.address):
            dense.search(collection, QUERY, 10)
        some = truth.passages.ids(collection.id)[:20]
        assert len(dense.search(collection, QUERY, 5, some)) == 5, "what was chosen is compared one by one"
        with pytest.raises(Unreachable, match="No Chroma server answers"):
            ChromaServer(chroma.address)
    finally:
        chroma.start()
    wait_for(lambda: dense.state(collection) == "ready" and not truth.outbox.last(collection.id), SLOW)
    assert same(dense.search(collection, QUERY, 10), exact(truth, collection, QUERY, 10))
    assert dense.problem(collection) == "" and dense.audit(collection).ok


def test_what_is_embedded_anew_or_deleted_gets_a_new_index_or_none(
    library: tuple[PostgresTruth, Collection, DenseIndex], chroma: ChromaRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth, collection, dense = library
    monkeypatch.setattr(served, "_KEPT_SECONDS", 0.0)
    name = on_server(chroma, truth, collection)
    generation = truth.vectors.begin(collection, EmbedderInfo("next", "1", DIMENSION))
    truth.vectors.put(generation, {key: embed(key[::-1]) for key, _ in truth.vectors.pending(generation, 1000)})
    truth.vectors.promote(generation)
    collection = truth.collections.get(collection.id)
    settled(truth, dense, collection)
    assert same(dense.search(collection, QUERY, 10), exact(truth, collection, QUERY, 10))
    again = on_server(chroma, truth, collection)
    wait_for(lambda: name not in indexes(chroma), SLOW)
    truth.collections.delete("default")
    wait_for(lambda: again not in indexes(chroma), SLOW)
