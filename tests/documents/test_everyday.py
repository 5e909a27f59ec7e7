"""Everyday files with what everyday files hold besides plain words: remarks, hidden parts, formulas, several tables."""

from __future__ import annotations

import io
import json
from itertools import pairwise
from zipfile import ZipFile

import pytest

from rag.documents import Parsed, ParserPool
from rag.documents.archive import packed
from rag.documents.tables import blocks
from rag.types import INVISIBLE
from tests.documents.office import ODF, docx, odf, paragraph, xls
from tests.documents.test_formats import headings, where


def hidden(parsed: Parsed) -> list[tuple[str, bool]]:
    """What is marked as hidden, and whether no program shows it."""
    text = parsed.document.text
    return [(text[p.start : p.end], p.label == INVISIBLE) for p in parsed.document.places if p.kind == "hidden"]


def test_places_are_right_behind_what_the_text_leaves_out(pool: ParserPool) -> None:
    """Soft hyphens and marks of direction are no part of a text; what comes behind them is where it was said to be."""
    run = "<w:p><w:r><w:t>con</w:t></w:r><w:r><w:softHyphen/></w:r><w:r><w:t>tainers \u202aleave</w:t></w:r></w:p>"
    parsed = pool.parse(docx(run + paragraph("At dawn", "Heading1") + paragraph("Last.")), "a.docx")
    text = parsed.document.text
    assert text == "containers leave\n\nAt dawn\n\nLast." and headings(parsed) == [(1, "At dawn")]
    assert [text[p.start : p.end] for p in parsed.document.places] == ["containers leave", "At dawn", "Last."]
    parsed = pool.parse(b"<p>con&shy;tai&#8203;ners</p><h2>At dawn</h2><p>x", "a.html")
    assert parsed.document.text.startswith("containers\n") and headings(parsed) == [(2, "At dawn")]
    page = {"cells": [{"cell_type": "markdown", "source": "x\u00ady\r\n\n# At dawn"}, {"source": "z"}]}
    parsed = pool.parse(json.dumps(page).encode(), "a.ipynb")
    assert headings(parsed) == [(1, "At dawn")] and where(parsed, "z") == "cell 2"
    parsed = pool.parse("Par\u00adt,Price\nA\u00adB,1\n".encode(), "a.csv")
    (row,) = (p for p in parsed.document.places if p.kind == "row")
    assert parsed.document.text[row.start : row.end] == "| AB | 1 |"


def test_a_formula_in_word_is_text(pool: ParserPool) -> None:
    space = 'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"'
    runs = {name: f"<m:r><m:t>{text}</m:t></m:r>" for name, text in {"e": "c", "n": "a", "d": "b"}.items()}
    formula = (
        f"<m:sSup><m:e>{runs['e']}</m:e><m:sup><m:r><m:t>2</m:t></m:r></m:sup></m:sSup>"
        f"<m:f><m:num>{runs['n']}</m:num><m:den>{runs['d']}<m:r><m:t>+1</m:t></m:r></m:den></m:f>"
    )
    body = f'<w:p {space}><w:r><w:t xml:space="preserve">It is </w:t></w:r><m:oMath>{formula}</m:oMath></w:p>'
    root = f"<m:rad><m:deg/><m:e>{runs['e']}</m:e></m:rad>"
    body += f"<w:p {space}><m:oMathPara><m:oMath>{root}</m:oMath></m:oMathPara></w:p>"
    assert pool.parse(docx(body), "a.docx").document.text == "It is c^2a/(b+1)\n\n√c"


def workbook() -> bytes:
    """Two tables on a sheet, a hidden row, remarks on a cell, and a number of sixteen digits."""
    import xlsxwriter

    out = io.BytesIO()
    with xlsxwriter.Workbook(out) as book:
        sheet = book.add_worksheet("Budget")
        rows = (
            ("Budget of the club",), (), ("Item", "Cost"), ("Boats", 120), ("Paint", 30), (), ("Sails", 45), (),
            ("", "", "", "Name", "Phone"), ("", "", "", "Zoe", 1234567890123456), (), ("Source: the treasurer",),
        )  # fmt: skip
        for r, row in enumerate(rows):
            for c, value in enumerate(row):
                if value != "":
                    sheet.write(r, c, value)
        sheet.write_comment("A4", "Second hand")
        sheet.set_row(4, None, None, {"hidden": True})
    return out.getvalue()


