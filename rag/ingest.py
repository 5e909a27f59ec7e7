"""Files into a collection: plan, parse in child processes, split, embed what is new, commit, and tell how it goes."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from rag.documents import Discovery, Parsed, ParserPool, SourceFile, discover, read_file
from rag.errors import DocumentError
from rag.store.truth import Collection, NewPassage, Truth, text_key
from rag.types import Document, IngestEvent, index_text

if TYPE_CHECKING:
    from rag.config import Config, Limits

Vector = npt.NDArray[np.float32]
Embed = Callable[[Sequence[str]], npt.NDArray[np.float32]]

_LOOKAHEAD = 4
"""Files being parsed ahead of the one that is being embedded: keeps both sides busy, bounds memory."""


_HEAD = 200
"""Characters that title and headings add to a passage before it is embedded."""
_SMALLEST = 200


def passage_size(config: Config, embedder: object) -> tuple[int, int]:
    """Characters of a passage and of the overlap: as configured, or less for an embedder with a short window.

    ``embedder.max_characters``, where it has one, is what it takes in at once.
    """
    most = int(getattr(embedder, "max_characters", 0) or 0)
    if not most or most - _HEAD >= config.passage_characters:
        return config.passage_characters, config.passage_overlap
    characters = max(_SMALLEST, most - _HEAD)
    return characters, min(config.passage_overlap, characters // 10)


@dataclass(frozen=True, slots=True)
class _Waiting:
    file: SourceFile
    sha256: str
    data: bytes
    known: Document | None
    future: Future[Parsed]


class Ingestor:
    """Puts files into one collection of ``truth``; ``embed`` turns index texts into unit rows.

    One file is one transaction: when its event says ``added`` or ``updated`` it is on disk. A file that fails is an
    event with its reason; the others go on.
    """

    def __init__(self, truth: Truth, collection: Collection, embed: Embed, pool: ParserPool, limits: Limits) -> None:
        self._truth = truth
        self._collection = collection
        self._embed = embed
        self._pool = pool
        self._limits = limits

    def events(self, paths: Sequence[Path | str]) -> Iterator[IngestEvent]:
        """Ingest and report, an event a file, in the order of their names.

        Raises PathError when a path is missing or holds nothing. Closing the iterator stops after the current file.
        """
        plan = discover(paths, self._limits)
        total = len(plan.files) + len(plan.refused)
        done = 0
        for refused in plan.refused:
            done += 1
            yield _failure(refused.source, refused.error, done, total)
        for event in self._run(plan):
            done += 1
            yield _numbered(event, done, total)

    def _run(self, plan: Discovery) -> Iterator[IngestEvent]:
        known = {d.source: d for d in self._truth.documents(self._collection.id)}
        waiting: deque[_Waiting] = deque()
        for file in plan.files:
            outcome = self._start(file, known.get(file.source))
            if isinstance(outcome, IngestEvent):
                yield outcome
                continue
            waiting.append(outcome)
            if len(waiting) >= _LOOKAHEAD:
                yield self._finish(waiting.popleft())
        while waiting:
            yield self._finish(waiting.popleft())

    def _start(self, file: SourceFile, known: Document | None) -> _Waiting | IngestEvent:
        try:
            data = read_file(file, self._limits)
        except DocumentError as error:
            return _failure(file.source, error)
        digest = hashlib.sha256(data).hexdigest()
        if known is not None and known.sha256 == digest:
            return IngestEvent(file.source, "unchanged", 0, 0, known.passages, known.pages, known.empty_pages)
        return _Waiting(file, digest, data, known, self._pool.submit(data, file.source))

    def _finish(self, item: _Waiting) -> IngestEvent:
        source = item.file.source
        try:
            parsed = item.future.result()
        except DocumentError as error:
            return _failure(source, error)
        document, embedded = self._commit(item, parsed)
        return IngestEvent(
            source,
            "updated" if item.known is not None else "added",
            0,
            0,
            passages=document.passages,
            pages=document.pages,
            empty_pages=document.empty_pages,
            embedded=embedded,
        )

    def _commit(self, item: _Waiting, parsed: Parsed) -> tuple[Document, int]:
        doc = parsed.document
        texts = [index_text(doc.title, s.heading, doc.text[s.start : s.end]) for s in parsed.slices]
        keys = [text_key(text) for text in texts]
        vectors = self._truth.known_vectors(self._collection.generation, keys)
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in vectors}
        if missing:
            vectors.update(zip(missing, self._embed(list(missing.values())), strict=True))
        passages = [
            NewPassage(s.start, s.end, s.page, s.heading, key, s.places)
            for s, key in zip(parsed.slices, keys, strict=True)
        ]
        document = self._truth.put_document(
            self._collection,
            item.file.source,
            doc,
            passages,
            sha256=item.sha256,
            size=len(item.data),
            vectors=vectors,
            original=item.data if doc.media_type == "application/pdf" else None,
        )
        return document, len(missing)


def _failure(source: str, error: DocumentError, done: int = 0, total: int = 0) -> IngestEvent:
    return IngestEvent(source, "failed", done, total, error=str(error), hint=error.hint, code=error.code)


def _numbered(event: IngestEvent, done: int, total: int) -> IngestEvent:
    return replace(event, done=done, total=total)
