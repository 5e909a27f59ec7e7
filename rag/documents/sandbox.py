"""The parent's side of the sandbox: one confined child process for each file, a deadline, and an untrusting reader."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from rag.config import Limits
from rag.documents import ocr, wire
from rag.documents.formats import format_of, formats, shown
from rag.documents.wire import Parsed
from rag.errors import DocumentError, EmptyDocument, ParserCrashed
from rag.platform.apart import Child, Children, NotStarted
from rag.platform.children import children
from rag.platform.signals import death, told

_T = TypeVar("_T")

_MODULE = "rag.documents.worker"
_STALE_DAYS = 7
_MOST_WORKERS = 8
"""One thread embeds and writes what they parse: more could only wait for it."""
_START_HINT = "Check that this program's packages are installed completely and that files can still be opened."


@dataclass(frozen=True, slots=True)
class Recognition:
    """How the text of pictures is recognised: the ``engine`` that is wanted (``auto``, ``off``, or one of
    ``ocr.ENGINES``), Tesseract's ``languages``, and the ``folder`` in which the pages that are done wait for the rest
    of their file, so that nothing is recognised twice when the work is cut off; None to keep none."""

    engine: str = "off"
    languages: str = ""
    folder: Path | None = None


class ParserPool:
    """Parses files in child processes, at most ``workers`` at a time (default: as many as there are cores, up to 8).

    Safe to share between threads. The fork server behind it starts with the first file and ends with ``close()``;
    if it is killed, the next file starts another. Pages that are pictures are read as ``recognition`` says, each in a
    child of its own, of a second fork server that starts with the first of them.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        characters: int,
        overlap: int,
        workers: int | None = None,
        recognition: Recognition | None = None,
    ) -> None:
        self._limits = limits
        self._characters = characters
        self._overlap = overlap
        self.workers = workers or min(_MOST_WORKERS, os.cpu_count() or 1)
        self._executor = ThreadPoolExecutor(self.workers, thread_name_prefix="rag-parser")
        self._pages = ThreadPoolExecutor(self.workers, thread_name_prefix="rag-recognition")
        self._recognition = recognition or Recognition()
        self._engine = ocr.engine(self._recognition.engine)
        self._lock = threading.Lock()
        self._servers: dict[str, Children] = {}
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
        """End every child and the fork servers; files still being parsed fail with ParserCrashed. Idempotent."""
        with self._lock:
            self._closed = True
            servers, self._servers = list(self._servers.values()), {}
        for server in servers:
            server.close()
        self._executor.shutdown(wait=True, cancel_futures=True)
        self._pages.shutdown(wait=True, cancel_futures=True)

    def _parse(self, data: bytes, source: str) -> Parsed:
        format_of(source)
        if not data:
            raise EmptyDocument(f"{shown(source)} is empty (0 bytes).", hint="Check that it is the file you meant.")
        job = wire.Job(source, self._limits, self._characters, self._overlap)
        try:
            parsed = _Run(job).parse(data, self._running())
        except EmptyDocument as error:
            if not error.unread:
                raise
            if not self._engine:
                raise EmptyDocument(str(error), hint=self._remedy()) from error
            unread = error.unread
        else:
            unread = parsed.document.unread
            if not unread or not self._engine:
                return parsed
        with _Kept(self._recognition, self._engine, data) as kept:
            recognised = self._recognise(data, job, unread, kept)
            return _Run(replace(job, recognised=recognised)).parse(data, self._running())

    def _remedy(self) -> str:
        if self._recognition.engine == "off":
            return 'Switch text recognition on (ocr = "auto"), or run it over the file and add the result.'
        return ocr.REMEDY

    def _recognise(
        self, data: bytes, job: wire.Job, unread: Sequence[int], kept: _Kept
    ) -> dict[int, tuple[ocr.Line, ...]]:
        """What is on each of the pages; one that cannot be recognised stays without text, unless none can."""
        limits = replace(
            job.limits,
            child_memory_mb=job.limits.ocr_memory_mb,
            child_cpu_seconds=job.limits.ocr_seconds,
            child_wall_seconds=4 * job.limits.ocr_seconds,
        )

        def page(number: int) -> tuple[ocr.Line, ...] | DocumentError:
            lines = kept.lines(number)
            if lines is None:
                try:
                    order = replace(job, limits=limits, page=number)
                    lines = _Run(order).recognise(data, self._running(self._engine))
                except DocumentError as error:
                    return error
                kept.keep(number, lines)
            return lines

        try:
            found = dict(zip(unread, self._pages.map(page, unread), strict=True))
        except (CancelledError, RuntimeError) as error:
            raise self._closed_meanwhile() from error
        failed = [outcome for outcome in found.values() if isinstance(outcome, DocumentError)]
        if len(failed) == len(found):
            raise failed[0]
        return {number: lines for number, lines in found.items() if not isinstance(lines, DocumentError)}

    def _closed_meanwhile(self) -> ParserCrashed:
        return ParserCrashed("The parser was closed while files were waiting.", hint="Add them again.")

    def _running(self, engine: str = "") -> Children:
        """The fork server (with the engine), started anew if there is none or it has died."""
        with self._lock:
            if self._closed:
                raise self._closed_meanwhile()
            server = self._servers.get(engine)
            if server is not None and not server.alive:
                self._servers.pop(engine).close()
                server = None
            if server is None:
                try:
                    server = children(_MODULE, *([engine, self._recognition.languages] if engine else []))
                except (OSError, NotStarted) as error:
                    raise _not_started(error) from error
                self._servers[engine] = server
            return server


