"""Words: cut with offsets, brought to their stems by language, parted into content and function words, names marked."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache, lru_cache

import Stemmer

from rag.language.languages import CHECKED, language_of
from rag.language.tables import cells, listed, table

_TOKEN = re.compile(r"(?<![\w.])U\.[SK]\.(?:A\.)?(?!\w)|United (?:States|Kingdom)(?: of America)?\b|\w+(?:['’]\w+)*")
_SPACELESS = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]"
)
_PAIRS = (
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U000323af"
)
_TRIPLES = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
RUN = re.compile(f"[{_PAIRS}]+|[{_TRIPLES}]+")
"""A run of a script that puts no spaces between words."""
_TRIPLE = re.compile(f"[{_TRIPLES}]")
_OPENS = frozenset('.!?:\n"“”•|')


@dataclass(frozen=True, slots=True)
class Word:
    """A word at ``text[start:end]``; ``stem`` is what is compared, ``content`` false for function words.

    ``name``: capitalised where a sentence does not demand it, or an acronym; no mere title. German writes all nouns so.
    """

    stem: str
    start: int
    end: int
    content: bool
    name: bool


def words_of(text: str, language: str | None = None) -> tuple[Word, ...]:
    """The words of a text in order. Scripts without spaces are cut into overlapping pieces, as in the index.

    ``language`` is the text's; by default what ``language_of`` finds, and English where it finds none.
    """
    return _words_of(text, language_of(text, "en") if language is None else language)


@lru_cache(maxsize=2_048)
def _words_of(text: str, language: str) -> tuple[Word, ...]:
    found: list[Word] = []
    opening = True
    previous_end = 0
    for match in _TOKEN.finditer(text):
        for start, end in _parts(match, language):
            opening = opening or any(c in _OPENS for c in text[previous_end:start])
            raw = text[start:end]
            if _SPACELESS.search(raw):
                found.extend(Word(piece, start, end, True, False) for piece in _pieces_in(raw))
            else:
                following = text[end + 1 : end + 2]
                alone = opening and not (text[end : end + 1] == " " and following.isupper())
                found.append(_word(raw, start, end, alone, language))
            opening, previous_end = False, end
    return tuple(found)


def _parts(match: re.Match[str], language: str) -> list[tuple[int, int]]:
    """The token, or where an article or pronoun is elided before a word ("l'eau", "n'a"), both."""
    start, end = match.span()
    if language in ("fr", "it", "ca"):
        cut = re.search("['’]", match[0])
        if cut and match[0][: cut.start()].lower() in listed(language, "function"):
            return [(start, start + cut.start()), (start + cut.end(), end)]
    return [(start, end)]


def _word(raw: str, start: int, end: int, opening: bool, language: str) -> Word:
    lower = raw.replace("’", "'").lower()
    plain = _plain(raw)
    functions = listed(language, "function")
    content = lower not in functions and plain not in functions
    upper = raw[0].isupper()
    acronym = raw[1:] != raw[1:].lower()
    country = _country_words()[0].get(plain) if upper and raw != "Us" else None
    if country:
        return Word(country, start, end, True, True)
    name = content and upper and (acronym or not opening) and not is_title(raw)
    return Word(stem(lower, language), start, end, content, name)


@lru_cache(maxsize=50_000)
def _plain(raw: str) -> str:
    """Lower case without accents and possessive endings."""
    if " " in raw or "." in raw:
        raw = "uk" if "K" in raw else "us"
    lower = _without_accents(raw.replace("’", "'").lower())
    for ending in ("'s", "'"):
        lower = lower.removesuffix(ending)
    return lower


def _without_accents(word: str) -> str:
    if word.isascii():
        return word
    return "".join(c for c in unicodedata.normalize("NFKD", word) if not unicodedata.combining(c))


@lru_cache(maxsize=100_000)
def stem(word: str, language: str = "en") -> str:
    """A word's stem, by Snowball's algorithm of its language after its irregular forms; without accents.

    For comparison only, not to be shown. A language without an algorithm keeps the word.
    """
    if language == "en":
        word = _plain(word)
    algorithm = CHECKED.get(language)
    if algorithm is None:
        return _plain(word)
    base = _irregular(language).get(word, word)
    if len(base) <= 2 or not base.isalpha():
        return _without_accents(base)
    found = str(_stemmer(algorithm).stemWord(unicodedata.normalize("NFC", base)))
    if language == "en" and len(found) > 4 and found.endswith(("is", "ys")):
        # "organise" and "organize", "analyse" and "analyze"
        found = found[:-1] + "z"
    return _without_accents(found)


@cache
def _synonyms() -> dict[str, str]:
    rows = [row["words"].split() for row in table("synonyms")]
    return {stem(word): stem(words[0]) for words in reversed(rows) for word in words}


def key(word: str) -> str:
    """What stands for the English stem ``word`` and all stems that can replace it: different words for one thing, as
    statements of different sources are compared."""
    return _synonyms().get(word, word)


@cache
def _stemmer(algorithm: str) -> Stemmer.Stemmer:
    return Stemmer.Stemmer(algorithm)


@cache
def _irregular(language: str) -> dict[str, str]:
    return {row["form"]: row["word"] for row in table("irregular") if row["language"] == language}


def pieces(run: str) -> list[str]:
    """Every character of a run without spaces with its followers, two in all or three where the script is an alphabet,
    as Lucene's CJK analyzer cuts; the last ones are shorter, so that a prefix search finds them."""
    size = piece_size(run)
    return [run[i : i + size] for i in range(len(run))]


