"""When two sentences of different sources speak of the same thing, and whether they contradict each other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise

from rag.answer.conflicts.figures import different_figures
from rag.answer.conflicts.holders import different_holders
from rag.answer.conflicts.statement import FEWEST_SHARED, SHARED, Statement, asked_of, covers, same_ties, share_of
from rag.language import Word, key, parse, words_of
from rag.language.tables import pattern
from rag.language.words import seat_of, stems_listed, words_for_country

# The benchmark of the rules also sets these, and the constants of the rooms beside, smaller, larger and to their ends:
# alone none of them moves a held-out set by more than one of its 46 pairs. What one lets through, others hold.
_SHARED_OF_LONGER, _HALF = 0.5, 0.5
_YEAR = re.compile(r"(?<!\d)(?:19|20)\d{2}(?!\d)")


@dataclass(frozen=True, slots=True)
class Conflict:
    """What the two sentences say against each other, as written, and the keys of what it is about."""

    one: str
    other: str
    subject: frozenset[str]


def conflicts(one: Statement, other: Statement, question: str = "") -> list[Conflict]:
    """The contradictions of two sentences; none where they may speak of different things, times or cases."""
    if one.passage.document_id == other.passage.document_id or _of_other_times(one, other):
        return []
    shared = frozenset(one.topic.keys() & other.topic.keys())
    asked = asked_of(question)
    found: list[tuple[str, str]] = []
    if not _both_asked_of(one, other, asked):
        return []
    named = all(s.names or s.meant for s in (one, other))
    known = not named or _same_names(one, other)
    if known and _about_the_same(one, other, asked) and not _told_apart(one, other):
        found = different_figures(one, other, question)
        found = found or _negated(one, other, asked) or _opposite(one, other, asked)
    found = found or different_holders(one, other, question)
    return [Conflict(a, b, shared) for a, b in found]


def sides_asked(question: str) -> list[tuple[int, frozenset[str]]]:
    """The views of which the question itself names both sides ("better or worse"), and the keys of its other words."""
    found = []
    sides = parse(question).sides
    for view in dict.fromkeys(side.pair for side in sides):
        named = [side for side in sides if side.pair == view]
        rest = {k for k, w in asked_of(question).items() if not any(s.start <= w.start < s.end for s in named)}
        if len({side.sign for side in named}) == 2 and rest:
            found.append((view, frozenset(rest)))
    return found


def opposed_views(one: Statement, other: Statement, view: int, asked: frozenset[str]) -> list[Conflict]:
    """The contradiction of two sentences that take opposite sides of ``view`` on what the keys ``asked`` name."""
    if one.passage.document_id == other.passage.document_id:
        return []
    if any(share_of(asked, s, s.around) < 1 for s in (one, other)):
        return []
    for a, mine in one.views.get(view, ()):
        for b, theirs in other.views.get(view, ()):
            near = _near(one, mine) & _near(other, theirs)
            if a == -b and near & asked and one.ties(*mine) - {"?"} == other.ties(*theirs) - {"?"}:
                return [Conflict(one.text, other.text, asked)]
    return []


def _about_the_same(one: Statement, other: Statement, asked: dict[str, Word]) -> bool:
    """Whether the sentences share most of their words, or both have those of the question and some in common."""
    a, b = one.topic, other.topic
    shared = a.keys() & b.keys()
    if not shared:
        return False
    small, large = sorted((len(a), len(b)))
    enough = min(FEWEST_SHARED, small) if one.header & other.header & {*asked} else FEWEST_SHARED
    for common in (len(shared), len(shared) + 1):
        alike = common >= max(enough, SHARED * small) and common >= _SHARED_OF_LONGER * large
        # Two sides of one view are said of one thing.
        if alike and (common == len(shared) or _opposite_sides(one, other)):
            return not _replaced(one, other)
    if len(asked) < 2:
        return False
    covered = all(covers(s, asked) and share_of(asked, s) >= _HALF for s in (one, other))
    return covered and len(shared & asked.keys()) >= min(2, len(asked)) and not _replaced(one, other)


def _opposite_sides(one: Statement, other: Statement) -> bool:
    return any(one.views[v][0][0] == -other.views[v][0][0] for v in one.views.keys() & other.views.keys())


def _replaced(one: Statement, other: Statement) -> bool:
    """Whether a word stands in one sentence where another stands in the other, joined alike to an equal word."""
    mine, theirs = ([w for w in s.words if s.tells(w)] for s in (one, other))
    a, b = [key(w.stem) for w in mine], [key(w.stem) for w in theirs]
    for kind, i, j, k, m in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        alien = set(a[i:j]) - other.topic.keys(), set(b[k:m]) - one.topic.keys()
        if kind != "replace" or not all(alien):
            continue
        if _opposites_only(one, mine[i:j], other, theirs[k:m]):
            continue
        left = i and k and _gap(one, mine, i - 1) == _gap(other, theirs, k - 1)
        right = j < len(a) and m < len(b) and _gap(one, mine, j - 1) == _gap(other, theirs, m - 1)
        if left or right:
            return True
    return False


def _gap(statement: Statement, words: Sequence[Word], place: int) -> str:
    """What stands between the word at ``place`` and the next, numbers left out."""
    return re.sub(r"[\d.,]+", "#", statement.text[words[place].end : words[place + 1].start].lower())


def _opposites_only(one: Statement, mine: Sequence[Word], other: Statement, theirs: Sequence[Word]) -> bool:
    """Whether what was replaced are two sides of one view, and no two things beside them."""
    for a in one.parsed.sides:
        for b in other.parsed.sides:
            if a.pair == b.pair and a.sign == -b.sign:
                left, right = (
                    [w for w in words if not side.start <= w.start < side.end]
                    for words, side in ((mine, a), (theirs, b))
                )
                if len(left) < len(mine) and len(right) < len(theirs):
                    return not (left and right)
    return False


def _both_asked_of(one: Statement, other: Statement, asked: dict[str, Word]) -> bool:
    """Whether each name of the question is known around both sentences or around neither."""
    return all(
        len({name in s.topic or name in s.around or any(seat_of(name, k) for k in s.topic) for s in (one, other)}) == 1
        for name, word in asked.items()
        if word.name
    )


def _same_names(one: Statement, other: Statement) -> bool:
    """Whether each sentence's names are known around the other."""
    return all(
        name in other_one.topic or name in other_one.around or any(seat_of(name, k) for k in other_one.topic)
        for s, other_one in ((one, other), (other, one))
        for name in (*s.names, *s.meant)
    )


