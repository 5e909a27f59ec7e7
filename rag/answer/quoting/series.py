"""Questions over many of a kind: which is the most, which are before, list all, how many.

Sentences that say the like of different things are a series, and so are the rows of a table. Six passages seldom hold
all of one: the whole collection is read for it, as far as ``MOST`` passages, and sorted by the figure that is asked for
or counted. What was read and what there is, is said.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cache
from typing import Literal, cast

import numpy as np

from rag.answer.passages import Unit, units_of
from rag.answer.quoting.identifiers import codes_in
from rag.answer.quoting.question import Question, analyse
from rag.answer.quoting.quoter import Quote, quote_of, says_nothing, score, windows_of
from rag.answer.quoting.ranking import ALIKE, Candidate, Ranked, is_row, rank
from rag.answer.synonymy import Array, has_digit
from rag.language import Value, values_of, words_of
from rag.language.tables import table
from rag.models.static import StaticVectors
from rag.types import Hit, Passage

Order = Literal["most", "least", "above", "below", "all", "count"]

MOST = 200
"""So many passages are read for a series: about a millisecond and a half each."""
SHOWN = 20
"""So many of a series are quoted."""
# The benchmark ``quoting`` sets these, too: what they do not let through is answered as any other question.
_FEWEST = 3
"""Two of a kind may be chance, which costs CLAPNQ's answers 0.01 of their words; with six, five are no series."""
_TRIED = 8
"""So many of the best rows and sentences may stand for a series: the best alone misses tables, 16 find no more."""
_COVERED = 0.65
"""What share of the question, by weight, a sentence of a series says, with its neighbours and headings."""
_MOSTLY = 0.8
"""A cell may be empty: the share of the members that must have a figure, or speak of what is counted. 0.4 and 1 answer
every question of the benchmark alike."""
_UNIT = re.compile(r"\s?([^\W\d_]+)")
_CLOCK = re.compile(r"(\d{1,3}):([0-5]\d)(?::([0-5]\d))?")


@dataclass(frozen=True, slots=True)
class Ranging:
    """What a question that ranges over many of a kind wants of them: ``words`` say it, ``rest`` is the question without
    them; ``measure`` is the kind of figure that they compare ("" for any), ``bound`` the value they compare with."""

    order: Order
    measure: str
    words: str
    rest: str
    bound: Value | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """``quotes`` of the members that answer, in order; ``said`` tells of how many, and what was read of all there is.
    Empty ``quotes``: they could not be sorted. ``rest`` is what is asked of each."""

    said: str
    rest: str
    quotes: tuple[Quote, ...] = ()
    hits: tuple[Hit, ...] = ()

    def led(self, hits: Sequence[Hit]) -> list[Hit]:
        """The hits with the passages of the members that answer first, as many as there were, for a model to read."""
        known = {hit.passage.id: hit for hit in hits}
        first = [known.get(hit.passage.id, hit) for hit in self.hits[: len(hits)]]
        return [*first, *(hit for hit in hits if hit not in first)][: len(hits)]


@dataclass(frozen=True, slots=True)
class Reach:
    """How a collection is read beyond the hits: ``holding`` gives the first ``limit`` passages that hold all the words,
    and how many there are; ``document`` the first ``limit`` passages of a document, in order."""

    holding: Callable[[Sequence[str], int], tuple[Sequence[Passage], int]]
    document: Callable[[int, int], Sequence[Passage]]


@dataclass(frozen=True, slots=True)
class _Member:
    """One of a series: its sentence or row, and its figure, if it has one."""

    candidate: Candidate
    figure: Value | None = None
    head: tuple[str, ...] = field(default=())


@cache
def _patterns() -> tuple[tuple[Order, str, re.Pattern[str]], ...]:
    return tuple(
        (cast(Order, row["order"]), row["measure"], re.compile(row["pattern"]))
        for row in table("degrees")
        if row["order"] != "sides"
    )


def ranging_of(question: str) -> Ranging | None:
    """What ``question`` wants of many of a kind; None for one that asks for no series."""
    lower = question.lower()
    for order, measure, pattern in _patterns():
        match = pattern.search(lower)
        if match is None or len(lower) != len(question):
            continue
        bound, end = None, match.end()
        if order in ("above", "below"):
            bound = next((v for v in values_of(question) if v.start >= match.end()), None)
            if bound is None:
                continue
            unit = _UNIT.match(question, bound.end)
            end = unit.end() if unit and (bound.kind == "money" or unit[1].lower() == bound.unit) else bound.end
        rest = " ".join(f"{question[: match.start()]} {question[end:]}".split())
        if words_of(rest):
            return Ranging(order, measure, question[match.start() : end], rest, bound)
    return None


