"""A new dense index, written from the truth in a process of its own: ``python -m rag.store.rebuild``.

Chroma holds Python's interpreter lock while it writes (measured: half a second for 4,000 vectors), so that nothing
else would run in the process that answers questions.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from rag.errors import RagError
from rag.store.audit import IndexFailure, VectorIndex
from rag.store.backends import open_truth
from rag.store.truth import Collection, Truth

BATCH = 4_000
"""Vectors told to a new index at once; Chroma takes 5,461 at most."""

APART_FROM = 2_000
"""Passages from which a process of its own is worth its start of about a second."""

_POLL_SECONDS = 0.1
_REPORT_BYTES = 2_000


def build(
    truth: Truth, collection: Collection, folder: Path, open_index: Callable[[Path], VectorIndex],
    check: Callable[[], None],
) -> None:  # fmt: skip
    """Write every vector of a collection into the empty ``folder``; ``check`` is called between batches and may
    raise to stop. Raises IndexFailure."""
    ids, matrix = truth.vectors.all(collection.id)
    with closing(open_index(folder)) as index:
        for at in range(0, len(ids), BATCH):
            check()
            index.upsert(ids[at : at + BATCH], matrix[at : at + BATCH])
        index.flush()


def build_apart(truth: Truth, collection: Collection, folder: Path, check: Callable[[], None]) -> None:
    """The same, with Chroma, in a child process; ``check`` is called now and then, and the child ended if it raises.

    Raises IndexFailure with what the child reported.
    """
    # Not from the working directory: what lies there is no part of the program.
    path = os.pathsep.join(entry for entry in sys.path if Path(entry).is_absolute())
    command = [sys.executable, "-P", "-m", __name__, truth.address, str(collection.id), str(folder)]
    with tempfile.TemporaryFile() as report:
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=report,
            env={**os.environ, "PYTHONPATH": path},
        )  # fmt: skip
        try:
            while True:
                check()
                try:
                    status = child.wait(_POLL_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    continue
        finally:
            child.kill()
            child.wait()
            assert child.stdin is not None
            child.stdin.close()
        if status:
            report.seek(max(0, report.seek(0, os.SEEK_END) - _REPORT_BYTES))
            said = report.read().decode("utf-8", "replace").strip()
            raise IndexFailure(f"Building the index in {folder} failed (status {status}): {said or 'no message'}.")


def main(arguments: list[str]) -> int:
    """Build the index of one collection of one library into one folder; 0 when it is done."""
    from rag.store.chroma import ChromaIndex

    address, collection_id, folder = arguments[0], int(arguments[1]), Path(arguments[2])
    gone = threading.Event()

    def watch() -> None:
        """Until the pipe from the parent ends: nothing is ever sent."""
        os.read(0, 1)
        gone.set()

    threading.Thread(target=watch, daemon=True).start()

    def check() -> None:
        if gone.is_set():
            raise IndexFailure("the process that wanted the index is gone")

    try:
        with open_truth(address, writer=False) as truth:
            build(truth, truth.collections.get(collection_id), folder, ChromaIndex, check)
    except RagError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
