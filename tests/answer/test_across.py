"""Questions in another language than the documents: told, and answered where an embedding knows both languages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.embeddings.base import BaseEmbedding
from pydantic import PrivateAttr

from rag import Library
from rag.models.embed import MultilingualEmbedding
from rag.models.multilingual import multilingual_installed
from rag.types import Outcome, Support

TEXTS = {
    "urlaub.md": (
        "# Urlaub\n\nVollzeitkräfte erhalten 28 Tage bezahlten Jahresurlaub. Der Antrag ist zwei Wochen vorher bei der "
        "Leitung der Abteilung zu stellen.\n"
    ),
    "pumpen.md": (
        "# Pumpen\n\nDie Kühlpumpen des Werks wurden nach der Flut im März ersetzt. Die alten Pumpen liegen in der "
        "Halle am Hafen.\n"
    ),
    "garten.md": (
        "# Garten\n\nDer Gemeinschaftsgarten hinter der Schule hat vierzig Beete. Wer ein Beet möchte, schreibt sich "
        "in die Liste beim Hausmeister ein.\n"
    ),
}
ASKED = "How many days of paid leave do the full-time employees get in a year?"
ANSWER = "Vollzeitkräfte erhalten 28 Tage bezahlten Jahresurlaub."
BESIDE = "Which kings of the dynasty are buried in the cathedral of the old capital?"
NOTICE = "in another language than the question"

needs_extra = pytest.mark.skipif(not multilingual_installed(), reason="needs the extra multilingual")


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs")
    for name, text in TEXTS.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory, docs: Path) -> Iterator[Library]:
    folder = tmp_path_factory.mktemp("library")
    with Library.open(folder, llm="quotes", embedder="multilingual") as opened:
        opened.ingest(docs)
        list(opened.encode_events())
        yield opened


@needs_extra
def test_a_question_is_answered_by_a_document_in_another_language(library: Library) -> None:
    answer = library.ask(ASKED)
    assert answer.outcome is Outcome.ANSWERED and answer.probability > 0.5
    assert answer.citations[0].quote == ANSWER and answer.sentences[0].support is Support.QUOTED
    assert library.text(answer.citations[0].document_id)[answer.citations[0].start :].startswith(ANSWER)
    assert not any(NOTICE in notice for notice in answer.notices)


@needs_extra
def test_what_no_document_says_is_not_answered_across_languages_either(library: Library) -> None:
    answer = library.ask(BESIDE)
    assert answer.outcome is not Outcome.ANSWERED and answer.probability < 0.33


@needs_extra
def test_the_documents_own_language_is_judged_as_ever_and_nothing_is_warned_of(library: Library) -> None:
    answer = library.ask("Wie viele Tage Urlaub erhalten Vollzeitkräfte?")
    assert answer.outcome is Outcome.ANSWERED and ANSWER in answer.text
    assert not any("languages" in notice or NOTICE in notice for notice in (*answer.notices, *library.notices))


def test_without_a_multilingual_embedding_it_is_said(tmp_path: Path, docs: Path) -> None:
    with Library.open(tmp_path, llm="quotes", embedder="builtin", encoder="off") as opened:
        opened.ingest(docs)
        (told,) = [notice for notice in opened.ask(ASKED).notices if NOTICE in notice]
        assert "rag-cited[multilingual]" in told and "rag reindex multilingual" in told
        assert not any(NOTICE in notice for notice in opened.ask("Wie viele Tage Urlaub gibt es im Jahr?").notices)


class Given(BaseEmbedding):
    """Somebody's own multilingual embedding."""

    model_name: str = "given"
    _model: MultilingualEmbedding = PrivateAttr(default_factory=MultilingualEmbedding)

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._model.get_text_embedding(text)

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._model.get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._model.get_text_embedding(query)


@needs_extra
@pytest.mark.parametrize("place", ["embed_model", "encoder"])
def test_of_another_embedding_it_is_not_known_how_surely_it_answers(tmp_path: Path, docs: Path, place: str) -> None:
    given: dict[str, Any] = {place: Given()} if place == "embed_model" else {place: Given(), "embedder": "builtin"}
    with Library.open(tmp_path, llm="quotes", **given) as opened:
        opened.ingest(docs)
        answer = opened.ask(ASKED)
        assert answer.outcome is Outcome.UNCERTAIN and ANSWER in answer.text
        assert any(NOTICE in notice for notice in answer.notices)
