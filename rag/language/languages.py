"""What language a text is in, and which checks there is data for in that language."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import Literal

from rag.language.tables import listed, table

Check = Literal["stems", "numbers", "negation", "opposites"]

CHECKED: dict[str, str] = {
    "en": "english", "de": "german", "fr": "french", "es": "spanish", "pt": "portuguese", "it": "italian",
}  # fmt: skip
"""The languages with data for every check, and what the stemmer calls them."""
# Characters, some 300 words: of more the shares below don't change.
_READ = 2_000
_WORD = re.compile(r"(?<!\w)[^\W\d_]+")
# A script tells the language or, where several share it, only that it is none of the alphabet's.
_SCRIPTS = tuple(
    (language, re.compile(f"[{characters}]"))
    for language, characters in (
        ("ja", "\u3040-\u30ff"), ("ko", "\uac00-\ud7af"), ("zh", "\u3400-\u4dbf\u4e00-\u9fff"),
        ("ar", "\u0600-\u06ff"), ("he", "\u0590-\u05ff"), ("el", "\u0370-\u03ff"), ("ru", "\u0400-\u04ff"),
        ("hi", "\u0900-\u097f"), ("th", "\u0e00-\u0e7f"), ("other", "\u0530-\u058f\u0980-\u0dff\u0e80-\u17ff"),
    )
)  # fmt: skip
# Shares of the letters. Chinese and Japanese share most of theirs, so that a few kana tell; foreign names don't.
_MOSTLY, _KANA = 0.4, 0.1
# The share of function words that tells, and by how much one language must lead another. Of XQuAD's texts in five
# languages 0.999 of the paragraphs, 0.990 of the sentences and 0.973 of the questions are told right, 0.000, 0.002 and
# 0.005 wrong; half or twice these, and all below, change that by 0.04 at most (``python -m tests.bench languages``).
_LEAST, _MARGIN = 0.12, 1.1
# So many words, of which so few are function words of any known language, are in another one.
_ENOUGH, _NONE = 20, 0.03
# Between two whose function words a text has alike (Spanish and Catalan), the one with more readers.
_RARER = 0.85


def language_of(text: str, otherwise: str = "") -> str:
    """The ISO 639-1 code of a text's language by its script and function words, read to 2,000 characters.

    ``otherwise`` where they don't tell, as in a line of names and numbers. A script that several languages share gives
    the commonest of them ("ru" for Cyrillic, "ar" for Arabic); none of these has data, so that nothing hangs on it. A
    longer text in none of the known languages is "other".
    """
    return _language_of(text[:_READ], otherwise)


@lru_cache(maxsize=4_096)
def _language_of(text: str, otherwise: str) -> str:
    letters = sum(map(str.isalpha, text))
    if not letters:
        return otherwise
    if not text.isascii():
        for language, pattern in _SCRIPTS:
            if len(pattern.findall(text)) >= (_KANA if language == "ja" else _MOSTLY) * letters:
                return language
    # A capital may make a name of a word, such as "Anders", but at the beginning.
    words = [word.lower() for place, word in enumerate(_WORD.findall(text)) if not place or word.islower()]
    votes: dict[str, float] = {}
    for word in words:
        languages = _votes().get(word, ())
        for language in languages:
            share = (1.0 if language in CHECKED else _RARER) / len(languages)
            votes[language] = votes.get(language, 0.0) + share
    ranked = sorted(votes, key=lambda language: -votes[language])[:2]
    known = sum(word in listed(ranked[0], "function") for word in words) if ranked else 0
    if known < _NONE * len(words) and len(words) >= _ENOUGH:
        return "other"
    if not ranked or known < _LEAST * len(words):
        return otherwise
    if len(ranked) > 1 and votes[ranked[0]] < _MARGIN * votes[ranked[1]]:
        return otherwise
    return ranked[0]


@cache
def _votes() -> dict[str, tuple[str, ...]]:
    """For each function word the languages that have it."""
    found: dict[str, list[str]] = {}
    for language in dict.fromkeys(row["language"] for row in table("function_words") if row["kind"] == "function"):
        for word in listed(language, "function"):
            found.setdefault(word, []).append(language)
    return {word: tuple(languages) for word, languages in found.items()}


def unchecked(language: str) -> tuple[Check, ...]:
    """The checks that nothing can be said of in ``language`` for want of data: none for those of ``CHECKED``.

    What such a check would have found is not known: a verdict says so, and counts as no support by it.
    """
    return () if language in CHECKED else ("stems", "numbers", "negation", "opposites")
