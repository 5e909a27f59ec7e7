"""What the page's tests share: real libraries over a small collection, their pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rag.library import Library
from tests.fake_ollama import FakeOllama
from tests.ui.corpus import write_corpus
from tests.ui.pilot import page_over


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    """An empty library that quotes."""
    with Library.open(tmp_path / "library", llm="quotes", embedder="builtin") as opened:
        opened.collections.ensure()
        yield opened


@pytest.fixture(scope="module")
def filled(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """A library with the collection; for tests that only read."""
    with Library.open(tmp_path_factory.mktemp("filled"), llm="quotes", embedder="builtin") as opened:
        report = opened.ingest(corpus)
        assert not report.failed, report.failed
        yield opened


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeOllama]:
    """A model's server with 20 ms a token that answers four at once."""
    with FakeOllama(delay=0.02, parallel=4) as server:
        yield server


@pytest.fixture(scope="module")
def written(corpus: Path, fake: FakeOllama, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """A library with the collection, answered by a model."""
    folder = tmp_path_factory.mktemp("written")
    with Library.open(folder, llm="ollama:fake-chat", embedder="builtin", ollama_host=fake.url) as opened:
        opened.ingest(corpus)
        yield opened


@pytest.fixture(scope="module")
def quoting_page(filled: Library) -> Iterator[str]:
    """The page over a library that quotes."""
    with page_over(filled) as address:
        yield address


@pytest.fixture(scope="module")
def writing_page(written: Library) -> Iterator[str]:
    """The page over a library whose answers a model writes."""
    with page_over(written) as address:
        yield address
