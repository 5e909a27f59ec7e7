"""Archives (office files, e-books): looked at before anything in them is unpacked or parsed."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Mapping
from xml.etree import ElementTree

from rag.config import Limits
from rag.documents.formats import shown
from rag.errors import DamagedDocument, EncryptedDocument, LimitExceeded

_SMALL = 2**20
_MARKUP = (".xml", ".rels", ".xhtml", ".html", ".htm", ".opf", ".ncx", ".vml")
_PROLOG = re.compile(rb"\s*(?:<\?.*?\?>|<!--.*?-->|\s+)*\s*<!DOCTYPE[^>\[]*\[", re.S)
_COMPOUND = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, ValueError, KeyError)
"""What the standard library raises for an archive that is damaged."""


class Archive:
    """A zip file whose entries, sizes, ratios and document types have been found harmless.

    Raises EncryptedDocument, DamagedDocument and LimitExceeded when it is made or read.
    """

    def __init__(self, data: bytes, source: str, limits: Limits) -> None:
        self._source = source
        if data.startswith(_COMPOUND):
            raise EncryptedDocument(
                f"{shown(source)} is encrypted, or of a format older than its suffix.",
                hint="Save it without a password, in the format of its suffix, and add that.",
            )
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except UNREADABLE as error:
            raise self._damaged() from error
        entries = self._zip.infolist()
        self._check(entries, limits)
        self.names = frozenset(entry.filename for entry in entries)
        for entry in entries:
            if entry.filename.lower().endswith(_MARKUP):
                self._check_prolog(entry.filename)

    def read(self, name: str) -> bytes:
        """An entry's bytes. Raises DamagedDocument when it is not there or not whole."""
        try:
            return self._zip.read(name)
        except UNREADABLE as error:
            raise self._damaged() from error

    def xml(self, name: str) -> ElementTree.Element:
        """An entry as a tree of elements. Raises DamagedDocument."""
        try:
            return ElementTree.fromstring(self.read(name))
        except (ElementTree.ParseError, ValueError, LookupError) as error:
            raise self._damaged() from error

    def _damaged(self) -> DamagedDocument:
        return DamagedDocument(
            f"{shown(self._source)} is damaged or not of the format of its suffix.",
            hint="Open it in its own program, save it anew and add that.",
        )

    def _check(self, entries: list[zipfile.ZipInfo], limits: Limits) -> None:
        most = limits.unzipped_mb * 2**20
        if len(entries) > limits.archive_entries:
            raise self._over(f"holds {len(entries):,} files", f"{limits.archive_entries:,}", "archive_entries")
        if sum(entry.file_size for entry in entries) > most:
            raise self._over("is too large once unpacked", f"{limits.unzipped_mb:,} MB", "unzipped_mb")
        for entry in entries:
            if entry.flag_bits & 1:
                raise EncryptedDocument(
                    f"{shown(self._source)} is encrypted and needs a password.",
                    hint="Save it without the password and add that.",
                )
            if entry.file_size > max(_SMALL, limits.archive_ratio * entry.compress_size):
                raise self._over("is packed suspiciously tight", f"{limits.archive_ratio} to 1", "archive_ratio")

    def _over(self, what: str, most: str, limit: str) -> LimitExceeded:
        return LimitExceeded(
            f"{shown(self._source)} {what}; the limit is {most} (limits.{limit}).",
            hint=f"Do not trust the file; if you do, raise limits.{limit}.",
        )

    def _check_prolog(self, name: str) -> None:
        """Refuse a document type that declares entities of its own: no honest office file has one."""
        head = self.read(name)[: 2**16]
        if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
            head = head.decode("utf-16", "replace").encode()
        if _PROLOG.match(head.removeprefix(b"\xef\xbb\xbf")):
            raise DamagedDocument(
                f"{shown(self._source)} declares XML entities, as no honest file of its format does.",
                hint="Do not trust the file.",
            )


def packed(parts: Mapping[str, str | bytes]) -> bytes:
    """An archive of these texts by their names, as small samples of office formats are."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return out.getvalue()


def local(tag: object) -> str:
    """An element's name without its namespace; "" for a comment."""
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""
