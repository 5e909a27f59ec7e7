"""The threshold of abstention, and the weight of fusion, fitted on a gold set and judged by cross-validation."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import TYPE_CHECKING, TypeVar

from rag.errors import GoldError
from rag.gold.backend import Backend, LibraryCorpus
from rag.gold.linting import require_valid
from rag.gold.ranking import Place, first_occurrences, found_at, reciprocal_rank
from rag.gold.runner import Progress
from rag.gold.schema import GoldSet, Question
from rag.gold.spans import Finder
from rag.gold.stats import Interval, bootstrap
from rag.types import Hit

if TYPE_CHECKING:
    from rag.library import Library
    from rag.retrieve import Fusion

FOLDS = 5
WEIGHTS = tuple(step / 10 for step in range(11))
_LEAST = 10
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fit:
    """A setting before and after. ``before`` and ``after`` are means of ``measure`` over the questions, ``after`` by
    cross-validation (each question under the value fitted without it); ``delta`` is paired. ``parts`` break the
    measure down: name, before, after."""

    setting: str
    old: float
    new: float
    measure: str
    before: Interval
    after: Interval
    delta: Interval
    parts: tuple[tuple[str, Interval, Interval], ...] = ()

    @property
    def better(self) -> bool:
        """Whether the fitted value is significantly better on questions it was not fitted on."""
        return self.delta.significant and self.delta.mean > 0


@dataclass(frozen=True, slots=True)
class Decision:
    """The probability that a question is answered, as the answerer put it, and whether it should be."""

    id: str
    probability: float
    answerable: bool


def calibrate(
    gold: GoldSet,
    library: Library,
    *,
    fusion: bool = False,
    progress: Progress | None = None,
) -> tuple[Fit, ...]:
    """Fit ``abstain_below`` and, if asked, ``fusion_weight`` for the library's collection; writes nothing.

    Raises GoldError when the gold set is too small or does not fit the documents.
    """
    from rag.answer.abstain import DEFAULT_THRESHOLD

    config, settings = library.config, library.collection_settings()
    require_valid(gold, LibraryCorpus(library))
    stored = float(settings.get("abstain_below", DEFAULT_THRESHOLD))
    old = config.abstain_below if config.abstain_below >= 0 else stored
    fits = [fit_threshold(decisions(gold, library, progress=progress), old)]
    if fusion:
        weight = float(settings.get("fusion_weight", config.fusion_weight))
        found = candidates(gold, library, config.candidates, progress=progress)
        fits.append(fit_weight(found, library, weight, document_weight=config.document_weight))
    return tuple(fits)


def decisions(
    gold: GoldSet, backend: Backend, collection: str | None = None, progress: Progress | None = None
) -> list[Decision]:
    """Ask every question for its probability. A backend that quotes is enough, and quick: no model decides here."""
    found: list[Decision] = []
    for number, question in enumerate(gold.questions, 1):
        answer = backend.ask(question.question, history=question.turns, collection=collection)
        found.append(Decision(question.id, answer.probability, not question.unanswerable))
        if progress is not None:
            progress(number, len(gold.questions), question.id)
    return found


def fit_threshold(found: Sequence[Decision], old: float, *, folds: int = FOLDS, seed: int = 0) -> Fit:
    """The threshold with the best balanced accuracy (mean of the shares of right answers and right refusals).

    Raises GoldError with fewer than ten answerable or ten unanswerable questions: nothing could be held out.
    """
    yes, no = ([d for d in found if d.answerable is kind] for kind in (True, False))
    if min(len(yes), len(no)) < _LEAST:
        raise GoldError(
            f"Fitting needs {_LEAST} answerable and {_LEAST} unanswerable questions, not {len(yes)} and {len(no)}.",
            hint="Add plausible questions that the documents do not answer, with 'unanswerable: true'.",
        )
    parts = _parts([yes, no], folds, seed)
    held = {d.id: threshold for part, rest in parts for threshold in [best_threshold(rest)] for d in part}
    # Weighted so that the mean over questions is the balanced accuracy.
    weight = {True: len(found) / (2 * len(yes)), False: len(found) / (2 * len(no))}
    was = {d.id: _right(d, old) for d in found}
    now = {d.id: _right(d, held[d.id]) for d in found}
    before, after = ([weight[d.answerable] * right[d.id] for d in found] for right in (was, now))
    return Fit(
        "abstain_below",
        old,
        best_threshold(found),
        "balanced accuracy of abstention",
        bootstrap(before),
        bootstrap(after),
        bootstrap([b - a for a, b in zip(before, after, strict=True)]),
        tuple(
            (name, bootstrap([was[d.id] for d in rows]), bootstrap([now[d.id] for d in rows]))
            for name, rows in (
                ("abstention accuracy", found),
                ("unanswerable refused", no),
                ("answerable answered", yes),
            )
        ),
    )


def best_threshold(found: Sequence[Decision]) -> float:
    """The middle of the gap between two probabilities at which balanced accuracy is best; the widest gap of equals."""
    yes = sum(d.answerable for d in found)
    no = len(found) - yes
    levels = sorted({0.0, 1.0, *(d.probability for d in found)})
    best: tuple[float, float, float] = (-1.0, 0.0, 0.5)
    for low, high in pairwise(levels):
        cut = (low + high) / 2
        kept = sum(d.answerable and d.probability >= cut for d in found)
        refused = sum(not d.answerable and d.probability < cut for d in found)
        score = (kept / yes + refused / no) / 2 if yes and no else 0.0
        best = max(best, (round(score, 12), high - low, cut))
    return round(best[2], 4)


def _right(decision: Decision, threshold: float) -> float:
    return float((decision.probability >= threshold) == decision.answerable)


@dataclass(frozen=True, slots=True)
class Ranked:
    """A question's candidates with both of their scores, to be fused again at any weight."""

    question: Question
    hits: tuple[Hit, ...]