def test_tables_remarks_and_hidden_rows_of_a_sheet(pool: ParserPool) -> None:
    parsed = pool.parse(workbook(), "club.xlsx")
    text = parsed.document.text
    assert "| Name | Phone |\n| --- | --- |\n| Zoe | 1234567890123456 |" in text
    assert text.count("| Item | Cost |") == 2 and "| Sails | 45 |" in text  # the same table goes on behind a gap
    assert "\n\nSource: the treasurer\n\n" in text
    assert hidden(parsed) == [("| Paint | 30 |", False)]
    assert where(parsed, "Second hand").endswith("note on Budget!A4")
    assert where(parsed, "| Zoe") == "Budget!D10:E10" and where(parsed, "| Sails") == "Budget!A7:B7"


def test_a_thread_of_remarks_is_told_once(pool: ParserPool) -> None:
    with ZipFile(io.BytesIO(workbook())) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = "xl/worksheets/_rels/sheet1.xml.rels"
    kind = "http://schemas.microsoft.com/office/2017/10/relationships/threadedComment"
    link = f'<Relationship Id="t" Type="{kind}" Target="../threads/one.xml"/></Relationships>'
    parts[name] = parts[name].replace(b"</Relationships>", link.encode())
    said = "".join(f'<threadedComment ref="A4"><text>{text}</text></threadedComment>' for text in ("Really?", "Yes."))
    parts["xl/threads/one.xml"] = f"<ThreadedComments>{said}</ThreadedComments>".encode()
    text = pool.parse(packed(parts), "club.xlsx").document.text
    assert "Comment on A4: Really?\nYes." in text and "Second hand" not in text


def styled(body: str, styles: str, around: str = "") -> bytes:
    """An OpenDocument file with these styles of its own, and what stands ``around`` its pages."""
    spaces = " ".join(
        f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{kind}:1.0"'
        for name, kind in {"style": "style", "number": "datastyle"}.items()
    )
    with ZipFile(io.BytesIO(odf(body))) as archive:
        content = archive.read("content.xml").decode()
    content = content.replace("<office:document-content ", f"<office:document-content {spaces} ", 1)
    pages = f"<office:document-styles {ODF} {spaces}><office:master-styles>{around}</office:master-styles>"
    return packed({
        "content.xml": content.replace(
            "<office:body>", f"<office:automatic-styles>{styles}</office:automatic-styles><office:body>", 1
        ),
        "styles.xml": f"{pages}</office:document-styles>",
    })  # fmt: skip


def sheets() -> dict[str, bytes]:
    """A table with a hidden row and a hidden column, whose numbers are percentages, as each kind of spreadsheet."""
    rows: list[list[str | float]] = [["Item", "Share"], ["Boats", 0.25], ["Paint", 0.05], ["Sails", 0.7]]
    import xlsxwriter

    out = io.BytesIO()
    with xlsxwriter.Workbook(out) as book:
        sheet = book.add_worksheet("A")
        for r, row in enumerate(rows):
            sheet.write_row(r, 0, row, book.add_format({"num_format": "0%"}))
        sheet.set_row(2, None, None, {"hidden": True})
        sheet.set_column(1, 1, None, None, {"hidden": True})
    styles = (
        '<number:percentage-style style:name="N1"><number:number number:decimal-places="0"/><number:text>%'
        '</number:text></number:percentage-style><style:style style:name="ce1" style:family="table-cell"'
        ' style:data-style-name="N1"/>'
    )
    body = '<table:table-column/><table:table-column table:visibility="collapse" table:default-cell-style-name="ce1"/>'
    cell = "<table:table-cell {}><text:p>{}</text:p></table:table-cell>".format
    for item, share in rows:
        value = f'office:value-type="float" office:value="{share}"' if isinstance(share, float) else ""
        unseen = 'table:visibility="collapse"' if item == "Paint" else ""
        body += f"<table:table-row {unseen}>{cell('', item)}{cell(value, share)}</table:table-row>"
    body = f'<office:spreadsheet><table:table table:name="A">{body}</table:table></office:spreadsheet>'
    return {"a.xlsx": out.getvalue(), "a.xls": xls(rows, "0%", (3, 1)), "a.ods": styled(body, styles)}


@pytest.mark.parametrize("name", ["a.xlsx", "a.xls", "a.ods"])
def test_percentages_and_hidden_columns_of_every_kind_of_sheet(pool: ParserPool, name: str) -> None:
    parsed = pool.parse(sheets()[name], name)
    assert "| Item | Share |\n| --- | --- |\n| Boats | 25% |\n| Paint | 5% |\n| Sails | 70% |" in parsed.document.text
    assert hidden(parsed) == [("Share", False), ("25%", False), ("| Paint | 5% |", False), ("70%", False)]
    assert len(parsed.slices) == 1, "a hidden cell parts no passage"


