"""Promise: every hostile file is a document or a named refusal, within its limits, and the next file is parsed."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.config import Limits
from rag.documents import ParserPool
from rag.documents.archive import packed
from rag.documents.formats import FORMATS, shown
from rag.errors import DocumentError, ParserCrashed
from tests.documents.material import PANGRAM, hostile, pdf
from tests.documents.office import docx, epub, msg, odf, paragraph, xlsx

LIMITS = Limits(child_memory_mb=512, child_cpu_seconds=1, child_wall_seconds=8)
NAMED = {
    "count lies.pdf": "", "endless pages.pdf": "limits.pages", "no pages.pdf": "", "hidden only.html": "has no text",
    "zeros.txt": "is binary", "picture only.pdf": "none of its 3 pages has text",
    "html inside.pdf": "damaged or is no PDF",
    "only invisible.txt": "has no text", "random 1000000.pdf": "damaged or is no PDF",
}  # fmt: skip


@pytest.fixture(scope="module")
def corpus() -> dict[str, bytes]:
    return dict(hostile())


def test_every_hostile_file_is_contained(corpus: dict[str, bytes]) -> None:
    assert len(corpus) >= 150
    with ParserPool(LIMITS, characters=1_000, overlap=100) as pool:
        pool.parse(b"warm", "a.txt")
        futures = {name: pool.submit(data, name) for name, data in corpus.items()}
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
def test_nothing_outside_the_file_is_fetched_or_expanded(pool: ParserPool, corpus: dict[str, bytes], name: str) -> None:
    text = pool.parse(corpus[name], name).document.text
    assert "root:" not in text and len(text) < 200


def test_each_file_keeps_to_its_time() -> None:
    with ParserPool(Limits(child_wall_seconds=1), characters=1_000, overlap=100, workers=1) as pool:
        pool.parse(b"warm", "a.txt")
        begun = time.monotonic()
        with pytest.raises(ParserCrashed):
            pool.parse(b"<div>" * 100_000, "slow.html")
        assert time.monotonic() - begun < 30, "the limit is 1 s; this only shows that something ended it"


@cache
def seeds() -> dict[str, bytes]:
    """A file of every format that this package reads, and larger ones of the commonest."""
    found = {
        "f.pdf": pdf([PANGRAM, None, "x"], title="T", outline=[("x", 2)]),
        "f.html": f"<title>t</title><h1>{PANGRAM}</h1><table><tr><td>1<td>2</table><pre>x</pre>".encode(),
        "f.md": f"---\ntitle: t\n---\n# {PANGRAM}\n\n- a\n- b\n\n```\nc\n```\n".encode(),
        "f.txt": f"{PANGRAM} é\n\nSECOND PART\n\n1. Third\n".encode(),
        "f.docx": docx(paragraph(PANGRAM) + "<w:tbl><w:tr><w:tc>" + paragraph("x") + "</w:tc></w:tr></w:tbl>"),
        "f.xlsx": xlsx({"A": [["Part", "Price"], ["x", 4.5], ["y", True]]}),
        "f.odt": odf("<office:text><text:h>A</text:h><text:p>x<text:s/>y</text:p></office:text>"),
        "f.epub": epub(["<h1>One</h1><p>x</p>"], "T"), "f.csv": b'a;b\n1;"two\nlines"\n',
        "f.jsonl": b'{"a": [1]}\n[2]\n',
        "f.mbox": b"From a@b Mon\nFrom: Ann\nSubject: One\n\nfirst\n", "f.rst": b"Boats\n=====\n\ntext\n",
        "f.ipynb": b'{"cells": [{"cell_type": "markdown", "source": ["# T"]}, {"source": "1", "outputs": []}]}',
        "f.msg": msg({0x37: "Boats", 0x1000: "They are here.", 0x1A: "IPM.Note"}),
    }  # fmt: skip
    for kind in FORMATS:
        module = import_module(kind.reader.partition(":")[0])
        for name, data in getattr(module, "SAMPLES", {}).items():
            found.setdefault(f"f{PurePosixPath(name).suffix}", data() if callable(data) else data)
    return found


edits = st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 9), st.binary(max_size=6)), min_size=1, max_size=8)


@st.composite
def mutants(draw: st.DrawFn) -> tuple[str, bytes]:
    """A file's name and its bytes, of which some were changed; in a packed one, those of a part of it."""
    name = draw(st.sampled_from(sorted(seeds())))
    data = seeds()[name]
    if data[:2] == b"PK" and draw(st.booleans()):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = {part: archive.read(part) for part in archive.namelist()}
        chosen = draw(st.sampled_from(sorted(parts)))
        parts[chosen] = changed(parts[chosen], draw(edits))
        return name, packed(parts)
    return name, changed(data, draw(edits))


def changed(data: bytes, made: list[tuple[int, int, bytes]]) -> bytes:
    mutant = bytearray(data)
    for at, size, new in made:
        at %= len(mutant) + 1
        mutant[at : at + size] = new
    return bytes(mutant)


@pytest.fixture(scope="module")
def small() -> Iterator[ParserPool]:
    with ParserPool(LIMITS, characters=200, overlap=20) as pool:
        yield pool


def test_changed_files_are_documents_or_refusals(small: ParserPool, soak: bool) -> None:
    """A reply whose offsets are not those of its text is refused too, as of a parser that misbehaves."""

    @settings(max_examples=1_000 if soak else 25)
    @given(st.lists(mutants(), min_size=16, max_size=16))
    def check(files: list[tuple[str, bytes]]) -> None:
        for (name, data), future in [(one, small.submit(one[1], one[0])) for one in files]:
            error = future.exception()
            assert error is None or isinstance(error, DocumentError), (name, data, error)
            assert not isinstance(error, ParserCrashed) or "limits." in str(error), (name, data, str(error))

    check()
