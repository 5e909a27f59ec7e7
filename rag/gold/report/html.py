"""The report as one HTML file: nothing is loaded from elsewhere, everything that came from outside is escaped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from html import escape
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from rag.gold.metrics.comparison import Exit
from rag.gold.metrics.definitions import Stage
from rag.gold.metrics.statistics import Interval
from rag.gold.metrics.tuning import Sweep, sweep_rows
from rag.gold.report.content import LABELS, Report, Row, alike, ranks, unwrapped, word_diff
from rag.gold.report.terminal import show_interval
from rag.gold.types import Cited, Question, Record, flat

_TONES = {Exit.CLEAN: "clean", Exit.REGRESSION: "worse", Exit.INVALID: "worse"}


@cache
def _templates() -> Environment:
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "static"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made.globals.update(
        alike=alike, word_diff=word_diff, unwrapped=unwrapped, ranks=ranks, show_interval=show_interval,
        strip_chart=strip_chart, cited_by=_cited_by, text_of=_text_of, facts_of=_facts_of,
        short=lambda value: value if len(value) <= 36 else f"{value[:12]}…",
    )  # fmt: skip
    return made


def page(title: str, body: str, *, script: bool = False) -> str:
    """A whole page around ``body`` (HTML), in the reader's light or dark. Its content policy forbids every request."""
    return _templates().get_template("page.html").render(title=title, body=Markup(body), script=script)


