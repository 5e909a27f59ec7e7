"""HTML: the visible text, one block a line, with headings. The tree is walked without recursion."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rag.config import Limits
from rag.documents.decode import canonical, decode
from rag.documents.formats import finish, first_line, one_line
from rag.types import Heading, ParsedDocument

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser, LexborNode

_SKIPPED = frozenset(
    "head script style noscript template nav svg canvas iframe object embed audio video button select datalist textarea"
    " input map -comment !doctype".split()
)
_BREAKS = {
    **dict.fromkeys(
        "h1 h2 h3 h4 h5 h6 p ul ol dl table pre blockquote section article main header footer aside figure form"
        " fieldset details hr address".split(), 2),
    **dict.fromkeys("div li tr dt dd caption summary legend figcaption thead tbody tfoot center body".split(), 1),
}  # fmt: skip
_HEADINGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
_HIDDEN_STYLE = re.compile(r"(?:display\s*:\s*none|visibility\s*:\s*hidden)", re.I)
_WHITE = " \t\n\f\r"
_SPACE = re.compile(r"[ \t\n\f\r]+")
_UNWANTED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_DECLARED = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?\s*([\w.:-]{2,40})""", re.I)
_SELF_CLOSED = re.compile(
    r"<(?!(?:area|base|br|col|embed|hr|img|input|link|meta|source|track|wbr)\b)([a-zA-Z][\w:-]*)([^<>]*)/>"
)


def parse(data: bytes, source: str, limits: Limits) -> ParsedDocument:
    """HTML or XHTML file to document. Title: ``<title>``, else the first top heading, else the first short line.

    Scripts, navigation and hidden elements are left out; a table's row becomes a line with `` | `` between cells.
    Raises DamagedDocument (binary), EmptyDocument and LimitExceeded.
    """
    from selectolax.lexbor import LexborHTMLParser, SelectolaxError

    declared = _DECLARED.search(data[:4_096])
    markup = decode(data, source, declared[1].decode("ascii") if declared else "")
    if source.lower().endswith(".xhtml") or markup.lstrip()[:5] == "<?xml":
        markup = _SELF_CLOSED.sub(r"<\1\2></\1>", markup)
    try:
        tree = LexborHTMLParser(markup)
    except SelectolaxError as error:  # any markup is valid HTML5: all that can fail is an allocation
        raise MemoryError(str(error)) from error
    writer = _Writer()
    if tree.body is not None:
        _walk(tree.body, writer)
    text = writer.text()
    top = min(writer.headings, key=lambda heading: heading.level, default=None)
    title = _title(tree) or (top.title if top else first_line(text))
    return finish(text, title, source, limits, writer.headings)


def _title(tree: LexborHTMLParser) -> str:
    node = tree.head.css_first("title") if tree.head is not None else None
    return one_line(canonical(node.text())) if node is not None else ""


def _walk(root: LexborNode, writer: _Writer) -> None:
    """Visit every visible node below ``root`` in document order, entering and leaving elements."""
    node = root.child
    depth = 0
    while node is not None:
        below = None
        tag = node.tag or ""
        if tag == "-text":
            writer.write(node.text_content or "")
        elif not _hidden(node, tag):
            writer.enter(tag)
            below = node.child
            if below is None:
                writer.leave(tag)
        if below is not None:
            node, depth = below, depth + 1
            continue
        while (following := node.next) is None:
            if depth == 0 or node.parent is None:
                return
            node, depth = node.parent, depth - 1
            writer.leave(node.tag or "")
        node = following


def _hidden(node: LexborNode, tag: str) -> bool:
    if tag in _SKIPPED:
        return True
    attributes = node.attributes
    if not attributes:
        return False
    return (
        "hidden" in attributes
        or attributes.get("aria-hidden") == "true"
        or attributes.get("role") == "navigation"
        or bool(_HIDDEN_STYLE.search(attributes.get("style") or ""))
    )


@dataclass(slots=True)
class _Row:
    """A table's row: how many cells it had, and whether it lays out a page instead of holding data."""

    cells: int = 0
    layout: bool = False


@dataclass(slots=True)
class _Writer:
    """Collects text, collapsing white space, and remembers where headings begin.

    What stands between two texts (line breaks, a list's marker, separators of cells, a space) is kept pending until
    the second one comes, so that empty elements leave no trace.
    """

    headings: list[Heading] = field(default_factory=list)
    _parts: list[str] = field(default_factory=list)
    _length: int = 0
    _breaks: int = 0
    _space: bool = False
    _marker: str = ""
    _separators: int = 0
    _preformatted: int = 0
    _lists: int = 0
    _rows: list[_Row] = field(default_factory=list)
    _heading_from: int = 0

    def text(self) -> str:
        """All that was written."""
        return "".join(self._parts)

    def write(self, text: str) -> None:
        """Add the text of a text node."""
        if _UNWANTED.search(text):
            text = canonical(text)
        if self._preformatted:
            self._append(text)
            return
        words = _SPACE.sub(" ", text)
        self._space = self._space or words[:1] == " "
        if words := words.strip(" "):
            self._append(words)
            self._space = text[-1:] in _WHITE

    def enter(self, tag: str) -> None:
        """An element begins."""
        if self._rows and (tag == "table" or tag == "pre" or tag in _HEADINGS):
            self._rows[-1].layout, self._separators = True, 0
            self._break(1)
        self._break(_BREAKS.get(tag, 0))
        if tag in _HEADINGS:
            self._heading_from, self._marker = len(self._parts), ""
        elif tag == "br":
            self._append("\n") if self._preformatted else self._break(1)
        elif tag == "pre":
            self._preformatted += 1
        elif tag in ("ul", "ol"):
            self._lists += 1
        elif tag == "li":
            self._marker = f"{'  ' * min(self._lists - 1, 10)}- "
        elif tag == "tr":
            self._rows.append(_Row())
        elif tag in ("td", "th") and self._rows:
            self._cell(self._rows[-1])

    def leave(self, tag: str) -> None:
        """An element ends."""
        if tag in _HEADINGS:
            self._end_heading(int(tag[1]))
        elif tag == "pre":
            self._preformatted -= 1
        elif tag in ("ul", "ol"):
            self._lists -= 1
        elif tag == "li":
            self._marker = ""
        elif tag == "tr" and self._rows:
            self._rows.pop()
            self._separators = 0
        self._break(_BREAKS.get(tag, 0))

    def _cell(self, row: _Row) -> None:
        if row.layout:
            self._break(1)
        elif row.cells:
            self._separators += 1
        row.cells += 1

    def _end_heading(self, level: int) -> None:
        written = "".join(self._parts[self._heading_from :])
        title = one_line(written)
        if title.strip("- |"):
            self.headings.append(Heading(level, title, self._length - len(written.lstrip())))
        self._heading_from = len(self._parts)

    def _break(self, lines: int) -> None:
        if not lines:
            return
        if self._rows and self._rows[-1].cells and not self._rows[-1].layout:
            self._space = True
        else:
            self._breaks = max(self._breaks, lines)

    def _append(self, text: str) -> None:
        if not text:
            return
        joint = " | " * self._separators or (" " if self._space and not self._preformatted else "")
        if self._breaks or not self._length:
            joint = joint.lstrip(" ")
        lead = ("\n" * self._breaks if self._length else "") + joint + self._marker
        self._breaks, self._space, self._marker, self._separators = 0, False, "", 0
        self._parts.append(lead + text)
        self._length += len(lead) + len(text)
