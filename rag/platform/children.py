"""Child processes that do one job each: forked from a server that is ready, or, where there is no fork, started anew.

The parent makes ``Children`` of a module and calls ``start`` for each job; the module's ``main`` calls ``serve``. What
a job is, and what goes over its stream, is the callers'.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from rag.platform.apart import Children, Stream

if sys.platform == "win32":
    from rag.platform import spawning
else:
    from rag.platform import forking


def children(module: str, *arguments: str) -> Children:
    """Children that run ``main()`` of ``module``, with these arguments, which calls ``serve``.

    Raises OSError, NotStarted.
    """
    if sys.platform == "win32":
        return spawning.Spawner(module, *arguments)
    else:  # noqa: RET505 - for the type checker, which knows no forking there
        return forking.ForkServer(module, *arguments)


def serve(prepare: Callable[[], None], load: Callable[[int], None], work: Callable[[Stream], None]) -> None:
    """The other end of ``children``, in the process that runs nothing else: ``prepare`` once, then, for each child,
    ``load`` of the kind of its job, and ``work`` of its stream."""
    if sys.platform == "win32":
        spawning.serve_one(prepare, load, work)
    else:
        forking.serve_forever(prepare, load, work)
