"""Whatever a document, a model or a user writes, the page shows it and does nothing: no tag off the list."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest
from selectolax.lexbor import LexborHTMLParser

from tests.ui.test_render import hostile_record
from ui.markdown import TAGS, open_ended, to_html
from ui.render import answer_html, question_html
from ui.sources import section_html

CASES = 60_000 if os.environ.get("RAG_SOAK") == "1" else 3_000
ALLOWED = TAGS | {"html", "head", "body", "a", "mark", "div", "b", "small", "span", "section", "article",
                  "details", "summary", "button", "em", "h4", "-text", "tbody"}  # fmt: skip
ATTRIBUTES = {
    "a": {"class", "href", "title"}, "mark": {"class", "title"}, "div": {"class", "dir"}, "p": {"class", "dir"},
    "small": {"class"}, "span": {"class", "title"}, "section": {"class", "id", "data-copy"}, "ol": {"start"},
    "article": {"class", "id", "tabindex", "aria-label"}, "details": {"class"},
    "button": {"type", "data-open", "data-gold", "data-markdown"}, "b": {"class"},
}  # fmt: skip
STATES = ["", "writing", "stopped", "failed", "interrupted", "abstained"]

SEEDS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "</div></section><iframe src=//e>",
    "![x](http://evil.example/p.png)",
    "[x](javascript:alert(1))",
    "<http://evil.example>",
    "http://evil.example/?q=1",
    "[x]: http://evil.example 't'",
    "${alert(1)}",
    "{{constructor.constructor('alert(1)')()}}",
    "{{{x}}}",
    "`${x}`",
    "$$\\href{javascript:alert(1)}{x}$$",
    "\\(x\\)",
    "\\[x\\]",
    "<mark class=unsup>",
    "<a href=#t1s1>1</a>",
    "[1]",
    "[1](#t1s1)",
    "\u202egnp.exe",
    "\u2066x\u2069",
    "\u200b\u200d\ufeff",
    "\x00\x01\x1b[31m",
    "\r\n\r\n",
    "\u2028\u2029",
    "&lt;b&gt;",
    "&#60;b&#62;",
    "&lt;",
    "&#x3c;",
    '" onmouseover="alert(1)',
    "' autofocus onfocus='x",
    "--><!--",
    "]]>",
    "<![CDATA[",
    "<?php ?>",
    "<!doctype x>",
    "<style>*{background:url(//e)}</style>",
    "<div style='background:url(http://e)'>",
    "<video src=//e>",
    "<base href=//e>",
    "<math><mtext></p><img src onerror=x>",
    "<noscript><p title='</noscript><img src=x onerror=x>'>",
    "<template><b>",
    "<xmp>",
    "```mermaid\ngraph TD\n```",
    "```html\n<b>\n```",
    "~~~\n",
    "    code",
    "> q",
    "- l\n  - m",
    "1. n",
    "| a | b |\n|--|--|\n| c |",
    "# h",
    "===",
    "---",
    "**b**",
    "_i_",
    "*",
    "`c`",
    "\\",
    "<",
    ">",
    '"',
    "'",
    "&",
    "\n\n",
    " ",
    "word",
    "Ünï",
    "漢字",
    "🙂",
    "\U00010a50" + "0" + "\U00010a53",
    "\U00010a51" + "0" + "\U00010a53",
    "\U00010a52",
    "\ud800",
    "\ufdd0",
    "\uffff",
    "a" * 200,
]


def cases(count: int) -> Iterator[str]:
    """Every seed alone, one very long line, then random chains of seeds, cut at random places."""
    yield from SEEDS
    yield "x" * 10_000
    yield "<b>" * 3_000
    yield "[" * 3_000
    yield "**a " * 1_000
    rng = random.Random(20_260_101)
    for _ in range(count):
        text = "".join(rng.choice(SEEDS) for _ in range(rng.randint(1, 8)))
        cut = rng.randint(0, len(text))
        yield text[cut:] + text[:cut] if rng.random() < 0.3 else text


def assert_inert(html: str, text: str) -> None:
    """Only allowed tags and attributes; links lead to cards; templates, formulas and line breaks find nothing."""
    assert "\n" not in html, text
    assert "${" not in html and "{{" not in html and "$$" not in html, text
    document = LexborHTMLParser(f"<!doctype html><body>{html}</body>")
    for node in document.root.traverse(include_text=False):  # type: ignore[union-attr]
        tag = node.tag or ""
        assert tag in ALLOWED, (tag, text)
        assert set(node.attributes) <= ATTRIBUTES.get(tag, set()), (tag, node.attributes, text)
        if tag == "a":
            assert (node.attributes["href"] or "").startswith("#t"), text


def every_piece(text: str, state: str) -> Iterator[str]:
    """All the HTML that a turn with ``text`` everywhere becomes."""
    record = hostile_record(text.encode("utf-8", "replace").decode())
    record["abstained"] = state == "abstained"
    record["state"] = "" if state == "abstained" else state
    yield answer_html(record, 1)
    yield question_html(text)
    yield section_html(text, record, 1).replace("\n", " ")


def test_hostile_text_stays_text() -> None:
    for number, text in enumerate(cases(CASES)):
        for html in every_piece(text, STATES[number % len(STATES)]):
            assert_inert(html, text)
        assert_inert(open_ended(to_html(text)), text)


@pytest.mark.parametrize("state", STATES)
def test_every_seed_in_every_state(state: str) -> None:
    for text in SEEDS:
        for html in every_piece(text, state):
            assert_inert(html, text)


def test_nothing_is_lost_on_the_way() -> None:
    """Inert does not mean gone: what a model wrote can be read."""
    for text in (
        "<script>alert(1)</script>",
        "![x](http://evil.example/p.png)",
        "[x]: http://evil.example",
        "${x} {{y}}",
    ):
        shown = LexborHTMLParser(f"<body>{to_html(text)}</body>").body
        assert shown is not None
        assert " ".join(shown.text().split()) == text
