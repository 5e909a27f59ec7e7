"""Tables and columns of a PDF, whichever way its words were written: every passage of a table holds its header."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.config import Limits
from rag.documents import ParserPool
from rag.documents.layout import Columns, Table, Word, arrange
from rag.documents.readers.pdf import parse
from tests.documents.material import assemble
from tests.documents.test_unseen import drawn

Cells = Sequence[Sequence[str]]

LEAD = "The harbour takes these fees, which the council decides upon in December of every year."
MILL = (
    ("The old mill stood at the river", "for two hundred years before it", "burned down in the dry summer",
     "of 1911. Nobody was hurt, but", "the grain of the whole valley", "was lost, and bread was dear"),
    ("A new mill was built of brick", "by the brothers Lang, who had", "made a fortune with steam and",
     "wanted to be rid of the river.", "It ground forty tons a day and", "was sold in 1954 to the town."),
)  # fmt: skip
RULES: tuple[Cells, ...] = (
    (("Berth",), ("Who may moor",), ("Remark",)),
    (("North pier",), ("Sailing boats of at", "most nine metres"), ("Closed in", "winter and", "at night")),
    (("South pier",), ("Fishing boats",), ("Ice only",)),
    (("East",), ("Ferries with a", "licence"), ("none",)),
)


def at(x: int, y: int, text: str, size: int = 10) -> bytes:
    return f"BT /F {size} Tf {x} {y} Td ({text}) Tj ET\n".encode("latin-1")


def bound(contents: Sequence[bytes]) -> bytes:
    """A PDF of several pages with these contents."""
    numbers = range(4, 4 + 2 * len(contents), 2)
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents %d 0 R/Resources<</Font<</F 3 0 R>>>>>>"
    stream = b"<</Length %d>>stream\n%s\nendstream"
    pages = [
        part
        for n, content in zip(numbers, contents, strict=True)
        for part in (page % (n + 1), stream % (len(content), content))
    ]
    kids = b" ".join(b"%d 0 R" % n for n in numbers)
    return assemble([
        b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[%s]/Count %d>>" % (kids, len(contents)),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>", *pages,
    ])  # fmt: skip


def read(content: bytes) -> str:
    return parse(drawn(content), "a.pdf", Limits()).text


def fees(rows: int) -> bytes:
    content = at(40, 740, LEAD) + at(210, 700, "Three months ended") + at(400, 700, "Year ended")
    for x, name in zip((180, 270, 370, 450), ("June 2024", "June 2023", "2024", "2023"), strict=True):
        content += at(x, 688, name)
    for n in range(rows):
        row = (f"Berth {n}", f"1,{n:03}", "$ 12", "(40)", f"4.{n}")
        for x, value in zip((40, 190, 280, 370, 450), row, strict=True):
            content += at(x, 676 - 12 * n, value)
    return content + at(40, 650 - 12 * rows, "After the table the text goes on as if nothing had been.")


def test_every_passage_of_a_table_holds_the_names_of_its_columns(pool: ParserPool) -> None:
    parsed = pool.parse(drawn(fees(40)), "fees.pdf")
    text = parsed.document.text
    head = "|  | Three months ended June 2024 | Three months ended June 2023 | Year ended 2024 | Year ended 2023 |"
    assert text.startswith(f"{LEAD}\n\n{head}\n| --- |")
    assert text.endswith(
        "| Berth 39 | 1,039 | $ 12 | (40) | 4.39 |\n\nAfter the table the text goes on as if nothing had been."
    )
    rows = [text[piece.start : piece.end] for piece in parsed.slices if "| Berth" in text[piece.start : piece.end]]
    assert len(rows) > 3 and all(head in row.split("| Berth")[0] for row in rows)


def test_a_table_that_goes_on_keeps_its_header() -> None:
    first = [("Item", "Weight", "Price"), ("Anchor", "12", "40.10"), ("Oar", "4", "9")]
    second = [("Rope", "3", "7.90"), ("Buoy", "9", "22"), ("Mast", "80", "990")]
    contents = [b"", b""]
    for page, rows in enumerate((first, second)):
        contents[page] += at(40, 760, f"Price list of {2024 + page}")
        for n, row in enumerate(rows):
            for x, value in zip((40, 200, 300), row, strict=True):
                contents[page] += at(x, 730 - 14 * n, value)
    text = parse(bound(contents), "a.pdf", Limits()).text
    head = "| Item | Weight | Price |\n| --- | --- | --- |\n"
    assert text.count(head) == 2 and f"{head}| Rope | 3 | 7.90 |\n| Buoy | 9 | 22 |" in text


@pytest.mark.parametrize("by_cell", [True, False])
@pytest.mark.parametrize("between", [8, 0])
def test_cells_of_several_lines_stay_whole(by_cell: bool, between: int) -> None:
    content, y = at(40, 760, "Rules"), 730
    for row in RULES:
        lines = [(k, x, cell[k]) for x, cell in zip((40, 150, 320), row, strict=True) for k in range(len(cell))]
        for k, x, line in lines if by_cell else sorted(lines):
            content += at(x, y - 12 * k, line)
        y -= 12 * max(map(len, row)) + between
    assert read(content) == (
        "Rules\n\n| Berth | Who may moor | Remark |\n| --- | --- | --- |\n"
        "| North pier | Sailing boats of at most nine metres | Closed in winter and at night |\n"
        "| South pier | Fishing boats | Ice only |\n| East | Ferries with a licence | none |"
    )


@pytest.mark.parametrize("line_by_line", [True, False])
def test_columns_of_text_are_read_one_after_the_other(line_by_line: bool) -> None:
    left, right = MILL
    lines = [(40, n, line) for n, line in enumerate(left)] + [(300, n, line) for n, line in enumerate(right)]
    content = at(40, 760, "The mill")
    for x, n, line in sorted(lines, key=lambda one: one[1]) if line_by_line else lines:
        content += at(x, 730 - 12 * n, line)
    assert " ".join(read(content).split()) == " ".join(("The mill", *left, *right))


def test_raised_digits_and_broken_words_in_cells() -> None:
    content = at(40, 740, LEAD)
    content += at(40, 700, "Year") + at(180, 700, "Area") + at(300, 700, "Built of")
    for n in range(3):
        y = 680 - 30 * n
        content += at(40, y, f"193{n}") + at(60, y + 4, "2", 5) + at(180, y, f"{n}0 m") + at(202, y + 4, "2", 5)
        content += at(300, y, "photo-") + at(300, y - 12, "voltaic cells")
    text = read(content)
    assert "| 1930 [2] | 00 m² | photovoltaic cells |\n| 1931 [2] | 10 m² | photovoltaic cells |" in text


def test_raised_digits_that_stand_far_above_their_line() -> None:
    content = at(40, 740, "Since 1932") + at(92, 747, "2", 6) + at(100, 740, "the port has weighed 10")
    content += at(210, 747, "3", 6) + at(216, 740, "tons, and no more.") + at(40, 700, "7")
    assert read(content) == "Since 1932 [2] the port has weighed 10^3 tons, and no more.\n7"


@pytest.mark.parametrize(
    "rows",
    [
        [("Signed:", "Ann Lee"), ("On:", "3 May"), ("In:", "Hull")],  # no names of columns
        [("Part One", "7"), ("Part Two", "12"), ("Part Three", "90")],
        [("a", "b"), ("c", "d")],
    ],
)  # fmt: skip
def test_what_has_no_header_stays_as_it_is(rows: list[tuple[str, str]]) -> None:
    content = at(40, 740, LEAD)
    for n, (one, other) in enumerate(rows):
        content += at(40, 700 - 14 * n, one) + at(300, 700 - 14 * n, other)
    text = read(content)
    assert all(f"{one} {other}" in text for one, other in rows) and "|" not in text


def test_rows_without_a_header_keep_their_cells_of_several_lines() -> None:
    meanings: dict[str, Sequence[str]] = {
        "Moor": ("Tie the boat to the", "pier by two ropes"), "Berth": ("A place",), "Buoy": ("A float", "at sea")
    }  # fmt: skip
    content, y = at(40, 740, LEAD), 700
    for word, lines in meanings.items():
        content += at(40, y, word)
        for k, line in enumerate(lines):
            content += at(200, y - 12 * k, line)
        y -= 12 * len(lines) + 8
    rows = "| Moor | Tie the boat to the pier by two ropes |\n| Berth | A place |\n| Buoy | A float at sea |"
    assert read(content) == f"{LEAD}\n\n{rows}"


def _words(draw: st.DrawFn) -> Iterator[Word]:
    at = 0
    for _ in range(draw(st.integers(0, 40))):
        left, bottom = draw(st.integers(0, 60)) * 10.0, draw(st.integers(0, 12)) * 6.0
        size = draw(st.integers(1, 9))
        yield Word(at, at + size, left, bottom, left + size * draw(st.sampled_from([0, 5, 9])), bottom + 10)
        at += size + 1


@st.composite
def pages(draw: st.DrawFn) -> tuple[list[Word], str]:
    words = list(_words(draw))
    text = " ".join(draw(st.sampled_from("x7$)|")) * (word.end - word.start) for word in words)
    return draw(st.permutations(words)), text


@given(pages())
def test_no_word_is_lost_or_told_twice(page: tuple[list[Word], str]) -> None:
    words, text = page
    for part in arrange(words, text):
        if isinstance(part, Columns):
            told = [word for line in part.lines for word in line]
        else:
            assert isinstance(part, Table)
            told = list({word for cell in part.header for word in cell})
            told += [word for row in part.rows for cell in row for word in cell]
        assert sorted(word.start for word in told) == sorted(w.start for w in words if part.start <= w.start < part.end)
