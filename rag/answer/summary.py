"""What a document or a conversation is about: its own sentences that tell most of it, each cited. No model writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from rag.answer.compose import ended, quoted_answer, used_hits
from rag.answer.markers import WRITTEN
from rag.answer.quoting import Quote
from rag.errors import QuestionError
from rag.language.sentences import sentences
from rag.models.static import static_vectors
from rag.types import Answer, Citation, Hit, MarkerSpan, Passage, Sentence, Support

SENTENCES = 5
"""What one looks over without reading on."""
_READ = 400
"""Sentences of a long document that are compared, spread evenly over it: a few milliseconds."""
_NEW = 0.3
"""How much the difference from what was chosen counts, beside the nearness to the whole: 1 less the λ of 0.7 that the
paper of ``central`` takes for looking closely."""
# Characters: less is a heading or a fragment, more a list run together.
_SHORTEST, _LONGEST = 30, 400
_PROVEN = (Support.QUOTED, Support.SUPPORTED)


def document_summary(question: str, passages: Sequence[Passage]) -> Answer:
    """A few sentences of a document, in its order; ``question`` is what they are shown as an answer to.

    Raises QuestionError for a document without whole sentences.
    """
    spans: dict[int, tuple[Passage, int]] = {}
    for passage in passages:
        for start, end in sentences(passage.text):
            if _tells(passage.text[start:end]):
                spans.setdefault(passage.start + start, (passage, passage.start + end))
    found = sorted(spans.items())[:: max(1, -(-len(spans) // _READ))]
    if not found:
        raise QuestionError("This document holds no whole sentences to tell what it is about.")
    texts = [passage.text[start - passage.start : end - passage.start] for start, (passage, end) in found]
    quotes = [
        Quote(passage, start, end, 1.0)
        for start, (passage, end) in (found[index] for index in central(static_vectors().embed(texts), SENTENCES))
    ]
    hits = [Hit(passage, 0.0, 0.0, 0.0) for passage in {quote.passage.id: quote.passage for quote in quotes}.values()]
    answer = quoted_answer(question, quotes, hits)
    return replace(answer, asked=question, used=used_hits(answer), model="quotes")


def conversation_summary(question: str, answers: Sequence[Answer]) -> Answer:
    """A few sentences of earlier answers that their citations bear out, with these, in their order.

    Raises QuestionError where there is none.
    """
    proven = [
        (answer, sentence)
        for answer in answers
        for sentence in answer.sentences
        if sentence.support in _PROVEN and sentence.citations and "|" not in sentence.text
    ]
    said = list({WRITTEN.sub("", sentence.text).strip(): (answer, sentence) for answer, sentence in proven}.items())
    if not said:
        raise QuestionError("Nothing was answered from the documents in this conversation yet.", hint="Ask first.")
    text = ""
    kept: list[Sentence] = []
    citations: list[Citation] = []
    markers: list[MarkerSpan] = []
    for index in sorted(central(static_vectors().embed([words for words, _ in said]), SENTENCES)):
        words, (answer, sentence) = said[index]
        text += "\n\n" if text else ""
        start = len(text)
        text += words
        own = tuple(_cite(citations, answer.citations[number]) for number in sentence.citations)
        kept.append(Sentence(words, start, len(text), sentence.support, own, sentence.score))
        text += " "
        for place in own:
            mark = f"[{place + 1}]"
            markers.append(MarkerSpan(len(text), len(text) + len(mark), place))
            text += mark
    passages = {hit.passage.id: hit for answer in answers for hit in answer.hits}
    hits = tuple(passages[key] for key in dict.fromkeys(c.passage_id for c in citations) if key in passages)
    return Answer(
        question, text, False, asked=question, sentences=tuple(kept), citations=tuple(citations),
        markers=tuple(markers), hits=hits, model="quotes",
    )  # fmt: skip


def central(vectors: npt.NDArray[np.float32], most: int) -> list[int]:
    """The rows that are nearest to the mean of all and unlike each other: maximal marginal relevance (Carbonell and
    Goldstein 1998) against the centroid. ``vectors`` are unit rows; at most ``most`` indexes, the best first."""
    near = vectors @ vectors.mean(axis=0)
    alike = np.zeros(len(vectors), dtype=np.float32)
    left = np.ones(len(vectors), dtype=bool)
    chosen: list[int] = []
    while len(chosen) < most and left.any():
        best = int(np.argmax(np.where(left, (1 - _NEW) * near - _NEW * alike, -np.inf)))
        chosen.append(best)
        left[best] = False
        alike = np.maximum(alike, vectors @ vectors[best])
    return chosen


def _tells(sentence: str) -> bool:
    """Whether it is a whole sentence of running text."""
    whole = not sentence[0].islower() and not sentence.startswith(("#", "|", ">")) and ended(sentence)
    return whole and _SHORTEST <= len(sentence) <= _LONGEST and "\n\n" not in sentence


def _cite(citations: list[Citation], wanted: Citation) -> int:
    """The place of that citation among those so far, where it is put if it is new, numbered on."""
    for place, known in enumerate(citations):
        if (known.document_id, known.start, known.end) == (wanted.document_id, wanted.start, wanted.end):
            return place
    citations.append(replace(wanted, marker=len(citations) + 1))
    return len(citations) - 1
