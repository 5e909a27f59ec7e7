"""The encoder with what it made of each text kept in a file: a fit asks many questions of the same passages, often."""

from __future__ import annotations

import hashlib
import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rag.models.encoder import DIMENSION, Encoder, Matrix, TokenVectors


class Remembering(Encoder):
    """Computes each text's vectors once and keeps them, tokens half as exact, in ``rag-fit-*.sqlite3`` of the temporary
    folder, named by the weights' hash. About 0.15 MB a passage; delete it freely."""

    def __init__(self) -> None:
        super().__init__()
        path = Path(tempfile.gettempdir()) / f"rag-fit-{self.digest[:16]}.sqlite3"
        self._kept = sqlite3.connect(path, timeout=600)
        self._kept.execute("PRAGMA synchronous=OFF")
        self._kept.execute("CREATE TABLE IF NOT EXISTS kept (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID")

    def tokens(self, texts: Sequence[str], threads: int = 1) -> list[TokenVectors]:
        """Those of the texts, each computed once."""
        return [_unpacked(blob) for blob in self._looked_up("tokens", texts, lambda new: self._tokens_of(new, threads))]

    def embed(self, texts: Sequence[str], threads: int = 1) -> Matrix:
        """The vectors of the texts, each computed once."""
        blobs = self._looked_up("embed", texts, lambda new: self._vectors_of(new, threads))
        return np.array([np.frombuffer(blob, np.float32) for blob in blobs]).reshape(-1, DIMENSION)

    def _tokens_of(self, texts: Sequence[str], threads: int) -> list[bytes]:
        return [_packed(one) for one in super().tokens(texts, threads)]

    def _vectors_of(self, texts: Sequence[str], threads: int) -> list[bytes]:
        return [row.tobytes() for row in super().embed(texts, threads)]

    def _looked_up(
        self, kind: str, texts: Sequence[str], compute: Callable[[Sequence[str]], list[bytes]]
    ) -> list[bytes]:
        keys = {text: hashlib.sha256(f"{kind}\n{text}".encode("utf-8", "replace")).digest() for text in texts}
        found: dict[str, bytes] = {}
        for text, key in keys.items():
            row = self._kept.execute("SELECT value FROM kept WHERE key = ?", (key,)).fetchone()
            if row is not None:
                found[text] = row[0]
        missing = [text for text in keys if text not in found]
        if missing:
            found |= zip(missing, compute(missing), strict=True)
            with self._kept:
                self._kept.executemany("REPLACE INTO kept VALUES (?, ?)", [(keys[t], found[t]) for t in missing])
        return [found[text] for text in texts]


def _packed(one: TokenVectors) -> bytes:
    return one.spans.astype(np.int32).tobytes() + one.vectors.astype(np.float16).tobytes()


def _unpacked(blob: bytes) -> TokenVectors:
    count = len(blob) // (2 * 4 + 2 * DIMENSION)
    spans: npt.NDArray[np.int32] = np.frombuffer(blob, np.int32, 2 * count)
    vectors = np.frombuffer(blob, np.float16, offset=8 * count)
    return TokenVectors(spans.reshape(-1, 2).astype(np.int64), vectors.reshape(-1, DIMENSION).astype(np.float32))
