"""Fits the constants of ``rag.answer.weights`` on the tune halves and prints them: ``... fit_answer [part ...]``.

Parts: ``quotes`` and ``near`` (a softmax over the sentences of the hits), ``abstain``, ``read`` and ``verify``
(logistic regressions), ``rows`` and ``tokens`` (a grid). Signs are constrained on principle: evidence for an answer
never counts against it. The span model is trained by ``tests.bench.train_spans``.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict

import numpy as np
import numpy.typing as npt

from rag.answer.abstain import DEFAULT_THRESHOLD, Abstainer
from rag.answer.passages import units_of
from rag.answer.quoting import FEATURES, Quoter, analyse, rank
from rag.answer.quoting.ranking import Candidate
from rag.answer.reading import Reader
from rag.answer.verify import Reader as ClaimReader
from rag.answer.verify import gates, is_claim, quoted_span
from rag.answer.verify.tokens import TokenReader
from rag.answer.weights import ABSTAIN, ABSTAIN_READ, DOUBTED, FAILED, QUOTE, TOKENS, TOKENS_MIDDLE, TOKENS_MOST
from rag.models.encoder import Encoder, shared_encoder
from rag.models.static import StaticVectors
from tests.bench import answer_data as data
from tests.bench.ablation_bench import SETS, Examined, examine
from tests.bench.answer_bench import auc
from tests.bench.claims_data import Claimed, about_briefs, about_others, about_paragraphs, of_briefs
from tests.bench.remembering import Remembering, RememberingSpans
from tests.bench.tables import say

Array = npt.NDArray[np.float64]
Example = tuple[Array, npt.NDArray[np.bool_]]

_QUOTE_SIGNS = {"question": -1, "untyped": -1, "elsewhere": -1, "long": 0}
_ABSTAIN_SIGNS = {
    "unknown": -1, "weak": -1, "unknown_names": -1, "focus_missing": -1,
    "gap_number": -1, "gap_time": -1, "gap_name": -1, "open": 0, "unseen": -1,
    "asked": 0, "score": 0, "lexical": 0, "size": 0,
}  # fmt: skip
_BRIEFS_COUNT = 4
_VERIFY_SIGNS = {"patched": -1, "wider": -1}
_WRONG_WEIGHS = 1.35
_TRIED = 3
# How much each set weighs in the fit of the verification, either class of it.
_CLAIM_SHARES = {"qags": 1.0, "briefs": 0.4, "paragraphs": 0.1, "originals": 0.4, "others": 0.1}
# How much each set weighs in the fit of the abstention, all its questions together.
_SHARES = {
    "xquad": 4.0, "paragraph": 0.5, "article": 0.4, "swap": 0.3, "made": 0.6, "reports-none": 2.0, "reports": 0.7,
    "alone": 1.0, "alone-none": 0.6,
    "briefs": 0.8, "briefs-none": 0.8, "originals": 0.8, "originals-none": 0.8,
}  # fmt: skip
# The same where the encoder reads: with real questions, half of which their articles do not answer. XQuAD's answerable
# ones weigh most because they must hardly ever be refused; what that does to the probability, a calibration takes back.
_READ_SHARES = {
    "clapnq": 3.0, "clapnq-none": 3.0, "gone": 0.5, "xquad": 12.0, "paragraph": 0.5, "article": 0.4, "swap": 0.3,
    "made": 0.6, "alone": 0.5, "alone-none": 0.4, "reports": 1.0, "reports-none": 1.0,
    "briefs": 0.8, "briefs-none": 3.0, "originals": 0.8, "originals-none": 3.0,
    "own": 1.0, "own-none": 1.0, "page": 1.0, "page-other": 0.5, "page-swap": 0.4,
}  # fmt: skip
_CALIBRATION_SHARES = {
    "clapnq": 1.0, "clapnq-none": 1.0, "xquad": 1.0, "paragraph": 0.4, "swap": 0.3, "made": 0.3, "reports": 0.6,
    "reports-none": 0.6, "briefs": 0.5, "briefs-none": 0.25, "originals": 0.5, "originals-none": 0.25,
    "own": 0.5, "own-none": 0.5, "page": 0.5, "page-other": 0.25, "page-swap": 0.15,
}  # fmt: skip
_NONE = frozenset(["paragraph", "article", "swap", "made", "page-other", "page-swap", "gone"])
"""The sets of which no question is answered; what others hold of such goes into one of their own, "-none"."""


def main(parts: Sequence[str]) -> int:
    """Fit the named parts (default: all)."""
    missing = data.available()
    if missing:
        say(f"skipped: not there: {missing}")
        return 0
    vectors = StaticVectors()
    known: dict[str, Callable[[StaticVectors], None]] = {
        "quotes": fit_quotes, "rows": fit_rows, "near": fit_near, "abstain": fit_abstain, "read": fit_read,
        "verify": fit_verify, "tokens": fit_tokens,
    }  # fmt: skip
    for part in parts or list(known):
        say(f"== {part} ==")
        known[part](vectors)
    return 0


def fit_quotes(vectors: StaticVectors) -> None:
    """XQuAD's tune half, and that of the sample corpus weighted up."""
    documents, questions = data.xquad()
    corpus = data.corpus_of(vectors, documents)
    examples = list(_examples(vectors, (corpus.ask(q) for q in questions if q.half == data.TUNE)))
    texts, asked = data.briefs()
    small = data.corpus_of(vectors, texts)
    own = _examples(vectors, (small.ask(q) for q in asked if q.half == data.TUNE and q.answerable))
    examples += list(own) * _BRIEFS_COUNT
    signs = np.array([_QUOTE_SIGNS.get(name, 1) for name in FEATURES])
    show("QUOTE", FEATURES, softmax(examples, signs))


