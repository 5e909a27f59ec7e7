"""The report as one HTML file: nothing is loaded from elsewhere, everything that came from outside is escaped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from rag.gold.metrics.comparison import Exit
from rag.gold.metrics.definitions import Stage
from rag.gold.metrics.tuning import Sweep, sweep_rows
from rag.gold.report.content import LABELS, Report, Row, alike, ranks, unwrapped, word_diff
from rag.gold.report.terminal import show_interval
from rag.gold.types import Cited, Question, Record, flat

_TONES = {Exit.CLEAN: "clean", Exit.REGRESSION: "worse", Exit.INVALID: "worse"}


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
    return page(
        title, f'<section class="verdict worse"><h1>{escape(title)}</h1><p class="text">{escape(message)}</p></section>'
    )


def _metrics(report: Report) -> Iterator[tuple[Row, str, Markup, Markup]]:
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
