"""Does the probability that the documents answer hold? For each corpus, on the halves tuned on and held out: how often
the questions of each probability are answerable, the expected calibration error (ECE, ten bins of equal width), and
what is held back of those that are answered there and of those that are not. And each constant of the features smaller
and larger: how the area under the curve differs, with what was read and without.

In memory, by the retriever's formulas, so that questions can be asked as if their paragraph or article were not there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from importlib import import_module
from statistics import fmean
from unittest.mock import patch

from rag.answer.abstain import ABSENT_BELOW, DEFAULT_THRESHOLD, Abstainer
from rag.answer.reading import Reader
from rag.models.static import static_vectors
from tests.bench import answer_data as data
from tests.bench.answer_bench import HALVES, auc
from tests.bench.clapnq_bench import reliability
from tests.bench.fit_answer import asked_sets
from tests.bench.remembering import Remembering, RememberingSpans
from tests.bench.tables import say, table

CORPORA: Mapping[str, Sequence[str]] = {
    "CLAPNQ": ("clapnq", "clapnq-none"),
    "CLAPNQ, each article alone": ("own", "own-none"),
    "XQuAD": ("xquad", "paragraph", "swap", "made"),
    "XQuAD, each page alone": ("page", "page-other", "page-swap"),
    "sec-10-q": ("reports", "reports-none"),
    "samples": ("briefs", "briefs-none"),
    "originals": ("originals", "originals-none"),
}

CONSTANTS: Mapping[str, tuple[float, float]] = {
    "_BEST": (1, 6), "_SMALLEST": (5, 40), "_PRESENT": (0.3, 0.8), "_SHORT": (3, 12), "_STRONG": (15, 60),
    "_LEAST_WINDOW": (0.1, 0.4),
}  # fmt: skip
"""Of ``rag.answer.abstain``, and what each is set to beside what it is."""
EVERY = 5
"""So many questions of a set are one that the constants are tried on; of CLAPNQ all."""

Judged = tuple[int, bool, float]
"""The half of a question, whether it is answerable, and the probability that it is."""


def main() -> None:
    """Judge every question, and print."""
    missing = data.available()
    if missing:
        say(f"skipped: not there: {missing}")
        return
    encoder = Remembering()
    sets = asked_sets(static_vectors(), encoder)
    reader = Reader(encoder, RememberingSpans())
    judged = {name: [_judged(reader, one) for one in asked] for name, asked in sets.items()}
    rows = []
    for corpus, names in CORPORA.items():
        for half, label in HALVES[:2]:
            own = [one for name in names for one in judged[name] if one[0] == half]
            error = reliability(f"{corpus}, {label}", [p for _, _, p in own], [right for _, right, _ in own])
            rows.append([corpus, label, *_figures(own), error])
    _try_constants(sets, reader)
    head = ["answerable", "held back", "unanswerable", "held back", "not in the documents", "AUC", "ECE"]
    table(["corpus", "half", *head], rows)


def _try_constants(sets: Mapping[str, Sequence[data.Asked]], reader: Reader) -> None:
    own = {name: [q for q in asked if q.half == data.HOLD] for name, asked in sets.items()}
    own = {name: asked if "clapnq" in name else asked[::EVERY] for name, asked in own.items()}
    rules, rows = import_module("rag.answer.abstain"), []
    there: list[float] = []
    for name, value in [("", 0.0), *((name, value) for name, values in CONSTANTS.items() for value in values)]:
        with patch.object(rules, name, type(getattr(rules, name))(value)) if name else nullcontext():
            areas = [
                _area([_judged(r, q) for n in names for q in own[n]])
                for names in CORPORA.values()
                for r in (reader, None)
            ]
        there = there or areas
        shown = (f"{a:.3f}" if not name else f"{a - b:+.3f}" for a, b in zip(areas, there, strict=True))
        rows.append([f"{name} = {value:g}" if name else "as it is", *shown])
    table(["AUC, held out, read; without", *(c + w for c in CORPORA for w in (", read", ", without"))], rows)


def _area(judged: Sequence[Judged]) -> float:
    return auc([p for _, _, p in judged], [right for _, right, _ in judged])


def _judged(reader: Reader | None, asked: data.Asked) -> Judged:
    judge = Abstainer(static_vectors(), asked.document_frequency, asked.count, reader=reader)
    return asked.half, asked.answerable, judge.probability(asked.text, asked.hits)


def _figures(judged: Sequence[Judged]) -> list[float]:
    yes = [p for _, right, p in judged if right]
    no = [p for _, right, p in judged if not right]
    return [
        len(yes), fmean(p < DEFAULT_THRESHOLD for p in yes),
        len(no), fmean(p < DEFAULT_THRESHOLD for p in no), fmean(p < ABSENT_BELOW for p in no),
        auc([*yes, *no], [*([True] * len(yes)), *([False] * len(no))]),
    ]  # fmt: skip
