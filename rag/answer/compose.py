"""An ``Answer`` put together from what was quoted, or from what could not be answered."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from rag.answer.passages import citation_for
from rag.answer.quoting import Quote
from rag.types import (
    Answer,
    Citation,
    Disagreement,
    Heading,
    Hit,
    MarkerSpan,
    Outcome,
    Sentence,
    Support,
    heading_path,
)

_ENDED = re.compile(r"[.!?\u2026\u3002\uff01\uff1f\u061f]\W*$")
NOT_FOUND = "This is not in the documents."
CLOSEST = "The documents may not answer this. Closest to it:"
NEAREST = "This is not in the documents. The nearest passages are listed with the sources."


def quoted_answer(
    question: str, quotes: Sequence[Quote], hits: Sequence[Hit], *, certain: bool = True, said: str = ""
) -> Answer:
    """The quotes in reading order, a paragraph each, every one followed by the marker of its citation.

    The rows of one table stand under its head, which each of them cites too. Unless it is ``certain`` that the quotes
    answer, they are what is closest to an answer, and said to be that. What is ``said`` of them stands above quotes
    that are in order already. A quote of words that a machine read with doubt is partly supported.
    """
    order = {hit.passage.document_id: rank for rank, hit in reversed(list(enumerate(hits)))}
    ordered = sorted(quotes, key=lambda q: (order.get(q.passage.document_id, len(order)), q.start))
    ordered = list(quotes) if said else ordered
    text, above = said or ("" if certain else CLOSEST), -1
    sentences: list[Sentence] = []
    citations: list[Citation] = []
    markers: list[MarkerSpan] = []
    for before, quote in zip([None, *ordered], ordered, strict=False):
        same = before is not None and quote.head is not None and _head(before) == _head(quote)
        text += "\n" if same else "\n\n" if text else ""
        start = len(text)
        if quote.head and not same:
            above = len(citations)
            citations.append(citation_for(quote.passage, *quote.head, above + 1, "quoted"))
            text += f"{citations[above].quote}\n"
        own = (*((above,) if quote.head else ()), len(citations))
        citations.append(citation_for(quote.passage, quote.start, quote.end, len(citations) + 1, "quoted"))
        text += citations[-1].quote
        support = Support.QUOTED if quote.passage.is_certain(quote.start, quote.end) else Support.PARTIAL
        sentences.append(Sentence(text[start:], start, len(text), support, own, quote.score))
        text += " "
        for index in own:
            mark = f"[{index + 1}]"
            markers.append(MarkerSpan(len(text), len(text) + len(mark), index))
            text += mark
    return Answer(
        question=question,
        text=text,
        abstained=not certain,
        reason="" if certain else "the closest passages may not answer the question",
        outcome=Outcome.ANSWERED if certain else Outcome.UNCERTAIN,
        sentences=tuple(sentences),
        citations=tuple(citations),
        markers=tuple(markers),
        hits=tuple(hits),
    )


def _head(quote: Quote) -> tuple[int, tuple[int, int] | None]:
    return quote.passage.document_id, quote.head


def located(citations: Sequence[Citation], headings: Callable[[int], Sequence[Heading]]) -> tuple[Citation, ...]:
    """The citations with the headings above their own first character, which may stand below the passage's first.

    ``headings`` gives a document's headings by its id.
    """
    known = {c.document_id: headings(c.document_id) for c in citations}
    return tuple(replace(c, heading=heading_path(known[c.document_id], c.start)) for c in citations)


def flag_place(sentence: Sentence) -> int:
    """The offset for a remark on a sentence: after it, but in the last cell of a table's row."""
    return sentence.end - 1 if sentence.text.endswith("|") else sentence.end


def supported_spans(answer: Answer) -> list[tuple[int, int, int]]:
    """What the answer's supported sentences rest on, as (document, start, end)."""
    cited = {
        index
        for sentence in answer.sentences
        if sentence.support in (Support.QUOTED, Support.SUPPORTED, Support.PARTIAL)
        for index in sentence.citations
    }
    return [(c.document_id, c.start, c.end) for index, c in enumerate(answer.citations) if index in cited]


def uncertified_end(sentences: tuple[Sentence, ...]) -> tuple[Sentence, ...]:
    """The sentences of an answer that was cut off: the last one, if it has no end, is supported in part at most, since
    its rest might have turned it."""
    if not sentences or _ENDED.search(sentences[-1].text):
        return sentences
    *whole, last = sentences
    certified = last.support in (Support.QUOTED, Support.SUPPORTED)
    return (*whole, replace(last, support=Support.PARTIAL) if certified else last)


def ended(text: str) -> bool:
    """Whether a text ends as a sentence does."""
    return bool(_ENDED.search(text))


def used_hits(answer: Answer) -> tuple[int, ...]:
    """Which of the answer's hits its citations and disagreements rest on, as indexes in order."""
    claims = [claim.citation for found in answer.disagreements for claim in found.claims]
    places = {(c.document_id, c.start, c.end) for c in (*answer.citations, *claims)}
    return tuple(
        index
        for index, passage in enumerate(hit.passage for hit in answer.hits)
        if any(d == passage.document_id and passage.start <= s and e <= passage.end for d, s, e in places)
    )


def located_claims(
    found: Sequence[Disagreement], headings: Callable[[int], Sequence[Heading]]
) -> tuple[Disagreement, ...]:
    """The disagreements with their claims' citations ``located``."""
    return tuple(
        replace(item, claims=tuple(replace(c, citation=located([c.citation], headings)[0]) for c in item.claims))
        for item in found
    )


def abstention(question: str, hits: Sequence[Hit], reason: str) -> Answer:
    """The plain refusal, with the nearest passages as hits. ``reason`` says who decided and why."""
    return Answer(
        question=question,
        text=NEAREST if hits else NOT_FOUND,
        abstained=True,
        reason=reason,
        outcome=Outcome.ABSENT,
        hits=tuple(hits),
    )
