"""What the gold set asks of the thing it tests. ``rag.library.Library`` has it; so may any other answerer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from rag.gold.spans import Span
from rag.types import Answer, Document, Heading, Hit, Page, Turn


class Backend(Protocol):
    """Searches, answers, and shows its documents."""

    def search(self, question: str, k: int | None = None, collection: str | None = None) -> tuple[Hit, ...]:
        """The best ``k`` passages, best first."""

    def ask(self, question: str, *, history: Sequence[Turn] = (), collection: str | None = None) -> Answer:
        """The answer."""

    def sources(self, collection: str | None = None) -> tuple[Document, ...]:
        """The documents."""

    def text(self, document_id: int) -> str:
        """A document's canonical text."""

    def layout(self, document_id: int) -> tuple[tuple[Heading, ...], tuple[Page, ...]]:
        """A document's headings and pages."""

    def fingerprint(self, collection: str | None = None) -> Mapping[str, Any]:
        """Everything that can change an answer, JSON-ready."""


@dataclass(slots=True)
class LibraryCorpus:
    """The documents of a library's collection; texts are read once, when asked for."""

    backend: Backend
    collection: str | None = None
    _documents: dict[str, Document] | None = None
    _texts: dict[str, str] = field(default_factory=dict)
    _pages: dict[str, tuple[Page, ...]] = field(default_factory=dict)

    def files(self) -> tuple[str, ...]:
        """All source names."""
        return tuple(self._listed())

    def text(self, file: str) -> str | None:
        """The canonical text, or ``None`` for an unknown file."""
        if file not in self._listed():
            return None
        if file not in self._texts:
            self._texts[file] = self.backend.text(self._listed()[file].id)
        return self._texts[file]

    def page(self, file: str, number: int) -> Span | None:
        """The span of page ``number``, or ``None`` when the file has no such page."""
        if file not in self._listed():
            return None
        if file not in self._pages:
            self._pages[file] = self.backend.layout(self._listed()[file].id)[1]
        return next(((page.start, page.end) for page in self._pages[file] if page.number == number), None)

    def _listed(self) -> dict[str, Document]:
        if self._documents is None:
            self._documents = {document.source: document for document in self.backend.sources(self.collection)}
        return self._documents
