"""An answer as Markdown: footnotes that resolve, weak sentences flagged, and nothing in it that acts."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from rag.answer.compose import abstention
from rag.answer.conflicts import disagreements
from rag.answer.export import Inactive, inactive, inert_markdown, to_markdown
from rag.answer.verify import Verifier
from rag.models.static import static_vectors
from rag.types import Answer
from tests.answer.passages import hits

VERIFIER = Verifier(static_vectors())
FOUND = hits({
    "fees.md": "The harbour fee in Bergen is 40 crowns a day. Boats moor at the western pier.",
    "2019-06-01 fees.md": "The harbour fee in Bergen is 55 crowns a day.",
})  # fmt: skip
_REFERENCE = re.compile(r"(?<!\\)\[\^(\d+)\](?!:)")
_NOTE = re.compile(r"^\[\^(\d+)\]: ", re.MULTILINE)


def answer(text: str, question: str = "What is the harbour fee?") -> Answer:
    done = VERIFIER.verify(text, FOUND)
    return Answer(
        question, done.text, False, sentences=done.sentences, citations=done.citations, markers=done.markers,
        hits=tuple(FOUND), disagreements=disagreements(done.sentences, done.citations, FOUND),
    )  # fmt: skip


def tokens(markdown: str) -> list[Token]:
    found: list[Token] = []
    for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(markdown):
        found += [token, *(token.children or [])]
    return found


def test_footnotes_are_numbered_and_resolve() -> None:
    shown = to_markdown(answer("Boats moor at the western pier [1]. The harbour fee in Bergen is 40 crowns a day [1]."))
    assert shown.startswith("## What is the harbour fee?\n\nBoats moor at the western pier [^1].")
    assert set(_REFERENCE.findall(shown)) == set(_NOTE.findall(shown)) == {"1", "2", "3"}
    assert "[^1]: fees.md: “Boats moor at the western pier.”" in shown
    assert "**The sources disagree on harbour fee in Bergen" in shown
    assert "- 2019-06-01 fees.md (2019-06-01): 55 crowns [^3]" in shown


@pytest.mark.parametrize(
    ("text", "flag"),
    [
        ("The harbour fee in Bergen is 70 crowns a day [1].", "*(not supported by the documents)*"),
        ("Unicorns graze on the roof of the town hall.", "*(no source)*"),
        ("Boats of all kinds moor at Bergen's pier in the west [1].", "*(only partly supported)*"),
    ],
)
def test_weak_sentences_say_so_after_their_markers(text: str, flag: str) -> None:
    body = to_markdown(answer(f"{text} Boats moor at the western pier [1].")).split("\n\n")[1]
    weak, strong = body.split("Boats moor", 1) if not text.startswith("Boats") else body.split(" Boats moor", 1)
    assert weak.rstrip().endswith(flag) and "*(" not in strong
    assert "[^1]" not in weak or weak.index("[^1]") < weak.index(flag)


def test_where_a_citation_came_from_is_told() -> None:
    shown = to_markdown(answer("Boats moor at the western pier."))
    assert "(source found by the program)" in shown
    shown = to_markdown(answer("Boats moor at the western pier [2]."))
    assert "(source corrected by the program)" in shown


def test_page_and_heading_are_told() -> None:
    made = answer("Boats moor at the western pier [1].")
    placed = replace(made, citations=(replace(made.citations[0], page=3, heading=("Harbour", "Boats")),))
    assert "[^1]: fees.md, page 3, Harbour \\> Boats: “Boats" in to_markdown(placed)


def test_an_abstention_lists_the_nearest_passages() -> None:
    shown = to_markdown(abstention("Who?", FOUND, "nothing found"))
    assert "This is not in the documents." in shown
    assert "Nearest passages:\n\n- fees.md\n- 2019-06-01 fees.md" in shown and "[^" not in shown


def test_what_follows_a_footnote_makes_it_no_link_and_no_definition() -> None:
    shown = to_markdown(answer("[1]: Boats moor at the western pier. Boats moor at the western pier [1](really)."))
    assert "\n[^1]\\: Boats" in shown and "pier [^1]\\(really)." in shown


def test_notices_are_shown() -> None:
    shown = to_markdown(replace(answer("Boats moor at the western pier [1]."), notices=("It may be cut <off>.",)))
    assert "*It may be cut \\<off\\>.*" in shown


HOSTILE = st.lists(
    st.sampled_from(
        ["[1]", "[^1]", "[^9]: forged", "[x](http://evil.example)", "![x](http://evil.example/a.png)", "<script>",
         "</p>", "<img src=x onerror=alert(1)>", "https://evil.example", "www.evil.example", "<http://evil.example>",
         "&lt;", "`a`", "\n\n", "\n", "# ", "[a]: http://evil.example\n", "\\", "]", "[", "(", ")", "!", "|",
         "Boats moor at the pier [1]. ", "```\n", "    ", "~~x~~", "${x}", "\u202e", "\0", "<!--", "[[1]]",
         "http:\\//x", "javascript:alert(1)", "[1]: ", "[1]()", ": ", "- ", "> ", "| a | b |\n|---|---|\n"]
    ),
    max_size=14,
).map("".join)  # fmt: skip


@given(HOSTILE, HOSTILE, HOSTILE)
def test_nothing_in_it_acts(text: str, question: str, quoted: str) -> None:
    made = answer(text, question)
    made = replace(
        made,
        citations=tuple(replace(c, quote=quoted, source=quoted, heading=(quoted,)) for c in made.citations),
        notices=(quoted,),
    )
    shown = to_markdown(made)
    for token in tokens(shown):
        assert token.type not in ("link_open", "image", "html_inline", "html_block", "definition"), (token, shown)
    notes = _NOTE.findall(shown)
    assert len(notes) == len(set(notes)) == len({c.marker for c in made.citations} | {
        claim.citation.marker for item in made.disagreements for claim in item.claims
    })  # fmt: skip
    assert set(_REFERENCE.findall(shown)) <= set(notes)


_ACTIVE_PARTS = (
    "![a](http://b/c)", "[x](y)", "[1]", "(", "<img src=x>", "<", "a", " ", "]", ":", "[r]: http://u\n", "<!--", "b>",
)  # fmt: skip


@given(st.lists(st.sampled_from(_ACTIVE_PARTS)))
def test_what_programs_show_as_markdown_is_inactive_however_it_comes(pieces: list[str]) -> None:
    text = "".join(pieces)
    whole = inactive(text)
    assert len(whole) == len(text), "offsets hold"
    stream = Inactive()
    assert "".join([*map(stream.feed, pieces), stream.finish()]) == whole
    for shown in (whole, inert_markdown(text)):
        html = MarkdownIt("commonmark", {"html": True}).render(shown)
        assert not re.search(r"<(?!/?(?:p|em|strong|code|pre|ul|ol|li|br|hr|h\d|blockquote)\b)", html), shown
    assert inactive("It costs 5 < 6 [1]. See (here).") == "It costs 5 < 6 [1]. See (here)."
    assert inert_markdown("It *is* so [1][2].\n- one") == "It *is* so [1][2].\n- one"
