"""The team's queue: files are put in it by whoever has them, and read by workers, on whatever machine these run.

A file and its bytes are a row of the library's database. A worker takes a few, parses each in a confined child, embeds
what is new, and commits it: in that transaction, too, the worker must still have the file, so that one that was thought
dead stores nothing. Done twice, a file is the same: its hash is known then.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from rag.documents import Discovery, SourceFile, read_file
from rag.errors import DocumentError, JobLost, RagError, StoreError
from rag.ingest import UPLOAD, Ingestor, failure
from rag.platform.files import real_path
from rag.store.truth import Claim, Collection, Job, NewJob, Truth
from rag.types import Document, IngestEvent

logger = logging.getLogger(__name__)

LEASE_SECONDS = 20.0
"""A worker that was not heard of for so long is taken for dead."""
_BEAT_SECONDS = 4.0
_LOOK_SECONDS = 0.5
_AWAY_SECONDS = 2.0
_MOST = 8
_MOST_BYTES = 64_000_000
_AT_ONCE = 100
_AT_ONCE_BYTES = 8_000_000
FIRST_WAIT, WAITS_GROW, LONGEST_WAIT = 5.0, 3.0, 600.0
"""Seconds until a file is tried again, and by what they grow each time."""


class QueuedIngestor(Ingestor):
    """Puts files into the queue, and tells what the workers made of them. All else it does itself."""

    def __init__(self, *given: Any, stop: threading.Event | None = None) -> None:
        super().__init__(*given)
        self._batch = secrets.token_hex(8)
        self._stop = threading.Event() if stop is None else stop

    def run(
        self, files: Sequence[SourceFile], known: Mapping[str, Document] | None = None
    ) -> Iterator[IngestEvent]:  # fmt: skip
        """Queue these files, and follow them until each has ended or ``stop`` is set; their events are not numbered.

        What is in the queue is read all the same.
        """
        if self._cut is not None or self._read_by is not None:  # a parser of this process's own
            yield from super().run(files, known)
            return
        held: list[NewJob] = []
        for file, unchanged in self.looked_at(files, known):
            if unchanged is not None:
                yield unchanged
                continue
            try:
                held.append(self._job(file))
            except DocumentError as error:
                yield self._failed(file.source, file.origin, error, file.path)
                continue
            if len(held) >= _AT_ONCE or sum(len(one.data) for one in held) > _AT_ONCE_BYTES:
                self._truth.jobs.add(self._collection.id, self._batch, held)
                held = []
                yield from self._ended()
        if held:
            self._truth.jobs.add(self._collection.id, self._batch, held)
        while self._truth.jobs.unfinished(self._batch) and not self._stop.is_set():
            yield from self._ended()
            self._stop.wait(_LOOK_SECONDS)
        yield from self._ended()

    def _job(self, file: SourceFile) -> NewJob:
        data = read_file(file, self._limits)
        modified = 0.0
        with suppress(OSError):
            modified = file.path.stat().st_mtime
        return NewJob(
            file.source, file.origin, file.name, str(file.path), file.signature, modified, self._same_name,
            self._noted, data,
        )  # fmt: skip

    def _ended(self) -> Iterator[IngestEvent]:
        while found := self._truth.jobs.collect(self._batch, _AT_ONCE):
            for path, told in found:
                for event in told:
                    yield replace(_event(event), path=path)


Ingesting = Callable[[Job, Mapping[Path, Claim]], AbstractContextManager[tuple[Collection, Ingestor]]]
"""Opens a collection to put files in the way of this job."""


class Worker:
    """Reads what waits in the queue of ``truth``. ``folder`` is its own: the files in hand lie there."""

    def __init__(self, truth: Truth, folder: Path, ingesting: Ingesting) -> None:
        self._truth = truth
        self._folder = folder
        self._ingesting = ingesting
        self._id = secrets.token_hex(8)
        self._hand: set[int] = set()

    def events(self, stop: threading.Event, *, until_empty: bool = False) -> Iterator[IngestEvent]:
        """Work until ``stop`` is set, or with ``until_empty`` until nothing waits or is read by anybody; an event a
        document.

        What goes wrong beside a file is tried again, later each time, and given up in the end; a database that is away
        is waited for.
        """
        ended = threading.Event()
        beat = threading.Thread(target=self._beat, args=(ended,), name="worker-beat", daemon=True)
        beat.start()
        tried = True
        try:
            while not stop.is_set():
                jobs = self._claimed(stop)
                if jobs:
                    yield from self._read(jobs, stop)
                elif until_empty and self._empty():
                    break
                else:
                    stop.wait(_LOOK_SECONDS)
            tried = False
        except GeneratorExit:
            tried = False
            raise
        finally:
            ended.set()
            beat.join()
            with suppress(StoreError):
                self._truth.jobs.leave(self._id, tried=tried)

    def _claimed(self, stop: threading.Event) -> tuple[Job, ...]:
        try:
            jobs = self._truth.jobs.claim(self._id, LEASE_SECONDS, _MOST, _MOST_BYTES)
        except StoreError as error:
            logger.warning("The queue cannot be asked: %s", error)
            stop.wait(_AWAY_SECONDS)
            return ()
        self._hand = {job.claim.number for job in jobs}
        return jobs

    def _empty(self) -> bool:
        try:
            facts = self._truth.jobs.facts(LEASE_SECONDS)
        except StoreError:
            return False
        return not facts.waiting and not facts.running

    def _beat(self, ended: threading.Event) -> None:
        host = f"{socket.gethostname()}:{os.getpid()}"
        while True:
            with suppress(StoreError):  # it is taken for dead if that lasts
                self._truth.jobs.renew(self._id, host, sorted(self._hand))
            if ended.wait(_BEAT_SECONDS):
                return

    def _read(self, jobs: Sequence[Job], stop: threading.Event) -> Iterator[IngestEvent]:
        """Read these files; whatever becomes of one is told to the queue."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix="job-", dir=real_path(self._folder, there=False)))
        left = {job.claim: job for job in jobs}
        try:
            paths = {self._laid_out(job, place): job for job in jobs}
            claims = {path: job.claim for path, job in paths.items()}
            with self._ingesting(jobs[0], claims) as (_, ingestor):
                for job, told in self._by_job(ingestor, paths):
                    self._truth.jobs.finish(job.claim, [asdict(event) for event in told])
                    del left[job.claim]
                    self._hand = {claim.number for claim in left}
                    yield from told
                    if stop.is_set():
                        break
                if not jobs[0].origin.startswith(UPLOAD):
                    ingestor.note_unread([], Discovery((), ()))
        except JobLost as error:
            logger.warning("%s", error.explain())
        except RagError as error:
            for job in left.values():
                yield from self._failed(job, error)
        finally:
            self._hand = set()  # what could not be told is another's when the lease is over
            shutil.rmtree(place, ignore_errors=True)

    def _by_job(self, ingestor: Ingestor, paths: Mapping[Path, Job]) -> Iterator[tuple[Job, list[IngestEvent]]]:
        """Each file as it ends, with all there is to tell of it: a file may hold others."""
        files = [SourceFile(path, job.source, job.origin, job.name, job.signature) for path, job in paths.items()]
        at, told = Path(), list[IngestEvent]()
        for event in ingestor.run(files):
            path = Path(event.path)
            if path != at and told:
                yield paths[at], told
                told = []
            at = path
            told.append(replace(event, path=paths[path].path))
        if told:
            yield paths[at], told

    def _laid_out(self, job: Job, place: Path) -> Path:
        """The file of a job, as it was where it came from."""
        path = place / str(job.claim.number) / Path(job.name).name
        path.parent.mkdir(mode=0o700)
        path.write_bytes(self._truth.jobs.data(job.claim))
        if job.modified:
            os.utime(path, (job.modified, job.modified))
        return path

    def _failed(self, job: Job, error: RagError) -> Iterator[IngestEvent]:
        wait = min(LONGEST_WAIT, FIRST_WAIT * WAITS_GROW ** (job.attempts - 1))
        try:
            dead = self._truth.jobs.fail(job.claim, error.explain(), wait)
        except StoreError as away:  # it waits again when this worker is taken for dead
            logger.warning("%s could not be given back: %s", job.source, away)
            return
        logger.warning("%s: try %d failed: %s", job.source, job.attempts, error)
        if dead:
            yield replace(failure(job.source, DocumentError(str(error), hint=error.hint), Path()), path=job.path)


def _event(told: Mapping[str, Any]) -> IngestEvent:
    known = {one.name for one in fields(IngestEvent)}
    given = {"done": 0, "total": 0, **{name: value for name, value in told.items() if name in known}}
    given["renamed"] = tuple((old, new) for old, new in given.get("renamed", ()))
    return IngestEvent(**given)
