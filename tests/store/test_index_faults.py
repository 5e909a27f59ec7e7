"""Whatever happens to the index's files, answers stay exact and the index heals without embedding anything."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from rag.errors import DiskFull, StoreError
from rag.store import chroma, rebuild, upkeep
from rag.store.audit import AuditReport, IndexFailure
from rag.store.backends import open_truth
from rag.store.checksum import Hashes, checksum, files
from rag.store.chroma import ChromaIndex
from rag.store.common import INDEX_FOLDER
from rag.store.dense import DenseIndex
from rag.store.truth import Collection, Truth
from rag.store.upkeep import QUARANTINE_FOLDER
from tests.store.contract.test_dense import QUERY, exact, folders, same, wait_for
from tests.store.material import EMBEDDER, fill, prose, put, writer

Rows = npt.NDArray[np.float32]

PASSAGES = 1_500
"""Enough that Chroma has written its graph to the disk, which it does every 1,000 vectors."""


@pytest.fixture(name="template", scope="module")
def built_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library whose index is in order."""
    folder = tmp_path_factory.mktemp("template") / "library"
    with writer(folder) as truth:
        collection = truth.collections.create("default", EMBEDDER, "v1")
        fill(truth, collection, PASSAGES)
        dense = DenseIndex.open(truth, folder)
        dense.sync()
        put(truth, collection, "small.txt", prose(1))
        dense.sync()
        dense.close()
    return folder


@pytest.fixture(name="library")
def copy_of_it(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Truth, Collection]]:
    """A copy of it, searched through Chroma."""
    monkeypatch.setattr("rag.store.dense.EXACT_BYTES", -1)
    shutil.copytree(template, tmp_path / "library")
    with writer(tmp_path / "library") as truth:
        yield truth, truth.collections.get("default")


