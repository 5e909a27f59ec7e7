"""A catalogue of 120 part numbers, in sentences, in a table and under headings: each is told from all others."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from rag.library import Library
from rag.types import Outcome

KINDS = ("valve", "gasket", "bearing", "hose", "filter", "switch")
NUMBER = re.compile(r"[A-Z]{2}-?\d{4}(?:-[A-Z])?")


def number(place: int) -> str:
    """Numbers that differ in little: by a digit, by two digits swapped, by a letter at the end."""
    return f"{('KX', 'KY', 'LX')[place % 3]}-{4040 + place * 9 % 400:04}{('', '-B')[place % 2]}"


PARTS = {number(place): (KINDS[place % 6], 10 + place * 7) for place in range(120)}
ASKED = list(PARTS)[::17]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    home = tmp_path_factory.mktemp("parts")
    folder = home / "documents"
    folder.mkdir()
    said, rows, headed = (list(PARTS.items())[first::3] for first in range(3))
    (folder / "valves.txt").write_text(
        "\n\n".join(f"Part {n} is a {kind} of brass. It costs {price} euros." for n, (kind, price) in said),
        encoding="utf-8",
    )
    table = "\n".join(f"| {n} | {kind} | {price} |" for n, (kind, price) in rows)
    (folder / "list.md").write_text(
        f"# Parts\n\n| Part | Kind | Price (euros) |\n|---|---|---|\n{table}\n", encoding="utf-8"
    )
    (folder / "sheets.md").write_text(
        "\n\n".join(f"## {n}\n\nThis {kind} costs {price} euros." for n, (kind, price) in headed), encoding="utf-8"
    )
    with Library.open(home / "library", llm="quotes", embedder="builtin") as library:
        library.ingest(folder)
        yield library


def test_the_numbers_differ() -> None:
    assert len(PARTS) == 120


@pytest.mark.parametrize("part", ASKED)
@pytest.mark.parametrize("spelled", [lambda n: n, lambda n: n.replace("-", ""), lambda n: n.replace("-", " ").lower()])
def test_of_a_part_only_it_is_quoted(library: Library, part: str, spelled: object) -> None:
    assert callable(spelled)
    answer = library.ask(f"What does part {spelled(part)} cost?")
    first = answer.hits[0].passage
    assert part in f"{first.text} {' '.join(first.heading)}"
    quoted = " ".join(citation.quote for citation in answer.citations)
    assert str(PARTS[part][1]) in quoted, answer.text
    assert set(NUMBER.findall(quoted)) <= {part}, answer.text
    assert answer.outcome is Outcome.ANSWERED


@pytest.mark.parametrize("part", ["KX-4041-Z", "KZ-4049", "LX-9067", "KY-0449-B", "MX-4058", "KX-404"])
def test_a_made_up_number_is_not_in_the_documents(library: Library, part: str) -> None:
    assert part not in PARTS
    answer = library.ask(f"What does part {part} cost?")
    assert answer.outcome is Outcome.ABSENT and f"do not name {part}" in answer.reason
