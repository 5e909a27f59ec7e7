"""Plain text and Markdown: titles and headings with exact offsets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.config import Limits
from rag.documents.formats import MAX_HEADINGS, MAX_TITLE, media_type, shown
from rag.documents.readers import markdown, plain
from rag.errors import EmptyDocument, LimitExceeded, UnsupportedFormat
from rag.types import ParsedDocument

LIMITS = Limits()
PROSE = "It was a long paragraph of prose that went on for more than eighty characters, to be sure."


def titles(document: ParsedDocument) -> list[tuple[int, str]]:
    return [(heading.level, heading.title) for heading in document.headings]


def test_plain_text_is_kept_and_titled_by_its_first_line() -> None:
    document = plain.parse(b"\n\n  A short line \r\nsecond\tline\n", "folder/notes.txt", LIMITS)
    assert document.text == "\n\n  A short line \nsecond\tline\n"
    assert (document.title, document.media_type, document.pages) == ("A short line", "text/plain", ())


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("x" * 120, "x" * 120),
        ("x" * 121, "notes"),
        ("* * *\n---\nReal title", "Real title"),
        (f"The heading{' | a site' * 15}\n\nThe heading\n", "The heading"),
        (f"{'word ' * 40}\n\nShort but other\n", "notes"),
        ("Zero\u200bwidth \u202ereversed", "Zerowidth reversed"),
    ],
)
def test_plain_title(text: str, title: str) -> None:
    assert plain.parse(text.encode(), "a/notes.txt", LIMITS).title == title


def test_a_title_from_a_bad_name_can_be_written() -> None:
    assert plain.parse(("word " * 100).encode(), "caf\udce9\x1b[31m\n bar.txt", LIMITS).title == "caf[31m bar"


def test_plain_headings_are_lines_that_can_be_nothing_else() -> None:
    text = f"""GETTING STARTED

Some words here.

1. Introduction

{PROSE}

Results of the Second Survey

{PROSE}

Chapter IV

{PROSE}

John Smith

{PROSE}

By Mary Ann Brown

{PROSE}

This Is Shouted at You!

{PROSE}

A Line With no Prose Below It

ok

1,234 5,678 9,012

{PROSE}
"""
    document = plain.parse(text.encode(), "a.txt", LIMITS)
    assert titles(document) == [
        (1, "GETTING STARTED"), (2, "1. Introduction"), (2, "Results of the Second Survey"), (2, "Chapter IV"),
    ]  # fmt: skip
    assert all(document.text[h.start :].startswith(h.title) for h in document.headings)


def test_markdown_is_its_own_canonical_text() -> None:
    source = """---
title: "A \\"quoted\\" title"
tags: [a, b]
---
# Hello *world* [link](http://x) `code` ![alt text](a.png) <b>x</b> &amp; \\* y

Setext **two**
-------------

```
# not this
```

    # nor this

> # nor a quotation's

- # nor a list's

### Third ###
#
"""
    document = markdown.parse(source.encode(), "a.md", LIMITS)
    assert document.text == source and document.title == 'A "quoted" title'
    assert titles(document) == [(1, "Hello world link code alt text x & * y"), (2, "Setext two"), (3, "Third")]
    assert [source[h.start :].split("\n")[0][:9] for h in document.headings] == ["# Hello *", "Setext **", "### Third"]


@pytest.mark.parametrize(
    ("source", "title"),
    [
        ("---\ntitle: Plain words # here\n---\ntext", "Plain words # here"),
        ("---\ntitle: 'single'\n...\ntext", "single"),
        ("---\ntitle: |\n  block\n---\n# Heading", "Heading"),
        ("---\nother: 1\n---\nSetext\n===", "Setext"),
        ("---\ntitle: never closed\n", "title: never closed"),
        ("## Second level\n\n# First level\n", "First level"),
        ("Just a line\n\nmore", "Just a line"),
        ("x" * 200, "note"),
    ],
)
def test_markdown_title(source: str, title: str) -> None:
    assert markdown.parse(source.encode(), "dir/note.md", LIMITS).title == title


def test_html_in_markdown_is_read_as_it_shows_and_comments_never() -> None:
    source = """# Fees

