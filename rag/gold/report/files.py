"""The report as files: one HTML page, which loads nothing from elsewhere; Markdown, for a pull request's comment or a
job's summary; JUnit XML, for a CI's test view. Everything that came from outside is escaped."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from rag.gold.metrics.comparison import Exit, Miss, Pair, Shift
from rag.gold.metrics.definitions import Stage
from rag.gold.metrics.tuning import Sweep, sweep_rows
from rag.gold.report.content import LABELS, Report, alike, ranks, unwrapped, word_diff
from rag.gold.report.terminal import show_interval
from rag.gold.types import Cited, Question, Record, flat

_TONES = {Exit.CLEAN: "clean", Exit.REGRESSION: "worse", Exit.INVALID: "worse"}
_SIGNS = {Exit.CLEAN: "✅", Exit.REGRESSION: "❌", Exit.INFRASTRUCTURE: "⚠️", Exit.NOT_COMPARABLE: "⚠️"}
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$@])")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@cache
def templates() -> Environment:
    """The templates of the reports; what they show is escaped for HTML and XML."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "static"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made.globals.update(
        alike=alike, word_diff=word_diff, unwrapped=unwrapped, ranks=ranks, show_interval=show_interval,
        cited_by=_cited_by, text_of=_text_of, facts_of=_facts_of,
        short=lambda value: value if len(value) <= 36 else f"{value[:12]}…",
    )  # fmt: skip
    return made


@cache
def _charts() -> Any:
    return templates().get_template("charts.html").module


def page(title: str, body: str, *, script: bool = False) -> str:
    """A whole page around ``body`` (HTML), in the reader's light or dark. Its content policy forbids every request."""
    return templates().get_template("page.html").render(title=title, body=Markup(body), script=script)


def html_report(report: Report) -> str:
    """The whole report as a page."""
    run, counts = report.run, report.counts()
    model = run.fingerprint.get("model")
    model = model.get("name", "") if isinstance(model, dict) else model
    when = datetime.fromtimestamp(run.started, UTC).strftime("%Y-%m-%d %H:%M UTC")
    kind = "retrieval only" if run.retrieval_only else f"{run.mode}, model {model}"
    seconds = max(0.0, run.finished - run.started)
    body = templates().get_template("report.html").render(
        report=report, counts=counts, labels=[label for label in LABELS if counts[label]], stages=list(Stage),
        tone=_TONES.get(report.verdict.code, "unclear"), metrics=list(_metrics(report)),
        facts=" · ".join((run.gold, when, f"{seconds:.1f} s", kind, f"k = {run.k}")),
        sliced=list(dict.fromkeys(name for part in report.slices for name in part.means)),
        tags=list(dict.fromkeys(tag for case in report.cases for tag in case.question.tags)),
        fingerprint=list(flat(run.fingerprint)), strip_chart=_charts().strip,
    )  # fmt: skip
    return page(report.verdict.headline[:80], body, script=True)


def failure_html(title: str, message: str) -> str:
    """The page of a run that could not be made."""
    told = Markup('<section class="verdict worse"><h1>{}</h1><p class="text">{}</p></section>')
    return page(title, told.format(title, message))


def _metrics(report: Report) -> Iterator[tuple[Shift, str, Markup, Markup]]:
    """The rows that are not at their best, with the tone of their change and their charts."""
    reach = max([abs(edge) for r in report.rows if r.delta for edge in (r.delta.low, r.delta.high)] + [0.05])
    for row in report.rows:
        tone = ""
        if row.delta is not None and row.delta.significant:
            tone = "bad" if row.metric.loss(0.0, row.delta.mean) > 0 else "good"
        if not row.steady:
            delta = _charts().delta(row.delta, reach, tone) if row.delta is not None else Markup()
            yield row, tone, _charts().share(row.after, row.before), delta


def _cited_by(record: Record | None) -> list[tuple[int, Cited, bool]]:
    """The citations of an answer, and whether each carries its sentence."""
    if record is None or record.reply is None:
        return []
    said = [pair for s in record.reply.sentences for pair in zip(s.citations, s.carries, strict=False)]
    carrying = {number for number, carries in said if carries}
    return [(index, cited, index in carrying) for index, cited in enumerate(record.reply.citations)]


def _text_of(record: Record | None) -> str:
    return unwrapped(record.reply.text) if record is not None and record.reply is not None else ""


def _facts_of(question: Question) -> str:
    told = (f"{f.id}: {f'{f.number} {f.unit}' if f.number else ' or '.join(f.any)}".strip() for f in question.facts)
    return "; ".join(told)


def scatter_chart(points: Sequence[tuple[str, float, float, float, float]], x_title: str, y_title: str) -> Markup:
    """Points ``(name, x, y, y low, y high)`` numbered from 1 as they come, with whiskers; their names show on hovering.

    x begins at 0; y goes from the smallest low to the largest high, and at least over 0.1. Points that would cover each
    other share a label.
    """
    right, high = max([x for _, x, *_ in points] + [1e-9]), max(y for point in points for y in point[3:])
    low = min(*(y for point in points for y in point[3:]), high - 0.1)

    apart = 14

    def up(y: float) -> float:
        return round(282 - (y - low) / (high - low) * 262, 1)

    drawn: list[tuple[str, float, float, float, float]] = []
    labels: dict[tuple[int, int], list[str]] = {}
    for number, (name, x, y, least, most) in enumerate(points, 1):
        across = round(60 + x / right * 500, 1)
        drawn.append((name, across, up(y), up(most), up(least)))
        labels.setdefault((round(across / apart), round(up(y) / apart)), []).append(str(number))
    texts = [(column * apart + 12, row * apart + 4, ", ".join(ns)) for (column, row), ns in labels.items()]
    return Markup(_charts().scatter(drawn, texts, right, low, high, x_title, y_title))


