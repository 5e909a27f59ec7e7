"""Kills, other processes and threads: what was acknowledged stays, a document is all or nothing, all see one state."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest

from rag.store.dense import DenseIndex
from rag.store.sqlite.truth import SqliteTruth
from rag.store.truth import Collection, Lexical, Pointer, Truth
from tests.store.contract.conftest import Backend, Sqlite
from tests.store.invariants import check
from tests.store.material import EMBEDDER, embed, prose, put

SOURCES = 7

INGEST = """
import sys
from rag.store.backends import open_truth
from tests.store.material import put
from tests.store.contract.test_processes import SOURCES, version
truth = open_truth(sys.argv[1], writer=True)
collection = truth.collections.get("default")
for number in range(int(sys.argv[2]), 10**6):
    source = f"{number % SOURCES}.txt"
    if number % 11 == 10 and truth.documents.get(collection.id, source):
        truth.documents.remove(collection.id, source)
        sys.stdout.write(f"{number} -\\n")
    else:
        put(truth, collection, source, version(number))
        sys.stdout.write(f"{number} +\\n")
    sys.stdout.flush()
"""


def version(number: int) -> str:
    """The text of a source at step ``number``."""
    return f"version {number} of it. " + prose(number, 40 + number % 200)


def kill_during_ingest(address: str, first: int, seconds: float) -> list[tuple[int, str]]:
    """Ingest from step ``first`` on in another process, kill it, and return what it acknowledged."""
    with subprocess.Popen(
        [sys.executable, "-c", INGEST, address, str(first)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.readlines()
    whole = [line.split() for line in lines if line.endswith("\n")]
    return [(int(number), sign) for number, sign in whole]


def test_kills_lose_nothing_and_leave_nothing_half(backend: Backend, tmp_path: Path) -> None:
    with backend.open(tmp_path) as truth:
        truth.collections.create("default", EMBEDDER, "v1")
        address = truth.address
    expected: dict[str, int | None] = {}
    step = 0
    chance = random.Random(1)
    for _ in range(200 if os.environ.get("RAG_SOAK") else 10 if isinstance(backend, Sqlite) else 4):
        acknowledged = kill_during_ingest(address, step, chance.uniform(0, 0.25))
        for number, sign in acknowledged:
            expected[f"{number % SOURCES}.txt"] = number if sign == "+" else None
        step = acknowledged[-1][0] + 1
        flying = f"{step % SOURCES}.txt"
        with backend.open(tmp_path) as truth:
            check(truth)
            collection = truth.collections.get("default")
            stored = {d.source: truth.documents.text(d.id) for d in truth.documents.list(collection.id)}
        for source in expected.keys() | {flying}:
            known = expected.get(source)
            allowed = {None if known is None else version(known)}
            if source == flying:
                allowed.add(version(step))
                if step % 11 == 10:
                    allowed.add(None)
            assert stored.get(source) in allowed, source
        if stored.get(flying) == version(step):
            expected[flying] = step
        elif flying not in stored:
            expected[flying] = None
    assert step > 10


READER = """
import json, sys
from pathlib import Path
from rag.store.backends import open_truth
from rag.store.dense import DenseIndex
from tests.store.contract.test_processes import answer_all
truth = open_truth(sys.argv[1], writer=False)
dense, lexical = DenseIndex.open(truth, Path(sys.argv[2])), truth.lexical
for line in sys.stdin:
    sys.stdout.write(json.dumps(answer_all(truth, dense, lexical, line.strip())) + "\\n")
    sys.stdout.flush()
