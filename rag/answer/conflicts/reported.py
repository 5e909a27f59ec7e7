"""Sentences in which a document itself reports that accounts differ, or that one of them is denied or corrected."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from rag.answer.conflicts.statement import Statement, asked_of
from rag.language import Word, key, words_of
from rag.language.questions import wanted_of
from rag.language.tables import pattern, patterns
from rag.language.words import stems_listed

# Shares of the words of the question, and of what is denied. At 0 the last loses one of the held-out pairs and gives
# an alarm over the briefs (``python -m tests.bench rules``); what the others let through, the other conditions hold.
_COVERED, _HALF, _OTHER_SIDE = 0.6, 0.5, 0.7


def reports_difference(statement: Statement, question: str, *, quoted: bool) -> bool:
    """Whether the sentence reports that accounts differ on what ``question`` asks.

    ``quoted``: the answer cites it. One that it does not must have nearly all the question's words.
    """
    if pattern("explained").search(statement.text):
        return False
    asked = {k: w for k, w in asked_of(question).items() if k not in _dispute()}
    own = {key(w.stem) for w in statement.all_words if w.content}
    share = len(asked.keys() & own) / len(asked) if asked else 0.0
    mutual = _at_odds(statement)
    if mutual:
        matter = pattern("matter").match(statement.text, mutual.end())
        if matter and not _disputed(question) and not asked.keys() & {key(w.stem) for w in words_of(matter[0])}:
            return False
        context = len(asked.keys() & {*own, *statement.around}) / len(asked) if asked else 0.0
        return share >= (_HALF if quoted else 1.0) or (quoted and context >= _COVERED and len(asked.keys() & own) > 1)
    against = pattern("set right").search(statement.text)
    if not against or not asked:
        return False
    subject = {key(w.stem) for w in statement.all_words if w.content and w.start >= against.end()}
    if against[0].lower().startswith(("this", "that", "which", "it", "consider", "call")):
        subject |= {key(w.stem) for w in statement.all_words if w.content and w.start < against.start()}
    needed = _HALF if quoted else _COVERED
    return len(asked.keys() & subject) / len(asked) >= needed and share >= (_COVERED if quoted else 1.0)


def stands_alone(statement: Statement, question: str) -> bool:
    """Whether the sentence is told though nobody is found who says otherwise.

    It is where the accounts themselves are at odds. Where one is set right or denied, the sentence answers a question
    after the thing itself; a disagreement it is only to one that asks whether it is so, or who disputes it.
    """
    against = pattern("set right").search(statement.text)
    if not against or _at_odds(statement) or _disputed(question):
        return True
    plain = pattern("denial").search(against[0]) and not against[0].lower().endswith("that")
    return wanted_of(question) == "whether" and not plain


def _at_odds(statement: Statement) -> re.Match[str] | None:
    """Where it says that the accounts themselves are at odds."""
    return next((m for told in patterns("at odds") if (m := told.search(statement.text))), None)


@cache
def _dispute(*kinds: str) -> frozenset[str]:
    """The keys of words that ask for a dispute, or name those who have it: no part of what it is about."""
    return frozenset(key(stem) for kind in kinds or ("dispute", "who disputes") for stem in stems_listed("en", kind))


def _disputed(question: str) -> bool:
    """Whether the question itself asks who disagrees or what is denied."""
    return any(key(w.stem) in _dispute("dispute") for w in words_of(question))


def other_side(statement: Statement, found: Sequence[Statement]) -> Statement | None:
    """The sentence of the same or another document that best holds what ``statement`` goes against; None if unclear."""
    against = pattern("set right").search(statement.text)
    start = against.end() if against else 0
    end = statement.clause(start, start)[1] if against and pattern("denial").search(against[0]) else len(statement.text)
    matter = {key(w.stem) for w in statement.all_words if statement.tells(w) and start <= w.start < end}
    best: tuple[float, Statement] | None = None
    for other in found:
        same = other.passage.document_id == statement.passage.document_id
        if (same and other.start < statement.end and statement.start < other.end) or not matter:
            continue
        share = len(matter & other.topic.keys()) / len(matter)
        if share >= _OTHER_SIDE and (best is None or share > best[0]):
            best = share, other
    return best[1] if best else None


def words_in_common(statement: Statement, question: str) -> list[Word]:
    """The words of the sentence that the question has too."""
    asked = asked_of(question)
    return [word for k, word in statement.topic.items() if k in asked]
