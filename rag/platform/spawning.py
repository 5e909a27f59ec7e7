"""Children started one by one, where there is no fork: one is always ready ahead, so that its start costs no time.

A child is a process of its own that loads what it needs, says so, and waits for its job on a pipe. Pipes know no
time-outs: a clock in the parent ends the child when its time is over.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from io import FileIO

from rag.platform.apart import END_SECONDS, READY, START_SECONDS, NotStarted, Stream, isolated, last_words

_DYING_SECONDS = 1.0


class Pipes:
    """A stream over two pipes (binary, unbuffered): one to read from, one to write to."""

    def __init__(self, read: FileIO, write: FileIO) -> None:
        self._read = read
        self._write = write

    def sendall(self, data: bytes, /) -> None:
        """Send."""
        view = memoryview(data)
        while view:
            view = view[self._write.write(view) or 0 :]

    def recv_into(self, buffer: memoryview, /) -> int:
        """Wait for some bytes; 0 when the other end is gone."""
        return self._read.readinto(buffer) or 0

    def settimeout(self, seconds: float, /) -> None:
        """Nothing: who waits at this end is ended by the other."""

    def close(self) -> None:
        """Close both."""
        with suppress(OSError):
            self._write.close()
        self._read.close()


class _Watched(Pipes):
    """The parent's end: its child is ended when the first time-out that was set is over."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert isinstance(process.stdout, FileIO) and isinstance(process.stdin, FileIO)
        super().__init__(process.stdout, process.stdin)
        self._process = process
        self._clock: threading.Timer | None = None
        self._late = self.ended = False

    def sendall(self, data: bytes, /) -> None:
        """Send. Raises OSError, TimeoutError."""
        try:
            super().sendall(data)
        except OSError as error:
            if self._late:
                raise TimeoutError("the deadline has passed") from error
            raise

    def recv_into(self, buffer: memoryview, /) -> int:
        """Wait for some bytes; 0 when the child is gone. Raises TimeoutError."""
        count = super().recv_into(buffer)
        self.ended = count == 0 and len(buffer) > 0
        if self.ended and self._late:
            raise TimeoutError("the deadline has passed")
        return count

    def settimeout(self, seconds: float, /) -> None:
        """End the child in ``seconds``, unless a time is set already."""
        if self._clock is None:
            self._clock = threading.Timer(seconds, self._end)
            self._clock.daemon = True
            self._clock.start()

    def _end(self) -> None:
        self._late = True
        self._process.kill()

    def close(self) -> None:
        """Stop the clock and close the pipes."""
        if self._clock is not None:
            self._clock.cancel()
        super().close()


class SpawnedChild:
    """One process and the pipes to it."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            **isolated(module, *arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        self.stream = _Watched(self._process)

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def begin(self, number: int) -> None:
        """Wait until it is ready, and tell the kind of its job. Raises NotStarted, OSError."""
        hung = threading.Timer(START_SECONDS, self._process.kill)
        hung.daemon = True
        hung.start()
        try:
            ready = self.stream.recv_into(memoryview(bytearray(1)))
        finally:
            hung.cancel()
        assert self._process.stderr is not None
        with self._process.stderr as complaints:
            if not ready:
                self.end()
                raise NotStarted(last_words(complaints.read()))
        self.stream.sendall(bytes([number]))

    def end(self) -> int | None:
        """Kill it if it still runs; its exit code."""
        if self.stream.ended:  # it is about to end by itself, with a code of its own
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_DYING_SECONDS)
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(END_SECONDS)
        return None

    def close(self) -> None:
        """End it, and close the pipes."""
        self.end()
        self.stream.close()
        if self._process.stderr is not None:
            self._process.stderr.close()


class Spawner:
    """Starts children, one ahead of those that are wanted; see ``Children``."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._command = (module, *arguments)
        self._lock = threading.Lock()
        self._running: set[SpawnedChild] = set()
        self._closed = False
        self._ahead: SpawnedChild | None = SpawnedChild(*self._command)

    @property
    def alive(self) -> bool:
        """Always: it is in this process."""
        return not self._closed

    def start(self, number: int) -> SpawnedChild:
        """A child that has loaded what jobs of kind ``number`` need. Raises OSError, NotStarted."""
        with self._lock:
            if self._closed:
                raise OSError("no more children are started")
            child = self._ahead or SpawnedChild(*self._command)
            self._running = {one for one in self._running if one.running} | {child}
            self._ahead = None
        try:
            child.begin(number)
        except (OSError, NotStarted):
            child.close()
            raise
        with self._lock:
            if not self._closed and self._ahead is None:
                with suppress(OSError):  # then the next one is started when it is wanted
                    self._ahead = SpawnedChild(*self._command)
        return child

    def close(self) -> None:
        """End every child."""
        with self._lock:
            self._closed = True
            ahead, self._ahead = self._ahead, None
            running, self._running = self._running, set()
        if ahead is not None:
            ahead.close()
        for child in running:
            child.end()


def serve_one(prepare: Callable[[], None], load: Callable[[int], None], work: Callable[[Stream], None]) -> None:
    """Do one job that comes on the standard input, answer on the standard output, and end."""
    stream = Pipes(FileIO(os.dup(0), "r"), FileIO(os.dup(1), "w"))
    quiet = os.open(os.devnull, os.O_RDWR)
    os.dup2(quiet, 0)
    os.dup2(quiet, 1)
    prepare()
    stream.sendall(READY)
    kind = bytearray(1)
    if not stream.recv_into(memoryview(kind)):
        return  # it was started ahead and not needed
    os.dup2(quiet, 2)
    load(kind[0])
    work(stream)
