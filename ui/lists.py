"""The sidebar's lists as HTML: documents, files on their way in, conversations, model status."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from rag.documents import names, suffixes
from rag.text import counted
from rag.types import Document
from ui.escape import inert, name, sentence

_KINDS = {".markdown": "MD", ".html": "WEB", ".htm": "WEB", ".xhtml": "WEB"}

_LAMPS = {"ok": "ok", "quotes": "ok", "quotes-only": "warn", "missing": "warn", "down": "bad", "bad": "bad"}


@dataclass(frozen=True, slots=True)
class FileRow:
    """A file on its way in. ``state``: ``waiting``, ``reading``, ``failed`` or ``done``; ``job`` names it."""

    job: str
    source: str
    state: str
    message: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class ConversationRow:
    """A conversation in the list."""

    id: str
    title: str
    collection: str
    turns: int


@dataclass(frozen=True, slots=True)
class Status:
    """What answers. ``state``: ``ok``, ``quotes``, ``quotes-only``, ``down``, ``missing``, ``pulling``, ``loading``
    or ``bad``.

    ``message`` is short, ``hint`` says what to do about it. ``model`` is what a download button would fetch;
    ``percent`` is set while one runs (None: not known yet).
    """

    state: str
    message: str
    hint: str = ""
    model: str = ""
    size: str = ""
    percent: float | None = None


def kind(source: str) -> str:
    """A short word for a file's format."""
    suffix = PurePosixPath(source).suffix.lower()
    return _KINDS.get(suffix, suffix[1:6].upper() if suffix in suffixes() else "FILE")


def documents_html(documents: Sequence[Document], files: Sequence[FileRow]) -> str:
    """The documents of a collection, below the files that are on their way in."""
    rows = [_file(row) for row in files] + [_document(document) for document in documents]
    empty = f'<li class="empty">No documents yet – drop files anywhere on this page: {names()}.</li>'
    listed = f'<ul class="list" aria-label="Documents">{"".join(rows) or empty}</ul>'
    return f'<h2 class="sec">Documents</h2>{listed}{_sync(len(documents), files)}'


def _sync(documents: int, files: Sequence[FileRow]) -> str:
    """Whether everything that was added can be searched."""
    coming = sum(row.state in ("waiting", "reading") for row in files)
    failed = sum(row.state == "failed" for row in files)
    parts = [f"✓ {counted(documents, 'document')} in step"] if documents and not coming else []
    parts += [f"⟳ {counted(coming, 'file')} on the way"] if coming else []
    parts += [f'<span class="bad">{failed} failed</span>'] if failed else []
    return f'<p class="sync" role="status">{" · ".join(parts)}</p>' if parts else ""


def _document(document: Document) -> str:
    file = name(document.source)
    button = (
        f'<button type="button" data-act="remove" data-id="{document.id}" data-name="{file}" '
        f'aria-label="Remove {file}" title="Remove">✕</button>'
    )
    return (
        f'<li class="doc"><span class="ext">{kind(document.source)}</span>'
        f'<button type="button" class="dn" data-act="open" data-id="{document.id}" title="{file}">'
        f"<span>{file}</span><small>{_facts(document)}</small></button>{button}</li>"
    )


def _facts(document: Document) -> str:
    facts = [counted(document.pages, "page")] if document.pages else []
    facts.append(counted(document.passages, "passage"))
    if document.empty_pages:
        facts.append(f'<span class="w">⚠ {document.empty_pages} without text</span>')
    return " · ".join(facts)


def _file(row: FileRow) -> str:
    file = name(row.source)
    said = {"waiting": "Waiting…", "reading": "Reading and indexing…"}.get(row.state, "")
    if row.state == "failed":
        hint = f" {sentence(row.hint)}" if row.hint else ""
        said = f'<span class="bad">Failed: {sentence(row.message)}{hint}</span>'
    elif row.state == "done":
        said = f'<span class="ok">✓ {inert(row.message)}</span>'
    bar = f'<progress aria-label="Indexing {file}"></progress>' if row.state == "reading" else ""
    label = "Cancel" if row.state == "waiting" else "Dismiss"
    button = (
        ""
        if row.state == "reading"
        else f'<button type="button" data-act="dismiss" data-id="{row.job}" aria-label="{label} {file}" '
        f'title="{label}">✕</button>'
    )
    return (
        f'<li class="doc file {row.state}"><span class="ext">{kind(row.source)}</span>'
        f'<span class="dn" title="{file}"><span>{file}</span><small>{said}</small>{bar}</span>{button}</li>'
    )


def conversations_html(rows: Iterable[ConversationRow], current: str, *, searched: bool = False) -> str:
    """The conversations, latest first, with buttons to rename and delete."""
    listed = "".join(_conversation(row, row.id == current) for row in rows)
    empty = f'<li class="empty">{"Nothing found." if searched else "No conversations yet."}</li>'
    return f'<ul class="list" aria-label="Conversations">{listed or empty}</ul>'


def _conversation(row: ConversationRow, current: bool) -> str:
    title, key = name(row.title), inert(row.id)
    here = ' aria-current="true"' if current else ""
    return (
        f'<li class="conv{" cur" if current else ""}">'
        f'<button type="button" class="pick" data-act="pick" data-id="{key}" title="{title}"{here}>{title}</button>'
        f'<button type="button" class="mini" data-act="rename" data-id="{key}" data-name="{title}" '
        f'aria-label="Rename {title}" title="Rename">✎</button>'
        f'<button type="button" class="mini" data-act="delete" data-id="{key}" data-name="{title}" '
        f'aria-label="Delete {title}" title="Delete">✕</button></li>'
    )


def status_html(status: Status) -> str:
    """What answers, what is wrong with it, and the one button that helps."""
    lamp = _LAMPS.get(status.state, "busy")
    said = f'<span class="said" title="{inert(status.message)}">{inert(status.message)}</span>'
    if status.state == "pulling":
        share = "" if status.percent is None else f' value="{status.percent:.1f}"'
        said += f'<progress max="100"{share} aria-label="Download of {inert(status.model)}"></progress>'
        said += '<button type="button" data-act="cancel">Cancel</button>'
    elif status.model:
        size = f" {inert(status.size)}" if status.size else ""
        said += f'<button type="button" data-act="pull" data-id="{inert(status.model)}">Download{size}</button>'
    if status.state in ("down", "bad", "quotes-only"):
        said += '<button type="button" data-act="check">Check again</button>'
    return f'<div class="st {lamp}" role="status"><i aria-hidden="true"></i>{said}</div>'


def notices_html(notices: Sequence[str]) -> str:
    """What to know beside every answer; nothing when there is nothing."""
    listed = "".join(f'<li dir="auto">{sentence(notice)}</li>' for notice in notices)
    return f'<ul class="notices" aria-label="Notices">{listed}</ul>' if listed else ""
