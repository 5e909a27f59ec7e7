"""The kind of answer a question wants, by its cue words, and where a sentence holds something of that kind."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import cache
from typing import Literal, cast

from rag.language.quantities import Value, same_value
from rag.language.tables import listed, pattern, table
from rag.language.words import Word, stem, words_of

Wanted = Literal[
    "count", "amount", "percent", "measure", "time", "person", "place", "reason", "manner", "thing", "whether"
]  # fmt: skip

_ASIDE = re.compile(r"\s*\([^()]*\)\s*$")
_NUMERIC: dict[Wanted, tuple[str, ...]] = {
    "count": ("number",),
    "amount": ("money", "number", "percent"),
    "percent": ("percent", "number"),
    "measure": ("number", "percent", "money", "ordinal"),
    "time": ("year", "date"),
}
# How well a sentence fits a question's kind, here and below, is a feature of its rank: the weights were fitted over it.
# Characters and content words after a number that it may count, and the characters of " (" before it.
_COUNTED_WITHIN, _MOST_COUNTED, _BRACKET = 40, 3, 2
_ASKED = 0.8

QUESTION_MARKS = ("?", "\uff1f", "\u061f", "\u037e")
"""Of Latin, Chinese, Arabic and Greek script."""


@cache
def question_words() -> frozenset[str]:
    """The words that ask, and are no subject of a question."""
    return listed("en", "question")


@cache
def _kinds() -> tuple[tuple[Wanted, re.Pattern[str]], ...]:
    return tuple((cast(Wanted, row["kind"]), re.compile(row["pattern"])) for row in table("answer_types"))


def wanted_of(text: str) -> Wanted:
    """The kind of answer the question's first cue asks for; what stands in parentheses at its end is context."""
    lower = _ASIDE.sub("", text).lower().strip() or text.lower()
    # "When many are arrested, what ..." asks for no time: there "when" has no helping verb right behind it.
    if pattern("when clause").match(lower):
        lower = lower.removeprefix("when")
    found = [(match.start(), order, kind) for order, (kind, p) in enumerate(_kinds()) if (match := p.search(lower))]
    return min(found)[2] if found else "thing"


def focus_of(text: str) -> Word | None:
    """The head of the noun right after "which", "what" or "how many", which types the answer: "gas *pipeline*"."""
    match = pattern("answer type").search(_ASIDE.sub("", text))
    words = [word for word in words_of(match[1]) if word.content] if match else []
    if not match or not words:
        return None
    last = words[-1]
    start = match.start(1)
    return Word(last.stem, start + last.start, start + last.end, True, last.name)


def answer_places(
    wanted: Wanted,
    asked: str,
    focus: str,
    taken: Sequence[Value],
    known: frozenset[str],
    text: str,
    words: Sequence[Word],
    values: Sequence[Value],
    like: Callable[[str], float],
) -> list[tuple[int, float]] | None:
    """Where ``text`` holds something of the wanted kind that the question lacks, and how well it fits, in (0, 1].

    ``focus`` is the stem that types the answer and ``like`` tells how similar another stem is to it; ``taken`` and
    ``known`` are the question's values and stems. None for kinds without an outward sign.
    """
    if wanted in _NUMERIC:
        fresh = [v for v in values if not any(same_value(v, other) for other in taken)]
        return _numbers(wanted, asked, focus, known, text, words, fresh, like)
    if wanted in ("person", "place"):
        return [(w.start, 1.0 if w.name else 0.5) for w in words if _is_new_name(w, text, known)]
    if wanted == "reason":
        # Many a reason is given without such a word, so that its absence says nothing.
        return [(match.start(), 1.0) for match in pattern("reason").finditer(text)] or None
    return None


def _numbers(
    wanted: Wanted,
    asked: str,
    focus: str,
    known: frozenset[str],
    text: str,
    words: Sequence[Word],
    fresh: Sequence[Value],
    like: Callable[[str], float],
) -> list[tuple[int, float]]:
    fitting = [v for v in fresh if v.kind in _NUMERIC[wanted]]
    if wanted == "amount" and pattern("money asked").search(asked.lower()):
        return [(v.start, 1.0 if v.kind == "money" else 0.3) for v in fitting]
    if wanted == "count" and focus:
        content = [w for w in words if w.content]
        return [(v.start, _counts(v, content, known, like)) for v in fitting]
    if wanted == "time" and not fitting:
        return [(match.start(), 0.5) for match in pattern("time").finditer(text)]
    return [(v.start, 1.0 if v.kind == _NUMERIC[wanted][0] or wanted in ("time", "amount") else 0.6) for v in fitting]


def _counts(value: Value, content: Sequence[Word], known: frozenset[str], like: Callable[[str], float]) -> float:
    """How well a number counts what was asked for: by the best of the three content words after it, or of one that it
    follows in parentheses; a word of the question is a sign too."""
    place = bisect_left(content, value.end, key=lambda word: word.start)
    counted = [w for w in content[place : place + _MOST_COUNTED] if w.start - value.end < _COUNTED_WITHIN]
    counted += [w for w in content[max(0, place - _MOST_COUNTED) : place] if 0 < value.start - w.end <= _BRACKET]
    best = max((max(like(w.stem), _ASKED * (w.stem in known and not w.name)) for w in counted), default=0.0)
    return 0.3 + 0.7 * best


def _is_new_name(word: Word, text: str, known: frozenset[str]) -> bool:
    return word.content and text[word.start].isupper() and word.stem not in known and stem(word.stem) not in known
