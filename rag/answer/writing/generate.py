"""An answer written by a model: streamed with whole markers only, then checked sentence by sentence."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rag.answer.markers import WRITTEN, Marker, MarkerParser
from rag.answer.writing.budget import Assembled, Message
from rag.answer.writing.fence import FenceFilter
from rag.answer.writing.replies import (
    begins_instructions,
    declines,
    is_refusal,
    may_be_refusal,
    recites,
    without_refusal,
)
from rag.errors import EmptyAnswer
from rag.tokens import fewest

_WORD = re.compile(r"\w")
_BLANKS = " \t\u00a0"
REFUSED = "found no answer in the sources"
RECITED = (
    "repeated its instructions instead of answering (it may be a base model: choose one that is tuned to follow "
    "instructions)"
)


Odds = Sequence[Sequence[tuple[str, float]]]
"""For each token itself and what it could have been, with the natural logarithm of each one's probability."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a model's reply; counts (tokens) and ``reason`` come with the last one, else 0 and empty. ``odds`` are
    those of its tokens, where they were asked for."""

    text: str
    prompt_tokens: int = 0
    answer_tokens: int = 0
    reason: str = ""
    odds: Odds = ()


Chat = Callable[[Sequence[Message]], Iterator[Chunk]]


@dataclass(slots=True)
class Draft:
    """What a model wrote, before the checks: markers number the prompt's sources. ``failure`` says, after "the model",
    why it is no answer; it is empty where it may be one."""

    text: str = ""
    failure: str = ""
    dropped: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0
    reason: str = ""
    first_token_ms: float = 0.0


def write(chat: Chat, prompt: Assembled, draft: Draft) -> Iterator[str]:
    """Stream the reply to ``prompt`` as text with whole markers, filling ``draft``.

    An empty piece is a sign of life of a model that is still loading or thinking: a chance to stop. No text is
    yielded of a refusal, of a fence, or of a reply that repeats the instructions from its beginning. Closing the
    iterator closes the model's stream. Raises EmptyAnswer when the model ends without a word (markers are none), and
    whatever typed error ``chat`` raises.
    """
    started = time.perf_counter()
    fences, parser, shown = FenceFilter(prompt.nonce), MarkerParser(len(prompt.hits)), _Shown()
    held = ""
    open_gate = False
    chunks = chat(prompt.messages)
    try:
        for chunk in chunks:
            _count(draft, chunk)
            if chunk.text and not draft.first_token_ms:
                draft.first_token_ms = (time.perf_counter() - started) * 1000
            piece = shown.text(parser.feed(fences.feed(chunk.text)))
            if not open_gate:
                held += piece
                open_gate = not (
                    may_be_refusal(held)
                    or begins_instructions(held, prompt.instructions)
                    or recites(held, prompt.instructions)
                )
                piece, held = (held, "") if open_gate else ("", held)
            draft.text += piece
            yield piece
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            close()
    tail = held + shown.text([*parser.feed(fences.finish()), *parser.finish()]) + shown.rest()
    draft.dropped = shown.dropped
    if recites(draft.text + tail, prompt.instructions):
        draft.failure = RECITED
        return
    if not open_gate and is_refusal(tail):
        draft.failure = REFUSED
        return
    if tail:
        draft.text += tail
        yield tail
    if declines(draft.text):
        draft.failure = REFUSED
        return
    draft.text = without_refusal(draft.text)
    if not _WORD.search(WRITTEN.sub("", draft.text)):
        raise EmptyAnswer("The model ended without writing an answer.", hint="Ask again, or choose another model.")


def calibration_notices(prompt: Assembled, draft: Draft, window: int) -> Mapping[str, str]:
    """What the token counts give away: a prompt that was cut (``truncated``), an answer at its limit (``length``).

    Cut is what has fewer tokens than its last message has words. The estimate is no measure: modern vocabularies
    need a third of it for some scripts. Nor are the messages before, which old servers leave out when cached.
    """
    found: dict[str, str] = {}
    if 0 < draft.prompt_tokens < fewest(prompt.messages[-1].content):
        found["truncated"] = (
            f"The model's server read {draft.prompt_tokens} tokens of a prompt estimated at {prompt.tokens}: it has "
            f"cut the sources, and the answer may miss something. Its window should be {window}."
        )
    if draft.reason == "length":
        found["length"] = "The answer reached the length limit and may be cut off (num_predict)."
    return found


def _count(draft: Draft, chunk: Chunk) -> None:
    draft.prompt_tokens = chunk.prompt_tokens or draft.prompt_tokens
    draft.answer_tokens = chunk.answer_tokens or draft.answer_tokens
    draft.reason = chunk.reason or draft.reason


class _Shown:
    """The parser's pieces as text with markers ``[n]``; a marker that names no source goes with the blanks before it.

    Blanks are held back until it is known what follows them.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._blanks = self._after = ""
        self._fresh, self._lost = True, False

    def text(self, pieces: Iterable[str | Marker]) -> str:
        """What the pieces add."""
        return "".join(self._said(piece) if isinstance(piece, str) else self._marked(piece) for piece in pieces)

    def rest(self) -> str:
        """The blanks that end the text."""
        return self._before("")

    def _marked(self, marker: Marker) -> str:
        self.dropped += marker.invalid
        if marker.numbers:
            numbers = "".join(f"[{number}]" for number in marker.numbers)
            return self._before(numbers) + numbers
        self._blanks, self._after, self._lost = self._after or self._blanks, "", True
        return ""

    def _said(self, piece: str) -> str:
        body = piece.lstrip(_BLANKS)
        blanks = piece[: len(piece) - len(body)]
        if self._lost:
            self._after += blanks
        else:
            self._blanks += blanks
        if not body:
            return ""
        kept = body.rstrip(_BLANKS)
        before = self._before(kept)
        self._blanks = body[len(kept) :]
        self._fresh = kept.endswith("\n")
        return before + kept

    def _before(self, text: str) -> str:
        """The blanks to show before ``text``; there are no more then."""
        blanks = self._blanks
        if self._lost:
            needed = self._blanks if text[:1].isalnum() or text[:1] == "[" else ""
            blanks = "" if self._fresh else self._after or needed
        self._blanks, self._after, self._fresh, self._lost = "", "", False, False
        return blanks
