"""The prompt, assembled so that it always fits the model's window.

The server cuts a prompt that is too long without a word, and what it cuts first is the instructions and the best
sources. So nothing is sent that is not counted: system text, question, history and sources share the window that the
answer's reserve leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rag.answer.fence import clean_for_prompt, fence, new_nonce
from rag.errors import PromptTooLong
from rag.prompts import Prompt
from rag.tokens import TokenCounter
from rag.types import Hit, Turn

HISTORY_SHARE = 0.25
"""At most this share of the room after system text and question goes to the history."""
SMALLEST_SOURCE = 40
"""A source cut to fewer tokens than this says nothing; it is left out instead."""


@dataclass(frozen=True, slots=True)
class Message:
    """One chat message; ``role`` is ``system``, ``user`` or ``assistant``."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Assembled:
    """What is sent: source n of the prompt is ``hits[n - 1]``. ``tokens`` is the estimate, at most the room given.

    ``turns`` of the history made it; ``cut`` says that not all hits did, or not whole. ``factor`` is the counter's
    at the time of the estimate.
    """

    messages: tuple[Message, ...]
    hits: tuple[Hit, ...]
    tokens: int
    turns: int
    cut: bool
    factor: float


def label(hit: Hit) -> str:
    """A source's name for the prompt: file, page, heading."""
    passage = hit.passage
    parts = [passage.source]
    if passage.page is not None:
        parts.append(f"page {passage.page}")
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
) -> Assembled:
    """Build the messages in at most ``room`` tokens (window less the answer's reserve).

    The question and the instructions are kept whole; the newest turns get up to a quarter of what is left, the
    sources, best first, the rest. Raises PromptTooLong when instructions and question alone do not fit.
    """
    nonce = new_nonce()
    bare_system, bare_user = prompt.render(sources="", question=clean_for_prompt(question), nonce=nonce)
    fixed = counter.message(bare_system) + counter.message(bare_user)
    if fixed > room:
        raise PromptTooLong(
            f"The question and the instructions take {fixed} tokens; the model's window leaves {room}.",
            hint="Shorten the question, or raise num_ctx.",
        )
    turns = trim_history(history, int((room - fixed) * HISTORY_SHARE), counter)
    used = fixed + sum(counter.message(m.content) for m in turns)
    blocks, cut = _blocks(nonce, hits, room - used, counter)
    while True:
        system, user = prompt.render(sources="\n\n".join(blocks), question=clean_for_prompt(question), nonce=nonce)
        messages = (Message("system", system), *turns, Message("user", user))
        total = sum(counter.message(m.content) for m in messages)
        # Counts of parts and of the whole differ by a few tokens where parts meet; the whole decides.
        if total <= room:
            return Assembled(messages, tuple(hits[: len(blocks)]), total, len(turns) // 2, cut, counter.factor)
        cut = True
        if blocks:
            blocks.pop()
        else:
            turns = turns[2:]


def trim_history(history: Sequence[Turn], room: int, counter: TokenCounter) -> list[Message]:
    """The newest turns that fit into ``room`` tokens, oldest first, as messages; never half a turn."""
    kept: list[Message] = []
    for turn in reversed(history):
        pair = [Message("user", clean_for_prompt(turn.user)), Message("assistant", clean_for_prompt(turn.bot))]
        cost = sum(counter.message(m.content) for m in pair)
        if cost > room:
            break
        room -= cost
        kept = pair + kept
    return kept


def _blocks(nonce: str, hits: Sequence[Hit], room: int, counter: TokenCounter) -> tuple[list[str], bool]:
    """Fenced sources in order while they fit; the last one may be cut at its end."""
    blocks: list[str] = []
    for number, hit in enumerate(hits, start=1):
        text = clean_for_prompt(hit.passage.text)
        block = fence(nonce, number, label(hit), text)
        cost = counter.count(block) + 2
        if cost <= room:
            blocks.append(block)
            room -= cost
            continue
        frame = counter.count(fence(nonce, number, label(hit), "")) + 4
        if room - frame >= SMALLEST_SOURCE:
            blocks.append(fence(nonce, number, label(hit), counter.fit(text, room - frame)))
        return blocks, True
    return blocks, False
