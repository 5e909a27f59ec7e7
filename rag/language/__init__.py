"""Words of any language: what every room above knows of text, in one place.

Parse a text once and pass the result on::

    from rag.language import parse

    said = parse("The council did not approve two hundred and fifty flats.")
    said.language     # "en"
    said.words        # Word(stem="council", start=4, end=11, content=True, name=False), ...
    said.values       # Value(kind="number", amount=Decimal(250), unit="flats", ...)
    said.negations    # Negation at "not", and the words it reaches
    said.sides        # "approve" is one side of a pair of opposites
    said.unchecked    # () for en, de, fr, es, pt, it; else the checks that there is no data for

``sentences(text)`` gives the sentences' offsets; ``parse(part, otherwise=whole.language)`` parses one of them in the
language of the text it is from. Two texts are compared by ``Word.stem``, ``key(stem)`` (synonyms), ``same_value`` and
``other_unit``. What the rooms know is data: ``rag/data/*.tsv``, read by ``rag.language.tables``.
"""

from rag.language.languages import CHECKED, Check, language_of, unchecked
from rag.language.parsed import Parsed, parse
from rag.language.polarity import Negation, Side
from rag.language.quantities import Value, other_unit, same_value, values_of
from rag.language.sentences import sentences
from rag.language.words import Word, key, stem, words_of

__all__ = [
    "CHECKED", "Check", "Negation", "Parsed", "Side", "Value", "Word", "key", "language_of", "other_unit", "parse",
    "same_value", "sentences", "stem", "unchecked", "values_of", "words_of",
]  # fmt: skip
