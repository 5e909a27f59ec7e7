"""Where sources give different values for the same thing: said plainly, each side cited, none picked.

Conservative: two sentences of different documents are compared only if they say nearly the same but for one value,
one negation or one pair of opposites, and if neither ties its value to a time or a case that the other lacks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from rag.answer.compose import citation_for
from rag.answer.contrast import CONTRARY, NEGATION, PREDICATES
from rag.answer.lexicon import MONTHS, Word, stem
from rag.answer.ranking import units_of
from rag.answer.values import Value, currency_of, same_value, values_of
from rag.types import Citation, Claim, Disagreement, Hit, Passage, Sentence, Support

_SHARED = 0.7
_FEWEST_SHARED = 3
_MOST_VALUES = 2
_LONGEST_VALUE = 200
_LONGEST_SUBJECT = 8
_PERIOD = re.compile(
    r"\b(?:quarter|q[1-4]|fiscal|month|months|week|weeks|half|ended|ending|compared|versus|annually|previous|prior|last|next|per)\b",
    re.IGNORECASE,
)
_UNIT = re.compile(r"[ -]?([^\W\d_]+)")
_MEASURES = frozenset(["number", "money", "percent"])
_FILE_DATE = re.compile(r"(?:19|20)\d{2}(?:[-_. ]?(?:Q[1-4]|\d{2}(?:[-_. ]?\d{2})?))?", re.IGNORECASE)


@dataclass(frozen=True)
class _Statement:
    """One sentence of a document, taken apart; offsets in the document."""

    passage: Passage
    start: int
    end: int
    text: str
    words: tuple[Word, ...]
    values: tuple[Value, ...]

    @cached_property
    def topic(self) -> dict[str, Word]:
        """Its content words by stem, without those that belong to values."""
        taken = [(value.start, value.end) for value in self.values]
        return {
            word.stem: word
            for word in self.words
            if word.content and not any(a <= word.start < b for a, b in taken) and not word.stem.isdigit()
        }


def disagreements(
    sentences: Sequence[Sentence], citations: Sequence[Citation], hits: Sequence[Hit]
) -> tuple[Disagreement, ...]:
    """What other sources among the hits, cited or not, say differently from the sentences the answer cites.

    Looks only at citations that support a sentence. The claims' citations keep their markers where the answer has
    them and are numbered on from there where it has not.
    """
    backed = {i for s in sentences if s.support not in (Support.UNSUPPORTED, Support.UNCITED) for i in s.citations}
    cited = {
        (s.passage.document_id, s.start): s
        for i, c in enumerate(citations)
        if i in backed
        for s in _cited_statements(c, hits)
    }
    others = [statement for hit in hits for statement in _statements(hit.passage)]
    found: list[Disagreement] = []
    seen: set[frozenset[tuple[int, int]]] = set()
    marker = max((c.marker for c in citations), default=0)
    for one in cited.values():
        for other in others:
            key = frozenset([(one.passage.document_id, one.start), (other.passage.document_id, other.start)])
            if key in seen or not _comparable(one, other):
                continue
            sides = _different_values(one, other) or _opposite(one, other)
            if sides is None:
                continue
            seen.add(key)
            claims = []
            for statement, value in zip((one, other), sides, strict=True):
                citation = _known(statement, citations)
                if citation is None:
                    marker += 1
                    citation = citation_for(statement.passage, statement.start, statement.end, marker, "attributed")
                claims.append(Claim(statement.passage.source, _date(statement.passage), value, citation))
            found.append(Disagreement(_subject(one, other), tuple(claims)))
    return tuple(found)


def _statements(passage: Passage) -> Iterator[_Statement]:
    for unit in units_of(passage.text):
        if not unit.text.startswith(("#", "|")):
            start = passage.start + unit.start
            yield _Statement(passage, start, passage.start + unit.end, unit.text, unit.words, unit.values)


def _cited_statements(citation: Citation, hits: Sequence[Hit]) -> list[_Statement]:
    passages = [hit.passage for hit in hits if hit.passage.id == citation.passage_id]
    return [s for p in passages for s in _statements(p) if s.start < citation.end and citation.start < s.end]


def _comparable(one: _Statement, other: _Statement) -> bool:
    """Of different documents, and about the same thing: most content words shared, all names of the shorter too."""
    if one.passage.document_id == other.passage.document_id:
        return False
    a, b = one.topic, other.topic
    shared = a.keys() & b.keys()
    smaller = min(len(a), len(b))
    if len(shared) < _FEWEST_SHARED or len(shared) < _SHARED * smaller or len(shared) < 0.5 * max(len(a), len(b)):
        return False
    if _told_apart(one, other):
        return False
    names_a, names_b = ({s for s, w in topic.items() if w.name} for topic in (a, b))
    return not (names_a - b.keys() and names_b - a.keys())


def _told_apart(one: _Statement, other: _Statement) -> bool:
    """Whether a word that both have is qualified by different words: old and new bridge, full and part time."""
    mine, theirs = _qualified(one), _qualified(other)
    own, foreign = ({word.stem for word in s.words} for s in (one, other))
    return any(mine[w].isdisjoint(foreign) and theirs[w].isdisjoint(own) for w in mine.keys() & theirs)


def _qualified(statement: _Statement) -> dict[str, set[str]]:
    """The content words that have others, no values, right before them, and these."""
    topic = statement.topic
    found: dict[str, set[str]] = {}
    for before, word in pairwise(statement.words):
        if before.stem in topic and word.stem in topic and statement.text[before.end : word.start] in (" ", "-"):
            found.setdefault(word.stem, set()).add(before.stem)
    return found


def _different_values(one: _Statement, other: _Statement) -> tuple[str, str] | None:
    """The two values, if each sentence has one of a kind and unit that the other has too, but not the same."""
    if max(len(one.values), len(other.values)) > _MOST_VALUES or _periods(one) != _periods(other):
        return None
    pairs = [
        (a, b)
        for a in one.values
        for b in other.values
        if _same_sort(a, b) and not any(same_value(a, x) for x in other.values)
        and not any(same_value(b, x) for x in one.values)
    ]  # fmt: skip
    if len(pairs) != 1:
        return None
    a, b = pairs[0]
    rest = [(v, s) for s, own in ((one, a), (other, b)) for v in s.values if v is not own]
    # Another date or number that only one side states may be the reason for the difference.
    if any(not any(same_value(v, x) for x in (other if s is one else one).values) for v, s in rest):
        return None
    return _shown(one, a), _shown(other, b)


def _same_sort(a: Value, b: Value) -> bool:
    if a.kind in ("date", "year") and b.kind in ("date", "year"):
        return True
    return a.kind == b.kind and (a.kind not in _MEASURES or stem(a.unit) == stem(b.unit))


def _periods(statement: _Statement) -> frozenset[str]:
    found = {match[0].lower() for match in _PERIOD.finditer(statement.text)}
    return frozenset(found | {word for word in MONTHS if word in statement.text.lower().split()} if found else found)


def _shown(statement: _Statement, value: Value) -> str:
    """The value with its unit, as written."""
    unit = _UNIT.match(statement.text, value.end)
    counted = unit and value.unit and value.unit in (unit[1].lower(), currency_of(unit[1]))
    return statement.text[value.start : unit.end() if unit and counted else value.end]


def _opposite(one: _Statement, other: _Statement) -> tuple[str, str] | None:
    """Both sentences, if only a negation or a pair of opposites parts them and they have the same values."""
    if any(not any(same_value(v, x) for x in b.values) for a, b in ((one, other), (other, one)) for v in a.values):
        return None
    a, b = ({word.stem for word in s.words} for s in (one, other))
    turned = any(
        (a & x and b & y and not a & y and not b & x)
        for left, right in PREDICATES
        for x, y in ((left, right), (right, left))
    )
    denied = [_denied(s) for s in (one, other)]
    contrary = any(CONTRARY.search(s.text) for s in (one, other))
    if turned and not any(denied):
        return one.text[:_LONGEST_VALUE], other.text[:_LONGEST_VALUE]
    if turned or contrary or len([d for d in denied if d]) != 1 or not (denied[0] or denied[1]) & a & b:
        return None
    return one.text[:_LONGEST_VALUE], other.text[:_LONGEST_VALUE]


def _denied(statement: _Statement) -> set[str]:
    """The stems of the content words right behind a negation."""
    found = set()
    for match in NEGATION.finditer(statement.text):
        behind = next((w for w in statement.words if w.content and w.start >= match.end()), None)
        found.add(behind.stem if behind else "")
    return found


def _subject(one: _Statement, other: _Statement) -> str:
    """The words both share, as the first writes them."""
    shared = [one.text[w.start : w.end] for s, w in one.topic.items() if s in other.topic]
    return " ".join(shared[:_LONGEST_SUBJECT])


def _date(passage: Passage) -> str:
    """The date in the source's name or title, as written there; empty if there is none."""
    for text in (passage.source, passage.title):
        dates = [text[v.start : v.end] for v in values_of(text) if v.kind == "date"]
        match = _FILE_DATE.search(text)
        if dates or match:
            return dates[0] if dates else match[0] if match else ""
    return ""


def _known(statement: _Statement, citations: Sequence[Citation]) -> Citation | None:
    return next(
        (
            c
            for c in citations
            if c.document_id == statement.passage.document_id and c.start < statement.end and statement.start < c.end
        ),
        None,
    )
