"""One record against its gold question: every metric that is defined for it, by the definitions of the README.

A metric that is not defined for a record (facts of an unanswerable question, the precision of refusals where nothing
was refused) is absent; nothing is ever scored NaN.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from rag.answer.verify import Verifier
from rag.gold.metrics.definitions import depth_of
from rag.gold.metrics.matching import (
    Backend,
    Finder,
    LibraryCorpus,
    SlowPattern,
    number_support,
    states,
    token_f1,
    violations,
)
from rag.gold.metrics.retrieval import file_metrics, passage_metrics
from rag.gold.types import (
    DIGITS,
    Cited,
    GoldSet,
    InvalidGold,
    Place,
    Problem,
    Question,
    Record,
    Reply,
    Run,
    Said,
    plain_text,
)
from rag.models.static import StaticVectors, static_vectors
from rag.text import fold
from rag.types import Answer, Citation, Hit, Passage, Support


@dataclass(frozen=True, slots=True)
class Evidence:
    """What scoring asks of the verifier and the embedder."""

    verifier: Verifier
    vectors: StaticVectors

    def supports(self, sentence: str, passages: Sequence[Passage]) -> bool:
        """φ of ALCE: whether the passages, one of them or all joined, support the sentence; the plain case, words that
        stand in one of them as they are, first."""
        words = fold(sentence)
        if any(words in fold(passage.text) for passage in passages):
            return True
        if self.verifier.check(sentence, passages).holds:
            return True
        if len(passages) < 2:
            return False
        text = "\n\n".join(passage.text for passage in passages)
        joined = replace(passages[0], start=0, end=len(text), text=text)
        return self.verifier.check(sentence, [joined]).holds

    def similarity(self, answer: str, references: Sequence[str]) -> float:
        """The best cosine of the answer to one of the references, in [-1, 1]."""
        rows = self.vectors.embed([answer, *references])
        return float(np.max(rows[1:] @ rows[0]))


def default_evidence() -> Evidence:
    """The verifier over the built-in embedder; loads its vectors once in a process."""
    vectors = static_vectors()
    return Evidence(Verifier(vectors), vectors)


@dataclass(frozen=True, slots=True)
class Scorer:
    """Scores records at ``k``. ``passages`` are the texts of the run's passages by key.

    Support is judged by ``evidence`` from what each sentence cites, so that an answer whose citations were mixed up
    on the way is not taken at its word.
    """

    finder: Finder
    k: int
    passages: Mapping[str, str]
    evidence: Evidence

    def score(self, question: Question, record: Record) -> Record:
        """``record`` with its metrics and notes; one with an error stays without."""
        if record.error:
            return replace(record, metrics={}, notes=())
        # Measured where it ran, and no answer to derive it from.
        metrics = {
            name: value for name, value in record.metrics.items() if record.reply is None and name == "retrieve_ms"
        }
        notes: list[str] = []
        if question.sources and not question.unanswerable:
            metrics.update(self._retrieval(question, record, notes))
        reply = record.reply
        if reply is not None:
            reply = replace(reply, sentences=tuple(self._judged(said, reply) for said in reply.sentences))
            metrics.update(self._reply(question, reply, notes))
        rounded = {name: round(value, DIGITS) for name, value in metrics.items()}
        return replace(record, reply=reply, metrics=rounded, notes=tuple(notes))

    def _judged(self, said: Said, reply: Reply) -> Said:
        cited = [passage_by_key(reply.citations[n].passage, self.passages) for n in said.citations]
        known = [passage for passage in cited if passage is not None]
        entailed = said.claim and bool(known) and self.evidence.supports(said.text, known)
        carries: list[bool] = []
        for passage in cited:
            others = [other for other in known if other is not passage]
            enough = passage is not None and (len(known) == 1 or self.evidence.supports(said.text, [passage]))
            needed = enough or not (others and self.evidence.supports(said.text, others))
            carries.append(entailed and passage is not None and needed)
        return replace(said, entailed=entailed, carries=tuple(carries))

    def _retrieval(self, question: Question, record: Record, notes: list[str]) -> dict[str, float]:
        ks = sorted({1, self.k, *(depth_of(name) for name in question.thresholds)} - {0})
        metrics = file_metrics([found.source for found in record.ranking], question.files, ks)
        quotes = []
        for source in question.sources:
            if source.quote:
                spans = self.finder.quote(source.file, source.quote, source.page)
                quotes.append(tuple(Place(source.file, *span) for span in spans))
                if not spans:
                    notes.append(f"the gold quote is not in {source.file}: {source.quote[:60]}")
        if quotes:
            ranking = [found.place for found in record.ranking]
            for k in ks:
                metrics.update(passage_metrics(ranking, quotes, k))
        return metrics

    def _reply(self, question: Question, reply: Reply, notes: list[str]) -> dict[str, float]:
        if reply.reason and not reply.abstained and not question.unanswerable:
            # Quotes stood in for a model that gave no answer: that helps its user, and is still the model's failure.
            notes.append(f"quoted instead of answered: {reply.reason}")
            reply = replace(reply, abstained=True)
        metrics = abstention_metrics(question, reply)
        forbidden = () if reply.abstained else violations(question.must_not_contain, reply.plain)
        if question.must_not_contain:
            metrics["violations"] = float(len(forbidden))
        notes.extend(f"forbidden wording found: {pattern}" for pattern in forbidden)
        if not question.unanswerable:
            metrics.update(self._facts(question, reply, notes))
            metrics.update(self._citations(question, reply))
        metrics.update(cost_metrics(reply))
        return metrics

    def _facts(self, question: Question, reply: Reply, notes: list[str]) -> dict[str, float]:
        metrics: dict[str, float] = {}
        if question.facts:
            # The wording of a refusal states nothing, whatever words it holds.
            stated = [not reply.silent and states(fact, reply.plain) for fact in question.facts]
            metrics["fact_recall"] = sum(stated) / len(stated)
            notes.extend(
                f"fact missing: {fact.id}" for fact, there in zip(question.facts, stated, strict=True) if not there
            )
        if references := references_of(question):
            metrics["token_f1"] = 0.0 if reply.silent else token_f1(reply.plain, references)
            if not reply.silent:
                metrics["similarity"] = self.evidence.similarity(reply.plain, references)
        return metrics

    def _citations(self, question: Question, reply: Reply) -> dict[str, float]:
        metrics = alce(reply)
        if (markers := len(reply.citations) + reply.dropped_markers) > 0:
            metrics["marker_validity"] = len(reply.citations) / markers
        if reply.citations:
            metrics["quote_validity"] = sum(map(self._quote_stands, reply.citations)) / len(reply.citations)
        if question.sources:
            cited, gold = reply.cited_files, question.files
            shared = len(set(cited) & set(gold))
            metrics["cited_file_precision"] = shared / len(cited) if cited else 0.0
            metrics["cited_file_recall"] = shared / len(gold)
        evidence = [self.passages.get(citation.passage, citation.quote) for citation in reply.citations]
        if not reply.silent and (share := number_support(reply.plain, evidence)) is not None:
            metrics["number_support"] = share
        return metrics

    def _quote_stands(self, citation: Cited) -> bool:
        text = self.finder.corpus.text(citation.source)
        return text is not None and bool(citation.quote) and text[citation.start : citation.end] == citation.quote


def abstention_metrics(question: Question, reply: Reply) -> dict[str, float]:
    """From the answer's own flag; positive is unanswerable. Each is a share over the records in which it stands."""
    right = reply.abstained == question.unanswerable
    metrics = {"abstention_accuracy": float(right)}
    if reply.abstained:
        metrics["abstention_precision"] = float(question.unanswerable)
    metrics["abstention_recall" if question.unanswerable else "over_refusal"] = float(reply.abstained)
    return metrics


