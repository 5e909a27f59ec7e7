"""What a page of a PDF holds and shows to nobody: invisible, off the page, too small, covered, or as light as paper."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Iterator
from math import ceil
from typing import TYPE_CHECKING, Any

from rag.documents.readers.pdfium import address, calls

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_STEP = 24
"""Every so many characters one is looked at; a hidden stretch is followed to both its ends."""
_FILL, _INVISIBLE, _CLIP = 0, 3, 7
_LIGHT, _CONTRAST = 225, 16
_TINY = 1.5
"""Points: no line of this height can be read."""
_SCALE, _MOST_PIXELS, _ALONE = 2.0, 8_000_000, 4
_LAST = 300
"""Of so many objects of a page, the last drawn, pictures are taken for covers."""
_SHOWN = re.compile(r"\S")
_Box = tuple[float, float, float, float]


def unseen(page: Any, textpage: Any, text: str, raw: Any, scan: Callable[[], bool]) -> list[tuple[int, int]]:
    """The stretches of ``text``, which is that of ``textpage`` character by character, that no reader sees.

    ``scan`` tells whether the page is a picture; its invisible text is what was recognised on it, and not hidden.
    """
    eye = _Eye(page, textpage, raw, scan)
    spans: list[tuple[int, int]] = []
    at = 0
    while (match := _SHOWN.search(text, at)) is not None:
        at = match.start()
        if not eye.misses(at):
            at += _STEP
            continue
        first, last = at, at + 1
        floor = spans[-1][1] if spans else 0
        while first > floor and (text[first - 1].isspace() or eye.misses(first - 1)):
            first -= 1
        while last < len(text) and (text[last].isspace() or eye.misses(last)):
            last += 1
        first += len(text[first:last]) - len(text[first:last].lstrip())
        at = last
        spans.append((first, first + len(text[first:last].rstrip())))
    return spans


class _Eye:
    """Looks at single characters of a page; draws the page only if one cannot be told otherwise."""

    def __init__(self, page: Any, textpage: Any, raw: Any, scan: Callable[[], bool]) -> None:
        self._page, self._textpage, self._raw, self._scan = page, textpage.raw, raw, scan
        self._calls = calls()
        self._text = address(textpage.raw)
        self._edges: _Box = page.get_cropbox()
        self._pictures: list[_Box] | None = None
        self._drawn: npt.NDArray[np.uint8] | None = None
        self._scale, self._size, self._looks = 0.0, (0, 0), 0
        self._sides = tuple(ctypes.c_double() for _ in range(4))
        self._line = raw.FS_RECTF()
        self._colours = tuple(ctypes.c_uint() for _ in range(4))
        self._last: tuple[int, int, bool, bool] = (0, 0, False, False)

    def misses(self, index: int) -> bool:
        """Whether a character is not to be seen; it is if there is nothing to tell."""
        found = self._calls.text_object(self._text, index)
        if not found:
            return False
        if found != self._last[0]:
            self._last = (found, *self._look(found))
        _, mode, unpainted, light = self._last
        if mode in (_INVISIBLE, _CLIP):
            return not self._scan()
        if unpainted:
            return True
        line = self._line
        if self._calls.line_box(self._text, index, line):
            left, right, bottom, top = line.left, line.right, line.bottom, line.top
            if abs(top - bottom) < _TINY and abs(right - left) < _TINY:
                return True
            edges = self._edges
            if right <= edges[0] or left >= edges[2] or top <= edges[1] or bottom >= edges[3]:
                return True
        if self._pictures is None:
            self._pictures = list(self._last_pictures())
        if not light and not self._pictures:
            return False
        box = self._box(index)
        return box is not None and (light or self._in_picture(box)) and self._contrast(box) < _CONTRAST

    def _look(self, found: int) -> tuple[int, bool, bool]:
        """How a text object is drawn: its mode, whether it is wholly transparent, and whether as light as paper."""
        mode = self._calls.render_mode(found)
        red, green, blue, alpha = self._colours
        if mode != _FILL or not self._calls.fill(found, red, green, blue, alpha):
            return mode, False, False
        light = red.value >= _LIGHT and green.value >= _LIGHT and blue.value >= _LIGHT
        return mode, alpha.value == 0, light

    def _box(self, index: int) -> _Box | None:
        """The box of a character's ink."""
        left, right, bottom, top = self._sides
        if not self._raw.FPDFText_GetCharBox(self._textpage, index, left, right, bottom, top):
            return None
        return left.value, bottom.value, right.value, top.value

    def _in_picture(self, box: _Box) -> bool:
        """Whether it lies within one of the pictures that were drawn last, which could cover it."""
        return any(
            left <= box[0] and bottom <= box[1] and box[2] <= right and box[3] <= top
            for left, bottom, right, top in self._pictures or ()
        )

    def _last_pictures(self) -> Iterator[_Box]:
        count = self._raw.FPDFPage_CountObjects(self._page.raw)
        at, kind, page = self._calls.page_object, self._calls.kind, address(self._page.raw)
        wanted = self._raw.FPDF_PAGEOBJ_IMAGE
        sides = tuple(ctypes.c_float() for _ in range(4))
        for index in range(max(0, count - _LAST), count):
            if kind(at(page, index)) == wanted:
                self._raw.FPDFPageObj_GetBounds(self._raw.FPDFPage_GetObject(self._page.raw, index), *sides)
                left, bottom, right, top = (side.value for side in sides)
                yield left, bottom, right, top

    def _contrast(self, box: _Box) -> int:
        """The difference of the lightest and the darkest grey (0-255) around a character as it is drawn. What is around
        the first few is drawn alone: on most pages there are no more, and all of a page takes six times as long."""
        if not self._size[0]:
            across, down = self._page.get_size()
            self._scale = min(_SCALE, (_MOST_PIXELS / max(1.0, across * down)) ** 0.5)
            self._size = ceil(across * self._scale), ceil(down * self._scale)
        left, bottom = self._at(box[0], box[1])
        right, top = self._at(box[2], box[3])
        rows, columns = sorted((bottom, top)), sorted((left, right))
        above, below = max(0, rows[0] - 1), min(self._size[1], rows[1] + 2)
        before, behind = max(0, columns[0] - 1), min(self._size[0], columns[1] + 2)
        if above >= below or before >= behind:
            return 255
        if self._drawn is None and self._looks < _ALONE:
            self._looks += 1
            part = self._draw((before, self._size[1] - below, self._size[0] - behind, above))
        else:
            if self._drawn is None:
                self._drawn = self._draw((0, 0, 0, 0))
            part = self._drawn[above:below, before:behind]
        return int(part.max()) - int(part.min())

    def _draw(self, crop: tuple[int, int, int, int]) -> npt.NDArray[np.uint8]:
        """The page without so many pixels at its left, bottom, right and top."""
        # In points, and rounded up to pixels there.
        left, bottom, right, top = (max(0.0, side - 0.5) / self._scale for side in crop)
        bitmap = self._page.render(scale=self._scale, grayscale=True, crop=(left, bottom, right, top))
        drawn: npt.NDArray[np.uint8] = bitmap.to_numpy().reshape(bitmap.height, bitmap.width).copy()
        bitmap.close()
        return drawn

    def _at(self, x: float, y: float) -> tuple[int, int]:
        """The pixel of a point of the page, rotated as the page is."""
        across, down = ctypes.c_int(), ctypes.c_int()
        self._raw.FPDF_PageToDevice(self._page.raw, 0, 0, *self._size, 0, x, y, across, down)
        return across.value, down.value
