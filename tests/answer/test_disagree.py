"""Sources that contradict each other are named; sources that do not are left alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from rag import Library
from rag.answer.compose import quoted_answer
from rag.answer.disagree import disagreements
from rag.answer.quotes import Quote
from rag.answer.verify import Verifier
from rag.models.static import static_vectors
from rag.types import Disagreement
from tests.answer.passages import hits

VERIFIER = Verifier(static_vectors())
SEEDS = Path(__file__).parents[2] / "seeds"


FEES = {
    "a.md": "The harbour fee in Bergen is 40 crowns a day.",
    "b.md": "The harbour fee in Bergen is 55 crowns a day.",
}


def between(texts: Mapping[str, str]) -> tuple[Disagreement, ...]:
    """What is found when the whole first text is quoted and the others are among the hits."""
    found = hits(texts)
    first = found[0].passage
    answer = quoted_answer("q", [Quote(first, first.start, first.end, 1.0)], found)
    return disagreements(answer.sentences, answer.citations, found)


# Two sources, and the values that must be shown; in both orders.
DIFFERENT = (
    (FEES["a.md"], FEES["b.md"], "40 crowns", "55 crowns"),
    ("The old bridge in Narvik opened in 1931.", "The old bridge in Narvik opened in 1934.", "1931", "1934"),
    ("The mill in Moss employs 1,200 people.", "The mill in Moss employs 900 people.", "1,200 people", "900 people"),
    ("Turnover of the mill fell by 12 percent.", "Turnover of the mill fell by 9 percent.", "12 percent", "9 percent"),
    ("The ferry to Moss leaves on 3 May 2019.", "The ferry to Moss leaves on 5 May 2019.", "3 May 2019", "5 May 2019"),
    ("The council approved the new harbour plan.", "The council did not approve the new harbour plan.",
     "The council approved the new harbour plan.", "The council did not approve the new harbour plan."),
    ("The price of salted fish in Bergen increased.", "The price of salted fish in Bergen decreased.",
     "The price of salted fish in Bergen increased.", "The price of salted fish in Bergen decreased."),
)  # fmt: skip


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("one", "other", "first", "second"), DIFFERENT)
def test_a_contradiction_is_told_with_both_sides(one: str, other: str, first: str, second: str, turned: bool) -> None:
    texts = {"a-2019-05-01.md": one, "b.md": other}
    if turned:
        texts, first, second = dict(reversed(texts.items())), second, first
    (found,) = between(texts)
    assert [claim.value for claim in found.claims] == [first, second]
    assert [claim.source for claim in found.claims] == list(texts)
    assert {claim.source: claim.date for claim in found.claims} == {"a-2019-05-01.md": "2019-05-01", "b.md": ""}
    assert [claim.citation.marker for claim in found.claims] == [1, 2]
    assert found.subject
    for claim in found.claims:
        assert texts[claim.source][claim.citation.start : claim.citation.end] == claim.citation.quote


AGREEING = (
    ("The harbour fee in Bergen is 40 crowns a day.", "The harbour fee in Bergen is forty crowns a day."),
    ("The harbour fee in Bergen is 40 crowns a day.", "The harbour fee in Oslo is 55 crowns a day."),
    ("The harbour fee in Bergen is 40 crowns a day.", "The harbour fee in Bergen is 200 crowns a week."),
    ("The old bridge in Narvik opened in 1931.", "The new bridge in Narvik opened in 1994."),
    ("The old bridge in Narvik opened in 1931.", "The old bridge in Narvik opened in June 1931."),
    ("The factory in Halden employed 1,200 people in 2018.", "The factory in Halden employed 900 people in 2021."),
    ("Net sales in the first quarter were 12 million.", "Net sales in the second quarter were 14 million."),
    ("Full-time staff get 28 days of annual leave.", "Part-time staff get 15 days of annual leave."),
    ("The ferry leaves at 9 and costs 30 crowns.", "The ferry leaves at 9 and has 30 seats."),
    ("The council approved the new harbour plan.", "The council had not expected to approve the new harbour plan."),
    ("The council approved the new harbour plan.", "The council approved the new harbour plan in 2019."),
    ("The price of salted fish in Bergen increased.", "The price of fresh meat in Narvik decreased."),
    ("The council rejected the harbour plan.", "The council did not approve the harbour plan."),
    ("It rose to 40.", "It rose to 50."),
    ("| Oslo | 709 |", "| Oslo | 291 |"),
)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("one", "other"), AGREEING)
def test_sources_that_agree_or_speak_of_something_else_give_no_alarm(one: str, other: str, turned: bool) -> None:
    assert between({"b.md": other, "a.md": one} if turned else {"a.md": one, "b.md": other}) == ()


def test_one_document_does_not_disagree_with_itself() -> None:
    text = "The harbour fee in Bergen is 40 crowns a day. The harbour fee in Bergen is 55 crowns a day."
    assert between({"a.md": text}) == ()


def test_only_sentences_that_are_backed_are_compared() -> None:
    found = hits(
        {
            "a.md": "The harbour fee in Bergen is 40 crowns a day.",
            "b.md": "The harbour fee in Bergen is 55 crowns a day.",
        }
    )
    right = VERIFIER.verify("The harbour fee in Bergen is 40 crowns a day [1].", found)
    assert len(disagreements(right.sentences, right.citations, found)) == 1
    wrong = VERIFIER.verify("The harbour fee in Bergen is 70 crowns a day [1].", found)
    assert disagreements(wrong.sentences, wrong.citations, found) == ()


def test_both_sides_cited_are_told_once_with_the_answers_own_markers() -> None:
    found = hits(
        {
            "a.md": "The harbour fee in Bergen is 40 crowns a day.",
            "b.md": "The harbour fee in Bergen is 55 crowns a day.",
        }
    )
    done = VERIFIER.verify(
        "The harbour fee in Bergen is 55 crowns a day [2]. The harbour fee in Bergen is 40 crowns a day [1].", found
    )
    (only,) = disagreements(done.sentences, done.citations, found)
    assert [(c.source, c.citation.marker) for c in only.claims] == [("b.md", 1), ("a.md", 2)]


@pytest.fixture(scope="module")
def briefs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    with Library.open(tmp_path_factory.mktemp("briefs") / "library", llm="quotes", embedder="builtin") as library:
        library.ingest([SEEDS])
        yield library


def test_the_sample_corpus_raises_no_false_alarm(briefs: Library) -> None:
    """Its authors differ in views and in what they count, never in a value of the same thing."""
    for question in (
        "How long was Khan's visit to the United States to last?",
        "What is Pakistan's rank by population?",
        "When was security assistance suspended?",
        "How many terrorist attacks were there in Pakistan in 2022?",
        "How many people has Pakistan lost to terrorism?",
        "Are relations between the United States and Pakistan getting better?",
    ):
        answer = briefs.ask(question)
        assert not answer.abstained and answer.disagreements == (), question
