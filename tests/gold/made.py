"""Runs put together by hand, for tests of what is done with finished runs."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

from rag.gold.metrics.definitions import Stage
from rag.gold.types import Cited, Fact, Found, Question, Record, Reply, Run, Said, Source

FINGERPRINT = {"model": {"name": "m", "digest": "1"}, "corpus": {"sha256": "c"}, "scorer": "s", "gold": {"sha256": "g"}}
GOOD = {
    "file_hit@5": 1.0, "file_recall@5": 1.0, "file_rr": 1.0, "fact_recall": 1.0, "citation_recall": 1.0,
    "citation_precision": 1.0, "marker_validity": 1.0, "quote_validity": 1.0, "cited_file_precision": 1.0,
    "cited_file_recall": 1.0, "abstention_accuracy": 1.0, "over_refusal": 0.0, "total_ms": 10.0,
}  # fmt: skip
REFUSED = {"abstention_accuracy": 1.0, "abstention_recall": 1.0, "abstention_precision": 1.0}


def question(name: str, **changes: object) -> Question:
    """An answerable question with a fact and a source."""
    made = Question(name, f"What is {name}?", tags=("t",), facts=(Fact("f", any=("x",)),), sources=(Source("a.md"),))
    return replace(made, **changes)  # type: ignore[arg-type]


def unanswerable(name: str) -> Question:
    return Question(name, f"What of {name}?", tags=("none",), unanswerable=True)


def reply(text: str = "It is x.", *, abstained: bool = False) -> Reply:
    cited = Cited(1, "a.md", None, 0, 8, "It is x.", "model", "a.md:0-20")
    if abstained:
        return Reply("Not in the documents.", "Not in the documents.", True, reason="nothing found")
    return Reply(f"{text} [1]", text, False, asked="?", sentences=(Said(text, "supported", True, (0,), True, (True,)),),
                 citations=(cited,), model="m", timings={"retrieve": 2.0, "total": 10.0})  # fmt: skip


def record(name: str, metrics: Mapping[str, float] = GOOD, *, repeat: int = 0, text: str = "It is x.") -> Record:
    ranking = (Found("a.md", 0, 20, None, 1.5), Found("b.md", 0, 20, 2, 0.5))
    return Record(name, repeat, ranking, reply(text, abstained=metrics is REFUSED), metrics)


def run_of(questions: Sequence[Question], records: Sequence[Record], **changes: object) -> Run:
    texts = {"a.md:0-20": "It is x. And more it", "b.md:0-20": "Something else here."}
    made = Run("gold.yaml", tuple(questions), tuple(records), FINGERPRINT, passages=texts, started=1.0, finished=2.0)
    return replace(made, **changes)  # type: ignore[arg-type]


def worse(**values: float) -> dict[str, float]:
    """Good metrics but for some; a name's ``_at_`` stands for ``@``."""
    return {**GOOD, **{name.replace("_at_", "@"): value for name, value in values.items()}}


FAULTS: dict[Stage, dict[str, float]] = {
    Stage.RETRIEVAL: worse(file_hit_at_5=0.0, file_recall_at_5=0.0, fact_recall=0.0, cited_file_precision=0.0),
    Stage.ANSWER: worse(fact_recall=0.0, citation_recall=0.5),
    Stage.CITATION: worse(citation_recall=0.5, cited_file_precision=0.5),
    Stage.ABSTENTION: worse(abstention_accuracy=0.0, over_refusal=1.0, fact_recall=0.0, citation_recall=0.0),
}


def noisy_run(chance: random.Random, rates: Sequence[float], repeats: int) -> Run:
    """A run whose questions pass by chance at their rate, with a text that differs each time."""
    questions = [question(f"q{number}") for number in range(len(rates))]
    records = []
    for asked, rate in zip(questions, rates, strict=True):
        for repeat in range(repeats):
            good = chance.random() < rate
            metrics = {**GOOD, "citation_recall": chance.choice([0.5, 1.0])}
            metrics = metrics if good else {**metrics, "fact_recall": 0.0}
            records.append(record(asked.id, metrics, repeat=repeat, text=f"It is {chance.random()}."))
    return run_of(questions, records, repeats=repeats)
