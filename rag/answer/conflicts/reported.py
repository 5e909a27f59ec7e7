"""Sentences in which a document itself reports that accounts differ, or that one of them is denied or corrected."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rag.answer.conflicts.statement import Statement, asked_of
from rag.language import Word, key, words_of
from rag.language.questions import wanted_of

_ACCOUNT = (
    r"accounts?|sources?|reports?|experts?|historians?|scholars?|researchers|scientists|witnesses|witness"
    r"|headlines?|voices?"
    r"|texts?|pages?|authors?|writers?|readers?|comments?|estimates?|figures?|versions?|claims?|statements?|articles?"
    r"|predictions?|forecasts?|letters?|documents?|records?|books?|studies|study|papers?|catalogues?|critics"
    r"|observers"
    r"|authorities|biographers|chroniclers?|chronicles?|traditions?|interpretations?|views|opinions|numbers"
    r"|minutes|files?"
)
# The accounts themselves are at odds.
_MUTUAL = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\b(?:{_ACCOUNT})\b[^.;:]{{0,60}}?\b(?:disagree[sd]?|contradict(?:s|ed)?|conflict(?:s|ed)?|differ(?:s"
        rf"|ed)?(?! from)|diverge[sd]?)\b",
        r"\bcontradicts? (?:each other|one another|himself|herself|itself|themselves|this|that)\b",
    )
)
# One account is set right or denied; what follows must be what the question is about.
_AGAINST = re.compile(
    r"\b(?:(?:this|that|which|it) (?:is|was|seems) (?:an? )?(?:error|mistake|mistaken|incorrect|wrong|untrue|false)"
    r"|(?:considers?|calls?|thinks?|holds?|deems?) (?:this|that|it|them) (?:an? )?(?:error|mistake|mistaken"
    r"|incorrect|wrong|false)"
    r"|(?:flatly |firmly )?(?:denies|deny|denied|disputes?|disputed|refutes?|refuted|rebuts?|contests"
    r"|rejects? the (?:claim|idea|view|charge))"
    r"(?: that)?|objects that|points? out that|wrongly (?:says?|claims?|states?|names?|gives?|puts?))\b",
    re.IGNORECASE,
)
_EXPLAINED = re.compile(
    r"\b(?:measures? different things|cannot be compared|can't be compared|not comparable|different (?:periods"
    r"|definitions|things))\b",
    re.IGNORECASE,
)
_MATTER = re.compile(
    r"\s(?:each other\s|one another\s)?(?:in|on|about|over|regarding|concerning|as to|whether|how|when|why|who"
    r"|where)\b[^:;.]*",
    re.IGNORECASE,
)
_DENIAL = re.compile(r"\b(?:den|disput|refut|rebut|contest|reject)\w*", re.IGNORECASE)
_COVERED, _HALF, _OTHER_SIDE = 0.6, 0.5, 0.7
_SUBJECTS = frozenset(key(w.stem) for w in words_of("reader author article text page document opinion view"))
_DISPUTE = frozenset(key(w.stem) for w in words_of(
    "disagree disagreement contradict contradiction dispute deny denial differ difference agree match conflict reader"
    " author article text page document really truly everybody same opinion view"))  # fmt: skip


def reports_difference(statement: Statement, question: str, *, quoted: bool) -> bool:
    """Whether the sentence reports that accounts differ on what ``question`` asks.

    ``quoted``: the answer cites it. One that it does not must have nearly all the question's words.
    """
    if _EXPLAINED.search(statement.text):
        return False
    asked = {k: w for k, w in asked_of(question).items() if k not in _DISPUTE}
    own = {key(w.stem) for w in statement.all_words if w.content}
    share = len(asked.keys() & own) / len(asked) if asked else 0.0
    mutual = next((m for pattern in _MUTUAL if (m := pattern.search(statement.text))), None)
    if mutual:
        matter = _MATTER.match(statement.text, mutual.end())
        if matter and not _disputed(question) and not asked.keys() & {key(w.stem) for w in words_of(matter[0])}:
            return False
        context = len(asked.keys() & {*own, *statement.around}) / len(asked) if asked else 0.0
        return share >= (_HALF if quoted else 1.0) or (quoted and context >= _COVERED and len(asked.keys() & own) > 1)
    against = _AGAINST.search(statement.text)
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
    against = _AGAINST.search(statement.text)
    if not against or any(pattern.search(statement.text) for pattern in _MUTUAL) or _disputed(question):
        return True
    plain = _DENIAL.search(against[0]) and not against[0].lower().endswith("that")
    return wanted_of(question) == "whether" and not plain


def _disputed(question: str) -> bool:
    """Whether the question itself asks who disagrees or what is denied."""
    return any(key(w.stem) in _DISPUTE - _SUBJECTS for w in words_of(question))


def other_side(statement: Statement, found: Sequence[Statement]) -> Statement | None:
    """The sentence of the same or another document that best holds what ``statement`` goes against; None if unclear."""
    against = _AGAINST.search(statement.text)
    start = against.end() if against else 0
    end = statement.clause(start, start)[1] if against and _DENIAL.search(against[0]) else len(statement.text)
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