<!-- secret draft
# no heading -->

Boats pay <!-- not 99 --> 12 crowns; `<!-- code -->` stays.

<table><tr><th>Berth</th><th>Fee</th></tr>
<tr><td>4</td><td>12</td></tr></table>

```html
<!-- also code --><table>
```

## Rules

<div hidden>nothing</div>

| a | b |
| --- | --- |
| 1 | 2 |
"""
    document = markdown.parse(source.encode(), "a.md", LIMITS)
    assert "secret" not in document.text and "99" not in document.text and "nothing" not in document.text
    assert "`<!-- code -->` stays." in document.text and "<!-- also code --><table>" in document.text
    assert "| Berth | Fee |\n| --- | --- |\n| 4 | 12 |" in document.text and "| a | b |" in document.text
    assert titles(document) == [(1, "Fees"), (2, "Rules")]
    assert [document.text[h.start :].split("\n")[0] for h in document.headings] == ["# Fees", "## Rules"]


def test_front_matter_makes_no_heading() -> None:
    document = markdown.parse(b"---\ntitle: x\n---\n\nbody\n", "a.md", LIMITS)
    assert document.headings == ()


def test_too_many_headings_lose_the_deepest_levels_first() -> None:
    source = "".join(f"# {n}\n\n" + f"## {n} below\n\nx\n\n" * 20 for n in range(600))
    document = markdown.parse(source.encode(), "a.md", LIMITS)
    assert len(document.headings) == 600 <= MAX_HEADINGS and {h.level for h in document.headings} == {1}


@given(st.lists(st.sampled_from(["# a", "## b c", "text", "", "```", "- x", "===", "---", "é😀", "> q", "    # d"])))
def test_markdown_headings_are_at_line_starts_in_order(lines: list[str]) -> None:
    source = "\n".join(["word", *lines])
    headings = markdown.parse(source.encode(), "a.md", LIMITS).headings
    assert list(headings) == sorted(headings, key=lambda h: h.start)
    for heading in headings:
        assert heading.start == 0 or source[heading.start - 1] == "\n"
        assert heading.title.split()[0] in source[heading.start :].split("\n", 2)[0]
        assert 0 < len(heading.title) <= MAX_TITLE


@pytest.mark.parametrize("parse", [plain.parse, markdown.parse])
@pytest.mark.parametrize("data", [b" \n\t\r\n", "\u200b\u2060".encode(), b"\xef\xbb\xbf"])
def test_no_text_is_empty(parse: object, data: bytes) -> None:
    assert callable(parse)
    with pytest.raises(EmptyDocument, match="has no text"):
        parse(data, "a.txt", LIMITS)


def test_characters_limit_is_exact() -> None:
    limits = Limits(characters=100)
    assert len(plain.parse("é".encode() * 100, "a.txt", limits).text) == 100
    with pytest.raises(LimitExceeded, match=r"more than 100 characters.*limits\.characters"):
        plain.parse("é".encode() * 101, "a.txt", limits)


def test_formats_by_suffix() -> None:
    assert media_type("a/B.MD") == "text/markdown" and media_type("x.xhtml") == "text/html"
    for source, said in (("a.xyz", ".xyz files"), ("README", "files without a suffix")):
        with pytest.raises(UnsupportedFormat, match=said) as caught:
            media_type(source)
        assert ".pdf" in caught.value.hint


def test_names_in_messages_stay_on_one_line() -> None:
    assert shown("a\nb\u202ec\x1b[31m.txt") == "a\\u000ab\\u202ec\\u001b[31m.txt"
    assert len(shown("x" * 300)) == 120
