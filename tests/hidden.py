"""Another system, as far as this program can tell: what only POSIX has is hidden from its modules, not from others'.

``hide()`` makes ``rag`` and ``ui``, imported from then on, see ``sys.platform == "win32"``, none of the modules and
attributes that Windows lacks, and a few that it has. Python's own modules and the libraries see the machine as it is.
"""

from __future__ import annotations

import builtins
import ctypes
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

POSIX_MODULES = frozenset(
    "_posixsubprocess crypt fcntl grp posix pty pwd readline resource spwd syslog termios tty".split()
)
POSIX_NAMES: Mapping[str, frozenset[str]] = {
    "os": frozenset(
        "O_ASYNC O_CLOEXEC O_DIRECTORY O_DSYNC O_NOATIME O_NOCTTY O_NOFOLLOW O_NONBLOCK O_PATH O_SYNC P_PID WNOHANG"
        " chown chroot confstr fchdir fchmod fchown fdatasync fork forkpty getegid geteuid getgid getgroups getloadavg"
        " getpgid getpgrp getpriority getresuid getsid getuid initgroups killpg lchown lockf major makedev minor mkfifo"
        " mknod nice openpty pathconf pipe2 posix_fadvise posix_fallocate posix_spawn pread preadv pwrite pwritev"
        " register_at_fork sched_getaffinity sched_setaffinity sched_yield sendfile set_blocking setegid seteuid setgid"
        " setgroups setpgid setpgrp setpriority setsid setuid statvfs sync sysconf tcgetpgrp tcsetpgrp ttyname uname"
        " wait wait3 wait4 waitid waitstatus_to_exitcode".split()
    ),
    "signal": frozenset(
        "ITIMER_PROF ITIMER_REAL ITIMER_VIRTUAL SIGALRM SIGBUS SIGCHLD SIGCONT SIGHUP SIGIO SIGKILL SIGPIPE SIGPROF"
        " SIGQUIT SIGSTOP SIGTSTP SIGTTIN SIGTTOU SIGUSR1 SIGUSR2 SIGVTALRM SIGWINCH SIGXCPU SIGXFSZ alarm getitimer"
        " pause pthread_kill pthread_sigmask setitimer siginterrupt sigpending sigwait".split()
    ),
    "socket": frozenset("AF_UNIX CMSG_LEN SCM_RIGHTS recv_fds send_fds".split()),
    "select": frozenset("epoll kqueue poll POLLIN".split()),
    "ctypes": frozenset(("CDLL", "PyDLL", "cdll")),
}
"""What Windows lacks of modules that it has. ``mypy --platform win32`` knows all of it; this is what programs use."""


class Kernel:
    """As much of kernel32 as is called, which checks what it is told as the real one would."""

    def GlobalMemoryStatusEx(self, status: Any) -> int:  # noqa: N802
        """Eight GiB."""
        assert ctypes.sizeof(status._obj) == status._obj.length == 64
        status._obj.total = 8 * 2**30
        return 1

    def CreateJobObjectW(self, security: None, name: None) -> int:  # noqa: N802
        """A job."""
        return 7

    def GetCurrentProcess(self) -> int:  # noqa: N802
        """The pseudo handle."""
        return 2**64 - 1

    def SetInformationJobObject(self, job: Any, kind: int, wanted: Any, size: int) -> int:  # noqa: N802
        """The limits, of which the memory is set as Linux would."""
        assert (job.value, kind, size) == (7, 9, 144) and wanted._obj.flags == 0x50A and wanted._obj.processes == 1
        return 1

    def AssignProcessToJobObject(self, job: Any, process: Any) -> int:  # noqa: N802
        """Done."""
        return int(job.value == 7)

    def CloseHandle(self, job: Any) -> int:  # noqa: N802
        """Done."""
        return 1

    CreateJobObjectW.restype = GetCurrentProcess.restype = None  # type: ignore[attr-defined]


class _Functions:
    """The functions of a library as ctypes has them: with attributes of their own."""

    def __init__(self, *_: object, **__: object) -> None:
        self._kernel = Kernel()

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._kernel, name)

        def call(*arguments: Any) -> Any:
            return function(*arguments)

        self.__dict__[name] = call
        return call


class _Windows:
    kernel32 = _Functions()


_ADDED: Mapping[str, Mapping[str, Any]] = {
    "sys": {"platform": "win32"},
    "os": {"name": "nt", "O_BINARY": 0},
    "signal": {"SIGBREAK": signal.SIGUSR1},
    "subprocess": {"CREATE_NEW_PROCESS_GROUP": 0, "CREATE_NO_WINDOW": 0},
    "ctypes": {"WinDLL": _Functions, "windll": _Windows, "get_last_error": int, "WinError": OSError},
}


class _Seen(ModuleType):
    """A module as another system has it."""

    def __init__(self, real: ModuleType) -> None:
        super().__init__(real.__name__)
        object.__setattr__(self, "_real", real)

    def __getattr__(self, name: str) -> Any:
        real = object.__getattribute__(self, "_real")
        added = _ADDED.get(real.__name__, {})
        if name in added:
            return added[name]
        if name in POSIX_NAMES.get(real.__name__, ()):
            raise AttributeError(f"module {real.__name__!r} has no attribute {name!r} on this system")
        return getattr(real, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(object.__getattribute__(self, "_real"), name, value)


def hide() -> None:
    """Hide it from the program's modules in this process, and in those that it starts apart."""
    seen = {real.__name__: _Seen(real) for real in (ctypes, os, select, signal, socket, subprocess, sys)}
    importing = builtins.__import__

    def imported(
        name: str, by: Mapping[str, Any] | None = None, local: Any = None, fromlist: Any = (), level: int = 0
    ) -> ModuleType:
        if str((by or {}).get("__name__", "")).split(".")[0] in ("rag", "ui"):
            if name in POSIX_MODULES:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            if name in seen:
                return seen[name]
            if name == "os.path" and not fromlist:
                return seen["os"]
        return importing(name, by, local, fromlist, level)

    builtins.__import__ = imported  # type: ignore[assignment]
    from rag.platform import apart

    apart._BOOT = apart._BOOT.replace(";import_module(", ";import_module('tests.hidden').hide();import_module(")
