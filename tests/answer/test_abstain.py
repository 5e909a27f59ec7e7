"""Whether the documents answer: a probability that more evidence never lowers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.answer.abstain import ABSENT_BELOW, DEFAULT_THRESHOLD, Abstainer, Features, Weights
from rag.answer.reading import Reader
from rag.answer.weights import ABSTAIN, ABSTAIN_READ
from rag.models.encoder import shared_encoder
from rag.models.static import static_vectors
from rag.store.terms import query_terms
from rag.types import Hit
from tests.answer.passages import hits, passage

TEXTS = {
    "leave.md": "Full-time staff receive 28 days of paid annual leave a year. Requests go to Maria Lopez.",
    "pumps.txt": "The cooling pumps of the Halden plant were replaced in March 2019 at a cost of 4.2 million crowns.",
    "canteen.txt": "The canteen opens at noon and closes at three. Nobody may bring a dog.",
}


def frequency_in(texts: Mapping[str, str]) -> Callable[[str], int]:
    """How many of the texts hold a word, by the index's own stems."""
    held = [{term.text for term in query_terms(text, 1_000)} for text in texts.values()]

    def frequency(word: str) -> int:
        terms = query_terms(word, 1)
        return sum(bool(terms) and terms[0].text in own for own in held)

    return frequency


def abstainer(texts: Mapping[str, str] = TEXTS, count: int = 0) -> Abstainer:
    return Abstainer(static_vectors(), frequency_in(texts), count or len(texts))


ANSWERED = (
    "How many days of annual leave do full-time staff receive?",
    "When were the cooling pumps of the Halden plant replaced?",
    "What did the new cooling pumps cost?",
    "When does the canteen open?",
    "To whom do requests go?",
)
NOT_ANSWERED = (
    "Who won the chess championship of Reykjavik in 1972?",
    "What is the boiling point of liquid nitrogen?",
    "How many moons does the planet Jupiter have?",
    "Which painter made the portrait of the queen of Denmark?",
    "Why did the Roman senate exile the poet Ovid?",
)


def test_answered_questions_stand_above_the_threshold_and_foreign_ones_below() -> None:
    judge, found = abstainer(), hits(TEXTS)
    yes = [judge.probability(question, found) for question in ANSWERED]
    no = [judge.probability(question, found) for question in NOT_ANSWERED]
    assert min(yes) >= DEFAULT_THRESHOLD > max(no)


def reader(texts: Mapping[str, str] = TEXTS) -> Abstainer:
    return Abstainer(static_vectors(), frequency_in(texts), len(texts), reader=Reader(shared_encoder()))


def test_what_is_read_tells_more_than_common_words() -> None:
    """The second question has the words of the first, and asks for what is not said."""
    found = hits(TEXTS)
    said, unsaid = "When were the cooling pumps replaced?", "Who replaced the pump of the canteen in 2021, and why?"
    assert reader().probability(said, found) > reader().probability(unsaid, found)
    *yes, bare = [reader().probability(question, found) for question in ANSWERED]
    no = [reader().probability(question, found) for question in NOT_ANSWERED]
    assert min(yes) >= DEFAULT_THRESHOLD > max(no)
    # Of hardly a word of its own it is unsure, which shows the sentence as what is closest.
    assert bare >= ABSENT_BELOW > max(no)


def test_what_the_encoder_cannot_read_is_judged_as_without_it() -> None:
    texts = {"a.txt": "咖啡馆中午开门，三点关门。", "b.txt": "委员会每隔一个星期二开会。"}
    for question in ("咖啡馆什么时候开门？", "谁是财务主管？"):
        assert reader(texts).probability(question, hits(texts)) == abstainer(texts).probability(question, hits(texts))


def test_reading_needs_something_to_read() -> None:
    features = reader().features(ANSWERED[0], hits(TEXTS))
    assert features is not None and 0.3 < features.read_low < 1 and features.unseen == 0
    other = reader().features("How long is the annual leave form of part-time staff?", hits(TEXTS))
    assert other is not None and other.span < features.span
    assert reader().probability(ANSWERED[0], [Hit(passage("\n\n"), 0, 0, 0)]) == 0


@pytest.mark.parametrize("question", ["", "   ", "???", "\0", "\u202e"])
def test_a_question_without_words_is_not_answered(question: str) -> None:
    assert abstainer().probability(question, hits(TEXTS)) == 0
    assert abstainer().features(question, hits(TEXTS)) is None


def test_without_hits_or_text_nothing_is_answered() -> None:
    judge = abstainer()
    assert judge.probability(ANSWERED[0], []) == 0
    assert judge.probability(ANSWERED[0], [Hit(passage("\n\n"), 0, 0, 0)]) == 0
    assert abstainer({}, 0).probability(ANSWERED[0], []) == 0


