from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.gold.files.gold_set import parse_gold
from rag.gold.files.lint import lint, require_valid
from rag.gold.metrics.matching import Finder, nearest
from rag.gold.types import InvalidGold
from tests.gold.corpus import Texts

TEXT = "Leave.\n\nThe pro rata entitle-\nment is  15 days\nfor part-time staff. Carry over 5 days.\fNew page: none."
CORPUS = Texts(
    {"hr/leave.pdf": TEXT, "b.md": "Other."}, {"hr/leave.pdf": ((0, TEXT.index("\f")), (TEXT.index("\f"), 999))}
)


def problems(*lines: str) -> list[str]:
    body = "\n".join(f"  {line}" for line in lines)
    gold = parse_gold(f"version: 1\nquestions:\n- id: a\n  question: How?\n{body}\n")
    return [f"{p.severity} {p.show('gold.yaml')}" for p in lint(gold, CORPUS)]


def test_a_quote_is_found_after_folding() -> None:
    assert (
        problems(
            "sources: [{file: hr/leave.pdf, page: 1, quote: 'pro  rata ENTITLEMENT is 15 days for part\u2011time'}]"
        )
        == []
    )


def test_a_missing_file_names_the_nearest() -> None:
    (found,) = problems("sources: [{file: hr/leaves.pdf}]")
    assert found.startswith("error gold.yaml:5: The file 'hr/leaves.pdf' of 'a' is not in the collection.")
    assert "Did you mean 'hr/leave.pdf'?" in found


def test_a_missing_quote_names_the_nearest_text() -> None:
    (found,) = problems("sources:", "- file: hr/leave.pdf", "  quote: the entitlement pro rata was 15 days for temps")
    assert found.startswith("error gold.yaml:7: The quote of 'a' is not in 'hr/leave.pdf'")
    assert "ment is 15 days for" in found


def test_a_quote_unlike_anything_says_so() -> None:
    (found,) = problems("sources: [{file: b.md, quote: 'zebras gallop westwards'}]")
    assert "Nothing there is like it" in found


def test_pages_are_checked() -> None:
    (found,) = problems("sources: [{file: hr/leave.pdf, page: 9}]")
    assert "has no page 9" in found
    (found,) = problems("sources: [{file: hr/leave.pdf, page: 2, quote: 'Carry over 5 days.'}]")
    assert "but not on page 2" in found
    assert problems("sources: [{file: hr/leave.pdf, page: 2, quote: 'New page'}]") == []


def test_a_fact_that_no_gold_file_states_is_a_warning() -> None:
    (found,) = problems("facts: [{id: f, any: ['20 days']}]", "sources: [{file: hr/leave.pdf}]")
    assert found.startswith("warning") and "states the fact 'f'" in found
    assert problems("facts: [{id: f, number: 5, unit: days}]", "sources: [{file: hr/leave.pdf}]") == []


def test_a_fact_that_is_forbidden_is_an_error() -> None:
    (found,) = problems("facts: [{id: f, any: ['15 days', '5 days']}]", "must_not_contain: ['5 days']")
    assert found.startswith("error") and "which '5 days' forbids" in found


def test_a_question_asked_twice_is_a_warning() -> None:
    gold = parse_gold(
        "version: 1\nquestions:\n- {id: a, question: 'Why?', unanswerable: true}\n"
        "- {id: b, question: 'why?', unanswerable: true}\n"
    )
    assert [(p.line, p.severity) for p in lint(gold, CORPUS)] == [(4, "warning")]


def test_errors_stop_and_warnings_pass() -> None:
    gold = parse_gold("version: 1\nquestions:\n- {id: a, question: 'Why?', sources: [{file: x.md}]}\n")
    with pytest.raises(InvalidGold, match=r"gold\.yaml:3: The file 'x\.md'"):
        require_valid(gold, CORPUS)
    gold = parse_gold(
        "version: 1\nquestions:\n- {id: a, question: 'Why?', facts: [{id: f, any: [z]}], sources: [{file: b.md}]}\n"
    )
    assert len(require_valid(gold, CORPUS)) == 1


def test_every_place_of_a_quote_is_found() -> None:
    finder = Finder(Texts({"a": "One two. one  two, ONE\ntwo"}))
    assert finder.quote("a", "one two") == ((9, 17),)  # as it stands, up to white space, where that is found
    assert finder.quote("a", "oNe two") == ((0, 7), (9, 17), (19, 26))
    assert finder.quote("a", "three") == ()
    assert finder.quote("nowhere", "one") == ()


WORDS = st.lists(
    st.sampled_from(["alpha", "Beta", "gam\u00adma", "12", "\ufb01ne", "caf\u00e9", "cafe\u0301", "x-y"]), min_size=1
)


@given(WORDS, WORDS, st.sampled_from([" ", "\n", "  ", "\t"]))
def test_what_is_found_is_the_quote(before: list[str], quoted: list[str], gap: str) -> None:
    text = gap.join([*before, *quoted, "end"])
    from rag.text import fold

    spans = Finder(Texts({"a": text})).quote("a", " ".join(quoted).upper())
    assert spans
    assert all(fold(text[start:end]) == fold(" ".join(quoted)) for start, end in spans)


def test_the_nearest_text_is_the_window_with_most_words() -> None:
    assert nearest("quick fox jumps", "a slow dog and the quick red fox jumps over") == "quick red fox"
    assert nearest("quick", "") == ""
    assert nearest("", "some text") == ""
