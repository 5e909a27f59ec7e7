"""The dense indexes of a library that many processes write, on one Chroma server: any process asks, one tells.

The one that tells is elected by a lock of the database, which is free again as soon as its process ends; the others
look for it every two seconds. It takes changes from the outbox, which every transaction of a document fills, and
forgets them once the server has them; told twice, a change is the same. A row of the truth names each collection's
index. An index that does not hold what the truth holds is put aside, never mended, and made anew from the truth.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Container
from typing import Protocol

from rag.errors import RagError, StoreError, UnknownCollection
from rag.store.audit import (
    AuditReport,
    IndexFailure,
    Outdated,
    State,
    VectorIndex,
    drain,
    examine,
    expect_current,
    outdated,
)
from rag.store.chroma import LARGEST, ChromaServer, ServedIndex, Unreachable
from rag.store.truth import Collection, Pointer, Truth

ELECTION = 0x52414732
"""The number of the lock of the one that tells."""

FIRST_SECONDS = 3.0
"""A process that ends sooner does not begin."""
TURN_SECONDS = 1.0
TAKEOVER_SECONDS = 2.0
_COUNT_SECONDS = 5.0
_SILENT_SECONDS = 2.0
"""A server that did not answer is not asked again by a search for so long."""
_KEPT_SECONDS = 60.0
"""An index that was replaced may still be asked by searches under way."""

_CLOSE_SECONDS = 10.0

_BATCH = 4_000
_SAMPLE = 64
_ASIDE = "index-aside"


class Election(Protocol):
    """Who of many processes may tell."""

    @property
    def library(self) -> str:
        """Letters that tell this library from every other; once it was won."""

    def won(self) -> bool:
        """Whether it is this process now."""

    def expect(self) -> None:
        """Raise StoreError when it is not."""

    def resign(self) -> None:
        """Let another process have it."""


class _Stopped(Exception):
    """The library is being closed."""


class Served:
    """Keeps one dense index for each collection on the Chroma server at ``address``. Thread-safe.

    Without an ``election`` it only asks.
    """

    def __init__(self, truth: Truth, address: str, election: Election | None) -> None:
        assert _BATCH <= LARGEST
        self._truth = truth
        self._address = address
        self._election = election
        self._guard = threading.Lock()
        self._turn = threading.RLock()
        self._server: ChromaServer | None = None
        self._open: dict[str, ServedIndex] = {}
        self._silent = 0.0
        self._problems: dict[int, str] = {}
        self._unreachable = ""
        self._building: set[int] = set()
        self._sound: dict[int, str] = {}
        self._counted: dict[int, float] = {}
        self._replaced: dict[str, float] = {}
        self._awake = threading.Event()
        self._stopping = threading.Event()
        self._worker: threading.Thread | None = None
        if election is not None:
            self._worker = threading.Thread(target=self._work, name="dense-server", daemon=True)
            self._worker.start()

    # -- asked by searches ------------------------------------------------------------------------------------

    def ready(self, collection: Collection) -> VectorIndex | None:
        """The collection's index if it can be asked now; else None."""
        pointer = self._truth.outbox.pointer(collection.id)
        if not _usable(pointer, collection) or time.monotonic() < self._silent:
            self._awake.set()
            return None
        assert pointer is not None
        try:
            index = self._opened(pointer.folder)
        except IndexFailure as error:
            self._note(collection, pointer.folder, error)
            return None
        self._problems.pop(collection.id, None)
        return index

    def fail(self, collection: Collection, index: VectorIndex, error: IndexFailure) -> None:
        """Note that ``index`` failed a query: a server that is gone is asked again later, an index that cannot be read
        is examined by the process that tells."""
        self._note(collection, index.name if isinstance(index, ServedIndex) else "", error)

    def state(self, collection: Collection) -> State:
        """``ready``, ``rebuilding``, or ``exact`` when no index can be asked."""
        if collection.id in self._building:
            return "rebuilding"
        usable = _usable(self._truth.outbox.pointer(collection.id), collection)
        return "ready" if usable and not self._unreachable else "exact"

    def problem(self, collection: Collection) -> str:
        """Why the index cannot be used; empty when it can."""
        return self._problems.get(collection.id, "") or self._unreachable

    def outlook(self, collection: Collection) -> str:
        """What becomes of an index that cannot be used, as the beginning of a sentence."""
        return "It is asked again, or rebuilt from the library, by itself;"

    def audit(self, collection: Collection, sample: int) -> AuditReport:
        """Compare the index with the truth; what cannot be opened is reported, not raised."""
        with self._turn:
            self._expect_open()
            for last in (False, False, True):
                pointer = self._truth.outbox.pointer(collection.id)
                passages = self._truth.passages.count(collection.id)
                if pointer is None or pointer.generation != collection.generation:
                    return AuditReport(
                        self.state(collection), passages, -1, problem=self.problem(collection), own=self._truth.writer
                    )
                try:
                    index = self._opened(pointer.folder)
                    report = examine(self._truth, collection, index, sample, self.state(collection))
                except IndexFailure as error:
                    self._note(collection, pointer.folder, error)
                    return AuditReport(self.state(collection), passages, 0, missing=passages, problem=str(error))
                if report.ok or last:  # else another process may have told it something meanwhile
                    break
            return report

    # -- kept by the one that tells ---------------------------------------------------------------------------

    def sync(self, collection: Collection) -> int:
        """Tell the index every change it has not been told, if that is for this process to do; how many there were.

        A server that does not answer is told later, by whoever tells then. Raises IndexFailure when even a new index
        fails.
        """
        if self._election is None:
            return 0
        with self._turn:
            self._expect_open()
            if not self._election.won():
                return 0
            try:
                return self._bring_up(collection.id)
            except Unreachable as error:
                self._note(collection, "", error)
                return 0
            except _Stopped:
                raise StoreError("The library was closed while its index was written.", hint="Open it again.") from None

    def rebuild(self, collection: Collection) -> None:
        """Build the collection's index anew from the truth, where that is for this process to do. Raises
        IndexFailure."""
        if self._election is None:
            return
        with self._turn:
            self._expect_open()
            if self._election.won():
                self._build(self._truth.collections.get(collection.id))

    def wake(self, collection_id: int) -> None:
        """Have the index told soon."""
        self._awake.set()

    def keep_only(self, collection_ids: Container[int]) -> None:
        """The indexes of other collections go with the next turn of the one that tells."""
        self._awake.set()

    def empty_quarantine(self) -> None:
        """Delete the damaged index that was put aside, where that is for this process to do."""
        if self._election is None:
            return
        with self._turn:
            if self._election.won():
                self._drop_aside()
                self._sweep()

    def close(self) -> None:
        """Stop, and let another process tell; an unfinished rebuild starts anew there."""
        self._stopping.set()
        self._awake.set()
        if self._worker is not None:
            self._worker.join(_CLOSE_SECONDS)  # the server may let it wait
        if self._election is not None:
            self._election.resign()
        with self._guard:
            server, self._server = self._server, None
        if server is not None:
            server.close()

    def _work(self) -> None:
        assert self._election is not None
        self._stopping.wait(FIRST_SECONDS)
        mine = False
        while not self._stopping.is_set():
            self._awake.clear()
            with self._turn:
                won = self._election.won()
                if won:
                    self._take_turn(first=not mine)
                mine = won
            self._awake.wait(TURN_SECONDS if won else TAKEOVER_SECONDS)

    def _take_turn(self, *, first: bool) -> None:
        """Bring every collection's index in step; what fails is noted and tried again with the next turn."""
        if first:
            self._sound.clear()
        try:
            collections = self._truth.collections.list()
        except RagError:
            return  # the database is away: so is the election
        gone = self._sound.keys() - {one.id for one in collections}
        for collection in collections:
            try:
                self._bring_up(collection.id)
            except _Stopped:
                return
            except UnknownCollection:
                continue
            except Unreachable as error:
                self._sound.clear()
                self._note(collection, "", error)
                return
            except RagError as error:
                self._problems[collection.id] = str(error)
        try:
            if gone or first or any(time.monotonic() > until for until in self._replaced.values()):
                self._sweep()
            for number in gone:
                self._sound.pop(number, None)
        except RagError:
            return  # swept another time

    def _bring_up(self, collection_id: int) -> int:
        """Have a sound index of a collection and tell it everything; how many changes that were. An index that fails at
        it is examined once more. Raises IndexFailure when that does not help."""
        failed = False
        while True:
            collection = self._truth.collections.get(collection_id)
            pointer = self._truth.outbox.pointer(collection_id)
            current = pointer is not None and pointer.generation == collection.generation
            if not (current or self._truth.outbox.last(collection_id) or self._truth.passages.count(collection_id)):
                return 0
            try:
                index = self._examined(collection, pointer) if current and pointer is not None else None
                if index is None:
                    index = self._build(collection)
                told = drain(self._truth, collection, index, _BATCH, lambda *_: self._check())
                if self._counts(collection, index):
                    self._problems.pop(collection_id, None)
                    return told
            except Outdated:
                continue
            except Unreachable:
                raise
            except IndexFailure:
                if failed:
                    raise
                failed = True
            self._sound.pop(collection_id, None)
            self._open.clear()

    def _examined(self, collection: Collection, pointer: Pointer) -> ServedIndex | None:
        """The index that is pointed to, if it is sound; one that is not is put aside."""
        if not pointer.dirty and self._sound.get(collection.id) == pointer.folder:
            return self._opened(pointer.folder)
        try:
            index = self._opened(pointer.folder)
            report = examine(self._truth, collection, index, _SAMPLE, "rebuilding")
            fault = "" if report.ok else f"the index failed its audit: {report.describe()}"
        except (Outdated, Unreachable):
            raise
        except IndexFailure as error:
            fault = str(error)
        if fault:
            self._truth.outbox.begin(collection.id)
            self._problems[collection.id] = fault
            self._put_aside(pointer.folder)
            return None
        if pointer.dirty:
            self._truth.outbox.settle(collection.id, pointer.manifest)
        self._sound[collection.id] = pointer.folder
        return index

    def _build(self, collection: Collection) -> ServedIndex:
        """Write a new index from the truth beside the old one, audit it, and point to it."""
        assert self._election is not None
        server = self._connected()
        old = self._truth.outbox.pointer(collection.id)
        last = self._truth.outbox.last(collection.id)
        name = f"rag-{self._election.library}-c{collection.id}-g{collection.generation}-{secrets.token_hex(4)}"
        self._building.add(collection.id)
        try:
            index = server.make(name)
            self._unreachable, self._silent = "", 0.0
            with self._truth.snapshot():
                expect_current(self._truth, collection)
                ids, matrix = self._truth.vectors.all(collection.id)
            for at in range(0, len(ids), _BATCH):
                self._check()
                index.upsert(ids[at : at + _BATCH], matrix[at : at + _BATCH])
            del ids, matrix
            report = examine(self._truth, collection, index, _SAMPLE, "rebuilding")
            if not report.ok:
                raise IndexFailure(f"A new index failed its audit: {report.describe()}.")
            self._check()
            if not self._truth.outbox.switch(collection, name, "", last):
                raise outdated(collection)
        finally:
            self._building.discard(collection.id)
        if old is not None:
            self._replaced[old.folder] = time.monotonic() + _KEPT_SECONDS
        self._open[name] = index
        self._sound[collection.id] = name
        self._problems.pop(collection.id, None)
        self._sweep()
        return index

    def _counts(self, collection: Collection, index: ServedIndex) -> bool:
        """Whether the index has as many vectors as there are passages, as far as it is looked after now."""
        now = time.monotonic()
        if now < self._counted.get(collection.id, 0.0):
            return True
        there = index.count()
        with self._truth.snapshot():
            waiting = self._truth.outbox.last(collection.id)
            expected = self._truth.passages.count(collection.id)
        if waiting:
            return True  # counted when nothing is under way
        self._counted[collection.id] = now + _COUNT_SECONDS
        return there == expected

    def _put_aside(self, name: str) -> None:
        """Keep an index that is not sound, and only the last one, for whoever wants to look at it."""
        if self._truth.settings.get(_ASIDE) != name:
            self._drop_aside()
            self._truth.settings.set(_ASIDE, name)

    def _drop_aside(self) -> None:
        name = self._truth.settings.get(_ASIDE)
        if name:
            self._connected().drop(name)
            self._truth.settings.set(_ASIDE, "")

    def _sweep(self) -> None:
        """Delete this library's indexes that nothing points to."""
        assert self._election is not None
        now = time.monotonic()
        self._replaced = {name: until for name, until in self._replaced.items() if until > now}
        server = self._connected()
        there = server.names(f"rag-{self._election.library}-")
        kept = self._truth.outbox.prune() | self._replaced.keys() | {self._truth.settings.get(_ASIDE)}
        for name in there:
            if name not in kept:
                self._check()
                server.drop(name)
                self._open.pop(name, None)

    # -- the server -------------------------------------------------------------------------------------------

    def _connected(self) -> ChromaServer:
        with self._guard:
            if self._server is None:
                self._server = ChromaServer(self._address)
            return self._server

    def _opened(self, name: str) -> ServedIndex:
        server = self._connected()
        index = self._open.get(name)
        if index is None:
            index = self._open[name] = server.open(name)
            self._unreachable, self._silent = "", 0.0
        return index

    def _note(self, collection: Collection, name: str, error: IndexFailure) -> None:
        """Remember what went wrong: of the server for a while, of an index in the truth."""
        if isinstance(error, Unreachable):
            self._silent = time.monotonic() + _SILENT_SECONDS
            self._unreachable = str(error)
            self._open.clear()  # what answers next may be another server
            return
        self._open.pop(name, None)
        pointer = self._truth.outbox.pointer(collection.id)
        if pointer is None or pointer.folder != name:
            return  # it was replaced meanwhile
        self._problems[collection.id] = str(error)
        if self._truth.writer:
            self._truth.outbox.begin(collection.id)
        self._awake.set()

    def _check(self) -> None:
        """Raise unless this process is still the one that tells, and goes on."""
        if self._stopping.is_set():
            raise _Stopped
        assert self._election is not None
        self._election.expect()

    def _expect_open(self) -> None:
        if self._stopping.is_set():
            raise StoreError("The library is closed.", hint="Open it again.")


def _usable(pointer: Pointer | None, collection: Collection) -> bool:
    return pointer is not None and pointer.generation == collection.generation and not pointer.dirty
