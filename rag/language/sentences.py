"""Sentences with offsets: prose by sentencex's rules, and lists, tables, headings and code by their lines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise

from sentencex import get_sentence_boundaries  # type: ignore[attr-defined]  # compiled, without stubs

from rag.language.languages import language_of
from rag.language.tables import cells, listed, table

Span = tuple[int, int]

_CODE_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r" {0,3}#{1,6}\s")
_LIST_ITEM = re.compile(r"\s*(?:[-*+•‣▪◦]|\(?\d{1,3}[.)]|\(?[a-z]\))\s+\S")
_ROW = re.compile(r"\s*\||.* \| .* \| |\S[^\t]*\t+\S")
_NUMBER = re.compile(r"[-+(]?[$€£¥]?\s?\d[\d.,]*%?\)?")
_TERMINAL = re.compile(r"[.!?:;,。！？；：，؟۔।…][\"'”’»)\]】」』*_]*$")
_STARTS_ANEW = re.compile(r"[\"'“‘«(\[]*[^\W\d_a-z]|[\"'“‘«(\[$€£]*\d")
_LEADING_MARKERS = re.compile(r"(?:\s*\[\^?\d{1,3}(?:\s*[,;–-]\s*\d{1,3})*\])+(?=[\s.,;:!?]|$)[.,;:!?]?")
_MARK = re.compile(
    r"(?:>[ \t]?)*(?:(?:[-*+•‣▪◦]|\(?(?:\d{1,3}|[a-zA-Z]|[ivxIVX]{2,5})[.)])[ \t]+)?(?:\[[ xX]\][ \t]+)?"
)
_RULED = re.compile(r"\s*([-=*_])(?:[ \t]*\1){2,}\s*$")
_CLOSING = re.compile(r"[*_~]{1,3}(?=\s|$)")
_DAY = re.compile(r"\b\d{1,2}\.$")
_FIELD = re.compile(r"\s*[^\W\d_][^:.?!]{0,40}: +(?:\S[^:]{0,60})?[^:.?!;,\s]\s*")
_RULE = re.compile(r"[ \t]*\|?[ \t:|-]*-{2,}[ \t:|-]*")
_DIGIT = re.compile(r"\d")
_ENUMERATOR = re.compile(r"\s*(?:[-*+•]\s+)?\(?(?:\d{1,3}|[a-zA-Z]|[IVX]{2,5})[.)]\s*$")
_CLOSED_QUOTE = re.compile(r"(?<=[^\W\d_]{3})[.!?][\"'”’)\]]+(?=\s+[\"'“‘(]?[A-ZÀ-ÞА-Я])")
# Characters: what the splitter is given at once, many times the longest sentence; and of lines that are wrapped at all.
_CHUNK, _MIN_WIDTH = 8_000, 30
# A line that stops short of this share of its paragraph's width, though the next word had room, ends on purpose.
_FULL = 0.85
# Characters that are looked at on either side of an end, enough for a long abbreviation and a month.
_BEFORE, _BEHIND = 12, 16
# Characters of a row without bars: more is a wrapped sentence.
_LONGEST_ROW = 400


def sentences(text: str) -> list[Span]:
    """Offsets ``(start, end)`` of the sentences of ``text``, in order, without surrounding white space.

    Together they cover every character that is not white space. A table row, a heading, a code block and a list
    item's sentence each stand alone; markers such as ``[1]`` after a full stop belong to the sentence before.
    Takes time linear in the length of the text.
    """
    language = language_of(text, "en")
    found: list[Span] = []
    for start, end, prose in _blocks(text):
        spans = _prose(text, start, end, language) if prose else [(start, end)]
        for first, last in spans:
            trimmed = _trim(text, first, last)
            if trimmed[0] < trimmed[1]:
                found.append(trimmed)
    return found


def list_mark(text: str, start: int, end: int) -> int:
    """The length of the bullet, number or quotation mark (``>``) that begins the sentence ``text[start:end]``, where
    it begins a line; else 0. A number before a month is a date."""
    line = text.rfind("\n", 0, start) + 1
    if text[line:start].strip():
        return 0
    mark = _MARK.match(text, start, end)
    return mark.end() - start if mark and not _dated().match(text, start, end) else 0


def table_heads(text: str, spans: Sequence[Span]) -> frozenset[int]:
    """Which of the sentences at ``spans`` name the columns of a table: a row without digits above its rule."""
    return frozenset(
        place
        for place, ((start, end), (after, last)) in enumerate(pairwise(spans))
        if _RULE.fullmatch(text, after, last) and "|" in text[start:end] and not _DIGIT.search(text, start, end)
    )


def _trim(text: str, start: int, end: int) -> Span:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


@cache
def _months() -> str:
    """German months, which follow a day with its stop, and centuries, which do so too."""
    names = [name for row in table("months") if row["language"] == "de" for name in cells(row["names"])[:1]]
    return "|".join([*map(str.capitalize, names), "Jänner", "Jahrhunderts?", "Jh\\."])


@cache
def _dated() -> re.Pattern[str]:
    return re.compile(rf"\d{{1,2}}\.\s+(?:{_months()})\b")


@cache
def _month() -> re.Pattern[str]:
    return re.compile(rf"(?:{_months()})\b")


@cache
def _short() -> re.Pattern[str]:
    """What ends in a stop and no sentence before a small letter."""
    words = "|".join(sorted(listed("*", "abbreviation")))
    return re.compile(rf"(?:\d\s?[^\W\d_]{{1,4}}|\b(?:[^\W\d_]|{words}))\.$", re.IGNORECASE)


@cache
def _counted() -> re.Pattern[str]:
    """What ends in a stop and no sentence before a number."""
    return re.compile(rf"\b(?:{'|'.join(sorted(listed('*', 'before number')))})\.$", re.IGNORECASE)


def _blocks(text: str) -> Iterator[tuple[int, int, bool]]:
    """Pieces that no sentence crosses: ``(start, end, is it prose)``."""
    plain: list[Span] = []
    fence, fence_start = "", 0
    for start, end in _lines(text):
        line = text[start:end]
        opening = _CODE_FENCE.match(line)
        if fence:
            if opening and opening[1].startswith(fence) and not line[opening.end() :].strip("`~ \t"):
                yield fence_start, end, False
                fence = ""
            continue
        if opening:
            yield from _paragraphs(text, plain)
            plain, fence, fence_start = [], opening[1][:3], start
        elif not line.strip():
            yield from _paragraphs(text, plain)
            plain = []
        elif _HEADING.match(line) or _RULED.match(line) or _is_row(line):
            yield from _paragraphs(text, plain)
            plain = []
            yield start, end, False
        else:
            if _LIST_ITEM.match(line):
                yield from _paragraphs(text, plain)
                plain = []
            plain.append((start, end))
    if fence:
        yield fence_start, len(text), False
    yield from _paragraphs(text, plain)


def _lines(text: str) -> Iterator[Span]:
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        yield start, end
        start = end + 1


def _is_row(line: str) -> bool:
    """A table's row: cells between bars or tabs, or at least two numbers of a column's width, six characters, with few
    letters around them: no more than a row's label has, and than three to each of a number."""
    if len(line) > _LONGEST_ROW:
        return line.lstrip().startswith("|")
    if _ROW.match(line):
        return True
    if line.rstrip().endswith((".", "?", "!")):
        return False
    numbers = sum(len(number) for number in _NUMBER.findall(line))
    letters = sum(character.isalpha() for character in line)
    return len(_NUMBER.findall(line)) >= 2 and numbers >= 6 and letters <= 3 * numbers and letters < 80


