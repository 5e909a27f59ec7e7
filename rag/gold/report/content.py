"""What every report shows, put together once: verdict, changes, cases by stage, metrics, slices, latency."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

from rag.gold.metrics.comparison import (
    Comparison,
    Exit,
    Label,
    Pair,
    Shift,
    State,
    Verdict,
    listed,
    missed,
    pass_rate,
    passes,
    requirements,
    stage_of,
)
from rag.gold.metrics.definitions import Metric, Stage, known_names, metric
from rag.gold.metrics.retrieval import first_occurrences
from rag.gold.metrics.statistics import bootstrap, power_text, quantile
from rag.gold.types import Noise, Question, Run
from rag.text import counted

LABELS: tuple[Label, ...] = ("regression", "error", "stale", "flaky", "failing", "new", "fixed", "passing")
_WORDS: dict[Label, str] = {"regression": "worse", "error": "not asked", "fixed": "better"}
_WRAP = re.compile(r"(?<=\S)[^\S\n]*\n[^\S\n]*(?=\S)(?![-*+•|#>]|\d+[.)]\s)")
_ALIKE = 0.25
_TOKEN = re.compile(r"\s+|\w+|[^\w\s]")
_SLICED = ("fact_recall", "citation_recall", "abstention_accuracy")
_TIMES = ("retrieve_ms", "first_token_ms", "total_ms", "prompt_tokens", "answer_tokens")


@dataclass(frozen=True, slots=True)
class Slice:
    """The questions with one tag: share that passes, and some means, before (if there is a baseline) and after."""

    tag: str
    questions: int
    passed: tuple[float | None, float | None]
    means: Mapping[str, tuple[float | None, float | None]]


@dataclass(frozen=True, slots=True)
class Cost:
    """Median and 95th percentile of a time (ms) or a token count, before and after."""

    metric: Metric
    before: tuple[float, float] | None
    after: tuple[float, float]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """All of it, in the order in which a person wants to know."""

    run: Run
    comparison: Comparison | None
    verdict: Verdict
    cases: tuple[Pair, ...]
    rows: tuple[Shift, ...]
    slices: tuple[Slice, ...]
    costs: tuple[Cost, ...]
    power: str
    noise: str

    def counts(self) -> dict[Label, int]:
        """How many cases carry each label."""
        return {label: sum(case.label == label for case in self.cases) for label in LABELS}

    def at(self, stage: Stage) -> tuple[Pair, ...]:
        """The regressions (without a baseline: the failures) of a stage."""
        wanted = "regression" if self.comparison is not None else "failing"
        return tuple(case for case in self.cases if case.stage is stage and case.label == wanted)

    @property
    def names(self) -> tuple[str, str] | None:
        """The two candidates, where no baseline is one of them."""
        return self.comparison.names if self.comparison is not None else None

    @property
    def sides(self) -> tuple[str, str]:
        """What the two columns of a comparison are called."""
        return self.names or ("before", "now")

    def word(self, label: Label) -> str:
        """A label in the words of a gate, or of a comparison."""
        if self.names is None:
            return _WORDS.get(label, label)
        both = {"regression": f"better in {self.names[0]}", "fixed": f"better in {self.names[1]}",
                "failing": "failing in both", "passing": "passing in both"}  # fmt: skip
        return both.get(label, _WORDS.get(label, label))

    @property
    def tally(self) -> str:
        """How many questions there are of each kind, in one sentence; those that don't gate apart."""
        parts: list[str] = []
        for label, number in self.counts().items():
            watched = sum(case.label == label and not case.question.gates for case in self.cases)
            apart = watched if label in ("regression", "fixed") else 0
            parts += [f"{number - apart} {self.word(label)}"] if number > apart else []
            parts += [f"{apart} {self.word(label)} on watch"] if apart else []
        return f"{counted(len(self.cases), 'question')}: {', '.join(parts)}."

    @property
    def steady(self) -> str:
        """The metrics that are as good as they can be and did not move, in one line; empty when there are none."""
        best: dict[str, dict[str, list[str]]] = {"1.000": {}, "0": {}}
        for row in self.rows:
            if row.steady:
                name, _, k = row.metric.name.partition("@")
                best["0" if row.metric.lower else "1.000"].setdefault(name, []).extend([k] if k else [])
        told = {
            v: ", ".join(n + ("@" + "/".join(ks) if ks else "") for n, ks in rows.items()) for v, rows in best.items()
        }
        return "; ".join(f"at {value}: {names}" for value, names in told.items() if names)

    def steps(self) -> tuple[tuple[str, str], ...]:
        """What to do about the verdict, each with its command, which is empty where there is none."""
        return tuple(_steps(self))


