"""Rich text: the words of it, read as a plain text."""

from __future__ import annotations

import re

from rag.config import Limits
from rag.documents.decode import canonical
from rag.documents.formats import finish, first_line, one_line, shown
from rag.documents.readers.plain import headings
from rag.errors import DamagedDocument
from rag.types import ParsedDocument

SAMPLES = {"sample.rtf": rb"{\rtf1\ansi\ansicpg1252 Caf\'e9 {\b au} lait\par Second}"}

_CODEPAGE = re.compile(rb"\\ansicpg(\d{3,5})")
_TITLE = re.compile(r"\{\\title ([^{}\\]{1,300})\}")


def parse(data: bytes, source: str, limits: Limits) -> ParsedDocument:
    """rtf file to document. Raises DamagedDocument, EmptyDocument and LimitExceeded."""
    from striprtf.striprtf import rtf_to_text

    if not data.lstrip().startswith(b"{\\rtf"):
        raise DamagedDocument(f"{shown(source)} is no rich text.", hint="Give the file the suffix of what it is.")
    found = _CODEPAGE.search(data[:2_000])
    encoding = f"cp{found[1].decode()}" if found else "cp1252"
    markup = data.decode("latin-1")
    try:
        text = rtf_to_text(markup, encoding=encoding, errors="replace")
    except (LookupError, UnicodeError):  # a code page that nobody has
        text = rtf_to_text(markup, encoding="cp1252", errors="replace")
    text = canonical(str(text)).strip()
    stated = _TITLE.search(markup[:20_000])
    return finish(text, one_line(stated[1]) if stated else first_line(text), source, limits, headings(text))
