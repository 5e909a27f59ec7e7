"""The terminal in front of the program."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

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
