"""Kills, full disks, other processes and threads: what was acknowledged stays, and a document is all or nothing."""

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
from pathlib import Path

import numpy as np
import pytest

from rag.errors import RagError
from rag.store.dense import DenseIndex
from rag.store.lexical import Lexical
from rag.store.schema import fts
from rag.store.truth import Truth
from tests.store.invariants import check
from tests.store.material import EMBEDDER, embed, prose, put, writer

SOURCES = 7

INGEST = """
import sys
from pathlib import Path
from tests.store.material import writer, put
from tests.store.test_faults import SOURCES, version
truth = writer(Path(sys.argv[1]))
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

COMPACT = """
import sys
from pathlib import Path
from rag.store.dense import DenseIndex
from tests.store.material import writer
folder = Path(sys.argv[1])
with writer(folder) as truth:
    truth.compact()
    dense = DenseIndex.open(truth, folder)
    dense.compact()
    dense.close()
"""


def version(number: int) -> str:
    """The text of a source at step ``number``."""
    return f"version {number} of it. " + prose(number, 40 + number % 200)


def kill_during_ingest(folder: Path, first: int, seconds: float) -> list[tuple[int, str]]:
    """Ingest from step ``first`` on in another process, kill it, and return what it acknowledged."""
    with subprocess.Popen(
        [sys.executable, "-c", INGEST, str(folder), str(first)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.readlines()
    whole = [line.split() for line in lines if line.endswith("\n")]
    return [(int(number), sign) for number, sign in whole]


def test_kills_lose_nothing_and_leave_nothing_half(tmp_path: Path) -> None:
    with writer(tmp_path) as truth:
        truth.collections.create("default", EMBEDDER, "v1")
    expected: dict[str, int | None] = {}
    step = 0
    chance = random.Random(1)
    for _ in range(200 if os.environ.get("RAG_SOAK") else 10):
        acknowledged = kill_during_ingest(tmp_path, step, chance.uniform(0, 0.25))
        for number, sign in acknowledged:
            expected[f"{number % SOURCES}.txt"] = number if sign == "+" else None
        step = acknowledged[-1][0] + 1
        flying = f"{step % SOURCES}.txt"
        with writer(tmp_path) as truth:
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


FULL = """
import json, resource, sys
from pathlib import Path
from rag.errors import DiskFull
from tests.store.material import writer, put, prose
folder = Path(sys.argv[1])
truth = writer(folder)
collection = truth.collections.get("default")
acknowledged, errors = [], []
resource.setrlimit(resource.RLIMIT_FSIZE, (truth.path.stat().st_size + int(sys.argv[2]), resource.RLIM_INFINITY))
for number in range(300):
    try:
        put(truth, collection, f"{number}.txt", prose(number, 400))
    except DiskFull as error:
        errors.append(error.explain())
        if len(errors) == 3:
            break
    else:
        acknowledged.append(number)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
put(truth, collection, "after.txt", "there is room again")
sys.stdout.write(json.dumps([acknowledged, errors]))
"""


@pytest.mark.parametrize("room", [1, 9_000, 300_000])
def test_a_full_disk_is_said_and_harms_nothing(tmp_path: Path, room: int) -> None:
    with writer(tmp_path) as truth:
        collection = truth.collections.create("default", EMBEDDER, "v1")
        put(truth, collection, "before.txt", prose(1))
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path), str(room)], check=True, capture_output=True, text=True
    )
    acknowledged, errors = json.loads(done.stdout)
    assert len(errors) == 3
    assert all("No space left" in error and "Free some space" in error for error in errors)
    with writer(tmp_path) as truth:
        check(truth)
        stored = {d.source: truth.documents.text(d.id) for d in truth.documents.list(collection.id)}
    assert stored.keys() >= {"before.txt", "after.txt", *(f"{n}.txt" for n in acknowledged)}
    assert all(stored[f"{n}.txt"] == prose(n, 400) for n in acknowledged)


READER = """
import json, sys
from pathlib import Path
from rag.store.lexical import Lexical
from rag.store.truth import Truth
from rag.store.dense import DenseIndex
from tests.store.test_faults import answer_all
truth = Truth.open(Path(sys.argv[1]), writer=False)
dense, lexical = DenseIndex.open(truth, Path(sys.argv[1])), truth.lexical
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


