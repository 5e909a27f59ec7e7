"""The report as Markdown (for a pull request's comment or a job's summary) and as JUnit XML (for a CI's test view)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree import ElementTree

from rag.gold.metrics.comparison import Exit, Miss
from rag.gold.metrics.definitions import Stage
from rag.gold.report.content import Case, Report, ranks, word_diff
from rag.gold.report.terminal import show_interval

_SIGNS = {Exit.CLEAN: "✅", Exit.REGRESSION: "❌", Exit.INFRASTRUCTURE: "⚠️", Exit.NOT_COMPARABLE: "⚠️"}
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$@])")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def markdown_report(report: Report) -> str:
    """The report as GitHub-flavoured Markdown. Text from documents and answers is escaped."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield f"## {_SIGNS.get(report.verdict.code, '❌')} {escape(report.verdict.headline)}"
    yield ""
    for reason in report.verdict.reasons[1:]:
        yield f"- {escape(reason)}"
    counts = ", ".join(f"{number} {label}" for label, number in report.counts().items() if number)
    yield f"- {len(report.cases)} questions of `{report.run.gold}`: {counts}."
    if report.power:
        yield f"- {escape(report.power)}"
    yield f"- {escape(report.noise)}"
    if report.comparison is not None and report.comparison.changes:
        yield from ("", "### Changed since the baseline", "", "| what | before | now |", "|---|---|---|")
        for change in report.comparison.changes:
            yield f"| {escape(change.key)} | {escape(change.old[:60])} | {escape(change.new[:60])} |"
    for stage in Stage:
        cases = report.at(stage)
        if cases:
            yield from ("", f"### {stage.value[0].upper()}{stage.value[1:]} ({len(cases)})", "")
            for case in cases[:20]:
                yield from _case(case)
            if len(cases) > 20:
                yield f"And {len(cases) - 20} more: {escape(', '.join(case.question.id for case in cases[20:]))}."
    yield from _metrics(report)


def _case(case: Case) -> Iterator[str]:
    yield f"<details><summary><b>{_tagless(case.question.id)}</b> {_tagless(case.question.question)}</summary>"
    yield ""
    for name in case.worse:
        yield f"- {name}: {case.before[name]:.3g} → {case.after[name]:.3g}"
    for note in case.new.notes if case.new else ():
        yield f"- {escape(note)}"
    for file, old, new, gold in ranks(case):
        if gold and case.old is not None and old != new:
            yield f"- rank of {escape(file)}: {old or 'not found'} → {new or 'not found'}"
    old_text = case.old.reply.text if case.old and case.old.reply else ""
    new_text = case.new.reply.text if case.new and case.new.reply else ""
    if new_text:
        yield ""
        yield f"> {_diff(old_text, new_text) if old_text else escape(' '.join(new_text.split()))}"
    yield from ("", "</details>", "")


def _diff(old: str, new: str) -> str:
    marks = {"same": "", "gone": "~~", "come": "**"}
    pieces: list[str] = []
    for kind, words in word_diff(" ".join(old.split()), " ".join(new.split())):
        core, mark = words.strip(), marks[kind]
        if not core or not mark:
            pieces.append(escape(words))
            continue
        # Markdown's emphasis must not begin or end with a space.
        before, after = words[: len(words) - len(words.lstrip())], words[len(words.rstrip()) :]
        pieces.append(f"{before}{mark}{escape(core)}{mark}{after}")
    return "".join(pieces)


def _metrics(report: Report) -> Iterator[str]:
    yield from ("", "### Metrics", "", "| metric | before | now | change | n |", "|---|--:|--:|--:|--:|")
    for row in report.rows:
        before = f"{row.before.mean:.3f}" if row.before else ""
        delta = show_interval(row.delta, row.metric, signed=True) if row.delta else ""
        bold = "**" if row.delta is not None and row.delta.significant else ""
        now = show_interval(row.after, row.metric)
        yield f"| {row.metric.name} | {before} | {now} | {bold}{delta}{bold} | {row.after.n} |"
    for cost in report.costs:
        before = f"{cost.before[0]:.0f}" if cost.before else ""
        yield f"| {cost.metric.name} (median, p95) | {before} | {cost.after[0]:.0f}, {cost.after[1]:.0f} | | |"


def escape(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _tagless(text: str) -> str:
    return " ".join(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").split())


def junit_report(report: Report) -> str:
    """The report as JUnit XML: a test case a question; regressions and missed thresholds that gate are failures,
    unasked questions errors, questions that don't gate are skipped when they fail."""
    missed: dict[str, list[Miss]] = {}
    for miss in report.verdict.misses:
        missed.setdefault(miss.id, []).append(miss)
    suite = ElementTree.Element("testsuite", name=_xml(report.run.gold))
    counts = {"failures": 0, "errors": 0, "skipped": 0}
    for case in report.cases:
        milliseconds = case.new.metrics.get("total_ms", 0.0) if case.new else 0.0
        node = ElementTree.SubElement(
            suite, "testcase", name=_xml(case.question.id), classname=_xml(".".join(("gold", *case.question.tags[:1]))),
            time=f"{milliseconds / 1000:.3f}",
        )  # fmt: skip
        kind, message = _outcome(case, missed.get(case.question.id, []))
        if kind:
            counts[f"{kind}s" if kind != "skipped" else kind] += 1
            child = ElementTree.SubElement(node, kind, message=_xml(message))
            if kind != "skipped":
                child.text = _xml(_body(case))
    suite.set("tests", str(len(report.cases)))
    for name, number in counts.items():
        suite.set(name, str(number))
    root = ElementTree.Element("testsuites", name="rag gold")
    root.append(suite)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _outcome(case: Case, misses: list[Miss]) -> tuple[str, str]:
    if case.label == "error":
        return "error", case.new.error if case.new else "not asked"
    stage = f"{case.stage.value}: " if case.stage else ""
    what = [f"{m.metric} {m.value:.3g}, required {m.required:.3g}" for m in misses]
    if case.label == "regression":
        what = [f"{name} {case.before[name]:.3g} -> {case.after[name]:.3g}" for name in case.worse] + what
    if not what:
        return "", ""
    return ("failure" if case.question.gates else "skipped"), f"{stage}{'; '.join(what)}"


def _body(case: Case) -> str:
    old = f"Before: {case.old.reply.text}\n" if case.old and case.old.reply else ""
    new = f"Now: {case.new.reply.text}\n" if case.new and case.new.reply else ""
    notes = "\n".join(case.new.notes) if case.new else ""
    return f"{case.question.question}\n{old}{new}{notes}"


def _xml(text: str) -> str:
    """Without the characters that XML 1.0 forbids."""
    return _NOT_XML.sub("\ufffd", text)
