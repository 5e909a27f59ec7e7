"""PDF: text page by page through PDFium, with the place of every page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, closing
from importlib import import_module
from itertools import islice
from typing import Any

from rag.config import Limits
from rag.documents.decode import canonical
from rag.documents.formats import PDF as MEDIA_TYPE
from rag.documents.formats import check_characters, fewest, has_text, one_line, shown, stem
from rag.errors import DamagedDocument, EmptyDocument, EncryptedDocument, LimitExceeded
from rag.types import Heading, ParsedDocument, Place

SAMPLES = {
    "sample.pdf": (
        b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
        b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>endobj\n"
        b"4 0 obj<</Length 34>>stream\nBT /F 9 Tf 9 9 Td (Sample) Tj ET  \nendstream endobj\n"
        b"5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj\ntrailer<</Root 1 0 R>>\n"
    ),
}

_BETWEEN_PAGES = "\n\n"
_LINE_END_HYPHEN = re.compile(r"(\w+)[\x02\ufffe](\w+)")
_WORD = re.compile(r"[^\W\d_]{2,}")
_BAD_TITLE = re.compile(
    r"^microsoft (?:word|excel|powerpoint)\s*-|\.(?:docx?|xlsx?|pptx?|pdf|indd|qxp|dvi|tex|ps|rtf|html?|odt)\s*$"
    r"|[\\/]\w+[\\/]|^https?:|^file:", re.I
)  # fmt: skip
_GENERIC = frozenset(
    "document untitled presentation powerpoint microsoft word title page slide sheet book layout print printing scan"
    " scanned image img doc docx pdf file new copy final draft version output temp tmp none null unknown".split()
)


def parse(data: bytes, source: str, limits: Limits) -> ParsedDocument:
    """PDF to document; pages without text stay in the page table as empty ones.

    Raises EncryptedDocument, DamagedDocument, LimitExceeded (pages, characters) and EmptyDocument (no page has text).
    """
    pdf = _open(data, source)
    try:
        count = len(pdf)
        if count > limits.pages:
            raise LimitExceeded(
                f"{shown(source)} has {count:,} pages; the limit is {limits.pages:,} (limits.pages).",
                hint="Split the file, or raise limits.pages.",
            )
        texts: list[str] = []
        total = 0
        for index in range(count):
            texts.append(_page_text(pdf, index))
            total += len(texts[-1])
            check_characters(total, source, limits)
        text, pages = _assemble(_mend_hyphens(texts))
        check_characters(len(text), source, limits)
        if not has_text(text):
            raise _without_text(source, count)
        headings = fewest(list(_headings(pdf, text, pages)))
        return ParsedDocument(text, _title(pdf, text, source), MEDIA_TYPE, headings, tuple(pages))
    finally:
        pdf.close()


def _pdfium() -> Any:
    """The binding, which carries no types; imported only where a PDF is parsed."""
    return import_module("pypdfium2")


def _open(data: bytes, source: str) -> Any:
    pdfium = _pdfium()
    try:
        return pdfium.PdfDocument(data)
    except pdfium.PdfiumError as error:
        if error.err_code in (pdfium.raw.FPDF_ERR_PASSWORD, pdfium.raw.FPDF_ERR_SECURITY):
            raise EncryptedDocument(
                f"{shown(source)} is encrypted and needs a password.",
                hint="Save it without the password (`qpdf --decrypt IN OUT` asks for it) and add that file.",
            ) from error
        raise DamagedDocument(
            f"{shown(source)} is damaged or is no PDF.",
            hint="Open it in a viewer; if it shows, print it to a new PDF and add that.",
        ) from error


def _without_text(source: str, pages: int) -> EmptyDocument:
    if pages == 0:
        return EmptyDocument(f"{shown(source)} has no pages.", hint="Check that it is the file you meant.")
    which = "its only page has no text" if pages == 1 else f"none of its {pages:,} pages has text"
    return EmptyDocument(
        f"{shown(source)}: {which}; it is probably scanned.",
        hint="Run text recognition over it (for example `ocrmypdf IN OUT`) and add the result.",
    )


def _page_text(pdf: Any, index: int) -> str:
    """The visible text of a page, marks of line-end hyphens still in it; '' for a page that cannot be loaded."""
    with ExitStack() as stack:
        try:
            page = stack.enter_context(closing(pdf[index]))
            text: str = stack.enter_context(closing(page.get_textpage())).get_text_bounded()
        except _pdfium().PdfiumError:
            return ""
    return text.replace("\r\n", "\n").strip()


def _mend_hyphens(texts: list[str]) -> list[str]:
    """Replace PDFium's mark for a hyphen at a line's end (it joins the two lines there).

    Where both halves are words of this document, the hyphen belongs to the word ("stock-based"); else the word was
    only broken ("informa-tion") and becomes whole again.
    """
    if not any("\x02" in text or "\ufffe" in text for text in texts):
        return texts
    vocabulary = {word.lower() for text in texts for word in re.findall(r"\w+", text)}

    def mend(match: re.Match[str]) -> str:
        left, right = match.groups()
        compound = left.lower() in vocabulary and right.lower() in vocabulary
        return f"{left}-{right}" if compound and f"{left}{right}".lower() not in vocabulary else left + right

    return [re.sub("[\x02\ufffe]", "-", _LINE_END_HYPHEN.sub(mend, text)) for text in texts]


def _assemble(texts: list[str]) -> tuple[str, list[Place]]:
    """One text, and where each page is in it."""
    parts: list[str] = []
    pages: list[Place] = []
    length = 0
    for number, raw in enumerate(texts, start=1):
        text = canonical(raw).strip()
        if text and parts:
            parts.append(_BETWEEN_PAGES)
            length += len(_BETWEEN_PAGES)
        pages.append(Place(number, length, length + len(text)))
        if text:
            parts.append(text)
            length += len(text)
    return "".join(parts), pages


def _title(pdf: Any, text: str, source: str) -> str:
    """The title in the file's properties if it tells something, else the file's name, else the first line."""
    stated = one_line(canonical(pdf.get_metadata_value("Title")))
    if _tells(stated) and not _BAD_TITLE.search(stated):
        return stated
    if _tells(stem(source)):
        return stem(source)
    line = next((one_line(line) for line in islice(text.split("\n"), 20) if 8 <= len(line) <= 120 and _tells(line)), "")
    return line or stem(source)


def _tells(title: str) -> bool:
    """Whether it has a word that is not one of those that programs put there, and is not mostly digits and signs."""
    words = [word for word in _WORD.findall(title) if word.lower() not in _GENERIC]
    return bool(words) and 3 * sum(map(len, words)) >= len(title.replace(" ", ""))


def _headings(pdf: Any, text: str, pages: list[Place]) -> Iterator[Heading]:
    """The outline's entries whose title is a line, or begins one, on the page they point to; in order of place."""
    found: dict[int, Heading] = {}
    for level, title, index in _outline(pdf):
        if title and 0 <= index < len(pages):
            start = _find_line(title, text, pages[index])
            if start >= 0:
                found.setdefault(start, Heading(level, title, start))
    yield from (found[start] for start in sorted(found))


def _find_line(title: str, text: str, page: Place) -> int:
    """Where the line begins that is this title, or else the first that begins with it in capitals; -1 if none."""
    words = r"\s+".join(map(re.escape, title.split()))
    number = r"(?:(?:note|item|chapter|section|part)\s+)?(?:[\dA-Z]{1,3}(?:\.\d+)*[.:)]?\s+)?"
    for ending in (r"[ \t]*$", r"\b" if title[-1].isalnum() else ""):
        for match in re.compile(rf"^[ \t]*(?P<line>{number}{words}){ending}", re.I | re.M).finditer(
            text, page.start, page.end
        ):
            if not (match["line"][0].islower() and title[0].isupper()):
                return match.start("line")
    return -1


def _outline(pdf: Any) -> Iterator[tuple[int, str, int]]:
    """Level (1-6), title and page index of each bookmark; a damaged outline simply ends."""
    try:
        for item in pdf.get_toc(max_depth=6):
            destination = item.get_dest()
            index = destination.get_index() if destination else None
            yield min(item.level + 1, 6), one_line(canonical(item.get_title())), -1 if index is None else index
    except _pdfium().PdfiumError:
        return
