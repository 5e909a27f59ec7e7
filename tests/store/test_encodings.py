"""The encoder's vectors in SQLite: damaged, and in a library that is older than they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.store.contract.test_encodings import fill
from tests.store.material import EMBEDDER, prose, put, writer
from tests.test_identity import stored_library


def test_a_damaged_row_counts_as_missing(tmp_path: Path) -> None:
    with writer(tmp_path) as truth:
        collection = truth.collections.create("default", EMBEDDER, "v1")
        put(truth, collection, "a.txt", prose(1, 100))
        fill(truth, collection.id)
        (document,) = truth.documents.list(collection.id)
        ids = [p.id for p in truth.passages.of(document.id)]
        with truth.database.writing() as connection:
            for value in (b"odd", "text", b"", np.full(24, np.inf, "<f2").tobytes()):
                connection.execute("UPDATE encoding SET data = ? WHERE content_id IN (SELECT content_id FROM passage"
                                   " WHERE id = ?)", (value, ids.pop()))  # fmt: skip
        assert set(truth.encodings.get("e", [p.id for p in truth.passages.of(document.id)])) == set(ids)


def test_a_library_of_the_first_format_gets_the_table(tmp_path: Path) -> None:
    with writer(stored_library(tmp_path / "library")) as truth:
        collection = truth.collections.get("default")
        assert fill(truth, collection.id) == truth.encodings.content_count(collection.id) > 0
