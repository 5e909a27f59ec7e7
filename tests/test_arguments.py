"""A wrong type, wherever a script may give one, is told in a sentence of this package."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from rag import Library
from rag.arguments import expecting, fits
from rag.errors import ArgumentError, QuestionError, RagError, UnknownCollection

WRONG: tuple[Any, ...] = (5, None, 3.5, [], {}, b"x", object(), ["a", 5], True, ())
Call = Callable[[Library, Any], Any]

CALLS: Mapping[str, Call] = {
    "ask": lambda lib, x: lib.ask(x),
    "history": lambda lib, x: lib.ask("How often in winter?", history=x),
    "collection": lambda lib, x: lib.ask("How often in winter?", collection=x),
    "sources": lambda lib, x: lib.ask("How often in winter?", sources=x),
    "where": lambda lib, x: lib.ask("How often in winter?", where=x),
    "search": lambda lib, x: lib.search(x),
    "k": lambda lib, x: lib.search("foghorn", x),
    "stream": lambda lib, x: list(lib.stream(x)),
    "verify": lambda lib, x: lib.verify(x),
    "embed": lambda lib, x: lib.embed(x),
    "ingest": lambda lib, x: lib.ingest(x),
    "add": lambda lib, x: lib.add(x),
    "add source": lambda lib, x: lib.add("text", source=x),
    "add title": lambda lib, x: lib.add("text", source="s.txt", title=x),
    "metadata": lambda lib, x: lib.add("text", source="s.txt", metadata=x),
    "describe": lambda lib, x: lib.describe(x, {}),
    "sync": lambda lib, x: lib.sync(x),
    "document": lambda lib, x: lib.document(x),
    "remove": lambda lib, x: lib.remove(x),
    "text": lambda lib, x: lib.text(x),
    "layout": lambda lib, x: lib.layout(x),
    "original": lambda lib, x: lib.original(x),
    "use_llm": lambda lib, x: lib.use_llm(x),
    "backup": lambda lib, x: lib.backup(x),
    "query_engine().stream": lambda lib, x: list(lib.query_engine().stream(x)),
    "query_engine().query": lambda lib, x: lib.query_engine().query(x),
    "query_engine().verify": lambda lib, x: lib.query_engine().verify(x),
    "node_postprocessors": lambda lib, x: lib.query_engine(node_postprocessors=x),
    "similarity_top_k": lambda lib, x: lib.query_engine(similarity_top_k=x),
    "retriever().hits": lambda lib, x: lib.retriever().hits(x),
    "retriever().retrieve": lambda lib, x: lib.retriever().retrieve(x),
    "collections.create": lambda lib, x: lib.collections.create(x),
    "collections.rename": lambda lib, x: lib.collections.rename("default", x),
    "collections.delete": lambda lib, x: lib.collections.delete(x),
    "conversations.get": lambda lib, x: lib.conversations.get(x),
    "open": lambda lib, x: Library.open(x, write=False).close(),
    "open llm": lambda lib, x: Library.open(lib.path, llm=x, write=False).close(),
    "open embed_model": lambda lib, x: Library.open(lib.path, embed_model=x, write=False).close(),
}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    folder = tmp_path_factory.mktemp("arguments")
    (folder / "a.txt").write_text("The foghorn sounds every 40 seconds in winter.", "utf-8")
    with Library.open(folder / "library", llm="quotes", embedder="builtin", encoder="off") as opened:
        opened.ingest(folder / "a.txt")
        yield opened


@pytest.mark.parametrize("name", CALLS)
def test_nothing_but_this_packages_errors_comes_of_a_wrong_type(library: Library, name: str) -> None:
    refused = 0
    for wrong in WRONG:
        try:
            CALLS[name](library, wrong)
        except RagError as error:
            refused += 1
            assert len(str(error)) > 20, repr(wrong)
    assert refused >= 4, "most of them are wrong everywhere"


def test_the_kinds_of_errors_are_those_of_the_argument(library: Library) -> None:
    with pytest.raises(QuestionError, match=r"stream takes question as str, not int"):
        list(library.query_engine().stream(5))  # type: ignore[arg-type]
    with pytest.raises(UnknownCollection, match="not float"):
        library.search("x", collection=1.5)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match=r"sources as Sequence\[str\], not str") as caught:
        library.search("x", sources="a.txt")
    assert isinstance(caught.value, TypeError) and "help(Library.search)" in caught.value.hint


def test_coroutines_stay_coroutines() -> None:
    assert inspect.iscoroutinefunction(Library.aask) and inspect.isasyncgenfunction(Library.astream)


@pytest.mark.parametrize(
    ("value", "hint", "right"),
    [
        (np.int64(3), int, True), (True, int, False), (3, float, True), ("x", float, False),
        ("a", Sequence[str], False), (["a"], Sequence[str], True), ([1], Sequence[str], False),
        (iter(["a"]), Sequence[str], True), ({"a"}, Sequence[str], True), ({"a": 1}, Sequence[str], False),
        ({"a": 1}, Mapping[str, int], True), ([], Mapping[str, int], False), (None, int | None, True),
        (Path("x"), Path | str, True), ("keep", Literal["keep", "replace"], True), ("x", Literal["keep"], False),
        (len, Callable[[str], int], True), (object(), Any, True),
    ],
)  # fmt: skip
def test_fits(value: object, hint: Any, right: bool) -> None:
    assert fits(value, hint) is right


def test_what_only_type_checkers_know_may_be_anything() -> None:
    @expecting()
    class Example:
        def take(self, thing: Unknown | str, count: int = 1) -> Elsewhere.Thing:  # type: ignore[name-defined]  # noqa: F821
            return thing

    assert Example().take(5) == 5
    with pytest.raises(ArgumentError, match=r"Example\.take takes count as int, not str"):
        Example().take("x", count="2")  # type: ignore[arg-type]
