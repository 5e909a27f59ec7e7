"""Which files can become documents and who reads them, their names in messages, and the checks every format shares."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import PurePosixPath

from rag.config import Limits
from rag.errors import EmptyDocument, LimitExceeded, UnsupportedFormat
from rag.text import remove_invisible
from rag.types import Heading, ParsedDocument, Place

PLAIN, MARKDOWN, HTML, PDF = "text/plain", "text/markdown", "text/html", "application/pdf"
PICTURE = "image/*"
_OFFICE = "application/vnd.openxmlformats-officedocument"
_OPEN = "application/vnd.oasis.opendocument"
_CODE = (
    "rst org tex py pyi js mjs cjs jsx ts tsx go rs c h cc cpp cxx hpp hh cs java kt kts scala swift rb php pl pm lua r"
    " jl m mm sh bash zsh fish ps1 bat sql css scss less vue svelte toml ini cfg conf yaml yml xml gradle cmake mk"
    " proto graphql tf ex exs erl hs clj lisp el vim diff patch"
)


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of file: what people call it, its media type, its suffixes, and who reads it.

    ``reader`` names a function ``(data: bytes, source: str, limits: Limits) -> ParsedDocument`` as ``module:function``;
    it is imported and run in the child processes only, and raises DocumentError for a file it cannot read.
    """

    name: str
    media_type: str
    suffixes: tuple[str, ...]
    reader: str


def _format(name: str, media_type: str, suffixes: str, reader: str) -> Format:
    return Format(name, media_type, tuple(f".{s}" for s in suffixes.split()), f"rag.documents.readers.{reader}:parse")


FORMATS = (
    _format("text", PLAIN, "txt text log", "plain"),
    _format("Markdown", MARKDOWN, "md markdown", "markdown"),
    _format("web pages", HTML, "html htm xhtml", "html"),
    _format("PDF", PDF, "pdf", "pdf"),
    _format("Word", f"{_OFFICE}.wordprocessingml.document", "docx docm", "docx"),
    _format("presentations", f"{_OFFICE}.presentationml.presentation", "pptx", "pptx"),
    _format("spreadsheets", f"{_OFFICE}.spreadsheetml.sheet", "xlsx xls xlsm xlsb", "sheets"),
    _format("OpenDocument", f"{_OPEN}.text", "odt ods odp", "opendocument"),
    _format("e-books", "application/epub+zip", "epub", "epub"),
    _format("rich text", "application/rtf", "rtf", "rtf"),
    _format("messages", "message/rfc822", "eml mbox msg", "mail"),
    _format("tables", "text/csv", "csv tsv", "delimited"),
    _format("JSON and notebooks", "application/json", "json jsonl ndjson ipynb", "structured"),
    _format("source code", "text/x-source", _CODE, "code"),
    _format("pictures", PICTURE, "png jpg jpeg tif tiff", "picture"),
)
"""The formats of this package, in the order they are told."""

PLUGINS = "rag.formats"
"""The entry points' group that adds formats: a name like ``.abc`` or ``abc``, a value like ``package.module:parse``."""


_TOLD = {
    "text": 1,
    "Markdown": 1,
    "web pages": 1,
    "Word": 1,
    "spreadsheets": 2,
    "JSON and notebooks": 4,
    "source code": 8,
    "pictures": 5,
}
"""How many of a format's suffixes are told where all would be too many."""


@cache
def formats() -> tuple[Format, ...]:
    """This package's formats and those of installed plug-ins, which can add suffixes but not take over known ones."""
    from importlib.metadata import entry_points

    known = {suffix for kind in FORMATS for suffix in kind.suffixes}
    added = []
    for entry in sorted(entry_points(group=PLUGINS)):
        suffix = "." + entry.name.lower().removeprefix(".")
        if suffix not in known:
            added.append(Format(f"{suffix} files", f"application/x-{suffix[1:]}", (suffix,), entry.value))
            known.add(suffix)
    return (*FORMATS, *added)


@cache
def suffixes() -> Mapping[str, Format]:
    """Every suffix that can be read, with its format."""
    return {suffix: kind for kind in formats() for suffix in kind.suffixes}


def readable() -> str:
    """What can be read, in one line for people: the first suffixes of each format."""
    return " ".join(suffix for kind in FORMATS for suffix in kind.suffixes[: _TOLD.get(kind.name, 3)])


def names() -> str:
    """What can be read, in one line for people: the names of the formats."""
    first = [kind.name for kind in formats()]
    return f"{', '.join(first[:-1])} and {first[-1]}"


def format_of(source: str) -> Format:
    """The format that the source's suffix stands for. Raises UnsupportedFormat."""
    suffix = PurePosixPath(source).suffix.lower()
    known = suffixes()
    if suffix not in known:
        kind = f"{shown(suffix)} files" if suffix else "files without a suffix"
        raise UnsupportedFormat(
            f"{shown(source)}: {kind} are not supported.",
            hint=f"Save it as one of {', '.join(readable().split())} and add that.",
        )
    return known[suffix]


def media_type(source: str) -> str:
    """The media type that the source's suffix stands for. Raises UnsupportedFormat."""
    return format_of(source).media_type


MAX_TITLE = 200
MAX_HEADINGS = 10_000
MAX_PLACES = 200_000
MAX_ATTACHMENTS = 100

_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


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


def finish(
    text: str, title: str, source: str, limits: Limits, headings: Sequence[Heading] = (), places: Sequence[Place] = ()
) -> ParsedDocument:
    """The parsed document that is this text. Raises EmptyDocument and LimitExceeded."""
    check_characters(len(text), source, limits)
    if not has_text(text):
        raise EmptyDocument(f"{shown(source)} has no text.", hint="Check that it is the file you meant.")
    return ParsedDocument(text, title or stem(source), media_type(source), fewest(headings), fewest_places(places))


def fewest_places(places: Sequence[Place]) -> tuple[Place, ...]:
    """The places; if more than MAX_PLACES, without the kind that has most, so that none left out is told wrongly."""
    while len(places) > MAX_PLACES:
        most = Counter(place.kind for place in places).most_common(1)[0][0]
        places = [place for place in places if place.kind != most]
    return tuple(places)


def fewest(headings: Sequence[Heading]) -> tuple[Heading, ...]:
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
