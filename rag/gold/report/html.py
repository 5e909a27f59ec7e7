"""The report as one HTML file: nothing is loaded from elsewhere, everything that came from outside is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from rag.gold.metrics.comparison import Comparison, Exit
from rag.gold.metrics.definitions import Stage
from rag.gold.metrics.statistics import Interval
from rag.gold.metrics.tuning import Sweep, sweep_rows
from rag.gold.report.content import LABELS, Case, Report, Slice, alike, ranks, unwrapped, word_diff
from rag.gold.report.terminal import show_interval
from rag.gold.types import Record, Run, flat

_WIDTH, _HEIGHT, _PAD = 150, 18, 6


def share_chart(after: Interval, before: Interval | None) -> str:
    """A mean in [0, 1] with its interval as a dot with a whisker; the old mean as a ring."""

    def x(value: float) -> float:
        return _PAD + min(1.0, max(0.0, value)) * (_WIDTH - 2 * _PAD)

    middle = _HEIGHT / 2
    ring = f'<circle class="old" cx="{x(before.mean):.1f}" cy="{middle}" r="4"/>' if before else ""
    label = f"{after.mean:.3f}, 95 % interval {after.low:.3f} to {after.high:.3f}"
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" role="img" aria-label="{label}">'
        f'<line class="axis" x1="{_PAD}" x2="{_WIDTH - _PAD}" y1="{middle}" y2="{middle}"/>'
        f'<line class="whisker" x1="{x(after.low):.1f}" x2="{x(after.high):.1f}" y1="{middle}" y2="{middle}"/>'
        f'{ring}<circle class="point" cx="{x(after.mean):.1f}" cy="{middle}" r="3.5"/></svg>'
    )


def delta_chart(delta: Interval, reach: float, tone: str) -> str:
    """A difference with its interval around a line at 0; ``reach`` is the largest value to show, ``tone`` ``good``,
    ``bad`` or empty."""

    def x(value: float) -> float:
        return _WIDTH / 2 + max(-1.0, min(1.0, value / reach)) * (_WIDTH / 2 - _PAD)

    middle = _HEIGHT / 2
    label = f"change {delta.mean:+.3f}, 95 % interval {delta.low:+.3f} to {delta.high:+.3f}"
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" role="img" aria-label="{label}">'
        f'<line class="axis" x1="{_WIDTH / 2}" x2="{_WIDTH / 2}" y1="1" y2="{_HEIGHT - 1}"/>'
        f'<line class="whisker {tone}" x1="{x(delta.low):.1f}" x2="{x(delta.high):.1f}" y1="{middle}" y2="{middle}"/>'
        f'<circle class="point {tone}" cx="{x(delta.mean):.1f}" cy="{middle}" r="3.5"/></svg>'
    )


def strip_chart(values: Sequence[float], marks: Sequence[float]) -> str:
    """Each value as a thin tick from 0 to the largest, ``marks`` (median, 95th percentile) as tall lines."""
    width = 320
    top = max([*values, *marks, 1e-9])

    def x(value: float) -> float:
        return _PAD + value / top * (width - 2 * _PAD)

    ticks = "".join(f'<rect class="tick" x="{x(v):.1f}" y="5" width="1.5" height="9"/>' for v in values[:2_000])
    lines = "".join(f'<line class="whisker" x1="{x(m):.1f}" x2="{x(m):.1f}" y1="1" y2="18"/>' for m in marks)
    shape = f'viewBox="0 0 {width} 19" width="{width}" height="19"'
    label = f"distribution of {len(values)} values"
    return f'<svg {shape} role="img" aria-label="{label}">{ticks}{lines}</svg>'


def scatter_chart(points: Sequence[tuple[str, float, float, float, float]], x_title: str, y_title: str) -> str:
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
    return f'<svg viewBox="0 0 {width} {height}" width="{width}" style="{style}" role="img">{"".join(parts)}</svg>'


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


_STATIC = Path(__file__).parent / "static"
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)


def html_page(title: str, body: str, script: str = "") -> str:
    """A whole page around ``body`` (HTML), with the named ``script`` of ours. Its content policy forbids every
    request."""
    style = (_STATIC / "report.css").read_text(encoding="utf-8")
    code = f"<script>\n{(_STATIC / script).read_text(encoding='utf-8')}</script>" if script else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style></head>\n"
        f"<body><main>\n{body}\n</main>\n{code}</body></html>\n"
    )


_SIGNS = {"same": "{}", "gone": "<del>{}</del>", "come": "<ins>{}</ins>"}


def case_html(case: Case, run: Run, comparison: Comparison | None, *, opened: bool) -> str:
    """The question as a folding card."""
    question = case.question
    tags = "".join(f'<span class="tag">{escape(tag)}</span>' for tag in question.tags)
    watch = "" if question.gates else '<span class="tag">does not gate</span>'
    dot = f'<span class="dot {case.label}" title="{case.label}"></span>'
    name = f'<span class="name">{escape(question.id)}</span>'
    head = f"<summary>{dot}{name} {escape(question.question)}{tags}{watch}</summary>"
    body = "".join(_body(case, run, comparison))
    data = f'data-label="{case.label}" data-tags="{escape(" ".join(question.tags))}"'
    return f'<details class="case" {data}{" open" if opened else ""}>{head}<div>{body}</div></details>'


def _body(case: Case, run: Run, comparison: Comparison | None) -> Iterator[str]:
    for turn in case.question.turns:
        yield f'<p class="meta">User: {escape(turn.user)}<br>Bot: {escape(turn.bot)}</p>'
    yield from _moves(case)
    if case.new is not None and case.new.error:
        yield f'<p class="note">{escape(case.new.error)}</p>'
    for note in case.new.notes if case.new else ():
        yield f'<p class="note">{escape(note)}</p>'
    yield from _answers(case)
    yield from _evidence(case)
    yield from _gold(case)
    yield from _ranks(case, run, comparison)


def _moves(case: Case) -> Iterator[str]:
    chips = [
        f'<li class="{tone}">{escape(name)} {case.before[name]:.3g} → {case.after[name]:.3g}</li>'
        for names, tone in ((case.worse, "bad"), (case.better, "good"))
        for name in names
    ]
    chips += [f'<li class="bad">{escape(name)} not reached</li>' for name in case.missed if name not in case.worse]
    if chips:
        yield f'<ul class="moves">{"".join(chips)}</ul>'


def _answers(case: Case) -> Iterator[str]:
    old, new = _text(case.old), _text(case.new)
    if not old and not new:
        return
    asked = case.new.reply.asked if case.new and case.new.reply else ""
    if asked and asked != case.question.question:
        yield f'<p class="meta">Searched for: {escape(asked)}</p>'
    if not old or old == new:
        title = "Answer" if not old else "Answer (unchanged)"
        yield f'<div class="label">{title}</div><p class="text">{escape(new or old)}</p>'
        return
    edits = word_diff(old, new)
    left, right = escape(old), escape(new)
    if alike(edits):
        left = "".join(_SIGNS[kind].format(escape(words)) for kind, words in edits if kind != "come")
        right = "".join(_SIGNS[kind].format(escape(words)) for kind, words in edits if kind != "gone")
    yield f'<div class="pair"><div><div class="label">Answer before</div><p class="text">{left}</p></div>'
    yield f'<div><div class="label">Answer now</div><p class="text">{right}</p></div></div>'


def _evidence(case: Case) -> Iterator[str]:
    old, new = _citations(case.old), _citations(case.new)
    if not old and not new:
        return
    if not old or old == new:
        yield f'<div class="label">Evidence</div>{new or old}'
        return
    empty = '<p class="none">No citation.</p>'
    yield f'<div class="pair"><div><div class="label">Evidence before</div>{old}</div>'
    yield f'<div><div class="label">Evidence now</div>{new or empty}</div></div>'


def _citations(record: Record | None) -> str:
    if record is None or record.reply is None:
        return ""
    reply = record.reply
    carrying = {
        number
        for said in reply.sentences
        for number, carries in zip(said.citations, said.carries, strict=False)
        if carries
    }
    parts: list[str] = []
    for index, cited in enumerate(reply.citations):
        page = f", page {cited.page}" if cited.page else ""
        doubt = "" if index in carrying else " · does not carry its sentence"
        origin = f"<cite>[{cited.marker}] {escape(cited.source)}{page}{doubt}</cite>"
        parts.append(f"<blockquote>{escape(unwrapped(cited.quote))}{origin}</blockquote>")
    return "".join(parts)


def _gold(case: Case) -> Iterator[str]:
    quotes = [source for source in case.question.sources if source.quote]
    facts = case.question.facts
    if facts:
        said = "; ".join(
            f"{f.id}: {f.number + ' ' + f.unit if f.number else ' or '.join(f.any)}".strip() for f in facts
        )
        yield f'<p class="meta">A right answer states {escape(said)}</p>'
    if case.question.unanswerable:
        yield '<p class="meta">The documents do not answer this; a right answer says so.</p>'
    for source in quotes:
        page = f", page {source.page}" if source.page else ""
        origin = f"<cite>gold: {escape(source.file)}{page}</cite>"
        yield f'<blockquote class="gold">{escape(source.quote)}{origin}</blockquote>'


def _ranks(case: Case, run: Run, comparison: Comparison | None) -> Iterator[str]:
    rows = [row for row in ranks(case) if row[1] or row[2] or row[3]]
    if not rows:
        return
    paired = comparison is not None and case.old is not None
    cells = "".join(
        f'<tr><td class="wrap">{"<b>" if gold else ""}{escape(file)}{"</b> (gold)" if gold else ""}</td>'
        f"{f'<td>{old or chr(8211)}</td>' if paired else ''}<td>{new or '–'}</td></tr>"
        for file, old, new, gold in rows
    )
    head = f"<th>file, by rank</th>{'<th>before</th>' if paired else ''}<th>now</th>"
    yield f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{cells}</tbody></table></div>'
    best = case.new.ranking[0] if case.new and case.new.ranking else None
    text = run.passages.get(best.key, "") if best else ""
    if best is not None and text:
        page = f", page {best.page}" if best.page else ""
        yield (
            f"<details><summary>Best passage now: {escape(best.source)}{page}</summary>"
            f"<blockquote>{escape(unwrapped(text))}</blockquote></details>"
        )


def _text(record: Record | None) -> str:
    return unwrapped(record.reply.text) if record is not None and record.reply is not None else ""


_TONES = {Exit.CLEAN: "clean", Exit.REGRESSION: "worse", Exit.INVALID: "worse"}


def html_report(report: Report) -> str:
    """The whole page. Its content policy forbids every request."""
    body = "\n".join(
        [*_verdict(report), *_changes(report), *_stages(report), *_metrics(report), *_slices(report), *_costs(report),
         *_all_cases(report), *_fingerprint(report)]
    )  # fmt: skip
    return html_page(report.verdict.headline[:80], body, "report.js")


def _verdict(report: Report) -> Iterator[str]:
    run, counts = report.run, report.counts()
    tone = _TONES.get(report.verdict.code, "unclear")
    yield f'<section class="verdict {tone}"><h1>{escape(report.verdict.headline)}</h1>'
    if report.verdict.reasons[1:]:
        yield f"<ul>{''.join(f'<li>{escape(reason)}</li>' for reason in report.verdict.reasons[1:])}</ul>"
    total = max(1, len(report.cases))
    bars = "".join(
        f'<i class="{label}" style="width:{100 * counts[label] / total:.2f}%"></i>' for label in LABELS if counts[label]
    )
    yield f'<div class="tally" aria-hidden="true">{bars}</div>'
    as_before = {"failing": "failing as before"} if report.comparison is not None else {}
    named = " · ".join(
        f'<span class="dot {label}"></span>{counts[label]} {as_before.get(label, label)}'
        for label in LABELS
        if counts[label]
    )
    yield f"<p>{len(report.cases)} questions: {named}</p>"
    if report.power:
        yield f"<p>{escape(report.power)}</p>"
    yield f"<p>{escape(report.noise)}</p>"
    if report.comparison is not None:
        for what, names in (
            ("did not run", report.comparison.not_run),
            ("are no longer asked", report.comparison.removed),
        ):
            if names:
                yield f"<p>In the baseline, but {what}: {escape(', '.join(names))}</p>"
    model = run.fingerprint.get("model")
    model = model.get("name", "") if isinstance(model, dict) else model
    when = datetime.fromtimestamp(run.started, UTC).strftime("%Y-%m-%d %H:%M UTC")
    kind = "retrieval only" if run.retrieval_only else f"{run.mode}, model {model}"
    seconds = max(0.0, run.finished - run.started)
    facts = " · ".join((run.gold, when, f"{seconds:.1f} s", kind, f"k = {run.k}"))
    yield f'<p class="meta">{escape(facts)}</p></section>'


def _changes(report: Report) -> Iterator[str]:
    if report.comparison is None:
        return
    yield "<h2>What changed since the baseline</h2>"
    if not report.comparison.changes:
        yield '<p class="none">Nothing: model, prompts, documents, settings and versions are the same.</p>'
        return
    rows = (
        f'<tr><td>{escape(c.key)}</td><td class="wrap mono">{escape(_short(c.old))}</td>'
        f'<td class="wrap mono">{escape(_short(c.new))}</td></tr>'
        for c in report.comparison.changes
    )
    yield _table(("", "before", "now"), rows)


def _stages(report: Report) -> Iterator[str]:
    paired = report.comparison is not None
    yield f"<h2>{'Regressions' if paired else 'Questions that fail'}, by the stage that broke</h2>"
    if not any(report.at(stage) for stage in Stage):
        yield f'<p class="none">None: {"no question got worse" if paired else "every question passes"}.</p>'
    for stage in Stage:
        cases = report.at(stage)
        if cases:
            yield f"<h3>{escape(stage.value[0].upper() + stage.value[1:])} ({len(cases)})</h3>"
            yield from (
                case_html(case, report.run, report.comparison, opened=index < 3) for index, case in enumerate(cases)
            )


def _metrics(report: Report) -> Iterator[str]:
    paired = report.comparison is not None
    reach = max([abs(edge) for r in report.rows if r.delta for edge in (r.delta.low, r.delta.high)] + [0.05])
    rows: list[str] = []
    for row in report.rows:
        tone = ""
        if row.delta is not None and row.delta.significant:
            tone = "bad" if row.metric.loss(0.0, row.delta.mean) > 0 else "good"
        mark = {"bad": "worse", "good": "better"}.get(tone, "")
        cells = f'<td>{escape(row.metric.name)}<span class="what">{escape(row.metric.title)}</span></td>'
        if paired:
            cells += f"<td>{row.before.mean:.3f}</td>" if row.before else "<td></td>"
        cells += f"<td>{show_interval(row.after, row.metric)}</td><td>{share_chart(row.after, row.before)}</td>"
        if row.delta is not None:
            cells += f"<td>{show_interval(row.delta, row.metric, signed=True)}</td>"
            cells += f"<td>{delta_chart(row.delta, reach, tone)}</td>"
        rows.append(f'<tr class="{mark}">{cells}<td>{row.after.n}</td></tr>')
    heads = (
        "metric",
        *(("before",) if paired else ()),
        "now [95 %]",
        "0 to 1",
        *(("change [95 %]", "") if paired else ()),
        "n",
    )
    yield "<h2>Metrics</h2>"
    yield _table(heads, rows)


def _slices(report: Report) -> Iterator[str]:
    if not report.slices:
        return
    names = list(dict.fromkeys(name for part in report.slices for name in part.means))
    yield "<h2>By tag</h2>"
    yield _table(("tag", "questions", "pass", *names), (_slice_row(part, names) for part in report.slices))


def _slice_row(part: Slice, names: list[str]) -> str:
    cells = "".join(_moved_cell(part.means.get(name, (None, None)), "over_refusal" in name) for name in names)
    return f"<tr><td>{escape(part.tag)}</td><td>{part.questions}</td>{_moved_cell(part.passed, False)}{cells}</tr>"


def _moved_cell(pair: tuple[float | None, float | None], lower: bool) -> str:
    old, new = pair
    if new is None:
        return '<td class="none">–</td>'
    if old is None or abs(old - new) < 0.005:
        return f"<td>{new:.2f}</td>"
    tone = "good" if (new > old) != lower else "bad"
    return f'<td><span class="moves"><span class="{tone}">{old:.2f} → {new:.2f}</span></span></td>'


def _costs(report: Report) -> Iterator[str]:
    if not report.costs:
        return
    rows = (
        f"<tr><td>{escape(cost.metric.title)}</td>"
        f"<td>{f'{cost.before[0]:.0f} / {cost.before[1]:.0f}' if cost.before else ''}</td>"
        f"<td>{cost.after[0]:.0f} / {cost.after[1]:.0f}</td><td>{cost.metric.unit}</td>"
        f"<td>{strip_chart(cost.values, cost.after)}</td></tr>"
        for cost in report.costs
    )
    yield "<h2>Time and tokens</h2>"
    yield _table(("", "before: median / p95", "now: median / p95", "", "each question"), rows)


def _all_cases(report: Report) -> Iterator[str]:
    counts = report.counts()
    tags = dict.fromkeys(tag for case in report.cases for tag in case.question.tags)
    yield '<h2 id="questions">All questions</h2><div class="filters" role="toolbar" aria-label="Filters">'
    for label in LABELS:
        if counts[label]:
            dot = f'<span class="dot {label}"></span>'
            yield _button("label", label, f"{dot}{label} {counts[label]}")
    yield '<span class="gap"></span>'
    for tag in tags:
        yield _button("tag", tag, escape(tag))
    yield '<input type="search" placeholder="Search questions and answers" aria-label="Search">'
    yield '<span class="meta" id="shown" aria-live="polite"></span></div><div id="all">'
    yield from (case_html(case, report.run, report.comparison, opened=False) for case in report.cases)
    yield "</div>"


def _button(kind: str, value: str, label: str) -> str:
    return (
        f'<button type="button" data-kind="{kind}" data-value="{escape(value)}" aria-pressed="false">{label}</button>'
    )


def _fingerprint(report: Report) -> Iterator[str]:
    rows = (
        f'<tr><td>{escape(key)}</td><td class="wrap mono">{escape(value)}</td></tr>'
        for key, value in flat(report.run.fingerprint)
    )
    yield "<h2>Fingerprint of this run</h2>"
    yield f"<details><summary>All of what these answers depend on</summary>{_table(('', ''), rows)}</details>"


def _table(heads: Iterable[str], rows: Iterable[str]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _short(value: str) -> str:
    return value if len(value) <= 36 else f"{value[:12]}…"


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
    return html_page(
        "Sweep",
        f'<section class="verdict"><h1>{escape(found.conclusion)}</h1></section>'
        f'<h2>Quality against time</h2><div class="scroll">{scatter_chart(points, "median ms", found.metric)}</div>\n'
        f'<h2>Table</h2><div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>',
    )
