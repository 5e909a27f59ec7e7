"""The machine: how much memory and how many cores it has."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple


def cores() -> int:
    """The cores that this process may use, at least 1."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Use(NamedTuple):
    """What a process has in use: memory in bytes, and open files and sockets."""

    bytes: int
    descriptors: int


def process_use() -> Use | None:
    """What this process has in use; None where the system does not tell in files."""
    if sys.platform == "linux":
        with suppress(OSError, ValueError, IndexError):  # /proc need not be mounted
            pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
            return Use(pages * os.sysconf("SC_PAGE_SIZE"), sum(1 for _ in Path("/proc/self/fd").iterdir()))
    return None


def memory_bytes() -> int:
    """The memory of the machine in bytes."""
    if sys.platform == "win32":
        import ctypes

        status = _MemoryStatus(ctypes.sizeof(_MemoryStatus))
        ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
        return int(status.total)
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


if sys.platform == "win32":
    import ctypes

    class _MemoryStatus(ctypes.Structure):
        """MEMORYSTATUSEX."""

        _fields_ = (
            ("length", ctypes.c_uint32), ("load", ctypes.c_uint32), ("total", ctypes.c_uint64),
            ("free", ctypes.c_uint64), ("total_page", ctypes.c_uint64), ("free_page", ctypes.c_uint64),
            ("total_virtual", ctypes.c_uint64), ("free_virtual", ctypes.c_uint64), ("extended", ctypes.c_uint64),
        )  # fmt: skip
