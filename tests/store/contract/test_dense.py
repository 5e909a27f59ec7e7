"""Dense search: exact is exact, Chroma is kept in step, and damage to it never reaches an answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from rag.errors import EmbedderMismatch
from rag.store.common import INDEX_FOLDER
from rag.store.dense import DenseIndex
from rag.store.truth import Collection, EmbedderInfo, Truth
from rag.store.upkeep import QUARANTINE_FOLDER
from tests.store.material import DIMENSION, embed, open_files, prose, put

QUERY = embed(b"question" * 2)


def exact(truth: Truth, collection: Collection, query: npt.NDArray[np.float32], limit: int) -> list[tuple[int, float]]:
    """The nearest passages by the definition."""
    ids, matrix = truth.vectors.all(collection.id)
    scores = matrix.astype(np.float64) @ query.astype(np.float64)
    order = np.lexsort((ids, -scores))[:limit]
    return [(int(ids[i]), float(scores[i])) for i in order]


def same(found: list[tuple[int, float]], expected: list[tuple[int, float]]) -> bool:
    """Equal ids in equal order, cosines equal but for rounding."""
    return [i for i, _ in found] == [i for i, _ in expected] and np.allclose(
        [s for _, s in found], [s for _, s in expected], atol=1e-5
    )


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Return once ``condition`` holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)


@pytest.fixture(name="chroma")
def chroma_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Search through Chroma however small the collection."""
    monkeypatch.setattr("rag.store.dense.EXACT_BYTES", -1)


def folders(home: Path) -> list[Path]:
    """The folders of the indexes."""
    root = home / INDEX_FOLDER
    return sorted(root.iterdir()) if root.exists() else []


@pytest.mark.parametrize("limit", [0, 1, 7, 10_000])
def test_exact_search_is_exact_through_every_change(
    library: tuple[Truth, Collection], limit: int, tmp_path: Path
) -> None:
    truth, collection = library
    dense = DenseIndex.open(truth, tmp_path)
    try:
        for step in range(5):
            assert same(dense.search(collection, QUERY, limit), exact(truth, collection, QUERY, limit))
            put(truth, collection, f"{step % 3}.txt", prose(100 + step, 40 * step + 1))
            if step % 2:
                truth.documents.remove(collection.id, f"{step}.txt")
            everything = dict(exact(truth, collection, QUERY, 10_000))
            found = dense.scores(collection, QUERY, [*everything, 10**9])
            assert found == pytest.approx(everything, abs=1e-5)
    finally:
        dense.close()


def test_a_few_cosines_after_a_change_bring_no_million_rows_up_to_date(
    library: tuple[Truth, Collection], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth, collection = library
    dense = DenseIndex.open(truth, tmp_path)
    try:
        old = [number for number, _ in dense.search(collection, QUERY, 10)]
        monkeypatch.delattr("rag.store.exact._refresh")
        put(truth, collection, "new.txt", prose(7, 30))
        everything = dict(exact(truth, collection, QUERY, 10_000))
        assert dense.scores(collection, QUERY, [*everything, *old]) == pytest.approx(everything, abs=1e-5)
    finally:
        dense.close()


def test_searches_under_way_keep_their_rows(library: tuple[Truth, Collection], tmp_path: Path) -> None:
    truth, collection = library
    dense = DenseIndex.open(truth, tmp_path)
    rows = dense._exact._rows(collection)
    before = rows.ids, rows.matrix
    copy = before[0].copy(), before[1].copy()
    truth.documents.remove(collection.id, "1.txt")
    for number in range(20, 30):
        put(truth, collection, f"{number}.txt", prose(number))
        dense.search(collection, QUERY, 3)
    np.testing.assert_array_equal(before[0], copy[0])
    np.testing.assert_array_equal(before[1], copy[1])
    dense.close()


def test_the_wrong_vector_is_refused(library: tuple[Truth, Collection], tmp_path: Path) -> None:
    truth, collection = library
    dense = DenseIndex.open(truth, tmp_path)
    with pytest.raises(EmbedderMismatch, match="dimensions"):
        dense.search(collection, QUERY[:-1], 3)
    assert all(score == 0 for _, score in dense.search(collection, np.zeros(DIMENSION), 3))
    generation = truth.vectors.begin(collection, EmbedderInfo("next", "1", DIMENSION))
    truth.vectors.put(generation, {key: embed(key) for key, _ in truth.vectors.pending(generation, 1000)})
    truth.vectors.promote(generation)
    with pytest.raises(EmbedderMismatch, match="next"):
        dense.search(collection, QUERY, 3)
    dense.close()


def test_sync_tells_chroma_everything(library: tuple[Truth, Collection], tmp_path: Path) -> None:
    truth, collection = library
    dense = DenseIndex.open(truth, tmp_path)
    put(truth, collection, "0.txt", prose(50))
    truth.documents.remove(collection.id, "1.txt")
    dense.sync()
    report = dense.audit(collection)
    assert report.ok and report.sampled > 20
    assert (report.state, report.unsynced, report.missing, report.extra) == ("ready", 0, 0, 0)
    assert report.passages == report.indexed == len(truth.vectors.all(collection.id)[0])
    put(truth, collection, "2.txt", prose(51))
    assert dense.audit(collection).ok, "changes on their way are no fault"
    assert dense.audit(collection).unsynced > 0
    assert dense.sync(collection) > 0
    assert dense.sync(collection) == 0
    assert truth.facts().collections[0].unsynced == 0
    assert {p.stat().st_mode & 0o077 for p in tmp_path.rglob("*")} == {0}
    dense.close()
    wait_for(lambda: not [target for target in open_files() if INDEX_FOLDER in target])


@pytest.mark.usefixtures("chroma")
def test_search_through_chroma_follows_the_truth_before_any_sync(
    library: tuple[Truth, Collection], tmp_path: Path
) -> None:
    truth, collection = library
    dense = DenseIndex.open(truth, tmp_path)
    dense.sync()
    assert dense.state(collection) == "ready"
    for step in range(4):
        assert same(dense.search(collection, QUERY, 10), exact(truth, collection, QUERY, 10))
        best = exact(truth, collection, QUERY, 1)[0][0]
        truth.documents.remove(collection.id, truth.passages.get([best])[best].source)
        assert same(dense.search(collection, QUERY, 10), exact(truth, collection, QUERY, 10))
        put(truth, collection, f"new{step}.txt", prose(70 + step))
        ids = [i for i, _ in exact(truth, collection, QUERY, 1000)]
        assert dense.scores(collection, QUERY, ids) == pytest.approx(
            dict(exact(truth, collection, QUERY, 1000)), abs=1e-5
        )
    assert not dense._exact.loaded(collection.id), "Chroma saves the memory of the exact search"
    with pytest.raises(EmbedderMismatch):
        dense.search(collection, QUERY[:-1], 3)
    dense.close()


@pytest.mark.usefixtures("chroma")
def test_an_index_found_in_order_is_used_again(library: tuple[Truth, Collection], tmp_path: Path) -> None:
    truth, collection = library
    for _ in range(3):
        dense = DenseIndex.open(truth, tmp_path)
        dense.sync()
        dense.close()
        first = folders(tmp_path)
    dense = DenseIndex.open(truth, tmp_path)
    assert dense.search(collection, QUERY, 5), "exact while the index is being opened"
    wait_for(lambda: dense.state(collection) == "ready")
    assert same(dense.search(collection, QUERY, 5), exact(truth, collection, QUERY, 5))
    dense.close()
    assert folders(tmp_path) == first
    assert not (tmp_path / QUARANTINE_FOLDER).exists()
