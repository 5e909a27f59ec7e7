"""One writer at a time, and the lock dies with its holder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rag.errors import LibraryLocked, StoreError
from rag.store.lock import LOCK_NAME, NOTE_NAME, WriterLock

HOLD = """
import sys, time
from pathlib import Path
from rag.store.lock import WriterLock
lock = WriterLock.acquire(Path(sys.argv[1]))
sys.stdout.write("held"); sys.stdout.flush()
time.sleep(60)
"""


def hold(folder: Path) -> subprocess.Popen[bytes]:
    """Another process that has the lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.read(4) == b"held"
    return process


def test_a_second_writer_is_told_who_the_first_is(tmp_path: Path) -> None:
    with hold(tmp_path) as process:
        holder = WriterLock.holder(tmp_path)
        assert holder is not None
        assert holder.pid == process.pid
        with pytest.raises(LibraryLocked, match=str(process.pid)) as caught:
            WriterLock.acquire(tmp_path, timeout=0.1)
        assert str(tmp_path) in str(caught.value)
        assert caught.value.hint
        assert str(process.pid) in WriterLock.describe(tmp_path)
        process.send_signal(signal.SIGKILL)
    assert WriterLock.holder(tmp_path) is None
    assert "Nobody" in WriterLock.describe(tmp_path)
    WriterLock.acquire(tmp_path, timeout=0).release()


def test_release_lets_the_next_one_in(tmp_path: Path) -> None:
    with WriterLock.acquire(tmp_path / "new" / "library") as lock:
        with pytest.raises(LibraryLocked):
            WriterLock.acquire(tmp_path / "new" / "library", timeout=0)
        lock.release()
        WriterLock.acquire(tmp_path / "new" / "library", timeout=0).release()
    assert (tmp_path / "new" / "library").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "new" / "library" / LOCK_NAME).stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "new" / "library" / NOTE_NAME).exists()


def test_a_lock_without_a_signature_is_still_a_lock(tmp_path: Path) -> None:
    with WriterLock.acquire(tmp_path):
        for note in (b"", b"{", b"[]", b'{"pid": 1}', b'{"pid": "x", "program": 1, "since": null}', b"\xff"):
            (tmp_path / NOTE_NAME).write_bytes(note)
            with pytest.raises(LibraryLocked, match="Another process"):
                WriterLock.acquire(tmp_path, timeout=0)


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "odd" / LOCK_NAME).mkdir(parents=True)
    for folder in (tmp_path / "file", tmp_path / "odd"):
        with pytest.raises(StoreError, match=folder.name):
            WriterLock.acquire(folder)
    assert WriterLock.holder(tmp_path / "absent") is None


def test_a_child_does_not_inherit_the_lock(tmp_path: Path) -> None:
    lock = WriterLock.acquire(tmp_path)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(5)"], close_fds=False) as child:
        lock.release()
        WriterLock.acquire(tmp_path, timeout=0).release()
        os.kill(child.pid, signal.SIGKILL)
