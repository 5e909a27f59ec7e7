"""Searchable at once, sharper soon: the encoder's vectors come after the documents, and whenever a question waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from llama_index.core.base.embeddings.base import BaseEmbedding

from rag import Library
from rag import encode as module
from rag.commands.cli import cli
from rag.encode import PassageEncoder
from rag.errors import ConfigError, ModelError
from rag.models.embed import EncoderEmbedding

TEXTS = {
    "leave.md": "# Leave policy\n\nFull-time staff receive 28 days of paid annual leave.\n",
    "parking.txt": "Parking\n\nThe car park on Mill Lane opens at 6:30 and holds 140 cars.\n",
    "pumps.txt": "Pumps\n\nThe cooling pumps of the plant were replaced after the flood.\n",
}


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for name, text in TEXTS.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def opened(tmp_path: Path, **settings: Any) -> Library:
    return Library.open(tmp_path / "library", llm="quotes", embedder="builtin", **settings)


@pytest.fixture
def library(tmp_path: Path, docs: Path) -> Iterator[Library]:
    with opened(tmp_path) as library:
        library.ingest(docs)
        yield library


def until(done: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


class Counting(BaseEmbedding):
    """Letters counted: small, deterministic, and it knows how often it was asked."""

    asked: int = 0
    fails: bool = False

    def _get_text_embedding(self, text: str) -> list[float]:
        if self.fails:
            raise ModelError("The counting model is away.")
        self.asked += 1
        return [1.0 + text.lower().count(letter) for letter in "abcdefghij"]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


def test_a_fill_is_told_step_by_step_and_done_once(library: Library) -> None:
    before = library.index()
    assert before.encoder.endswith("all-minilm-l6-v2-int8") and before.texts == before.pending >= 3
    events = list(library.encode_events())
    assert events[-1].done == events[-1].total == before.texts and events[-1].seconds_left == 0
    assert library.index().pending == 0
    assert list(library.encode_events()) == []


def test_the_ranking_is_the_same_before_and_after_the_fill(library: Library) -> None:
    question = "How much holiday do employees get?"
    before = library.search(question)
    list(library.encode_events())
    after = library.search(question)
    assert [h.passage.id for h in before] == [h.passage.id for h in after]
    assert [h.score for h in before] == pytest.approx([h.score for h in after], abs=2e-3)
    assert before[0].passage.source == "leave.md" and before[0].encoder == max(h.encoder for h in before) > 0.3
    assert all(h.known == 1 for h in before)


def test_a_removed_document_leaves_no_vector(library: Library) -> None:
    list(library.encode_events())
    texts = library.index().texts
    library.remove("pumps.txt")
    assert library.index().texts < texts and library.index().pending == 0
    library.compact()
    assert library.index().pending == 0


def test_the_background_fills_when_it_is_quiet(tmp_path: Path, docs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_QUIET_SECONDS", 0.01)
    with opened(tmp_path) as library:
        library.ingest(docs)
        until(lambda: library.index().pending == 0)
        (docs / "late.txt").write_text("A late text about ferries.", encoding="utf-8")
        library.ingest(docs)
        until(lambda: library.index().pending == 0)


def test_a_closed_library_goes_on_where_it_stopped(tmp_path: Path, docs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BATCH", 1)
    with opened(tmp_path) as library:
        library.ingest(docs)
        next(library.encode_events())
        pending = library.index().pending
    with opened(tmp_path) as library:
        assert library.index().pending == pending == library.index().texts - 1
        assert len(list(library.encode_events())) == pending


def test_documents_in_a_language_it_does_not_know_are_told(tmp_path: Path, docs: Path) -> None:
    with opened(tmp_path) as library:
        library.ingest(docs)
        list(library.encode_events())
        assert not any("languages" in notice for notice in library.notices)
        (docs / "zh.txt").write_text("委员会每隔一个星期二在图书馆大厅开会。", encoding="utf-8")
        (docs / "ar.txt").write_text("تجتمع اللجنة كل ثلاثاء ثان في القاعة الكبرى بالمكتبة.", encoding="utf-8")
        library.ingest(docs)
        list(library.encode_events())
        (told,) = [notice for notice in library.notices if "languages" in notice]
        assert told.startswith("2 of 5 texts") and "multilingual" in told


def test_off_means_off(tmp_path: Path, docs: Path) -> None:
    with opened(tmp_path, encoder="off") as library:
        library.ingest(docs)
        assert all((h.encoder, h.known) == (0, 0) for h in library.search("How much holiday is there?"))
        assert list(library.encode_events()) == []
        assert (library.index().encoder, library.index().pending) == ("", 0)
        assert any(c.name == "encoder" and "off" in c.message for c in library.doctor())


def test_any_embedding_can_be_the_encoder(tmp_path: Path, docs: Path) -> None:
    model = Counting()
    with opened(tmp_path, encoder=model) as library:
        library.ingest(docs)
        assert library.index().encoder.endswith("/unknown")
        hits = library.search("abba abba")
        seen = model.asked
        assert seen > len(TEXTS) and all(h.known == 1 for h in hits)
        library.search("abba abba")
        assert model.asked == seen + 1, "passages are not asked twice"


def test_a_model_that_fails_is_told_and_nothing_is_lost(
    tmp_path: Path, docs: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_QUIET_SECONDS", 0.01)
    with opened(tmp_path, encoder=Counting(fails=True)) as library:
        assert not library.ingest(docs).failed
        until(lambda: "is away" in caplog.text)
        with pytest.raises(ModelError, match="away"):
            library.search("abba")


def test_a_wrong_name_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="encoder must be 'builtin', 'off'"):
        opened(tmp_path, encoder="minilm")


def test_a_question_waits_for_a_limited_time_for_the_best_first(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", 1)

    def slow() -> PassageEncoder:
        """It looks at a clock that has gone on by a tenth of a second each time."""
        now = iter(np.arange(0, 1000, 0.1))
        return PassageEncoder(library._truth, EncoderEmbedding(), clock=lambda: float(next(now)))

    ids = [p.id for d in library.sources() for p in library._truth.passages.of(d.id)]
    encoder = slow()
    assert list(encoder.passages(ids, seconds=0.0)) == ids[:1], "one batch at least"
    assert len(encoder.passages(ids, seconds=1000.0)) == len(ids)
    assert len(slow().passages(ids, seconds=0.45)) == 2


def test_the_command_waits_when_asked_to(docs: Path, tmp_path: Path) -> None:
    flags = ["--library", str(tmp_path / "other"), "--embedder", "builtin", "--llm", "quotes"]
    done = CliRunner().invoke(cli, ["ingest", str(docs), "--wait", *flags])
    assert done.exit_code == 0 and "Encoding" in done.output
    with Library.open(tmp_path / "other", llm="quotes") as library:
        assert library.index().pending == 0
