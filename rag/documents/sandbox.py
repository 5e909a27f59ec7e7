"""The parent's side of the sandbox: one confined child process for each file, a deadline, and an untrusting reader."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from rag.config import Limits
from rag.documents import wire
from rag.documents.formats import format_of, formats, shown
from rag.documents.wire import Parsed
from rag.errors import EmptyDocument, ParserCrashed

_START_SECONDS = 60.0
_END_SECONDS = 5.0
_STATUS_BYTES = 4
_KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_START_HINT = "Check that this program's packages are installed completely and that files can still be opened."
_BOOT = (
    "import json, sys; from importlib import import_module; sys.path[:] = json.loads(sys.argv[1]);"
    "import_module(sys.argv[2]).main()"
)


def isolated(module: str) -> dict[str, Any]:
    """What ``subprocess`` needs to run ``main()`` of ``module`` apart from this process: only its arguments, a few
    variables of the environment, and an import path of which the working folder is no part."""
    return {
        "args": [sys.executable, "-I", "-c", _BOOT, json.dumps(_import_path()), module],
        "env": {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ},
        "cwd": "/",
        "start_new_session": True,
    }


class ParserPool:
    """Parses files in child processes, at most ``workers`` at a time (default: 2, or 1 on a single core).

    Safe to share between threads. The fork server behind it starts with the first file and ends with ``close()``;
    if it is killed, the next file starts another.
    """

    def __init__(self, limits: Limits, *, characters: int, overlap: int, workers: int | None = None) -> None:
        self._limits = limits
        self._characters = characters
        self._overlap = overlap
        self._executor = ThreadPoolExecutor(workers or min(2, os.cpu_count() or 1), thread_name_prefix="rag-parser")
        self._lock = threading.Lock()
        self._server: _Server | None = None
        self._closed = False

    def __enter__(self) -> ParserPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def parse(self, data: bytes, source: str) -> Parsed:
        """The document that ``data`` is; ``source`` gives the format (by suffix) and the title of last resort.

        Raises UnsupportedFormat, EncryptedDocument, EmptyDocument, DamagedDocument, LimitExceeded, or ParserCrashed
        when the child died, ran out of memory or time, or sent nonsense; RuntimeError when the pool is closed.
        """
        return self.submit(data, source).result()

    def submit(self, data: bytes, source: str) -> Future[Parsed]:
        """``parse`` in the background; the future raises what ``parse`` would."""
        return self._executor.submit(self._parse, data, source)

    def close(self) -> None:
        """End every child and the fork server; files still being parsed fail with ParserCrashed. Idempotent."""
        with self._lock:
            self._closed = True
            server, self._server = self._server, None
        if server is not None:
            server.close()
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _parse(self, data: bytes, source: str) -> Parsed:
        format_of(source)
        if not data:
            raise EmptyDocument(f"{shown(source)} is empty (0 bytes).", hint="Check that it is the file you meant.")
        job = wire.Job(source, self._limits, self._characters, self._overlap)
        return _Run(job).parse(data, self._running())

    def _running(self) -> _Server:
        """The fork server, started anew if there is none or it has died."""
        with self._lock:
            if self._closed:
                raise ParserCrashed("The parser was closed while files were waiting.", hint="Add them again.")
            if self._server is not None and not self._server.alive:
                self._server.close()
                self._server = None
            if self._server is None:
                try:
                    self._server = _Server()
                except OSError as error:
                    raise ParserCrashed(
                        f"The parser's process cannot be started: {error}.", hint=_START_HINT
                    ) from error
            return self._server


class _Server:
    """The fork server's process and the socket that commands it."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair()
        with theirs, ExitStack() as undo:
            undo.callback(self._control.close)
            self._process = subprocess.Popen(
                **isolated("rag.documents.worker"),
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
            undo.pop_all()
        self._lock = threading.Lock()
        self._wait_until_ready()

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def fork(self, number: int) -> tuple[socket.socket, socket.socket]:
        """The sockets of a new child that can read format ``number``: a job's and its leash. Raises OSError."""
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
        return connection, leash

    def close(self) -> None:
        """End the process, which ends its children first."""
        with suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._control.close()

    def _wait_until_ready(self) -> None:
        self._control.settimeout(_START_SECONDS)
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
                lines = complaints.read().decode("utf-8", "replace").split("\n")
                reason = next((line for line in reversed(lines) if line.strip()), "it ended without a word")
                raise ParserCrashed(f"The parser's process cannot be started: {reason}.", hint=_START_HINT)


class _Run:
    """One file on its way through one child."""

    def __init__(self, job: wire.Job) -> None:
        self._job = job
        self._limits = job.limits

    def parse(self, data: bytes, server: _Server) -> Parsed:
        """Send the job, await the reply until the deadline, and check it. Raises DocumentError only."""
        deadline = time.monotonic() + self._limits.child_wall_seconds
        try:
            connection, leash = server.fork(formats().index(format_of(self._job.source)))
        except OSError as error:
            raise self._crashed(f"could not be parsed: no child process ({error})", "Try again.") from error
        with connection, leash:
            header, body = self._exchange(connection, leash, data, deadline)
            self._end(leash)
        try:
            return wire.read_reply(header, body, self._job)
        except wire.BadReply as error:
            raise self._misbehaved(error) from error

    def _exchange(
        self, connection: socket.socket, leash: socket.socket, data: bytes, deadline: float
    ) -> tuple[dict[str, Any], bytes]:
        try:
            connection.settimeout(self._limits.child_wall_seconds)
            with suppress(BrokenPipeError, ConnectionResetError):
                wire.send(connection, wire.job_to_header(self._job), data)
            return wire.receive(connection, wire.body_max(self._limits), deadline)
        except TimeoutError as error:
            self._end(leash)
            raise self._timed_out("of time", "child_wall_seconds") from error
        except (EOFError, OSError) as error:
            raise self._died(self._end(leash)) from error
        except wire.BadReply as error:
            self._end(leash)
            raise self._misbehaved(error) from error

    def _end(self, leash: socket.socket) -> int | None:
        """Have the child killed if it still runs; its exit code, negative for a signal, None if the server died."""
        with suppress(OSError):
            leash.shutdown(socket.SHUT_WR)
            leash.settimeout(_END_SECONDS)
            status = leash.recv(_STATUS_BYTES)
            if len(status) == _STATUS_BYTES:
                return int.from_bytes(status, "big", signed=True)
        return None

    def _died(self, code: int | None) -> ParserCrashed:
        if code is None:
            return self._crashed("could not be parsed: the parser was stopped", "Add it again.")
        if code == -signal.SIGXCPU:
            return self._timed_out("of processor time", "child_cpu_seconds")
        if code == -signal.SIGALRM:
            return self._timed_out("of time", "child_wall_seconds")
        if code == -signal.SIGKILL:
            return self._crashed("could not be parsed: its parser was killed", "Free some memory and add it again.")
        how = signal.Signals(-code).name if -code in set(signal.Signals) else f"status {code}"
        return self._crashed(
            f"made its parser crash ({how}), or needs more than {self._limits.child_memory_mb:,} MB of memory"
            " (limits.child_memory_mb)",
            "Check that the file opens elsewhere, save it anew and add that; or raise the limit.",
        )

    def _misbehaved(self, error: wire.BadReply) -> ParserCrashed:
        return self._crashed(
            f"made its parser misbehave ({error})", "Do not trust the file; open it elsewhere with care."
        )

    def _timed_out(self, what: str, limit: str) -> ParserCrashed:
        seconds = getattr(self._limits, limit)
        return self._crashed(
            f"takes more than {seconds} s {what} (limits.{limit})", f"Split the file, or raise limits.{limit}."
        )

    def _crashed(self, reason: str, hint: str) -> ParserCrashed:
        return ParserCrashed(f"{shown(self._job.source)} {reason}.", hint=hint)


def _import_path() -> list[str]:
    """This process's import path without the working folder (unless this package lives there)."""
    home = str(Path(__file__).resolve().parents[2])
    path = [entry for entry in sys.path if entry and (entry == home or not _is_working_folder(entry))]
    return path if home in path else [*path, home]


def _is_working_folder(entry: str) -> bool:
    try:
        return Path(entry).samefile(".")
    except OSError:  # one of them is not there
        return not Path(entry).is_absolute()
