"""The index through kills, with another engine, and with nothing in it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from rag.store.dense import DenseIndex
from rag.store.truth import Collection, NewDocument, NewPassage, Truth, text_key
from rag.store.upkeep import Upkeep
from rag.types import ParsedDocument, index_text
from tests.store.contract.test_dense import QUERY, exact, same
from tests.store.material import DIMENSION, EMBEDDER, fill, prose, put, writer

Rows = npt.NDArray[np.float32]


@pytest.fixture(name="library")
def library_with_an_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Truth, Collection]]:
    """A library whose index is in order, searched through Chroma."""
    monkeypatch.setattr("rag.store.dense.EXACT_BYTES", -1)
    with writer(tmp_path) as truth:
        collection = truth.collections.create("default", EMBEDDER, "v1")
        fill(truth, collection, 1_500)
        dense = DenseIndex.open(truth, tmp_path)
        dense.sync()
        dense.close()
        yield truth, collection


KILLED = """
import sys
from pathlib import Path
from rag.store.truth import Truth
from rag.store.backends import open_truth
from rag.store.dense import DenseIndex
from tests.store.material import fill
folder = Path(sys.argv[1])
truth = open_truth(folder, writer=True)
dense = DenseIndex.open(truth, folder)
collection = truth.collections.get("default")
for number in range(1000):
    fill(truth, collection, 40 + number, f"{number % 5}.txt")
    sys.stdout.write("."); sys.stdout.flush()
    dense.sync()
"""


def kill_while_chroma_writes(truth: Truth, delay: float) -> None:
    """Run a process that changes documents and syncs, and kill it after some work."""
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, truth.address], stdout=subprocess.PIPE, cwd=Path.cwd()
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read(3) == b"..."
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)


@pytest.mark.parametrize("round_", range(40 if os.environ.get("RAG_SOAK") else 3))
def test_a_kill_while_chroma_writes_heals(library: tuple[Truth, Collection], round_: int) -> None:
    truth, collection = library
    kill_while_chroma_writes(truth, 0.05 + 0.13 * (round_ % 10))
    dense = DenseIndex.open(truth, Path(truth.address))
    assert same(dense.search(collection, QUERY, 10), exact(truth, collection, QUERY, 10))
    dense.sync()
    assert dense.audit(collection).ok
    assert dense.state(collection) == "ready"
    assert same(dense.search(collection, QUERY, 10), exact(truth, collection, QUERY, 10))
    dense.close()


def test_a_keeper_can_hold_another_engine(library: tuple[Truth, Collection]) -> None:
    truth, collection = library

    class Lists:
        """An index in memory."""

        def __init__(self, folder: Path) -> None:
            self._file = folder / "rows.npz"
            self._rows: dict[int, Rows] = {}
            if self._file.exists():
                with np.load(self._file) as stored:
                    self._rows = dict(zip(stored["ids"].tolist(), stored["rows"], strict=True))

        def upsert(self, ids: npt.NDArray[np.int64], vectors: Rows) -> None:
            self._rows.update(zip(ids.tolist(), vectors, strict=True))

        def delete(self, ids: npt.NDArray[np.int64]) -> None:
            for number in ids.tolist():
                self._rows.pop(number, None)

        def query(self, vector: Rows, limit: int) -> npt.NDArray[np.int64]:
            ranked = sorted(self._rows, key=lambda i: -float(self._rows[i] @ vector))
            return np.array(ranked[:limit], dtype=np.int64)

        def ids(self) -> npt.NDArray[np.int64]:
            return np.array(sorted(self._rows), dtype=np.int64)

        def flush(self) -> None:
            np.savez(self._file, ids=np.array(list(self._rows)), rows=np.stack(list(self._rows.values())))

        def close(self) -> None:
            self._rows = {}

    kept = Upkeep(truth, Path(truth.address), Lists)
    assert kept.sync(collection) == 0
    kept.rebuild(collection)
    put(truth, collection, "more.txt", prose(3))
    assert kept.sync(collection) > 0
    assert kept.audit(collection, 32).ok
    kept.close()


def test_the_embedding_of_nothing_is_no_fault(tmp_path: Path) -> None:
    with writer(tmp_path) as truth:
        collection = truth.collections.create("default", EMBEDDER, "v1")
        text = "  "
        passage = NewPassage(0, 2, None, (), text_key(index_text("", (), text)))
        blank = ParsedDocument(text, "", "text/plain")
        vectors = {passage.key: np.zeros(DIMENSION)}
        truth.documents.put(collection, NewDocument("blank.txt", "blank.txt", blank, [passage], vectors))
        put(truth, collection, "b.txt", prose(1))
        dense = DenseIndex.open(truth, tmp_path)
        dense.sync()
        report = dense.audit(collection)
        assert report.ok and report.indexed == report.passages
        dense.close()
