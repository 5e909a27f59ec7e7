"""Answers from your own documents, on your own machine, with every sentence footnoted and checked.

>>> from rag import Library
>>> with Library.open("my-library") as library:          # doctest: +SKIP
...     library.ingest(["papers/"])
...     print(library.ask("What did the survey find?").text)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rag.config import Config, Limits
    from rag.errors import RagError
    from rag.library import Library
    from rag.types import Answer, Citation, Document, Hit, Passage, Sentence, Support, Turn

__all__ = [
    "Answer",
    "Citation",
    "Config",
    "Document",
    "Hit",
    "Library",
    "Limits",
    "Passage",
    "RagError",
    "Sentence",
    "Support",
    "Turn",
]

__version__ = "0.2.0"
"""The one place the version is written: the package's metadata and ``rag --version`` read it here."""

_HOME = {"Library": "rag.library", "Config": "rag.config", "Limits": "rag.config", "RagError": "rag.errors"}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that ``import rag`` stays cheap."""
    if name not in __all__:
        raise AttributeError(f"module 'rag' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME.get(name, "rag.types")), name)


def __dir__() -> list[str]:
    return sorted(__all__)
