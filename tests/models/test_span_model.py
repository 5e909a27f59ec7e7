"""The reading model that ships: its file is the one whose hash is told, and it points at what answers."""

from __future__ import annotations

import hashlib
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.models.span_model import MAX_TOKENS, shared_span_model

DATA = Path(__file__).parents[2] / "rag" / "data" / "span_model"
TEXT = "The ferry to Halden leaves at noon. It carries 120 passengers. Captain Elin Berg has sailed it since 2011."


def test_the_file_is_the_one_whose_origin_is_told() -> None:
    ((size, digest),) = re.findall(r"\| model\.onnx \| ([\d,]+) \| ([0-9a-f]{64}) \|", (DATA / "ORIGIN.md").read_text())
    content = (DATA / "model.onnx").read_bytes()
    assert (f"{len(content):,}", hashlib.sha256(content).hexdigest()) == (size, digest)
    assert shared_span_model().digest == digest


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("How many passengers does the ferry carry?", "120"),
        ("Who is the captain of the ferry?", "Elin Berg"),
        ("Since when has Elin Berg sailed the ferry?", "since 2011"),
    ],
)
def test_the_likeliest_token_is_of_the_answer(question: str, answer: str) -> None:
    (found,) = shared_span_model().point(question, [TEXT])
    start, end = found.spans[int(np.argmax(found.log_odds))]
    assert TEXT[start:end] in answer
    assert found.answered > 0


@pytest.mark.parametrize(
    ("question", "other"),
    [
        ("How many passengers does the ferry carry?", "How many cars does the ferry carry?"),
        ("Who is the captain of the ferry?", "Who is the owner of the ferry?"),
        ("When does the ferry to Halden leave?", "When does the ferry to Oslo leave?"),
    ],
)
def test_what_a_text_answers_is_likelier_than_what_it_does_not(question: str, other: str) -> None:
    model = shared_span_model()
    assert model.point(question, [TEXT])[0].answered > model.point(other, [TEXT])[0].answered + 1


def test_what_is_said_of_a_text_depends_on_it_and_the_question_alone() -> None:
    model, texts = shared_span_model(), [TEXT, "The hall is rented out from Monday to Thursday.", ""]
    together = model.point("When is the hall rented out?", texts, threads=2)
    for text, one in zip(texts, together, strict=True):
        (alone,) = model.point("When is the hall rented out?", [text])
        assert np.array_equal(alone.spans, one.spans) and np.array_equal(alone.log_odds, one.log_odds)
    assert together[2].answered == -math.inf and together[2].spans.shape == (0, 2)


def test_what_stands_beyond_the_window_is_not_read() -> None:
    model, window = shared_span_model(), "word " * MAX_TOKENS
    (one,), (other,) = model.point("Which word?", [window]), model.point("Which word?", [window + TEXT])
    assert np.array_equal(one.log_odds, other.log_odds)


@given(st.text(max_size=60), st.text(max_size=60))
@settings(max_examples=30)
def test_tokens_are_slices_of_the_text_in_order(question: str, text: str) -> None:
    (found,) = shared_span_model().point(question, [text])
    assert found.log_odds.shape == (len(found.spans),) and np.isfinite(found.log_odds).all()
    assert all(0 <= start <= end <= len(text) for start, end in found.spans)
    assert all(one[0] <= other[0] for one, other in zip(found.spans, found.spans[1:], strict=False))
