"""Files on their way in: received in pieces into a private folder, then ingested in the background.

A received file is a job that any page of this server sees, so a reload loses nothing. The files lie in a folder of
their own, under the name they came with, until they are in the library or refused.
"""

from __future__ import annotations

import queue
import shutil
import tempfile
import threading
import uuid
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

from rag.errors import LimitExceeded, PathError, RagError
from rag.types import IngestEvent
from ui.lists import FileRow
from ui.signal import Signal

if TYPE_CHECKING:
    from rag.library import Library

MEGABYTE = 2**20
_BATCH = 8
_DEEPEST = 20
_NAME_BYTES = 255


@dataclass(frozen=True, slots=True)
class Job:
    """One file: what is shown of it, where it goes, where it lies."""

    row: FileRow
    collection: str
    folder: Path
    size: int = 0
    owner: str = ""


@dataclass(slots=True)
class Arrival:
    """A file being received; write to ``file``, then give it to ``Intake.accept`` or ``Intake.drop``."""

    source: str
    collection: str
    folder: Path
    file: BinaryIO
    size: int = field(default=0)

    def write(self, piece: bytes) -> None:
        """Add a piece."""
        self.file.write(piece)
        self.size += len(piece)


class Intake:
    """Receives and ingests files for ``library``. Close it: what waits is then dropped, what is read is finished."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self.folder = Path(tempfile.mkdtemp(prefix="rag-upload-")).resolve()
        self._most_bytes = library.config.limits.upload_mb * MEGABYTE
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._queue: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._closed = False
        self.changed = Signal()
        self._worker: threading.Thread | None = None

    def close(self) -> None:
        """Stop after the batch in hand and remove the folder. May be called twice."""
        self._closed = True
        self._queue.put(None)
        if self._worker is not None:
            self._worker.join()
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- receiving --------------------------------------------------------------------------------------------

    def begin(self, source: str, collection: str, size: int) -> Arrival:
        """A place for a file of about ``size`` bytes. Raises PathError for an unusable name, LimitExceeded."""
        parts = checked_name(source)
        with self._lock:
            pending = sum(job.size for job in self._jobs.values() if job.row.state in ("waiting", "reading"))
        if pending + size > self._most_bytes:
            raise LimitExceeded(
                f"Too much at once: more than {self._most_bytes // MEGABYTE} MB would be waiting (limits.upload_mb).",
                hint="Wait until the files before it are in, then add it again.",
            )
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        target = folder.joinpath(*parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        return Arrival("/".join(parts), collection, folder, target.open("xb"))

    def accept(self, arrival: Arrival) -> str:
        """Queue a file that has arrived whole; the name of its job."""
        arrival.file.close()
        key = uuid.uuid4().hex[:12]
        row = FileRow(key, arrival.source, "waiting")
        with self._lock:
            self._jobs[key] = Job(row, arrival.collection, arrival.folder, arrival.size)
            if self._worker is None or not self._worker.is_alive():
                self._worker = threading.Thread(target=self._run, name="ingest", daemon=True)
                self._worker.start()
        self._queue.put(key)
        self.changed.notify()
        return key

    def drop(self, arrival: Arrival) -> None:
        """Forget a file that did not arrive whole."""
        arrival.file.close()
        shutil.rmtree(arrival.folder, ignore_errors=True)

    # -- looking ----------------------------------------------------------------------------------------------

    def rows(self, collection: str) -> list[FileRow]:
        """What is to be shown for a collection: files that wait, are read, or failed."""
        with self._lock:
            return [job.row for job in self._jobs.values() if job.collection == collection]

    def busy(self) -> bool:
        """Whether anything waits or is read."""
        with self._lock:
            return any(job.row.state in ("waiting", "reading") for job in self._jobs.values())

    def dismiss(self, key: str) -> None:
        """Cancel a waiting file, or take a finished one off the list; one that is being read stays."""
        with self._lock:
            job = self._jobs.get(key)
            if job is None or job.row.state == "reading":
                return
            del self._jobs[key]
        shutil.rmtree(job.folder, ignore_errors=True)
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
        key: str | None = first
        while key is not None and len(batch) < _BATCH:
            with self._lock:
                job = self._jobs.get(key)
            if job is not None:
                taken = {other.row.source for other in batch}
                if batch and (job.collection != batch[0].collection or job.row.source in taken):
                    break
                batch.append(job)
            key = self._next()
        return batch, key

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
        try:
            events = self._library.ingest_events(list(jobs), collection=batch[0].collection, uploads=True)
            with closing(events):
                for event in events:
                    job = next((jobs.pop(folder) for folder in list(jobs) if folder in Path(event.path).parents), None)
                    if job is not None:
                        self._finish(job, event)
                    if self._closed:
                        break
        except RagError as error:
            self._fail(jobs.values(), str(error), error.hint)
            jobs.clear()
        finally:
            self._fail(jobs.values(), "It was not read.", "Add it again; the program's log may say why.")

    def _finish(self, job: Job, event: IngestEvent) -> None:
        shutil.rmtree(job.folder, ignore_errors=True)
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
            shutil.rmtree(job.folder, ignore_errors=True)
            self._set(job.row.job, "failed", message, hint)

    def _set(self, key: str, state: str, message: str = "", hint: str = "") -> bool:
        with self._lock:
            job = self._jobs.get(key)
            if job is None:
                return False
            self._jobs[key] = replace(job, row=replace(job.row, state=state, message=message, hint=hint))
        self.changed.notify()
        return True


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
    return part.startswith(".") or "\0" in part or size > _NAME_BYTES
