"""Foreign text made harmless for HTML: escaped, without characters that reorder or hide what a reader sees."""

from __future__ import annotations

import re
import unicodedata
from html import escape

from rag.text import remove_invisible

_REORDERING = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]")
_GAP = re.compile(r"\n[ \t]*\n\s*")
_ITEM = re.compile(r"(?<!\n)\n(?=[ \t]*(?:[-*•|#]|&gt;|\d{1,3}[.)])[ \t])")
_CODE = re.compile("&#96;([^\n]+?)&#96;")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def inert(text: str) -> str:
    """``text`` for an element or a quoted attribute: escaped, control and direction characters gone.

    Braces and ``$`` become entities too, so that a template engine or a formula renderer further on finds nothing.
    """
    plain = _CONTROL.sub("\ufffd", _REORDERING.sub("", text))
    return escape(plain).replace("$", "&#36;").replace("{", "&#123;").replace("}", "&#125;").replace("`", "&#96;")


def name(text: str) -> str:
    """A file's, collection's or conversation's name on one line: as ``inert``, no character invisible."""
    return inert(plain_name(text))


def plain_name(text: str) -> str:
    """``text`` on one line with every character visible; not escaped. Never empty."""
    flat = " ".join(remove_invisible(text).split())
    shown = "".join(c if unicodedata.category(c) not in ("Cc", "Cs", "Co", "Cn") else "\ufffd" for c in flat)
    return shown or "(no name)"


def sentence(text: str) -> str:
    """A message of the program as ``inert``, with what stands between backticks set as code."""
    return _CODE.sub(r"<code>\1</code>", inert(text))


def one_line(html: str) -> str:
    """HTML on one line (line breaks as entities): one HTML block to any Markdown reader, which leaves it alone."""
    return html.replace("\r\n", "\n").replace("\n", "&#10;").replace("\r", "&#10;")


def flowing(text: str) -> str:
    """As ``inert``, for text set with collapsing white space: breaks only where a paragraph or a list item begins.

    The text itself, line breaks included, stays as it is, so that what is selected and copied is the original.
    """
    return _ITEM.sub(r"<br>\g<0>", _GAP.sub(r'<span class="gap"></span>\g<0>', inert(text)))