def alce(reply: Reply) -> dict[str, float]:
    """Citation recall and precision as ALCE (Gao et al., 2023) defines them, with φ's findings from ``Said``.

    Recall: sentences that all they cite supports ÷ sentences that claim something. Precision: citations that carry
    their sentence ÷ all citations and invalid markers. An answer without a sentence or citation scores 0.
    """
    claims = [said for said in reply.sentences if said.claim]
    made = sum(len(said.citations) for said in reply.sentences) + reply.dropped_markers
    carrying = sum(sum(said.carries) for said in reply.sentences)
    supported = sum(said.entailed for said in claims)
    if reply.silent:
        return {"citation_recall": 0.0, "citation_precision": 0.0}
    return {
        "citation_recall": supported / len(claims) if claims else 0.0,
        "citation_precision": carrying / made if made else 0.0,
    }


def cost_metrics(reply: Reply) -> dict[str, float]:
    """Milliseconds to the passages, to the first word and in all; tokens, where a model counted them."""
    laps = reply.timings
    before = sum(laps.get(name, 0.0) for name in ("condense", "retrieve", "abstain", "prompt"))
    found = {
        "retrieve_ms": laps.get("retrieve"),
        "first_token_ms": before + laps["first_token"] if laps.get("first_token") else laps.get("total"),
        "total_ms": laps.get("total"),
        "prompt_tokens": reply.tokens.get("prompt") or None,
        "answer_tokens": reply.tokens.get("answer") or None,
    }
    return {name: float(value) for name, value in found.items() if value is not None}


def references_of(question: Question) -> tuple[str, ...]:
    """The reference answers: the aliases, or else the plain wordings of the facts."""
    wordings = (wording for fact in question.facts for wording in fact.any if not wording.startswith("re:"))
    return question.aliases or tuple(wordings)


