"""A process apart from this one, and what its two ends speak of: a child, its stream, its last words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Protocol

READY = b"R"
START_SECONDS = 60.0
END_SECONDS = 5.0

_KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TESSDATA_PREFIX")
_ONE_THREAD = dict.fromkeys(("OMP_THREAD_LIMIT", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
"""Who forks must be alone."""
_BOOT = (
    "import json, sys; from importlib import import_module; sys.path[:] = json.loads(sys.argv[1]);"
    "import_module(sys.argv[2]).main()"
)


class Stream(Protocol):
    """One end of what a child and its parent send each other; the part of a socket that both use."""

    def sendall(self, data: bytes, /) -> None:
        """Send. Raises OSError, TimeoutError."""

    def recv_into(self, buffer: memoryview, /) -> int:
        """Wait for some bytes and tell how many came; 0 when the other end is gone. Raises OSError, TimeoutError."""

    def settimeout(self, seconds: float, /) -> None:
        """How long from now the other end may take."""


class Child(Protocol):
    """A child, and the stream to it."""

    @property
    def stream(self) -> Stream:
        """What goes to it and comes from it."""

    def end(self) -> int | None:
        """Have it killed if it still runs; its exit code as ``subprocess`` tells it, None if nobody knows."""

    def close(self) -> None:
        """Close the stream."""


class Children(Protocol):
    """Starts children. Safe to share between threads."""

    @property
    def alive(self) -> bool:
        """Whether it can start any."""

    def start(self, number: int) -> Child:
        """A child that got ready for jobs of kind ``number`` (0 to 255). Raises OSError."""

    def close(self) -> None:
        """End every child."""


class NotStarted(Exception):
    """The process behind the children ended before it was ready; with its last words."""


def isolated(module: str, *arguments: str) -> dict[str, Any]:
    """What ``subprocess`` needs to run ``main()`` of ``module`` apart from this process: only its arguments, a few
    variables of the environment, and an import path of which the working folder is no part. Ctrl-C is not for it.
    ``arguments`` are ``sys.argv[3:]`` there."""
    apart: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {
        "args": [sys.executable, "-I", "-c", _BOOT, json.dumps(_import_path()), module, *arguments],
        "env": {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ} | _ONE_THREAD,
        "cwd": Path(sys.executable).anchor or os.sep,
        **apart,
    }


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


def last_words(complaints: bytes) -> str:
    """The last line that a process wrote about its end."""
    lines = complaints.decode("utf-8", "replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it ended without a word")
