"""The reading model that ships: it reads a question together with a passage, and points at the tokens that answer.

The encoder (``rag.models.encoder``) tells what speaks of the same, not whether the answer stands there. This is the
same network, fine-tuned to tell: at the tokens that answer, or at none of them, as SQuAD 2's models do ("Know What You
Don't Know", 2018). ``rag/data/span_model/ORIGIN.md`` says on what. English. About a thirtieth of a second a passage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rag.models.transformer import Transformer, encodable, shipped

MAX_TOKENS = 288
"""Of question and passage together, as it was trained; the rest of a longer passage is not read."""


@dataclass(frozen=True, slots=True)
class Pointed:
    """Tokens of a text, ``text[start:end]`` for each row (start, end) of ``spans``, of shape (n, 2), and the log-odds
    of each, shape (n,), that it is of the answer, against that no token of the text is."""

    spans: npt.NDArray[np.int64]
    log_odds: npt.NDArray[np.float64]

    @property
    def answered(self) -> float:
        """The log-odds that the text answers: of any token against none; -inf for a blank text."""
        return float(np.logaddexp.reduce(self.log_odds, initial=-np.inf))


class SpanModel:
    """Points at answers. Loaded when first used; thread-safe; about 60 MB of memory.

    Raises ModelError when its files are missing.
    """

    def __init__(self, folder: Path | None = None, tokenizer: Path | None = None) -> None:
        folder = folder or shipped("span_model")
        tokenizer = tokenizer or shipped("encoder") / "tokenizer.json"
        self._model = Transformer("span-model", folder / "model.onnx", tokenizer, MAX_TOKENS)

    @property
    def digest(self) -> str:
        """SHA-256 of the weights file, in hexadecimal."""
        return self._model.digest

    def load_soon(self) -> None:
        """Begin to load the model in the background."""
        self._model.load_soon()

    def point(self, question: str, texts: Sequence[str], threads: int = 1) -> list[Pointed]:
        """What in each of the texts answers ``question``, in order."""
        encoded = self._model.tokenizer.encode_batch([(encodable(question), encodable(text)) for text in texts])
        found = []
        for one, out in zip(encoded, self._model.run(encoded, threads), strict=True):
            rows = [row for row, sequence in enumerate(one.sequence_ids) if sequence == 1]
            spans = np.array([one.offsets[row] for row in rows], dtype=np.int64).reshape(-1, 2)
            found.append(Pointed(spans, out[rows].astype(np.float64)))
        return found


@lru_cache(maxsize=1)
def shared_span_model() -> SpanModel:
    """The one instance that all questions share. Raises ModelError."""
    return SpanModel()
