"""Real search questions over 300 encyclopaedia articles in one collection; every second is not answered by its article.

The ranking with the encoder beside the one without, in one library; then what became of the questions, and whether the
probability holds: a reliability plot and the expected calibration error (ECE, ten bins of equal width).
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from rag.library import Library
from rag.types import Outcome
from tests.bench import answer_data
from tests.bench.answer_bench import HALVES, auc
from tests.bench.tables import data, say, table

BINS = 10


def main() -> None:
    """Rank, answer, and print."""
    if data("clapnq") is None:
        return
    documents, questions = answer_data.clapnq()
    with tempfile.TemporaryDirectory() as home:
        folder, library_folder = Path(home) / "documents", Path(home) / "library"
        folder.mkdir()
        for name, text in documents.items():
            (folder / name).write_text(text, encoding="utf-8")
        rows, outcomes = [], {}
        for encoder in ("off", "builtin"):
            with Library.open(library_folder, llm="quotes", embedder="builtin", encoder=encoder) as library:
                library.ingest(folder)
                for _ in library.encode_events():
                    pass
                answerable = [q for q in questions if q.answerable]
                found = [[h.passage.source for h in library.search(q.text, 20)] for q in answerable]
                rows += [_ranked(encoder, name, half, answerable, found) for half, name in HALVES]
                outcomes[encoder] = [library.ask(q.text) for q in questions]
    table(["CLAPNQ, answerable", "encoder", "questions", "file @1", "file @5"], rows)
    table(
        [
            "CLAPNQ",
            "encoder",
            "AUC",
            "refused at 5 %",
            "cut there",
            "answerable: not answered",
            "unanswerable: may not",
            "absent",
        ],
        [_judged(e, name, half, questions, answers) for e, answers in outcomes.items() for half, name in HALVES],
    )
    for half, name in HALVES[:2]:
        own = [i for i, q in enumerate(questions) if q.half == half]
        answers = outcomes["builtin"]
        reliability(f"CLAPNQ, {name}", [answers[i].probability for i in own], [questions[i].answerable for i in own])


def _ranked(
    encoder: str, name: str, half: int | None, questions: Sequence[answer_data.Asked], found: Sequence[Sequence[str]]
) -> list[object]:
    own = [(q, list(dict.fromkeys(f))) for q, f in zip(questions, found, strict=True) if half in (None, q.half)]
    return [name, encoder, len(own), *(fmean(bool(q.sources & set(f[:k])) for q, f in own) for k in (1, 5))]


def _judged(
    encoder: str, name: str, half: int | None, questions: Sequence[answer_data.Asked], answers: Sequence[object]
) -> list[object]:
    own = [(q, a) for q, a in zip(questions, answers, strict=True) if half in (None, q.half)]
    chances = [a.probability for _, a in own]  # type: ignore[attr-defined]
    right = [q.answerable for q, _ in own]
    yes = sorted(p for p, r in zip(chances, right, strict=True) if r)
    no = [p for p, r in zip(chances, right, strict=True) if not r]
    cut = yes[int(0.05 * len(yes))]
    state = {r: [a.outcome for q, a in own if q.answerable is r] for r in (True, False)}  # type: ignore[attr-defined]
    return [
        name, encoder, auc(chances, right), fmean(p < cut for p in no), cut,
        fmean(o is not Outcome.ANSWERED for o in state[True]),
        *(fmean(o is outcome for o in state[False]) for outcome in (Outcome.UNCERTAIN, Outcome.ABSENT)),
    ]  # fmt: skip


def reliability(name: str, chances: Sequence[float], right: Sequence[bool]) -> float:
    """Print how often the questions of each probability are answerable; gives the expected calibration error."""
    error, rows = 0.0, []
    for bin_ in range(BINS):
        own = [(p, r) for p, r in zip(chances, right, strict=True) if min(BINS - 1, int(p * BINS)) == bin_]
        if own:
            said, true = fmean(p for p, _ in own), fmean(r for _, r in own)
            error += abs(said - true) * len(own) / len(chances)
            rows.append([f"{bin_ / BINS:.1f}-{(bin_ + 1) / BINS:.1f}", len(own), said, true, "#" * round(40 * true)])
    table([name, "questions", "said", "answerable", ""], rows)
    say(f"ECE {error:.3f}")
    return error