def fit_rows(vectors: StaticVectors) -> None:
    """The weight of ``labelled`` beside the others as they are, on made questions for lines of the reports' tables: how
    likely the right line is on the tuned half, and for each weight how often it comes first, on either."""
    reports = data.corpus_of(vectors, data.reports())
    halves = {half: list(_line_examples(vectors, reports, half)) for half in (data.TUNE, data.HOLD)}
    own = FEATURES.index("labelled")
    others = np.array([QUOTE[name] for name in FEATURES])
    for weight in np.arange(0.0, 13.0, 1.0):
        others[own] = weight
        odds = {half: [(features @ others, right) for features, right in found] for half, found in halves.items()}
        likely = np.mean([np.log(np.exp(o - o.max()) @ r / np.exp(o - o.max()).sum()) for o, r in odds[data.TUNE]])
        first = " ".join(f"{np.mean([r[np.argmax(o)] for o, r in found]):.3f}" for found in odds.values())
        say(f"labelled {weight:.0f}: log-likelihood {likely:.3f}, first {first} of {[len(f) for f in halves.values()]}")


def fit_near(vectors: StaticVectors) -> None:
    """The weights of the encoder's nearness and of the span model's log-odds beside the others as they are, on every
    third question of XQuAD: for each pair and part the share of answers in the best quote and in all, and the number of
    quotes."""
    encoder = Remembering()
    reader = Reader(encoder, RememberingSpans())
    documents, questions = data.xquad()
    corpus = data.corpus_of(vectors, documents, encoder)
    asked = [corpus.ask(q) for q in questions[::3]]
    for near in (0.0, 4.0, 8.0, 12.0):
        for pointed in (0.0, 0.1, 0.2, 0.3, 0.5):
            told = []
            for part in (TUNED, MIXED, UNSEEN):
                found = [_quoted(vectors, reader, near, pointed, q) for q in asked if part_of(q) == part]
                told.append(" ".join(f"{np.mean(column):.3f}" for column in zip(*found, strict=True)))
            say(f"near {near:.0f}, pointed {pointed:.1f}: best, in all, quotes: {'; '.join(told)}")


