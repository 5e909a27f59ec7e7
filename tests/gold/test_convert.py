from __future__ import annotations

import csv
import json
from io import StringIO
from pathlib import Path

import pytest
import yaml

from rag.errors import GoldError
from rag.gold.files.exchange import EXPORTS as KINDS
from rag.gold.files.exchange import Imported, export, import_file
from rag.gold.files.gold_set import parse_gold
from rag.gold.files.lint import lint
from rag.gold.types import Fact, GoldSet, Question, Review, Source
from tests.gold.corpus import Texts
from tests.gold.handbook import DOCUMENTS, GOLD

CORPUS = Texts(DOCUMENTS)
HANDBOOK = parse_gold(GOLD)


def imported(tmp_path: Path, kind: str, text: str, corpus: Texts | None = CORPUS) -> Imported:
    path = tmp_path / "data"
    path.write_text(text, encoding="utf-8")
    return import_file(path, kind, corpus)


LEAVE = Source("leave.md", quote="Full-time staff get 25 days of annual leave.")


def test_llama_indexs_dataset(tmp_path: Path) -> None:
    data = {
        "examples": [
            {
                "query": "How much leave?",
                "query_by": {"model_name": "m", "type": "ai"},
                "reference_contexts": ["Full-time staff get\n25 days of annual leave.", "Not in any document."],
                "reference_answer": "Full-time staff get twenty-five days of leave in a year.",
                "reference_answer_by": None,
            },
            {"query": "What does a badge cost?", "reference_contexts": None, "reference_answer": "15 euros"},
        ]
    }
    result = imported(tmp_path, "llama-index", json.dumps(data))
    first, second = result.questions
    assert (first.id, first.question, first.sources) == ("llama-001", "How much leave?", (LEAVE,))
    assert first.aliases == ("Full-time staff get twenty-five days of leave in a year.",) and first.facts == ()
    assert second.facts == (Fact("answer", any=("15 euros",)),)
    assert first.review == Review("approved", "import")
    assert len(result.notes) == 1 and "stands in none of the documents" in result.notes[0]
    without = imported(tmp_path, "llama-index", json.dumps(data), None)
    assert without.questions[0].sources == () and "no library was given" in without.notes[0]


@pytest.mark.parametrize("form", ["list", "lines", "samples", "columns"])
def test_ragas_in_each_of_its_forms(tmp_path: Path, form: str) -> None:
    rows = [
        {"user_input": "How much leave?", "reference": "25 days", "reference_contexts": [LEAVE.quote]},
        {"user_input": "Who cooks?", "reference": "Tomas Horak", "reference_contexts": []},
    ]
    text = {
        "list": json.dumps(rows),
        "lines": "".join(json.dumps(row) + "\n" for row in rows),
        "samples": json.dumps({"samples": rows}),
        "columns": json.dumps({key: [row[key] for row in rows] for key in rows[0]}),
    }[form]
    first, second = imported(tmp_path, "ragas", text).questions
    assert (first.question, first.facts, first.sources) == (
        "How much leave?",
        (Fact("answer", any=("25 days",)),),
        (LEAVE,),
    )
    assert second.facts == (Fact("answer", any=("Tomas Horak",)),)


def test_ragas_older_names(tmp_path: Path) -> None:
    row = {"question": "How much leave?", "ground_truths": ["25 days", "25"], "contexts": [LEAVE.quote]}
    (question,) = imported(tmp_path, "ragas", json.dumps([row])).questions
    assert question.facts == (Fact("answer", any=("25 days", "25")),) and question.sources == (LEAVE,)


def test_promptfoos_tests(tmp_path: Path) -> None:
    text = """
prompts: [p.txt]
tests:
- description: badge cost
  vars: {question: 'What does a badge cost?'}
  assert:
  - {type: icontains-any, value: [15 euros, fifteen euros]}
  - {type: contains-all, value: [badge, lost]}
  - {type: regex, value: '1[0-9]'}
  - {type: not-icontains, value: free}
  - {type: llm-rubric, value: is polite}
- vars: {query: 'Who cooks?'}
  assert: [{type: equals, value: Tomas Horak}]
"""
    result = imported(tmp_path, "promptfoo", text)
    first, second = result.questions
    assert first.id == "badge-cost"
    assert [fact.any for fact in first.facts] == [("15 euros", "fifteen euros"), ("badge",), ("lost",), ("re:1[0-9]",)]
    assert first.must_not_contain == ("free",)
    assert second.facts == (Fact("fact-1", any=("Tomas Horak",)),)
    assert result.notes == ["badge cost: an assertion of the type 'llm-rubric' was left out."]


