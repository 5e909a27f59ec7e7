"""The contract of ``rag.store.truth``, held over every backend: a new one is added to the fixture ``backend``."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Protocol

import pytest

from rag.store.postgres.truth import PostgresTruth
from rag.store.sqlite.truth import SqliteTruth
from rag.store.truth import Collection, Truth
from tests.postgres import Server
from tests.store.material import EMBEDDER, prose, put


class Backend(Protocol):
    """Opens libraries of one kind, each known by a folder of its own (which is also that of its dense index)."""

    def open(self, folder: Path, *, writer: bool = True) -> Truth:
        """The library of that folder; a writer makes it."""
        ...


class Sqlite:
    """Each library is a file in its folder."""

    def open(self, folder: Path, *, writer: bool = True) -> Truth:
        return SqliteTruth.open(folder, writer=writer)


class Postgres:
    """Each library is a schema of one database."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def open(self, folder: Path, *, writer: bool = True) -> Truth:
        schema = f"library_{blake2b(str(folder).encode(), digest_size=8).hexdigest()}"
        return PostgresTruth.open(self._server.address(schema), writer=writer)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each backend in turn."""
    return Sqlite() if request.param == "sqlite" else Postgres(request.getfixturevalue("postgres"))


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