class SeriesReader:
    """Finds and reads the series that a question ranges over."""

    def __init__(
        self, vectors: StaticVectors, reach: Reach, document_frequency: Callable[[str], int] | None = None,
        passage_count: int = 0,
    ) -> None:  # fmt: skip
        self._vectors = vectors
        self._reach = reach
        self._frequency = document_frequency
        self._count = passage_count

    def read(self, question: str, hits: Sequence[Hit]) -> Series | None:
        """The series that answers ``question``; None where it wants none, the best sentence says it outright, or the
        hits hold fewer than three of a kind that speak of what is asked."""
        wanted = ranging_of(question)
        if wanted is None or next(codes_in(question), None) is not None:
            return None
        ranked = rank(self._vectors, analyse(wanted.rest, self._frequency, self._count), hits)
        unsorted = None
        for template in _templates(ranked, wanted):
            # A sentence may say it outright; the rows of a table say it for certain.
            if not is_row(template.unit.text) and wanted.order != "count" and self._outright(question, wanted, hits):
                continue
            series = self._like(template, wanted, ranked)
            if series is not None and series.quotes:
                return series
            unsorted = unsorted or series
        return unsorted

    def _like(self, template: Candidate, wanted: Ranging, ranked: Ranked) -> Series | None:
        """The series of what is like ``template``; None where that are fewer than three."""
        if is_row(template.unit.text):
            members, seen, passages = self._rows(template)
        else:
            members, seen, passages = self._sentences(template, ranked)
        if len(members) < _FEWEST:
            return None
        if len(members) < 2 and wanted.order in ("most", "least"):
            return None
        return self._answered(wanted, ranked.question, template, members, seen, passages)

    def _outright(self, question: str, wanted: Ranging, hits: Sequence[Hit]) -> bool:
        """Whether a sentence that fits well says in the question's own words what would have to be sorted out."""
        ranked = rank(self._vectors, analyse(question, self._frequency, self._count), hits)
        if not ranked.candidates:
            return False
        left = {w.stem for w in words_of(question)} - {w.stem for w in words_of(wanted.rest)}
        best = ranked.candidates[int(np.argmax(score(ranked)))]
        return bool(left) and wanted.bound is None and left <= {w.stem for w in best.unit.words}

    def _sentences(self, template: Candidate, ranked: Ranked) -> tuple[list[_Member], int, int]:
        """All sentences like ``template``, how many passages were read for them, and how many hold their words."""
        like = [c for c in ranked.candidates if _parallel(template, c)]
        common = frozenset.intersection(*(_frame(c.unit) for c in like))
        words = [template.unit.text[w.start : w.end] for w in template.unit.words if w.stem in common]
        found, total = self._reach.holding(list(dict.fromkeys(map(str.lower, words))), MOST)
        members: dict[tuple[int, int], _Member] = {}
        for passage in [*found, *(c.passage for c in like)]:
            units = units_of(passage.text)
            for index in range(len(units)):
                candidate = Candidate(passage, 0, units, index)
                if _parallel(template, candidate) or _frame(candidate.unit) == _frame(template.unit):
                    members.setdefault((passage.document_id, candidate.end), _Member(candidate))
        return list(members.values()), len(found), max(total, len(found))

    def _rows(self, template: Candidate) -> tuple[list[_Member], int, int]:
        """The rows of the template's table, and how many of its document's passages were read, and are."""
        passages = self._reach.document(template.passage.document_id, MOST + 1)
        head: tuple[str, ...] = ()
        tables: dict[tuple[str, ...], dict[int, _Member]] = {}
        own: tuple[str, ...] = ()
        for passage in passages[:MOST]:
            units = units_of(passage.text)
            for index, unit in enumerate(units):
                if not is_row(unit.text):
                    continue
                candidate = Candidate(passage, 0, units, index)
                if candidate.is_head:
                    head = _cells(unit.text)
                elif len(_cells(unit.text)) == len(head):
                    tables.setdefault(head, {}).setdefault(candidate.start, _Member(candidate, head=head))
                    if candidate.start == template.start and candidate.end == template.end:
                        own = head
        return list(tables.get(own, {}).values()), min(len(passages), MOST), len(passages)

    def _answered(
        self, wanted: Ranging, question: Question, template: Candidate, members: list[_Member], seen: int, passages: int
    ) -> Series:  # fmt: skip
        kind = "rows" if is_row(template.unit.text) else "sentences"
        what = f"{len(members):,} {kind} of this kind"
        if seen < passages:
            total = f"{passages:,}" if kind == "sentences" else f"more than {seen:,}"
            what += f", seen in {seen:,} of {total} passages"
        if wanted.order in ("all", "count"):
            chosen = members[:SHOWN]
            said = what + (f", of which {SHOWN} are shown:" if len(members) > SHOWN else ":")
        else:
            by, figures = self._figures(wanted, question, template, members)
            told = [m for m in figures if m.figure is not None]
            if len(told) < _MOSTLY * len(members):
                said = f"The question is about all of {what}, which could not be sorted by a figure."
                return Series(said, wanted.rest)
            chosen, words = _sorted(wanted, told)
            said = f"Of {what}, {words}{by}" + (f", of which {SHOWN} are shown:" if len(chosen) > SHOWN else ":")
            said = said if chosen else f"{said.rstrip(':')}."
            chosen = chosen[:SHOWN]
        quotes = tuple(quote_of(m.candidate, 1.0) for m in chosen)
        passages_of = {m.candidate.passage.id: m.candidate.passage for m in chosen}
        hits = tuple(Hit(passage, 0.0, 0.0, 0.0) for passage in passages_of.values())
        return Series(said, wanted.rest, quotes, hits)

    def _figures(
        self, wanted: Ranging, question: Question, template: Candidate, members: list[_Member]
    ) -> tuple[str, list[_Member]]:
        """The members with the figure that is asked for, and what it is called; without where it can't be told."""
        if is_row(template.unit.text):
            head = members[0].head
            columns = {
                place: [_amounts(_cells(m.candidate.unit.text)[place], wanted) for m in members]
                for place in range(len(head))
            }
            fitting = {
                place: values for place, values in columns.items()
                if sum(v is not None for v in values) >= _MOSTLY * len(members)
            }  # fmt: skip
            place = self._nearest(wanted, question, {place: head[place] for place in fitting})
            if place is None:
                return "", members
            return f" in \u201c{head[place]}\u201d", [
                replace(m, figure=v) for m, v in zip(members, fitting[place], strict=True)
            ]
        values = _fitting(template.unit.values, wanted)
        place = self._nearest(wanted, question, dict(enumerate(_around(template.unit, values))))
        if place is None:
            return "", members
        chosen = values[place]
        found = []
        for member in members:
            own = _fitting(member.candidate.unit.values, wanted)
            same = [v for v in own if (v.kind, v.unit) == (chosen.kind, chosen.unit)]
            if len(same) > 1 and len(own) == len(values):
                same = [v for v in same if v is own[place]]
            found.append(replace(member, figure=same[0] if len(same) == 1 else None))
        return "", found

    def _nearest(self, wanted: Ranging, question: Question, texts: Mapping[int, str]) -> int | None:
        """Which of the texts is nearest to the question; None if there is none."""
        if len(texts) <= 1:
            return next(iter(texts), None)
        focus = question.focus.stem if question.focus else ""
        asked = [t.word.lower() for t in question.terms if t.stem != focus]
        unit = [wanted.bound.unit] if wanted.bound is not None and wanted.bound.unit else []
        sought = self._vectors.embed([" ".join([*asked, *unit, wanted.words, wanted.measure])])[0]
        near = self._vectors.embed(list(texts.values())) @ sought
        return list(texts)[int(near.argmax())]


