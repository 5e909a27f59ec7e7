"""Text as the search and the checks see it: folded for comparison, cut into words, always with offsets."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache

WORD = re.compile(r"\w+")
_HYPHEN_BREAK = re.compile(r"(?<=\w)[\u00ad\u2010-]\n\s*(?=[a-z])")
_INVISIBLE = re.compile(
    "[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_QUOTES = str.maketrans({
    "\u2018": "'", "\u2019": "'", "\u201a": "'", "\u201b": "'", "\u201c": '"', "\u201d": '"', "\u201e": '"',
    "\u00ab": '"', "\u00bb": '"', "\u2010": "-", "\u2011": "-", "\u2012": "-", "\u2013": "-", "\u2014": "-",
    "\u2212": "-", "\u2026": "...",
})  # fmt: skip


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """The pattern, compiled when it is first needed: large ones take longer than many a question."""
    return re.compile(pattern)


def fold(text: str) -> str:
    """Text for comparison: NFKC, lower case, straight quotes and dashes, one space for any white space,
    words joined again that a line break hyphenated, invisible characters gone."""
    return fold_with_map(text)[0]


def fold_with_map(text: str) -> tuple[str, list[int]]:
    """``fold(text)`` and, for each of its characters, the offset in ``text`` it came from.

    The list has one entry more than the folded text: the offset just past the last kept character.
    """
    out: list[str] = []
    origin: list[int] = []
    space = True
    end = 0
    for start, cluster in _clusters(text):
        if cluster.isspace():
            if not space:
                out.append(" ")
                origin.append(start)
            space = True
            continue
        folded = unicodedata.normalize("NFKC", cluster).translate(_QUOTES).lower()
        for character in folded:
            if character.isspace():
                if not space:
                    out.append(" ")
                    origin.append(start)
                space = True
            else:
                out.append(character)
                origin.append(start)
                space = False
        end = start + len(cluster)
    if out and out[-1] == " ":
        out.pop()
        origin.pop()
    origin.append(end)
    return "".join(out), origin


def _clusters(text: str) -> Iterator[tuple[int, str]]:
    """Base character plus its combining marks, with the offset; hyphenated breaks and invisibles left out."""
    skip = {index for match in _HYPHEN_BREAK.finditer(text) for index in range(*match.span())}
    skip.update(match.start() for match in _INVISIBLE.finditer(text))
    index = 0
    while index < len(text):
        if index in skip:
            index += 1
            continue
        stop = index + 1
        while stop < len(text) and stop not in skip and unicodedata.combining(text[stop]):
            stop += 1
        yield index, text[index:stop]
        index = stop


def find_folded(needle: str, haystack: str) -> tuple[int, int] | None:
    """Where ``needle`` first occurs in ``haystack`` after folding both, as offsets in ``haystack``."""
    wanted = fold(needle)
    if not wanted:
        return None
    folded, origin = fold_with_map(haystack)
    at = folded.find(wanted)
    if at < 0:
        return None
    last = origin[at + len(wanted) - 1]
    stop = next((o for o in origin[at + len(wanted) :] if o > last), last + 1)
    end = last + len(haystack[last:stop].rstrip()) if stop > last else last + 1
    return origin[at], max(end, last + 1)


def remove_invisible(text: str) -> str:
    """Text without zero-width, direction and tag characters, which can hide or reorder what a reader sees."""
    return _INVISIBLE.sub("", text)


def words(text: str) -> list[str]:
    """The words of a text, NFKC-folded and lower-cased, in order."""
    return WORD.findall(unicodedata.normalize("NFKC", text).lower())


def safe(text: str) -> str:
    """Text without control, escape and direction characters, which could reprogram a terminal; line breaks and tabs
    stay."""
    return _CONTROL.sub("", remove_invisible(text))


def counted(number: int, noun: str) -> str:
    """A number with its noun: ``1 page``, ``1,037 pages``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
