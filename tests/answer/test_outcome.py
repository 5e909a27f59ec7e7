"""Three honest states: answered, the closest passages, which may not answer, and not in the documents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rag import Library
from rag.answer.compose import CLOSEST
from rag.commands.terminal import answer_text
from rag.gold.metrics.scoring import reply_of
from rag.types import Answer, Outcome
from tests.fake_ollama import FakeModel, FakeOllama
from ui.render import answer_html
from ui.sources import section_html

LEAVE = "# Leave policy\n\nFull-time staff receive 28 days of paid annual leave a year. Requests go to Maria Lopez.\n"
PUMPS = "The cooling pumps of the Halden plant were replaced in March 2019 at a cost of 4.2 million crowns.\n"
QUESTION = "How many days of paid annual leave do full-time staff receive?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("outcome")
    (home / "docs").mkdir()
    (home / "docs" / "leave.md").write_text(LEAVE, encoding="utf-8")
    (home / "docs" / "pumps.txt").write_text(PUMPS, encoding="utf-8")
    with Library.open(home / "library", llm="quotes", embedder="builtin") as library:
        library.ingest(home / "docs")
    return home


def ask(folder: Path, question: str, abstain_below: float = -1.0) -> Answer:
    with Library.open(folder / "library", llm="quotes", abstain_below=abstain_below) as library:
        return library.ask(question)


@pytest.fixture(scope="module")
def uncertain(folder: Path) -> Answer:
    """The same answer where nothing is ever certain enough."""
    return ask(folder, QUESTION, 1.0)


def test_what_is_sure_enough_is_answered(folder: Path) -> None:
    answer = ask(folder, QUESTION)
    assert answer.outcome is Outcome.ANSWERED and not answer.abstained and "28 days" in answer.text
    assert ask(folder, QUESTION, 0.0).outcome is Outcome.ANSWERED


def test_what_is_not_there_is_not_in_the_documents(folder: Path) -> None:
    answer = ask(folder, "Who won the chess championship of Reykjavik in 1972?")
    assert answer.outcome is Outcome.ABSENT and answer.abstained and not answer.citations and answer.hits
    assert answer.to_dict()["outcome"] == "absent"


def test_between_the_two_the_closest_passages_are_shown_as_that(uncertain: Answer) -> None:
    assert uncertain.outcome is Outcome.UNCERTAIN and uncertain.abstained and uncertain.reason
    assert uncertain.text.startswith(CLOSEST) and "28 days" in uncertain.text
    assert uncertain.to_dict()["outcome"] == "uncertain"
    for sentence in uncertain.sentences:
        assert uncertain.text[sentence.start : sentence.end] == sentence.text
    for mark in uncertain.markers:
        citation = uncertain.citations[mark.citation]
        assert uncertain.text[mark.start : mark.end] == f"[{citation.marker}]"


def test_terminal_and_page_say_so(uncertain: Answer) -> None:
    shown = answer_text(uncertain)
    assert shown.startswith(CLOSEST) and "[1] leave.md" in shown and "Nearest passages" not in shown
    record = uncertain.to_dict()
    page = answer_html(record, 1)
    assert CLOSEST in page and 'href="#t1s1"' in page and "not in the documents" not in page
    assert "May not answer" in section_html(QUESTION, record, 1)


def test_gold_counts_it_as_not_answered_and_its_facts_as_shown(uncertain: Answer) -> None:
    reply = reply_of(uncertain)
    assert reply.abstained and not reply.silent


@pytest.fixture(scope="module")
def server() -> Iterator[FakeOllama]:
    with FakeOllama([FakeModel("chat-honest")]) as running:
        yield running


def test_what_a_model_writes_is_answered_where_the_sources_bear_it_out(folder: Path, server: FakeOllama) -> None:
    """However improbable it seemed before."""
    with Library.open(
        folder / "library", llm="ollama:chat-honest", ollama_host=server.url, abstain_below=1.0
    ) as library:
        answer = library.ask(QUESTION)
    assert answer.outcome is Outcome.ANSWERED and not answer.abstained
