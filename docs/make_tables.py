"""Holds the tables of ``rag/data`` that were made from a source against that source: what it gives and the table lacks
was left out by hand, what the table has beyond it was added by hand.

    pip install babel==2.18.0 simplemma==2.0.0 countryinfo==1.0.1
    apt-get download wordnet-base && dpkg -x wordnet-base_*.deb wn
    python docs/make_tables.py wn/usr/share/wordnet

Prints both for every table; with ``--rows`` all that the source gives, as rows. Nothing is written.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import permutations
from pathlib import Path

from babel import Locale  # type: ignore[import-not-found,import-untyped,unused-ignore]
from countryinfo import CountryInfo, CountryNotFoundError  # type: ignore[import-not-found,import-untyped,unused-ignore]
from simplemma import lemmatize  # type: ignore[import-not-found,import-untyped,unused-ignore]

sys.path.insert(0, str(Path(__file__).parents[1]))

from rag.language.tables import cells, table
from rag.language.words import stem

LANGUAGES = ("en", "de", "fr", "es", "pt", "it")
Rows = dict[tuple[str, ...], set[str]]
"""The words of each row by the cells that name it."""
UNITS = {
    **{name: f"duration-{name}" for name in "second minute hour day week month year decade century".split()},
    **{f"{name}re": f"length-{name}er" for name in ("millimet", "centimet", "met", "kilomet")},
    **{name: f"length-{name}" for name in ("mile", "foot", "inch", "yard")}, "acre": "area-acre",
    "hectare": "area-hectare", "square metre": "area-square-meter", "square kilometre": "area-square-kilometer",
    **{name: f"mass-{name}" for name in ("gram", "kilogram", "tonne", "ounce", "pound")}, "litre": "volume-liter",
    "gallon": "volume-gallon", **{name: f"power-{name}" for name in ("watt", "kilowatt", "megawatt")},
    "degree": "temperature-generic",
}  # fmt: skip
SEEN_OFTEN = 3
"""So often a word stands in WordNet's tagged texts whose irregular forms are taken."""


def plain(text: str) -> str:
    """Small letters without accents."""
    return "".join(c for c in unicodedata.normalize("NFKD", text.lower()) if not unicodedata.combining(c))


def months() -> Rows:
    """The names of the months, wide and abbreviated, in a date and standing alone (CLDR)."""
    found: Rows = {}
    for language in (*LANGUAGES, "nl"):
        for form in Locale(language).months.values():
            for width in ("wide", "abbreviated"):
                for number, name in form[width].items():
                    found.setdefault((language, str(number)), set()).add(name.lower().rstrip("."))
    return found


def units() -> Rows:
    """What a unit of measure is called in all its numbers and in "per" it (CLDR's long forms)."""
    found: Rows = {}
    for language in LANGUAGES:
        patterns = Locale(language)._data["unit_patterns"]
        for unit, name in UNITS.items():
            words = {re.sub(r"\{\d\}", "", text).strip().lower() for text in patterns[name]["long"].values()}
            found[language, "measure", unit] = {word.replace("\u00a0", " ") for word in words} - {""}
    return found


def countries() -> Rows:
    """The other names of a country in six languages and its people's (CLDR, countryinfo)."""
    codes = {plain(name).replace(" ", "_"): code for code, name in Locale("en").territories.items() if code.isalpha()}
    found: Rows = {}
    for row in table("countries"):
        if code := codes.get(row["country"]):
            names = {plain(Locale(language).territories[code]).replace(" ", "_") for language in LANGUAGES}
            with suppress(CountryNotFoundError):
                names.add(plain(CountryInfo(code).demonym() or "").replace(" ", "_"))
            found[(row["country"],)] = names - {"", row["country"]}
    return found


def irregular(wordnet: Path) -> Rows:
    """English forms that Snowball does not bring to their word: WordNet's exceptions, of words that are seen often."""
    seen = seen_in(wordnet)
    found: Rows = {}
    for part in ("verb", "noun", "adj", "adv"):
        for line in (wordnet / f"{part}.exc").read_text().splitlines():
            form, word = line.split()[:2]
            if form.isalpha() and seen[word] >= SEEN_OFTEN and not {("en", form)} & found.keys():
                found["en", form] = {word}
    return found


