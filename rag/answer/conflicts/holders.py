"""Who holds an office, made a thing or where a thing is: names of which there can be but one, compared."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rag.answer.conflicts.statement import DATES, FEWEST_SHARED, SHARED, Statement, asked_of, covers, same_values
from rag.language import Word, key
from rag.language.questions import wanted_of
from rag.language.tables import listed, pattern
from rag.language.words import words_for_country

_JOINED = re.compile(r"[\s.'’-]+|\s(?:van|von|de|der|di|da|la)\s")


@dataclass(frozen=True, slots=True)
class _Holder:
    """A name as written and its keys; ``rest`` are the sentence's other names that the other sentence lacks."""

    shown: str
    keys: frozenset[str]
    rest: frozenset[str]


def different_holders(one: Statement, other: Statement, question: str) -> list[tuple[str, str]]:
    """The two names, if each sentence has one where the other has another, of what there is but one of."""
    deeds = [pattern("deed").search(s.text) for s in (one, other)]
    roles = [deed or pattern("office").search(s.text) for deed, s in zip(deeds, (one, other), strict=True)]
    if not roles[0] or not roles[1] or any(s.parsed.negations for s in (one, other)):
        return []
    a, b = _holder(one, other, roles[0]), _holder(other, one, roles[1])
    asked = asked_of(question)
    if not a or not b or (a.rest and b.rest) or any(k in asked or words_for_country(k) for k in a.keys | b.keys):
        return []
    if any(k in s.around for keys, s in ((a.keys, other), (b.keys, one)) for k in keys):
        return []
    if asked and wanted_of(question) not in ("person", "place", "thing", "whether"):
        return []
    free = listed("en", "of no other time")
    if one.ties(*roles[0].span()) - free != other.ties(*roles[1].span()) - free:
        return []
    # An office changes hands, so that the times must agree.
    if not all(deeds) and not same_values(*([v for v in s.values if v.kind in DATES] for s in (one, other))):
        return []
    rest = [{*s.topic} - h.keys - h.rest for s, h in ((one, a), (other, b))]
    shared = rest[0] & rest[1]
    if len(shared) < FEWEST_SHARED or len(shared) < SHARED * min(map(len, rest)):
        return []
    return [(a.shown, b.shown)] if rest[0] == rest[1] or all(covers(s, asked) for s in (one, other)) else []


def _holder(statement: Statement, other: Statement, role: re.Match[str]) -> _Holder | None:
    """The names, unknown to the other sentence, that stand together nearest to ``role``."""
    names = {k: word for k, word in statement.names.items() if k not in other.topic}
    opening = _opening(statement, role)
    if opening and key(opening.stem) not in other.topic:
        names.setdefault(key(opening.stem), opening)
    runs: list[list[tuple[str, Word]]] = []
    for k, word in sorted(names.items(), key=lambda item: item[1].start):
        if runs and _JOINED.fullmatch(statement.text[runs[-1][-1][1].end : word.start]):
            runs[-1].append((k, word))
        else:
            runs.append([(k, word)])
    if not runs:
        return None
    best = min(runs, key=lambda run: max(role.start() - run[-1][1].end, run[0][1].start - role.end()))
    keys = frozenset(k for k, _ in best)
    return _Holder(statement.text[best[0][1].start : best[-1][1].end], keys, frozenset(names) - keys)


def _opening(statement: Statement, role: re.Match[str]) -> Word | None:
    """The sentence's first word if it stands right before ``role`` and may be a name: "Sorrel won the cup"."""
    first = next(iter(statement.words), None)
    if first is None or not first.content or not statement.text[first.start].isupper():
        return None
    plural = statement.text[first.start : first.end].endswith("s")
    return first if statement.text[first.end : role.start()] == " " and not plural else None
