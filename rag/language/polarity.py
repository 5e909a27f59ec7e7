"""What turns a statement round: negations and what they reach, words that act like one, opposites, quantities.

One table, ``rag/data/polarity.tsv``, for the gate of verification and for disagreement between sources.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from rag.language.tables import cells, listed, table
from rag.language.words import Word, stem

# Content words that a negation reaches in its clause, nearest first: what it denies and whose it is, not all behind it.
_SCOPE_WORDS = 5
# Stands in a phrase of the table for so many words at most: "put ~ off".
_GAP, _WIDEST_GAP = "~", 2
_PARTED = r"[.;:!?,()\n—–]| -+ "


@dataclass(frozen=True, slots=True)
class Side:
    """A word or phrase at ``text[start:end]`` that takes side ``sign`` (1 or -1) of the pair of opposites ``pair``."""

    pair: int
    sign: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Negation:
    """A negating word at ``text[start:end]`` and the content words of its clause that it reaches, nearest first."""

    start: int
    end: int
    reached: tuple[Word, ...]


@cache
def _rows(language: str, kind: str) -> tuple[Mapping[str, str], ...]:
    return tuple(row for row in table("polarity") if row["language"] == language and row["kind"] == kind)


@cache
def pattern(language: str, kind: str) -> re.Pattern[str]:
    """What matches the words of a kind (``negation``, ``contrary``, ``denial``, ...) in a language; nothing
    where there is no data."""
    found = [re.escape(word) for row in _rows(language, kind) for word in cells(row["words"])]
    words = "|".join(w.replace(r"\*", r"\w*").replace(r"\?", r"[^\W\d_]").replace("'", "['’]") for w in found)
    return re.compile(rf"\b(?:{words})(?!\w)" if words else r"(?!)", re.IGNORECASE)


@cache
def clause_end(language: str) -> re.Pattern[str]:
    """What ends a clause: marks, and the words that open another."""
    words = "|".join(sorted(listed(language, "clause"))) or "(?!)"
    return re.compile(rf"{_PARTED}|\b(?:{words})\b", re.IGNORECASE)


def clause_at(text: str, start: int, end: int, language: str) -> tuple[int, int]:
    """Where the clause lies that holds ``text[start:end]``."""
    ends = clause_end(language)
    first = max((match.end() for match in ends.finditer(text, 0, start)), default=0)
    last = ends.search(text, end)
    return first, last.start() if last else len(text)


def negations_in(text: str, words: Sequence[Word], language: str) -> Iterator[Negation]:
    """The negations of a text with what they reach: in most languages the words behind, in German the whole clause."""
    for match in pattern(language, "negation").finditer(text):
        if pattern(language, "no negation").match(text, match.start()):
            continue
        first, last = clause_at(text, *match.span(), language)
        behind = [w for w in words if match.end() <= w.start < last and w.content]
        if reaches_back(language):
            behind += [w for w in reversed(words) if first <= w.start < match.start() and w.content]
        yield Negation(*match.span(), tuple(behind[:_SCOPE_WORDS]))


def contraries_in(text: str, words: Sequence[Word], language: str) -> Iterator[Negation]:
    """The words that act like a "not", with the content words they undo: those of their clause ("refused to approve"),
    or only the next ("former")."""
    for kind in ("contrary", "contrary next"):
        for match in pattern(language, kind).finditer(text):
            if pattern(language, "no contrary").match(text, match.start()):
                continue
            first, last = clause_at(text, *match.span(), language)
            if kind == "contrary":
                reached = [w for w in words if first <= w.start < last]
            else:
                reached = [w for w in words if match.end() <= w.start < last and w.content][:1]
            yield Negation(*match.span(), tuple(reached))


@cache
def reaches_back(language: str) -> bool:
    """Whether a negation reaches what stands before it in its clause, too."""
    return any(row["words"] == "around" for row in _rows(language, "reach"))


@cache
def quantities(language: str) -> tuple[frozenset[str], ...]:
    """The stems of "all", "only", "never" and "most", each with those of its kind."""
    return tuple(frozenset(stem(w, language) for w in cells(row["words"])) for row in _rows(language, "quantity"))


@cache
def opposites(language: str) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]:
    """The pairs of opposite sides, each with its words and phrases as the table writes them."""
    return tuple((tuple(cells(r["words"])), tuple(cells(r["opposite"]))) for r in _rows(language, "opposite"))


@cache
def _phrases(language: str) -> dict[str, list[tuple[tuple[str, ...], int, int]]]:
    """By the first stem: (stems in a row, pair, sign), the longest first."""
    found: dict[str, list[tuple[tuple[str, ...], int, int]]] = {}
    for pair, sides in enumerate(opposites(language)):
        for sign, entries in zip((1, -1), sides, strict=True):
            for stems in {tuple(stem(word, language) for word in entry.split()) for entry in entries}:
                found.setdefault(stems[0], []).append((stems, pair, sign))
    for entries_of in found.values():
        entries_of.sort(key=lambda entry: -len(entry[0]))
    return found


def sides_in(words: Sequence[Word], language: str) -> tuple[Side, ...]:
    """Where the words take a side of a pair of opposites, in order."""
    phrases = _phrases(language)
    found = []
    for place, word in enumerate(words):
        for stems, pair, sign in phrases.get(word.stem, ()):
            last = _end_of(stems, words, place)
            if last is not None:
                found.append(Side(pair, sign, word.start, words[last].end))
    return tuple(found)


def _end_of(stems: Sequence[str], words: Sequence[Word], place: int) -> int | None:
    """Which word ends the phrase that begins at ``place``; None if it is not there."""
    for number, wanted in enumerate(stems):
        if wanted == _GAP:
            rest = range(place, min(place + _WIDEST_GAP, len(words) - 1) + 1)
            return next((end for at in rest if (end := _end_of(stems[number + 1 :], words, at)) is not None), None)
        if place >= len(words) or words[place].stem != wanted:
            return None
        place += 1
    return place - 1
