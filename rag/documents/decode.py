"""Bytes to text without guessing wrong: Unicode if it is Unicode, a known alphabet if not, else a refusal."""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections import Counter

from rag.documents.formats import shown
from rag.documents.legacy import ENCODINGS, read_legacy, strict
from rag.errors import DamagedDocument

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
_CONTROL_BYTES = bytes(set(range(32)) - set(b"\t\n\v\f\r\a\b\x1b")) + b"\x7f"
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_BREAKS = re.compile("\r\n?|[\v\f\x85]")
_TERMINAL = re.compile(r"\x1b(?:\[[0-9;:?]*[ -/]*[@-~]|\][^\x07\x1b\n]{0,999}(?:\x07|\x1b\\))")
_DECLARED = {
    **dict.fromkeys(("iso-8859-1", "latin1", "latin-1", "iso8859-1", "windows-1252", "cp1252", "us-ascii"), "cp1252"),
    **{f"windows-125{digit}": f"cp125{digit}" for digit in "01345678"},
    **{f"iso-8859-{digit}": f"iso8859_{digit}" for digit in (2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 15, 16)},
    **dict.fromkeys(("shift_jis", "shift-jis", "x-sjis", "sjis", "windows-31j"), "cp932"),
    **dict.fromkeys(("gb2312", "gbk", "gb18030"), "gb18030"), **dict.fromkeys(("euc-kr", "ks_c_5601-1987"), "cp949"),
    "euc-jp": "euc_jp", "big5": "big5", "koi8-r": "koi8_r", "koi8-u": "koi8_u", "macintosh": "mac_roman",
    "ibm866": "cp866", "windows-874": "cp874", "tis-620": "cp874",
}  # fmt: skip
_UNICODE = ("utf_8_sig", "utf_16", "utf_16_le", "utf_16_be", "utf_32", "utf_32_le", "utf_32_be")
CODECS = tuple(sorted({*ENCODINGS, *_DECLARED.values(), *_UNICODE}))
"""Every codec this module may ask for, so that a process that may open no more files can import them first."""


def decode(data: bytes, source: str, declared: str = "") -> str:
    """The canonical text of a text file: byte order mark, UTF-16/32 by pattern, UTF-8, ``declared``, then by alphabet.

    Raises DamagedDocument when the bytes are no text, or no known encoding makes text of them.
    """
    return canonical(_decode(data, source, declared.strip().lower()))


def canonical(text: str) -> str:
    """Text with ``\\n`` for every line break and without controls, terminal colours, lone surrogates and NULs."""
    text = _BREAKS.sub("\n", _TERMINAL.sub("", text)).removeprefix("\ufeff")
    return _CONTROLS.sub("", text)


def _decode(data: bytes, source: str, declared: str) -> str:
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return _with_mark(data, encoding, source)
    if data.startswith(b"%PDF-"):
        raise _binary(source)
    if b"\0" in data:
        wide = _without_mark(data)
        if wide is None:
            raise _binary(source)
        return wide
    if len(data) - len(data.translate(None, _CONTROL_BYTES)) > len(data) / 100:
        raise _binary(source)
    text = _utf8(data)
    if text is None and declared in _DECLARED:
        text = strict(data, _DECLARED[declared])
    if text is None:
        text = read_legacy(data)
    if text is None:
        raise DamagedDocument(
            f"{shown(source)} is not UTF-8, and no other encoding makes text of it.",
            hint="Save it as UTF-8 and add it again.",
        )
    return text


def _binary(source: str) -> DamagedDocument:
    return DamagedDocument(
        f"{shown(source)} is binary, not text.",
        hint="Give the file the suffix of what it is, or leave it out.",
    )


def _with_mark(data: bytes, encoding: str, source: str) -> str:
    unit = {"utf-16": 2, "utf-32": 4}.get(encoding, 1)
    text = data[: len(data) - len(data) % unit].decode(encoding, "replace")
    if text.count("\0") + text.count("\ufffd") > len(text) / 100:
        raise _binary(source)
    return text


def _without_mark(data: bytes) -> str | None:
    """UTF-32 or UTF-16 text without a byte order mark: the reading with the most ASCII that is plausible at all."""
    best: tuple[float, str] | None = None
    for encoding, unit in (("utf-32-le", 4), ("utf-32-be", 4), ("utf-16-le", 2), ("utf-16-be", 2)):
        if unit == 2 and data.isascii() and data[::2].count(0) and data[1::2].count(0):
            break  # ASCII parted by NULs; that of wide text is all on one side
        text = strict(data[: len(data) - len(data) % unit], encoding)
        if text and "\0" not in text:
            ascii_share, plausible = _plausibility(Counter(text[:20_000]))
            if plausible and (best is None or ascii_share > best[0]):
                best = ascii_share, text
    return best[1] if best else None


def _plausibility(characters: Counter[str]) -> tuple[float, bool]:
    """The share of ASCII, and whether nearly all is assigned and at least four in five are ASCII or of one script."""
    size = sum(characters.values())
    odd = sum(n for c, n in characters.items() if unicodedata.category(c) in ("Cn", "Co", "Cc") and c not in "\t\n\r\f")
    ascii_count = sum(n for c, n in characters.items() if c.isascii())
    blocks: Counter[int] = Counter()
    for character, count in characters.items():
        if not character.isascii():
            blocks[_script_block(character)] += count
    main = max(blocks.values(), default=0)
    return ascii_count / size, size >= 2 and ascii_count > 0 and odd <= size / 100 and ascii_count + main >= 0.8 * size


def _script_block(character: str) -> int:
    """The same number for all of Chinese and Japanese, for all of Korean, and for each 256 characters elsewhere."""
    if "\u3000" <= character <= "\u9fff":
        return -1
    return -2 if "\uac00" <= character <= "\ud7af" else ord(character) >> 8


def _utf8(data: bytes) -> str | None:
    """UTF-8, also when cut inside its last character or when a few stray bytes (shown as U+FFFD) are mixed in."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data" and error.start > 0 and not data[: error.start].isascii():
            return data[: error.start].decode("utf-8")
    text = data.decode("utf-8", "replace")
    strays = text.count("\ufffd")
    characters = sum(count for character, count in Counter(text).items() if not character.isascii()) - strays
    return text if strays * 10 <= characters else None
