"""Sources that contradict each other are named; sources that do not are left alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from rag import Library
from rag.answer.compose import quoted_answer
from rag.answer.conflicts.changes import changes
from rag.answer.conflicts.disagreements import disagreements
from rag.answer.conflicts.statement import statements_of
from rag.answer.quoting import Quote
from rag.answer.verify import Verifier
from rag.commands.terminal import answer_text
from rag.models.static import static_vectors
from rag.types import Disagreement
from tests.answer.passages import hits, passage
from tests.fake_ollama import FakeModel, FakeOllama

VERIFIER = Verifier(static_vectors())
SEEDS = Path(__file__).parents[3] / "seeds"


FEES = {
    "a.md": "The harbour fee in Bergen is 40 crowns a day.",
    "b.md": "The harbour fee in Bergen is 55 crowns a day.",
}


def between(texts: Mapping[str, str], question: str = "") -> tuple[Disagreement, ...]:
    """What is found when the whole first text is quoted and the others are among the hits."""
    found = hits(texts)
    first = found[0].passage
    answer = quoted_answer(question or "q", [Quote(first, first.start, first.end, 1.0)], found)
    return disagreements(answer.sentences, answer.citations, found, question)


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


# A question and what two sources say on it in words of their own; the values that must be shown.
IN_OTHER_WORDS = (
    ("How many people did the Danford flood kill?", "The Danford flood killed 212 people, according to the Red Cross.",
     "In the Danford flood, 340 people lost their lives.", "212 people", "340 people"),
    ("When did the Corran bridge open?", "The Corran bridge was opened to traffic in 1934 by the king.",
     "Crossing the bay takes two minutes since the Corran bridge opened in 1931.", "1934", "1931"),
    ("By how much did sales of the Brio bicycle fall?", "Sales of the Brio bicycle fell by 12 percent.",
     "According to dealers, Brio bicycle sales dropped by 20 percent.", "12 percent", "20 percent"),
    ("What is the population of Ostend Bay?", "Ostend Bay has a population of 48,000.",
     "61,000 people live in Ostend Bay.", "48,000", "61,000 people"),
    ("What is the maximum load of the Corvo lift?", "Corvo lift, maximum load: 450 kg",
     "The Corvo lift has a maximum load of 600 kg.", "450 kg", "600 kg"),
    ("Who designed the Osprey theatre?", "The Osprey theatre was designed by Karin Holt and finished in three years.",
     "Ben Adeyemi designed the Osprey theatre after a visit to Japan.", "Karin Holt", "Ben Adeyemi"),
    ("Who won the 1994 Brava cup?", "The 1994 Brava cup was won by Lunden.",
     "Sorrel won the 1994 Brava cup after extra time.", "Lunden", "Sorrel"),
    ("What is the capital of Merova?", "The capital of Merova is Stell.", "Merova's capital is Anders.",
     "Stell", "Anders"),
    ("Who discovered the element tellarium?", "Tellarium was discovered by Hans Birk in 1871.",
     "Tellarium was discovered by Olga Stern in 1874.", "Hans Birk", "Olga Stern"),
    ("How many victims did the epidemic claim?", "The epidemic claimed 4,000 victims.",
     "The epidemic killed 6,500 people.", "4,000 victims", "6,500 people"),
    ("What percentage of the budget goes to schools?", "Schools receive 34% of the budget.",
     "27% of the budget goes to schools.", "34%", "27%"),
    ("How long is the river Sava Minor?", "The river Sava Minor is 320 km long.",
     "With a length of 410 kilometres the river Sava Minor is the longest there.", "320 km", "410 kilometres"),
    ("Does vitamin D prevent colds?", "Vitamin D prevents colds.", "Vitamin D does not prevent colds.",
     "Vitamin D prevents colds.", "Vitamin D does not prevent colds."),
    ("Did the company make a profit in 2020?", "In 2020 the company made a profit.", "In 2020 the company made a loss.",
     "In 2020 the company made a profit.", "In 2020 the company made a loss."),
    ("Is coffee good for the heart?", "Coffee is good for the heart.", "Coffee is bad for the heart.",
     "Coffee is good for the heart.", "Coffee is bad for the heart."),
    ("Is air quality in Lomond getting better or worse?", "Air quality in Lomond has been improving, the agency says.",
     "Residents say that the air quality in Lomond is getting worse every winter.",
     "Air quality in Lomond has been improving, the agency says.",
     "Residents say that the air quality in Lomond is getting worse every winter."),
    ("Does the Merle contract include maintenance?",
     "Maintenance is included in the Merle contract for the whole term.",
     "The Merle contract does not include maintenance; it has to be ordered separately.",
     "Maintenance is included in the Merle contract for the whole term.",
     "The Merle contract does not include maintenance; it has to be ordered separately."),
)  # fmt: skip


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("question", "one", "other", "first", "second"), IN_OTHER_WORDS)
def test_a_contradiction_in_other_words_is_told(
    question: str, one: str, other: str, first: str, second: str, turned: bool
) -> None:
    texts = {"a.md": one, "b.md": other}
    (found,) = between(dict(reversed(texts.items())) if turned else texts, question)
    assert {claim.source: claim.value for claim in found.claims} == {"a.md": first, "b.md": second}


# Each pair differs in what the sentences are about, however alike they are.
LOOKALIKES = (
    ("What did the Norton bridge cost?", "The Norton bridge was planned to cost 30 million euros.",
     "The Norton bridge cost 41 million euros."),
    ("How many people live in Pernu?", "About 5 million people live in Pernu.", "5.02 million people live in Pernu."),
    ("How many books does the Quint library hold?", "The Quint library holds more than 70,000 books.",
     "The Quint library holds 72,415 books."),
    ("What is the speed limit on Tanner Road?", "Until 2019 the speed limit on Tanner Road was 60 km/h.",
     "Since 2019 the speed limit on Tanner Road has been 40 km/h."),
    ("Is swimming allowed in the Clune lake?", "Swimming is allowed in the Clune lake in summer.",
     "Swimming is not allowed in the Clune lake in winter."),
    ("Are dogs allowed in the Dunmore park?", "Dogs on a leash are allowed in the Dunmore park.",
     "Dogs without a leash are not allowed in the Dunmore park."),
    ("How much did the Ebert fund grow?", "The Ebert fund grew by 4 percent.", "The Ebert fund grew to 9 percent."),
    ("How big is the Farrow estate?", "The Farrow estate has 300 hectares of forest.",
     "The Farrow estate has 90 hectares of meadow."),
    ("How many passengers were on the Mistral?", "The Mistral carried 310 passengers.",
     "The Mistral carried 45 first-class passengers."),
    ("How many visitors did the Aster museum have?", "In 2018 the Aster museum had 40,000 visitors.",
     "In 2019 the Aster museum had 52,000 visitors."),
    ("Who chairs the Upton council?", "In 2015 the chair of the Upton council was Mary Lowe.",
     "Since 2021 the chair of the Upton council has been Peter Nash."),
    ("Who is the head of the Bentham lab?", "The head of the Bentham lab is Nina Ross.",
     "The deputy head of the Bentham lab is Carl Moe."),
    ("Who works at the Gosling institute?", "Anna Reid is a researcher at the Gosling institute.",
     "Tom Falk is a researcher at the Gosling institute."),
    ("When was the Weir mill built?", "The Weir mill was built in 1820.", "The Weir mill burnt down in 1871."),
    ("Did the Boyle party accept the budget?", "The Boyle party accepted the budget.",
     "The Boyle party rejected the tax."),
    ("Who founded the party?", "The Green party was founded by Ana Lim.", "The Blue party was founded by Max Orr."),
    ("Does the drug help?", "The drug helps against fever.", "The drug does not help against cough."),
    ("How many visitors came?", "The exhibition had 4,000 visitors on the first day.",
     "The exhibition had 61,000 visitors."),
    ("What did the minister say about the Lenz affair?", "The minister denied any part in the Lenz affair.",
     "The minister was questioned about the Lenz affair for six hours."),
    ("What does the Jessop device measure?", "Contrary to cheaper devices, the Jessop device measures humidity.",
     "The Jessop device measures humidity and heat."),
)  # fmt: skip


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("question", "one", "other"), LOOKALIKES)
def test_what_only_looks_alike_gives_no_alarm(question: str, one: str, other: str, turned: bool) -> None:
    assert between({"b.md": other, "a.md": one} if turned else {"a.md": one, "b.md": other}, question) == ()


def test_reports_on_two_quarters_do_not_disagree() -> None:
    texts = {
        "2022 Q3 X.pdf": "Cloud revenue increased to $27.1 billion.",
        "2023 Q1 X.pdf": "Cloud revenue increased to $28.5 billion.",
    }
    assert between(texts, "How did cloud revenue change?") == ()
    assert (
        len(
            between({"a.pdf": texts["2022 Q3 X.pdf"], "b.pdf": texts["2023 Q1 X.pdf"]}, "How did cloud revenue change?")
        )
        == 1
    )


def test_three_sources_are_one_disagreement_with_every_value() -> None:
    texts = {
        name: f"The Ando tank holds {litres} litres." for name, litres in (("a.md", 500), ("b.md", 550), ("c.md", 620))
    }
    (found,) = between(texts, "How many litres does the Ando tank hold?")
    assert [(c.source, c.value) for c in found.claims] == [
        ("a.md", "500 litres"),
        ("b.md", "550 litres"),
        ("c.md", "620 litres"),
    ]


REPORTED = (
    ("How old is the oak of Fenwick?", "Experts disagree about the age of the oak of Fenwick: some say 600 years."),
    ("Who wrote the Tolland chronicle?",
     "The catalogue names Aldo as author of the Tolland chronicle, but a letter of 1312 contradicts this."),
    ("Was the bell of Ruden cast in Riga?",
     "The parish book says that the bell of Ruden was cast in Riga; the restorer considers this mistaken."),
    ("Is Chabahar one of Pakistan's ports?",
     "Gorka names Chabahar as a seaport of Pakistan, and this is an error: a reader points out that it is Iran's."),
    ("Did the Orban wall fall because of rain?", "The mason denies that the Orban wall fell because of rain."),
)  # fmt: skip


@pytest.mark.parametrize(("question", "text"), REPORTED)
def test_what_a_document_itself_reports_is_told_by_its_words(question: str, text: str) -> None:
    (found,) = between({"notes 2020-02-01.md": text}, question)
    assert [(c.source, c.date, c.value) for c in found.claims] == [("notes 2020-02-01.md", "2020-02-01", text)]


def test_a_denial_stands_beside_what_it_denies() -> None:
    texts = {"mason.md": "The mason denies that the Orban wall fell because of rain.",
             "inspector.md": "The inspector says that the Orban wall fell because of rain."}  # fmt: skip
    (found,) = between(texts, "Why did the Orban wall fall?")
    assert {claim.source for claim in found.claims} == set(texts)


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("Who owns the Ivor shipyard?",
         "The Ivor shipyard, whose owner Lars Bruun denies any wrongdoing, builds ferries."),
        ("Why did the founders of Mosel Bikes part?",
         "The founders of Mosel Bikes parted as they disagreed over money."),
        ("Do the figures for attacks and lives match?",
         "The 1,007 attacks and the 77,000 lives that Mammadov gives measure different things and cannot be compared."),
        ("What fuel does the engine use?", "The engine uses ethanol, a choice that experts disputed for years."),
    ],
)  # fmt: skip
def test_a_quarrel_a_denial_aside_or_an_explained_difference_is_no_disagreement(question: str, text: str) -> None:
    assert between({"a.md": text}, question) == ()


@pytest.fixture(scope="module")
def briefs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    # Eight passages: what is not found cannot be compared, and that is the retrieval's matter.
    folder = tmp_path_factory.mktemp("briefs") / "library"
    with Library.open(folder, llm="quotes", embedder="builtin", top_k=8) as library:
        library.ingest([SEEDS])
        yield library


KNOWN = (
    ("Is Chabahar really one of Pakistan's ports?", {"khan-election-and-moscow.md"}),
    ("Are US-Pakistani relations getting better or worse?",
     {"new-us-pakistan-relationship.md", "khan-visit-to-washington.md"}),
    ("Do the Taliban have sanctuaries in Pakistan, or is that denied?",
     {"new-us-pakistan-relationship.md", "afghanistan-end-state-collage.md"}),
    ("Is Imran Khan still prime minister in the page about the new relationship?", {"new-us-pakistan-relationship.md"}),
    ("Are the Taliban winning or past their best?",
     {"widening-rift-trump-khan.md", "afghanistan-end-state-collage.md"}),
    ("What is Khan's reputation, according to Gorka and to the reader who disagrees?", {"khan-election-and-moscow.md"}),
    ("Do the White House and the Pentagon take the same tone on Pakistan?", {"widening-rift-trump-khan.md"}),
)  # fmt: skip


@pytest.mark.parametrize(("question", "sources"), KNOWN)
def test_what_the_sample_corpus_is_known_to_disagree_on_is_told(
    briefs: Library, question: str, sources: set[str]
) -> None:
    (found,) = briefs.ask(question).disagreements
    assert {claim.source for claim in found.claims} == sources


def test_the_sample_corpus_raises_no_false_alarm(briefs: Library) -> None:
    """Its authors never differ in a value of the same thing."""
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


def test_a_models_answer_tells_it_too(tmp_path: Path) -> None:
    """Whatever side a model cites, the other one is named with its file and its date."""
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "handbook-2019.md").write_text("Employees of Norvik Ltd get 25 days of annual leave.\n", "utf-8")
    (folder / "intranet 2022-05-01.md").write_text("Staff of Norvik Ltd have 28 days of annual leave.\n", "utf-8")
    with FakeOllama([FakeModel("chat-honest")]) as server:
        with Library.open(
            tmp_path / "library", llm="ollama:chat-honest", embedder="builtin", ollama_host=server.url
        ) as library:
            library.ingest([folder])
            answer = library.ask("How many days of annual leave do employees of Norvik Ltd get?")
    (found,) = answer.disagreements
    assert {(claim.source, claim.date, claim.value) for claim in found.claims} == {
        ("handbook-2019.md", "2019", "25 days"),
        ("intranet 2022-05-01.md", "2022-05-01", "28 days"),
    }
    assert "2022-05-01): 28 days" in answer_text(answer) and "2019): 25 days" in answer_text(answer)


def test_the_same_line_of_two_products_sheets_is_no_disagreement() -> None:
    texts = {
        "solano.md": "# Solano pump\n\n- Weight: 12 kg\n- Warranty: 24 months\n",
        "marla.md": "# Marla pump\n\n- Weight: 9 kg\n- Warranty: 36 months\n",
    }
    assert between(texts, "What is the warranty of the Solano pump?") == ()
    texts["solano-2020.md"] = "# Solano pump\n\n- Warranty: 36 months\n"
    (found,) = between(texts, "What is the warranty of the Solano pump?")
    assert [(c.source, c.value) for c in found.claims] == [("solano.md", "24 months"), ("solano-2020.md", "36 months")]


def test_a_reported_sentence_is_shown_on_one_line_without_its_bullet_and_cited_as_it_stands() -> None:
    text = (
        "- Experts disagree about the age of the oak of Fenwick:\n  some say 600 years, "
        + "or even more, " * 20
        + "others 900."
    )
    (found,) = between({"oak.md": text}, "How old is the oak of Fenwick?")
    (claim,) = found.claims
    assert claim.value.startswith(
        "Experts disagree about the age of the oak of Fenwick: some say"
    ) and claim.value.endswith(" …")
    assert len(claim.value) <= 242 and claim.citation.quote == text[claim.citation.start : claim.citation.end]


def test_a_question_after_the_thing_itself_is_answered_by_the_correction_alone(briefs: Library) -> None:
    answer = briefs.ask("Which port did the article wrongly call Pakistani?")
    assert "Chabahar" in answer.text and answer.disagreements == ()
    text = "The map shows the Elm mill in Norvik, and this is an error: a reader points out that it stands in Halden."
    assert between({"map.md": text}, "Which mill does the map wrongly show in Norvik?") == ()
    assert len(between({"map.md": text}, "Does the Elm mill stand in Norvik?")) == 1


DATED = ("minutes 2024-05-06.md", "minutes 2024-06-03.md")


def test_a_date_that_lay_ahead_is_changed_by_the_later_of_two_dated_documents() -> None:
    pairs = [(DATED[0], "The Hamburg warehouse closes on 31 October 2024."),
             (DATED[1], "The Hamburg warehouse stays open until 31 March 2025.")]  # fmt: skip
    for order in (pairs, pairs[::-1]):
        (found,) = between(dict(order), "When does the Hamburg warehouse close?")
        assert found.changed and [claim.source for claim in found.claims] == list(DATED)


def test_a_date_that_had_come_by_then_is_not_changed_by_the_next_one() -> None:
    question, said = "When is the next meeting of the Elm club?", "The next meeting of the Elm club is on {} 2024."
    earlier, put_off, later = (
        next(statements_of(passage(said.format(day), source=source)))
        for source, day in ((DATED[0], "3 June"), (DATED[0], "10 June"), (DATED[1], "1 July"))
    )
    assert changes(put_off, later, question) and not changes(earlier, later, question)