def html_report(report: Report) -> str:
    """The whole report as a page."""
    run, counts = report.run, report.counts()
    model = run.fingerprint.get("model")
    model = model.get("name", "") if isinstance(model, dict) else model
    when = datetime.fromtimestamp(run.started, UTC).strftime("%Y-%m-%d %H:%M UTC")
    kind = "retrieval only" if run.retrieval_only else f"{run.mode}, model {model}"
    seconds = max(0.0, run.finished - run.started)
    body = _templates().get_template("report.html").render(
        report=report, counts=counts, labels=[label for label in LABELS if counts[label]], stages=list(Stage),
        tone=_TONES.get(report.verdict.code, "unclear"), metrics=list(_metrics(report)),
        steps=[(text, command and f"rag gold{command}") for text, _, command in
               (step.partition(": rag gold") for step in report.steps())],
        facts=" · ".join((run.gold, when, f"{seconds:.1f} s", kind, f"k = {run.k}")),
        sliced=list(dict.fromkeys(name for part in report.slices for name in part.means)),
        tags=list(dict.fromkeys(tag for case in report.cases for tag in case.question.tags)),
        fingerprint=list(flat(run.fingerprint)),
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
            delta = delta_chart(row.delta, reach, tone) if row.delta is not None else Markup()
            yield row, tone, share_chart(row.after, row.before), delta


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


_WIDTH, _HEIGHT, _PAD = 150, 18, 6


def share_chart(after: Interval, before: Interval | None) -> Markup:
    """A mean in [0, 1] with its interval as a dot with a whisker; the old mean as a ring."""

    def x(value: float) -> float:
        return _PAD + min(1.0, max(0.0, value)) * (_WIDTH - 2 * _PAD)

    middle = _HEIGHT / 2
    ring = f'<circle class="old" cx="{x(before.mean):.1f}" cy="{middle}" r="4"/>' if before else ""
    label = f"{after.mean:.3f}, 95 % interval {after.low:.3f} to {after.high:.3f}"
    return Markup(
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" role="img" aria-label="{label}">'
        f'<line class="axis" x1="{_PAD}" x2="{_WIDTH - _PAD}" y1="{middle}" y2="{middle}"/>'
        f'<line class="whisker" x1="{x(after.low):.1f}" x2="{x(after.high):.1f}" y1="{middle}" y2="{middle}"/>'
        f'{ring}<circle class="point" cx="{x(after.mean):.1f}" cy="{middle}" r="3.5"/></svg>'
    )


def delta_chart(delta: Interval, reach: float, tone: str) -> Markup:
    """A difference with its interval around a line at 0; ``reach`` is the largest value to show, ``tone`` ``good``,
    ``bad`` or empty."""

    def x(value: float) -> float:
        return _WIDTH / 2 + max(-1.0, min(1.0, value / reach)) * (_WIDTH / 2 - _PAD)

    middle = _HEIGHT / 2
    label = f"change {delta.mean:+.3f}, 95 % interval {delta.low:+.3f} to {delta.high:+.3f}"
    return Markup(
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" role="img" aria-label="{label}">'
        f'<line class="axis" x1="{_WIDTH / 2}" x2="{_WIDTH / 2}" y1="1" y2="{_HEIGHT - 1}"/>'
        f'<line class="whisker {tone}" x1="{x(delta.low):.1f}" x2="{x(delta.high):.1f}" y1="{middle}" y2="{middle}"/>'
        f'<circle class="point {tone}" cx="{x(delta.mean):.1f}" cy="{middle}" r="3.5"/></svg>'
    )


def strip_chart(values: Sequence[float], marks: Sequence[float]) -> Markup:
    """Each value as a thin tick from 0 to the largest, ``marks`` (median, 95th percentile) as tall lines."""
    width = 320
    top = max([*values, *marks, 1e-9])

    def x(value: float) -> float:
        return _PAD + value / top * (width - 2 * _PAD)

    ticks = "".join(f'<rect class="tick" x="{x(v):.1f}" y="5" width="1.5" height="9"/>' for v in values[:2_000])
    lines = "".join(f'<line class="whisker" x1="{x(m):.1f}" x2="{x(m):.1f}" y1="1" y2="18"/>' for m in marks)
    shape = f'viewBox="0 0 {width} 19" width="{width}" height="19"'
    label = f"distribution of {len(values)} values"
    return Markup(f'<svg {shape} role="img" aria-label="{label}">{ticks}{lines}</svg>')


def scatter_chart(points: Sequence[tuple[str, float, float, float, float]], x_title: str, y_title: str) -> Markup:
    """Points ``(name, x, y, y low, y high)`` numbered from 1 as they come, with whiskers; their names show on hovering.

    x begins at 0; y goes from the smallest low to the largest high, and at least over 0.1. Points that would cover each
    other share a label.
    """
    width, height, left, bottom = 640, 340, 60, 44
    x_top = max([x for _, x, *_ in points] + [1e-9])
    ys = [y for point in points for y in point[3:]]
    y_low = min(min(ys), max(ys) - 0.1)
    y_span = max(ys) - y_low

    def at(x: float, y: float) -> tuple[float, float]:
        across = left + x / x_top * (width - left - 80)
        return across, height - bottom - 14 - (y - y_low) / y_span * (height - bottom - 34)

    marks: dict[tuple[int, int], list[str]] = {}
    parts = [_axes(width, height, left, bottom, x_title, y_title)]
    for value in (0.0, x_top):
        parts.append(_tick(at(value, y_low)[0], height - bottom + 16, "middle", value))
    for value in (y_low, y_low + y_span):
        parts.append(_tick(left - 6, at(0.0, value)[1] + 4, "end", value))
    for number, (name, x, y, low, high) in enumerate(points, 1):
        across, up = at(x, y)
        ends = f'y1="{at(x, low)[1]:.1f}" y2="{at(x, high)[1]:.1f}"'
        parts.append(
            f"<g><title>{escape(name)}</title>"
            f'<line class="whisker" x1="{across:.1f}" x2="{across:.1f}" {ends}/>'
            f'<circle class="point" cx="{across:.1f}" cy="{up:.1f}" r="5"/></g>'
        )
        marks.setdefault((round(across / 14), round(up / 14)), []).append(str(number))
    for (column, row), numbers in marks.items():
        parts.append(f'<text x="{column * 14 + 12}" y="{row * 14 + 4}">{", ".join(numbers)}</text>')
    style = "font: 12px sans-serif; fill: currentColor"
    return Markup(
        f'<svg viewBox="0 0 {width} {height}" width="{width}" style="{style}" role="img">{"".join(parts)}</svg>'
    )


def _axes(width: int, height: int, left: int, bottom: int, x_title: str, y_title: str) -> str:
    turned = f"rotate(-90 14 {height / 2})"
    return (
        f'<line class="axis" x1="{left}" x2="{width - 10}" y1="{height - bottom}" y2="{height - bottom}"/>'
        f'<line class="axis" x1="{left}" x2="{left}" y1="10" y2="{height - bottom}"/>'
        f'<text x="{(left + width) / 2}" y="{height - 8}" text-anchor="middle">{escape(x_title)}</text>'
        f'<text x="14" y="{height / 2}" text-anchor="middle" transform="{turned}">{escape(y_title)}</text>'
    )


def _tick(x: float, y: float, anchor: str, value: float) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{value:.3g}</text>'


def sweep_html(found: Sweep) -> str:
    """The table and a plot of quality against time as one page that loads nothing."""
    points = [(r.point.name, r.time, r.quality.mean, r.quality.low, r.quality.high) for r in found.rated]
    rows = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in (f'{number}. {row[0]}', *row[1:]))}</tr>"
        for number, row in enumerate(sweep_rows(found), 1)
    )
    heads = "".join(
        f"<th>{escape(h)}</th>" for h in ("settings", f"{found.metric} [95 %]", "median ms", "lead of the best", "p")
    )
    return page(
        "Sweep",
        f'<section class="verdict"><h1>{escape(found.conclusion)}</h1></section>'
        f'<h2>Quality against time</h2><div class="scroll">{scatter_chart(points, "median ms", found.metric)}</div>\n'
        f'<h2>Table</h2><div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>',
    )
