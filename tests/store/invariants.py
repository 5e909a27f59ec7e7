"""What must hold in every library at any time; of one in SQLite, checked against the file itself."""

from __future__ import annotations

from rag.store.sqlite import schema
from rag.store.sqlite.truth import SqliteTruth
from rag.store.terms import query_terms
from rag.store.truth import Truth, text_key


def check(truth: Truth) -> None:
    """Assert every invariant of the truth."""
    assert truth.facts().problems == ""
    for collection in truth.collections.list():
        ids, matrix = truth.vectors.all(collection.id)
        expected: list[int] = []
        for document in truth.documents.list(collection.id):
            text = truth.documents.text(document.id)
            assert len(text) == document.characters
            passages = truth.passages.of(document.id)
            assert len(passages) == document.passages
            home = truth.passages.homes([p.id for p in passages]).get(passages[0].id) if passages else None
            assert home is None or [p.id for p in passages] == list(range(home.first, home.first + home.size))
            assert all(passage.text == text[passage.start : passage.end] for passage in passages)
            expected += [p.id for p in passages]
        assert sorted(expected) == list(ids) == list(truth.passages.ids(collection.id))
        assert truth.passages.count(collection.id) == len(expected)
        assert matrix.shape == (len(ids), collection.embedder.dimension)
        for passage in list(truth.passages.get(expected).values())[:5]:
            for term in query_terms(passage.text, 1000)[:1]:
                assert truth.lexical.scores(collection.id, term.text, [passage.id])[passage.id] >= 0
    if isinstance(truth, SqliteTruth):
        _check_rows(truth)


_ORPHANS = (
    "SELECT count(*) FROM content WHERE id NOT IN (SELECT content_id FROM passage)",
    "SELECT count(*) FROM vector WHERE content_id NOT IN (SELECT id FROM content)",
    "SELECT count(*) FROM encoding WHERE content_id NOT IN (SELECT id FROM content)",
)


def _check_rows(truth: SqliteTruth) -> None:
    """Every row belongs to something, and every key is that of its text."""
    documents = [d for c in truth.collections.list() for d in truth.documents.list(c.id)]
    with truth.database.reading() as connection:
        rows = {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in _TABLES}
        keys = dict(connection.execute("SELECT p.id, c.key FROM passage p JOIN content c ON c.id = p.content_id"))
        assert [connection.execute(statement).fetchone()[0] for statement in _ORPHANS] == [0, 0, 0]
    assert rows["document"] == rows["layout"] == len(documents)
    assert rows["passage"] == sum(d.passages for d in documents) == len(keys)
    for document in documents:
        assert all(keys[p.id] == text_key(p.index_text) for p in truth.passages.of(document.id))
    for collection in truth.collections.list():
        _check_words(truth, collection.id, truth.passages.ids(collection.id).tolist())


_TABLES = ("document", "layout", "passage")


def _check_words(truth: SqliteTruth, collection_id: int, ids: list[int]) -> None:
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
