"""HTML: the visible text, one block a line, with headings. The tree is walked without recursion."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from types import MappingProxyType
from typing import TYPE_CHECKING

from rag.config import Limits
from rag.documents.decode import canonical, decode
from rag.documents.formats import finish, first_line, one_line
from rag.documents.tables import blocks, cell, header_of
from rag.types import Heading, ParsedDocument

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser, LexborNode

SAMPLES = {"sample.html": b"<title>Sample</title><p>Text &amp; more."}

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
_NUMBERED, _PLAIN = frozenset(("ol", "li")), MappingProxyType[str, str | None]({})
_HEADINGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
_HIDDEN_STYLE = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)|scale\(\s*0\s*\)"
    r"|(?:opacity|font-size)\s*:\s*(?:0+\.?0*|\.0+)(?:[a-z%;!\s]|$)|font-size\s*:\s*0*\.[0-3]\d*px"
    r"|(?:left|top|right|text-indent|margin-left)\s*:\s*-\d{4,}|clip\s*:\s*rect\((?:\s*0(?:px)?[\s,]*){4}\)"
    r"|(?<![\w-])(?:height|width)\s*:\s*0(?:px)?\s*;.*overflow\s*:\s*hidden",
    re.I,
)
_SURROUNDINGS = "header, footer, aside, [class], [id], [role]"
_CONSENT = re.compile(r"cookie|consent|gdpr")
_MENU = re.compile(
    r"menu|\bnav|breadcrumb|sidebar|\bside\b|related|share|social|promo|advert|newsletter|subscribe|footer|masthead|skip"
)
_FRAME = re.compile(
    r"(?:^|[\s_-])(?:footer|colophon|contentinfo|banner|complementary|dialog|search)(?![\w-])"
    r"|(?:^|[\s_-])(?:site|page|global|main|c|l)-?header(?![\w-])|masthead|(?:footer|logo)$"
)
_ASIDE = re.compile(
    r"newsletter|subscribe|sign-?up|\bshar(?:e|ing)|sharedaddy|social|promo|advert"
    r"|edit-?section|edit-?link|header-?link|anchor-?link|skip-?link|screen-reader|visually-hidden|\bsr-only"
)
_MOST_CONSENT, _MOST_FRAME, _MOST_ASIDE, _LEAST_LINKS, _BESIDE, _MOST_CELLS_TRIED = 2_000, 600, 400, 3, 5, 100
_SURROUND = ((_CONSENT, _MOST_CONSENT), (_ASIDE, _MOST_ASIDE), (_FRAME, _MOST_FRAME))
"""What surrounds a page by its names, where it has fewer characters than this."""
_LEAST_CONTENT, _NEXT_TO_NOTHING, _MOST_SURROUNDINGS, _DEEPEST = 200, 60, 5_000, 200
_MOST_CELLS, _MOST_COLUMNS, _REPEATED = 200_000, 500, 200
_WHITE = " \t\n\f\r"
_RAISED = str.maketrans("0123456789-+\u2212", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺⁻")
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
    declared = _DECLARED.search(data[:4_096])
    markup = decode(data, source, declared[1].decode("ascii") if declared else "")
    return parse_markup(markup, source, limits, xhtml=source.lower().endswith(".xhtml"))


def parse_markup(markup: str, source: str, limits: Limits, *, xhtml: bool = False) -> ParsedDocument:
    """``parse`` of HTML that another format holds."""
    read = read_markup(markup, xhtml=xhtml)
    top = min(read.headings, key=lambda heading: heading.level, default=None)
    title = read.title or (top.title if top else first_line(read.text))
    return finish(read.text, title, source, limits, read.headings)


@dataclass(frozen=True, slots=True)
class Page:
    """What a page says: its text, which may be empty, its headings and its stated title."""

    text: str
    headings: tuple[Heading, ...]
    title: str


def read_markup(markup: str, *, xhtml: bool = False, data: bool = False) -> Page:
    """The visible text of HTML; ``data``: whether its tables hold data for certain, and lay out nothing."""
    from selectolax.lexbor import LexborHTMLParser, SelectolaxError

    if xhtml or markup.lstrip()[:5] == "<?xml":
        markup = _SELF_CLOSED.sub(r"<\1\2></\1>", markup)
    try:
        tree = LexborHTMLParser(markup)
    except SelectolaxError as error:  # any markup is valid HTML5: all that can fail is an allocation
        raise MemoryError(str(error)) from error
    writer = _written(tree, data=data)
    return Page(writer.text(), tuple(writer.headings), _title(tree))


def _written(tree: LexborHTMLParser, *, data: bool) -> _Writer:
    """The page's content; all that is visible, where leaving out what surrounds it would leave next to nothing."""
    root = _content(tree)
    writer = _Writer(_boilerplate(root) if root is not None else frozenset(), data)
    if root is not None:
        _walk(root, writer)
        if tree.body is not None and len(writer.text()) < _NEXT_TO_NOTHING:
            everything = _Writer(frozenset())
            _walk(tree.body, everything)
            return everything if len(everything.text()) > 2 * len(writer.text()) else writer
    return writer


