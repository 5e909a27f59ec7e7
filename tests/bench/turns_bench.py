"""Follow-ups on MT-RAG's conversations, quotes mode: the last turn alone, always rewritten, and as the program decides.

The union of all passages is the collection; what is right is one of the passages that the turn's answer was written
from. Without a model: the rewriting is the rule's, the earlier question beside the last one.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from statistics import fmean

from rag.answer.writing import in_context
from rag.library import Library
from rag.types import Outcome, Turn
from tests.bench.answer_data import half
from tests.bench.tables import data, say, table

Case = tuple[str, list[Turn], frozenset[str], bool, int]


def main() -> None:
    """Ask every turn in three ways."""
    folder = data("mt-rag")
    if folder is None:
        return
    rows = [json.loads(line) for line in (folder / "turns.jsonl").read_text("utf-8").splitlines()]
    cases = [case for case in map(_case, rows) if case is not None]
    with tempfile.TemporaryDirectory() as home:
        documents = Path(home) / "documents"
        documents.mkdir()
        for name, text in passages(rows):
            (documents / name).write_text(text, encoding="utf-8")
        with Library.open(Path(home) / "library", llm="quotes", embedder="builtin") as library:
            library.ingest(documents)
            for _ in library.encode_events():
                pass
            measure(library, cases)


def passages(rows: Sequence[dict[str, list[dict[str, str]]]]) -> Iterator[tuple[str, str]]:
    """Each passage once, as a document."""
    found = {_name(c): c for row in rows for c in row["contexts"]}
    for name, context in found.items():
        yield name, "\n\n".join(filter(None, (context["title"], context["text"])))


def measure(library: Library, cases: Sequence[Case]) -> None:
    """The share of turns whose passage is among the first 1 and 5 files, and what became of the unanswerable."""
    with_history = [case for case in cases if case[1]]
    answerable = [case for case in with_history if case[3]]
    answers = {id(case): library.ask(case[0], history=case[1]) for case in with_history}
    ways = {
        "last turn alone": [case[0] for case in answerable],
        "always rewritten": [in_context(case[0], case[1]).question for case in answerable],
        "as decided": [answers[id(case)].asked for case in answerable],
    }
    table_rows = []
    for name, questions in ways.items():
        found = []
        for question, case in zip(questions, answerable, strict=True):
            sources = list(dict.fromkeys(hit.passage.source for hit in library.search(question, 30)))
            found.append([bool(case[2] & set(sources[:k])) for k in (1, 5)])
        for label, which in (("tuned on", 0), ("held out", 1), ("all", None)):
            own = [f for f, case in zip(found, answerable, strict=True) if which in (None, case[4])]
            table_rows.append([name, label, len(own), *(fmean(f[k] for f in own) for k in (0, 1))])
    table(["MT-RAG, turns with a history", "half", "turns", "file @1", "file @5"], table_rows)
    for label, right in (("answerable", True), ("unanswerable", False)):
        told = [answers[id(case)].outcome for case in with_history if case[3] is right]
        say(f"{label}: {len(told)} turns; " + ", ".join(
            f"{outcome.value} {fmean(one is outcome for one in told):.3f}" for outcome in Outcome
        ))  # fmt: skip


def _case(row: dict[str, object]) -> Case | None:
    """Question, earlier turns, right files, whether it is answerable, half; None for one that is neither."""
    kinds = row["answerability"]
    assert isinstance(kinds, list)
    if kinds[0] not in ("ANSWERABLE", "UNANSWERABLE"):
        return None
    history = row["history"]
    contexts = row["contexts"]
    assert isinstance(history, list)
    assert isinstance(contexts, list)
    turns = [
        Turn(user["text"], agent["text"])
        for user, agent in zip(history[::2], history[1::2], strict=False)
        if (user["speaker"], agent["speaker"]) == ("user", "agent")
    ]
    right = frozenset(_name(context) for context in contexts)
    return str(row["question"]), turns, right, kinds[0] == "ANSWERABLE", half(str(row["conversation"]))


def _name(context: dict[str, str]) -> str:
    return f"{sha256(context['text'].encode()).hexdigest()[:16]}.txt"
