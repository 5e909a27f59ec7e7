"""The parent's side of the sandbox: one confined child process for each file, a deadline, and an untrusting reader."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from types import TracebackType
from typing import Any

from rag.config import Limits
from rag.documents import wire
from rag.documents.formats import format_of, formats, shown
from rag.documents.wire import Parsed
from rag.errors import EmptyDocument, ParserCrashed
from rag.platform.apart import Child, Children, NotStarted
from rag.platform.children import children
from rag.platform.signals import death, told

_MODULE = "rag.documents.worker"
_MOST_WORKERS = 8
"""One thread embeds and writes what they parse: more could only wait for it."""
_START_HINT = "Check that this program's packages are installed completely and that files can still be opened."


class ParserPool:
    """Parses files in child processes, at most ``workers`` at a time (default: as many as there are cores, up to 8).

    Safe to share between threads. The fork server behind it starts with the first file and ends with ``close()``;
    if it is killed, the next file starts another.
    """

    def __init__(self, limits: Limits, *, characters: int, overlap: int, workers: int | None = None) -> None:
        self._limits = limits
        self._characters = characters
        self._overlap = overlap
        self.workers = workers or min(_MOST_WORKERS, os.cpu_count() or 1)
        self._executor = ThreadPoolExecutor(self.workers, thread_name_prefix="rag-parser")
        self._lock = threading.Lock()
        self._server: Children | None = None
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

    def _running(self) -> Children:
        """The fork server, started anew if there is none or it has died."""
        with self._lock:
            if self._closed:
                raise ParserCrashed("The parser was closed while files were waiting.", hint="Add them again.")
            if self._server is not None and not self._server.alive:
                self._server.close()
                self._server = None
            if self._server is None:
                try:
                    self._server = children(_MODULE)
                except (OSError, NotStarted) as error:
                    raise _not_started(error) from error
            return self._server


class _Run:
    """One file on its way through one child."""

    def __init__(self, job: wire.Job) -> None:
        self._job = job
        self._limits = job.limits

    def parse(self, data: bytes, server: Children) -> Parsed:
        """Send the job, await the reply until the deadline, and check it. Raises DocumentError only."""
        deadline = time.monotonic() + self._limits.child_wall_seconds
        try:
            child = server.start(formats().index(format_of(self._job.source)))
        except NotStarted as error:
            raise _not_started(error) from error
        except OSError as error:
            raise self._crashed(f"could not be parsed: no child process ({error})", "Try again.") from error
        with closing(child):
            header, body = self._exchange(child, data, deadline)
            child.end()
        try:
            return wire.read_reply(header, body, self._job)
        except wire.BadReply as error:
            raise self._misbehaved(error) from error

    def _exchange(self, child: Child, data: bytes, deadline: float) -> tuple[dict[str, Any], bytes]:
        try:
            child.stream.settimeout(self._limits.child_wall_seconds)
            with suppress(BrokenPipeError, ConnectionResetError):
                wire.send(child.stream, wire.job_to_header(self._job), data)
            return wire.receive(child.stream, wire.body_max(self._limits), deadline)
        except TimeoutError as error:
            child.end()
            raise self._timed_out("of time", "child_wall_seconds") from error
        except (EOFError, OSError) as error:
            raise self._died(child.end()) from error
        except wire.BadReply as error:
            child.end()
            raise self._misbehaved(error) from error

    def _died(self, code: int | None) -> ParserCrashed:
        if code is None:
            return self._crashed("could not be parsed: the parser was stopped", "Add it again.")
        of = death(code)
        if of == "processor":
            return self._timed_out("of processor time", "child_cpu_seconds")
        if of == "clock":
            return self._timed_out("of time", "child_wall_seconds")
        if of == "killed":
            return self._crashed("could not be parsed: its parser was killed", "Free some memory and add it again.")
        return self._crashed(
            f"made its parser crash ({told(code)}), or needs more than {self._limits.child_memory_mb:,} MB of memory"
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


def _not_started(error: OSError | NotStarted) -> ParserCrashed:
    return ParserCrashed(f"The parser's process cannot be started: {error}.", hint=_START_HINT)
