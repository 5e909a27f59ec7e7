"""The fitted constants, in one place. ``python -m tests.bench.fit_answer`` prints them again.

They were fitted on the halves of public data sets and of the sample corpus that the benchmarks call "tune"; the
benchmarks report the other halves beside them. Signs are fixed beforehand, so that more evidence never counts against.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

QUOTE: Mapping[str, float] = MappingProxyType({
    "exact": 1.39, "soft": 3.39, "matched": 3.10, "rarest": 0.14, "pairs": 0.85, "cosine": 2.75, "meaning": 2.65,
    "late": 1.30, "back": 6.13, "onward": 4.55, "previous": 4.74, "following": 3.61, "heading": 1.02, "passage": 1.15,
    "names": 0.00, "score": 2.87, "first": 0.00, "elsewhere": -0.15, "typed": 0.18, "near": 0.59, "untyped": -2.33,
    "focus": 1.17, "kindred": 2.14, "novel": 0.45, "short": 0.00, "long": 0.43, "question": -2.72, "listed": 1.58,
})  # fmt: skip
"""Log-odds that a sentence answers, among the sentences of the found passages (softmax), by feature of it."""

ABSTAIN_BIAS = -6.95
ABSTAIN: Mapping[str, float] = MappingProxyType({
    "passage": 0.85, "unknown": -1.76, "unknown_names": -0.66, "names": 1.31, "focus_missing": -1.00, "cosine": 3.18,
    "gap_number": -4.97, "gap_time": -1.93, "gap_name": -4.86, "gap_reason": -3.80, "typed_number": 1.49,
    "typed_name": 1.13, "open": 1.58, "margin": 2.47, "log_odds": 1.47, "dense": 3.31, "dense_mean": 2.57,
})  # fmt: skip
"""Logistic regression: log-odds that the documents answer, by feature of ``rag.answer.abstain.Features``."""