def sweep_html(found: Sweep) -> str:
    """The table and a plot of quality against time as one page that loads nothing."""
    points = [(r.point.name, r.time, r.quality.mean, r.quality.low, r.quality.high) for r in found.rated]
    plot = scatter_chart(points, "median ms", found.metric)
    body = templates().get_template("sweep.html").render(found=found, plot=plot, rows=list(sweep_rows(found)))
    return page("Sweep", body)


def markdown_report(*reports: Report) -> str:
    """Reports as GitHub-flavoured Markdown, one below the other. Text from documents and answers is escaped."""
    made = templates().overlay(autoescape=False)
    made.filters["md"] = escape
    text = made.get_template("report.md").render(reports=reports, signs=_SIGNS, stages=list(Stage), diff=_diff)
    return f"{text.rstrip()}\n"


def _diff(old: str, new: str) -> str:
    marks = {"same": "", "gone": "~~", "come": "**"}
    pieces: list[str] = []
    for kind, words in word_diff(" ".join(old.split()), " ".join(new.split())):
        # Markdown's emphasis must not begin or end with a space.
        core, mark = words.strip(), marks[kind] if words.strip() else ""
        before, after = words[: len(words) - len(words.lstrip())], words[len(words.rstrip()) :] if core else ""
        pieces.append(f"{before}{mark}{escape(core)}{mark}{after}")
    return "".join(pieces)


def failure_markdown(title: str, message: str) -> str:
    """The Markdown of a run that could not be made."""
    return f"## ❌ {escape(title)}\n\n" + "\n".join(f"- {escape(line)}" for line in message.splitlines()) + "\n"


def escape(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


@dataclass(frozen=True, slots=True)
class _Test:
    """A test case: ``kind`` is failure, error, skipped, or empty where it passed."""

    name: str
    group: str
    kind: str
    message: str
    type: str
    body: str
    line: int | None = None
    seconds: float = 0.0


def junit_report(*reports: Report) -> str:
    """Reports as JUnit XML, a suite for each gold set and a test case for each question, with the file and line that
    GitHub's annotations and GitLab's test view link to and the class names that Jenkins groups by.

    Regressions, missed thresholds and gold that does not stand in the documents are failures where the question gates
    and skipped where it doesn't; unasked questions are errors. What fails a run as a whole is a test case "verdict".
    """
    return _junit([_suite(report) for report in reports])


def _suite(report: Report) -> dict[str, Any]:
    run, decided = report.run, report.verdict
    tests: list[_Test] = []
    for case in report.cases:
        kind, message = _outcome(case, [miss for miss in decided.misses if miss.id == case.question.id], report)
        seconds = (case.new.metrics.get("total_ms", 0.0) if case.new else 0.0) / 1000
        group = ".".join(("gold", *case.question.tags[:1]))
        tests.append(
            _Test(case.question.id, group, kind, message, case.label, _body(case), case.question.line, seconds)
        )
    if decided.code and not any(test.kind in ("failure", "error") for test in tests):
        told = "\n".join((*decided.reasons, *(": ".join(filter(None, step)) for step in report.steps())))
        tests.append(_Test("verdict", "gold", "failure", decided.headline, "verdict", told))
    return {
        "name": run.gold, "file": run.gold, "tests": tests,
        "timestamp": datetime.fromtimestamp(run.started, UTC).strftime("%Y-%m-%dT%H:%M:%S"),
        "properties": [("verdict", decided.headline), ("exit code", int(decided.code)), *flat(run.fingerprint)],
    }  # fmt: skip


def failure_junit(title: str, message: str) -> str:
    """The JUnit XML of a run that could not be made: one test case with an error."""
    tests = [_Test("run", "gold", "error", title, "run", message)]
    return _junit([{"name": "gold", "file": "", "tests": tests, "timestamp": "", "properties": []}])


def _junit(suites: list[dict[str, Any]]) -> str:
    """The suites as XML, without the characters that XML 1.0 forbids."""
    return _NOT_XML.sub("\ufffd", templates().get_template("junit.xml").render(suites=suites)) + "\n"


def _outcome(case: Pair, misses: list[Miss], report: Report) -> tuple[str, str]:
    if case.label == "error":
        return "error", case.new.error if case.new else "not asked"
    what = [f"{m.metric} {m.value:.3g}, required {m.required:.3g}" for m in misses]
    if case.label == "regression":
        what = [f"{name} {case.before[name]:.3g} -> {case.after[name]:.3g}" for name in case.worse] + what
    if case.label == "stale":
        what = [finding.message for finding in report.run.findings if finding.id == case.question.id]
    if not what:
        return "", ""
    stage = f"{case.stage.value}: " if case.stage else ""
    return ("failure" if case.question.gates else "skipped"), f"{stage}{'; '.join(what)}"


def _body(case: Pair) -> str:
    old = f"Before: {case.old.reply.text}\n" if case.old and case.old.reply else ""
    new = f"Now: {case.new.reply.text}\n" if case.new and case.new.reply else ""
    notes = "\n".join(case.new.notes) if case.new else ""
    return f"{case.question.question}\n{old}{new}{notes}"
