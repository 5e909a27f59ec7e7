"""Documents made of words, and their vectors, for the tests of the store."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rag.store.sqlite.truth import SqliteTruth
from rag.store.truth import Collection, EmbedderInfo, NewDocument, NewPassage, Truth, text_key
from rag.types import Document, Heading, ParsedDocument, Place, index_text

DIMENSION = 16
EMBEDDER = EmbedderInfo("test", "0" * 64, DIMENSION)
WIDTH = 60
"""Characters in a passage of ``cut``."""


def parsed(text: str, title: str = "A title") -> ParsedDocument:
    """A document of two pages and one heading."""
    half = len(text) // 2
    pages = (Place(1, 0, half), Place(2, half, len(text)), Place(3, len(text), len(text)))
    return ParsedDocument(text, title, "text/plain", (Heading(1, "Part one", 0),), pages)


def cut(document: ParsedDocument, width: int = WIDTH) -> list[NewPassage]:
    """Passages of ``width`` characters, one after the other."""
    heading = ("Part one",)
    return [
        NewPassage(at, min(at + width, len(document.text)), 1, heading, text_key(
            index_text(document.title, heading, document.text[at : at + width])))
        for at in range(0, len(document.text), width)
    ]  # fmt: skip


def embed(key: bytes, dimension: int = DIMENSION) -> npt.NDArray[np.float32]:
    """A unit vector that depends on the key alone."""
    row = np.random.default_rng(int.from_bytes(key[:8], "big")).standard_normal(dimension).astype(np.float32)
    return np.asarray(row / np.linalg.norm(row), dtype=np.float32)


def embed_all(passages: Sequence[NewPassage], dimension: int = DIMENSION) -> dict[bytes, npt.NDArray[np.float32]]:
    """The vector of each passage."""
    return {passage.key: embed(passage.key, dimension) for passage in passages}


def put(truth: Truth, collection: Collection, source: str, text: str, title: str = "A title") -> Document:
    """Store a text as a document."""
    document = parsed(text, title)
    passages = cut(document)
    data = text.encode("utf-8", "surrogatepass")
    vectors = embed_all(passages, collection.embedder.dimension)
    return truth.documents.put(
        collection,
        NewDocument(source, source, document, passages, vectors, sha256(data).hexdigest(), len(data)),
    )


def fill(truth: Truth, collection: Collection, count: int, source: str = "large.txt") -> None:
    """One document of ``count`` small passages."""
    pieces = [f"{source} passage number {n}. " for n in range(count)]
    text, passages, at = "".join(pieces), [], 0
    for piece in pieces:
        passages.append(NewPassage(at, at + len(piece), None, (), text_key(index_text("t", (), piece))))
        at += len(piece)
    rows = np.random.default_rng(count).standard_normal((count, DIMENSION)).astype(np.float32)
    vectors = {p.key: rows[n] for n, p in enumerate(passages)}
    truth.documents.put(
        collection, NewDocument(source, source, ParsedDocument(text, "t", "text/plain"), passages, vectors)
    )


def writer(folder: Path) -> SqliteTruth:
    """A library in SQLite, opened for writing."""
    return SqliteTruth.open(folder, writer=True)


def prose(seed: int, words: int = 60) -> str:
    """Words that differ from seed to seed."""
    rng = np.random.default_rng(seed)
    return " ".join(f"word{n}" for n in rng.integers(0, 500, words))


def open_files() -> list[str]:
    """The paths that this process has open."""
    targets = []
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            targets.append(str(entry.readlink()))
    return targets
