"""φ and the similarity of answers, from the project's own verifier and built-in embedder: no judge, no server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from rag.answer.verify import Verifier
from rag.models.static import StaticVectors, static_vectors
from rag.types import Passage, Support

_SUPPORTED = frozenset({Support.QUOTED, Support.SUPPORTED})


@dataclass(frozen=True, slots=True)
class Evidence:
    """What scoring asks of the verifier and the embedder."""

    verifier: Verifier
    vectors: StaticVectors

    def entails(self, sentence: str, passages: Sequence[Passage]) -> bool:
        """Whether the passages, one of them or all joined, support the sentence."""
        if self.verifier.check(sentence, passages).support in _SUPPORTED:
            return True
        if len(passages) < 2:
            return False
        text = "\n\n".join(passage.text for passage in passages)
        joined = replace(passages[0], start=0, end=len(text), text=text)
        return self.verifier.check(sentence, [joined]).support in _SUPPORTED

    def similarity(self, answer: str, references: Sequence[str]) -> float:
        """The best cosine of the answer to one of the references, in [-1, 1]."""
        rows = self.vectors.embed([answer, *references])
        return float(np.max(rows[1:] @ rows[0]))


def default_evidence() -> Evidence:
    """The verifier over the built-in embedder; loads its vectors once in a process."""
    vectors = static_vectors()
    return Evidence(Verifier(vectors), vectors)
