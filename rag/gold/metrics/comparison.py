"""Two runs of the same questions, paired: what each question did, at which stage, what that proves, and the verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from statistics import fmean
from typing import Any, Literal, cast

from rag.gold.metrics.definitions import Metric, Stage, metric
from rag.gold.metrics.statistics import ALPHA, Interval, binomial_tail, bootstrap, holm, mcnemar
from rag.gold.types import Noise, Question, Record, Run, Severity, corpus_digest, flat, mean_metrics
from rag.text import counted

_ORDER = (
    "model", "server", "embedder", "judge", "prompts", "options", "corpus", "parsed_text", "splitter", "retrieval",
    "gold", "scorer", "run", "packages", "commit",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the fingerprint that differs; empty text where a side does not have it."""

    key: str
    old: str
    new: str


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Change, ...]:
    """The entries that differ, in the order in which they matter."""
    a, b = dict(flat(old)), dict(flat(new))
    rank = {name: place for place, name in enumerate(_ORDER)}
    names = sorted(a.keys() | b.keys(), key=lambda name: (rank.get(name.split(".")[0], len(rank)), name))
    return tuple(Change(n, a.get(n, ""), b.get(n, "")) for n in names if a.get(n, "") != b.get(n, ""))


@dataclass(frozen=True, slots=True)
class DocumentChanges:
    """The sources that differ between two runs; a rename (from, to) is a document found again byte for byte."""

    edited: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        parts = [(names, f"{'was' if len(names) == 1 else 'were'} {what}") for names, what in (
            (self.edited, "edited"), (self.removed, "removed"), (self.added, "added"),
        ) if names]  # fmt: skip
        told = [f"{listed(names)} {what}" for names, what in parts]
        return "; ".join([*told, *(f"{old} was renamed to {new}" for old, new in self.renamed[:5])])


def document_changes(old: Mapping[str, str], new: Mapping[str, str]) -> DocumentChanges:
    """What became of the documents ``old`` (source and SHA-256); nothing when either side is not known."""
    if not old or not new:
        return DocumentChanges()
    gone, come = ({s: sha for s, sha in a.items() if s not in b} for a, b in ((old, new), (new, old)))
    renamed = tuple((s, next(t for t in come if come[t] == sha)) for s, sha in gone.items() if sha in come.values())
    left, taken = {s for s, _ in renamed}, {t for _, t in renamed}
    return DocumentChanges(
        edited=tuple(s for s in old if s in new and old[s] != new[s]),
        removed=tuple(s for s in gone if s not in left),
        added=tuple(s for s in come if s not in taken),
        renamed=renamed,
    )


def listed(names: Sequence[str], most: int = 5) -> str:
    """The first names, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


_TOLERANCE = 1e-6


class State(StrEnum):
    """What became of a question. Stale: its gold does not stand in the documents that were asked."""

    REGRESSION = "regression"
    FIXED = "fixed"
    FLAKY = "flaky"
    STABLE = "stable"
    NEW = "new"
    ERROR = "error"
    STALE = "stale"


Label = Literal["regression", "error", "stale", "flaky", "failing", "new", "fixed", "passing"]


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
    """One question in both runs, or in one run alone. ``worse`` and ``better`` name the gating metrics that moved,
    ``missed`` the requirements that the new run does not reach; ``stage`` is where it got worse or, without an old run,
    where it fails; ``old`` and ``new`` are the first repeats."""

    question: Question
    state: State
    stage: Stage | None
    worse: tuple[str, ...]
    better: tuple[str, ...]
    before: Mapping[str, float]
    after: Mapping[str, float]
    old: Record | None
    new: Record | None
    missed: tuple[str, ...]

    @property
    def label(self) -> Label:
        """What a report calls it: its state, and of a stable one whether it passes."""
        if self.state is State.STABLE:
            return "failing" if self.missed else "passing"
        return cast(Label, self.state.value)


@dataclass(frozen=True, slots=True)
class Shift:
    """A metric over the questions that have it in both runs; ``delta`` is new minus old with its interval. Of a run
    alone only ``after``."""

    metric: Metric
    before: Interval | None
    after: Interval
    delta: Interval | None

    @property
    def moved(self) -> bool:
        """Whether there is something to see: no old run, a change, or a loss that may gate."""
        return self.delta is None or (self.delta.low, self.delta.high) != (0.0, 0.0) or self.metric.gates

    @property
    def steady(self) -> bool:
        """Whether every question has the best value, and had it before."""
        best = 0.0 if self.metric.lower else 1.0
        return all(side is None or side.low == side.high == best for side in (self.before, self.after))


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that differs between two runs: a baseline and a run, or, with ``names``, two candidates that were compared.

    ``regressions`` and ``fixes`` count the questions that gate and got worse or better, as every report counts them;
    ``p`` is McNemar's exact test of the two.
    """

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
    names: tuple[str, str] | None = None

    @property
    def documents(self) -> DocumentChanges:
        """What became of the documents."""
        return document_changes(self.a.documents, self.b.documents)

    @property
    def same_corpus(self) -> bool:
        """Whether both runs, and every accepted record of a question that is still asked, asked the same documents."""
        now, asked = corpus_digest(self.b.fingerprint), {*self.b.ids, *(q.id for q in self.b.questions)}
        accepted = {entry.corpus for name, entry in self.a.accepted.items() if name in asked}
        known = {corpus_digest(self.a.fingerprint), *accepted}
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
    return not missed(question, metrics, k)


