"""What programs may call over HTTP: the library's questions, with JSON for answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rag.types import to_plain

if TYPE_CHECKING:
    from rag.library import Library


class Api:
    """``ask``, ``search`` and ``sources`` of ``library``. An empty collection means the configured one."""

    def __init__(self, library: Library) -> None:
        self._library = library

    def ask(self, question: str, collection: str = "") -> dict[str, Any]:
        """Answer a question: text with ``[n]``, citations with file, page and offsets, support of each sentence."""
        return self._library.ask(question, collection=collection or None).to_dict()

    def search(self, question: str, k: int = 6, collection: str = "") -> list[dict[str, Any]]:
        """The best ``k`` passages with their scores, best first."""
        return [to_plain(hit) for hit in self._library.search(question, k, collection or None)]

    def sources(self, collection: str = "") -> list[dict[str, Any]]:
        """The documents of a collection."""
        return [to_plain(document) for document in self._library.sources(collection or None)]
