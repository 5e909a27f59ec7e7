"""The prompt, assembled so that it always fits the model's window.

The server cuts a prompt that is too long without a word, and what it cuts first is the instructions and the best
sources. So nothing is sent that is not counted: system text, question, history and sources share the window that the
answer's reserve leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rag.answer.markers import WRITTEN
from rag.answer.writing.fence import clean_for_prompt, fence, nonce_for, numbered
from rag.errors import PromptTooLong
from rag.prompts import Prompt
from rag.tokens import TokenCounter
from rag.types import Hit, Turn

HISTORY_SHARE = 0.25
"""At most this share of the room after system text and question goes to the history: what is answered from is the
sources, and the question stands alone already."""
SMALLEST_SOURCE = 40
"""A source cut to fewer tokens than this, a sentence or two, says nothing; it is left out instead."""


@dataclass(frozen=True, slots=True)
class Message:
    """One chat message; ``role`` is ``system``, ``user``, ``assistant`` or one of the model's own template."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Assembled:
    """What is sent: source n of the prompt is ``hits[n - 1]``. ``tokens`` is the estimate, at most the room given.

    ``turns`` of the history made it; ``cut`` says that not all hits did, or not whole. ``factor`` is the counter's
    at the time of the estimate. ``nonce`` is in its fences, empty where it has none; ``instructions`` is what it says
    beside sources and question.
    """

    messages: tuple[Message, ...]
    hits: tuple[Hit, ...]
    tokens: int
    turns: int
    cut: bool
    factor: float
    nonce: str = ""
    instructions: str = ""


def label(hit: Hit) -> str:
    """A source's name for the prompt: file, place, heading."""
    passage = hit.passage
    parts = [passage.source]
    if passage.place:
        parts.append(passage.place)
    if passage.heading:
        parts.append(passage.heading[-1])
    return ", ".join(parts)


def assemble(
    prompt: Prompt,
    question: str,
    history: Sequence[Turn],
    hits: Sequence[Hit],
    *,
    room: int,
    counter: TokenCounter,
    secret: bytes,
) -> Assembled:
    """Build the messages in at most ``room`` tokens (window less the answer's reserve).

    The question and the instructions are kept whole; the newest turns get up to a quarter of what is left, the
    sources, best first, the rest. Turns go in as a fenced transcript and not as messages, because what was said may
    quote documents, and without markers, because their numbers meant other sources. The same arguments give the same
    messages; ``secret`` makes their fences unforgeable. Raises PromptTooLong when instructions and question do not
    fit, or leave no room for a source.
    """
    form = _form(prompt, secret, question, history, hits)
    given = {"question": clean_for_prompt(question), **({"nonce": form.nonce} if prompt.fenced else {})}
    bare_system, bare_user = prompt.render(sources="", **given)
    fixed = counter.message(bare_system) + counter.message(bare_user)
    if fixed > room:
        raise PromptTooLong(
            f"The question and the instructions take {fixed} tokens; the model's window leaves {room}.",
            hint="Shorten the question, or raise num_ctx.",
        )
    turns = trim_history(history, int((room - fixed) * HISTORY_SHARE), counter)
    said = transcript(turns, form.nonce)
    blocks, cut = _blocks(form, hits, room - fixed - counter.count(said), counter)
    if hits and not blocks and turns:
        turns, said = [], ""
        blocks, cut = _blocks(form, hits, room - fixed, counter)
    while True:
        sources = "\n\n".join([*([said] if said else []), *blocks])
        system, user = prompt.render(sources=sources, **given)
        total = counter.message(system) + counter.message(user)
        # Counts of parts and of the whole differ by a few tokens where parts meet; the whole decides.
        if total <= room:
            _require_source(hits, blocks, fixed, room)
            messages = (Message("system", system), Message("user", user))
            return Assembled(
                messages, tuple(hits[: len(blocks)]), total, len(turns), cut, counter.factor, form.nonce,
                prompt.instructions,
            )  # fmt: skip
        cut = True
        if turns and len(blocks) < 2:
            turns = turns[1:]
            said = transcript(turns, form.nonce)
        else:
            blocks.pop()


def _require_source(hits: Sequence[Hit], blocks: Sequence[str], fixed: int, room: int) -> None:
    """Without a source a model could only refuse, and the documents would seem not to have it."""
    if hits and not blocks:
        raise PromptTooLong(
            f"No source fits: the question and the instructions take {fixed} tokens; the model's window leaves {room}.",
            hint="Raise num_ctx, lower num_predict, or shorten the question.",
        )


def trim_history(history: Sequence[Turn], room: int, counter: TokenCounter) -> list[Turn]:
    """The newest turns whose transcript fits into ``room`` tokens, oldest first; never half a turn."""
    room -= counter.count(_framed("0" * 8, []))
    kept = 0
    for turn in reversed(history):
        room -= counter.count(_said(turn)) + 1
        if room < 0:
            break
        kept += 1
    return list(history[len(history) - kept :])


def transcript(turns: Sequence[Turn], nonce: str) -> str:
    """What was said, cleaned, a line for each side of each turn, between two lines that hold the nonce, or without one
    under a plain line; empty for no turns."""
    return _framed(nonce, [_said(turn) for turn in turns]) if turns else ""


def _framed(nonce: str, lines: Sequence[str]) -> str:
    if not nonce:
        return "\n".join(("Said before:", *lines))
    return "\n".join((f"<<<{nonce} CONVERSATION>>>", *lines, f"<<<{nonce} END>>>"))


def _said(turn: Turn) -> str:
    return f"User: {_one_line(turn.user)}\nAssistant: {_one_line(turn.bot)}"


def _one_line(text: str) -> str:
    return " ".join(WRITTEN.sub("", clean_for_prompt(text)).split())


@dataclass(frozen=True, slots=True)
class _Form:
    """How sources are written: between fences that hold the nonce, or, without one, a line each."""

    nonce: str

    def block(self, number: int, hit: Hit, text: str) -> str:
        return fence(self.nonce, number, label(hit), text) if self.nonce else numbered(number, label(hit), text)


def _form(prompt: Prompt, secret: bytes, question: str, history: Sequence[Turn], hits: Sequence[Hit]) -> _Form:
    if not prompt.fenced:
        return _Form("")
    said = [text for turn in history for text in (turn.user, turn.bot)]
    told = [text for hit in hits for text in (label(hit), hit.passage.text)]
    return _Form(nonce_for(secret, [clean_for_prompt(text) for text in (question, *said, *told)]))


def _blocks(form: _Form, hits: Sequence[Hit], room: int, counter: TokenCounter) -> tuple[list[str], bool]:
    """Sources in order while they fit; the last one may be cut at its end."""
    blocks: list[str] = []
    for number, hit in enumerate(hits, start=1):
        text = clean_for_prompt(hit.passage.text)
        block = form.block(number, hit, text)
        cost = counter.count(block) + 2
        if cost <= room:
            blocks.append(block)
            room -= cost
            continue
        frame = counter.count(form.block(number, hit, "")) + 4
        if room - frame >= SMALLEST_SOURCE:
            blocks.append(form.block(number, hit, counter.fit(text, room - frame)))
        return blocks, True
    return blocks, False
