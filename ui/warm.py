"""Models and indexes made ready before the first question, in the background."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from rag.errors import RagError

if TYPE_CHECKING:
    from rag.library import Library
    from ui.signal import Signal

logger = logging.getLogger(__name__)
_LAST_SECONDS = 2.0


class WarmUp:
    """Runs ``Library.warm_up``, so that the model is loaded with the very options of the questions to come.

    ``changed`` is told when it ends. What goes wrong is logged: the question that follows meets it again and says so.
    """

    def __init__(self, library: Library, changed: Signal) -> None:
        self._library = library
        self._changed = changed
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._again = False
        self._closed = False

    @property
    def running(self) -> bool:
        """Whether something is still being made ready."""
        return self._thread is not None

    def start(self) -> None:
        """Begin; while one runs, begin again when it ends, since another model may have been chosen."""
        with self._lock:
            if self._closed:
                return
            if self._thread is not None:
                self._again = True
                return
            self._thread = threading.Thread(target=self._run, name="warm-up", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Wait for a moment; a model that is still being loaded then is left to the server."""
        with self._lock:
            self._closed = True
            thread = self._thread
        if thread is not None:
            thread.join(_LAST_SECONDS)

    def _run(self) -> None:
        again = True
        while again:
            try:
                self._library.warm_up()
            except RagError as error:
                logger.info("Not everything could be made ready: %s", error)
            finally:
                again = self._ended()
                self._changed.notify()

    def _ended(self) -> bool:
        """Whether to begin again."""
        with self._lock:
            again, self._again = self._again and not self._closed, False
            if not again:
                self._thread = None
            return again
