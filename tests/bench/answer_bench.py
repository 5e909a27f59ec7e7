"""Answers without a model, measured: verification, quotes, abstention, on the halves tuned on and held out.

``python -m tests.bench.answer_bench [verify] [quotes] [abstain] [briefs] [spoof] [relevance]``; sets that are not there
are skipped.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from statistics import fmean

from rag.answer.quoting import Quoter
from rag.answer.verify import SUPPORTED, Verdict, Verifier
from rag.config import Config
from rag.language.sentences import sentences
from rag.library import Library
from rag.models.encoder import shared_encoder
from rag.models.static import static_vectors
from rag.text import words
from rag.types import Answer, Passage, Support
from tests.answer.spoofs import accepted_spoofs
from tests.bench import answer_data as data
from tests.bench import tables
from tests.bench.claims_data import about_briefs, about_paragraphs, of_briefs
from tests.bench.tables import say, table

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
HALVES = ((data.TUNE, "tuned on"), (data.HOLD, "held out"), (None, "all"))


def main(parts: Sequence[str] = ()) -> None:
    """Run the named parts (default: all)."""
    known: dict[str, Callable[[], None]] = {
        "verify": verify, "quotes": quotes, "abstain": abstain, "briefs": briefs, "spoof": spoof,
        "relevance": relevance,
    }  # fmt: skip
    for name in parts or known:
        known[name]()
        say()


def verify() -> None:
    """QAGS: 714 sentences judged by people, each against its article; and made sentences."""
    if tables.data("qags") is None:
        return
    verifier, plain_verifier = Verifier(static_vectors(), shared_encoder()), Verifier(static_vectors())
    judged = data.qags()
    started = time.perf_counter()
    verdicts = [verifier.check(item.sentence, [_whole(item.article)]) for item in judged]
    spent = (time.perf_counter() - started) / len(judged) * 1000
    unread = [plain_verifier.check(item.sentence, [_whole(item.article)]) for item in judged]
    plain = {name: [score(item.sentence, item.article) for item in judged] for name, score in BASELINES.items()}
    rows = []
    for half, name in HALVES:
        own = [i for i, item in enumerate(judged) if half is None or item.half == half]
        right = [judged[i].supported for i in own]
        held = balanced([verdicts[i].holds for i in own], right)
        rows.append([name, len(own), f"rag, at its threshold of {SUPPORTED}", _auc_of(verdicts, own, right), held])
        without = balanced([unread[i].holds for i in own], right)
        rows.append([name, len(own), "the same without the encoder", _auc_of(unread, own, right), without])
        for label, values in plain.items():
            theirs = [values[i] for i in own]
            rows.append([name, len(own), f"{label}, at the best cut", auc(theirs, right), best_cut(theirs, right)])
    table(["QAGS", "sentences", "by", "AUC", "balanced accuracy"], rows)
    say(f"{spent:.1f} ms a sentence, its article (about 4,000 characters) read anew for each")
    _made(verifier)


def _made(verifier: Verifier) -> None:
    """Sentences in other words: the made ones, of which each right one has a wrong twin, and the briefs' own."""
    sets = {
        "made, about the briefs": about_briefs,
        "made, about XQuAD": about_paragraphs,
        "the briefs', about the originals": of_briefs,
    }
    rows: list[list[object]] = []
    for name, claims in sets.items():
        said = list(claims())
        verdicts = [verifier.check(one.sentence, [_whole(text) for text in one.sources]) for one in said]
        for half, label in HALVES:
            own = [i for i, one in enumerate(said) if half is None or one.half == half]
            if own:
                right = [said[i].right for i in own]
                rows.append([name, label, len(own), _auc_of(verdicts, own, right), *_states(verdicts, own, right)])
    head = ["in other words", "half", "sentences", "AUC"]
    states = [f"{kind} {state}" for kind in ("right:", "wrong:") for state in ("supported", "partial", "unsupported")]
    table([*head, *states], rows)


def _states(verdicts: Sequence[Verdict], own: Sequence[int], right: Sequence[bool]) -> list[float]:
    """Which share of the right, and of the wrong, is supported (or quoted), partial and unsupported."""
    shares = []
    for kind in (True, False):
        found = [verdicts[i].support for i, is_right in zip(own, right, strict=True) if is_right is kind]
        held = fmean(state in (Support.SUPPORTED, Support.QUOTED) for state in found)
        partial = fmean(state is Support.PARTIAL for state in found)
        shares += [held, partial, 1 - held - partial]
    return shares


