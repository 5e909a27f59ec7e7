"""The reader: a document of the list or of a card, opened and turned."""

from __future__ import annotations

from collections.abc import Callable

import gradio as gr

from rag.errors import RagError
from ui.components import Components
from ui.panels.changes import ALWAYS, Changes, told, warn
from ui.reader import Opened
from ui.site import Site


class ReaderPanel:
    """A method for each event."""

    def __init__(self, site: Site, components: Components) -> None:
        self._reader = site.reader
        self._parts = components

    def wire(self) -> None:
        """Give the events to their methods."""
        ui = self._parts
        ui.documents.open(self.open_document, None, ui.reader, **ALWAYS)
        ui.sources.open(self.open_card, ui.conversation, ui.reader, **ALWAYS)
        ui.reader.turn(self.turn_to, None, ui.reader, **ALWAYS)

    def open_document(self, event: gr.EventData) -> Changes:
        return self._show(lambda: self._reader.open_document(told(event, "id", str)))

    def open_card(self, conversation: str, event: gr.EventData) -> Changes:
        return self._show(lambda: self._reader.open_card(told(event, "id", str), conversation or ""))

    def turn_to(self, event: gr.EventData) -> Changes:
        return self._show(lambda: self._reader.turn_to(told(event, "id", str), told(event, "offset", int)))

    def _show(self, opened: Callable[[], Opened]) -> Changes:
        try:
            document = opened()
        except RagError as error:
            warn(error.explain())
            return {self._parts.reader: gr.skip()}
        warn(document.warning)
        return {self._parts.reader: document.html}
