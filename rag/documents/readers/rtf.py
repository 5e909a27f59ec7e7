"""Rich text: the words of it, read as a plain text; footnotes where their marks are, hidden words apart."""

from __future__ import annotations

import re

from rag.config import Limits
from rag.documents.decode import canonical
from rag.documents.formats import finish, first_line, one_line, shown
from rag.documents.readers.plain import headings
from rag.errors import DamagedDocument
from rag.types import INVISIBLE, ParsedDocument, Place

SAMPLES = {"sample.rtf": rb"{\rtf1\ansi\ansicpg1252 Caf\'e9 {\b au} lait\par Second}"}

_CODEPAGE = re.compile(rb"\\ansicpg(\d{3,5})")
_WORD = re.compile(r"\\(?:(?P<word>[a-zA-Z]+)(?P<number>-?\d+)? ?|[^a-zA-Z])|(?P<brace>[{}])", re.S)
_BEGIN, _END = "\ue000", "\ue001"
_HIDDEN = re.compile(f"{_BEGIN}([^{_END}]*)(?:{_END}|\\Z)")
_TITLE = re.compile(r"\{\\title ([^{}\\]{1,300})\}")


def parse(data: bytes, source: str, limits: Limits) -> ParsedDocument:
    """rtf file to document. Raises DamagedDocument, EmptyDocument and LimitExceeded."""
    from striprtf.striprtf import rtf_to_text

    if not data.lstrip().startswith(b"{\\rtf"):
        raise DamagedDocument(f"{shown(source)} is no rich text.", hint="Give the file the suffix of what it is.")
    found = _CODEPAGE.search(data[:2_000])
    encoding = f"cp{found[1].decode()}" if found else "cp1252"
    markup = _prepared(data.decode("latin-1"))
    try:
        text = rtf_to_text(markup, encoding=encoding, errors="replace")
    except (LookupError, UnicodeError):  # a code page that nobody has
        text = rtf_to_text(markup, encoding="cp1252", errors="replace")
    # characters beyond the first plane are written as their two halves
    text = str(text).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    hidden = "\n".join(filter(None, (canonical(words).strip() for words in _HIDDEN.findall(text))))
    text = canonical(_HIDDEN.sub("", text)).strip()
    shown_until, text = len(text), "\n\n".join(filter(None, (text, hidden)))
    places = (Place(1, len(text) - len(hidden), len(text), "hidden", INVISIBLE),) if hidden else ()
    stated = _TITLE.search(markup[:20_000])
    return finish(
        text, one_line(stated[1]) if stated else first_line(text), source, limits, headings(text[:shown_until]), places
    )


def _prepared(markup: str) -> str:
    """The markup with marks around what is formatted as hidden, and with each footnote in brackets in its place."""
    if "\\v" not in markup and "\\footnote" not in markup:
        return markup
    parts: list[str] = []
    groups: list[tuple[bool, bool]] = []
    hidden = footnote = False
    at = 0
    for match in _WORD.finditer(markup):
        word, before = match["word"], hidden
        if match["brace"] == "{":
            groups.append((hidden, footnote))
            footnote = False
        elif match["brace"] == "}" and groups:
            parts += [markup[at : match.start()], ")" if footnote else ""]
            at = match.start()
            hidden, footnote = groups.pop()
        elif word in ("v", "plain"):
            hidden = word == "v" and match["number"] != "0"
        elif word == "footnote":
            footnote = True
            parts += [markup[at : match.start()], " ("]
            at = match.end()
        if hidden != before:
            parts += [markup[at : match.end()], _BEGIN if hidden else _END]
            at = match.end()
    return "".join([*parts, markup[at:]])
