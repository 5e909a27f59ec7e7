"""Every format: what is in the file is in the text, and each sentence is told by where it is in the file."""

from __future__ import annotations

import datetime
import io
import json
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from rag.config import Limits
from rag.documents import Parsed, ParserPool, formats
from rag.documents.formats import FORMATS, format_of, suffixes
from rag.errors import DamagedDocument, DocumentError, EncryptedDocument, LimitExceeded, UnsupportedFormat
from rag.types import Passage
from tests.documents.office import docx, epub, msg, odf, paragraph, pptx, xlsx


def where(parsed: Parsed, words: str) -> str:
    """Where a citation of ``words`` points, and the heading above."""
    text = parsed.document.text
    start = text.index(words)
    piece = next(s for s in parsed.slices if s.start <= start and start + len(words) <= s.end)
    passage = Passage(
        1, 1, "a", "", 0, piece.start, piece.end, text[piece.start : piece.end], piece.page, piece.heading, piece.places
    )
    return passage.place_of(start, start + len(words))


def headings(parsed: Parsed) -> list[tuple[int, str]]:
    for heading in parsed.document.headings:
        assert heading.title.split()[0] in parsed.document.text[heading.start :].split("\n")[0]
    return [(h.level, h.title) for h in parsed.document.headings]


def test_word(pool: ParserPool) -> None:
    space = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    body = (
        paragraph("Harbour rules", "Heading1")
        + '<w:p><w:r><w:t xml:space="preserve">Boats moor at the </w:t></w:r><w:ins w:id="1" w:author="A"><w:r>'
        '<w:t>western</w:t></w:r></w:ins><w:del w:id="2" w:author="A"><w:r><w:delText>eastern</w:delText></w:r></w:del>'
        '<w:r><w:t xml:space="preserve"> pier.</w:t></w:r><w:r><w:footnoteReference w:id="2"/></w:r>'
        '<w:r><w:commentReference w:id="0"/></w:r></w:p>'
        "<w:tbl><w:tr><w:tc><w:p><w:r><w:t>Berth</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>Fee</w:t></w:r></w:p>"
        "</w:tc></w:tr><w:tr><w:tc><w:p><w:r><w:t>4</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>12.50</w:t></w:r>"
        "</w:p></w:tc></w:tr></w:tbl>"
    )
    parts = {
        "footnotes": f'<w:footnotes {space}><w:footnote w:id="2">{paragraph("Closed in May.")}</w:footnote>'
        "</w:footnotes>",
        "comments": f'<w:comments {space}><w:comment w:id="0" w:initials="JD">{paragraph("Ask Jane.")}</w:comment>'
        "</w:comments>",
        "header1": f"<w:hdr {space}>{paragraph('Port of Arden')}</w:hdr>",
    }
    parsed = pool.parse(docx(body, parts), "rules.docx")
    text = parsed.document.text
    assert "Boats moor at the western pier." in text and "eastern" not in text
    assert all(said in text for said in ("Closed in May.", "Ask Jane.", "Port of Arden", "Berth | Fee", "4 | 12.50"))
    assert headings(parsed) == [(1, "Harbour rules")] and parsed.document.title == "Harbour rules"
    assert where(parsed, "western pier") == "paragraph 2"


