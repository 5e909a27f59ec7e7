"""Answers that can't get worse unnoticed: a gold question set, run, scored, and compared with an accepted baseline.

>>> from rag import Library
>>> from rag.gold import compare, load_baseline, load_gold, run, verdict
>>> with Library.open("my-library") as library:                       # doctest: +SKIP
...     finished = run(load_gold("gold.yaml"), library)
...     baseline = load_baseline("gold.yaml")
...     print(verdict(finished, compare(baseline, finished)).headline)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rag.gold.baseline import accept, load_baseline, save_baseline
    from rag.gold.comparison import Comparison, State, compare
    from rag.gold.gate import Exit, Verdict, verdict
    from rag.gold.linting import lint
    from rag.gold.records import Record, Run
    from rag.gold.runfile import read_run, write_run
    from rag.gold.runner import Settings, run
    from rag.gold.schema import GoldSet, Question, load_gold

_HOME = {
    "accept": "baseline", "load_baseline": "baseline", "save_baseline": "baseline",
    "Comparison": "comparison", "State": "comparison", "compare": "comparison",
    "Exit": "gate", "Verdict": "gate", "verdict": "gate",
    "lint": "linting",
    "Record": "records", "Run": "records",
    "read_run": "runfile", "write_run": "runfile",
    "Settings": "runner", "run": "runner",
    "GoldSet": "schema", "Question": "schema", "load_gold": "schema",
}  # fmt: skip

__all__ = [
    "Comparison",
    "Exit",
    "GoldSet",
    "Question",
    "Record",
    "Run",
    "Settings",
    "State",
    "Verdict",
    "accept",
    "compare",
    "lint",
    "load_baseline",
    "load_gold",
    "read_run",
    "run",
    "save_baseline",
    "verdict",
    "write_run",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that ``import rag.gold`` stays cheap."""
    if name not in _HOME:
        raise AttributeError(f"module 'rag.gold' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"rag.gold.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
