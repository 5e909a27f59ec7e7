"""Where sources say different things of the same: said plainly, each side cited, none picked.

Conservative: two sentences of different documents contradict each other only if they speak of the same thing by their
words and the question's, and if neither ties what it says to a time, a case or a part that the other lacks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from rag.answer.conflicts.changes import changes, date_of, in_order
from rag.answer.conflicts.conflict import Conflict, conflicts, opposed_views, sides_asked
from rag.answer.conflicts.reported import other_side, reports_difference, stands_alone, words_in_common
from rag.answer.conflicts.statement import Statement, statements_of
from rag.answer.passages import citation_for
from rag.language import Word
from rag.language.tables import listed
from rag.types import Citation, Claim, Disagreement, Hit, Sentence, Support

# Characters, about three lines of a card; words, about a line.
_LONGEST_VALUE, _LONGEST_SUBJECT = 240, 12
_BULLET = re.compile(r"^(?:[-*•]|\d{1,2}[.)]) ")


def disagreements(
    sentences: Sequence[Sentence], citations: Sequence[Citation], hits: Sequence[Hit], question: str = ""
) -> tuple[Disagreement, ...]:
    """What other sources among the hits, cited or not, say differently from the sentences the answer cites.

    Looks only at citations that support a sentence; where ``question`` names two opposite sides, also at other
    sentences about its subject. The claims' citations keep their markers where the answer has them and are numbered on
    from there where it has not.
    """
    backed = {i for s in sentences if s.support not in (Support.UNSUPPORTED, Support.UNCITED) for i in s.citations}
    others = _distinct(statement for hit in hits for statement in statements_of(hit.passage))
    cited = [s for s in others if any(_overlaps(s, citations[i]) for i in sorted(backed))]
    cited.sort(key=lambda s: min(i for i in backed if _overlaps(s, citations[i])))
    told = _Told(citations)
    for one in cited:
        for other in others:
            order = in_order(one, other)
            found = conflicts(one, other, question)
            if order and (found or changes(*order, question)):
                subject = _subject(order[1], question)
                told.add([(statement, statement.text) for statement in order], subject, changed=True)
                continue
            for conflict in found:
                told.contrast(one, other, conflict)
    for one in cited:
        _reported(told, one, others, question, quoted=True)
    if not told.groups and cited:
        _beyond(told, others, question)
    return told.disagreements()


def _beyond(told: _Told, others: Sequence[Statement], question: str) -> None:
    """What sentences that are not cited say against each other, or report, on just what the question asks."""
    for view, asked in sides_asked(question):
        for one, other in combinations(others, 2):
            for conflict in opposed_views(one, other, view, asked):
                told.contrast(one, other, conflict)
                return
    for one in others:
        _reported(told, one, others, question, quoted=False)


def _reported(told: _Told, one: Statement, others: Sequence[Statement], question: str, *, quoted: bool) -> None:
    """A document's own word that accounts differ, with the other side where it is found; what is told already is not
    told again."""
    if told.has(one) or not reports_difference(one, question, quoted=quoted):
        return
    other = other_side(one, others)
    if other or stands_alone(one, question):
        sides = [(statement, statement.text) for statement in (other, one) if statement]
        told.groups.append(_Group(_subject(one, question), sides))


def _distinct(found: Iterable[Statement]) -> list[Statement]:
    """Each place of a document once: passages overlap."""
    return list({(s.passage.document_id, s.start, s.end): s for s in found}.values())


def _overlaps(statement: Statement, citation: Citation) -> bool:
    same = citation.document_id == statement.passage.document_id
    return same and citation.start < statement.end and statement.start < citation.end


@dataclass
class _Group:
    """What is said of one subject: (sentence, its value), each side once."""

    subject: str
    sides: list[tuple[Statement, str]]
    changed: bool = False


@dataclass
class _Told:
    """The disagreements found so far; those with a side in common are one."""

    citations: Sequence[Citation]
    groups: list[_Group] = field(default_factory=list)

    def contrast(self, one: Statement, other: Statement, conflict: Conflict) -> None:
        words = [word for k, word in one.topic.items() if k in conflict.subject]
        self.add([(one, conflict.one), (other, conflict.other)], _joined(one, words))

    def add(self, sides: list[tuple[Statement, str]], subject: str, *, changed: bool = False) -> None:
        for group in self.groups:
            if group.changed == changed and any(side in group.sides for side in sides):
                group.sides += [side for side in sides if side not in group.sides]
                return
        self.groups.append(_Group(subject, sides, changed))

    def has(self, statement: Statement) -> bool:
        return any(known == statement for group in self.groups for known, _ in group.sides)

    def disagreements(self) -> tuple[Disagreement, ...]:
        marker = max((c.marker for c in self.citations), default=0)
        found = []
        for group in self.groups:
            claims = []
            for statement, value in group.sides:
                citation = next((c for c in self.citations if _overlaps(statement, c)), None)
                if citation is None:
                    marker += 1
                    citation = citation_for(statement.passage, statement.start, statement.end, marker, "attributed")
                claims.append(Claim(statement.passage.source, date_of(statement.passage), _shown(value), citation))
            found.append(Disagreement(group.subject, tuple(claims), group.changed))
        return tuple(found)


def _subject(statement: Statement, question: str) -> str:
    """The words that the sentence shares with the question, or else the question."""
    return _joined(statement, words_in_common(statement, question)) or question.rstrip("?")


def _shown(value: str) -> str:
    """The value or sentence on one line, without a list's bullet, shortened at a word."""
    line = _BULLET.sub("", " ".join(value.split()))
    return line if len(line) <= _LONGEST_VALUE else line[:_LONGEST_VALUE].rsplit(" ", 1)[0] + " …"


def _joined(statement: Statement, words: Sequence[Word]) -> str:
    """The words as they stand, with what joins them: "employees of Norvik, days of leave"."""
    subject, last = "", 0
    for word in sorted(words, key=lambda w: w.start)[:_LONGEST_SUBJECT]:
        gap = " ".join(statement.text[last : word.start].split())
        if subject:
            joins = bool(gap) and listed("en", "joining").issuperset(gap.split())
            subject += f" {gap} " if joins else "-" if gap == "-" else ", " if gap else " "
        subject += statement.text[word.start : word.end].removesuffix("'s").removesuffix("’s")
        last = word.end
    return subject
