"""The terminal in front of the program, and its standard streams."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from typing import TextIO


def writable(stream: TextIO) -> None:
    """Have a standard stream take every character. What is piped or put into a file is UTF-8, as JSON has to be, where
    the system would write its own code page, which on Windows holds 250 characters; in a terminal, or where
    PYTHONIOENCODING asks for another encoding, what that lacks is written as ``\\uNNNN``."""
    if not isinstance(stream, TextIOWrapper) or stream.encoding.lower().replace("_", "-").startswith("utf"):
        return
    if stream.isatty() or "PYTHONIOENCODING" in os.environ:
        stream.reconfigure(errors="backslashreplace")
    else:
        stream.reconfigure(encoding="utf-8")


if sys.platform == "win32":

    @contextmanager
    def without_echo() -> Iterator[None]:
        """Nothing: a Windows console shows keys only where they are read, and keeps the others for the next prompt."""
        yield

else:
    import termios

    @contextmanager
    def without_echo() -> Iterator[None]:
        """Keys typed meanwhile do not show; they wait for the next prompt. Ctrl-C works. Only where the standard
        input is the terminal that this program is in front of."""
        try:
            descriptor = sys.stdin.fileno()
            in_front = os.isatty(descriptor) and os.tcgetpgrp(descriptor) == os.getpgrp()
            before = termios.tcgetattr(descriptor) if in_front else None
        except (OSError, ValueError, termios.error):
            before = None
        if before is None:
            yield
            return
        silent = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
        termios.tcsetattr(descriptor, termios.TCSADRAIN, silent)
        try:
            yield
        finally:
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
