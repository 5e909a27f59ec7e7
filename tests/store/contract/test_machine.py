"""Any order of operations leaves every store in agreement with a model made of dictionaries."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from rag.errors import UnknownSource
from rag.store.checksum import files
from rag.store.dense import DenseIndex
from rag.store.terms import query_terms
from rag.store.truth import Collection, EmbedderInfo, Truth
from tests.store.contract.conftest import Backend, Sqlite
from tests.store.contract.test_dense import exact, folders, same
from tests.store.invariants import check
from tests.store.material import EMBEDDER, embed, put

SOURCES = st.sampled_from(["a.txt", "b.txt", "sub/c.txt", "d ü.txt"])
WORDS = ["apple", "pear", "café", "東京タワー", "running", "naïve", "x1"]
TEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=40).map(" ".join)


class Store(RuleBasedStateMachine):
    """Put, replace, remove, ask, sync, reopen, reindex, damage."""

    backend: Backend

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="rag-store-"))
        self.model: dict[str, str] = {}
        self.truth: Truth
        self.dense: DenseIndex
        self.collection: Collection

    @initialize()
    def begin(self) -> None:
        self.truth = self.backend.open(self.folder)
        self.collection = self.truth.collections.create("default", EMBEDDER, "v1")
        self.dense = DenseIndex.open(self.truth, self.folder)

    @rule(source=SOURCES, text=TEXTS)
    def put(self, source: str, text: str) -> None:
        put(self.truth, self.collection, source, text, title=source)
        self.model[source] = text

    @rule(source=SOURCES)
    def remove(self, source: str) -> None:
        if source in self.model:
            self.truth.documents.remove(self.collection.id, source)
            del self.model[source]
        else:
            with pytest.raises(UnknownSource):
                self.truth.documents.remove(self.collection.id, source)

    @rule(word=st.sampled_from(WORDS))
    def ask_for_a_word(self, word: str) -> None:
        hits = self.truth.lexical.search(self.collection.id, word, 1000)
        found = {p.id for p in self.truth.passages.get([i for i, _ in hits]).values()}
        terms = {t.text for t in query_terms(word, 32)}
        expected = {
            p.id for d in self.truth.documents.list(self.collection.id) for p in self.truth.passages.of(d.id)
            if terms & {t.text for t in query_terms(p.text, 10_000)}
        }  # fmt: skip
        assert found == {i for i, _ in hits} == expected

    @rule(seed=st.binary(min_size=16, max_size=16), limit=st.integers(1, 20))
    def ask_for_the_nearest(self, seed: bytes, limit: int) -> None:
        query = embed(seed, self.collection.embedder.dimension)
        found = self.dense.search(self.collection, query, limit)
        assert same(found, exact(self.truth, self.collection, query, limit))

    @rule()
    def sync(self) -> None:
        self.dense.sync()
        report = self.dense.audit(self.collection)
        assert report.ok and report.unsynced == 0
        assert report.indexed == report.passages

    @rule(change=st.booleans())
    def reopen(self, change: bool) -> None:
        self.dense.close()
        self.truth.close()
        self.truth = self.backend.open(self.folder)
        self.dense = DenseIndex.open(self.truth, self.folder)
        assert self.truth.collections.get("default") == self.collection
        if change:
            self.truth.compact()

    @rule(position=st.floats(0, 1))
    def damage_the_index(self, position: float) -> None:
        self.dense.close()
        chosen = [path for folder in folders(self.folder) for path in files(folder)]
        if chosen:
            path = chosen[int(position * (len(chosen) - 1))]
            path.write_bytes(path.read_bytes()[: int(path.stat().st_size * position)])
        self.dense = DenseIndex.open(self.truth, self.folder)

    @rule(dimension=st.sampled_from([8, 16]), finish=st.booleans())
    def reindex(self, dimension: int, finish: bool) -> None:
        generation = self.truth.vectors.begin(self.collection, EmbedderInfo("other", "1", dimension))
        pending = self.truth.vectors.pending(generation, 1000 if finish else 3)
        self.truth.vectors.put(generation, {key: embed(key, dimension) for key, _ in pending})
        if finish:
            self.truth.vectors.promote(generation)
            self.collection = self.truth.collections.get("default")

    @invariant()
    def everything_agrees(self) -> None:
        if not hasattr(self, "truth"):
            return
        stored = {d.source: self.truth.documents.text(d.id) for d in self.truth.documents.list(self.collection.id)}
        assert stored == self.model
        for passage_id, row in zip(*self.truth.vectors.all(self.collection.id), strict=True):
            assert abs(np.linalg.norm(row) - 1) < 1e-5, passage_id
        check(self.truth)

    def teardown(self) -> None:
        if hasattr(self, "truth"):
            self.dense.close()
            self.truth.close()
        shutil.rmtree(self.folder)


def test_any_order_of_operations_holds(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Store, "backend", backend, raising=False)
    monkeypatch.setattr("rag.store.dense.EXACT_BYTES", -1)
    few = 30 if isinstance(backend, Sqlite) else 8  # of a server each step costs many times as much
    examples, steps = (1000, 50) if os.environ.get("RAG_SOAK") else (few, 20)
    run_state_machine_as_test(
        Store,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )  # fmt: skip
