"""Answers without a model: verbatim, at most four, in reading order, none twice."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag import Library
from rag.answer.compose import quoted_answer
from rag.answer.quoting.quoter import LIMIT, Quote, Quoter
from rag.answer.quoting.ranking import misspelt
from rag.language.questions import wanted_of
from rag.models.static import static_vectors
from rag.types import Hit, Passage, Support
from tests.answer.passages import hits, passage

QUOTER = Quoter(static_vectors())
HANDBOOK = (
    "# Handbook\n\nThe company was founded in Oslo in 1931. Full-time staff receive 28 days of paid annual leave a "
    "year. They must ask two weeks ahead. The canteen opens at noon. Dogs are not allowed in the canteen."
)


def ask(question: str, texts: Mapping[str, str] | str) -> list[Quote]:
    found = hits({"a.md": texts} if isinstance(texts, str) else texts)
    quotes = QUOTER.answer(question, found)
    for quote in quotes:
        inside = quote.passage.text[quote.start - quote.passage.start : quote.end - quote.passage.start]
        assert quote.text == inside and quote.text.strip() and 0 <= quote.score <= 1
    return quotes


@pytest.mark.parametrize(
    ("question", "best"),
    [
        ("How many days of leave do full-time staff get?", "28 days"),
        ("When was the company founded?", "1931"),
        ("Where was the company founded?", "Oslo"),
        ("When does the canteen open?", "noon"),
        ("Can I bring a dog to the canteen?", "Dogs are not allowed"),
    ],
)
def test_the_best_sentence_answers(question: str, best: str) -> None:
    assert best in ask(question, HANDBOOK)[0].text


def test_a_pronoun_takes_its_noun_along() -> None:
    quotes = ask("How early must leave be asked for?", HANDBOOK)
    holding = next(quote for quote in quotes if "two weeks ahead" in quote.text)
    assert holding.text.startswith("Full-time staff receive") and holding.text.endswith("two weeks ahead.")


def test_what_a_sentence_only_points_to_comes_along() -> None:
    text = (
        "The clinic is old. Hyperbaric medicine uses special oxygen chambers. Carbon monoxide poisoning is sometimes "
        "treated with these devices. The garden is open on Sundays."
    )
    (best, *_) = ask("What is carbon monoxide poisoning treated with?", text)
    assert best.text.startswith("Hyperbaric medicine uses special oxygen chambers.")
    (best, *_) = ask("When is the garden open?", text)
    assert best.text == "The garden is open on Sundays."


def test_a_table_row_comes_with_its_header() -> None:
    table = (
        "| City | Population | River |\n|---|---|---|\n| Oslo | 709,000 | Akerselva |\n| Bergen | 291,000 | Vosso |\n"
    )
    text = f"Cities of Norway\n\n{table}\nThe end of the list."
    (quote, *_) = quotes = ask("What is the population of Bergen?", text)
    assert quote.text == "| Bergen | 291,000 | Vosso |"
    assert quote.head and text[slice(*quote.head)] == "| City | Population | River |\n|---|---|---|"
    answer = quoted_answer("What is the population of Bergen?", quotes[:1], hits({"a.md": text}))
    assert answer.text == f"{text[slice(*quote.head)]}\n{quote.text} [1][2]"
    assert [answer.text[m.start : m.end] for m in answer.markers] == ["[1]", "[2]"]
    assert answer.sentences[0].citations == (0, 1)


def test_a_row_far_below_its_header_stands_alone() -> None:
    rows = "".join(f"| Town{n} | {n},000 |\n" for n in range(40))
    (quote, *_) = ask("What is the population of Town30?", f"| Town | Population |\n|---|---|\n{rows}")
    assert quote.text == "| Town30 | 30,000 |"
    assert quote.head == (0, len("| Town | Population |\n|---|---|"))


def test_headings_and_scraps_are_never_quoted() -> None:
    quotes = ask("annual leave", "# Annual leave\n\nLeave.\n\nStaff receive 28 days of annual leave every year.")
    assert [quote.text for quote in quotes] == ["Staff receive 28 days of annual leave every year."]


def test_what_is_said_twice_is_quoted_once() -> None:
    said = "Full-time staff receive 28 days of paid annual leave a year."
    quotes = ask(
        "How many days of annual leave?", {"a.md": said, "b.md": f"{said} More follows.", "c.md": f"Note: {said}"}
    )
    assert len(quotes) == 1


def test_another_document_is_quoted_when_it_answers_as_well() -> None:
    texts = {
        "a.md": "The harbour fee in Bergen is 40 crowns a day.",
        "b.md": "Since June the harbour fee in Bergen has been 55 crowns for each boat.",
        "c.md": "Boats are painted white.",
    }
    assert {q.passage.source for q in ask("What is the harbour fee in Bergen?", texts)} == {"a.md", "b.md"}


def test_reading_order_and_markers() -> None:
    text = "Fees rose in May. The fee for boats is 40 crowns. Boats moor at the pier. The fee for cars is 20 crowns."
    found = hits({"a.md": text})
    quotes = QUOTER.answer("What are the fees for boats and cars?", found)
    answer = quoted_answer("q", quotes, found)
    assert 2 <= len(quotes) <= LIMIT
    assert [c.start for c in answer.citations] == sorted(c.start for c in answer.citations)
    for number, (sentence, mark) in enumerate(zip(answer.sentences, answer.markers, strict=True), start=1):
        assert answer.text[sentence.start : sentence.end] == sentence.text == answer.citations[number - 1].quote
        assert answer.text[mark.start : mark.end] == f"[{number}]"
        assert sentence.support is Support.QUOTED and answer.citations[number - 1].origin == "quoted"


def test_a_sentence_cut_by_a_passages_edge_is_quoted_whole() -> None:
    text = (
        "The old bridge stands in the north. The harbour fee in Bergen is 40 crowns a day, as of June. Boats are white."
    )
    first = Passage(1, 1, "a.md", "", 0, 0, 60, text[:60])
    second = Passage(2, 1, "a.md", "", 1, 36, len(text), text[36:])
    quotes = QUOTER.answer("What is the harbour fee in Bergen?", [Hit(p, 1, 0.5, 1) for p in (second, first)])
    assert quotes[0].text == "The harbour fee in Bergen is 40 crowns a day, as of June."
    assert sum("harbour fee" in quote.text for quote in quotes) == 1


def test_in_doubt_about_the_document_only_the_best_is_quoted() -> None:
    apart = {
        name: f"{text} Much more is told of it in another place. It ends there."
        for name, text in {
            "a.md": "Ships from Bergen carry salted fish to the markets of Lisbon in autumn.",
            "b.md": "The mayor of Bergen opened a school for painters near the old church.",
            "c.md": "A storm in Bergen broke forty windows and the roof of a mill.",
            "d.md": "Bergen beat Oslo by three goals in a match that lasted two hours.",
        }.items()
    }
    assert len(ask("What about Bergen?", apart)) == 1


def test_nothing_to_quote() -> None:
    assert ask("What is the fee?", {}) == []
    assert ask("What is the fee?", "\n\n") == []
    assert ask("???", HANDBOOK) == []
    assert ask("What is the fee?", "# Fee") == []


TEXT = st.one_of(
    st.text(max_size=200),
    st.lists(
        st.sampled_from(
            ["The fee is 40 crowns. ", "He paid it in May 2019. ", "\n", "\n\n", "# Fees\n", "| a | fee |\n",
             "- item fee ", "Bergen ", "费用是四十。", "الرسوم أربعون. ", "\u202e", "\0", "fee" * 40, '"',
             "However, ", "\t", "1 2 3 4 5 "]
        ),
        max_size=25,
    ).map("".join),
)  # fmt: skip


@given(
    st.lists(TEXT, min_size=1, max_size=4), st.one_of(st.text(max_size=60), st.just("How much is the fee in Bergen?"))
)
@settings(max_examples=150)
def test_any_text_is_quoted_verbatim(texts: list[str], question: str) -> None:
    found = [Hit(passage(t, n, f"{n}.txt", start=n * 10_000), 1.5, 0.3, 1.0) for n, t in enumerate(texts, start=1)]
    quotes = QUOTER.answer(question, found)
    assert len(quotes) <= LIMIT
    spans = []
    for quote in quotes:
        source = texts[quote.passage.id - 1]
        begin = quote.passage.id * 10_000
        assert source[quote.start - begin : quote.end - begin] == quote.text != ""
        spans.append((quote.start, quote.end))
    spans.sort()
    assert all(a[1] <= b[0] for a, b in pairwise(spans))


def test_every_quote_of_a_library_is_in_its_document(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text(HANDBOOK * 30, encoding="utf-8")
    (tmp_path / "docs" / "b.txt").write_text("The harbour fee is 40 crowns.\r\n\r\nIt rose in May.", encoding="utf-8")
    with Library.open(tmp_path / "library", llm="quotes", embedder="builtin") as library:
        library.ingest([tmp_path / "docs"])
        for question in ("How many days of annual leave are there?", "What is the harbour fee?"):
            answer = library.ask(question)
            assert answer.citations and not answer.abstained
            for citation in answer.citations:
                assert library.text(citation.document_id)[citation.start : citation.end] == citation.quote


@pytest.mark.parametrize(
    ("question", "wanted"),
    [
        ("How many ships left?", "count"),
        ("How much did it cost?", "amount"),
        ("What percentage of staff left?", "percent"),
        ("How long is the bridge?", "measure"),
        ("When did it open?", "time"),
        ("In which year did it open?", "time"),
        ("Who wrote it?", "person"),
        ("Where was it built?", "place"),
        ("Why did it fall?", "reason"),
        ("How was it built?", "manner"),
        ("What is a stator?", "thing"),
        ("Is it open?", "whether"),
        ("When many people are arrested, what do they do?", "thing"),
        ("When the war ended, how many had died?", "count"),
        ("When the pumps were replaced?", "time"),
        ("From when to when is it open?", "time"),
    ],
)
def test_what_a_question_wants(question: str, wanted: str) -> None:
    assert wanted_of(question) == wanted


@pytest.mark.parametrize(
    ("one", "other", "near"),
    [
        ("shelley", "shelly", True),
        ("arpnet", "arpanet", True),
        ("norwga", "norwag", True),
        ("bergen", "bergem", True),
        ("bergen", "bergen", False),
        ("bergen", "lergen", False),
        ("iran", "iraq", False),
        ("bergen", "bergenes", False),
        ("mp3-a", "mp3-b", False),
    ],
)
def test_misspelt_words(one: str, other: str, near: bool) -> None:
    assert misspelt(one, other) is misspelt(other, one) is near


def test_the_same_words_with_another_number_are_not_the_same() -> None:
    texts = {"a.md": "The harbour fee is 40 crowns a day.", "b.md": "The harbour fee is 55 crowns a day."}
    assert len(ask("What is the harbour fee?", texts)) == 2
