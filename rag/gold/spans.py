"""Where words stand in a document, and how much of one set of spans another covers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from rag.text import fold, fold_with_map

Span = tuple[int, int]
COVERED = 0.9
"""A gold quote is found when at least this share of its characters is covered."""
_WORD = re.compile(r"\w+")
_NEAREST_LIMIT = 2_000_000


class Corpus(Protocol):
    """The documents a gold set speaks of, by source name."""

    def files(self) -> tuple[str, ...]:
        """All source names."""

    def text(self, file: str) -> str | None:
        """The canonical text, or ``None`` for an unknown file."""

    def page(self, file: str, number: int) -> Span | None:
        """The span of page ``number`` (from 1), or ``None`` when the file has no such page."""


@dataclass(slots=True)
class Finder:
    """Finds quotes in the documents of a corpus; a document is folded once, however many quotes are sought."""

    corpus: Corpus
    _folded: dict[str, tuple[str, list[int]]] = field(default_factory=dict)
    _found: dict[tuple[str, int | None, str], tuple[Span, ...]] = field(default_factory=dict)

    def quote(self, file: str, quote: str, page: int | None = None) -> tuple[Span, ...]:
        """Every place of ``quote`` in ``file`` (on ``page``, if given; a quote may begin there and run on), compared
        after NFKC, de-hyphenation and folding of case and white space. Empty when it is nowhere."""
        key = (file, page, quote)
        if key not in self._found:
            places = self._search(file, quote)
            if page is not None:
                bounds = self.corpus.page(file, page)
                places = tuple(p for p in places if bounds and bounds[0] <= p[0] < max(bounds[1], bounds[0] + 1))
            self._found[key] = places
        return self._found[key]

    def _search(self, file: str, quote: str) -> tuple[Span, ...]:
        text = self.corpus.text(file)
        if text is None:
            return ()
        words = quote.split()
        exact = re.compile(r"\s+".join(re.escape(word) for word in words))
        if words and (places := tuple(match.span() for match in exact.finditer(text))):
            return places
        if file not in self._folded:
            self._folded[file] = fold_with_map(text)
        return occurrences(fold(quote), text, *self._folded[file])


def occurrences(needle: str, text: str, folded: str, origin: list[int]) -> tuple[Span, ...]:
    """Spans in ``text`` of every occurrence of the folded ``needle`` in ``folded`` (see ``fold_with_map``)."""
    places: list[Span] = []
    at = folded.find(needle) if needle else -1
    while at >= 0:
        last = origin[at + len(needle) - 1]
        after = at + len(needle)
        while after < len(origin) - 1 and origin[after] <= last:
            after += 1
        stop = max(origin[after], last + 1)
        places.append((origin[at], last + max(len(text[last:stop].rstrip()), 1)))
        at = folded.find(needle, at + len(needle))
    return tuple(places)


def merge(spans: Iterable[Span]) -> list[Span]:
    """The union of spans as disjoint spans in order."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if start >= end:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def length(spans: Iterable[Span]) -> int:
    """How many characters the union of spans holds."""
    return sum(end - start for start, end in merge(spans))


def overlap(a: Iterable[Span], b: Iterable[Span]) -> int:
    """How many characters two unions of spans share."""
    left, right = merge(a), merge(b)
    shared = i = j = 0
    while i < len(left) and j < len(right):
        shared += max(0, min(left[i][1], right[j][1]) - max(left[i][0], right[j][0]))
        if left[i][1] <= right[j][1]:
            i += 1
        else:
            j += 1
    return shared


def covers(spans: Sequence[Span], quote: Span) -> bool:
    """Whether the union of ``spans`` holds at least 0.9 of the characters of ``quote``."""
    return overlap(spans, [quote]) >= COVERED * (quote[1] - quote[0]) > 0


def nearest(quote: str, text: str) -> str:
    """The stretch of ``text`` (of about the quote's length) that shares most words with ``quote``; empty if none does.

    Linear in the text; of a very long text the first two million characters are looked at.
    """
    wanted = Counter(match.group().lower() for match in _WORD.finditer(quote))
    found = [(m.start(), m.end(), m.group().lower()) for m in _WORD.finditer(text[:_NEAREST_LIMIT])]
    width = max(1, sum(wanted.values()))
    inside: Counter[str] = Counter()
    best, place, shared = 0, 0, 0
    for index, (_, _, word) in enumerate(found):
        inside[word] += 1
        shared += inside[word] <= wanted[word]
        if index >= width:
            gone = found[index - width][2]
            shared -= inside[gone] <= wanted[gone]
            inside[gone] -= 1
        if shared > best:
            best, place = shared, index
    if best * 3 < width:
        return ""
    first = max(0, place - width + 1)
    return " ".join(text[found[first][0] : found[place][1]].split())
