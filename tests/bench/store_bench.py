"""How fast the store is at 100,000 synthetic passages: ``python -m tests.bench.store_bench [--passages N]``.

The words follow Zipf's law, so that common words are common; the vectors have 256 dimensions and the structure of
topics. A question is made of six to twelve words of one passage. Times are milliseconds, sizes megabytes.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rag.store import dense as dense_module
from rag.store.backends import open_truth
from rag.store.dense import DenseIndex
from rag.store.truth import Collection, EmbedderInfo, NewDocument, NewPassage, Truth, text_key
from rag.types import ParsedDocument, index_text

DIMENSION = 256
WORDS_A_PASSAGE = 160
PASSAGES_A_DOCUMENT = 500
VOCABULARY = 60_000
QUESTIONS = 100
CANDIDATES = 50

Rows = npt.NDArray[np.float32]


class Corpus:
    """Synthetic documents, their vectors, and questions about them."""

    def __init__(self, passages: int, seed: int = 0) -> None:
        self._random = np.random.default_rng(seed)
        weights = 1 / np.arange(1, VOCABULARY + 1) ** 1.05
        self._weights = weights / weights.sum()
        self._words = [f"w{n:x}" for n in range(VOCABULARY)]
        basis = self._random.standard_normal((24, DIMENSION))
        topics = self._random.standard_normal((500, 24))
        chosen = topics[self._random.integers(0, len(topics), passages)]
        rows = (chosen + 0.7 * self._random.standard_normal(chosen.shape)) @ basis
        rows += 0.5 * self._random.standard_normal(rows.shape)
        self.vectors: Rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        self.questions: list[str] = []
        self.queries: list[Rows] = []

    def document(self, first: int, count: int) -> tuple[ParsedDocument, list[NewPassage], dict[bytes, Rows]]:
        """Passages ``first`` to ``first + count`` as one document."""
        drawn = self._random.choice(VOCABULARY, (count, WORDS_A_PASSAGE), p=self._weights)
        texts = [" ".join(self._words[n] for n in row) for row in drawn]
        title = f"report {first}"
        passages, at = [], 0
        for text in texts:
            passages.append(NewPassage(at, at + len(text), None, (), text_key(index_text(title, (), text))))
            at += len(text)
        if len(self.questions) < QUESTIONS:
            row = drawn[self._random.integers(count)]
            self.questions.append(" ".join(self._words[n] for n in row[: self._random.integers(6, 13)]))
            noise = 0.3 * self._random.standard_normal(DIMENSION) / DIMENSION**0.5
            self.queries.append((self.vectors[first] + noise).astype(np.float32))
        found = {p.key: self.vectors[first + n] for n, p in enumerate(passages)}
        return ParsedDocument("".join(texts), title, "text/plain"), passages, found


def percentiles(call: Callable[[int], object], rounds: int = QUESTIONS) -> dict[str, float]:
    """Median and 95th percentile of ``call(n)`` in milliseconds, after one warm-up."""
    call(0)
    times = []
    for n in range(rounds):
        start = time.perf_counter()
        call(n)
        times.append((time.perf_counter() - start) * 1000)
    return {"p50": round(float(np.percentile(times, 50)), 2), "p95": round(float(np.percentile(times, 95)), 2)}


def ingest(truth: Truth, collection: Collection, corpus: Corpus, passages: int) -> dict[str, float]:
    """Put every document; how many passages a second the truth takes."""
    spent = 0.0
    for first in range(0, passages, PASSAGES_A_DOCUMENT):
        document, parts, found = corpus.document(first, min(PASSAGES_A_DOCUMENT, passages - first))
        digest = sha256(document.text.encode()).hexdigest()
        start = time.perf_counter()
        new = NewDocument(f"{first}.txt", f"{first}.txt", document, parts, found, digest, len(document.text))
        truth.documents.put(collection, new)
        spent += time.perf_counter() - start
    size = truth.facts().bytes / 1e6
    return {"passages_per_second": round(passages / spent), "truth_mb": round(size, 1)}


def search(truth: Truth, dense: DenseIndex, collection: Collection, corpus: Corpus) -> dict[str, object]:
    """The parts of a search and all of it: both sides' candidates, both scores for each, and the best passages."""
    lexical = truth.lexical

    def words(n: int) -> list[tuple[int, float]]:
        return lexical.search(collection.id, corpus.questions[n], CANDIDATES)

    def near(n: int) -> list[tuple[int, float]]:
        return dense.search(collection, corpus.queries[n], CANDIDATES)

    def pair(n: int) -> object:
        a = dict(near(n))
        b = lexical.rank(collection.id, corpus.questions[n], CANDIDATES, a.keys)
        a |= dense.scores(collection, corpus.queries[n], [i for i in b if i not in a])
        return truth.passages.get(sorted(a, key=lambda i: -a[i] - b.get(i, 0))[:22])

    ids = [i for i, _ in near(0)]
    return {
        "lexical_first": percentiles(words),
        "lexical": percentiles(words),
        "lexical_scores_50": percentiles(lambda n: lexical.scores(collection.id, corpus.questions[n], ids)),
        "dense": percentiles(near),
        "dense_scores_50": percentiles(lambda n: dense.scores(collection, corpus.queries[n], ids)),
        "passages_50": percentiles(lambda n: truth.passages.get([i + n for i in ids])),
        "pair": percentiles(pair),
        "memory_mb": memory(),
    }