def _content(tree: LexborHTMLParser) -> LexborNode | None:
    """The element that the page itself calls its content, if it is the only one and holds enough; else its body."""
    for selector in ("main, [role=main]", "article"):
        found = tree.css(selector)[:2]
        if len(found) == 1 and len(found[0].text(strip=True)) >= _LEAST_CONTENT:
            return found[0]
    return tree.body


def _boilerplate(root: LexborNode) -> frozenset[int]:
    """The elements that are no part of what the page says: by their role (menu, banner, foot) and their links."""
    within = root.css_first("main, article, [role=main]") is not None
    found = set()
    for node in root.css(_SURROUNDINGS)[:_MOST_SURROUNDINGS]:
        names = " ".join(node.attributes.get(name) or "" for name in ("class", "id", "role")).lower()
        frame = node.tag in ("header", "footer", "aside")
        if frame and within and node.css_first("main, article") is None and not _below_content(node):
            drop = True
        elif short := next((most for kind, most in _SURROUND if kind.search(names)), 0):
            drop = len(node.text(strip=True)) < short and (short != _MOST_FRAME or node.css_first("h1") is None)
        else:
            drop = False
        if not drop and (_MENU.search(names) or node.tag in ("footer", "aside")):
            drop = 2 * _linked(node) >= len(node.text(strip=True))
        if drop:
            found.add(node.mem_id)
    found.update(_menu_cells(root))
    return frozenset(found)


def _linked(node: LexborNode) -> int:
    """How many characters of an element are links."""
    return sum(len(link.text(strip=True)) for link in node.css("a"))


def _menu_cells(root: LexborNode) -> Iterator[int]:
    """The cells of a page that is laid out as a table which hold links alone, and beside which there is more."""
    for cells in root.css("td")[:_MOST_CELLS_TRIED]:
        links = cells.css("a")
        if len(links) < _LEAST_LINKS or cells.css_first("table") is not None:
            continue
        size = len(cells.text(strip=True))
        row = cells.parent
        if row is not None and 10 * _linked(cells) >= 9 * size and len(row.text(strip=True)) >= _BESIDE * size:
            yield cells.mem_id


def _below_content(node: LexborNode) -> bool:
    for _ in range(_DEEPEST):
        if node.parent is None:
            return False
        node = node.parent
        if node.tag in ("main", "article"):
            return True
    return False


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
        elif node.mem_id in writer.left_out:
            pass
        elif tag == "table" and (grid := _grid(node, data=writer.data)):
            writer.table(*grid)
        elif tag == "sup" or (tag == "a" and _is_note(node)):
            writer.raised(node.text(), linked=tag == "a" or node.css_first("a") is not None)
        elif not _hidden(node, tag):
            writer.enter(tag, node.attributes if tag in _NUMBERED else _PLAIN)
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


def _is_note(link: LexborNode) -> bool:
    """Whether a link is the mark of a note, as e-books tell."""
    attributes = link.attributes
    return "noteref" in (attributes.get("epub:type") or attributes.get("role") or "")


def _grid(table: LexborNode, *, data: bool) -> tuple[str, list[str], list[list[str]]] | None:
    """Caption, header and rows of a table of data, cells that span several given in each; None for a page's layout.

    Where it is certain that it holds ``data``, its first rows can name the columns without being marked so.
    """
    if table.css_first("td table, th table, pre, h1, h2, h3, h4, h5, h6") is not None or _hidden(table, "table"):
        return None
    caption = table.css_first("caption")
    header: list[str] = []
    rows: list[list[str]] = []
    spans: dict[int, tuple[int, str]] = {}
    total = deep = 0
    for line in table.css("tr"):
        if _hidden(line, "tr"):
            continue
        row, heading = _row(line, spans)
        total += len(row)
        if total > _MOST_CELLS:
            break
        in_head = line.parent is not None and line.parent.tag == "thead"
        if (in_head or heading) and not rows:
            pairs = zip_longest(header, row, fillvalue="")
            header = [" ".join(dict.fromkeys(part for part in pair if part)) for pair in pairs]
        else:
            rows.append(row)
            deep = deep or 1 + max((left for left, _ in spans.values()), default=0)
    if data and not header:
        header, rows = _named(rows, deep)
    return (_line(caption) if caption is not None else "", header if rows else [], rows or [header])


def _named(rows: list[list[str]], deep: int) -> tuple[list[str], list[list[str]]]:
    """The header and the other rows: the first, and as many more as its cells reach down to, if they name columns."""
    header: list[str] = []
    for number, row in enumerate(rows[:deep], start=1):
        over = row
        if number < deep:  # a cell over several columns names each of them
            over = [next(filter(None, reversed(row[: column + 1])), "") for column in range(len(row))]
        pairs = zip_longest(header, over, fillvalue="")
        header = [" ".join(dict.fromkeys(part for part in pair if part)) for pair in pairs]
    return (header, rows[deep:]) if header_of(list(enumerate([header, *rows[deep:]]))) == 0 else ([], rows)


