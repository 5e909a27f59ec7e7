"""Start-up: `rag --help`, `rag ask` in quotes mode on the sample documents, and an answer in a warm process."""

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
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "library"
        environ = {**os.environ, "RAG_LIBRARY": str(folder), "RAG_LLM": "quotes", "RAG_EMBEDDER": "builtin"}
        _run(environ, "ingest", str(shipped_folder("seeds")))
        rows = [
            ("python -c pass", *_times(environ, [sys.executable, "-c", "pass"])),
            ("rag --help", *_times(environ, [*_rag(), "--help"])),
            ("rag ask (quotes, seeds)", *_times(environ, [*_rag(), "ask", QUESTIONS[0]])),
            ("a quotes answer in a warm process", *_warm(folder)),
        ]
    table(("", "p50 ms", "p95 ms"), [(name, f"{p50:.0f}", f"{p95:.0f}") for name, p50, p95 in rows])


def _rag() -> list[str]:
    return [str(Path(sys.executable).with_name("rag"))]


def _run(environ: dict[str, str], *arguments: str) -> None:
    subprocess.run([*_rag(), *arguments], env=environ, check=True, capture_output=True, timeout=300)


def _times(environ: dict[str, str], command: list[str]) -> tuple[float, float]:
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        subprocess.run(command, env=environ, check=True, capture_output=True, timeout=300)
        times.append((time.perf_counter() - started) * 1000)
    return percentile(times, 0.5), percentile(times, 0.95)


def _warm(folder: Path) -> tuple[float, float]:
    with Library.open(folder, llm="quotes", embedder="builtin") as library:
        library.ask(QUESTIONS[0])
        times = []
        for _ in range(ROUNDS):
            for question in QUESTIONS:
                started = time.perf_counter()
                library.ask(question)
                times.append((time.perf_counter() - started) * 1000)
    return percentile(times, 0.5), percentile(times, 0.95)
