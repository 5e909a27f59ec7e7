"""A folder mirrored by a collection: what is new, changed, moved or gone in it is so in the library."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rag.config import Limits
from rag.documents import IGNORE_FILE, Discovery, SourceFile, discover_folder, read_file
from rag.errors import DocumentError, PathError, RagError
from rag.ingest import Ingestor, failure, told
from rag.platform.files import as_text
from rag.store.names import outer_origins
from rag.store.truth import Collection, Truth
from rag.types import Document, IngestEvent, IngestStatus

SETTING = "folders"
_CHECKED = "checked-folders:"
_DEBOUNCE_MS = 300
_STEP_MS = 50
_MOST_CHANGED = 1_000


@dataclass(frozen=True, slots=True)
class SyncedFolder:
    """A folder that a collection mirrors, and which of its files: patterns as in a ``.gitignore``."""

    path: str
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MirroredFolder:
    """A folder that is mirrored, and how it stands: how many ``documents`` came from it, how many of its files are
    ``unread``, when it was last ``checked`` whole (UNIX seconds; 0 for never), and whether it is ``there`` now."""

    path: str
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    documents: int
    unread: int
    checked: float
    there: bool


def mirrored(truth: Truth, collection: Collection) -> tuple[MirroredFolder, ...]:
    """The folders that a collection mirrors, by path, and how each stands."""
    folders = synced_folders(collection)
    if not folders:
        return ()
    origins = [document.origin for document in truth.documents.list(collection.id)]
    unread = [origin for file in truth.documents.unread(collection.id) for origin in outer_origins(file.origin)[:1]]
    checked = truth.settings.get(f"{_CHECKED}{collection.id}") or {}
    found = []
    for folder in folders:
        below = f"{folder.path.rstrip('/')}/"
        found.append(MirroredFolder(
            folder.path, folder.include, folder.exclude, sum(one.startswith(below) for one in origins),
            sum(one.startswith(below) for one in unread), float(checked.get(folder.path, 0)),
            Path(folder.path).is_dir(),
        ))  # fmt: skip
    return tuple(found)


def synced_folders(collection: Collection) -> tuple[SyncedFolder, ...]:
    """The folders that a collection was told to mirror, by path."""
    stored: Mapping[str, Mapping[str, Sequence[str]]] = collection.settings.get(SETTING, {})
    return tuple(SyncedFolder(path, tuple(of["include"]), tuple(of["exclude"])) for path, of in sorted(stored.items()))


def remember(truth: Truth, collection: Collection, folder: SyncedFolder) -> None:
    """Keep a folder among those that the collection mirrors."""
    stored = dict(truth.collections.get(collection.name).settings.get(SETTING, {}))
    wanted = {"include": list(folder.include), "exclude": list(folder.exclude)}
    if stored.get(folder.path) != wanted:
        truth.collections.set_setting(collection.id, SETTING, {**stored, folder.path: wanted})


def forget(truth: Truth, collection: Collection, path: str) -> None:
    """Mirror a folder no longer; its documents stay. Raises PathError for one that is not mirrored."""
    stored = dict(collection.settings.get(SETTING, {}))
    if path not in stored:
        known = f"There are: {', '.join(stored)}." if stored else "There is none."
        raise PathError(f"{path} is no folder that {collection.name} mirrors.", hint=known)
    del stored[path]
    truth.collections.set_setting(collection.id, SETTING, stored or None)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a pass has to do: documents that lie elsewhere now, files to read, documents whose file is gone."""

    found: Discovery
    moved: tuple[tuple[Document, SourceFile], ...]
    files: tuple[SourceFile, ...]
    gone: tuple[Document, ...]
    known: Mapping[str, Document]

    def numbered(self, events: Iterator[IngestEvent]) -> Iterator[IngestEvent]:
        total = len(self.moved) + len(self.files) + len(self.found.refused) + len(self.gone)
        for done, event in enumerate(events, start=1):
            yield replace(event, done=done, total=max(done, total))


def foretold(
    folder: SyncedFolder, limits: Limits, documents: Sequence[Document], *, allow_deletions: bool = False
) -> Iterator[IngestEvent]:
    """The events that mirroring a folder in a collection of these documents would have, as far as the files' bytes
    tell; nothing is changed. Raises PathError as ``Mirror.events`` does."""
    plan = _Planner(folder, limits, documents).plan(allow_deletions=allow_deletions)
    yield from plan.numbered(_foretold(plan, limits))


