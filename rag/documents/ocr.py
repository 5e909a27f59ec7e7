"""Text recognition: the lines of a picture with their boxes and the words that were read with doubt.

Two engines can do it, RapidOCR (the extra ``ocr``) and an installed Tesseract. Either is loaded by a fork server and
run in its confined children only: Tesseract as a library, so that no program has to be started behind the walls.
"""

from __future__ import annotations

import ctypes
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from rag.documents.decode import canonical
from rag.platform.libraries import load_tesseract, silence_onnxruntime
from rag.text import remove_invisible
from rag.types import Place

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Picture = npt.NDArray[np.uint8]
    """Grey levels, a row a line of pixels."""

Read = Callable[["Picture"], "list[Line]"]
"""An engine: the lines of a picture, in reading order."""

ENGINES = ("rapidocr", "tesseract")
VERSION = 1
"""Changes when the same picture would give other lines."""
REMEDY = (
    "Install `pip install 'rag-cited[ocr]'`, or Tesseract with your languages (on Debian `apt install tesseract-ocr"
    " tesseract-ocr-deu`), and add it again."
)

_SURE = {"rapidocr": 0.9, "tesseract": 0.9}
"""Confidence from which on a word certifies; measured by ``python -m tests.bench ocr``."""
_LEAST = 0.3
"""A line without any word above this is dirt."""
_FARTHER = 1.5
"""A paragraph's first line is so much farther from the line before than most lines are."""
_MOST_LANGUAGES = 4
MAX_LINES, MAX_LINE = 20_000, 10_000
"""Of a page, and characters of a line."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line's text, its box in pixels, and the stretches of it that were read with doubt."""

    text: str
    left: int
    top: int
    width: int
    height: int
    doubts: tuple[tuple[int, int], ...] = ()

    def scaled(self, factor: float) -> Line:
        """The line with its box in other units."""
        left, top, width, height = (round(side * factor) for side in (self.left, self.top, self.width, self.height))
        return replace(self, left=left, top=top, width=max(1, width), height=max(1, height))


def engine(wanted: str) -> str:
    """The engine that would be used: ``wanted`` one of ENGINES, ``auto`` or ``off``; "" where there is none."""
    there = {"rapidocr": find_spec("rapidocr") is not None, "tesseract": shutil.which("tesseract") is not None}
    return next((name for name in ENGINES if wanted in ("auto", name) and there[name]), "")


def load(name: str, languages: str) -> Read:
    """The engine, ready to be forked; ``languages`` are Tesseract's (``eng+deu``), "" for those that are installed.

    Raises OSError where it cannot be loaded, ImportError where it is not installed.
    """
    return _rapidocr() if name == "rapidocr" else _Tesseract(languages).read


