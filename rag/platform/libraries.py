"""Libraries that are not this program's: found where each system keeps them, and kept from calling home."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any


def silence_onnxruntime() -> None:
    """Keep onnxruntime from telling its makers of each session, as 1.32 does, past Python's sockets. To be
    called before its first import in a process."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"


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