def candidates(
    gold: GoldSet, backend: Backend, count: int, collection: str | None = None, progress: Progress | None = None
) -> list[Ranked]:
    """The ``count`` best passages of every question that has a gold source. A follow-up is searched as it is asked."""
    asked = [question for question in gold.questions if question.sources]
    found: list[Ranked] = []
    for number, question in enumerate(asked, 1):
        found.append(Ranked(question, backend.search(question.question, count, collection)))
        if progress is not None:
            progress(number, len(asked), question.id)
    return found


def fit_weight(
    found: Sequence[Ranked],
    backend: Backend,
    old: float,
    collection: str | None = None,
    *,
    document_weight: float = 0.0,
    seed: int = 0,
) -> Fit:
    """The dense side's share in [0, 1] with the best mean reciprocal rank of the gold quotes (of the gold files, where
    a question has no quote).

    The candidates are those found at the present weight, fused again from their scores; what no weight near it
    would bring up is not among them.
    """
    if len(found) < _LEAST:
        raise GoldError(
            f"Fitting the weight needs {_LEAST} questions with sources; there are {len(found)}.", hint="Add some."
        )
    from rag.retrieve import Fusion

    finder = Finder(LibraryCorpus(backend, collection))
    weights = sorted({*WEIGHTS, old})
    table = {
        weight: {
            ranked.question.id: _rank_score(ranked, Fusion(weight=weight, document=document_weight), finder)
            for ranked in found
        }
        for weight in weights
    }

    def best(rows: Sequence[Ranked]) -> float:
        # Of equals the one nearest to what is set already.
        return max(weights, key=lambda w: (round(fmean(table[w][r.question.id] for r in rows), 9), -abs(w - old)))

    held = {
        r.question.id: weight
        for part, rest in _parts([list(found)], FOLDS, seed)
        for weight in [best(rest)]
        for r in part
    }
    before = [table[old][r.question.id] for r in found]
    after = [table[held[r.question.id]][r.question.id] for r in found]
    delta = bootstrap([b - a for a, b in zip(before, after, strict=True)])
    return Fit("fusion_weight", old, best(found), "mean reciprocal rank", bootstrap(before), bootstrap(after), delta)


def _rank_score(ranked: Ranked, fusion: Fusion, finder: Finder) -> float:
    import numpy as np

    from rag.retrieve import fuse

    dense, lexical, document = (
        np.array([getattr(hit, name) for hit in ranked.hits]) for name in ("dense", "lexical", "document")
    )
    order = np.argsort(-fuse(dense, lexical, document, fusion), kind="stable")
    places = [ranked.hits[i].passage for i in order]
    quotes = [
        tuple(Place(s.file, *span) for span in finder.quote(s.file, s.quote, s.page))
        for s in ranked.question.sources
        if s.quote
    ]
    if any(quotes):
        ranks = [rank for rank in found_at([Place(p.source, p.start, p.end) for p in places], quotes) if rank]
        return 1 / min(ranks) if ranks else 0.0
    return reciprocal_rank(first_occurrences(p.source for p in places), ranked.question.files)


def _parts(strata: Sequence[Sequence[T]], folds: int, seed: int) -> list[tuple[list[T], list[T]]]:
    """Each fold with the rest, every stratum spread evenly over the folds."""
    chance = random.Random(seed)
    shuffled = [chance.sample(list(stratum), len(stratum)) for stratum in strata]
    parts = [[row for rows in shuffled for row in rows[fold::folds]] for fold in range(folds)]
    return [(part, [row for other in parts if other is not part for row in other]) for part in parts if part]