def test_word_s_merged_cells_fields_and_moved_words(pool: ParserPool) -> None:
    def cell(text: str, merged: str = "") -> str:
        return f"<w:tc><w:tcPr>{merged}</w:tcPr>{paragraph(text)}</w:tc>"

    begun, on = '<w:vMerge w:val="restart"/>', "<w:vMerge/>"
    rows = (
        cell("Region", begun) + cell("Revenue", '<w:gridSpan w:val="2"/>'), cell("", on) + cell("2023") + cell("2024"),
        cell("North") + cell("410") + cell("455"), cell("South", begun) + cell("380") + cell("391"),
        cell("", on) + cell("12") + cell("14"),
    )  # fmt: skip
    body = (
        "<w:tbl>" + "".join(f"<w:tr>{row}</w:tr>" for row in rows) + "</w:tbl>"
        '<w:p><w:moveFrom w:id="5" w:author="A"><w:r><w:t>gone from here</w:t></w:r></w:moveFrom></w:p>'
        '<w:p><w:moveTo w:id="6" w:author="A"><w:r><w:t>The boiler is of 2019.</w:t></w:r></w:moveTo></w:p>'
        '<w:p><w:r><w:t xml:space="preserve">Due on </w:t></w:r><w:fldSimple w:instr="DATE"><w:r><w:t>3 May</w:t></w:r>'
        "</w:fldSimple></w:p>"
    )
    assert pool.parse(docx(body), "a.docx").document.text == (
        "| Region | Revenue 2023 | Revenue 2024 |\n| --- | --- | --- |\n| North | 410 | 455 |\n| South | 380 | 391 |\n"
        "| South | 12 | 14 |\n\nThe boiler is of 2019.\n\nDue on 3 May"
    )


def test_groups_and_charts_of_a_presentation(pool: ParserPool) -> None:
    from pptx import Presentation
    from pptx.chart.data import CategoryChartData
    from pptx.enum.chart import XL_CHART_TYPE

    made, out = Presentation(), io.BytesIO()
    slide = made.slides.add_slide(made.slide_layouts[6])
    slide.shapes.add_group_shape().shapes.add_textbox(0, 0, 9, 9).text_frame.text = "The roof costs 82,000."
    data: Any = CategoryChartData()  # type: ignore[no-untyped-call]
    data.categories = ["East", "West"]
    data.add_series("Visitors", (1530, 2210))
    data.add_series("Share", (0.25, None))
    slide.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, 0, 99, 9, 9, data)
    made.save(out)
    parsed = pool.parse(out.getvalue(), "a.pptx")
    assert parsed.document.text == (
        "The roof costs 82,000.\n\n|  | Visitors | Share |\n| --- | --- | --- |\n"
        "| East | 1530 | 0.25 |\n| West | 2210 |"
    )
    assert where(parsed, "2210") == "slide 1"


def test_lines_and_feet_of_slides(pool: ParserPool) -> None:
    from copy import deepcopy

    from pptx import Presentation

    made, out = Presentation(), io.BytesIO()
    for number in range(1, 4):
        slide = made.slides.add_slide(made.slide_layouts[6])
        slide.shapes.add_textbox(0, 0, 9, 9).text_frame.text = f"Revenue\v202{number}"
        for shape, text in zip(slide.slide_layout.placeholders, ("1 May", "Harbour Club", str(number)), strict=True):
            copied = deepcopy(shape._element)
            slide.shapes._spTree.append(copied)
            slide.shapes[-1].text_frame.text = text
    made.save(out)
    text = pool.parse(out.getvalue(), "a.pptx").document.text
    assert [line for line in text.split("\n") if line] == [
        "Revenue 2021", "1 May", "Harbour Club", "Revenue 2022", "Revenue 2023"
    ]  # fmt: skip


def test_presentation(pool: ParserPool) -> None:
    slides = [("Plan", "Dredge the basin\nBuild a crane", "Say it slowly"), ("", "", ""), ("Cost", "Two millions", "")]
    parsed = pool.parse(pptx(slides, [["Year", "Cost"], ["2024", "1.5 M"], ["2025", "0.5 M"]]), "plan.pptx")
    assert headings(parsed) == [(1, "Plan"), (1, "Cost")]
    assert where(parsed, "Build a crane") == "slide 1" and where(parsed, "Two millions") == "slide 3"
    assert where(parsed, "Say it slowly") == "slide 1, note of the speaker"
    assert "| Year | Cost |\n| --- | --- |\n| 2024 | 1.5 M |" in parsed.document.text
    assert (len(parsed.document.pages), parsed.document.empty_pages) == (3, 1)
    assert {s.page for s in parsed.slices} == {1, 3}


