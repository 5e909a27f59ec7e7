"""PDF: text page by page through PDFium, with the place of every page."""

from __future__ import annotations

import ctypes
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import import_module
from itertools import islice
from typing import TYPE_CHECKING, Any

from rag.config import Limits
from rag.documents.decode import canonical
from rag.documents.formats import PDF as MEDIA_TYPE
from rag.documents.formats import check_characters, fewest, fewest_places, has_text, one_line, shown, stem
from rag.documents.hyphens import mend_hyphens
from rag.documents.ocr import Line, lay_out
from rag.documents.readers.pdf_lines import Above, laid_out
from rag.documents.readers.unseen import unseen
from rag.errors import DamagedDocument, EmptyDocument, EncryptedDocument, LimitExceeded
from rag.types import INVISIBLE, Heading, ParsedDocument, Place, numbered_pages

if TYPE_CHECKING:
    from rag.documents.ocr import Picture

SAMPLES = {
    "sample.pdf": (
        b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
        b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>endobj\n"
        b"4 0 obj<</Length 66>>stream\nBT /F 9 Tf 9 40 Td (A sam-) Tj 0 -11 Td (ple 1) Tj 5 4 Td (2) Tj ET  \n"
        b"endstream endobj\n"
        b"5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj\ntrailer<</Root 1 0 R>>\n"
    ),
}

_BETWEEN_PAGES = "\n\n"
_GOES_ON = re.compile(r"\s*[^\W\d_A-Z]")
_STOPS = re.compile(r"[.!?:;…。！？][\"'”’)\]]*\s*\Z")
_PAGE_NUMBER = re.compile(r"\b(?:\d{1,4}|[ivxlc]{1,7})\b")
_EDGE, _LONGEST_EDGE = 3, 150
_MOST_ANNOTATIONS, _MOST_VALUE = 2_000, 2**16
_DOTS, _LONGEST_SIDE, _STAMP, _SHADES = 200, 4_000, 100, 32
_WORD = re.compile(r"[^\W\d_]{2,}")
_BAD_TITLE = re.compile(
    r"^microsoft (?:word|excel|powerpoint)\s*-|\.(?:docx?|xlsx?|pptx?|pdf|indd|qxp|dvi|tex|ps|rtf|html?|odt)\s*$"
    r"|[\\/]\w+[\\/]|^https?:|^file:", re.I
)  # fmt: skip
_GENERIC = frozenset(
    "document untitled presentation powerpoint microsoft word title page slide sheet book layout print printing scan"
    " scanned image img doc docx pdf file new copy final draft version output temp tmp none null unknown anonymous"
    " unspecified".split()
)


def warm_up() -> None:
    """Load what drawing a page needs, since a confined process can open no file."""
    picture(SAMPLES["sample.pdf"], "sample.pdf", 1, Limits())


def parse(
    data: bytes, source: str, limits: Limits, recognised: Mapping[int, Sequence[Line]] | None = None
) -> ParsedDocument:
    """PDF to document; pages without text stay in the page table as empty ones.

    ``unread`` are those that are pictures, as long as it is not told what was ``recognised`` on them. Raises
    EncryptedDocument, DamagedDocument, LimitExceeded (pages, characters) and EmptyDocument (no page has text).
    """
    pdf = _open(data, source)
    try:
        count = len(pdf)
        if count > limits.pages:
            raise LimitExceeded(
                f"{shown(source)} has {count:,} pages; the limit is {limits.pages:,} (limits.pages).",
                hint="Split the file, or raise limits.pages.",
            )
        pages: list[_Page] = []
        total = 0
        for index in range(count):
            above = pages[-1].table if pages else None
            pages.append(_read(pdf, index, (recognised or {}).get(index + 1), above))
            total += len(pages[-1].text)
            check_characters(total, source, limits)
        _leave_out_running(pages)
        for page, mended in zip(pages, mend_hyphens([page.text for page in pages]), strict=True):
            page.text = mended
        text, places = _assemble(pages)
        check_characters(len(text), source, limits)
        unread = () if recognised is not None else tuple(n for n, page in enumerate(pages, start=1) if page.scanned)
        if not has_text(text):
            raise _without_text(source, count, unread)
        headings = fewest(list(_headings(pdf, text, numbered_pages(places))))
        return ParsedDocument(text, _title(pdf, text, source), MEDIA_TYPE, headings, fewest_places(places), (), unread)
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