def rebuild(truth: Truth, folder: Path, collection: Collection, corpus: Corpus) -> tuple[dict[str, float], float]:
    """Dense searches while Chroma is built from nothing in the background, and how many seconds that takes."""
    dense_module.EXACT_BYTES = -1
    start = time.perf_counter()
    dense = DenseIndex.open(truth, folder)
    dense.search(collection, corpus.queries[0], CANDIDATES)
    times: list[float] = []
    while dense.state(collection) == "rebuilding":
        before = time.perf_counter()
        dense.search(collection, corpus.queries[len(times) % QUESTIONS], CANDIDATES)
        times.append((time.perf_counter() - before) * 1000)
        time.sleep(0.05)
    seconds = time.perf_counter() - start
    dense.close()
    figures = {"p50": float(np.percentile(times, 50)), "p95": float(np.percentile(times, 95)), "max": max(times)}
    return {name: round(value, 1) for name, value in figures.items()}, round(seconds, 1)


def recall(dense: DenseIndex, exact: Sequence[set[int]], collection: Collection, corpus: Corpus) -> float:
    """The share of the exact best that the index finds."""
    found = [{i for i, _ in dense.search(collection, query, CANDIDATES)} for query in corpus.queries]
    return round(sum(len(a & b) for a, b in zip(found, exact, strict=True)) / (CANDIDATES * len(exact)), 4)


def memory() -> float:
    """This process's memory now, and not at its peak."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * resource.getpagesize() / 1e6)


def measure(folder: Path, passages: int) -> dict[str, object]:
    """Every figure, for a library of ``passages`` passages in ``folder``."""
    figures: dict[str, object] = {"passages": passages, "memory_before_mb": memory()}
    with open_truth(folder, writer=True) as truth:
        collection = truth.collections.create("default", EmbedderInfo("bench", "0", DIMENSION), "bench")
        corpus = Corpus(passages)
        figures["ingest"] = ingest(truth, collection, corpus, passages)
        with open_truth(folder, writer=False) as reader:
            dense = DenseIndex.open(reader, folder)
            start = time.perf_counter()
            dense.search(collection, corpus.queries[0], CANDIDATES)
            figures["load_exact_ms"] = round((time.perf_counter() - start) * 1000)
            exact = [{i for i, _ in dense.search(collection, query, CANDIDATES)} for query in corpus.queries]
            figures["exact"] = search(reader, dense, collection, corpus)
            dense.close()
        del dense
        figures["while_rebuilding"], figures["build_chroma_s"] = rebuild(truth, folder, collection, corpus)
        dense = DenseIndex.open(truth, folder)
        dense.sync()
        dense_module.EXACT_BYTES = -1
        figures["chroma"] = search(truth, dense, collection, corpus)
        figures["chroma_recall_at_50"] = recall(dense, exact, collection, corpus)
        dense.close()
        start = time.perf_counter()
        dense = DenseIndex.open(truth, folder)
        dense.sync()
        figures["open_chroma_s"] = round(time.perf_counter() - start, 2)
        dense.close()
    return figures


def main() -> None:
    """Measure, and write the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=100_000)
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), parser.parse_args().passages)
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
