"""Plain text: the text as it is; headings only where a line can hardly be anything else."""

from __future__ import annotations

import re

from rag.config import Limits
from rag.documents.decode import decode
from rag.documents.formats import finish, first_line, one_line
from rag.types import Heading, ParsedDocument

SAMPLES = {
    "sample.txt": b"Caf\xe9 au lait.",
    "sample.log": "\u65e5\u672c\u8a9e\u306e\u6587\u7ae0\u3067\u3059\u3002".encode("cp932") * 3,
}

_ALONE = re.compile(
    r"(?:\A|\n[ \t]*\n)(?P<line>[^\s][^\n]{2,78}[^\s.,;:!?|])[ \t]*\n[ \t]*\n(?=[ \t]*(?P<next>[^\n]+))"
)
_NUMBERED = re.compile(
    r"(?:(?:chapter|section|part|appendix|article)\s+[\dIVXLC]+\b|\d{1,2}(?:\.\d{1,2}){0,3}\.?\s+[A-Z])", re.I
)
_SMALL = frozenset("a an and as at but by for from in into nor of on or over per the to vs via with".split())
_LEAST_PROSE = 80


def parse(data: bytes, source: str, limits: Limits) -> ParsedDocument:
    """Text file to document. Raises DamagedDocument (binary), EmptyDocument and LimitExceeded."""
    text = decode(data, source)
    return finish(text, first_line(text), source, limits, headings(text))


def headings(text: str) -> list[Heading]:
    """Lines of up to 80 characters between blank lines, without end punctuation, that look like headings.

    That is: numbered, all capitals, or every main word capitalised and prose following.
    """
    found: list[Heading] = []
    at = 0
    while match := _ALONE.search(text, at):
        at = match.end("line")
        level = _level(match["line"], match["next"])
        if level:
            found.append(Heading(level, one_line(match["line"]), match.start("line")))
    return found


def _level(line: str, following: str) -> int:
    """1 or 2 for a heading, 0 for anything else."""
    words = line.split()
    letters = [character for character in line if character.isalpha()]
    if len(words) > 12 or len(letters) < 4 or len(letters) < len(line) / 2 or line.startswith(("By ", "-", "*", "•")):
        return 0
    if _NUMBERED.match(line):
        return 2
    if line.isupper() and len(words) >= 2:
        return 1
    main = [word for word in words if word.lower() not in _SMALL]
    titled = len(main) >= 3 and all(word[:1].isupper() or word[:1].isdigit() for word in main)
    return 2 if titled and len(following) >= _LEAST_PROSE else 0
