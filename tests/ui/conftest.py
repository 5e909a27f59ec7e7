"""What the page's tests share: a real library over a small collection."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rag.library import Library
from tests.ui.corpus import write_corpus


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    """An empty library that quotes."""
    with Library.open(tmp_path / "library", llm="quotes", embedder="builtin") as opened:
        opened.ensure_collection()
        yield opened


@pytest.fixture(scope="module")
def filled(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """A library with the collection; for tests that only read."""
    with Library.open(tmp_path_factory.mktemp("filled"), llm="quotes", embedder="builtin") as opened:
        report = opened.ingest(corpus)
        assert not report.failed, report.failed
        yield opened
