"""Documents that contradict each other, and some that only look like it, with a question to ask of each pair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.bench import answer_data

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Case:
    """A question to which ``documents`` (file name -> text) give one answer or contradict each other.

    ``sides`` are words that the claims must show, empty where nothing must be told; ``held`` was never tuned on.
    """

    id: str
    held: bool
    kind: str
    same_wording: bool
    question: str
    documents: Mapping[str, str]
    sides: tuple[str, ...]


def contradictions() -> list[Case]:
    """Pairs that contradict each other."""
    return _read("disagree_true.yaml")


def lookalikes() -> list[Case]:
    """Pairs that do not."""
    return _read("disagree_false.yaml")


def within_articles(cases: list[Case], half: int) -> list[Case]:
    """The same cases, each document standing in the middle of two XQuAD paragraphs; empty without XQuAD.

    ``half`` picks the articles, so that each case has fillers of its own.
    """
    articles = [text.strip().split("\n\n") for text in answer_data.xquad()[0].values()]
    paragraphs = [paragraph for article in articles[half::2] for paragraph in article]
    found, at = [], 0
    for case in cases:
        documents = {}
        for name, text in case.documents.items():
            before, after = (paragraphs[(at + step) % len(paragraphs)] for step in range(2))
            documents[name] = f"{before}\n\n{text}\n\n{after}"
            at += 2
        found.append(Case(case.id, case.held, case.kind, case.same_wording, case.question, documents, case.sides))
    return found


def _read(name: str) -> list[Case]:
    rows = yaml.safe_load((HERE / name).read_text("utf-8"))
    return [
        Case(
            str(row["id"]), row["half"] == "held", str(row["kind"]), row.get("wording") == "same",
            str(row["question"]), dict(row["documents"]), tuple(row.get("sides", ())),
        )
        for row in rows
    ]  # fmt: skip
