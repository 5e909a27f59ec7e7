"""Which files can become documents, what to call them in messages, and the checks every format shares."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import PurePosixPath

from rag.config import Limits
from rag.errors import EmptyDocument, LimitExceeded, UnsupportedFormat
from rag.text import remove_invisible
from rag.types import Heading, ParsedDocument

PLAIN, MARKDOWN, HTML, PDF = "text/plain", "text/markdown", "text/html", "application/pdf"
MEDIA_TYPES = {
    ".txt": PLAIN, ".text": PLAIN, ".log": PLAIN, ".md": MARKDOWN, ".markdown": MARKDOWN,
    ".html": HTML, ".htm": HTML, ".xhtml": HTML, ".pdf": PDF,
}  # fmt: skip

MAX_TITLE = 200
MAX_HEADINGS = 10_000
MAX_PLACES = 200_000

_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def media_type(source: str) -> str:
    """The media type that the source's suffix stands for. Raises UnsupportedFormat."""
    suffix = PurePosixPath(source).suffix.lower()
    if suffix not in MEDIA_TYPES:
        kind = f"{shown(suffix)} files" if suffix else "files without a suffix"
        raise UnsupportedFormat(
            f"{shown(source)}: {kind} are not supported.",
            hint=f"Save it as one of {', '.join(MEDIA_TYPES)} and add that.",
        )
    return MEDIA_TYPES[suffix]


def shown(name: str) -> str:
    """A file's name fit for a message: controls and direction marks escaped, a long one cut in the middle."""
    plain = _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", name)
    return plain if len(plain) <= 120 else f"{plain[:60]}...{plain[-57:]}"


def stem(source: str) -> str:
    """The file's name without folders and suffix: the title of last resort."""
    return one_line(PurePosixPath(source).stem) or "untitled"


def one_line(text: str) -> str:
    """Text as a title or heading: controls and invisible characters gone, white space collapsed, cut at MAX_TITLE."""
    visible = _CONTROLS.sub("", remove_invisible(text[: 10 * MAX_TITLE]))
    return " ".join(visible.split())[:MAX_TITLE].rstrip()


def first_line(text: str) -> str:
    """The first line with a letter or digit if it is at most 120 characters long, else an empty string.

    A page saved from a browser often begins with "its heading | the site", too long, and then the heading: taken too.
    """
    lines = (line.strip() for line in text[:5_000].split("\n"))
    first, second = [*islice((line for line in lines if any(map(str.isalnum, line))), 2), "", ""][:2]
    if len(first) <= 120:
        return one_line(first)
    return one_line(second) if len(second) <= 120 and second in first else ""


def finish(text: str, title: str, source: str, limits: Limits, headings: list[Heading] | None = None) -> ParsedDocument:
    """The parsed document of a format without pages. Raises EmptyDocument and LimitExceeded."""
    check_characters(len(text), source, limits)
    if not has_text(text):
        raise EmptyDocument(f"{shown(source)} has no text.", hint="Check that it is the file you meant.")
    return ParsedDocument(text, title or stem(source), media_type(source), fewest(headings or []))


def fewest(headings: list[Heading]) -> tuple[Heading, ...]:
    """The headings; if more than MAX_HEADINGS, without the deepest levels, so that no path names a wrong one."""
    level = 6
    while len(headings) > MAX_HEADINGS:
        level -= 1
        headings = [heading for heading in headings if heading.level <= level]
    return tuple(headings)


def has_text(text: str) -> bool:
    """Whether a reader would see anything at all."""
    return bool(text) and (not text.isspace()) and bool(remove_invisible(text).strip())


def check_characters(count: int, source: str, limits: Limits) -> None:
    """Raise LimitExceeded if a document of ``count`` characters is too long."""
    if count > limits.characters:
        raise LimitExceeded(
            f"{shown(source)} has more than {limits.characters:,} characters of text (limits.characters).",
            hint="Split the file, or raise limits.characters.",
        )
