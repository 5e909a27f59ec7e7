"""A chat model that the gold set asks: for drafts, and for a second opinion on whether the cited passages support each
sentence, which is reported and never gates."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rag.answer.writing import SCHEMA, General, Message, YesOrNo
from rag.answer.writing.fence import clean_for_prompt
from rag.answer.writing.generate import Odds
from rag.answer.writing.judge import claim_of
from rag.errors import ConfigError, ModelError
from rag.gold.types import Record, Reply, Said
from rag.models.families import verifying_family
from rag.prompts import Prompt
from rag.types import Support

if TYPE_CHECKING:
    from rag.config import Config


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat model by ``name`` with the ``digest`` of its weights. ``say`` takes messages and the model's options, and
    gives the whole reply with the odds of its tokens; it raises ModelError."""

    name: str
    digest: str
    say: Callable[..., tuple[str, Odds]]


@contextmanager
def open_chat(config: Config, name: str) -> Iterator[Chat]:
    """The chat model ``name`` (``ollama:NAME`` or ``auto``). Raises ConfigError when it means no model, ModelError when
    it cannot be used."""
    from rag.answer.llama import chat
    from rag.models.choose import choose_llm

    llm, choice = choose_llm(config.with_(llm=name))
    if llm is None:
        raise ConfigError(
            f"This needs a chat model, and '{name}' is none.",
            hint="Start Ollama and name a model, as ollama:qwen3:8b; `rag models` lists those it has.",
        )
    model = llm

    def say(messages: list[Message], **options: object) -> tuple[str, Odds]:
        chunks = list(chat(model, messages, **options))
        return "".join(chunk.text for chunk in chunks), [odds for chunk in chunks for odds in chunk.odds]

    try:
        yield Chat(choice.name, str(getattr(llm, "digest", "")), say)
    finally:
        close = getattr(llm, "close", None)
        if close is not None:
            close()


_VERDICTS = frozenset(SCHEMA["properties"]["verdict"]["enum"])


@dataclass(frozen=True, slots=True)
class Judge:
    """Asks ``chat`` about every cited sentence, in its ``form``. What it replies beside the verdict is an error."""

    chat: Chat
    form: General | YesOrNo

    @classmethod
    def by(cls, chat: Chat, prompt: Prompt) -> Judge:
        """Asked as it was trained, where it was trained to check claims; by ``prompt`` where it was not."""
        family = verifying_family(chat.name.removeprefix("ollama:"))
        general = General(prompt, secrets.token_bytes(16), {"format": dict(SCHEMA)})
        return cls(chat, general if family is None else YesOrNo(family))

    def judged(self, record: Record, passages: Mapping[str, str]) -> Record:
        """``record`` with ``judge_support``, the share of its cited sentences judged supported.

        One verdict that cannot be read, or a failing model, leaves the metric out and says so in the notes: an error
        is neither 0 nor a number.
        """
        reply = record.reply
        if reply is None or reply.abstained:
            return record
        verdicts = [self._verdict(said, reply, passages) for said in reply.sentences if said.claim and said.citations]
        errors = [verdict for verdict in verdicts if verdict not in _VERDICTS]
        if errors:
            return replace(record, notes=(*record.notes, f"judge error: {errors[0]}"))
        if not verdicts:
            return record
        share = sum(verdict == Support.SUPPORTED for verdict in verdicts) / len(verdicts)
        return replace(record, metrics={**record.metrics, "judge_support": share})

    def _verdict(self, said: Said, reply: Reply, passages: Mapping[str, str]) -> str:
        keys = dict.fromkeys(reply.citations[number].passage for number in said.citations)
        text = clean_for_prompt("\n\n".join(passages[key] for key in keys if key in passages))
        try:
            answer, odds = self.chat.say(self.form.messages(text, claim_of(said.text)), **self.form.options)
        except ModelError as error:
            return str(error)
        opinion = self.form.opinion(answer, odds)
        return f"unreadable verdict {answer[:80]!r}" if opinion is None else opinion[0].value
