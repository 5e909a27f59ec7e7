"""What a process that reads a stranger's file is left with: memory, time, and nothing else it could use.

How much of that a system can take away differs, and ``confinement`` says it.
"""

from __future__ import annotations

import os
import signal
import sys

from rag.config import Limits

if sys.platform == "win32":
    import ctypes

    _ACTIVE, _TIME, _MEMORY, _DIE_SILENTLY = 0x8, 0x2, 0x100, 0x400
    _EXTENDED = 9

    class _Extended(ctypes.Structure):
        """JOBOBJECT_EXTENDED_LIMIT_INFORMATION, its inner structures laid out flat."""

        _fields_ = (
            ("process_time", ctypes.c_int64), ("job_time", ctypes.c_int64), ("flags", ctypes.c_uint32),
            ("least_working_set", ctypes.c_size_t), ("most_working_set", ctypes.c_size_t),
            ("processes", ctypes.c_uint32), ("affinity", ctypes.c_size_t), ("priority", ctypes.c_uint32),
            ("scheduling", ctypes.c_uint32), ("io", ctypes.c_uint64 * 6), ("process_memory", ctypes.c_size_t),
            ("job_memory", ctypes.c_size_t), ("peak_process", ctypes.c_size_t), ("peak_job", ctypes.c_size_t),
        )  # fmt: skip

    def confine(limits: Limits) -> None:
        """Put this process into a job of its own: no other process can be started, memory and processor time are
        bounded. Files stay open to it; the parent ends it when its time is over. Raises OSError."""
        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel.CreateJobObjectW.restype = kernel.GetCurrentProcess.restype = ctypes.c_void_p
        job = ctypes.c_void_p(kernel.CreateJobObjectW(None, None))
        wanted = _Extended(
            process_time=limits.child_cpu_seconds * 10_000_000, flags=_ACTIVE | _TIME | _MEMORY | _DIE_SILENTLY,
            processes=1, process_memory=limits.child_memory_mb * 2**20,
        )  # fmt: skip
        done = kernel.SetInformationJobObject(
            job, _EXTENDED, ctypes.byref(wanted), ctypes.sizeof(wanted)
        ) and kernel.AssignProcessToJobObject(job, ctypes.c_void_p(kernel.GetCurrentProcess()))
        kernel.CloseHandle(job)  # the job lives on with its process, which can no longer change it
        if not done:
            raise ctypes.WinError(ctypes.get_last_error())

    def confinement() -> tuple[bool, str]:
        """Whether a parser can open no file, and what it is confined by, in words."""
        return False, "a job object limits memory, processor time and processes; files are not closed to it"

else:
    import resource

    _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38
    _LANDLOCK_CREATE, _LANDLOCK_RESTRICT = 444, 446

    def confine(limits: Limits) -> None:
        """Leave this process nothing but the memory, time and open sockets it has been given.

        No file can be opened (also none that is allowed to this user), none grown, no process started; memory (not on
        macOS) and CPU time are bounded; the clock kills it a second after the parent should have. Landlock, where the
        kernel has it, takes away the file system and signals to others as well.
        """
        if sys.platform == "linux":
            _confine_linux()
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

    def confinement() -> tuple[bool, str]:
        """Whether a parser can open no file, and what it is confined by, in words."""
        if sys.platform == "linux":
            version = _landlock_version()
            if version:
                return True, f"Landlock (version {version}); limits of memory, processor time, files and processes"
            return True, "limits of memory, processor time, files and processes; this kernel has no Landlock"
        return True, "limits of processor time, files and processes; macOS can set none of memory"


if sys.platform == "linux":
    import ctypes

    def _confine_linux() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        _landlock(libc, _landlock_version())

    def _landlock_version() -> int:
        """The kernel's version of Landlock, 0 for none."""
        return max(0, int(ctypes.CDLL(None, use_errno=True).syscall(_LANDLOCK_CREATE, None, 0, 1)))

    def _landlock(libc: ctypes.CDLL, version: int) -> None:
        """Handle every right the kernel knows and allow none; does nothing on a kernel without Landlock."""
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
