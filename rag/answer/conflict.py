"""When two sentences of different sources speak of the same thing, and whether they contradict each other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise

from rag.answer.contrast import CONTRARY, NEGATION
from rag.answer.countries import VARIANTS
from rag.answer.figures import different_figures
from rag.answer.kindred import VIEWS, key
from rag.answer.lexicon import QUESTION_WORDS, Word, seat_of, stem
from rag.answer.statement import Statement, asked_of
from rag.answer.values import same_value
from rag.answer.wanted import wanted_of

_ASKED_ANYWAY = frozenset(map(stem, QUESTION_WORDS))
_SHARED, _SHARED_OF_LONGER, _FEWEST_SHARED = 0.7, 0.5, 2
_COVERED, _HALF = 0.7, 0.5
_LONGEST = 240
_REPLACED = 3
_REACH = 2
_SUBJECT, _OBJECT = 4, 3
# Of these a thing has one alone: who or where it was tells one source from another.
_ONLY_ONE = re.compile(
    r"\b(?:the (?:[\w-]+ ){0,2}?(?:director|mayor|president|chair|chairman|chairwoman|chairperson|head|chief|ceo"
    r"|principal|captain"
    r"|king|queen|leader|capital|headquarters|seat|author|founder|inventor|architect|designer|owner|editor"
    r"|treasurer|secretary"
    r"|minister|governor|manager|rector|dean|winner|champion|birthplace|venue|location|landlord|tenant|contact"
    r"|supplier)"
    r"|(?:director|mayor|president|chair|head|ceo|captain|capital|headquarters|author|founder|owner|editor"
    r"|treasurer|manager)\s?:"
    r"|(?:project |team )?lead(?:er)? of|leads|heads|chairs|owns|runs|manages|designed|wrote|written|invented"
    r"|founded|composed|painted|discovered|directed|sculpted|led by|headed by|chaired by|owned by"
    r"|built by|won by|born (?:in|at)|died (?:in|at)|buried|located|situated|based|headquartered|lies in|is in"
    r"|held (?:in|at)"
    r"|takes place (?:in|at)|signed (?:in|at))\b",
    re.IGNORECASE,
)
_PERIOD = r"q[1-4]|h[12]|january|february|march|april|may|june|july|august|september|october|november|december"
_PERIODIC = re.compile(rf"\b(?:{_PERIOD}|quarterly|annual|monthly|weekly)\b")
_SERIAL = re.compile(rf"\b(?:{_PERIOD}|\d+)\b")
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
    known = not (one.names and other.names) or _same_names(one, other)
    if known and _about_the_same(one, other, asked) and not _told_apart(one, other):
        found = different_figures(one, other, question)
        found = found or _negated(one, other, asked) or _opposite(one, other, asked)
    found = found or _different_names(one, other, question)
    return [Conflict(a, b, shared) for a, b in found]


def sides_asked(question: str) -> list[tuple[int, frozenset[str]]]:
    """The views of which the question itself names both sides ("better or worse"), and the keys of its other words."""
    found = []
    for view, patterns in enumerate(VIEWS):
        named = [list(pattern.finditer(question)) for pattern in patterns]
        spans = [match.span() for matches in named for match in matches]
        rest = {k for k, w in asked_of(question).items() if not any(a <= w.start < b for a, b in spans)}
        if all(named) and rest:
            found.append((view, frozenset(rest)))
    return found


def opposed_views(one: Statement, other: Statement, view: int, asked: frozenset[str]) -> list[Conflict]:
    """The contradiction of two sentences that take opposite sides of ``view`` on what the keys ``asked`` name."""
    if one.passage.document_id == other.passage.document_id:
        return []
    if any(_share(asked, s, s.around) < 1 for s in (one, other)):
        return []
    for a, mine in _sides(one, view):
        for b, theirs in _sides(other, view):
            near = _near(one, mine) & _near(other, theirs)
            if a == -b and near & asked and one.ties(*mine) - {"?"} == other.ties(*theirs) - {"?"}:
                return [Conflict(one.text[:_LONGEST], other.text[:_LONGEST], asked)]
    return []


def _share(asked: set[str] | frozenset[str], statement: Statement, context: frozenset[str]) -> float:
    own = {*statement.topic, *context}
    return sum(1.0 for k in asked if k in own or any(seat_of(k, o) for o in own)) / len(asked) if asked else 0.0


def _about_the_same(one: Statement, other: Statement, asked: dict[str, Word]) -> bool:
    """Whether the sentences share most of their words, or both have those of the question and some in common."""
    a, b = one.topic, other.topic
    shared = a.keys() & b.keys()
    if not shared:
        return False
    small, large = sorted((len(a), len(b)))
    enough = min(_FEWEST_SHARED, small) if one.header & other.header & {*asked} else _FEWEST_SHARED
    if len(shared) >= max(enough, _SHARED * small) and len(shared) >= _SHARED_OF_LONGER * large:
        return not _replaced(one, other)
    if len(asked) < 2:
        return False
    covered = all(
        _share({*asked}, s, s.header) >= _COVERED and _share({*asked}, s, frozenset()) >= _HALF for s in (one, other)
    )
    return covered and len(shared & asked.keys()) >= min(2, len(asked)) and not _replaced(one, other)


def _replaced(one: Statement, other: Statement) -> bool:
    """Whether a word stands in one sentence where another stands in the other, joined alike to an equal word."""
    mine, theirs = ([w for w in s.words if s.tells(w)] for s in (one, other))
    a, b = [key(w.stem) for w in mine], [key(w.stem) for w in theirs]
    for kind, i, j, k, m in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        alien = set(a[i:j]) - other.topic.keys(), set(b[k:m]) - one.topic.keys()
        if kind != "replace" or not all(alien) or max(map(len, alien)) > _REPLACED:
            continue
        shown = [[s.text[w.start : w.end] for w in span] for s, span in ((one, mine[i:j]), (other, theirs[k:m]))]
        if _opposites_only(*shown):
            continue
        left = i and k and _gap(one, mine, i - 1) == _gap(other, theirs, k - 1)
        right = j < len(a) and m < len(b) and _gap(one, mine, j - 1) == _gap(other, theirs, m - 1)
        if left or right:
            return True
    return False


def _gap(statement: Statement, words: Sequence[Word], place: int) -> str:
    """What stands between the word at ``place`` and the next, numbers left out."""
    return re.sub(r"[\d.,]+", "#", statement.text[words[place].end : words[place + 1].start].lower())


def _opposites_only(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether what was replaced are two sides of one view."""
    a, b = " ".join(one), " ".join(other)
    return any((x.search(a) and y.search(b)) or (y.search(a) and x.search(b)) for x, y in VIEWS)