def reply_of(answer: Answer) -> Reply:
    """What a run keeps of ``answer``; the texts of its passages are kept apart (``passage_texts``)."""
    sentences = (
        Said(
            plain_text(answer, sentence.start, sentence.end).strip(),
            sentence.support.value,
            sentence.support is not Support.NOT_A_CLAIM,
            sentence.citations,
        )
        for sentence in answer.sentences
    )
    return Reply(
        text=answer.text,
        plain=plain_text(answer).strip(),
        abstained=answer.abstained,
        reason=answer.reason,
        asked=answer.asked or answer.question,
        sentences=tuple(sentences),
        citations=tuple(_cited(citation, answer.hits) for citation in answer.citations),
        dropped_markers=answer.dropped_markers,
        probability=round(answer.probability, DIGITS),
        model=answer.model,
        timings={lap: round(milliseconds, 3) for lap, milliseconds in answer.timings.items()},
        tokens=dict(answer.tokens),
        notices=answer.notices,
    )


def _cited(citation: Citation, hits: Sequence[Hit]) -> Cited:
    """The citation with the key of the retrieved passage that holds its span, if there is one."""
    keys = (
        passage_key(hit.passage)
        for hit in hits
        if hit.passage.source == citation.source
        and hit.passage.start <= citation.start
        and citation.end <= hit.passage.end
    )
    return Cited(
        citation.marker, citation.source, citation.page, citation.start, citation.end, citation.quote,
        citation.origin, next(keys, ""),
    )  # fmt: skip


def passage_key(passage: Passage) -> str:
    """The key of a passage's text in a run."""
    return f"{passage.source}:{passage.start}-{passage.end}"


def passage_texts(hits: Iterable[Hit]) -> dict[str, str]:
    """The texts of the hits' passages by key."""
    return {passage_key(hit.passage): hit.passage.text for hit in hits}


def passage_by_key(key: str, texts: Mapping[str, str]) -> Passage | None:
    """The passage as far as a run keeps it, or ``None`` when its text is not there."""
    text = texts.get(key)
    if text is None:
        return None
    source, _, place = key.rpartition(":")
    start, _, end = place.partition("-")
    return Passage(0, 0, source, "", 0, int(start), int(end), text)


@cache
def scorer_version() -> str:
    """A digest of the code that scores, the verifier's included: answers that other code scored are scored again."""
    whole = hashlib.sha256()
    for name, code in sorted(scoring_code().items()):
        whole.update(f"{name}\0{len(code)}\0".encode() + code)
    return whole.hexdigest()[:16]


def scoring_code() -> dict[str, bytes]:
    """The text of the modules that scores depend on: what scoring and support import from this program, and what these
    import in turn, read from their import statements."""
    root = Path(__file__).resolve().parents[3]
    found: dict[str, bytes] = {}
    waiting = ["rag.gold.metrics.scoring"]
    while waiting:
        name = waiting.pop()
        place = root.joinpath(*name.split("."))
        path = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        if name not in found and path.is_file():
            found[name] = path.read_bytes()
            waiting.extend(_imported(found[name]))
    return found


def _imported(code: bytes) -> Iterator[str]:
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "rag":
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@contextmanager
def patterns_of(question: Question, path: str) -> Iterator[None]:
    """Raise InvalidGold at the question's line of ``path`` when one of its patterns takes too long."""
    try:
        yield
    except SlowPattern as slow:
        raise InvalidGold(path, (Problem(question.line, f"In '{question.id}': {slow}", slow.hint),)) from slow


def rescore(run: Run, gold: GoldSet, backend: Backend, collection: str | None, *, k: int) -> Run:
    """``run``'s stored answers scored again at ``k`` by ``gold`` as it is now. Questions it no longer has stay."""
    now = gold.by_id()
    known = {question.id: question for question in run.questions}
    scorer = Scorer(Finder(LibraryCorpus(backend, collection)), k, run.passages, default_evidence())
    records: list[Record] = []
    for record in run.records:
        question = now.get(record.id) or known[record.id]
        with patterns_of(question, gold.path):
            records.append(scorer.score(question, record))
    questions = tuple(now.get(question.id, question) for question in run.questions)
    mark = {**run.fingerprint, "scorer": scorer_version(), "gold": {"sha256": gold.sha256, "questions": len(now)}}
    return replace(run, records=tuple(records), questions=questions, fingerprint=mark, k=k)


def needs_rescoring(old: Run, new: Run) -> str:
    """Why stored answers of ``old`` must be scored again before they are held against ``new``; empty if not."""
    if old.fingerprint.get("scorer") != new.fingerprint.get("scorer"):
        return "the scorer has changed"
    if old.k != new.k:
        return "k has changed"
    shared = {question.id: question for question in old.questions}
    if any(question.id in shared and shared[question.id] != question for question in new.questions):
        return "the gold set has changed"
    return ""
