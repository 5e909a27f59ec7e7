"""Tell the encodings of before Unicode apart by the letters that each language writes.

charset-normalizer does that well for East Asian encodings, but takes French for Baltic and Swedish for Slovak, and
short Russian for Hebrew. So the eight-bit encodings are decided here, and it is asked for the rest alone.
"""

from __future__ import annotations

import re
from collections import Counter

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

ENCODINGS = (
    *(name for name, _ in _LATIN), *(name for script in _SCRIPTS for name in script[3]), *_EAST_ASIAN,
)  # fmt: skip


def read_legacy(data: bytes) -> str | None:
    """The text of bytes that are not Unicode, or None if no encoding makes sense of them."""
    words = b" ".join(match[0] for _, match in zip(range(_SAMPLE_WORDS), _HIGH_WORD.finditer(data), strict=False))
    encoding = _by_alphabet(words) or _by_script(words) or _by_statistics(data)
    return strict(data, encoding) if encoding else None


def strict(data: bytes, encoding: str) -> str | None:
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
        text = strict(words, encoding)
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
            text = strict(words, encoding)
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
