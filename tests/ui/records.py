"""Stored records of turns, as ``Answer.to_dict()`` makes them, with hostile text on request."""

from __future__ import annotations

from typing import Any

from rag.types import Answer, Citation, Claim, Disagreement, Hit, MarkerSpan, Passage, Sentence, Support

LEAVE = (
    "Leave is granted per calendar year. Full-time staff receive 28 days of paid annual leave. Bank holidays are "
    "counted separately."
)
CARRY = "Requests go through the portal. Up to five unused days may be carried over until 31 March."


def passage(number: int, text: str, source: str = "handbook.pdf", page: int | None = 12, start: int = 100) -> Passage:
    """A passage whose document has ``start`` characters before it."""
    return Passage(number, 7, source, "Handbook", number, start, start + len(text), text, page, ("Leave", "Annual"))


def citation(marker: int, where: Passage, quote: str, origin: Any = "model") -> Citation:
    """The citation of ``quote`` in a passage."""
    start = where.start + where.text.index(quote)
    return Citation(
        marker,
        7,
        where.id,
        where.source,
        where.title,
        where.page,
        where.heading,
        start,
        start + len(quote),
        quote,
        origin,
    )


def answer(text: str, supports: dict[str, Support], citations: tuple[Citation, ...], **more: Any) -> Answer:
    """An answer whose ``[n]`` are markers of ``citations`` and whose sentences are the keys of ``supports``."""
    sentences = []
    for sentence, support in supports.items():
        at = text.index(sentence)
        sentences.append(Sentence(sentence, at, at + len(sentence), support))
    markers = []
    for index, item in enumerate(citations):
        mark = f"[{item.marker}]"
        at = text.index(mark)
        markers.append(MarkerSpan(at, at + len(mark), index))
    return Answer("How much leave?", text, False, sentences=tuple(sentences), citations=citations,
                  markers=tuple(markers), **more)  # fmt: skip


def leave_record() -> dict[str, Any]:
    """Two cited sentences (one citation attributed), one without support, one supported in part, a disagreement."""
    one, two = passage(1, LEAVE), passage(2, CARRY, "policy 2025.md", None, 0)
    first = citation(1, one, "Full-time staff receive 28 days of paid annual leave.")
    second = citation(2, two, "Up to five unused days may be carried over", "attributed")
    third = citation(3, two, "until 31 March", "corrected")
    text = (
        "Staff get **28 days** of leave. [1]\n\nFive days may be carried over. [2] Managers approve within two days. "
        "It ends on 31 March for all. [3]"
    )
    supports = {
        "Staff get **28 days** of leave.": Support.SUPPORTED,
        "Five days may be carried over.": Support.SUPPORTED,
        "Managers approve within two days.": Support.UNSUPPORTED,
        "It ends on 31 March for all.": Support.PARTIAL,
    }
    made = answer(
        text,
        supports,
        (first, second, third),
        hits=(Hit(one, 1.5, 0.7, 3.0), Hit(two, 1.0, 0.5, 1.0), Hit(passage(3, "Other text."), 0.2, 0.1, 0)),
        disagreements=(
            Disagreement("carry-over", (Claim("a.md", "2024", "five days", first), Claim("b.md", "", "eight", second))),
        ),
        asked="How much annual leave do staff get?",
        model="ollama:qwen3:4b",
        timings={"total": 1900.0, "first_token": 300.0, "model": 1500.0},
        tokens={"answer": 73, "prompt": 900},
        notices=("The prompt may have been cut.",),
        dropped_markers=1,
    )
    return {**made.to_dict(), "lines": {f"7:{second.start}:{second.end}": [3, 4]}}


def abstained_record() -> dict[str, Any]:
    """A question that the documents don't answer."""
    one = passage(1, LEAVE)
    return Answer(
        "Who is the CEO?", "This is not in the documents.", True, reason="nothing found that answers the question",
        hits=(Hit(one, 0.4, 0.2, 0.0),), model="quotes", timings={"total": 12.0},
    ).to_dict()  # fmt: skip
