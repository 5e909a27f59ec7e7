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
    from rag.gold.commands.asking import Settings, run
    from rag.gold.files.gold_set import load_gold
    from rag.gold.files.lint import lint
    from rag.gold.files.runs import accept, load_baseline, read_run, save_baseline, write_run
    from rag.gold.metrics.comparison import Comparison, Exit, State, Verdict, compare, verdict
    from rag.gold.types import GoldSet, Question, Record, Run

_HOME = {
    "accept": "files.runs", "load_baseline": "files.runs", "save_baseline": "files.runs",
    "Comparison": "metrics.comparison", "State": "metrics.comparison", "compare": "metrics.comparison",
    "Exit": "metrics.comparison", "Verdict": "metrics.comparison", "verdict": "metrics.comparison",
    "lint": "files.lint",
    "Record": "types", "Run": "types",
    "read_run": "files.runs", "write_run": "files.runs",
    "Settings": "commands.asking", "run": "commands.asking",
    "GoldSet": "types", "Question": "types", "load_gold": "files.gold_set",
}  # fmt: skip

__all__ = [
    "Comparison", "Exit", "GoldSet", "Question", "Record", "Run", "Settings", "State", "Verdict", "accept", "compare",
    "lint", "load_baseline", "load_gold", "read_run", "run", "save_baseline", "verdict", "write_run",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that ``import rag.gold`` stays cheap."""
    if name not in _HOME:
        raise AttributeError(f"module 'rag.gold' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"rag.gold.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