def picture(data: bytes, source: str, number: int, limits: Limits) -> tuple[Picture, float]:
    """Page ``number`` (from 1) in grey levels, and how many points one of its pixels is.

    Raises EncryptedDocument and DamagedDocument.
    """
    pdf = _open(data, source)
    try:
        with closing(pdf[number - 1]) as page:
            across, down = page.get_size()
            scale = min(_DOTS / 72, _LONGEST_SIDE / max(across, down, 1))
            with closing(page.render(scale=scale, grayscale=True)) as bitmap:
                return bitmap.to_numpy().reshape(bitmap.height, bitmap.width).copy(), 1 / scale
    except (_pdfium().PdfiumError, IndexError) as error:
        raise DamagedDocument(
            f"Page {number} of {shown(source)} cannot be drawn.", hint="Save the file anew."
        ) from error
    finally:
        pdf.close()


def _without_text(source: str, pages: int, unread: tuple[int, ...]) -> EmptyDocument:
    if pages == 0:
        return EmptyDocument(f"{shown(source)} has no pages.", hint="Check that it is the file you meant.")
    which = "its only page has no text" if pages == 1 else f"none of its {pages:,} pages has text"
    return EmptyDocument(
        f"{shown(source)}: {which}; it is probably scanned.",
        hint="Run text recognition over it (for example `ocrmypdf IN OUT`) and add the result.",
        unread=unread,
    )


@dataclass(slots=True)
class _Page:
    """A page's visible text, marks of line-end hyphens still in it, what was noted on it (author and remark), and the
    number that is printed on it, where it is known; no text for a page that cannot be loaded.

    ``scanned``: its text is in a picture. Of one that was recognised, ``places`` are the boxes and doubts in its text.
    ``hidden`` is what it holds and does not show, ``table`` the one that it ends with.
    """

    text: str = ""
    notes: list[tuple[str, str]] = field(default_factory=list)
    label: str = ""
    scanned: bool = False
    places: list[Place] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    table: Above | None = None


def _read(pdf: Any, index: int, recognised: Sequence[Line] | None, above: Above | None) -> _Page:
    pdfium = _pdfium()
    with ExitStack() as stack:
        try:
            page = stack.enter_context(closing(pdf[index]))
            textpage = stack.enter_context(closing(page.get_textpage()))
            text: str = textpage.get_text_range()
            hidden: list[str] = []
            table: Above | None = None
            if len(text) == textpage.count_chars():
                scan = partial(_is_picture, page, pdfium.raw, lettered=True)
                spans = unseen(page, textpage, text, pdfium.raw, scan)
                hidden = [" ".join(canonical(text[start:end]).split()) for start, end in spans]
                text, table = laid_out(text, textpage.raw, pdfium.raw, spans, above)
            else:
                text = textpage.get_text_bounded()
            label = one_line(canonical(pdf.get_page_label(index) or ""))
            read = _Page(
                text.replace("\r\n", "\n").strip(), label=label, hidden=[one for one in hidden if one], table=table
            )
            read.scanned = len(read.text) < _STAMP and _is_picture(page, pdfium.raw, lettered=bool(read.text))
            if recognised:
                read.text = ""
            _annotations(read, page, textpage, pdfium.raw)
            if recognised:
                text, read.places = lay_out(recognised, index + 1)
                read.text = f"{text}{canonical(read.text)}".rstrip()
        except pdfium.PdfiumError:
            return _Page()
    return read