@given(st.text(max_size=120), st.lists(st.text(max_size=200), max_size=3), st.integers(0, 10**7))
@settings(max_examples=150)
def test_it_is_a_probability_for_any_question_and_text(question: str, texts: list[str], count: int) -> None:
    found = [Hit(passage(text, n), 1.0 / n, 0.1, 1.0) for n, text in enumerate(texts, start=1)]
    named = {str(n): text for n, text in enumerate(texts)}
    assert 0 <= abstainer(named, count).probability(question, found) <= 1


def test_the_same_question_gives_the_same_probability() -> None:
    once, again = (abstainer().probability(ANSWERED[1], hits(TEXTS)) for _ in range(2))
    assert once == again


def test_the_passage_that_answers_makes_it_likelier() -> None:
    found = hits(TEXTS)
    for question, right in zip(
        ANSWERED, ("leave.md", "pumps.txt", "pumps.txt", "canteen.txt", "leave.md"), strict=True
    ):
        without = [hit for hit in found if hit.passage.source != right]
        rest = {source: text for source, text in TEXTS.items() if source != right}
        assert abstainer().probability(question, found) > abstainer(rest).probability(question, without)


def test_a_missing_word_says_more_in_a_large_collection() -> None:
    question = "What did the flange of the cooling pumps cost?"
    small, large = (abstainer(TEXTS, count).probability(question, hits(TEXTS)) for count in (10, 10_000))
    assert large < small
    few, many = (abstainer(TEXTS, count).features(question, hits(TEXTS)) for count in (10, 10_000))
    assert few is not None and many is not None and few.unknown == few.weak == 0 < many.unknown < many.weak


def test_a_weak_match_says_more_in_a_large_collection() -> None:
    strong, weak = ([replace(hit, lexical=bm25) for hit in hits(TEXTS)] for bm25 in (25.0, 5.0))
    wary = replace(Weights(), bias=Weights().bias - 1)  # where it is not so sure anyway that nothing moves it
    for count, least in ((10, 0.0), (10_000, 0.05)):
        judge = Abstainer(static_vectors(), frequency_in(TEXTS), count, wary)
        loss = judge.probability(ANSWERED[1], strong) - judge.probability(ANSWERED[1], weak)
        assert loss > least if least else loss == 0


def test_a_missing_name_counts_against_an_answer() -> None:
    right, wrong = (
        "When were the pumps of the Halden plant replaced?",
        "When were the pumps of the Narvik plant replaced?",
    )
    judge, found = abstainer(), hits(TEXTS)
    assert judge.probability(wrong, found) < judge.probability(right, found)
    features = judge.features(wrong, found)
    assert features is not None and features.unknown_names == 1


def test_a_misspelt_name_is_no_missing_name() -> None:
    features = abstainer().features("When were the pumps of the Haldan plant replaced?", hits(TEXTS))
    assert features is not None and features.unknown_names == 0


def test_a_number_is_missing_where_one_is_asked_for() -> None:
    text = {"a.md": "Staff receive paid annual leave. The canteen is large."}
    features = abstainer(text).features("How many days of annual leave do staff receive?", hits(text))
    assert features is not None and features.gap_number > 0.5
    features = abstainer().features(ANSWERED[0], hits(TEXTS))
    assert features is not None and features.gap_number < 0.2


DEPENDS = {"open", "asked", "lexical", "score", "size"}
AGAINST = {"unknown", "weak", "unknown_names", "focus_missing", "gap_number", "gap_time", "gap_name", "unseen"}


@pytest.mark.parametrize("name", sorted({field.name for field in fields(Features)} - DEPENDS))
def test_evidence_for_never_counts_against_and_the_other_way_round(name: str) -> None:
    for weights in (ABSTAIN, ABSTAIN_READ):
        assert weights.get(name, 0) <= 0 if name in AGAINST else weights.get(name, 0) >= 0


def test_every_feature_has_a_weight_and_weights_can_be_given() -> None:
    assert set(ABSTAIN_READ) | set(ABSTAIN) == set(asdict(Features()))
    certain = Abstainer(static_vectors(), frequency_in(TEXTS), 3, replace(Weights(), bias=1e6))
    never = Abstainer(static_vectors(), frequency_in(TEXTS), 3, replace(Weights(), bias=-1e6))
    assert certain.probability(NOT_ANSWERED[0], hits(TEXTS)) > 0.999
    assert never.probability(ANSWERED[0], hits(TEXTS)) < 0.001
