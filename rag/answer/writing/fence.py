"""Document text on its way into a prompt: hidden characters and control tokens gone, inside an unguessable fence."""

from __future__ import annotations

import re
import secrets
import unicodedata

from rag.text import remove_invisible

_KEPT_CONTROLS = "\n\t"
# What shows nothing: variation selectors, joiners, fillers and marks that Unicode calls ignorable.
_IGNORABLE = re.compile(
    "[\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_BARS = "|\uff5c\u2502\u00a6"
_ANGLE_OPEN = "<\uff1c"
_ANGLE_CLOSE = ">\uff1e"
_BAR_TOKEN = re.compile(f"[{_ANGLE_OPEN}](?=[{_BARS}])|[{_BARS}](?=[{_ANGLE_CLOSE}])")
_ANGLE_TOKEN = re.compile(
    f"[{_ANGLE_OPEN}](?=/?(?:s|bos|eos|pad|unk|mask|sep|cls|sop|eop|eo[tmd]|image|img|audio|video|think(?:ing)?"
    "|tools?|system|user|assistant|human|bot|model|channel|message|turn|unused\\d+"
    f"|(?=[^{_ANGLE_CLOSE}]{{0,60}}[_:▁=])[\\w▁:=.-]{{1,60}})[{_ANGLE_CLOSE}])",
    re.IGNORECASE,
)
_SQUARE_TOKEN = re.compile(
    r"\[(?=/?(?:INST|SYS|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS?|TOOL_RESULTS?|TOOL_CONTENT|ARGS|IMG|IMG_BREAK"
    r"|IMG_END|PREFIX|MIDDLE|SUFFIX|CLS|SEP|MASK|PAD|UNK|BOS|EOS|gMASK|sMASK|THINK)\])"
    r"|\[(?=\||e~\[)|\|(?=\])|\](?=<\]|~!?b[\[\]])",
    re.IGNORECASE,
)
_FENCE_RUN = re.compile(f"[{_ANGLE_OPEN}{_ANGLE_CLOSE}]{{2,}}")
# All but printable ASCII, Latin letters, dashes and quotes, which are visible for sure: looking at each is slow.
_UNUSUAL = re.compile("[^\t\n -~\u00a0-\u0377\u2010-\u2027]")
_UNWANTED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x84\x86-\x9f\u202a-\u202e\u2060-\u206f\ud800-\udfff\ufdd0-\ufdef\ufeff"
    "\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e007f]"
)
_LABEL_LENGTH = 200


def clean_reply(text: str) -> str:
    """What a person or a model wrote, without characters that no text should hold: controls other than line breaks and
    tabs, lone surrogates, those that reverse the direction of what follows, and invisible tags."""
    return _UNWANTED.sub("", text)


def clean_for_prompt(text: str) -> str:
    """``text`` as data for a prompt: it reads the same, but holds no chat-template token, no fence and nothing hidden.

    Control tokens are broken by a space (``<|im_end|>`` becomes ``< |im_end| >``) instead of removed, because
    removing one can join its neighbours into another.
    """
    shown = _IGNORABLE.sub("", remove_invisible(text))
    shown = _UNUSUAL.sub(lambda character: _visible(character[0]), shown)
    shown = _FENCE_RUN.sub(lambda run: " ".join(run[0]), shown)
    for token in (_BAR_TOKEN, _ANGLE_TOKEN, _SQUARE_TOKEN):
        shown = token.sub(lambda opening: opening[0] + " ", shown)
    return shown


def _visible(character: str) -> str:
    """The character, or for a control, private, unassigned or surrogate one a space or nothing."""
    if character in _KEPT_CONTROLS or unicodedata.category(character) not in ("Cc", "Cs", "Co", "Cn"):
        return character
    return " " if character.isspace() else ""


def new_nonce() -> str:
    """128 random bits in hexadecimal; a document cannot know it."""
    return secrets.token_hex(16)


def fence(nonce: str, number: int, label: str, text: str) -> str:
    """One numbered source for the prompt, its text and label cleaned, between two lines that hold the nonce.

    Raises ValueError if the nonce occurs in the text or label: then it was not drawn for this prompt.
    """
    body, name = clean_for_prompt(text), clean_label(label)
    if nonce in body or nonce in name:
        raise ValueError("The fence's nonce occurs in the text it should fence; draw a new one for each prompt.")
    return f"<<<{nonce} SOURCE {number}: {name}>>>\n{body}\n<<<{nonce} END {number}>>>"


def clean_label(label: str) -> str:
    """A file name and place on one line of at most 200 characters, harmless in a prompt."""
    line = " ".join(clean_for_prompt(label).split())
    line = line.replace("<", "(").replace(">", ")")
    return line if len(line) <= _LABEL_LENGTH else line[: _LABEL_LENGTH - 1] + "…"
