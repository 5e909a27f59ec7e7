from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rag.gold import GoldSet, Run, run
from rag.library import Library
from rag.models.transformer import Matrix, Transformer
from tests.gold import handbook

if TYPE_CHECKING:
    from tokenizers import Encoding

_KEPT = 300
"""Texts, at most 0.4 MB each."""


@pytest.fixture(scope="package", autouse=True)
def _each_text_read_once() -> Iterator[None]:
    """What the models that read make of a text is the same each time, as they run each by itself, and these tests put
    the same few documents in again and again: what was made of a text is taken as it was."""
    run_once = Transformer._run
    known: dict[tuple[str, tuple[int, ...]], Matrix] = {}

    def remembered(model: Transformer, encoding: Encoding) -> Matrix:
        key = model.digest, tuple(encoding.ids)
        found = known.get(key)
        if found is None:
            found = run_once(model, encoding)
            if len(known) >= _KEPT:
                known.clear()
            known[key] = found
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Transformer, "_run", remembered)
        yield


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
