"""Shared libraries that other programs brought along: found where each system keeps them."""

from __future__ import annotations

import ctypes
import sys
from typing import Any


def load_tesseract() -> Any:
    """libtesseract, whose functions take and give plain numbers and pointers. Raises OSError where there is none."""
    if sys.platform == "darwin":
        file = "libtesseract.5.dylib"
        names = (file, f"/opt/homebrew/lib/{file}", f"/usr/local/lib/{file}")
    elif sys.platform == "win32":
        names = ("libtesseract-5.dll", r"C:\Program Files\Tesseract-OCR\libtesseract-5.dll")
    else:
        names = ("libtesseract.so.5", "libtesseract.so.4", "libtesseract.so")
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise OSError(f"The library of Tesseract was not found ({', '.join(names)})")