def _is_picture(page: Any, raw: Any, *, lettered: bool) -> bool:
    """Whether a page shows something else than its few letters: if it is ``lettered``, pictures on half of it."""
    if not lettered:
        return int(raw.FPDFPage_CountObjects(page)) > 0 and _has_ink(page)
    across, down = page.get_size()
    covered = 0.0
    for found in page.get_objects(filter=[raw.FPDF_PAGEOBJ_IMAGE], max_depth=3):
        left, bottom, right, top = found.get_bounds()
        covered += max(0.0, min(right, across) - max(left, 0)) * max(0.0, min(top, down) - max(bottom, 0))
    return bool(covered > across * down / 2)


def _has_ink(page: Any) -> bool:
    """Whether a page, drawn small, shows more than one shade."""
    scale = min(0.5, 1_000 / max(1.0, *page.get_size()))
    with closing(page.render(scale=scale, grayscale=True)) as bitmap:
        shades = bitmap.to_numpy()
        return bool(shades.size) and int(shades.max()) - int(shades.min()) >= _SHADES


def _annotations(read: _Page, page: Any, textpage: Any, raw: Any) -> None:
    """Put the values of form fields behind their labels, and collect the remarks."""
    for index in range(min(raw.FPDFPage_GetAnnotCount(page), _MOST_ANNOTATIONS)):
        annotation = raw.FPDFPage_GetAnnot(page, index)
        if not annotation:
            continue
        try:
            kind = raw.FPDFAnnot_GetSubtype(annotation)
            if kind == raw.FPDF_ANNOT_WIDGET:
                _field(read, annotation, textpage, raw)
            elif kind not in (raw.FPDF_ANNOT_LINK, raw.FPDF_ANNOT_POPUP):
                remark = " ".join(_value(annotation, b"Contents", raw).split())
                if remark:
                    read.notes.append((one_line(_value(annotation, b"T", raw)), remark))
        finally:
            raw.FPDFPage_CloseAnnot(annotation)


def _field(read: _Page, annotation: Any, textpage: Any, raw: Any) -> None:
    value = " ".join(_value(annotation, b"V", raw).split())
    if _value(annotation, b"FT", raw) == "Btn":
        state = _value(annotation, b"AS", raw) or value
        value = "" if state in ("", "Off") else state if state.isalpha() else "yes"
    if not value:
        return
    box = raw.FS_RECTF()
    label = ""
    if raw.FPDFAnnot_GetRect(annotation, box):
        beside = textpage.get_text_bounded(left=0, bottom=box.bottom, right=box.left, top=box.top).strip()
        label = beside.split("\n")[-1].strip()
    at = read.text.find(label) if label else -1
    if at >= 0:
        at += len(label)
        read.text = f"{read.text[:at]} {value}{read.text[at:]}"
    else:
        name = one_line(_value(annotation, b"TU", raw) or _value(annotation, b"T", raw))
        read.text += f"\n{name}: {value}" if name else f"\n{value}"


def _value(annotation: Any, key: bytes, raw: Any) -> str:
    size = raw.FPDFAnnot_GetStringValue(annotation, key, None, 0)
    if not 2 < size <= _MOST_VALUE:
        return ""
    buffer = ctypes.create_string_buffer(size)
    raw.FPDFAnnot_GetStringValue(annotation, key, ctypes.cast(buffer, ctypes.POINTER(raw.FPDF_WCHAR)), size)
    return canonical(buffer.raw[: size - 2].decode("utf-16-le", "replace"))