def _quoted(
    vectors: StaticVectors, reader: Reader, near: float, pointed: float, asked: data.Asked
) -> tuple[bool, bool, int]:
    frequency, count = asked.document_frequency, asked.count
    quoter = Quoter(vectors, frequency, count, reader=reader, near=near, pointed=pointed)
    quotes = quoter.answer(asked.text, asked.hits)
    right = [any(q.passage.source == s and q.start < b and a < q.end for s, a, b in asked.spans) for q in quotes]
    return right[:1] == [True], any(right), len(quotes)


def _line_examples(vectors: StaticVectors, reports: data.Corpus, half: int) -> Iterator[Example]:
    """Questions for every eighth line of figures of a half's reports, each asked of its report alone."""
    lines: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for passage in reports.index.passages:
        units = units_of(passage.text)
        for place in range(len(units)):
            candidate = Candidate(passage, 0, units, place)
            if len(candidate.label.split()) > 1 and data.half(passage.source) == half:
                lines.setdefault((passage.source, candidate.label), []).append((candidate.start, candidate.end))
    for source, label in sorted(lines)[::8]:
        spans = tuple((source, start, end) for start, end in lines[source, label])
        others = frozenset(p.id for p in reports.index.passages if p.source != source)
        text = f"What was {label}?"
        yield from _examples(vectors, [reports.ask(data.Asked(text, text, half, (), {}, 0, True, spans=spans), others)])


def fit_abstain(vectors: StaticVectors) -> None:
    """Questions with and without an answer, each set with its share."""
    judged = _judged(asked_sets(vectors, None), list(ABSTAIN), lambda asked: _features(vectors, asked, None))
    weights, bias = logistic(*_weighed(judged, _SHARES, TUNED), _signs(list(ABSTAIN)))
    show("ABSTAIN", list(ABSTAIN), weights, bias)
    _told(judged, weights, bias)


def fit_read(vectors: StaticVectors) -> None:
    """The abstention where question and passages, all of them English, were read. What the encoder reads is fitted on
    the tuned half. The span model has learnt that half, so that what it says counts, and how much all the rest then
    does, is fitted on half of the documents of the other; the last quarter is seen by no fit."""
    encoder, spans, names = Remembering(), RememberingSpans(), list(ABSTAIN_READ)
    reader = Reader(encoder, spans)
    judged = _judged(asked_sets(vectors, encoder), names, lambda asked: _features(vectors, asked, reader))
    place = names.index("span")
    others = [n for n in range(len(names)) if n != place]

    def without(rows: Array) -> Array:
        return rows[:, others]

    found, labels, shares = _weighed(judged, _READ_SHARES, TUNED)
    rest, bias = logistic(without(found), labels, shares, _signs([names[n] for n in others]), penalty=0.003)
    found, labels, shares = _weighed(judged, _CALIBRATION_SHARES, MIXED)
    pair = np.column_stack([without(found) @ rest + bias, found[:, place]])
    (slope, span), shift = logistic(pair, labels, shares, np.array([1, 1]), penalty=0.0)
    weights = np.insert(rest * slope, place, span)
    show("ABSTAIN_READ", names, weights, float(bias * slope + shift))
    _told(judged, weights, float(bias * slope + shift))


TUNED, MIXED, UNSEEN = range(3)
"""Parts of the questions: the tuned half, and of the other half the documents with which weights of a model that has
learnt the tuned half are fitted, and those that no fit sees."""
Judged = tuple[int, bool, Array]
"""The part of a question, whether it is answered, and its features."""


