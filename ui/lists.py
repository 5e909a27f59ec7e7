"""The page's lists as HTML: documents, files on their way in, conversations, model status."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath

from rag.documents import names, suffixes
from rag.text import counted
from rag.types import Document
from ui.escape import inert, name, plain_name, sentence
from ui.folders import FolderRow
from ui.scope import folder_of, inner_folder, short_folder

_KINDS = {".markdown": "MD", ".html": "WEB", ".htm": "WEB", ".xhtml": "WEB"}

_TAIL = 18
_LAMPS = {"ok": "ok", "quotes": "ok", "quotes-only": "warn", "missing": "warn", "down": "bad", "bad": "bad"}


@dataclass(frozen=True, slots=True)
class FileRow:
    """A file on its way in. ``state``: ``waiting``, ``reading``, ``asking`` (there is another one of its name),
    ``failed`` or ``done``; ``job`` names it, empty for one that an ingest of its folder could not read."""

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


def documents_html(
    collection: str,
    documents: Sequence[Document],
    files: Sequence[FileRow],
    folders: Sequence[FolderRow] | None = (),
    *,
    addresses: bool = False,
) -> str:
    """The documents of a collection in a place of their own: what needs a word, what failed, what comes, the folders it
    mirrors, what is there, by folder where there are several.

    ``.sync`` sums it up, for the button that opens it. Without ``folders`` no whole path of the machine is told.
    """
    asking = [_file(row) for row in files if row.state == "asking"]
    coming = [_file(row) for row in files if row.state not in ("asking", "failed")]
    rows = coming + _by_folder(documents, folder_of if folders is not None else inner_folder)
    empty = f'<li class="empty">No documents yet – drop files anywhere on this page: {names()}.</li>'
    synced = "" if folders is None else _synced(folders)
    synced += (
        '<div class="synced"><p><button type="button" data-addaddress>Add a web page…</button></p></div>' * addresses
    )
    blocks = f'<ul class="decide" aria-label="Files to decide on">{"".join(asking)}</ul>' if asking else ""
    return (
        f'<div class="dhead"><h2>Documents in “{name(collection)}”</h2>{_sync(len(documents), files)}'
        '<button type="button" data-close aria-label="Close documents" title="Close">✕</button></div>'
        f"{blocks}{_failures([row for row in files if row.state == 'failed'])}{synced}"
        f"{_TOOLS if documents else ''}"
        f'<ul class="list" aria-label="Documents" aria-describedby="docs-keys">{"".join(rows) or empty}</ul>'
        '<p id="docs-keys" class="keys">↑ ↓ move · Enter opens · Space selects · Delete removes</p>'
    )


def _by_folder(documents: Sequence[Document], told: Callable[[Document], str]) -> list[str]:
    """The documents, below their folders' names where there is more than one folder."""
    groups: dict[str, list[Document]] = {}
    for document in documents:
        groups.setdefault(told(document), []).append(document)
    if len(groups) < 2:
        return [_document(document) for document in documents]
    return [
        row
        for folder, group in sorted(groups.items(), key=lambda item: f"{item[0]}\uffff")  # inner folders first
        for row in (_folder(folder, len(group)), *(_document(document, folder) for document in group))
    ]


def _folder(folder: str, count: int) -> str:
    key, shown = inert(folder), name(short_folder(folder)) if folder else "Added one by one"
    ask = (
        f'<button type="button" tabindex="-1" data-folder-ask="{key}" aria-label="Ask only this: {shown}">Ask only this'
        "</button>"
    )
    return (
        f'<li class="group" data-folder="{key}"><span title="{key}">{shown}</span><small>{counted(count, "document")}'
        f"</small>{ask if folder else ''}</li>"
    )


def _synced(folders: Sequence[FolderRow]) -> str:
    """The folders that the collection mirrors, and the button for one more."""
    add = '<button type="button" data-addfolder>Sync a folder…</button>'
    listed = "".join(_synced_folder(row) for row in folders)
    shown = f'<ul aria-label="Synced folders">{listed}</ul>' if listed else ""
    told = counted(len(folders), "synced folder") if folders else "No synced folder"
    return f'<div class="synced"><p><span>{told}</span>{add}</p>{shown}</div>'


def _synced_folder(row: FolderRow) -> str:
    key, path = inert(row.path), name(row.path)
    said = (
        f'<small class="{"bad" if row.state == "failed" else ""}">{sentence(row.message)}</small>'
        if row.message
        else ""
    )
    act = '<progress aria-label="Being synced"></progress>'
    if row.state != "syncing":
        act = (
            f'<button type="button" data-act="sync" data-id="{key}" aria-label="Sync now: {path}">Sync now</button>'
            f'<button type="button" data-act="unsync" data-id="{key}" aria-label="Sync {path} no longer" '
            'title="Sync it no longer; its documents stay">✕</button>'
        )
    return f'<li><span class="dn" title="{path}">{_middle_cut(row.path)}{said}</span>{act}</li>'


_TOOLS = (
    '<div class="dtools"><input type="search" placeholder="Filter by name" aria-label="Filter documents">'
    '<label>Sort <select aria-label="Sort documents"><option value="name">Name</option>'
    '<option value="added">Newest first</option><option value="kind">Type</option>'
    '<option value="pages">Most pages</option></select></label>'
    '<label><input type="checkbox" class="all"> All shown</label><span class="shown" role="status"></span>'
    '<button type="button" class="only" data-only disabled>Ask only these</button>'
    '<button type="button" class="many" data-many disabled>Remove selected</button></div>'
)


