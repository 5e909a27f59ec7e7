"""What several runs of one gold set say about it: severities and thresholds to set, and what it can prove."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import floor
from statistics import fmean

from rag.errors import GoldError
from rag.gold.metrics.comparison import passes
from rag.gold.metrics.definitions import metric
from rag.gold.metrics.statistics import least_rate, questions_needed, smallest_claim
from rag.gold.types import GoldSet, Question, Record, Run, Severity

CLAIMS = (0.01, 0.02, 0.05, 0.1)


@dataclass(frozen=True, slots=True)
class Proposal:
    """What ``asked`` askings of a question speak for. It passed ``passed`` times, so that it passes in a share of at
    least ``sure`` (95 % confidence). ``thresholds`` are the worst values seen: a next run falls below one by chance in
    at most 1 of ``asked`` + 1."""

    question: Question
    asked: int
    passed: int
    sure: float
    severity: Severity
    thresholds: Mapping[str, float]

    @property
    def changes(self) -> bool:
        """Whether the gold set says otherwise."""
        missing = {name: value for name, value in self.thresholds.items() if name not in self.question.thresholds}
        return self.severity != self.question.severity or bool(missing and self.severity == "must")


@dataclass(frozen=True, slots=True)
class Advice:
    """The proposals of all questions; ``wavering`` is the share of questions that differ between two identical runs,
    ``claims`` how many questions it takes to show a gain, ``smallest`` the least gain that these can show."""

    runs: int
    proposals: tuple[Proposal, ...]
    wavering: float
    claims: Mapping[float, int]
    smallest: float


def advise(gold: GoldSet, runs: Sequence[Run], *, better: float | None = None) -> Advice:
    """Advice from ``runs`` of ``gold``, their repeats counted one by one; ``better`` is the gain to ask about.

    Raises GoldError when no question that gates was asked without an error.
    """
    asked: dict[str, list[tuple[Record, int]]] = {}
    for run in runs:
        for record in run.records:
            if not record.error and record.id not in run.stale:
                asked.setdefault(record.id, []).append((record, run.k))
    known = [question for question in gold.questions if question.id in asked and question.review.status == "approved"]
    if not known:
        hint = f"Run it: rag gold run {gold.path} --repeats 5"
        raise GoldError("These runs asked no approved question of the gold set.", hint=hint)
    proposals = tuple(_proposal(question, asked[question.id]) for question in known)
    wavering = fmean(_wavers(proposal.passed, proposal.asked) for proposal in proposals)
    claims = {claim: questions_needed(claim, wavering) for claim in ((better,) if better else CLAIMS)}
    gating = sum(proposal.severity == "must" for proposal in proposals)
    return Advice(len(runs), proposals, wavering, claims, smallest_claim(gating, wavering))


def _proposal(question: Question, asked: Sequence[tuple[Record, int]]) -> Proposal:
    passed = sum(passes(question, record.metrics, k) for record, k in asked)
    severity: Severity = "must" if passed == len(asked) else "watch"
    thresholds = dict(_worst([record for record, _ in asked])) if severity == "must" else {}
    return Proposal(question, len(asked), passed, least_rate(passed, len(asked)), severity, thresholds)


def _worst(records: Sequence[Record]) -> Iterator[tuple[str, float]]:
    """The worst value of each gating metric that every record has, but for those that say nothing."""
    for name in records[0].metrics:
        known = metric(name)
        if known is not None and known.gates and all(name in record.metrics for record in records):
            values = [record.metrics[name] for record in records]
            if known.lower:
                yield name, max(values)
            elif min(values) > 0:
                yield name, floor(min(values) * 1000) / 1000


def _wavers(passed: int, asked: int) -> float:
    """The chance that two askings differ, without bias."""
    return 2 * passed * (asked - passed) / (asked * (asked - 1)) if asked > 1 else 0.0