def missed(question: Question, metrics: Mapping[str, float], k: int) -> tuple[str, ...]:
    """The requirements that are not met, by their metric."""
    return tuple(need.metric for need in requirements(question, k) if not need.met_by(metrics))


def pass_rate(question: Question, records: Sequence[Record], k: int) -> float:
    """The share of the repeats that pass."""
    return fmean(passes(question, record.metrics, k) for record in records)


def compare(a: Run, b: Run, *, names: tuple[str, str] | None = None) -> Comparison:
    """Pair the questions of baseline ``a`` with those of ``b``; with ``names`` the two are candidates, and neither is
    the baseline. The noise floor is the one that ``a`` or ``b`` carries.

    In a deterministic comparison (the noise floor is silent or unknown, and repeats agree) any loss of a gating
    metric is a regression. Otherwise only a flip from passing in all repeats to failing in all is, and questions that
    are known to waver are flaky.
    """
    noise = a.noise or b.noise
    deterministic = (noise is None or noise.silent) and _repeats_agree(a) and _repeats_agree(b)
    before, after = a.by_id(), b.by_id()
    known = {question.id: question for question in (*a.questions, *b.questions)}
    flips = frozenset(noise.flips) if noise else frozenset()
    stale = a.stale | b.stale if names else b.stale
    pairs = tuple(
        _pair(known[name], before.get(name, []), after[name], b.k, deterministic, flips, stale)
        for name in after
        if name in known
    )
    shared = [pair for pair in pairs if pair.state not in (State.NEW, State.ERROR, State.STALE)]
    lost, won = (
        sum(pair.state is state and pair.question.gates for pair in pairs) for state in (State.REGRESSION, State.FIXED)
    )
    asked = {*b.ids, *(question.id for question in b.questions)}
    return Comparison(
        a=a, b=b, changes=changes(a.fingerprint, b.fingerprint), pairs=pairs, shifts=shifts(shared),
        regressions=lost, fixes=won, p=mcnemar(lost, won), noise=noise, deterministic=deterministic,
        not_run=tuple(name for name in before if name not in after and name in asked),
        removed=tuple(name for name in before if name not in asked), names=names,
    )  # fmt: skip


def _repeats_agree(run: Run) -> bool:
    return all(len({_outcome(record) for record in records}) == 1 for records in run.by_id().values())


def _outcome(record: Record) -> tuple[object, ...]:
    """What two askings of a question must share to be called the same."""
    reply = record.reply
    places = tuple(found.place for found in record.ranking)
    return (places, reply.text, reply.abstained) if reply else (places, record.error_code)


