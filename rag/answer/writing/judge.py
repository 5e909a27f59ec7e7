"""A model's second opinion on the sentences of an answer; off unless it is asked for.

A general model is asked in the words of ``prompts/judge.md`` and replies with a JSON object. A model that was trained
for nothing else is asked as it was trained (``rag.models.families``), and says yes or no.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from rag.answer.markers import WRITTEN
from rag.answer.writing.budget import Message
from rag.answer.writing.fence import clean_for_prompt, nonce_for
from rag.answer.writing.generate import Chunk, Odds
from rag.errors import ModelError
from rag.models.families import Verifying
from rag.prompts import Prompt
from rag.types import Citation, Passage, Sentence, Support, Token

SCHEMA: Mapping[str, Any] = MappingProxyType({
    "type": "object",
    "properties": {"verdict": {"type": "string", "enum": ["supported", "partial", "unsupported"]}},
    "required": ["verdict"],
})  # fmt: skip
SECONDS = 30.0
"""How long all opinions on one answer may take together, unless more is given."""

Ask = Callable[[Sequence[Message]], Generator[Chunk, None, None]]
Opinion = tuple[Support, float]
"""What a model thinks, and the probability in [0, 1] that the passage supports the sentence."""

_SUPPORT = {"supported": Support.SUPPORTED, "partial": Support.PARTIAL, "unsupported": Support.UNSUPPORTED}
_SHARE = {"supported": 1.0, "partial": 0.5, "unsupported": 0.0}
# Characters: the object asked for has 26, and what goes on for long is no verdict.
_LONGEST_REPLY = 500
_EVEN = 0.5
_GATES = ("values", "names", "roles", "negation", "quantity", "opposite")
_YES_OR_NO = re.compile(r"<score>\s*(yes|no)\b|^\W*(yes|no)\b", re.IGNORECASE)
# Room for "<score> yes </score>" with words before it, and for the other of yes and no among a token's alternatives.
_ANSWER_TOKENS, _ALTERNATIVES = 24, 10


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
class General:
    """How a model that follows instructions is asked. ``secret`` makes the prompts' fences unforgeable."""

    prompt: Prompt
    secret: bytes
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def messages(self, passage: str, sentence: str) -> list[Message]:
        """The request."""
        nonce = nonce_for(self.secret, [passage, sentence])
        system, user = self.prompt.render(passage=passage, sentence=sentence, nonce=nonce)
        return [Message("system", system), Message("user", user)]

    def opinion(self, reply: str, odds: Odds) -> Opinion | None:
        """What its JSON object says; None when there is none that counts."""
        verdict = verdict_in(reply)
        return None if verdict is None else (_SUPPORT[verdict], _SHARE[verdict])


@dataclass(frozen=True, slots=True)
class YesOrNo:
    """How a model is asked that was trained to check claims; from even odds on it supports one."""

    family: Verifying

    @property
    def options(self) -> Mapping[str, Any]:
        """A short reply, and the odds of its tokens."""
        return {"num_predict": _ANSWER_TOKENS, "top_logprobs": _ALTERNATIVES}

    def messages(self, passage: str, sentence: str) -> list[Message]:
        """The request."""
        return [Message(role, text) for role, text in self.family.asked(passage, sentence)]

    def opinion(self, reply: str, odds: Odds) -> Opinion | None:
        """What its word says; None when there is none."""
        yes = probability_of_yes(reply, odds)
        if yes is None:
            return None
        share = yes if self.family.yes_supports else 1.0 - yes
        return Support.SUPPORTED if share >= _EVEN else Support.UNSUPPORTED, share


