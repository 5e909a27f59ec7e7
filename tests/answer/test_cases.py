"""Questions that went wrong once, asked of whole libraries in ``quotes`` mode."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rag.config import Config
from rag.library import Library
from rag.types import Answer, Outcome, Turn

CASES = Path(__file__).parents[3] / "shared" / "cases"


@pytest.fixture(scope="module")
def identifiers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """A company's overview, its error codes, its spare parts and the sheets of five stations."""
    if not (CASES / "ids").is_dir():
        pytest.skip(f"{CASES / 'ids'} is not there")
    home = tmp_path_factory.mktemp("identifiers")
    with Library.open(home, config=Config(llm="quotes", embedder="builtin")) as library:
        library.ingest(CASES / "ids")
        yield library


@pytest.mark.parametrize(
    "question",
    [
        "What does ERR-4045 mean?",
        "What does ERR4045 mean?",
        "What is the price of part AB-1234-Z?",
        "What happened on 1988-03-03?",
    ],
)
def test_what_no_document_names_is_not_in_them(identifiers: Library, question: str) -> None:
    answer = identifiers.ask(question)
    assert answer.abstained, answer.text
    assert "do not name" in answer.reason


@pytest.mark.parametrize(
    ("question", "said", "unsaid"),
    [
        (
            "What should I do on ERR4041?",
            "Check the solenoid wiring",
            ("ribbon cable", "impeller", "Let the unit cool"),
        ),
        ("What does ERR-4042 mean?", "The flow sensor reports no pulses", ("ribbon cable", "solenoid")),
        ("What does part AB1234X cost?", "41.20", ("12.90", "88.00")),
        ("How many AB-1243-X are in stock?", "| AB-1243-X | Bearing, 20 mm | 28.75 | 63 |", ("AB-1234-X", "QF7")),
        ("What is part 0042-17?", "| Part number | Description | Price (EUR) | Stock |", ("AB-1234-X", "QF7")),
        ("What happened on 1987-03-03?", "founded on 3 March 1987", ()),
        ("Who is Mehmet Yildiz?", "The treasurer is Mehmet Y\u0131ld\u0131z", ()),
    ],
)
def test_a_code_is_met_however_it_is_spelled_and_no_other_answers(
    identifiers: Library, question: str, said: str, unsaid: tuple[str, ...]
) -> None:
    answer = identifiers.ask(question)
    assert said in answer.text
    assert not [other for other in unsaid if other in answer.text]


def quotes(answer: Answer) -> list[str]:
    """What the answer quotes, each on one line."""
    return [" ".join(sentence.text.split()) for sentence in answer.sentences]


def test_a_bare_number_is_the_code_that_has_it(identifiers: Library) -> None:
    """Of 4043 its two sentences and nothing of its neighbours; of a number that no code has, nothing."""
    answer = identifiers.ask("error 4043")
    assert quotes(answer) == [
        "The motor temperature exceeded 95 °C.", "Let the unit cool for 30 minutes before restarting.",
    ]  # fmt: skip
    absent = identifiers.ask("error 4045")
    assert absent.outcome is Outcome.ABSENT and "do not name 4045" in absent.reason


def test_the_station_that_delivers_most_is_found_among_all(identifiers: Library) -> None:
    answer = identifiers.ask("Which station delivers the most water?")
    assert answer.outcome is Outcome.ANSWERED and answer.disagreements == ()
    (quoted,) = quotes(answer)
    assert "Elm" in quoted and "650 cubic metres" in quoted


def test_of_a_part_its_row_is_answered_and_no_other(identifiers: Library) -> None:
    answer = identifiers.ask("What does part AB1234X cost?")
    assert answer.outcome is Outcome.ANSWERED
    (row,) = [sentence for sentence in answer.sentences if "|" in sentence.text]
    assert "41.20" in row.text and "12.90" not in row.text and "28.75" not in row.text


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("Who is Mehmet Yildiz?", "The treasurer is Mehmet Y\u0131ld\u0131z."),
        ("What happened on 1987-03-03?", "founded"),
    ],
)
def test_a_name_and_a_day_spelled_otherwise_are_answered(identifiers: Library, question: str, said: str) -> None:
    answer = identifiers.ask(question)
    assert answer.outcome is Outcome.ANSWERED and any(said in quote for quote in quotes(answer))


def test_a_conversation_answers_each_question_as_if_asked_alone(identifiers: Library) -> None:
    """Answered, answered, answered, refused, and no search for thanks."""
    first = "How many samples does the laboratory analyse per year?"
    earlier = [Turn(first, identifiers.ask(first).text)]
    for question in ("Who is the treasurer?", "What is the MTBF?", "What is the nitrate limit?"):
        answer, alone = identifiers.ask(question, history=earlier), identifiers.ask(question)
        assert (answer.text, answer.outcome) == (alone.text, alone.outcome)
        assert answer.citations, question
        earlier.append(Turn(question, answer.text))
    assert identifiers.ask("What is photosynthesis?", history=earlier).outcome is Outcome.ABSENT
    thanks = identifiers.ask("Thanks!", history=earlier)
    assert thanks.hits == () and "nothing was searched" in thanks.text


