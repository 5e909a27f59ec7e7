"""The machine: how much memory and how many cores it has."""

from __future__ import annotations

import os
import sys


def cores() -> int:
    """The cores that this process may use, at least 1."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
