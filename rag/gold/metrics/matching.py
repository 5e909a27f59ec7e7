"""Where gold words stand: quotes in documents, facts and forbidden wordings in answers, numbers as numbers."""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from difflib import SequenceMatcher
from functools import cached_property
from typing import Any, Protocol

import regex

from rag.errors import GoldError
from rag.gold.types import Fact, Span
from rag.language import Value, sentences, values_of
from rag.text import fold, fold_with_map
from rag.types import Answer, Document, Heading, Hit, Place, Turn, numbered_pages

SECONDS = 2.0
"""For one pattern on one text of at most 50,000 characters; a sound one takes milliseconds."""


class SlowPattern(GoldError):
    """A regular expression of the gold set took too long on a text."""

    code = "gold"
    hint = "Repeats within repeats, as in (a+)+, try every way to part a text; write the pattern without them."


_WORD = re.compile(r"\w+")
_NEAREST_LIMIT = 2_000_000
_TIES = 20


class Corpus(Protocol):
    """The documents a gold set speaks of, by source name."""

    def files(self) -> tuple[str, ...]:
        """All source names."""

    def text(self, file: str) -> str | None:
        """The canonical text, or ``None`` for an unknown file."""

    def page(self, file: str, number: int) -> Span | None:
        """The span of page ``number`` (from 1), or ``None`` when the file has no such page."""


@dataclass(slots=True)
class Finder:
    """Finds quotes in the documents of a corpus; a document is folded once, however many quotes are sought."""

    corpus: Corpus
    _folded: dict[str, tuple[str, list[int]]] = field(default_factory=dict)
    _found: dict[tuple[str, int | None, str], tuple[Span, ...]] = field(default_factory=dict)

    def quote(self, file: str, quote: str, page: int | None = None) -> tuple[Span, ...]:
        """Every place of ``quote`` in ``file`` (on ``page``, if given; a quote may begin there and run on), compared
        after NFKC, de-hyphenation and folding of case and white space. Empty when it is nowhere."""
        key = (file, page, quote)
        if key not in self._found:
            places = self._search(file, quote)
            if page is not None:
                bounds = self.corpus.page(file, page)
                places = tuple(p for p in places if bounds and bounds[0] <= p[0] < max(bounds[1], bounds[0] + 1))
            self._found[key] = places
        return self._found[key]

    def _search(self, file: str, quote: str) -> tuple[Span, ...]:
        text = self.corpus.text(file)
        if text is None:
            return ()
        words = quote.split()
        exact = re.compile(r"\s+".join(re.escape(word) for word in words))
        if words and (places := tuple(match.span() for match in exact.finditer(text))):
            return places
        if file not in self._folded:
            self._folded[file] = fold_with_map(text)
        return occurrences(fold(quote), text, *self._folded[file])


def occurrences(needle: str, text: str, folded: str, origin: list[int]) -> tuple[Span, ...]:
    """Spans in ``text`` of every occurrence of the folded ``needle`` in ``folded`` (see ``fold_with_map``)."""
    places: list[Span] = []
    at = folded.find(needle) if needle else -1
    while at >= 0:
        last = origin[at + len(needle) - 1]
        after = at + len(needle)
        while after < len(origin) - 1 and origin[after] <= last:
            after += 1
        stop = max(origin[after], last + 1)
        places.append((origin[at], last + max(len(text[last:stop].rstrip()), 1)))
        at = folded.find(needle, at + len(needle))
    return tuple(places)


def nearest(quote: str, text: str) -> str:
    """The stretch of ``text`` that shares most words with ``quote``: whole sentences where the quote ends one, else of
    about the quote's length; empty if it shares less than a third.

    Linear in the text; of a very long text the first two million characters are looked at.
    """
    spans = _nearest(quote, text[:_NEAREST_LIMIT])
    start, end = spans[0]
    if end and quote.rstrip()[-1:] in (".", "!", "?"):
        # Of stretches with as many words the one that has them most nearly in this order.
        start, end = max(spans, key=lambda s: SequenceMatcher(None, quote, text[slice(*s)], autojunk=False).ratio())
        base, stop = text.rfind("\n\n", 0, start) + 1, text.find("\n\n", end)
        around = ((a + base, b + base) for a, b in sentences(text[base : stop if stop > 0 else None]))
        touched = [(a, b) for a, b in around if a < end and b > start]
        start, end = (touched[0][0], touched[-1][1]) if touched else (start, end)
    return " ".join(text[start:end].split())


def _nearest(quote: str, text: str) -> list[Span]:
    wanted = Counter(match.group().lower() for match in _WORD.finditer(quote))
    found = [(m.start(), m.end(), m.group().lower()) for m in _WORD.finditer(text)]
    width = max(1, sum(wanted.values()))
    inside: Counter[str] = Counter()
    best, places, shared = 0, [0], 0
    for index, (_, _, word) in enumerate(found):
        inside[word] += 1
        shared += inside[word] <= wanted[word]
        if index >= width:
            gone = found[index - width][2]
            shared -= inside[gone] <= wanted[gone]
            inside[gone] -= 1
        if shared >= max(best, 1):
            best, places = shared, [*(places if shared == best else []), index][:_TIES]
    if not best or best * 3 < width:
        return [(0, 0)]
    return [(found[max(0, place - width + 1)][0], found[place][1]) for place in places]


