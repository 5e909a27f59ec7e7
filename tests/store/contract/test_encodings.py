"""The encoder's vectors: kept by text, gone with the last passage that has it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rag.store.truth import Encoded, Truth
from tests.store.contract.conftest import Backend
from tests.store.invariants import check
from tests.store.material import EMBEDDER, prose, put


def encoded(number: int) -> Encoded:
    row = np.random.default_rng(number).normal(size=24).astype(np.float32)
    return Encoded(row / np.linalg.norm(row), (number % 10) / 10)


def fill(truth: Truth, collection_id: int, encoder: str = "e") -> int:
    last = count = 0
    while batch := truth.encodings.pending(collection_id, encoder, last, 3):
        truth.encodings.put(encoder, {number: encoded(number) for number in batch})
        last, count = max(batch), count + len(batch)
    return count


def rows(truth: Truth) -> int:
    """How many vectors of any encoder there are."""
    return sum(
        truth.encodings.seen_counts(collection.id, encoder, 0)[0]
        for collection in truth.collections.list()
        for encoder in ("e", "old", "new")
    )


def test_what_is_filled_is_found_by_passage_as_it_was(backend: Backend, tmp_path: Path) -> None:
    with backend.open(tmp_path) as truth:
        collection = truth.collections.create("default", EMBEDDER, "v1")
        for source in ("a.txt", "twin.txt"):
            put(truth, collection, source, prose(1, 100))
        texts = truth.encodings.content_count(collection.id)
        assert truth.encodings.pending_count(collection.id, "e") == texts
        assert fill(truth, collection.id) == texts, "a text that stands twice is encoded once"
        assert truth.encodings.pending_count(collection.id, "e") == 0
        ids = [p.id for d in truth.documents.list(collection.id) for p in truth.passages.of(d.id)]
        found = truth.encodings.get("e", [*ids, 10**6])
        assert set(found) == set(ids) and len(ids) == 2 * texts
        assert all(np.linalg.norm(one.vector) == pytest.approx(1, abs=2e-3) for one in found.values())
        assert truth.encodings.get("other", ids) == {}
        check(truth)


def test_it_dies_with_the_last_passage_that_uses_it(backend: Backend, tmp_path: Path) -> None:
    with backend.open(tmp_path) as truth:
        collection = truth.collections.create("default", EMBEDDER, "v1")
        put(truth, collection, "a.txt", prose(1, 100))
        put(truth, collection, "twin.txt", prose(1, 100))
        put(truth, collection, "b.txt", prose(2, 100))
        before = fill(truth, collection.id)
        truth.documents.remove(collection.id, "a.txt")
        assert rows(truth) == before
        truth.documents.remove(collection.id, "twin.txt")
        assert 0 < rows(truth) == truth.encodings.content_count(collection.id) < before
        put(truth, collection, "b.txt", prose(2, 100) + " and more of it")
        left = truth.encodings.pending_count(collection.id, "e")
        assert rows(truth) + left == truth.encodings.content_count(collection.id)
        assert rows(truth) > 0, "what stays of a document keeps its vectors"
        truth.encodings.put("e", {10**6: encoded(1)})
        truth.collections.delete("default")
        check(truth)


def test_another_encoder_begins_anew_and_the_old_ones_can_go(backend: Backend, tmp_path: Path) -> None:
    with backend.open(tmp_path) as truth:
        collection = truth.collections.create("default", EMBEDDER, "v1")
        put(truth, collection, "a.txt", prose(1, 100))
        texts = fill(truth, collection.id, "old")
        assert fill(truth, collection.id, "new") == texts and rows(truth) == 2 * texts
        truth.encodings.drop_others("new")
        assert rows(truth) == texts and truth.encodings.pending_count(collection.id, "new") == 0
        truth.compact()
