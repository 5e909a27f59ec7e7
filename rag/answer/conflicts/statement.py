"""A document's sentence taken apart to compare it with another: what it speaks of, who says it, what ties it down."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from rag.answer.passages import units_of
from rag.language import Parsed, Value, Word, key, same_value, words_of
from rag.language.questions import question_words
from rag.language.tables import pattern, patterns
from rag.language.words import seat_of, stems_listed
from rag.types import Passage

_OPENING = re.compile(r"^[^,;:]{1,40},(?=\s)")
DATES = ("date", "year")
SHARED, FEWEST_SHARED = 0.7, 2
"""What share of the words of the shorter of two sentences, and how many at the least, make them speak of one thing."""
_COVERED = 0.65
"""What share of the question's words, with title and headings, makes a sentence speak of what is asked."""
_REACH = 2
"""A negation turns what stands right behind it, or one word on: "not a good idea"."""


@dataclass(frozen=True)
class Statement:
    """One sentence of a document; ``start`` and ``end`` are offsets in the document, all others in ``text``."""

    passage: Passage
    start: int
    end: int
    parsed: Parsed
    meant: frozenset[str] = frozenset()
    """The keys of the names that its pronoun stands for: those of the sentence before it."""

    @property
    def text(self) -> str:
        """The sentence itself."""
        return self.parsed.text

    @property
    def all_words(self) -> tuple[Word, ...]:
        """Its words, those too that say who says it."""
        return self.parsed.words

    @property
    def all_values(self) -> tuple[Value, ...]:
        """Its values, those too of who says it."""
        return self.parsed.values

    @cached_property
    def said_by(self) -> tuple[tuple[int, int], ...]:
        """Where it says who says it, which is no part of what is said."""
        return tuple(match.span() for told in patterns("attribution") for match in told.finditer(self.text))

    def _own(self, place: int) -> bool:
        return not any(a <= place < b for a, b in self.said_by)

    @cached_property
    def words(self) -> tuple[Word, ...]:
        """Its words without those that say who says it."""
        return tuple(word for word in self.all_words if self._own(word.start))

    @cached_property
    def values(self) -> tuple[Value, ...]:
        """Its numbers, amounts and dates."""
        return tuple(value for value in self.all_values if self._own(value.start))

    @cached_property
    def topic(self) -> dict[str, Word]:
        """What it speaks of: the content words by key, without values and words that only join."""
        return {key(w.stem): w for w in self.words if self.tells(w)}

    def tells(self, word: Word) -> bool:
        """Whether a word says what the sentence is about: no value, and none that only joins a thing to its value."""
        free = not any(v.start <= word.start < v.end for v in self.values)
        return word.content and free and word.stem not in stems_listed("en", "light") and not word.stem.isdigit()

    @cached_property
    def names(self) -> dict[str, Word]:
        """The names in it."""
        return {k: word for k, word in self.topic.items() if word.name}

    @cached_property
    def header(self) -> frozenset[str]:
        """The keys of its document's title and headings and of its file's name."""
        return header_of(self.passage)

    @cached_property
    def around(self) -> frozenset[str]:
        """The keys of its passage, title, headings and file name."""
        return self.header | _keys_of(self.passage.text)

    def clause(self, start: int, end: int) -> tuple[int, int]:
        """Where the clause lies that holds ``text[start:end]``."""
        first, last = 0, len(self.text)
        for match in pattern("end of a clause").finditer(self.text):
            if any(v.start <= match.start() < v.end for v in self.all_values):
                continue
            if match.end() <= start:
                first = match.end()
            elif match.start() >= end:
                last = match.start()
                break
        return first, last

    def ties(self, start: int, end: int, *, beside: bool = False) -> frozenset[str]:
        """The words that tie what its clause around ``text[start:end]`` says to a time, a case or a part.

        Also those of an opening such as "In summer," and one mark for all that is planned or only possible. With
        ``beside`` the words at the span itself count as none: "first" and "possible" may be what is said.
        """
        first, last = self.clause(start, end)
        text = self.text[:start] + " " * (end - start) + self.text[end:] if beside else self.text
        parts = [text[first:last]]
        opening = _OPENING.match(text)
        if opening and opening.end() <= first:
            parts.append(opening[0])
        # "After ten years", "stronger than before" and "every winter" tie nothing to a time.
        bare = (pattern("no condition").sub(" ", part) for part in parts)
        found = {match[0].lower().rstrip("s") for part in bare for match in pattern("condition").finditer(part)}
        possible = pattern("possible")
        if possible.search(text[: end if end < len(text) else None]) or possible.search(parts[0]):
            found.add("?")
        return frozenset(found)

    @cached_property
    def views(self) -> dict[int, list[tuple[int, tuple[int, int]]]]:
        """For each view that it takes one side of: which, 1 or -1, and by which words."""
        found: dict[int, list[tuple[int, tuple[int, int]]]] = {}
        starts = {word.start for word in self.words}
        for side in self.parsed.sides:
            if side.start in starts:
                sign = -side.sign if self._turned(side.start) else side.sign
                found.setdefault(side.pair, []).append((sign, (side.start, side.end)))
        return {view: sides for view, sides in found.items() if len({sign for sign, _ in sides}) == 1}

    def _turned(self, place: int) -> bool:
        """Whether a negation stands right before ``place`` or one word before."""
        first, _ = self.clause(place, place + 1)
        return any(
            first <= negation.start < place and len(self.text[negation.end : place].split()) < _REACH
            for negation in self.parsed.negations
        )

    @cached_property
    def denied(self) -> frozenset[str]:
        """The keys of the words that a negation denies: the next telling word in its clause."""
        # "No need of refuge", "no sign of life": what is denied comes behind them.
        carriers = stems_listed("en", "carrier")
        found: set[str] = set()
        for negation in self.parsed.negations:
            _, last = self.clause(negation.start, negation.end)
            behind = [w for w in self.words if negation.end <= w.start < last and w.content and w.stem not in carriers]
            found.update(key(w.stem) for w in behind[:1])
        return frozenset(found)


