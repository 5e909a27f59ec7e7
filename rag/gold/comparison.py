"""Two runs of the same questions, paired: what each question did, at which stage, and what that proves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean

from rag.gold.catalog import Stage, metric
from rag.gold.fingerprint import Change, changes, corpus_digest
from rag.gold.records import Noise, Record, Run, mean_metrics
from rag.gold.schema import Question
from rag.gold.stats import Interval, bootstrap, mcnemar

_TOLERANCE = 1e-6


class State(StrEnum):
    """What became of a question."""

    REGRESSION = "regression"
    FIXED = "fixed"
    FLAKY = "flaky"
    STABLE = "stable"
    NEW = "new"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Requirement:
    """``metric`` must reach ``value``. ``explicit`` ones stand in the gold set and hold absolutely; the others follow
    from the question and only count in comparison with a baseline."""

    metric: str
    value: float
    explicit: bool

    def met_by(self, metrics: Mapping[str, float]) -> bool:
        """Whether ``metrics`` reach it; one that is not defined there is not missed."""
        known = metric(self.metric)
        return known is None or self.metric not in metrics or known.meets(metrics[self.metric], self.value)


@dataclass(frozen=True, slots=True)
class Pair:
    """One question in both runs. ``worse`` and ``better`` name the gating metrics that moved; ``stage`` is where a
    regression happened; ``old`` and ``new`` are the first repeats."""

    question: Question
    state: State
    stage: Stage | None
    worse: tuple[str, ...]
    better: tuple[str, ...]
    before: Mapping[str, float]
    after: Mapping[str, float]
    passed_before: float | None
    passed_after: float | None
    old: Record | None
    new: Record | None


@dataclass(frozen=True, slots=True)
class Shift:
    """A metric over the questions that have it in both runs; ``delta`` is new minus old with its interval."""

    metric: str
    before: Interval
    after: Interval
    delta: Interval


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that differs between two runs. ``regressions`` and ``fixes`` count the questions that gate and whose
    passing flipped, for McNemar's test at ``p``."""

    a: Run
    b: Run
    changes: tuple[Change, ...]
    pairs: tuple[Pair, ...]
    shifts: tuple[Shift, ...]
    regressions: int
    fixes: int
    p: float
    noise: Noise | None
    deterministic: bool
    not_run: tuple[str, ...]
    removed: tuple[str, ...]

    @property
    def same_corpus(self) -> bool:
        """Whether both runs, and every accepted record, asked the same documents."""
        now = corpus_digest(self.b.fingerprint)
        known = {corpus_digest(self.a.fingerprint), *(entry.corpus for entry in self.a.accepted.values())}
        return known - {""} <= {now}

    def of(self, state: State) -> tuple[Pair, ...]:
        """The pairs in this state."""
        return tuple(pair for pair in self.pairs if pair.state is state)


def requirements(question: Question, k: int) -> tuple[Requirement, ...]:
    """What a question must reach to pass: its thresholds, and where it sets none: the right decision to answer or
    refuse, every fact, no forbidden wording, and a gold file among the first ``k``."""
    implied = {"abstention_accuracy": 1.0}
    if question.must_not_contain:
        implied["violations"] = 0.0
    if question.facts:
        implied["fact_recall"] = 1.0
    if question.sources:
        implied[f"file_hit@{k}"] = 1.0
    explicit = tuple(Requirement(name, value, True) for name, value in question.thresholds.items())
    own = tuple(Requirement(n, v, False) for n, v in implied.items() if n not in question.thresholds)
    return explicit + own


def passes(question: Question, metrics: Mapping[str, float], k: int) -> bool:
    """Whether all requirements are met."""
    return all(requirement.met_by(metrics) for requirement in requirements(question, k))


def pass_rate(question: Question, records: Sequence[Record], k: int) -> float:
    """The share of the repeats that pass."""
    return fmean(passes(question, record.metrics, k) for record in records)


def compare(a: Run, b: Run, *, noise: Noise | None = None) -> Comparison:
    """Pair the questions of baseline ``a`` with those of ``b``. ``noise`` defaults to the floor that ``a`` or ``b``
    carries.

    In a deterministic comparison (the noise floor is silent or unknown, and repeats agree) any loss of a gating
    metric is a regression. Otherwise only a flip from passing in all repeats to failing in all is, and questions that
    are known to waver are flaky.
    """
    noise = noise or a.noise or b.noise
    deterministic = (noise is None or noise.silent) and _repeats_agree(a) and _repeats_agree(b)
    before, after = a.by_id(), b.by_id()
    known = {question.id: question for question in (*a.questions, *b.questions)}
    flips = frozenset(noise.flips) if noise else frozenset()
    pairs = tuple(
        _pair(known[name], before.get(name, []), after[name], b.k, deterministic, flips)
        for name in after
        if name in known
    )
    shared = [pair for pair in pairs if pair.state not in (State.NEW, State.ERROR)]
    counted = [pair for pair in shared if pair.question.gates and pair.state is not State.FLAKY]
    lost = sum(_flipped(pair.passed_before, pair.passed_after) for pair in counted)
    won = sum(_flipped(pair.passed_after, pair.passed_before) for pair in counted)
    asked = {*b.ids, *(question.id for question in b.questions)}
    return Comparison(
        a=a, b=b, changes=changes(a.fingerprint, b.fingerprint), pairs=pairs, shifts=shifts(shared),
        regressions=lost, fixes=won, p=mcnemar(lost, won), noise=noise, deterministic=deterministic,
        not_run=tuple(name for name in before if name not in after and name in asked),
        removed=tuple(name for name in before if name not in asked),
    )  # fmt: skip


