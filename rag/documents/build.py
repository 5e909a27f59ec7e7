"""A document's text put together block by block, with the offsets of its headings and places."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Sequence

from rag.config import Limits
from rag.documents.decode import canonical
from rag.documents.formats import check_characters, finish, first_line, one_line
from rag.documents.tables import Row, blocks
from rag.types import Heading, ParsedDocument, Place, PlaceKind

_GAP = "\n\n"


class Builder:
    """Writes blocks with a blank line between them. Every method that writes raises LimitExceeded."""

    def __init__(self, source: str, limits: Limits) -> None:
        self._source = source
        self._limits = limits
        self._parts: list[str] = []
        self._length = 0
        self.headings: list[Heading] = []
        self.places: list[Place] = []

    @property
    def end(self) -> int:
        """Where the next block begins, once it is written."""
        return self._length + (len(_GAP) if self._parts else 0)

    def write(self, text: str) -> bool:
        """A block of text as it is, less white space around it; whether anything was left to write."""
        text = canonical(text).strip()
        if not text:
            return False
        lead = _GAP if self._parts else ""
        self._parts.append(lead + text)
        self._length += len(lead) + len(text)
        check_characters(self._length, self._source, self._limits)
        return True

    def heading(self, level: int, title: str) -> None:
        """A heading (level 1-6) with a block of its own."""
        start, line = self.end, one_line(title)
        if self.write(line):
            self.headings.append(Heading(min(max(level, 1), 6), line, start))

    def place(self, kind: PlaceKind, number: int, start: int, label: str = "") -> None:
        """What was written since ``start`` (an ``end`` from before) is a place; pages may be empty."""
        begin = min(start, self._length)
        self.places.append(Place(number, begin, self._length, kind, one_line(label)))

    def table(
        self, header: Sequence[str], rows: Iterable[Row], kind: PlaceKind | None = None, label: str = "",
        hidden: Container[int] = (), hidden_columns: Collection[int] = (),
    ) -> None:  # fmt: skip
        """Rows with their header above every few; ``kind`` is that of the rows' places, if they have any, and
        ``hidden`` are the numbers of those that their file does not show, as ``hidden_columns``, from 0, are of its
        columns."""
        for block in blocks(header, rows, hidden_columns):
            start = self.end
            if self.write(block.text) and kind:
                at = start + block.start
                self.places.append(Place(block.number, at, self._length, kind, one_line(label)))
                unseen = [(start + first, start + last, block.number) for first, last in block.hidden]
                for number, line in enumerate(block.text[block.start :].split("\n"), start=block.number):
                    end = at + len(line)
                    if number in hidden:
                        unseen = [one for one in unseen if not at <= one[0] < end] + [(at, end, number)]
                    at = end + 1
                self.places += [Place(number, first, last, "hidden") for first, last, number in unseen]

    def section(self, text: str, headings: Sequence[Heading] = (), *, deeper: int = 0) -> None:
        """A text with headings of its own, ``deeper`` by so many levels."""
        start = self.end
        if self.write(text):
            lead = len(text) - len(text.lstrip())
            self.headings += [
                Heading(min(6, h.level + deeper), h.title, max(start, start + h.start - lead)) for h in headings
            ]

    def finish(self, title: str = "") -> ParsedDocument:
        """The document. Title: as given, else the first top heading, else the first short line, else the file's name.

        Raises EmptyDocument and LimitExceeded.
        """
        text = "".join(self._parts)
        top = min(self.headings, key=lambda heading: heading.level, default=None)
        told = one_line(title) or (top.title if top else first_line(text))
        places = sorted(self.places, key=lambda place: (place.start, place.end))
        return finish(text, told, self._source, self._limits, self.headings, places)