def _foretold(plan: _Plan, limits: Limits) -> Iterator[IngestEvent]:
    for refused in plan.found.refused:
        yield failure(refused.source, refused.error, refused.path)
    for document, file in plan.moved:
        yield replace(_told(document, "moved", file.path), source=file.source)
    for file in plan.files:
        try:
            digest = _digest(file, limits)
        except DocumentError as error:
            yield failure(file.source, error, file.path)
            continue
        known = plan.known.get(file.origin)
        status: IngestStatus = "added" if known is None else "unchanged" if known.sha256 == digest else "updated"
        yield IngestEvent(known.source if known else file.source, status, 0, 0, path=str(file.path))
    for document in plan.gone:
        yield _told(document, "removed")


class Mirror:
    """Makes one collection mirror one folder, as often as ``events`` is called.

    A file whose size, times and number on the disk are those of the last look at it is not read again.
    """

    def __init__(self, truth: Truth, collection: Collection, folder: SyncedFolder, limits: Limits) -> None:
        self._truth = truth
        self._collection = collection
        self._folder = folder
        self._limits = limits
        self._whole = True

    def events(
        self, ingestor: Ingestor, *, allow_deletions: bool = False, changed: frozenset[Path] | None = None
    ) -> Iterator[IngestEvent]:
        """Bring the collection in step, an event a document: ``moved``, as in an ingest, and at last ``removed``.

        A file whose bytes a vanished document had is that document, moved: nothing is embedded for it. A file that
        cannot be read keeps the document it had. With the paths that ``changed`` since the last pass of this object,
        only those are looked at, where they say all there is to know. Raises PathError when the folder is not there;
        and, unless ``allow_deletions``, when it is empty or more than half of its documents would be removed: a disk
        that is not mounted looks like that.
        """
        documents = self._truth.documents.list(self._collection.id)
        planner = _Planner(self._folder, self._limits, documents)
        telling = changed is not None and not self._whole and _tells_all(changed)
        self._whole = True  # until this pass has ended well
        plan = planner.plan(allow_deletions=allow_deletions, only=changed if telling else None)
        ended = False
        try:
            yield from plan.numbered(self._steps(plan, ingestor))
            ended = True
        finally:
            looked_at = [str(path) for path in changed or ()] if telling else [self._folder.path]
            ingestor.note_unread(looked_at if ended else [], plan.found)
        self._whole = any(str(file.path) != file.origin for file in plan.found.files)  # links change unseen
        if not telling:
            self._note_checked()

    def _note_checked(self) -> None:
        key = f"{_CHECKED}{self._collection.id}"
        self._truth.settings.set(key, {**(self._truth.settings.get(key) or {}), self._folder.path: time.time()})

    def _steps(self, plan: _Plan, ingestor: Ingestor) -> Iterator[IngestEvent]:
        for refused in plan.found.refused:
            yield ingestor.refuse(refused)
        for document, file in plan.moved:
            now = self._truth.documents.move(self._collection.id, document.id, file.origin, file.name)
            yield _told(now, "moved", file.path)
        yield from ingestor.run(plan.files, plan.known)
        for document in plan.gone:
            self._truth.documents.remove(self._collection.id, document.source)
            yield _told(document, "removed")


def _tells_all(changed: frozenset[Path]) -> bool:
    """Whether these paths say what a pass has to look at: not when rules may have changed, nor when so much happened
    that the system may have kept some of it to itself."""
    return len(changed) <= _MOST_CHANGED and not any(path.name == IGNORE_FILE for path in changed)