def _row(line: LexborNode, spans: dict[int, tuple[int, str]]) -> tuple[list[str], bool]:
    """The cells of a row, with those that reach into it from above, and whether all are headings.

    ``spans`` holds, by column, how many rows a cell still reaches down, and its text.
    """
    row: list[str] = []
    kinds = set()

    def reach() -> None:
        while (above := spans.get(len(row))) is not None:
            left, text = above
            if left > 1:
                spans[len(row)] = left - 1, text
            else:
                del spans[len(row)]
            row.append(text)

    node = line.child
    while node is not None:
        if node.tag in ("td", "th") and not _hidden(node, node.tag):
            reach()
            kinds.add(node.tag)
            text = _line(node)
            across, down = (_span(node.attributes.get(name)) for name in ("colspan", "rowspan"))
            for index in range(max(1, min(across, _MOST_COLUMNS - len(row)))):
                if down > 1:
                    spans[len(row)] = down - 1, text[:_REPEATED]
                row.append(text[:_REPEATED] if index and node.tag == "th" else "" if index else text)
        node = node.next
    reach()
    return row, kinds == {"th"}


def _span(value: str | None) -> int:
    return int(value) if value and value.isascii() and value.isdigit() and len(value) < 6 else 1


def _line(node: LexborNode) -> str:
    """All the text of an element on one line."""
    writer = _Writer()
    _walk(node, writer)
    return " ".join(writer.text().split())


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


def raised(text: str, below: str, *, linked: bool) -> str:
    """A superscript as it is written on the line, behind the character ``below``: ``10^3``, ``m²``, ``1932 [2]``."""
    mark = " ".join(text.split())
    digits = mark.lstrip("-+\u2212").isdigit()
    if linked and (digits or (mark.startswith("[") and mark.endswith("]"))):
        return f" [{mark.strip('[]')}]"
    if digits and below.isdigit():
        return f"^{mark}"
    return mark.translate(_RAISED) if digits and below.isalpha() and not linked else mark


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

    left_out: frozenset[int] = frozenset()
    data: bool = False
    headings: list[Heading] = field(default_factory=list)
    _parts: list[str] = field(default_factory=list)
    _length: int = 0
    _breaks: int = 0
    _space: bool = False
    _marker: str = ""
    _separators: int = 0
    _preformatted: int = 0
    _lists: list[int | None] = field(default_factory=list)
    _rows: list[_Row] = field(default_factory=list)
    _heading_from: int = 0

    def text(self) -> str:
        """All that was written."""
        return "".join(self._parts)

    def write(self, text: str) -> None:
        """Add the text of a text node."""
        if not text.isascii() or _UNWANTED.search(text):
            text = canonical(text)
        if self._preformatted:
            self._append(text)
            return
        words = _SPACE.sub(" ", text)
        self._space = self._space or words[:1] == " "
        if words := words.strip(" "):
            self._append(words)
            self._space = text[-1:] in _WHITE

    def raised(self, text: str, *, linked: bool) -> None:
        """A superscript: a mark of a footnote stands apart, a power is told from the number below it."""
        below = self._parts[-1][-1:] if self._parts and not (self._space or self._breaks) else ""
        self.write(raised(text, below, linked=linked))

    def table(self, caption: str, header: list[str], rows: list[list[str]]) -> None:
        """A table of data, a row a line; with its header again above every few rows, where it has one."""
        self._break(2)
        lines = [caption] if caption else []
        if header:
            groups = [block.text for block in blocks(header, list(enumerate(rows, start=1)))]
        else:
            groups = ["\n".join(line for row in rows if (line := " | ".join(map(cell, row)).strip()).strip(" |"))]
        lines += ["\n\n".join(group for group in groups if group)]
        text = "\n".join(line for line in lines if line)
        if text:
            self._append(canonical(text))
        self._break(2)

    def enter(self, tag: str, attributes: Mapping[str, str | None]) -> None:
        """An element begins; of a list and its items the attributes say how they are numbered."""
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
            counted = tag == "ol" and not self.data and attributes.get("type") in (None, "1")
            self._lists.append(_span(attributes.get("start")) if counted and "reversed" not in attributes else None)
        elif tag == "li":
            self._marker = "  " * min(len(self._lists) - 1, 10) + self._item(attributes.get("value"))
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
            self._lists.pop()
        elif tag == "li":
            self._marker = ""
        elif tag == "tr" and self._rows:
            self._rows.pop()
            self._separators = 0
        self._break(_BREAKS.get(tag, 0))

    def _item(self, stated: str | None) -> str:
        """The mark of a list's next item: its number, where numbers are what its list shows."""
        number = self._lists[-1] if self._lists else None
        if number is None:
            return "- "
        number = number if stated is None else _span(stated)
        self._lists[-1] = number + 1
        return f"{number}. "

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
