"""A library in use: hostile files put in, a folder of 10,000 files mirrored, questions to chosen documents, a backup,
damage and repair."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rag import Library
from rag.errors import UnknownSource
from rag.models.embed import BuiltinEmbedding, describe_embedder
from rag.retrieve import HybridRetriever
from rag.store.dense import DenseIndex
from rag.store.sqlite.backup import backup, salvage
from rag.store.sqlite.database import FILE_NAME
from rag.store.sqlite.schema import PAGE_SIZE
from rag.store.sqlite.truth import SqliteTruth
from rag.store.truth import EmbedderInfo
from tests.bench.search_bench import PASSAGES, fill, questions
from tests.bench.tables import percentile, say, table
from tests.documents.material import hostile

FILES = int(os.environ.get("RAG_FILES", 10_000))
_PATIENCE = 120
_SHARES = (0.01, 0.1, 0.5, 1.0)
_DAMAGED_DOCUMENTS = 40


def main() -> None:
    """Print the times of each and what a repair saves."""
    for part in (_hostile, _mirror, _filters, _repair):
        with tempfile.TemporaryDirectory() as home:
            part(Path(home))


def _timed(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _hostile(home: Path) -> None:
    """The highest memory of this process, which opens the library, while files that bomb, recurse and lie go in."""
    docs = home / "docs"
    docs.mkdir()
    with Library.open(home / "library", llm="quotes", embedder="builtin", encoder="off") as library:
        ordinary = docs / "ordinary.txt"
        ordinary.write_text("The ship has a crew of seven. " * 2_000, encoding="utf-8")
        library.ingest(ordinary)
        before = _highest()
        for number, (name, data) in enumerate(hostile()):
            (docs / f"{number:03} {name}").write_bytes(data)
        report = library.ingest(docs)
    say(f"{len(report.events)} hostile files, {report.count('failed')} refused; the most memory that this process had")
    say(f"before them {before:.0f} MB, with them {_highest():.0f} MB")


def _highest() -> float:
    """The most memory that this process has had, in MB."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1000


def _mirror(home: Path) -> None:
    docs = home / "docs"
    for number in range(FILES):
        path = docs / f"{number // 100:03}" / f"{number:05}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"File number {number} tells of ship {number * 7}.\n" * 3, encoding="utf-8")
    with Library.open(home / "library", llm="quotes", embedder="builtin", encoder="off") as library:
        rows = [["first", _timed(lambda: library.sync(docs))], ["unchanged", _timed(lambda: library.sync(docs))]]
        (docs / "000" / "00000.txt").write_text("File number 0 sank.", encoding="utf-8")
        rows.append(["one changed", _timed(lambda: library.sync(docs))])
        (docs / "001").rename(docs / "moved")
        rows.append(["100 moved", _timed(lambda: library.sync(docs))])
        rows += [[f"watched: change to answerable, {n}", _watched(library, docs, n)] for n in range(3)]
    say(f"\nA folder of {FILES:,} files mirrored")
    table(["pass", "seconds"], [[name, f"{seconds:.2f}"] for name, seconds in rows])


def _watched(library: Library, docs: Path, number: int) -> float:
    """From the change of a file in a watched folder until the library has it."""
    stop, ready = threading.Event(), threading.Event()

    def follow() -> None:
        for _ in library.watch([docs], stop=stop):
            ready.set()

    watcher = threading.Thread(target=follow)
    watcher.start()
    marker, wanted = docs / f"begun-{number}.txt", docs / f"live-{number}.txt"
    marker.write_text(f"Marker {number}.", encoding="utf-8")
    ready.wait(_PATIENCE)
    wanted.write_text(f"The lifeboat number {number} left.", encoding="utf-8")
    started = time.perf_counter()
    while not _has(library, str(wanted)) and time.perf_counter() - started < _PATIENCE:
        time.sleep(0.02)
    taken = time.perf_counter() - started
    stop.set()
    watcher.join()
    return taken


def _has(library: Library, origin: str) -> bool:
    try:
        library.document(origin)
    except UnknownSource:
        return False
    return True


def _filters(home: Path) -> None:
    embedder = BuiltinEmbedding()
    facts = describe_embedder(embedder)
    info = EmbedderInfo(facts.name, facts.digest, facts.dimension)
    with SqliteTruth.open(home, writer=True) as truth:
        collection = truth.collections.create("default", info, "bench")
        fill(truth, collection, embedder)
        dense = DenseIndex.open(truth, home)
        documents = [document.id for document in truth.documents.list(collection.id)]
        rows = []
        for share in _SHARES:
            some = documents[: max(1, round(share * len(documents)))]
            times = []
            for question in questions():
                started = time.perf_counter()
                within = None if share == 1 else truth.passages.numbers_in(some)
                HybridRetriever(truth, dense, truth.lexical, collection, embedder, within=within).hits(question, 6)
                times.append((time.perf_counter() - started) * 1000)
            kept = times[len(times) // 10 :]
            rows.append([f"{share:.0%}", f"{percentile(kept, 0.5):.0f}", f"{percentile(kept, 0.95):.0f}"])
        rows.append(["backup", f"{_timed(lambda: backup(truth.database, home / 'copy')) * 1000:.0f}", ""])
        dense.close()
    say(f"\nFused search among {PASSAGES:,} passages, of a part of the documents, milliseconds")
    table(["part", "p50", "p95"], rows)


def _repair(home: Path) -> None:
    """Each page in turn overwritten with noise."""
    with Library.open(home, llm="quotes", embedder="builtin", encoder="off") as library:
        for number in range(_DAMAGED_DOCUMENTS):
            library.add(
                f"Chapter {number}. " + f"The {number}th ship carried {number * 13} tons. " * 60, source=f"{number}"
            )
    path = home / FILE_NAME
    good = path.read_bytes()
    noise = np.random.default_rng(3).bytes(PAGE_SIZE)
    info = EmbedderInfo("builtin", "", 256)
    saved, whole, nothing = [], 0, 0
    pages = range(0, len(good), PAGE_SIZE)
    for start in pages:
        path.write_bytes(good[:start] + noise + good[start + PAGE_SIZE :])
        try:
            done = salvage(home, info)
        except Exception as error:  # noqa: BLE001 - a figure: whatever ends it counts
            say(f"page {start // PAGE_SIZE}: {type(error).__name__}: {error}")
            nothing += 1
            continue
        saved.append(done.documents)
        whole += done.documents == _DAMAGED_DOCUMENTS
        done.kept.unlink()
    say(f"\n{len(pages)} single pages overwritten, {_DAMAGED_DOCUMENTS} documents: all saved {whole} times, at least")
    say(f"{min(saved)} saved in {len(saved)}, {float(np.mean(saved)):.1f} on average; nothing readable {nothing} times")
