"""The words of the full-text index: how text is prepared for it, and what a question asks of it.

SQLite's ``unicode61`` tokenizer cuts at spaces, which leaves whole sentences of Chinese, Japanese, Korean or Thai
as one word. Runs of such scripts are therefore cut here into overlapping pieces (two characters, or three where the
script is an alphabet), as Lucene's CJK analyzer does; index and question are cut alike.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from rag.language.words import RUN, piece_size, pieces
from rag.types import index_text

HEAD_WEIGHT = 2.0
"""A match in title or headings counts for so many in the text."""

TOKENIZER = "porter unicode61 remove_diacritics 2 categories 'L* N* Mc Mn'"

_NOT_WORD = re.compile(r"[^\w\s]|_")
_LONE_MARKS = re.compile(r"(?<!\S)[^\w\s]+(?!\S)")


@dataclass(frozen=True, slots=True)
class Term:
    """One thing to look for: a word, or the beginning of one (``prefix``)."""

    text: str
    prefix: bool = False

    @property
    def match(self) -> str:
        """The term as a quoted FTS5 string, so that nothing in it is read as syntax."""
        return f'"{self.text}"*' if self.prefix else f'"{self.text}"'


def searchable(text: str) -> str:
    """Text as the full-text index gets it: its words, cut by the same rules as a question's."""
    if text.isascii():
        return text.replace("\0", " ")
    return RUN.sub(lambda run: f" {' '.join(pieces(run.group()))} ", _cut(text))


def query_terms(text: str, limit: int) -> list[Term]:
    """The different terms of a text in order of appearance, at most ``limit``."""
    cut = _cut(text)
    found: dict[str, Term] = {}
    position = 0
    for run in [*RUN.finditer(cut), None]:
        for word in cut[position : run.start() if run else len(cut)].split():
            if any(character.isalnum() for character in word):
                found.setdefault(word, Term(word))
        if run is None or len(found) >= limit:
            break
        position = run.end()
        for term in _run_terms(run.group()):
            found.setdefault(term.text, term)
    return list(found.values())[:limit]


def _cut(text: str) -> str:
    """Text in NFKC and lower case, with a space for all but letters, digits and the marks that belong to them.

    SQLite's tables of Unicode are older than Python's: cutting here makes index and question agree.
    """
    normal = unicodedata.normalize("NFKC", text).lower().encode("utf-8", "replace").decode("utf-8")
    return _LONE_MARKS.sub(" ", _NOT_WORD.sub(lambda found: _mark_or_space(found.group()), normal))


@lru_cache(maxsize=4096)
def _mark_or_space(character: str) -> str:
    return character if unicodedata.category(character) in ("Mn", "Mc") else " "


def _run_terms(run: str) -> list[Term]:
    """The full pieces of a run; a run shorter than a piece is looked for as the beginning of one."""
    size = piece_size(run)
    if len(run) < size:
        return [Term(run, prefix=True)]
    return [Term(piece) for piece in pieces(run) if len(piece) == size]


def columns(title: str, heading: tuple[str, ...], text: str) -> tuple[str, str]:
    """The two columns of the full-text index. A change here needs a migration that writes the index again, because
    taking a passage out takes the very words that were put in."""
    return searchable(index_text(title, heading, "")), searchable(text)
