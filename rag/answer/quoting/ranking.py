"""Which sentences of the found passages answer a question: candidates, their features and a linear score."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from rag.answer.passages import Unit, units_of
from rag.answer.quoting.identifiers import codes_in, is_of_another, names_one_of, surroundings, years_in
from rag.answer.quoting.question import Question
from rag.answer.synonymy import SAME_BEGINNING, Array, Softness, Vocabulary, has_digit
from rag.language import Word, same_value, words_of
from rag.language.questions import answer_places
from rag.language.words import seat_of
from rag.models.static import StaticVectors
from rag.types import Hit, Passage

# The weights were fitted over these. The benchmark ``quoting`` sets each about half and twice as large: no more than
# one answer of a held-out set is lost or gained by it.
_SOFTNESS = Softness(0.35, 0.8, 0.9)
"""Without it 0.014 of CLAPNQ's answers and 0.018 of XQuAD's are held back for want of the question's words."""
_SEAT = 0.7
"""What a capital counts for its country: at 1 the samples' answers have 0.1 quotes more, one of 28 a fact more."""
_MISSPELT, _LEAST_SPELLING = 0.7, 5
"""What a word that a passage spells otherwise counts, and the letters from which it may be that: a misspelt name is not
missing. No answer of the sets changes without; from three letters on some do."""
ALIKE = 0.6
"""The share of the longer of two sentences' words from which they say the like: at 1 one more of the reports' 49
answers cites another year's, at 0 one of XQuAD's is lost; as a series, at 0.3 CLAPNQ's lose 0.01 of their words."""
_FEW_WORDS = 12
"""Words of a line without an end up to which it may be a byline or an entry of a menu: 6 and 24 change three of the
reports' 35 answers, none in what is right."""
_NEAR = 4
"""Content words: 2, 8 and 99 change up to three of CLAPNQ's 70 answers, by 0.01 of their words."""
_REACH = 40
"""Characters, by half of which the nearness of what is asked for falls: 20 and 80 lose and gain nothing."""
_LETTERS = 3
"""Letters for a digit that a line of figures may have: 1.5 and 6 change the number of quotes of four of the reports' 49
answers."""
_FIGURE, _FIGURES_BEGIN = re.compile(r"\d[\d.,]*"), re.compile(r"[-+(]?[$€£¥]?\s?\d")
_STATED = re.compile(r"""[.!?\u2026\u3002\uff01\uff1f\u061f\u06d4\u0964]["'\u201d\u2019\u00bb)\]*_]*$|\d\W*$""")
_ITEM = re.compile(r"[-*+\u2022]\s|\(?\w{1,3}[.)]\s")
_DASHES = re.compile(r"\s*\|?[\s:|-]*-[\s:|-]*\s*")
FEATURES = (
    "exact", "soft", "matched", "rarest", "pairs", "cosine", "meaning", "late",
    "back", "onward", "previous", "following", "heading", "passage",
    "score", "first", "elsewhere",
    "typed", "near", "untyped", "focus", "focus_like", "novel",
    "long", "question", "listed", "labelled",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Candidate:
    """Sentence ``index`` of ``units`` of the passage of hit number ``rank`` (from 0)."""

    passage: Passage
    rank: int
    units: tuple[Unit, ...]
    index: int

    @property
    def unit(self) -> Unit:
        """The sentence itself."""
        return self.units[self.index]

    @property
    def before(self) -> Unit | None:
        """The sentence before it in the passage."""
        return self.units[self.index - 1] if self.index else None

    @property
    def after(self) -> Unit | None:
        """The sentence after it in the passage."""
        return self.units[self.index + 1] if self.index + 1 < len(self.units) else None

    @property
    def heading(self) -> str:
        """The heading right above it: in its passage, or else the last above the passage's beginning."""
        above = (unit.text.lstrip("# ") for unit in reversed(self.units[: self.index]) if unit.text.startswith("#"))
        return next(above, self.passage.heading[-1] if self.passage.heading else "")

    @property
    def is_head(self) -> bool:
        """Whether it names the columns of a table: a row above a line of dashes."""
        if not is_row(self.unit.text):
            return False
        after = self.after.start if self.after else len(self.passage.text)
        below = self.passage.text[self.unit.end : after]
        return "-" in below and bool(_DASHES.fullmatch(below))

    @property
    def is_heading(self) -> bool:
        """Whether it is a heading or the title, as marked in the text or as its document tells them."""
        own = self.unit.text.strip()
        told = own == self.passage.title or own in self.passage.heading
        return own.startswith("#") or (told and not _STATED.search(own))

    @property
    def is_fragment(self) -> bool:
        """Whether it is a line of few words that ends like no sentence, and neither a row, an item nor a named value: a
        byline, a caption, an entry of a menu."""
        own = self.unit.text.strip()
        return (
            len(self.unit.words) <= _FEW_WORDS and not is_row(own) and ":" not in own
            and not _STATED.search(own) and not _ITEM.match(own)
        )  # fmt: skip

    @property
    def label(self) -> str:
        """What a line of figures, as tables stand in plain text, is the figures of; empty for any other."""
        own = self.unit.text.strip()
        numbers = [match[0] for match in _FIGURE.finditer(own)]
        digits, letters = sum(map(len, numbers)), sum(map(str.isalpha, own))
        if (
            len(numbers) < 2
            or letters > _LETTERS * digits
            or "\n" in own
            or is_row(own)
            or own.endswith((".", "?", "!"))
        ):
            return ""
        return own[: _FIGURES_BEGIN.search(own).start()].strip()  # type: ignore[union-attr]

    @property
    def siblings(self) -> tuple[str, ...]:
        """The other rows of its passage where it is a table's row."""
        if not self.unit.text.startswith("|"):
            return ()
        return tuple(u.text for u in self.units if u is not self.unit and u.text.startswith("|"))

    @property
    def start(self) -> int:
        """Its offset in the document."""
        return self.passage.start + self.unit.start

    @property
    def end(self) -> int:
        """Its end in the document."""
        return self.passage.start + self.unit.end


def is_row(text: str) -> bool:
    """Whether a sentence is a row of a table, its cells between bars."""
    return text.startswith("|") and text.count("|") >= 2


def candidates_of(hits: Sequence[Hit]) -> list[Candidate]:
    """The sentences of the hits, each place of a document once, in the order of the hits."""
    seen: set[tuple[int, int]] = set()
    found: list[Candidate] = []
    for rank, hit in enumerate(hits):
        units = units_of(hit.passage.text)
        for index, unit in enumerate(units):
            # Passages overlap: a sentence cut at one passage's edge is whole in the other.
            end = (hit.passage.document_id, hit.passage.start + unit.end)
            start = (hit.passage.document_id, -hit.passage.start - unit.start - 1)
            if end in seen or start in seen:
                continue
            seen.update((end, start))
            found.append(Candidate(hit.passage, rank, units, index))
    return found


class Similar:
    """How well each of a question's terms is matched by each stem that occurs in the candidates, in [0, 1].

    1 for the same stem; less for a common beginning or for near-synonyms by the static vectors' cosine. The last
    row of ``cosines`` belongs to the question's focus.
    """

    def __init__(self, vectors: StaticVectors, question: Question, vocabulary: dict[str, str]) -> None:
        stems = Vocabulary(vocabulary)
        self.row = stems.row
        terms = [*question.terms, *([question.focus] if question.focus else [])]
        wanted = vectors.embed_words([term.word.lower() for term in terms])
        self.vectors = vectors.embed_words(list(vocabulary.values()))
        self.cosines: Array = np.asarray(wanted @ self.vectors.T, dtype=np.float64)
        # Names of a kind have vectors alike, and yet one of them is no other.
        alike = np.where([[term.name] for term in terms], 0.0, self.cosines)
        self.table = stems.matches([term.stem for term in terms], alike, _SOFTNESS)
        for i, term in enumerate(terms):
            for stem, row in self.row.items() if term.name else ():
                if seat_of(term.stem, stem):
                    self.table[i, row] = max(self.table[i, row], _SEAT)
            # A word that no passage has may be one that a passage spells otherwise.
            for stem, row in self.row.items() if question.count and not term.frequency else ():
                if misspelt(term.stem, stem):
                    self.table[i, row] = max(self.table[i, row], _MISSPELT)

    def best(self, words: Iterable[Word]) -> Array:
        """For each term (and the focus, if there is one) its best match among the words."""
        rows = [self.row[w.stem] for w in words if w.stem in self.row]
        return np.asarray(self.table[:, rows].max(axis=1)) if rows else np.zeros(len(self.table))


def misspelt(one: str, other: str) -> bool:
    """Whether two words of letters, at least five, differ by one letter after the first: more, less, other, swapped."""
    if one[:1] != other[:1] or abs(len(one) - len(other)) > 1 or max(len(one), len(other)) < _LEAST_SPELLING:
        return False
    if one == other or not (one.isalpha() and other.isalpha()):
        return False
    first = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    a, b = one[first:], other[first:]
    return a[1:] == b or a == b[1:] or a[1:] == b[1:] or (a[:2] == b[1::-1] and a[2:] == b[2:])


@dataclass(frozen=True, slots=True)
class Ranked:
    """The candidates of a question with their features, row by row, and the terms' best matches in each.

    ``bound``: the rows that are about the codes and years the question names; all where it names none.
    """

    question: Question
    candidates: tuple[Candidate, ...]
    features: Array
    matches: Array
    bound: frozenset[int] = frozenset()


def rank(vectors: StaticVectors, question: Question, hits: Sequence[Hit]) -> Ranked:
    """The features of every candidate sentence among the hits. Costs about two milliseconds a passage, once."""
    return _rank(vectors, question, tuple(hits))


@lru_cache(maxsize=8)
def _rank(vectors: StaticVectors, question: Question, hits: tuple[Hit, ...]) -> Ranked:
    """Kept for a moment, because abstention and quotes ask for the same."""
    candidates = candidates_of(hits)
    count = len(question.terms)
    if not candidates or not count:
        return Ranked(question, (), np.zeros((0, len(FEATURES))), np.zeros((0, count)))
    view = _View(vectors, question, candidates)
    rows = [view.features(candidate, place, hits[candidate.rank]) for place, candidate in enumerate(candidates)]
    matches = np.array([view.match[id(c.unit)][:count] for c in candidates])
    fitting = {id(c) for c in _of_asked_year(question, _of_asked_codes(question, candidates))}
    bound = frozenset(row for row, candidate in enumerate(candidates) if id(candidate) in fitting)
    features = np.array([[row[name] for name in FEATURES] for row in rows])
    return Ranked(question, tuple(candidates), features, matches, bound)


def _of_asked_codes(question: Question, candidates: list[Candidate]) -> list[Candidate]:
    """Of the candidates those about the question's codes and days: they or their heading name one, or the sentence
    before does.

    Where none does, those that are about no other code of the same make.
    """
    codes = [question.text[start:end] for start, end in codes_in(question.text)]
    days = [value for value in question.values if value.kind == "date" and value.year and value.day]
    if not codes and not days:
        return candidates
    about = [
        c for c in candidates
        if (codes and names_one_of(codes, c.unit.text, c.heading))
        or any(same_value(day, value) for day in days for value in c.unit.values if value.kind == "date")
    ]  # fmt: skip
    before = {(c.passage.id, c.index + 1) for c in about}
    near = [c for c in candidates if c in about or (c.passage.id, c.index) in before]
    return [c for c in near or candidates if not is_of_another(codes, c.unit.text, c.heading, c.siblings)]


def _of_asked_year(question: Question, candidates: list[Candidate]) -> list[Candidate]:
    """The candidates without those of another year than the question's.

    That is one that names other years only, where the asked one is nowhere; or one of which the like is said of the
    asked year, in the sentence itself or by its heading, title or source.
    """
    asked = years_in(question.text)
    if not asked:
        return candidates
    own = [years_in(c.unit.text) for c in candidates]
    around = [years_in(" / ".join([c.heading, *surroundings(c.passage)])) for c in candidates]
    right = [bool(asked & (a or b)) for a, b in zip(own, around, strict=True)]
    if not any(right):
        return [c for c, years in zip(candidates, own, strict=True) if not years]
    told = [_said(c) for c, fits in zip(candidates, right, strict=True) if fits]
    return [
        c
        for c, fits, a, b in zip(candidates, right, own, around, strict=True)
        if fits or not (a or b) or not any(_likeness(_said(c), other) >= ALIKE for other in told)
    ]


def _said(candidate: Candidate) -> frozenset[str]:
    """The stems of its content words, numbers left out."""
    return frozenset(w.stem for w in candidate.unit.words if w.content and not has_digit(w.stem))


def _likeness(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / max(len(one), len(other), 1)


class _View:
    """What the features of one question's candidates have in common."""

    def __init__(self, vectors: StaticVectors, question: Question, candidates: Sequence[Candidate]) -> None:
        self.question = question
        self.similar = Similar(vectors, question, _vocabulary(candidates))
        self.terms = len(question.terms)
        weights = np.array([max(term.weight, 1e-3) for term in question.terms])
        self.weights: Array = weights / weights.sum()
        self.rarest = int(np.argmax(self.weights))
        asked = vectors.embed([question.text])[0]
        self.cosines = vectors.embed([c.unit.text for c in candidates]) @ asked
        leaning = [(c, c.before) for c in candidates if c.before and c.unit.points_back]
        joined = vectors.embed([f"{before.text} {c.unit.text}" for c, before in leaning]) @ asked
        self.joined = {id(c): float(cosine) for (c, _), cosine in zip(leaning, joined, strict=True)}
        passages = {c.passage.id: c for c in candidates}.values()
        counts = np.zeros(len(self.similar.row))
        for c in passages:
            for u in c.units:
                counts[[self.similar.row[s] for s in {w.stem for w in u.words if w.content}]] += 1
        self.rarity: Array = np.log(1 + sum(len(c.units) for c in passages) / np.maximum(counts, 1))
        self.asked = self.weights @ vectors.embed_words([term.word.lower() for term in question.terms])
        self.asked = self.asked / (np.linalg.norm(self.asked) or 1.0)
        self.match = {id(u): self.similar.best(u.words) for c in passages for u in c.units}
        heads = {(c.passage.id, c.heading): f"{_head(c.passage)} {c.heading}" for c in candidates}
        self.heads = {key: self.similar.best(words_of(text))[: self.terms] for key, text in heads.items()}
        self.passages = {
            c.passage.id: np.max([self.match[id(u)][: self.terms] for u in c.units], axis=0) for c in passages
        }

    def features(self, candidate: Candidate, place: int, hit: Hit) -> dict[str, float]:
        unit, before, after = candidate.unit, candidate.before, candidate.after
        own = self.match[id(unit)][: self.terms]
        zero = own * 0
        previous = self.match[id(before)][: self.terms] if before else zero
        following = self.match[id(after)][: self.terms] if after else zero
        head = self.heads[candidate.passage.id, candidate.heading]
        gain = float(np.maximum(previous - own, 0) @ self.weights)
        seen = np.max([own, previous, following, head], axis=0)
        size = sum(word.content for word in unit.words)
        back, onward = unit.points_back, unit.goes_on
        return {
            "exact": float((own >= 1) @ self.weights),
            "soft": float(own @ self.weights),
            "matched": float(np.mean(own >= SAME_BEGINNING)),
            "rarest": float(own[self.rarest]),
            "pairs": _pairs(self.question, unit),
            "cosine": float(self.cosines[place]),
            "meaning": self._meaning(unit),
            "late": max(self.joined.get(id(candidate), 0.0) - float(self.cosines[place]), 0.0) if back else 0.0,
            "back": gain if back else 0.0,
            "onward": gain if onward and not back else 0.0,
            "previous": gain if not back and not onward else 0.0,
            "following": float(np.maximum(following - own, 0) @ self.weights),
            "heading": float(np.maximum(head - own, 0) @ self.weights),
            "passage": float(np.maximum(self.passages[candidate.passage.id] - seen, 0) @ self.weights),
            "score": hit.score / 2,
            "first": float(candidate.rank == 0),
            "elsewhere": float(candidate.rank),
            "long": math.log(max(size, 12) / 12),
            "question": float(unit.text.endswith("?") or candidate.is_heading or candidate.is_fragment),
            "listed": float(unit.text[0] in "-*•|"),
            "labelled": self._labelled(candidate),
            **self._answer(unit),
        }

    def _labelled(self, candidate: Candidate) -> float:
        """For a line of figures whose label the question names whole: which share of its terms that is, by weight."""
        label = [w.stem for w in words_of(candidate.label) if w.content]
        if not label or not set(label) <= self.question.stems:
            return 0.0
        return float(np.array([term.stem in label for term in self.question.terms]) @ self.weights)

    def _meaning(self, unit: Unit) -> float:
        """The cosine of the question's content words, by weight, and the sentence's, by rarity among the candidates."""
        rows = list({self.similar.row[w.stem] for w in unit.words if w.content})
        if not rows:
            return 0.0
        told = self.rarity[rows] @ self.similar.vectors[rows]
        return float(self.asked @ told / (np.linalg.norm(told) or 1.0))

    def _answer(self, unit: Unit) -> dict[str, float]:
        """What the sentence holds beyond the question: a value or name of the wanted kind, words like the focus."""
        question = self.question
        fresh = [w for w in unit.words if w.content and w.stem not in question.stems]
        like = 0.0
        if question.focus and fresh:
            like = float(self.similar.cosines[-1, [self.similar.row[w.stem] for w in fresh]].max())
        places = answer_places(
            question.wanted, question.text, question.focus.stem if question.focus else "", question.values,
            question.stems, unit.text, unit.words, unit.values, self._like_focus,
        )  # fmt: skip
        matched = [w.start for w in unit.words if w.content and w.stem in question.stems]
        near = 0.0
        if places and matched:
            near = max(fit / (1 + min(abs(p - m) for m in matched) / _REACH) for p, fit in places)
        return {
            "typed": 0.0 if places is None else max((fit for _, fit in places), default=0.0),
            "near": near,
            "untyped": float(places is not None and not places),
            "focus": float(self.match[id(unit)][-1]) if question.focus else 0.0,
            "focus_like": max(0.0, like),
            "novel": min(len(fresh), 8) / 8,
        }

    def _like_focus(self, stem: str) -> float:
        row = self.similar.row.get(stem)
        return 0.0 if row is None or not self.question.focus else float(self.similar.table[-1, row])


def _head(passage: Passage) -> str:
    return " ".join([passage.title, *passage.heading])


def _vocabulary(candidates: Sequence[Candidate]) -> dict[str, str]:
    """The content stems of the candidates' passages and headings, each with a word that has it."""
    found: dict[str, str] = {}
    for candidate in {c.passage.id: c for c in candidates}.values():
        texts = [(unit.text, unit.words) for unit in candidate.units]
        head = _head(candidate.passage)
        for text, words in [*texts, (head, words_of(head))]:
            for word in words:
                if word.content and word.stem not in found:
                    found[word.stem] = text[word.start : word.end].lower()
    return found


def _pairs(question: Question, unit: Unit) -> float:
    """The share of the question's neighbouring content words that stand close together in the sentence too."""
    if not question.pairs:
        return 0.0
    places: dict[str, list[int]] = {}
    for place, word in enumerate(word for word in unit.words if word.content):
        places.setdefault(word.stem, []).append(place)
    near = sum(any(abs(i - j) < _NEAR for i in places.get(a, ()) for j in places.get(b, ())) for a, b in question.pairs)
    return near / len(question.pairs)
