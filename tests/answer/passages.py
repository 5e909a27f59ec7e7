"""Small passages for tests: each the whole text of its own document, or a slice of one."""

from __future__ import annotations

from collections.abc import Mapping

from rag.types import Hit, Passage


def passage(text: str, number: int = 1, source: str = "a.txt", start: int = 0, title: str = "") -> Passage:
    """A passage at ``start`` of the document ``number``."""
    return Passage(number, number, source, title, 0, start, start + len(text), text)


def hits(texts: Mapping[str, str]) -> list[Hit]:
    """A hit for each source, the best first."""
    return [
        Hit(passage(text, number, source), 2.0 - number / 10, 0.5, 3.0)
        for number, (source, text) in enumerate(texts.items(), start=1)
    ]