def _pair(
    question: Question, old: Sequence[Record], new: Sequence[Record], k: int, deterministic: bool,
    flips: frozenset[str], stale: frozenset[str],
) -> Pair:  # fmt: skip
    before = {} if any(record.error for record in old) else mean_metrics(old)
    after = {} if any(record.error for record in new) else mean_metrics(new)
    was = pass_rate(question, old, k) if before else None
    now = pass_rate(question, new, k) if after else None
    worse, better = moved(before, after)
    if any(record.error for record in new):
        state = State.ERROR
    elif question.id in stale:
        state = State.STALE
    elif not old or any(record.error for record in old):
        state = State.NEW
    elif question.id in flips or _wavers(was) or _wavers(now):
        state = State.FLAKY
    elif (worse and deterministic) or (was, now) == (1.0, 0.0):
        state = State.REGRESSION
    elif (better and deterministic) or (was, now) == (0.0, 1.0):
        state = State.FIXED
    else:
        state = State.STABLE
    stage = stage_of(question, before, after, worse) if state is State.REGRESSION else None
    first = (old[0] if old else None, new[0] if new else None)
    return Pair(question, state, stage, worse, better, before, after, *first, missed(question, after, k))


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
    for name, known in ((name, metric(name)) for name in names):
        if known is None:
            continue
        both = [(p.before[name], p.after[name]) for p in pairs if name in p.before and name in p.after]
        before, after = [old for old, _ in both], [new for _, new in both]
        delta = bootstrap([new - old for old, new in both])
        found.append(Shift(known, bootstrap(before), bootstrap(after), delta))
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
    """``reasons`` are sentences, the gravest first; ``misses`` are all thresholds not reached. ``title`` stands in
    place of the code's own word where two candidates are compared."""

    code: Exit
    reasons: tuple[str, ...]
    misses: tuple[Miss, ...] = ()
    title: str = ""

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
        word = self.title or words[self.code]
        return f"{word}: {self.reasons[0]}" if self.reasons else f"{word}."


def threshold_misses(run: Run) -> tuple[Miss, ...]:
    """The explicit thresholds that the mean over a question's repeats does not reach."""
    scores, stale = run.scores(), run.stale
    return tuple(
        Miss(q.id, need.metric, scores[q.id][need.metric], need.value, q.severity, q.gates and q.id not in stale)
        for q in run.questions
        if q.id in scores
        for need in requirements(q, run.k)
        if need.explicit and not need.met_by(scores[q.id])
    )


def verdict(run: Run, comparison: Comparison | None = None, *, allow_corpus_change: bool = False) -> Verdict:
    """Whether ``run`` may pass; of two candidates, whether the second is better or worse.

    Not comparable (4): the baseline asked other documents. Regression (1): a threshold is missed, or the gold of a
    question that gates does not stand in the documents; or, against a baseline, a question that gates got worse where
    runs are deterministic, or more got worse than noise and chance explain where they are not; of two candidates, the
    second is significantly worse. Infrastructure (3): questions could not be asked, and nothing else is wrong.
    """
    misses = threshold_misses(run)
    moved = comparison is not None and not comparison.same_corpus and not allow_corpus_change
    errors = dict.fromkeys(record.id for record in run.errors)
    unasked = [f"{counted(len(errors), 'question')} could not be asked: {listed(list(errors))}."] if errors else []
    if comparison is not None and comparison.names is not None:
        return _between(comparison, misses, moved, unasked)
    reasons = list(_comparison_reasons(comparison)) if comparison is not None else []
    if gating := [miss for miss in misses if miss.gates]:
        more = f" and {len(gating) - 3} more" if len(gating) > 3 else ""
        shown = "; ".join(_show_miss(miss) for miss in gating[:3])
        reasons.append(f"{counted(len(gating), 'threshold')} not reached: {shown}{more}.")
    if stale := [q.id for q in run.questions if q.gates and q.id in run.stale]:
        longer = "no longer stands" if comparison is not None else "does not stand"
        reasons.append(f"The gold of {counted(len(stale), 'question')} {longer} in the documents: {listed(stale)}.")
    if moved and comparison is not None:
        told = str(comparison.documents)
        first = f"the documents have changed since the baseline{f': {told}' if told else ''}."
        return Verdict(Exit.NOT_COMPARABLE, (first, *reasons, *unasked), misses)
    if reasons:
        return Verdict(Exit.REGRESSION, (*reasons, *unasked), misses)
    if errors:
        return Verdict(Exit.INFRASTRUCTURE, tuple(unasked), misses)
    if comparison is None:
        scores = run.scores()
        failing = [q.id for q in run.questions if q.gates and q.id in scores and not passes(q, scores[q.id], run.k)]
        doubt = f" Failing all the same, so read before you accept: {counted(len(failing), 'question')}."
        told = f"all thresholds are reached; there is no baseline yet.{doubt if failing else ''}"
        return Verdict(Exit.CLEAN, (told,), misses)
    return Verdict(Exit.CLEAN, ("nothing that gates got worse.",), misses)


