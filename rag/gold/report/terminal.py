"""The report in the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from rag.gold.files.runs import Accepted
from rag.gold.metrics.advice import Advice
from rag.gold.metrics.comparison import Exit, Pair, listed
from rag.gold.metrics.definitions import Metric, Stage
from rag.gold.metrics.statistics import Interval, least_rate
from rag.gold.metrics.tuning import Fit, Sweep, sweep_rows
from rag.gold.report.content import Edit, Report, alike, ranks, word_diff
from rag.gold.types import Run
from rag.text import counted, safe

_COLOURS = {Exit.CLEAN: "green", Exit.REGRESSION: "red", Exit.INFRASTRUCTURE: "yellow", Exit.NOT_COMPARABLE: "yellow"}
_EDITS = {"same": "", "gone": "red strike", "come": "green"}
_BRACKETS = {"same": ("", ""), "gone": ("[-", "-]"), "come": ("{+", "+}")}
"""As wdiff writes a difference of words where there are no colours."""


def print_report(report: Report, console: Console, *, details: int = 10, statistics: bool = False) -> None:
    """Verdict first, then what to do, what changed, the questions by stage (at most ``details`` of each in full) and
    the metrics that are not at their best; with ``statistics`` all of them, with intervals, tests, tags and times."""
    for part in _parts(report, details, statistics, plain=console.color_system is None):
        console.print(part, crop=False)


def print_accepted(accepted: Accepted, baseline: Run | None, run: Run, console: Console) -> None:
    """What an accept takes into the baseline: each question with its answer, a changed one as a word difference."""
    old, new = (side.by_id() if side is not None else {} for side in (baseline, run))
    asked = {question.id: question.question for question in run.questions}
    for name in (*accepted.changed, *accepted.added):
        before = old[name][0].reply if name in old else None
        after = new[name][0].reply
        line = Text(f"{'changed' if name in old else 'new    '}  {name}  ", style="bold")
        console.print(line.append(safe(asked[name]), style="not bold"))
        told = _difference(before.text if before else None, after.text if after else "", console.color_system is None)
        console.print(_Under(told, 9))
    if accepted.refused:
        why = "since they ended in an error or their gold does not stand in the documents"
        console.print(Text(f"Refused, {why}: {', '.join(accepted.refused)}.", style="yellow"))
    console.print(
        f"Accepted: {len(accepted.added)} new, {len(accepted.changed)} changed; "
        f"{len(accepted.kept)} kept as they were, {len(accepted.baseline.by_id())} in the baseline."
    )


def _difference(old: str | None, new: str, plain: bool) -> Text:
    """``new`` with what changed since ``old`` marked, by colours or in ``plain`` text by brackets; one behind the other
    where they have too little in common."""
    made = Text()
    edits: list[Edit] = [("same", new)] if old is None else word_diff(old, new)
    if old is not None and not alike(edits):
        edits = [("gone", old), ("same", " "), ("come", new)]
    for kind, words in edits:
        before, after = _BRACKETS[kind] if plain else ("", "")
        made.append(safe(f"{before}{' '.join(words.splitlines())}{after}"), style=_EDITS[kind])
    return made


def _parts(report: Report, details: int, statistics: bool, *, plain: bool) -> Iterator[RenderableType]:
    colour = _COLOURS.get(report.verdict.code, "red")
    yield Text(report.verdict.headline, style=f"bold {colour}")
    for reason in report.verdict.reasons[1:]:
        yield _Under(Text(reason, style=colour), 2)
    yield Text(report.tally)
    if report.comparison is not None:
        for what, names in (("not run", report.comparison.not_run), ("no longer asked", report.comparison.removed)):
            if names:
                yield Text(f"In the baseline, but {what}: {listed(names, 10)}.")
    if steps := report.steps():
        yield Text("\nWhat to do", style="bold")
        for text, command in steps:
            yield _Under(f"{text}:" if command else text, 2)
            if command:
                # On a line of its own, which the terminal itself wraps: it can be copied whole.
                yield Group(Text(f"    {command}", no_wrap=True, overflow="ignore"))
    yield from _stale(report, plain)
    yield from _changes(report)
    for stage in Stage:
        yield from _stage(report, stage, details, plain=plain)
    yield from _errors(report)
    if report.comparison is None:
        yield from _to_read(report, details, plain)
    yield from _metrics(report, statistics)
    if statistics:
        yield from (Text(f"\n{text}") for text in (report.power, report.noise) if text)
        if report.slices:
            yield from (Text("\nBy tag", style="bold"), _slices(report))
        if report.costs:
            yield from (Text("\nTime and tokens: median and 95th percentile", style="bold"), _costs(report))


@dataclass(frozen=True, slots=True)
class _Under:
    """Text whose further lines stand under its first."""

    text: str | Text
    indent: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        inner = options.update_width(max(1, options.max_width - self.indent))
        for line in console.render_lines(self.text, inner, pad=False):
            yield from (Segment(" " * self.indent), *line, Segment.line())


def _stale(report: Report, plain: bool) -> Iterator[RenderableType]:
    if report.run.findings:
        yield Text(f"\nGold that does not stand in the documents ({len(report.run.findings)})", style="bold yellow")
    for finding in report.run.findings:
        yield _Under(safe(f"{report.run.gold}:{finding.line}: {finding.message}"), 2)
        if finding.file_now or finding.page_now:
            yield _Under(safe(f"It stands in {finding.file_now or f'page {finding.page_now}'} now."), 4)
        elif finding.quote_now:
            yield _Under(_difference(finding.quote, finding.quote_now, plain), 4)


def _to_read(report: Report, details: int, plain: bool) -> Iterator[RenderableType]:
    """The answers that a first accept would take, with their questions."""
    cases = [case for case in report.cases if case.label in ("passing", "flaky") and case.new and case.new.reply]
    if cases and details:
        yield Text(f"\nAnswers to read before they are accepted ({len(cases)})", style="bold")
        yield from (_case(case, plain) for case in cases[:details])
        if len(cases) > details:
            yield Text(f"  and {len(cases) - details} more: --details {len(cases)}, or --html FILE")


def _changes(report: Report) -> Iterator[RenderableType]:
    if report.comparison is None:
        return
    if not report.comparison.changes:
        yield Text("\nThe configurations are the same." if report.names else "\nThe configuration is the baseline's.",
                   style="bold")  # fmt: skip
        return
    title = f"What differs, {' → '.join(report.names)}" if report.names else "Changed since the baseline"
    yield Text(f"\n{title}", style="bold")
    for change in report.comparison.changes:
        yield Text(safe(f"  {change.key}: {_short(change.old)} → {_short(change.new)}"))


def _stage(report: Report, stage: Stage, details: int, *, plain: bool) -> Iterator[RenderableType]:
    cases = report.at(stage)
    if not cases:
        return
    where = f"{report.names[1]}: " if report.names else ""
    yield Text(f"\n{where}{stage.value} ({len(cases)})", style="bold red")
    for case in cases[:details]:
        yield _case(case, plain)
    if len(cases) > details:
        yield Text(f"  and {len(cases) - details} more: {', '.join(case.question.id for case in cases[details:])}")


def _case(case: Pair, plain: bool) -> RenderableType:
    head = Text(case.question.id, style="bold")
    tags = f" [{', '.join(case.question.tags)}]" if case.question.tags else ""
    head.append(safe(f"{tags} {case.question.question}"), style="")
    moved = [f"{name} {case.before[name]:.3g} → {case.after[name]:.3g}" for name in case.worse]
    lines = [Text("; ".join(moved or case.missed), style="dim")] if moved or case.missed else []
    notes = case.new.notes if case.new else ()
    lines.extend(Text(safe(note), style="yellow") for note in notes)
    moves = [f"{file} {_rank(old)} → {_rank(new)}" for file, old, new, gold in ranks(case) if gold and old != new]
    if case.old is not None and moves:
        lines.append(Text(safe(f"rank of gold file: {'; '.join(moves)}")))
    old = case.old.reply.text if case.old and case.old.reply else None
    if case.new and case.new.reply and case.new.reply.text:
        lines.append(_difference(old, case.new.reply.text, plain))
    return Group(_Under(head, 2), *(_Under(line, 4) for line in lines))


def _errors(report: Report) -> Iterator[RenderableType]:
    failed = [case for case in report.cases if case.label == "error" and case.new is not None]
    if failed:
        yield Text(f"\nCould not be asked ({len(failed)})", style="bold yellow")
        for case in failed[:10]:
            yield Text(safe(f"  {case.question.id}: {case.new.error if case.new else ''}"))


def _metrics(report: Report, statistics: bool) -> Iterator[RenderableType]:
    rows = [row for row in report.rows if statistics or (row.moved and not row.steady)]
    yield Text(f"\nMetrics: mean{' and 95 % interval' if statistics else ''}", style="bold")
    if not statistics and report.steady:
        yield _Under(report.steady, 2)
    if not rows:
        return
    paired = report.comparison is not None
    before, now = report.sides
    table = _table("metric", *((before, now, "change") if paired else (now,)), "n")
    for row in rows:
        style = ""
        if row.delta is not None and row.delta.significant:
            style = "red" if row.metric.loss(0.0, row.delta.mean) > 0 else "green"
        old = [f"{row.before.mean:.3f}" if row.before else ""] if paired else []
        change = [show_interval(row.delta, row.metric, signed=True, whole=statistics) if row.delta else ""]
        now = show_interval(row.after, row.metric, whole=statistics)
        table.add_row(row.metric.name, *old, now, *(change if paired else []), str(row.after.n), style=style)
    yield table
    if not statistics:
        yield _Under(Text("--statistics adds intervals, tests, tags and times.", style="dim"), 2)


def show_interval(interval: Interval, metric: Metric, *, signed: bool = False, whole: bool = True) -> str:
    """A mean, ``whole`` with its interval; whole numbers for times and tokens."""
    digits = ("+" if signed else "") + (".3f" if metric.unit in ("share", "count") else ".0f")
    mean, low, high = (format(value, digits) for value in (interval.mean, interval.low, interval.high))
    return format(interval, digits) if whole and (low, high) != (mean, mean) else mean


def _slices(report: Report) -> Table:
    names = list(dict.fromkeys(name for part in report.slices for name in part.means))
    table = _table("tag", "n", "pass", *names)
    for part in report.slices:
        cells = [_moved(part.means.get(name, (None, None))) for name in names]
        table.add_row(part.tag, str(part.questions), _moved(part.passed), *cells)
    return table


def _moved(pair: tuple[float | None, float | None]) -> str:
    old, new = pair
    if new is None:
        return "–"
    return f"{new:.2f}" if old is None or abs(old - new) < 0.005 else f"{old:.2f} → {new:.2f}"


def _costs(report: Report) -> Table:
    table = _table("", *report.sides)
    for cost in report.costs:
        before = f"{cost.before[0]:.0f}, {cost.before[1]:.0f}" if cost.before else ""
        table.add_row(cost.metric.name, before, f"{cost.after[0]:.0f}, {cost.after[1]:.0f}")
    return table


def _rank(rank: int | None) -> str:
    return f"#{rank}" if rank else "not found"


def _short(value: str) -> str:
    return (value if len(value) <= 40 else f"{value[:12]}…") or "–"


def _table(first: str, *others: str, title: str | None = None) -> Table:
    """An empty table: the first column to the left, the others to the right and never wrapped."""
    table = Table(first, title=title, title_justify="left", box=None, pad_edge=False)
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def fit_table(fit: Fit) -> Table:
    """A fitted setting, before and after."""
    word = "better" if fit.better else "not significantly better"
    title = f"{fit.setting}: {fit.old:g} → {fit.new:g}, {word} on questions held out"
    table = _table("", "before", "after (cross-validated)", "n", title=title)
    table.add_row(fit.measure, f"{fit.before}", f"{fit.after}", str(fit.before.n))
    table.add_row("change", "", f"{fit.delta:+.3f}", str(fit.delta.n))
    for name, before, after in fit.parts:
        table.add_row(name, f"{before}", f"{after}", str(before.n))
    return table


def sweep_table(found: Sweep) -> Table:
    """The points of a sweep, the best first."""
    table = _table("settings", f"{found.metric} [95 %]", "median ms", "lead of the best", "adjusted p")
    for row in sweep_rows(found):
        table.add_row(*row)
    return table


def print_advice(advice: Advice, console: Console) -> None:
    """What to write into the gold set, as YAML to paste, and how many questions a claim needs."""
    asked = {proposal.asked for proposal in advice.proposals}
    always = sum(proposal.severity == "must" for proposal in advice.proposals)
    often = f"{min(asked)} to {max(asked)} times" if len(asked) > 1 else f"{counted(max(asked), 'time')}"
    total = counted(len(advice.proposals), "question")
    console.print(Text(f"{total}, asked {often} in {counted(advice.runs, 'run')}: {always} passed every time.", "bold"))
    if max(asked) < 2:
        console.print("Nothing is known of the noise: run again with --repeats 5, or name several runs with --run.")
    sure = least_rate(min(asked), min(asked))
    console.print(
        f"A question that passed {min(asked)} of {min(asked)} passes in {sure:.0%} of runs or more (95 % confidence); "
        f"a threshold at the worst of {min(asked)} values is missed by chance in at most 1 run of {min(asked) + 1}."
    )
    for proposal in advice.proposals:
        if proposal.changes:
            name = proposal.question.id
            console.print(Text(f"- id: {name}").append(f"  # passed {proposal.passed} of {proposal.asked}", "dim"))
            limits = ", ".join(f'"{key}": {value:g}' for key, value in proposal.thresholds.items())
            written = f"  severity: {proposal.severity}" + (f"\n  thresholds: {{{limits}}}" if limits else "")
            console.print(written, soft_wrap=True)
    console.print(f"\nTwo identical runs differ in {advice.wavering:.1%} of the questions, as far as these runs show.")
    for claim, needed in advice.claims.items():
        console.print(f"To show that {100 * claim:g} % more of the questions pass takes about {needed} questions.")
    power = "80 % power, p < 0.05, McNemar's test"
    console.print(f"The {always} that gate can show a gain of {100 * advice.smallest:.3g} % ({power}).")