def test_spreadsheet(pool: ParserPool) -> None:
    day = datetime.date(2024, 3, 9)
    rows: list[list[Any]] = [["Harbour budget"], [], [None, "Item", "Price", "Share", "Day"]]
    rows += [[None, f"Pump {n}", 1000.5 + n, n / 100, day] for n in range(30)]
    codes = {(r, 2): "#,##0.00 [$€-407]" for r in range(3, 40)} | {(r, 3): "0 %" for r in range(3, 40)}
    parsed = pool.parse(xlsx({"Budget": rows, "Empty": [], "Other": [["x", 1], ["y", 2]]}, codes), "b.xlsx")
    text = parsed.document.text
    assert "| Pump 7 | 1,007.50 € | 7 % | 2024-03-09 |" in text
    assert where(parsed, "Pump 7") == "Budget!B11:E11" and where(parsed, "| y | 2 |") == "Other!A2:B2"
    assert headings(parsed) == [(1, "Budget"), (1, "Other")]
    for piece in parsed.slices:
        passage = text[piece.start : piece.end]
        assert "Pump" not in passage or "Item | Price | Share | Day" in passage.split("Pump")[0]


@pytest.mark.parametrize(
    ("value", "code", "seen"),
    [
        (0.256, "0%", "26%"), (0.256, "0.0%", "25.6%"), (1234567.891, "#,##0", "1,234,568"), (41.2, "0.00", "41.20"),
        (-5, "#,##0;(#,##0)", "(5)"), (-5, "0.0", "-5.0"), (0, '0;-0;"none"', "none"), (1500000, '0.0,,"M"', "1.5M"),
        (12, "[$£-809]#,##0.00", "£12.00"), (7, "000", "007"), (3, "0.0#", "3.0"), (3.25, "0.0#", "3.25"),
        (1e9, "0.00E+00", "1.00E+09"), (5, '0 "units"', "5 units"), (5, "General", "5"), (0.1 + 0.2, "General", "0.3"),
        (0.5, "# ?/?", "0.5"), (12, '_-* #,##0.00\\ "kr"_-', "12.00 kr"), (3, ";;;", "3"), (3, "[Red]0", "3"),
    ],
)  # fmt: skip
def test_numbers_are_read_as_they_are_shown(value: float, code: str, seen: str) -> None:
    from rag.documents.numbers import shown

    assert shown(value, code) == seen


def test_opendocument(pool: ParserPool) -> None:
    body = (
        '<office:text><text:h text:outline-level="2">Rules</text:h><text:p>Moor<text:s text:c="2"/>at<text:tab/>pier'
        "<text:line-break/>four <text:span>only</text:span>.<text:note><text:note-citation>1</text:note-citation>"
        "<text:note-body><text:p>In May.</text:p></text:note-body></text:note></text:p>"
        "<text:list><text:list-item><text:p>one</text:p></text:list-item></text:list><table:table><table:table-row>"
        "<table:table-cell><text:p>Berth</text:p></table:table-cell><table:table-cell><text:p>Fee</text:p>"
        "</table:table-cell></table:table-row><table:table-row><table:table-cell><text:p>4</text:p></table:table-cell>"
        "<table:table-cell><text:p>9</text:p></table:table-cell></table:table-row></table:table></office:text>"
    )
    parsed = pool.parse(odf(body), "rules.odt")
    assert parsed.document.text == (
        "Rules\n\nMoor  at\tpier\nfour only. (In May.)\n\n- one\n\n| Berth | Fee |\n| --- | --- |\n| 4 | 9 |"
    )
    assert headings(parsed) == [(2, "Rules")]
    sheet = (
        '<office:spreadsheet><table:table table:name="Fees"><table:table-row table:number-rows-repeated="3">'
        '<table:table-cell table:number-columns-repeated="900"/></table:table-row><table:table-row>'
        '<table:table-cell/><table:table-cell office:value="0.25"><text:p>25 %</text:p></table:table-cell>'
        "<table:table-cell><text:p>share</text:p></table:table-cell></table:table-row></table:table></office:spreadsheet>"
    )
    parsed = pool.parse(odf(sheet), "fees.ods")
    assert where(parsed, "25 %") == "Fees!B4:C4"
    slides = (
        '<office:presentation><draw:page><draw:frame presentation:class="title"><draw:text-box><text:p>Plan</text:p>'
        "</draw:text-box></draw:frame><draw:frame><draw:text-box><text:p>Dredge</text:p></draw:text-box></draw:frame>"
        "<presentation:notes><draw:frame><draw:text-box><text:p>slowly</text:p></draw:text-box></draw:frame>"
        "</presentation:notes></draw:page><draw:page/></office:presentation>"
    )
    parsed = pool.parse(odf(slides), "plan.odp")
    assert where(parsed, "Dredge") == "slide 1" and headings(parsed) == [(1, "Plan")]
    assert where(parsed, "slowly") == "slide 1, note of the speaker" and parsed.document.empty_pages == 1


