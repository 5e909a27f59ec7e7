"""Search at 100,000 passages: synthetic documents with a natural spread of word frequencies, real stores."""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np

from rag.encode import PassageEncoder
from rag.models.embed import BuiltinEmbedding, EncoderEmbedding, describe_embedder, embed_query
from rag.retrieve import Fusion, HybridRetriever
from rag.store.backends import open_truth
from rag.store.dense import DenseIndex
from rag.store.truth import Collection, EmbedderInfo, Encoded, NewDocument, NewPassage, Truth, text_key
from rag.types import ParsedDocument, index_text
from tests.bench.tables import percentile, say, table

PASSAGES = 100_000
A_DOCUMENT = 500
WORDS = 120
VOCABULARY = 60_000
QUESTIONS = 300


def main() -> None:
    """Fill a library, search it, print times and memory."""
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "library"
        truth = open_truth(folder, writer=True)
        embedder = BuiltinEmbedding()
        facts = describe_embedder(embedder)
        info = EmbedderInfo(facts.name, facts.digest, facts.dimension)
        collection = truth.collections.create("default", info, "bench")
        started = time.perf_counter()
        fill(truth, collection, embedder)
        say(f"{PASSAGES:,} passages written to the truth in {time.perf_counter() - started:.0f} s")
        dense = DenseIndex.open(truth, folder)
        started = time.perf_counter()
        dense.sync(collection)
        say(f"synced to Chroma in {time.perf_counter() - started:.0f} s; search is {dense.state(collection)}")
        measure(truth, dense, collection, embedder)
        dense.close()
        truth.close()


def vocabulary(rng: np.random.Generator) -> list[str]:
    """Made-up words; rank r occurs with frequency ~ 1/r."""
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    return ["".join(rng.choice(letters, rng.integers(3, 10))) for _ in range(VOCABULARY)]


def documents(seed: int = 7) -> Iterator[tuple[str, list[str]]]:
    """Documents of 500 passages of 120 words each."""
    rng = np.random.default_rng(seed)
    known = vocabulary(rng)
    weights = 1 / np.arange(1, VOCABULARY + 1)
    weights /= weights.sum()
    for number in range(PASSAGES // A_DOCUMENT):
        rows = rng.choice(VOCABULARY, (A_DOCUMENT, WORDS), p=weights)
        yield f"document-{number:04}.txt", [" ".join(known[i] for i in row) for row in rows]


def fill(truth: Truth, collection: Collection, embedder: BuiltinEmbedding) -> None:
    """Put the synthetic documents into the truth."""
    for source, texts in documents():
        text = "\n\n".join(texts)
        passages, keys, at = [], [], 0
        for part in texts:
            key = text_key(index_text(source, (), part))
            passages.append(NewPassage(at, at + len(part), None, (), key))
            keys.append(key)
            at += len(part) + 2
        rows = embedder.embed_array([index_text(source, (), part) for part in texts])
        vectors = dict(zip(keys, rows, strict=True))
        parsed = ParsedDocument(text, source, "text/plain")
        digest = sha256(text.encode()).hexdigest()
        truth.documents.put(collection, NewDocument(source, source, parsed, passages, vectors, digest, len(text)))


def questions(count: int = QUESTIONS, seed: int = 11) -> list[str]:
    """Questions of nine words from the same spread: a few very common words, some rare ones."""
    rng = np.random.default_rng(seed)
    known = vocabulary(np.random.default_rng(7))
    weights = 1 / np.arange(1, VOCABULARY + 1)
    weights /= weights.sum()
    return [" ".join(known[i] for i in rng.choice(VOCABULARY, 9, p=weights)) for _ in range(count)]


class Trusting(PassageEncoder):
    """The encoder, which takes made-up words for a language it knows."""

    def question(self, text: str) -> Encoded:
        """Its vector."""
        return Encoded(super().question(text).vector, 1.0)


def fill_cache(truth: Truth, collection: Collection, encoder: PassageEncoder) -> None:
    """Random vectors for every passage: looking one up does not depend on what it says."""
    rng, last = np.random.default_rng(3), -1
    while batch := truth.encodings.pending(collection.id, encoder.tag, last, 5_000):
        rows = rng.normal(size=(len(batch), 384)).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        truth.encodings.put(encoder.tag, {n: Encoded(row, 1.0) for n, row in zip(batch, rows, strict=True)})
        last = max(batch)


def measure(truth: Truth, dense: DenseIndex, collection: Collection, embedder: BuiltinEmbedding) -> None:
    """Times of each part and of the whole search, first question apart."""
    lexical = truth.lexical
    plain = HybridRetriever(truth, dense, lexical, collection, embedder, top_k=6, fusion=Fusion())
    encoder = Trusting(truth, EncoderEmbedding())
    retriever = HybridRetriever(truth, dense, lexical, collection, embedder, encoder=encoder, top_k=6, fusion=Fusion())
    (one,) = questions(1)
    first = time.perf_counter()
    retriever.hits(one)
    first = (time.perf_counter() - first) * 1000
    fill_cache(truth, collection, encoder)
    rows: list[tuple[str, str, str]] = []
    for name, run in (
        ("embed the question", lambda q: embed_query(embedder, q)),
        ("dense top 50", lambda q: dense.search(collection, embed_query(embedder, q), 50)),
        ("lexical top 50", lambda q: lexical.search(collection.id, q, 50)),
        ("search, encoder off", lambda q: plain.hits(q)),
        ("search, vectors cached", lambda q: retriever.hits(q)),
    ):
        times = []
        for question in questions(seed=12 + len(rows)):  # others for each: a word's passages are remembered
            started = time.perf_counter()
            run(question)
            times.append((time.perf_counter() - started) * 1000)
        rows.append((name, f"{percentile(times, 0.5):.1f}", f"{percentile(times, 0.95):.1f}"))
    table(("", "p50 ms", "p95 ms"), rows)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    say(f"first search, nothing cached, {first:.0f} ms; peak memory of the process {peak:.0f} MB")
