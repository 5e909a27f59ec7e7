"""A second opinion by a model on whether the cited passages support each sentence: reported, never gating."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rag.answer.writing import SCHEMA, YesOrNo
from rag.answer.writing.fence import clean_for_prompt
from rag.answer.writing.judge import claim_of
from rag.errors import ConfigError, ModelError
from rag.gold.types import Record, Reply, Said
from rag.models.families import verifying_family
from rag.prompts import Prompt
from rag.types import Support

if TYPE_CHECKING:
    from rag.config import Config


Ask = Callable[[str, str, Mapping[str, Any]], str]
"""System text, user text and JSON schema in; the reply out. Raises ModelError."""
_BRACES = re.compile(r"\{.*\}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat model by ``name`` with the ``digest`` of its weights. ``check`` is there for one that was trained to check
    claims: whether a passage supports a sentence, None where its reply tells neither."""

    name: str
    digest: str
    ask: Ask
    check: Callable[[str, str], bool | None] | None = None


@contextmanager
def open_chat(config: Config, name: str) -> Iterator[Chat]:
    """The chat model ``name`` (``ollama:NAME`` or ``auto``). Raises ConfigError when it means no model, ModelError when
    it cannot be used."""
    from rag.models.choose import choose_llm

    llm, choice = choose_llm(config.with_(llm=name))
    if llm is None:
        raise ConfigError(
            f"This needs a chat model, and '{name}' is none.",
            hint="Start Ollama and name a model, as ollama:qwen3:8b; `rag models` lists those it has.",
        )
    model = llm

    def ask(system: str, user: str, schema: Mapping[str, Any]) -> str:
        return str(model.complete(f"{system}\n\n{user}", format=schema).text)

    try:
        yield Chat(choice.name, str(getattr(llm, "digest", "")), ask, _checking(choice.name, model))
    finally:
        close = getattr(llm, "close", None)
        if close is not None:
            close()


def _checking(name: str, model: object) -> Callable[[str, str], bool | None] | None:
    from rag.models.ollama import OllamaLLM

    family = verifying_family(name.removeprefix("ollama:"))
    if family is None or not isinstance(model, OllamaLLM):
        return None
    form, asked = YesOrNo(family), model

    def check(passage: str, sentence: str) -> bool | None:
        messages = [(message.role, message.content) for message in form.messages(passage, sentence)]
        opinion = form.opinion(*asked.said(messages, **form.options))
        return None if opinion is None else opinion[0] is Support.SUPPORTED

    return check


def read_json(reply: str) -> Mapping[str, Any] | None:
    """The JSON object in a reply, with or without words around it; ``None`` when there is none."""
    found = _BRACES.search(reply)
    if found is None:
        return None
    try:
        value = json.loads(found[0])
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


_WORDS = {True: "supported", False: "unsupported", None: "unreadable verdict"}
_VERDICTS = frozenset(SCHEMA["properties"]["verdict"]["enum"])


@dataclass(frozen=True, slots=True)
class Judge:
    """Asks ``chat`` about every cited sentence. What it replies beside the verdict counts as an error."""

    chat: Chat
    prompt: Prompt

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
        share = sum(verdict == "supported" for verdict in verdicts) / len(verdicts)
        return replace(record, metrics={**record.metrics, "judge_support": share})

    def _verdict(self, said: Said, reply: Reply, passages: Mapping[str, str]) -> str:
        keys = dict.fromkeys(reply.citations[number].passage for number in said.citations)
        text = "\n\n".join(passages[key] for key in keys if key in passages)
        system, user = self.prompt.render(passage=text, sentence=said.text, nonce=secrets.token_hex(8))
        try:
            if self.chat.check is not None:
                return _WORDS[self.chat.check(clean_for_prompt(text), claim_of(said.text))]
            answer = self.chat.ask(system, user, dict(SCHEMA))
        except ModelError as error:
            return f"{error}"
        verdict = (read_json(answer) or {}).get("verdict")
        return verdict if isinstance(verdict, str) and verdict in _VERDICTS else f"unreadable verdict {answer[:80]!r}"
