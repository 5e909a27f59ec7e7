"""Bytes to canonical text with provenance: what to read, how to read it safely, where each passage is.

Importing this package loads no parser; those live in the child processes of ``ParserPool``.
"""

from __future__ import annotations

from rag.documents.discover import (
    IGNORE_FILE,
    Discovery,
    Refused,
    SourceFile,
    discover,
    discover_folder,
    is_address,
    read_file,
)
from rag.documents.formats import names, readable, suffixes
from rag.documents.sandbox import ParserPool, Recognition
from rag.documents.split import SPLITTER_VERSION, Slice, located
from rag.documents.wire import Parsed

__all__ = [
    "IGNORE_FILE",
    "SPLITTER_VERSION",
    "Discovery",
    "Parsed",
    "ParserPool",
    "Recognition",
    "Refused",
    "Slice",
    "SourceFile",
    "discover",
    "discover_folder",
    "is_address",
    "located",
    "names",
    "read_file",
    "readable",
    "suffixes",
]
