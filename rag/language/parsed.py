"""A text parsed once: its language, words, values, clauses and negations, to be passed on instead of the text."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

from rag.language.languages import Check, language_of, unchecked
from rag.language.polarity import Negation, Side, clause_at, contraries_in, negations_in, pattern, sides_in
from rag.language.quantities import Value, values_of
from rag.language.words import Word, words_of


@dataclass(frozen=True)
class Parsed:
    """A text, mostly one sentence, taken apart. Offsets are in ``text``; each part is worked out when first asked for.

    ``language`` is an ISO 639-1 code, or empty where nothing tells it; such a text is read as English.
    """

    text: str
    language: str

    @property
    def read_as(self) -> str:
        """The language whose data it is read by."""
        return self.language or "en"

    @cached_property
    def words(self) -> tuple[Word, ...]:
        """Its words in order."""
        return words_of(self.text, self.read_as)

    @cached_property
    def content(self) -> tuple[Word, ...]:
        """Its content words in order."""
        return tuple(word for word in self.words if word.content)

    @cached_property
    def values(self) -> tuple[Value, ...]:
        """Its numbers, amounts and dates in order."""
        return values_of(self.text, self.read_as)

    @cached_property
    def negations(self) -> tuple[Negation, ...]:
        """Its negations in order, with what they reach."""
        return tuple(negations_in(self.text, self.words, self.read_as))

    @cached_property
    def contraries(self) -> tuple[Negation, ...]:
        """Its words that act like a "not", with what they undo."""
        return tuple(contraries_in(self.text, self.words, self.read_as))

    @cached_property
    def denials(self) -> bool:
        """Whether it has a word of denial, which no sentence may add to what it tells."""
        return bool(pattern(self.read_as, "denial").search(self.text))

    @cached_property
    def sides(self) -> tuple[Side, ...]:
        """Where it takes a side of a pair of opposites."""
        return sides_in(self.words, self.read_as)

    @property
    def unchecked(self) -> tuple[Check, ...]:
        """The checks that there is no data for in its language."""
        return unchecked(self.read_as)

    def clause(self, start: int, end: int) -> tuple[int, int]:
        """Where the clause lies that holds ``text[start:end]``."""
        return clause_at(self.text, start, end, self.read_as)

    def denies(self) -> bool:
        """Whether it negates, denies or undoes anything."""
        return bool(self.negations or self.contraries) or self.denials


def parse(text: str, language: str | None = None, otherwise: str = "") -> Parsed:
    """Parse a text, or take it as parsed before. ``language`` where it is known; else it is told by the text, and is
    ``otherwise`` (the language of the text around it) where that tells none."""
    return _parse(text, language_of(text, otherwise) if language is None else language)


@lru_cache(maxsize=4_096)
def _parse(text: str, language: str) -> Parsed:
    return Parsed(text, language)
