"""One sentence against a group of passages: is it a claim, is it there word for word, or in other words?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache

from rag.answer.passages import Unit, units_of
from rag.answer.verify.evidence import Claim, Reader, Window
from rag.answer.verify.gates import UNPROVEN, Gates, gates
from rag.answer.verify.tokens import Likeness, TokenReader
from rag.answer.weights import DOUBTED, FAILED, TOKENS, TOKENS_MIDDLE, TOKENS_MOST
from rag.language import Check, language_of, parse
from rag.language.tables import pattern
from rag.language.words import stems_listed
from rag.models.encoder import Encoder
from rag.models.static import StaticVectors
from rag.text import find_folded, fold
from rag.types import Passage, Support

SUPPORTED = 0.5
"""From this score a sentence counts as supported (balanced accuracy of it: see the benchmark)."""
PARTIAL = 0.22
"""From this score it counts as partly supported. What lies below or has failed a gate is 0.03 of QAGS' right sentences
and 0.26 of the wrong ones, and of summaries in words of their own 0.47 and 0.99 (held out, ``python -m tests.bench
ablation``)."""
STRICT = 0.7
"""What a sentence without a marker must reach, with every gate passed, to be attributed to a passage: of the wrong ones
of QAGS, whose authors are copied, 0.12 do, of all other held-out sets' 0.001."""

_UNPROVEN = SUPPORTED - 0.01
# Of each passage, those windows that say most of the sentence by words alone: a rule may speak against the best.
_TRIED = 3
# A quotation has its pairs of words in the window, but for what is cut or joined; it is looked for only then: slow.
_NEARLY_ALL = 0.8
# Words, of which two stand together by chance; and the share of a sentence that stands for all of it, denied or not.
_SHORTEST_QUOTE, _WHOLE = 3, 0.8
_OPENING = " \t\n\"'“”‘’«»*_-•"
# Content words of a heading that ends in a colon.
_LONGEST_HEADING = 8
# Sentences that several markers of one sentence may point at together.
_WIDEST = 8
# Where the exponential is 0 or 1 to the last digit.
_STEEPEST = 50.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """How well the best of the passages supports a sentence: ``passages[passage]``, at ``start:end`` of its document.

    ``score`` in [0, 1]; ``evidence`` holds its parts: recall, pairs, triples, cosine, the tokens' likeness and
    each gate.
    ``unchecked`` names what the sentence's language has no data to check by: then it is at most partly supported, but
    where it stands word for word.
    """

    support: Support
    score: float
    passage: int
    start: int
    end: int
    evidence: Mapping[str, float] = field(default_factory=dict)
    worst: float = 1.0
    unchecked: tuple[Check, ...] = ()

    @property
    def strict(self) -> bool:
        """Whether it holds without any doubt: verbatim, or far over the threshold with every gate passed."""
        return self.support is Support.QUOTED or (self.score >= STRICT and self.worst >= 1)

    @property
    def clear(self) -> bool:
        """Whether it holds with every gate passed."""
        return self.holds and self.worst >= 1

    @property
    def holds(self) -> bool:
        """Whether the sentence is supported, verbatim or in other words."""
        return self.support in (Support.QUOTED, Support.SUPPORTED)


def is_claim(sentence: str) -> bool:
    """Whether a sentence states something a document could support: no heading, greeting, question, or remark
    about the documents themselves."""
    if pattern("no claim").match(sentence) or pattern("about documents").search(sentence):
        return False
    if sentence.rstrip().endswith(("?", "？", "؟")):
        return False
    content = {word.stem for word in parse(sentence).content}
    if not content - stems_listed("en", "of documents"):
        return False
    return not (sentence.rstrip(" *_").endswith(":") and len(content) <= _LONGEST_HEADING)


