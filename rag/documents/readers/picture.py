"""Pictures (png, jpg, tiff): they have no text but what is recognised in them, page by page."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rag.config import Limits
from rag.documents.formats import check_characters, finish, first_line, shown
from rag.documents.ocr import Line, lay_out
from rag.errors import DamagedDocument, EmptyDocument, LimitExceeded
from rag.types import ParsedDocument, Place

if TYPE_CHECKING:
    from rag.documents.ocr import Picture

MOST_PIXELS = 80_000_000
"""Of a picture that is read: an A4 page at 800 dots per inch."""
LONGEST_SIDE = 4_000
"""Pixels; larger pictures are made smaller, which loses no letter that a person could read."""

_FORMATS = ("PNG", "JPEG", "TIFF")
SAMPLES: dict[str, bytes] = {}
"""None has text of itself: ``warm_up`` loads what reads them."""


def warm_up() -> None:
    """Load what reads each format, since a confined process can open no file."""
    from PIL import Image

    for kind in _FORMATS:
        out = io.BytesIO()
        Image.new("1" if kind == "TIFF" else "L", (8, 8), 1).save(out, kind)
        _pixels(out.getvalue(), "sample", 1)


def sample() -> Picture:
    """A picture with letters, for an engine to load all that it needs."""
    import numpy as np
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("L", (320, 80), 255)
    ImageDraw.Draw(image).text((20, 20), "Sample text 1", 0, font=ImageFont.load_default(28))
    return np.asarray(image, dtype=np.uint8)


def parse(
    data: bytes, source: str, limits: Limits, recognised: Mapping[int, Sequence[Line]] | None = None
) -> ParsedDocument:
    """Picture to document, of what was recognised in it; its frames are its pages.

    Raises EmptyDocument with the pages to recognise where nothing was yet, DamagedDocument and LimitExceeded.
    """
    count = _frames(data, source, limits)
    if recognised is None:
        raise EmptyDocument(
            f"{shown(source)} is a picture, and reading it takes text recognition.",
            hint="Add a text version of it.",
            unread=tuple(range(1, count + 1)),
        )
    parts: list[str] = []
    places: list[Place] = []
    length = 0
    for number in range(1, count + 1):
        text, found = lay_out(recognised.get(number, ()), number)
        lead = "\n\n" if text and length else ""
        start = length + len(lead)
        length = start + len(text)
        check_characters(length, source, limits)
        parts += [lead, text]
        places.append(Place(number, start, length))
        places += [Place(p.number, start + p.start, start + p.end, p.kind, p.label) for p in found]
    if not length:
        raise EmptyDocument(f"No text was recognised in {shown(source)}.", hint="Check that it shows text.")
    return finish(
        "".join(parts), first_line("".join(parts)), source, limits, (), sorted(places, key=lambda place: place.start)
    )


def picture(data: bytes, source: str, number: int, limits: Limits) -> tuple[Picture, float]:
    """Frame ``number`` (from 1) in grey levels, upright, and how many pixels of the file one of its pixels is.

    Raises DamagedDocument and LimitExceeded.
    """
    _frames(data, source, limits)
    return _pixels(data, source, number)


def _frames(data: bytes, source: str, limits: Limits) -> int:
    image = _open(data, source)
    count = int(getattr(image, "n_frames", 1))
    if count > limits.pages:
        raise LimitExceeded(
            f"{shown(source)} has {count:,} pages; the limit is {limits.pages:,} (limits.pages).",
            hint="Split the file, or raise limits.pages.",
        )
    return count


def _open(data: bytes, source: str) -> Any:
    from PIL import Image, UnidentifiedImageError

    Image.MAX_IMAGE_PIXELS = None  # the size is looked at here, before a pixel is read
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, TypeError, KeyError, IndexError) as error:
        # what a damaged file lacks surfaces in Pillow as whatever missed it
        raise _damaged(source) from error
    if image.width * image.height > MOST_PIXELS:
        raise LimitExceeded(
            f"{shown(source)} has {image.width:,} x {image.height:,} pixels; at most {MOST_PIXELS:,} are read.",
            hint="Save it smaller and add that.",
        )
    return image


def _pixels(data: bytes, source: str, number: int) -> tuple[Picture, float]:
    import numpy as np
    from PIL import Image, ImageOps

    image = _open(data, source)
    try:
        image.seek(number - 1)
        if image.width * image.height > MOST_PIXELS:
            raise _damaged(source)
        if image.mode in ("I;16", "I;16B", "I", "F"):
            levels = np.asarray(image, dtype=np.float64)
            span = max(1.0, float(levels.max()))
            return np.asarray(levels * (255 / span), dtype=np.uint8), 1.0
        image = ImageOps.exif_transpose(image)
        if image.has_transparency_data:
            image = image.convert("RGBA")
            ground = Image.new("RGBA", image.size, "white")
            ground.alpha_composite(image)
            image = ground
        image = image.convert("L")
        width = image.width
        image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
        return np.asarray(image, dtype=np.uint8), width / image.width
    except (OSError, ValueError, SyntaxError, TypeError, KeyError, IndexError, EOFError) as error:
        raise _damaged(source) from error


def _damaged(source: str) -> DamagedDocument:
    return DamagedDocument(
        f"{shown(source)} is damaged or no picture of the format of its suffix.",
        hint="Open it in a viewer, save it anew and add that.",
    )
