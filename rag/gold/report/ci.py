"""The report as Markdown (for a pull request's comment or a job's summary) and as JUnit XML (for a CI's test view)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rag.gold.metrics.comparison import Exit, Miss, Pair
from rag.gold.metrics.definitions import Stage
from rag.gold.report.content import Report, word_diff
from rag.gold.report.html import templates
from rag.gold.types import flat

_SIGNS = {Exit.CLEAN: "✅", Exit.REGRESSION: "❌", Exit.INFRASTRUCTURE: "⚠️", Exit.NOT_COMPARABLE: "⚠️"}
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$@])")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


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
