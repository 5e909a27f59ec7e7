"""Bytes to text without guessing wrong: Unicode if it is Unicode, a known alphabet if not, else a refusal.

The encodings of before Unicode are told apart by the letters that each language writes. charset-normalizer does that
well for East Asian encodings, but takes French for Baltic and Swedish for Slovak, and short Russian for Hebrew. So the
eight-bit encodings are decided here, and it is asked for the rest alone.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections import Counter

from rag.documents.formats import shown
from rag.errors import DamagedDocument

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
_CONTROL_BYTES = bytes(set(range(32)) - set(b"\t\n\v\f\r\a\b\x1b")) + b"\x7f"
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_UNSEEN = re.compile("[\u00ad\u180e\u200b\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufff9-\ufffb\U000e0000-\U000e007f]")
"""Not the joiners, nor the marks of direction, which some scripts are written with."""
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
_HIGH_WORD = re.compile(rb"[A-Za-z\x80-\xff]*[\x80-\xff][A-Za-z\x80-\xff]*")
_SAMPLE_WORDS = 5_000
_LEAST_SHARE = 0.9

_WEST = (
    "àâæçéèêëîïôœùûüÿ", "äöüßé", "áéíóúüñç", "áâãàçéêíóôõúü", "àèéìíîòóùú", "åäöéü", "æøåéö", "éëïöüóáè",
    "áðéíóúýþæö", "àçèéíïòóúü", "àáâãäåæçèéêëíîïñóôöøúûü",
)  # fmt: skip
_CENTRAL = ("ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "áéíóöőúüű", "čćđšž", "ăâîşţșț")
_LATIN: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("cp1252", _WEST), ("iso8859_15", _WEST), ("cp1250", _CENTRAL), ("iso8859_2", _CENTRAL),
    ("cp1254", ("çğıöşüâîû",)), ("cp1257", ("ąčęėįšųūž", "āčēģīķļņšūž", "äõöüšž")),
    ("mac_roman", _WEST), ("cp850", _WEST),
)  # fmt: skip
_SYMBOLS = frozenset("\u00a0“”‘’„‚«»‹›–—…•·€£¥¢§°©®™ªº¿¡´½¼¾±×²³µ†№")

_SCRIPTS = (
    ("\u0400", "\u04ff", "оеаинтсрвл", ("cp1251", "koi8_r", "koi8_u", "cp866", "iso8859_5")),
    ("\u0370", "\u03ff", "αοιετσνηρκ", ("cp1253", "iso8859_7")),
    ("\u0590", "\u05ff", "יוהלארמשבת", ("cp1255",)),
    ("\u0600", "\u06ff", "ايلمنوربتع", ("cp1256",)),
    ("\u0e00", "\u0e7f", "านรกอเงมยล", ("cp874",)),
)
"""First and last letter of a script, its ten commonest letters (about two thirds of a text), its encodings."""

_EAST_ASIAN = ("cp932", "euc_jp", "gb18030", "big5", "cp949")

_ENCODINGS = (
    *(name for name, _ in _LATIN), *(name for script in _SCRIPTS for name in script[3]), *_EAST_ASIAN,
)  # fmt: skip
_UNICODE = ("utf_8_sig", "utf_16", "utf_16_le", "utf_16_be", "utf_32", "utf_32_le", "utf_32_be")
CODECS = tuple(sorted({*_ENCODINGS, *_DECLARED.values(), *_UNICODE}))
"""Every codec this module may ask for, so that a process that may open no more files can import them first."""


def decode(data: bytes, source: str, declared: str = "") -> str:
    """The canonical text of a text file: byte order mark, UTF-16/32 by pattern, UTF-8, ``declared``, then by alphabet.

    Raises DamagedDocument when the bytes are no text, or no known encoding makes text of them.
    """
    return canonical(_decode(data, source, declared.strip().lower()))


def canonical(text: str) -> str:
    """Text with ``\\n`` for every line break and without controls, terminal colours, lone surrogates and NULs; nor what
    no reader sees, which can hide words or turn them round: zero-width spaces, tags, embedded directions."""
    text = _BREAKS.sub("\n", _TERMINAL.sub("", text)).removeprefix("\ufeff")
    text = _CONTROLS.sub("", text)
    return text if text.isascii() else _UNSEEN.sub("", text)


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
        text = _strict(data, _DECLARED[declared])
    if text is None:
        text = _legacy(data)
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
        text = _strict(data[: len(data) - len(data) % unit], encoding)
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


def _legacy(data: bytes) -> str | None:
    """The text of bytes that are not Unicode, or None if no encoding makes sense of them."""
    words = b" ".join(match[0] for _, match in zip(range(_SAMPLE_WORDS), _HIGH_WORD.finditer(data), strict=False))
    encoding = _by_alphabet(words) or _by_script(words) or _by_statistics(data)
    return _strict(data, encoding) if encoding else None


def _strict(data: bytes, encoding: str) -> str | None:
    """The decoded bytes, or None if one of them has no meaning in this encoding."""
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


def _by_alphabet(words: bytes) -> str:
    """The encoding under which at least nine in ten of the accented letters are those of one language, or ''."""
    high = sum(byte > 127 for byte in words)
    if high > 20 and 3 * (len(words) - high - words.count(b" ")) < high:
        return ""
    best, chosen = _LEAST_SHARE, ""
    for encoding, alphabets in _LATIN:
        text = _strict(words, encoding)
        if text is None:
            continue
        counts = Counter(character for character in text.lower() if not character.isascii())
        allowed = sum(count for character, count in counts.items() if character in _SYMBOLS) - _misplaced(text)
        for alphabet in alphabets:
            share = (allowed + sum(counts[letter] for letter in alphabet)) / max(1, sum(counts.values()))
            if share > best:
                best, chosen = share, encoding
    return chosen


def _by_script(words: bytes) -> str:
    """The encoding that gives words of one script, most of whose letters are its common ones, or ''."""
    best, chosen = 0.3, ""
    for first, last, common, encodings in _SCRIPTS:
        for encoding in encodings:
            text = _strict(words, encoding)
            if text is None:
                continue
            counts = Counter(character for character in text.lower() if not character.isascii())
            letters = sum(count for character, count in counts.items() if first <= character <= last)
            allowed = sum(count for character, count in counts.items() if character in _SYMBOLS)
            if letters + allowed - _misplaced(text) < 0.95 * sum(counts.values()):
                continue
            share = sum(counts[letter] for letter in common) / max(1, letters)
            if share > best:
                best, chosen = share, encoding
    return chosen


def _misplaced(text: str) -> int:
    """Twice the symbols inside words and the capitals after small letters, as only a wrong decoding puts them."""
    return 2 * sum(
        (b in _SYMBOLS and b not in "’·–—\u00a0" and a.isalpha() and c.isalpha())
        or (b in "‚„" and a.isalpha())
        or (a.islower() and b.isupper() and not (a.isascii() and b.isascii()))
        for a, b, c in zip(text, text[1:], text[2:] + " ", strict=False)
    )


def _by_statistics(data: bytes) -> str:
    from charset_normalizer import from_bytes

    whole_lines = data[: data.rfind(b"\n", 0, 100_000) + 1] or data
    best = from_bytes(whole_lines, cp_isolation=list(_EAST_ASIAN), enable_fallback=False).best()
    return best.encoding if best else ""
