"""Citation markers in a model's output, read while it streams: never half a marker, linear time on any input."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_SPACE = "[ \t\u00a0\u200b-\u200f\u2060\ufeff]{0,3}"
_WORD = "(?:sources?|src|docs?|documents?|passages?|refs?|references?|citations?|quellen?)"
_NUMBER = rf"(?:{_WORD}{_SPACE})?[#^]?{_SPACE}\d{{1,20}}"
_INSIDE = (
    rf"{_SPACE}\^?{_SPACE}(?:{_WORD}{_SPACE}[:#.]?{_SPACE})?"
    rf"{_NUMBER}(?:{_SPACE}(?:,|;|&|and|-|–){_SPACE}{_NUMBER}){{0,20}}"
    rf"{_SPACE}(?:†[^\n\[\]【】()]{{0,60}}|[,:|]{_SPACE}[^\W\d_][^\n\[\]【】()]{{0,60}})?"
)
_BRACKETED = re.compile(
    rf"\[{{1,2}}(?P<square>{_INSIDE})\]{{1,2}}|【(?P<lens>{_INSIDE})】|［(?P<wide>{_INSIDE})］|〔(?P<shell>{_INSIDE})〕",
    re.IGNORECASE,
)
_NAMED_ROUND = re.compile(rf"\((?P<inside>{_SPACE}{_WORD}{_INSIDE})\)", re.IGNORECASE)
_ROUND = re.compile(rf"\((?P<inside>{_INSIDE})\)", re.IGNORECASE)
_BARE = re.compile(r"Sources?[ \u00a0]#?\d{1,3}(?:(?: and | & |, )\d{1,3}){0,9}(?![\w.,]?\d|\w)")
_LINK = re.compile(r"\([^\s()]{0,300}\)")
_TRIGGER = re.compile(r"[\[【［〔(`~]|(?<!\w)S(?=$|o$|ou$|our$|ourc$|ource)", re.MULTILINE)
_DIGITS = re.compile(r"\d+")
_RANGE = re.compile(rf"(\d+){_SPACE}[-–]{_SPACE}(\d+)")
_CODE_LINE = 400
_LONGEST_RUN = 16
_INDENT = 4
_LONGEST = 160
_WIDEST_RANGE = 20


@dataclass(frozen=True, slots=True)
class Marker:
    """One citation in the model's output: ``numbers`` in 1..count, each once, and how many ``invalid`` it named."""

    numbers: tuple[int, ...]
    invalid: int = 0


class MarkerParser:
    """Parts a streamed answer into text and citation markers.

    Understands ``[1]``, ``[1, 3]``, ``[1-3]``, ``[1][3]``, ``[^1]``, ``【1】``, ``[Source 1]``, ``(Source 1)``,
    ``Source 1`` and, with ``parentheses``, ``(1)``; leaves code alone. Numbers outside 1..``count`` are counted as
    invalid (the unbracketed form is then plain text). The result does not depend on how the text is cut into pieces.
    """

    def __init__(self, count: int, *, parentheses: bool = False) -> None:
        self._count = count
        self._round = _ROUND if parentheses else _NAMED_ROUND
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
        trigger = _TRIGGER.search(buffer, start)
        if trigger is None:
            return len(buffer), None, start
        at = trigger.start()
        if at > start:
            return at, None, at
        symbol = buffer[at]
        if symbol in "`~":
            return self._code(buffer, at, final)
        if symbol == "S":
            return self._bare(buffer, at, final)
        return self._bracketed(buffer, at, final)

    def _bracketed(self, buffer: str, at: int, final: bool) -> tuple[int, Marker | None, int] | None:
        pattern = self._round if buffer[at] == "(" else _BRACKETED
        found = pattern.match(buffer, at)
        if found is None:
            undecided = not final and _may_become_marker(buffer, at)
            return None if undecided else (at + 1, None, at)
        end = found.end()
        if end == len(buffer) and not final:
            return None
        if buffer[at] != "(" and end < len(buffer) and buffer[end] == "(":
            link = _LINK.match(buffer, end)
            if link is not None and _is_address(link[0]):
                end = link.end()
            elif link is None and not final and _unfinished_link(buffer, end):
                return None
        inside = next(group for group in found.groups() if group is not None)
        return end, self._marker(inside), at

    def _bare(self, buffer: str, at: int, final: bool) -> tuple[int, Marker | None, int] | None:
        if at == 0 and (self._before.isalnum() or self._before == "_"):
            return at + 1, None, at
        window = buffer[at : at + 64]
        if not final and len(window) < 64 and _BARE_PREFIX.fullmatch(window):
            return None
        found = _BARE.match(buffer, at)
        numbers = tuple(dict.fromkeys(int(n) for n in _DIGITS.findall(found[0]))) if found else ()
        if found is None or not all(1 <= number <= self._count for number in numbers):
            return at + 1, None, at
        return found.end(), Marker(numbers), at

    def _marker(self, inside: str) -> Marker:
        listed = re.split(r"[†:|]|,\s*[^\W\d_](?!\w*\s*\d)", inside.replace("^", " "), maxsplit=1)
        body = listed[0] if _DIGITS.search(listed[0]) else inside
        wanted = [int(number) for number in _DIGITS.findall(body)]
        for low, high in _RANGE.findall(body):
            if int(low) < int(high) <= int(low) + _WIDEST_RANGE:
                wanted.extend(range(int(low) + 1, int(high)))
        numbers = tuple(n for n in dict.fromkeys(wanted) if 1 <= n <= self._count)
        return Marker(numbers, len(set(wanted)) - len(numbers))

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


_INSIDE_PREFIX = re.compile(
    r"[\[(【［〔]{1,2}[\^\s\u200b-\u200f\u2060\ufeff]*(?:[a-z]{1,10}[\s:#.^\u200b-\u200f\u2060\ufeff]*){0,2}(?:\d[^\n\[\]【】()]*)?[\]］】〕)]?",
    re.IGNORECASE,
)
_BARE_PREFIX = re.compile(r"S(?:o(?:u(?:r(?:c(?:e(?:s)?)?)?)?)?)?(?:[ \u00a0]#?(?:\d[\d, &and]*(?:[,.] ?)?)?)?")


def _may_become_marker(buffer: str, at: int) -> bool:
    """Whether text that ends here can still grow into a bracketed marker."""
    tail = buffer[at : at + _LONGEST + 1]
    return at + len(tail) == len(buffer) and len(tail) <= _LONGEST and bool(_INSIDE_PREFIX.fullmatch(tail))


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


def parse(text: str, count: int, *, parentheses: bool = False) -> list[str | Marker]:
    """The text and markers of a whole answer, as ``MarkerParser`` finds them; neighbouring texts are joined."""
    parser = MarkerParser(count, parentheses=parentheses)
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
