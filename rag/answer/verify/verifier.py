"""Checks every sentence of an answer against what it cites, mends its citations, and finds the exact spans."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from rag.answer.markers import Marker, parse
from rag.answer.passages import citation_for
from rag.answer.verify.checker import Checker, Verdict, is_claim
from rag.language.sentences import list_mark, sentences, table_heads
from rag.models.encoder import Encoder
from rag.models.static import StaticVectors
from rag.types import Citation, Hit, MarkerSpan, Origin, Passage, Sentence, Support

# Characters. What goes on without a stop for longer is a table or code run together, and no sentence.
_LONGEST = 600
# Alone this is the answer, and no passage can be held against it.
_YES_OR_NO = re.compile(
    r"\W*(?:yes|no|ja|nein|oui|non|s[ií]|sì|sim|não|nee|да|нет|是的?|不是?|はい|いいえ|نعم|لا)\W*", re.IGNORECASE
)
# After nothing, a blank, another marker, an opening bracket or the beginning of an emphasis a marker needs no blank.
_OPEN = re.compile(r"(?:^|[\s\](\[{“„«]|(?:^|\s)[*_]{1,3})\Z")

Neighbours = Callable[[Passage], Sequence[Passage]]


@dataclass(frozen=True, slots=True)
class Verified:
    """An answer's text with its markers renumbered 1, 2, ... in order of appearance, and what stands behind each.

    ``dropped`` counts markers that named no passage, or one that does not support the sentence while others do.
    """

    text: str
    sentences: tuple[Sentence, ...]
    citations: tuple[Citation, ...]
    markers: tuple[MarkerSpan, ...]
    dropped: int


@dataclass(frozen=True, slots=True)
class _Cited:
    """A passage's span that a sentence cites; ``at`` is where its marker goes in the text without markers."""

    passage: Passage
    start: int
    end: int
    origin: Origin
    at: int


@dataclass(slots=True)
class _Checked:
    start: int
    end: int
    verdict: Verdict
    cited: list[_Cited] = field(default_factory=list)