def part_of(asked: data.Asked) -> int:
    """TUNED, or by the document that was found first MIXED or UNSEEN."""
    if asked.half == data.TUNE:
        return TUNED
    name = asked.hits[0].passage.source if asked.hits else asked.text
    return (MIXED, UNSEEN)[int(hashlib.sha256(name.encode()).hexdigest(), 16) // 2 % 2]


def _judged(
    sets: Mapping[str, Sequence[data.Asked]],
    names: Sequence[str],
    features: Callable[[data.Asked], dict[str, float]],
) -> dict[str, list[Judged]]:
    """The questions of every set by their features of these names, those left out that there is nothing to compare."""
    judged = {}
    for name, asked in sets.items():
        rows = ((part_of(q), q.answerable, features(q)) for q in asked)
        judged[name] = [(p, a, np.array([values[n] for n in names])) for p, a, values in rows if values]
    return judged


def _signs(names: Sequence[str]) -> Array:
    return np.array([_ABSTAIN_SIGNS.get(name, 1) for name in names])


def _told(judged: Mapping[str, Sequence[Judged]], weights: Array, bias: float) -> None:
    """What is held back of every set, by part, at the threshold that ships, and below which one in 20 of CLAPNQ's
    and one in 50 of XQuAD's answerable questions lies, of the tuned half and of the mixed quarter."""

    def chances(name: str, part: int) -> Array:
        rows = [row for p, _, row in judged[name] if p == part]
        return np.asarray(1 / (1 + np.exp(-(np.array(rows) @ weights + bias)))) if rows else np.zeros(0)

    for name, many in (("clapnq", 20), ("xquad", 50)):
        cuts = (np.quantile(chances(name, part), 1 / many) for part in (TUNED, MIXED))
        say(f"one in {many} of {name} below " + ", ".join(f"{cut:.3f}" for cut in cuts))
    say(f"held back at {DEFAULT_THRESHOLD} of each set, tuned on, mixed, unseen:")
    for name in judged:
        parts = [chances(name, part) for part in (TUNED, MIXED, UNSEEN)]
        say(
            f"  {name}: "
            + ", ".join(f"{np.mean(p < DEFAULT_THRESHOLD):.3f} of {len(p)}" if len(p) else "-" for p in parts)
        )
    for name, other in (
        ("clapnq", "clapnq-none"), ("own", "own-none"), ("xquad", "paragraph"), ("xquad", "swap"),
        ("page", "page-other"), ("page", "page-swap"), ("reports", "reports-none"), ("briefs", "briefs-none"),
        ("originals", "originals-none"),
    ):  # fmt: skip
        areas = []
        for part in (TUNED, MIXED, UNSEEN):
            yes, no = chances(name, part), chances(other, part)
            areas.append(
                f"{auc([*yes, *no], [True] * len(yes) + [False] * len(no)):.3f}" if len(yes) and len(no) else "-"
            )
        say(f"  AUC of {name} against {other}: " + ", ".join(areas))


def _weighed(
    judged: Mapping[str, Sequence[Judged]], shares: Mapping[str, float], part: int
) -> tuple[Array, Array, Array]:
    """A part's rows of the sets, their labels, and each one's share of its set's."""
    rows, labels, weights = [], [], []
    for name, share in shares.items():
        own = [(row, answerable) for p, answerable, row in judged[name] if p == part]
        rows += [row for row, _ in own]
        labels += [float(answerable) for _, answerable in own]
        weights += [share / max(len(own), 1)] * len(own)
    return np.array(rows), np.array(labels), np.array(weights)


def fit_verify(vectors: StaticVectors) -> None:
    """The tune halves of QAGS and, lighter, of sentences in other words, without what is quoted or stopped by a
    gate; what is said wrongly to be supported weighs more. The present weights choose the windows: repeat."""
    reader = ClaimReader(vectors)
    judged = [Claimed("qags", q.sentence, (q.article,), q.supported, q.half) for q in data.qags()]
    claims = [*judged, *about_briefs(), *about_paragraphs(), *about_others(), *of_briefs()]
    names = ["recall", "cosine", "patched", "words", "wider"]
    rows, labels, kinds = [], [], []
    for one in claims:
        if one.half != data.TUNE or any(quoted_span(one.sentence, text) for text in one.sources):
            continue
        claim = reader.claim(one.sentence)
        context = "\n".join(one.sources)
        windows = [w for text in one.sources for w in reader.windows(claim, reader.source(text))[:_TRIED]]
        passing = [w for w in windows if gates(claim, w, context).worst > 0]
        if not passing:
            continue
        window = max(passing, key=lambda w: w.logit)
        rows.append([*(window.parts[name] for name in names[:-1]), float(window.last - window.first)])
        labels.append(float(one.right))
        kinds.append(one.set_)
    marks, sorts = np.array(labels), np.array(kinds)
    share = np.array([
        _CLAIM_SHARES[k] * (1 if y else _WRONG_WEIGHS) / np.sum((marks == y) & (sorts == k))
        for y, k in zip(labels, kinds, strict=True)
    ])  # fmt: skip
    signs = np.array([_VERIFY_SIGNS.get(name, 1) for name in names])
    weights, bias = logistic(np.array(rows), marks, share, signs, penalty=0.003)
    show("VERIFY", names, weights, bias)


def fit_tokens(vectors: StaticVectors) -> None:
    """The slope and the middle of the token likenesses, and what a failed gate takes off, on the tuned halves: the mean
    AUC for each slope, then for each middle which share of the right is supported, and of the supported right."""
    reader, tokens = ClaimReader(vectors), TokenReader(shared_encoder())
    sets = ("QAGS", "made, briefs", "made, XQuAD", "originals")
    examined = {
        name: [examine(reader, tokens, one) for one in SETS[name]() if one.half == data.TUNE and is_claim(one.sentence)]
        for name in sets
    }
    for failed in (1.5, 2.5, 4.0):
        for slope in (0.0, 1.5, 2.5, 4.0):
            found = [_area(own, slope, TOKENS_MIDDLE, failed) for own in examined.values()]
            say(
                f"failed {failed}, slope {slope}: mean AUC {np.mean(found):.4f}, " + " ".join(f"{a:.3f}" for a in found)
            )
    for middle in (1.1, 1.2, 1.3, 1.4, 1.5, 1.6):
        shares = []
        for own in examined.values():
            held = [one.right for one in own if _logit(one, TOKENS, middle, FAILED) >= 0]
            shares.append(f"{sum(held) / sum(one.right for one in own):.3f} {np.mean(held):.3f}")
        say(f"middle {middle}: " + ", ".join(shares))


def _area(examined: Sequence[Examined], slope: float, middle: float, failed: float) -> float:
    return auc([_logit(one, slope, middle, failed) for one in examined], [one.right for one in examined])


def _logit(one: Examined, slope: float, middle: float, failed: float) -> float:
    """The log-odds that ``score_of`` would give with these constants."""
    found = [50.0 if one.quoted else -50.0]
    for held in one.windows:
        each = held.gates(()).each
        like = held.likeness
        more = slope * like.known * min(TOKENS_MOST, like.mean + like.lowest - middle) if like else 0.0
        found.append(held.window.logit + more - failed * each.count(0.0) - DOUBTED * sum(0 < g < 1 for g in each))
    return max(found)


def _examples(vectors: StaticVectors, asked: Iterable[data.Asked]) -> Iterable[Example]:
    for question in asked:
        ranked = rank(vectors, analyse(question.text, question.document_frequency, question.count), question.hits)
        right = [
            any(c.passage.source == s and c.start < end and start < c.end for s, start, end in question.spans)
            for c in ranked.candidates
        ]
        if any(right):
            yield ranked.features, np.array(right)


def asked_sets(vectors: StaticVectors, encoder: Encoder | None) -> Mapping[str, list[data.Asked]]:
    """Questions of both halves with and without an answer, by set; each set is of one kind. Of XQuAD's, every third is
    asked where its answer is missing and of its page alone, every fourth of its document alone and of the reports."""
    sets: dict[str, list[data.Asked]] = {}

    def add(name: str, asked: data.Asked) -> None:
        sets.setdefault(name if asked.answerable or name in _NONE else f"{name}-none", []).append(asked)

    documents, questions = data.xquad()
    articles, searched = data.clapnq()
    reports = data.corpus_of(vectors, data.reports(), encoder)
    corpus, encyclopaedia = data.corpus_of(vectors, documents, encoder), data.corpus_of(vectors, articles, encoder)
    for half in (data.TUNE, data.HOLD):
        own = [q for q in questions if q.half == half]
        for question in own:
            add("xquad", corpus.ask(question))
        for kind, asked in data.unanswerable(corpus, own[::3]):
            add(kind, asked)
        for kind, asked in data.pages(vectors, documents, own[::3], encoder):
            add(kind, asked)
        for asked in data.alone(vectors, documents, own[::4], encoder):
            add("alone", asked)
        for question in own[::4]:
            add("reports", reports.ask(data.none(question)))
    for question in searched:
        (name,) = question.sources
        add("clapnq", encyclopaedia.ask(question))
        add("own", data.corpus_of(vectors, {name: articles[name]}, encoder).ask(question))
        if question.answerable:
            hidden = frozenset(p.id for p in encyclopaedia.index.passages if p.source == name)
            add("gone", encyclopaedia.ask(data.none(question), hidden))
    for question in data.report_questions():
        add("reports", reports.ask(question))
    for name, (texts, asked_of) in {"briefs": data.briefs(), "originals": data.originals()}.items():
        small = data.corpus_of(vectors, texts, encoder)
        for question in asked_of:
            add(name, small.ask(question))
    return sets


def _features(vectors: StaticVectors, asked: data.Asked, reader: Reader | None) -> dict[str, float]:
    """The evidence of a question by name; none where there is nothing to compare."""
    found = Abstainer(vectors, asked.document_frequency, asked.count, reader=reader).features(asked.text, asked.hits)
    return {} if found is None else asdict(found)


def softmax(
    examples: Sequence[Example], signs: Array, *, counts: Array | None = None, penalty: float = 0.003, steps: int = 300
) -> Array:
    """Weights that give the right rows of each example the largest share, by Adam on standardised features; an example
    counts ``counts`` times, by default once."""
    shares = np.ones(len(examples)) if counts is None else counts
    shares = shares / shares.sum()
    rows = np.concatenate([features for features, _ in examples])
    mean, spread = rows.mean(axis=0), rows.std(axis=0) + 1e-6
    scaled = [((features - mean) / spread, right) for features, right in examples]

    def slope(weights: Array) -> Array:
        total = penalty * weights
        for (features, right), part in zip(scaled, shares, strict=True):
            odds = features @ weights
            share = np.exp(odds - odds.max())
            share /= share.sum()
            among = share * right
            total = total + part * (features.T @ (share - among / max(among.sum(), 1e-9)))
        return np.asarray(total, dtype=np.float64)

    return np.asarray(_adam(slope, len(mean), signs, 0.03, steps) / spread, dtype=np.float64)


def logistic(
    rows: Array, labels: Array, shares: Array, signs: Array, *, penalty: float = 0.001, steps: int = 3000
) -> tuple[Array, float]:
    """Weights and bias of a logistic regression with sign constraints (0 = free)."""
    mean, spread = rows.mean(axis=0), rows.std(axis=0) + 1e-6
    scaled = np.column_stack([(rows - mean) / spread, np.ones(len(rows))])
    shares = shares / shares.sum()

    def slope(weights: Array) -> Array:
        chance = 1 / (1 + np.exp(-scaled @ weights))
        pull = penalty * weights
        pull[-1] = 0
        return np.asarray(scaled.T @ (shares * (chance - labels)) + pull, dtype=np.float64)

    found = _adam(slope, scaled.shape[1], np.append(signs, 0), 0.02, steps)
    weights = found[:-1] / spread
    return weights, float(found[-1] - weights @ mean)


def _adam(slope: Callable[[Array], Array], size: int, signs: Array, rate: float, steps: int) -> Array:
    weights, first, second = np.zeros(size), np.zeros(size), np.zeros(size)
    for step in range(1, steps + 1):
        gradient = slope(weights)
        first = 0.9 * first + 0.1 * gradient
        second = 0.99 * second + 0.01 * gradient**2
        weights = weights - rate * first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.99**step)) + 1e-8)
        weights = np.where(signs > 0, np.maximum(weights, 0), np.where(signs < 0, np.minimum(weights, 0), weights))
    return weights


def show(name: str, names: Sequence[str], weights: Array, bias: float | None = None) -> None:
    """Print a table as it stands in ``rag.answer.weights``."""
    if bias is not None:
        say(f"{name}_BIAS = {bias:.2f}")
    say(f"{name} = " + "{" + ", ".join(f'"{n}": {w:.2f}' for n, w in zip(names, weights, strict=True)) + "}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
