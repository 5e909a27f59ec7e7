"""The built-in static embedding: WordLlama's token vectors, averaged. No model run, no download.

The weights and the tokenizer ship inside the ``wordllama`` wheel. They are read from there directly, because that
package's own loader searches the wrong folder for the tokenizer and then tries to download it, and because
importing it changes the root logger.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from functools import cached_property, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from rag.errors import ModelError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Matrix = npt.NDArray[np.float32]

NAME = "wordllama-l2-supercat-256"
DIMENSION = 256
_BATCH = 256
_REMEMBERED, _LONGEST_REMEMBERED = 20_000, 40


class StaticVectors:
    """Token vectors and their averages. Thread-safe; about 35 MB of memory, and up to 25 MB more for known words."""

    def __init__(self) -> None:
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        folder = _package_folder()
        weights = folder / "weights" / "l2_supercat_256.safetensors"
        tokenizer = folder / "tokenizers" / "l2_supercat_tokenizer_config.json"
        if not weights.is_file() or not tokenizer.is_file():
            raise ModelError(
                f"The built-in embedder's files are missing from {folder}.",
                hint="Install the package wordllama again, in the version that requirements.lock pins.",
            )
        self.weights_path = weights
        self.table: Matrix = np.ascontiguousarray(load_file(weights)["embedding.weight"].astype(np.float32))
        self._tokenizer: Tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._words: dict[str, Matrix] = {}
        self._guard = threading.Lock()

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the weights file, in hexadecimal."""
        return hashlib.sha256(self.weights_path.read_bytes()).hexdigest()

    def token_ids(self, texts: Sequence[str]) -> list[npt.NDArray[np.int64]]:
        """The token numbers of each text, without special tokens."""
        encoded = self._tokenizer.encode_batch_fast([_encodable(t) for t in texts], add_special_tokens=False)
        top = len(self.table) - 1
        return [np.minimum(np.asarray(e.ids, dtype=np.int64), top) for e in encoded]

    def embed(self, texts: Sequence[str]) -> Matrix:
        """The unit mean vector of each text, shape (len(texts), 256), float32; a text without tokens gives zeros."""
        out = np.zeros((len(texts), DIMENSION), dtype=np.float32)
        for first in range(0, len(texts), _BATCH):
            # A row at a time: the gathered rows stay in the processor's cache, which no batched sum achieves.
            for row, ids in enumerate(self.token_ids(texts[first : first + _BATCH]), start=first):
                if len(ids):
                    self.table[ids].mean(axis=0, out=out[row])
        return _unit(out)

    def embed_words(self, words: Sequence[str]) -> Matrix:
        """``embed(words)``, remembered: single words come back from text to text, and reading each takes long."""
        found = {word: row for word in words if (row := self._words.get(word)) is not None}
        missing = [word for word in dict.fromkeys(words) if word not in found]
        if missing:
            fresh = dict(zip(missing, self.embed(missing), strict=True))
            found |= fresh
            with self._guard:
                if len(self._words) + len(fresh) > _REMEMBERED:
                    self._words.clear()
                self._words |= {word: row for word, row in fresh.items() if len(word) <= _LONGEST_REMEMBERED}
        return np.stack([found[word] for word in words]) if words else np.zeros((0, DIMENSION), dtype=np.float32)


@lru_cache(maxsize=1)
def static_vectors() -> StaticVectors:
    """The one instance that embedder, verifier and quoter share."""
    return StaticVectors()


def _package_folder() -> Path:
    spec = find_spec("wordllama")
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(
            "The package wordllama, which holds the built-in embedder, is not installed.",
            hint="Install this program again from requirements.lock.",
        )
    return Path(next(iter(spec.submodule_search_locations)))


def _encodable(text: str) -> str:
    """Text without lone surrogates, which the tokenizer cannot encode."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _unit(rows: Matrix) -> Matrix:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(norms > 0, norms, 1), dtype=np.float32)
