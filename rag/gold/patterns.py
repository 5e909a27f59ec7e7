"""Regular expressions of a gold set, under a limit on the time that one may take: some explode on some texts."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from rag.errors import GoldError

SECONDS = 2.0
"""Of the processor, for one pattern on one text of at most 50,000 characters; a sound one takes milliseconds."""


class SlowPattern(GoldError):
    """A regular expression of the gold set took too long on a text."""

    code = "gold"
    hint = "Repeats within repeats, as in (a+)+, try every way to part a text; write the pattern without them."


@contextmanager
def time_limit(pattern: str, seconds: float = SECONDS) -> Iterator[None]:
    """Stop a search after ``seconds`` of processor time with SlowPattern naming ``pattern``.

    By a signal, since `re` looks for signals while it searches; so only in the main thread, elsewhere without limit.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise SlowPattern(f"The regular expression '{pattern[:80]}' took over {seconds:g} s on one text.")

    # Not SIGALRM, which other programs' time limits use; this clock stands still while nothing is computed.
    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