class Backend(Protocol):
    """Searches, answers, and shows its documents."""

    def search(self, question: str, k: int | None = None, collection: str | None = None) -> tuple[Hit, ...]:
        """The best ``k`` passages, best first."""

    def ask(self, question: str, *, history: Sequence[Turn] = (), collection: str | None = None) -> Answer:
        """The answer."""

    def sources(self, collection: str | None = None) -> tuple[Document, ...]:
        """The documents."""

    def text(self, document_id: int) -> str:
        """A document's canonical text."""

    def layout(self, document_id: int) -> tuple[tuple[Heading, ...], tuple[Place, ...]]:
        """A document's headings and places."""

    def fingerprint(self, collection: str | None = None) -> Mapping[str, Any]:
        """Everything that can change an answer, JSON-ready."""


@dataclass
class LibraryCorpus:
    """The documents of a library's collection; texts are read once, when asked for."""

    backend: Backend
    collection: str | None = None
    _texts: dict[str, str] = field(default_factory=dict)
    _pages: dict[str, tuple[Place, ...]] = field(default_factory=dict)

    def files(self) -> tuple[str, ...]:
        """All source names."""
        return tuple(self._listed)

    def text(self, file: str) -> str | None:
        """The canonical text, or ``None`` for an unknown file."""
        if file not in self._listed:
            return None
        if file not in self._texts:
            self._texts[file] = self.backend.text(self._listed[file].id)
        return self._texts[file]

    def page(self, file: str, number: int) -> Span | None:
        """The span of page ``number``, or ``None`` when the file has no such page."""
        if file not in self._listed:
            return None
        if file not in self._pages:
            self._pages[file] = numbered_pages(self.backend.layout(self._listed[file].id)[1])
        return next(((page.start, page.end) for page in self._pages[file] if page.number == number), None)

    def hashes(self, wanted: Collection[str]) -> dict[str, str]:
        """The SHA-256 of every document, or of the ``wanted`` ones in a collection of over 1,000."""
        few = len(self._listed) <= 1_000
        return {file: known.sha256 for file, known in self._listed.items() if few or file in wanted}

    @cached_property
    def _listed(self) -> dict[str, Document]:
        return {document.source: document for document in self.backend.sources(self.collection)}


_GLUED = {"m": 1_000_000, "b": 1_000_000_000}
_NEXT = re.compile(r"[\s\u00a0-]{0,2}([^\W\d_]+|%|‰|[$€£¥₹°])")


def numbers(text: str) -> Iterator[tuple[Value, tuple[Decimal, ...]]]:
    """The numbers of a text with their readings: with and without a word such as "million", a date's year and day.
    Ordinals, versions and digits inside a name ("H1N1") are none."""
    for value in values_of(text):
        if value.kind == "date":
            readings = [Decimal(part) for part in (value.day, value.year) if part]
        else:
            readings = [value.plain, value.amount][value.spelled :]
            # "5m" may be metres or millions, "5 m" are metres.
            if value.unit in _GLUED and text[value.end : value.end + 1].lower() == value.unit:
                readings.append(value.amount * _GLUED[value.unit])
        if readings and value.kind != "ordinal":
            yield value, tuple(dict.fromkeys(readings))


def _is_one(value: Value) -> bool:
    """Whether it is a bare "one", which is far more often a pronoun than a count."""
    return value.spelled and value.amount == 1


def words_after(text: str, position: int, count: int) -> list[str]:
    """Up to ``count`` words or unit signs right after ``position``, within the sentence, lower-cased."""
    found: list[str] = []
    while len(found) < count and (match := _NEXT.match(text, position)):
        found.append(match[1].lower())
        position = match.end()
    return found


_LIMIT = 50_000
_UNITS = {
    "%": "percent", "‰": "permille", "$": "dollar", "us$": "dollar", "usd": "dollar", "€": "euro", "eur": "euro",
    "£": "pound", "gbp": "pound", "¥": "yen", "jpy": "yen", "₹": "rupee", "inr": "rupee", "pct": "percent",
    "kilometre": "km", "kilometer": "km", "kilogram": "kg", "metre": "m", "meter": "m",
}  # fmt: skip
_REACH = 3
"""A unit may stand at most this many words after its number ("5 paid working days")."""


def states(fact: Fact, text: str) -> bool:
    """Whether ``text`` (an answer without its markers) states ``fact``."""
    if fact.number is not None:
        return _states_number(fact, text[:_LIMIT])
    return any(occurs(wording, text) for wording in fact.any)


def violations(patterns: Sequence[str], text: str) -> tuple[str, ...]:
    """Those of the forbidden wordings that occur in ``text``."""
    return tuple(pattern for pattern in patterns if occurs(pattern, text))


