"""Files and typed addresses on their way in: files are received in pieces into a private folder; then ingested, both,
in the background.

A received file is a job that any page of this server sees, so a reload loses nothing. It lies in a folder of the
library, under the name it came with and beside a note of what is to be done with it, until it is in the library or
refused: what was accepted when the program ended, however it did, is read by the next one.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import shutil
import threading
import uuid
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

from rag.errors import LimitExceeded, PathError, RagError, UnknownCollection
from rag.platform.files import real_path, sync, usable_here
from rag.types import IngestEvent
from ui.lists import FileRow
from ui.signal import Signal

if TYPE_CHECKING:
    from rag.ingest import SameName
    from rag.library import Library

logger = logging.getLogger(__name__)

MEGABYTE = 2**20
_BATCH = 8
_DEEPEST = 20
_NAME_BYTES = 255
_FOLDER = "incoming"
_NOTE = ".json"
_SAME_NAME = "same-name"
_LAST_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Job:
    """One file: what is shown of it, where it goes, where it lies."""

    row: FileRow
    collection: str
    folder: Path
    size: int = 0
    same_name: SameName | None = None
    owner: str = ""
    address: bool = False


@dataclass(slots=True)
class Arrival:
    """A file being received; write to ``file``, then give it to ``Intake.accept`` or ``Intake.drop``."""

    key: str
    source: str
    collection: str
    folder: Path
    file: BinaryIO
    size: int = field(default=0)
    owner: str = ""

    def write(self, piece: bytes) -> None:
        """Add a piece."""
        self.file.write(piece)
        self.size += len(piece)


class Intake:
    """Receives and ingests files for ``library``. Close it: the file in hand is finished, what waits is kept.

    Takes up what an earlier one kept, and clears what did not arrive whole. Each file is ``owner``'s, and goes in
    through that owner's view of the library, which ``view_of`` gives when it is read: it raises RagError for an owner
    who may not put it there any longer.
    """

    def __init__(self, library: Library, view_of: Callable[[str], Library] | None = None) -> None:
        self._library = library
        self._view_of = view_of
        self.folder = real_path(library.path, there=False) / _FOLDER
        self._most_bytes = library.config.limits.upload_mb * MEGABYTE
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._queue: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._closed = False
        self.changed = Signal()
        self._worker: threading.Thread | None = None
        self._take_up()

    def close(self) -> None:
        """Stop after the file in hand, or without it where it takes long; both are kept. May be called twice."""
        self._closed = True
        self._queue.put(None)
        if self._worker is not None:
            self._worker.join(_LAST_SECONDS)
        with suppress(OSError):
            self.folder.rmdir()  # unless something is kept

    def _take_up(self) -> None:
        kept = {}
        for note in sorted(self.folder.glob(f"*{_NOTE}"), key=lambda path: path.stat().st_mtime):
            try:
                told = json.loads(note.read_bytes())
                kept[note.stem] = (told["source"], told["collection"], int(told["size"]), told.get("owner", ""))
            except (OSError, ValueError, KeyError, TypeError):
                logger.warning("A file that waited to be read is lost: its note %s is damaged.", note)
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            if path.stem not in kept:
                _delete(path)
        for key, (source, collection, size, owner) in kept.items():
            self._enqueue(Job(FileRow(key, source, "waiting"), collection, self.folder / key, size, owner=owner))

    # -- receiving --------------------------------------------------------------------------------------------

    def begin(self, source: str, collection: str, size: int, owner: str = "") -> Arrival:
        """A place for a file of about ``size`` bytes. Raises PathError for an unusable name, LimitExceeded."""
        parts = checked_name(source)
        with self._lock:
            pending = sum(job.size for job in self._jobs.values() if job.row.state in ("waiting", "reading", "asking"))
        if pending + size > self._most_bytes:
            raise LimitExceeded(
                f"Too much at once: more than {self._most_bytes // MEGABYTE} MB would be waiting (limits.upload_mb).",
                hint="Wait until the files before it are in, then add it again.",
            )
        key = uuid.uuid4().hex[:12]
        target = self.folder.joinpath(key, *parts)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Arrival(key, "/".join(parts), collection, self.folder / key, target.open("xb"), owner=owner)

    def accept(self, arrival: Arrival) -> str:
        """Queue a file that has arrived whole, once it and its note are on the disk; the name of its job.

        Raises OSError, and then forgets the file.
        """
        try:
            with arrival.file as file:
                file.flush()
                os.fsync(file.fileno())
            told = {
                "source": arrival.source, "collection": arrival.collection, "size": arrival.size,
                "owner": arrival.owner,
            }  # fmt: skip
            self._write_note(arrival.key, json.dumps(told).encode())
        except OSError:
            self.drop(arrival)
            raise
        row = FileRow(arrival.key, arrival.source, "waiting")
        self._enqueue(Job(row, arrival.collection, arrival.folder, arrival.size, owner=arrival.owner))
        return arrival.key

    def drop(self, arrival: Arrival) -> None:
        """Forget a file that did not arrive whole."""
        with suppress(OSError):
            arrival.file.close()
        _delete(arrival.folder)

    def _write_note(self, key: str, note: bytes) -> None:
        unfinished = self.folder / f"{key}.new"
        with unfinished.open("xb") as file:
            file.write(note)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(self.folder / f"{key}{_NOTE}")
        sync(self.folder)

    def _enqueue(self, job: Job) -> None:
        key = job.row.job
        with self._lock:
            self._jobs[key] = replace(job, row=FileRow(key, job.row.source, "waiting"))
            if self._worker is None or not self._worker.is_alive():
                self._worker = threading.Thread(target=self._run, name="ingest", daemon=True)
                self._worker.start()
        self._queue.put(key)
        self.changed.notify()

    def _forget(self, job: Job) -> None:
        """Remove a file that is read or refused; its note first, so that it is not taken up half removed."""
        (self.folder / f"{job.row.job}{_NOTE}").unlink(missing_ok=True)
        _delete(job.folder)

    def fetch(self, address: str, collection: str) -> None:
        """Queue a page of the web, which is fetched when its turn comes; unlike a file it does not outlive this."""
        key = uuid.uuid4().hex[:12]
        self._enqueue(Job(FileRow(key, address, "waiting"), collection, self.folder / key, address=True))

    # -- looking ----------------------------------------------------------------------------------------------

    def rows(self, collection: str, owner: str = "") -> list[FileRow]:
        """What is to be shown for a collection: files that wait, are read, or failed."""
        with self._lock:
            return [job.row for job in self._jobs.values() if (job.collection, job.owner) == (collection, owner)]

    def busy(self) -> bool:
        """Whether anything waits or is read."""
        with self._lock:
            return any(job.row.state in ("waiting", "reading") for job in self._jobs.values())

    def dismiss(self, key: str, owner: str = "") -> None:
        """Cancel a waiting file, or take a finished one off the list; one that is being read stays."""
        with self._lock:
            job = self._jobs.get(key)
            if job is None or job.row.state == "reading" or job.owner != owner:
                return
            del self._jobs[key]
        self._forget(job)
        self.changed.notify()

    # -- the worker -------------------------------------------------------------------------------------------

    def _run(self) -> None:
        held: str | None = None
        while not self._closed:
            key = held or self._queue.get()
            if key is None:
                return
            batch, held = self._batch(key)
            if batch:
                self._ingest(batch)

    def _batch(self, first: str) -> tuple[list[Job], str | None]:
        """Waiting jobs for one collection, each name once, and the key that did not fit in."""
        batch: list[Job] = []
        alike: object = None
        key: str | None = first
        while key is not None and len(batch) < _BATCH:
            with self._lock:
                job = self._jobs.get(key)
            if job is not None:
                taken = {other.row.source for other in batch}
                kind = (job.collection, job.same_name, job.owner, job.address and job.row.job)
                if batch and (kind != alike or job.row.source in taken):
                    break
                batch.append(job)
                alike = kind
            key = self._next()
        return batch, key

    def decide(self, key: str, same_name: SameName, owner: str = "") -> None:
        """What to do with a file whose name another document has: ``replace`` it, or ``keep`` both."""
        with self._lock:
            job = self._jobs.get(key)
            if job is None or job.row.state != "asking" or job.owner != owner:
                return
        self._enqueue(replace(job, same_name=same_name))

    def _next(self) -> str | None:
        try:
            key = self._queue.get_nowait()
        except queue.Empty:
            return None
        if key is None:
            self._queue.put(None)
        return key

    def _ingest(self, batch: list[Job]) -> None:
        jobs = {job.folder: job for job in batch if self._set(job.row.job, "reading")}
        collection = batch[0].collection
        try:
            library = self._library if self._view_of is None else self._view_of(batch[0].owner)
            if collection and collection not in library.collections.names():
                raise UnknownCollection(f"The collection {collection!r} is gone.", hint="Add it to another.")
            if batch[0].address:
                self._fetch(library, jobs)
                return
            events = library.ingest_events(
                list(jobs), collection=collection or None, same_name=batch[0].same_name, uploads=True
            )
            with closing(events):
                for event in events:
                    folder = next((folder for folder in jobs if folder in Path(event.path).parents), None)
                    if folder is not None and not (self._closed and event.status == "failed"):
                        self._finish(jobs.pop(folder), event)
                    if self._closed:
                        return
        except RagError as error:
            if not self._closed:
                self._fail(jobs.values(), str(error), error.hint)
            jobs.clear()
        finally:
            if not self._closed:
                self._fail(jobs.values(), "It was not read.", "Add it again; the program's log may say why.")

    def _fetch(self, library: Library, jobs: dict[Path, Job]) -> None:
        """Put in the page of the one job there is, if its address is one that may be fetched."""
        private = library.config.addresses == "private"
        for folder, job in list(jobs.items()):
            report = library.ingest_address(job.row.source, private=private, collection=job.collection or None)
            self._finish(jobs.pop(folder), report.events[0])

    def _finish(self, job: Job, event: IngestEvent) -> None:
        if event.code == _SAME_NAME:
            self._set(job.row.job, "asking", event.error, event.hint)
            return
        self._forget(job)
        if event.status == "failed":
            self._set(job.row.job, "failed", event.error, event.hint)
        elif event.status == "unchanged":
            self._set(job.row.job, "done", "Already there, unchanged.")
        else:
            with self._lock:
                self._jobs.pop(job.row.job, None)
            self.changed.notify()

    def _fail(self, jobs: Iterable[Job], message: str, hint: str) -> None:
        for job in jobs:
            self._forget(job)
            self._set(job.row.job, "failed", message, hint)

    def _set(self, key: str, state: str, message: str = "", hint: str = "") -> bool:
        with self._lock:
            job = self._jobs.get(key)
            if job is None:
                return False
            self._jobs[key] = replace(job, row=replace(job.row, state=state, message=message, hint=hint))
        self.changed.notify()
        return True


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def checked_name(source: str) -> tuple[str, ...]:
    """The parts of an upload's relative name. Raises PathError when it could lead out of its folder or is no name."""
    parts = PurePosixPath(source.replace("\\", "/")).parts
    usable = parts and len(parts) <= _DEEPEST and not source.startswith(("/", "\\"))
    if not usable or any(_bad_part(part) for part in parts):
        raise PathError(
            "This name cannot be used for a document.",
            hint="Rename the file (no '..', at most 255 bytes) and add it again.",
        )
    return parts


def _bad_part(part: str) -> bool:
    try:
        size = len(part.encode())
    except UnicodeEncodeError:
        return True
    return part.startswith(".") or "\0" in part or size > _NAME_BYTES or not usable_here(part)
