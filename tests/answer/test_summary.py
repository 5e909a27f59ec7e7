"""What a document and a conversation are about: true slices, cited; questions made from the values a text states."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from rag.answer.suggest import fact_questions, own_questions
from rag.answer.summary import central, conversation_summary
from rag.errors import QuestionError
from rag.library import Library
from rag.types import Answer, Outcome, Support
from tests.fake_ollama import FakeModel, FakeOllama

TEXT = """# Bees

A hive holds about 40,000 bees in summer. The queen lays up to 2,000 eggs a day. Drones leave the hive in autumn.

| Month | Honey |
| --- | --- |
| May | 4 kg |

Honey is taken twice a year, in May and in August. A good hive gives 25 kilograms of honey a year.

- a list
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    folder = tmp_path_factory.mktemp("summary")
    (folder / "bees.md").write_text(TEXT)
    (folder / "list.md").write_text("| a | b |\n| --- | --- |\n| 1 | 2 |\n")
    with Library.open(folder / "library", llm="quotes", embedder="builtin") as opened:
        opened.ingest([folder / "bees.md", folder / "list.md"])
        yield opened


def test_a_document_is_told_by_its_own_sentences(library: Library) -> None:
    answer = library.summary("bees.md")
    assert answer.outcome is Outcome.ANSWERED and 3 <= len(answer.sentences) <= 5
    for citation in answer.citations:
        assert TEXT.find(citation.quote) >= 0 and "|" not in citation.quote
        assert library.text(citation.document_id)[citation.start : citation.end] == citation.quote
    assert [c.start for c in answer.citations] == sorted(c.start for c in answer.citations)
    assert {document.source for document in answer.documents} == {"bees.md"} and len(answer.used) == len(answer.hits)
    with pytest.raises(QuestionError):
        library.summary("list.md")


def test_a_conversation_is_told_by_what_was_proven_in_it(library: Library) -> None:
    first = library.ask("How many bees does a hive hold in summer?")
    second = library.ask("How much honey does a good hive give a year?")
    told = conversation_summary("What was found?", [first, second, first])
    assert "40,000 bees" in told.text and "25 kilograms" in told.text and told.text.count("40,000") == 1
    for sentence in told.sentences:
        assert told.text[sentence.start : sentence.end] == sentence.text and sentence.support is Support.QUOTED
    for mark in told.markers:
        assert told.text[mark.start : mark.end] == f"[{told.citations[mark.citation].marker}]"
    assert [citation.marker for citation in told.citations] == list(range(1, len(told.citations) + 1))
    with pytest.raises(QuestionError):
        conversation_summary("What was found?", [Answer("Who?", "It is not there.", True)])


def test_what_is_chosen_is_near_to_all_and_unlike_the_rest() -> None:
    rows = np.array([[1, 0], [1, 0], [0.8, 0.6], [0, 1]], dtype=np.float32)
    assert len(central(rows, 9)) == 4
    chosen = central(rows, 2)
    assert chosen[0] == 2 and set(chosen) != {0, 1}


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("The river Minho is 300 kilometres long.", "The river Minho is how many kilometres long?"),
        ("A hotel in the city may cost 120 euros a night.", "A hotel in the city may cost how much a night?"),
        ("The protocol was signed in the year 1987.", "The protocol was signed in the year what year?"),
        ("Der Antrag muss binnen 14 Tagen gestellt werden.", "Der Antrag muss binnen … Tagen gestellt werden?"),
        ("La torre mide 300 metros y se ve desde lejos.", "La torre mide … metros y se ve desde lejos?"),
        ("Мост через реку был открыт в 1931 году.", "Мост через реку был открыт в … году?"),
        ("这条河全长300公里，从山里一直流到海边的大城市。", "这条河全长…公里，从山里一直流到海边的大城市？"),
        ("يبلغ طول النهر 300 كيلومتر ويمر بعدة مدن كبيرة.", "يبلغ طول النهر … كيلومتر ويمر بعدة مدن كبيرة؟"),
        ("इस नदी की कुल लंबाई 300 किलोमीटर है।", "इस नदी की कुल लंबाई … किलोमीटर है?"),
        ("Le fleuve est long de 300 kilomètres dans le pays.", "Le fleuve est long de combien de kilomètres dans"),
    ],
)
def test_a_value_gives_way_to_what_asks_for_it(text: str, question: str) -> None:
    made = list(fact_questions(text))
    assert len(made) == 1 and made[0].question.startswith(question)
    assert text[made[0].start : made[0].end] == text


@pytest.mark.parametrize(
    "text",
    [
        "The car park holds 140 cars and is open all night.",  # a count of anything
        "Meetings take place on Article 5 and room 12 of the house.",
        "It lasts for 30 days after the last of them.",  # leans on what is before it
        "In 1987 the protocol was signed by all of them.",  # would have to be turned round
        "Der Antrag muss in 14 Tagen gestellt und nach 30 Tagen beschieden werden.",  # which of them?
        "The rate rose from 5 days to 8 days in all places.",  # which of them?
        "| The river Minho | is 300 kilometres long. |",
        "# The river Minho is 300 kilometres long.",
        "He said: “the river Minho is 300 kilometres long.”",
    ],
)
def test_what_makes_no_question_by_itself_makes_none(text: str) -> None:
    assert list(fact_questions(text)) == []


def test_what_a_document_asks_itself_is_a_question_where_an_answer_follows() -> None:
    text = """# Häufige Fragen

## Wie viele Tage Urlaub habe ich im Jahr?

Allen stehen 28 Tage zu.

**Wann muss ich den Antrag dafür stellen?**

Wer weiß?

勤続一年の社員には年に何日の休暇がありますか？

二十日あります。
"""
    made = {found.question: text[found.start : found.end] for found in own_questions(text)}
    assert made == {
        "Wie viele Tage Urlaub habe ich im Jahr?": "Allen stehen 28 Tage zu.",
        "勤続一年の社員には年に何日の休暇がありますか？": "二十日あります。",
    }


def test_where_a_model_writes_a_summary_is_still_made_of_proven_sentences(library: Library) -> None:
    """What the model invented is left out, though the answer says it, and the model is not asked to sum up."""
    with (
        FakeOllama([FakeModel("invents", mode="hallucinate")]) as server,
        Library.open(library.path, llm="ollama:invents", ollama_host=server.url, write=False) as written,
    ):
        answer = written.ask("How many bees does a hive hold in summer?")
        supports = {sentence.support for sentence in answer.sentences}
        assert answer.model == "ollama:invents" and {Support.UNSUPPORTED, Support.QUOTED} <= supports
        asked = len(server.sent("/api/chat"))
        told, about = conversation_summary("What was found?", [answer]), written.summary("bees.md")
        assert len(server.sent("/api/chat")) == asked
    assert told.sentences and {sentence.support for sentence in told.sentences} <= {Support.QUOTED, Support.SUPPORTED}
    assert all(sentence.text in answer.text for sentence in told.sentences) and all(s.citations for s in told.sentences)
    assert about.model == "quotes" and all(s.support is Support.QUOTED for s in about.sentences)