class _Kept:
    """The recognised pages of one file in the folder for them, until the file is done; what is old there goes."""

    def __init__(self, recognition: Recognition, engine: str, data: bytes) -> None:
        key = f"{engine} {recognition.languages} {ocr.VERSION} ".encode()
        self._folder = recognition.folder
        self._name = hashlib.sha256(key + data).hexdigest()

    def __enter__(self) -> _Kept:
        if self._folder is not None:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for old in self._folder.glob("*.json*"):
                with suppress(OSError):
                    if time.time() - old.stat().st_mtime > _STALE_DAYS * 86_400:
                        old.unlink()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._folder is not None and (error is None or isinstance(error, EmptyDocument)):
            for page in self._folder.glob(f"{self._name}-*.json"):
                page.unlink(missing_ok=True)
            with suppress(OSError):  # others are at work there
                self._folder.rmdir()

    def lines(self, page: int) -> tuple[ocr.Line, ...] | None:
        """What was recognised on a page before; None if it was not, or cannot be read."""
        if self._folder is None:
            return None
        try:
            return wire.read_lines(json.loads(self._path(page).read_text("utf-8")))
        except (OSError, ValueError, wire.BadReply):
            return None

    def keep(self, page: int, lines: Sequence[ocr.Line]) -> None:
        """Put a page there, whole or not at all; a disk without room loses it."""
        if self._folder is None:
            return
        part = self._path(page).with_suffix(".json.part")
        with suppress(OSError), os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
            json.dump(wire.lines_to_rows(lines), out)
            part.replace(self._path(page))

    def _path(self, page: int) -> Path:
        assert self._folder is not None
        return self._folder / f"{self._name}-{page}.json"


class _Run:
    """One file on its way through one child."""

    def __init__(self, job: wire.Job) -> None:
        self._job = job
        self._limits = job.limits

    def parse(self, data: bytes, server: Children) -> Parsed:
        """Send the job, await the reply until the deadline, and check it. Raises DocumentError only."""
        return self._reply(data, server, lambda header, body: wire.read_reply(header, body, self._job))

    def recognise(self, data: bytes, server: Children) -> tuple[ocr.Line, ...]:
        """``parse`` for a page that is to be recognised."""
        return self._reply(data, server, lambda header, _: wire.read_recognised(header))

    def _reply(self, data: bytes, server: Children, read: Callable[[dict[str, Any], bytearray], _T]) -> _T:
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
            return read(header, body)
        except wire.BadReply as error:
            raise self._misbehaved(error) from error

    def _exchange(self, child: Child, data: bytes, deadline: float) -> tuple[dict[str, Any], bytearray]:
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
