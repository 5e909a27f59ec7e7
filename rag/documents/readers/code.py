"""Source code, reStructuredText, Org and TeX: the text as it is, with its lines and the headings that can be told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from rag.config import Limits
from rag.documents.decode import decode
from rag.documents.formats import finish, first_line, one_line
from rag.types import Heading, ParsedDocument, Place

SAMPLES = {"sample.py": b"def sample():\n    return 1\n"}

_DEFINITION = re.compile(
    r"^(?P<indent>[ \t]*)(?:(?:export|default|public|private|protected|internal|static|final|abstract|async"
    r"|pub(?:\(\w+\))?|override|virtual|inline|unsafe|const|sealed|open|data|local)\s+)*"
    r"(?P<title>(?:def|class|func|fn|function|fun|interface|struct|enum|trait|impl|module|namespace|type|object|protocol"
    r"|extension|sub|CREATE (?:OR REPLACE )?(?:TABLE|VIEW|FUNCTION|PROCEDURE|INDEX))\b[^\n{;=]{1,150})",
    re.M | re.I,
)
_ORG = re.compile(r"^(?P<stars>\*{1,6}) +(?P<title>\S[^\n]*)$", re.M)
_ORG_TITLE = re.compile(r"^#\+title:[ \t]*(\S[^\n]*)$", re.M | re.I)
_TEX = re.compile(
    r"^[ \t]*\\(?P<level>part|chapter|section|subsection|subsubsection|paragraph)\*?\{(?P<title>[^\n{}]+)\}", re.M
)
_TEX_TITLE = re.compile(r"\\title\{([^{}]+)\}")
_TEX_LEVELS = ("part", "chapter", "section", "subsection", "subsubsection", "paragraph")
_RST = re.compile(
    r"^(?:(?P<over>([!-/:-@\[-`{-~])\2{2,})\n[ \t]*)?(?P<title>[^\s][^\n]*)\n(?P<under>([!-/:-@\[-`{-~])\5{2,})[ \t]*$",
    re.M,
)


def parse(data: bytes, source: str, limits: Limits) -> ParsedDocument:
    """Text of a language with a structure of its own to document; its lines are its places.

    Raises DamagedDocument (binary), EmptyDocument and LimitExceeded.
    """
    text = decode(data, source)
    suffix = PurePosixPath(source).suffix.lower()
    headings = list({".rst": _rst, ".org": _org, ".tex": _tex}.get(suffix, _definitions)(text))
    stated = {".org": _ORG_TITLE, ".tex": _TEX_TITLE}.get(suffix)
    found = stated.search(text) if stated else None
    title = one_line(found[1]) if found else ""
    if suffix in (".rst", ".org", ".tex"):
        title = title or (headings[0].title if headings else first_line(text))
    else:
        title = one_line(PurePosixPath(source).name)
    return finish(text, title, source, limits, headings, (Place(1, 0, len(text), "line"),))


def _definitions(text: str) -> Iterator[Heading]:
    """Definitions of classes, functions and tables, the deeper the more they are indented."""
    for match in _DEFINITION.finditer(text):
        depth = len(match["indent"].expandtabs(4))
        title = one_line(match["title"].rstrip(": ("))
        if title and depth <= 12:
            yield Heading(1 + min(depth // 2, 5), title, match.start())


def _org(text: str) -> Iterator[Heading]:
    for match in _ORG.finditer(text):
        if title := one_line(match["title"]):
            yield Heading(len(match["stars"]), title, match.start())


def _tex(text: str) -> Iterator[Heading]:
    for match in _TEX.finditer(text):
        if title := one_line(match["title"]):
            yield Heading(1 + _TEX_LEVELS.index(match["level"]), title, match.start())


def _rst(text: str) -> Iterator[Heading]:
    """Titles by their lines above and below, their levels in the order in which the kinds of lines are met."""
    kinds: list[str] = []
    for match in _RST.finditer(text):
        over, under, title = match["over"] or "", match["under"], one_line(match["title"])
        if not title or len(under) < len(match["title"].rstrip()) or (over and over[0] != under[0]):
            continue
        kind = over[:1] + under[0]
        if kind not in kinds:
            kinds.append(kind)
        yield Heading(min(6, kinds.index(kind) + 1), title, match.start())