assert "chromadb" not in sys.modules
"""


def answer_all(truth: Truth, dense: DenseIndex, lexical: Lexical, question: str) -> list[object]:
    """What both sides of a search say, rounded, and the sources there are."""
    collection = truth.collections.get("default")
    near = dense.search(collection, embed(b"0123456789abcdef"), 5)
    words = lexical.search(collection.id, question, 5)
    sources = [d.source for d in truth.documents.list(collection.id)]
    return [[[i, round(s, 4)] for i, s in hits] for hits in (near, words)] + [sources]


def test_another_process_reads_the_newest_state(backend: Backend, tmp_path: Path) -> None:
    with backend.open(tmp_path) as truth:
        collection = truth.collections.create("default", EMBEDDER, "v1")
        put(truth, collection, "0.txt", prose(0))
        dense, lexical = DenseIndex.open(truth, tmp_path), truth.lexical
        with subprocess.Popen(
            [sys.executable, "-c", READER, truth.address, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as child:
            assert child.stdin is not None
            assert child.stdout is not None
            for number in range(1, 6):
                put(truth, collection, f"{number}.txt", prose(number))
                if number % 2:
                    truth.documents.remove(collection.id, f"{number - 1}.txt")
                dense.sync()
                child.stdin.write("word1 word20 word300\n")
                child.stdin.flush()
                assert json.loads(child.stdout.readline()) == answer_all(truth, dense, lexical, "word1 word20 word300")
            child.stdin.close()
            assert child.wait(60) == 0
        dense.close()


def test_threads_do_not_disturb_each_other(backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag.store.dense.EXACT_BYTES", -1)
    errors: list[BaseException] = []
    stop = threading.Event()
    searches: dict[int, int] = defaultdict(int)
    with backend.open(tmp_path) as truth:
        collection = truth.collections.create("default", EMBEDDER, "v1")
        dense, lexical = DenseIndex.open(truth, tmp_path), truth.lexical
        put(truth, collection, "first.txt", prose(0))

        def write(number: int) -> None:
            try:
                for step in range(8):
                    put(truth, collection, f"{number}-{step % 3}.txt", prose(number * 100 + step, 80))
                    if step % 3 == 2:
                        truth.documents.remove(collection.id, f"{number}-{step % 3}.txt")
                        dense.sync(collection)
            except BaseException as error:
                errors.append(error)
                raise

        def read(number: int) -> None:
            try:
                while not stop.is_set():
                    near = dense.search(collection, embed(bytes([number]) * 16), 10)
                    words = lexical.search(collection.id, prose(number, 5), 10)
                    ids = [i for i, _ in near + words]
                    passages = truth.passages.get(ids)
                    dense.scores(collection, embed(b"0" * 16), ids)
                    lexical.scores(collection.id, "word1 word2", ids)
                    assert all(p.text for p in passages.values())
                    searches[number] += 1
            except BaseException as error:
                errors.append(error)
                raise

        writers = [threading.Thread(target=write, args=(n,)) for n in range(8)]
        readers = [threading.Thread(target=read, args=(n,)) for n in range(4)]
        for thread in (*writers, *readers):
            thread.start()
        for thread in writers:
            thread.join()
        stop.set()
        for thread in readers:
            thread.join()
        assert errors == []
        assert len(searches) == 4
        dense.sync()
        assert dense.audit(collection).ok
        assert len(truth.documents.list(collection.id)) == 1 + 8 * 2
        check(truth)
        dense.close()


def test_a_snapshot_stays_as_it_was_while_others_write(backend: Backend, library: tuple[Truth, Collection]) -> None:
    truth, collection = library
    before = truth.collections.revision(collection.id), truth.vectors.all(collection.id)[0].tolist()
    with truth.snapshot():
        assert truth.collections.revision(collection.id) == before[0]
        other = threading.Thread(target=put, args=(truth, collection, "late.txt", prose(9)))
        other.start()
        other.join(0.5 if isinstance(truth, SqliteTruth) else 20)
        assert truth.collections.revision(collection.id) == before[0]
        with truth.snapshot():
            assert truth.vectors.all(collection.id)[0].tolist() == before[1]
        assert truth.passages.ids(collection.id).tolist() == before[1]
    other.join(60)
    assert truth.collections.revision(collection.id) > before[0]
    assert len(truth.vectors.all(collection.id)[0]) > len(before[1])


def test_the_index_is_told_each_change_in_order(library: tuple[Truth, Collection]) -> None:
    truth, collection = library
    outbox = truth.outbox
    changes = outbox.changes(collection.id, 10**6)
    assert [change.id for change in changes] == truth.passages.ids(collection.id).tolist()
    assert not any(change.removed for change in changes) and outbox.unsettled() == [collection.id]
    assert outbox.changes(collection.id, 2) == changes[:2] and outbox.last(collection.id) == changes[-1].seq
    outbox.told(collection.id, changes[-2].seq)
    assert outbox.changes(collection.id, 9) == changes[-1:]
    gone = [p.id for p in truth.passages.of(truth.documents.list(collection.id)[0].id)]
    truth.documents.remove(collection.id, "0.txt")
    assert [(c.id, c.removed) for c in outbox.changes(collection.id, 10**6)[1:]] == [(number, True) for number in gone]
    assert outbox.pointer(collection.id) is None
    assert outbox.switch(collection, "a folder", "checksum", outbox.last(collection.id))
    assert outbox.pointer(collection.id) == Pointer("a folder", collection.generation, False, "checksum")
    assert outbox.unsettled() == [] and outbox.last(collection.id) == 0
    outbox.begin(collection.id)
    assert outbox.unsettled() == [collection.id]
    outbox.settle(collection.id, "other")
    assert outbox.pointer(collection.id) == Pointer("a folder", collection.generation, False, "other")
    assert not outbox.switch(replace(collection, generation=10**6), "b", "", 0)
    assert outbox.prune() == {"a folder"}
    truth.collections.delete("default")
    assert outbox.prune() == set()
