"""Candidate questions, written by a model from the documents or taken from readers' feedback; drafts never gate."""

from __future__ import annotations

import random
import re
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rag.answer.writing import Message
from rag.answer.writing.judge import json_in
from rag.gold.metrics.llm_judge import Chat
from rag.gold.metrics.matching import Corpus, Finder
from rag.gold.types import Fact, Question, Review, Source
from rag.prompts import Prompt
from rag.types import Turn

if TYPE_CHECKING:
    from rag.store.truth import Conversations, StoredTurn


SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "questions": {
            "type": "array",
            "items": {
                "type": "object",
                # In the order in which a grammar makes a model write: first it copies, then it asks about that.
                "properties": {name: {"type": "string"} for name in ("quote", "fact", "question")},
                "required": ["quote", "fact", "question"],
            },
        }
    },
    "required": ["questions"],
}
_PIECE = 3_000
_SHORTEST_QUOTE = 8
_NOT_IN_ID = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Drafted:
    """What a model's proposals came to: the questions kept, and how many were dropped for which reason."""

    questions: tuple[Question, ...]
    dropped: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        lost = sum(self.dropped.values())
        proposed = f"{len(self.questions) + lost} proposed"
        if not lost:
            return proposed
        one = len(self.dropped) == 1
        reasons = ", ".join(reason if one else f"{number} {reason}" for reason, number in self.dropped.items())
        return f"{proposed}, {lost} dropped: {reasons}"


def drafts(
    corpus: Corpus,
    chat: Chat,
    prompt: Prompt,
    *,
    files: Sequence[str] = (),
    count: int = 20,
    each: int = 3,
    seed: int = 0,
    taken: Sequence[str] = (),
    progress: Callable[[int, int, str], None] | None = None,
) -> Drafted:
    """Up to ``count`` draft questions, ``each`` from a piece of about 3,000 characters, the pieces spread over the
    files by ``seed``.

    Every draft's quote stands in its document (the same check as lint's) and holds the fact; what the model makes up
    is dropped, and counted. ``taken`` ids are avoided. Raises what the model raises.
    """
    finder = Finder(corpus)
    made: list[Question] = []
    asked: set[str] = set()
    dropped: Counter[str] = Counter()
    for file, text in _pieces(corpus, files or corpus.files(), seed):
        if len(made) >= count:
            break
        system, user = prompt.render(passage=text, label=file, nonce=secrets.token_hex(8), count=str(each))
        reply, _ = chat.say([Message("system", system), Message("user", user)], format=dict(SCHEMA))
        for row in _rows(reply):
            question, fact, quote = (" ".join(str(row.get(name, "")).split()) for name in ("question", "fact", "quote"))
            if len(made) >= count:
                break
            flaw = _flaw(question, fact, quote, file, finder) or ("asked before" if question.lower() in asked else "")
            if flaw:
                dropped[flaw] += 1
                continue
            asked.add(question.lower())
            name = _id(file, [*taken, *(draft.id for draft in made)])
            made.append(_draft(name, question, fact, Source(file, quote=quote)))
        if progress is not None:
            progress(len(made), count, file)
    return Drafted(tuple(made), dropped)


def _flaw(question: str, fact: str, quote: str, file: str, finder: Finder) -> str:
    """Why a proposal cannot be a draft; "" where it can."""
    if not question or not fact or len(quote) < _SHORTEST_QUOTE:
        return "incomplete"
    if not finder.quote(file, quote):
        return "quote not in the text"
    return "" if fact.lower() in quote.lower() else "fact not in the quote"


def _draft(name: str, question: str, fact: str, source: Source) -> Question:
    facts = (Fact("answer", any=(fact,)),) if any(character.isalnum() for character in fact) else ()
    return Question(name, question, tags=("draft",), facts=facts, sources=(source,), review=Review("draft", "model"))


def _rows(reply: str) -> list[Mapping[str, Any]]:
    rows = json_in(reply).get("questions")
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _pieces(corpus: Corpus, files: Sequence[str], seed: int) -> Iterator[tuple[str, str]]:
    """Pieces of the files, one of each file in turn, in an order that ``seed`` fixes."""
    chance = random.Random(seed)
    cut: dict[str, list[str]] = {}
    for file in files:
        text = corpus.text(file) or ""
        cut[file] = [text[at : at + _PIECE] for at in range(0, len(text), _PIECE)]
        chance.shuffle(cut[file])
    while any(cut.values()):
        for file in files:
            if cut[file]:
                yield file, cut[file].pop()


def _id(file: str, taken: Sequence[str]) -> str:
    stem = _slug(file.rpartition("/")[2].rpartition(".")[0])
    number = 1
    while f"{stem}-{number:02d}" in taken:
        number += 1
    return f"{stem}-{number:02d}"


def _slug(text: str) -> str:
    return _NOT_IN_ID.sub("-", text.lower()).strip("-")[:60] or "draft"


def from_feedback(
    conversations: Conversations, collection: str, taken: Sequence[str] = (), owners: Sequence[str] = ("",)
) -> tuple[Question, ...]:
    """A draft from every answer that a reader rated: liked ones with what they cited, disliked ones without facts and
    on watch, for a person to fill in. The reader's note becomes the alias to compare with. An answer whose draft is
    among the ``taken`` ids is left out, so that taking feedback again adds only what is new. ``owners`` are whose
    conversations are read: "" are those of a library without accounts."""
    made: list[Question] = []
    rated = [(one, owner) for owner in owners for one in conversations.list(owner, collection, 10_000)]
    for conversation, owner in sorted(rated, key=lambda pair: (pair[0].updated, pair[0].id)):
        _, turns = conversations.get(conversation.id, owner)
        for turn in turns:
            name = _slug(f"feedback-{conversation.id}-{turn.index}")
            if turn.feedback is not None and name not in taken:
                made.append(_rated(name, turns[: turn.index], turn))
    return tuple(made)


def _rated(name: str, before: Sequence[StoredTurn], turn: StoredTurn) -> Question:
    assert turn.feedback is not None
    liked = turn.feedback.value > 0
    abstained = bool(turn.answer.get("abstained"))
    cited = [] if abstained or not liked else turn.answer.get("citations", [])
    sources = dict.fromkeys(Source(str(c["source"]), c.get("page"), str(c["quote"])) for c in cited if c.get("quote"))
    note = " ".join(turn.feedback.note.split())
    return Question(
        name,
        turn.question,
        tags=("feedback",),
        turns=tuple(Turn(t.question, str(t.answer.get("text", ""))) for t in before if t.answer.get("text")),
        unanswerable=abstained and liked,
        sources=tuple(sources),
        aliases=(note,) if note and not (abstained and liked) else (),
        severity="must" if liked else "watch",
        review=Review("draft", "feedback"),
    )
