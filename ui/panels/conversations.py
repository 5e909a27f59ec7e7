"""The conversations: begun, opened, found, renamed, deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import gradio as gr

from rag.errors import RagError
from ui import parts
from ui.components import Components
from ui.panels.changes import ALWAYS, Changes, Shown, told, view_of, warn
from ui.site import Site


class ConversationsPanel:
    """A method for each event."""

    def __init__(self, site: Site, components: Components, shown: Shown) -> None:
        self._site = site
        self._parts = components
        self._shown = shown

    def wire(self, grow: Callable[[Any], None]) -> None:
        """Give the events to their methods; ``grow`` lets the answer grow that is written in what an event opens."""
        ui = self._parts
        grow(ui.new.click(self.new, None, ui.for_chat, **ALWAYS))
        grow(ui.history.pick(self.pick, None, ui.for_chat, **ALWAYS))
        ui.history.rename(self.rename, ui.conversation, ui.history, **ALWAYS)
        grow(ui.history.delete(self.delete, ui.conversation, ui.for_chat, **ALWAYS))
        ui.find.find(self.find, ui.conversation, ui.history, **ALWAYS)
        place: list[Any] = [ui.conversation, ui.collection]
        grow(ui.collection.input(self.switched, place, ui.for_chat, **ALWAYS))
        for changed in place:
            changed.change(None, place, None, js=parts.static("remember.js"), api_visibility="private")

    async def new(self, request: gr.Request) -> Changes:
        return await self._open("", request)

    async def pick(self, event: gr.EventData, request: gr.Request) -> Changes:
        return await self._open(told(event, "id", str), request)

    def follow(self, changed: Any, grow: Callable[[Any], None]) -> None:
        """Have the chat follow an event that may change the collection."""
        place: list[Any] = [self._parts.conversation, self._parts.collection]
        grow(changed.then(self.switched, place, self._parts.for_chat, **ALWAYS))

    async def switched(self, conversation: str, collection: str, request: gr.Request) -> Changes:
        """Open the latest conversation of the collection that was chosen, unless one of it is open."""
        shown = await asyncio.to_thread(self._site.conversations.get, conversation or "")
        if shown is not None and shown.collection == collection:
            return self._shown.nothing
        latest = await asyncio.to_thread(self._site.conversations.latest, collection)
        return await self._open(latest, request, chosen=collection)

    def rename(self, conversation: str, event: gr.EventData) -> str:
        try:
            self._site.conversations.rename(told(event, "id", str), told(event, "name", str))
        except RagError as error:
            warn(error.explain())
        return self._shown.history(conversation)

    async def delete(self, conversation: str, event: gr.EventData, request: gr.Request) -> Changes:
        key = told(event, "id", str)
        try:
            await asyncio.to_thread(self._site.answers.stop, key)
            await asyncio.to_thread(self._site.conversations.delete, key)
        except RagError as error:
            warn(error.explain())
        if key != conversation:
            return {self._parts.history: self._shown.history(conversation)}
        return await self._open("", request)

    def find(self, conversation: str, event: gr.EventData) -> str:
        return self._shown.history(conversation, told(event, "name", str))

    async def _open(self, conversation: str, request: gr.Request, *, chosen: str | None = None) -> Changes:
        return self._shown.chat(await self._site.chat.open(conversation, view_of(request)), chosen)
