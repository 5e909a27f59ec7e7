"""One parser pool for the tests of this folder that need no special limits."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rag.config import Limits
from rag.documents import ParserPool


@pytest.fixture(scope="session")
def pool() -> Iterator[ParserPool]:
    with ParserPool(Limits(), characters=1_000, overlap=100) as parsers:
        yield parsers
