from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from io import StringIO
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from rag.gold.files.runs import accept
from rag.gold.metrics.comparison import compare, noise_floor, verdict
from rag.gold.metrics.definitions import Stage
from rag.gold.report.content import LABELS, Report, alike, build_report, ranks, unwrapped, word_diff
from rag.gold.report.files import html_report, junit_report, markdown_report, scatter_chart
from rag.gold.report.terminal import print_accepted, print_report
from rag.gold.types import Question, Record, Run
from tests.gold.made import FAULTS, FINGERPRINT, REFUSED, question, record, run_of, unanswerable, worse

NASTY = "<script>alert(1)</script> | `x` **b** ${a} {{b}} \u202e & \" ' ]]> [1](http://x)"


def runs() -> tuple[Run, Run]:
    """A run in which each stage broke once, with an error, a fix, a new question and one on watch."""
    asked = [question(f"q{number}") for number in range(4)]
    asked += [question("fixed"), question("watch", severity="watch"), unanswerable("none"), question("down")]
    before = [record(q.id) for q in asked if q.id not in ("none", "fixed")]
    before += [record("fixed", worse(fact_recall=0.0)), record("none", REFUSED)]
    after = [
        record(q.id, FAULTS[stage], text="It is another thing.") for q, stage in zip(asked[:4], Stage, strict=True)
    ]
    after += [record("fixed"), record("watch", FAULTS[Stage.ANSWER]), record("none", REFUSED)]
    after += [Record("down", error="Ollama does not answer.", error_code="server-down"), record("new")]
    first = run_of(asked, before)
    changed = {**FINGERPRINT, "model": {"name": "other", "digest": "2"}}
    second = run_of([*asked, question("new", thresholds={"fact_recall": 1.0})], after, fingerprint=changed)
    return replace(first, noise=noise_floor(first, first)), second


@pytest.fixture
def report() -> Report:
    first, second = runs()
    comparison = compare(first, second)
    return build_report(second, comparison, verdict(second, comparison))


def terminal(report: Report, *, statistics: bool = False, width: int = 160) -> str:
    out = StringIO()
    print_report(report, Console(file=out, width=width), statistics=statistics)
    return out.getvalue()


def test_the_terminal_says_verdict_then_changes_then_stages(report: Report) -> None:
    text = terminal(report)
    order = [
        "Worse: 4 questions got worse",
        "9 questions: 4 worse, 1 worse on watch, 1 not asked, 1 new, 1 better, 1 passing.",
        "What to do",
        "rag gold accept gold.yaml q0 q1 q2 q3 watch --reason",
        "model.name: m → other",
        *(stage.value for stage in Stage),
        "Metrics: mean",
    ]
    places = [text.index(words) for words in order]
    assert places == sorted(places)
    assert "Could not be asked (1)" in text and "Ollama does not answer." in text
    assert "McNemar" not in text and "to the letter" not in text
    asked = terminal(report, statistics=True)
    assert "4 worse to 1 better, p = 0.375 by McNemar" in asked
    assert "all 8 questions came out the same to the letter" in asked
    assert "By tag" in asked and "total_ms" in asked and "By tag" not in text


def test_a_narrow_terminal_keeps_commands_whole_and_lines_indented(report: Report) -> None:
    text = terminal(report, width=40)
    assert "\n    rag gold accept gold.yaml q0 q1 q2 q3 watch --reason '...'\n" in text
    assert "\n  Find out what did it; where the new \n  answers are right:\n" in text


def test_texts_with_little_in_common_stand_one_behind_the_other() -> None:
    before, after = (
        run_of([question("a")], [record("a")]),
        run_of([question("a")], [record("a", text="Nobody knows, neither here nor in any other document.")]),
    )
    accepted, out = accept(after, accept(before, None, reason="x").baseline, reason="y"), StringIO()
    print_accepted(accepted, before, after, Console(file=out, width=80))
    assert "[-It is x. [1]-] {+Nobody knows, neither here" in out.getvalue()


def test_a_difference_is_marked_with_and_without_colours(report: Report) -> None:
    assert "It is [-x-]{+another thing+}. [1]" in terminal(report)
    coloured = StringIO()
    print_report(report, Console(file=coloured, width=160, force_terminal=True, color_system="standard"))
    assert "[-x-]" not in coloured.getvalue() and "\x1b[32manother thing" in coloured.getvalue()


def test_every_label_is_counted_once(report: Report) -> None:
    counts = report.counts()
    assert sum(counts.values()) == len(report.cases) == 9
    assert {label: counts[label] for label in LABELS} == {
        "regression": 5, "error": 1, "stale": 0, "flaky": 0, "failing": 0, "new": 1, "fixed": 1, "passing": 1,
    }  # fmt: skip
    assert [case.label for case in report.cases] == sorted((c.label for c in report.cases), key=LABELS.index)


def test_without_a_baseline_failures_are_grouped_by_stage() -> None:
    _, second = runs()
    report = build_report(second, None, verdict(second))
    assert {stage: [case.question.id for case in report.at(stage)] for stage in Stage} == {
        Stage.RETRIEVAL: ["q0"],
        Stage.ANSWER: ["q1", "watch"],
        Stage.CITATION: [],
        Stage.ABSTENTION: ["q3"],
    }
    assert "Questions that fail" in html_report(report)
    assert "noise floor has not been measured" in terminal(report, statistics=True)


