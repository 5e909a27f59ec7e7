"""Which sentences of the found passages answer a question, word for word."""

from __future__ import annotations

from rag.answer.quoting.identifiers import Identified, identified, with_holders
from rag.answer.quoting.question import Question, analyse
from rag.answer.quoting.quoter import Quote, Quoter, says_nothing, score, windows_of
from rag.answer.quoting.ranking import FEATURES, Ranked, rank
from rag.answer.quoting.series import Reach, Series, SeriesReader, ranging_of
from rag.answer.quoting.sides import Side, sides_of

__all__ = [
    "FEATURES",
    "Identified",
    "Question",
    "Quote",
    "Quoter",
    "Ranked",
    "Reach",
    "Series",
    "SeriesReader",
    "Side",
    "analyse",
    "identified",
    "ranging_of",
    "rank",
    "says_nothing",
    "score",
    "sides_of",
    "windows_of",
    "with_holders",
]
