"""Document text on its way into a prompt and a model's words on their way out: no control token, no fence passes."""

from __future__ import annotations

import hashlib
import hmac
import unicodedata
from collections.abc import Sequence
from itertools import count

from rag.text import compiled, remove_invisible

_KEPT_CONTROLS = "\n\t"
# What shows nothing: variation selectors, joiners, fillers and marks that Unicode calls ignorable.
_IGNORABLE = (
    "[\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_BARS = "|\uff5c\u2502\u00a6"
_ANGLE_OPEN = "<\uff1c"
_ANGLE_CLOSE = ">\uff1e"
_BAR_TOKEN = f"[{_ANGLE_OPEN}](?=[{_BARS}])|[{_BARS}](?=[{_ANGLE_CLOSE}])"
_ANGLE_TOKEN = (
    f"(?i)[{_ANGLE_OPEN}](?=/?(?:s|bos|eos|pad|unk|mask|sep|cls|sop|eop|eo[tmd]|image|img|audio|video|think(?:ing)?"
    "|tools?|system|user|assistant|human|bot|model|channel|message|turn|unused\\d+"
    f"|(?=[^{_ANGLE_CLOSE}]{{0,60}}[_:▁=])[\\w▁:=.-]{{1,60}})[{_ANGLE_CLOSE}])"
)
_SQUARE_TOKEN = (
    r"(?i)\[(?=/?(?:INST|SYS|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS?|TOOL_RESULTS?|TOOL_CONTENT|ARGS|IMG|IMG_BREAK"
    r"|IMG_END|PREFIX|MIDDLE|SUFFIX|CLS|SEP|MASK|PAD|UNK|BOS|EOS|gMASK|sMASK|THINK)\])"
    r"|\[(?=\||e~\[)|\|(?=\])|\](?=<\]|~!?b[\[\]])"
)
_FENCE_RUN = f"[{_ANGLE_OPEN}{_ANGLE_CLOSE}]{{2,}}"
# All but printable ASCII, Latin letters, dashes and quotes, which are visible for sure: looking at each is slow.
_UNUSUAL = "[^\t\n -~\u00a0-\u0377\u2010-\u2027]"
_UNWANTED = (
    "[\x00-\x08\x0b-\x1f\x7f-\x84\x86-\x9f\u202a-\u202e\u2060-\u206f\ud800-\udfff\ufdd0-\ufdef\ufeff"
    "\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e007f]"
)
# Whole tokens only: halves of them are operators in many a programming language.
_CONTROL_WORDS = (
    r"[<\uff1c][|\uff5c][\w\u2581 ]{2,40}[|\uff5c][>\uff1e]|<</?SYS>>|<(?:start|end)_of_turn>|<<<\w* ?(?:SOURCE|END)\b"
    r"|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS)\]"
)
# Tags and overrides in any number; of the zero-width ones many, since a few stand between words of some scripts.
_DECEIVING = "[\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]|(?:[\u200b\u2060\ufeff][^\u200b\u2060\ufeff]{0,3}){4}"
# Characters. A label stays a line; nobody guesses a nonce of 32 bits at once; a fence is label, words and nonce.
_LABEL_LENGTH, _NONCE_LENGTH, _LONGEST_FENCE = 200, 8, 300
_BRACKETED = r"[\[【［〔](?=\s*\^?\d{1,3}\s*[\]】］〕])|(?<=\d)[\]】］〕]"
_ANGLES = r"<+"
_FENCE_END = r">+|[\n<]"
_FENCE_WORDS = r"\b(?:SOURCE|END|CONVERSATION|PASSAGE)\b"


def tampering(text: str) -> tuple[str, ...]:
    """What a text holds that no reader needs, and that is there to steer models or to deceive: for a mark on a card."""
    found = []
    if compiled(_CONTROL_WORDS).search(text):
        found.append("control words of language models")
    if compiled(_DECEIVING).search(text):
        found.append("characters that hide or reorder text")
    return tuple(found)


def warnings(place: str, text: str) -> list[str]:
    """What a reader should know before trusting a passage: its document hides it, or it is made to steer or deceive."""
    hidden = ["text that its document does not show"] if "hidden text" in place else []
    return [*hidden, *tampering(text)]


def clean_reply(text: str) -> str:
    """What a person or a model wrote, without characters that no text should hold: controls other than line breaks and
    tabs, lone surrogates, those that reverse the direction of what follows, and invisible tags."""
    return compiled(_UNWANTED).sub("", text)


def clean_for_prompt(text: str) -> str:
    """``text`` as data for a prompt: it reads the same, but holds no chat-template token, no fence and nothing hidden.

    Control tokens are broken by a space (``<|im_end|>`` becomes ``< |im_end| >``) instead of removed, because
    removing one can join its neighbours into another.
    """
    shown = compiled(_IGNORABLE).sub("", remove_invisible(text))
    shown = compiled(_UNUSUAL).sub(lambda character: _visible(character[0]), shown)
    shown = compiled(_FENCE_RUN).sub(lambda run: " ".join(run[0]), shown)
    for token in (_BAR_TOKEN, _ANGLE_TOKEN, _SQUARE_TOKEN):
        shown = compiled(token).sub(lambda opening: opening[0] + " ", shown)
    return shown


def _visible(character: str) -> str:
    """The character, or for a control, private, unassigned or surrogate one a space or nothing."""
    if character in _KEPT_CONTROLS or unicodedata.category(character) not in ("Cc", "Cs", "Co", "Cn"):
        return character
    return " " if character.isspace() else ""


def nonce_for(secret: bytes, parts: Sequence[str]) -> str:
    """Eight hexadecimal digits that a document cannot know and that stay the same for the same ``parts``.

    The same question over the same sources gives the same prompt, hence at temperature 0 the same answer. What makes
    it unguessable is the HMAC's key, a secret of the library (RFC 2104); it occurs in none of the parts.
    """
    code = hmac.new(secret, digestmod=hashlib.sha256)
    for part in parts:
        data = part.encode("utf-8", "replace")
        code.update(len(data).to_bytes(8, "big") + data)
    for attempt in count():
        again = code.copy()
        again.update(bytes([attempt]))
        nonce = again.hexdigest()[:_NONCE_LENGTH]
        if not any(nonce in part for part in parts):
            return nonce
    raise AssertionError("counting does not end")


def fence(nonce: str, number: int, label: str, text: str) -> str:
    """One numbered source for the prompt, its text and label cleaned, between two lines that hold the nonce.

    Raises ValueError if the nonce occurs in the text or label: then it was not drawn for this prompt.
    """
    body, name = clean_for_prompt(text), clean_label(label)
    if nonce in body or nonce in name:
        raise ValueError("The fence's nonce occurs in the text it should fence; draw a new one for each prompt.")
    return f"<<<{nonce} SOURCE {number}: {name}>>>\n{body}\n<<<{nonce} END {number}>>>"


def numbered(number: int, label: str, text: str) -> str:
    """One numbered source as a single line, which small models copy rightly.

    Nothing in it can pass for another source, with no nonce: a source begins a line, and its text has no line breaks;
    nor for a marker, since numbers in square brackets become such in round ones.
    """
    said = f"{clean_label(label)}: {clean_for_prompt(text)}" if label else clean_for_prompt(text)
    line = compiled(_BRACKETED).sub(lambda bracket: "(" if bracket[0] in "[【［〔" else ")", said)
    return f"[{number}] {' '.join(line.split())}"


class FenceFilter:
    """Takes out of a model's reply what it copied of its prompt's fences: whole, with fewer angles, or cut off.

    The text of documents holds no two angles in a row when it goes into a prompt, so what opens so and then says one
    of the fences' words, or this prompt's nonce, comes from there. The result does not depend on how the text is cut.
    """

    def __init__(self, nonce: str = "") -> None:
        self._nonce = nonce
        self._held = ""
        self._line_begins = True
        self._swallow = ""

    def feed(self, piece: str) -> str:
        """What can be shown now."""
        self._held += piece
        return self._drain(final=False)

    def finish(self) -> str:
        """The rest, once the reply has ended."""
        return self._drain(final=True)

    def _drain(self, *, final: bool) -> str:
        shown: list[str] = []
        while self._held:
            self._held = self._skipped(self._held)
            angles = compiled(_ANGLES).search(self._held)
            plain = self._held[: angles.start()] if angles else self._held
            if plain:
                kept = plain if final or angles else plain[: len(plain) - self._open_nonce(plain)]
                self._show(shown, kept)
                self._held = self._held[len(kept) :]
                if len(kept) < len(plain):
                    break
                continue
            if not self._angled(shown, final=final):
                break
        return "".join(shown)

    def _angled(self, shown: list[str], *, final: bool) -> bool:
        """Show or drop what the held text begins with, one angle or more; False when more of it must come first."""
        begin = len(self._held) - len(self._held.lstrip("<"))
        if begin == len(self._held) and not final:
            return False
        if begin == 1:
            self._show(shown, "<")
            self._held = self._held[1:]
            return True
        end = compiled(_FENCE_END).search(self._held, begin, begin + _LONGEST_FENCE)
        open_end = end is None or end.end() == len(self._held)
        if open_end and not final and len(self._held) < begin + _LONGEST_FENCE:
            return False
        stop = min(len(self._held), begin + _LONGEST_FENCE) if end is None else end.start()
        inside = self._held[begin:stop]
        if not self._is_fence(inside, cut_off=final and stop == len(self._held)):
            self._show(shown, self._held[:begin])
            self._held = self._held[begin:]
            return True
        self._swallow = " \t\n" if self._line_begins else " \t"
        self._held = self._held[stop:].lstrip(">")
        return True

    def _is_fence(self, inside: str, *, cut_off: bool) -> bool:
        begun = inside.split()[:1]
        if self._nonce and (self._nonce in inside or (cut_off and begun and self._nonce.startswith(begun[0]))):
            return True
        return bool(compiled(_FENCE_WORDS).search(inside)) or (cut_off and not inside.strip())

    def _skipped(self, text: str) -> str:
        """Without the blanks after a fence that was dropped, and the end of the line that was its own."""
        while text and self._swallow and text[0] in self._swallow:
            if text[0] == "\n":
                self._swallow = ""
            text = text[1:]
        if text:
            self._swallow = ""
        return text

    def _open_nonce(self, text: str) -> int:
        """How many characters at the end may become the nonce."""
        lengths = range(min(len(text), len(self._nonce) - 1), 0, -1) if self._nonce else ()
        return next((n for n in lengths if text.endswith(self._nonce[:n])), 0)

    def _show(self, shown: list[str], text: str) -> None:
        if self._nonce:
            text = text.replace(self._nonce, "")
        if text:
            shown.append(text)
            _, broken, last = text.rpartition("\n")
            self._line_begins = not last.strip() and (bool(broken) or self._line_begins)


def clean_label(label: str) -> str:
    """A file name and place on one line of at most 200 characters, harmless in a prompt."""
    line = " ".join(clean_for_prompt(label).split())
    line = line.replace("<", "(").replace(">", ")")
    return line if len(line) <= _LABEL_LENGTH else line[: _LABEL_LENGTH - 1] + "…"
