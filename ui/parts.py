"""The small fixed pieces of HTML of the page, and its scripts and styles."""

from __future__ import annotations

import shlex
from functools import cache
from importlib.resources import files
from pathlib import Path

from rag.documents import names
from rag.platform.confine import confinement
from ui.escape import inert, name

INTRO = "# What would you like to know?\nAnswers come only from your documents, with the passage next to each claim."
BRAND = '<h1 class="brand">Ask your documents</h1>'
SKIP = '<button type="button" data-skip>Skip to the question</button>'
ACTS = (
    '<button type="button" data-act="sheet" class="only-m">Sources</button>'
    '<button type="button" data-act="settings" aria-haspopup="dialog" aria-label="Settings" title="Settings">⚙</button>'
    '<button type="button" data-act="theme" aria-label="Light or dark" title="Light or dark">◐</button>'
)
DOCUMENTS = (
    '<button type="button" data-documents aria-haspopup="dialog"><b>Documents</b><span class="said"></span></button>'
)
SETTINGS = (
    '<div class="dhead"><h2>Settings</h2>'
    '<button type="button" data-act="close-settings" aria-label="Close settings" title="Close">✕</button></div>'
)
SPLITTERS = "".join(
    f'<div class="split" id="split-{pane}" role="separator" tabindex="0" aria-orientation="vertical" '
    f'aria-label="Width of the {said}" data-pane="{pane}"></div>'
    for pane, said in (("left", "sidebar"), ("sources", "sources"), ("reader", "reader"))
)
CONVERSATIONS = (
    '<h2 class="sec">Conversations</h2>'
    '<input type="search" placeholder="Search conversations" aria-label="Search conversations">'
)
_GOLD = "Saved; <code>rag gold draft --from-feedback</code> lists it. What must the answer say? (optional)"
SOURCES = (
    '<div class="shead"><h2>Sources</h2>'
    '<button type="button" data-act="close" class="only-m" aria-label="Close sources">✕</button></div>'
    '${(value || []).join("") || "<p class=hint>Passages used for an answer appear here. '
    'Click a number in the answer to jump to its passage.</p>"}'
)


@cache
def static(file: str) -> str:
    """A file of ``ui/static``."""
    return (files("ui") / "static" / file).read_text(encoding="utf-8")


def no_documents() -> str:
    """What stands in place of a chat while there is nothing to ask about."""
    return (
        "# Add your documents\nDrop files or folders anywhere on this page, or take “Add files” at the left. Then ask, "
        f"and every sentence names its source.\n\nThese are read: {names()}. Each file is read in a process of its own "
        f"that is confined: {confinement()[1]}."
    )


def head() -> str:
    """Styles and the shared script for the page's head; Gradio would prefix ``css=`` and break its media rules."""
    return f"<style>{static('page.css')}</style><script>{static('common.js')}</script>"


def drop_zone(limit: int) -> str:
    """The button for files, the list of files being sent, and the largest size in bytes."""
    return (
        '<ul class="list sending" aria-label="Uploads"></ul>'
        f'<div class="drop" data-limit="{limit}"><label>+ Add files<input type="file" multiple class="sr"></label>'
        '<label>folder<input type="file" webkitdirectory class="sr" aria-label="Add a folder"></label>'
        "<span>or drop</span></div>"
    )


def collection_acts(collection: str) -> str:
    """Buttons for the collection that is shown."""
    key, shown = inert(collection), name(collection)
    return (
        '<div class="sec-row"><h2 class="sec">Collection</h2><span class="minis">'
        '<button type="button" data-act="create" aria-label="New collection" title="New collection">+</button>'
        f'<button type="button" data-act="rename" data-id="{key}" data-name="{shown}" '
        'aria-label="Rename collection" title="Rename collection">✎</button>'
        f'<button type="button" data-act="delete" data-what="collection" data-id="{key}" data-name="{shown}" '
        'aria-label="Delete collection" title="Delete collection">✕</button></span></div>'
    )


def about(library: Path | None) -> str:
    """Where the library lies, and how the command line finds the same one; nothing of a server's disks."""
    if library is None:
        return ""
    path = name(str(library))
    return (
        f'<p class="about"><b>Library</b> <span title="{path}">{path}</span><br>The command line uses it with '
        f"<code>rag --library {inert(shlex.quote(str(library)))}</code></p>"
    )


def encoder_line(texts: int, pending: int) -> str:
    """How much of a collection the ranking model has seen; nothing once it has seen all."""
    if not pending or not texts:
        return ""
    share = max(0, texts - pending) / texts
    return (
        f'<p class="quiet" role="status">Getting sharper: {share:.0%} of the passages ranked in depth'
        f'<progress value="{share:.3f}" max="1" aria-label="Passages ranked in depth"></progress></p>'
    )


def exports(conversation: str) -> str:
    """Links to the conversation as a file; nothing while there is none."""
    if not conversation.isalnum():
        return ""
    links = (f'<a href="export/{conversation}.{kind}" download>{label}</a>' for kind, label in _EXPORTS)
    summary = '<button type="button" data-act="about">Summary</button>'
    return f'<div class="exports" id="export">{summary}<span>Export</span>{"".join(links)}</div>'


_EXPORTS = (("md", "Markdown"), ("json", "JSON"))


def note_form(turn: int, thumb: int, *, gold: bool = False) -> str:
    """A line below the chat to say why the answer of ``turn`` (from 0) was good or bad, or what it must say."""
    asked = _GOLD if gold else "Why? (optional)"
    return (
        f'<form class="note-form" data-turn="{turn}" data-thumb="{thumb}">'
        f'<label for="note-text">{asked}</label><input id="note-text" type="text" maxlength="1000">'
        '<button type="submit">Save note</button><button type="button" data-act="skip">Close</button></form>'
    )
