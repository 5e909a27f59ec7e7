"""Full disks, compacting and damage, in SQLite: what was acknowledged stays, and what was removed is gone."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rag.errors import RagError
from rag.store.dense import DenseIndex
from rag.store.sqlite.schema import fts
from rag.store.sqlite.truth import SqliteTruth
from tests.store.invariants import check
from tests.store.material import EMBEDDER, prose, put, writer

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


def _terms(truth: SqliteTruth, collection_id: int, prefix: str) -> list[str]:
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
            with SqliteTruth.open(tmp_path, writer=False) as truth:
                assert truth.database.integrity() != ""
                truth.facts()
        except RagError as error:
            assert error.hint
