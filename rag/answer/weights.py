"""The fitted constants, in one place. ``python -m tests.bench.fit_answer`` prints them again.

They were fitted on the halves of public data sets and of the sample corpus that the benchmarks call "tune"; the
benchmarks report the other halves beside them. Signs are fixed beforehand, so that more evidence never counts against.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

QUOTE: Mapping[str, float] = MappingProxyType({
    "exact": 1.38, "soft": 3.39, "matched": 3.11, "rarest": 0.14, "pairs": 0.86, "cosine": 2.75, "meaning": 2.66,
    "late": 1.30, "back": 6.13, "onward": 4.56, "previous": 4.74, "following": 3.60, "heading": 1.02, "passage": 1.14,
    "names": 0.00, "score": 2.88, "first": 0.00, "elsewhere": -0.15, "typed": 0.07, "near": 0.57, "untyped": -2.42,
    "focus": 1.18, "kindred": 2.12, "novel": 0.44, "short": 0.00, "long": 0.43, "question": -2.72, "listed": 1.58,
})  # fmt: skip
"""Log-odds that a sentence answers, among the sentences of the found passages (softmax), by feature of it."""

ABSTAIN_BIAS = -6.95
ABSTAIN: Mapping[str, float] = MappingProxyType({
    "passage": 0.80, "unknown": -1.74, "unknown_names": -0.69, "names": 1.25, "focus_missing": -1.06, "cosine": 3.22,
    "gap_number": -4.90, "gap_time": -1.81, "gap_name": -4.75, "gap_reason": -3.81, "typed_number": 1.53,
    "typed_name": 1.16, "open": 1.64, "margin": 2.57, "log_odds": 1.53, "dense": 2.73, "dense_mean": 3.10,
})  # fmt: skip
"""Logistic regression: log-odds that the documents answer, by feature of ``rag.answer.abstain.Features``."""

VERIFY_BIAS = -5.01
VERIFY: Mapping[str, float] = MappingProxyType({
    "recall": 2.54, "cosine": 3.34, "pairs": 0.00, "triples": 0.86, "wider": -0.28,
})  # fmt: skip
"""Logistic regression: log-odds that a passage supports a sentence, by part of ``rag.answer.evidence.Window``; fitted
on news sentences judged by people and, lighter, on made sentences in other words. ``wider``: for a second sentence."""
