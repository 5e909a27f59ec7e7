"""The engine of answers: condense, retrieve, abstain or answer, verify. ``rag.answer.llama`` has it as LlamaIndex's."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from rag.answer.across import Across
from rag.answer.compose import (
    abstention,
    located,
    located_claims,
    quoted_answer,
    supported_spans,
    uncertified_end,
    used_hits,
)
from rag.answer.conflicts import disagreements
from rag.answer.courtesy import reply_to
from rag.answer.markers import parse
from rag.answer.quoting import Quote, Series, SeriesReader, Side, identified, sides_of, with_holders
from rag.answer.verify import Verified, Verifier
from rag.answer.writing import (
    REFUSED,
    Assembled,
    Chunk,
    Draft,
    Judge,
    Message,
    Opinions,
    assemble,
    calibration_notices,
    clean_reply,
    in_context,
    leans,
    longest_rewriting,
    rewriting_prompt,
    rewritten,
    turns_of,
    without_references,
    write,
)
from rag.arguments import expecting
from rag.errors import EmptyAnswer, ModelError, PromptError, PromptTooLong, QuestionError
from rag.language.sentences import sentences
from rag.models.embed import asking
from rag.prompts import Prompt
from rag.retrieve import HybridRetriever
from rag.tokens import TokenCounter, caution
from rag.types import (
    Answer,
    AnswerEvent,
    Condensed,
    Done,
    Heading,
    Hit,
    Outcome,
    Passage,
    Retrieved,
    Said,
    Support,
    Token,
    Turn,
)

CONFIDENT = 0.7
"""From this probability that the documents answer, a model that says nothing of use is overruled by quotes."""

if TYPE_CHECKING:
    from llama_index.core.llms.llm import LLM

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settings:
    """``window`` and ``reserve`` in tokens. Below the probability ``threshold``, in [0, 1], nothing is answered: from
    ``absent`` on the closest passages are shown, which may not answer; below that it is not in the documents."""

    model: str
    window: int
    reserve: int
    threshold: float
    absent: float = 0.0

    @property
    def named(self) -> float:
        """The threshold for a question that names something exactly which the passages hold."""
        return min(self.threshold, self.absent)

    @property
    def room(self) -> int:
        """Tokens that a prompt may have."""
        return self.window - self.reserve


class Chat(Protocol):
    """How a model is talked with: what it says to ``messages``, as it comes. Raises ModelError."""

    def __call__(self, llm: LLM, messages: Sequence[Message], **options: Any) -> Generator[Chunk, None, None]: ...


@dataclass(frozen=True, slots=True)
class Tools:
    """What checks and quotes need, built once for a collection."""

    verifier: Verifier
    across: Across
    series: SeriesReader
    neighbours: Callable[[Passage], Sequence[Passage]]
    whole: Callable[[Passage], Passage]
    headings: Callable[[int], Sequence[Heading]]
    counter: TokenCounter
    learn: Callable[[TokenCounter], None]
    answer_prompt: Prompt
    condense_prompt: Prompt
    secret: bytes
    chat: Chat | None = None
    """Not needed for quoting."""
    courtesy: Callable[[str], bool] = lambda _: False
    judge: Judge | None = None
    judging: Callable[[], LLM] | None = None
    """The model that judges, where it is another one; opened when first asked. Raises ModelError."""


@expecting(question=QuestionError, text=QuestionError, history=None)
class AnswerEngine:
    """Answers from one collection. ``llm=None`` quotes the best sentences instead of writing.

    ``reordered`` may drop, order and score anew the hits of a question before they are read.
    """

    def __init__(
        self,
        retriever: HybridRetriever,
        llm: LLM | None,
        tools: Tools,
        settings: Settings,
        *,
        top_k: int | None = None,
        reordered: Callable[[str, list[Hit]], list[Hit]] | None = None,
    ) -> None:
        self._retriever = retriever
        self._llm = llm
        self._tools = tools
        self._settings = settings
        self._top_k = top_k
        self._reordered = reordered

    def with_(
        self, top_k: int | None = None, reordered: Callable[[str, list[Hit]], list[Hit]] | None = None
    ) -> AnswerEngine:
        """The same engine that finds ``top_k`` passages, ``reordered``."""
        return AnswerEngine(
            self._retriever, self._llm, self._tools, self._settings, top_k=top_k, reordered=reordered
        )  # fmt: skip

    @property
    def prompts(self) -> dict[str, Prompt]:
        """The templates by their names."""
        return {prompt.name: prompt for prompt in (self._tools.answer_prompt, self._tools.condense_prompt)}

    def use_prompts(self, prompts: Mapping[str, Prompt]) -> None:
        """Take templates of the same names from now on. Raises PromptError for another name."""
        known = self.prompts
        if unknown := set(prompts) - set(known):
            raise PromptError(f"There is no prompt {', '.join(sorted(unknown))}; there are: {', '.join(known)}.")
        answer, condense = (prompts.get(name, prompt) for name, prompt in known.items())
        self._tools = replace(self._tools, answer_prompt=answer, condense_prompt=condense)

    def stream(self, question: str, history: Sequence[Said] = ()) -> Generator[AnswerEvent, None, None]:
        """Answer ``question``: ``Condensed`` if it was rewritten, ``Retrieved``, ``Token`` pieces, then ``Done``.

        A ``Token`` without text is a chance to stop while a model's server is silent, also before ``Retrieved``.
        ``history`` is as ``Library.ask`` takes it. Raises QuestionError where it is not, and ModelError when a model
        fails; closing the generator closes its request.
        """
        clock, question, turns = _Clock(), clean_reply(question), turns_of(history)
        if self._tools.courtesy(question):
            yield from self._ended(replace(reply_to(question), asked=question), clock)
            return
        condensed = yield from self._condense(question, turns)
        asked = condensed.question if condensed else question
        if condensed:
            yield condensed
        clock.lap("condense")
        with closing(asking(self._retriever.embedder, asked)) as waiting:
            for _ in waiting:
                yield Token("")
        found = self._retriever.found(asked, self._top_k)
        hits = self._whole(with_holders(asked, found.hits, self._retriever.holding))
        hits = hits if self._reordered is None else self._reordered(asked, hits)
        clock.lap("retrieve")
        yield Retrieved(tuple(hits))
        named = identified(asked, hits)
        # Words of earlier turns that the question does not point to help to find, but are not what is asked.
        own = self._llm is None and asked != question and not leans(question)
        judged = question if own else named.question
        probability = self._tools.across.probability(judged, named.led(hits)) if hits else 0.0
        # What it names exactly is there: that much less else is needed.
        certain = probability >= (self._settings.named if named.spelled else self._settings.threshold)
        clock.lap("abstain")
        series = self._tools.series.read(named.question, hits)
        listed = series if series is not None and series.quotes else None
        if named.missing and not named.met:
            probability, answer = 0.0, abstention(question, hits, named.notice)
        elif listed is not None and self._llm is None:
            answer = self._listed(question, listed, hits)
            probability = max(probability, self._tools.across.probability(listed.rest, hits))
        elif not (certain or named.met or listed) and probability < self._settings.absent:
            answer = abstention(question, hits, "nothing found that answers the question")
        elif self._llm is None:
            answer = self._quote(question, named.question, hits, certain=certain)
        else:
            hits = hits if listed is None else listed.led(hits)
            answer = yield from self._generate(question, asked, turns, hits, clock, sure=probability >= CONFIDENT)
            if not (certain or answer.abstained or _borne_out(answer)):
                answer = replace(answer, outcome=Outcome.UNCERTAIN)
        told = series.said if series is not None and listed is None else ""
        across = self._tools.across.notice(judged, hits)
        notes = (condensed.note if condensed else "", named.notice, across, found.notice, told, *answer.notices)
        clock.lap("answer")
        answer = replace(
            answer,
            asked=asked,
            used=used_hits(answer),
            probability=max(probability, answer.probability),
            notices=tuple(filter(None, notes)),
        )
        yield from self._ended(answer, clock)

    def _ended(self, answer: Answer, clock: _Clock) -> Iterator[AnswerEvent]:
        timings = {**answer.timings, **clock.finish()}
        if not answer.tokens:  # no model has written, so nothing was streamed
            yield Token(answer.text)
        yield Done(replace(answer, model=self._settings.model, timings=timings))

    def verify(self, text: str) -> Answer:
        """Hold the sentences of ``text`` against what is found for it: an Answer that says how each is supported.

        No model is asked. Markers that the text already holds are not believed: they are left out.
        """
        hits = self._retriever.hits(text)
        plain = "".join(part for part in parse(text, 0) if isinstance(part, str))
        marks = "".join(f"[{number}]" for number in range(1, len(hits) + 1))
        pieces = [f"{plain[start:end].strip()} {marks}" for start, end in sentences(plain)]
        verified = self._tools.verifier.verify("\n".join(pieces), hits, self._tools.neighbours)
        return Answer(
            question=text,
            text=verified.text,
            abstained=False,
            sentences=verified.sentences,
            citations=located(verified.citations, self._tools.headings),
            markers=verified.markers,
            hits=tuple(hits),
        )

    def _stands_alone(self, question: str, history: Sequence[Turn]) -> bool:
        """Whether the question is to be searched as it is: the documents answer it so, or what they hold in the
        context of the earlier turns does not answer it. One that points back by itself does not stand alone."""
        if leans(question):
            return False
        judge, threshold = self._tools.across, self._settings.threshold
        if judge.probability(question, self._retriever.hits(question)) >= threshold:
            return True
        found = self._retriever.hits(in_context(question, history).question)
        return judge.probability(question, found) < threshold

    def _condense(self, question: str, history: Sequence[Turn]) -> Generator[AnswerEvent, None, Condensed | None]:
        if self._llm is None:
            earlier = [turn for turn in history if not self._tools.courtesy(turn.user)]
            return None if not earlier or self._stands_alone(question, earlier) else in_context(question, earlier)
        tools, reply = self._tools, ""
        try:
            asked = rewriting_prompt(
                question,
                history,
                tools.condense_prompt,
                room=self._settings.room,
                counter=tools.counter,
                secret=tools.secret,
            )
            if asked is None:
                return None
            with closing(self._chat([Message("system", asked[0]), Message("user", asked[1])])) as chunks:
                for chunk in chunks:
                    reply += chunk.text
                    if len(reply) > longest_rewriting(question):
                        break
                    yield Token("")
        except ModelError as error:
            logger.warning("The follow-up could not be rewritten: %s", error)
            note = f"The follow-up could not be rewritten ({error}); it was searched as it stands."
            return Condensed(question, question, note)
        return rewritten(question, reply)

    def _whole(self, hits: Sequence[Hit]) -> list[Hit]:
        """The hits with the sentences whole that a passage's edge cuts."""
        return [replace(hit, passage=self._tools.whole(hit.passage)) for hit in hits]

    def _quote(self, question: str, asked: str, hits: Sequence[Hit], *, certain: bool = True) -> Answer:
        quotes = self._tools.across.answer(asked, hits)
        if not quotes:
            return abstention(question, hits, "no sentence answers the question")
        sides = [self._side(side, quotes, hits) for side in sides_of(asked)]
        for side in sides:
            quotes += side.quotes
            hits = [*hits, *(hit for hit in side.hits if hit not in hits)]
        probability = max((side.probability for side in sides), default=0.0)
        certain = certain or probability >= self._settings.threshold
        answer = quoted_answer(question, quotes, hits, certain=certain)
        notices = tuple(side.notice for side in sides if side.notice)
        citations = located(answer.citations, self._tools.headings)
        return self._compared(replace(answer, citations=citations, notices=notices, probability=probability), asked)

    def _side(self, side: Side, quotes: Sequence[Quote], hits: Sequence[Hit]) -> _SideFound:
        """What there is of one side of a comparison beyond the ``quotes``, if they say nothing of it."""
        judge = self._tools.across
        if any(side.named_by(quote) for quote in quotes):
            return _SideFound(judge.probability(side.question, hits))
        found = self._whole(self._retriever.hits(side.question, self._top_k))
        probability = judge.probability(side.question, found)
        own = [quote for quote in self._tools.across.answer(side.question, found) if side.named_by(quote)]
        if own and probability >= self._settings.threshold:
            return _SideFound(probability, own[:1], [hit for hit in found if hit.passage == own[0].passage])
        if any(side.named_in(hit.passage) for hit in found):
            return _SideFound(notice=f"Nothing was found that says this of {side.name}.")
        return _SideFound(notice=f"The documents do not name {side.name}.")

    def _listed(self, question: str, series: Series, hits: Sequence[Hit]) -> Answer:
        """The members of a series that answer, in its order."""
        known = {hit.passage.id for hit in hits}
        found = [*hits, *(hit for hit in series.hits if hit.passage.id not in known)]
        answer = quoted_answer(question, series.quotes, found, said=series.said)
        return self._compared(replace(answer, citations=located(answer.citations, self._tools.headings)), question)

    def _generate(
        self, question: str, asked: str, history: Sequence[Turn], hits: Sequence[Hit], clock: _Clock, *, sure: bool
    ) -> Generator[AnswerEvent, None, Answer]:
        """The model's answer, checked; where it gave none, quotes if the gate is ``sure`` that there is one."""
        prompt = self._assembled(asked, history, hits, self._tools.counter, clock)
        draft = Draft()
        try:
            yield from self._written(prompt, draft, clock)
        except PromptTooLong as error:
            if draft.text:
                raise
            # The server counts more tokens than estimated: believe it for this question, and send less.
            logger.warning("%s Trying once more with fewer sources.", error)
            wary = TokenCounter(prompt.factor * caution(prompt.tokens, error.tokens))
            prompt = self._assembled(asked, history, hits, wary, clock)
            yield from self._written(prompt, draft, clock)
        except EmptyAnswer as error:
            if not sure:
                raise
            logger.warning("%s", error)
            draft.failure = "ended without an answer"
        answer = None
        if not draft.failure:
            answer = yield from self._checked(question, asked, prompt, draft, hits, clock)
            if not self._tools.across.holds_answer(asked, answer.hits, supported_spans(answer)):
                draft.failure = _BESIDE
        if draft.failure:
            answer = self._instead(question, asked, hits, draft.failure, sure=sure and draft.failure != _BESIDE)
            yield Token(("\n\n" if draft.text else "") + answer.text)
        assert answer is not None
        return self._counted(answer, prompt, draft)

    def _instead(self, question: str, asked: str, hits: Sequence[Hit], failure: str, *, sure: bool) -> Answer:
        """What is shown in place of a model's reply that is no answer, and why."""
        said = f"The model {self._settings.model.removeprefix('ollama:')} {failure}"
        quoted = self._quote(question, asked, hits) if sure else None
        if quoted is not None and not quoted.abstained:
            note = f"{said}; the documents do seem to answer, so their best sentences are quoted instead."
            return replace(quoted, reason=f"the model {failure}", notices=(note, *quoted.notices))
        notes = () if failure == REFUSED else (f"{said}.",)
        return replace(abstention(question, hits, f"the model {failure}"), notices=notes)

    def _assembled(
        self, asked: str, history: Sequence[Turn], hits: Sequence[Hit], counter: TokenCounter, clock: _Clock
    ) -> Assembled:
        prompt = assemble(
            self._tools.answer_prompt,
            asked,
            history,
            hits,
            room=self._settings.room,
            counter=counter,
            secret=self._tools.secret,
        )
        clock.lap("prompt")
        return prompt

    def _written(self, prompt: Assembled, draft: Draft, clock: _Clock) -> Generator[AnswerEvent, None, None]:
        for piece in write(self._chat, prompt, draft):
            yield Token(piece)
        clock.lap("model")

    def _checked(
        self, question: str, asked: str, prompt: Assembled, draft: Draft, hits: Sequence[Hit], clock: _Clock
    ) -> Generator[AnswerEvent, None, Answer]:
        text = without_references(draft.text, [hit.passage for hit in prompt.hits])
        verified = self._tools.verifier.verify(text, prompt.hits, self._tools.neighbours, question=asked)
        citations = located(verified.citations, self._tools.headings)
        clock.lap("verify")
        opinions = Opinions(verified.sentences)
        if self._tools.judge is not None:
            opinions = yield from self._judged(self._tools.judge, verified, hits)
            clock.lap("judge")
        answer = Answer(
            question=question,
            text=verified.text,
            abstained=False,
            sentences=uncertified_end(opinions.sentences) if draft.reason == "length" else opinions.sentences,
            citations=citations,
            markers=verified.markers,
            hits=tuple(hits),
            dropped_markers=draft.dropped + verified.dropped,
            notices=(opinions.notice,) if opinions.notice else (),
        )
        return self._compared(answer, asked)

    def _compared(self, answer: Answer, asked: str) -> Answer:
        """The answer with what the sources say against each other."""
        found = disagreements(answer.sentences, answer.citations, answer.hits, asked)
        return replace(answer, disagreements=located_claims(found, self._tools.headings))

    def _judged(self, judge: Judge, verified: Verified, hits: Sequence[Hit]) -> Generator[AnswerEvent, None, Opinions]:
        def ask(messages: Sequence[Message]) -> Generator[Chunk, None, None]:
            other = self._tools.judging
            return self._chat(messages, other() if other is not None else None, **judge.options)

        passages = [hit.passage for hit in hits]
        return (yield from judge.opinions(ask, verified.sentences, verified.citations, passages))

    def _counted(self, answer: Answer, prompt: Assembled, draft: Draft) -> Answer:
        notices = calibration_notices(prompt, draft, self._settings.window)
        if "truncated" in notices:
            logger.warning("%s", notices["truncated"])
        else:
            self._tools.counter.observe(prompt.tokens, draft.prompt_tokens, prompt.factor)
            self._tools.learn(self._tools.counter)
        return replace(
            answer,
            notices=(*answer.notices, *notices.values()),
            timings={"first_token": draft.first_token_ms},
            tokens={
                "estimated": prompt.tokens,
                "prompt": draft.prompt_tokens,
                "answer": draft.answer_tokens,
            },
        )

    def _chat(
        self, messages: Sequence[Message], model: LLM | None = None, **options: Any
    ) -> Generator[Chunk, None, None]:
        """What the answering model, or another one, says."""
        llm = model or self._llm
        assert llm is not None and self._tools.chat is not None
        return self._tools.chat(llm, messages, **options)


def _borne_out(answer: Answer) -> bool:
    """Whether what it cites supports a sentence of it."""
    return any(sentence.support in (Support.SUPPORTED, Support.QUOTED) for sentence in answer.sentences)


_BESIDE = "wrote something that does not answer the question"


@dataclass(frozen=True, slots=True)
class _SideFound:
    """Of one side of a comparison: the probability that it is answered, quotes and their hits, or what is missing."""

    probability: float = 0.0
    quotes: Sequence[Quote] = ()
    hits: Sequence[Hit] = ()
    notice: str = ""


class _Clock:
    """Milliseconds between laps, by name, and their total."""

    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self._laps[name] = self._laps.get(name, 0.0) + (now - self._last) * 1000
        self._last = now

    def finish(self) -> dict[str, float]:
        return {**self._laps, "total": (time.perf_counter() - self._start) * 1000}
