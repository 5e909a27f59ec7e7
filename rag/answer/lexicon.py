"""Words as the checks see them: stemmed, with offsets, parted into content and function words, names marked."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from rag.answer.countries import CAPITALS, SAME
from rag.store.terms import query_terms

TOKEN = re.compile(r"(?<![\w.])U\.[SK]\.(?:A\.)?(?!\w)|United (?:States|Kingdom)(?: of America)?\b|\w+(?:['’]\w+)*")
_SPACELESS = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]"
)


def _listed(words: str) -> frozenset[str]:
    return frozenset(words.split())


FUNCTION_WORDS = _listed(
    "a an the this that these those there here and or but nor so yet if then than as of in on at by for from to into"
    " onto"
    " with without within about above below between among through during before after over under again against across"
    " along around behind beside besides beyond near off out up down until upon via per toward towards since because"
    " while although though whether unless is are was were be been being am do does did doing done has have had having"
    " can could may might must shall should will would ought it its itself he him his himself she her hers herself they"
    " them their theirs themselves we us our ours ourselves you your yours yourself i me my mine myself one ones who"
    " whom"
    " whose which what when where why how very too also just only even still ever never not no s t d ll re ve m o"
    " some any such same other others another each every either neither both all more most much many few less least"
    " own once however therefore thus hence moreover furthermore meanwhile otherwise instead rather quite"
)
QUESTION_WORDS = _listed(
    "who whom whose which what when where why how did does do is are was were many much kind type sort according tell"
    " explain describe list name give mean please know find long old far often say said says use used call called term"
    " document documents text texts source sources article file files"
)
TITLES = _listed(
    "president general gen colonel col captain major lieutenant sergeant admiral minister secretary senator governor"
    " professor prof doctor dr mr mrs ms miss sir lord lady king queen prince princess pope bishop ambassador judge"
    " justice chancellor chairman foreign prime chief director former"
)
MONTHS = {
    name: number
    for number, names in enumerate(
        ("january jan", "february feb", "march mar", "april apr", "may", "june jun", "july jul", "august aug",
         "september sept sep", "october oct", "november nov", "december dec"), 1)
    for name in names.split()
}  # fmt: skip
_IRREGULAR = dict(
    pair.split(":")
    for pair in (
        "went:go gone:go goes:go wrote:write written:write won:win fought:fight bought:buy brought:bring thought:think"
        " taught:teach caught:catch sought:seek held:hold led:lead left:leave lost:lose made:make met:meet paid:pay"
        " said:say sold:sell sent:send spent:spend built:build told:tell took:take taken:take gave:give given:give"
        " came:come"
        " began:begin begun:begin became:become knew:know known:know grew:grow grown:grow chose:choose chosen:choose"
        " fell:fall fallen:fall rose:rise risen:rise ran:run saw:see seen:see spoke:speak spoken:speak stood:stand"
        " understood:understand wore:wear worn:wear broke:break broken:break drew:draw drawn:draw drove:drive"
        " driven:drive"
        " ate:eat eaten:eat flew:fly flown:fly forgot:forget froze:freeze frozen:freeze kept:keep felt:feel found:find"
        " got:get gotten:get heard:hear hid:hide hidden:hide laid:lay shot:shoot sang:sing sung:sing slept:sleep"
        " stole:steal stolen:steal swore:swear threw:throw thrown:throw woke:wake men:man women:woman children:child"
        " people:person feet:foot teeth:tooth mice:mouse lives:life wives:wife leaves:leave died:die dies:die dying:die"
        " lying:lie better:good best:good worse:bad worst:bad larger:large largest:large bigger:big biggest:big"
        " higher:high highest:high lower:low lowest:low older:old oldest:old younger:young youngest:young"
        " defense:defence colour:color labour:labor centre:center"
    ).split()
)
_ENDINGS = (
    ("ational", "ate"), ("ization", "ize"), ("isation", "ize"), ("fulness", "ful"), ("ousness", "ous"),
    ("iveness", "ive"), ("tional", "tion"), ("biliti", "ble"), ("entli", "ent"), ("ousli", "ous"), ("alism", "al"),
    ("aliti", "al"), ("iviti", "ive"), ("ation", "ate"), ("ator", "ate"), ("alli", "al"), ("izer", "ize"),
    ("ise", "ize"), ("bli", "ble"), ("li", ""),
)  # fmt: skip
_TAILS = "ement ance ence able ible ment ant ent ism ate iti ous ive ize ion al er ic".split()
_VOWEL = re.compile("[aeiouy]")
_MEASURE = re.compile("[aeiouy]+[^aeiouy]+")


@dataclass(frozen=True, slots=True)
class Word:
    """A word at ``text[start:end]``; ``stem`` is what is compared, ``content`` false for function words.

    ``name``: capitalised where a sentence does not demand it, or an acronym; no mere title.
    """

    stem: str
    start: int
    end: int
    content: bool
    name: bool


@lru_cache(maxsize=1_024)
def words_of(text: str) -> tuple[Word, ...]:
    """The words of a text in order. Scripts without spaces are cut into overlapping pieces, as in the index."""
    found: list[Word] = []
    opening = True
    previous_end = 0
    for match in TOKEN.finditer(text):
        start, end = match.span()
        raw = match[0]
        between = text[previous_end:start]
        opening = opening or any(c in '.!?:\n"“”•|' for c in between)
        if _SPACELESS.search(raw):
            found.extend(Word(term.text, start, end, True, False) for term in query_terms(raw, 200))
        else:
            following = text[end + 1 : end + 2]
            found.append(_word(raw, start, end, opening and not (text[end : end + 1] == " " and following.isupper())))
        opening, previous_end = False, end
    return tuple(found)


def _word(raw: str, start: int, end: int, opening: bool) -> Word:
    lower = _plain(raw)
    content = lower not in FUNCTION_WORDS
    upper = raw[0].isupper()
    acronym = raw[1:] != raw[1:].lower()
    country = SAME.get(lower) if upper and raw != "Us" else None
    if country:
        return Word(country, start, end, True, True)
    name = content and upper and (acronym or not opening) and lower not in TITLES
    return Word(stem(lower), start, end, content, name)


@lru_cache(maxsize=50_000)
def _plain(raw: str) -> str:
    """Lower case without accents and possessive endings."""
    if " " in raw or "." in raw:
        raw = "uk" if "K" in raw else "us"
    lower = unicodedata.normalize("NFKD", raw.replace("’", "'").lower())
    lower = "".join(c for c in lower if not unicodedata.combining(c))
    for ending in ("'s", "'"):
        lower = lower.removesuffix(ending)
    return lower


@lru_cache(maxsize=50_000)
def stem(word: str) -> str:
    """A word's stem, after Porter's algorithm shortened; for comparison only, not to be shown."""
    if word in _IRREGULAR:
        return stem(_IRREGULAR[word])
    if len(word) <= 3 or not word.isascii() or not word.isalpha():
        return word
    return _without_tail(_without_ending(_without_inflection(word)))


def _without_inflection(word: str) -> str:
    if word.endswith(("sses", "ies")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("eed", "ed", "ing"):
        if not word.endswith(ending):
            continue
        base = word[: -len(ending)]
        if ending == "eed":
            return base + "ee" if _MEASURE.search(base) else word
        if not _VOWEL.search(base) or len(base) < 2:
            return word
        if base.endswith(("at", "bl", "iz")):
            return base + "e"
        if len(base) > 2 and base[-1] == base[-2] and base[-1] not in "lsz":
            return base[:-1]
        word = base
        break
    if len(word) > 3 and word.endswith("y") and _VOWEL.search(word[:-1]):
        word = word[:-1] + "i"
    return word


def _without_ending(word: str) -> str:
    for ending, replacement in _ENDINGS:
        base = word.removesuffix(ending)
        if base != word and len(base) > 2 and _MEASURE.search(base):
            return base + replacement
    return word


def _without_tail(word: str) -> str:
    for tail in _TAILS:
        if word.endswith(tail):
            base = word[: -len(tail)]
            if len(_MEASURE.findall(base)) > 1 and (tail != "ion" or base.endswith(("s", "t"))):
                word = base
            break
    if word.endswith("e") and len(word) > 4:
        word = word[:-1]
    return word[:-1] if word.endswith("ll") and len(word) > 5 else word


def seat_of(one: str, other: str) -> bool:
    """Whether one stem is a capital and the other its country, for whose government it often stands."""
    return _SEATS.get(one) == other or _SEATS.get(other) == one


_SEATS = {stem(capital): country for capital, country in CAPITALS.items()}
