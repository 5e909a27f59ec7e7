"""Every metric by name: what it says, which stage of the pipeline it speaks for, and whether it may gate."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal


class Stage(StrEnum):
    """Where an answer went wrong, in the order of the pipeline."""

    RETRIEVAL = "source lost in retrieval"
    ANSWER = "source there but answer wrong"
    CITATION = "citation wrong"
    ABSTENTION = "wrong abstention"


Unit = Literal["share", "count", "ms", "tokens"]


@dataclass(frozen=True, slots=True)
class Metric:
    """``lower``: less is better. ``gates``: a loss counts as a regression of the question. ``stage``: ``None`` when
    the metric is only reported."""

    name: str
    title: str
    stage: Stage | None = None
    lower: bool = False
    gates: bool = False
    unit: Unit = "share"

    def loss(self, old: float, new: float) -> float:
        """How much worse ``new`` is than ``old``; negative when it is better."""
        return new - old if self.lower else old - new

    def meets(self, value: float, required: float) -> bool:
        """Whether ``value`` reaches the threshold, which is a ceiling where less is better."""
        return value <= required + 1e-9 if self.lower else value >= required - 1e-9


def _all(*metrics: Metric) -> dict[str, Metric]:
    return {metric.name: metric for metric in metrics}


_AT_K = _all(
    Metric("file_hit@k", "a gold file is among the first k files", Stage.RETRIEVAL, gates=True),
    Metric("file_recall@k", "share of the gold files among the first k", Stage.RETRIEVAL, gates=True),
    Metric("file_ndcg@k", "nDCG over the first k files", Stage.RETRIEVAL),
    Metric("passage_hit@k", "a gold quote is covered by the first k passages", Stage.RETRIEVAL),
    Metric("passage_recall@k", "share of the gold quotes covered by the first k passages", Stage.RETRIEVAL),
    Metric("passage_ndcg@k", "nDCG over the gold quotes in the first k passages", Stage.RETRIEVAL),
    Metric("character_precision@k", "share of the first k passages' characters that is gold", Stage.RETRIEVAL),
)
_PLAIN = _all(
    Metric("file_rr", "reciprocal rank of the first gold file", Stage.RETRIEVAL),
    Metric("passage_rr", "reciprocal rank of the first covered gold quote", Stage.RETRIEVAL),
    Metric("fact_recall", "share of the facts stated", Stage.ANSWER, gates=True),
    Metric("violations", "forbidden wordings found", Stage.ANSWER, lower=True, gates=True, unit="count"),
    Metric("token_f1", "token F1 against the reference answers", None),
    Metric("similarity", "embedding similarity to the reference answers", None),
    Metric("citation_recall", "share of the sentences their citations support", Stage.CITATION, gates=True),
    Metric("citation_precision", "share of the citations that carry their sentence", Stage.CITATION, gates=True),
    Metric("marker_validity", "share of the markers that name a passage", Stage.CITATION, gates=True),
    Metric("quote_validity", "share of the quotes that stand in their document", Stage.CITATION, gates=True),
    Metric("cited_file_precision", "share of the cited files that are gold", Stage.CITATION, gates=True),
    Metric("cited_file_recall", "share of the gold files that are cited", Stage.CITATION, gates=True),
    Metric("number_support", "share of the answer's numbers found in cited text", Stage.CITATION),
    Metric("abstention_accuracy", "refused when it should, answered when it should", Stage.ABSTENTION, gates=True),
    Metric("abstention_precision", "share of the refusals that were right", Stage.ABSTENTION),
    Metric("abstention_recall", "share of the unanswerable questions refused", Stage.ABSTENTION),
    Metric("over_refusal", "share of the answerable questions refused", Stage.ABSTENTION, lower=True),
    Metric("judge_support", "share of the sentences the judge finds supported", None),
    Metric("retrieve_ms", "time to the passages", None, lower=True, unit="ms"),
    Metric("first_token_ms", "time to the first word", None, lower=True, unit="ms"),
    Metric("total_ms", "time to the whole answer", None, lower=True, unit="ms"),
    Metric("prompt_tokens", "tokens in the prompt", None, lower=True, unit="tokens"),
    Metric("answer_tokens", "tokens in the answer", None, lower=True, unit="tokens"),
)
_NAME = re.compile(r"([a-z_0-9]+)@([1-9][0-9]{0,2})")


def metric(name: str) -> Metric | None:
    """The metric called ``name`` (as ``fact_recall`` or ``file_hit@5``), or ``None`` when there is none."""
    if name in _PLAIN:
        return _PLAIN[name]
    match = _NAME.fullmatch(name)
    family = _AT_K.get(f"{match[1]}@k") if match else None
    return replace(family, name=name) if family else None


def depth_of(name: str) -> int:
    """The k of ``file_hit@k``; 0 for a metric without one."""
    match = _NAME.fullmatch(name)
    return int(match[2]) if match else 0


def known_names(k: int = 5) -> tuple[str, ...]:
    """All names, in the order of reports, with ``k`` filled in."""
    return tuple([name.replace("@k", f"@{k}") for name in _AT_K] + list(_PLAIN))