def _same_names(one: Statement, other: Statement) -> bool:
    """Whether each sentence's names are known around the other."""
    return all(
        name in other_one.topic or name in other_one.around or any(seat_of(name, k) for k in other_one.topic)
        for s, other_one in ((one, other), (other, one))
        for name in s.names
    )


def _told_apart(one: Statement, other: Statement) -> bool:
    """Whether a word both have is qualified by different words (old and new bridge), or their documents by names."""
    mine, theirs = _qualified(one), _qualified(other)
    own, foreign = ({key(word.stem) for word in s.words} for s in (one, other))
    if any(mine[w].isdisjoint(foreign) and theirs[w].isdisjoint(own) for w in mine.keys() & theirs):
        return True
    if one.names or other.names:
        return False
    titles = [{k for k in s.header if k in VARIANTS} for s in (one, other)]
    return bool(titles[0] and titles[1] and titles[0].isdisjoint(titles[1]))


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
    if all(_PERIODIC.search(name) for name in names) and len({_SERIAL.sub("", name) for name in names}) == 1:
        return True
    years = [{*_YEAR.findall(" ".join(s.passage.heading))} for s in (one, other)]
    return bool(years[0] and years[1] and years[0].isdisjoint(years[1]))


def _same_tie(
    one: Statement, other: Statement, mine: tuple[int, int], theirs: tuple[int, int], *, loosely: bool = False
) -> bool:
    """Whether both tie what they say to the same times and cases; ``loosely``: what came before or after is none."""
    free = {"after", "before", "during", "when"} if loosely else set()
    if one.ties(*mine) - free != other.ties(*theirs) - free:
        return False
    times = [[v for v in s.values if not loosely or v.kind in ("date", "year")] for s in (one, other)]
    return all(any(same_value(v, w) for w in b) for a, b in (times, times[::-1]) for v in a)


def _negated(one: Statement, other: Statement, asked: dict[str, Word]) -> list[tuple[str, str]]:
    """Both sentences, if one denies what the other says."""
    if any(CONTRARY.search(s.text) for s in (one, other)):
        return []
    both = (one.topic.keys() & other.topic.keys()) - one.names.keys()
    turned = [k for k in both if (k in one.denied) != (k in other.denied)]
    if not turned or len(both) + len(one.names.keys() & other.names.keys()) < _FEWEST_SHARED:
        return []
    if asked and not any(k in asked or k in _ASKED_ANYWAY for k in turned):
        return []
    spans = [(s.topic[turned[0]].start, s.topic[turned[0]].end) for s in (one, other)]
    return [(one.text[:_LONGEST], other.text[:_LONGEST])] if _same_tie(one, other, spans[0], spans[1]) else []


