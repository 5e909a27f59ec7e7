"""The tables of words: data files in ``rag/data``, each with its source at its top."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "data"


@cache
def table(name: str) -> tuple[dict[str, str], ...]:
    """The rows of ``rag/data/NAME.tsv`` by column; lines that begin with ``#`` tell what it is and where it is from.

    Raises ValueError naming the line where a row has other columns than the heading.
    """
    path = FOLDER / f"{name}.tsv"
    lines = path.read_text(encoding="utf-8").splitlines()
    columns: list[str] = []
    rows: list[dict[str, str]] = []
    for number, line in enumerate(lines, 1):
        if line.startswith("#"):
            continue
        cells = line.split("\t")
        if not columns:
            columns = cells
        elif len(cells) != len(columns):
            raise ValueError(f"{path.name}, line {number}: {len(cells)} columns instead of {len(columns)}.")
        else:
            rows.append(dict(zip(columns, cells, strict=True)))
    return tuple(rows)


@cache
def listed(language: str, kind: str) -> frozenset[str]:
    """The words of one kind of ``function_words.tsv`` in one language; none where it has no list."""
    found: set[str] = set()
    for row in table("function_words"):
        if row["language"] == language and row["kind"] == kind:
            found.update(row["words"].split())
    return frozenset(found)


@cache
def patterns(kind: str) -> tuple[re.Pattern[str], ...]:
    """The patterns of one kind of ``cues.tsv``, in the order of the file. Raises ValueError where it has none."""
    found = [row["pattern"] for row in table("cues") if row["kind"] == kind]
    if not found:
        raise ValueError(f"cues.tsv has nothing of the kind '{kind}'.")
    return tuple(re.compile(_whole(text), re.IGNORECASE) for text in found)


def pattern(kind: str) -> re.Pattern[str]:
    """The one pattern of a kind of ``cues.tsv``."""
    return patterns(kind)[0]


def _whole(text: str) -> str:
    """A pattern with those of other kinds put in where it names them."""
    return re.sub("<([a-z ]+)>", lambda named: f"(?:{pattern(named[1]).pattern})", text)


def cells(text: str) -> list[str]:
    """The entries of a cell, which commas part."""
    return [entry for entry in (part.strip() for part in text.split(", ")) if entry]