def quotes() -> None:
    """XQuAD as 48 documents in a real library, every question asked in ``quotes`` mode."""
    if tables.data("xquad") is None:
        return
    documents, questions = data.xquad()
    with _library(documents) as library:
        started = time.perf_counter()
        answers = [library.ask(q.text) for q in questions]
        spent = (time.perf_counter() - started) / len(questions) * 1000
    rows = []
    for half, name in HALVES:
        pairs = [(q, a) for q, a in zip(questions, answers, strict=True) if half is None or q.half == half]
        answered = [(q, a) for q, a in pairs if not a.abstained]
        cited = [(q, documents[c.source][c.start : c.end] == c.quote, c) for q, a in answered for c in a.citations]
        rows.append([
            name, len(pairs),
            fmean(any(s in c.quote for c in a.citations for s in q.strings) for q, a in pairs),
            fmean(any(s in _best(a) for s in q.strings) for q, a in pairs),
            fmean(exact for _, exact, _ in cited),
            fmean(c.source in q.sources for q, _, c in cited),
            fmean(a.abstained for _, a in pairs),
            fmean(len(a.citations) for _, a in answered),
        ])  # fmt: skip
    head = [
        "XQuAD, quotes",
        "questions",
        "in the quotes",
        "in the best",
        "verbatim",
        "right document",
        "refused",
        "quotes",
    ]
    table(head, rows)
    say(f"{spent:.1f} ms an answer, retrieval included")


def abstain() -> None:
    """XQuAD's questions asked of the quarterly reports, which answer none of them; and the reports' own questions."""
    folder = tables.data("sec-10-q")
    if folder is None or tables.data("xquad") is None:
        return
    _, foreign = data.xquad()
    with tempfile.TemporaryDirectory() as home:
        with Library.open(Path(home), config=Config(llm="quotes", embedder="builtin")) as library:
            library.ingest(folder / "docs")
            refused = [library.ask(q.text).abstained for q in foreign]
            own = [not library.ask(q.text).abstained for q in data.report_questions()]
    rows = [
        [name, fmean(r for r, q in zip(refused, foreign, strict=True) if half is None or q.half == half)]
        for half, name in HALVES
    ]
    table(["quarterly reports", "foreign questions refused"], rows)
    say(f"their own {len(own)} questions answered: {fmean(own):.3f}")


def briefs() -> None:
    """The sample corpus and its originals with the shipped gold questions, in ``quotes`` mode."""
    for name, (documents, questions) in {"briefs": data.briefs(), "originals": data.originals()}.items():
        if not documents:
            say(f"skipped: the {name} are not there")
            continue
        with _library(documents) as library:
            answers = [library.ask(q.text) for q in questions]
        rows = []
        for half, label in HALVES:
            pairs = [(q, a) for q, a in zip(questions, answers, strict=True) if half is None or q.half == half]
            answered = [(q, a) for q, a in pairs if q.answerable and not a.abstained]
            rows.append([
                label, len(pairs),
                fmean(a.abstained != q.answerable for q, a in pairs),
                fmean(bool(q.sources & {h.passage.source for h in a.hits[:5]}) for q, a in pairs if q.answerable),
                fmean(bool(q.sources & set(a.sources[:5])) for q, a in answered),
                sum(any(s not in q.sources for s in a.sources) for q, a in answered),
            ])  # fmt: skip
        table(
            [name, "questions", "abstention accuracy", "file hit@5", "cited hit@5", "answers citing another file"], rows
        )


def relevance() -> None:
    """A model that copies: the sentence that answers, or one that does not, from a found passage. Which is an answer?

    XQuAD's questions whose answer is among the found passages. ``right`` copies the sentence with the answer;
    ``beside`` the first sentence of the best other passage without it, ``chance`` a sentence of the last one. Each is
    supported word for word; only what answers should stand. The alternative lets stand whatever is supported.
    """
    if tables.data("xquad") is None:
        return
    documents, questions = data.xquad()
    vectors = static_vectors()
    corpus = data.corpus_of(vectors, documents)
    kept: dict[tuple[int, str], list[bool]] = {}
    for question in map(corpus.ask, questions):
        quoter = Quoter(vectors, question.document_frequency, question.count)
        for kind, span in _copied(question):
            stands = quoter.holds_answer(question.text, question.hits, [span])
            kept.setdefault((question.half, kind), []).append(stands)
    rows = []
    for half, name in HALVES:
        for kind in ("right", "beside", "chance"):
            own = [one for (part, of), all_of in kept.items() if of == kind and half in (None, part) for one in all_of]
            rows.append([name, kind, len(own), fmean(own), 1.0])
    table(["XQuAD, a copying model", "copies", "answers", "stands as an answer", "without the check"], rows)