def occurs(wording: str, text: str) -> bool:
    """Whether a plain wording or ``re:`` pattern occurs in ``text`` with no token cut at its edges.

    Both sides are folded (NFKC, case, dashes, quotation marks, white space); "12" is not in "2012", "12.5" or
    "1,012", and a pattern is also tried on the unfolded text. Raises SlowPattern when a pattern explodes on it.
    """
    text = text[:_LIMIT]
    if wording.startswith("re:"):
        pattern = regex.compile(wording[3:], regex.IGNORECASE)
        try:
            return _bounded(pattern, fold(text)) or _bounded(pattern, text)
        except TimeoutError:
            told = f"The regular expression '{wording[3:83]}' took over {SECONDS:g} s on one text."
            raise SlowPattern(told) from None
    needle = fold(wording)
    return bool(needle) and _bounded(regex.compile(f"(?={re.escape(needle)})"), fold(text), len(needle))


def _bounded(pattern: Any, text: str, width: int | None = None) -> bool:
    return any(
        not cuts_token(text, match.start())
        and not cuts_token(text, match.end() if width is None else match.start() + width)
        for match in pattern.finditer(text, timeout=SECONDS)
        if width is not None or match.group()
    )


def cuts_token(text: str, position: int) -> bool:
    """Whether a cut at ``position`` would part a word or a number."""
    if not 0 < position < len(text):
        return False
    left, right = text[position - 1], text[position]
    if _is_word(left) and _is_word(right):
        return not (_UNSPACED.match(left) or _UNSPACED.match(right))
    inner_right = right in ".," and left.isdigit() and text[position + 1 : position + 2].isdigit()
    inner_left = left in ".," and right.isdigit() and text[position - 2 : position - 1].isdigit() and position > 1
    return inner_left or inner_right


_UNSPACED = regex.compile(
    r"[\p{Script=Thai}\p{Script=Lao}\p{Script=Myanmar}\p{Script=Khmer}\p{Script=Hangul}\p{Script=Han}"
    r"\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Bopomofo}\p{Script=Yi}\u3000-\u303f]"
)
"""Scripts that put no space between words, or attach particles without one."""


def _is_word(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character).startswith("M")


def _states_number(fact: Fact, text: str) -> bool:
    wanted, tolerance = Decimal(fact.number or "0"), Decimal(fact.tolerance)
    return any(
        any(abs(reading - wanted) <= tolerance for reading in readings) and _has_unit(fact.unit, value, text)
        for value, readings in numbers(text)
        if fact.unit or not _is_one(value)
    )


def _has_unit(unit: str, value: Value, text: str) -> bool:
    if not unit:
        return True
    wanted = [_unit(word) for word in re.findall(r"[^\W\d_]+|[^\w\s]+", fold(unit))]
    if wanted == ["per", "cent"]:
        wanted = ["percent"]
    if len(wanted) == 1 and value.kind in ("money", "percent") and _unit(value.unit) == wanted[0]:
        return True
    if len(wanted) == 1 and _unit(_word_before(text, value.start)) == wanted[0]:
        return True
    # The reading without its scale word ("200" of "200 million") has the unit "million".
    after = [_unit(word) for start in {value.end, _digits_end(text, value)} for word in _after(text, start, wanted)]
    return any(after[at : at + len(wanted)] == wanted for at in range(len(after)))


def _after(text: str, start: int, wanted: list[str]) -> list[str]:
    found = words_after(text, start, _REACH + len(wanted))
    if found[:2] == ["per", "cent"]:
        found[:2] = ["percent"]
    return [*found[: _REACH + len(wanted) - 1], ""]


def _digits_end(text: str, value: Value) -> int:
    end = value.start
    while end < value.end and not (text[end - 1 : end].isdigit() and not (text[end].isdigit() or text[end] in ".,'")):
        end += 1
    return end


def _word_before(text: str, position: int) -> str:
    match = re.search(r"([^\W\d_]+|[$€£¥₹])\s?$", text[max(0, position - 40) : position])
    return match[1].lower() if match else ""


def _unit(word: str) -> str:
    word = word.lower()
    single = word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
    return _UNITS.get(word) or _UNITS.get(single) or single


def number_support(answer: str, evidence: Iterable[str]) -> float | None:
    """Share of the numbers of ``answer`` that also stand in one of the ``evidence`` texts; ``None`` without numbers."""
    stated = [readings for value, readings in numbers(answer) if not _is_one(value)]
    if not stated:
        return None
    known = {reading for text in evidence for _, readings in numbers(text) for reading in readings}
    return sum(any(reading in known for reading in readings) for readings in stated) / len(stated)


def token_f1(answer: str, references: Sequence[str]) -> float:
    """The best token F1 of ``answer`` against the references, as SQuAD's evaluation script defines it: lower case,
    without punctuation and articles."""
    return max((_f1(_tokens(answer), _tokens(reference)) for reference in references), default=0.0)


def _tokens(text: str) -> list[str]:
    bare = "".join(character for character in text.lower() if character not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", bare).split()


def _f1(predicted: list[str], gold: list[str]) -> float:
    if not predicted or not gold:
        return float(predicted == gold)
    shared = sum((Counter(predicted) & Counter(gold)).values())
    if not shared:
        return 0.0
    precision, recall = shared / len(predicted), shared / len(gold)
    return 2 * precision * recall / (precision + recall)
