"""The copy of the vectors beside the truth: as good as the truth through every change, and never believed when it is
not what the truth holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from rag.store import saved
from rag.store.common import INDEX_FOLDER
from rag.store.dense import DenseIndex
from rag.store.exact import ExactSearch
from rag.store.truth import Collection, Truth
from tests.store.contract.test_dense import QUERY, exact, same
from tests.store.material import EMBEDDER, embed, fill, prose, put, writer


@pytest.fixture(name="library")
def library_of_300(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Truth, Collection]]:
    monkeypatch.setattr(saved, "LEAST_BYTES", 0)
    with writer(tmp_path) as truth:
        collection = truth.collections.create("default", EMBEDDER, "v1")
        fill(truth, collection, 300)
        saved.save(truth, tmp_path, collection)
        yield truth, collection


def file_of(home: Path) -> Path:
    (file,) = (home / INDEX_FOLDER).glob("vectors-*")
    return file


@pytest.fixture(name="no_truth")
def no_reading_of_all(library: tuple[Truth, Collection], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads every vector from the truth fails."""

    def refuse(_: int) -> None:
        raise AssertionError("all vectors were read from the truth")

    monkeypatch.setattr(library[0].vectors, "all", refuse)


@pytest.mark.usefixtures("no_truth")
def test_it_stands_in_for_the_truth_and_is_brought_up_to_date(
    library: tuple[Truth, Collection], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth, collection = library
    for step in range(4):
        search = ExactSearch(truth, tmp_path)  # as after a start
        found = search.search(collection, QUERY, 20)
        ids = truth.passages.ids(collection.id)
        _, matrix = truth.vectors.some(collection.id, ids.tolist())
        scores = matrix @ QUERY
        assert [i for i, _ in found] == ids[np.argsort(-scores, kind="stable")[:20]].tolist()
        part = ids[5:120]
        assert [i for i, _ in search.search(collection, QUERY, 5, part)] == (
            part[np.argsort(-scores[5:120], kind="stable")[:5]].tolist()
        )
        put(truth, collection, f"{step % 2}.txt", prose(step, 20))
        if step == 2:
            truth.documents.remove(collection.id, "1.txt")
            again = search.search(collection, QUERY, 20)  # an open one, too
            assert {i for i, _ in again} <= set(truth.passages.ids(collection.id).tolist())


@pytest.mark.usefixtures("no_truth")
def test_chosen_passages_need_no_look_at_all_the_others(
    library: tuple[Truth, Collection], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth, collection = library
    old = truth.passages.ids(collection.id)
    opened = ExactSearch(truth, tmp_path)
    opened.search(collection, QUERY, 5, old)
    document = put(truth, collection, "new.txt", prose(1, 80))
    within = np.append(old[7:90], truth.passages.numbers_in([document.id]))
    put(truth, collection, "other.txt", prose(2, 80))
    truth.documents.remove(collection.id, "other.txt")
    _, matrix = truth.vectors.some(collection.id, within.tolist())
    expected = within[np.argsort(-(matrix @ QUERY), kind="stable")[:25]].tolist()

    def refuse(_: int) -> None:
        raise AssertionError("all passages were listed")

    monkeypatch.setattr(truth.passages, "ids", refuse)
    for search in (opened, ExactSearch(truth, tmp_path)):
        assert [i for i, _ in search.search(collection, QUERY, 25, within)] == expected
    monkeypatch.undo()
    monkeypatch.setattr("rag.store.exact._MOST_MISSING", 0)
    assert [i for i, _ in ExactSearch(truth, tmp_path).search(collection, QUERY, 25, within)] == expected


def _flip(data: bytes) -> bytes:
    return data[:-2] + bytes((data[-2] ^ 0x40, data[-1] ^ 0x40))


@pytest.mark.parametrize(
    "damage",
    [lambda d: d[:-1], lambda d: d + b"x", lambda d: b"", lambda d: d[:40], lambda d: bytes(len(d)), _flip,
     lambda d: d[:-64] + embed(b"another one").tobytes(), lambda d: d[:24] + b"\7" + d[25:]],
)  # fmt: skip
def test_what_is_damaged_or_not_the_truths_is_not_believed(
    library: tuple[Truth, Collection], tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    truth, collection = library
    file = file_of(tmp_path)
    file.write_bytes(damage(file.read_bytes()))
    assert same(ExactSearch(truth, tmp_path).search(collection, QUERY, 30), exact(truth, collection, QUERY, 30))


def test_a_file_cut_short_under_a_search_is_given_up(library: tuple[Truth, Collection], tmp_path: Path) -> None:
    truth, collection = library
    search = ExactSearch(truth, tmp_path)
    search.search(collection, QUERY, 1)
    with file_of(tmp_path).open("r+b") as stream:
        stream.truncate(100)
    assert same(search.search(collection, QUERY, 30), exact(truth, collection, QUERY, 30))


def test_it_is_written_with_the_index_and_goes_with_what_it_is_of(
    library: tuple[Truth, Collection], tmp_path: Path
) -> None:
    truth, collection = library
    file = file_of(tmp_path)
    before = file.read_bytes()
    dense = DenseIndex.open(truth, tmp_path)
    try:
        put(truth, collection, "few.txt", prose(1, 5))
        dense.sync()
        assert file.read_bytes() == before  # a few changes are looked up
        held = next(iter(truth.vectors.of_document(collection.generation, 1).values())).tobytes()
        assert held in before
        truth.documents.remove(collection.id, "large.txt")
        fill(truth, collection, 200, "other.txt")
        dense.sync()
        assert file.read_bytes() != before and same(
            ExactSearch(truth, tmp_path).search(collection, QUERY, 30), exact(truth, collection, QUERY, 30)
        )
        truth.documents.remove(collection.id, "other.txt")
        dense.compact()
        assert held not in file.read_bytes()
        truth.collections.delete(collection.name)
        dense.sync()
        assert not file.exists()
    finally:
        dense.close()
