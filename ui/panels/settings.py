"""Settings: what writes the answers, what the collection is searched with; downloads and notices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import gradio as gr

from rag.errors import RagError
from ui import parts
from ui.components import Components
from ui.lists import notices_html, status_html
from ui.panels.changes import ALWAYS, QUIET, Changes, restored, told, warn
from ui.site import Site


class SettingsPanel:
    """A method for each event."""

    def __init__(self, site: Site, components: Components) -> None:
        self._site = site
        self._parts = components

    def wire(self, page: gr.Blocks) -> None:
        """Give the events to their methods."""
        ui, out = self._parts, self._parts.for_models
        page.load(self.status, None, out, **QUIET)
        page.load(self.restore, [ui.conversation, ui.collection], ui.embedding, **restored())
        ui.status.pull(self.pull, None, out, **QUIET)
        ui.status.cancel(self.cancel, None, None, **QUIET)
        ui.status.check(self.status, None, out, **QUIET)
        ui.model.input(self.use, ui.model, out, **ALWAYS)
        ui.timer.tick(self.tick, None, [ui.status, ui.notices], **QUIET)
        ui.timer.tick(self.seen, ui.collection, ui.encoder, **QUIET)
        ui.collection.change(self.seen, ui.collection, ui.encoder, **QUIET)
        ui.upload.added(self.seen, ui.collection, ui.encoder, **QUIET)
        page.load(self.seen, ui.collection, ui.encoder, **QUIET)
        ui.collection.change(self.embedding, ui.collection, ui.embedding, **ALWAYS)
        done = ui.embedding.reindex(self.reindex, ui.collection, ui.embedding, **ALWAYS)
        done.then(self.status, None, out, **QUIET)
        ui.embedding.cancel(self.cancel_reindex, None, None, **QUIET)

    async def status(self) -> AsyncIterator[Changes]:
        models = self._site.models
        seen = models.changed.version
        yield await asyncio.to_thread(self._models)
        while models.busy:
            await models.changed.wait(seen, 1.0)
            seen = models.changed.version
            yield {self._parts.status: status_html(await asyncio.to_thread(models.status))}
        yield await asyncio.to_thread(self._models)

    def _models(self) -> Changes:
        models = self._site.models
        return {**self.tick(), self._parts.model: gr.update(choices=models.choices(), value=models.current())}

    async def pull(self, event: gr.EventData) -> AsyncIterator[Changes]:
        self._site.models.pull(told(event, "id", str))
        async for changes in self.status():
            yield changes

    def cancel(self) -> None:
        self._site.models.cancel()

    async def use(self, name: str) -> AsyncIterator[Changes]:
        warn(await asyncio.to_thread(self._site.models.use, name))
        async for changes in self.status():
            yield changes

    def tick(self) -> Changes:
        state = self._site.models.status()
        notices = [*([state.hint] if state.hint else []), *self._site.library.notices]
        return {self._parts.status: status_html(state), self._parts.notices: notices_html(notices)}

    def seen(self, collection: str) -> str:
        """How far the ranking model is."""
        try:
            facts = self._site.library.index(collection)
        except RagError:
            return ""
        return parts.encoder_line(facts.texts, facts.pending)

    async def embedding(self, collection: str) -> AsyncIterator[Any]:
        embedders = await asyncio.to_thread(self._site.models.embedders)
        async for line in self._site.embedding.follow(collection or "", embedders):
            yield line
        yield gr.skip()

    async def restore(self, _: str, collection: str) -> AsyncIterator[Any]:
        async for line in self.embedding(collection):
            yield line

    async def reindex(self, collection: str, event: gr.EventData) -> AsyncIterator[Any]:
        warn(self._site.embedding.start(collection, told(event, "name", str)))
        async for line in self.embedding(collection):
            yield line

    def cancel_reindex(self) -> None:
        self._site.embedding.cancel()
