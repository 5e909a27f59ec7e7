"""The models that read, with what they made of each text kept in a file: a fit asks many questions of the same
passages, often."""

from __future__ import annotations

import hashlib
import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rag.models.encoder import DIMENSION, Encoder, TokenVectors
from rag.models.span_model import Pointed, SpanModel
from rag.models.transformer import Matrix


class _Kept:
    """What was computed of a text, in ``rag-fit-*.sqlite3`` of the temporary folder, named by the weights' hash. About
    0.15 MB a passage; delete it freely."""

    def __init__(self, digest: str) -> None:
        self._file = sqlite3.connect(Path(tempfile.gettempdir()) / f"rag-fit-{digest[:16]}.sqlite3", timeout=600)
        self._file.execute("PRAGMA synchronous=OFF")
        self._file.execute("CREATE TABLE IF NOT EXISTS kept (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID")

    def looked_up(
        self, kind: str, texts: Sequence[str], compute: Callable[[Sequence[str]], list[bytes]]
    ) -> list[bytes]:
        """For each text what ``compute`` makes of it, computed once."""
        keys = {text: hashlib.sha256(f"{kind}\n{text}".encode("utf-8", "replace")).digest() for text in texts}
        found: dict[str, bytes] = {}
        for text, key in keys.items():
            row = self._file.execute("SELECT value FROM kept WHERE key = ?", (key,)).fetchone()
            if row is not None:
                found[text] = row[0]
        missing = [text for text in keys if text not in found]
        if missing:
            found |= zip(missing, compute(missing), strict=True)
            with self._file:
                self._file.executemany("REPLACE INTO kept VALUES (?, ?)", [(keys[t], found[t]) for t in missing])
        return [found[text] for text in texts]


class Remembering(Encoder):
    """Computes each text's vectors once and keeps them, tokens half as exact."""

    def __init__(self) -> None:
        super().__init__()
        self._kept = _Kept(self.digest)

    def tokens(self, texts: Sequence[str], threads: int = 1) -> list[TokenVectors]:
        """Those of the texts, each computed once."""
        blobs = self._kept.looked_up("tokens", texts, lambda new: self._tokens_of(new, threads))
        return [_unpacked(blob) for blob in blobs]

    def embed(self, texts: Sequence[str], threads: int = 1) -> Matrix:
        """The vectors of the texts, each computed once."""
        blobs = self._kept.looked_up("embed", texts, lambda new: self._vectors_of(new, threads))
        return np.array([np.frombuffer(blob, np.float32) for blob in blobs]).reshape(-1, DIMENSION)

    def _tokens_of(self, texts: Sequence[str], threads: int) -> list[bytes]:
        return [_packed(one) for one in super().tokens(texts, threads)]

    def _vectors_of(self, texts: Sequence[str], threads: int) -> list[bytes]:
        return [row.tobytes() for row in super().embed(texts, threads)]


class RememberingSpans(SpanModel):
    """Reads each text once for a question."""

    def __init__(self) -> None:
        super().__init__()
        self._kept = _Kept(self.digest)

    def point(self, question: str, texts: Sequence[str], threads: int = 1) -> list[Pointed]:
        """What in the texts answers, each read once."""

        def read(new: Sequence[str]) -> list[bytes]:
            pointed = super(RememberingSpans, self).point(question, new, threads)
            return [one.spans.astype(np.int32).tobytes() + one.log_odds.tobytes() for one in pointed]

        found = []
        for blob in self._kept.looked_up(f"point\n{question}", texts, read):
            count = len(blob) // 16
            spans: npt.NDArray[np.int32] = np.frombuffer(blob, np.int32, 2 * count)
            odds: npt.NDArray[np.float64] = np.frombuffer(blob, np.float64, offset=8 * count)
            found.append(Pointed(spans.reshape(-1, 2).astype(np.int64), odds))
        return found


def _packed(one: TokenVectors) -> bytes:
    return one.spans.astype(np.int32).tobytes() + one.vectors.astype(np.float16).tobytes()


def _unpacked(blob: bytes) -> TokenVectors:
    count = len(blob) // (2 * 4 + 2 * DIMENSION)
    spans: npt.NDArray[np.int32] = np.frombuffer(blob, np.int32, 2 * count)
    vectors = np.frombuffer(blob, np.float16, offset=8 * count)
    return TokenVectors(spans.reshape(-1, 2).astype(np.int64), vectors.reshape(-1, DIMENSION).astype(np.float32))
