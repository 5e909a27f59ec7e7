"""A second opinion by a model on whether the cited passages support each sentence: reported, never gating."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from rag.answer.judge import SCHEMA
from rag.errors import ModelError
from rag.gold.chat import Chat, fence, read_json
from rag.gold.records import Record, Reply, Said
from rag.prompts import Prompt

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
        system, user = self.prompt.render(passage=text, sentence=said.text, nonce=fence())
        try:
            answer = self.chat.ask(system, user, dict(SCHEMA))
        except ModelError as error:
            return f"{error}"
        verdict = (read_json(answer) or {}).get("verdict")
        return verdict if isinstance(verdict, str) and verdict in _VERDICTS else f"unreadable verdict {answer[:80]!r}"