def _steps(report: Report) -> Iterator[tuple[str, str]]:
    run, gold = report.run, report.run.gold
    here = f"{gold} {run.where}".strip()
    accepting = f"rag gold accept {gold} --all --reason '...'"
    if report.names is not None:
        return
    mendable = [finding for finding in run.findings if finding.mendable]
    lost = dict.fromkeys(finding.id for finding in run.findings if not finding.mendable)
    if mendable:
        number = counted(len(mendable), "source")
        yield f"Read what stands there now, take {number} over, and run again", f"rag gold rebase {here} --write"
    if lost:
        yield f"Nothing like their gold is left, so give them another source or remove them: {listed(list(lost))}", ""
    if report.verdict.code is Exit.NOT_COMPARABLE:
        yield "To compare over the new documents all the same", f"rag gold run {here} --allow-corpus-change"
    if run.errors:
        yield "Mend what is said under 'Could not be asked', then give the same command again.", ""
    if report.comparison is None:
        yield "Read the answers; where they are right", accepting
    elif report.verdict.code is Exit.NOT_COMPARABLE and not run.findings:
        yield "Where the answers are right, make them the baseline", accepting
    elif worse := [case.question.id for case in report.cases if case.label == "regression"]:
        ids = " ".join(worse[:5]) + (" ..." if len(worse) > 5 else "")
        yield "Find out what did it; where the new answers are right", f"rag gold accept {gold} {ids} --reason '...'"
    elif any(case.label in ("fixed", "new") for case in report.cases):
        yield "Keep what got better or is new", accepting


def build_report(run: Run, comparison: Comparison | None, verdict: Verdict) -> Report:
    """Put the report of ``run`` together, with a comparison if there is a baseline."""
    cases = comparison.pairs if comparison is not None else tuple(_alone(run))
    noise = comparison.noise if comparison is not None else run.noise
    return Report(
        run=run,
        comparison=comparison,
        verdict=verdict,
        cases=tuple(sorted(cases, key=lambda case: LABELS.index(case.label))),
        rows=_rows(run, comparison),
        slices=_slices([case for case in cases if case.label != "stale"], run.k, comparison is not None),
        costs=_costs(run, comparison),
        power=power_text(comparison.regressions, comparison.fixes) if comparison is not None else "",
        noise=describe_noise(noise),
    )


def describe_noise(noise: Noise | None) -> str:
    """A noise floor in one sentence."""
    if noise is None:
        return "The noise floor has not been measured; `rag gold run --noise` asks everything twice to measure it."
    if noise.silent:
        return (
            f"Run twice, all {counted(noise.questions, 'question')} came out the same to the letter: "
            "any later difference is a change."
        )
    flipped = f"; {', '.join(noise.flips[:5])} flipped between passing and failing" if noise.flips else ""
    return (
        f"Run twice, {noise.questions - noise.identical} of {noise.questions} questions came out differently{flipped}."
    )


def _alone(run: Run) -> Iterator[Pair]:
    """The questions of a run that is compared with none."""
    scores, groups = run.scores(), run.by_id()
    for question in (question for question in run.questions if question.id in groups):
        records, after = groups[question.id], scores.get(question.id, {})
        lost = missed(question, after, run.k)
        state = State.FLAKY if 0 < pass_rate(question, records, run.k) < 1 else State.STABLE
        if question.id not in scores or question.id in run.stale:
            state = State.STALE if question.id in scores else State.ERROR
        wanted = {need.metric: need.value for need in requirements(question, run.k)}
        stage = stage_of(question, wanted, after, lost) if lost and state is State.STABLE else None
        yield Pair(question, state, stage, (), (), {}, after, None, records[0], lost)


def _rows(run: Run, comparison: Comparison | None) -> tuple[Shift, ...]:
    """The metrics but times and tokens, in the order of their definitions."""
    found = comparison.shifts if comparison is not None else _means(run)
    rank = {name: place for place, name in enumerate(known_names(0))}
    order = re.compile(r"@\d+")
    rows = (row for row in found if row.metric.name not in _TIMES)
    return tuple(sorted(rows, key=lambda row: (rank.get(order.sub("@0", row.metric.name), 99), row.metric.name)))