def _told_apart(one: Statement, other: Statement) -> bool:
    """Whether a word both have is qualified by different words (old and new bridge), or their documents by names."""
    mine, theirs = _qualified(one), _qualified(other)
    own, foreign = ({key(word.stem) for word in s.words} for s in (one, other))
    if any(mine[w].isdisjoint(foreign) and theirs[w].isdisjoint(own) for w in mine.keys() & theirs):
        return True
    if one.names or other.names:
        return False
    titles = [_title(s) for s in (one, other)]
    apart = [{k for k, name in title.items() if name} - s.around for title, s in zip(titles, (other, one), strict=True)]
    rest = [title.keys() - names for title, names in zip(titles, apart, strict=True)]
    of_one_kind = bool(rest[0]) and rest[0] == rest[1]
    return bool(
        apart[0] and apart[1] and (of_one_kind or all(any(words_for_country(k) for k in names) for names in apart))
    )


def _title(statement: Statement) -> dict[str, bool]:
    """The keys of its document's title and headings without numbers, and whether each is a name."""
    texts = (statement.passage.title, *statement.passage.heading)
    return {
        key(word.stem): word.name
        for text in texts
        for word in words_of(text)
        if word.content and not word.stem.isdigit()
    }


def _qualified(statement: Statement) -> dict[str, set[str]]:
    """The telling words that have others right before them, and these."""
    found: dict[str, set[str]] = {}
    for before, word in pairwise(statement.words):
        if statement.tells(before) and statement.tells(word) and statement.text[before.end : word.start] in (" ", "-"):
            found.setdefault(key(word.stem), set()).add(key(before.stem))
    return found


def _of_other_times(one: Statement, other: Statement) -> bool:
    """Whether the documents are of one series, such as quarterly reports, or their headings name different years."""
    names = [re.sub(r"[_\W]+", " ", s.passage.source.rsplit("/", 1)[-1].lower()) for s in (one, other)]
    serial = pattern("serial")
    if all(pattern("periodic").search(name) for name in names) and len({serial.sub("", name) for name in names}) == 1:
        return True
    years = [{*_YEAR.findall(" ".join(s.passage.heading))} for s in (one, other)]
    return bool(years[0] and years[1] and years[0].isdisjoint(years[1]))


def _negated(one: Statement, other: Statement, asked: dict[str, Word]) -> list[tuple[str, str]]:
    """Both sentences, if one denies what the other says."""
    if len({frozenset(s.text[m.start : m.start + 4].lower() for m in s.parsed.contraries) for s in (one, other)}) > 1:
        return []
    both = (one.topic.keys() & other.topic.keys()) - one.names.keys()
    turned = [k for k in both if (k in one.denied) != (k in other.denied)]
    if not turned or len(both) + len(one.names.keys() & other.names.keys()) < FEWEST_SHARED:
        return []
    if asked and not any(k in asked or k in stems_listed("en", "question") for k in turned):
        return []
    spans = [(s.topic[turned[0]].start, s.topic[turned[0]].end) for s in (one, other)]
    return [(one.text, other.text)] if same_ties(one, other, spans[0], spans[1]) else []


def _opposite(one: Statement, other: Statement, asked: dict[str, Word]) -> list[tuple[str, str]]:
    """Both sentences, if they take opposite sides of one view of the same subject."""
    for view in one.views.keys() & other.views.keys():
        for a, mine in one.views.get(view, ()):
            for b, theirs in other.views.get(view, ()):
                if a == -b and _near(one, mine) & _near(other, theirs) and same_ties(one, other, mine, theirs):
                    return [(one.text, other.text)]
    return []


def _near(statement: Statement, span: tuple[int, int]) -> set[str]:
    """The keys of what the words at ``span`` are said of: before them in their clause, or else in their sentence."""
    first, _ = statement.clause(*span)
    before = [w for w in statement.words if statement.tells(w) and w.start < span[0]]
    return {key(w.stem) for w in [w for w in before if w.start >= first] or before}
