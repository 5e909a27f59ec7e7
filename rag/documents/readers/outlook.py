"""Messages of Outlook (msg): who wrote to whom, when, about what, and the text; attachments apart."""

from __future__ import annotations

import io
import zlib
from base64 import b64decode
from dataclasses import dataclass
from pathlib import PurePosixPath

from rag.documents.formats import one_line, shown
from rag.documents.readers import html
from rag.errors import DamagedDocument
from rag.types import Attachment

_PACKED = (
    b"eNq7cF7wwcKNUg8Z0IAdAzPDv/+cDGxIYoxQDAYCDAxMUP6/////w4T/j4IhBf4C8T8kPApGFghiyAfCEgYFBleGPCBdxFDJQAoQY2BlhJnF"
    b"SKQeZiA+AGXHA2ExQylDEpAsYUhnMGTQYzAAihkAoTGDOZg2ZHDDaZYWAxPYfiZo2UOsu3kI2G8IttmAaPuZSbAfFE4cSPYXAEM9H0imAuk"
    b"ShkwgXQwULQPzi4H8fGDMQNyFCQyg9sMAMfaDwsoByh7N+yMbBDMkMuQC014OMLWRA0KA+iqAqZZWQB5YBoDaIGxwPoMAiM3CMAqoAQBJYfir"
)
"""A message of Outlook that says nothing, deflated."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message's head, text and attached files."""

    sender: str
    to: str
    date: str
    subject: str
    text: str
    attachments: tuple[Attachment, ...]
    copies: str = ""


def sample() -> bytes:
    """A message that says nothing."""
    return zlib.decompress(b64decode(_PACKED))


def read(data: bytes, source: str) -> Message:
    """The message that a file holds. Raises DamagedDocument."""
    from oxmsg import Message as Stored

    try:
        found = Stored.load(io.BytesIO(data))
        html_body, plain = found.html_body or "", found.body or ""
        attachments = tuple(
            Attachment(base(one_line(a.file_name or "")) or "attachment", a.file_bytes or b"")
            for a in found.attachments
        )
        sent = found.sent_date
        to = ", ".join(one_line(r.name or r.email_address) for r in found.recipients)
        sender, subject = one_line(found.sender or ""), one_line(found.subject or "")
    except (OSError, ValueError, KeyError, AttributeError, IndexError, TypeError) as error:
        # what a damaged file lacks surfaces in python-oxmsg as whatever missed it
        raise DamagedDocument(
            f"{shown(source)} is damaged or no Outlook message ({type(error).__name__}).", hint="Export it as eml."
        ) from error
    text = plain if plain.strip() else html.read_markup(html_body).text
    return Message(sender, to, sent.strftime("%Y-%m-%d %H:%M") if sent else "", subject, text, attachments)


def base(name: str) -> str:
    """A file's name without the folders, of any system, before it."""
    return PurePosixPath(name.replace("\\", "/")).name