class _Planner:
    """What has to be done for ``documents``, all those of a collection, to be a folder's."""

    def __init__(self, folder: SyncedFolder, limits: Limits, documents: Sequence[Document]) -> None:
        inside = f"{as_text(Path(folder.path)).rstrip('/')}/"
        self._folder = folder
        self._limits = limits
        self._known = {document.origin: document for document in documents if document.origin.startswith(inside)}

    def plan(self, *, allow_deletions: bool, only: frozenset[Path] | None = None) -> _Plan:
        folder = self._folder
        found = discover_folder(Path(folder.path), self._limits, folder.include, folder.exclude, only)
        present = {file.origin for file in found.files}
        kept = tuple(refused.origin for refused in found.refused)
        looked_at = None if only is None else [as_text(path) for path in only]
        gone = {
            origin: document
            for origin, document in self._known.items()
            if origin not in present and not _at_or_below(origin, kept)
            and (looked_at is None or _at_or_below(origin, looked_at))
        }  # fmt: skip
        if only is not None and len(gone) == len(self._known):
            return self.plan(allow_deletions=allow_deletions)  # perhaps all of the folder is gone
        moved = self._moved(found.files, self._known, gone) if gone else []
        lost = [document for origin, document in gone.items() if origin not in {one.origin for one, _ in moved}]
        if not allow_deletions:
            empty = only is None and not found.files and not found.refused
            self._expect_plausible(len(lost), len(self._known), empty=empty)
        elsewhere = {file.origin for _, file in moved}
        fresh = [file for file in found.files if file.origin not in elsewhere]
        return _Plan(found, tuple(moved), tuple(fresh), tuple(lost), self._known)

    def _moved(
        self, files: Sequence[SourceFile], known: Mapping[str, Document], gone: Mapping[str, Document]
    ) -> list[tuple[Document, SourceFile]]:
        """The vanished documents whose bytes lie in a new file, each with it."""
        waiting: dict[str, list[Document]] = {}
        for document in gone.values():
            waiting.setdefault(document.sha256, []).append(document)
        moved = []
        for file in files:
            if file.origin in known or not waiting:
                continue
            try:
                same = waiting.get(_digest(file, self._limits))
            except DocumentError:
                continue  # read again, and told, when it is ingested
            if same:
                moved.append((same.pop(0), file))
        return moved

    def _expect_plausible(self, lost: int, known: int, *, empty: bool) -> None:
        if empty:
            raise PathError(
                f"The folder {self._folder.path} is empty; its {known} documents stay.",
                hint="Check that its disk is mounted, or run `rag sync` with --allow-deletions.",
            )
        if lost > 1 and 2 * lost > known:
            raise PathError(
                f"{lost} of {known} documents of {self._folder.path} are no longer there; nothing was changed.",
                hint="If they shall go, run `rag sync` with --allow-deletions.",
            )


def changes(
    folders: Sequence[str], stop: threading.Event
) -> Iterator[Mapping[str, frozenset[Path] | None]]:  # fmt: skip
    """Which of these folders changed, and which paths in each: all of them at first, None meaning anything, then
    whenever one did, until ``stop`` is set.

    Whatever happens from the first on is told. Raises PathError for a folder that is not there.
    """
    from watchfiles import watch

    begun = False
    try:
        for batch in watch(
            *folders, stop_event=stop, debounce=_DEBOUNCE_MS, step=_STEP_MS, rust_timeout=_STEP_MS, watch_filter=None,
            raise_interrupt=False, yield_on_timeout=True,
        ):  # fmt: skip
            if not begun:
                begun = True
                yield dict.fromkeys(folders)
            elif batch:
                paths = {Path(path) for _, path in batch}
                within = {one: frozenset(path for path in paths if path.is_relative_to(one)) for one in folders}
                yield {folder: changed for folder, changed in within.items() if changed}
    except FileNotFoundError as error:
        raise PathError(
            f"A folder to watch is not there: {error}.", hint="Check that its disk is mounted, or forget it."
        ) from error


def unless_refused(events: Iterator[IngestEvent], folder: str) -> Iterator[IngestEvent]:
    """The events of a pass; what ends it becomes one, since a watch goes on."""
    try:
        yield from events
    except RagError as error:
        yield IngestEvent(folder, "failed", 1, 1, error=str(error), hint=error.hint, code=error.code)


def _told(document: Document, status: IngestStatus, path: Path | None = None) -> IngestEvent:
    return told(document, status, path=str(path or document.origin))


def _digest(file: SourceFile, limits: Limits) -> str:
    return hashlib.sha256(read_file(file, limits)).hexdigest()


def _at_or_below(origin: str, paths: Sequence[str]) -> bool:
    return any(origin == one or origin.startswith(f"{one}/") for one in paths)
