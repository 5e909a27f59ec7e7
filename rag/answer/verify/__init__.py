"""Whether passages support a sentence: what each sentence of an answer rests on, and how well."""

from __future__ import annotations

from rag.answer.verify.checker import SUPPORTED, Checker, Verdict, is_claim, quoted_span, score_of, support_of
from rag.answer.verify.evidence import Reader
from rag.answer.verify.gates import RULES, Gates, gates
from rag.answer.verify.verifier import Verified, Verifier

__all__ = [
    "RULES",
    "SUPPORTED",
    "Checker",
    "Gates",
    "Reader",
    "Verdict",
    "Verified",
    "Verifier",
    "gates",
    "is_claim",
    "quoted_span",
    "score_of",
    "support_of",
]
