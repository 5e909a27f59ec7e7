"""Inputs that once went wrong, through whole answers in quotes mode: the right value and the right place."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag import Answer, Library


def answered(library: Path, file: Path, question: str) -> Answer:
    with Library.open(library, write=True, llm="quotes", embedder="builtin") as opened:
        report = opened.ingest([file])
        assert not report.failed, report.failed
        return opened.ask(question)


@pytest.mark.parametrize(
    ("file", "question", "said", "place"),
    [
        ("pdf/hyphen.pdf", "How much power does the photovoltaic roof deliver?", "photovoltaic roof delivers", ""),
        ("pdf/labels.pdf", "Where is the spare mantle kept?", "The spare mantle is kept in\nthe blue cupboard under",
         "pages 3-4 (printed 1-2)"),
        ("pdf/form.pdf", "What is the name of the boat?", "Sea Thistle", "page 1"),
        ("pdf/notes.pdf", "When will the pond be drained?", "August", "page 1"),
        ("pdf/notes.pdf", "When will the pond be drained?", "September", "page 1, note"),
        ("pdf/footnote.pdf", "When was the bridge opened?", "1932 ", "page 1"),
        ("html/page.html", "When is the last South ferry?", "23:00", ""),
        ("html/page.html", "How many buoys?", "10^3 buoys", ""),
        ("html/boilerplate.html", "Where will the old crane be shown?", "in the museum beside the lock", ""),
    ],
)  # fmt: skip
def test_cases(tmp_path: Path, shared: Path, file: str, question: str, said: str, place: str) -> None:
    answer = answered(tmp_path / "library", shared / "cases" / file, question)
    assert said in answer.text, answer
    assert "19322" not in answer.text and "cookies" not in answer.text
    citation = next(c for c in answer.citations if said in c.quote)
    assert citation.place == place or not place, citation


def test_a_page_s_surroundings_are_no_answer(tmp_path: Path, shared: Path) -> None:
    answer = answered(tmp_path / "library", shared / "cases" / "html" / "boilerplate.html", "What can I visit?")
    told = answer.text + "".join(hit.passage.text for hit in answer.hits)
    assert not any(said in told for said in ("cookies", "Subscribe", "bakeries", "Home", "Privacy"))
