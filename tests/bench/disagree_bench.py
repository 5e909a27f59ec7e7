"""Disagreement, measured: contradictions that must be told, look-alikes and real questions that must not.

``python -m tests.bench disagree``; every figure is over whole answers in ``quotes`` mode, retrieval included.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from rag.config import Config
from rag.library import Library
from rag.types import Answer, Disagreement
from tests.bench import answer_data as data
from tests.bench import disagree_data as made
from tests.bench import tables
from tests.bench.answer_bench import _library
from tests.bench.disagree_data import Case
from tests.bench.tables import say, table

Judge = Callable[[Case, Answer], bool]


def main() -> None:
    """Made documents alone and within longer ones, then the false alarms over real questions."""
    rows: list[list[object]] = []
    for shape in ("short files", "within articles") if tables.data("xquad") else ("short files",):
        rows += _made(shape, made.contradictions(), lambda case, answer: told(case, answer.disagreements))
    table(["contradictions", "half", "wording", "told"], rows)
    say()
    rows = []
    for shape in ("short files", "within articles") if tables.data("xquad") else ("short files",):
        rows += _made(shape, made.lookalikes(), lambda _, answer: bool(answer.disagreements))
    table(["look-alikes", "half", "wording", "false alarms"], rows)
    say()
    _real()


def told(case: Case, found: Sequence[Disagreement]) -> bool:
    """Whether one disagreement has every side of the case, each from a file of the case and from no other."""
    return any(
        {claim.source for claim in item.claims} <= set(case.documents)
        and all(any(side.lower() in claim.citation.quote.lower() for claim in item.claims) for side in case.sides)
        for item in found
    )


def _made(shape: str, cases: list[Case], judge: Judge) -> list[list[object]]:
    rows: list[list[object]] = []
    for held in (False, True):
        own = [case for case in cases if case.held == held]
        if shape == "within articles":
            own = made.within_articles(own, int(held))
        with _library({name: text for case in own for name, text in case.documents.items()}) as library:
            judged = [(case, judge(case, library.ask(case.question))) for case in own]
        for same in (True, False):
            found = [hit for case, hit in judged if case.same_wording == same]
            wording = {True: "the same", False: "other"}[same] if any(c.sides for c in own) else "alike"
            if found:
                rows.append([shape, "held out" if held else "tuned on", wording, f"{sum(found)} of {len(found)}"])
    return rows


def _real() -> None:
    """Questions that no two sources of these collections answer differently, but for the sample corpus' known cases."""
    rows: list[list[object]] = []
    if tables.data("xquad") is not None:
        documents, questions = data.xquad()
        with _library(documents) as library:
            rows.append(_counted("XQuAD, 48 documents", questions, library))
    folder = tables.data("sec-10-q")
    if folder is not None:
        with tempfile.TemporaryDirectory() as home:
            with Library.open(Path(home), config=Config(llm="quotes", embedder="builtin")) as library:
                library.ingest(folder / "docs")
                rows.append(_counted("quarterly reports", data.report_questions(), library))
    for name, (documents, questions) in {"briefs": data.briefs(), "originals": data.originals()}.items():
        if not documents:
            say(f"skipped: the {name} are not there")
            continue
        with _library(documents) as library:
            plain = [q for q in questions if q.answerable and not q.id.startswith("differ-")]
            rows.append(_counted(name, plain, library))
            known = [q for q in questions if q.id.startswith("differ-")]
            say(
                f"{name}, known to differ: told " + (", ".join(_alarms(known, library)) or "none") + f" of {len(known)}"
            )
    table(["real questions", "count", "answered", "disagreement told", "which"], rows)


def _counted(name: str, questions: Sequence[data.Asked], library: Library) -> list[object]:
    started = time.perf_counter()
    answers = [library.ask(question.text) for question in questions]
    spent = (time.perf_counter() - started) / len(questions) * 1000
    found = [q.id for q, a in zip(questions, answers, strict=True) if a.disagreements]
    say(f"{name}: {spent:.1f} ms an answer, retrieval included")
    answered = sum(not a.abstained for a in answers)
    return [name, len(questions), answered, len(found), ", ".join(found[:5])]


def _alarms(questions: Iterable[data.Asked], library: Library) -> list[str]:
    return [question.id for question in questions if library.ask(question.text).disagreements]