@lru_cache(maxsize=4_096)
def _keys_of(text: str) -> frozenset[str]:
    return frozenset(key(word.stem) for word in words_of(text) if word.content)


@lru_cache(maxsize=1_024)
def _header(source: str, title: str, heading: tuple[str, ...]) -> frozenset[str]:
    name = re.sub(r"\.\w{1,5}$|[-_/.]", " ", source)
    return _keys_of(name) | _keys_of(title) | frozenset[str]().union(*map(_keys_of, heading))


def header_of(passage: Passage) -> frozenset[str]:
    """The keys of a passage's title, headings and file name."""
    return _header(passage.source, passage.title, passage.heading)


def statements_of(passage: Passage) -> Iterator[Statement]:
    """The sentences of a passage, without headings, questions and rows of tables."""
    named: frozenset[str] = frozenset()
    for unit in units_of(passage.text):
        own = frozenset(key(word.stem) for word in unit.words if word.name)
        named = named if unit.points_back and not own else own
        if not unit.text.startswith(("#", "|")) and not unit.text.rstrip().endswith("?"):
            start, end = passage.start + unit.start, passage.start + unit.end
            meant = named if unit.points_back else frozenset[str]()
            yield Statement(passage, start, end, unit.parsed, meant)


def share_of(asked: Iterable[str], statement: Statement, context: frozenset[str] = frozenset()) -> float:
    """The share of the keys that the sentence or ``context`` has, a capital standing for its country; 0 for no keys."""
    own, keys = {*statement.topic, *context}, list(asked)
    return sum(1.0 for k in keys if k in own or any(seat_of(k, o) for o in own)) / len(keys) if keys else 0.0


def covers(statement: Statement, asked: Iterable[str]) -> bool:
    """Whether the sentence, with its document's title and headings, has nearly all that is asked for."""
    return share_of(asked, statement, statement.header) >= _COVERED


def same_ties(one: Statement, other: Statement, mine: tuple[int, int], theirs: tuple[int, int]) -> bool:
    """Whether both tie what they say at the two spans to the same times and cases, and have the same values beside."""
    if one.ties(*mine, beside=True) != other.ties(*theirs, beside=True):
        return False
    return same_values(
        *([v for v in s.values if not span[0] <= v.start < span[1]] for s, span in ((one, mine), (other, theirs)))
    )


def same_values(mine: Sequence[Value], theirs: Sequence[Value]) -> bool:
    """Whether each has every value that the other has."""
    return all(any(same_value(v, w) for w in b) for a, b in ((mine, theirs), (theirs, mine)) for v in a)


@lru_cache(maxsize=256)
def asked_of(question: str) -> dict[str, Word]:
    """The telling words of a question by key."""
    return {
        key(w.stem): w
        for w in words_of(question)
        if w.content
        and w.stem not in stems_listed("en", "light")
        and question[w.start : w.end].lower() not in question_words()
    }