def lay_out(lines: Sequence[Line], number: int) -> tuple[str, list[Place]]:
    """The text of page ``number`` and the places in it: each line's box, and what was read with doubt.

    A blank line stands where a paragraph ends, by the distance to the next line.
    """
    parts: list[str] = []
    places: list[Place] = []
    length = 0
    steps = sorted(step for one, other in pairwise(lines) if (step := other.top - one.top) > one.height / 2)
    usual = steps[(len(steps) - 1) // 2] if steps else 0
    before: Line | None = None
    for line in lines:
        if before is not None:
            parts.append("\n\n" if _parted(before, line, usual) else "\n")
            length += len(parts[-1])
        box = f"{line.left},{line.top},{line.width},{line.height}"
        places.append(Place(number, length, length + len(line.text), "box", box))
        places += [Place(number, length + start, length + end, "unsure") for start, end in line.doubts]
        parts.append(line.text)
        length += len(line.text)
        before = line
    return "".join(parts), places


def _parted(one: Line, other: Line, usual: int) -> bool:
    """Whether two lines are of different paragraphs: farther apart than most, one beside the other, or a step back."""
    step = other.top - one.top
    beside = other.left > one.left + one.width or other.left + other.width < one.left
    return step > _FARTHER * usual or step < -one.height or beside


def line_of(
    words: Sequence[tuple[str, float]], box: tuple[int, int, int, int], sure: float, text: str = ""
) -> Line | None:
    """A line of these words and their confidences; ``text`` as the engine spaced them, else with a space between."""
    clean = [(" ".join(canonical(remove_invisible(word)).split()), confidence) for word, confidence in words]
    clean = [(word, confidence) for word, confidence in clean if word]
    whole = " ".join(canonical(remove_invisible(text)).split()) or " ".join(word for word, _ in clean)
    whole = "".join(filter(str.isprintable, whole))[:MAX_LINE].strip()
    if not clean or max(confidence for _, confidence in clean) < _LEAST or not any(map(str.isalnum, whole)):
        return None
    doubts: list[tuple[int, int]] = []
    at = 0
    for word, confidence in clean:
        start = whole.find(word, at)
        if start < 0:  # the engine's words are not those of its line: nothing of it is sure
            return Line(whole, *box, ((0, len(whole)),))
        at = start + len(word)
        if confidence < sure:
            joined = doubts and not whole[doubts[-1][1] : start].strip()
            doubts.append((doubts.pop()[0] if joined else start, at))
    return Line(whole, *box, tuple(doubts))


def _rapidocr() -> Read:
    """RapidOCR with the models that its wheel ships, on one thread."""
    silence_onnxruntime()
    import cv2
    import numpy as np
    from rapidocr import RapidOCR

    cv2.setNumThreads(0)
    one = {f"EngineConfig.onnxruntime.{kind}_op_num_threads": 1 for kind in ("intra", "inter")}
    reader: Any = RapidOCR(params={"Global.log_level": "critical", "Global.use_cls": False, **one})

    def read(picture: Picture) -> list[Line]:
        found = reader(np.repeat(picture[:, :, None], 3, axis=2), return_word_box=True)
        lines = []
        for text, score, box, words in zip(
            found.txts or (), found.scores or (), _each(found.boxes), found.word_results or (), strict=False
        ):
            known = [(word, min(confidence, score)) for word, confidence, _ in words or ()] or [(text, score)]
            line = line_of(known, _box(box), _SURE["rapidocr"], text)
            lines += [line] if line is not None else []
        return lines[:MAX_LINES]

    return read


def _each(boxes: Any) -> Any:
    return () if boxes is None else boxes


def _box(corners: Any) -> tuple[int, int, int, int]:
    """Left, top, width and height of a quadrangle."""
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    return max(0, int(left)), max(0, int(top)), max(1, int(right - left)), max(1, int(bottom - top))


class _Tesseract:
    """libtesseract through its C interface, which has been the same since version 3.02."""

    def __init__(self, languages: str) -> None:
        self._lib = _tesseract()
        self._api = ctypes.c_void_p(self._lib.TessBaseAPICreate())
        self._start(languages or "eng")
        if not languages:
            installed = self._installed()
            self._start("+".join(sorted(installed, key=lambda name: name != "eng")[:_MOST_LANGUAGES]) or "eng")
        self._lib.TessBaseAPISetVariable(self._api, b"debug_file", b"/dev/null")

    def _start(self, languages: str) -> None:
        if self._lib.TessBaseAPIInit3(self._api, None, languages.encode()) != 0:
            raise OSError(f"Tesseract does not have the language data for {languages!r}")

    def _installed(self) -> Iterator[str]:
        names = self._lib.TessBaseAPIGetAvailableLanguagesAsVector(self._api)
        index = 0
        while names and names[index]:
            name = names[index].decode("utf-8", "replace")
            index += 1
            if name not in ("osd", "equ") and "/" not in name:
                yield name

    def read(self, picture: Picture) -> list[Line]:
        """The lines of a picture."""
        height, width = picture.shape
        self._lib.TessBaseAPISetImage(self._api, picture.tobytes(), width, height, 1, width)
        self._lib.TessBaseAPISetSourceResolution(self._api, 300)
        if self._lib.TessBaseAPIRecognize(self._api, None) != 0:
            return []
        table = self._lib.TessBaseAPIGetTsvText(self._api, 0)
        if not table:
            return []
        lines = list(_from_tsv(ctypes.string_at(table).decode("utf-8", "replace")))
        self._lib.TessDeleteText(ctypes.c_void_p(table))
        return lines[:MAX_LINES]


def _from_tsv(table: str) -> Iterator[Line]:
    """The lines of Tesseract's table: a row of level 4 is a line, those of level 5 after it are its words."""
    box: tuple[int, int, int, int] | None = None
    words: list[tuple[str, float]] = []

    def line() -> Iterator[Line]:
        found = line_of(words, box, _SURE["tesseract"]) if box is not None else None
        if found is not None:
            yield found

    for row in table.split("\n"):
        cells = row.split("\t")
        if len(cells) >= 11 and cells[0] == "4":
            yield from line()
            left, top, width, height = map(int, cells[6:10])
            box, words = (max(0, left), max(0, top), max(1, width), max(1, height)), []
        elif len(cells) >= 12 and cells[0] == "5":
            words.append((cells[11], max(0.0, float(cells[10])) / 100))
    yield from line()


def _tesseract() -> Any:
    """The library with its functions' types. Raises OSError where it is not found."""
    lib = load_tesseract()
    handle, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    for function, result, arguments in (
        ("Create", handle, ()),
        ("Init3", number, (handle, text, text)),
        ("GetAvailableLanguagesAsVector", ctypes.POINTER(text), (handle,)),
        ("SetVariable", number, (handle, text, text)),
        ("SetImage", None, (handle, text, number, number, number, number)),
        ("SetSourceResolution", None, (handle, number)),
        ("Recognize", number, (handle, handle)),
        ("GetTsvText", handle, (handle, number)),
    ):
        call = getattr(lib, f"TessBaseAPI{function}")
        call.restype, call.argtypes = result, arguments
    lib.TessDeleteText.restype, lib.TessDeleteText.argtypes = None, (handle,)
    return lib
