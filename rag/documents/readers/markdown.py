"""Markdown: the canonical text is the source itself, but for HTML in it; headings come from a CommonMark parser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from rag.config import Limits
from rag.documents.decode import decode
from rag.documents.formats import finish, first_line, one_line
from rag.documents.readers.html import raised, read_markup
from rag.types import Heading, ParsedDocument

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

SAMPLES = {"sample.md": b"# Sample\n\nText with `code`.\n"}

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(?P<body>(?:(?!---|\.\.\.).*\n){0,500}?)(?:---|\.\.\.)[ \t]*(?:\n|\Z)")
_FRONT_TITLE = re.compile(
    r"""^title:[ \t]*(?:"(?P<a>(?:[^"\\\n]|\\.)*)"|'(?P<b>[^'\n]*)'|(?P<c>[^\s>|&*!#][^\n]*))""", re.M
)

_INLINE = re.compile(r"(?P<code>`[^`\n]+`)|<sup>(?P<raised>[^<>\n]*)</sup>|<!--.*?-->", re.S)
_READ = frozenset(("text", "text_special", "code_inline", "image", "softbreak", "hardbreak"))


def parse(data: bytes, source: str, limits: Limits) -> ParsedDocument:
    """Markdown file to document. Title: front matter, else the first top heading, else the first short line.

    Raises DamagedDocument (binary), EmptyDocument and LimitExceeded.
    """
    text = decode(data, source)
    front = _FRONT_MATTER.match(text)
    head = front[0] if front else ""
    rest = _without_html(text[len(head) :])
    text, body = head + rest, _blank(head) + rest
    found = list(headings(body))
    title = _front_title(front["body"]) if front else ""
    top = min(found, key=lambda heading: heading.level, default=None)
    title = title or (top.title if top else first_line(body))
    return finish(text, title, source, limits, found)


def _without_html(text: str) -> str:
    """The text with blocks of HTML as what they show and comments, which show nothing, as blanks; code stays."""
    if "<" not in text:
        return text
    lines = text.split("\n")
    code: list[tuple[int, int]] = []
    for token in reversed(_blocks().parse(text)):
        if token.map and token.type in ("fence", "code_block"):
            code.append((token.map[0], token.map[1]))
        elif token.map and token.type == "html_block" and not token.level:
            first, last = token.map
            seen = read_markup("\n".join(lines[first:last])).text.split("\n")
            seen += [""] * (last - first - len(seen))
            lines[first:last] = seen
            grown = len(seen) - (last - first)
            code = [(start + grown, end + grown) for start, end in code]
    out: list[str] = []
    at = 0
    for start, end in sorted(code):
        out += [*_seen(lines[at:start]), *lines[start:end]]
        at = max(at, end)
    return "\n".join([*out, *_seen(lines[at:])])


def _seen(lines: list[str]) -> list[str]:
    """As many lines with what is raised told apart, and blanks for comments; not in spans of code."""
    return _INLINE.sub(_shown, "\n".join(lines)).split("\n") if lines else []


def _shown(match: re.Match[str]) -> str:
    if match["code"]:
        return match[0]
    if match["raised"] is not None:
        return raised(match["raised"], match.string[match.start() - 1 : match.start()], linked=False)
    return _blank(match[0])


def _blank(text: str) -> str:
    """As many characters and lines, with nothing on them."""
    return re.sub(r"[^\n]", " ", text)


def _front_title(front: str) -> str:
    match = _FRONT_TITLE.search(front)
    if not match:
        return ""
    quoted = (match["a"] or "").replace('\\"', '"')
    return one_line(quoted or match["b"] or match["c"] or "")


def headings(text: str) -> Iterator[Heading]:
    """Headings that are not inside a list, quotation or code, in order."""
    starts = [0, *accumulate(len(line) + 1 for line in text.split("\n"))]
    tokens = _blocks().parse(text)
    for opening, inline in pairwise(tokens):
        if opening.type != "heading_open" or opening.level or not opening.map:
            continue
        title = _plain_title(inline.content)
        if title:
            yield Heading(int(opening.tag[1]), title, starts[opening.map[0]])


def _plain_title(content: str) -> str:
    """A heading's text without its emphasis, links and HTML."""
    children = _inlines().parseInline(content[:2_000])[0].children or []
    return one_line("".join(child.content or " " for child in children if child.type in _READ))


@cache
def _blocks() -> MarkdownIt:
    """A parser of block structure alone: what is inside the paragraphs does not matter for headings."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark")
    parser.core.ruler.enableOnly(["normalize", "block"])
    return parser


@cache
def _inlines() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark")
