"""Whole answers: the state of each sentence, its citations mended or attributed, exact offsets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.answer.verify.verifier import Verified, Verifier
from rag.models.static import static_vectors
from rag.types import Hit, Passage, Support
from tests.answer.passages import hits, passage

LEAVE = (
    "Full-time staff receive 28 days of paid annual leave a year. Part-time staff receive 15 days. "
    "Requests go to Maria Lopez two weeks ahead."
)
PUMPS = "The cooling pumps of the Halden plant were replaced in March 2019 at a cost of 4.2 million crowns."
CANTEEN = "The canteen opens at noon and closes at three. Nobody may bring a dog."
FOUND = hits({"leave.md": LEAVE, "pumps.txt": PUMPS, "canteen.txt": CANTEEN})
VERIFIER = Verifier(static_vectors())


def checked(text: str, found: Sequence[Hit] = FOUND) -> Verified:
    done = VERIFIER.verify(text, found)
    well_formed(done, found)
    return done


def well_formed(done: Verified, found: Sequence[Hit]) -> None:
    """Offsets are exact, markers are numbered from 1, and every citation is a slice of a retrieved passage."""
    known = {hit.passage.id: hit.passage for hit in found}
    for sentence in done.sentences:
        assert done.text[sentence.start : sentence.end] == sentence.text
        assert all(0 <= index < len(done.citations) for index in sentence.citations)
    for number, citation in enumerate(done.citations, start=1):
        source = known[citation.passage_id]
        assert citation.marker == number and citation.source == source.source
        assert source.start <= citation.start <= citation.end <= source.end
        assert source.text[citation.start - source.start : citation.end - source.start] == citation.quote
    for mark in done.markers:
        assert done.text[mark.start : mark.end] == f"[{done.citations[mark.citation].marker}]"
    assert len({mark.citation for mark in done.markers}) == len(done.citations)


def states(done: Verified) -> list[Support]:
    return [sentence.support for sentence in done.sentences]


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("Full-time staff receive 28 days of paid annual leave a year [1].", Support.QUOTED),
        ("“full‑time staff receive 28 days of  PAID annual leave” [1].", Support.QUOTED),
        ("The Halden plant's cooling pumps were replaced in March 2019 [2].", Support.SUPPORTED),
        ("The Halden plant paid crowns for its new pumps [2].", Support.PARTIAL),
        ("Full-time staff receive 30 days of paid annual leave a year [1].", Support.UNSUPPORTED),
        ("The moon over Atlantis weighed seven purple kilograms [1].", Support.UNSUPPORTED),
        ("The moon over Atlantis is made of green cheese.", Support.UNCITED),
        ("Hello!", Support.NOT_A_CLAIM),
        ("# Annual leave", Support.NOT_A_CLAIM),
        ("What else would you like to know?", Support.NOT_A_CLAIM),
        ("The documents do not mention the salary [1].", Support.NOT_A_CLAIM),
        ("Here is a summary:", Support.NOT_A_CLAIM),
        ("|---|---|", Support.NOT_A_CLAIM),
    ],
)
def test_states(text: str, state: Support) -> None:
    assert states(checked(text)) == [state]


def test_sentences_are_judged_one_by_one() -> None:
    done = checked(
        "Sure! Full-time staff receive 28 days of paid annual leave a year [1]. They get 99 days of sick pay [1]. "
        "Unicorns graze in Bergen."
    )
    assert states(done) == [Support.NOT_A_CLAIM, Support.QUOTED, Support.UNSUPPORTED, Support.UNCITED]


def test_the_span_is_the_sentence_that_supports() -> None:
    (citation,) = checked("Requests must be sent to Maria Lopez two weeks ahead [1].").citations
    assert citation.quote == "Requests go to Maria Lopez two weeks ahead."
    (citation,) = checked("Part-time staff receive 15 days [1].").citations
    assert citation.quote == "Part-time staff receive 15 days."


def test_a_wrong_marker_is_corrected_to_the_passage_that_says_it() -> None:
    done = checked("The cooling pumps of the Halden plant were replaced in March 2019 [1].")
    (citation,) = done.citations
    assert (citation.source, citation.origin) == ("pumps.txt", "corrected")
    assert states(done) == [Support.QUOTED]
    assert done.text.endswith("March 2019 [1].")


def test_a_right_marker_is_the_models() -> None:
    (citation,) = checked("The cooling pumps of the Halden plant were replaced in March 2019 [2].").citations
    assert (citation.marker, citation.source, citation.origin) == (1, "pumps.txt", "model")


def test_a_false_sentence_keeps_its_marker_and_is_never_corrected() -> None:
    done = checked("The cooling pumps of the Halden plant were replaced in March 2018 [2].")
    assert states(done) == [Support.UNSUPPORTED]
    assert [c.source for c in done.citations] == ["pumps.txt"] and done.citations[0].origin == "model"


def test_a_marker_that_adds_nothing_is_dropped_and_counted() -> None:
    done = checked("Full-time staff receive 28 days of paid annual leave a year [1][3].")
    assert [c.source for c in done.citations] == ["leave.md"]
    assert done.dropped == 1
    assert "[2]" not in done.text


def test_markers_out_of_range_are_counted_and_gone() -> None:
    done = checked("Full-time staff receive 28 days of paid annual leave a year [1][7][0].")
    assert done.dropped == 2 and done.text.count("[") == 1


def test_an_uncited_sentence_is_attributed_when_one_passage_says_it() -> None:
    done = checked("Full-time staff receive 28 days of paid annual leave a year.")
    (citation,) = done.citations
    assert (citation.source, citation.origin) == ("leave.md", "attributed")
    assert states(done) == [Support.QUOTED]


def test_nothing_is_attributed_when_two_passages_say_it() -> None:
    twice = [*FOUND, Hit(passage("Note: " + LEAVE, 9, "copy.md"), 0.5, 0.4, 1.0)]
    done = checked("Full-time staff receive 28 days of paid annual leave a year.", twice)
    assert done.citations == () and states(done) == [Support.UNCITED]


def test_two_overlapping_passages_of_one_document_are_one_place() -> None:
    head = passage(LEAVE, 1, "leave.md")
    tail = replace(head, id=2, start=0, end=61, text=LEAVE[:61])
    done = checked(
        "Full-time staff receive 28 days of paid annual leave a year.", [Hit(p, 1, 0.5, 1) for p in (head, tail)]
    )
    assert [c.origin for c in done.citations] == ["attributed"]


@pytest.mark.parametrize(
    "text",
    [
        "The pumps at Halden were replaced in March 2019.",
        "The canteen is open from noon until three.",
        "The Halden plant paid crowns for its new pumps.",
        "Full-time staff receive 30 days of paid annual leave a year.",
        "Staff can take leave whenever they like.",
    ],
)
def test_nothing_is_attributed_below_the_strict_gate(text: str) -> None:
    done = checked(text)
    assert done.citations == () and states(done) == [Support.UNCITED]


def test_a_sentence_may_rest_on_two_sources_together() -> None:
    done = checked(
        "Full-time staff receive 28 days of paid annual leave a year, and the canteen opens at noon and closes at "
        "three [1][3]."
    )
    assert states(done) == [Support.SUPPORTED]
    assert {c.source for c in done.citations} == {"leave.md", "canteen.txt"}


def test_support_in_a_neighbour_is_found_and_cited() -> None:
    text = "The plant stands in Halden. " + PUMPS
    first = Passage(1, 1, "p.txt", "", 0, 0, 27, text[:27])
    second = Passage(2, 1, "p.txt", "", 1, 28, len(text), text[28:])
    found = [Hit(first, 1.0, 0.5, 1.0)]
    sentence = "The cooling pumps of the Halden plant were replaced in March 2019 [1]."
    assert VERIFIER.verify(sentence, found).sentences[0].support is not Support.QUOTED
    done = VERIFIER.verify(sentence, found, lambda p: [second] if p.id == 1 else [first])
    assert done.sentences[0].support is Support.QUOTED
    (citation,) = done.citations
    assert citation.passage_id == 2 and text[citation.start : citation.end] == citation.quote


def test_names_of_the_question_leave_a_doubt_instead_of_failing() -> None:
    found = hits({"a.txt": "She received the prize for physics in 1903 together with her husband."})
    sentence = "Marie Curie received the prize for physics in 1903 [1]."
    assert VERIFIER.verify(sentence, found).sentences[0].support is Support.UNSUPPORTED
    asked = VERIFIER.verify(sentence, found, question="What did Marie Curie receive?")
    assert asked.sentences[0].support is not Support.UNSUPPORTED
    assert asked.sentences[0].evidence["names"] == 0.5


def test_one_number_for_one_span_and_another_for_another() -> None:
    done = checked(
        "Part-time staff receive 15 days [1]. Requests go to Maria Lopez two weeks ahead [1]. "
        "Part-time staff receive 15 days [1]."
    )
    assert [c.quote[:9] for c in done.citations] == ["Part-time", "Requests "]
    assert re.findall(r"\[\d\]", done.text) == ["[1]", "[2]", "[1]"]


def test_without_passages_nothing_is_supported() -> None:
    done = VERIFIER.verify("Full-time staff receive 28 days [1].", [])
    assert states(done) == [Support.UNCITED] and done.citations == () and done.dropped == 1
    with pytest.raises(ValueError, match="at least one passage"):
        VERIFIER.check("Full-time staff receive 28 days.", [])


def test_a_marker_behind_the_last_character_is_no_part_of_the_sentence() -> None:
    done = checked("Part-time staff receive 15 days [1]\n\nRequests go to Maria Lopez two weeks ahead [1]. Bye")
    assert [s.text for s in done.sentences] == [
        "Part-time staff receive 15 days", "Requests go to Maria Lopez two weeks ahead [2].", "Bye",
    ]  # fmt: skip


def test_an_empty_answer() -> None:
    done = VERIFIER.verify("", FOUND)
    assert (done.text, done.sentences, done.citations, done.markers, done.dropped) == ("", (), (), (), 0)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("Der Preis des Brotes stieg 2019 um 4 Prozent auf 3 Euro.", "Der Preis des Brotes stieg 2019 um 4 Prozent"),
        ("La centrale de Halden a remplacé ses pompes en mars 2019.", "La centrale de Halden a remplacé ses pompes"),
        ("该工厂于2019年更换了冷却泵，费用为420万克朗。", "该工厂于2019年更换了冷却泵"),
        ("工場は2019年に冷却ポンプを交換しました。", "工場は2019年に冷却ポンプを交換しました"),
        ("تم استبدال مضخات التبريد في محطة هالدن في مارس 2019.", "تم استبدال مضخات التبريد في محطة هالدن"),
        ("В марте 2019 года на станции заменили насосы охлаждения.", "В марте 2019 года на станции заменили насосы"),
        ("ในปี 2019 โรงงานได้เปลี่ยนปั๊มทำความเย็น", "ในปี 2019 โรงงานได้เปลี่ยนปั๊มทำความเย็น"),
    ],
)
def test_quotations_in_other_languages(source: str, sentence: str) -> None:
    done = checked(f"{sentence} [1].", hits({"a.txt": source}))
    assert states(done)[0] is Support.QUOTED
    wrong = checked(f"{sentence} 1987 [1].", hits({"a.txt": source}))
    assert states(wrong)[0] is not Support.QUOTED


PIECES = st.lists(
    st.sampled_from(
        ["Full-time staff receive 28 days. ", "The canteen opens at noon", " [1]", "[2]", "[3] ", "[9]", "\n", "\n\n",
         "- ", "| a | b |", "# ", "```", ". ", " ", "not ", "Maria Lopez ", "他来了。", "نعم، هذا جيد. ", "\u202e",
         "\0", "\u200b", "é", "15 days", "“", "?"]
    ),
    max_size=25,
).map("".join)  # fmt: skip


@given(PIECES)
@settings(max_examples=200)
def test_any_answer_keeps_its_words_and_exact_offsets(text: str) -> None:
    done = checked(text)
    assert VERIFIER.verify(text, FOUND) == done
    plain = done.text
    for mark in reversed(done.markers):
        plain = plain[: mark.start] + plain[mark.end :]
    said = text.partition("```")[0]
    assert "".join(plain.split()).startswith("".join(re.sub(r"\[\d+\]", "", said).split()))


WORDS = "staff receive 28 15 days leave year Maria Lopez not noon canteen closes three March 2019 . , \n 水 ש é".split(
    " "
)


@given(st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join), st.text(max_size=60), st.integers(0, 5_000))
@settings(max_examples=150)
def test_the_span_lies_in_its_passage_whatever_the_texts(sentence: str, noise: str, start: int) -> None:
    text = f"{LEAVE} {noise} {CANTEEN}"
    source = passage(text, 4, start=start)
    verdict = VERIFIER.check(sentence, [passage(noise or " ", 3), source])
    own = (passage(noise or " ", 3), source)[verdict.passage]
    assert own.start <= verdict.start <= verdict.end <= own.end
    assert 0 <= verdict.score <= 1
    if verdict.support is Support.QUOTED:
        assert verdict.end > verdict.start


SENTENCES = re.split(r"(?<=\.) ", LEAVE)


@given(st.sampled_from(SENTENCES), st.data())
def test_words_of_a_sentence_are_found_where_they_stand(sentence: str, data: st.DataObject) -> None:
    words = sentence.split()
    first = data.draw(st.integers(0, len(words) - 4))
    last = data.draw(st.integers(first + 4, len(words)))
    said = " ".join(words[first:last])
    verdict = VERIFIER.check(said, [passage(LEAVE, start=700)])
    assert verdict.support is Support.QUOTED
    assert LEAVE[verdict.start - 700 : verdict.end - 700].rstrip(".") == said.rstrip(".")


def test_a_long_answer_of_markers_is_put_together() -> None:
    """A step that looked at every marker for every sentence would need billions of them here."""
    done = VERIFIER.verify("Hello! [9] [1]\n" * 20_000, FOUND)
    assert len(done.sentences) == 20_000 and not done.citations
    done = VERIFIER.verify("Part-time staff receive 15 days [1]. " * 3_000, FOUND)
    assert len(done.markers) == 3_000 and len(done.citations) == 1


@pytest.mark.parametrize(
    "unit", ["a", "\0", "\u202e", "| 1 ", "[1]", "1 ", "не ", "not 1 ", "Maria Lopez ", "“", "水", "```\n", "\n\n# "]
)
def test_hostile_answers_end(unit: str) -> None:
    """What is no sentence is checked in pieces: the square of a long line would take minutes."""
    done = checked(unit * (10_000 // len(unit)))
    assert all(len(sentence.text) <= 700 for sentence in done.sentences)
