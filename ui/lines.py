"""Line numbers for passages and citations of documents without pages."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rag.errors import UnknownSource
from rag.types import Citation, Hit, Passage

if TYPE_CHECKING:
    from rag.library import Library


class LineFinder:
    """Finds lines (from 1) in canonical texts; reads each document once. For one answer, not for long."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._breaks: dict[int, Sequence[int]] = {}

    def of_hits(self, hits: Iterable[Hit]) -> dict[str, list[int]]:
        """First and last line of each passage, by ``document:start:end``."""
        return self._of(hit.passage for hit in hits)

    def of_citations(self, citations: Iterable[Citation]) -> dict[str, list[int]]:
        """First and last line of each citation, by ``document:start:end``."""
        return self._of(citations)

    def _of(self, items: Iterable[Passage | Citation]) -> dict[str, list[int]]:
        found = {}
        for item in items:
            breaks = self._line_breaks(item.document_id) if item.page is None else ()
            if breaks:
                ends = (item.start, max(item.start, item.end - 1))
                found[f"{item.document_id}:{item.start}:{item.end}"] = [bisect_left(breaks, at) + 1 for at in ends]
        return found

    def _line_breaks(self, document_id: int) -> Sequence[int]:
        if document_id not in self._breaks:
            try:
                text = self._library.text(document_id)
            except UnknownSource:  # removed since it was found
                text = ""
            self._breaks[document_id] = [found.start() for found in re.finditer("\n", text)]
        return self._breaks[document_id]
