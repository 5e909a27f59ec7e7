"""A page of a PDF as a picture with the cited words marked, drawn in a child process with limits.

PDFs come from anywhere, and drawing runs more of a C library than reading the text does: a crash, a loop or a bomb
ends the child, not the page. The child is apart and confined as the parsers' are, and its picture is not trusted.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from io import BytesIO
from typing import Any

from rag.config import Limits
from rag.errors import ParserCrashed
from rag.platform.apart import isolated
from rag.platform.confine import confine
from rag.text import find_folded

WIDTH = 1_100
_MOST_PIXELS = 6_000_000
_LIMITS = Limits(child_wall_seconds=20, child_cpu_seconds=20, child_memory_mb=1_024)
_SECONDS = _LIMITS.child_wall_seconds
_YELLOW = (250, 204, 21, 90)
_LEAST_WORDS = 3


def draw(original: bytes, page: int, quote: str, *, width: int = WIDTH) -> bytes:
    """Page ``page`` (from 1) as PNG, ``width`` pixels wide, with the words of ``quote`` that are on it marked.

    Raises ParserCrashed when it cannot be drawn within the limits.
    """
    head = json.dumps({"page": page, "quote": quote, "width": width}).encode()
    message = struct.pack(">I", len(head)) + head + original
    try:
        done: subprocess.CompletedProcess[bytes] = subprocess.run(
            **isolated("ui.pageimage"), input=message, capture_output=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ParserCrashed(f"Page {page} could not be drawn within {_SECONDS} s.", hint="Read its text.") from error
    except OSError as error:
        raise ParserCrashed(f"Page {page} could not be drawn: {error.strerror}.", hint="Read its text.") from error
    if done.returncode != 0 or not done.stdout.startswith(b"\x89PNG"):
        raise ParserCrashed(f"Page {page} could not be drawn.", hint="Read its text instead.")
    return done.stdout


def boxes(textpage: Any, quote: str) -> list[tuple[float, float, float, float]]:
    """Where ``quote`` stands on a page: left, bottom, right, top in points, a box a line.

    A quote that goes over the page's edge is marked as far as it is on this page (at least a few words of it).
    """
    text = textpage.get_text_range()
    found = find_folded(quote, text) or _longest_part(quote.split(), text)
    if found is None:
        return []
    count = textpage.count_rects(found[0], found[1] - found[0])
    return [textpage.get_rect(index) for index in range(count)]


def _longest_part(quote: list[str], text: str) -> tuple[int, int] | None:
    """The longest start or end of the quote that is in ``text``."""
    for size in range(len(quote) - 1, _LEAST_WORDS - 1, -1):
        for part in (quote[:size], quote[-size:]):
            found = find_folded(" ".join(part), text)
            if found:
                return found
    return None


def _png(original: bytes, number: int, quote: str, width: int) -> bytes:
    import pypdfium2 as pdfium
    from PIL import Image, ImageDraw

    document = pdfium.PdfDocument(original)  # type: ignore[no-untyped-call]
    page = document[number - 1]
    across, down = page.get_size()
    scale = min(width / across, (_MOST_PIXELS / (across * down)) ** 0.5)
    picture = page.render(scale=scale).to_pil().convert("RGBA")
    marks = Image.new("RGBA", picture.size)
    pen = ImageDraw.Draw(marks)
    for left, bottom, right, top in boxes(page.get_textpage(), quote) if quote else ():
        pen.rectangle(
            (left * scale - 1, (down - top) * scale - 1, right * scale + 1, (down - bottom) * scale + 1), fill=_YELLOW
        )
    out = BytesIO()
    Image.alpha_composite(picture, marks).convert("RGB").save(out, "PNG")
    return out.getvalue()


def main() -> None:
    """The child: takes the order and the PDF from its standard input, and after that nothing from anywhere."""
    from rag.documents.readers.pdf import SAMPLES

    data = sys.stdin.buffer.read()
    size = struct.unpack(">I", data[:4])[0]
    head = json.loads(data[4 : 4 + size])
    _png(SAMPLES["sample.pdf"], 1, "Sample", 9)  # loads what could not be loaded once confined
    confine(_LIMITS)
    sys.stdout.buffer.write(_png(data[4 + size :], head["page"], head["quote"], head["width"]))
    sys.stdout.buffer.flush()