def test_what_is_hidden_is_marked_however_a_row_is_written() -> None:
    rows = [(1, ["a", "b|c", "d"]), (2, ["x" * 700, "y", "z"]), (3, ["", "only"])]
    for header in ([], ["Name", "Secret", "Third"]):
        told = [block.text[start:end] for block in blocks(header, rows, {1}) for start, end in block.hidden]
        assert told == ([*["Secret"] * bool(header), "b\\|c", f"{'Secret: ' * bool(header)}y",
                         *["Secret"] * bool(header), "only"])  # fmt: skip


def test_heads_and_feet_of_an_open_document(pool: ParserPool) -> None:
    page = "<style:{0}><text:p>{1}<text:page-number>7</text:page-number></text:p></style:{0}>".format
    around = (
        f'<style:master-page style:name="Standard">{page("header", "Draft ")}{page("footer", "Harbour Club, ")}'
        f'{page("footer-left", "Harbour Club, ")}<style:header-first style:display="false"><text:p>Old</text:p>'
        f"</style:header-first>{page('footer-first', '')}</style:master-page>"
    )
    parsed = pool.parse(styled("<office:text><text:p>Rules.</text:p></office:text>", "", around), "a.odt")
    assert parsed.document.text == "Draft 7\n\nRules.\n\nHarbour Club, 7"


def test_open_documents_remarks_frames_and_hidden_parts(pool: ParserPool) -> None:
    frame = "<draw:frame><draw:text-box><text:p>In a frame.</text:p></draw:text-box></draw:frame>"
    styles = (
        '<style:style style:name="T1" style:family="text"><style:text-properties text:display="none"/></style:style>'
        '<style:style style:name="ta2" style:family="table"><style:table-properties table:display="false"/>'
        "</style:style>"
    )
    parsed = pool.parse(styled(
        f"<office:text><text:p>Before{frame}</text:p><text:p>Plain <text:span text:style-name='T1'>secret</text:span>"
        "words<office:annotation><text:p>Ask Jane</text:p></office:annotation>.</text:p>"
        "<text:section text:display='none'><text:p>Old terms</text:p></text:section></office:text>", styles
    ), "a.odt")  # fmt: skip
    assert parsed.document.text.startswith("Before\nIn a frame.\n\nPlain words.\n\nComment: Ask Jane\n\n")
    assert hidden(parsed) == [("secret", True), ("Old terms", True)] and where(parsed, "Ask Jane") == "note"
    cell = "<table:table-cell>{}<text:p>{}</text:p></table:table-cell>".format
    remark = "<office:annotation><text:p>Estimated</text:p></office:annotation>"
    rows = (
        f"<table:table-row>{cell('', 'Ship')}{cell('', 'Tons')}</table:table-row>"
        f"<table:table-row>{cell('', 'Elsin')}{cell(remark, '900')}</table:table-row>"
        f"<table:table-row table:visibility='collapse'>{cell('', 'Varde')}{cell('', '70')}</table:table-row>"
    )
    parsed = pool.parse(styled(
        f"<office:spreadsheet><table:table table:name='Ships'>{rows}</table:table><table:table table:name='Old'"
        f" table:style-name='ta2'>{rows}</table:table></office:spreadsheet>", styles
    ), "a.ods")  # fmt: skip
    assert [text.split("\n")[0] for text, _ in hidden(parsed)] == ["| Varde | 70 |", "Old"]
    assert where(parsed, "Estimated") == "note on Ships!B2"


