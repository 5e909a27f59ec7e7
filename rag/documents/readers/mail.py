"""Messages (eml, mbox, msg): who wrote to whom, when, about what, and the text; attachments apart."""

from __future__ import annotations

import io
import re
import zlib
from base64 import b64decode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from pathlib import PurePosixPath

from rag.config import Limits
from rag.documents.build import Builder
from rag.documents.decode import decode
from rag.documents.formats import MAX_ATTACHMENTS, PICTURE, one_line, shown, suffixes
from rag.documents.readers import html
from rag.errors import DamagedDocument, DocumentError
from rag.types import Attachment, ParsedDocument

_PACKED = (
    b"eNq7cF7wwcKNUg8Z0IAdAzPDv/+cDGxIYoxQDAYCDAxMUP6/////w4T/j4IhBf4C8T8kPApGFghiyAfCEgYFBleGPCBdxFDJQAoQY2BlhJnF"
    b"SKQeZiA+AGXHA2ExQylDEpAsYUhnMGTQYzAAihkAoTGDOZg2ZHDDaZYWAxPYfiZo2UOsu3kI2G8IttmAaPuZSbAfFE4cSPYXAEM9H0imAuk"
    b"ShkwgXQwULQPzi4H8fGDMQNyFCQyg9sMAMfaDwsoByh7N+yMbBDMkMuQC014OMLWRA0KA+iqAqZZWQB5YBoDaIGxwPoMAiM3CMAqoAQBJYfir"
)
"""A message of Outlook that says nothing, deflated."""
SAMPLES: dict[str, bytes | Callable[[], bytes]] = {
    "sample.eml": b"From: =?utf-8?q?Ann?= <a@b>\nSubject: Sample\nDate: Mon, 1 Jan 2024 10:00:00 +0000\n"
    b"Content-Type: text/html; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\n<p>Caf=E9</p>",
    "sample.msg": lambda: zlib.decompress(b64decode(_PACKED)),
}

_FROM = re.compile(rb"^From [^\n]*\n", re.M)


@dataclass(frozen=True, slots=True)
class _Message:
    sender: str
    to: str
    date: str
    subject: str
    text: str
    attachments: tuple[Attachment, ...]


def parse(data: bytes, source: str, limits: Limits) -> ParsedDocument:
    """Message or mailbox to document, a place a message; title: the subject (of a mailbox the file's name).

    The plain part is preferred. Raises DamagedDocument, EmptyDocument and LimitExceeded.
    """
    suffix = PurePosixPath(source).suffix.lower()
    build = Builder(source, limits)
    attached: list[Attachment] = []
    messages = iter([_outlook(data, source)]) if suffix == ".msg" else _messages(data, source, many=suffix == ".mbox")
    subject = ""
    for number, message in enumerate(messages, start=1):
        start = build.end
        subject = message.subject
        build.heading(1, message.subject or "(no subject)")
        facts = (("From", message.sender), ("To", message.to), ("Date", message.date))
        names = ", ".join(attachment.name for attachment in message.attachments)
        build.write("\n".join(f"{name}: {value}" for name, value in (*facts, ("Attachments", names)) if value))
        build.write(message.text)
        label = ", ".join(part for part in (message.sender, message.date, message.subject) if part)
        build.place("message", number, start, label)
        attached += message.attachments
    title = subject if suffix != ".mbox" else PurePosixPath(source).stem
    return replace(build.finish(title), attachments=_fitting(attached, limits))


def _fitting(attachments: list[Attachment], limits: Limits) -> tuple[Attachment, ...]:
    """Those that can become documents and fit, in order."""
    kept: list[Attachment] = []
    left = limits.file_mb * 2**20
    for attachment in attachments:
        kind = suffixes().get(PurePosixPath(attachment.name).suffix.lower())
        known = kind is not None and kind.media_type != PICTURE  # mostly logos of signatures
        if known and attachment.data and len(attachment.data) <= left and len(kept) < MAX_ATTACHMENTS:
            kept.append(attachment)
            left -= len(attachment.data)
    return tuple(kept)


def _messages(data: bytes, source: str, *, many: bool) -> Iterator[_Message]:
    if not many:
        yield _message(message_from_bytes(data, _class=EmailMessage, policy=policy.default), source)
        return
    starts = [match.span() for match in _FROM.finditer(data)]
    if not starts:
        raise DamagedDocument(f"{shown(source)} is no mailbox.", hint="Export it anew, as mbox or eml files.")
    for (_, begin), (end, _) in zip(starts, [*starts[1:], (len(data), 0)], strict=True):
        if b"\n\n" in data[begin:end] or b"\r\n\r\n" in data[begin:end]:
            part = re.sub(rb"^>(>*From )", rb"\1", data[begin:end], flags=re.M)
            yield _message(message_from_bytes(part, _class=EmailMessage, policy=policy.default), source)


def _message(message: EmailMessage, source: str) -> _Message:
    if not message.keys():
        raise DamagedDocument(f"{shown(source)} is no message: it has no header.", hint="Export it anew.")
    texts: list[tuple[str, str]] = []
    attachments: list[Attachment] = []
    for part in message.walk():
        if part.is_multipart():
            continue
        name = one_line(part.get_filename() or "")
        if name or part.get_content_disposition() == "attachment":
            attachments.append(Attachment(_named(name, part), _payload(part)))
        elif part.get_content_maintype() == "text":
            texts.append((part.get_content_subtype(), _text(part, source)))
    plain = [text for kind, text in texts if kind == "plain" and text.strip()]
    pages = [html.read_markup(text).text for kind, text in texts if kind == "html"]
    date = _header(message, "date")
    return _Message(
        _header(message, "from"), _header(message, "to"), _day(date), _header(message, "subject"),
        "\n\n".join(plain or pages), tuple(attachments),
    )  # fmt: skip


def _text(part: EmailMessage, source: str) -> str:
    """The text of a part; none, if its bytes are no text."""
    try:
        return decode(_payload(part), source, part.get_content_charset() or "")
    except DocumentError:
        return ""


def _payload(part: EmailMessage) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _header(message: EmailMessage, name: str) -> str:
    """A header's text; "" for one that is not there or that nobody can read."""
    try:
        return one_line(str(message.get(name) or ""))
    except (ValueError, IndexError, AttributeError, TypeError):  # the standard library's parser fails in many ways
        return ""


def _named(name: str, part: EmailMessage) -> str:
    return _base(name) or f"attachment.{part.get_content_subtype()}"


def _day(date: str) -> str:
    """A date as people write it, without the seconds and the zone's name; as it stands, if it is none."""
    try:
        return parsedate_to_datetime(date).strftime("%Y-%m-%d %H:%M")
    except (ValueError, TypeError, IndexError):
        return date


def _outlook(data: bytes, source: str) -> _Message:
    from oxmsg import Message

    try:
        found = Message.load(io.BytesIO(data))
        html_body, plain = found.html_body or "", found.body or ""
        attachments = tuple(
            Attachment(_base(one_line(a.file_name or "")) or "attachment", a.file_bytes or b"")
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
    return _Message(sender, to, sent.strftime("%Y-%m-%d %H:%M") if sent else "", subject, text, attachments)


def _base(name: str) -> str:
    return PurePosixPath(name.replace("\\", "/")).name
