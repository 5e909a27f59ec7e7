"""Synced folders of collections: brought up to date as tasks of the server, and what is shown of them."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rag.errors import RagError
from rag.text import counted
from ui.signal import Signal

if TYPE_CHECKING:
    from rag.library import Library
    from rag.sync import MirroredFolder

logger = logging.getLogger(__name__)
_PATIENCE = 2.0


@dataclass(frozen=True, slots=True)
class FolderRow:
    """A folder that a collection mirrors. ``state``: "" (as it stood), ``syncing``, ``done`` or
    ``failed``; ``message`` says how it goes or went."""

    path: str
    state: str = ""
    message: str = ""


class Folders:
    """Brings folders of ``library`` up to date, one at a time. ``changed`` is told of every step."""

    def __init__(self, library: Library, changed: Signal) -> None:
        self._library = library
        self._changed = changed
        self._lock = threading.Lock()
        self._one = threading.Lock()
        self._rows: dict[tuple[str, str], FolderRow] = {}
        self._threads: list[threading.Thread] = []
        self._closed = False

    def rows(self, collection: str) -> list[FolderRow]:
        """The folders of a collection, by path, those that are only being added included."""
        try:
            known = {folder.path: _stands(folder) for folder in self._library.folders(collection)}
        except RagError:
            known = {}
        with self._lock:
            seen = {path: row for (of, path), row in self._rows.items() if of == collection}
        fresh = [path for path, row in seen.items() if path not in known and row.state != "done"]
        return [seen.get(path) or FolderRow(path, "", known[path]) for path in sorted({*known, *fresh})]

    def busy(self) -> bool:
        """Whether anything is being brought up to date."""
        with self._lock:
            return any(row.state == "syncing" for row in self._rows.values())

    def sync(self, path: str, collection: str) -> None:
        """Bring a folder up to date in the background; nothing while that is being done."""
        with self._lock:
            row = self._rows.get((collection, path))
            if self._closed or (row is not None and row.state == "syncing"):
                return
            self._rows[collection, path] = FolderRow(path, "syncing", "Waiting…")
            thread = threading.Thread(target=self._run, args=(path, collection), name="sync", daemon=True)
            self._threads = [*(t for t in self._threads if t.is_alive()), thread]
            thread.start()
        self._changed.notify()

    def forget(self, path: str, collection: str) -> None:
        """Mirror a folder no longer; its documents stay. Raises PathError for one that is not mirrored."""
        with self._lock:
            row = self._rows.pop((collection, path), None)
        if row is None or row.state != "failed" or path in {f.path for f in self._library.folders(collection)}:
            self._library.forget_folder(path, collection)
        self._changed.notify()

    def close(self) -> None:
        """Stop after the file in hand. May be called twice."""
        self._closed = True
        for thread in self._threads:
            thread.join(_PATIENCE)

    def _run(self, path: str, collection: str) -> None:
        end = FolderRow(path, "failed", "It ended because of a fault; the program's log says more.")
        counts: Counter[str] = Counter()
        try:
            with self._one, closing(self._library.sync_events(path, collection=collection)) as events:
                for event in events:
                    if self._closed:
                        return
                    counts[event.status] += 1
                    self._set(collection, FolderRow(path, "syncing", f"{event.done:,} of {event.total:,}"))
            end = FolderRow(path, "done", _told(counts))
        except RagError as error:
            end = FolderRow(path, "failed", error.explain())
        finally:
            self._set(collection, end)

    def _set(self, collection: str, row: FolderRow) -> None:
        with self._lock:
            self._rows[collection, row.path] = row
        self._changed.notify()


def _stands(folder: MirroredFolder) -> str:
    """How a folder stands, in a line."""
    if not folder.there:
        return "It is not there now; its documents stay."
    said = [counted(folder.documents, "document")]
    said += [f"{counted(folder.unread, 'file')} could not be read"] if folder.unread else []
    if folder.checked:
        said.append(f"synced {datetime.fromtimestamp(folder.checked, tz=UTC).astimezone():%d %b %Y, %H:%M}")
    return ", ".join(said)


def _told(counts: Counter[str]) -> str:
    said = [
        f"{counts[status]:,} {status}"
        for status in ("added", "updated", "moved", "removed", "failed")
        if counts[status]
    ]
    return f"Up to date: {', '.join(said)}." if said else "Up to date, nothing changed."