def piece_size(run: str) -> int:
    """How many characters of a run are looked for together."""
    return 3 if _TRIPLE.match(run) else 2


def _pieces_in(token: str) -> list[str]:
    """The different pieces of a token that may hold runs, and its other words."""
    normal = unicodedata.normalize("NFKC", token).lower()
    found: dict[str, None] = {}
    position = 0
    for run in [*RUN.finditer(normal), None]:
        found.update(dict.fromkeys(normal[position : run.start() if run else len(normal)].split()))
        if run is None:
            break
        position = run.end()
        size = piece_size(run[0])
        found.update(dict.fromkeys(p for p in pieces(run[0]) if len(p) == size or len(run[0]) < size))
    return list(found)


@cache
def _country_words() -> tuple[dict[str, str], dict[str, str]]:
    same: dict[str, str] = {}
    seats: dict[str, str] = {}
    for row in reversed(table("countries")):
        own = [row["country"], *cells(row["words"])]
        same.update(dict.fromkeys([*own, *(f"{name}s" for name in own)], row["country"]))
        seats.update({stem(seat): row["country"] for seat in cells(row["seats"])})
    return same, seats


def words_for_country(country: str) -> tuple[str, ...]:
    """The words for a country, its adjective and people's too, by its stem; none if it is no country."""
    return _words_by_country().get(country, ())


@cache
def _words_by_country() -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for word, country in _country_words()[0].items():
        found.setdefault(country, []).append(word)
    return {country: tuple(words) for country, words in found.items()}


@cache
def stems_listed(language: str, kind: str) -> frozenset[str]:
    """The stems of the words of one kind in ``function_words.tsv``."""
    return frozenset(stem(word, language) for word in listed(language, kind))


def capitalises_nouns(language: str) -> bool:
    """Whether a capital tells no name from a noun."""
    return language == "de"


def is_title(word: str) -> bool:
    """Whether a word goes before a name and is none: "President", "Dr"."""
    return _plain(word) in listed("en", "title")


def seat_of(one: str, other: str) -> bool:
    """Whether one stem is a capital and the other its country, for whose government it often stands."""
    seats = _country_words()[1]
    return seats.get(one) == other or seats.get(other) == one
