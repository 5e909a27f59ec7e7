"""The contract of ``rag.store.truth``, held over every backend: a new one is added to ``BACKENDS``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from rag.store.sqlite.truth import SqliteTruth
from rag.store.truth import Collection, Truth
from tests.store.material import EMBEDDER, prose, put


class Backend(Protocol):
    """Opens libraries of one kind, each known by a folder of its own (which is also that of its dense index)."""

    def open(self, folder: Path, *, writer: bool = True) -> Truth:
        """The library of that folder; a writer makes it."""
        ...

    def close(self) -> None:
        """Give up all it made outside the folders."""
        ...


class Sqlite:
    """Each library is a file in its folder."""

    def open(self, folder: Path, *, writer: bool = True) -> Truth:
        return SqliteTruth.open(folder, writer=writer)

    def close(self) -> None:
        return


BACKENDS: dict[str, type[Backend]] = {"sqlite": Sqlite}


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Each backend in turn."""
    made = BACKENDS[request.param]()
    yield made
    made.close()


@pytest.fixture
def truth(backend: Backend, tmp_path: Path) -> Iterator[Truth]:
    """An empty library."""
    with backend.open(tmp_path) as opened:
        yield opened


@pytest.fixture
def collection(truth: Truth) -> Collection:
    """An empty collection of it."""
    return truth.collections.create("default", EMBEDDER, "v1")


@pytest.fixture
def library(truth: Truth, collection: Collection) -> tuple[Truth, Collection]:
    """It with five documents."""
    for number in range(5):
        put(truth, collection, f"{number}.txt", prose(number, 100))
    return truth, collection