def test_slides_with_a_diagram_and_a_cell_that_reaches_down(pool: ParserPool) -> None:
    from pptx import Presentation
    from pptx.opc.package import Part
    from pptx.opc.packuri import PackURI
    from pptx.oxml import parse_xml

    made = Presentation()
    slide = made.slides.add_slide(made.slide_layouts[6])
    table = slide.shapes.add_table(3, 2, 0, 0, 900, 900).table
    for r, row in enumerate((("Port", "Depth"), ("Elsin", "9"), ("", "11"))):
        for c, text in enumerate(row):
            table.cell(r, c).text = text
    table.cell(1, 0).merge(table.cell(2, 0))
    spaces = (
        'xmlns:dgm="http://schemas.openxmlformats.org/drawingml/2006/diagram"'
        ' xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
    )
    points = "".join(f"<dgm:pt><dgm:t><a:p><a:r><a:t>{t}</a:t></a:r></a:p></dgm:t></dgm:pt>" for t in ("Plan", "Build"))
    data = f"<dgm:dataModel {spaces}><dgm:ptLst>{points}</dgm:ptLst></dgm:dataModel>".encode()
    part = Part(PackURI("/ppt/diagrams/data1.xml"), "application/vnd.openxmlformats-officedocument.drawingml."
                "diagramData+xml", slide.part.package, data)  # fmt: skip
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    number = slide.part.relate_to(part, f"{kind}/diagramData")
    slide.shapes._spTree.append(parse_xml(
        f'<p:graphicFrame xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" {spaces}'
        f' xmlns:r="{kind}">'
        '<p:nvGraphicFramePr><p:cNvPr id="9" name="d"/><p:cNvGraphicFramePr/><p:nvPr/></p:nvGraphicFramePr>'
        '<p:xfrm><a:off x="0" y="9000"/><a:ext cx="9" cy="9"/></p:xfrm><a:graphic><a:graphicData'
        f' uri="http://schemas.openxmlformats.org/drawingml/2006/diagram"><dgm:relIds r:dm="{number}"/></a:graphicData>'
        "</a:graphic></p:graphicFrame>"
    ))  # fmt: skip
    out = io.BytesIO()
    made.save(out)
    text = pool.parse(out.getvalue(), "a.pptx").document.text
    assert "| Elsin | 9 |\n| Elsin | 11 |" in text and text.endswith("Plan\nBuild")


def test_a_line_of_a_letter_ends_no_message_of_a_mailbox(pool: ParserPool) -> None:
    box = (
        b"From a@b Mon\nFrom: Ann\nCc: Eve\nSubject: One\n\nHello\n\nFrom the desk of Ann: nothing new.\n\n"
        b"From a@b Tue\nSubject: Two\n\nlast\n"
    )
    parsed = pool.parse(box, "a.mbox")
    assert headings(parsed) == [(1, "One"), (1, "Two")] and where(parsed, "From the desk") == "Ann, One"
    assert "Cc: Eve" in parsed.document.text


def test_json_is_told_by_its_names_and_numbers_stay_as_written(pool: ParserPool) -> None:
    data = (
        b'{"price": 1.50, "id": 123456789012345678901, "none": [], "owner": {"home": {"town": "Caf\\u00e9"}},'
        b' "crew": [{"n": "Ann"}, {"n": "Bo", "boss": {"n": "Cy"}}, {"n": "Di"}], "grid": [[1, 2], [3, 4]]}'
    )
    parsed = pool.parse(data, "a.json")
    text = parsed.document.text
    assert "price: 1.50\nid: 123456789012345678901\nnone: []" in text
    assert where(parsed, "town: Café") == "key owner.home" and where(parsed, "n: Cy") == "key crew[1].boss"
    assert where(parsed, "1, 2") == "key grid"
    starts = [h.start for h in parsed.document.headings]
    assert all(a < b for a, b in pairwise(starts))
    under = {h.title: text[h.start : end] for h, end in zip(
        parsed.document.headings, [*starts[1:], len(text)], strict=True)}  # fmt: skip
    assert "n: Di" in under["crew[2]"] and "1, 2" in under["grid"] and "Ann" in under["crew"]
    parsed = pool.parse(b'{"id": 7, "deep": {"k": [1, {"z": 2}]}}\n', "a.jsonl")
    assert parsed.document.text == "id: 7; deep.k: 1; deep.k.1.z: 2"


@pytest.mark.parametrize(
    ("markup", "text", "unseen"),
    [
        (rb"{\rtf1 Seen {\v secret} words{\footnote The note.}\par end}", "Seen  words (The note.)\nend", ["secret"]),
        (rb"{\rtf1 a\v  b\v0  c \u55357?\u56832?}", "a c \U0001f600", ["b"]),
        (rb"{\rtf1 a\v b\plain c}", "ac", ["b"]),
    ],
)
def test_rich_text_with_notes_hidden_words_and_rare_characters(
    pool: ParserPool, markup: bytes, text: str, unseen: list[str]
) -> None:
    parsed = pool.parse(markup, "a.rtf")
    assert parsed.document.text == "\n\n".join([text, *unseen])
    assert hidden(parsed) == [(words, True) for words in unseen]
