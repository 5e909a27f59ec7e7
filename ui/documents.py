"""What the page does with documents and collections: list, remove, follow files on their way in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rag.errors import RagError
from ui.folders import Folders
from ui.intake import Intake
from ui.lists import FileRow, documents_html
from ui.reader import document_of
from ui.views import Views

if TYPE_CHECKING:
    from rag.library import Library

_PATIENCE = 1.0
_COALESCE = 0.1
_LONGEST_ADDRESS = 2_000


@dataclass(frozen=True, slots=True)
class DocumentsUpdate:
    """What is to change beside the chat; None leaves a part as it is."""

    documents: str | None = None
    collections: list[str] | None = None
    collection: str | None = None
    empty: bool | None = None
    warning: str = ""


class Documents:
    """Documents and collections of ``library`` for the page. All methods may block; none needs Gradio.

    ``folders`` brings synced ones up to date; None where who sees the page is to learn nothing of its machine's disks.
    ``addresses``: whether pages of the web can be put in by their address.
    """

    def __init__(
        self, library: Library, intake: Intake, folders: Folders | None, *, addresses: bool = False
    ) -> None:  # fmt: skip
        self._addresses = addresses
        self._library = library
        self._intake = intake
        self._folders = folders
        self._views = Views[str]()

    def show(self, collection: str, view: str = "") -> DocumentsUpdate:
        """Everything about a collection, or about the default one when it is gone. From now on the browser tab ``view``
        shows it: no other one is followed there."""
        names = list(self._library.collections.names())
        chosen = collection if collection in names else self._default(names)
        if view:
            self._views.show(view, chosen)
        return DocumentsUpdate(
            self._documents(chosen),
            names,
            chosen,
            empty=chosen not in names or not self._library.sources(chosen),
        )

    async def follow(self, collection: str, view: str = "") -> AsyncIterator[str]:
        """The documents whenever a file moves on, until none is on its way, or the ``view`` shows other ones."""
        shown = ""
        while True:
            seen, busy = self._intake.changed.version, self._busy()
            listed = await asyncio.to_thread(self._documents, collection)
            if self._views.get(view) not in (None, collection):
                return
            if listed != shown:
                shown = listed
                yield listed
            if not busy and self._intake.changed.version == seen:
                return
            await self._intake.changed.wait(seen, _PATIENCE)
            await asyncio.sleep(_COALESCE)

    def _busy(self) -> bool:
        return self._intake.busy() or (self._folders is not None and self._folders.busy())

    def dismiss(self, jobs: str, collection: str) -> DocumentsUpdate:
        """Cancel waiting files or take failed ones off the list; ``jobs`` are parted by commas."""
        for job in jobs.split(","):
            self._intake.dismiss(job)
        return DocumentsUpdate(self._documents(collection))

    def decide(self, job: str, choice: str, collection: str) -> DocumentsUpdate:
        """Have a file replace the document of its name, or keep both."""
        self._intake.decide(job, "replace" if choice == "replace" else "keep")
        return DocumentsUpdate(self._documents(collection))

    def remove(self, document_ids: str, collection: str) -> DocumentsUpdate:
        """Remove documents from the library; their numbers are parted by commas."""
        try:
            for document_id in document_ids.split(","):
                self._library.remove(document_of(self._library, document_id).source, collection)
        except RagError as error:
            return replace(self.show(collection), warning=error.explain())
        finally:
            self._intake.changed.notify()  # a listing on its way may be of before
        return self.show(collection)

    def sync(self, path: str, collection: str) -> DocumentsUpdate:
        """Begin to mirror a folder, or to bring a mirrored one up to date."""
        if self._folders is None:
            return DocumentsUpdate(warning="Folders of the server are synced by `rag sync FOLDER` on it.")
        place = str(Path(path).expanduser())
        if not Path(place).is_absolute():
            return DocumentsUpdate(warning=f"{path} is no whole path.\nGive one that begins at the root of a disk.")
        self._folders.sync(place, collection)
        return DocumentsUpdate(self._documents(collection))

    def fetch(self, address: str, collection: str) -> DocumentsUpdate:
        """Begin to put in the page of the web at an address."""
        if not self._addresses:
            return DocumentsUpdate(
                warning='Addresses are not fetched here.\nThe setting addresses = "public" allows it.'
            )
        typed = address.strip()
        if not typed.lower().startswith(("http://", "https://")) or len(typed) > _LONGEST_ADDRESS:
            return DocumentsUpdate(warning="This is no address of the web.\nIt begins with https:// or http://.")
        self._intake.fetch(typed, collection)
        return DocumentsUpdate(self._documents(collection))

    def unsync(self, path: str, collection: str) -> DocumentsUpdate:
        """Mirror a folder no longer; its documents stay."""
        try:
            if self._folders is not None:
                self._folders.forget(path, collection)
        except RagError as error:
            return DocumentsUpdate(self._documents(collection), warning=error.explain())
        return DocumentsUpdate(self._documents(collection))

    def create(self, name: str, view: str = "") -> DocumentsUpdate:
        """Make a collection and show it."""
        return self._changed(lambda: self._library.collections.create(name), view, name)

    def rename(self, old: str, new: str, view: str = "") -> DocumentsUpdate:
        """Give a collection another name."""
        return self._changed(lambda: self._library.collections.rename(old, new), view, new, old)

    def delete(self, name: str, view: str = "") -> DocumentsUpdate:
        """Remove a collection with its documents; the default one is made anew when none is left."""
        return self._changed(lambda: self._library.collections.delete(name), view, "", name)

    def _changed(self, change: Callable[[], None], view: str, show: str, otherwise: str = "") -> DocumentsUpdate:
        try:
            change()
            self._library.collections.ensure()
        except RagError as error:
            return DocumentsUpdate(
                collections=[*self._library.collections.names()], collection=otherwise or None, warning=error.explain()
            )
        return self.show(show, view)

    def _default(self, names: list[str]) -> str:
        wanted = self._library.config.collection
        return wanted if wanted in names or not names else names[0]

    def _documents(self, collection: str) -> str:
        known = collection in self._library.collections.names()
        files = self._intake.rows(collection)
        coming = {row.source for row in files if row.state == "reading"}
        documents = self._library.sources(collection) if known else ()
        there = [document for document in documents if document.source not in coming]
        unread = self._library.unread(collection) if known else ()
        taken = {row.source for row in files}
        files += [FileRow("", u.source, "failed", u.error, u.hint) for u in unread if u.source not in taken]
        folders = None if self._folders is None else self._folders.rows(collection)
        return documents_html(collection, there, files, folders, addresses=self._addresses)
