"""Gold questions in the forms of LlamaIndex, ragas, promptfoo, SQuAD and CSV, as far as these can say the same."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from io import StringIO
from typing import Any

import yaml

from rag.errors import GoldError
from rag.gold.importers import FORMULA, NOT_THERE
from rag.gold.numbers import numbers
from rag.gold.schema import Fact, Question
from rag.gold.scoring import references_of
from rag.gold.spans import Corpus, Finder, Span


def export(questions: Sequence[Question], kind: str, corpus: Corpus | None = None) -> str:
    """The questions as a file of one of ``KINDS``. SQuAD needs the ``corpus``, whose texts are its contexts.

    Left behind, since these forms have no place for them: turns, thresholds, severity and review. Raises GoldError
    for a question that SQuAD cannot hold, because none of its answers stands in its file.
    """
    return KINDS[kind](questions, corpus)


def _reference(question: Question) -> str:
    if question.unanswerable:
        return NOT_THERE
    if question.aliases:
        return question.aliases[0]
    return "; ".join(_wording(fact) for fact in question.facts)


def _wording(fact: Fact) -> str:
    if fact.number is not None:
        return f"{fact.number} {fact.unit}".strip()
    return next((wording for wording in fact.any if not wording.startswith("re:")), fact.any[0].removeprefix("re:"))


def _llama_index(questions: Sequence[Question], corpus: Corpus | None) -> str:
    by = {"model_name": "", "type": "human"}
    examples = [
        {
            "query": q.question,
            "query_by": by,
            "reference_contexts": [source.quote for source in q.sources if source.quote],
            "reference_answer": _reference(q),
            "reference_answer_by": by,
        }
        for q in questions
    ]
    return json.dumps({"class_name": "LabelledRagDataset", "examples": examples}, ensure_ascii=False, indent=2) + "\n"


def _ragas(questions: Sequence[Question], corpus: Corpus | None) -> str:
    rows = (
        {
            "user_input": q.question,
            "reference": _reference(q),
            "reference_contexts": [source.quote for source in q.sources if source.quote],
        }
        for q in questions
    )
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _promptfoo(questions: Sequence[Question], corpus: Corpus | None) -> str:
    tests: list[dict[str, Any]] = []
    for q in questions:
        tests.append({"description": q.id, "vars": {"question": q.question}, "assert": _asserts(q)})
        if q.unanswerable:
            tests[-1]["metadata"] = {"unanswerable": True}
    return yaml.safe_dump({"tests": tests}, allow_unicode=True, sort_keys=False, width=120)


def _asserts(question: Question) -> list[dict[str, Any]]:
    checks: list[dict[str, Any]] = []
    for fact in question.facts:
        plain = [w for w in fact.any if not w.startswith("re:")] if fact.number is None else [fact.number]
        patterns = [wording[3:] for wording in fact.any if wording.startswith("re:")]
        if patterns and not plain:
            checks.append({"type": "regex", "value": "|".join(f"(?:{pattern})" for pattern in patterns)})
        else:
            checks.append({"type": "icontains-any", "value": plain})
    for pattern in question.must_not_contain:
        kind = "not-regex" if pattern.startswith("re:") else "not-icontains"
        checks.append({"type": kind, "value": pattern.removeprefix("re:")})
    return checks


def _squad(questions: Sequence[Question], corpus: Corpus | None) -> str:
    if corpus is None:
        raise GoldError("SQuAD's form holds the texts of the documents.", hint="Name their library with --library.")
    finder = Finder(corpus)
    data: dict[str, list[dict[str, Any]]] = {}
    for question in questions:
        file = question.files[0] if question.files else next(iter(corpus.files()), "")
        text = corpus.text(file)
        if text is None:
            raise GoldError(
                f"The file '{file}' of '{question.id}' is not in the collection.", hint="Run `rag gold lint`."
            )
        spans = [] if question.unanswerable else _answer_spans(question, file, text, finder)
        if not spans and not question.unanswerable:
            raise GoldError(
                f"SQuAD cannot hold '{question.id}': none of its answers stands in '{file}'.",
                hint="Add an alias or a wording that stands there, or leave the question out with --id or --tag.",
            )
        answers = [{"text": text[start:end], "answer_start": start} for start, end in spans]
        row = {"id": question.id, "question": question.question, "answers": answers}
        data.setdefault(file, []).append({**row, "is_impossible": question.unanswerable})
    articles = [
        {"title": file, "paragraphs": [{"context": corpus.text(file), "qas": rows}]} for file, rows in data.items()
    ]
    return json.dumps({"version": "v2.0", "data": articles}, ensure_ascii=False, indent=2) + "\n"


def _answer_spans(question: Question, file: str, text: str, finder: Finder) -> list[Span]:
    """Where the reference answers stand, within the gold quotes if there are any."""
    places = [p for s in question.sources if s.file == file and s.quote for p in finder.quote(file, s.quote, s.page)]
    found = [spans for wording in references_of(question) if (spans := finder.quote(file, wording))]
    for fact in question.facts:
        if fact.number is not None:
            wanted = Decimal(fact.number)
            found.append(tuple((n.start, n.end) for n in numbers(text) if wanted in n.values))
    best: list[Span] = []
    for spans in found:
        inside = [span for span in spans if any(a <= span[0] and span[1] <= b for a, b in places)]
        best.extend((inside or list(spans))[:1])
    return best


def _csv(questions: Sequence[Question], corpus: Corpus | None) -> str:
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["id", "question", "answer", "source", "quote", "unanswerable", "tags"])
    for q in questions:
        quote = q.sources[0].quote if len(q.sources) == 1 else ""
        answer = "" if q.unanswerable else "|".join(references_of(q)) or _reference(q)
        cells = [q.id, q.question, answer, "|".join(q.files), quote, str(q.unanswerable).lower(), "|".join(q.tags)]
        writer.writerow([_inert(cell) for cell in cells])
    return out.getvalue()


def _inert(cell: str) -> str:
    """A spreadsheet would run a cell that begins like a formula."""
    return f"'{cell}" if cell[:1] in FORMULA else cell


KINDS: Mapping[str, Callable[[Sequence[Question], Corpus | None], str]] = {
    "llama-index": _llama_index,
    "ragas": _ragas,
    "promptfoo": _promptfoo,
    "squad": _squad,
    "csv": _csv,
}