def _paragraphs(text: str, lines: list[Span]) -> Iterator[tuple[int, int, bool]]:
    """Joins wrapped lines; a line that ends early without a stop, before a fresh start, ends its paragraph, and so does
    one before or between the named values of a form."""
    if not lines:
        return
    width = max(end - start for start, end in lines)
    first = lines[0][0]
    fields = [bool(_FIELD.fullmatch(text, *line)) for line in lines]
    for place, ((start, end), (after, after_end)) in enumerate(pairwise(lines)):
        following = text[after:after_end].lstrip()
        if fields[place + 1] and (fields[place] or any(fields[place + 2 : place + 3])):
            yield first, end, True
            first = after
            continue
        room = _FULL * width - (end - start) - len(following.split(maxsplit=1)[0])
        deliberate = width >= _MIN_WIDTH and room > 0 and _STARTS_ANEW.match(following)
        if deliberate and not _TERMINAL.search(text[max(start, end - _BEFORE) : end].rstrip()):
            yield first, end, True
            first = after
    yield first, lines[-1][1], True


def _prose(text: str, start: int, end: int, language: str) -> list[Span]:
    """The sentences of one paragraph, in bounded chunks so that a text without stops costs linear time."""
    cuts = [start]
    position = start
    while position < end:
        stop = min(position + _CHUNK, end)
        if stop < end and (space := text.rfind(" ", position + _CHUNK // 2, stop)) > 0:
            stop = space
        bounds = [position + int(b["end_index"]) for b in get_sentence_boundaries(language, text[position:stop])]
        complete = [bound for bound in bounds if bound < stop]
        if stop < end and complete:
            cuts.extend(complete)
            position = complete[-1]
        else:
            cuts.extend([*complete, stop])
            position = stop
    return _repair(text, cuts)


def _repair(text: str, cuts: list[int]) -> list[Span]:
    """Moves leading markers and closing asterisks to the sentence before, joins bare enumerators and abbreviations,
    parts what follows a closed quotation."""
    spans: list[Span] = []
    pending = cuts[0]
    for begin, end in pairwise(cuts):
        for belonging in (_CLOSING, _LEADING_MARKERS):
            glued = belonging is _LEADING_MARKERS or not text[begin - 1].isspace()
            if spans and pending == spans[-1][1] and glued and (found := belonging.match(text, pending, end)):
                spans[-1] = (spans[-1][0], found.end())
                pending = found.end()
        if end < cuts[-1] and (_goes_on(text, pending, end) or _enumerates(text, pending, end)):
            continue
        for closed in _CLOSED_QUOTE.finditer(text, pending, end):
            if closed.end() < end:
                spans.append((pending, closed.end()))
                pending = closed.end()
        if text[pending:end].strip():
            spans.append((pending, end))
        pending = end
    return spans


def _enumerates(text: str, start: int, end: int) -> bool:
    return end - start < _BEHIND and bool(_ENUMERATOR.match(text, start, end))


def _goes_on(text: str, start: int, end: int) -> bool:
    """Whether the sentence goes on after ``end``, where the splitter saw it end."""
    before, following = text[max(start, end - _BEFORE) : end].rstrip(), text[end : end + _BEHIND].lstrip()
    if following[:1].islower() and _short().search(before):
        return True
    if following[:1].isdigit() and _counted().search(before):
        return True
    if _DAY.search(before) and _month().match(following):
        return True
    # ".NET", and Japanese speech that its sentence reports.
    return (before[-2:] in (" .", ".") and text[end - 1] == ".") or (before[-1:] in "」』" and following[:1] == "と")
