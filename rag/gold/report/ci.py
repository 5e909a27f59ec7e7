"""The report as Markdown (for a pull request's comment or a job's summary) and as JUnit XML (for a CI's test view)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from xml.etree import ElementTree

from rag.gold.metrics.comparison import Exit, Miss
from rag.gold.metrics.definitions import Stage
from rag.gold.report.content import Case, Report, ranks, word_diff
from rag.gold.report.terminal import show_interval
from rag.gold.types import flat

_SIGNS = {Exit.CLEAN: "✅", Exit.REGRESSION: "❌", Exit.INFRASTRUCTURE: "⚠️", Exit.NOT_COMPARABLE: "⚠️"}
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$@])")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def markdown_report(*reports: Report) -> str:
    """Reports as GitHub-flavoured Markdown, one below the other. Text from documents and answers is escaped."""
    return "\n".join(line for report in reports for line in (*_lines(report), ""))


def _lines(report: Report) -> Iterator[str]:
    yield from (f"## {_SIGNS.get(report.verdict.code, '❌')} {escape(report.verdict.headline)}", "")
    yield from (f"- {escape(reason)}" for reason in report.verdict.reasons[1:])
    yield f"- `{report.run.gold}`: {escape(report.tally)}"
    if steps := report.steps():
        yield from ("", "### What to do", "")
        for text, found, command in (step.partition("rag gold ") for step in steps):
            yield f"- {escape(text)}{f' `{found}{command}`' if found else ''}"
    if report.run.findings:
        yield from ("", "### Gold that does not stand in the documents", "")
    for finding in report.run.findings:
        yield f"- **{escape(finding.id)}** (line {finding.line}): {escape(finding.message)}"
        if now := finding.file_now or (f"page {finding.page_now}" if finding.page_now else ""):
            yield f"  It stands in {escape(now)} now."
        elif finding.quote_now:
            yield f"  {_diff(finding.quote, finding.quote_now)}"
    if report.comparison is not None and report.comparison.changes:
        title = "What differs" if report.names else "Changed since the baseline"
        before, now = map(escape, report.sides)
        yield from ("", f"### {title}", "", f"| what | {before} | {now} |", "|---|---|---|")
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
        # Markdown's emphasis must not begin or end with a space.
        core, mark = words.strip(), marks[kind] if words.strip() else ""
        before, after = words[: len(words) - len(words.lstrip())], words[len(words.rstrip()) :] if core else ""
        pieces.append(f"{before}{mark}{escape(core)}{mark}{after}")
    return "".join(pieces)


def _metrics(report: Report) -> Iterator[str]:
    yield from ("", "### Metrics", "")
    if report.steady:
        yield from (f"{escape(report.steady[0].upper() + report.steady[1:])}.", "")
    before, now = map(escape, report.sides)
    rows = [row for row in report.rows if not row.steady]
    if rows or report.costs:
        yield from (f"| metric | {before} | {now} | change | n |", "|---|--:|--:|--:|--:|")
    for row in rows:
        old = f"{row.before.mean:.3f}" if row.before else ""
        delta = show_interval(row.delta, row.metric, signed=True) if row.delta else ""
        bold = "**" if row.delta is not None and row.delta.significant else ""
        cells = (row.metric.name, old, show_interval(row.after, row.metric), f"{bold}{delta}{bold}", str(row.after.n))
        yield f"| {' | '.join(cells)} |"
    for cost in report.costs:
        old = f"{cost.before[0]:.0f}" if cost.before else ""
        yield f"| {cost.metric.name} (median, p95) | {old} | {cost.after[0]:.0f}, {cost.after[1]:.0f} | | |"
    proved = " ".join(text for text in (report.power, report.noise) if text)
    yield from ("", f"<details><summary>What the figures prove</summary>\n\n{escape(proved)}\n\n</details>")


def failure_markdown(title: str, message: str) -> str:
    """The Markdown of a run that could not be made."""
    return f"## ❌ {escape(title)}\n\n" + "\n".join(f"- {escape(line)}" for line in message.splitlines()) + "\n"


def escape(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _tagless(text: str) -> str:
    return " ".join(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").split())


def junit_report(*reports: Report) -> str:
    """Reports as JUnit XML, a suite for each gold set and a test case for each question, with the file and line that
    GitHub's annotations and GitLab's test view link to and the class names that Jenkins groups by.

    Regressions, missed thresholds and gold that does not stand in the documents are failures where the question gates
    and skipped where it doesn't; unasked questions are errors. What fails a run as a whole is a test case "verdict".
    """
    root = ElementTree.Element("testsuites", name="rag gold")
    for report in reports:
        _suite(root, report)
    return _document(root)


def _suite(root: ElementTree.Element, report: Report) -> None:
    run = report.run
    suite = ElementTree.SubElement(root, "testsuite", name=_xml(run.gold))
    suite.set("timestamp", datetime.fromtimestamp(run.started, UTC).strftime("%Y-%m-%dT%H:%M:%S"))
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in (
        ("verdict", report.verdict.headline),
        ("exit code", str(int(report.verdict.code))),
        *flat(run.fingerprint),
    ):
        ElementTree.SubElement(properties, "property", name=_xml(name), value=_xml(value))
    missed: dict[str, list[Miss]] = {}
    for miss in report.verdict.misses:
        missed.setdefault(miss.id, []).append(miss)
    for case in report.cases:
        seconds = (case.new.metrics.get("total_ms", 0.0) if case.new else 0.0) / 1000
        node = _case_node(suite, run.gold, case, seconds)
        kind, message = _outcome(case, missed.get(case.question.id, []), report)
        if kind:
            child = ElementTree.SubElement(node, kind, message=_xml(message), type=case.label)
            child.text = _xml(_body(case)) if kind != "skipped" else None
        if kind in ("", "skipped"):
            ElementTree.SubElement(node, "system-out").text = _xml(_body(case))
    if report.verdict.code and not any(node.tag in ("failure", "error") for node in suite.iter()):
        node = ElementTree.SubElement(suite, "testcase", name="verdict", classname="gold", file=_xml(run.gold))
        told = "\n".join((*report.verdict.reasons, *report.steps()))
        ElementTree.SubElement(node, "failure", message=_xml(report.verdict.headline), type="verdict").text = _xml(told)
    _count(root, suite)


def _case_node(suite: ElementTree.Element, gold: str, case: Case, seconds: float) -> ElementTree.Element:
    return ElementTree.SubElement(
        suite, "testcase", name=_xml(case.question.id), classname=_xml(".".join(("gold", *case.question.tags[:1]))),
        file=_xml(gold), line=str(case.question.line), time=f"{seconds:.3f}",
    )  # fmt: skip


def _count(root: ElementTree.Element, suite: ElementTree.Element) -> None:
    """Write the totals of a suite, and add them to those of all."""
    numbers = {
        "tests": len(suite.findall("testcase")),
        **{name: len(suite.findall(f"testcase/{kind}"))
           for name, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped"))},
    }  # fmt: skip
    for name, number in numbers.items():
        suite.set(name, str(number))
        root.set(name, str(int(root.get(name, "0")) + number))
    seconds = sum(float(node.get("time", "0")) for node in suite.findall("testcase"))
    suite.set("time", f"{seconds:.3f}")
    root.set("time", f"{float(root.get('time', '0')) + seconds:.3f}")


def failure_junit(title: str, message: str) -> str:
    """The JUnit XML of a run that could not be made: one test case with an error."""
    root = ElementTree.Element("testsuites", name="rag gold")
    suite = ElementTree.SubElement(root, "testsuite", name="gold")
    node = ElementTree.SubElement(suite, "testcase", name="run", classname="gold")
    ElementTree.SubElement(node, "error", message=_xml(title), type="run").text = _xml(message)
    _count(root, suite)
    return _document(root)


def _document(root: ElementTree.Element) -> str:
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _outcome(case: Case, misses: list[Miss], report: Report) -> tuple[str, str]:
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


def _body(case: Case) -> str:
    old = f"Before: {case.old.reply.text}\n" if case.old and case.old.reply else ""
    new = f"Now: {case.new.reply.text}\n" if case.new and case.new.reply else ""
    notes = "\n".join(case.new.notes) if case.new else ""
    return f"{case.question.question}\n{old}{new}{notes}"


def _xml(text: str) -> str:
    """Without the characters that XML 1.0 forbids."""
    return _NOT_XML.sub("\ufffd", text)
