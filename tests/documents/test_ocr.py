"""Text recognition: pictures and scanned pages are read behind the same walls, page by page, with boxes and doubts."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from rag.config import Limits
from rag.documents import Parsed, ParserPool, Recognition, ocr, sandbox, wire
from rag.documents.ocr import ENGINES, Line, engine, lay_out, line_of
from rag.errors import DamagedDocument, EmptyDocument, LimitExceeded, ParserCrashed
from rag.platform.apart import Children
from rag.types import Place, place_name
from tests.documents.material import PANGRAM, pdf

LINES = ("Boats moor at the western pier.", "The fee is 37.80 EUR per night.", "Fires are forbidden on deck.")


def drawn(lines: tuple[str, ...] = LINES, size: int = 28) -> Image.Image:
    image = Image.new("L", (640, 60 + 45 * len(lines)), 255)
    for number, line in enumerate(lines):
        ImageDraw.Draw(image).text((40, 30 + 45 * number), line, 0, font=ImageFont.load_default(size))
    return image


def saved(kind: str, *images: Image.Image, **options: object) -> bytes:
    out = io.BytesIO()
    more = {"save_all": True, "append_images": images[1:]} if len(images) > 1 else {}
    images[0].save(out, kind, **more, **options)
    return out.getvalue()


@pytest.fixture(scope="module", params=ENGINES)
def reading(request: pytest.FixtureRequest) -> Iterator[ParserPool]:
    if not engine(request.param):
        pytest.skip(f"{request.param} is not installed")
    recognition = Recognition(request.param, "eng" if request.param == "tesseract" else "")
    with ParserPool(Limits(ocr_seconds=300), characters=1_000, overlap=100, recognition=recognition) as pool:
        yield pool


def where(parsed: Parsed, words: str) -> str:
    start = parsed.document.text.index(words)
    return place_name(parsed.document.places, start, start + len(words), parsed.document.text)


def test_a_picture_is_read(reading: ParserPool) -> None:
    parsed = reading.parse(saved("PNG", drawn()), "rules.png")
    assert parsed.document.text.split("\n") == list(LINES)
    page, box = where(parsed, "37.80 EUR").split(", box ")
    left, top, width, height = map(int, box.split(","))
    assert page == "page 1" and 20 < left < 60 and 60 < top < 90 and 300 < width < 500 and 15 < height < 60
    assert parsed.document.pages == (Place(1, 0, len(parsed.document.text)),) and parsed.document.title == LINES[0]


@pytest.mark.parametrize("reading", ENGINES[-1:], indirect=True)
def test_pictures_of_every_format_are_read(reading: ParserPool) -> None:
    """By one engine: the reader of pictures is the same for all."""
    parsed = reading.parse(saved("TIFF", drawn(LINES[:1]), drawn(LINES[1:])), "two.tif")
    assert where(parsed, "western pier").startswith("page 1, box") and where(parsed, "deck").startswith("page 2, box")
    turned = drawn(LINES[2:]).rotate(90, expand=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    parsed = reading.parse(saved("JPEG", turned, exif=exif), "turned.jpg")
    assert "Fires are forbidden" in parsed.document.text


def test_scanned_pages_of_a_pdf_are_read_and_the_others_stay_as_they_are(reading: ParserPool) -> None:
    scan = saved("PDF", drawn(LINES[:2]), drawn(LINES[2:]), resolution=100)
    parsed = reading.parse(scan, "scan.pdf")
    assert where(parsed, "western pier").startswith("page 1, box")
    assert where(parsed, "forbidden").startswith("page 2, box")
    assert parsed.document.empty_pages == 0 and parsed.document.unread == ()
    assert parsed.slices[0].page == 1
    assert reading.parse(pdf([PANGRAM, "Second page"]), "plain.pdf").document.text == f"{PANGRAM}\n\nSecond page"


def test_what_shows_no_text_is_told(reading: ParserPool) -> None:
    with pytest.raises(EmptyDocument, match=r"No text was recognised in blank\.png"):
        reading.parse(saved("PNG", Image.new("L", (200, 100), 255)), "blank.png")
    with pytest.raises(EmptyDocument, match="none of its 2 pages has text"):
        reading.parse(saved("PDF", Image.new("L", (200, 100), 255), Image.new("L", (200, 100), 255)), "blank.pdf")


def test_a_damaged_or_enormous_picture_is_refused(reading: ParserPool) -> None:
    good = saved("PNG", drawn())
    for data in (b"no picture", good[:60], b"\x89PNG\r\n\x1a\n" + b"\0" * 100, saved("GIF", drawn())):
        with pytest.raises((DamagedDocument, EmptyDocument)):
            reading.parse(data, "a.png")
    with pytest.raises(LimitExceeded, match="pixels"):
        reading.parse(saved("PNG", Image.new("1", (20_000, 20_000))), "bomb.png")
    with pytest.raises(LimitExceeded, match=r"limits\.pages"):
        with ParserPool(Limits(pages=1), characters=1_000, overlap=100) as pool:
            pool.parse(saved("TIFF", drawn(), drawn()), "two.tiff")


def test_without_an_engine_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ocr, "engine", lambda wanted: "")
    for wanted, remedy in (("auto", "rag-cited[ocr]"), ("off", "Switch text recognition on")):
        with ParserPool(Limits(), characters=1_000, overlap=100, recognition=Recognition(wanted)) as pool:
            for name, data in (("a.png", saved("PNG", drawn())), ("a.pdf", saved("PDF", drawn()))):
                with pytest.raises(EmptyDocument) as caught:
                    pool.parse(data, name)
                assert remedy in caught.value.hint and name in str(caught.value)
            mixed = pool.parse(pdf([PANGRAM, None]), "mixed.pdf")
            assert mixed.document.unread == (2,) and mixed.document.empty_pages == 1


def test_a_missing_language_is_named() -> None:
    if not engine("tesseract"):
        pytest.skip("tesseract is not installed")
    recognition = Recognition("tesseract", "xxx")
    with ParserPool(Limits(), characters=1_000, overlap=100, recognition=recognition) as pool:
        with pytest.raises(ParserCrashed, match="language data for 'xxx'"):
            pool.parse(saved("PNG", drawn()), "a.png")


def test_pages_that_are_done_are_not_recognised_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not engine("tesseract"):
        pytest.skip("tesseract is not installed")
    recognition = Recognition("tesseract", "eng", tmp_path / "kept")
    data = saved("PDF", *(drawn((line,)) for line in LINES), resolution=100)
    asked: list[int] = []
    recognise = sandbox._Run.recognise

    def cut_off(run: sandbox._Run, data: bytes, server: Children) -> tuple[Line, ...]:
        asked.append(run._job.page)
        if run._job.page == 3 and len(asked) < 4:
            raise KeyboardInterrupt
        return recognise(run, data, server)

    monkeypatch.setattr(sandbox._Run, "recognise", cut_off)
    for _ in range(2):
        with ParserPool(Limits(), characters=1_000, overlap=100, workers=1, recognition=recognition) as pool:
            if len(asked) < 3:
                with pytest.raises(KeyboardInterrupt):
                    pool.parse(data, "scan.pdf")
                kept = list((tmp_path / "kept").iterdir())
                assert len(kept) == 2 and all(file.stat().st_mode & 0o077 == 0 for file in kept)
            else:
                assert pool.parse(data, "scan.pdf").document.text == "\n\n".join(LINES)
    assert asked == [1, 2, 3, 3] and not (tmp_path / "kept").exists()


def test_doubts_are_places_of_their_own() -> None:
    box = (40, 30, 400, 30)
    line = line_of([("The", 0.99), ("fee", 0.4), ("is", 0.5), ("37.80", 0.98)], box, 0.9)
    assert line == Line("The fee is 37.80", *box, ((4, 10),))
    assert line_of([("~", 0.9)], box, 0.9) is None and line_of([("dirt", 0.1)], box, 0.9) is None
    assert line_of([("港", 0.99), ("口", 0.2)], box, 0.9, "港口") == Line("港口", *box, ((1, 2),))
    assert line_of([("other", 0.99)], box, 0.9, "words") == Line("words", *box, ((0, 5),))
    text, places = lay_out([line, Line("Second", 40, 70, 300, 30), Line("Far", 40, 200, 90, 30)], 7)
    assert text == "The fee is 37.80\nSecond\n\nFar"
    assert [text[p.start : p.end] for p in places if p.kind == "unsure"] == ["fee is"]
    assert [p.label for p in places if p.kind == "box"] == ["40,30,400,30", "40,70,300,30", "40,200,90,30"]
    assert place_name(places, 4, 9, text) == "box 40,30,400,30, uncertain reading"


@pytest.mark.parametrize(
    "rows",
    [None, [["x"]], [["", 0, 0, 1, 1, []]], [["x\n", 0, 0, 1, 1, []]], [["x", -1, 0, 1, 1, []]],
     [["xy", 0, 0, 1, 1, [[1, 3]]]], [["xyz", 0, 0, 1, 1, [[0, 2], [1, 3]]]], [["x", 0, 0, 1, True, []]]],
)  # fmt: skip
def test_lines_that_cannot_be_right_are_not_believed(rows: object) -> None:
    with pytest.raises(wire.BadReply):
        wire.read_lines(rows)