def test_e_book(pool: ParserPool) -> None:
    chapters = ["<html><body><h1>The storm</h1><p>It rained<br/>all day.</p></body></html>", "<html><body/></html>",
                '<html><body><p>Isolde<a epub:type="noteref" href="#n">1</a> sang.</p></body></html>',
                '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.1//EN" "x"><html><body><p>Calm.</p></html>']  # fmt: skip
    parsed = pool.parse(epub(chapters, "Weather"), "weather.epub")
    assert parsed.document.title == "Weather" and headings(parsed) == [(1, "The storm")]
    assert where(parsed, "all day") == "chapter 1" and where(parsed, "Calm") == "chapter 3"
    assert where(parsed, "Isolde [1] sang.") == "chapter 2"


MAIL = (
    b"From: =?utf-8?q?J=C3=BCrgen?= <j@b.c>\nTo: Bob <b@c.d>\nSubject: Boats\nDate: Mon, 1 Jan 2024 10:00:00 +0100\n"
    b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: multipart/alternative; "
    b"boundary=y\n\n--y\nContent-Type: text/plain; charset=iso-8859-1\n\nThe Gr\xfcn boats are here.\n--y\n"
    b"Content-Type: text/html\n\n<p>other words\n--y--\n--x\nContent-Type: application/octet-stream\n"
    b'Content-Transfer-Encoding: base64\nContent-Disposition: attachment; filename="../notes.txt"\n\naGVsbG8=\n--x\n'
    b"Content-Type: image/png\n"
    b'Content-Disposition: attachment; filename="a.png"\n\nxx\n--x--\n'
)


def test_message(pool: ParserPool) -> None:
    parsed = pool.parse(MAIL, "boats.eml")
    assert parsed.document.title == "Boats" and "other words" not in parsed.document.text
    assert where(parsed, "The Grün boats are here.") == "Jürgen <j@b.c>, 2024-01-01 10:00, Boats"
    assert [(a.name, a.data) for a in parsed.document.attachments] == [("notes.txt", b"hello")]
    assert "Attachments: notes.txt, a.png" in parsed.document.text


def test_a_message_in_a_message_is_one_of_its_own(pool: ParserPool) -> None:
    inner = b"From: Ann\nSubject: The hotel\n\nIt is the Golden Goose.\n"
    parsed = pool.parse(
        b"From: Bob\nSubject: Fwd\nContent-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: text/plain;"
        b" charset=koi8-r\n\n\xf0\xcf\xc5\xda\xc4\n--x\nContent-Type: message/rfc822\n\n" + inner + b"--x--\n",
        "a.eml",
    )
    assert "Golden Goose" not in parsed.document.text and "Поезд" in parsed.document.text
    (attached,) = parsed.document.attachments
    assert attached.name == "The hotel.eml"
    opened = pool.parse(attached.data, attached.name)
    assert where(opened, "Golden Goose") == "Ann, The hotel"


def test_mailbox(pool: ParserPool) -> None:
    box = (
        b"From a@b Mon\nFrom: Ann\nSubject: One\n\nfirst\n>From here\n\nFrom a@b Tue\nFrom: Bob\nSubject: Two\n\nlast\n"
    )
    parsed = pool.parse(box, "old.mbox")
    assert where(parsed, "From here") == "Ann, One" and where(parsed, "last") == "Bob, Two"
    assert headings(parsed) == [(1, "One"), (1, "Two")]


