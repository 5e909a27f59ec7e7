"""PDFium's functions that are asked for every few characters of a page, as fast as they can be called."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any


def address(pointer: Any) -> int:
    """Where a pointer of the binding points to."""
    return ctypes.cast(pointer, ctypes.c_void_p).value or 0


class Calls:
    """Those of PDFium's functions that are asked for very many characters, with numbers for its pointers: calls take
    half as long, and pointers can be compared."""

    def __init__(self, raw: Any) -> None:
        def taken(name: str, result: Any, *arguments: Any) -> Callable[..., Any]:
            return ctypes.CFUNCTYPE(result, *arguments)(address(getattr(raw, name)))

        number, pointer, colour = ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_uint)
        self.text_object = taken("FPDFText_GetTextObject", pointer, pointer, number)
        self.render_mode = taken("FPDFTextObj_GetTextRenderMode", number, pointer)
        self.fill = taken("FPDFPageObj_GetFillColor", number, pointer, colour, colour, colour, colour)
        self.line_box = taken("FPDFText_GetLooseCharBox", number, pointer, number, ctypes.POINTER(raw.FS_RECTF))
        self.font_size = taken("FPDFText_GetFontSize", ctypes.c_double, pointer, number)
        self.page_object = taken("FPDFPage_GetObject", pointer, pointer, number)
        self.kind = taken("FPDFPageObj_GetType", number, pointer)


@cache
def calls() -> Calls:
    """Theirs, once for all."""
    return Calls(import_module("pypdfium2.raw"))
