"""Answers in the shapes that models give them: lists, tables, emphasis, and sources listed at the end."""

from __future__ import annotations

import pytest
from markdown_it import MarkdownIt

from rag.answer.export import to_markdown
from rag.answer.verify import Verified, Verifier
from rag.answer.writing import without_references
from rag.commands.terminal import answer_text
from rag.models.static import static_vectors
from rag.types import Answer, Support
from tests.answer.passages import hits

OPENED = "The Alpha bridge was opened in 1931 by Queen Maud"
DEPTH = "Its deepest point lies 87 metres below the lake"
FOUND = hits({"docs/alpha.md": f"{OPENED}.", "beta (final).pdf": f"The tunnel is old. {DEPTH}."})
PASSAGES = [hit.passage for hit in FOUND]
VERIFIER = Verifier(static_vectors())


def states(done: Verified) -> list[str]:
    return [f"{sentence.support}" for sentence in done.sentences]


@pytest.mark.parametrize(
    "text",
    [
        f"1. {OPENED} [1].\n2. {DEPTH} [2].",
        f"7) {OPENED}. [1]\n8) {DEPTH}. [2]",
        f"a) {OPENED} [1].\n  b) {DEPTH} [2].",
        f"II. {OPENED} [1].\nIII. {DEPTH} [2].",
        f"> {OPENED} [1].\n> - {DEPTH} [2].",
        f"- [x] {OPENED} [1].\n- [ ] {DEPTH} [2].",
        f"**{OPENED} [1].** *{DEPTH} [2].*",
        f"{OPENED} **[1]**. {DEPTH} ([2]).",
    ],
)
def test_the_number_of_a_list_is_no_claim(text: str) -> None:
    assert states(VERIFIER.verify(text, FOUND)) == ["quoted", "quoted"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Yes.", ["uncited"]),
        ("**No** [1].", ["uncited"]),
        ("نعم", ["uncited"]),
        (f"Yes. {OPENED} [1].", ["not-a-claim", "quoted"]),
        ("Hello!", ["not-a-claim"]),
    ],
)
def test_a_bare_yes_is_not_left_without_a_remark(text: str, expected: list[str]) -> None:
    assert states(VERIFIER.verify(text, FOUND)) == expected


def test_a_number_that_is_no_list_mark_is_checked() -> None:
    assert states(VERIFIER.verify("4. Oktober 1931 war der Tag [1].", FOUND)) == ["unsupported"]
    assert states(VERIFIER.verify(f"{OPENED}. 40 kings came [1].", FOUND))[-1] == "unsupported"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("{} **[1]**.", "{} **[1]**."),
        ("{}[1].", "{} [1]."),
        ("**{}**[1].", "**{}** [1]."),
        ("({}[1]).", "({} [1])."),
        ("{} ([1]).", "{} [1]."),
        ("{} (see [1], [2]).", "{} [1]."),
        ("“{}”[1].", "“{}” [1]."),
    ],
)
def test_a_marker_stands_as_its_place_asks(text: str, shown: str) -> None:
    assert VERIFIER.verify(text.format(OPENED), FOUND).text == shown.format(OPENED)


def test_of_a_table_the_rows_are_claims_and_the_names_of_its_columns_are_none() -> None:
    table = f"| Thing | Fact |\n|:---|---|\n| Bridge | {OPENED} [1] |\n| Moon | The moon is made of cheese |"
    done = VERIFIER.verify(table, FOUND)
    assert states(done) == ["not-a-claim", "not-a-claim", "supported", "uncited"]
    numbers = VERIFIER.verify("| Cost | 9000 crowns |\n|---|---|\n| 9 | 8 |", FOUND)
    assert numbers.sentences[0].support is Support.UNCITED
    answer = Answer("?", done.text, False, sentences=done.sentences, citations=done.citations, markers=done.markers)
    rendered = MarkdownIt("commonmark").enable("table").render(to_markdown(answer))
    assert rendered.count("<td") == 4 and "<em>(no source)</em></td>" in rendered
    assert "cheese  (⚠ not in your documents)|" in answer_text(answer)


@pytest.mark.parametrize(
    "listed",
    [
        "References:\n[1] docs/alpha.md, page 3\n[2] beta (final).pdf",
        "**Sources:**\n- [1] alpha.md\n- beta (final).pdf",
        "### Quellen\n\n1. docs/alpha.md",
        "Sources: [1], [2]",
        "Source: alpha.md",
        "---\n[1]: alpha.md",
        "[1] SOURCE 1: alpha.md\n\n[2] SOURCE 2: beta (final).pdf\n",
    ],
)
def test_a_list_of_sources_at_the_end_is_left_out(listed: str) -> None:
    assert without_references(f"**{OPENED} [1].**\n\n{listed}", PASSAGES) == f"**{OPENED} [1].**"
    assert without_references(listed, PASSAGES) == listed


@pytest.mark.parametrize(
    "said",
    [
        "[1] [2]",
        "Sources:",
        "Sources:\n- Taxes [1]\n- Fees",
        "These mention it:\n- docs/alpha.md [1]\n- beta (final).pdf [2]",
        "Source: alpha.md and the king",
        "[1] It is long.",
        "1931",
    ],
)
def test_what_says_something_is_no_list_of_sources(said: str) -> None:
    assert without_references(f"{OPENED} [1].\n\n{said}", PASSAGES) == f"{OPENED} [1].\n\n{said}"


@pytest.mark.parametrize("unit", ["[1] alpha.md\n", "Sources:\n", "- \n", "\n", "* ", "[1]", "alpha.md"])
def test_a_long_list_takes_one_pass(unit: str) -> None:
    text = "a\n" + unit * (300_000 // len(unit))
    assert text.startswith(without_references(text, PASSAGES))