def test_outlook_message(pool: ParserPool) -> None:
    made = msg({0x0037: "Boats", 0x1000: "The boats are here.", 0x0C1A: "Ann", 0x001A: "IPM.Note"})
    parsed = pool.parse(made, "boats.msg")
    assert parsed.document.title == "Boats" and "The boats are here." in parsed.document.text


def test_tables_of_text(pool: ParserPool) -> None:
    rows = "Part;Price;Note\n" + "".join(f'AB{n};{n},20;"two\nlines"\n' for n in range(40))
    parsed = pool.parse(rows.encode("cp1252"), "parts.csv")
    assert where(parsed, "AB7 | 7,20 | two lines") == "row 9" and parsed.document.title == "parts"
    assert all("Part | Price | Note" in parsed.document.text[s.start : s.end] for s in parsed.slices)
    parsed = pool.parse(b"1\t2\n3\t4\n", "n.tsv")
    assert parsed.document.text == "| 1 | 2 |\n| 3 | 4 |" and where(parsed, "4") == "row 2"


def test_json(pool: ParserPool) -> None:
    data = {"servers": [{"name": "harbour", "port": 8080, "tags": ["a", "b"], "deep": {"x": None}}], "version": 1}
    parsed = pool.parse(json.dumps(data).encode(), "conf.json")
    assert where(parsed, "port: 8080") == "key servers[0]" and where(parsed, "x: null") == "key servers[0].deep"
    parsed = pool.parse(b'{"a": "one"}\n\n{"b": {"c": ["two"]}}\n', "log.jsonl")
    assert where(parsed, "b.c: two") == "line 3"
    cells = [{"cell_type": "markdown", "source": ["# Tide\n", "\n", "High."]},
             {"cell_type": "code", "source": "1 + 1", "outputs": [
                 {"data": {"text/plain": ["2"]}}, {"output_type": "error", "ename": "ValueError", "evalue": "bad gauge"}
             ]}]  # fmt: skip
    parsed = pool.parse(json.dumps({"cells": cells}).encode(), "tide.ipynb")
    assert (
        where(parsed, "1 + 1\n\n2") == "cell 2"
        and where(parsed, "ValueError: bad gauge") == "cell 2"
        and headings(parsed) == [(1, "Tide")]
    )


def test_rich_text(pool: ParserPool) -> None:
    parsed = pool.parse(
        rb"{\rtf1\ansi\ansicpg1251{\title Harbour} \'cf\'ee\'f0\'f2 {\b and} \u8364? pier\par Two}", "a.rtf"
    )
    assert parsed.document.text == "Порт and € pier\nTwo" and parsed.document.title == "Harbour"


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("a.py", "import os\n\n\nclass Boat:\n    def sail(self):\n        return 1\n",
         [(1, "class Boat"), (3, "def sail(self)")]),
        ("a.js", "export async function sail(wind) {\n}\n", [(1, "function sail(wind)")]),
        ("a.go", "func (b Boat) Sail() int {\n}\n", [(1, "func (b Boat) Sail() int")]),
        ("a.sql", "CREATE TABLE boats (\n id int\n);\n", [(1, "CREATE TABLE boats")]),
        ("a.rst", "Boats\n=====\n\ntext\n\nSails\n-----\n\nmore\n", [(1, "Boats"), (2, "Sails")]),
        ("a.org", "#+TITLE: Sea\n* Boats\ntext\n** Sails\nmore\n", [(1, "Boats"), (2, "Sails")]),
        ("a.tex", "\\title{Sea}\n\\section{Boats}\ntext\n\\subsection*{Sails}\nmore\n", [(3, "Boats"), (4, "Sails")]),
    ],
)  # fmt: skip
def test_source_code_and_its_kin_are_read_as_they_are(
    pool: ParserPool, name: str, text: str, found: list[tuple[int, str]]
) -> None:
    parsed = pool.parse(text.encode(), name)
    assert parsed.document.text == text and headings(parsed) == found
    assert parsed.document.title == {"a.org": "Sea", "a.tex": "Sea", "a.rst": "Boats"}.get(name, name)
    last = text.rstrip().split("\n")[-1]
    assert where(parsed, last) == f"line {text[: text.index(last)].count(chr(10)) + 1}"