def truncate(data: bytes) -> bytes:
    """The first half."""
    return data[: len(data) // 2]


def flip(data: bytes) -> bytes:
    """Every fiftieth part inverted."""
    changed = bytearray(data)
    for at in range(0, len(changed), max(1, len(changed) // 50)):
        changed[at] ^= 0xFF
    return bytes(changed)


def blank(data: bytes) -> bytes:
    """A fifth of it zeroed, near the beginning: SQLite keeps its unused pages behind."""
    fifth = len(data) // 5
    return data[: fifth // 2] + bytes(fifth) + data[fifth // 2 + fifth :]


DAMAGE: dict[str, Callable[[bytes], bytes] | None] = {
    "delete": None,
    "truncate": truncate,
    "flip": flip,
    "blank": blank,
}
NAMES = ("chroma.sqlite3", "data_level0.bin", "header.bin", "index_metadata.pickle", "length.bin", "link_lists.bin")


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("name", NAMES)
def test_any_damage_is_found_and_heals(library: tuple[Truth, Collection], name: str, kind: str) -> None:
    truth, collection = library
    (folder,) = folders(Path(truth.address))
    (path,) = [p for p in files(folder) if p.name == name]
    harm, data = DAMAGE[kind], path.read_bytes()
    if harm is None:
        path.unlink()
    elif harm(data) == data:
        pytest.skip("the file holds nothing that this changes")
    else:
        path.write_bytes(harm(data))
    dense = DenseIndex.open(truth, Path(truth.address))
    assert same(dense.search(collection, QUERY, 10), exact(truth, collection, QUERY, 10)), "exact at once"
    wait_for(lambda: dense.state(collection) == "ready")
    assert same(dense.search(collection, QUERY, 10), exact(truth, collection, QUERY, 10))
    report = dense.audit(collection)
    assert report.ok and report.indexed == len(truth.vectors.all(collection.id)[0]) > PASSAGES
    dense.close()
    assert folders(Path(truth.address)) != [folder]
    assert len(folders(Path(truth.address))) == 1
    assert [p.name for p in (Path(truth.address) / QUARANTINE_FOLDER).iterdir()] == [folder.name]


def test_an_index_in_order_is_kept(library: tuple[Truth, Collection]) -> None:
    truth, collection = library
    before = folders(Path(truth.address))
    dense = DenseIndex.open(truth, Path(truth.address))
    report = dense.audit(collection)
    assert report.ok and report.self_hits == report.sampled > 0
    assert "found themselves" in report.describe()
    dense.close()
    assert folders(Path(truth.address)) == before


def test_what_was_left_dirty_is_not_even_opened(
    library: tuple[Truth, Collection], monkeypatch: pytest.MonkeyPatch
) -> None:
    truth, collection = library
    (folder,) = folders(Path(truth.address))
    truth.outbox.begin(collection.id)
    opened: list[Path] = []

    class Watched(ChromaIndex):
        def __init__(self, where: Path) -> None:
            opened.append(where)
            super().__init__(where)

    monkeypatch.setattr("rag.store.dense.ChromaIndex", Watched)
    dense = DenseIndex.open(truth, Path(truth.address))
    wait_for(lambda: dense.state(collection) == "ready")
    dense.close()
    assert folder not in opened


def test_an_index_that_lies_fails_its_audit(library: tuple[Truth, Collection]) -> None:
    truth, collection = library
    (folder,) = folders(Path(truth.address))
    ids = truth.vectors.all(collection.id)[0]
    index = ChromaIndex(folder)
    index.delete(ids[:3])
    index.upsert(np.array([10**9]), truth.vectors.all(collection.id)[1][:1])
    index.upsert(ids[10:200], -truth.vectors.all(collection.id)[1][10:200])
    index.flush()
    index.close()
    truth.outbox.settle(collection.id, checksum(folder))
    dense = DenseIndex.open(truth, Path(truth.address))
    report = dense.audit(collection)
    assert not report.ok
    assert report.hint
    assert "3 missing" in report.problem
    assert "1 too many" in report.problem
    dense.sync()
    assert dense.audit(collection).ok
    dense.close()


def test_an_index_that_breaks_while_it_is_used_is_replaced(
    library: tuple[Truth, Collection], monkeypatch: pytest.MonkeyPatch
) -> None:
    truth, collection = library
    before = folders(Path(truth.address))
    dense = DenseIndex.open(truth, Path(truth.address))
    dense.sync()
    dense.audit(collection)

    def broken(self: ChromaIndex, vector: Rows, limit: int) -> npt.NDArray[np.int64]:
        raise IndexFailure("broken")

    with monkeypatch.context() as patch:
        patch.setattr(ChromaIndex, "query", broken)
        assert same(dense.search(collection, QUERY, 10), exact(truth, collection, QUERY, 10))
    wait_for(lambda: dense.state(collection) == "ready" and folders(Path(truth.address)) != before)
    assert same(dense.search(collection, QUERY, 10), exact(truth, collection, QUERY, 10))
    dense.close()


def test_an_engine_that_always_fails_leaves_exact_search(
    library: tuple[Truth, Collection], monkeypatch: pytest.MonkeyPatch
) -> None:
    truth, collection = library

    def broken(self: ChromaIndex, folder: Path) -> None:
        raise IndexFailure("no such engine")

    monkeypatch.setattr(ChromaIndex, "__init__", broken)
    dense = DenseIndex.open(truth, Path(truth.address))
    with pytest.raises(IndexFailure, match="no such engine"):
        dense.sync()
    assert same(dense.search(collection, QUERY, 10), exact(truth, collection, QUERY, 10))
    report = dense.audit(collection)
    assert not report.ok
    assert "no such engine" in report.problem
    assert dense.state(collection) == "exact"
    dense.close()


def test_chromas_own_failures_are_translated(tmp_path: Path) -> None:
    (tmp_path / "index").mkdir()
    index = ChromaIndex(tmp_path / "index")
    index.upsert(np.array([1, 2]), np.eye(2, 4, dtype=np.float32))
    index.delete(np.array([7]))
    assert list(index.ids()) == [1, 2]
    with pytest.raises(IndexFailure, match="Chroma"):
        index.upsert(np.array([3]), np.eye(1, 9, dtype=np.float32))
    index.close()
    with pytest.raises(IndexFailure):
        index.ids()
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(IndexFailure):
        ChromaIndex(tmp_path / "file")


def test_a_panic_is_a_failure_and_an_interrupt_is_not(tmp_path: Path) -> None:
    panic = type("PanicException", (BaseException,), {})
    for raised, expected in ((panic("lost"), IndexFailure), (KeyboardInterrupt(), KeyboardInterrupt)):
        with pytest.raises(expected), chroma.failures(tmp_path):
            raise raised


def test_a_large_index_is_built_in_another_process(
    library: tuple[Truth, Collection], monkeypatch: pytest.MonkeyPatch
) -> None:
    truth, collection = library
    monkeypatch.setattr(upkeep, "APART_FROM", 1)

    def here(*_: object) -> None:
        raise AssertionError("built in this process")

    monkeypatch.setattr(upkeep, "build", here)
    dense = DenseIndex.open(truth, Path(truth.address))
    dense.rebuild(collection)
    assert dense.audit(collection).ok
    dense.close()


def test_the_other_process_says_why_it_failed(library: tuple[Truth, Collection]) -> None:
    truth, collection = library
    file = Path(truth.address) / "file"
    file.write_text("")
    with pytest.raises(IndexFailure, match="status 1"):
        rebuild.build_apart(truth, collection, file / "no folder", lambda: None)


def test_the_other_process_runs_nothing_from_the_working_directory(
    library: tuple[Truth, Collection], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    truth, collection = library
    for name in ("chromadb", "numpy"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a stranger was imported')")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "new").mkdir()
    rebuild.build_apart(truth, collection, tmp_path / "new", lambda: None)


def test_closing_stops_a_rebuild(library: tuple[Truth, Collection], monkeypatch: pytest.MonkeyPatch) -> None:
    truth, collection = library
    truth.outbox.begin(collection.id)
    monkeypatch.setattr(upkeep, "APART_FROM", 1)
    dense = DenseIndex.open(truth, Path(truth.address))
    wait_for(lambda: any(INDEX_FOLDER in str(f) for f in folders(Path(truth.address))))
    dense.close()
    assert folders(Path(truth.address)) == []
    with pytest.raises(StoreError, match="closed"):
        dense.sync()
    dense = DenseIndex.open(truth, Path(truth.address))
    wait_for(lambda: dense.state(collection) == "ready")
    dense.close()


def test_no_room_for_the_index_is_said(library: tuple[Truth, Collection], monkeypatch: pytest.MonkeyPatch) -> None:
    truth, collection = library
    dense = DenseIndex.open(truth, Path(truth.address))
    put(truth, collection, "new.txt", prose(9))
    monkeypatch.setattr(upkeep, "_SPARE_BYTES", 1 << 60)
    with pytest.raises(DiskFull, match="MB"):
        dense.sync()
    assert same(dense.search(collection, QUERY, 10), exact(truth, collection, QUERY, 10))
    monkeypatch.undo()
    assert dense.sync() > 0
    assert dense.audit(collection).ok
    dense.close()


def test_an_index_of_a_deleted_collection_goes_too(library: tuple[Truth, Collection]) -> None:
    truth, _ = library
    dense = DenseIndex.open(truth, Path(truth.address))
    dense.sync()
    truth.collections.delete("default")
    (Path(truth.address) / INDEX_FOLDER / "left behind").mkdir()
    dense.sync()
    dense.close()
    assert folders(Path(truth.address)) == []


def test_a_reader_never_touches_the_index(library: tuple[Truth, Collection]) -> None:
    truth, collection = library
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for f in folders(Path(truth.address)) for p in files(f)}
    with open_truth(Path(truth.address), writer=False) as reader:
        dense = DenseIndex.open(reader, Path(truth.address))
        assert dense.sync() == 0
        assert same(dense.search(collection, QUERY, 10), exact(truth, collection, QUERY, 10))
        report = dense.audit(collection)
        assert report.ok and report.indexed == -1
        assert "exactly" in report.describe()
        dense.rebuild(collection)
        dense.close()
    assert before == {p: (p.stat().st_mtime_ns, p.read_bytes()) for f in folders(Path(truth.address)) for p in files(f)}


def test_a_checksum_with_known_hashes_is_that_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"one")
    (tmp_path / "b.bin").write_bytes(b"two")
    known: Hashes = {}
    assert checksum(tmp_path, known) == checksum(tmp_path) == checksum(tmp_path, known) and len(known) == 2
    before = checksum(tmp_path)
    (tmp_path / "b.bin").write_bytes(b"three")
    assert checksum(tmp_path, known) == checksum(tmp_path) != before


@pytest.mark.parametrize(
    ("sampled", "hits", "ok"),
    [(0, 0, True), (1, 1, True), (1, 0, False), (67, 66, True), (67, 65, False), (300, 297, True), (300, 296, False)],
)  # fmt: skip
def test_an_index_may_miss_one_of_its_vectors_or_one_in_a_hundred(sampled: int, hits: int, *, ok: bool) -> None:
    report = AuditReport("ready", 900, 900, sampled=sampled, self_hits=hits)
    assert report.ok == ok
