"""``make bench``: every figure, side by side with its alternative, in one run on this machine."""

from __future__ import annotations

import sys
from importlib import import_module

PARTS = (
    "ingest",
    "ocr",
    "search",
    "startup",
    "clapnq",
    "reliability",
    "languages",
    "turns",
    "answer",
    "quoting",
    "ablation",
    "disagree",
    "rules",
    "gold",
    "ollama",
    "prompts",
    "ui",
    "memory",
    "library",
    "scale",
    "team",
)
APART = ("install", "weight")
"""Only when named: they download."""


def main(arguments: list[str]) -> int:
    """Run the named parts (default: all)."""
    wanted = arguments or list(PARTS)
    unknown = set(wanted) - {*PARTS, *APART}
    if unknown:
        sys.stderr.write(f"Unknown part {', '.join(sorted(unknown))}; there are: {', '.join((*PARTS, *APART))}\n")
        return 2
    for part in wanted:
        sys.stdout.write(f"\n== {part} ==\n")
        sys.stdout.flush()
        import_module(f"tests.bench.{part}_bench").main()
    return 0


sys.exit(main(sys.argv[1:]))
