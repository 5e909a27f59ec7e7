"""The life of the dense indexes: opened when sound, kept up to date, and rebuilt from the truth when not.

A row of the truth points to each collection's folder. Its dirty flag is set before anything touches the folder and
cleared, with a checksum of the files, when all is on the disk. A folder that is dirty, does not match its
checksum or fails its audit is put aside, never repaired.
"""

from __future__ import annotations

import secrets
import shutil
import threading
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from pathlib import Path

from rag.errors import DiskFull, RagError, StoreError
from rag.store.audit import AuditReport, IndexFailure, Outdated, State, VectorIndex, drain, examine, outdated
from rag.store.checksum import Hashes, checksum, intact
from rag.store.common import INDEX_FOLDER
from rag.store.rebuild import APART_FROM, build, build_apart
from rag.store.truth import Collection, Truth

QUARANTINE_FOLDER = "quarantine"
BATCH = 500
"""Changes told to an index at once: the longest (about 0.1 s) that nothing else runs in this process."""

_SAMPLE = 64
_BYTES_A_PASSAGE = 600
_SPARE_BYTES = 16_000_000


class _Stopped(Exception):
    """The library is being closed."""


@dataclass
class _Entry:
    """What this process has of one collection's index. ``lock`` is held while the index is opened or changed."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    index: VectorIndex | None = None
    folder: Path = Path()
    generation: int = 0
    busy: bool = False
    problem: str = ""
    hashes: Hashes = field(default_factory=dict)


class Upkeep:
    """Keeps one dense index for each collection of a library that is open for writing. Thread-safe."""

    def __init__(self, truth: Truth, folder: Path, open_index: Callable[[Path], VectorIndex]) -> None:
        self._truth = truth
        self._root = folder / INDEX_FOLDER
        self._quarantine = folder / QUARANTINE_FOLDER
        self._open_index = open_index
        self._guard = threading.Lock()
        self._entries: dict[int, _Entry] = {}
        self._waiting: set[int] = set()
        self._worker: threading.Thread | None = None
        self._building: set[str] = set()
        self._stopping = threading.Event()
        self._sweep()
        for collection_id in self._truth.outbox.unsettled():
            self.wake(collection_id)

    def ready(self, collection: Collection) -> VectorIndex | None:
        """The collection's index if it can be asked now; else None, and it is brought up in the background."""
        entry = self._entry(collection.id)
        index = entry.index
        if index is not None and entry.generation == collection.generation:
            return index
        if not entry.busy and not entry.problem:
            self.wake(collection.id)
        return None

    def state(self, collection: Collection) -> State:
        """``ready``, ``rebuilding`` (or being opened), or ``exact`` when no index is in use."""
        entry = self._entry(collection.id)
        if entry.index is not None and entry.generation == collection.generation:
            return "ready"
        return "rebuilding" if entry.busy or collection.id in self._waiting else "exact"

    def problem(self, collection: Collection) -> str:
        """Why the index that was there cannot be used, until a sound one takes its place; empty when there is none."""
        return self._entry(collection.id).problem

    def outlook(self, collection: Collection) -> str:
        """What becomes of an index that cannot be used, as the beginning of a sentence."""
        now = "It is being rebuilt" if self.state(collection) == "rebuilding" else "The next start rebuilds it"
        return f"{now} from the library;"

    def sync(self, collection: Collection) -> int:
        """Tell the index every change it has not been told; how many there were. Rebuilds an unsound index first.

        Raises DiskFull, and IndexFailure when even a new index fails; the truth is unharmed by both.
        """
        return self._settle(collection.id, rebuild=False)

    def rebuild(self, collection: Collection) -> None:
        """Build the collection's index anew from the truth, and use it from then on. Raises as ``sync`` does."""
        self._settle(collection.id, rebuild=True)

    def empty_quarantine(self) -> None:
        """Delete the damaged index that was put aside."""
        shutil.rmtree(self._quarantine, ignore_errors=True)

    def audit(self, collection: Collection, sample: int) -> AuditReport:
        """Open the index if need be, and compare it with the truth; what cannot be opened is reported, not raised."""
        entry = self._entry(collection.id)
        with entry.lock:
            self._expect_open()
            collection = self._newest(collection.id)
            try:
                index = entry.index if entry.generation == collection.generation else None
                index = index or self._adopt(entry, collection)
                if index is not None:
                    return examine(self._truth, collection, index, sample, self.state(collection))
                if self._truth.outbox.pointer(collection.id) is None and not entry.problem:
                    return AuditReport("exact", self._truth.passages.count(collection.id), -1, own=True)
                problem = entry.problem or "there is no sound index"
            except IndexFailure as error:
                self._discard(entry, collection.id)
                problem = str(error)
        passages = self._truth.passages.count(collection.id)
        return AuditReport(self.state(collection), passages, 0, missing=passages, problem=problem if passages else "")

    def fail(self, collection: Collection, index: VectorIndex, error: IndexFailure) -> None:
        """Note that ``index`` failed a query: it is put aside and rebuilt in the background, whatever the ``error``."""
        entry = self._entry(collection.id)
        with entry.lock:
            if entry.index is index:
                self._discard(entry, collection.id)
        self.wake(collection.id)

    def keep_only(self, collection_ids: Container[int]) -> None:
        """Close and delete the indexes of every other collection: they are gone."""
        for collection_id, entry in list(self._entries.items()):
            if collection_id not in collection_ids:
                with entry.lock:
                    self._shut(entry)
        self._sweep()

    def wake(self, collection_id: int) -> None:
        """Have the collection's index opened or rebuilt, and brought up to date, in the background."""
        with self._guard:
            if self._stopping.is_set():
                return
            self._waiting.add(collection_id)
            if self._worker is None or not self._worker.is_alive():
                self._worker = threading.Thread(target=self._work, name="dense-index", daemon=True)
                self._worker.start()

    def close(self) -> None:
        """Stop what runs in the background and release every index; an unfinished rebuild starts anew next time."""
        self._stopping.set()
        with self._guard:
            worker = self._worker
        if worker is not None:
            worker.join()
        for entry in self._entries.values():
            with entry.lock:
                self._shut(entry)

    def _work(self) -> None:
        while not self._stopping.is_set():
            with self._guard:
                if not self._waiting:
                    self._worker = None
                    return
                collection_id = next(iter(self._waiting))
            entry = self._entry(collection_id)
            entry.busy = True
            try:
                with entry.lock:
                    self._bring_up(entry, collection_id, rebuild=False)
            except _Stopped:
                return
            except RagError as error:
                entry.problem = str(error)
            finally:
                entry.busy = False
                self._waiting.discard(collection_id)

    def _entry(self, collection_id: int) -> _Entry:
        with self._guard:
            return self._entries.setdefault(collection_id, _Entry())

    def _expect_open(self) -> None:
        if self._stopping.is_set():
            raise StoreError("The library is closed.", hint="Open it again.")

    def _newest(self, collection_id: int) -> Collection:
        return self._truth.collections.get(collection_id)

    def _settle(self, collection_id: int, *, rebuild: bool) -> int:
        """Bring an index up, with a second try on a new one when it fails; how many changes it was told."""
        entry = self._entry(collection_id)
        with entry.lock:
            self._expect_open()
            try:
                try:
                    return self._bring_up(entry, collection_id, rebuild=rebuild)
                except IndexFailure:
                    self._discard(entry, collection_id)
                    return self._bring_up(entry, collection_id, rebuild=False)
            except _Stopped:
                raise StoreError("The library was closed while its index was written.", hint="Open it again.") from None
            except RagError as error:
                entry.problem = str(error)
                raise

    def _bring_up(self, entry: _Entry, collection_id: int, *, rebuild: bool) -> int:
        """Open or make an index and tell it everything; from the start when the vectors are replaced meanwhile."""
        while True:
            collection = self._newest(collection_id)
            try:
                if rebuild:
                    self._shut(entry)
                    return self._drain(entry, collection, self._build(entry, collection))
                return self._drain(entry, collection, self._ensure(entry, collection))
            except Outdated:
                continue

    def _ensure(self, entry: _Entry, collection: Collection) -> VectorIndex:
        """The collection's open index: the one at hand, else a sound one on the disk, else a new one."""
        if entry.index is not None and entry.generation == collection.generation:
            return entry.index
        entry.busy = True
        try:
            return self._adopt(entry, collection) or self._build(entry, collection)
        finally:
            entry.busy = False

    def _adopt(self, entry: _Entry, collection: Collection) -> VectorIndex | None:
        """Open the index on the disk, or put it aside and return None when it is not sound."""
        self._shut(entry)
        pointer = self._truth.outbox.pointer(collection.id)
        if pointer is None or pointer.generation != collection.generation:
            return None
        folder = self._root / pointer.folder
        if pointer.dirty or checksum(folder, entry.hashes) != pointer.manifest or not intact(folder):
            entry.problem = entry.problem or "the index was damaged or left unfinished"
            self._put_aside(folder)
            return None
        # Should a file kill this process on loading, the flag stays, and the file is not loaded again.
        self._truth.outbox.begin(collection.id)
        try:
            index = self._open_sound(folder, collection)
        except Outdated:
            raise
        except IndexFailure as error:
            entry.problem = str(error)
            self._put_aside(folder)
            return None
        self._truth.outbox.settle(collection.id, checksum(folder, entry.hashes))
        return self._install(entry, collection, folder, index)

    def _build(self, entry: _Entry, collection: Collection) -> VectorIndex:
        """Write a new index from the truth beside the old one, audit it as read from the disk, and point to it."""
        last = self._truth.outbox.last(collection.id)
        count = self._truth.passages.count(collection.id)
        self._expect_room(count, collection)
        folder = self._root / f"c{collection.id}-g{collection.generation}-{secrets.token_hex(4)}"
        self._building.add(folder.name)
        try:
            self._root.mkdir(mode=0o700, exist_ok=True)
            folder.mkdir(mode=0o700)
            if count >= APART_FROM:
                build_apart(self._truth, collection, folder, self._check_stop)
            else:
                build(self._truth, collection, folder, self._open_index, self._check_stop)
            index = self._open_sound(folder, collection)
            try:
                if not self._truth.outbox.switch(collection, folder.name, checksum(folder, entry.hashes), last):
                    raise outdated(collection)
            except RagError:
                index.close()
                raise
        except (_Stopped, RagError, OSError):
            shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            self._building.discard(folder.name)
        self._sweep()
        return self._install(entry, collection, folder, index)

    def _open_sound(self, folder: Path, collection: Collection) -> VectorIndex:
        """Open an index and audit it. Raises IndexFailure when it is not what the truth says."""
        index = self._open_index(folder)
        try:
            report = examine(self._truth, collection, index, _SAMPLE, "rebuilding")
            if not report.ok:
                raise IndexFailure(f"The index failed its audit: {report.describe()}.")
            # Opening alone may have written to the files.
            index.flush()
        except RagError:
            index.close()
            raise
        return index

    def _drain(self, entry: _Entry, collection: Collection, index: VectorIndex) -> int:
        """Tell the index what the outbox holds, batch by batch, and settle it on the disk."""

        def ready(changes: int, before: int) -> None:
            self._check_stop()
            if not before:
                self._expect_room(changes, collection)
                self._truth.outbox.begin(collection.id)

        told = drain(self._truth, collection, index, BATCH, ready)
        if told:
            index.flush()
            self._truth.outbox.settle(collection.id, checksum(entry.folder, entry.hashes))
        return told

    @staticmethod
    def _install(entry: _Entry, collection: Collection, folder: Path, index: VectorIndex) -> VectorIndex:
        entry.index, entry.folder, entry.generation, entry.problem = index, folder, collection.generation, ""
        return index

    def _discard(self, entry: _Entry, collection_id: int) -> None:
        """Give up an index that failed; marked dirty, it is put aside when the next one is made."""
        self._truth.outbox.begin(collection_id)
        self._shut(entry)

    @staticmethod
    def _shut(entry: _Entry) -> None:
        index, entry.index, entry.hashes = entry.index, None, {}
        if index is not None:
            index.close()

    def _put_aside(self, folder: Path) -> None:
        """Move a folder into quarantine, where only the last one is kept."""
        self.empty_quarantine()
        self._quarantine.mkdir(mode=0o700)
        if folder.exists():
            shutil.move(folder, self._quarantine / folder.name)

    def _check_stop(self) -> None:
        if self._stopping.is_set():
            raise _Stopped

    def _expect_room(self, passages: int, collection: Collection) -> None:
        place = self._root.parent
        needed = passages * (4 * collection.embedder.dimension + _BYTES_A_PASSAGE) * 2 + _SPARE_BYTES
        free = shutil.disk_usage(place).free
        if free < needed:
            raise DiskFull(
                f"The dense index of {collection.name!r} needs {needed / 1e6:.0f} MB; {free / 1e6:.0f} MB are free at"
                f" {place}."
            )

    def _sweep(self) -> None:
        """Delete the folders that nothing points to."""
        kept = self._truth.outbox.prune() | self._building
        if self._root.is_dir():
            for folder in self._root.iterdir():
                if folder.is_dir() and folder.name not in kept:
                    shutil.rmtree(folder, ignore_errors=True)
