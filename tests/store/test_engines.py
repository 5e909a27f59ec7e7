"""The engines keep the same tables and rank alike."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from rag.store.postgres.schema import TABLES
from rag.store.postgres.truth import PostgresTruth
from rag.store.sqlite.truth import SqliteTruth
from rag.store.truth import Collection, NewDocument, Truth
from tests.conftest import ROOT
from tests.postgres import Server
from tests.store.material import EMBEDDER, cut, embed_all, parsed, writer

QUESTIONS = (
    "Which port did the article wrongly call Pakistani?", "Who won the election?", "the and of in",
    "How many people were killed in the attack?",
    "central bank interest rates", "What did the minister say about water",
    "2017", "Gwadar port", "Karachi's police and the army", "education in Punjab", "naïve café 東京",
)  # fmt: skip


@pytest.fixture(name="both", scope="module")
def engines(
    postgres: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, tuple[Truth, Collection]]]:
    """The sample documents in SQLite and in PostgreSQL."""
    folder = tmp_path_factory.mktemp("engines")
    with ExitStack() as stack:
        opened: dict[str, Truth] = {
            "sqlite": stack.enter_context(writer(folder)),
            "postgres": stack.enter_context(PostgresTruth.open(postgres.address("engines"), writer=True)),
        }
        made = {}
        for name, truth in opened.items():
            collection = truth.collections.create("default", EMBEDDER, "v1")
            for path in sorted((ROOT / "seeds").glob("*.md")):
                document = parsed(path.read_text(encoding="utf-8"), path.stem)
                passages = cut(document, 800)
                truth.documents.put(
                    collection, NewDocument(path.name, path.name, document, passages, embed_all(passages))
                )
            made[name] = truth, collection
        yield made


@pytest.mark.parametrize("question", QUESTIONS)
def test_they_rank_alike(both: dict[str, tuple[Truth, Collection]], question: str) -> None:
    ranked = {name: truth.lexical.search(collection.id, question, 10) for name, (truth, collection) in both.items()}
    assert [number for number, _ in ranked["postgres"]] == [number for number, _ in ranked["sqlite"]]
    for (_, score), (_, other) in zip(ranked["postgres"], ranked["sqlite"], strict=True):
        assert score == pytest.approx(other, abs=1e-6)


def test_they_count_alike(both: dict[str, tuple[Truth, Collection]]) -> None:
    counted = []
    for truth, collection in both.values():
        homes = list(truth.passages.homes(truth.passages.ids(collection.id).tolist()).values())
        counted.append([truth.lexical.counts(collection.id, question, homes).tolist() for question in QUESTIONS])
    assert counted[0] == counted[1]


def test_they_have_the_same_tables(both: dict[str, tuple[Truth, Collection]]) -> None:
    sqlite, postgres = both["sqlite"][0], both["postgres"][0]
    assert isinstance(sqlite, SqliteTruth) and isinstance(postgres, PostgresTruth)
    with postgres.database.reading() as connection:
        rows = connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema()"
        ).fetchall()
    own = {"library", "passage_number", "posting", "indexed"}
    there = {(table, column) for table, column in rows if table not in own}
    with sqlite.database.reading() as connection:
        tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        known = {
            (name, row[1]) for (name,) in tables if not name.startswith(("fts_", "sqlite_"))
            for row in connection.execute(f"PRAGMA table_info({name})")
        }  # fmt: skip
    assert there == known
    assert {table for table, _ in there} | own - {"library", "passage_number"} == set(TABLES)


def test_a_password_is_not_shown(postgres: Server, tmp_path: Path) -> None:
    address = postgres.address("secret").replace("postgres@", "postgres:hush@")
    with PostgresTruth.open(address, writer=True) as truth:
        assert "hush" not in truth.database.shown and truth.address == address
