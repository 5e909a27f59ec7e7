"""Start-up: `rag --help`, `rag ask` in quotes mode on the sample documents, and an answer in a warm process.

With RAG_BESIDE set to the `rag` of another environment (another commit's), its figures stand beside, in turns.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rag.library import Library
from rag.prompts import shipped_folder
from tests.bench.tables import percentile, table

ROUNDS = 7
QUESTIONS = (
    "How many people did Pakistan lose in the fight against terrorism?",
    "Which port is wrongly called Pakistani?",
    "What is the capacity of the gas pipeline?",
    "Who called for a balanced relationship with Washington?",
)


def main() -> None:
    """Measure and print."""
    beside = os.environ.pop("RAG_BESIDE", "")  # which no command knows as a setting
    commands = {"": str(Path(sys.executable).with_name("rag")), **({f" ({beside})": beside} if beside else {})}
    with tempfile.TemporaryDirectory() as home:
        environs = {
            of: {**os.environ, "RAG_LIBRARY": f"{home}/{n}", "RAG_LLM": "quotes", "RAG_EMBEDDER": "builtin"}
            for n, of in enumerate(commands)
        }
        for of, rag in commands.items():
            _run(environs[of], rag, "ingest", str(shipped_folder("seeds")))
        rows: dict[str, list[float]] = {}
        for _ in range(ROUNDS):
            _time(rows, "python -c pass", environs[""], sys.executable, "-c", "pass")
            for of, rag in commands.items():
                _time(rows, f"rag --help{of}", environs[of], rag, "--help")
                _time(rows, f"rag ask (quotes, seeds){of}", environs[of], rag, "ask", QUESTIONS[0])
        rows["a quotes answer in a warm process"] = _warm(Path(home) / "0")
    table(
        ("", "p50 ms", "p95 ms"),
        [(name, f"{percentile(t, 0.5):.0f}", f"{percentile(t, 0.95):.0f}") for name, t in sorted(rows.items())],
    )


def _run(environ: dict[str, str], *command: str) -> None:
    subprocess.run(command, env=environ, check=True, capture_output=True, timeout=300)


def _time(rows: dict[str, list[float]], name: str, environ: dict[str, str], *command: str) -> None:
    started = time.perf_counter()
    _run(environ, *command)
    rows.setdefault(name, []).append((time.perf_counter() - started) * 1000)


def _warm(folder: Path) -> list[float]:
    with Library.open(folder, llm="quotes", embedder="builtin") as library:
        library.ask(QUESTIONS[0])
        times = []
        for _ in range(ROUNDS):
            for question in QUESTIONS:
                started = time.perf_counter()
                library.ask(question)
                times.append((time.perf_counter() - started) * 1000)
    return times
