"""A PostgreSQL for the tests of the store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.postgres import Server, server


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running PostgreSQL."""
    with TemporaryDirectory(prefix="pg") as folder, server(Path(folder)) as running:  # a socket's path is short
        yield running