def _templates(ranked: Ranked, wanted: Ranging) -> list[Candidate]:
    """What the members of the series are to be like: the best row of a table and the best sentence of the hits that can
    stand for one. The row comes first, since rows are of one kind for certain."""
    if not ranked.candidates:
        return []
    said = windows_of(ranked)
    best = [int(place) for place in np.argsort(-score(ranked), kind="stable")]
    rows = [place for place in best if is_row(ranked.candidates[place].unit.text)]
    others = [place for place in best if not is_row(ranked.candidates[place].unit.text)]
    found = (
        next((place for place in kind[:_TRIED] if _of_many(place, ranked, wanted, said)), None)
        for kind in (rows, others)
    )
    return [ranked.candidates[place] for place in found if place is not None]


def _of_many(place: int, ranked: Ranked, wanted: Ranging, said: Array) -> bool:
    """Whether a candidate speaks of what is asked, holds a figure where one is compared, and is one of three or more of
    its like among the hits; to be counted, each of them has to speak of what is asked."""
    candidate = ranked.candidates[place]
    if says_nothing(candidate) or said[place] < _COVERED:
        return False
    compared = wanted.order not in ("all", "count") and not is_row(candidate.unit.text)
    if compared and not _fitting(candidate.unit.values, wanted):
        return False
    like = [other for other, c in enumerate(ranked.candidates) if _parallel(candidate, c)]
    return len(like) >= _FEWEST and (wanted.order != "count" or min(said[like]) >= _MOSTLY)