def test_another_process_reads_the_newest_state(tmp_path: Path) -> None:
    with writer(tmp_path) as truth:
        collection = truth.collections.create("default", EMBEDDER, "v1")
        put(truth, collection, "0.txt", prose(0))
        dense, lexical = DenseIndex.open(truth, tmp_path), truth.lexical
        with subprocess.Popen(
            [sys.executable, "-c", READER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
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
            assert child.wait(10) == 0
        dense.close()


def test_threads_do_not_disturb_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag.store.dense.EXACT_BYTES", -1)
    errors: list[BaseException] = []
    stop = threading.Event()
    searches: dict[int, int] = defaultdict(int)
    with writer(tmp_path) as truth:
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


CANARY = "zanzibarquokka"


def holders(folder: Path, *needles: str) -> set[str]:
    """The names of the files below a folder that hold one of the needles."""
    return {p.name for p in folder.rglob("*") if p.is_file() for n in needles if n.encode() in p.read_bytes()}


def test_what_is_removed_leaves_nothing_behind(tmp_path: Path) -> None:
    secret = f"The {CANARY} sleeps. " + prose(1, 100)
    with writer(tmp_path) as truth:
        collection = truth.collections.create("default", EMBEDDER, "v1")
        dense, lexical = DenseIndex.open(truth, tmp_path), truth.lexical
        for number in range(20):
            put(truth, collection, f"{number}.txt", prose(100 + number))
        put(truth, collection, f"{CANARY}.txt", secret, title=f"About {CANARY}")
        talks = truth.conversations
        talk = talks.create("default")
        talks.append(talk, f"What does {CANARY} do?", "", {"text": f"The {CANARY} sleeps."})
        dense.sync()
        assert holders(tmp_path, CANARY) == {"library.sqlite3"}
        assert lexical.search(collection.id, CANARY, 5)
        vector = truth.vectors.all(collection.id)[1][-1]
        assert any(vector.tobytes() in p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())

        truth.documents.remove(collection.id, f"{CANARY}.txt")
        talks.delete(talk)
        dense.sync()
        assert lexical.search(collection.id, CANARY, 5) == []
        assert lexical.document_frequency(collection.id, CANARY) == 0
        dense.close()
    # By a process of its own: Chroma writes memory it has not filled into its files, and here that held the vector.
    subprocess.run([sys.executable, "-c", COMPACT, str(tmp_path)], timeout=60, check=True)
    with writer(tmp_path) as truth:
        assert _terms(truth, collection.id, CANARY[:8]) == []
        check(truth)
    assert holders(tmp_path, CANARY, CANARY[:8], secret[-60:]) == set()
    assert not any(vector.tobytes() in p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    assert truth.path.stat().st_mode & 0o777 == 0o600


def _terms(truth: Truth, collection_id: int, prefix: str) -> list[str]:
    """The terms of the full-text table that begin so."""
    with truth.database.writing() as connection:
        connection.execute(f"CREATE VIRTUAL TABLE temp.terms USING fts5vocab(main, {fts(collection_id)}, row)")
        rows = connection.execute("SELECT term FROM temp.terms WHERE term >= ? AND term < ?", (prefix, prefix + "~"))
        found = [row[0] for row in rows]
        connection.execute("DROP TABLE temp.terms")
    return found


def test_compacting_gives_space_back_and_changes_nothing(tmp_path: Path) -> None:
    with writer(tmp_path) as truth:
        collection = truth.collections.create("default", EMBEDDER, "v1")
        for number in range(30):
            put(truth, collection, f"{number}.txt", prose(number, 400))
        for number in range(29):
            truth.documents.remove(collection.id, f"{number}.txt")
        before = truth.lexical.search(collection.id, prose(29, 5), 5), truth.vectors.all(collection.id)
        size = truth.path.stat().st_size
        truth.compact()
        assert truth.path.stat().st_size < size / 2
        assert truth.facts().free_bytes == 0
        after = truth.lexical.search(collection.id, prose(29, 5), 5), truth.vectors.all(collection.id)
        assert after[0] == before[0]
        np.testing.assert_array_equal(after[1][1], before[1][1])
        put(truth, collection, "new.txt", prose(99))
        check(truth)


def test_damage_to_the_truth_is_an_error_of_ours(tmp_path: Path) -> None:
    with writer(tmp_path) as truth:
        collection = truth.collections.create("default", EMBEDDER, "v1")
        for number in range(20):
            put(truth, collection, f"{number}.txt", prose(number, 400))
        assert truth.database.integrity() == ""
        path = truth.path
    whole = bytearray(path.read_bytes())
    for seed in range(12):
        chance = random.Random(seed)
        data = bytearray(whole)
        for _ in range(40):
            at = chance.randrange(100, len(data) - 64)
            data[at : at + 64] = chance.randbytes(64)
        path.write_bytes(data)
        try:
            with Truth.open(tmp_path, writer=False) as truth:
                assert truth.database.integrity() != ""
                truth.facts()
        except RagError as error:
            assert error.hint
