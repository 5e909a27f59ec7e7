"""The report as one HTML file: nothing is loaded from elsewhere, everything that came from outside is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from html import escape

from rag.gold.catalog import Stage
from rag.gold.charts import delta_chart, share_chart, strip_chart
from rag.gold.fingerprint import flat
from rag.gold.gate import Exit
from rag.gold.html_case import case_html
from rag.gold.html_page import html_page
from rag.gold.report import LABELS, Report, Slice
from rag.gold.report_text import show_interval

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
