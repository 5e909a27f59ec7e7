"""PDF: text by page with exact places, and a named reason for what has none."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import pytest

from rag.config import Limits
from rag.documents import ParserPool
from rag.documents.hyphens import mend_hyphens
from rag.documents.readers.pdf import parse
from rag.documents.split import place, split
from rag.errors import DamagedDocument, EmptyDocument, EncryptedDocument, LimitExceeded
from rag.types import Place
from tests.documents.material import PANGRAM, pdf

LIMITS = Limits()


def test_pages_are_exact_and_empty_ones_are_kept() -> None:
    document = parse(pdf(["First line\nsecond (line)", None, "Café “x”"]), "a.pdf", LIMITS)
    assert document.text == "First line\nsecond (line)\n\nCafé “x”"
    assert document.pages == (Place(1, 0, 24), Place(2, 24, 24), Place(3, 26, 34))
    assert [document.text[p.start : p.end] for p in document.pages] == ["First line\nsecond (line)", "", "Café “x”"]
    assert document.empty_pages == 1 and document.media_type == "application/pdf"


@pytest.mark.parametrize(
    ("stated", "source", "title"),
    [
        ("Annual report of Acme", "x.pdf", "Annual report of Acme"),
        ("Microsoft Word - Annual report.docx", "2022 Q3 ACME.pdf", "2022 Q3 ACME"),
        ("C:/users/me/report final", "report.pdf", "report"),
        ("0000320193-22-000070", "2022 Q3 AAPL.pdf", "2022 Q3 AAPL"),
        ("04.01.2023 10Q Document", "2023 Q1 INTC.pdf", "2023 Q1 INTC"),
        ("untitled", "folder/minutes.pdf", "minutes"),
        ("report.indd", "scan0001.pdf", "The heading of it"),
        ("", "12345.pdf", "The heading of it"),
        ("", "4711.pdf", "The heading of it"),
    ],
)
def test_title(stated: str, source: str, title: str) -> None:
    assert parse(pdf(["12\nThe heading of it\nmore text"], title=stated), source, LIMITS).title == title


def test_headings_come_from_the_outline_where_the_page_has_them() -> None:
    pages = [
        "Contents\nResults\nMethods",
        "1. Methods\nwe used methods\nof results",
        "see results below\nResults\nall good",
    ]
    outline = [("Methods", 1), ("Results", 2), ("Not on the page", 2), ("Contents", 0)]
    document = parse(pdf(pages, outline=outline), "a.pdf", LIMITS)
    assert [(h.title, document.text[h.start :].split("\n")[0]) for h in document.headings] == [
        ("Contents", "Contents"), ("Methods", "1. Methods"), ("Results", "Results"),
    ]  # fmt: skip
    assert document.headings[2].start > document.pages[2].start


def test_hyphens_at_line_ends() -> None:
    text = ["stock\x02based and informa\ufffetion", "stock is based on Information. x \x02"]
    assert mend_hyphens(text) == ["stock-based and information", "stock is based on Information. x -"]


def test_a_word_broken_twice_is_no_word_of_the_document() -> None:
    text = ["the photo\x02voltaic roof, the photo\x02voltaic cells, a well\x02known inn, mem\x02bers; self\x02made"]
    assert mend_hyphens(text) == ["the photovoltaic roof, the photovoltaic cells, a well-known inn, members; self-made"]
    assert mend_hyphens(["anti\x02virus, it is anti-virus", "Anglo\x02Saxon", "co\x02op"])[:2] == [
        "anti-virus, it is anti-virus", "Anglo-Saxon"
    ]  # fmt: skip


def test_running_heads_stay_on_the_first_page_and_page_numbers_nowhere() -> None:
    pages = [f"Harbour handbook\nText of page {'abcdef'[n]}.\n{40 + 3 * n} sheep\n{n + 7}" for n in range(6)]
    document = parse(pdf(pages), "a.pdf", LIMITS)
    assert document.text.count("Harbour handbook") == 1 and "Text of page f." in document.text
    assert [page.label for page in document.pages] == ["7", "8", "9", "10", "11", "12"]
    assert document.text.split("\n\n")[1] == "Text of page b.\n43 sheep"
    two = parse(pdf(pages[:2]), "a.pdf", LIMITS)
    assert two.text.count("Harbour handbook") == 2


def test_a_sentence_that_goes_on_crosses_pages_and_a_page_that_ends_does_not() -> None:
    document = parse(pdf(["The spare mantle is kept in", "the blue cupboard.", "Another page."]), "a.pdf", LIMITS)
    assert document.text == "The spare mantle is kept in\nthe blue cupboard.\n\nAnother page."
    slices = place(document, split(document, characters=1_000, overlap=100))
    assert [[p.number for p in piece.places] for piece in slices] == [[1, 2], [3]]


def test_scanned_pages_are_named() -> None:
    with pytest.raises(EmptyDocument, match=r"none of its 3 pages has text; it is probably scanned") as caught:
        parse(pdf([None, None, None]), "scan.pdf", LIMITS)
    assert "ocrmypdf" in caught.value.hint
    with pytest.raises(EmptyDocument, match="its only page has no text"):
        parse(pdf([None]), "scan.pdf", LIMITS)


@pytest.mark.parametrize("data", [b"%PDF-1.4 nothing", b"no pdf", b"<html>", bytes(1_000)])
def test_damaged(data: bytes) -> None:
    with pytest.raises(DamagedDocument, match=r"d\.pdf is damaged or is no PDF") as caught:
        parse(data, "d.pdf", LIMITS)
    assert caught.value.hint


def _encrypted(user: str) -> bytes:
    pypdf = pytest.importorskip("pypdf", reason="needs the development packages")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        writer = pypdf.PdfWriter(clone_from=io.BytesIO(pdf([PANGRAM])))
        writer.encrypt(user_password=user, owner_password="owner", algorithm="RC4-128")
        out = io.BytesIO()
        writer.write(out)
    return out.getvalue()


def test_a_password_is_named_and_an_empty_one_is_none() -> None:
    with pytest.raises(EncryptedDocument, match=r"e\.pdf is encrypted and needs a password") as caught:
        parse(_encrypted("secret"), "e.pdf", LIMITS)
    assert "qpdf" in caught.value.hint
    assert parse(_encrypted(""), "e.pdf", LIMITS).text == PANGRAM


def test_limits_are_exact_and_named() -> None:
    data = pdf(["Ab", "Cd", "Ef"])
    assert len(parse(data, "a.pdf", Limits(pages=3)).pages) == 3
    with pytest.raises(LimitExceeded, match=r"3 pages; the limit is 2 \(limits\.pages\)"):
        parse(data, "a.pdf", Limits(pages=2))
    assert len(parse(data, "a.pdf", Limits(characters=10)).text) == 10
    for characters in (9, 5):
        with pytest.raises(LimitExceeded, match=r"limits\.characters"):
            parse(data, "a.pdf", Limits(characters=characters))


def test_every_page_of_the_quarterly_reports(shared: Path, pool: ParserPool) -> None:
    files = sorted((shared / "data" / "sec-10-q" / "docs").glob("2023 Q*.pdf"))[:6]
    parsed = [future.result() for future in [pool.submit(file.read_bytes(), file.name) for file in files]]
    assert [len(p.document.pages) for p in parsed] == [46, 52, 43, 72, 49, 28]
    for one in parsed:
        text = one.document.text
        assert "\x02" not in text and "\ufffe" not in text and "\r" not in text
        told = {place.number for piece in one.slices for place in piece.places if place.kind == "page"}
        assert told == {p.number for p in one.document.pages if p.start < p.end}
        assert all(piece.page == piece.places[0].number for piece in one.slices)
