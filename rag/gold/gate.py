"""From findings to a verdict and an exit code. Drafts and questions on watch never gate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from rag.gold.catalog import metric
from rag.gold.comparison import Comparison, State, passes, requirements
from rag.gold.records import Run
from rag.gold.schema import Severity
from rag.gold.stats import ALPHA, binomial_tail, holm


class Exit(IntEnum):
    """The exit codes of ``rag gold``."""

    CLEAN = 0
    REGRESSION = 1
    INVALID = 2
    INFRASTRUCTURE = 3
    NOT_COMPARABLE = 4


@dataclass(frozen=True, slots=True)
class Miss:
    """A threshold of the gold set that a question does not reach. ``gates``: it fails the run."""

    id: str
    metric: str
    value: float
    required: float
    severity: Severity
    gates: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """``reasons`` are sentences, the gravest first; ``misses`` are all thresholds not reached."""

    code: Exit
    reasons: tuple[str, ...]
    misses: tuple[Miss, ...] = ()

    @property
    def headline(self) -> str:
        """One line."""
        words = {
            Exit.CLEAN: "Clean",
            Exit.REGRESSION: "Worse",
            Exit.INVALID: "Invalid gold set",
            Exit.INFRASTRUCTURE: "Incomplete",
            Exit.NOT_COMPARABLE: "Not comparable",
        }
        return f"{words[self.code]}: {self.reasons[0]}" if self.reasons else f"{words[self.code]}."


def threshold_misses(run: Run) -> tuple[Miss, ...]:
    """The explicit thresholds that the mean over a question's repeats does not reach."""
    scores = run.scores()
    return tuple(
        Miss(q.id, need.metric, scores[q.id][need.metric], need.value, q.severity, q.gates)
        for q in run.questions
        if q.id in scores
        for need in requirements(q, run.k)
        if need.explicit and not need.met_by(scores[q.id])
    )


def verdict(run: Run, comparison: Comparison | None = None, *, allow_corpus_change: bool = False) -> Verdict:
    """Whether ``run`` may pass.

    Regression (1): a threshold is missed; or, against a baseline, a question that gates got worse where runs are
    deterministic, or more got worse than noise and chance explain where they are not. Infrastructure (3): questions
    could not be asked, and nothing else is wrong. Not comparable (4): the baseline asked other documents.
    """
    misses = threshold_misses(run)
    if comparison is not None and not comparison.same_corpus and not allow_corpus_change:
        reason = (
            "the documents have changed since the baseline; pass --allow-corpus-change to compare all the same, "
            "or accept this run"
        )
        return Verdict(Exit.NOT_COMPARABLE, (reason,), misses)
    reasons: list[str] = []
    gating = [miss for miss in misses if miss.gates]
    if comparison is not None:
        reasons.extend(_comparison_reasons(comparison))
    if gating:
        shown = "; ".join(_show_miss(miss) for miss in gating[:3])
        more = f" and {len(gating) - 3} more" if len(gating) > 3 else ""
        reasons.append(f"{_count(len(gating), 'threshold')} not reached: {shown}{more}.")
    errors = dict.fromkeys(record.id for record in run.errors)
    unasked = f"{_count(len(errors), 'question')} could not be asked: {', '.join(list(errors)[:5])}." if errors else ""
    if reasons:
        return Verdict(Exit.REGRESSION, (*reasons, *([unasked] if unasked else [])), misses)
    if errors:
        return Verdict(Exit.INFRASTRUCTURE, (unasked,), misses)
    if comparison is None:
        scores = run.scores()
        failing = [q.id for q in run.questions if q.gates and q.id in scores and not passes(q, scores[q.id], run.k)]
        doubt = (
            f" Failing all the same, so read before you accept: {_count(len(failing), 'question')}." if failing else ""
        )
        return Verdict(Exit.CLEAN, (f"all thresholds are reached; there is no baseline yet.{doubt}",), misses)
    return Verdict(Exit.CLEAN, ("nothing that gates got worse.",), misses)


def _comparison_reasons(comparison: Comparison) -> Iterator[str]:
    lost = [pair for pair in comparison.of(State.REGRESSION) if pair.question.gates]
    if comparison.deterministic:
        if lost:
            names = ", ".join(pair.question.id for pair in lost[:5])
            more = f" and {len(lost) - 5} more" if len(lost) > 5 else ""
            yield f"{_count(len(lost), 'question')} got worse: {names}{more}."
        return
    yield from _beyond_noise(comparison, len(lost))
    yield from _significant(comparison)


def _beyond_noise(comparison: Comparison, lost: int) -> Iterator[str]:
    """More flips than the noise floor explains. Under noise alone, flips to failing among the n questions here and all
    flips among the m of the noise floor come at rates r·n and 2·r·m, so that given their sum the former are binomial.
    """
    noise = comparison.noise
    asked = sum(pair.state is not State.NEW and pair.question.gates for pair in comparison.pairs)
    if not lost or noise is None or not noise.questions:
        return
    chance = asked / (asked + 2 * noise.questions)
    p = binomial_tail(lost, lost + len(noise.flips), chance)
    if p < ALPHA / 2:
        yield (
            f"{_count(lost, 'question')} went from passing to failing, against {len(noise.flips)} flips of "
            f"{noise.questions} between identical runs (p = {p:.3g})."
        )


def _significant(comparison: Comparison) -> Iterator[str]:
    """Losses over all questions, at a family-wise error of 2.5 % by Holm's correction."""
    family: list[tuple[str, float, bool]] = []
    text = f"{comparison.regressions} went from passing to failing and {comparison.fixes} the other way"
    family.append((text, comparison.p, comparison.regressions > comparison.fixes))
    for shift in comparison.shifts:
        known = metric(shift.metric)
        if known is not None and known.gates:
            loss = known.loss(shift.before.mean, shift.after.mean) > 0
            text = f"{shift.metric} moved by {shift.delta.mean:+.3f} [{shift.delta.low:+.3f}, {shift.delta.high:+.3f}]"
            family.append((text, shift.delta.p, loss and shift.delta.significant))
    for (text, _, loss), adjusted in zip(family, holm([p for _, p, _ in family]), strict=True):
        if loss and adjusted < ALPHA / 2:
            yield f"{text} (adjusted p = {adjusted:.3g})."


def _show_miss(miss: Miss) -> str:
    known = metric(miss.metric)
    sign = ">" if known is not None and known.lower else "<"
    return f"{miss.id} {miss.metric} {miss.value:.3g} {sign} {miss.required:.3g}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
