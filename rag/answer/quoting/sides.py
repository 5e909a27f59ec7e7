"""Questions that name several things of a kind, "A or B", "from 2022 to 2024": each side is asked for by itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from rag.answer.quoting.identifiers import codes_in, plain, surroundings
from rag.answer.quoting.quoter import LIMIT, Quote
from rag.language import values_of, words_of
from rag.language.tables import table
from rag.text import find_folded
from rag.types import Passage

_OWNER = re.compile(r"['’]s?$")
_LINK = re.compile(r"\s*(?:of|de|van|von|the|[&'’-])?\s*")


@dataclass(frozen=True, slots=True)
class Side:
    """One of the things that a question names side by side, and the question asked of it alone."""

    name: str
    question: str

    def named_by(self, quote: Quote) -> bool:
        """Whether a quote names it, or the headings, title or source that it stands under."""
        return self._in(quote.text, *surroundings(quote.passage))

    def named_in(self, passage: Passage) -> bool:
        """Whether a passage, its title, a heading or its source names it."""
        return self._in(passage.text, *surroundings(passage))

    def _in(self, *texts: str) -> bool:
        return any(find_folded(plain(self.name), plain(one)) for one in texts)


def sides_of(question: str) -> tuple[Side, ...]:
    """The sides of a question that names names, codes or years side by side, as many as are quoted at most; none of any
    other."""
    named = _named(question)
    for first in range(len(named)):
        last = first
        while last + 1 < len(named) and _beside(question, named[last], named[last + 1]):
            last += 1
        run = named[first : last + 1]
        if 2 <= len(run) <= LIMIT and len({question[a:b].lower() for a, b, _ in run}) == len(run):
            before, after = question[: run[0][0]], question[run[-1][1] :]
            return tuple(Side(_OWNER.sub("", question[a:b]), f"{before}{question[a:b]}{after}") for a, b, _ in run)
    return ()


@cache
def _between() -> re.Pattern[str]:
    patterns = "|".join(row["pattern"] for row in table("degrees") if row["order"] == "sides")
    return re.compile(rf"\s*(?:(?:{patterns})\s*){{1,2}}(?:the\s+)?", re.IGNORECASE)


def _beside(question: str, one: tuple[int, int, str], other: tuple[int, int, str]) -> bool:
    """Whether two of a kind stand side by side."""
    return one[2] == other[2] and bool(_between().fullmatch(question, one[1], other[0]))


def _named(question: str) -> list[tuple[int, int, str]]:
    """The names, codes and years of a question, in order, each with its kind."""
    codes = [(start, end, "code") for start, end in codes_in(question)]
    years = [(v.start, v.end, "year") for v in values_of(question) if v.kind == "year"]
    taken = [*codes, *years]
    names: list[tuple[int, int, str]] = []
    for word in words_of(question):
        if not word.name or any(a < word.end and word.start < b for a, b, _ in taken):
            continue
        if names and _LINK.fullmatch(question, names[-1][1], word.start):
            names[-1] = (names[-1][0], word.end, "name")
        else:
            names.append((word.start, word.end, "name"))
    return sorted([*taken, *(_without_opening(question, *name) for name in names)])


def _without_opening(question: str, start: int, end: int, kind: str) -> tuple[int, int, str]:
    """A name without the verb that opens the question: "Compare Apple"."""
    rest = re.match(r"\w+\s+(?=\w)", question[start:end]) if not question[:start].strip() else None
    return (start + rest.end() if rest else start), end, kind
