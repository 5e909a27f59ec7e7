"""Children forked from a server that is ready: 24 ms a child where starting one takes 341 ms. Not on Windows.

The server is started once, reads nothing of what its children read and is single-threaded, so forking it is safe.
multiprocessing's fork server is not used because it imports the caller's ``__main__`` in every child, which runs a
script without a guard again and fails where there is none.
"""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import NoReturn

from rag.platform.apart import END_SECONDS, READY, START_SECONDS, NotStarted, Stream, isolated, last_words

assert sys.platform != "win32"

_STATUS = struct.Struct("!i")
_MOST_FDS = 256
_PR_SET_PDEATHSIG = 1

Load = Callable[[int], None]
Work = Callable[[Stream], None]


class ForkedChild:
    """A child of the server: the stream of its job, and the leash that ends it and tells how it ended."""

    def __init__(self, stream: socket.socket, leash: socket.socket) -> None:
        self.stream = stream
        self._leash = leash

    def end(self) -> int | None:
        """Have it killed if it still runs; its exit code, negative for a signal, None if the server died."""
        with suppress(OSError):
            self._leash.shutdown(socket.SHUT_WR)
            self._leash.settimeout(END_SECONDS)
            status = self._leash.recv(_STATUS.size)
            if len(status) == _STATUS.size:
                return int(_STATUS.unpack(status)[0])
        return None

    def close(self) -> None:
        """Close its sockets."""
        self.stream.close()
        self._leash.close()


class ForkServer:
    """The fork server's process and the socket that commands it; see ``Children``."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._control, theirs = socket.socketpair()
        with theirs, ExitStack() as undo:
            undo.callback(self._control.close)
            self._process = subprocess.Popen(
                **isolated(module, *arguments), stdin=theirs.fileno(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
            undo.pop_all()
        self._lock = threading.Lock()
        self._wait_until_ready()

    @property
    def pid(self) -> int:
        """The server's process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def start(self, number: int) -> ForkedChild:
        """A new child that has loaded what jobs of kind ``number`` need. Raises OSError."""
        connection, theirs = socket.socketpair()
        try:
            leash, their_leash = socket.socketpair()
        except OSError:
            connection.close()
            theirs.close()
            raise
        try:
            with theirs, their_leash, self._lock:
                socket.send_fds(self._control, [bytes([number])], [theirs.fileno(), their_leash.fileno()])
        except OSError:
            connection.close()
            leash.close()
            raise
        return ForkedChild(connection, leash)

    def close(self) -> None:
        """End the process, which ends its children first."""
        with suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._control.close()

    def _wait_until_ready(self) -> None:
        self._control.settimeout(START_SECONDS)
        try:
            ready = self._control.recv(1)
        except OSError:
            ready = b""
        self._control.settimeout(None)
        assert self._process.stderr is not None
        with self._process.stderr as complaints:
            if not ready:
                self._process.kill()
                self.close()
                raise NotStarted(last_words(complaints.read()))


def serve_forever(prepare: Callable[[], None], load: Load, work: Work) -> None:
    """Serve on the socket that is file descriptor 0 until the parent closes it."""
    control = socket.socket(fileno=os.dup(0))
    quiet = os.open(os.devnull, os.O_RDWR)
    os.dup2(quiet, 0)
    resource.setrlimit(resource.RLIMIT_NOFILE, (_MOST_FDS, _MOST_FDS))
    prepare()
    gc.collect()
    gc.disable()  # a child lives for one job, and would spend half its time looking for garbage
    control.sendall(READY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    _Server(control, load, work).run()


class _Server:
    """Forks a child for each pair of sockets it is sent: one for the job, one (the leash) for the child's end.

    When the parent closes its end of a leash, that child is killed; when a child ends, its wait status goes there.
    """

    def __init__(self, control: socket.socket, load: Load, work: Work) -> None:
        self._control = control
        self._load = load
        self._work = work
        self._leashes: dict[int, socket.socket] = {}
        self._alarm, write = os.pipe()
        os.set_blocking(write, False)
        os.set_blocking(self._alarm, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def run(self) -> None:
        """Serve until the parent is gone, then end every child."""
        while True:
            poll = select.poll()
            for fd in (self._control.fileno(), self._alarm, *(leash.fileno() for leash in self._leashes.values())):
                poll.register(fd, select.POLLIN)
            ready = {fd for fd, _ in poll.poll()}
            for pid, leash in self._leashes.items():
                if leash.fileno() in ready:
                    os.kill(pid, signal.SIGKILL)
            if self._alarm in ready:
                with suppress(BlockingIOError):
                    os.read(self._alarm, 4_096)
                self._reap(os.WNOHANG)
            if self._control.fileno() in ready and not self._accept():
                break
        for pid in self._leashes:
            os.kill(pid, signal.SIGKILL)
        self._reap(0)

    def _accept(self) -> bool:
        message, fds, _, _ = socket.recv_fds(self._control, 1, 2)
        if not message or len(fds) != 2:
            return False
        job, leash = fds
        server = os.getpid()
        self._load(message[0])
        try:
            pid = os.fork()
        except OSError:
            os.close(leash)
        else:
            if pid == 0:
                self._child(job, server)
            self._leashes[pid] = socket.socket(fileno=leash)
        os.close(job)
        return True

    def _reap(self, how: int) -> None:
        """Collect children that ended (all, if ``how`` is 0) and tell how."""
        while self._leashes:
            pid, status = os.waitpid(-1, how)
            if pid == 0:
                return
            with self._leashes.pop(pid) as leash, suppress(OSError):
                leash.sendall(_STATUS.pack(os.waitstatus_to_exitcode(status)))

    def _child(self, job: int, server: int) -> NoReturn:
        """Do one job and end, also when the server ends; never returns into the server."""
        status = 1
        try:
            if sys.platform == "linux":
                ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
                if os.getppid() != server:
                    os._exit(status)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.dup2(job, 3)
            os.closerange(4, _MOST_FDS)
            with socket.socket(fileno=3) as connection:
                self._work(connection)
            status = 0
        finally:
            os._exit(status)
