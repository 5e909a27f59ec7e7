"""A damaged library file is said to be damaged: it never crashes a reader, and never puts words into a document."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest

from rag.errors import LibraryDamaged, RagError, StoreError
from rag.store.dense import DenseIndex
from rag.store.sqlite.database import FILE_NAME
from rag.store.sqlite.schema import PAGE_SIZE, fts
from rag.store.sqlite.truth import SqliteTruth
from rag.store.truth import Truth
from tests.store.invariants import check
from tests.store.material import EMBEDDER, embed, prose, put, writer

TEXTS = {f"{number}.txt": prose(number, 400) for number in range(12)}
CHANGED_WORDS = """UPDATE text SET data = CAST(replace(CAST(data AS TEXT), 'word', 'lord') AS BLOB)
    WHERE document_id = 3"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A library of a dozen documents, closed."""
    with writer(tmp_path) as truth:
        collection = truth.collections.create("default", EMBEDDER, "v1")
        for source, text in TEXTS.items():
            put(truth, collection, source, text)
    return tmp_path


def change(folder: Path, statement: str, *values: object) -> None:
    """What no program of this project does: write into the file past every check."""
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection, connection:
        assert connection.execute(statement, values).rowcount != 0


def spoil(page: bytearray, rng: random.Random, way: str) -> None:
    """Overwrite one page: all of it, its beginning, or bytes here and there."""
    match way:
        case "whole":
            page[:] = rng.randbytes(len(page))
        case "head":
            page[:64] = rng.randbytes(64)
        case _:
            for _ in range(30):
                page[rng.randrange(len(page))] = rng.randrange(256)


def read_all(truth: Truth, folder: Path) -> None:
    """Whatever a question and the page read; every passage must be a slice of a text that was put in."""
    whole = "\n".join(TEXTS.values())
    for collection in truth.collections.list():
        with closing(DenseIndex.open(truth, folder)) as dense, suppress(RagError):
            near = [number for number, _ in dense.search(collection, embed(b"0" * 16), 10)]
            assert all(p.text in whole for p in truth.passages.get(near).values())
        with suppress(RagError):
            found = truth.lexical.search(collection.id, "word1 word2 word3", 10)
            assert all(p.text in whole for p in truth.passages.get([number for number, _ in found]).values())
        for document in truth.documents.list(collection.id):
            with suppress(RagError):
                truth.documents.layout(document.id)
            with suppress(RagError):
                truth.documents.text(document.id)
        with suppress(RagError):
            truth.documents.damaged(collection.id)


@pytest.mark.parametrize("way", ["whole", "head", "bytes"])
def test_no_damaged_page_crashes_a_reader_or_changes_a_passage(folder: Path, way: str, soak: bool) -> None:
    path = folder / FILE_NAME
    good = path.read_bytes()
    told = 0
    for seed in range(20 if soak else 1):
        rng = random.Random(f"{way} {seed}")
        for start in range(0, len(good), PAGE_SIZE):
            bad = bytearray(good)
            page = bad[start : start + PAGE_SIZE]
            spoil(page, rng, way)
            bad[start : start + PAGE_SIZE] = page
            path.write_bytes(bad)
            try:
                with SqliteTruth.open(folder, writer=False) as truth:
                    told += bool(truth.facts().problems)
                    read_all(truth, folder)
            except StoreError as error:
                assert error.hint
                told += 1
    assert told


def test_a_changed_text_is_never_served_and_the_document_is_named(folder: Path) -> None:
    change(folder, CHANGED_WORDS)
    with writer(folder) as truth:
        collection = truth.collections.get("default")
        hurt = next(d for d in truth.documents.list(collection.id) if d.id == 3)
        ids = [p for p, c in truth.passages.homes(range(1, 10_000)).items() if c[0] == hurt.id]
        with pytest.raises(LibraryDamaged, match=hurt.source) as caught:
            truth.passages.get(ids)
        assert f"rag remove {hurt.source}" in caught.value.hint
        assert truth.documents.damaged(collection.id) == (hurt.source,)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE text SET data = x'ff00fe' WHERE document_id = 3",
        "UPDATE text SET data = 'text' WHERE document_id = 3",
        "DELETE FROM text WHERE document_id = 3",
        "UPDATE passage SET start = start + 1 WHERE document_id = 3",
        "UPDATE passage SET stop = 1000000 WHERE document_id = 3",
        "UPDATE passage SET heading = '[\"Elsewhere\"]' WHERE document_id = 3",
        "UPDATE passage SET heading = '[' WHERE document_id = 3",
        "UPDATE document SET title = 'Another' WHERE id = 3",
    ],
)
def test_a_damaged_document_can_be_removed_and_put_in_again(folder: Path, statement: str) -> None:
    change(folder, statement)
    with writer(folder) as truth:
        collection = truth.collections.get("default")
        (source,) = truth.documents.damaged(collection.id)
        truth.documents.remove(collection.id, source)
        assert truth.documents.damaged(collection.id) == ()
        check(truth)
        put(truth, collection, source, TEXTS[source])
        check(truth)


def test_a_damaged_document_is_replaced_by_a_new_version(folder: Path) -> None:
    change(folder, CHANGED_WORDS)
    with writer(folder) as truth:
        collection = truth.collections.get("default")
        (source,) = truth.documents.damaged(collection.id)
        put(truth, collection, source, prose(99))
        check(truth)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE vector SET data = x'00'",
        "DELETE FROM vector WHERE content_id > 5",
        "UPDATE vector SET data = CAST(substr(data, 1, 60) || x'0000c07f' AS BLOB)",
        "UPDATE vector SET data = CAST(substr(data, 1, 60) || x'ffff7f7f' AS BLOB)",
    ],
)
def test_damaged_vectors_are_said_to_be(folder: Path, statement: str) -> None:
    change(folder, statement)
    with SqliteTruth.open(folder, writer=False) as truth, pytest.raises(LibraryDamaged, match="vectors") as caught:
        truth.vectors.all(truth.collections.get("default").id)
    assert "rag reindex" in caught.value.hint


def test_a_damaged_full_text_is_written_again_by_compacting(folder: Path) -> None:
    with SqliteTruth.open(folder, writer=False) as truth:
        collection = truth.collections.get("default")
        before = truth.lexical.search(collection.id, "word1 word2", 10)
    change(folder, f"UPDATE {fts(collection.id)}_data SET block = x'00010203' WHERE id > 10")
    with writer(folder) as truth:
        with pytest.raises(LibraryDamaged) as caught:
            truth.lexical.search(collection.id, "word1 word2", 10)
        assert "rag compact" in caught.value.hint
        truth.compact()
        assert truth.lexical.search(collection.id, "word1 word2", 10) == before
        check(truth)