def _parallel(one: Candidate, other: Candidate) -> bool:
    """Whether two sentences say the like, names and numbers aside; rows where they are of one table."""
    a, b = one.unit.text, other.unit.text
    if is_row(a) or is_row(b):
        same = one.passage.document_id == other.passage.document_id
        return same and is_row(a) and is_row(b) and len(_cells(a)) == len(_cells(b)) and not says_nothing(other)
    mine, theirs = _frame(one.unit), _frame(other.unit)
    return len(mine & theirs) >= 2 and len(mine & theirs) >= ALIKE * max(len(mine), len(theirs))


def _frame(unit: Unit) -> frozenset[str]:
    """The stems of a sentence's content words without numbers and names: what it says of whatever it speaks of."""
    first = unit.words[0].start if unit.words else 0
    return frozenset(
        w.stem for w in unit.words
        if w.content and not has_digit(w.stem) and (w.start == first or not unit.text[w.start].isupper())
    )  # fmt: skip


def _cells(row: str) -> tuple[str, ...]:
    return tuple(cell.strip() for cell in row.strip().strip("|").split("|"))


def _fitting(values: Sequence[Value], wanted: Ranging) -> list[Value]:
    """The values of the kind that is compared."""
    if wanted.measure == "time" or (wanted.bound is not None and wanted.bound.kind in ("year", "date")):
        return [v for v in values if v.kind in ("year", "date")]
    if wanted.measure == "money" and any(v.kind == "money" for v in values):
        return [v for v in values if v.kind == "money"]
    return [v for v in values if v.kind in ("number", "money", "percent")]


def _amounts(cell: str, wanted: Ranging) -> Value | None:
    """The one value of a cell that holds nothing but it and its unit; of a time on the clock its seconds."""
    if wanted.bound is None and (clock := _CLOCK.fullmatch(cell)):
        hours, minutes, seconds = (int(part or 0) for part in clock.groups())
        return Value("number", 0, len(cell), Decimal(3600 * hours + 60 * minutes + seconds))
    found = values_of(cell)
    own = _fitting(found, wanted)
    if not own and len(found) == 1 and found[0].kind == "year" and wanted.measure != "time":
        own = [replace(found[0], amount=Decimal(found[0].year))]
    return own[0] if len(own) == 1 and own[0].end - own[0].start >= len(cell) / 2 else None


def _around(unit: Unit, values: Sequence[Value]) -> list[str]:
    """For each value what is said around it, up to the values beside it."""
    ends = [0, *(v.end for v in values[:-1])]
    starts = [*(v.start for v in values[1:]), len(unit.text)]
    return [unit.text[a:b] for a, b in zip(ends, starts, strict=True)]


def _key(value: Value) -> tuple[Decimal, int, int]:
    return (Decimal(value.year), value.month, value.day) if value.kind in ("year", "date") else (value.amount, 0, 0)


def _sorted(wanted: Ranging, members: Sequence[_Member]) -> tuple[list[_Member], str]:
    """Those that answer, in order, and what they are."""
    keyed = sorted(((_key(m.figure), m) for m in members if m.figure), key=lambda pair: pair[0])
    if wanted.order in ("most", "least"):
        edge = keyed[-1 if wanted.order == "most" else 0][0]
        words = {"": ("the highest", "the lowest"), "time": ("the latest", "the earliest")}
        highest, lowest = words.get(wanted.measure, words[""])
        return [m for key, m in keyed if key == edge], highest if wanted.order == "most" else lowest
    assert wanted.bound is not None
    edge = _key(wanted.bound)
    kept = [m for key, m in keyed if (key > edge if wanted.order == "above" else key < edge)]
    return kept, f"{len(kept) or 'none'} {wanted.words}"
