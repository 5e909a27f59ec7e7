"""Libraries that are not this program's: found where each system keeps them, and kept from what nobody asked for."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_STUBS = "gradio.component_meta"


def silence_onnxruntime() -> None:
    """Keep onnxruntime from telling its makers of each session, as 1.32 does, past Python's sockets. To be
    called before its first import in a process."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"


class _WithoutStubs(MetaPathFinder):
    """Finds Gradio's maker of type stubs once, and has it make none."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != _STUBS:
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def run_without(module: ModuleType) -> None:
                run(module)
                module.__dict__["create_or_modify_pyi"] = lambda *_: None

            spec.loader.exec_module = run_without  # type: ignore[method-assign]
        return spec


def keep_gradio_from_writing_stubs() -> None:
    """Keep Gradio from parsing its own sources at each import, to write type stubs for editors beside them: a third of
    its import. To be called before its first import in a process; later it changes nothing."""
    if _STUBS not in sys.modules:
        sys.meta_path.insert(0, _WithoutStubs())


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
