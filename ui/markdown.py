"""A model's Markdown as HTML from a short list of tags, with citation chips and marks put where offsets say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import nh3
from markdown_it import MarkdownIt

from ui.escape import one_line

TAGS = frozenset((
    "p", "br", "hr", "strong", "em", "code", "pre", "blockquote", "ul", "ol", "li",
    "h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td",
))  # fmt: skip
"""What an answer may be made of; chips (``a``) and marks are added by this module alone."""

# Punctuation of a script nobody writes today: Markdown must see punctuation there, else ``**x.**`` before it breaks.
_MARKER, _OPEN, _CLOSE, _STOP = "\U00010a50", "\U00010a51", "\U00010a52", "\U00010a53"
_RESERVED = re.compile("[\U00010a50-\U00010a53\ud800-\udfff]")
_TOKEN = re.compile(f"{_MARKER}(\\d+){_STOP}|{_OPEN}(\\d+){_STOP}|({_CLOSE})|([{_MARKER}{_OPEN}{_STOP}])")
_TAG = re.compile(r"(<[^>]*>)")
_BLOCK_END = re.compile(r"</(?:p|li|tr|h[1-6]|pre|blockquote)>")
_PREFIX = re.compile(r"[ \t]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+|#{1,6}[ \t]+|>[ \t]?|\|[ \t]*)*")
_SUFFIX = re.compile(r"[ \t|]*$")
_ROW_END = re.compile(r"(?<=[^\s|])\s*\|[\s\[\]\d]*$")
_STRUCTURE = re.compile(r"[\s|:=*_+-]*|\s*(?:```|~~~).*")
_CLOSING = re.compile(r"(?:</[a-z0-9]+>)+$")


@dataclass(frozen=True, slots=True)
class Chip:
    """``text[start:end]`` is to be replaced by the chip ``html``."""

    start: int
    end: int
    html: str


@dataclass(frozen=True, slots=True)
class Flag:
    """``text[start:end]`` is to be marked with the CSS class ``kind`` and the tooltip ``title`` (escaped)."""

    start: int
    end: int
    kind: str
    title: str


_Spot = TypeVar("_Spot", Chip, Flag)


def to_html(text: str, chips: Sequence[Chip] = (), flags: Sequence[Flag] = ()) -> str:
    """``text`` as one line of HTML: only ``TAGS``, the chips and the marks; addresses stay text, nothing loads.

    Offsets outside the text, and chips or flags that overlap another of their kind, are left out.
    """
    shown_chips, shown_flags = _disjoint(chips, len(text)), _disjoint(flags, len(text))
    marked = _with_tokens(_RESERVED.sub("\ufffd", text), shown_chips, shown_flags)
    html = nh3.clean(_parser().render(marked), tags=set(TAGS), attributes={"ol": {"start"}}, link_rel=None)
    out = "".join(_pieces(html, [chip.html for chip in shown_chips], shown_flags))
    return one_line(out.strip()).replace("$", "&#36;").replace("{", "&#123;")


def open_ended(html: str) -> str:
    """HTML without its closing tags at the end, which a browser adds itself: text that grows then keeps its start."""
    return _CLOSING.sub("", html)


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "linkify": False, "typographer": False, "maxNesting": 12})
    parser.enable("table")
    return parser.disable(["link", "image", "autolink", "html_inline", "html_block", "reference"])


def _disjoint(items: Sequence[_Spot], length: int) -> list[_Spot]:
    kept: list[_Spot] = []
    for item in sorted(items, key=lambda i: i.start):
        if 0 <= item.start < item.end <= length and (not kept or kept[-1].end <= item.start):
            kept.append(item)
    return kept


def _with_tokens(text: str, chips: Sequence[Chip], flags: Sequence[Flag]) -> str:
    """The text with a token for each chip, and tokens around each line of each flag."""
    inserts: list[tuple[int, int, str]] = []
    for number, chip in enumerate(chips):
        row = _ROW_END.search(text, text.rfind("\n", 0, chip.start) + 1, chip.start)
        if row is not None:  # Markdown drops what stands behind a table's last cell: it goes into that
            inserts.append((row.start(), row.start(), f" {_MARKER}{number}{_STOP}"))
            inserts.append((chip.start, chip.end, ""))
        else:
            inserts.append((chip.start, chip.end, f"{_MARKER}{number}{_STOP}"))
    for number, flag in enumerate(flags):
        for start, end in _lines(text, flag.start, flag.end):
            inserts.append((start, start, f"{_OPEN}{number}{_STOP}"))
            inserts.append((end, end, _CLOSE))
    out: list[str] = []
    at = 0
    for start, end, token in sorted(inserts, key=lambda i: (i[0], i[1])):
        if start < at:  # inside a chip
            start = at
        out.append(text[at:start])
        out.append(token)
        at = max(end, start)
    out.append(text[at:])
    return "".join(out)


def _lines(text: str, start: int, end: int) -> Iterable[tuple[int, int]]:
    """The parts of ``text[start:end]`` line by line, without what Markdown reads as structure."""
    at = start
    for line in text[start:end].splitlines(keepends=True):
        head, at = at, at + len(line)
        if _STRUCTURE.fullmatch(line.rstrip()):
            continue
        begins_line = head == 0 or text[head - 1] in "\n\r"
        prefix = _PREFIX.match(line) if begins_line else None
        first = head + (prefix.end() if prefix else len(line) - len(line.lstrip()))
        body = line.rstrip()
        last = head + len(body) - len(_SUFFIX.search(body)[0])  # type: ignore[index]
        if first < last:
            yield first, last


def _pieces(html: str, chips: Sequence[str], flags: Sequence[Flag]) -> list[str]:
    """The HTML with chips for their tokens and marks around text runs, never across a tag."""
    out: list[str] = []
    last_of: dict[int, int] = {}
    flag: int | None = None

    def add_text(text: str) -> None:
        if text and flag is not None and text.strip():
            last_of[flag] = len(out)
            out.append(f'<mark class="{flags[flag].kind}" title="{flags[flag].title}">{text}</mark>')
        elif text:
            out.append(text)

    for part in _TAG.split(html):
        if part.startswith("<"):
            flag = None if _BLOCK_END.fullmatch(part) else flag
            out.append(part)
            continue
        at = 0
        for token in _TOKEN.finditer(part):
            add_text(part[at : token.start()])
            at = token.end()
            if token[1] is not None and int(token[1]) < len(chips):
                out.append(chips[int(token[1])])
            elif token[2] is not None and int(token[2]) < len(flags):
                flag = int(token[2])
            elif token[3] is not None:
                flag = None
        add_text(part[at:])
    for index in last_of.values():
        out[index] = out[index].replace('" title=', ' end" title=', 1)
    return out
