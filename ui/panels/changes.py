"""What the panels share: what the browser tells, and what is told to it, as changes of components."""

from __future__ import annotations

from typing import Any

import gradio as gr

from ui import parts
from ui.chat import Update
from ui.components import Components
from ui.documents import DocumentsUpdate
from ui.escape import inert
from ui.lists import conversations_html
from ui.site import Site

Changes = dict[Any, Any]

QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
ALWAYS: dict[str, Any] = {**QUIET, "trigger_mode": "multiple"}
"""Options of events: quiet; quiet, and run though the last one still runs. Without the second Gradio drops what is
clicked meanwhile."""


class Shown:
    """Updates as changes of components."""

    def __init__(self, site: Site, components: Components) -> None:
        self._site = site
        self._parts = components
        self.nothing: Changes = {components.chat: gr.skip()}

    def history(self, current: str, search: str = "") -> str:
        """The list of conversations; with ``search`` those in which it occurs."""
        rows = self._site.conversations.rows(search)
        return conversations_html(rows, current or "", searched=bool(search.strip()))

    def chat(self, update: Update | None, chosen: str | None = None) -> Changes:
        """What the chat tells. The collection that was ``chosen`` is not chosen once more: by now it may be another."""
        if update is None:
            return self.nothing
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
        if update.opened:
            changes[shown.feedback] = ""
        if box:
            changes[shown.box] = gr.update(**box)
        if update.conversation is not None:
            changes[shown.conversation] = update.conversation
            changes[shown.exports] = parts.exports(update.conversation)
        if update.collection != chosen and update.collection in self._site.library.collections.names():
            changes[shown.collection] = update.collection
        if update.history_changed:
            changes[shown.history] = self.history(update.conversation or "")
        return changes or self.nothing

    def documents(self, update: DocumentsUpdate, chosen: str | None = None) -> Changes:
        """What documents and collections tell; ``chosen`` as in ``chat``."""
        shown, changes = self._parts, Changes()
        warn(update.warning)
        if update.documents is not None:
            changes[shown.documents] = update.documents
        if update.collections is not None:
            value: dict[str, Any] = {} if update.collection in (None, chosen) else {"value": update.collection}
            changes[shown.collection] = gr.update(choices=update.collections, **value)
        if update.collection is not None:
            changes[shown.collection_acts] = parts.collection_acts(update.collection)
        if update.empty is not None:
            changes[shown.chat] = gr.update(placeholder=parts.no_documents() if update.empty else parts.INTRO)
        return changes or self.nothing


def restored() -> dict[str, Any]:
    """Options of an event of a page that opens: conversation and collection are those that the tab remembers."""
    return {**QUIET, "js": parts.static("restore.js")}


def warn(message: str) -> None:
    """Show a message once, as text."""
    if message:
        gr.Warning(inert(message).replace("\n", "<br>"))


def view_of(request: gr.Request) -> str:
    """The browser tab."""
    return str(request.session_hash or "")


def told(event: gr.EventData, name: str, kind: Any) -> Any:
    """What the browser says of an event. Raises gr.Error where it is no ``kind``."""
    value = event._data.get(name) if isinstance(event._data, dict) else None
    if value is None or not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise _incomplete()
    return value


def turn_of(event: gr.EventData) -> int:
    """The turn (from 0) of a message: questions and answers alternate."""
    index = told(event, "index", list | int)
    first = (index or [None])[0] if isinstance(index, list) else index
    if not isinstance(first, int):
        raise _incomplete()
    return first // 2


def _incomplete() -> gr.Error:
    return gr.Error("This event lacks what it needs. Reload the page.", print_exception=False)
