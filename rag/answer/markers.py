"""Citation markers in a model's output, read while it streams: never half a marker, linear time on any input."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from rag.text import compiled

WRITTEN = re.compile(r"\s*\[\d{1,3}\]")
"""A marker as answers show it, with the blank before it."""
_SPACE = "[ \t\u00a0\u200b-\u200f\u2060\ufeff]{0,3}"
_NAMES = (
    "Sources", "Source", "SOURCES", "SOURCE", "Quellen", "Quelle", "Fuentes", "Fuente", "Fontes", "Fonte", "Fonti",
    "Bronnen", "Bron", "Источники", "Источник",
)  # fmt: skip
"""What a model calls the sources in a sentence, in the languages it answers in."""
_WORD = (
    "(?:sources?|src|docs?|documents?|passages?|refs?|references?|citations?|excerpts?|quellen?|dokumente?|fuentes?|"
    "font[ei]s?|documento?s?|documenti|bron(?:nen)?|источник[аи]?|документы?|来源|來源|资料|資料|出处|出典|文档|文書|"
    "출처|자료|문서|(?:ال)?مصدر|(?:ال)?مصادر)"
)
_LEAD = "(?:see|cf\\.?|according to|as in|from|per|in|siehe|laut|vgl\\.?|voir|selon|ver|según|vedi|zie|см\\.?)"
_NUMBER = rf"(?:{_WORD}{_SPACE})?[#^]?{_SPACE}\d{{1,20}}"
_AND = rf"{_SPACE}(?:,|;|&|and|-|–|，|、|；){_SPACE}"
_LISTED = rf"{_NUMBER}(?:{_AND}{_NUMBER}){{0,20}}\^?"
_REST = r"[^\n\[\]【】]{0,120}"
_TAIL = rf"(?::\d{{1,3}}(?=†))?{_SPACE}(?:†{_REST}|[,:;|–—，：-]{_SPACE}[^\W\d_]{_REST}|\([^\n()\[\]【】]{{0,120}}\))?"
_NAMED = rf"{_WORD}{_SPACE}[:#.：]?{_SPACE}"
_INSIDE = rf"{_SPACE}\^?{_SPACE}(?:{_NAMED}{_LISTED}(?:{_TAIL}|[ \u00a0][^\W\d_]{_REST})|{_LISTED}{_TAIL})"
_BRACKETED = (
    rf"(?i)\[\[(?P<double>{_INSIDE})\]\]|\[(?P<square>{_INSIDE})\]|【(?P<lens>{_INSIDE})】|［(?P<wide>{_INSIDE})］"
    rf"|〔(?P<shell>{_INSIDE})〕"
)
_WITHIN = rf"{_SPACE}[\[【［]{_SPACE}\^?{_LISTED}{_SPACE}[\]】］]"
_GROUP = rf"(?:{_WITHIN}(?:{_AND}|{_SPACE})){{1,9}}"
_PAGE = rf"(?:[,:;]{_SPACE}[^\W\d_][^\n()\[\]【】]{{0,120}})?"
_NAMED_ROUND = (
    rf"(?i)\((?P<inside>{_SPACE}(?:{_LEAD}{_SPACE})?(?:(?:{_NAMED})?{_GROUP}|{_NAMED}{_LISTED}{_SPACE}{_PAGE}))\)"
)
_BARE = (
    rf"(?:{'|'.join(_NAMES)})[ \u00a0](?:\[\d{{1,3}}\](?:(?:,? |,)?\[\d{{1,3}}\]){{0,9}}"
    r"|#?\d{1,3}(?:(?: and | & |, )\d{1,3}){0,9}(?![\w.,]?\d|\w))"
)
_LINK = r"\([^\s()]{0,300}\)"
_BEGUN = "|".join(sorted({name[:length] for name in _NAMES for length in range(1, len(name))}))
_TRIGGER = rf"[\[【［〔(`~]|(?<!\w)(?:{'|'.join(_NAMES)}|(?:{_BEGUN})\Z)"
_FIRST_LIST = rf"(?i)[\s\u200b-\u200f\u2060\ufeff^]*(?:{_LEAD}{_SPACE})?(?:{_NAMED})?(?P<list>{_LISTED})"
_INNER_LIST = rf"(?i)[\[【［]{_SPACE}\^?({_LISTED})"
_BETWEEN = rf"{_SPACE}(?:(?P<comma>[,;，、；]){_SPACE})?"
_DIGITS = r"\d+"
_RANGE = rf"(\d+){_SPACE}[-–]{_SPACE}(\d+)"
# Characters that are held back at most, so that a stream never stands still: for a line that may open or close a code
# block, a run of back-ticks, and a marker, which is the longest that the patterns above allow.
_CODE_LINE, _LONGEST_RUN, _LONGEST = 400, 16, 240
# CommonMark: a fence is indented by three blanks at most.
_INDENT = 4
# "[3-2000]" is a range of something else than sources.
_WIDEST_RANGE = 20


@dataclass(frozen=True, slots=True)
class Marker:
    """One citation in the model's output: ``numbers`` in 1..count, each once, and how many ``invalid`` it named."""

    numbers: tuple[int, ...]
    invalid: int = 0


