"""Question and answer: asked, followed, stopped, asked again; thumbs and notes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import gradio as gr

from rag.errors import RagError
from ui import parts
from ui.components import Components
from ui.panels.changes import ALWAYS, Changes, Shown, restored, told, turn_of, view_of, warn
from ui.scope import Scope, scope_html
from ui.site import Site


class QuestionsPanel:
    """A method for each event. ``request.session_hash`` names the browser tab."""

    def __init__(self, site: Site, components: Components, shown: Shown) -> None:
        self._site = site
        self._parts = components
        self._shown = shown

    def wire(self, page: gr.Blocks) -> None:
        """Give the events to their methods; a tab opens with what it remembers, not what the server thinks it shows."""
        ui = self._parts
        place, out = [ui.conversation, ui.collection], ui.for_chat
        asked, scoped = [*place, ui.scope], [ui.scope, ui.asking]
        self.grow(page.load(self.load, place, out, **restored()))
        self.grow(ui.box.submit(self.ask, [ui.box, *asked], out, **ALWAYS))
        self.grow(ui.suggestions.ask(self.clicked, asked, out, **ALWAYS))
        self.grow(ui.chat.option_select(self.suggested, asked, out, **ALWAYS))
        self.grow(ui.chat.retry(self.retry, place, out, **ALWAYS))
        self.grow(ui.chat.edit(self.edit, asked, out, **ALWAYS))
        self.grow(ui.chat.undo(self.undo, ui.conversation, out, **ALWAYS))
        self.grow(ui.reader.about(self.about_document, ui.conversation, out, **ALWAYS))
        self.grow(ui.exports.about(self.about_conversation, place, out, **ALWAYS))
        ui.documents.scope(self.choose, None, scoped, **ALWAYS)
        ui.asking.drop(self.drop, ui.scope, scoped, **ALWAYS)
        ui.asking.all(self.choose_all, None, scoped, **ALWAYS)
        ui.collection.change(self.choose_all, None, scoped, **ALWAYS)
        ui.box.stop(self.stop, ui.conversation, None, **ALWAYS)
        rated = [ui.feedback, ui.sources, ui.chat]
        ui.chat.like(self.like, ui.conversation, rated, **ALWAYS)
        ui.sources.gold(self.gold, ui.conversation, rated, **ALWAYS)
        ui.feedback.note(self.note, ui.conversation, rated, **ALWAYS)
        ui.feedback.skip(lambda: "", None, ui.feedback, **ALWAYS)

    def grow(self, begun: Any) -> None:
        """Let the answer that an event began grow, with as few outputs as possible, and show its end with all."""
        growing = begun.then(self.follow, None, self._parts.growing, **ALWAYS)
        growing.then(self.settle, None, self._parts.for_chat, **ALWAYS)

    async def load(self, conversation: str, _: str, request: gr.Request) -> Changes:
        return self._shown.chat(await self._site.chat.open(conversation or "", view_of(request)))

    async def ask(self, question: str, conversation: str, collection: str, scope: str, request: gr.Request) -> Changes:
        chosen, view = Scope.parse(scope), view_of(request)
        return self._shown.chat(
            await self._site.chat.ask(question or "", conversation or "", collection or "", view, chosen)
        )

    async def clicked(
        self, conversation: str, collection: str, scope: str, event: gr.EventData, request: gr.Request
    ) -> Changes:
        return await self.ask(told(event, "id", str), conversation, collection, scope, request)

    async def suggested(
        self, conversation: str, collection: str, scope: str, event: gr.EventData, request: gr.Request
    ) -> Changes:
        value = told(event, "value", dict | str)
        chosen = value.get("text") if isinstance(value, dict) else value
        return await self.ask(str(chosen or ""), conversation, collection, scope, request)

    async def about_document(self, conversation: str, event: gr.EventData, request: gr.Request) -> Changes:
        """What the document in the reader is about, in the conversation if that is of its collection."""
        source, collection = told(event, "id", str), told(event, "collection", str)
        shown = await asyncio.to_thread(self._site.conversations.get, conversation or "")
        key = conversation if shown is not None and shown.collection == collection else ""
        return self._shown.chat(await self._site.chat.summarise(source, key, collection, view_of(request)))

    async def about_conversation(self, conversation: str, collection: str, request: gr.Request) -> Changes:
        return self._shown.chat(
            await self._site.chat.summarise("", conversation or "", collection or "", view_of(request))
        )

    def choose(self, event: gr.EventData) -> list[str]:
        return _scoped(Scope.of(told(event, "documents", list), told(event, "folders", list)))

    def drop(self, scope: str, event: gr.EventData) -> list[str]:
        return _scoped(Scope.parse(scope).without(told(event, "id", str)))

    def choose_all(self) -> list[str]:
        return _scoped(Scope())

    async def retry(self, conversation: str, collection: str, event: gr.EventData, request: gr.Request) -> Changes:
        return self._shown.chat(await self._site.chat.retry(turn_of(event), conversation, collection, view_of(request)))

    async def edit(
        self, conversation: str, collection: str, scope: str, event: gr.EventData, request: gr.Request
    ) -> Changes:
        question, chosen, view = told(event, "value", str), Scope.parse(scope), view_of(request)
        return self._shown.chat(
            await self._site.chat.edit(turn_of(event), question, conversation, collection, view, chosen)
        )

    async def undo(self, conversation: str, event: gr.EventData, request: gr.Request) -> Changes:
        return self._shown.chat(await self._site.chat.undo(turn_of(event), conversation, view_of(request)))

    async def follow(self, request: gr.Request) -> AsyncIterator[list[Any]]:
        """The growing answer. Two outputs, and each a plain value: an update of the component, even one that skips it,
        makes Gradio build the component and the schema of its values anew, which takes 1 to 13 ms."""
        async for update in self._site.chat.follow(view_of(request)):
            yield [update.messages, update.sections]
        yield [gr.skip(), gr.skip()]

    async def settle(self, request: gr.Request) -> Changes:
        return self._shown.chat(await self._site.chat.settle(view_of(request)))

    async def stop(self, conversation: str, request: gr.Request) -> None:
        await asyncio.to_thread(self._site.chat.stop, conversation or "", view_of(request))

    def like(self, conversation: str, event: gr.EventData) -> Changes:
        liked = told(event, "liked", object)
        return self._rate(conversation, turn_of(event), 1 if liked is True else -1 if liked is False else 0)

    def gold(self, conversation: str, event: gr.EventData) -> Changes:
        return self._rate(conversation, told(event, "turn", int), None)

    def note(self, conversation: str, event: gr.EventData) -> Changes:
        turn, thumb, note = told(event, "turn", int), told(event, "thumb", int), told(event, "name", str)
        if self._rate(conversation, turn, thumb, note) is not self._shown.nothing:
            gr.Info("Noted.")
        return {self._parts.feedback: ""}

    def _rate(self, conversation: str, turn: int, thumb: int | None, note: str = "") -> Changes:
        """Store a thumb and show it, with the line to say why."""
        try:
            update = self._site.chat.rate(conversation or "", turn, thumb, note)
        except RagError as error:
            warn(error.explain())
            return self._shown.nothing
        shown = (update.thumbs or [])[turn]
        form = parts.note_form(turn, 1 if shown == "Like" else -1, gold=thumb is None) if shown else ""
        return {
            self._parts.feedback: form,
            self._parts.sources: update.sections,
            self._parts.chat: gr.update(feedback_value=update.thumbs),
        }


def _scoped(scope: Scope) -> list[str]:
    """What to remember of a choice of documents, and the chips for it."""
    return [scope.text(), scope_html(scope)]
