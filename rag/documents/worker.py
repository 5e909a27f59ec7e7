"""The other end of the sandbox: a fork server that has the parsers loaded, and the child that parses one file.

The server is started once, reads no document itself and is single-threaded, so forking it is safe. Its children are
confined before they look at a byte. multiprocessing's fork server is not used because it imports the caller's
``__main__`` in every child, which runs a script without a guard again and fails where there is none.
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
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import NoReturn

from rag.config import Limits
from rag.documents import wire
from rag.documents.decode import CODECS
from rag.documents.formats import FORMATS, Format, format_of, formats, shown
from rag.documents.split import Span, split
from rag.errors import DamagedDocument, DocumentError, LimitExceeded, ParserCrashed
from rag.types import ParsedDocument

READY = b"R"
STATUS = struct.Struct("!i")

_ALWAYS = 4
"""So many formats, the commonest, are loaded at the start; the others with their first file."""
_MOST_FDS = 256
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_LANDLOCK_CREATE, _LANDLOCK_RESTRICT = 444, 446


def parse(data: bytes, job: wire.Job) -> tuple[ParsedDocument, list[Span]]:
    """Parse and split one file, in this process. Raises DocumentError."""
    document: ParsedDocument = _reader(format_of(job.source))(data, job.source, job.limits)
    spans = split(document, characters=job.characters, overlap=job.overlap)
    most = job.limits.passages
    if len(spans) > most:
        raise LimitExceeded(
            f"{shown(job.source)} makes {len(spans):,} passages; the limit is {most:,} (limits.passages).",
            hint="Split the file, or raise limits.passages or passage_characters.",
        )
    return document, spans


def _reader(kind: Format) -> Callable[[bytes, str, Limits], ParsedDocument]:
    module, _, function = kind.reader.partition(":")
    reader: Callable[[bytes, str, Limits], ParsedDocument] = getattr(import_module(module), function)
    return reader


def _warm_up(kind: Format) -> None:
    """Load all that reading this format needs, since a child can open no file: read the reader's own ``SAMPLES``."""
    module = import_module(kind.reader.partition(":")[0])
    for source, data in getattr(module, "SAMPLES", {}).items():
        parse(data() if callable(data) else data, wire.Job(source, Limits(), 1_000, 100))


def main() -> None:
    """Serve on the socket that is file descriptor 0 until the parent closes it."""
    control = socket.socket(fileno=os.dup(0))
    quiet = os.open(os.devnull, os.O_RDWR)
    os.dup2(quiet, 0)
    resource.setrlimit(resource.RLIMIT_NOFILE, (_MOST_FDS, _MOST_FDS))
    for name in CODECS:
        import_module(f"encodings.{name}")
    for kind in FORMATS[:_ALWAYS]:
        _warm_up(kind)
    gc.collect()
    gc.disable()  # a child lives for one file, and would spend half its time looking for garbage
    control.sendall(READY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    _Server(control).run()


class _Server:
    """Forks a child for each pair of sockets it is sent: one for the job, one (the leash) for the child's end.

    When the parent closes its end of a leash, that child is killed; when a child ends, its wait status goes there.
    """

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._leashes: dict[int, socket.socket] = {}
        self._warm = set(FORMATS[:_ALWAYS])
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
                _child(job, server)
            self._leashes[pid] = socket.socket(fileno=leash)
        os.close(job)
        return True

    def _load(self, number: int) -> None:
        """Load format ``number``; one that cannot be loaded is left to the child, which tells why."""
        kind = formats()[number]
        if kind not in self._warm:
            self._warm.add(kind)
            with suppress(Exception):
                _warm_up(kind)

    def _reap(self, how: int) -> None:
        """Collect children that ended (all, if ``how`` is 0) and tell how."""
        while self._leashes:
            pid, status = os.waitpid(-1, how)
            if pid == 0:
                return
            with self._leashes.pop(pid) as leash, suppress(OSError):
                leash.sendall(STATUS.pack(os.waitstatus_to_exitcode(status)))


def _child(job_fd: int, server: int) -> NoReturn:
    """Parse one file and end, also when the server ends; never returns into the server."""
    status = 1
    try:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != server:
                os._exit(status)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(job_fd, 3)
        os.closerange(4, _MOST_FDS)
        with socket.socket(fileno=3) as connection:
            header, data = wire.receive(connection, sys.maxsize)
            job = wire.job_from_header(header)
            confine(job.limits)
            wire.send(connection, *_answer(data, job))
        status = 0
    finally:
        os._exit(status)


def _answer(data: bytes, job: wire.Job) -> tuple[dict[str, object], bytes]:
    """The reply to a job: a document, or a refusal; also for what no parser may raise, by the name of the error."""
    try:
        document, spans = parse(data, job)
        return wire.document_to_header(document, spans), wire.document_to_body(document)
    except DocumentError as error:
        return wire.error_to_header(error), b""
    except RecursionError:
        reason = "is nested deeper than any file that people make"
        damaged = DamagedDocument(f"{shown(job.source)} {reason}.", hint="Do not trust the file; save it anew.")
        return wire.error_to_header(damaged), b""
    except MemoryError:
        reason = f"needs more than {job.limits.child_memory_mb:,} MB of memory (limits.child_memory_mb)"
        hint = "Split the file, or raise limits.child_memory_mb."
    except BaseException as error:  # noqa: BLE001 - the process ends here; a Rust panic is no Exception
        reason = f"made its parser fail ({type(error).__name__}: {str(error)[:200]})"
        hint = "Check that the file opens elsewhere; save it in another format and add that."
    return wire.error_to_header(ParserCrashed(f"{shown(job.source)} {reason}.", hint=hint)), b""


def confine(limits: Limits) -> None:
    """Leave this process nothing but the memory, time and open sockets it has been given.

    No file can be opened (also none that is allowed to this user), none grown, no process started; memory and CPU
    time are bounded; the clock kills it a second after the parent should have. Landlock, where the kernel has it,
    takes away the file system and signals to others as well.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "linux":
        libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        _landlock(libc)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, limits.child_wall_seconds + 1)
    memory = limits.child_memory_mb * 2**20
    for kind, soft, hard in (
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_FSIZE, 0, 0),
        (resource.RLIMIT_NPROC, 0, 0),
        (resource.RLIMIT_CPU, limits.child_cpu_seconds, limits.child_cpu_seconds + 1),
        (resource.RLIMIT_NOFILE, 0, 0),
        *([(resource.RLIMIT_AS, memory, memory)] if sys.platform == "linux" else []),  # macOS knows but refuses it
    ):
        most = resource.getrlimit(kind)[1]
        allowed = hard if most == resource.RLIM_INFINITY else min(hard, most)
        resource.setrlimit(kind, (min(soft, allowed), allowed))


def _landlock(libc: ctypes.CDLL) -> None:
    """Handle every right the kernel knows and allow none; does nothing on a kernel without Landlock."""
    version = libc.syscall(_LANDLOCK_CREATE, None, 0, 1)
    if version < 1:
        return
    files = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)) - 1
    network = 0b11 if version >= 4 else 0
    scopes = 0b11 if version >= 6 else 0
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    rules = libc.syscall(_LANDLOCK_CREATE, (ctypes.c_uint64 * 3)(files, network, scopes), ctypes.c_size_t(size), 0)
    if rules >= 0:
        libc.syscall(_LANDLOCK_RESTRICT, rules, 0)
        os.close(rules)
