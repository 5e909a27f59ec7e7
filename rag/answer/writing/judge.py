"""A model's second opinion on the sentences that the rules leave in doubt; off unless it is asked for."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from rag.answer.writing.budget import Message
from rag.answer.writing.fence import clean_for_prompt, nonce_for
from rag.answer.writing.generate import Chunk
from rag.errors import ModelError
from rag.prompts import Prompt
from rag.types import Citation, Passage, Sentence, Support, Token

SCHEMA: Mapping[str, Any] = MappingProxyType({
    "type": "object",
    "properties": {"verdict": {"type": "string", "enum": ["supported", "partial", "unsupported"]}},
    "required": ["verdict"],
})  # fmt: skip
SECONDS = 30.0
"""How long all opinions on one answer may take together."""

Ask = Callable[[Sequence[Message]], Generator[Chunk, None, None]]

_SUPPORT = {"supported": Support.SUPPORTED, "partial": Support.PARTIAL, "unsupported": Support.UNSUPPORTED}
_SHARE = {"supported": 1.0, "partial": 0.5, "unsupported": 0.0}
_LONGEST_REPLY = 500


@dataclass(frozen=True, slots=True)
class Opinions:
    """The sentences after the second opinion, how many were asked about, and what went wrong, if anything."""

    sentences: tuple[Sentence, ...]
    asked: int = 0
    failure: str = ""

    @property
    def notice(self) -> str:
        """A sentence for the user when an opinion is missing; else empty."""
        if not self.failure:
            return ""
        return f"The second opinion on this answer is incomplete ({self.failure}); the first verdict stands."


@dataclass(frozen=True, slots=True)
class Judge:
    """Asks whether the cited passages support a sentence. ``options`` go with each request to the model; ``secret``
    makes the prompts' fences unforgeable."""

    prompt: Prompt
    secret: bytes
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    seconds: float = SECONDS

    def opinions(
        self, ask: Ask, sentences: Sequence[Sentence], citations: Sequence[Citation], passages: Sequence[Passage]
    ) -> Generator[Token, None, Opinions]:
        """Judge each sentence that is ``partial``, between the thresholds; an empty token is a sign of life.

        An opinion changes ``support`` and adds ``judge`` (1 supported, 0.5 partial, 0 unsupported) to ``evidence``.
        A reply that cannot be read leaves the sentence as it is; a failing model or the end of the time leaves this
        and all further ones. Closing the generator closes the model's stream.
        """
        known = {passage.id: passage for passage in passages}
        deadline = time.monotonic() + self.seconds
        out = list(sentences)
        asked, failure = 0, ""
        for place, sentence in enumerate(out):
            if sentence.support is not Support.PARTIAL or not sentence.citations:
                continue
            asked += 1
            own = [citations[index] for index in sentence.citations]
            try:
                verdict = verdict_in((yield from self._reply(ask, sentence, own, known, deadline)))
            except (ModelError, TimeoutError) as error:
                failure = str(error).rstrip(".")
                break
            if verdict is None:
                failure = "the model's reply was no verdict"
                continue
            evidence = {**sentence.evidence, "judge": _SHARE[verdict]}
            out[place] = replace(sentence, support=_SUPPORT[verdict], evidence=evidence)
        return Opinions(tuple(out), asked, failure)

    def _reply(
        self,
        ask: Ask,
        sentence: Sentence,
        citations: Sequence[Citation],
        known: Mapping[int, Passage],
        deadline: float,
    ) -> Generator[Token, None, str]:
        """The model's whole reply. Raises TimeoutError when the deadline passes first."""
        texts = dict.fromkeys(known[c.passage_id].text if c.passage_id in known else c.quote for c in citations)
        passage, said = clean_for_prompt("\n\n".join(texts)), clean_for_prompt(sentence.text)
        system, user = self.prompt.render(passage=passage, sentence=said, nonce=nonce_for(self.secret, [passage, said]))
        reply = ""
        chunks = ask([Message("system", system), Message("user", user)])
        with closing(chunks):
            for chunk in chunks:
                reply += chunk.text
                if time.monotonic() > deadline:
                    raise TimeoutError(f"the model took more than {self.seconds:.0f} seconds")
                if len(reply) > _LONGEST_REPLY:
                    break
                yield Token("")
        return reply


def verdict_in(reply: str) -> str | None:
    """The verdict in a model's reply, a JSON object perhaps among words; None when there is none that counts."""
    start, end = reply.find("{"), reply.rfind("}")
    if not 0 <= start < end:
        return None
    try:
        value = json.loads(reply[start : end + 1])
    except (ValueError, RecursionError):
        return None
    verdict = value.get("verdict") if isinstance(value, dict) else None
    return verdict if isinstance(verdict, str) and verdict in _SUPPORT else None