def _copied(question: data.Asked) -> Iterator[tuple[str, tuple[int, int, int]]]:
    """What the copying model copies: the kind, and the sentence as (document, start, end)."""
    (source, start, end), *_ = question.spans
    others = []
    for hit in question.hits:
        passage = hit.passage
        spans = [(passage.start + a, passage.start + b) for a, b in sentences(passage.text)]
        if passage.source == source and passage.start <= start and end <= passage.start + len(passage.text):
            yield from (("right", (passage.document_id, a, b)) for a, b in spans if a <= start and end <= b)
        elif spans and not any(string in passage.text for string in question.strings):
            others.append((passage.document_id, spans))
    if others:
        yield "beside", (others[0][0], *others[0][1][0])
        yield "chance", (others[-1][0], *others[-1][1][-1])


def spoof() -> None:
    """Documents and models that forge citations."""
    tried, accepted = accepted_spoofs()
    say(f"spoofs tried {tried}, accepted {len(accepted)}" + "".join(f"\n  {spoof}" for spoof in accepted))


@contextmanager
def _library(documents: dict[str, str]) -> Iterator[Library]:
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "documents"
        folder.mkdir()
        for name, text in documents.items():
            (folder / name).write_text(text, encoding="utf-8")
        with Library.open(Path(home) / "library", config=Config(llm="quotes", embedder="builtin")) as library:
            report = library.ingest(folder)
            if report.failed:
                raise RuntimeError(f"{report.failed[0].source}: {report.failed[0].error}")
            yield library


def _best(answer: Answer) -> str:
    """The quote with the highest score."""
    best = max(answer.sentences, key=lambda sentence: sentence.score, default=None)
    return best.text if best else ""


def _whole(article: str) -> Passage:
    return Passage(0, 0, "article", "", 0, 0, len(article), article)


def _auc_of(verdicts: Sequence[Verdict], own: Sequence[int], right: Sequence[bool]) -> float:
    return auc([verdicts[i].score for i in own], right)


def _share_in_article(sentence: str, article: str) -> float:
    """Which share of the sentence's words are in the article."""
    own, there = words(sentence), set(words(article))
    return fmean(word in there for word in own) if own else 0.0


def _share_in_sentence(sentence: str, article: str) -> float:
    """Which share of them is in the one sentence of it that has most of them."""
    return max((_share_in_article(sentence, one) for one in _SENTENCE_END.split(article)), default=0.0)


def _share_of_pairs(sentence: str, article: str) -> float:
    """Which share of the sentence's pairs of words stand so in the article."""
    own, there = list(pairwise(words(sentence))), set(pairwise(words(article)))
    return fmean(pair in there for pair in own) if own else 0.0


def auc(scores: Sequence[float], right: Sequence[bool]) -> float:
    """The chance that a supported sentence scores above an unsupported one; ties count half."""
    above = [s for s, y in zip(scores, right, strict=True) if y]
    below = [s for s, y in zip(scores, right, strict=True) if not y]
    return fmean((a > b) + 0.5 * (a == b) for a in above for b in below)


def balanced(said: Sequence[bool], right: Sequence[bool]) -> float:
    """The mean of the shares of supported and unsupported sentences that are told right."""
    yes = fmean(s for s, y in zip(said, right, strict=True) if y)
    no = fmean(not s for s, y in zip(said, right, strict=True) if not y)
    return (yes + no) / 2


def best_cut(scores: Sequence[float], right: Sequence[bool]) -> float:
    """The balanced accuracy at the threshold that suits these very sentences best."""
    return max(balanced([s >= cut for s in scores], right) for cut in set(scores))


BASELINES: dict[str, Callable[[str, str], float]] = {
    "words in the article": _share_in_article,
    "words in one sentence": _share_in_sentence,
    "pairs of words": _share_of_pairs,
}

if __name__ == "__main__":
    main(sys.argv[1:])