class Checker:
    """Holds single sentences against passages."""

    def __init__(self, vectors: StaticVectors, encoder: Encoder | None = None) -> None:
        self.reader = Reader(vectors)
        self._tokens = TokenReader(encoder) if encoder is not None else None

    def check(self, sentence: str, passages: Sequence[Passage], question: str = "") -> Verdict:
        """The verdict of the best passage. Names that only ``question`` has leave a doubt instead of failing."""
        if not is_claim(sentence):
            return Verdict(Support.NOT_A_CLAIM, 0.0, 0, passages[0].start, passages[0].start)
        claim = self.reader.claim(sentence, language_of(passages[0].text))
        windows = [
            (place, passage, window)
            for place, passage in enumerate(passages)
            for window in self.reader.windows(claim, self.reader.source(passage.certain))[:_TRIED]
        ]
        for place, passage in {p: q for p, q, w in windows if w.parts["pairs"] >= _NEARLY_ALL}.items():
            span = quoted_span(sentence, passage.certain)
            if span is not None:
                start, end = span
                return Verdict(Support.QUOTED, 1.0, place, passage.start + start, passage.start + end)
        verdicts = [self._judge(claim, window, passage, place, question) for place, passage, window in windows]
        if not verdicts:
            return Verdict(Support.UNSUPPORTED, 0.0, 0, passages[0].start, passages[0].start)
        return max(verdicts, key=lambda verdict: (verdict.holds, verdict.score))

    def together(self, sentence: str, passages: Sequence[Passage], spans: Sequence[tuple[int, int]]) -> Verdict:
        """The verdict of several spans, each ``start:end`` in its passage's document, taken as one text."""
        claim = self.reader.claim(sentence, language_of(passages[0].text))
        texts = [p.certain[start - p.start : end - p.start] for p, (start, end) in zip(passages, spans, strict=True)]
        source = self.reader.source("\n\n".join(texts))
        window = next(
            w for w in self.reader.windows(claim, source, widest=_WIDEST) if w.last - w.first + 1 == len(source.units)
        )
        context = "\n".join(_context(passage) for passage in passages)
        held = gates(claim, window, context)
        first = passages[0]
        return _verdict(window, held, self._likeness(claim, source.text), 0, first.start, first.start)

    def _judge(self, claim: Claim, window: Window, passage: Passage, place: int, question: str) -> Verdict:
        held = gates(claim, window, _context(passage), question)
        start, end = passage.start + window.start, passage.start + window.end
        return _verdict(window, held, self._likeness(claim, passage.certain), place, start, end)

    def _likeness(self, claim: Claim, text: str) -> Likeness | None:
        return self._tokens.likeness(claim, text) if self._tokens is not None else None


def _verdict(window: Window, held: Gates, likeness: Likeness | None, place: int, start: int, end: int) -> Verdict:
    score = score_of(window, held, likeness)
    tokens = {"tokens": likeness.mean, "tokens_lowest": likeness.lowest} if likeness is not None else {}
    parts = {gate: value for gate, value in asdict(held).items() if isinstance(value, float)}
    evidence = {**window.parts, **tokens, **parts}
    return Verdict(support_of(score, held), score, place, start, end, evidence, held.worst, held.unchecked)


def score_of(window: Window, held: Gates, likeness: Likeness | None = None) -> float:
    """How well a window supports a claim whose gates are ``held``, in [0, 1]; below ``SUPPORTED`` where one failed."""
    logit = window.logit
    if likeness is not None:
        logit += likeness.known * TOKENS * min(TOKENS_MOST, likeness.mean + likeness.lowest - TOKENS_MIDDLE)
    logit -= FAILED * sum(gate == 0 for gate in held.each) + DOUBTED * sum(0 < gate < 1 for gate in held.each)
    score = 1 / (1 + math.exp(-max(-_STEEPEST, min(_STEEPEST, logit))))
    # Nothing tells whether a negation was lost or an opposite put in: no support by a check that was not made.
    # "Both pumps" may be what "two" counts, but nothing proves it.
    return min(score, _UNPROVEN) if held.worst <= UNPROVEN or held.unchecked else score


def support_of(score: float, held: Gates) -> Support:
    """What such a score and such gates come to."""
    if held.worst == 0 or score < PARTIAL:
        return Support.UNSUPPORTED
    return Support.SUPPORTED if score >= SUPPORTED else Support.PARTIAL


def _context(passage: Passage) -> str:
    return "\n".join([passage.title, *passage.heading, passage.source, passage.certain])


_folded = lru_cache(maxsize=1_024)(fold)


def quoted_span(sentence: str, text: str) -> tuple[int, int] | None:
    """Where ``text`` holds ``sentence`` word for word, but for case, white space, dashes and quotation marks.

    At least three words; and either most of a sentence of the text, or a part that nothing before it denies.
    """
    wanted = sentence.lstrip(_OPENING).rstrip(_OPENING + ".!?;:,。！？")
    needle = fold(wanted)
    if len(parse(wanted).words) < _SHORTEST_QUOTE or needle not in _folded(text):
        return None
    span = find_folded(wanted, text)
    if span is None or not _at_words(text, *span):
        return None
    start, end = span
    around = [unit for unit in units_of(text) if unit.start < end and start < unit.end]
    if not around:
        return None
    whole = around[-1].end - around[0].start
    before = parse(text[around[0].start : start], around[0].parsed.read_as)
    if end - start < _WHOLE * whole and before.denies():
        return None
    if any(_denied_from_outside(unit, start - unit.start, end - unit.start) for unit in around):
        return None
    if end < around[-1].end and not text[end : around[-1].end].strip(" .!?\"'”’)。！？"):
        end = around[-1].end
    return start, end


def _denied_from_outside(unit: Unit, start: int, end: int) -> bool:
    """Whether a negation of the sentence that ``[start:end)`` leaves out reaches into it, as "nicht" behind does."""
    left_out = (n for n in unit.parsed.negations if not start <= n.start < end)
    return any(start <= word.start < end for negation in left_out for word in negation.reached)


def _at_words(text: str, start: int, end: int) -> bool:
    """Whether a span neither begins nor ends inside a word."""
    begins = start == 0 or not (text[start - 1].isalnum() and text[start].isalnum()) or not text[start].isascii()
    ends = end == len(text) or not (text[end - 1].isalnum() and text[end].isalnum()) or not text[end].isascii()
    return begins and ends
