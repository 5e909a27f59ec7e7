"""Documents and collections: listed, added, removed, decided on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import gradio as gr

from ui.components import Components
from ui.panels.changes import ALWAYS, QUIET, Changes, Shown, restored, told, view_of
from ui.site import Site
from ui.suggest import suggestions_html

_PATIENCE = 5.0


class DocumentsPanel:
    """A method for each event."""

    def __init__(self, site: Site, components: Components, shown: Shown) -> None:
        self._documents = site.documents
        self._suggestions = site.suggestions
        self._parts = components
        self._shown = shown

    def wire(self, page: gr.Blocks, switched: Callable[[Any], None]) -> None:
        """Give the events to their methods; ``switched`` is told of those that may change the collection.

        After every listing of the chosen collection that is told once comes one that is repeated until nothing changes:
        a listing of before a click may arrive after the click's own.
        """
        ui, out = self._parts, self._parts.for_documents
        follow = (self.follow, ui.collection, ui.documents)
        suggest = (self.suggest, ui.collection, ui.suggestions)
        loaded = page.load(self.restore, [ui.conversation, ui.collection], out, **restored())
        loaded.then(*follow, **QUIET).then(*suggest, **ALWAYS)
        ui.collection.change(self.show, ui.collection, out, **ALWAYS).then(*follow, **ALWAYS).then(*suggest, **ALWAYS)
        switched(ui.collection_acts.create(self.create, None, out, **QUIET))
        ui.collection_acts.rename(self.rename, None, out, **QUIET)
        switched(ui.collection_acts.delete(self.delete, None, out, **QUIET))
        for act, method in (
            (ui.documents.remove, self.remove),
            (ui.documents.dismiss, self.dismiss),
            (ui.documents.same, self.same),
            (ui.documents.sync, self.sync),
            (ui.documents.unsync, self.unsync),
            (ui.documents.fetch, self.fetch),
        ):
            act(method, ui.collection, out, **ALWAYS).then(*follow, **ALWAYS)
        # Followed without the chat among the outputs: Gradio would lock its buttons until the last file is in.
        added = ui.upload.added(*follow, **ALWAYS)
        added.then(self.show, ui.collection, out, **ALWAYS).then(*follow, **ALWAYS).then(*suggest, **ALWAYS)

    def restore(self, _: str, collection: str, request: gr.Request) -> Changes:
        return self.show(collection, request)

    def show(self, collection: str, request: gr.Request) -> Changes:
        return self._shown.documents(self._documents.show(collection or "", view_of(request)), collection)

    async def follow(self, collection: str, request: gr.Request) -> AsyncIterator[Any]:
        async for documents in self._documents.follow(collection, view_of(request)):
            yield documents
        yield gr.skip()

    async def suggest(self, collection: str) -> AsyncIterator[Any]:
        """Questions to try: those that are known, then those of the documents as they are now."""
        known = self._suggestions
        known.want(collection)
        shown, busy = None, True
        while True:
            seen, html = known.changed.version, suggestions_html(known.of(collection))
            if html != shown:
                shown = html
                yield html
            if not busy:
                return
            await known.changed.wait(seen, _PATIENCE)
            busy = known.busy

    def create(self, event: gr.EventData, request: gr.Request) -> Changes:
        return self._shown.documents(self._documents.create(told(event, "name", str), view_of(request)))

    def rename(self, event: gr.EventData, request: gr.Request) -> Changes:
        old, new = told(event, "id", str), told(event, "name", str)
        return self._shown.documents(self._documents.rename(old, new, view_of(request)))

    def delete(self, event: gr.EventData, request: gr.Request) -> Changes:
        return self._shown.documents(self._documents.delete(told(event, "id", str), view_of(request)))

    def remove(self, collection: str, event: gr.EventData) -> Changes:
        return self._shown.documents(self._documents.remove(told(event, "id", str), collection), collection)

    def dismiss(self, collection: str, event: gr.EventData) -> Changes:
        return self._shown.documents(self._documents.dismiss(told(event, "id", str), collection))

    def same(self, collection: str, event: gr.EventData) -> Changes:
        job, choice = told(event, "id", str), told(event, "choice", str)
        return self._shown.documents(self._documents.decide(job, choice, collection))

    def sync(self, collection: str, event: gr.EventData) -> Changes:
        return self._shown.documents(self._documents.sync(told(event, "name", str), collection))

    def unsync(self, collection: str, event: gr.EventData) -> Changes:
        return self._shown.documents(self._documents.unsync(told(event, "id", str), collection))

    def fetch(self, collection: str, event: gr.EventData) -> Changes:
        return self._shown.documents(self._documents.fetch(told(event, "name", str), collection))
