"""Ingest and retrieval on 20 quarterly reports: this program beside LlamaIndex's default pipeline, one embedder."""

from __future__ import annotations

import csv
import fnmatch
import gc
import logging
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.library import Library
from tests.bench.tables import data, percentile, say, table

DEPTH = 50
"""Passages retrieved to rank the files."""


@dataclass(frozen=True)
class Outcome:
    """One side of the comparison. Times: seconds of ingest, by the clock and of all processors, milliseconds of
    search. The clock's depend on who else uses the machine, the processors' hardly."""

    name: str
    seconds: float
    processor: float
    files: int
    pages: int
    passages: int
    hit1: float
    hit5: float
    hit10: float
    recall10: float
    p50: float
    p95: float


def main() -> None:
    """Run both and print them."""
    folder = data("sec-10-q")
    if folder is None:
        return
    questions = load_questions(folder)
    say(f"{len(questions)} questions over {len(list((folder / 'docs').glob('*.pdf')))} reports")
    with tempfile.TemporaryDirectory() as home:
        ours = measure_ours(folder, questions, Path(home))
    gc.collect()
    theirs = measure_default(folder, questions)
    head = (
        "",
        "ingest s",
        "cpu s",
        "files",
        "pages",
        "passages",
        "hit@1",
        "hit@5",
        "hit@10",
        "recall@10",
        "p50 ms",
        "p95 ms",
    )
    table(
        head,
        [
            (o.name, f"{o.seconds:.1f}", f"{o.processor:.1f}", o.files, o.pages, o.passages, o.hit1, o.hit5, o.hit10,
             o.recall10, f"{o.p50:.1f}", f"{o.p95:.1f}")
            for o in (theirs, *ours)
        ],
    )  # fmt: skip
    faster = theirs.seconds / ours[0].seconds
    work = theirs.processor / ours[0].processor
    say(f"ingest: {faster:.1f} times as fast as LlamaIndex's default (imports left out of both), {work:.1f} times less")
    say(f"work; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")


def processor_seconds() -> float:
    """What this process and its ended children have used so far."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def load_questions(folder: Path) -> list[tuple[str, frozenset[str]]]:
    """Each question with the files (without .pdf) that its patterns name."""
    names = [path.stem for path in (folder / "docs").glob("*.pdf")]
    rows = []
    with (folder / "qna_data.csv").open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            patterns = [p.strip() for p in row["Source Docs"].split(",")]
            gold = frozenset(n for n in names if any(fnmatch.fnmatch(n, p) for p in patterns))
            rows.append((row["Question"], gold))
    return rows


def measure_ours(folder: Path, questions: Sequence[tuple[str, frozenset[str]]], home: Path) -> list[Outcome]:
    """This program with the built-in embedder, ranking with the encoder, its vectors in the cache, and without."""
    import chromadb  # noqa: F401 - its import is left out of both times

    with Library.open(home / "library", embedder="builtin", llm="quotes") as library:
        library.collections.ensure()
        started, used = time.perf_counter(), processor_seconds()
        report = library.ingest([folder / "docs"])
        seconds = time.perf_counter() - started
    processor = processor_seconds() - used
    pages = sum(event.pages for event in report.events)
    passages = sum(event.passages for event in report.events)
    outcomes = []
    for encoder in ("off", "builtin"):
        with Library.open(home / "library", embedder="builtin", llm="quotes", encoder=encoder) as library:
            started, first = time.perf_counter(), library.search(questions[0][0], DEPTH)
            waited = (time.perf_counter() - started) * 1000
            started, texts = time.perf_counter(), library.index().pending
            for _ in library.encode_events():
                pass
            if texts:
                say(
                    f"first search with nothing in the cache {waited:.0f} ms, {len(first)} hits; the cache filled with "
                    f"{texts} texts at {texts / (time.perf_counter() - started):.0f} a second"
                )

            def search(question: str, library: Library = library) -> list[str]:
                return [Path(hit.passage.source).stem for hit in library.search(question, DEPTH)]

            name = f"rag, encoder {encoder}"
            outcomes.append(_score(name, seconds, processor, report.count("added"), pages, passages, questions, search))
    return outcomes


def measure_default(folder: Path, questions: Sequence[tuple[str, frozenset[str]]]) -> Outcome:
    """LlamaIndex: SimpleDirectoryReader (pypdf), SentenceSplitter 1024/20, ChromaVectorStore, the same embedder."""
    import chromadb
    from chromadb.config import Settings
    from llama_index.core import SimpleDirectoryReader, StorageContext, VectorStoreIndex
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from llama_index.core.node_parser import SentenceSplitter
    from llama_index.vector_stores.chroma import ChromaVectorStore

    from rag.models.embed import BuiltinEmbedding

    builtin = BuiltinEmbedding()

    class Same(BaseEmbedding):
        def _get_text_embedding(self, text: str) -> list[float]:
            return builtin.get_text_embedding(text)

        def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
            return builtin.get_text_embedding_batch(texts)

        def _get_query_embedding(self, query: str) -> list[float]:
            return builtin.get_query_embedding(query)

        async def _aget_query_embedding(self, query: str) -> list[float]:
            return builtin.get_query_embedding(query)

    logging.getLogger("pypdf").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as home:
        client = chromadb.PersistentClient(home, settings=Settings(anonymized_telemetry=False))
        started, used = time.perf_counter(), processor_seconds()
        documents = SimpleDirectoryReader(str(folder / "docs")).load_data()
        storage = StorageContext.from_defaults(
            vector_store=ChromaVectorStore(chroma_collection=client.create_collection("default"))
        )
        index = VectorStoreIndex.from_documents(
            documents,
            storage_context=storage,
            embed_model=Same(),
            transformations=[SentenceSplitter(chunk_size=1024, chunk_overlap=20)],
        )
        seconds, processor = time.perf_counter() - started, processor_seconds() - used
        retriever = index.as_retriever(similarity_top_k=DEPTH)

        def search(question: str) -> list[str]:
            return [Path(str(node.metadata["file_name"])).stem for node in retriever.retrieve(question)]

        files = len({d.metadata["file_name"] for d in documents})
        count = storage.vector_store.client.count()
        return _score("LlamaIndex default", seconds, processor, files, len(documents), count, questions, search)


def _score(
    name: str,
    seconds: float,
    processor: float,
    files: int,
    pages: int,
    passages: int,
    questions: Sequence[tuple[str, frozenset[str]]],
    search: Callable[[str], list[str]],
) -> Outcome:
    search(questions[0][0])
    found: list[tuple[list[str], frozenset[str]]] = []
    times: list[float] = []
    for question, gold in questions:
        started = time.perf_counter()
        ranking = list(dict.fromkeys(search(question)))
        times.append((time.perf_counter() - started) * 1000)
        found.append((ranking, gold))
    values: dict[str, Any] = {f"hit{k}": _mean([bool(gold & set(r[:k])) for r, gold in found]) for k in (1, 5, 10)}
    recall = _mean([len(gold & set(r[:10])) / len(gold) for r, gold in found])
    return Outcome(
        name, seconds, processor, files, pages, passages, **values, recall10=recall,
        p50=percentile(times, 0.5), p95=percentile(times, 0.95),
    )  # fmt: skip


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
