"""Fits the span head (``rag.answer.span_head``) on the tuned halves, with what the encoder made of each text kept.

A softmax over the tokens of the first passages and "none of them": an answer's tokens share what is right where they
are known; all tokens do where only that it is answered is known; none does where it is not. Adam, weights decayed; the
tokens in 128 principal components, which hold 0.74 of their variance and are folded into the head afterwards.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rag.answer.quoting import analyse
from rag.answer.reading import READ, asking_tokens, sentences_in
from rag.answer.span_head import SpanHead, asking, neighbourhood
from rag.models.encoder import Encoder
from tests.bench import answer_data as data
from tests.bench.tables import say

Array = npt.NDArray[np.float64]
Single = npt.NDArray[np.float32]

RANK, COMPONENTS, ROUNDS, BATCH, DECAY, RATE, FOLDS = 16, 128, 10, 16, 0.001, 0.01, 3
"""By the tuned half, each fold by the head of the others: rank 32 with a tenth of the decay points worse (of XQuAD's
likeliest tokens 0.30 are right instead of 0.41), three times the decay tells less well what is not answered."""
# How much a question of each set weighs; 1 where nothing is said. Real search questions and the samples are few.
_WEIGHS = {
    "clapnq": 2, "own": 2, "clapnq-none": 2, "own-none": 2, "briefs": 2, "originals": 2, "briefs-none": 2,
    "originals-none": 2, "reports": 0.5, "reports-none": 0.5, "alone-none": 0.5, "article": 0.5, "swap": 0.5,
    "made": 0.5, "paragraph": 0.7, "page-swap": 0.7,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Example:
    """A question as the head takes it, its passages' texts, what stands around each of their tokens, which of those are
    of the answer, whether it is answered, what it weighs, and its fold."""

    question: Single
    texts: tuple[str, ...]
    near: Single
    right: npt.NDArray[np.bool_]
    answerable: bool
    weight: float
    fold: int


def fold_of(asked: data.Asked) -> int:
    """A fold of the tuned half, by the document that was found first."""
    return int(hashlib.sha256(asked.hits[0].passage.source.encode()).hexdigest(), 16) // 2 % FOLDS


def fit_heads(encoder: Encoder, sets: Mapping[str, Sequence[data.Asked]]) -> tuple[SpanHead, list[SpanHead]]:
    """The head of the whole tuned half, and for each fold of it that of the other folds, which has not seen it."""
    tokens: dict[str, Single] = {}
    tuned = [(name, q) for name, asked in sets.items() for q in asked if q.half == data.TUNE and q.hits]
    examples = [one for name, q in tuned if (one := _example(encoder, q, _WEIGHS.get(name, 1.0), tokens)) is not None]
    mean, main = _components(list(tokens.values()))
    small = {text: np.asarray((rows - mean) @ main, dtype=np.float16) for text, rows in tokens.items()}
    around = np.concatenate([one.near for one in examples[::7]]).astype(np.float64)
    middle = around.mean(axis=0), around.std(axis=0)

    def fit(use: Callable[[Example], bool]) -> SpanHead:
        asked, told, near, bias = _fit([one for one in examples if use(one)], small, mean, main, middle)
        spread = near / middle[1]
        return SpanHead(
            np.concatenate([main @ asked[:COMPONENTS], main @ asked[COMPONENTS:]]), main @ told, mean, spread,
            float(bias - spread @ middle[0]),
        )  # fmt: skip

    return fit(lambda _: True), [fit(lambda one, own=own: one.fold != own) for own in range(FOLDS)]  # type: ignore[misc]


def _example(encoder: Encoder, asked: data.Asked, weight: float, tokens: dict[str, Single]) -> Example | None:
    question = analyse(asked.text, asked.document_frequency, asked.count)
    passages = [hit.passage for hit in asked.hits[:READ]]
    mine, *texts = encoder.tokens([asked.text, *(passage.index_text for passage in passages)])
    words = asking_tokens(question, mine)
    if not len(words.rows) or not all(len(text.vectors) for text in texts):
        return None
    own = mine.vectors[words.rows]
    near, right = [], []
    for passage, text in zip(passages, texts, strict=True):
        tokens.setdefault(passage.index_text, text.vectors)
        near.append(neighbourhood(own @ text.vectors.T, words.weights, sentences_in(passage, text.spans).values()))
        head = len(passage.index_text) - len(passage.text) - passage.start
        spans = [(start + head, end + head) for source, start, end in asked.spans if source == passage.source]
        within = [(text.spans[:, 0] < end) & (text.spans[:, 1] > start) for start, end in spans]
        right.append(np.any([np.zeros(len(text.spans), dtype=bool), *within], axis=0))
    marks = np.concatenate(right)
    if asked.answerable and asked.spans and not marks.any():
        return None  # its answer was not found
    return Example(
        asking(own, words.asks).astype(np.float32), tuple(p.index_text for p in passages),
        np.concatenate(near).astype(np.float32), marks, asked.answerable, weight, fold_of(asked),
    )  # fmt: skip


def first_right(encoder: Encoder, head: SpanHead, asked: data.Asked) -> bool:
    """Whether the likeliest token of the passages is of the answer; False where that was not found."""
    tokens: dict[str, Single] = {}
    one = _example(encoder, asked, 1.0, tokens)
    if one is None:
        return False
    rows = np.concatenate([tokens[text] for text in one.texts])
    return bool(one.right[np.argmax(head.log_odds(one.question.astype(np.float64), rows, one.near.astype(np.float64)))])


def _components(tokens: Sequence[Single]) -> tuple[Array, Array]:
    """The mean of the tokens and their principal components, by every 25th of them."""
    rows = np.concatenate(tokens)[::25].astype(np.float64)
    mean = rows.mean(axis=0)
    return mean, np.linalg.svd(rows - mean, full_matrices=False)[2][:COMPONENTS].T


def _fit(
    examples: list[Example], tokens: Mapping[str, npt.NDArray[np.float16]], mean: Array, main: Array,
    middle: tuple[Array, Array],
) -> tuple[Array, Array, Array, float]:  # fmt: skip
    """The two maps, the weights of the standardised neighbourhood, and the bias."""
    random = np.random.default_rng(0)
    scale = 0.9 / np.sqrt(COMPONENTS)
    parameters: list[Array] = [
        random.normal(0, scale, (2 * COMPONENTS, RANK)), random.normal(0, scale, (COMPONENTS, RANK)),
        np.zeros(len(middle[0])), np.array([-6.0]),
    ]  # fmt: skip
    first, second = ([np.zeros_like(p) for p in parameters] for _ in range(2))
    questions = [np.concatenate([(half - mean) @ main for half in np.split(one.question, 2)]) for one in examples]
    nears = [(one.near - middle[0]) / middle[1] for one in examples]
    step = 0
    for round_ in range(ROUNDS):
        order = random.permutation(len(examples))
        for batch in np.array_split(order, max(1, len(order) // BATCH)):
            slopes = [np.zeros_like(p) for p in parameters]
            for place in batch:
                _add_slope(slopes, parameters, examples[place], questions[place], nears[place], tokens)
            step += 1
            weight = sum(examples[place].weight for place in batch)
            for index, parameter in enumerate(parameters):
                slope = slopes[index] / weight + (DECAY * parameter if index < 2 else 0.0)
                first[index] = 0.9 * first[index] + 0.1 * slope
                second[index] = 0.999 * second[index] + 0.001 * slope**2
                change = (first[index] / (1 - 0.9**step)) / (np.sqrt(second[index] / (1 - 0.999**step)) + 1e-8)
                parameter -= RATE * (1 - round_ / ROUNDS) * change
    asked, told, near, bias = parameters
    return asked, told, near, float(bias[0])


def _add_slope(
    slopes: list[Array], parameters: Sequence[Array], one: Example, question: Array, near: Array,
    tokens: Mapping[str, npt.NDArray[np.float16]],
) -> None:  # fmt: skip
    asked, told, weights, bias = parameters
    rows = np.concatenate([tokens[text] for text in one.texts]).astype(np.float64)
    mapped, seen = question @ asked, rows @ told
    odds = seen @ mapped + near @ weights + bias[0]
    most = max(float(odds.max()), 0.0)
    share = np.exp(odds - most)
    wanted = share * (one.right if one.right.any() else one.answerable)
    pull = one.weight * (share / (share.sum() + np.exp(-most)) - wanted / max(float(wanted.sum()), 1e-20))
    slopes[0] += np.outer(question, pull @ seen)
    slopes[1] += np.outer(pull @ rows, mapped)
    slopes[2] += pull @ near
    slopes[3] += pull.sum()


def save(head: SpanHead, path: Path) -> None:
    """Write the head, half as exact."""
    half = {name: getattr(head, name).astype(np.float16) for name in ("asked", "told")}
    exact = {name: getattr(head, name).astype(np.float32) for name in ("mean", "near")}
    np.savez(path, bias=np.float32(head.bias), **half, **exact)
    say(f"written {path}")
