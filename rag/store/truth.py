"""The truth: one SQLite file that holds a library's documents, passages, vectors and full-text rows."""

from __future__ import annotations

from rag.store.catalog import Catalog, Collection, EmbedderInfo
from rag.store.documents import Documents, NewPassage, text_key
from rag.store.facts import CollectionFacts, Facts, StoreFacts
from rag.store.generations import Generations
from rag.store.passages import Passages

__all__ = ["Collection", "CollectionFacts", "EmbedderInfo", "NewPassage", "StoreFacts", "Truth", "text_key"]


class Truth(Catalog, Documents, Passages, Generations, Facts):
    """Everything that must not be lost. Open it with ``Truth.open``; use it from any thread; close it."""