def test_squad_with_and_without_its_documents(tmp_path: Path) -> None:
    context = "The garage has 310 parking spaces. Bicycles stand in the north courtyard."
    spots = [{"text": text, "answer_start": context.index(text)} for text in ("310", "310 parking spaces")]
    court = [{"text": "the north courtyard", "answer_start": context.index("the north")}]
    qas = [
        {"id": "56d", "question": "How many?", "answers": spots},
        {"id": "56e", "question": "Where?", "answers": court},
        {"id": "56f", "question": "Why?", "answers": [], "is_impossible": True},
    ]
    article = {"title": "Parking", "paragraphs": [{"context": context, "qas": qas}]}
    text = json.dumps({"version": "2", "data": [article]})
    many, where, why = imported(tmp_path, "squad", text).questions
    assert many.facts == (Fact("answer", any=("310", "310 parking spaces")),)
    assert many.sources == (Source("parking.md", quote="The garage has 310 parking spaces."),)
    assert where.sources == (Source("parking.md", quote="Bicycles stand in the north courtyard."),)
    assert why.unanswerable and why.sources == ()
    assert imported(tmp_path, "squad", text, None).questions[0].sources == (Source("Parking"),)


def test_csv_with_patterns_and_unknown_files(tmp_path: Path) -> None:
    text = (
        "Question;Source Docs;Question Type;Answer;quote\n"
        "What does a badge cost?;*security*;Single Doc;15 euros;A lost badge costs 15 euros.\n"
        "What of cars and cooks?;park*,canteen,nothing*;Multi Doc;a long answer that says more than a few words;\n"
    )
    result = imported(tmp_path, "csv", text)
    first, second = result.questions
    assert first.sources == (Source("security.md", quote="A lost badge costs 15 euros."),)
    assert first.tags == ("single-doc",)
    assert second.files == ("parking.md", "canteen.md") and second.facts == () and second.aliases
    assert result.notes == ["row-002: no document is called 'nothing*'; left out."]


def test_the_real_csv_of_quarterly_reports(shared: Path) -> None:
    path = next((shared / "data" / "sec-10-q").rglob("*.csv"))
    names = [pdf.relative_to(path.parent).name for pdf in (shared / "data" / "sec-10-q").rglob("*.pdf")]
    result = import_file(path, "csv", Texts(dict.fromkeys(names, "")))
    assert len(result.questions) == 195
    assert result.notes == []
    assert all(question.sources for question in result.questions)


def test_the_real_squad_file(shared: Path) -> None:
    path = next((shared / "data" / "xquad").rglob("*.json"))
    assert len(import_file(path, "squad").questions) == 1_190


@pytest.mark.parametrize("kind", list(KINDS))
def test_what_is_no_such_file_is_refused(tmp_path: Path, kind: str) -> None:
    for text in ("", "[]", "{}", "12", "null", "a,b\n1,2\n", '{"examples": 3}', "\x00"):
        with pytest.raises(GoldError, match="of the kind"):
            imported(tmp_path, kind, text)
    with pytest.raises(GoldError, match="Cannot read"):
        import_file(tmp_path / "missing", kind)


@pytest.mark.parametrize("kind", list(KINDS))
def test_exported_questions_come_back(tmp_path: Path, kind: str) -> None:
    text = export(HANDBOOK.questions, kind, CORPUS)
    back = {q.question: q for q in imported(tmp_path, kind, text).questions}
    for question in HANDBOOK.questions:
        found = back[question.question]
        if kind in ("squad", "csv"):
            assert found.unanswerable == question.unanswerable
        if kind != "promptfoo" and not question.unanswerable:
            assert found.files == question.files
        if question.facts and question.facts[0].any:
            assert question.facts[0].any[0] in found.facts[0].any


def test_an_export_is_lint_clean_when_it_comes_back(tmp_path: Path) -> None:
    text = export(HANDBOOK.questions, "squad", CORPUS)
    questions = tuple(imported(tmp_path, "squad", text).questions)
    assert lint(GoldSet("x", questions), CORPUS) == ()


def test_squad_refuses_what_it_cannot_hold() -> None:
    with pytest.raises(GoldError, match="holds the texts"):
        export(HANDBOOK.questions, "squad")
    absent = Question("a", "Why?", facts=(Fact("f", any=("zebra",)),), sources=(Source("leave.md"),))
    with pytest.raises(GoldError, match=r"none of its answers stands in 'leave\.md'"):
        export([absent], "squad", CORPUS)


def test_a_spreadsheet_runs_nothing() -> None:
    text = export([Question("a", "=HYPERLINK(1)", aliases=("+1",))], "csv")
    assert list(csv.reader(StringIO(text)))[1][1:3] == ["'=HYPERLINK(1)", "'+1"]


def test_promptfoos_file_is_yaml_with_its_assertions() -> None:
    tests = yaml.safe_load(export(HANDBOOK.questions, "promptfoo"))["tests"]
    assert tests[1]["assert"] == [{"type": "icontains-any", "value": ["Lisbon"]}]
    assert {"type": "not-icontains", "value": "Beatriz Almeida"} in tests[5]["assert"]
