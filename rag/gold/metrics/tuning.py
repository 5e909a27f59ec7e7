"""Settings judged on a gold set: fitted by cross-validation or ranked, with an interval on every figure."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import pairwise
from statistics import fmean
from typing import TYPE_CHECKING, TypeVar

from rag.errors import ConfigError, GoldError
from rag.gold.metrics.comparison import pass_rate
from rag.gold.metrics.definitions import known_names, metric
from rag.gold.metrics.matching import Backend, Finder, LibraryCorpus
from rag.gold.metrics.retrieval import first_occurrences, found_at, reciprocal_rank
from rag.gold.metrics.statistics import ALPHA, Interval, bootstrap, holm, quantile
from rag.gold.types import Place, Question, Run
from rag.types import Hit

if TYPE_CHECKING:
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


def fit_threshold(found: Sequence[Decision], old: float) -> Fit:
    """The threshold with the best balanced accuracy (mean of the shares of right answers and right refusals).

    Raises GoldError with fewer than ten answerable or ten unanswerable questions: nothing could be held out.
    """
    yes, no = ([d for d in found if d.answerable is kind] for kind in (True, False))
    if min(len(yes), len(no)) < _LEAST:
        raise GoldError(
            f"Fitting needs {_LEAST} answerable and {_LEAST} unanswerable questions, not {len(yes)} and {len(no)}.",
            hint="Add plausible questions that the documents do not answer, with 'unanswerable: true'.",
        )
    parts = _parts([yes, no])
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


def fit_weight(found: Sequence[Ranked], backend: Backend, old: float, *, document_weight: float = 0.0) -> Fit:
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

    finder = Finder(LibraryCorpus(backend))
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

    held = {r.question.id: weight for part, rest in _parts([found]) for weight in [best(rest)] for r in part}
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


def _parts(strata: Sequence[Sequence[T]]) -> list[tuple[list[T], list[T]]]:
    """Each fold with the rest, every stratum spread evenly over the folds; always the same ones."""
    chance = random.Random(0)
    shuffled = [chance.sample(list(stratum), len(stratum)) for stratum in strata]
    parts = [[row for rows in shuffled for row in rows[fold::FOLDS]] for fold in range(FOLDS)]
    return [(part, [row for other in parts if other is not part for row in other]) for part in parts if part]


PASS = "pass"


@dataclass(frozen=True, slots=True)
class Point:
    """One configuration: its ``settings`` that vary, and its run."""

    name: str
    settings: Mapping[str, str]
    run: Run


@dataclass(frozen=True, slots=True)
class Rated:
    """A point's quality with its interval, its median time in ms, and the best point's lead over it with the p-value
    adjusted for the number of comparisons (None for the best itself)."""

    point: Point
    quality: Interval
    time: float
    lead: Interval | None
    p: float | None

    @property
    def beaten(self) -> bool:
        """Whether the best point is significantly better."""
        return self.p is not None and self.p < ALPHA


@dataclass(frozen=True, slots=True)
class Sweep:
    """Points by falling quality of ``metric``."""

    metric: str
    rated: tuple[Rated, ...]

    @property
    def conclusion(self) -> str:
        """The finding in one sentence: the best point wins if it is significantly better than every other one."""
        best = self.rated[0].point.name
        ties = [rated.point.name for rated in self.rated[1:] if not rated.beaten]
        if not ties:
            return f"{best} is best on {self.metric}, significantly so." if len(self.rated) > 1 else f"Only {best} ran."
        more = f" and {len(ties) - 3} more" if len(ties) > 3 else ""
        return f"No winner on {self.metric}: {best} is not significantly better than {', '.join(ties[:3])}{more}."


def rate(points: Sequence[Point], name: str = PASS) -> Sweep:
    """Rank the points by the metric ``name`` (``pass``: the share of questions that pass), paired by question.

    Raises ConfigError for an unknown metric or one that no question has.
    """
    if name != PASS and metric(name) is None:
        close = get_close_matches(name, [PASS, *known_names()], n=1)
        raise ConfigError(
            f"There is no metric '{name}'.", hint=f"Did you mean {close[0]}?" if close else "See the README."
        )
    values = [quality(point.run, name) for point in points]
    if not all(values):
        raise ConfigError(f"No question has the metric '{name}'.", hint="Choose one that these runs measure.")
    sign = -1.0 if (known := metric(name)) is not None and known.lower else 1.0
    order = sorted(range(len(points)), key=lambda i: (-sign * sum(values[i].values()) / len(values[i]), i))
    best = values[order[0]]
    leads = [bootstrap([sign * (best[key] - values[i][key]) for key in best if key in values[i]]) for i in order[1:]]
    # The best was picked after looking, so all pairs count, not only those with the best.
    pairs = len(points) * (len(points) - 1) // 2
    adjusted = holm([lead.p for lead in leads] + [1.0] * (pairs - len(leads)))[: len(leads)]
    rated = [Rated(points[order[0]], bootstrap(list(best.values())), _time(points[order[0]].run), None, None)]
    for i, lead, p in zip(order[1:], leads, adjusted, strict=True):
        rated.append(Rated(points[i], bootstrap(list(values[i].values())), _time(points[i].run), lead, p))
    return Sweep(name, tuple(rated))


def quality(run: Run, name: str) -> dict[str, float]:
    """The metric of each question; questions with an error are left out."""
    if name != PASS:
        return {key: scores[name] for key, scores in run.scores().items() if name in scores}
    known = {question.id: question for question in run.questions}
    groups = run.by_id()
    return {key: pass_rate(known[key], groups[key], run.k) for key in run.scores()}


def _time(run: Run) -> float:
    name = "retrieve_ms" if run.retrieval_only else "total_ms"
    return quantile([r.metrics[name] for r in run.records if name in r.metrics], 0.5)


def sweep_rows(found: Sweep) -> Iterator[tuple[str, str, str, str, str]]:
    """Name, quality with interval, median ms, the best one's lead with interval, adjusted p."""
    for rated in found.rated:
        lead_text = f"{rated.lead:+.3f}" if rated.lead is not None else ""
        p = f"{rated.p:.3g}" if rated.p is not None else ""
        yield rated.point.name, f"{rated.quality}", f"{rated.time:.3g}", lead_text, p
