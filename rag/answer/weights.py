"""The fitted constants, in one place. ``python -m tests.bench.fit_answer`` prints them again.

They were fitted on the halves of public data sets and of the sample corpus that the benchmarks call "tune"; the
benchmarks report the other halves beside them. Signs are fixed beforehand, so that more evidence never counts against.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

QUOTE: Mapping[str, float] = MappingProxyType({
    "exact": 1.44, "soft": 3.41, "matched": 3.16, "rarest": 0.13, "pairs": 0.89, "cosine": 2.77, "meaning": 2.65,
    "late": 1.26, "back": 6.22, "onward": 4.57, "previous": 4.80, "following": 3.64, "heading": 1.05, "passage": 1.17,
    "names": 0.00, "score": 2.82, "first": 0.01, "elsewhere": -0.13, "typed": 0.30, "near": 0.65, "untyped": -2.37,
    "focus": 1.14, "kindred": 2.12, "novel": 0.46, "short": 0.00, "long": 0.42, "question": -2.72, "listed": 1.51,
})  # fmt: skip
"""Log-odds that a sentence answers, among the sentences of the found passages (softmax), by feature of it."""

ABSTAIN_BIAS = -7.61
ABSTAIN: Mapping[str, float] = MappingProxyType({
    "passage": 2.17, "unknown": -1.45, "unknown_names": -0.72, "names": 0.97, "focus_missing": -0.97, "cosine": 3.15,
    "gap_number": -4.58, "gap_time": 0.00, "gap_name": -2.55, "typed_number": 1.55, "typed_name": 1.24, "open": 1.72,
    "margin": 2.53, "log_odds": 1.58, "dense": 3.36, "dense_mean": 2.78,
})  # fmt: skip
"""Logistic regression: log-odds that the documents answer, by feature of ``rag.answer.abstain.Features``."""

VERIFY_BIAS = -5.01
VERIFY: Mapping[str, float] = MappingProxyType({
    "recall": 2.54, "cosine": 3.34, "pairs": 0.00, "triples": 0.86, "wider": -0.28,
})  # fmt: skip
"""Logistic regression: log-odds that a passage supports a sentence, by part of ``rag.answer.evidence.Window``; fitted
on news sentences judged by people and, lighter, on made sentences in other words. ``wider``: for a second sentence."""
