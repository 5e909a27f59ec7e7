"""``Answer`` as JSON tells all of it."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from rag import Library
from rag.types import Answer, Citation, Hit, MarkerSpan, Passage, Sentence

DOCS = {
    "fees.md": "# Fees\n\n## Boats\n\nThe harbour fee in Bergen is 40 crowns a day.\n",
    "fees-2019.txt": "The harbour fee in Bergen is 55 crowns a day.\n",
}


@pytest.fixture
def library(tmp_path: Path) -> Any:
    (tmp_path / "docs").mkdir()
    for name, text in DOCS.items():
        (tmp_path / "docs" / name).write_text(text, encoding="utf-8")
    with Library.open(tmp_path / "library", llm="quotes", embedder="builtin") as opened:
        opened.ingest([tmp_path / "docs"])
        yield opened


def keys(kind: Any) -> set[str]:
    return {field.name for field in fields(kind)}


def test_everything_is_there_and_survives_json(library: Library) -> None:
    answer = library.ask("What is the harbour fee in Bergen?")
    told = json.loads(json.dumps(answer.to_dict(), ensure_ascii=False, allow_nan=False))
    assert set(told) == keys(Answer)
    assert told["text"] == answer.text and told["abstained"] is False and 0 <= told["probability"] <= 1
    for name, kind in (("sentences", Sentence), ("citations", Citation), ("markers", MarkerSpan), ("hits", Hit)):
        assert told[name] and all(set(row) == keys(kind) for row in told[name])
    assert set(told["hits"][0]["passage"]) == keys(Passage)
    for row in told["sentences"]:
        assert told["text"][row["start"] : row["end"]] == row["text"]
        assert row["support"] == "quoted" and row["citations"]
    for row in told["citations"]:
        assert library.text(row["document_id"])[row["start"] : row["end"]] == row["quote"]
        assert row["origin"] == "quoted" and row["marker"] >= 1
    (differ,) = told["disagreements"]
    assert {(c["source"], c["date"], c["value"]) for c in differ["claims"]} == {
        ("fees.md", "", "40 crowns"), ("fees-2019.txt", "2019", "55 crowns"),
    }  # fmt: skip
    (side,) = (claim["citation"] for claim in differ["claims"] if claim["source"] == "fees.md")
    assert side["heading"] == ["Fees", "Boats"] and side["page"] is None
    assert {"retrieve", "abstain", "answer", "total"} <= set(told["timings"])
    assert told["model"] == "quotes" and told["asked"] == told["question"]


def test_an_abstention_tells_why_and_what_was_near(library: Library) -> None:
    told = json.loads(json.dumps(library.ask("Who painted the ceiling of the Sistine chapel?").to_dict()))
    assert told["abstained"] is True and told["reason"] and told["hits"]
    assert told["citations"] == told["sentences"] == told["markers"] == []