def _opposite(one: Statement, other: Statement, asked: dict[str, Word]) -> list[tuple[str, str]]:
    """Both sentences, if they take opposite sides of one view of the same subject."""
    for view in range(len(VIEWS)):
        for a, mine in _sides(one, view):
            for b, theirs in _sides(other, view):
                if a == -b and _near(one, mine) & _near(other, theirs) and _same_tie(one, other, mine, theirs):
                    return [(one.text[:_LONGEST], other.text[:_LONGEST])]
    return []


def _sides(statement: Statement, view: int) -> Iterator[tuple[int, tuple[int, int]]]:
    """Which side of a view the sentence takes, 1 or -1, and by which words; none if it takes both."""
    found = []
    for sign, pattern in zip((1, -1), VIEWS[view], strict=True):
        for match in pattern.finditer(statement.text):
            first, _ = statement.clause(match.start(), match.end())
            turned = any(
                len(statement.text[no.end() : match.start()].split()) < _REACH
                for no in NEGATION.finditer(statement.text, first, match.start())
            )
            if any(w.start == match.start() for w in statement.words):
                found.append((-sign if turned else sign, match.span()))
    if len({sign for sign, _ in found}) == 1:
        yield from found


def _near(statement: Statement, span: tuple[int, int]) -> set[str]:
    """The keys of what the words at ``span`` are said of: before them in their clause, or right behind them."""
    first, last = statement.clause(*span)
    telling = [w for w in statement.words if statement.tells(w)]
    before = [w for w in telling if first <= w.start < span[0]][-_SUBJECT:]
    if not before:
        before = [w for w in telling if w.start < span[0]][-_SUBJECT:]
    behind = [w for w in telling if span[1] <= w.start < last][:_OBJECT]
    return {key(w.stem) for w in (*before, *behind)}


def _different_names(one: Statement, other: Statement, question: str) -> list[tuple[str, str]]:
    """The two names, if each sentence has one where the other has another, of what there is but one of."""
    roles = [_ONLY_ONE.search(s.text) for s in (one, other)]
    if not roles[0] or not roles[1] or any(NEGATION.search(s.text) for s in (one, other)):
        return []
    mine, theirs = ({k: w for k, w in s.names.items() if k not in o.topic} for s, o in ((one, other), (other, one)))
    shown = _run(one, mine, roles[0]), _run(other, theirs, roles[1])
    asked = asked_of(question)
    if not shown[0] or not shown[1] or any(k in asked or k in VARIANTS for k in shown[0][1] | shown[1][1]):
        return []
    if any(k in o.around for names, o in ((shown[0][1], other), (shown[1][1], one)) for k in names):
        return []
    if not _same_tie(one, other, roles[0].span(), roles[1].span(), loosely=True):
        return []
    if asked and wanted_of(question) not in ("person", "place", "thing", "whether"):
        return []
    rest = [{k for k in s.topic if k not in names} for s, names in ((one, mine), (other, theirs))]
    shared = rest[0] & rest[1]
    covered = bool(asked) and all(_share({*asked}, s, s.header) >= _COVERED for s in (one, other))
    if len(shared) < _FEWEST_SHARED or len(shared) < _SHARED * min(map(len, rest)):
        return []
    return [(shown[0][0], shown[1][0])] if covered or rest[0] == rest[1] else []


def _run(statement: Statement, names: dict[str, Word], role: re.Match[str]) -> tuple[str, frozenset[str]] | None:
    """The names that stand together nearest to ``role``, as written, and their keys."""
    runs: list[list[tuple[str, Word]]] = []
    for k, word in sorted(names.items(), key=lambda item: item[1].start):
        if runs and re.fullmatch(
            r"[\s.'’-]+|\s(?:van|von|de|der|di|da|la)\s", statement.text[runs[-1][-1][1].end : word.start]
        ):
            runs[-1].append((k, word))
        else:
            runs.append([(k, word)])
    if not runs:
        return None
    best = min(runs, key=lambda run: max(role.start() - run[-1][1].end, run[0][1].start - role.end()))
    return statement.text[best[0][1].start : best[-1][1].end], frozenset(k for k, _ in best)
