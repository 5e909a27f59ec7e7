"""Messages (eml, mbox; msg by ``outlook``): who wrote to whom, when, about what, and the text; attachments apart."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from pathlib import PurePosixPath

from rag.config import Limits
from rag.documents.build import Builder
from rag.documents.formats import MAX_ATTACHMENTS, PICTURE, one_line, shown, suffixes
from rag.documents.readers import html, outlook
from rag.documents.readers.mime import forwarded, header, leaves, payload, text_of
from rag.documents.readers.outlook import Message
from rag.errors import DamagedDocument
from rag.types import Attachment, ParsedDocument

SAMPLES: dict[str, bytes | Callable[[], bytes]] = {
    "sample.eml": b"From: =?utf-8?q?Ann?= <a@b>\nSubject: Sample\nDate: Mon, 1 Jan 2024 10:00:00 +0000\n"
    b"Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: text/html; charset=iso-8859-1\n"
    b"Content-Transfer-Encoding: quoted-printable\n\n<p>Caf=E9</p>\n--x\nContent-Type: message/rfc822\n\n"
    b"From: =?utf-8?q?J=C3=B6?= <a@b>\nSubject: x\n\ny\n--x--\n",
    "sample.msg": outlook.sample,
}

_FROM = re.compile(rb"^From [^\n]*\n(?=[!-9;-~]+:)", re.M)
"""What begins a message of a mailbox: a header follows. A line of a letter can begin so, too."""


def parse(data: bytes, source: str, limits: Limits) -> ParsedDocument:
    """Message or mailbox to document, a place a message; title: the subject (of a mailbox the file's name).

    The plain part is preferred. Raises DamagedDocument, EmptyDocument and LimitExceeded.
    """
    suffix = PurePosixPath(source).suffix.lower()
    build = Builder(source, limits)
    attached: list[Attachment] = []
    subject = ""
    for number, message in enumerate(_messages(data, source, suffix), start=1):
        start = build.end
        subject = message.subject
        build.heading(1, message.subject or "(no subject)")
        facts = (("From", message.sender), ("To", message.to), ("Cc", message.copies), ("Date", message.date))
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


def _messages(data: bytes, source: str, suffix: str) -> Iterator[Message]:
    if suffix == ".msg":
        yield outlook.read(data, source)
        return
    if suffix != ".mbox":
        yield _message(message_from_bytes(data, _class=EmailMessage, policy=policy.default), source)
        return
    starts = [match.span() for match in _FROM.finditer(data)]
    if not starts:
        raise DamagedDocument(f"{shown(source)} is no mailbox.", hint="Export it anew, as mbox or eml files.")
    for (_, begin), (end, _) in zip(starts, [*starts[1:], (len(data), 0)], strict=True):
        if b"\n\n" in data[begin:end] or b"\r\n\r\n" in data[begin:end]:
            part = re.sub(rb"^>(>*From )", rb"\1", data[begin:end], flags=re.M)
            yield _message(message_from_bytes(part, _class=EmailMessage, policy=policy.default), source)


def _message(message: EmailMessage, source: str) -> Message:
    if not message.keys():
        raise DamagedDocument(f"{shown(source)} is no message: it has no header.", hint="Export it anew.")
    texts: list[tuple[str, str]] = []
    attachments: list[Attachment] = []
    for part in leaves(message):
        name = one_line(part.get_filename() or "")
        if part.get_content_type() == "message/rfc822":
            attachments.append(forwarded(part, name))
        elif name or part.get_content_disposition() == "attachment":
            attachments.append(Attachment(_named(name, part), payload(part)))
        elif part.get_content_maintype() == "text":
            texts.append((part.get_content_subtype(), text_of(part, source)))
    plain = [text for kind, text in texts if kind == "plain" and text.strip()]
    pages = [html.read_markup(text).text for kind, text in texts if kind == "html"]
    date = header(message, "date")
    return Message(
        header(message, "from"), header(message, "to"), _day(date), header(message, "subject"),
        "\n\n".join(plain or pages), tuple(attachments), header(message, "cc"),
    )  # fmt: skip


def _named(name: str, part: EmailMessage) -> str:
    return outlook.base(name) or f"attachment.{part.get_content_subtype()}"


def _day(date: str) -> str:
    """A date as people write it, without the seconds and the zone's name; as it stands, if it is none."""
    try:
        return parsedate_to_datetime(date).strftime("%Y-%m-%d %H:%M")
    except (ValueError, TypeError, IndexError):
        return date
