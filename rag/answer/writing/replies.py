"""What of a model's reply is no answer: a refusal, in the agreed words or its own, and what it copied from its prompt,
the instructions or the list of sources."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from rag.answer.markers import WRITTEN
from rag.language.tables import pattern, patterns
from rag.text import compiled, words
from rag.types import Passage

REFUSAL = "NOT IN THE DOCUMENTS"
_REFUSED = rf"\s*\W?{REFUSAL}\W?(?=\s|$)"
_NOISE = r"[\s*_`\"'.>#-]+"
# Characters: a refusal in a model's own words is short, and what follows in a longer reply answers. In other languages
# it is told by single words, so by fewer characters.
_LONGEST, _LONGEST_ELSEWHERE = 400, 250
# After the agreed words, for a marker or a full stop with what is around it.
_ROOM = 20
_SENTENCE = r"[^.!?。！？؟\n]*[.!?。！？؟]*"
_BULLET = re.compile(r"[\s>*_#•–—-]*(?:\d{1,3}[.):]\s)?\s*")
_MARKERS = re.compile(r"(?:\[\d{1,3}\][\s,;:*_.–—-]*)+")
_EMPTY = re.compile(r"[\s*_=-]*")
# Runs of so many words are nobody's own by chance; what shares fewer of them than half may quote or obey.
_RUN, _RECITED, _FEWEST_RUNS = 4, 0.5, 4
# Characters of a line in a list of sources: a path, a title and a heading.
_LONGEST_ENTRY = 300


def may_be_refusal(text: str) -> bool:
    """Whether what has come so far could still become the agreed refusal."""
    squeezed = _squeeze(text)
    wanted = _squeeze(REFUSAL)
    return wanted.startswith(squeezed) or (squeezed.startswith(wanted) and len(squeezed) <= len(wanted) + _ROOM)


def is_refusal(text: str) -> bool:
    """Whether the whole reply is the agreed refusal."""
    return _squeeze(text).startswith(_squeeze(REFUSAL))


def without_refusal(text: str) -> str:
    """The text without the agreed words, which a model may put beside an answer."""
    return compiled(_REFUSED).sub("", text)


def declines(text: str) -> bool:
    """Whether a reply says that the sources do not have it: by the agreed words somewhere in it, or in words of its
    own at its beginning, as small models do.

    A reply with markers declines only if it is a single sentence that does not turn.
    """
    plain = WRITTEN.sub("", text).strip()
    if WRITTEN.search(text):
        first = compiled(_SENTENCE).match(plain)
        single = first is not None and first.end() == len(plain)
        named = _declines_elsewhere(plain) or bool(pattern("declines").match(plain) and pattern("holder").search(plain))
        return single and not pattern("turns").search(plain) and named
    english = len(text) <= _LONGEST and bool(pattern("declines").match(plain))
    return english or bool(compiled(_REFUSED).search(text)) or _declines_elsewhere(plain)


def _declines_elsewhere(text: str) -> bool:
    """Whether a short text declines in another language than English."""
    if len(text) > _LONGEST_ELSEWHERE or pattern("turns").search(text) or pattern("reports").search(text):
        return False
    first = compiled(_SENTENCE).match(text)
    said = first[0] if first else ""
    languages = zip(*(patterns(kind) for kind in ("reply holder", "reply negation", "reply failing")), strict=True)
    return any(all(part.search(said) for part in language) for language in languages)


def _squeeze(text: str) -> str:
    return compiled(_NOISE).sub("", text).upper()


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
    if len(item) > _LONGEST_ENTRY or not item.strip():
        return None
    rest = marks = _MARKERS.sub(" ", item).lower()
    for name in names:
        rest = rest.replace(name, " ")
    return None if pattern("place of a source").sub("", rest) else rest != marks
