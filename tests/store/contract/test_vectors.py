"""Another embedder takes over whole, or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rag.errors import StoreError
from rag.store.dense import DenseIndex
from rag.store.truth import Collection, EmbedderInfo, Truth, text_key
from tests.store.contract.conftest import Backend
from tests.store.invariants import check
from tests.store.material import embed, prose, put

NEXT = EmbedderInfo("next", "1" * 64, 8, "query: ", "passage: ")


@pytest.fixture(name="library")
def with_documents(truth: Truth, collection: Collection) -> tuple[Truth, Collection]:
    """A library of three documents, two of them alike."""
    for number in (0, 1, 1):
        put(truth, collection, f"{len(truth.documents.list(collection.id))}.txt", prose(number, 100))
    return truth, collection


def embed_pending(truth: Truth, generation: int, limit: int = 1000) -> int:
    """Embed at most ``limit`` texts of a generation; how many there were."""
    pending = truth.vectors.pending(generation, limit)
    assert all(key == text_key(text) for key, text in pending)
    truth.vectors.put(generation, {key: embed(key, NEXT.dimension) for key, _ in pending})
    return len(pending)


def test_a_new_generation_serves_once_it_is_complete(library: tuple[Truth, Collection]) -> None:
    truth, collection = library
    before = truth.vectors.all(collection.id)
    generation = truth.vectors.begin(collection, NEXT)
    assert generation != collection.generation
    assert truth.vectors.pending_count(generation) == truth.facts().collections[0].vectors
    embed_pending(truth, generation, 5)
    with pytest.raises(StoreError, match="not embedded"):
        truth.vectors.promote(generation)
    np.testing.assert_array_equal(truth.vectors.all(collection.id)[1], before[1])
    while embed_pending(truth, generation, 7):
        pass
    revision = truth.collections.revision(collection.id)
    truth.vectors.promote(generation)
    assert truth.collections.revision(collection.id) > revision
    now = truth.collections.get("default")
    assert (now.generation, now.embedder) == (generation, NEXT)
    ids, matrix = truth.vectors.all(collection.id)
    np.testing.assert_array_equal(ids, before[0])
    assert matrix.shape == (len(ids), 8)
    assert truth.vectors.known(collection.generation, [k for k, _ in truth.vectors.pending(generation, 9)]) == {}
    check(truth)
    put(truth, now, "new.txt", prose(9))
    with pytest.raises(StoreError, match="embedded anew"):
        put(truth, collection, "late.txt", prose(10))
    check(truth)


def test_documents_that_come_and_go_meanwhile_are_complete(library: tuple[Truth, Collection]) -> None:
    truth, collection = library
    generation = truth.vectors.begin(collection, NEXT)
    while embed_pending(truth, generation):
        pass
    stale = {text_key("nobody has this text"): embed(b"0" * 16, 8)}
    truth.vectors.put(generation, stale)
    put(truth, collection, "new.txt", prose(20))
    truth.documents.remove(collection.id, "0.txt")
    check(truth)
    with pytest.raises(StoreError, match="not embedded"):
        truth.vectors.promote(generation)
    while embed_pending(truth, generation):
        pass
    truth.vectors.promote(generation)
    assert truth.facts().collections[0].vectors == len(set(truth.vectors.known(generation, _keys(truth, collection))))
    check(truth)


def test_an_interrupted_generation_is_resumed_and_another_replaces_it(
    backend: Backend, library: tuple[Truth, Collection], tmp_path: Path
) -> None:
    truth, collection = library
    generation = truth.vectors.begin(collection, NEXT)
    embed_pending(truth, generation, 4)
    left = truth.vectors.pending_count(generation)
    truth.close()
    with backend.open(tmp_path) as again:
        assert again.vectors.begin(collection, NEXT) == generation
        assert again.vectors.pending_count(generation) == left
        other = again.vectors.begin(collection, EmbedderInfo("third", "2", 4))
        assert other != generation
        with pytest.raises(StoreError, match="no generation"):
            again.vectors.pending(generation, 1)
        assert again.facts().collections[0].unfinished_generations == 1
        with pytest.raises(StoreError, match="dimensions"):
            again.vectors.put(again.vectors.begin(collection, NEXT), {b"0" * 16: embed(b"0" * 16, 3)})
        check(again)


def test_the_index_follows_the_generation(library: tuple[Truth, Collection], tmp_path: Path) -> None:
    truth, collection = library
    dense = DenseIndex.open(truth, tmp_path)
    dense.sync()
    generation = truth.vectors.begin(collection, NEXT)
    while embed_pending(truth, generation):
        pass
    truth.vectors.promote(generation)
    now = truth.collections.get("default")
    assert dense.state(now) != "ready"
    assert len(dense.search(now, embed(b"0" * 16, 8), 3)) == 3
    dense.sync(collection)
    report = dense.audit(now)
    assert report.ok and report.state == "ready"
    assert report.indexed == report.passages > 0
    dense.close()


def _keys(truth: Truth, collection: Collection) -> list[bytes]:
    return [text_key(p.index_text) for d in truth.documents.list(collection.id) for p in truth.passages.of(d.id)]