def test_every_suffix_has_one_format_and_every_reader_reads_its_samples(pool: ParserPool) -> None:
    listed = [suffix for kind in FORMATS for suffix in kind.suffixes]
    assert len(listed) == len(set(listed)) == len(suffixes()) and all(s == s.lower() for s in listed)
    for kind in FORMATS:
        module = __import__(kind.reader.partition(":")[0], fromlist=["SAMPLES"])
        for source, data in module.SAMPLES.items():
            assert pool.parse(data() if callable(data) else data, source).document.text, source


def test_a_plug_in_adds_a_format_and_takes_none_over(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [EntryPoint("abc", "made_up:read", formats.PLUGINS), EntryPoint(".pdf", "bad:read", formats.PLUGINS)]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: entries)
    formats.formats.cache_clear()
    formats.suffixes.cache_clear()
    try:
        assert format_of("x.ABC").reader == "made_up:read" and "bad" not in format_of("x.pdf").reader
    finally:
        monkeypatch.undo()
        formats.formats.cache_clear()
        formats.suffixes.cache_clear()
    with pytest.raises(UnsupportedFormat):
        format_of("x.abc")


def test_the_readme_says_what_is_read() -> None:
    told = " ".join((Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8").split())
    assert formats.names() in told and formats.readable() in told


@pytest.mark.parametrize("suffix", sorted(set(suffixes()) - {".txt", ".text", ".log"}))
def test_a_file_of_another_kind_is_a_document_or_a_refusal(pool: ParserPool, suffix: str) -> None:
    for data in (
        b"plain words",
        packed_nothing(),
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600,
        b"{",
        b"%PDF-1.4",
    ):
        try:
            pool.parse(data, f"a{suffix}")
        except DocumentError as error:
            assert not isinstance(error, UnsupportedFormat) and "fail" not in str(error), (suffix, data[:8], error)


def packed_nothing() -> bytes:
    from rag.documents.archive import packed

    return packed({"nothing.txt": "x"})


def test_damaged_parts_of_an_archive_are_told_as_damage(pool: ParserPool) -> None:
    from rag.documents.archive import packed

    with ZipFile(io.BytesIO(docx(paragraph("x")))) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with pytest.raises(DamagedDocument):
        pool.parse(packed(parts | {"word/styles.xml": b"\0<w:styles/>"}), "a.docx")
    slides = bytearray(pptx([("Plan", "x", "y")]))
    at = slides.rindex(b"PK\x01\x02") + 16  # the checksum of the last part
    slides[at] ^= 1
    with pytest.raises(DamagedDocument):
        pool.parse(bytes(slides), "a.pptx")


def test_archives_are_looked_at_before_they_are_opened() -> None:
    limits = Limits(unzipped_mb=1, archive_entries=50)
    with ParserPool(limits, characters=1_000, overlap=100) as pool:
        from rag.documents.archive import packed

        for suffix in ("docx", "pptx", "xlsx", "odt", "ods", "epub"):
            with pytest.raises(LimitExceeded, match=r"limits\.archive_entries"):
                pool.parse(packed({f"{n}.xml": "<x/>" for n in range(51)}), f"a.{suffix}")
            with pytest.raises(LimitExceeded, match=r"limits\.unzipped_mb"):
                pool.parse(packed({"content.xml": " " * 2_000_000}), f"a.{suffix}")
            with pytest.raises(DamagedDocument, match="declares XML entities"):
                pool.parse(packed({"content.xml": '<?xml version="1.0"?><!-- > --><!DOCTYPE x [<!ENTITY a "b">]><x/>'}),
                           f"a.{suffix}")  # fmt: skip
    with ParserPool(Limits(), characters=1_000, overlap=100) as pool:
        with pytest.raises(LimitExceeded, match=r"limits\.archive_ratio"):
            pool.parse(packed({"word/document.xml": " " * 20_000_000}), "a.docx")
        with pytest.raises(EncryptedDocument):
            pool.parse(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "a.docx")
