"""Gradio's events in, the handlers' updates out as changes of components."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import gradio as gr

from rag.errors import RagError
from ui import parts
from ui.components import Components
from ui.escape import inert
from ui.handlers import Update
from ui.lists import conversations_html, notices_html, status_html
from ui.shelf import ShelfUpdate
from ui.site import Site

Changes = dict[Any, Any]


def warn(message: str) -> None:
    """Show a message once, as text."""
    if message:
        gr.Warning(inert(message).replace("\n", "<br>"))


class Events:
    """A method for each event. ``request.session_hash`` names the browser tab."""

    def __init__(self, site: Site, components: Components) -> None:
        self._site = site
        self._parts = components
        self._nothing: Changes = {components.chat: gr.skip()}

    # -- the chat ---------------------------------------------------------------------------------------------

    async def load(self, conversation: str, _: str, request: gr.Request) -> Changes:
        return self._chat(await self._site.chat.open(conversation or "", _view(request)))

    async def ask(self, question: str, conversation: str, collection: str, request: gr.Request) -> Changes:
        return self._chat(
            await self._site.chat.ask(question or "", conversation or "", collection or "", _view(request))
        )

    async def suggested(self, conversation: str, collection: str, event: gr.EventData, request: gr.Request) -> Changes:
        value = told(event, "value", dict | str)
        chosen = value.get("text") if isinstance(value, dict) else value
        return await self.ask(str(chosen or ""), conversation, collection, request)

    async def retry(self, conversation: str, collection: str, event: gr.EventData, request: gr.Request) -> Changes:
        return self._chat(await self._site.chat.retry(_turn(event), conversation, collection, _view(request)))

    async def edit(self, conversation: str, collection: str, event: gr.EventData, request: gr.Request) -> Changes:
        question, view = told(event, "value", str), _view(request)
        return self._chat(await self._site.chat.edit(_turn(event), question, conversation, collection, view))

    async def undo(self, conversation: str, event: gr.EventData, request: gr.Request) -> Changes:
        return self._chat(await self._site.chat.undo(_turn(event), conversation, _view(request)))

    async def follow(self, request: gr.Request) -> AsyncIterator[list[Any]]:
        """The growing answer. Two outputs, and each a plain value: an update of the component, even one that skips it,
        makes Gradio build the component and the schema of its values anew, which takes 1 to 13 ms."""
        async for update in self._site.chat.follow(_view(request)):
            yield [update.messages, update.sections]
        yield [gr.skip(), gr.skip()]

    async def settle(self, request: gr.Request) -> Changes:
        return self._chat(await self._site.chat.settle(_view(request)))

    async def stop(self, conversation: str, request: gr.Request) -> None:
        await asyncio.to_thread(self._site.chat.stop, conversation or "", _view(request))

    def like(self, conversation: str, event: gr.EventData) -> Changes:
        liked = told(event, "liked", object)
        thumb = 1 if liked is True else -1 if liked is False else 0
        return self._rate(conversation, _turn(event), thumb)

    def gold(self, conversation: str, event: gr.EventData) -> Changes:
        return self._rate(conversation, told(event, "turn", int), None)

    def note(self, conversation: str, event: gr.EventData) -> Changes:
        changes = self._rate(
            conversation, told(event, "turn", int), told(event, "thumb", int), told(event, "name", str)
        )
        if changes is not self._nothing:
            gr.Info("Noted.")
        return {self._parts.feedback: ""}

    def _rate(self, conversation: str, turn: int, thumb: int | None, note: str = "") -> Changes:
        """Store a thumb and show it, with the line to say why."""
        try:
            update = self._site.chat.rate(conversation or "", turn, thumb, note)
        except RagError as error:
            warn(error.explain())
            return self._nothing
        shown = (update.thumbs or [])[turn]
        form = parts.note_form(turn, 1 if shown == "Like" else -1, gold=thumb is None) if shown else ""
        return {
            self._parts.feedback: form,
            self._parts.sources: update.sections,
            self._parts.chat: gr.update(feedback_value=update.thumbs),
        }

    # -- conversations ----------------------------------------------------------------------------------------

    async def new(self, request: gr.Request) -> Changes:
        return self._chat(await self._site.chat.open("", _view(request)))

    async def pick(self, event: gr.EventData, request: gr.Request) -> Changes:
        return self._chat(await self._site.chat.open(told(event, "id", str), _view(request)))

    def rename(self, conversation: str, event: gr.EventData) -> str:
        try:
            self._site.talks.rename(told(event, "id", str), told(event, "name", str))
        except RagError as error:
            warn(error.explain())
        return self._history(conversation)

    async def delete(self, conversation: str, event: gr.EventData, request: gr.Request) -> Changes:
        key = told(event, "id", str)
        try:
            await asyncio.to_thread(self._site.answers.stop, key)
            await asyncio.to_thread(self._site.talks.delete, key)
        except RagError as error:
            warn(error.explain())
        if key != conversation:
            return {self._parts.history: self._history(conversation)}
        return self._chat(await self._site.chat.open("", _view(request)))

    def find(self, conversation: str, event: gr.EventData) -> str:
        return self._history(conversation, told(event, "name", str))

    def _history(self, current: str, search: str = "") -> str:
        return conversations_html(self._site.talks.rows(search), current or "", searched=bool(search.strip()))

    def _chat(self, update: Update | None) -> Changes:
        """An update as changes of components."""
        if update is None:
            return self._nothing
        shown, changes = self._parts, Changes()
        warn(update.warning)
        if update.messages is not None:
            thumbs = update.thumbs
            changes[shown.chat] = (
                update.messages if thumbs is None else gr.update(value=update.messages, feedback_value=thumbs)
            )
        if update.sections is not None:
            changes[shown.sources] = update.sections
        box: dict[str, Any] = {} if update.busy is None else {"submit_btn": not update.busy, "stop_btn": update.busy}
        if update.box is not None:
            box["value"] = update.box
            changes[shown.feedback] = ""
        if box:
            changes[shown.box] = gr.update(**box)
        if update.conversation is not None:
            changes[shown.conversation] = update.conversation
            changes[shown.exports] = parts.exports(update.conversation)
        if update.collection in self._site.library.collections.names():
            changes[shown.collection] = update.collection
        if update.history_changed:
            changes[shown.history] = self._history(update.conversation or "")
        return changes or self._nothing

    # -- documents and collections ----------------------------------------------------------------------------

    def shelf(self, _: str, collection: str) -> Changes:
        return self.collection(collection)

    def collection(self, collection: str) -> Changes:
        return self._shelf(self._site.shelf.show(collection or ""))

    async def added(self, collection: str) -> AsyncIterator[Any]:
        async for documents in self._site.shelf.follow(collection):
            yield documents
        yield gr.skip()

    def create(self, event: gr.EventData) -> Changes:
        return self._shelf(self._site.shelf.create(told(event, "name", str)))

    def rename_collection(self, event: gr.EventData) -> Changes:
        return self._shelf(self._site.shelf.rename(told(event, "id", str), told(event, "name", str)))

    def delete_collection(self, event: gr.EventData) -> Changes:
        return self._shelf(self._site.shelf.delete(told(event, "id", str)))

    def remove(self, collection: str, event: gr.EventData) -> Changes:
        return self._shelf(self._site.shelf.remove(told(event, "id", str), collection))

    def dismiss(self, collection: str, event: gr.EventData) -> Changes:
        return self._shelf(self._site.shelf.dismiss(told(event, "id", str), collection))

    def same(self, collection: str, event: gr.EventData) -> Changes:
        job, choice = told(event, "id", str), told(event, "choice", str)
        return self._shelf(self._site.shelf.decide(job, choice, collection))

    def open_document(self, event: gr.EventData) -> Changes:
        return self._shelf(self._site.shelf.open_document(told(event, "id", str)))

    def open_card(self, conversation: str, event: gr.EventData) -> Changes:
        return self._shelf(self._site.shelf.open_card(told(event, "id", str), conversation or ""))

    def turn_to(self, event: gr.EventData) -> Changes:
        return self._shelf(self._site.shelf.turn_to(told(event, "id", str), told(event, "offset", int)))

    def _shelf(self, update: ShelfUpdate) -> Changes:
        shown, changes = self._parts, Changes()
        warn(update.warning)
        if update.documents is not None:
            changes[shown.documents] = update.documents
        if update.collections is not None:
            value: dict[str, Any] = {} if update.collection is None else {"value": update.collection}
            changes[shown.collection] = gr.update(choices=update.collections, **value)
        if update.collection is not None:
            changes[shown.collection_acts] = parts.collection_acts(update.collection)
        if update.examples is not None:
            said = parts.INTRO if update.examples else parts.no_documents()
            listed = [{"text": question} for question in update.examples]
            changes[shown.chat] = gr.update(examples=listed, placeholder=said)
        if update.reader is not None:
            changes[shown.reader] = update.reader
        return changes or self._nothing

    # -- models -----------------------------------------------------------------------------------------------

    async def status(self) -> AsyncIterator[Changes]:
        models = self._site.models
        seen, busy = models.changed.version, models.busy
        yield await asyncio.to_thread(self._models)
        while busy:
            await models.changed.wait(seen, 1.0)
            seen, busy = models.changed.version, models.busy
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

    # -- the embedder -----------------------------------------------------------------------------------------

    async def embedding(self, collection: str) -> AsyncIterator[Any]:
        embedders = await asyncio.to_thread(self._site.models.embedders)
        async for line in self._site.embedding.follow(collection or "", embedders):
            yield line
        yield gr.skip()

    async def embedding_of(self, _: str, collection: str) -> AsyncIterator[Any]:
        async for line in self.embedding(collection):
            yield line

    async def reindex(self, collection: str, event: gr.EventData) -> AsyncIterator[Any]:
        warn(self._site.embedding.start(collection, told(event, "name", str)))
        async for line in self.embedding(collection):
            yield line

    def cancel_reindex(self) -> None:
        self._site.embedding.cancel()


def _view(request: gr.Request) -> str:
    return str(request.session_hash or "")


def _turn(event: gr.EventData) -> int:
    """The turn (from 0) of a message: questions and answers alternate."""
    index = told(event, "index", list | int)
    first = (index or [None])[0] if isinstance(index, list) else index
    if not isinstance(first, int):
        raise _incomplete()
    return first // 2


def told(event: gr.EventData, name: str, kind: Any) -> Any:
    """What the browser says of an event. Raises gr.Error where it is no ``kind``."""
    value = event._data.get(name) if isinstance(event._data, dict) else None
    if value is None or not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise _incomplete()
    return value


def _incomplete() -> gr.Error:
    return gr.Error("This event lacks what it needs. Reload the page.", print_exception=False)