class Verifier:
    """Checks sentences and whole answers. Deterministic; thread-safe; a few milliseconds a sentence.

    With an ``encoder`` sentences in other words are told better, for some 40 ms a passage when it is first read.
    """

    def __init__(self, vectors: StaticVectors, encoder: Encoder | None = None) -> None:
        self._checker = Checker(vectors, encoder)

    def check(self, sentence: str, passages: Sequence[Passage], *, question: str = "") -> Verdict:
        """Hold one sentence, without markers, against a group of passages: the verdict of the best.

        Names that only ``question`` has leave a doubt. Raises ValueError without passages.
        """
        if not passages:
            raise ValueError("A sentence needs at least one passage to be checked against.")
        return self._checker.check(sentence, passages, question)

    def verify(
        self, text: str, hits: Sequence[Hit], neighbours: Neighbours | None = None, *, question: str = ""
    ) -> Verified:
        """Check an answer whose marker ``[n]`` stands for ``hits[n - 1]``.

        A citation that fails is corrected to a passage among the hits that passes without doubt; a sentence without
        a marker that exactly one passage supports without doubt gets it. A sentence cites a passage's neighbour
        where that holds the support.
        """
        plain, markers, dropped = _without_markers(text, len(hits))
        spans = list(_bounded(plain, sentences(plain)))
        owned = _owners(plain, spans, markers)
        heads = table_heads(plain, spans)
        checked = []
        for place, ((start, end), own) in enumerate(zip(spans, owned, strict=True)):
            if place in heads:
                one, lost = _Checked(start, end, Verdict(Support.NOT_A_CLAIM, 0.0, 0, 0, 0)), len(own)
            else:
                one, lost = self._sentence(plain, start, end, own, hits, neighbours, question)
            checked.append(one)
            dropped += lost
        return _assembled(plain, checked, dropped)

    def _sentence(
        self,
        plain: str,
        start: int,
        end: int,
        markers: Sequence[tuple[int, int]],
        hits: Sequence[Hit],
        neighbours: Neighbours | None,
        question: str,
    ) -> tuple[_Checked, int]:
        """The sentence's verdict and citations, and how many of its markers were dropped."""
        sentence = plain[start + list_mark(plain, start, end) : end]
        if not hits or not is_claim(sentence):
            nothing = not is_claim(sentence) and not _YES_OR_NO.fullmatch(plain)
            verdict = Verdict(Support.NOT_A_CLAIM if nothing else Support.UNCITED, 0.0, 0, 0, 0)
            return _Checked(start, end, verdict), len(markers)
        if not markers:
            return self._uncited(sentence, start, end, hits, question), 0
        tried: list[tuple[Verdict, _Cited]] = []
        for number, at in markers:
            passage = hits[number - 1].passage
            group = [passage, *(neighbours(passage) if neighbours else ())]
            verdict = self._checker.check(sentence, group, question)
            tried.append((verdict, _Cited(group[verdict.passage], verdict.start, verdict.end, "model", at)))
        return self._settled(sentence, start, end, tried, hits, question)

    def _settled(
        self,
        sentence: str,
        start: int,
        end: int,
        tried: Sequence[tuple[Verdict, _Cited]],
        hits: Sequence[Hit],
        question: str,
    ) -> tuple[_Checked, int]:
        best = max((verdict for verdict, _ in tried), key=lambda verdict: verdict.score)
        backing = [cited for verdict, cited in tried if verdict.support is not Support.UNSUPPORTED]
        if best.holds:
            return _Checked(start, end, best, backing), len(tried) - len(backing)
        if len(tried) > 1:
            joint = self._checker.together(
                sentence, [c.passage for _, c in tried], [(c.start, c.end) for _, c in tried]
            )
            if joint.holds:
                return _Checked(start, end, joint, [cited for _, cited in tried]), 0
        named = {cited.passage.id for _, cited in tried}
        others = [hit.passage for hit in hits if hit.passage.id not in named]
        if others:
            verdict = self._checker.check(sentence, others, question)
            if verdict.strict or (verdict.clear and not backing):
                right = _Cited(others[verdict.passage], verdict.start, verdict.end, "corrected", tried[0][1].at)
                return _Checked(start, end, verdict, [right, *backing]), len(tried) - 1 - len(backing) if backing else 0
        return _Checked(start, end, best, [cited for _, cited in tried if cited.end > cited.start]), 0

    def _uncited(self, sentence: str, start: int, end: int, hits: Sequence[Hit], question: str) -> _Checked:
        """A sentence without a marker: attributed if exactly one place in the hits supports it without doubt."""
        found: list[tuple[Verdict, Passage]] = []
        for hit in hits:
            verdict = self._checker.check(sentence, [hit.passage], question)
            if verdict.strict and not any(_same_place(verdict, hit.passage, *other) for other in found):
                found.append((verdict, hit.passage))
        if len(found) != 1:
            return _Checked(start, end, Verdict(Support.UNCITED, 0.0, 0, 0, 0))
        verdict, passage = found[0]
        at = end - 1 if sentence.endswith("|") else end
        return _Checked(start, end, verdict, [_Cited(passage, verdict.start, verdict.end, "attributed", at)])


def _same_place(a: Verdict, one: Passage, b: Verdict, other: Passage) -> bool:
    return one.document_id == other.document_id and a.start < b.end and b.start < a.end


