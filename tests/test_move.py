"""A library moved into a database and back is the same library: its numbers, vectors, answers, people and talks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from rag.config import Config
from rag.errors import LibraryLocked, StoreError
from rag.library import Library, move_library
from rag.store.backends import open_tables
from rag.store.move import KEYS, _hash
from rag.store.postgres.schema import POSTING_KEY, TABLES
from tests.conftest import ROOT
from tests.postgres import Server

QUESTION = "Which port did the article wrongly call Pakistani?"
CONFIG = Config(llm="quotes", embedder="builtin")


@pytest.fixture(name="original", scope="module")
def folder_with_everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of which every table that is copied holds something."""
    place = tmp_path_factory.mktemp("move") / "library"
    with Library.open(place, config=CONFIG) as library:
        library.ingest(ROOT / "seeds", metadata={"year": 2024})
        broken = place.parent / "broken.pdf"
        broken.write_bytes(b"%PDF-1.4 no")
        library.ingest(broken)
        library.add("The last document, which goes again.", source="gone.txt")
        library.remove("gone.txt")
        list(library.encode_events())
        truth = library._truth
        first = library.sources()[0]
        document = library.add("x \U0010ffff naïve 東京", title="a\0b", source="marks.txt", metadata={"tags": ["a"]})
        number = library.conversations.create("default")
        library.conversations.append(number, QUESTION, QUESTION, library.ask(QUESTION).to_dict())
        library.conversations.feedback(number, 0, -1, "no")
        user = library.accounts.add("ada", "walnut orbit lantern", "editor")
        truth.accounts.share(truth.collections.get("default").id, user.id, edits=True)
        truth.accounts.keep(user.id, "token", "d" * 64, "program", 2e9)
        truth.accounts.begin_attempt("bo", 5, 60, 3600)
        truth.accounts.note("ada", "signed-in", "", "127.0.0.1")
        with truth.database_of_tables.writing() as connection:  # type: ignore[attr-defined]
            connection.execute("INSERT INTO original VALUES (?, ?)", (document.id, bytes(range(256))))
        assert first.id
    return place


def moved(source: Path | str, target: Path | str) -> tuple[int, int]:
    """Rows and questions that are the same in both."""
    last = list(move_library(str(source), str(target), config=CONFIG))[-1]
    return last.total, last.questions


def hashes(place: Path | str) -> dict[str, str]:
    with open_tables(place, writer=False) as truth:
        found = {table: _hash(truth.database_of_tables, table) for table in KEYS}
        with truth.database_of_tables.reading() as connection:
            assert all(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in KEYS)
    return found


def posting_key(address: str) -> str:
    with psycopg.connect(address) as connection:
        row = connection.execute("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'posting_pkey'"
                                 " AND connamespace = current_schema()::regnamespace").fetchone()  # fmt: skip
    return row[0] if row else ""


def test_every_table_is_copied_or_derived_or_passes() -> None:
    derived = {"dense", "outbox", "posting", "indexed"}
    assert set(TABLES) == set(KEYS) | derived | {"meta", "job", "job_file", "worker"}


def test_there_and_back(original: Path, postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("embedded again")

    monkeypatch.setattr("rag.models.embed.embed_documents", never)
    address = postgres.address("moved")
    before = hashes(original)
    rows, questions = moved(original, address)
    assert rows > 100 and questions > 3 and hashes(address) == before
    assert posting_key(address).replace("PRIMARY KEY", "CONSTRAINT posting_pkey PRIMARY KEY") == POSTING_KEY
    assert moved(address, tmp_path / "back") == (rows, questions) and hashes(tmp_path / "back") == before
    monkeypatch.undo()
    with (
        Library.open(original, config=CONFIG) as here,
        Library.open(address, config=CONFIG, library=tmp_path / "hand") as there,
        Library.open(tmp_path / "back", config=CONFIG) as back,
    ):
        asked = [library.ask(QUESTION) for library in (here, there, back)]
        assert len({(a.text, tuple((c.document_id, c.start, c.end) for c in a.citations)) for a in asked}) == 1
        assert [library.conversations.get(1) for library in (there, back)] == [here.conversations.get(1)] * 2
        assert [library.accounts.sign_in("ada", "walnut orbit lantern", "") is not None for library in (there, back)]
        new = [library.add("A new document.", source="new.txt") for library in (here, there, back)]
        assert len({document.id for document in new}) == 1, "no number is used again"
        ids = [
            library._truth.passages.of(document.id)[0].id
            for library, document in zip((here, there, back), new, strict=True)
        ]
        assert len(set(ids)) == 1
        assert [library.search("new document", 1)[0].passage.id for library in (here, there, back)] == ids
        for library in (here, there, back):
            library.remove("new.txt")


def stopped(source: Path, target: str) -> None:
    """A move that is ended in the middle."""
    events: Iterator[object] = move_library(str(source), target, config=CONFIG)
    for event in events:
        if getattr(event, "table", "") == "passage":
            break
    events.close()  # type: ignore[attr-defined]


def test_it_goes_on_where_it_was_stopped(original: Path, postgres: Server, tmp_path: Path) -> None:
    address = postgres.address("stopped")
    stopped(original, address)
    with pytest.raises(StoreError, match="not all of it has come"):
        Library.open(address, config=CONFIG, library=tmp_path / "hand")
    events = list(move_library(str(original), address, config=CONFIG))
    assert events[0].done and hashes(address) == hashes(original), "what was there is not copied again"
    with pytest.raises(StoreError, match="holds a library already"):
        moved(original, address)


def test_a_library_that_changed_meanwhile_is_copied_anew(original: Path, postgres: Server) -> None:
    address = postgres.address("changed")
    stopped(original, address)
    with Library.open(original, config=CONFIG) as library:
        library.add("Something else.", source="else.txt")
    moved(original, address)
    assert hashes(address) == hashes(original)


def test_nobody_writes_to_a_folder_meanwhile(original: Path, postgres: Server) -> None:
    with Library.open(original, config=CONFIG), pytest.raises(LibraryLocked):
        moved(original, postgres.address("locked"))