class Page(HTMLParser):
    """Collects tags, attributes and text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.extend(attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(text: str) -> Page:
    page = Page()
    page.feed(text)
    return page


def test_the_page_loads_nothing_and_says_the_verdict_first(report: Report) -> None:
    text = html_report(report)
    page = parsed(text)
    assert not {name for name, _ in page.attributes} & {"src", "href", "srcset", "action", "background", "xlink:href"}
    assert not re.search(r"url\(|@import|https?://", text)
    assert "default-src 'none'" in text
    shown = [page.text.index(words) for words in ("Worse:", "What changed", "Source lost", "Metrics", "All questions")]
    assert shown == sorted(shown)
    for stage in Stage:
        assert f"{stage.value[0].upper()}{stage.value[1:]} (" in page.text
    assert page.tags.count("details") >= len(report.cases)
    assert "svg" in page.tags and "del" in page.tags and "ins" in page.tags


def hostile_run(text: str) -> tuple[Run, Run]:
    asked = Question(
        "q", text.replace("\x00", "?") or "?", tags=("t",), facts=question("q").facts, sources=question("q").sources
    )
    found = record("q", FAULTS[Stage.ANSWER], text=text)
    assert found.reply is not None
    cited = tuple(replace(c, quote=text, source=f"{text}.md") for c in found.reply.citations)
    found = replace(found, reply=replace(found.reply, citations=cited, asked=text), notes=(text,))
    marked = {**FINGERPRINT, "model": {"name": text, "digest": text}}
    return run_of([asked], [record("q")]), run_of([asked], [found], fingerprint=marked)


def hostile_report(text: str) -> Report:
    first, second = hostile_run(text)
    comparison = compare(first, second)
    return build_report(second, comparison, verdict(second, comparison))


def test_text_from_outside_stays_text() -> None:
    plain, nasty = parsed(html_report(hostile_report("It is y."))), parsed(html_report(hostile_report(NASTY)))
    assert [t for t in nasty.tags if t not in ("del", "ins")] == [t for t in plain.tags if t not in ("del", "ins")]
    assert "alert(1)" in nasty.text


@given(st.text(max_size=60))
def test_any_text_makes_well_formed_reports(text: str) -> None:
    report = hostile_report(text)
    ElementTree.fromstring(junit_report(report))
    tags = parsed(html_report(report)).tags
    assert tags.count("script") == 1 and tags.count("style") == 1
    assert "<script" not in markdown_report(report)


def test_markdown_has_tables_and_folded_cases(report: Report) -> None:
    text = markdown_report(report)
    assert text.startswith("## ❌ Worse: 4 questions got worse")
    assert "| model.name | m | other |" in text
    assert "<details><summary><b>q0</b> What is q0?</summary>" in text
    assert "~~x~~" in text and "**another thing**" in text


def test_junit_counts_and_messages(report: Report) -> None:
    root = ElementTree.fromstring(junit_report(report))
    suite = root.find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors"), suite.get("skipped")) == (
        "9",
        "4",
        "1",
        "1",
    )
    failure = suite.find("testcase[@name='q0']/failure")
    assert failure is not None
    assert failure.get("message", "").startswith("source lost in retrieval: file_hit@5 1 -> 0")
    assert "Before: It is x. [1]" in (failure.text or "")
    (told,) = suite.findall("testcase[@name='new']/*")
    assert told.tag == "system-out" and "What is new?" in (told.text or "")


def test_ranks_name_gold_files_first(report: Report) -> None:
    case = next(case for case in report.cases if case.question.id == "q0")
    assert ranks(case) == [("a.md", 1, 1, True), ("b.md", 2, 2, False)]


@given(st.text(max_size=80), st.text(max_size=80))
def test_a_word_diff_holds_both_texts(old: str, new: str) -> None:
    edits = word_diff(old, new)
    assert "".join(words for kind, words in edits if kind != "come") == old
    assert "".join(words for kind, words in edits if kind != "gone") == new


def test_a_rewritten_phrase_is_one_edit() -> None:
    assert word_diff("You get 25 days off.", "You get fifteen working hours off.") == [
        ("same", "You get "),
        ("gone", "25 days"),
        ("come", "fifteen working hours"),
        ("same", " off."),
    ]


def test_texts_that_share_little_are_shown_without_marks() -> None:
    assert alike(word_diff("You get 25 days off.", "You get fifteen days off."))
    assert not alike(word_diff("This is not in the documents.", "Austin was sent to leaders who do not overcorrect."))
    assert alike([]) and not alike(word_diff("", "something"))


def test_the_narrow_lines_of_a_document_are_joined_and_its_paragraphs_and_lists_stay() -> None:
    text = "One line \n  goes on in\n2004 and ends.\n\nNew one:\n- first\n  and more\n- second\n1. third\n# Head"
    joined = "One line goes on in 2004 and ends.\n\nNew one:\n- first and more\n- second\n1. third\n# Head"
    assert unwrapped(text) == joined and unwrapped(joined) == joined


@given(st.text(max_size=80))
def test_joining_lines_changes_white_space_only(text: str) -> None:
    assert unwrapped(text).split() == text.split()


def test_a_scatter_chart_numbers_its_points_and_names_them_on_hovering() -> None:
    points = [("a <b>", 1.0, 0.5, 0.4, 0.6), ("c", 2.0, 0.7, 0.6, 0.8), ("like c", 2.0, 0.7, 0.6, 0.8)]
    root = ElementTree.fromstring(scatter_chart(points, "ms", "fact_recall"))
    assert [text.text for text in root.iter("title")] == ["a <b>", "c", "like c"]
    labels = [text.text for text in root.iter("text")]
    assert labels == ["ms", "fact_recall", "0", "2", "0.4", "0.8", "1", "2, 3"]
    places = [(float(c.get("cx", "")), float(c.get("cy", ""))) for c in root.iter("circle")]
    assert places[0][0] < places[1][0] and places[0][1] > places[1][1]
    flat = scatter_chart([("only", 0.0, 1.0, 1.0, 1.0)], "ms", "pass")
    assert "nan" not in flat and "inf" not in flat