def _bounded(text: str, spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The spans, those that no sentence is as long as in pieces: comparing takes the square of a sentence's length."""
    for start, end in spans:
        while end - start > _LONGEST:
            cut = text.rfind(" ", start + _LONGEST // 2, start + _LONGEST)
            cut = cut if cut > 0 else start + _LONGEST
            yield start, cut
            start = cut + (text[cut] == " ")
        if text[start:end].strip():
            yield start, end


def _without_markers(text: str, count: int) -> tuple[str, list[tuple[int, int]], int]:
    """The text without its markers and the space before each; ``(number, offset)`` of each; how many were invalid."""
    pieces: list[str] = []
    markers: list[tuple[int, int]] = []
    length = invalid = 0
    said = False
    last: str | Marker = ""
    for part in parse(text, count):
        if isinstance(part, str):
            if pieces and isinstance(last, Marker) and part[0].isalnum() and not pieces[-1][-1].isspace():
                part = f" {part}"
            pieces.append(part)
            length += len(part)
            said = said or bool(part.strip())
        else:
            if said and not isinstance(last, Marker):
                length -= _trim_end(pieces)
            markers.extend((number, length) for number in part.numbers)
            invalid += part.invalid
        last = part
    return "".join(pieces), markers, invalid


def _trim_end(pieces: list[str]) -> int:
    """Take the blanks off the end of the last pieces; how many there were."""
    taken = 0
    while pieces:
        kept = pieces[-1].rstrip(" \t\u00a0")
        taken += len(pieces[-1]) - len(kept)
        if kept:
            pieces[-1] = kept
            break
        pieces.pop()
    return taken


def _owners(
    plain: str, spans: Sequence[tuple[int, int]], markers: Iterable[tuple[int, int]]
) -> list[list[tuple[int, int]]]:
    """Each sentence's markers, every passage once: those inside it or right after it on the same line."""
    owned: list[list[tuple[int, int]]] = [[] for _ in spans]
    starts = [start for start, _ in spans]
    for number, at in markers:
        if not spans:
            break
        place = max(bisect_right(starts, at) - 1, 0)
        after = spans[place][1]
        if at > after and plain.find("\n", after, at) >= 0 and place + 1 < len(spans):
            place += 1
        if all(number != other for other, _ in owned[place]):
            owned[place].append((number, at))
    return owned


def _assembled(plain: str, checked: Sequence[_Checked], dropped: int) -> Verified:
    """The text with markers put in again, numbered by first appearance; one number for one span of a passage."""
    order = sorted(
        ((cited.at, place, cited) for place, one in enumerate(checked) for cited in one.cited),
        key=lambda item: item[:2],
    )
    numbers: dict[tuple[int, int, int], int] = {}
    citations: list[Citation] = []
    own: list[list[int]] = [[] for _ in checked]
    marks: list[tuple[int, int, int]] = []
    for at, place, cited in order:
        key = (cited.passage.id, cited.start, cited.end)
        if key not in numbers:
            numbers[key] = len(citations)
            citations.append(citation_for(cited.passage, cited.start, cited.end, len(citations) + 1, cited.origin))
        index = numbers[key]
        if index not in own[place]:
            own[place].append(index)
            marks.append((at, place, index))
    text, spans, sizes = _with_markers(plain, marks)
    put = [mark[:2] for mark in marks]
    found = tuple(
        # A marker after a sentence's last character is not part of it.
        _sentence(
            text,
            one,
            own[place],
            one.start + sizes[bisect_left(put, (one.start, place))],
            one.end + sizes[bisect_left(put, (one.end, place))],
        )
        for place, one in enumerate(checked)
    )
    return Verified(text, found, tuple(citations), tuple(spans), dropped)


def _with_markers(plain: str, marks: Sequence[tuple[int, int, int]]) -> tuple[str, list[MarkerSpan], list[int]]:
    """``plain`` with a marker at each ``(offset, sentence, citation)``, in order; where the markers stand; and how much
    longer the text has grown before each and after the last."""
    pieces: list[str] = []
    spans: list[MarkerSpan] = []
    sizes = [0]
    done = 0
    for at, _, index in marks:
        pieces.append(plain[done:at])
        done = at
        length = at + sizes[-1]
        before = pieces[-1] or ("]" if spans and spans[-1].end == length else "")
        space = "" if _OPEN.search(before[-5:]) else " "
        mark = f"{space}[{index + 1}]"
        pieces.append(mark)
        spans.append(MarkerSpan(length + len(space), length + len(mark), index))
        sizes.append(sizes[-1] + len(mark))
    return "".join([*pieces, plain[done:]]), spans, sizes


def _sentence(text: str, one: _Checked, own: Sequence[int], start: int, end: int) -> Sentence:
    verdict = one.verdict
    return Sentence(
        text[start:end], start, end, verdict.support, tuple(own), verdict.score, verdict.evidence, verdict.unchecked
    )
