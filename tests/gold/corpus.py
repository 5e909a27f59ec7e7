"""A corpus held in memory, for tests that need documents but no library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rag.gold.types import Span


@dataclass(frozen=True)
class Texts:
    """Documents by source name; ``pages`` gives the page spans of those that have pages."""

    texts: Mapping[str, str]
    pages: Mapping[str, tuple[Span, ...]] = field(default_factory=dict)

    def files(self) -> tuple[str, ...]:
        return tuple(self.texts)

    def text(self, file: str) -> str | None:
        return self.texts.get(file)

    def page(self, file: str, number: int) -> Span | None:
        spans = self.pages.get(file, ())
        return spans[number - 1] if 0 < number <= len(spans) else None
