"""Any LlamaIndex embedding model: what it gives is checked and scaled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.base.embeddings.base import BaseEmbedding
from pydantic import PrivateAttr

from rag.config import Config
from rag.errors import ModelError
from rag.models.embed import BuiltinEmbedding, describe_embedder, embed_documents, embed_query
from rag.models.ollama import OllamaClient, OllamaEmbedding
from tests.fake_ollama import FakeModel, FakeOllama


class Scripted(BaseEmbedding):
    """Somebody's own model: gives what it is told to."""

    _rows: list[Any] = PrivateAttr()
    _asked: list[str] = PrivateAttr(default_factory=list)

    def __init__(self, rows: list[Any]) -> None:
        super().__init__(model_name="scripted")
        self._rows = rows

    @classmethod
    def class_name(cls) -> str:
        return "Scripted"

    def _get_text_embedding(self, text: str) -> list[float]:
        self._asked.append(text)
        return self._rows[(len(self._asked) - 1) % len(self._rows)]  # type: ignore[no-any-return]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


def test_vectors_are_scaled_to_unit_length() -> None:
    model = Scripted([[3.0, 4.0], [0.0, 2.0]])
    assert np.allclose(embed_documents(model, ["a", "b"]), np.array([[0.6, 0.8], [0, 1]]))
    query = embed_query(Scripted([[3.0, 4.0]]), "q")
    assert query.shape == (2,) and query.dtype == np.float32 and np.allclose(query, [0.6, 0.8])


def test_blank_texts_are_not_sent_and_give_zeros() -> None:
    model = Scripted([[3.0, 4.0]])
    assert np.allclose(embed_documents(model, ["", "a", " \n"]), np.array([[0, 0], [0.6, 0.8], [0, 0]]))
    assert model._asked == ["a"]
    assert embed_documents(model, []).shape == (0, 2)
    assert not embed_query(model, "  ").any()


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([[1.0, float("nan")]], "no numbers"),
        ([[float("inf"), 1.0]], "no numbers"),
        ([[1e39, 1.0]], "no numbers"),
        ([[1.0], [1.0, 2.0]], "different lengths"),
        ([["a", "b"]], "no vector"),
        ([[]], "shape"),
        ([1.0], "no vector"),
        ([[None, 1.0]], "no vector"),
    ],
)
def test_what_is_no_vector_is_refused(rows: list[Any], says: str) -> None:
    with pytest.raises(ModelError, match=says) as caught:
        embed_documents(Scripted(rows), ["a", "b"])
    assert "Scripted/scripted" in str(caught.value) and caught.value.hint


def test_a_dimension_that_is_not_the_models_own_is_refused() -> None:
    class Lying(BuiltinEmbedding):
        @property
        def dimension(self) -> int:
            return 7

    with pytest.raises(ModelError, match="256 dimensions instead of 7"):
        embed_documents(Lying(), ["a"])
    with pytest.raises(ModelError, match="256 dimensions instead of 7"):
        embed_query(Lying(), "a")


@given(st.lists(st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=3, max_size=3), min_size=1, max_size=5))
def test_every_row_has_length_one_or_is_zero(rows: list[list[float]]) -> None:
    vectors = embed_documents(Scripted(rows), ["x"] * len(rows))
    norms = np.linalg.norm(vectors, axis=1)
    assert np.all(np.isclose(norms, 1, atol=1e-4) | (norms == 0))


def test_what_is_stored_of_an_embedder() -> None:
    builtin = describe_embedder(BuiltinEmbedding())
    assert (builtin.name, builtin.dimension, builtin.query_prefix) == ("builtin", 256, "") and len(builtin.digest) == 64
    other = describe_embedder(Scripted([[1.0, 2.0, 3.0]]))
    assert (other.name, other.dimension, other.digest) == ("Scripted/scripted", 3, "")
    with FakeOllama([FakeModel("nomic-embed-text", dimension=32)]) as server, OllamaClient(server.url) as client:
        model = OllamaEmbedding.open(client, "nomic-embed-text", Config())
        facts = describe_embedder(model)
        assert (facts.name, facts.dimension, facts.digest) == ("ollama:nomic-embed-text", 32, model.digest)
        assert (facts.query_prefix, facts.document_prefix) == ("search_query: ", "search_document: ")
        assert embed_documents(model, ["a", ""]).shape == (2, 32) and embed_query(model, "a").shape == (32,)
