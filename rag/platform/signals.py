"""What ends a program from outside, and what a child died of."""

from __future__ import annotations

import signal
import sys
from typing import Literal

Death = Literal["processor", "clock", "killed", "crash"]

if sys.platform == "win32":
    ENDING: tuple[signal.Signals, ...] = (signal.SIGTERM, signal.SIGBREAK)
    """What ends a program from outside: another program, and a console that is closed."""
    # ERROR_NOT_ENOUGH_QUOTA, what a job's time limit ends its processes with; 1 is what TerminateProcess was given.
    _DEATHS: dict[int, Death] = {1816: "processor"}
    _STATUS = {0xC0000005: "access violation", 0xC00000FD: "stack overflow", 0xC0000409: "stack buffer overrun"}
else:
    ENDING = (signal.SIGTERM, signal.SIGHUP)
    _DEATHS: dict[int, Death] = {-signal.SIGXCPU: "processor", -signal.SIGALRM: "clock", -signal.SIGKILL: "killed"}
    _STATUS = {-number: number.name for number in signal.Signals}


def death(code: int) -> Death:
    """What a child with this exit code (as ``subprocess`` tells it) died of: a limit, somebody's hand, or itself."""
    return _DEATHS.get(code, "crash")


def told(code: int) -> str:
    """An exit code for a message."""
    return _STATUS.get(code, f"status {code}")