def _leave_out_running(pages: list[_Page]) -> None:
    """Take the heads and feet that run through the pages out of all but the first, and numbers of pages out of all.

    A line runs if it stands among the first or last lines of at least three pages and of a third of all, the same but
    for the page's number. Where the file itself gives no printed numbers, those in the running lines are taken.
    """
    keys = [{} if page.places else _edges(page.text) for page in pages]
    met = Counter(key for edges in keys for key in set(edges.values()))
    least = max(3, sum(bool(edges) for edges in keys) / 3)
    running = {key for key, count in met.items() if count >= least}
    if not running:
        return
    labelled = any(page.label not in ("", str(number)) for number, page in enumerate(pages, start=1))
    shift = _shift(pages, keys, running)
    same = Counter(line for page, edges in zip(pages, keys, strict=True) for line in _lines_at(page.text, edges))
    seen: set[str] = set()
    for position, (page, edges) in enumerate(zip(pages, keys, strict=True), start=1):
        lines = page.text.split("\n")
        gone = set()
        for index, key in edges.items():
            if key in running:
                numbers = _PAGE_NUMBER.findall(lines[index])
                printed = next((n for n in numbers if n.isdigit() and position - int(n) == shift), "")
                if not printed and len(numbers) == 1 and not numbers[0].isdigit():
                    printed = numbers[0]
                if printed and not labelled:
                    page.label = printed
                if any(map(str.isalpha, key)) and (printed or same[lines[index]] >= least):
                    gone.update([index] if key in seen else [])
                    seen.add(key)
                elif printed and not any(map(str.isalpha, key)):
                    gone.add(index)
        if gone:
            page.text = "\n".join(line for index, line in enumerate(lines) if index not in gone).strip()


def _lines_at(text: str, indexes: Iterable[int]) -> Iterator[str]:
    lines = text.split("\n")
    yield from (lines[index] for index in indexes)


def _shift(pages: list[_Page], keys: list[dict[int, str]], running: set[str]) -> int | None:
    """By how much the pages' numbers are ahead of those printed in their running lines, on most pages; None if none."""
    shifts: Counter[int] = Counter()
    for position, (page, edges) in enumerate(zip(pages, keys, strict=True), start=1):
        lines = page.text.split("\n")
        for index in (index for index, key in edges.items() if key in running):
            shifts.update(position - int(number) for number in _PAGE_NUMBER.findall(lines[index]) if number.isdigit())
    best = shifts.most_common(1)
    return best[0][0] if best and best[0][1] >= max(3, len(pages) / 3) else None


def _edges(text: str) -> dict[int, str]:
    """The first and last lines of a page, by index, with every number as ``#``."""
    lines = text.split("\n")
    edges = {}
    for index in {*range(min(_EDGE, len(lines))), *range(max(0, len(lines) - _EDGE), len(lines))}:
        if len(lines[index]) <= _LONGEST_EDGE and (key := " ".join(_PAGE_NUMBER.sub("#", lines[index]).split())):
            edges[index] = key
    return edges


def _assemble(pages: list[_Page]) -> tuple[str, list[Place]]:
    """One text, and where each page is in it; a blank line between two pages, unless a sentence goes on."""
    parts: list[str] = []
    places: list[Place] = []
    length = 0
    for number, page in enumerate(pages, start=1):
        text = page.text if page.places else canonical(page.text).strip()
        if text and parts:
            goes_on = _GOES_ON.match(text) and not _STOPS.search(parts[-1])
            parts.append("\n" if goes_on else _BETWEEN_PAGES)
            length += len(parts[-1])
        start, length = length, length + len(text)
        parts += [text] if text else []
        concealed = []
        for hidden in page.hidden:
            lead = _BETWEEN_PAGES if parts else ""
            parts.append(lead + hidden)
            length += len(parts[-1])
            concealed.append(Place(number, length - len(hidden), length, "hidden", INVISIBLE))
            start = start if text or len(concealed) > 1 else length - len(hidden)
        notes = []
        for author, remark in page.notes:
            lead = _BETWEEN_PAGES if parts else ""
            parts.append(f"{lead}Note: {remark}")
            length += len(parts[-1])
            notes.append(
                Place(number, length - len(parts[-1]) + len(lead), length, "note", f"by {author}" if author else "")
            )
        places.append(Place(number, start, length, "page", page.label if page.label != str(number) else ""))
        places += [replace(place, start=start + place.start, end=start + place.end) for place in page.places]
        places += [*concealed, *notes]
    return "".join(parts), places


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


def _headings(pdf: Any, text: str, pages: Sequence[Place]) -> Iterator[Heading]:
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