class MarkerParser:
    """Parts a streamed answer into text and citation markers.

    Understands ``[1]``, ``[1, 3]``, ``[1-3]``, ``[1], [3]``, ``[^1]``, ``【1†x】``, ``[Source 1: x]``, ``(see [1])``,
    and ``Source 1``; leaves ``(1)`` and code alone. Numbers outside 1..``count`` are counted as
    invalid (the unbracketed form is then plain text). The result does not depend on how the text is cut into pieces.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._held = ""
        self._before = ""
        self._line = ""
        self._fence = ""

    def feed(self, piece: str) -> list[str | Marker]:
        """What can be shown now: text, never with half a marker in it, and markers, in order."""
        self._held += piece
        return self._drain(final=False)

    def finish(self) -> list[str | Marker]:
        """The rest, once the stream has ended."""
        return self._drain(final=True)

    def _drain(self, *, final: bool) -> list[str | Marker]:
        buffer, position, shown = self._held, 0, 0
        out: list[str | Marker] = []
        while position < len(buffer):
            step = self._fenced(buffer, position, final) if self._fence else self._next(buffer, position, final)
            if step is None:
                break
            position, marker, text_end = step
            if marker is not None:
                if text_end > shown:
                    out.append(buffer[shown:text_end])
                out.append(marker)
                shown = position
        if position > shown:
            out.append(buffer[shown:position])
        if position:
            self._before = buffer[position - 1]
            self._line = (self._line + buffer[:position]).rpartition("\n")[2][:_INDENT]
        self._held = buffer[position:]
        return out

    def _next(self, buffer: str, start: int, final: bool) -> tuple[int, Marker | None, int] | None:
        """One step from ``start``: (where to go on, a marker if one was found, where the text before it ends).

        None means that more input is needed to decide.
        """
        trigger = compiled(_TRIGGER).search(buffer, start)
        if trigger is None:
            return len(buffer), None, start
        at = trigger.start()
        if at > start:
            return at, None, at
        symbol = buffer[at]
        if symbol in "`~":
            return self._code(buffer, at, final)
        if symbol in "[【［〔(":
            return self._bracketed(buffer, at, final)
        return self._bare(buffer, at, final)

    def _bracketed(self, buffer: str, at: int, final: bool) -> tuple[int, Marker | None, int] | None:
        pattern = _NAMED_ROUND if buffer[at] == "(" else _BRACKETED
        found = compiled(pattern).match(buffer, at)
        if found is None:
            undecided = not final and _may_become_marker(buffer, at)
            return None if undecided else (at + 1, None, at)
        end = found.end()
        if end < len(buffer) and buffer[end] == "(" and buffer[at] != "(":
            link = compiled(_LINK).match(buffer, end)
            if link is not None and _is_address(link[0]):
                end = link.end()
            elif link is None and not final and _unfinished_link(buffer, end):
                return None
        following = _next_marker(buffer, end, final)
        if following is None:
            return None
        inside = next(group for group in found.groups() if group is not None)
        return following, self._marker(inside), at

    def _bare(self, buffer: str, at: int, final: bool) -> tuple[int, Marker | None, int] | None:
        if at == 0 and (self._before.isalnum() or self._before == "_"):
            return at + 1, None, at
        window = buffer[at : at + 64]
        if not final and len(window) < 64 and compiled(_BARE_PREFIX).fullmatch(window):
            return None
        found = compiled(_BARE).match(buffer, at)
        if found is None:
            return at + 1, None, at
        marker = self._counted(compiled(_DIGITS).findall(found[0]))
        if marker.invalid and "[" not in found[0]:
            return at + 1, None, at
        return found.end(), marker, at

    def _marker(self, inside: str) -> Marker:
        lists = compiled(_INNER_LIST).findall(inside) or [compiled(_FIRST_LIST).match(inside)["list"]]  # type: ignore[index]
        wanted = [number for listed in lists for number in compiled(_DIGITS).findall(listed)]
        for low, high in (ends for listed in lists for ends in compiled(_RANGE).findall(listed)):
            if int(low) < int(high) <= int(low) + _WIDEST_RANGE:
                wanted.extend(map(str, range(int(low) + 1, int(high))))
        return self._counted(wanted)

    def _counted(self, written: Iterable[str]) -> Marker:
        wanted = dict.fromkeys(map(int, written))
        numbers = tuple(number for number in wanted if 1 <= number <= self._count)
        return Marker(numbers, len(wanted) - len(numbers))

    def _code(self, buffer: str, at: int, final: bool) -> tuple[int, Marker | None, int] | None:
        """Steps over code; a run of back-ticks without its partner on the line is plain text."""
        run = _run(buffer, at)
        after = at + run
        if run > _LONGEST_RUN or (buffer[at - 1] if at else self._before) == buffer[at] == "`":
            return after, None, at
        if after == len(buffer) and not final:
            return None
        line_end = buffer.find("\n", after, after + _CODE_LINE)
        limit = line_end if line_end >= 0 else min(len(buffer), after + _CODE_LINE)
        undecided = not final and line_end < 0 and limit == len(buffer)
        if run >= 3 and self._begins_line(buffer, at):
            if buffer[at] == "`" and undecided:
                return None
            if buffer[at] == "~" or "`" not in buffer[after:limit]:
                self._fence = buffer[at] * 3
                return after, None, at
        if buffer[at] == "~":
            return after, None, at
        closing = _closing_run(buffer, after, limit, run)
        if undecided and (closing < 0 or closing == limit):
            return None
        return (closing if closing >= 0 else after), None, at

    def _fenced(self, buffer: str, start: int, final: bool) -> tuple[int, Marker | None, int] | None:
        """Steps over one line of a code block; ends the block after its closing fence."""
        end = buffer.find("\n", start)
        if end < 0 and not final:
            return (len(buffer), None, start) if self._cannot_close(buffer[start:]) else None
        end = len(buffer) if end < 0 else end
        line = buffer[start:end].strip(" ")
        if line.startswith(self._fence) and not line.strip(self._fence[0]) and self._begins_line(buffer, start):
            self._fence = ""
        return min(end + 1, len(buffer)), None, start

    def _begins_line(self, buffer: str, at: int) -> bool:
        """Whether at most three spaces stand before ``at`` on its line."""
        start = buffer.rfind("\n", max(0, at - _INDENT), at) + 1
        if start == 0:
            indent = self._line + buffer[max(0, at - _INDENT) : at]
        else:
            indent = buffer[start:at]
        return len(indent) < _INDENT and not indent.strip(" ")

    def _cannot_close(self, line: str) -> bool:
        return bool(line.strip(" " + self._fence[0])) or len(line) > _CODE_LINE


_LETTERS = r"[^\W\d_]{1,14}[\s:#.：^\u200b-\u200f\u2060\ufeff]*"
_BLANK = r"[\^\s\u200b-\u200f\u2060\ufeff]*"
_INSIDE_PREFIX = (
    rf"[\[【［〔]{{1,2}}{_BLANK}#?(?:{_LETTERS}){{0,2}}(?:\d[^\n\[\]【】]*)?[\]］】〕]?"
    rf"|\({_BLANK}#?(?:{_LETTERS}){{0,4}}[#\[【［\^\s\u200b-\u200f\u2060\ufeff]*(?:{_LETTERS})?(?:\d[^\n()]*)?"
)
_BARE_PREFIX = rf"(?:{_BEGUN})|(?:{'|'.join(_NAMES)})(?:[ \u00a0](?:#?(?:\d[\d, &and]*(?:[,.] ?)?)?|\[[\d\[\], ]*)?)?"


def _next_marker(buffer: str, end: int, final: bool) -> int | None:
    """Where to go on after a marker that ends at ``end``: past a comma, if the next marker stands behind it.

    None means that more input is needed to decide.
    """
    between = compiled(_BETWEEN).match(buffer, end)
    after, comma = (between.end(), between["comma"]) if between else (end, None)
    if after == len(buffer):
        return end if final else None
    if comma is None:
        return end
    if compiled(_BRACKETED).match(buffer, after):
        return after
    return None if not final and buffer[after] in "[【［〔" and _may_become_marker(buffer, after) else end


def _may_become_marker(buffer: str, at: int) -> bool:
    """Whether text that ends here can still grow into a bracketed marker."""
    tail = buffer[at : at + _LONGEST + 1]
    return at + len(tail) == len(buffer) and len(tail) <= _LONGEST and bool(compiled(_INSIDE_PREFIX).fullmatch(tail))


def _unfinished_link(buffer: str, at: int) -> bool:
    tail = buffer[at : at + 303]
    return at + len(tail) == len(buffer) and len(tail) <= 301 and not re.search(r"[\s)]", tail)


def _is_address(link: str) -> bool:
    """Whether ``(...)`` right after a marker is a Markdown link's target and not words in parentheses."""
    return bool(re.search(r"[/.#:]", link)) and len(link) > 3


def _run(buffer: str, at: int) -> int:
    end = at
    while end < len(buffer) and buffer[end] == buffer[at]:
        end += 1
    return end - at


def _closing_run(buffer: str, start: int, limit: int, length: int) -> int:
    """The offset just past the run of exactly ``length`` back-ticks between ``start`` and ``limit``, or -1."""
    for run in re.finditer("`+", buffer[start:limit]):
        if len(run[0]) == length:
            return start + run.end()
    return -1


def parse(text: str, count: int) -> list[str | Marker]:
    """The text and markers of a whole answer, as ``MarkerParser`` finds them; neighbouring texts are joined."""
    parser = MarkerParser(count)
    return join([*parser.feed(text), *parser.finish()])


def join(parts: Iterable[str | Marker]) -> list[str | Marker]:
    """The same parts with neighbouring texts joined into one."""
    out: list[str | Marker] = []
    for part in parts:
        if isinstance(part, str) and out and isinstance(out[-1], str):
            out[-1] += part
        else:
            out.append(part)
    return out