def _between(comparison: Comparison, misses: tuple[Miss, ...], moved: bool, unasked: list[str]) -> Verdict:
    """The verdict on two candidates, by the questions that one answers better than the other."""
    assert comparison.names is not None
    first, second = comparison.names
    worse, better = comparison.regressions, comparison.fixes
    compared = sum(p.question.gates and p.state not in (State.NEW, State.ERROR, State.STALE) for p in comparison.pairs)
    counts = (
        f"of {counted(compared, 'question')}, {second} answers {better} better and {worse} worse than {first}, "
        f"{compared - worse - better} as well."
    )
    if moved:
        told = str(comparison.documents)
        reason = f"{first} and {second} were asked about different documents{f': {told}' if told else ''}."
        return Verdict(Exit.NOT_COMPARABLE, (reason, counts[0].upper() + counts[1:], *unasked), misses)
    if unasked:
        return Verdict(Exit.INFRASTRUCTURE, (*unasked, counts[0].upper() + counts[1:]), misses)
    if comparison.p < ALPHA:
        code, word = (Exit.REGRESSION, "worse") if worse > better else (Exit.CLEAN, "better")
        return Verdict(code, (counts,), misses, f"{second} is {word} than {first}")
    if worse or better:
        counts += " So few could be chance."
    title = (
        f"No clear difference between {first} and {second}" if worse or better else f"{first} and {second} are equal"
    )
    return Verdict(Exit.CLEAN, (counts,), misses, title)


def _comparison_reasons(comparison: Comparison) -> Iterator[str]:
    lost = [pair for pair in comparison.of(State.REGRESSION) if pair.question.gates]
    if comparison.deterministic:
        if lost:
            yield f"{counted(len(lost), 'question')} got worse: {listed([pair.question.id for pair in lost])}."
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
            f"{counted(lost, 'question')} went from passing to failing, against {len(noise.flips)} flips of "
            f"{noise.questions} between identical runs (p = {p:.3g})."
        )


def _significant(comparison: Comparison) -> Iterator[str]:
    """Losses over all questions, at a family-wise error of 2.5 % by Holm's correction."""
    family: list[tuple[str, float, bool]] = []
    text = f"{comparison.regressions} got worse and {comparison.fixes} better"
    family.append((text, comparison.p, comparison.regressions > comparison.fixes))
    for shift in comparison.shifts:
        if shift.metric.gates and shift.delta is not None:
            loss = shift.metric.loss(0.0, shift.delta.mean) > 0
            text = f"{shift.metric.name} moved by {shift.delta:+.3f}"
            family.append((text, shift.delta.p, loss and shift.delta.significant))
    for (text, _, loss), adjusted in zip(family, holm([p for _, p, _ in family]), strict=True):
        if loss and adjusted < ALPHA / 2:
            yield f"{text} (adjusted p = {adjusted:.3g})."


def _show_miss(miss: Miss) -> str:
    known = metric(miss.metric)
    sign = ">" if known is not None and known.lower else "<"
    return f"{miss.id} {miss.metric} {miss.value:.3g} {sign} {miss.required:.3g}"
