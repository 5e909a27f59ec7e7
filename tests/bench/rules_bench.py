"""Each rule of disagreement taken out, and each constant made smaller and larger, over the same answers:
``python -m tests.bench rules``.

What moves no held-out set goes. ``told`` are the made contradictions, ``alarms`` the look-alikes told by mistake.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import import_module
from typing import Any
from unittest.mock import patch

from rag.language.tables import pattern
from rag.types import Disagreement
from tests.bench import answer_data as data
from tests.bench import disagree_data as made
from tests.bench import tables
from tests.bench.answer_bench import _library
from tests.bench.disagree_bench import told
from tests.bench.disagree_data import Case
from tests.bench.tables import table

ROOM = "rag.answer.conflicts"


class _Never:
    """A pattern that matches nowhere."""

    def search(self, *_: object) -> None:
        return None

    match = fullmatch = search

    def finditer(self, _: str) -> Iterator[Any]:
        return iter(())


def _none(*_: object, **__: object) -> list[Any]:
    return []


def _but(left_out: str) -> Callable[[str], Any]:
    """The patterns by kind, but that of one kind matches nowhere."""
    return lambda kind: _Never() if kind == left_out else pattern(kind)


RULES: dict[str, tuple[tuple[str, str, Any], ...]] = {
    "all rules": (),
    "what a document itself reports": (("disagreements", "_reported", _none),),
    "two sides that the question names": (("disagreements", "sides_asked", _none),),
    "holders of an office, makers of a thing": (("conflict", "different_holders", _none),),
    "opposites": (("conflict", "_opposite", _none),),
    "negations": (("conflict", "_negated", _none),),
    "a word in place of another": (("conflict", "_replaced", lambda *_: False),),
    "words right before": (("conflict", "_told_apart", lambda *_: False),),
    "dates that frame": (("figures", "_frames", lambda *_: False),),
    "what is joined to the noun": (("figures", "_tail", lambda _: frozenset()),),
    "times beside": (("figures", "_times", lambda *_: True),),
    "what is planned": (("statement", "pattern", _but("possible")),),
    "conditions": (("statement", "pattern", _but("condition")),),
    "ends of clauses": (("statement", "pattern", _but("end of a clause")),),
    "who says it": (("statement", "patterns", _none),),
}


CONSTANTS: tuple[tuple[str, str, tuple[float, ...]], ...] = (
    ("statement", "_COVERED", (0.0, 0.55, 0.75, 1.0)),
    ("statement", "_REACH", (1, 99)),
    ("conflict", "SHARED", (0.0, 0.6, 0.8, 1.0)),
    ("holders", "SHARED", (0.0, 0.6, 0.8, 1.0)),
    ("conflict", "FEWEST_SHARED", (0, 1, 3)),
    ("holders", "FEWEST_SHARED", (0, 1, 3)),
    ("conflict", "_SHARED_OF_LONGER", (0.0, 0.4, 0.6, 1.0)),
    ("conflict", "_HALF", (0.0, 0.35, 0.65, 1.0)),
    ("figures", "_ABOUT", (0.0, 0.05, 0.2)),
    ("figures", "_ROUNDED", (0.0, 0.005, 0.05)),
    ("figures", "_MOST_VALUES", (2, 8, 99)),
    ("figures", "_EVENT", (0.0, 0.55, 0.65, 0.85, 1.0)),
    ("reported", "_COVERED", (0.0, 0.5, 0.7, 1.0)),
    ("reported", "_HALF", (0.0, 0.4, 0.6, 1.0)),
    ("reported", "_OTHER_SIDE", (0.0, 0.6, 0.8, 1.0)),
)
"""Room, name, and what it is set to beside what it is."""
EVERY = 4
"""Of XQuAD's questions, every so many are asked."""
RULES.update(
    (f"{room}.{name} = {value:g}", ((room, name, value),)) for room, name, values in CONSTANTS for value in values
)


@contextmanager
def _without(patches: Sequence[tuple[str, str, Any]]) -> Iterator[None]:
    with ExitStack() as stack:
        for room, name, new in patches:
            stack.enter_context(patch.object(import_module(f"{ROOM}.{room}"), name, new))
        yield


Counts = Callable[[Sequence[Disagreement]], bool]


def _asked(rows: dict[str, list[int]], documents: dict[str, str], questions: Sequence[tuple[str, Counts]]) -> None:
    """A column: for each rule, how many questions of these documents count without it."""
    found: dict[str, tuple[Disagreement, ...]] = {}
    engine: Any = import_module("rag.answer.engine")
    whole = engine.disagreements

    def all_ways(*given: Any) -> tuple[Disagreement, ...]:
        for name, patches in RULES.items():
            with _without(patches):
                found[name] = tuple(whole(*given))
        return found["all rules"]

    counted = dict.fromkeys(RULES, 0)
    engine.disagreements = all_ways
    try:
        with _library(documents) as library:
            for question, counts in questions:
                found.clear()
                library.ask(question)
                for name, disagreements in found.items():
                    counted[name] += counts(disagreements)
    finally:
        engine.disagreements = whole
    for name, number in counted.items():
        rows[name].append(number)


def main() -> None:
    """A row for each rule: contradictions told and false alarms without it, tuned and held out, alone and within
    articles, and alarms over real questions that no two sources answer differently."""
    rows: dict[str, list[int]] = {name: [] for name in RULES}
    heads = ["without"]
    kinds: tuple[tuple[str, list[Case]], ...] = (("told", made.contradictions()), ("alarms", made.lookalikes()))
    for shape in ("", ", within articles") if tables.data("xquad") else ("",):
        for kind, cases in kinds:
            for held in (False, True):
                own = [case for case in cases if case.held == held]
                own = made.within_articles(own, int(held)) if shape else own
                documents = {name: text for case in own for name, text in case.documents.items()}
                counts: list[Counts] = [bool if kind == "alarms" else partial(told, case) for case in own]
                _asked(rows, documents, [(case.question, one) for case, one in zip(own, counts, strict=True)])
                heads.append(f"{kind}, {'held out' if held else 'tuned on'}{shape}")
    sets = {"briefs": data.briefs(), "originals": data.originals(), "XQuAD": data.xquad()}
    for name, (documents, questions) in sets.items():
        plain = [q for q in questions if q.answerable and not q.id.startswith("differ-")]
        plain = plain[::EVERY] if name == "XQuAD" else plain
        if plain:
            _asked(rows, documents, [(q.text, bool) for q in plain])
            heads.append(f"alarms, {name} ({len(plain)})")
    table(heads, [[name, *counts] for name, counts in rows.items()])
