"""What the page does with documents and collections: list, remove, open at a place, follow files on their way in."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rag.errors import RagError, UnknownSource
from rag.text import find_folded
from rag.types import Document, numbered_pages
from ui.intake import Intake
from ui.lists import documents_html
from ui.reader import Span, reader_html
from ui.suggest import examples
from ui.talks import Talks

if TYPE_CHECKING:
    from rag.library import Library

_PATIENCE = 1.0


@dataclass(frozen=True, slots=True)
class ShelfUpdate:
    """What is to change beside the chat; None leaves a part as it is."""

    documents: str | None = None
    collections: list[str] | None = None
    collection: str | None = None
    examples: list[str] | None = None
    reader: str | None = None
    warning: str = ""


class Shelf:
    """Documents and collections of ``library`` for the page. All methods may block; none needs Gradio."""

    def __init__(self, library: Library, intake: Intake, talks: Talks) -> None:
        self._library = library
        self._intake = intake
        self._talks = talks

    def show(self, collection: str) -> ShelfUpdate:
        """Everything about a collection, or about the default one when it is gone."""
        names = list(self._library.collections.names())
        chosen = collection if collection in names else self._default(names)
        return ShelfUpdate(
            self._documents(chosen),
            names,
            chosen,
            examples(self._library, chosen) if chosen in names else [],
        )

    async def follow(self, collection: str) -> AsyncIterator[str]:
        """The documents whenever a file moves on, until none is on its way."""
        shown = ""
        while True:
            seen, busy = self._intake.changed.version, self._intake.busy()
            listed = await asyncio.to_thread(self._documents, collection)
            if listed != shown:
                shown = listed
                yield listed
            if not busy and self._intake.changed.version == seen:
                return
            await self._intake.changed.wait(seen, _PATIENCE)

    def dismiss(self, jobs: str, collection: str) -> ShelfUpdate:
        """Cancel waiting files or take failed ones off the list; ``jobs`` are parted by commas."""
        for job in jobs.split(","):
            self._intake.dismiss(job)
        return ShelfUpdate(self._documents(collection))

    def decide(self, job: str, choice: str, collection: str) -> ShelfUpdate:
        """Have a file replace the document of its name, or keep both."""
        self._intake.decide(job, "replace" if choice == "replace" else "keep")
        return ShelfUpdate(self._documents(collection))

    def remove(self, document_ids: str, collection: str) -> ShelfUpdate:
        """Remove documents from the library; their numbers are parted by commas."""
        try:
            for document_id in document_ids.split(","):
                self._library.remove(self._document(document_id).source, collection)
        except RagError as error:
            return replace(self.show(collection), warning=error.explain())
        return self.show(collection)

    def create(self, name: str) -> ShelfUpdate:
        """Make a collection and show it."""
        return self._changed(lambda: self._library.collections.create(name), name)

    def rename(self, old: str, new: str) -> ShelfUpdate:
        """Give a collection another name."""
        return self._changed(lambda: self._library.collections.rename(old, new), new, old)

    def delete(self, name: str) -> ShelfUpdate:
        """Remove a collection with its documents; the default one is made anew when none is left."""
        return self._changed(lambda: self._library.collections.delete(name), "", name)

    def open_document(self, document_id: str) -> ShelfUpdate:
        """A document from its start."""
        try:
            document = self._document(document_id)
            return ShelfUpdate(reader=self._reader(document, Span(0, 0, 1 if document.pages else None), None))
        except RagError as error:
            return ShelfUpdate(warning=error.explain())

    def open_card(self, card: str, conversation: str) -> ShelfUpdate:
        """The document of a card of the sources panel (``t1s2``), at its span."""
        try:
            item = self._item(card, conversation)
            try:
                document = self._by_id(int(item["document_id"]))
            except UnknownSource:
                return self._newer_version(item)
            span = Span(int(item["start"]), int(item["end"]), item.get("page"))
            return ShelfUpdate(reader=self._reader(document, span, None))
        except RagError as error:
            return ShelfUpdate(warning=error.explain())

    def _newer_version(self, item: Any) -> ShelfUpdate:
        """The cited words in the version that replaced the cited one. Raises UnknownSource when there is none."""
        for name in self._library.collections.names():
            for document in self._library.sources(name):
                if document.source == item["source"]:
                    text = self._library.text(document.id)
                    found = find_folded(item.get("quote") or item["text"], text)
                    pages = numbered_pages(self._library.layout(document.id)[1])
                    page = next((p.number for p in pages if found and p.start <= found[0] < p.end), None)
                    gone = "" if found else "The document has changed since, and these words are no longer in it."
                    shown = self._reader(document, Span(*(found or (0, 0)), page), None)
                    return ShelfUpdate(reader=shown, warning=gone)
        raise UnknownSource("This document is no longer in the library.", hint="It was removed since.")

    def turn_to(self, key: str, offset: int) -> ShelfUpdate:
        """Another part of the open document; ``key`` is ``document:start:end:page``."""
        try:
            document_id, start, end, page = (int(part) for part in key.split(":"))
            document = self._by_id(document_id)
        except (ValueError, RagError) as error:
            return ShelfUpdate(warning=error.explain() if isinstance(error, RagError) else "No such place.")
        return ShelfUpdate(reader=self._reader(document, Span(start, end, page or None), offset))

    def quote(self, document_id: int, start: int, end: int) -> str:
        """The words of a span, for marking them on a page's picture; empty for an empty span."""
        return self._library.text(document_id)[start:end]

    def original(self, document_id: int) -> bytes | None:
        """A PDF of one of the collections; None for anything else."""
        try:
            self._by_id(document_id)
        except UnknownSource:
            return None
        return self._library.original(document_id)

    def _changed(self, change: Any, show: str, otherwise: str = "") -> ShelfUpdate:
        try:
            change()
            self._library.collections.ensure()
        except RagError as error:
            return ShelfUpdate(
                collections=[*self._library.collections.names()], collection=otherwise or None, warning=error.explain()
            )
        return self.show(show)

    def _default(self, names: list[str]) -> str:
        wanted = self._library.config.collection
        return wanted if wanted in names or not names else names[0]

    def _documents(self, collection: str) -> str:
        known = collection in self._library.collections.names()
        files = self._intake.rows(collection)
        coming = {row.source for row in files if row.state == "reading"}
        documents = self._library.sources(collection) if known else ()
        return documents_html(collection, [document for document in documents if document.source not in coming], files)

    def _document(self, document_id: str) -> Document:
        return self._by_id(int(document_id) if document_id.isascii() and document_id.isdecimal() else -1)

    def _by_id(self, document_id: int) -> Document:
        for name in self._library.collections.names():
            for document in self._library.sources(name):
                if document.id == document_id:
                    return document
        raise UnknownSource("This document is no longer in the library.", hint="It was removed since.")

    def _item(self, card: str, conversation: str) -> Any:
        """The citation or passage behind a card."""
        talk = self._talks.get(conversation)
        turn, kind, number = _parts(card)
        if talk is None or not 0 < turn <= len(talk.turns):
            raise UnknownSource("This source is no longer there.", hint="Open the conversation again.")
        record = talk.turns[turn - 1].record
        passages = [hit["passage"] for hit in record.get("hits", ())]
        if kind == "p":
            found = [p for p in passages if p["id"] == number]
        elif record.get("citations"):
            found = [c for c in record["citations"] if c["marker"] == number]
        else:
            found = passages[number - 1 : number]
        if not found:
            raise UnknownSource("This source is no longer there.", hint="Open the conversation again.")
        return found[0]

    def _reader(self, document: Document, span: Span, centre: int | None) -> str:
        headings, places = self._library.layout(document.id)
        pages = numbered_pages(places)
        image = document.media_type == "application/pdf"
        return reader_html(document, self._library.text(document.id), headings, pages, span, centre=centre, image=image)


def _parts(card: str) -> tuple[int, str, int]:
    """``t2s3`` → (2, "s", 3); ``t2p71`` → (2, "p", 71); (0, "", 0) for anything else."""
    found = re.fullmatch(r"t(\d{1,6})([sp])(\d{1,12})", card, re.ASCII)
    return (int(found[1]), found[2], int(found[3])) if found else (0, "", 0)
