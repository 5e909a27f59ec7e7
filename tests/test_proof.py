"""An exported answer is checked anywhere: what still stands, what has changed, what was never there."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.errors import ProofError
from rag.proof import KnownDocument, check_proof, read_proofs, text_hash

TEXT = "The mill was built in 1802. It burned down in the winter of 1890 and was rebuilt."
QUOTE = "It burned down in the winter of 1890 and was rebuilt."


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def known(text: str = TEXT, source: str = "mill.txt", *, sha256: str | None = None) -> KnownDocument:
    return KnownDocument(source, sha256 or digest(text), text)


def exported(quote: str = QUOTE, start: int | None = None, sentence: str | None = None) -> dict[str, Any]:
    at = TEXT.index(QUOTE) if start is None else start
    citation = {"marker": 1, "document_id": 7, "source": "mill.txt", "quote": quote, "start": at}
    said = f"{quote} [1]" if sentence is None else sentence
    return {
        "question": "What happened to the mill?",
        "text": said,
        "sentences": [{"text": said, "start": 0, "end": len(said), "support": "quoted", "citations": [0]}],
        "citations": [{**citation, "end": at + len(quote)}],
        "markers": [{"start": len(said) - 3, "end": len(said), "citation": 0}],
        "documents": [{"id": 7, "source": "mill.txt", "sha256": digest(TEXT), "text_sha256": text_hash(TEXT)}],
    }


def state(answer: dict[str, Any], *documents: KnownDocument) -> str:
    return check_proof(answer, documents).citations[0].state


def test_the_same_document_holds_under_any_name() -> None:
    report = check_proof(exported(), [known(source="elsewhere/mill-copy.txt")])
    assert report.holds and report.citations[0].found_in == "elsewhere/mill-copy.txt"


def test_a_changed_document_is_searched() -> None:
    assert state(exported(), known("Preface. " + TEXT)) == "moved"
    assert state(exported(), known("It burned down in the win-\nter of 1890 and was\nrebuilt.")) == "changed"
    assert state(exported(), known("The mill was built in 1802 and stands.")) == "gone"
    assert state(exported(), known(source="other.txt", text="Nothing of the kind.")) == "missing"
    assert not check_proof(exported(), [known("Preface. " + TEXT)]).holds


def test_a_quote_that_the_same_document_never_held_is_forged() -> None:
    assert state(exported("It burned down in the summer of 1890 and was rebuilt."), known()) == "forged"
    assert state(exported(start=3), known()) == "forged"
    assert state(exported(quote=""), known()) == "forged"


def test_a_parser_that_reads_the_same_bytes_otherwise_forges_nothing() -> None:
    assert state(exported(), known("\n" + TEXT, sha256=digest(TEXT))) == "moved"


def test_a_sentence_altered_after_the_fact_is_found() -> None:
    report = check_proof(exported(sentence="It burned down in the winter of 1980 and was rebuilt. [1]"), [known()])
    assert report.citations[0].state == "holds" and len(report.altered) == 1 and not report.holds


def test_a_marker_without_its_citation_is_counted() -> None:
    answer = exported()
    answer["markers"].append({"start": 0, "end": 1, "citation": 5})
    assert check_proof(answer, [known()]).loose == 1


@pytest.mark.parametrize("form", ["one", "list", "lines", "conversation"])
def test_every_form_of_export_is_read(form: str) -> None:
    one = exported()
    text = {
        "one": json.dumps(one, indent=2),
        "list": json.dumps([one]),
        "lines": json.dumps(one) + "\n" + json.dumps(one) + "\n",
        "conversation": json.dumps({"title": "t", "turns": [{"question": "q", "answer": one}, {"answer": None}]}),
    }[form]
    assert [check_proof(a, [known()]).holds for a in read_proofs(text)] == [True] * (2 if form == "lines" else 1)


@given(st.recursive(st.none() | st.integers() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)))
def test_anything_else_is_refused_in_a_sentence(value: Any) -> None:
    with pytest.raises(ProofError):
        read_proofs(json.dumps(value))


FIELDS = ["marker", "document_id", "source", "quote", "start", "end"]


@given(field=st.sampled_from(FIELDS), value=st.none() | st.booleans() | st.lists(st.integers()) | st.floats())
def test_a_wrong_field_is_named(field: str, value: Any) -> None:
    answer = exported()
    answer["citations"][0][field] = value
    with pytest.raises(ProofError, match=field):
        check_proof(answer, [known()])


@given(st.text("ab1 -\n", min_size=1, max_size=40), st.text("ab1 -\n", max_size=60))
def test_what_is_found_is_what_was_quoted(quote: str, text: str) -> None:
    checked = check_proof(exported(quote=quote), [known(text)]).citations[0]
    if checked.start is not None and checked.end is not None:
        there = text[checked.start : checked.end]
        assert [c for c in there if c.isalnum()] == [c for c in quote if c.isalnum()]
