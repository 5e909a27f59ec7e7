from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rag.gold import GoldSet, Run, run
from rag.library import Library
from tests.gold import handbook


@pytest.fixture(scope="session")
def handbook_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the documents, their gold set and a filled library."""
    folder = tmp_path_factory.mktemp("handbook")
    handbook.write_corpus(folder)
    handbook.write_gold(folder)
    with handbook.library(folder):
        pass
    return folder


@pytest.fixture
def gold(handbook_folder: Path) -> GoldSet:
    """The handbook's questions."""
    return handbook.gold_set(handbook_folder)


@pytest.fixture
def library(handbook_folder: Path) -> Iterator[Library]:
    """The handbook's library, quoting."""
    with Library.open(handbook_folder / "library", config=handbook.config(), write=False) as opened:
        yield opened


@pytest.fixture(scope="session")
def healthy(handbook_folder: Path) -> Run:
    """A run of the healthy library: every question passes."""
    with Library.open(handbook_folder / "library", config=handbook.config(), write=False) as opened:
        return run(handbook.gold_set(handbook_folder), opened)