@pytest.mark.parametrize("question", ["Which station delivers the most water?", "How much head does a station have?"])
def test_the_sheets_of_different_things_are_no_disagreement(identifiers: Library, question: str) -> None:
    assert identifiers.ask(question).disagreements == ()


def test_a_decision_and_its_withdrawal_are_a_change_with_both_dates(tmp_path: Path) -> None:
    if not (CASES / "conflict").is_dir():
        pytest.skip(f"{CASES / 'conflict'} is not there")
    with Library.open(tmp_path, config=Config(llm="quotes", embedder="builtin")) as library:
        library.ingest(CASES / "conflict")
        answer = library.ask("When does the Hamburg warehouse close?")
    (change,) = answer.disagreements
    assert change.changed
    assert [claim.date for claim in change.claims] == ["2024-05-06", "2024-06-03"]
    assert "31 October 2024" in change.claims[0].value
    assert "31 March 2025" in change.claims[1].value


FEES = {
    "fees.md": "# Fees\n\nThe late fee for 2022 is 12 euros. The late fee for 2023 is 15 euros.\n",
    "2022/report.md": "# Report\n\nThe audit found 17 open invoices.\n",
    "2023/report.md": "# Report\n\nThe audit found 23 open invoices.\n",
}


@pytest.fixture(scope="module")
def years(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """Fees and reports of two years."""
    home = tmp_path_factory.mktemp("years")
    for name, text in FEES.items():
        path = home / "documents" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    with Library.open(home / "library", config=Config(llm="quotes", embedder="builtin")) as library:
        library.ingest(home / "documents")
        yield library


@pytest.mark.parametrize(
    ("question", "said", "unsaid"),
    [
        ("What is the late fee for 2023?", "15 euros", "12 euros"),
        ("What is the late fee for 2022?", "12 euros", "15 euros"),
        ("How many open invoices did the audit of 2022 find?", "17 open", "23 open"),
        ("How many open invoices did the audit of 2023 find?", "23 open", "17 open"),
    ],
)
def test_a_year_in_the_question_binds(years: Library, question: str, said: str, unsaid: str) -> None:
    text = years.ask(question).text
    assert said in text and unsaid not in text


def test_another_years_fee_is_no_answer(years: Library) -> None:
    assert "euros" not in years.ask("What is the late fee for 2031?").text


def test_of_several_codes_the_missing_one_is_named(identifiers: Library) -> None:
    answer = identifiers.ask("What do ERR-4041 and ERR-4999 mean?")
    assert "inlet valve" in answer.text
    assert any("ERR-4999" in notice for notice in answer.notices)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """A collection for each folder of the cases that holds documents of one kind."""
    if not CASES.is_dir():
        pytest.skip(f"{CASES} is not there")
    home = tmp_path_factory.mktemp("pages")
    with Library.open(home, config=Config(llm="quotes", embedder="builtin")) as library:
        for name in ("pdf", "html", "samename"):
            library.ingest(CASES / name, collection=name)
        library.ingest(CASES / "html" / "boilerplate.html", collection="boilerplate")
        yield library


@pytest.mark.parametrize(
    ("collection", "question", "said", "unsaid"),
    [
        ("samename", "How many open invoices did the audit of 2022 find?", ("14 open invoices",), ("2023",)),
        ("pdf", "How much power does the photovoltaic roof deliver?", ("photovoltaic roof delivers sixty",), ()),
        (
            "pdf",
            "Where is the spare mantle kept?",
            ("kept in the blue cupboard under the stairs, next to the oil can.",),
            (),
        ),
        ("pdf", "What is the name of the boat?", ("Sea Thistle",), ()),
        ("pdf", "When will the pond be drained?", ("drained in August", "drained in September"), ()),
        ("pdf", "When was the bridge opened?", ("opened in 1932",), ("19322",)),
        ("html", "When is the last South ferry?", ("| South | 07:00 | 23:00 |",), ("Home", "Sport", "21:30", "7:15")),
        ("html", "How many buoys?", ("10^3 buoys",), ()),
        ("boilerplate", "Where will the old crane be shown?", ("museum beside the lock",), ("cookies", "Subscribe")),
    ],
)
def test_what_was_asked_of_a_page(
    pages: Library, collection: str, question: str, said: tuple[str, ...], unsaid: tuple[str, ...]
) -> None:
    answer = pages.ask(question, collection=collection)
    text = " ".join(answer.text.split())
    assert all(one in text for one in said), answer.text
    assert not any(one in text for one in unsaid), answer.text
    assert answer.outcome is not Outcome.ABSENT


MINUTES = """# Minutes of the board, 14 May 2024

Present: Ingrid Olsen (chair), Tomas Berg, Priya Nair, Luca Conti. Apologies: Karin Holm.

1. The minutes of 9 April were approved without changes.
2. Tomas Berg reported that the move to the new office in Gothenburg is on schedule.
3. The budget for the spring campaign was raised to 42,000 EUR.
4. The proposal to hire a second accountant was postponed until the autumn.
"""
SHOP = """# Questions about our shop

How many articles are there in the shop? There are about 4,000 articles in the shop, and 600 in the outlet.

Do articles cost more in the shop than online? No article costs more in the shop than online. Articles that cost less \
than 20 EUR are not sent by express.

Are there articles for less than 10 EUR? In the outlet many articles cost less than 10 EUR.

How long is the warranty? All articles have a warranty of two years.
"""
ARTICLES = "Article,Price (EUR),Stock\nDesk,349.00,12\nChair,189.00,30\nShelf,99.00,7\nSofa,1290.00,1\nTable,620.00,2\n"
HANDBOOK = """# Staff handbook

## Pay

Salaries are paid on the 25th of each month. The payslip is sent by e-mail on the 23rd.

## Sickness

Report sick before 9:00 on the first day. A doctor's certificate is needed from the third day on.
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """Collections of a page or two each, as people try the program with."""
    home = tmp_path_factory.mktemp("small")
    with Library.open(home / "library", config=Config(llm="quotes", embedder="builtin")) as library:
        for collection, texts in {
            "minutes": {"minutes.md": MINUTES},
            "shop": {"faq.md": SHOP, "articles.csv": ARTICLES},
            "staff": {"handbook.md": HANDBOOK},
        }.items():
            folder = home / collection
            folder.mkdir()
            for name, text in texts.items():
                (folder / name).write_text(text, encoding="utf-8")
            library.ingest(folder, collection=collection)
        yield library


@pytest.mark.parametrize(
    ("collection", "question"),
    [
        ("minutes", "What happened to the order backlog?"),
        ("minutes", "Who is the treasurer?"),
        ("staff", "How long is the notice period?"),
        ("staff", "What is the pension contribution?"),
    ],
)
def test_a_page_that_does_not_say_it_is_not_quoted_as_if_it_did(small: Library, collection: str, question: str) -> None:
    assert small.ask(question, collection=collection).outcome is not Outcome.ANSWERED


@pytest.mark.parametrize(
    ("collection", "question", "said"),
    [
        ("staff", "When is the payslip sent?", ["The payslip is sent by e-mail on the 23rd."]),
        (
            "staff",
            "When is a doctor's certificate needed?",
            ["A doctor's certificate is needed from the third day on."],
        ),
        ("shop", "How long is the warranty?", ["All articles have a warranty of two years."]),
    ],
)
def test_of_a_page_the_sentence_that_answers_is_quoted(
    small: Library, collection: str, question: str, said: list[str]
) -> None:
    answer = small.ask(question, collection=collection)
    assert answer.outcome is Outcome.ANSWERED and set(said) <= set(quotes(answer))


def test_a_table_is_counted_though_sentences_beside_it_speak_of_the_like(small: Library) -> None:
    answer = small.ask("How many articles cost less than 300 EUR?", collection="shop")
    assert "Of 5 rows of this kind, 2 less than 300 EUR" in answer.text
    assert all("Shelf" in quote or "Chair" in quote for quote in quotes(answer)) and len(answer.sentences) == 2


def test_a_sentence_over_two_pages_is_told_with_both(pages: Library) -> None:
    answer = pages.ask("Where is the spare mantle kept?", collection="pdf")
    assert any("3-4 (printed 1-2)" in citation.place for citation in answer.citations)


def test_files_of_one_name_are_documents_of_their_own(pages: Library, tmp_path: Path) -> None:
    assert len(pages.sources("samename")) == 2
    with Library.open(tmp_path, config=Config(llm="quotes", embedder="builtin")) as library:
        for name in ("a", "b"):
            library.ingest(CASES / "twins" / name)
        assert len(library.sources()) == 2


def test_three_figures_for_one_thing_are_told_against_each_other(tmp_path: Path) -> None:
    """They are sentences of one kind, which are listed; what they say of one thing is compared all the same."""
    with Library.open(tmp_path, config=Config(llm="quotes", embedder="builtin")) as library:
        for name, number in (("web", 140), ("press", 180), ("chamber", 165)):
            library.add(f"Fabrik Noll has {number} employees.", source=f"noll-{name}.md")
        (found,) = library.ask("How many employees does Fabrik Noll have?").disagreements
        assert {claim.source for claim in found.claims} == {"noll-web.md", "noll-press.md", "noll-chamber.md"}
