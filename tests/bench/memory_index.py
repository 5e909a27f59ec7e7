"""A small hybrid index in memory, for measuring answers without a library on disk.

It scores as the project's retriever does: BM25 from SQLite FTS5 and the static embedding's cosine over the union of
both top lists, fused by the retriever's own formula.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from semantic_text_splitter import MarkdownSplitter, TextSplitter

from rag.models.encoder import Encoder
from rag.models.static import StaticVectors
from rag.retrieve import Fusion, cosines, fuse, subjects
from rag.store.tables.lexical import MAX_TERMS
from rag.store.terms import HEAD_WEIGHT, TOKENIZER, query_terms, searchable
from rag.store.truth import Encoded
from rag.types import Hit, Passage, index_text

CANDIDATES = 50


class MemoryIndex:
    """Passages of at most 1,000 characters of the given documents (source name -> text), ready to search."""

    def __init__(self, vectors: StaticVectors, documents: Mapping[str, str], encoder: Encoder | None = None) -> None:
        self._vectors = vectors
        self._encoder = encoder
        self._encoded: dict[int, Encoded] = {}
        self.documents = dict(documents)
        self.passages = _passages(documents)
        self._sizes = Counter(p.document_id for p in self.passages)
        self._rows = vectors.embed([p.index_text for p in self.passages])
        self._db = sqlite3.connect(":memory:")
        self._db.execute(f'CREATE VIRTUAL TABLE fts USING fts5(head, body, tokenize="{TOKENIZER}")')
        self._db.executemany(
            "INSERT INTO fts(rowid, head, body) VALUES (?, ?, ?)",
            [(p.id, searchable(index_text(p.title, p.heading, "")), searchable(p.text)) for p in self.passages],
        )
        self.document_frequency = lru_cache(maxsize=100_000)(self._document_frequency)

    def _document_frequency(self, word: str) -> int:
        """In how many passages the word occurs, by stem."""
        terms = query_terms(word, 1)
        if not terms:
            return 0
        row = self._db.execute("SELECT count(*) FROM fts WHERE fts MATCH ?", (terms[0].match,)).fetchone()
        return int(row[0])

    def hits(self, question: str, k: int = 6, without: frozenset[int] = frozenset()) -> list[Hit]:
        """The best ``k`` passages; passages whose id is in ``without`` do not exist for this question."""
        dense = self._rows @ self._vectors.embed([question])[0]
        lexical = np.zeros(len(self.passages))
        if terms := query_terms(question, MAX_TERMS):
            query = " OR ".join(term.match for term in terms)
            rows = self._db.execute(
                f"SELECT rowid, -bm25(fts, {HEAD_WEIGHT}, 1.0) FROM fts WHERE fts MATCH ?", (query,)
            )
            for row, score in rows:
                lexical[row] = max(score, 0.0)
        hidden = list(without)
        dense[hidden], lexical[hidden] = -1.0, 0.0
        union = set(np.argsort(-dense)[:CANDIDATES]) | {i for i in np.argsort(-lexical)[:CANDIDATES] if lexical[i] > 0}
        ids = np.array(sorted(i for i in union if int(i) not in without))
        document = self._documents(question, [self.passages[i].document_id for i in ids], without)
        meaning, known = self._read(question, [int(i) for i in ids])
        fused = fuse(dense[ids].astype(np.float64), lexical[ids], document, Fusion(), meaning, known)
        order = np.argsort(-fused, kind="stable")[:k]
        return [
            Hit(
                self.passages[ids[i]],
                float(fused[i]),
                float(dense[ids[i]]),
                float(lexical[ids[i]]),
                float(document[i]),
                float(meaning[i]),
                float(known[i]),
            )
            for i in order
        ]

    def _read(self, question: str, ids: list[int]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """The encoder's cosine of each, and how well it knows their language."""
        if self._encoder is None:
            return np.zeros(len(ids)), np.zeros(len(ids))
        missing = [i for i in ids if i not in self._encoded]
        texts = [self.passages[i].index_text for i in missing]
        for i, vector, known in zip(missing, self._encoder.embed(texts), self._encoder.known(texts), strict=True):
            self._encoded[i] = Encoded(vector, float(known))
        asked = Encoded(self._encoder.embed_question(question), float(self._encoder.known([question])[0]))
        return cosines(asked, self._encoded, ids)

    def _documents(self, question: str, documents: list[int], without: frozenset[int]) -> npt.NDArray[np.float64]:
        """What ``subjects`` gives each of these documents, one for each candidate."""
        different = sorted(set(documents))
        hidden = Counter(self.passages[i].document_id for i in without)
        counts = []
        for term in query_terms(question, MAX_TERMS):
            rows = self._db.execute("SELECT rowid FROM fts WHERE fts MATCH ?", (term.match,))
            held = Counter(self.passages[row].document_id for (row,) in rows if row not in without)
            if held:
                counts.append([held[d] for d in different])
        sizes = np.array([self._sizes[d] - hidden[d] for d in different])
        found = subjects(np.array(counts, dtype=np.int64).reshape(-1, len(different)), sizes)
        return np.array([found[different.index(d)] for d in documents])


def _passages(documents: Mapping[str, str]) -> list[Passage]:
    passages: list[Passage] = []
    for number, (source, text) in enumerate(documents.items()):
        splitter = MarkdownSplitter(1000, overlap=100) if source.endswith(".md") else TextSplitter(1000, overlap=100)
        title = next((line.lstrip("# ").strip() for line in text.splitlines() if line.strip()), "")[:100]
        headings = _headings(text) if source.endswith(".md") else []
        for ordinal, (start, chunk) in enumerate(splitter.chunk_indices(text)):
            path = tuple(h for at, h in headings if at <= start)[-1:]
            passages.append(
                Passage(len(passages), number, source, title, ordinal, start, start + len(chunk), chunk, heading=path)
            )
    return passages


def _headings(text: str) -> list[tuple[int, str]]:
    found, at = [], 0
    for line in text.splitlines(keepends=True):
        if line.startswith("#"):
            found.append((at, line.strip("# \n")))
        at += len(line)
    return found
