"""Different words for one thing, as statements of different sources are compared."""

from __future__ import annotations

from functools import cache, lru_cache

from rag.language.tables import table
from rag.language.words import stem


@cache
def _keys(language: str) -> dict[str, str]:
    rows = [row["words"].split() for row in table("synonyms") if row["language"] == language]
    return {stem(word, language): stem(words[0], language) for words in reversed(rows) for word in words}


@lru_cache(maxsize=50_000)
def key(word: str, language: str = "en") -> str:
    """What stands for the stem ``word`` and all stems that can replace it."""
    return _keys(language).get(word, word)
