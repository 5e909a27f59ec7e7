"""What must hold in every library at any time, checked against the file itself."""

from __future__ import annotations

from rag.store import schema
from rag.store.terms import query_terms
from rag.store.truth import Truth, text_key


def check(truth: Truth) -> None:
    """Assert every invariant of the truth."""
    assert truth.facts().problems == ""
    with truth.database.reading() as connection:
        rows = {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in _TABLES}
        keys = dict(connection.execute("SELECT p.id, c.key FROM passage p JOIN content c ON c.id = p.content_id"))
        orphans = "SELECT count(*) FROM content WHERE id NOT IN (SELECT content_id FROM passage)"
        assert connection.execute(orphans).fetchone()[0] == 0
        homeless = "SELECT count(*) FROM vector WHERE content_id NOT IN (SELECT id FROM content)"
        assert connection.execute(homeless).fetchone()[0] == 0
    documents = [d for c in truth.collections.list() for d in truth.documents.list(c.id)]
    assert rows["document"] == rows["layout"] == len(documents)
    assert rows["passage"] == sum(d.passages for d in documents) == len(keys)
    for collection in truth.collections.list():
        ids, matrix = truth.vectors.all(collection.id)
        expected = []
        for document in truth.documents.list(collection.id):
            text = truth.documents.text(document.id)
            assert len(text) == document.characters
            passages = truth.passages.of(document.id)
            assert len(passages) == document.passages
            home = truth.passages.homes([p.id for p in passages]).get(passages[0].id) if passages else None
            assert home is None or [p.id for p in passages] == list(range(home.first, home.first + home.size))
            for passage in passages:
                assert passage.text == text[passage.start : passage.end]
                assert keys[passage.id] == text_key(passage.index_text)
            expected += [p.id for p in passages]
        assert sorted(expected) == list(ids)
        assert matrix.shape == (len(ids), collection.embedder.dimension)
        _check_words(truth, collection.id, expected)


_TABLES = ("document", "layout", "passage")


def _check_words(truth: Truth, collection_id: int, ids: list[int]) -> None:
    """Every row of the full-text table is a passage, and every passage is found by its first and last word."""
    table = schema.fts(collection_id)
    with truth.database.reading() as connection:
        found = [row[0] for row in connection.execute(f"SELECT rowid FROM {table}")]
        assert sorted(found) == sorted(ids)
        connection.execute(f"SELECT * FROM {table} LIMIT 1").fetchall()
    passages = truth.passages.get(ids)
    for passage in list(passages.values())[:5]:
        for term in query_terms(passage.text, 1000)[:1]:
            with truth.database.reading() as connection:
                hits = connection.execute(f"SELECT rowid FROM {table} WHERE {table} MATCH ?", (term.match,)).fetchall()
            assert (passage.id,) in hits
