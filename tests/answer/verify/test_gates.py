"""Each gate: a sentence that differs from its source in one respect never passes, one that does not differ may."""

from __future__ import annotations

import pytest

from rag.answer.verify.evidence import Reader
from rag.answer.verify.gates import Gates, gates
from rag.answer.verify.verifier import Verifier
from rag.models.static import static_vectors
from rag.types import Support
from tests.answer.passages import passage

READER = Reader(static_vectors())
VERIFIER = Verifier(static_vectors())


def held(claim: str, text: str, context: str = "", question: str = "") -> Gates:
    """The gates of a claim against the window of ``text`` that supports it best."""
    taken = READER.claim(claim)
    return gates(taken, READER.windows(taken, READER.source(text))[0], f"{context}\n{text}", question)


PLANT = "The cooling pumps of the Halden plant were replaced in March 2019 at a cost of 4.2 million crowns."
STAFF = "Full-time staff receive 28 days of annual leave, and part-time staff receive 15 days of annual leave."

# What is said, what the source says, and the gate that must tell them apart.
WRONG = (
    ("The cooling pumps of the Halden plant were replaced in March 2018.", PLANT, "values"),
    ("The cooling pumps of the Halden plant were replaced in May 2019.", PLANT, "values"),
    ("The cooling pumps of the Halden plant were replaced at a cost of 4.2 billion crowns.", PLANT, "values"),
    ("The cooling pumps of the Halden plant were replaced at a cost of 42 million crowns.", PLANT, "values"),
    ("Full-time staff receive 15 days of annual leave, says the handbook of 2021.", STAFF, "values"),
    ("Full-time staff receive 28 weeks of annual leave.", STAFF, "values"),
    ("The ticket costs 12 euros.", "The ticket costs 12 dollars.", "values"),
    ("Sales rose by 12 percent.", "Sales rose by 21 percent.", "values"),
    ("More than 300 people came to the fair.", "Fewer than 300 people came to the fair.", "values"),
    ("The third edition appeared in Oslo.", "The fourth edition appeared in Oslo.", "values"),
    ("Seventeen ships left the harbour.", "Twelve ships left the harbour.", "values"),
    ("Sixteen teams and 24 referees took part.", "Sixteen referees and 24 teams took part.", "values"),
    ("More than 310 people came to the fair.", "More than 300 people came to the fair.", "values"),
    ("Half a million people came to the fair.", "A quarter of a million people came to the fair.", "values"),
    ("The team won the cup twice.", "The team won the cup three times.", "values"),
    ("The cooling pumps of the Bergen plant were replaced in March 2019.", PLANT, "names"),
    ("Berlin hosted the fair of the bakers in the spring.", "Vienna hosted the fair of the bakers in spring.", "names"),
    ("According to Angela Brown, the cooling pumps of the Halden plant were replaced in March 2019.", PLANT, "names"),
    ("The visit was planned by Iran.", "The visit was planned by Iraq.", "names"),
    ("The visit was planned by Niger.", "The visit was planned by Nigeria.", "names"),
    ("The pilots of Norway trained the crews of Kenya.", "The pilots of Kenya trained the crews of Norway.", "roles"),
    ("Anna Holm sued Peter Dahl over the farm.", "Peter Dahl sued Anna Holm over the farm.", "roles"),
    ("Dahl thanked Holm for the farm.", "In the end Holm warmly thanked Peter Dahl for the farm.", "roles"),
    ("The committee did not approve the new budget.", "The committee approved the new budget.", "negation"),
    (
        "The freeze of aid was not announced by the envoy.",
        "The former envoy to the United Nations announced that aid was frozen.",
        "negation",
    ),
    ("The committee approved the new budget.", "The committee did not approve the new budget.", "negation"),
    ("The committee never approved the new budget.", "The committee approved the new budget.", "negation"),
    ("The committee refused to approve the new budget.", "The committee approved the new budget.", "negation"),
    ("The price of bread increased in the spring.", "The price of bread decreased in the spring.", "opposite"),
    ("The home team won the final.", "The home team lost the final.", "opposite"),
    ("The museum opens in winter.", "The museum closes in winter.", "opposite"),
    ("Most visitors were glad about the change.", "Most visitors were unhappy about the change.", "opposite"),
)


