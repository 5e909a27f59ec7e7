"""The fast gate at size: 1,000 gold questions, searched and scored but not answered, over 100,000 passages."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rag.config import Config
from rag.gold import GoldSet, Question, Run, Settings, run
from rag.gold.types import Source
from rag.library import Library
from rag.models.embed import BuiltinEmbedding, describe_embedder
from rag.store.backends import open_truth
from rag.store.dense import DenseIndex
from rag.store.truth import EmbedderInfo
from tests.bench.search_bench import A_DOCUMENT, PASSAGES, documents, fill
from tests.bench.tables import say, table

QUESTIONS = 1_000
_ASKED, _QUOTED = 9, 15


def main() -> None:
    """Fill a library, run the questions, print the time of each part."""
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "library"
        _fill(folder)
        gold = GoldSet("bench.yaml", tuple(questions()), sha256="bench")
        rows = []
        with Library.open(folder, config=Config(llm="quotes", embedder="builtin"), write=False) as library:
            library.search("warm up")
            for name, check in (("search and score", False), ("lint, search and score", True)):
                started, busy = time.perf_counter(), time.process_time()
                finished = run(gold, library, Settings(retrieval_only=True, check=check, k=5))
                wall, busy = time.perf_counter() - started, time.process_time() - busy
                rows.append((name, f"{wall:.1f}", f"{busy:.1f}", *_found(finished)))
        say(f"{QUESTIONS:,} questions over {PASSAGES:,} passages, retrieval only")
        table(("", "seconds", "of a processor", "file_hit@5", "passage_hit@5"), rows)


def questions(count: int = QUESTIONS) -> Iterator[Question]:
    """Nine words of a passage each, with 15 running words of it as the gold quote."""
    rng = np.random.default_rng(23)
    wanted = {int(number) for number in rng.choice(PASSAGES, count, replace=False)}
    for index, (source, texts) in enumerate(documents()):
        for row, text in enumerate(texts):
            if index * A_DOCUMENT + row in wanted:
                words = text.split()
                asked = " ".join(rng.choice(words, _ASKED, replace=False))
                start = int(rng.integers(0, len(words) - _QUOTED))
                quote = " ".join(words[start : start + _QUOTED])
                yield Question(f"q-{index}-{row}", f"{asked}?", sources=(Source(source, quote=quote),))


def _fill(folder: Path) -> None:
    truth = open_truth(folder, writer=True)
    embedder = BuiltinEmbedding()
    facts = describe_embedder(embedder)
    collection = truth.collections.create("default", EmbedderInfo(facts.name, facts.digest, facts.dimension), "bench")
    fill(truth, collection, embedder)
    dense = DenseIndex.open(truth, folder)
    dense.sync(collection)
    dense.close()
    truth.close()


def _found(finished: Run) -> tuple[float, float]:
    scores = list(finished.scores().values())
    return tuple(sum(row[name] for row in scores) / len(scores) for name in ("file_hit@5", "passage_hit@5"))  # type: ignore[return-value]
