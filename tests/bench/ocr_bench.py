"""Text recognition: of pages drawn from the samples at three qualities, how many words are right, how many of the wrong
ones pass as sure at a confidence, and the processor time of a page. Both engines on the same pictures."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from rag.documents import ocr
from tests.bench.tables import say

SEEDS = Path(__file__).parents[2] / "seeds"
QUALITIES = {"clean": (0.0, 0), "copied": (1.2, 15_000), "faint": (2.0, 30_000)}
STEPS = (0.0, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.97)
Known = tuple[str, float]


def page(lines: Sequence[str], blur: float, specks: int, seed: int, size: int = 26) -> ocr.Picture:
    """Lines of text as a picture, blurred, with so many specks."""
    image = Image.new("L", (1_240, 60 + int(1.6 * size) * len(lines)), 255)
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(size)
    for number, line in enumerate(lines):
        pen.text((50, 30 + int(1.6 * size) * number), line, 20, font=font)
    image = image.filter(ImageFilter.GaussianBlur(blur)) if blur else image
    levels = np.array(image)
    chance = random.Random(seed)
    for _ in range(specks):
        levels[chance.randrange(levels.shape[0]), chance.randrange(levels.shape[1])] = chance.randrange(256)
    return levels


def texts() -> list[list[str]]:
    """The samples in pages of lines of about 75 characters, figures among them."""
    chance = random.Random(3)
    pages = []
    for file in sorted(SEEDS.glob("*.md")):
        words = [word for word in file.read_text("utf-8").split() if word.isascii() and word.strip("#`*_|-")]
        for index in range(4, len(words), 9):
            words.insert(index, f"{chance.randrange(1, 9_999):,}.{chance.randrange(10, 99)}")
        lines, line = [], ""
        for word in words:
            if len(line) + len(word) > 74:
                lines.append(line.strip())
                line = ""
            line += f" {word}"
        pages.append(lines[:24])
    return pages


def main() -> None:
    """Print the tables."""
    for name in ocr.ENGINES:
        if not ocr.engine(name):
            say(f"{name}: not installed")
            continue
        read = ocr.load(name, "")
        for quality, (blur, specks) in QUALITIES.items():
            found: list[tuple[float, bool]] = []
            words = seconds = letters = 0.0
            for number, lines in enumerate(texts()):
                picture = page(lines, blur, specks, number)
                started = time.process_time()
                known = _words(read, picture)
                seconds += time.process_time() - started
                wanted = " ".join(lines).split()
                words += len(wanted)
                found += _compared(known, wanted)
                told = "".join(word for word, _ in known)
                letters += SequenceMatcher(None, told, "".join(wanted), autojunk=False).ratio() / len(texts())
            right = sum(ok for _, ok in found)
            kept = "  ".join(f"{s}: {_at(found, s, ok=True):.3f} {_at(found, s, ok=False):.3f}" for s in STEPS)
            say(
                f"{name:10} {quality:7} {seconds / len(texts()):.2f} CPU-s a page; right {right / words:.3f} of the"
                f" words, {letters:.3f} of the characters, spaces aside; sure from (right kept, wrong passing): {kept}"
            )


def _words(read: ocr.Read, picture: ocr.Picture) -> list[Known]:
    """The words of a picture with their confidence, as the engine gives them before it is told what is sure."""
    caught: list[Known] = []
    kept = ocr.line_of

    def catch(words: Sequence[Known], box: tuple[int, int, int, int], sure: float, text: str = "") -> ocr.Line | None:
        caught.extend(words)
        return kept(words, box, sure, text)

    ocr.line_of = catch
    try:
        read(picture)
    finally:
        ocr.line_of = kept
    return caught


def _compared(known: Sequence[Known], wanted: Sequence[str]) -> list[tuple[float, bool]]:
    matcher = SequenceMatcher(None, [word for word, _ in known], wanted, autojunk=False)
    right = {index for block in matcher.get_matching_blocks() for index in range(block.a, block.a + block.size)}
    return [(confidence, index in right) for index, (_, confidence) in enumerate(known)]


def _at(found: Sequence[tuple[float, bool]], step: float, *, ok: bool) -> float:
    """Of the right (wrong) words, the share that is sure at ``step``."""
    these = [confidence >= step for confidence, right in found if right is ok]
    return sum(these) / max(1, len(these))
