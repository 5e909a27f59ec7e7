"""Promise: every hostile file is a document or a named refusal, within its limits, and the next file is parsed."""

from __future__ import annotations

import random
import time

import pytest

from rag.config import Limits
from rag.documents import ParserPool
from rag.documents.formats import shown
from rag.errors import DocumentError, ParserCrashed
from tests.documents.material import PANGRAM, hostile, pdf

LIMITS = Limits(child_memory_mb=512, child_cpu_seconds=1, child_wall_seconds=8)
CORPUS = dict(hostile())
NAMED = {
    "count lies.pdf": "", "endless pages.pdf": "limits.pages", "no pages.pdf": "", "hidden only.html": "has no text",
    "zeros.txt": "is binary", "picture only.pdf": "none of its 3 pages has text",
    "html inside.pdf": "damaged or is no PDF",
    "only invisible.txt": "has no text", "random 1000000.pdf": "damaged or is no PDF",
}  # fmt: skip


def test_the_corpus_is_large_enough() -> None:
    assert len(CORPUS) >= 60


def test_every_hostile_file_is_contained() -> None:
    with ParserPool(LIMITS, characters=1_000, overlap=100) as pool:
        pool.parse(b"warm", "a.txt")
        futures = {name: pool.submit(data, name) for name, data in CORPUS.items()}
        outcomes = {name: future.exception() for name, future in futures.items()}
        assert pool.parse(PANGRAM.encode(), "after.txt").document.text == PANGRAM
    for name, error in outcomes.items():
        assert error is None or isinstance(error, DocumentError), (name, error)
        if error is not None:
            assert str(error).startswith(shown(name)) and error.hint, (name, error)
            assert "SIGSEGV" not in str(error), (name, error)
        assert NAMED.get(name, "") in str(error), (name, error)
    crashed = {name: str(error) for name, error in outcomes.items() if isinstance(error, ParserCrashed)}
    assert all("limits." in reason for reason in crashed.values()), crashed


@pytest.mark.parametrize("name", ["external entity.xhtml", "include.html", "laughs.xhtml"])
def test_nothing_outside_the_file_is_fetched_or_expanded(pool: ParserPool, name: str) -> None:
    text = pool.parse(CORPUS[name], name).document.text
    assert "root:" not in text and len(text) < 200


def test_each_file_keeps_to_its_time() -> None:
    with ParserPool(Limits(child_wall_seconds=1), characters=1_000, overlap=100, workers=1) as pool:
        pool.parse(b"warm", "a.txt")
        begun = time.monotonic()
        with pytest.raises(ParserCrashed):
            pool.parse(b"<div>" * 100_000, "slow.html")
        assert time.monotonic() - begun < 30, "the limit is 1 s; this only shows that something ended it"


def test_fuzzed_files_are_documents_or_refusals(soak: bool) -> None:
    rng = random.Random(23)
    seeds = {
        "f.pdf": pdf([PANGRAM, None, "x"], title="T", outline=[("x", 2)]),
        "f.html": f"<title>t</title><h1>{PANGRAM}</h1><table><tr><td>1<td>2</table><pre>x</pre>".encode(),
        "f.md": f"---\ntitle: t\n---\n# {PANGRAM}\n\n- a\n- b\n\n```\nc\n```\n".encode(),
        "f.txt": f"{PANGRAM} é\n\nSECOND PART\n\n1. Third\n".encode(),
    }
    with ParserPool(LIMITS, characters=200, overlap=20) as pool:
        futures = []
        for _ in range(20_000 if soak else 400):
            name, data = rng.choice(list(seeds.items()))
            mutant = bytearray(data)
            for _ in range(rng.randint(1, 12)):
                at = rng.randrange(len(mutant))
                mutant[at : at + rng.randint(0, 3)] = rng.randbytes(rng.randint(0, 4))
            futures.append(pool.submit(bytes(mutant), name))
        for future in futures:
            error = future.exception()
            assert error is None or (isinstance(error, DocumentError) and not isinstance(error, ParserCrashed)), error
