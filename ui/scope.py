"""Which documents a question asks: all of the collection, or chosen documents and folders."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rag.errors import UnknownSource
from rag.filters import attributes
from ui.escape import inert, name

if TYPE_CHECKING:
    from rag.library import Library
    from rag.types import Document

_MOST = 500


@dataclass(frozen=True, slots=True)
class Scope:
    """Documents by name and folders by path; both empty: all documents. False when it is all."""

    documents: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.documents or self.folders)

    @classmethod
    def parse(cls, text: str) -> Scope:
        """What ``text`` wrote down; all documents for anything else."""
        try:
            told = json.loads(text or "{}")
            return cls.of(told.get("documents", ()), told.get("folders", ()))
        except (ValueError, AttributeError):
            return cls()

    @classmethod
    def of(cls, documents: Sequence[Any], folders: Sequence[Any]) -> Scope:
        """The names among what a browser sent, each once."""
        return cls(*(tuple(dict.fromkeys(n for n in names if isinstance(n, str)))[:_MOST] for names in
                     (documents, folders)))  # fmt: skip

    def plain(self) -> dict[str, list[str]]:
        """JSON-ready, as records of answers keep it."""
        return {"documents": list(self.documents), "folders": list(self.folders)}

    def text(self) -> str:
        """For ``parse``; empty for all documents."""
        return json.dumps(self.plain()) if self else ""

    def without(self, name: str) -> Scope:
        """Without the document or folder of that name."""
        return Scope(tuple(d for d in self.documents if d != name), tuple(f for f in self.folders if f != name))

    def filters(self, library: Library, collection: str) -> dict[str, Any]:
        """The arguments of ``Library.stream`` for it. Raises UnknownSource when none of it is there any more."""
        if not self:
            return {}
        if not self.documents:
            return {"where": {"folder": list(self.folders)}}
        inside = [d.source for d in library.sources(collection) if self.holds(d)]
        if not inside:
            raise UnknownSource(
                "None of the documents that are to be asked is there any more.", hint="Choose others, or ask all."
            )
        return {"sources": inside}

    def holds(self, document: Document) -> bool:
        """Whether it is one of them."""
        folder = f"/{folder_of(document).strip('/')}/"
        return document.source in self.documents or any(f"/{one.strip('/')}/" in folder for one in self.folders)


def folder_of(document: Document) -> str:
    """The folder a document came from: a path, relative for what was added through the page; "" for none."""
    folder = str(attributes(document)["folder"])
    return "" if folder == "." else folder


def inner_folder(document: Document) -> str:
    """The same, without what lies above it on the machine's disks."""
    folder = folder_of(document)
    return short_folder(folder) if folder.startswith("/") else folder


def short_folder(folder: str) -> str:
    """The last two parts of a folder's path."""
    return "/".join(folder.rstrip("/").split("/")[-2:]) or "/"


def scope_html(scope: Scope) -> str:
    """A chip for each document and folder that is asked, with buttons to take it out; nothing while all are."""
    if not scope:
        return ""
    chips = [_chip(document, name(document)) for document in scope.documents]
    chips += [_chip(folder, f"{name(short_folder(folder))}/") for folder in scope.folders]
    return (
        '<div class="asking" role="group" aria-label="Documents that are asked"><span>Asks only</span>'
        f'{"".join(chips)}<button type="button" data-act="all">All documents</button></div>'
    )


def _chip(key: str, shown: str) -> str:
    return (
        f'<span class="one" title="{inert(key)}"><span>{shown}</span><button type="button" data-act="drop" '
        f'data-id="{inert(key)}" aria-label="Do not ask {shown}">✕</button></span>'
    )
