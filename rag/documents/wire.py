"""What passes between this process and a parsing child: length-prefixed JSON and bytes, checked on arrival.

The child read a stranger's file and is not trusted: nothing it sends is run, unpickled or believed unchecked.
"""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any, get_args

from rag.config import Limits
from rag.documents.formats import MAX_ATTACHMENTS, MAX_HEADINGS, MAX_PLACES, MAX_TITLE, has_text, media_type, one_line
from rag.documents.ocr import MAX_LINE, MAX_LINES, Line
from rag.documents.split import Slice, Span, place
from rag.errors import (
    DamagedDocument,
    DocumentError,
    EmptyDocument,
    EncryptedDocument,
    LimitExceeded,
    ParserCrashed,
    UnsupportedFormat,
)
from rag.platform.apart import Stream
from rag.types import NUMBERED, Attachment, Heading, ParsedDocument, Place, PlaceKind

HEADER_MAX = 32 * 2**20
"""Bytes: above what MAX_HEADINGS headings, MAX_PLACES places and the passages of the largest allowed document need."""

_MOST_NUMBERED = 2**31
_KINDS = frozenset(get_args(PlaceKind))
_PREFIX = struct.Struct("!QQ")
_ERRORS = {
    kind.code: kind
    for kind in (
        UnsupportedFormat, EncryptedDocument, EmptyDocument, DamagedDocument, LimitExceeded, ParserCrashed,
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Parsed:
    """A document and the places of its passages, in order, at least one."""

    document: ParsedDocument
    slices: tuple[Slice, ...]


@dataclass(frozen=True, slots=True)
class Job:
    """What a child is asked to do with the bytes that follow: parse them, with what was ``recognised`` on the pages
    that are pictures, if that has been done; or, where ``page`` is not 0, recognise the text of that page."""

    source: str
    limits: Limits
    characters: int
    overlap: int
    page: int = 0
    recognised: Mapping[int, Sequence[Line]] | None = None


class BadReply(ValueError):
    """The other side sent something that is not what this protocol allows."""


def send(connection: Stream, header: Mapping[str, Any], body: bytes) -> None:
    """Send one frame. Raises OSError, and TimeoutError when the connection has a timeout."""
    head = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    connection.sendall(_PREFIX.pack(len(head), len(body)) + head)
    connection.sendall(body)


def receive(connection: Stream, body_max: int, deadline: float | None = None) -> tuple[dict[str, Any], bytearray]:
    """Receive one frame whose body has at most ``body_max`` bytes, until ``deadline`` (monotonic seconds).

    Raises EOFError when the other side is gone, TimeoutError, and BadReply for anything the protocol does not allow.
    """
    head_size, body_size = _PREFIX.unpack(_exactly(connection, _PREFIX.size, deadline))
    if head_size > HEADER_MAX or body_size > body_max:
        raise BadReply("a frame is too long")
    head, body = _exactly(connection, head_size, deadline), _exactly(connection, body_size, deadline)
    try:
        header = json.loads(head.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise BadReply("a header is not JSON") from error
    if not isinstance(header, dict):
        raise BadReply("a header is not an object")
    return header, body


def _exactly(connection: Stream, size: int, deadline: float | None) -> bytearray:
    buffer = bytearray(size)
    view = memoryview(buffer)
    got = 0
    while got < size:
        if deadline is not None:
            connection.settimeout(_left(deadline))
        count = connection.recv_into(view[got:])
        if count == 0:
            raise EOFError("the connection ended")
        got += count
    return buffer


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the deadline has passed")
    return left


def job_to_header(job: Job) -> dict[str, Any]:
    """The job as JSON-ready values."""
    pages = None if job.recognised is None else {n: lines_to_rows(lines) for n, lines in job.recognised.items()}
    return {**asdict(replace(job, recognised=None)), "recognised": pages}


def job_from_header(header: Mapping[str, Any]) -> Job:
    """The job a header stands for; only the parent, which is trusted, sends these."""
    pages = header["recognised"]
    return Job(
        header["source"], Limits(**header["limits"]), header["characters"], header["overlap"], header["page"],
        None if pages is None else {int(number): read_lines(rows) for number, rows in pages.items()},
    )  # fmt: skip


def lines_to_rows(lines: Sequence[Line]) -> list[list[Any]]:
    """Recognised lines as JSON-ready values."""
    return [[line.text, line.left, line.top, line.width, line.height, list(line.doubts)] for line in lines]


def read_lines(rows: Any) -> tuple[Line, ...]:
    """The recognised lines that these are. Raises BadReply."""
    _require(isinstance(rows, list) and len(rows) <= MAX_LINES, "lines")
    lines = []
    for row in rows:
        _require(isinstance(row, list) and len(row) == 6 and isinstance(row[0], str), "lines")
        text, left, top, width, height, doubts = row
        _require(0 < len(text) <= MAX_LINE and text.isprintable() and text == text.strip(), "lines")
        _require(all(type(number) is int and 0 <= number < 2**20 for number in row[1:5]), "lines")
        _require(isinstance(doubts, list) and all(_numbers(doubt, 2, len(text)) for doubt in doubts), "lines")
        _require(all(a[1] <= b[0] for a, b in pairwise(doubts)), "lines")
        lines.append(Line(text, left, top, width, height, tuple((start, end) for start, end in doubts)))
    return tuple(lines)


def error_to_header(error: DocumentError) -> dict[str, Any]:
    """A refusal as JSON-ready values."""
    unread = list(error.unread) if isinstance(error, EmptyDocument) else []
    return {"error": {"code": error.code, "message": str(error), "hint": error.hint, "unread": unread}}


def document_to_header(document: ParsedDocument, spans: Sequence[Span]) -> dict[str, Any]:
    """All of a document but its text, which is the frame's body."""
    return {
        "title": document.title,
        "headings": [[heading.level, heading.title, heading.start] for heading in document.headings],
        "places": [[p.number, p.start, p.end, p.kind, p.label] for p in document.places],
        "spans": list(spans),
        "attachments": [[attachment.name, len(attachment.data)] for attachment in document.attachments],
        "unread": list(document.unread),
    }


def document_to_body(document: ParsedDocument) -> bytes:
    """The text, and after it the bytes of each attachment."""
    return b"".join([document.text.encode("utf-8"), *(attachment.data for attachment in document.attachments)])


def body_max(limits: Limits) -> int:
    """The longest body that a reply may have, in bytes."""
    return 4 * limits.characters + limits.file_mb * 2**20


def read_reply(header: Mapping[str, Any], body: bytes | bytearray, job: Job) -> Parsed:
    """The parsed document a child's reply stands for. Raises the DocumentError it reports, or BadReply."""
    error = header.get("error")
    if error is not None:
        raise _read_error(error, job.limits)
    attachments, size = _read_attachments(header.get("attachments"), body, job.limits)
    try:
        text = str(memoryview(body)[:size], "utf-8")
    except UnicodeDecodeError as fault:
        raise BadReply("the text is not UTF-8") from fault
    _require(0 < len(text) <= job.limits.characters and has_text(text) and "\0" not in text, "text")
    title = header.get("title")
    _require(isinstance(title, str) and 0 < len(title) <= MAX_TITLE and title == one_line(title), "title")
    document = ParsedDocument(
        text,
        str(title),
        media_type(job.source),
        _read_headings(header.get("headings"), len(text)),
        _read_places(header.get("places"), len(text), job.limits),
        attachments,
        _read_unread(header.get("unread", []), job.limits),
    )
    return Parsed(document, place(document, _read_spans(header.get("spans"), text, job.limits)))


def _read_attachments(rows: Any, body: bytes | bytearray, limits: Limits) -> tuple[tuple[Attachment, ...], int]:
    """The attachments at the body's end, and how long the text before them is."""
    _require(isinstance(rows, list) and len(rows) <= MAX_ATTACHMENTS, "attachments")
    _require(all(isinstance(row, list) and len(row) == 2 for row in rows), "attachments")
    for name, size in rows:
        _require(isinstance(name, str) and 0 < len(name) <= MAX_TITLE and name == one_line(name), "attachments")
        _require("/" not in name and name not in (".", "..") and type(size) is int and size >= 0, "attachments")
    total = sum(size for _, size in rows)
    _require(total <= min(len(body), limits.file_mb * 2**20), "attachments")
    at = text_size = len(body) - total
    found = []
    for name, size in rows:
        found.append(Attachment(name, bytes(body[at : at + size])))
        at += size
    return tuple(found), text_size


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise BadReply(f"its {what} cannot be right")


def read_recognised(header: Mapping[str, Any]) -> tuple[Line, ...]:
    """The lines that a child recognised. Raises the DocumentError it reports, or BadReply."""
    error = header.get("error")
    if error is not None:
        raise _read_error(error, Limits())
    return read_lines(header.get("lines"))


def _read_error(error: Any, limits: Limits) -> DocumentError:
    _require(isinstance(error, dict) and set(error) - {"unread"} == {"code", "message", "hint"}, "error")
    told = [error["code"], error["message"], error["hint"]]
    _require(all(isinstance(part, str) for part in told) and error["code"] in _ERRORS, "error")
    message, hint = _message(error["message"]), _message(error["hint"])
    if error["code"] == EmptyDocument.code:
        return EmptyDocument(message, hint=hint, unread=_read_unread(error.get("unread", []), limits))
    return _ERRORS[error["code"]](message, hint=hint)


def _read_unread(numbers: Any, limits: Limits) -> tuple[int, ...]:
    """The numbers of the pages to recognise, rising."""
    _require(isinstance(numbers, list) and len(numbers) <= limits.pages, "unread pages")
    _require(all(type(number) is int and 1 <= number <= limits.pages for number in numbers), "unread pages")
    _require(all(a < b for a, b in pairwise(numbers)), "unread pages")
    return tuple(numbers)


def _message(text: str) -> str:
    """At most 500 characters of a message, on one line."""
    return " ".join(text[:500].split())


def _numbers(row: Any, count: int, size: int) -> bool:
    """Whether ``row`` is a list of ``count`` rising offsets in a text of ``size`` characters."""
    return (
        isinstance(row, list)
        and len(row) == count
        and all(type(value) is int and 0 <= value <= size for value in row)
        and row == sorted(row)
    )


def _read_headings(rows: Any, size: int) -> tuple[Heading, ...]:
    _require(isinstance(rows, list) and len(rows) <= MAX_HEADINGS, "headings")
    headings: list[Heading] = []
    for row in rows:
        _require(isinstance(row, list) and len(row) == 3 and isinstance(row[1], str), "headings")
        level, title, start = row
        _require(type(level) is int and 1 <= level <= 6 and _numbers([start], 1, size), "headings")
        _require(0 < len(title) <= MAX_TITLE and title == one_line(title), "headings")
        _require(not headings or headings[-1].start <= start, "headings")
        headings.append(Heading(level, title, start))
    return tuple(headings)


def _read_places(rows: Any, size: int, limits: Limits) -> tuple[Place, ...]:
    """The places, in order of their starts; those of one kind do not overlap."""
    _require(isinstance(rows, list) and len(rows) <= MAX_PLACES, "places")
    places: list[Place] = []
    ends: dict[str, int] = {}
    for row in rows:
        _require(isinstance(row, list) and len(row) == 5 and _numbers(row[1:3], 2, size), "places")
        number, start, end, kind, label = row
        _require(type(number) is int and 1 <= number <= _MOST_NUMBERED, "places")
        _require(isinstance(kind, str) and kind in _KINDS, "places")
        _require(isinstance(label, str) and label == one_line(label), "places")
        _require(start >= ends.get(kind, 0) and (not places or start >= places[-1].start), "places")
        ends[kind] = end
        places.append(Place(number, start, end, kind, label))
    _require(sum(place.kind in NUMBERED for place in places) <= limits.pages, "pages")
    return tuple(places)


def _read_spans(rows: Any, text: str, limits: Limits) -> list[Span]:
    _require(isinstance(rows, list) and 1 <= len(rows) <= limits.passages, "passages")
    _require(all(_numbers(row, 2, len(text)) for row in rows), "passages")
    _require(all(not text[start:end].isspace() and start < end for start, end in rows), "passages")
    _require(all(a[0] < b[0] for a, b in pairwise(rows)), "passages")
    return [(start, end) for start, end in rows]