@pytest.mark.parametrize(("claim", "source", "gate"), WRONG)
def test_a_contradiction_fails_its_gate_and_is_not_supported(claim: str, source: str, gate: str) -> None:
    assert getattr(held(claim, source), gate) == 0
    verdict = VERIFIER.check(claim, [passage(source)])
    assert not verdict.holds and not verdict.strict
    assert verdict.support is Support.UNSUPPORTED and verdict.evidence[gate] == 0


# Only the context, another passage's title or what is usually so stands behind it: a doubt.
DOUBTFUL = (
    ("All staff receive annual leave.", "Staff receive annual leave.", "", "quantity"),
    ("Only staff receive annual leave.", "Staff receive annual leave.", "", "quantity"),
    ("Most staff receive annual leave.", "Staff receive annual leave.", "", "quantity"),
    ("In 2019 the pumps were replaced.", "The pumps were replaced.", "Report for 2019", "values"),
    ("The pumps of Halden were replaced.", "The pumps were replaced.", "Halden", "names"),
    ("The bridge opened in 1931.", "The road was built in 1931, and the bridge opened in 1954.", "", "values"),
)


@pytest.mark.parametrize(("claim", "source", "context", "gate"), DOUBTFUL)
def test_what_is_not_quite_said_leaves_a_doubt(claim: str, source: str, context: str, gate: str) -> None:
    assert getattr(held(claim, source, context), gate) == 0.5
    verdict = VERIFIER.check(claim, [passage(source, title=context)])
    assert not verdict.strict and not verdict.clear


RIGHT = (
    ("The Halden plant's cooling pumps were replaced in March 2019.", PLANT),
    ("Replacing the cooling pumps of the Halden plant cost 4,200,000 crowns.", PLANT),
    ("Part-time staff receive 15 days of annual leave.", STAFF),
    ("About 300 people came.", "Precisely 303 people came."),
    ("Twelve ships left the harbour.", "12 ships left the harbour."),
    ("Half a million people came.", "Precisely 500,000 people came."),
    ("More than 300 people came.", "Precisely 303 people came."),
    ("The first roads brought traffic.", "The first two roads brought traffic."),
    ("Holm thanked Dahl.", "Anna Holm thanked Peter Dahl, and Dahl thanked Holm."),
    ("The bridge opened in 1954.", "The road was built in 1931, and the bridge opened in 1954."),
    ("The ticket costs 12 dollars.", "The ticket costs $12."),
    ("Norwegian pilots trained the crews.", "The pilots of Norway trained the crews."),
    ("The US sent pilots.", "The United States sent pilots."),
    ("The budget was not approved by the committee.", "The committee did not approve the budget."),
    ("The committee rejected the budget.", "The committee rejected the budget, which nobody had expected."),
    ("All ships left the harbour.", "Every ship left the harbour."),
    ("The Ministry of Foreign Affairs (MFA) met.", "The Ministry of Foreign Affairs met."),
)


@pytest.mark.parametrize(("claim", "source"), RIGHT)
def test_other_words_for_the_same_pass_every_gate(claim: str, source: str) -> None:
    found = held(claim, source)
    assert found.worst == 1, found


def test_names_of_the_question_are_not_missing_but_in_doubt() -> None:
    claim, source = "The plant of Halden replaced its pumps.", "The plant replaced its pumps."
    assert held(claim, source).names == 0
    assert held(claim, source, question="What did Halden replace?").names == 0.5


def test_a_small_number_that_stands_nowhere_may_be_a_count_but_is_not_supported() -> None:
    claim, source = "The two pumps of the plant were replaced in the spring.", "Both pumps of the plant were replaced."
    assert held(claim, source).values == 0.25
    assert not VERIFIER.check(claim, [passage(source)]).holds


def test_the_worst_gate_decides() -> None:
    assert Gates().worst == 1
    for gate in ("values", "names", "roles", "negation", "quantity", "opposite"):
        assert Gates(**{gate: 0.5}, unchecked=()).worst == 0.5
        assert Gates(**{gate: 0.0}, unchecked=()).worst == 0
