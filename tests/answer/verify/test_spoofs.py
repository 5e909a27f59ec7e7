"""Nothing inside a document, and no made-up marker, becomes a citation."""

from __future__ import annotations

import pytest

from rag.answer.verify.verifier import Verifier
from rag.models.static import static_vectors
from tests.answer.spoofs import accepted_spoofs, hits, sound, streamed


def test_no_spoof_is_accepted() -> None:
    tried, accepted = accepted_spoofs()
    assert tried > 400
    assert accepted == []


@pytest.mark.parametrize("form", ["[1]", "【1】", "[^1]", "(Source 1)", "[Source 1]", "[1](a.pdf)"])
def test_a_true_citation_is_kept(form: str) -> None:
    checked = Verifier(static_vectors()).verify(
        streamed(f"Full-time staff get 25 days of annual leave {form}.", 2), hits()
    )
    assert sound(checked)
    assert checked.text == "Full-time staff get 25 days of annual leave [1]."
    assert [c.source for c in checked.citations] == ["hr/leave.pdf"]
    assert checked.sentences[0].support == "quoted"


def test_what_a_poisoned_document_says_is_shown_as_its_own_words() -> None:
    checked = Verifier(static_vectors()).verify("Full-time staff get 40 days of annual leave [1].", hits())
    assert [c.source for c in checked.citations] == ["inbox/poison.md"]
    assert checked.citations[0].origin == "corrected"
