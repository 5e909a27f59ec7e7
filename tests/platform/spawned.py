"""The parser's child as it runs where there is no fork; started by ``rag.platform.spawning`` in the tests."""

from __future__ import annotations

from rag.documents import worker
from rag.platform import spawning


def main() -> None:
    """Serve one file."""
    worker.serve = spawning.serve_one  # type: ignore[attr-defined]
    worker.main()