def _flipped(first: float | None, then: float | None) -> bool:
    return first == 1.0 and then == 0.0


def _repeats_agree(run: Run) -> bool:
    return all(len({_outcome(record) for record in records}) == 1 for records in run.by_id().values())


def _outcome(record: Record) -> tuple[object, ...]:
    """What two askings of a question must share to be called the same."""
    reply = record.reply
    places = tuple(found.place for found in record.ranking)
    return (places, reply.text, reply.abstained) if reply else (places, record.error_code)


def _pair(
    question: Question, old: Sequence[Record], new: Sequence[Record], k: int, deterministic: bool, flips: frozenset[str]
) -> Pair:
    before = {} if any(record.error for record in old) else mean_metrics(old)
    after = {} if any(record.error for record in new) else mean_metrics(new)
    was = pass_rate(question, old, k) if before else None
    now = pass_rate(question, new, k) if after else None
    worse, better = moved(before, after)
    if any(record.error for record in new):
        state = State.ERROR
    elif not old or any(record.error for record in old):
        state = State.NEW
    elif question.id in flips or _wavers(was) or _wavers(now):
        state = State.FLAKY
    elif (worse and deterministic) or _flipped(was, now):
        state = State.REGRESSION
    elif (better and deterministic) or _flipped(now, was):
        state = State.FIXED
    else:
        state = State.STABLE
    stage = stage_of(question, before, after, worse) if state is State.REGRESSION else None
    first = (old[0] if old else None, new[0] if new else None)
    return Pair(question, state, stage, worse, better, before, after, was, now, *first)


def _wavers(rate: float | None) -> bool:
    return rate is not None and 0.0 < rate < 1.0


def moved(before: Mapping[str, float], after: Mapping[str, float]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The gating metrics that got worse, and those that got better."""
    worse: list[str] = []
    better: list[str] = []
    for name in before:
        known = metric(name)
        if known is None or not known.gates or name not in after:
            continue
        loss = known.loss(before[name], after[name])
        if abs(loss) > _TOLERANCE:
            (worse if loss > 0 else better).append(name)
    return tuple(worse), tuple(better)


def stage_of(
    question: Question, before: Mapping[str, float], after: Mapping[str, float], worse: Sequence[str]
) -> Stage:
    """The first stage that explains the loss: a lost source explains everything behind it; a wrong decision to answer
    or refuse explains the answer; a wrong answer explains its citations."""
    stages = {known.stage for name in worse if (known := metric(name)) is not None}
    if question.unanswerable:
        return Stage.ABSTENTION
    for stage in (Stage.RETRIEVAL, Stage.ABSTENTION, Stage.ANSWER, Stage.CITATION):
        if stage in stages:
            return stage
    failed = [name for name in before if name in after and after[name] < before[name]]
    return next((known.stage for name in failed if (known := metric(name)) and known.stage), Stage.ANSWER)


def shifts(pairs: Sequence[Pair]) -> tuple[Shift, ...]:
    """Every metric that questions have in both runs, with paired bootstrap intervals."""
    names = dict.fromkeys(name for pair in pairs for name in pair.before if name in pair.after)
    found: list[Shift] = []
    for name in names:
        both = [(p.before[name], p.after[name]) for p in pairs if name in p.before and name in p.after]
        before, after = [old for old, _ in both], [new for _, new in both]
        delta = bootstrap([new - old for old, new in both])
        found.append(Shift(name, bootstrap(before), bootstrap(after), delta))
    return tuple(found)


def noise_floor(a: Run, b: Run) -> Noise:
    """What two runs of the same configuration differ in."""
    known = {question.id: question for question in a.questions}
    first, second = a.by_id(), b.by_id()
    shared = [n for n in first if n in second and not any(r.error for r in (*first[n], *second[n]))]
    flips: list[str] = []
    gaps: dict[str, list[float]] = {}
    same = 0
    for name in shared:
        same += len({_outcome(record) for record in (*first[name], *second[name])}) == 1
        rates = {pass_rate(known[name], records, a.k) for records in (first[name], second[name])}
        if len(rates) > 1:
            flips.append(name)
        before, after = mean_metrics(first[name]), mean_metrics(second[name])
        for key in before:
            if key in after and (found := metric(key)) is not None and found.unit in ("share", "count"):
                gaps.setdefault(key, []).append(abs(after[key] - before[key]))
    return Noise(len(shared), same, tuple(flips), {key: fmean(values) for key, values in gaps.items()})
