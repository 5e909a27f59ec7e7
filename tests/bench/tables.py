"""Rows of a benchmark as an aligned table, and where the data is."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

DATA = Path(__file__).parents[3] / "shared" / "data"


def say(text: str = "") -> None:
    """A line on the standard output."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under a head, columns aligned."""
    cells = [list(head), *[[_cell(value) for value in row] for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    for number, row in enumerate(cells):
        say("  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)).rstrip())
        if number == 0:
            say("  ".join("-" * width for width in widths))


def _cell(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def data(name: str) -> Path | None:
    """The folder of a data set; says so and gives None when it is not there."""
    folder = DATA / name
    if folder.is_dir():
        return folder
    say(f"skipped: {folder} is not there")
    return None


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` of the values lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
