"""The truth: one SQLite file that holds a library's documents, passages, vectors and full-text rows."""

from __future__ import annotations

from rag.store.catalog import Catalog, Collection, EmbedderInfo
from rag.store.documents import Documents, NewDocument, NewPassage
from rag.store.encodings import Encoded, Encodings
from rag.store.facts import CollectionFacts, Facts, StoreFacts
from rag.store.generations import Generations
from rag.store.passages import Passages, text_key

__all__ = [
    "Collection",
    "CollectionFacts",
    "EmbedderInfo",
    "Encoded",
    "NewDocument",
    "NewPassage",
    "StoreFacts",
    "Truth",
    "text_key",
]


class Truth(Catalog, Documents, Passages, Generations, Encodings, Facts):
    """Everything that must not be lost. Open it with ``Truth.open``; use it from any thread; close it."""

    def compact(self) -> None:
        """Rewrite the file without its free space, and a damaged full-text table from the documents' text.

        Needs free disk space of the library's size for the while. Raises DiskFull, StoreError.
        """
        for collection in self.collections():
            self.mend_lexical(collection.id)
        super().compact()
