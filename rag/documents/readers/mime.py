"""The parts of a message as they are found in it, however damaged."""

from __future__ import annotations

from collections.abc import Iterator
from email.message import EmailMessage
from typing import Any

from rag.documents.decode import decode
from rag.documents.formats import one_line
from rag.documents.readers import outlook
from rag.errors import DocumentError
from rag.types import Attachment


def leaves(message: EmailMessage) -> Iterator[EmailMessage]:
    """The parts that have no parts, in order; a message inside the message is one."""
    waiting: list[EmailMessage] = [message]
    while waiting:
        part = waiting.pop()
        if part.is_multipart() and (part is message or part.get_content_type() != "message/rfc822"):
            inside: Any = part.get_payload()
            waiting += reversed(inside)
        else:
            yield part


def forwarded(part: EmailMessage, name: str) -> Attachment:
    """A message inside a message, as the file it would be."""
    inner: Any = part.get_payload(0) if part.is_multipart() else part
    name = outlook.base(name) or header(inner, "subject").replace("/", " ") or "message"
    try:
        data = inner.as_bytes()
    except (ValueError, KeyError, LookupError, AttributeError, TypeError):  # as the standard library's writer fails
        data = b""
    return Attachment(name if name.lower().endswith(".eml") else f"{name}.eml", data)


def text_of(part: EmailMessage, source: str) -> str:
    """The text of a part; none, if its bytes are no text."""
    try:
        return decode(payload(part), source, part.get_content_charset() or "")
    except DocumentError:
        return ""


def payload(part: EmailMessage) -> bytes:
    """The bytes of a part that has no parts."""
    found = part.get_payload(decode=True)
    return found if isinstance(found, bytes) else b""


def header(message: EmailMessage, name: str) -> str:
    """A header's text; "" for one that is not there or that nobody can read."""
    try:
        return one_line(str(message.get(name) or ""))
    except (ValueError, IndexError, AttributeError, TypeError):  # the standard library's parser fails in many ways
        return ""
