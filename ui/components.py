"""The page's components and where they stand."""

from __future__ import annotations

from typing import Any

import gradio as gr

from ui import parts
from ui.login import ACCOUNT_LINK
from ui.site import Site


def html(value: Any = "", script: str | None = None, **more: Any) -> gr.HTML:
    """A part whose content is escaped HTML made by this package; ``script`` only adds behaviour."""
    return gr.HTML(value, js_on_load=parts.static(script) if script else None, apply_default_css=False, **more)


class Components:
    """Made inside ``gr.Blocks``; the initial values are what a page shows before its first event."""

    def __init__(self, site: Site) -> None:
        html(parts.SKIP, elem_id="skip")
        self.conversation = gr.Textbox(visible="hidden", elem_id="conversation")
        self.scope = gr.Textbox(visible="hidden", elem_id="scope")
        with gr.Sidebar(width=288, elem_id="left"):
            self._sidebar(site)
        with gr.Row(elem_id="top"):
            self.status = html("", "list.js", elem_id="status")
            html(parts.ACTS, "top.js", elem_id="acts")
        with gr.Row(elem_id="main"):
            with gr.Column(scale=1, min_width=320, elem_id="chatcol"):
                self.notices = html("", elem_id="notices")
                self._chat_column()
            with gr.Column(scale=0, min_width=380, elem_id="srccol"):
                self.sources = html([], "sources.js", html_template=parts.SOURCES, elem_id="sources")
        self.documents = html("", "documents.js", elem_id="docs")
        self.reader = html("", "reader.js", elem_id="reader")
        with gr.Column(elem_id="settings"):
            self._settings(site)
        html(parts.SPLITTERS, "panes.js", elem_id="panes")
        self.timer = gr.Timer(15)

    def _sidebar(self, site: Site) -> None:
        names, chosen = list(site.library.collections.names()), "" if site.people else site.library.config.collection
        html(parts.BRAND)
        if site.people:
            html(ACCOUNT_LINK, elem_id="who")
        self.new = gr.Button("New chat", variant="primary", size="sm", elem_id="new")
        self.collection_acts = html(parts.collection_acts(chosen), "list.js", elem_id="collacts")
        self.collection = gr.Dropdown(
            names, value=chosen, label="Collection", show_label=False, elem_id="coll", allow_custom_value=True
        )
        html(parts.DOCUMENTS, elem_id="docsum")
        self.upload = html(parts.drop_zone(site.upload_bytes), "upload.js", elem_id="up")
        self.encoder = html("", elem_id="encoder")
        self.find = html(parts.CONVERSATIONS, "list.js", elem_id="histfind")
        self.history = html("", "list.js", elem_id="hist")
        self.exports = html("", "list.js", elem_id="exports")

    def _settings(self, site: Site) -> None:
        html(parts.SETTINGS)
        self.model = gr.Dropdown([], label="Answers are written by", elem_id="model", allow_custom_value=True)
        self.embedding = html("", "list.js", elem_id="embedding")
        html(parts.about(site.library.path if site.local else None), elem_id="about")

    def _chat_column(self) -> None:
        self.chat = gr.Chatbot(
            elem_id="chat", show_label=False, layout="bubble", buttons=["copy"], editable="user", autoscroll=False,
            height="100%", container=False, latex_delimiters=[], placeholder=parts.INTRO, allow_tags=False,
            feedback_options=("Like", "Dislike"), group_consecutive_messages=False,
        )  # fmt: skip
        self.suggestions = html("", "list.js", elem_id="suggestions")
        self.feedback = html("", "feedback.js", elem_id="feedback")
        self.asking = html("", "list.js", elem_id="asking")
        self.box = gr.Textbox(
            placeholder="Ask about your documents…", show_label=False, label="Question", lines=1,
            max_lines=8, submit_btn=True, autofocus=True, elem_id="box", container=False,
        )  # fmt: skip

    @property
    def for_chat(self) -> list[Any]:
        """What a handler of the chat may change."""
        return [
            self.chat, self.sources, self.box, self.conversation, self.collection, self.history, self.exports,
            self.feedback,
        ]  # fmt: skip

    @property
    def growing(self) -> list[Any]:
        """What changes while an answer is written."""
        return [self.chat, self.sources]

    @property
    def for_documents(self) -> list[Any]:
        """What a handler of documents and collections may change."""
        return [self.documents, self.collection, self.collection_acts, self.chat]

    @property
    def for_models(self) -> list[Any]:
        """What a handler of models may change."""
        return [self.status, self.notices, self.model]
