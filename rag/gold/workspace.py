"""Libraries for a run: the configured one, or one made from a folder of documents just for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from rag.errors import PathError

if TYPE_CHECKING:
    from rag.config import Config
    from rag.library import Library
    from rag.types import IngestEvent


@contextmanager
def library_for(
    config: Config,
    corpus: Path | None = None,
    progress: Callable[[IngestEvent], None] | None = None,
    *,
    write: bool = False,
) -> Iterator[Library]:
    """The configured library, opened for reading unless ``write``; or, with ``corpus``, a new one of that folder's
    documents, which is gone afterwards.

    Raises PathError when the folder is missing or one of its files cannot be read: a gate must not run over part of
    its documents.
    """
    from rag.library import Library

    if corpus is None:
        with Library.open(config=config, write=write) as library:
            yield library
        return
    with TemporaryDirectory(prefix="rag-gold-") as folder:
        with Library.open(Path(folder) / "library", config=config) as library:
            fill(library, corpus, progress)
            yield library


def fill(library: Library, corpus: Path, progress: Callable[[IngestEvent], None] | None = None) -> None:
    """Put the documents of ``corpus`` into ``library``. Raises PathError naming the first file that cannot be read."""
    for event in library.ingest_events([corpus]):
        if progress is not None:
            progress(event)
        if event.status == "failed":
            raise PathError(
                f"{event.source} of {corpus} cannot be read: {event.error}",
                hint="Repair or remove the file; a gate does not run over part of its documents.",
            )
