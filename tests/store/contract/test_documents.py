"""What the truth promises: whole documents or none, true slices, one vector for one text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rag.errors import StoreError, UnknownCollection, UnknownSource
from rag.store.truth import Collection, EmbedderInfo, NewDocument, NewPassage, Truth, text_key
from rag.types import UnreadFile
from tests.store.contract.conftest import Backend
from tests.store.invariants import check
from tests.store.material import DIMENSION, EMBEDDER, cut, embed_all, open_files, parsed, prose, put


def test_a_document_comes_back_as_it_was_put(backend: Backend, tmp_path: Path) -> None:
    text = "Ünïcödé 🎉 " * 2000
    with backend.open(tmp_path) as truth:
        collection = truth.collections.create("default", EMBEDDER, "v1", owner="ann")
        document = parsed(text)
        passages = cut(document)
        new = NewDocument("a.pdf", "a.pdf", document, passages, embed_all(passages), "ab", 7, b"%PDF", "ann")
        stored = truth.documents.put(collection, new)
        assert (stored.characters, stored.passages, stored.pages, stored.empty_pages) == (
            len(text), len(passages), 3, 1,
        )  # fmt: skip
        assert (stored.collection, stored.source, stored.sha256, stored.owner) == ("default", "a.pdf", "ab", "ann")
        assert truth.documents.get(collection.id, "a.pdf") == stored
        assert truth.documents.list(collection.id) == (stored,)
        assert truth.documents.text(stored.id) == text
        assert truth.documents.layout(stored.id) == (document.headings, document.pages)
        assert truth.documents.original(stored.id) == b"%PDF"
        found = truth.passages.of(stored.id)
        assert [(p.start, p.end, p.text) for p in found] == [(p.start, p.end, text[p.start : p.end]) for p in passages]
        assert truth.passages.get([found[3].id, 10**9, found[1].id]) == {found[3].id: found[3], found[1].id: found[1]}
        assert truth.passages.neighbours(found[0]) == (None, found[1])
        assert truth.passages.neighbours(found[-1]) == (found[-2], None)
        ids, matrix = truth.vectors.all(collection.id)
        assert list(ids) == [p.id for p in found]
        np.testing.assert_allclose(matrix, np.stack([embed_all(passages)[p.key] for p in passages]), atol=1e-6)
        check(truth)


def test_several_are_put_together_or_not_at_all(backend: Backend, tmp_path: Path) -> None:
    def new(source: str, text: str, *, known: bool = False) -> NewDocument:
        document = parsed(text)
        passages = cut(document)
        return NewDocument(source, source, document, passages, {} if known else embed_all(passages))

    with backend.open(tmp_path) as truth:
        collection = truth.collections.create("default", EMBEDDER, "v1")
        put(truth, collection, "a.txt", prose(1))
        before = truth.collections.revision(collection.id)
        # What the old a.txt said stands in b.txt now: its vectors are known, and stay.
        stored = truth.documents.put_all(collection, [new("a.txt", prose(2)), new("b.txt", prose(1), known=True)])
        assert [(d.source, truth.documents.text(d.id)) for d in stored] == [("a.txt", prose(2)), ("b.txt", prose(1))]
        assert truth.documents.list(collection.id) == stored and truth.collections.revision(collection.id) > before
        check(truth)
        with pytest.raises(StoreError, match="no vector; nothing was written"):
            truth.documents.put_all(collection, [new("c.txt", prose(3)), new("d.txt", prose(4), known=True)])
        assert truth.documents.list(collection.id) == stored
        assert truth.documents.put_all(collection, []) == ()
        check(truth)


def test_a_new_version_replaces_the_old_one_whole(backend: Backend, tmp_path: Path) -> None:
    with backend.open(tmp_path) as truth:
        collection = truth.collections.create("default", EMBEDDER, "v1")
        first = put(truth, collection, "a.txt", prose(1))
        other = put(truth, collection, "b.txt", prose(1))
        old = [p.id for p in truth.passages.of(first.id)]
        before = truth.collections.revision(collection.id)
        second = put(truth, collection, "a.txt", prose(2))
        assert truth.collections.revision(collection.id) > before
        assert second.id > other.id, "numbers are never used again"
        assert truth.passages.get(old) == {}
        with pytest.raises(UnknownSource):
            truth.documents.text(first.id)
        assert truth.documents.text(other.id) == prose(1)
        check(truth)


def test_equal_texts_share_one_vector_until_the_last_is_gone(backend: Backend, tmp_path: Path) -> None:
    with backend.open(tmp_path) as truth:
        collection = truth.collections.create("default", EMBEDDER, "v1")
        document = parsed(prose(3))
        passages = cut(document)
        truth.documents.put(collection, NewDocument("a", "a", document, passages, embed_all(passages)))
        keys = [p.key for p in passages]
        assert set(truth.vectors.known(collection.generation, [*keys, b"x" * 16])) == set(keys)
        truth.documents.put(collection, NewDocument("b", "b", document, passages, {}))
        assert truth.facts().collections[0].vectors == len(set(keys))
        truth.documents.remove(collection.id, "a")
        assert len(truth.vectors.all(collection.id)[0]) == len(keys)
        truth.documents.remove(collection.id, "b")
        assert truth.facts().collections[0].vectors == 0
        check(truth)


def test_nothing_is_written_when_a_vector_is_missing_or_wrong(backend: Backend, tmp_path: Path) -> None:
    with backend.open(tmp_path) as truth:
        collection = truth.collections.create("default", EMBEDDER, "v1")
        put(truth, collection, "a.txt", prose(1))
        before = truth.facts(), truth.collections.revision(collection.id)
        document = parsed(prose(2))
        passages = cut(document)
        vectors = embed_all(passages)
        key = passages[-1].key
        for bad in (
            {k: v for k, v in vectors.items() if k != key},
            {**vectors, key: vectors[key][:-1]},
            {**vectors, key: vectors[key] * np.nan},
        ):
            with pytest.raises(StoreError):
                truth.documents.put(collection, NewDocument("a.txt", "a.txt", document, passages, bad))
        wrong = [*passages[:-1], replace(passages[-1], key=b"0" * 16)]
        outside = [*passages, NewPassage(0, len(document.text) + 1, None, (), b"")]
        for bad_passages in (wrong, outside):
            with pytest.raises(StoreError):
                more = {**vectors, b"0" * 16: vectors[key]}
                truth.documents.put(collection, NewDocument("a.txt", "a.txt", document, bad_passages, more))
        assert (truth.facts(), truth.collections.revision(collection.id)) == before
        check(truth)


def test_vectors_are_kept_with_length_one(backend: Backend, tmp_path: Path) -> None:
    with backend.open(tmp_path) as truth:
        collection = truth.collections.create("default", EMBEDDER, "v1")
        document = parsed("short")
        (passage,) = cut(document)
        zero = np.zeros(DIMENSION)
        for source, vector, length in (("a", np.full(DIMENSION, 3.0), 1.0), ("b", zero, 0.0)):
            truth.documents.put(collection, NewDocument(source, source, document, [passage], {passage.key: vector}))
            assert np.linalg.norm(truth.vectors.all(collection.id)[1][0]) == pytest.approx(length, abs=1e-6)
            truth.documents.remove(collection.id, source)


def test_a_name_that_is_no_text_is_refused(backend: Backend, tmp_path: Path) -> None:
    with backend.open(tmp_path) as truth:
        collection = truth.collections.create("default", EMBEDDER, "v1")
        for source, title in (("a\udc80", "title"), ("a", "\ud800")):
            with pytest.raises(StoreError, match="Unicode"):
                put(truth, collection, source, "text", title)
        put(truth, collection, "a\0b\n\u202e.txt", "text\0with\ud800 nothing hidden", "t\0")
        assert truth.documents.text(truth.documents.list(collection.id)[0].id) == "text\0with\ud800 nothing hidden"
        check(truth)
        truth.documents.remove(collection.id, "a\0b\n\u202e.txt")
        check(truth)


def test_collections_are_apart(backend: Backend, tmp_path: Path) -> None:
    with backend.open(tmp_path) as truth:
        one = truth.collections.create("one", EMBEDDER, "v1")
        two = truth.collections.create("two", EmbedderInfo("other", "1", 8, "query: ", "text: "), "v2", owner="bob")
        put(truth, one, "a.txt", prose(1))
        put(truth, two, "a.txt", prose(1))
        assert [c.name for c in truth.collections.list()] == ["one", "two"]
        assert truth.collections.get("two") == two
        truth.collections.set_setting(two.id, "threshold", 0.4)
        assert truth.collections.get("two").settings == {"threshold": 0.4}
        truth.collections.set_setting(two.id, "threshold", None)
        assert truth.collections.get("two").settings == {}
        renamed = truth.collections.rename("two", "zwei")
        assert renamed.id == two.id
        assert truth.documents.list(two.id)[0].collection == "zwei"
        with pytest.raises(UnknownCollection, match="two") as caught:
            truth.collections.get("two")
        assert "one, zwei" in caught.value.hint
        truth.collections.delete("zwei")
        assert truth.collections.revision(two.id) == -1
        assert len(truth.documents.list(one.id)) == 1
        check(truth)
        again = truth.collections.create("zwei", EMBEDDER, "v1")
        assert again.id > two.id
        for name in ("one", "", " ", "a\nb", "x" * 101):
            with pytest.raises(StoreError):
                truth.collections.create(name, EMBEDDER, "v1")


def test_values_of_the_library(backend: Backend, tmp_path: Path) -> None:
    with backend.open(tmp_path) as truth:
        assert truth.settings.get("calibration") is None
        truth.settings.set("calibration", {"qwen3": 1.07})
        assert truth.settings.get("calibration") == {"qwen3": 1.07}


def test_what_is_unknown_is_named(backend: Backend, tmp_path: Path) -> None:
    with backend.open(tmp_path) as truth:
        collection = truth.collections.create("default", EMBEDDER, "v1")
        with pytest.raises(UnknownSource, match=r"nope\.txt.*default"):
            truth.documents.remove(collection.id, "nope.txt")
        with pytest.raises(UnknownCollection):
            truth.documents.remove(99, "nope.txt")
        assert truth.documents.get(collection.id, "nope.txt") is None
        assert truth.documents.original(5) is None


def test_a_reader_writes_nothing(backend: Backend, tmp_path: Path) -> None:
    with backend.open(tmp_path) as truth:
        collection = truth.collections.create("default", EMBEDDER, "v1")
        put(truth, collection, "a.txt", prose(1))
    with backend.open(tmp_path, writer=False) as reader:
        assert not reader.writer
        assert len(reader.documents.list(collection.id)) == 1
        with pytest.raises(StoreError, match="reading only"):
            put(reader, collection, "b.txt", "text")
        with pytest.raises(StoreError, match="reading only"):
            reader.compact()


def test_a_closed_library_says_so(backend: Backend, tmp_path: Path) -> None:
    truth = backend.open(tmp_path)
    truth.close()
    truth.close()
    for call in (truth.collections.list, lambda: truth.settings.set("a", 1)):
        with pytest.raises(StoreError, match="closed"):
            call()
    assert not [target for target in open_files() if target.startswith(str(tmp_path))]


def test_the_key_of_a_text_never_changes() -> None:
    assert text_key("Title\nSome text").hex() == "1e45f7f11845259e0ad7b93b9a368b15"


def test_what_files_looked_like_and_which_could_not_be_read_is_kept(truth: Truth, collection: Collection) -> None:
    put(truth, collection, "a.txt", prose(1))
    assert truth.documents.signatures(collection.id) == {}
    truth.documents.sign(collection.id, {"a.txt": "12 bytes", "absent": "x"})
    assert truth.documents.signatures(collection.id) == {"a.txt": "12 bytes"}
    bad = [UnreadFile(f"{name}.pdf", f"/{name}.pdf", "It is encrypted.", "Unlock it.", "encrypted") for name in "ba"]
    truth.documents.note_unread(collection.id, bad, lambda origin: False)
    assert truth.documents.unread(collection.id) == tuple(reversed(bad))
    truth.documents.note_unread(collection.id, bad[:1], lambda origin: origin == "/a.pdf")
    assert truth.documents.unread(collection.id) == (bad[0],)
    truth.collections.delete("default")
    assert truth.documents.unread(collection.id) == ()
