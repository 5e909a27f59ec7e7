"""A passage's sentences, taken apart once for every room, and the citation of a span of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from rag.language import Parsed, Value, Word, language_of, parse, sentences
from rag.language.tables import pattern
from rag.types import Citation, Origin, Passage, Place

# Characters, as long as a sentence can be (``rag.answer.verify.verifier``).
_REACH = 600


@dataclass(frozen=True, slots=True)
class Unit:
    """A sentence at ``start:end`` of its passage's text, parsed; the offsets of its parts count from ``start``."""

    parsed: Parsed
    start: int
    end: int

    @property
    def text(self) -> str:
        """The sentence itself."""
        return self.parsed.text

    @property
    def words(self) -> tuple[Word, ...]:
        """Its words."""
        return self.parsed.words

    @property
    def values(self) -> tuple[Value, ...]:
        """The numbers and dates in it."""
        return self.parsed.values

    @property
    def points_back(self) -> bool:
        """Whether a pronoun stands where its subject should be."""
        return bool(pattern("points back").match(self.text))

    @property
    def connects(self) -> bool:
        """Whether it opens with a word that ties it to the sentence before: "however", "for example"."""
        return bool(pattern("connects").match(self.text))

    @property
    def refers(self) -> bool:
        """Whether it speaks of "these devices" or "such a law" that it does not name itself."""
        return bool(pattern("refers").search(self.text))

    @property
    def goes_on(self) -> bool:
        """Whether it opens as the continuation of a thought."""
        return self.connects or bool(pattern("goes on").match(self.text))


@lru_cache(maxsize=2_048)
def units_of(text: str) -> tuple[Unit, ...]:
    """The sentences of a passage that hold a word, parsed in the passage's language."""
    language = language_of(text)
    found = (Unit(parse(text[start:end], language or None), start, end) for start, end in sentences(text))
    return tuple(unit for unit in found if unit.words)


def whole(passage: Passage, before: Passage | None, after: Passage | None) -> Passage:
    """The passage with the rest of the sentences that its own beginning and end cut, from its neighbours: still a true
    slice of its document. A sentence that no neighbour holds the rest of within ``_REACH`` characters stays cut."""
    if before is not None and before.start < passage.start <= before.end:
        joined = before.text[: passage.start - before.start] + passage.text
        cut = _cut_sentence(joined, passage.start - before.start)
        if cut is not None:
            start = before.start + cut[0]
            places = tuple(p.clipped(start, passage.start, before.text, before.start) for p in _within(before, start))
            text = joined[cut[0] :]
            passage = replace(passage, start=start, text=text, places=(*_met(places), *passage.places))
    if after is not None and after.start <= passage.end < after.end:
        joined = passage.text + after.text[passage.end - after.start :]
        cut = _cut_sentence(joined, passage.end - passage.start)
        if cut is not None:
            end = passage.start + cut[1]
            places = tuple(p.clipped(passage.end, end, after.text, after.start) for p in after.places)
            passage = replace(passage, end=end, text=joined[: cut[1]], places=(*passage.places, *_met(places)))
    return passage


def _within(passage: Passage, start: int) -> Iterator[Place]:
    return (place for place in passage.places if place.end > start)


def _met(places: Iterable[Place]) -> Iterator[Place]:
    return (place for place in places if place.start < place.end)


def _cut_sentence(text: str, at: int) -> tuple[int, int] | None:
    """The sentence that goes on over ``at``, if one does and is not too long."""
    first, last = max(0, at - _REACH), min(len(text), at + _REACH)
    for start, end in sentences(text[first:last]):
        if first + start < at < first + end:
            inside = (start > 0 or first == 0) and (end < last - first or last == len(text))
            return (first + start, first + end) if inside else None
    return None


def citation_for(passage: Passage, start: int, end: int, marker: int, origin: Origin) -> Citation:
    """The citation of ``[start, end)`` (offsets in the document), which must lie within ``passage``."""
    return Citation(
        marker=marker,
        document_id=passage.document_id,
        passage_id=passage.id,
        source=passage.source,
        title=passage.title,
        page=passage.page_of(start),
        heading=passage.heading,
        start=start,
        end=end,
        quote=passage.text[start - passage.start : end - passage.start],
        origin=origin,
        place=passage.place_of(start, end),
    )