def synsets(wordnet: Path) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """Each set of words for one thing: its place, its words, its pointers (sign, place, part, words)."""
    for part in ("verb", "noun", "adj", "adv"):
        for line in (wordnet / f"data.{part}").read_text().splitlines():
            if not line.startswith("  "):
                cell = line.split("|")[0].split()
                ends = 4 + 2 * int(cell[3], 16)
                words = [word.partition("(")[0].lower() for word in cell[4:ends:2]]
                yield (
                    part + cell[0],
                    words,
                    [cell[p : p + 4] for p in range(ends + 1, ends + 1 + 4 * int(cell[ends]), 4)],
                )


def antonyms(wordnet: Path) -> set[frozenset[str]]:
    """The pairs that WordNet's antonym pointers join, both seen in its tagged texts."""
    seen, found = seen_in(wordnet), set()
    words = {place: own for place, own, _ in synsets(wordnet)}
    for place, own, pointers in synsets(wordnet):
        for sign, other, _, places in pointers:
            if sign == "!" and (theirs := words.get(place.rstrip("0123456789") + other)):
                found.add(frozenset((own[int(places[:2], 16) - 1], theirs[int(places[2:], 16) - 1])))
    return {pair for pair in found if all(seen[word] for word in pair)}


def seen_in(wordnet: Path) -> Counter[str]:
    """How often a word stands in WordNet's tagged texts."""
    seen: Counter[str] = Counter()
    for line in (wordnet / "cntlist.rev").read_text().splitlines():
        key, _, count = line.split()
        seen[key.partition("%")[0]] += int(count)
    return seen


def written(name: str, keys: tuple[str, ...], words: str) -> Rows:
    """A table's rows as it is written."""
    found: Rows = {}
    for row in table(name):
        found.setdefault(tuple(row[key] for key in keys), set()).update(cells(row[words]))
    return found


def told(name: str, source: Rows, own: Rows, rows: bool) -> Iterator[str]:
    """How a table and its source differ."""
    given = sum(len(words & own.get(key, set())) for key, words in source.items())
    yield f"{name}: {given} words from the source"
    for what, left, right in (("left out", source, own), ("added by hand", own, source)):
        more = [f"{' '.join(k)}: {', '.join(sorted(w - right.get(k, set())))}" for k, w in left.items()
                if w - right.get(k, set())]  # fmt: skip
        yield f"  {what}: {len(more)}" + "".join(f"\n    {line}" for line in more)
    if rows:
        yield from ("\t".join((*key, ", ".join(sorted(words)))) for key, words in source.items())


def main(wordnet: Path, rows: bool) -> None:
    """Print how each table stands to its source."""
    forms = irregular(wordnet)
    english = {k: w for k, w in written("irregular", ("language", "form"), "word").items() if k[0] == "en"}
    needed = {k: w for k, w in forms.items() if k in english or stem(k[1]) != stem(next(iter(w)))}
    lines = [
        *told("months", months(), written("months", ("language", "month"), "names"), rows),
        *told("units", units(), written("units", ("language", "kind", "unit"), "words"), rows),
        *told("countries", countries(), written("countries", ("country",), "words"), rows),
        *told("irregular, English", needed, english, rows),
    ]
    together = {pair for _, words, _ in synsets(wordnet) for pair in permutations(words, 2)}
    spelt = [(form, *words) for (_, form), words in english.items() if not words & needed.get(("en", form), set())]
    lines.append(f"  of those added, {sum(pair in together for pair in spelt)} are another spelling within one synset")
    other = [row for row in table("irregular") if row["language"] != "en"]
    agree = sum(lemmatize(row["form"], lang=row["language"]) == row["word"] for row in other)
    lines.append(f"irregular, other languages: simplemma brings {agree} of {len(other)} forms to the word of their row")
    single = [
        (r["words"], r["opposite"]) for r in table("polarity") if r["language"] == "en" and r["kind"] == "opposite"
    ]
    known = antonyms(wordnet)
    pairs = [pair for pair in single if all(word.isalpha() for word in pair)]
    lines.append(f"polarity, English pairs of two words: {sum(frozenset(p) in known for p in pairs)} of {len(pairs)}")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), "--rows" in sys.argv)