@dataclass(frozen=True, slots=True)
class Judge:
    """Asks whether the cited passages support a sentence: about those in doubt, or, with ``every``, about each that
    cites something and is no quotation. ``options`` go with each request to the model."""

    form: General | YesOrNo
    every: bool = False
    seconds: float = SECONDS

    @property
    def options(self) -> Mapping[str, Any]:
        """What the form needs of the model."""
        return self.form.options

    def opinions(
        self, ask: Ask, sentences: Sequence[Sentence], citations: Sequence[Citation], passages: Sequence[Passage]
    ) -> Generator[Token, None, Opinions]:
        """Ask about one sentence and what it cites a call; an empty token is a sign of life.

        An opinion changes ``support`` and adds ``judge`` (the probability that it is supported) to ``evidence``. Where
        a gate has failed, as a wrong number, no opinion is asked: models overlook those. Where the rules found support
        and the model does not, the sentence is ``partial``, not proven. A reply that cannot be read leaves a sentence
        as it is; a failing model or the end of the time leaves this and all further ones. Closing the generator closes
        the model's stream.
        """
        known = {passage.id: passage for passage in passages}
        deadline = time.monotonic() + self.seconds
        out = list(sentences)
        asked, failure = 0, ""
        for place, sentence in enumerate(out):
            if not self._asks_about(sentence):
                continue
            asked += 1
            own = [citations[index] for index in sentence.citations]
            try:
                opinion = yield from self._opinion(ask, sentence, own, known, deadline)
            except (ModelError, TimeoutError) as error:
                failure = str(error).rstrip(".")
                break
            if opinion is None:
                failure = "the model's reply was no verdict"
                continue
            support, share = opinion
            against = sentence.support is Support.SUPPORTED and support is Support.UNSUPPORTED
            support = Support.PARTIAL if against else support
            out[place] = replace(sentence, support=support, evidence={**sentence.evidence, "judge": share})
        return Opinions(tuple(out), asked, failure)

    def _asks_about(self, sentence: Sentence) -> bool:
        if not sentence.citations or any(sentence.evidence.get(gate) == 0 for gate in _GATES):
            return False
        doubted = sentence.support is Support.PARTIAL
        return doubted or (self.every and sentence.support in (Support.SUPPORTED, Support.UNSUPPORTED))

    def _opinion(
        self,
        ask: Ask,
        sentence: Sentence,
        citations: Sequence[Citation],
        known: Mapping[int, Passage],
        deadline: float,
    ) -> Generator[Token, None, Opinion | None]:
        """What the model thinks. Raises TimeoutError when the deadline passes first."""
        texts = dict.fromkeys(known[c.passage_id].text if c.passage_id in known else c.quote for c in citations)
        passage, said = clean_for_prompt("\n\n".join(texts)), claim_of(sentence.text)
        reply, odds = "", list[Sequence[tuple[str, float]]]()
        chunks = ask(self.form.messages(passage, said))
        with closing(chunks):
            for chunk in chunks:
                reply += chunk.text
                odds.extend(chunk.odds)
                if time.monotonic() > deadline:
                    raise TimeoutError(f"the model took more than {self.seconds:.0f} seconds")
                if len(reply) > _LONGEST_REPLY:
                    break
                yield Token("")
        return self.form.opinion(reply, odds)


def claim_of(sentence: str) -> str:
    """A sentence of an answer as a model is asked about it: cleaned, without markers."""
    return clean_for_prompt(WRITTEN.sub("", sentence))


def probability_of_yes(reply: str, odds: Odds) -> float | None:
    """The probability of yes, in [0, 1], in a reply that begins with yes or no or has it as its score; None for others.

    It is that of yes among yes and no, where the token that said it has told odds; without any it is 0 or 1.
    """
    found = _YES_OR_NO.search(reply)
    if found is None:
        return None
    word = (found[1] or found[2]).lower()
    for token in reversed(odds) if found[1] else odds:
        if token and _bare(token[0][0]) in ("yes", "no"):
            chances = {"yes": 0.0, "no": 0.0}
            for text, logprob in token:
                if _bare(text) in chances:
                    chances[_bare(text)] += math.exp(min(logprob, 0.0))
            if all(chances.values()):
                return chances["yes"] / sum(chances.values())
            # The other word was not among the alternatives: what is left is the most that it can have.
            return chances["yes"] if word == "yes" else 1.0 - chances["no"]
    return 1.0 if word == "yes" else 0.0


def _bare(token: str) -> str:
    return token.strip(" \t\n▁Ġ").lower()


def json_in(reply: str) -> Mapping[str, Any]:
    """The JSON object in a model's reply, perhaps among words; empty when there is none."""
    try:
        value = json.loads(reply[reply.find("{") : reply.rfind("}") + 1])
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def verdict_in(reply: str) -> str | None:
    """The verdict in a model's reply; None when there is none that counts."""
    verdict = json_in(reply).get("verdict")
    return verdict if isinstance(verdict, str) and verdict in _SUPPORT else None
