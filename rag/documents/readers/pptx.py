"""Presentations: each slide's title, texts and tables in reading order, with the notes below."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import Any
from xml.etree import ElementTree

from rag.config import Limits
from rag.documents.archive import UNREADABLE, Archive, local
from rag.documents.build import Builder
from rag.documents.formats import one_line, shown
from rag.documents.numbers import general
from rag.documents.tables import header_of
from rag.errors import DamagedDocument, LimitExceeded
from rag.types import ParsedDocument

_DEEPEST = 20
_FAILURES = (*UNREADABLE, ElementTree.ParseError, AttributeError, IndexError, TypeError)


def _sample() -> bytes:
    from pptx import Presentation
    from pptx.chart.data import CategoryChartData
    from pptx.enum.chart import XL_CHART_TYPE

    out = io.BytesIO()
    data: Any = CategoryChartData()  # type: ignore[no-untyped-call]
    data.categories = ["a"]
    data.add_series("b", (1,))
    made = Presentation()
    slide = made.slides.add_slide(made.slide_layouts[1])
    slide.shapes.title.text = "Sample"
    slide.notes_slide.notes_text_frame.text = "Notes"
    slide.shapes.add_chart(XL_CHART_TYPE.PIE, 0, 0, 9, 9, data)
    slide.shapes.add_table(2, 2, 0, 0, 9, 9).table.cell(0, 0).text = "x"
    made.save(out)
    return out.getvalue()


SAMPLES = {"sample.pptx": _sample}


def parse(data: bytes, source: str, limits: Limits) -> ParsedDocument:
    """Presentation to document, a place a slide (also one without text).

    Raises EncryptedDocument, DamagedDocument, EmptyDocument and LimitExceeded.
    """
    from lxml.etree import XMLSyntaxError
    from pptx import Presentation
    from pptx.exc import PythonPptxError

    Archive(data, source, limits)
    try:
        slides = list(Presentation(io.BytesIO(data)).slides)
        if len(slides) > limits.pages:
            raise LimitExceeded(
                f"{shown(source)} has {len(slides):,} slides; the limit is {limits.pages:,} (limits.pages).",
                hint="Split the file, or raise limits.pages.",
            )
        build = Builder(source, limits)
        told: set[str] = set()
        for number, slide in enumerate(slides, start=1):
            _slide(build, slide, number, told)
        stated = one_line(Presentation(io.BytesIO(data)).core_properties.title or "")
    except (PythonPptxError, XMLSyntaxError, *_FAILURES) as error:
        # what a damaged file lacks surfaces in python-pptx as whatever missed it
        raise DamagedDocument(
            f"{shown(source)} is damaged or no presentation ({type(error).__name__}).",
            hint="Open it in its own program, save it anew and add that.",
        ) from error
    return build.finish("" if stated.lower() in ("powerpoint presentation", "presentation") else stated)


def _slide(build: Builder, slide: Any, number: int, told: set[str]) -> None:
    """Write a slide; what runs through all of them is left out where it was ``told``, and their numbers everywhere."""
    start = build.end
    title = slide.shapes.title
    if title is not None and title.has_text_frame and title.text_frame.text.strip():
        build.heading(1, title.text_frame.text)
    for shape in _shapes(slide.shapes, 0):
        if title is not None and shape.shape_id == title.shape_id:
            continue
        if shape.has_text_frame:
            text = "\n".join(_lines(shape.text_frame))
            if kind := _runs_through(shape):
                text = "" if kind == "sldNum" or text in told else text
                told.add(text)
            build.write(text)
        elif getattr(shape, "has_table", False):
            _table(build, shape.table)
        elif getattr(shape, "has_chart", False):
            _chart(build, shape.chart)
        else:
            build.write("\n".join(filter(None, _diagram(slide, shape))))
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        notes = "\n".join(_lines(slide.notes_slide.notes_text_frame))
        if notes:
            begun = build.end
            build.write(f"Notes: {notes}")
            build.place("note", number, begun, "of the speaker")
    if slide._element.get("show") == "0":
        build.place("hidden", number, start)
    build.place("slide", number, start)


def _shapes(shapes: Iterable[Any], depth: int) -> Iterator[Any]:
    """The shapes from top to bottom and left to right, those of groups at their group's place."""
    for shape in sorted(shapes, key=lambda s: (s.top or 0, s.left or 0)):
        if hasattr(shape, "shapes") and depth < _DEEPEST:
            yield from _shapes(shape.shapes, depth + 1)
        else:
            yield shape


def _runs_through(shape: Any) -> str:
    """Whether a shape is a foot, the date or the number of a slide: what PowerPoint calls it; "" for any other."""
    kind = next((e.get("type", "") for e in shape._element.iter() if local(e.tag) == "ph"), "")
    return kind if kind in ("ftr", "dt", "sldNum") else ""


def _lines(frame: Any) -> Iterator[str]:
    for paragraph in frame.paragraphs:
        text = " ".join(paragraph.text.split())
        if text:
            yield f"{'  ' * (paragraph.level - 1)}- {text}" if paragraph.level else text


def _table(build: Builder, table: Any) -> None:
    rows: list[tuple[int, list[str]]] = []
    for number, row in enumerate(table.rows, start=1):
        above = rows[-1][1] if rows else []
        rows.append((number, [_cell(*pair) for pair in zip_longest(row.cells, above[: len(row.cells)], fillvalue="")]))
    named = 0 if table.first_row and len(rows) > 1 else header_of(rows)
    build.table(rows[named][1] if named >= 0 else (), rows[named + 1 :])


def _cell(cell: Any, above: str) -> str:
    """A cell's text; that of a cell which reaches down is told in each of its rows."""
    if not cell.is_spanned:
        return str(cell.text)
    return above if cell._tc.vMerge and not cell._tc.hMerge else ""


def _diagram(slide: Any, shape: Any) -> Iterator[str]:
    """The texts of a diagram (SmartArt), which are in a part of their own."""
    for element in shape._element.iter():
        if local(element.tag) == "relIds":
            key = next((value for name, value in element.attrib.items() if local(name) == "dm"), "")
            for point in ElementTree.fromstring(slide.part.related_part(key).blob).iter():
                if local(point.tag) == "pt":
                    yield "".join(e.text or "" for e in point.iter() if local(e.tag) == "t")


def _chart(build: Builder, chart: Any) -> None:
    """What a chart is drawn from: a row a category, a column a series."""
    if chart.has_title and chart.chart_title.has_text_frame:
        build.write(chart.chart_title.text_frame.text)
    for plot in chart.plots:
        series = list(plot.series)
        values = zip_longest(plot.categories, *(one.values for one in series), fillvalue=None)
        rows = [(n, ["" if v is None else general(v) if isinstance(v, float) else str(v) for v in row])
                for n, row in enumerate(values, start=1)]  # fmt: skip
        build.table(["", *(one.name for one in series)], rows)
