"""Words that were broken at line ends, made whole again."""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.resources import files
from itertools import pairwise

MARK = re.compile("[\x02\ufffe]")
"""What PDFium puts where a line ended in a hyphen; it joins the two lines there."""
_LINE_END_HYPHEN = re.compile(r"(?<!\w)(\w++)[\x02\ufffe](\w+)")
_WORDS = re.compile(r"[\w\x02\ufffe-]+")


def mend_hyphens(texts: list[str]) -> list[str]:
    """Replace PDFium's mark for a hyphen at a line's end (it joins the two lines there).

    A word that the document or the language has whole becomes whole again, and so does one that is no two words; where
    both halves are words, or the document writes it so elsewhere, the hyphen belongs to it ("stock-based"). The
    document's words are counted without those at the marks, which are what is to be found out.
    """
    if not any(map(MARK.search, texts)):
        return texts
    words: set[str] = set()
    for text in texts:
        words.update(_WORDS.findall(text.lower()))
    own = {part for word in words for part in (word.split("-") if "-" in word else (word,))}
    compounds = {"-".join(pair) for word in words if "-" in word for pair in pairwise(word.split("-"))}
    english = vocabulary()

    def known(word: str) -> bool:
        return word in own or word in english

    def mend(match: re.Match[str]) -> str:
        left, right = match.groups()
        joined, compound = f"{left}{right}".lower(), f"{left}-{right}".lower()
        if compound in compounds and joined not in own:
            return f"{left}-{right}"
        if known(joined) or not (known(left.lower()) and known(right.lower())):
            return left + right if right[0].islower() or left.isupper() else f"{left}-{right}"
        return f"{left}-{right}"

    return [MARK.sub("-", _LINE_END_HYPHEN.sub(mend, text)) if MARK.search(text) else text for text in texts]


@cache
def vocabulary() -> frozenset[str]:
    """The words of English that the encoder's vocabulary has whole, in small letters."""
    words = json.loads(files("rag").joinpath("data/encoder/tokenizer.json").read_text("utf-8"))["model"]["vocab"]
    return frozenset(word for word in words if len(word) > 2 and word.isalpha())
