"""Documents from programs, what is known of each, and questions to chosen ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llama_index.core.node_parser import NodeParser, TokenTextSplitter
from llama_index.core.readers.base import BaseReader
from llama_index.core.schema import Document as LlamaDocument
from llama_index.core.schema import TextNode

from rag import Library
from rag.commands.cli import run
from rag.errors import DamagedDocument, QuestionError, StoreError, UnknownSource
from rag.filters import chosen, parse_metadata, parse_terms
from rag.models.foreign import cut_by
from rag.store.dense import DenseIndex
from rag.types import Document
from tests.store.material import EMBEDDER, embed, prose, put, writer

PLAN = "The harbour of {place} was dredged in {year}; {depth} metres are kept free for ships."


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    with Library.open(tmp_path / "library", llm="quotes", embedder="builtin") as opened:
        yield opened


@pytest.fixture
def plans(library: Library) -> Library:
    for place, year, depth in (("Elm", 2022, 7), ("Oak", 2023, 8), ("Ash", 2024, 9)):
        text = PLAN.format(place=place, year=year, depth=depth)
        library.add(text, source=f"plans/{place}.txt", metadata={"year": year, "tags": ["plan", place.lower()]})
    return library


def found(library: Library, **choice: object) -> set[str]:
    return {hit.passage.source for hit in library.search("harbour dredged", 10, **choice)}  # type: ignore[arg-type]


def test_texts_bytes_and_documents_of_llamaindex_go_in(library: Library) -> None:
    text = library.add("# Tides\n\nHigh water is at six.", source="notes/tides.md", metadata={"year": 2024})
    assert (text.source, text.title, text.origin) == ("notes/tides.md", "Tides", "text:notes/tides.md")
    assert text.metadata["year"] == 2024 and text.metadata["language"] == "en"
    page = library.add(b"<title>Ferries</title><p>The ferry leaves at nine.", source="ferries.html")
    assert page.media_type == "text/html" and page.title == "Ferries"
    node = LlamaDocument(text="The dredger works in May.", metadata={"file_name": "dredger", "team": "port", "x": None})
    given = library.add(node, title="Dredging", metadata={"year": 2023})
    assert (given.source, given.title) == ("dredger", "Dredging")
    assert {"team": "port", "year": 2023}.items() <= given.metadata.items() and "x" not in given.metadata
    assert "at nine" in library.ask("When does the ferry leave?").text
    assert library.search("dredger works")[0].passage.title == "Dredging"


class Shouting(BaseReader):
    """A reader of another program."""

    def load_data(self, file: Path) -> list[LlamaDocument]:
        if "broken" in file.name:
            raise KeyError("page 3")
        return [LlamaDocument(text=file.read_text("utf-8").upper(), metadata={"team": "port", "odd": [1]})]


def test_a_parser_and_a_reader_of_llamaindex_can_be_passed_in(tmp_path: Path) -> None:
    for name in ("a.odd", "b.txt", "broken.odd"):
        (tmp_path / name).write_text("The ferry leaves at nine. It is never late. " * 20, encoding="utf-8")
    parser = TokenTextSplitter(chunk_size=64, chunk_overlap=8)
    with Library.open(tmp_path / "library", llm="quotes", embedder="builtin", node_parser=parser) as library:
        files = [tmp_path / name for name in ("a.odd", "b.txt", "broken.odd")]
        events = {event.source: event for event in library.ingest(files, reader={".odd": Shouting()}).events}
        assert {name: event.status for name, event in events.items()} == {
            "a.odd": "added", "b.txt": "added", "broken.odd": "failed",
        }  # fmt: skip
        assert "Shouting could not read broken.odd: KeyError: 'page 3'" in events["broken.odd"].error
        assert events["b.txt"].passages > 2, "the parser's passages are shorter than this program's"
        hit = library.search("WHEN DOES THE FERRY LEAVE", where={"team": "port"})[0].passage
        text = library.text(hit.document_id)
        assert text.startswith("THE FERRY") and text[hit.start : hit.end] == hit.text
        assert library.ask("When does the ferry leave?", sources=["b.txt"]).citations[0].source == "b.txt"
    with pytest.raises(DamagedDocument, match="no part of the text"):
        cut_by(Changing(), "One two.")


class Changing(NodeParser):
    """A parser that writes texts of its own."""

    def _parse_nodes(self, nodes: Any, show_progress: bool = False, **_: Any) -> Any:
        return [TextNode(text="A summary.") for _ in nodes]


def test_a_text_of_the_same_source_is_its_next_version(library: Library) -> None:
    first = library.add("Six boats.", source="boats")
    assert library.add("Six boats.", source="boats") == first
    tagged = library.add("Six boats.", source="boats", metadata={"tags": ["fleet"]})
    assert tagged.id == first.id and tagged.metadata == {"tags": ["fleet"]}
    second = library.add("Seven boats.", source="boats")
    assert [d.source for d in library.sources()] == ["boats"] and library.text(second.id).strip() == "Seven boats."
    assert library.describe("boats", {"year": 1999}).metadata == {"year": 1999}


def test_what_cannot_be_added_is_told(library: Library) -> None:
    for wrong in ({"source": None}, {"source": " "}, {"source": "a", "metadata": {"when": object()}}):
        with pytest.raises(StoreError):
            library.add("text", **wrong)
    with pytest.raises(DamagedDocument):
        library.add(b"%PDF-1.7 nothing", source="a.pdf")


def test_questions_go_to_chosen_documents_alone(plans: Library) -> None:
    assert found(plans) == {"plans/Elm.txt", "plans/Oak.txt", "plans/Ash.txt"}
    assert found(plans, sources=["plans/Oak.txt"]) == {"plans/Oak.txt"}
    assert found(plans, sources=["plans/[EO]*"]) == {"plans/Elm.txt", "plans/Oak.txt"}
    assert found(plans, where={"year": 2024}) == {"plans/Ash.txt"}
    assert found(plans, where={"year": {"gte": 2023}}) == {"plans/Oak.txt", "plans/Ash.txt"}
    assert found(plans, where={"tags": "elm"}) == found(plans, where={"year": [2022, 1999]}) == {"plans/Elm.txt"}
    assert len(found(plans, where={"folder": "plans", "type": "txt", "added": {"gt": "2001-01-01"}})) == 3
    assert found(plans, where={"year": 1999}) == found(plans, where={"year": {"gt": 2100}}) == set()
    answer = plans.ask("How many metres are kept free for ships?", where={"year": 2023})
    assert "8 metres" in answer.text and set(answer.sources) == {"plans/Oak.txt"}
    assert plans.ask("How many metres are kept free for ships?", where={"year": 2024}).sources == ("plans/Ash.txt",)
    assert "No document meets the conditions" in plans.ask("How deep?", where={"year": 1999}).notices[-1]
    assert plans.retriever(where={"year": 2022}).retrieve("harbour")[0].metadata["source"] == "plans/Elm.txt"
    with pytest.raises(UnknownSource, match="plans/Fir"):
        found(plans, sources=["plans/Fir.txt"])
    with pytest.raises(QuestionError, match="comparison"):
        found(plans, where={"year": {"near": 2024}})


def test_what_no_document_can_meet_is_told(plans: Library) -> None:
    with pytest.raises(QuestionError, match="No document has 'foo'") as caught:
        found(plans, where={"foo": 3})
    assert {"year", "tags", "folder", "added"} <= set(caught.value.hint.removesuffix(".").split(": ")[1].split(", "))
    for wrong in ("abc", "2024", None, {"gt": "abc"}, [2024, "abc"]):
        with pytest.raises(QuestionError, match="'year' is a number"):
            found(plans, where={"year": wrong})
    with pytest.raises(QuestionError, match="is a date"):
        found(plans, where={"added": {"gt": "May"}})
    assert len(found(plans, where={"added": {"gt": 2001}})) == 3 and found(plans, where={"modified": "2020"}) == set()


def test_files_are_chosen_by_folder_and_dates(library: Library, tmp_path: Path) -> None:
    for name in ("hr/leave.txt", "hr/old/pay.txt", "it/mail.txt"):
        (tmp_path / "docs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "docs" / name).write_text(f"Harbour rules dredged up in {name}.", encoding="utf-8")
    library.ingest([tmp_path / "docs"])
    assert found(library, where={"folder": "hr"}) == {"hr/leave.txt", "hr/old/pay.txt"}
    assert found(library, where={"folder": "hr/old/"}) == {"hr/old/pay.txt"}
    assert found(library, where={"folder": str(tmp_path / "docs" / "it")}) == {"it/mail.txt"}
    assert len(found(library, where={"modified": {"gte": "2001-01-01", "lt": "2999-01-01"}})) == 3


def test_what_an_ingest_notes_can_be_chosen_by(library: Library, tmp_path: Path) -> None:
    (tmp_path / "elm.txt").write_text("The harbour was dredged.", encoding="utf-8")
    library.ingest([tmp_path / "elm.txt"])
    noted = parse_metadata(["year=2024", "tags=plan", "tags=elm"])
    assert noted == {"year": 2024, "tags": ["plan", "elm"]}
    assert library.ingest([tmp_path / "elm.txt"], metadata=noted).events[0].status == "updated"
    assert library.ingest([tmp_path / "elm.txt"], metadata=noted).events[0].status == "unchanged"
    assert found(library, where={"year": 2024, "tags": "elm"}) == {"elm.txt"}
    with pytest.raises(QuestionError, match="notes nothing"):
        parse_metadata(["year"])


def test_conditions_as_they_are_typed() -> None:
    typed = ["year=2024", "added>=2024-01-01", "added<2025-01-01", "tags != x", "name=a=b"]
    assert parse_terms(typed) == {
        "year": {"eq": 2024}, "added": {"gte": "2024-01-01", "lt": "2025-01-01"}, "tags": {"ne": "x"},
        "name": {"eq": "a=b"},
    }  # fmt: skip
    for wrong in ("year", "year>>3", "year==3", "=3"):
        with pytest.raises(QuestionError, match="no condition"):
            parse_terms([wrong])
    document = Document(1, "c", "a.md", "A", "text/markdown", "", 1, 1, 1, 0, 0, 0.0, metadata={"tags": ["x", "y"]})
    assert chosen([document], (), parse_terms(["tags=x"])) == [document]
    assert chosen([document], (), parse_terms(["tags!=x"])) == []
    dated = replace(document, id=2, metadata={"year": 2})
    assert chosen([document, dated], (), parse_terms(["year!=3"])) == [dated], "of what is not known nothing is true"


def test_on_the_command_line(
    plans: Library, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plans.close()
    monkeypatch.setenv("RAG_LIBRARY", str(plans.path))
    monkeypatch.setenv("RAG_LLM", "quotes")
    assert run(["search", "harbour", "--where", "year>2022", "--source", "plans/*", "--json"]) == 0
    hits = json.loads(capsys.readouterr().out)
    assert {hit["passage"]["source"] for hit in hits} == {"plans/Oak.txt", "plans/Ash.txt"}
    assert run(["ask", "How many metres are kept free?", "--where", "year=2022"]) == 0
    assert "7 metres" in capsys.readouterr().out
    for wrong in ("year", "year>>3", "foo=3", "year=abc"):
        assert run(["ask", "How many metres?", "--where", wrong]) == 1


def test_a_filtered_search_is_the_exact_one_of_the_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with writer(tmp_path) as truth:
        collection = truth.collections.create("default", EMBEDDER, "v1")
        documents = [put(truth, collection, f"{n}.txt", prose(n)) for n in range(12)]
        query = embed(b"question of a test")
        ids, matrix = truth.vectors.all(collection.id)
        for chosen_ones in (documents[3:4], documents[1:11], []):
            within = truth.passages.numbers_in([d.id for d in chosen_ones])
            places = np.flatnonzero(np.isin(ids, within))
            order = places[np.argsort(-(matrix[places] @ query), kind="stable")][:5]
            expected = [int(ids[place]) for place in order]
            for limit in (1 << 40, -1):
                monkeypatch.setattr("rag.store.dense.EXACT_BYTES", limit)
                dense = DenseIndex.open(truth, tmp_path)
                dense.sync()
                assert [i for i, _ in dense.search(collection, query, 5, within)] == expected
                dense.close()
            words = truth.lexical.rank(collection.id, prose(3, 8), 50, within=within)
            assert set(words) <= set(within.tolist())
