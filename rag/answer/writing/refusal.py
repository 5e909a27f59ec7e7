"""A model's refusal: the agreed words, or a short reply in its own words that the sources do not have it."""

from __future__ import annotations

from rag.answer.markers import WRITTEN
from rag.language.tables import pattern, patterns
from rag.text import compiled

REFUSAL = "NOT IN THE DOCUMENTS"
_REFUSED = rf"\s*\W?{REFUSAL}\W?(?=\s|$)"
_NOISE = r"[\s*_`\"'.>#-]+"
# Characters: a refusal in a model's own words is short, and what follows in a longer reply answers. In other languages
# it is told by single words, so by fewer characters.
_LONGEST, _LONGEST_ELSEWHERE = 400, 250
# After the agreed words, for a marker or a full stop with what is around it.
_ROOM = 20
_SENTENCE = r"[^.!?。！？؟\n]*[.!?。！？؟]*"


def may_be_refusal(text: str) -> bool:
    """Whether what has come so far could still become the agreed refusal."""
    squeezed = _squeeze(text)
    wanted = _squeeze(REFUSAL)
    return wanted.startswith(squeezed) or (squeezed.startswith(wanted) and len(squeezed) <= len(wanted) + _ROOM)


def is_refusal(text: str) -> bool:
    """Whether the whole reply is the agreed refusal."""
    return _squeeze(text).startswith(_squeeze(REFUSAL))


def without_refusal(text: str) -> str:
    """The text without the agreed words, which a model may put beside an answer."""
    return compiled(_REFUSED).sub("", text)


def declines(text: str) -> bool:
    """Whether a reply says that the sources do not have it: by the agreed words somewhere in it, or in words of its
    own at its beginning, as small models do.

    A reply with markers declines only if it is a single sentence that does not turn.
    """
    plain = WRITTEN.sub("", text).strip()
    if WRITTEN.search(text):
        first = compiled(_SENTENCE).match(plain)
        single = first is not None and first.end() == len(plain)
        named = _declines_elsewhere(plain) or bool(pattern("declines").match(plain) and pattern("holder").search(plain))
        return single and not pattern("turns").search(plain) and named
    english = len(text) <= _LONGEST and bool(pattern("declines").match(plain))
    return english or bool(compiled(_REFUSED).search(text)) or _declines_elsewhere(plain)


def _declines_elsewhere(text: str) -> bool:
    """Whether a short text declines in another language than English."""
    if len(text) > _LONGEST_ELSEWHERE or pattern("turns").search(text) or pattern("reports").search(text):
        return False
    first = compiled(_SENTENCE).match(text)
    said = first[0] if first else ""
    languages = zip(*(patterns(kind) for kind in ("reply holder", "reply negation", "reply failing")), strict=True)
    return any(all(part.search(said) for part in language) for language in languages)


def _squeeze(text: str) -> str:
    return compiled(_NOISE).sub("", text).upper()
