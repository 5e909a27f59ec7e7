"""Codes, part numbers, dates and quoted names that a question names: exact, but for how they are spelled.

"ERR4041", "ERR 4041" and "ERR-4041" are one code, "1987-03-03" and "3 March 1987" one day, "Yildiz" and "Yıldız" one
name. A question is put in the documents' spelling before its words are compared; what is about another code of the same
make does not answer it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from rag.language import Value, same_value, values_of, words_of
from rag.text import find_folded
from rag.types import Hit, Passage

_TOKEN = re.compile(r"(?<![^\W_])[^\W_]+(?:[-/._][^\W_]+)*(?!\w)")
_RUN = re.compile(r"\d+|[^\W\d_]+")
_QUOTED = re.compile('"([^"\n]{3,80})"|“([^”\n]{3,80})”|„([^“”\n]{3,80})[“”]|«([^»\n]{3,80})»')
_SEPARATOR = r"[-/._ \u2010-\u2015]?"
_LEAST_DIGITS = 3
"""Of a bare number that may be a code's: with two one of XQuAD's answers is held back, with six "error 4043" fails."""
_BARE = re.compile(rf"(?<![\w.,-])\d{{{_LEAST_DIGITS},}}(?![\w-]|[.,]\d)")


@dataclass(frozen=True, slots=True)
class Identified:
    """A question in the documents' spelling, and what of it is ``missing`` there; ``met``: something else is not.
    ``spelled``: so stands there what it names, names too that it spells otherwise."""

    question: str
    missing: tuple[str, ...] = ()
    met: bool = False
    spelled: tuple[str, ...] = ()

    def led(self, hits: Sequence[Hit]) -> list[Hit]:
        """The hits, those first that hold what it names."""
        holding = [hit for hit in hits if any(find_folded(one, hit.passage.text) for one in self.spelled)]
        return [*holding, *(hit for hit in hits if hit not in holding)]

    @property
    def notice(self) -> str:
        """What is missing, said to the user; empty if nothing is."""
        return f"The documents do not name {' or '.join(self.missing)}." if self.missing else ""


def identified(question: str, hits: Sequence[Hit]) -> Identified:
    """Look up what ``question`` names exactly in the passages found for it, their titles, headings and sources."""
    texts = [text for hit in hits for text in (hit.passage.text, *surroundings(hit.passage))]
    changes: list[tuple[int, int, str]] = []
    missing: list[str] = []
    for start, end in codes_in(question):
        shown = question[start:end]
        found = _spelled(shown, texts)
        if found:
            changes.append((start, end, found))
        else:
            missing.append(shown)
    for value in values_of(question):
        if value.kind == "date" and value.year and value.day:
            spelled = _date_in(value, texts)
            if spelled:
                changes.append((value.start, value.end, spelled))
            else:
                missing.append(question[value.start : value.end])
    for match in _QUOTED.finditer(question):
        said = next(group for group in match.groups() if group)
        if not any(find_folded(said, text) for text in texts):
            missing.append(said)
    for start, end, code in _numbers_of_codes(question, texts):
        if any(a < end and start < b for a, b, _ in changes):
            continue
        if code:
            changes.append((start, end, code))
        else:
            missing.append(question[start:end])
    met = bool(changes)
    changes += [
        (start, end, name)
        for start, end, name in _names_respelled(question, texts)
        if not any(a < end and start < b for a, b, _ in changes)
    ]
    for start, end, spelled in sorted(changes, reverse=True):
        question = question[:start] + spelled + question[end:]
    return Identified(question, tuple(missing), met, tuple(spelled for _, _, spelled in changes))


def with_holders(
    question: str, hits: Sequence[Hit], holding: Callable[[Sequence[str], int], tuple[Sequence[Passage], int]]
) -> list[Hit]:
    """The hits with the passages first that hold a code which the question names, however either spells it, and as many
    of the others as there is room for. ``holding`` gives the first passages that hold all of some words, and how many
    there are: a code that more hold than there is room for, a form's or a standard's, tells none from another, and they
    stay as the search has ranked them."""
    codes: list[str] = []
    held: dict[int, Passage] = {}
    for start, end in (*codes_in(question), *_borne(question)):
        runs = _RUN.findall(question[start:end])
        found = [holding(wanted, len(hits)) for wanted in (runs, ["".join(runs)])]
        if all(count <= len(hits) for _, count in found):
            codes.append(question[start:end])
            held |= {p.id: p for passages, _ in found for p in passages}

    def named(passage: Passage) -> bool:
        return names_one_of(codes, passage.text, " ".join(passage.heading))

    known = {hit.passage.id for hit in hits}
    best = max((hit.score for hit in hits), default=0.0)
    first = [hit for hit in hits if named(hit.passage)]
    first += [Hit(p, best, 0.0, 0.0) for p in held.values() if p.id not in known and named(p)]
    return [*first, *(hit for hit in hits if not named(hit.passage))][: len(hits)]


def names_one_of(codes: Sequence[str], text: str, heading: str) -> bool:
    """Whether ``text`` or its ``heading`` names one of the codes."""
    return any(_has(code, f"{heading}\n{text}") for code in codes)


def is_of_another(codes: Sequence[str], text: str, heading: str, siblings: Iterable[str] = ()) -> bool:
    """Whether ``text`` under ``heading`` is about another code of the same make, and about none of ``codes``.

    ``siblings`` are the other rows of its table: a row beside the one that has the code is about another.
    """
    if not codes or names_one_of(codes, text, heading):
        return False
    makes = {_make(code) for code in codes}
    if any(_make(other) in makes for other in (*_codes_of(text), *_codes_of(heading))):
        return True
    return any(_has(code, row) for code in codes for row in siblings)


def years_in(text: str) -> frozenset[int]:
    """The years that a text names, alone or in a date."""
    return frozenset(value.year for value in values_of(text) if value.kind in ("year", "date") and value.year)


def surroundings(passage: Passage) -> tuple[str, ...]:
    """What a passage stands under: its title, headings and source, whose words lines and bars may part."""
    return (passage.title, *passage.heading, re.sub(r"[_/]", " ", passage.source))


def codes_in(question: str) -> Iterator[tuple[int, int]]:
    """Where a question names a code: letters with digits, digits in groups that are no value, or a bare number."""
    dates = [v for v in values_of(question) if v.kind == "date"]
    for match in _TOKEN.finditer(question):
        within = any(v.start < match.end() and match.start() < v.end for v in dates)
        if not within and _is_code(match[0]):
            yield match.span()


def _is_code(token: str) -> bool:
    """Whether a token is a code: letters and then digits ("ERR-4041", "v2.1"), capitals after digits ("10-K"), or
    groups of digits of which one opens with a zero ("0042-17"). A word that only ends in a number of its own, as in
    "16-year-old", is none."""
    runs = _RUN.findall(token)
    letters = [run for run in runs if not run.isdigit()]
    if not any(run.isdigit() for run in runs):
        return False
    if not letters:
        return len(runs) > 1 and "." not in token and any(run[0] == "0" for run in runs)
    if runs[0].isdigit():
        return all(run.isupper() for run in letters)
    return len(runs) > 1 and runs[1].isdigit()


@lru_cache(maxsize=4_096)
def _codes_of(text: str) -> tuple[str, ...]:
    return tuple(match[0] for match in _TOKEN.finditer(text) if _is_code(match[0]))


def _make(code: str) -> str:
    """What codes of one make have in common: their first letters, then letters and digits by turns."""
    runs = _RUN.findall(plain(code))
    return " ".join([runs[0] if not runs[0].isdigit() else "#", *("#" if run.isdigit() else "a" for run in runs[1:])])


@lru_cache(maxsize=1_024)
def _pattern(code: str) -> re.Pattern[str]:
    parts = [re.escape(run) for run in _RUN.findall(plain(code))]
    return re.compile(rf"(?<![^\W_]){_SEPARATOR.join(parts)}(?![^\W_])")


def _has(code: str, text: str) -> bool:
    return bool(_pattern(code).search(plain(text)))


def _spelled(code: str, texts: Sequence[str]) -> str:
    """The code as the documents write it, with the separators it has there; empty where they do not."""
    for text in texts:
        match = _pattern(code).search(plain(text))
        if match:
            return text[slice(*match.span())]
    return ""


def _date_in(value: Value, texts: Sequence[str]) -> str:
    """The day as the documents write it; empty where they do not name it."""
    for text in texts:
        for other in values_of(text):
            if other.kind == "date" and other.year and same_value(value, other):
                return text[other.start : other.end]
    return ""


def _numbers_of_codes(question: str, texts: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """The question's bare numbers that stand in the documents within one code only, with the code: "error 4043" asks
    for ERR-4043. Without one where a noun bears a number as those of codes, and no text has it: "error 4045"."""
    codes: dict[str, set[str]] = {}
    for code in dict.fromkeys(code for text in texts for code in _codes_of(text)):
        for run in _RUN.findall(code):
            codes.setdefault(run, set()).add(code)
    lengths = {len(run) for run in codes if run.isdigit()}
    borne = set(_borne(question))
    for match in _BARE.finditer(question):
        if len(match[0]) not in lengths or any(_alone(match[0], text) for text in texts):
            continue
        of = codes.get(match[0], set())
        if len(of) == 1 or (not of and match.span() in borne):
            yield (*match.span(), next(iter(of), ""))


def _borne(question: str) -> Iterator[tuple[int, int]]:
    """Where a noun bears a bare number, which is no year and has no unit of its own: "error 4043"."""
    years = [value for value in values_of(question) if value.kind != "number"]
    nouns = {word.end for word in words_of(question) if word.content and not question[word.start].isdigit()}
    for match in _BARE.finditer(question):
        named = any(v.start < match.end() and match.start() < v.end for v in years)
        if match.start() - 1 in nouns and not named:
            yield match.span()


def _alone(number: str, text: str) -> bool:
    """Whether a text has the number outside of codes."""
    inside = [m.span() for m in _TOKEN.finditer(text) if _is_code(m[0])]
    return any(not any(start <= m.start() < end for start, end in inside) for m in re.finditer(rf"\b{number}\b", text))


def _names_respelled(question: str, texts: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """The question's capitalised words that the documents spell otherwise."""
    words = {plain(word): word for text in texts for word in re.findall(r"\w+", text)}
    known = set(words.values())
    for match in re.finditer(r"\w+", question):
        shown = match[0]
        if shown not in known and shown[0].isupper() and words.get(plain(shown), shown).lower() != shown.lower():
            yield (*match.span(), words[plain(shown)])


# Letters that Unicode does not take apart into a letter and its mark.
_UNMARKED = {"ı": "i", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "ħ": "h", "ß": "s"}


def plain(text: str) -> str:
    """Text in small letters without accents, a character for a character, so that offsets stay."""
    return "".join(_plain(character) for character in text)


@lru_cache(maxsize=4_096)
def _plain(character: str) -> str:
    lower = character.lower()
    return _UNMARKED.get(lower, unicodedata.normalize("NFKD", lower)[:1] or character)