def _means(run: Run) -> Iterator[Shift]:
    """The metrics of a run that is compared with none."""
    values: dict[str, list[float]] = {}
    for scores in (scores for asked, scores in run.scores().items() if asked not in run.stale):
        for name, value in scores.items():
            values.setdefault(name, []).append(value)
    for name, column in values.items():
        if (known := metric(name)) is not None:
            yield Shift(known, None, bootstrap(column), None)


def _slices(cases: Sequence[Pair], k: int, paired: bool) -> tuple[Slice, ...]:
    tags = dict.fromkeys(tag for case in cases for tag in case.question.tags)
    return tuple(_slice(tag, [case for case in cases if tag in case.question.tags], k, paired) for tag in tags)


def _slice(tag: str, cases: Sequence[Pair], k: int, paired: bool) -> Slice:
    def passed(scores: Sequence[tuple[Question, Mapping[str, float]]]) -> float | None:
        known = [passes(question, metrics, k) for question, metrics in scores if metrics]
        return sum(known) / len(known) if known else None

    after = [(case.question, case.after) for case in cases]
    before = [(case.question, case.before) for case in cases] if paired else []
    names = [n for n in (f"file_hit@{k}", *_SLICED) if any(n in metrics for _, metrics in after)]
    means = {name: (_mean(before, name), _mean(after, name)) for name in names}
    return Slice(tag, len(cases), (passed(before), passed(after)), means)


def _mean(scores: Sequence[tuple[Question, Mapping[str, float]]], name: str) -> float | None:
    values = [metrics[name] for _, metrics in scores if name in metrics]
    return sum(values) / len(values) if values else None


def _costs(run: Run, comparison: Comparison | None) -> tuple[Cost, ...]:
    costs: list[Cost] = []
    for name in _TIMES:
        known, after = metric(name), _values(run, name)
        before = _values(comparison.a, name) if comparison is not None else []
        if known is not None and after:
            old, new = ((quantile(side, 0.5), quantile(side, 0.95)) for side in (before, after))
            costs.append(Cost(known, old if before else None, new, tuple(after)))
    return tuple(costs)


def _values(run: Run, name: str) -> list[float]:
    return sorted(record.metrics[name] for record in run.records if name in record.metrics)


def unwrapped(text: str) -> str:
    """``text`` without the line breaks of a document's narrow lines; paragraphs and lists stay."""
    return _WRAP.sub(" ", text)


def alike(edits: Sequence[Edit]) -> bool:
    """Whether two texts share so much (a quarter of the longer one) that marking their difference helps a reader."""
    size = {kind: sum(len(words) for each, words in edits if each == kind) for kind in ("same", "gone", "come")}
    return size["same"] >= _ALIKE * (size["same"] + max(size["gone"], size["come"]))


Edit = tuple[Literal["same", "gone", "come"], str]


def word_diff(old: str, new: str) -> list[Edit]:
    """The words that stayed, went and came, in reading order; their texts joined give ``old`` or ``new`` again.

    White space alone between two changes counts as changed, so that a rewritten phrase reads as one.
    """
    a, b = _TOKEN.findall(old), _TOKEN.findall(new)
    edits: list[Edit] = []
    gone = come = ""
    codes = SequenceMatcher(None, a, b, autojunk=False).get_opcodes()
    for index, (what, i, j, m, n) in enumerate(codes):
        left, right = "".join(a[i:j]), "".join(b[m:n])
        if what != "equal" or (left.isspace() and 0 < index < len(codes) - 1):
            gone, come = gone + left, come + right
            continue
        edits.extend(_changed(gone, come))
        edits.append(("same", left))
        gone = come = ""
    return [*edits, *_changed(gone, come)]


def _changed(gone: str, come: str) -> list[Edit]:
    edits: list[Edit] = [("gone", gone), ("come", come)]
    return [edit for edit in edits if edit[1]]


def ranks(case: Pair) -> list[tuple[str, int | None, int | None, bool]]:
    """The files of both rankings with their rank before and after, and whether they are gold; gold ones first."""
    old = first_occurrences(found.source for found in case.old.ranking) if case.old else []
    new = first_occurrences(found.source for found in case.new.ranking) if case.new else []
    files = dict.fromkeys([*case.question.files, *new, *old])
    place = {name: index for index, name in enumerate(new, 1)}
    was = {name: index for index, name in enumerate(old, 1)}
    gold = set(case.question.files)
    return sorted(
        ((file, was.get(file), place.get(file), file in gold) for file in files),
        key=lambda row: (not row[3], row[2] or 999, row[1] or 999),
    )
