"""What models copy from their prompt into an answer: the sources' list at the end, and the instructions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from rag.language.tables import pattern
from rag.text import words
from rag.types import Passage

_BULLET = re.compile(r"[\s>*_#•–—-]*(?:\d{1,3}[.):]\s)?\s*")
_MARKERS = re.compile(r"(?:\[\d{1,3}\][\s,;:*_.–—-]*)+")
_EMPTY = re.compile(r"[\s*_=-]*")
# Runs of so many words are nobody's own by chance; what shares fewer of them than half may quote or obey.
_RUN, _RECITED, _FEWEST_RUNS = 4, 0.5, 4
# Characters of a line in a list of sources: a path, a title and a heading.
_LONGEST = 300


def recites(text: str, instructions: str) -> bool:
    """Whether a reply repeats the instructions, as base models do, which go on writing instead of answering: at least
    half of its runs of four words stand in them."""
    runs = _runs(text)
    return len(runs) >= _FEWEST_RUNS and len(runs & _runs(instructions)) >= _RECITED * len(runs)


def begins_instructions(text: str, instructions: str) -> bool:
    """Whether what has come so far still follows the instructions word for word."""
    said = words(text)
    return bool(said) and f" {' '.join(said)}" in f" {' '.join(words(instructions))}"


def _runs(text: str) -> set[tuple[str, ...]]:
    said = words(text)
    return {tuple(said[start : start + _RUN]) for start in range(len(said) - _RUN + 1)}


def without_references(text: str, passages: Sequence[Passage]) -> str:
    """The text without the list of sources at its end, if it has one and something else beside it.

    Such a list is lines of nothing but markers, pages, and names, titles or headings of ``passages``, under a heading
    such as "Sources:"; without a heading, each begins with a marker. Any other line shows that it is no such list.
    """
    names = _names(passages)
    lines = text.split("\n")
    begin = found = len(lines)
    headed, marked = False, True
    while begin and not headed:
        line = lines[begin - 1]
        if not _EMPTY.fullmatch(line):
            item = line[_BULLET.match(line).end() :]  # type: ignore[union-attr]
            header = pattern("sources heading").match(item)
            entry = item[header.end() :] if header else item
            named = _names_only(entry, names)
            headed = header is not None and (named is not None or (not entry and found < len(lines)))
            if named is None and not headed:
                break
            marked = marked and bool(named and _MARKERS.match(entry))
            found = begin - 1
        begin -= 1
    if found == len(lines) or not (headed or marked):
        return text
    while found and _EMPTY.fullmatch(lines[found - 1]):
        found -= 1
    body = "\n".join(lines[:found])
    return body if any(map(str.isalnum, _MARKERS.sub("", body))) else text


def _names(passages: Sequence[Passage]) -> list[str]:
    """What the sources may be called, the longest first."""
    names = {
        name.lower()
        for passage in passages
        for name in (passage.source, PurePosixPath(passage.source).name, passage.title, *passage.heading)
    }
    return sorted(filter(None, names), key=len, reverse=True)


def _names_only(item: str, names: Sequence[str]) -> bool | None:
    """Whether a line of nothing but markers and places names a source; None for any other line."""
    if len(item) > _LONGEST or not item.strip():
        return None
    rest = marks = _MARKERS.sub(" ", item).lower()
    for name in names:
        rest = rest.replace(name, " ")
    return None if pattern("place of a source").sub("", rest) else rest != marks
