"""The fitted constants, in one place. ``python -m tests.bench.fit_answer`` fits them.

They were fitted on the halves of public data sets and of the sample corpus that the benchmarks call "tune"; the
benchmarks report the other halves beside them. Signs are fixed beforehand, so that more evidence never counts against.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from rag.answer.synonymy import Softness

QUOTE: Mapping[str, float] = MappingProxyType({
    "exact": 1.37, "soft": 3.56, "matched": 3.15, "rarest": 0.14, "pairs": 0.92, "cosine": 2.69, "meaning": 2.76,
    "late": 0.81, "back": 6.55, "onward": 4.68, "previous": 4.90, "following": 3.74, "heading": 0.99, "passage": 1.36,
    "score": 4.70, "first": 0.08, "elsewhere": -0.08, "typed": 0.17, "near": 0.66, "untyped": -2.46,
    "focus": 1.16, "focus_like": 2.05, "novel": 0.45, "long": 0.46, "question": -2.73, "listed": 1.50,
    "labelled": 6.00,
})  # fmt: skip
"""Log-odds that a sentence answers, among the sentences of the found passages (softmax), by feature of it.
``score`` is scaled to what the passage's own score is worth in the fused one since documents count for more there; a
new fit of all gains half a point on XQuAD and costs two right answers on the samples. ``labelled`` is fitted beside the
others on made questions for the lines of reports' tables (``fit_answer rows``): the right line comes first for 0.93 of
the tuned half and 0.96 of the other, without it for 0.59 and 0.57."""

NEAR, POINTED = 8.0, 0.2
"""What the encoder's mean nearness of question and sentence (``rag.answer.reading``), a cosine, adds to those log-odds
for one, and what the span model's log-odds that the sentence answers do. ``fit_answer near``: of XQuAD's questions of
the quarter of the documents that the second was weighed on, the answer is in the best sentence for 0.98, and for 0.88
of the quarter that no fit saw, without it for 0.92 and 0.86; in all quotes for 1.00 and 0.96, of which there are 1.5 an
answer instead of 1.8. Without either it was 0.79 and 0.80 of the halves, with 3.4 quotes. A larger second loses answers
of the last quarter."""

ABSTAIN_BIAS = -5.65
ABSTAIN: Mapping[str, float] = MappingProxyType({
    "passage": 2.54, "unknown": -5.74, "weak": -5.92, "unknown_names": -0.95, "names": 0.81, "focus_missing": -0.87,
    "cosine": 3.49, "gap_number": -6.34, "gap_time": -0.75, "gap_name": -2.96, "typed_number": 1.44,
    "typed_name": 0.95, "open": 1.59, "margin": 1.26, "log_odds": 0.97, "dense": 3.83, "dense_mean": 3.28,
})  # fmt: skip
"""Logistic regression: log-odds that the documents answer, by feature of ``rag.answer.abstain.Features``. The bias is
0.23 above the fitted one, so that one threshold serves this table and the next."""

ABSTAIN_READ_BIAS = -7.79
ABSTAIN_READ: Mapping[str, float] = MappingProxyType({
    "passage": 1.76, "names": 0.80, "gap_number": -3.54, "typed_name": 0.50, "open": 0.73, "unknown_names": -0.41,
    "focus_missing": -0.29, "cosine": 3.47, "log_odds": 0.55, "unseen": -0.94, "asked": 3.26, "lexical": -0.16,
    "score": -0.42, "size": 0.08, "read_low": 6.43, "span": 0.87,
})  # fmt: skip
"""The same for questions and passages that were read (``fit_answer read``), with real search questions, half of which
their articles do not answer, and with collections of one article or one paragraph. The tuned half gave the weights
between all but ``span``; what that counts beside the others, half of the other half's documents, since the span model
has learnt the tuned half. The area under the curve on the quarter that no fit saw, of CLAPNQ's questions, of its
articles alone, of (every third of) XQuAD's whose paragraph is gone, and whose name is exchanged: 0.926, 0.941, 0.967,
0.962; with a head on the encoder's token vectors in place of the span model 0.902, 0.922, 0.952, 0.940. ``asked``,
``lexical``, ``score`` and ``size`` are no evidence of their own, what the others say depends on them: their signs are
free."""

VERIFY_BIAS = -4.82
VERIFY: Mapping[str, float] = MappingProxyType({
    "recall": 2.31, "cosine": 2.76, "patched": -2.49, "words": 0.66, "wider": -0.26,
})  # fmt: skip
"""Logistic regression: log-odds that a passage supports a sentence, by part of ``rag.answer.verify.evidence.Window``;
fitted on news sentences judged by people and, lighter, on sentences in other words; wrong ones weigh more than right
ones. ``wider``: for a second sentence."""

VERIFY_SOFTNESS = Softness(0.4, 0.85, 0.85)
"""What the static vectors' cosine of two words is worth in ``recall``: fitted with the weights above."""

TOKENS, TOKENS_MIDDLE, TOKENS_MOST = 2.5, 1.4, 0.1
"""What the sum of a sentence's token likenesses (``rag.answer.verify.tokens``), less the middle and at most the last,
adds to the log-odds above for one. The slope is that of 0 to 4 with the best mean AUC on the tuned halves of QAGS, the
made sets and the briefs. Without the bound what a sentence copies in pieces, perhaps wrongly joined, comes out
supported: 0.56 of QAGS' wrong ones instead of 0.35 (``python -m tests.bench.fit_answer tokens``)."""

FAILED, DOUBTED = 2.5, 0.4
"""What a failed gate, and one in doubt, takes off the log-odds: found with the slope above."""