def _sync(documents: int, files: Sequence[FileRow]) -> str:
    """Whether everything that was added can be searched."""
    coming = sum(row.state in ("waiting", "reading") for row in files)
    failed = sum(row.state == "failed" for row in files)
    asking = sum(row.state == "asking" for row in files)
    parts = [f"✓ {counted(documents, 'document')} can be asked"] if documents and not coming else []
    parts += [f"⟳ {counted(coming, 'file')} on the way"] if coming else []
    parts += [f'<span class="bad">{asking} to decide on</span>'] if asking else []
    parts += [f'<span class="bad">{failed} failed</span>'] if failed else []
    return f'<p class="sync" role="status">{" · ".join(parts) or "No documents yet"}</p>'


def _failures(rows: Sequence[FileRow]) -> str:
    """What was not read, those with the same reason together, to be dismissed at once."""
    if not rows:
        return ""
    groups: dict[str, list[FileRow]] = {}
    for row in rows:
        groups.setdefault(_reason(row, "…"), []).append(row)
    listed = "".join(
        "".join(_file(row) for row in group)
        if len(group) == 1
        else f'<li class="why"><span class="bad">Failed: {sentence(reason)}</span> {counted(len(group), "file")}:</li>'
        + "".join(_file(row, told=False) for row in group)
        for reason, group in groups.items()
    )
    jobs = ",".join(row.job for row in rows if row.job)
    dismiss = f'<button type="button" data-act="dismiss" data-id="{jobs}">Dismiss all</button>' if jobs else ""
    return (
        f'<details class="failures"{" open" if jobs else ""}><summary>{counted(len(rows), "file")} could not be read'
        f"</summary>{dismiss}"
        f'<ul aria-label="Files that failed">{listed}</ul></details>'
    )


def _reason(row: FileRow, instead: str) -> str:
    """Why a file failed, in words that fit all that failed alike."""
    message = row.message.replace(row.source, instead).replace(PurePosixPath(row.source).name, instead)
    return f"{message.removeprefix(f'{instead}: ')} {row.hint}".strip()


def _document(document: Document, folder: str | None = None) -> str:
    file, extension = name(document.source), kind(document.source)
    group = "" if folder is None else f' data-folder="{inert(folder)}"'
    button = (
        f'<button type="button" tabindex="-1" data-act="remove" data-id="{document.id}" data-name="{file}" '
        f'aria-label="Remove {file}" title="Remove">✕</button>'
    )
    return (
        f'<li class="doc" data-added="{document.added_at:.0f}" data-pages="{document.pages}" data-kind="{extension}"'
        f"{group}>"
        f'<input type="checkbox" tabindex="-1" value="{document.id}" aria-label="Select {file}">'
        f'<span class="ext">{extension}</span>'
        f'<button type="button" class="dn" tabindex="-1" data-act="open" data-id="{document.id}" title="{file}">'
        f"{_middle_cut(document.source)}<small>{_facts(document)}</small></button>{button}</li>"
    )


def _middle_cut(source: str) -> str:
    """A name of which the browser cuts the middle, where it is too long: its end tells files apart."""
    plain = plain_name(source)
    at = max(0, len(plain) - _TAIL)
    return f'<span class="cut"><span>{inert(plain[:at])}</span><span>{inert(plain[at:])}</span></span>'


def _facts(document: Document) -> str:
    facts = [counted(document.pages, "page")] if document.pages else []
    facts.append(counted(document.passages, "passage"))
    if document.empty_pages:
        facts.append(f'<span class="w">⚠ {document.empty_pages} without text</span>')
    added = datetime.fromtimestamp(document.added_at, tz=UTC).astimezone()
    facts.append(f'<time datetime="{added:%Y-%m-%dT%H:%M}">{added:%d %b %Y}</time>')
    return " · ".join(facts)


def _file(row: FileRow, *, told: bool = True) -> str:
    file = name(row.source)
    said = {"waiting": "Waiting…", "reading": "Reading and indexing…"}.get(row.state, "")
    hint = f" {sentence(row.hint)}" if row.hint else ""
    if row.state == "failed":
        said = f'<span class="bad">Failed: {sentence(row.message)}{hint}</span>' if told else ""
    elif row.state == "asking":
        said = f'<span class="w">{sentence(row.message)}{hint}</span>'
    elif row.state == "done":
        said = f'<span class="ok">✓ {inert(row.message)}</span>'
    bar = f'<progress aria-label="Indexing {file}"></progress>' if row.state == "reading" else ""
    label = {"waiting": "Cancel", "asking": "Leave out"}.get(row.state, "Dismiss")
    buttons = ""
    if row.state == "asking":
        buttons = "".join(
            f'<button type="button" data-act="same" data-id="{row.job}" data-choice="{choice}" '
            f'aria-label="{words}: {file}">{words}</button>'
            for choice, words in (("replace", "Replace"), ("keep", "Keep both"))
        )
    if row.state != "reading" and row.job:
        buttons += (
            f'<button type="button" data-act="dismiss" data-id="{row.job}" aria-label="{label} {file}" '
            f'title="{label}">✕</button>'
        )
    return (
        f'<li class="doc file {row.state}"><span class="ext">{kind(row.source)}</span>'
        f'<span class="dn" title="{file}"><span>{file}</span><small>{said}</small>{bar}</span>{buttons}</li>'
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
        f'<button type="button" class="pick" tabindex="-1" data-act="pick" data-id="{key}" title="{title}"{here}>'
        f'{title}</button><button type="button" class="mini" tabindex="-1" data-act="rename" data-id="{key}" '
        f'data-name="{title}" aria-label="Rename {title}" title="Rename (F2)">✎</button>'
        f'<button type="button" class="mini" tabindex="-1" data-act="delete" data-id="{key}" data-name="{title}" '
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
