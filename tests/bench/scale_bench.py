"""Growth: the same library at 10,000 and 100,000 passages, and at as many more as ``RAG_SCALE`` says.

``RAG_SCALE=10000,100000,1000000 python -m tests.bench scale``. Words follow Zipf's law, vectors have 256 dimensions and
the structure of topics; a question is made of words of one passage, and is vague about its vector. Each size is written
by one process and measured by another, so that memory is that of a library in use. The plot goes to docs/scale.svg.

With ``RAG_INDEX=off`` Chroma is left out, whose graph of a million takes most of an hour: the dense side, and so the
fused figures, are then of the exact search that answers until the graph is opened; nothing is drawn.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from llama_index.core.base.embeddings.base import BaseEmbedding
from pydantic import PrivateAttr

from rag.retrieve import HybridRetriever
from rag.store.backends import open_truth
from rag.store.dense import DenseIndex
from rag.store.exact import ExactSearch
from rag.store.saved import save
from rag.store.truth import Collection, EmbedderInfo, NewDocument, NewPassage, Truth, text_key
from rag.types import ParsedDocument, index_text
from tests.bench.tables import percentile, say, table

SIZES = "10000,100000"
PLOT = Path(__file__).parents[2] / "docs" / "scale.svg"
CHROMA = os.environ.get("RAG_INDEX") != "off"
DIMENSION = 256
WORDS = 120
VOCABULARY = 60_000
A_DOCUMENT = 100
QUESTIONS = 60
REBUILT = 100_000
"""The largest size whose index is also built anew at the end: it takes as long as building it the first time."""
PART = 0.1
"""The share of the documents that a filtered question is asked of."""
_BYTES_A_PASSAGE = 12_000
ROWS = (
    ("truth written, s", "write_s"), ("index built, s", "build_s"), ("truth, MB", "truth_mb"),
    ("index, MB", "index_mb"), ("reopened and asked, ms", "reopen_ms"), ("memory in use, MB", "memory_mb"),
    ("of it mapped files, MB", "mapped_mb"), ("dense p50", "dense_p50"), ("dense p95", "dense_p95"),
    ("lexical p50", "lexical_p50"),
    ("lexical p95", "lexical_p95"), ("fused p50", "fused_p50"), ("fused p95", "fused_p95"),
    ("filtered p50", "filtered_p50"), ("filtered p95", "filtered_p95"), ("fused p95, processor", "fused_cpu_p95"),
    ("filtered p95, processor", "filtered_cpu_p95"), ("document changed, ms", "change_ms"),
    ("then asked, ms", "after_ms"), ("document removed, ms", "remove_ms"), ("index told of it, s", "told_s"),
    ("index rebuilt, s", "rebuild_s"),
)  # fmt: skip

Vectors = npt.NDArray[np.float32]


def main() -> None:
    """Write and measure each size, print the table, draw the plot."""
    sizes = [int(size) for size in os.environ.get("RAG_SCALE", SIZES).split(",")]
    found = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as home:
            free, needed = shutil.disk_usage(home).free / 1e9, size * _BYTES_A_PASSAGE / 1e9
            if free < needed:
                say(f"skipped {size:,} passages: they need about {needed:.0f} GB, {free:.0f} are free")
                continue
            found.append({"passages": size, **_apart("fill", home, size), **_apart("measure", home, size)})
    say(f"milliseconds unless said otherwise; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    head = ("", *(f"{one['passages']:,}" for one in found))
    table(head, [(name, *(_figure(one.get(key)) for one in found)) for name, key in ROWS])
    if CHROMA:
        PLOT.write_text(plot(found), encoding="utf-8")
        say(f"drawn: {PLOT}")


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _apart(task: str, home: str, size: int) -> dict[str, float]:
    """What a task finds, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.scale_bench", task, home, str(size)], capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


class Known(BaseEmbedding):
    """Knows the vectors of the questions."""

    _vectors: dict[str, Vectors] = PrivateAttr(default_factory=dict)

    def _get_query_embedding(self, query: str) -> list[float]:
        return [float(value) for value in self._vectors[query]]

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_query_embedding(text)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_query_embedding(query)


class Corpus:
    """Documents of 100 passages, made one by one."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(5)
        weights = 1 / np.arange(1, VOCABULARY + 1) ** 1.05
        self._spread = np.cumsum(weights / weights.sum())
        self._words = np.array([f"w{number:x}" for number in range(VOCABULARY)])
        self._basis = self._rng.standard_normal((24, DIMENSION))
        self._topics = self._rng.standard_normal((500, 24))

    def document(self, number: int, passages: int = A_DOCUMENT) -> NewDocument:
        """A new one every time."""
        rng, name = self._rng, f"report-{number:06}.txt"
        drawn = np.minimum(np.searchsorted(self._spread, rng.random((passages, WORDS))), VOCABULARY - 1)
        texts = [" ".join(row) for row in self._words[drawn]]
        rows = (self._topics[rng.integers(0, 500, passages)] + 0.7 * rng.standard_normal((passages, 24))) @ self._basis
        rows += 0.5 * rng.standard_normal(rows.shape)
        new, at = [], 0
        for text in texts:
            new.append(NewPassage(at, at + len(text), None, (), text_key(index_text(name, (), text))))
            at += len(text) + 2
        text = "\n\n".join(texts)
        vectors = {p.key: row.astype(np.float32) for p, row in zip(new, rows, strict=True)}
        digest = sha256(text.encode()).hexdigest()
        parsed = ParsedDocument(text, name, "text/plain")
        return NewDocument(name, name, parsed, new, vectors, digest, len(text))

    def question(self, new: NewDocument) -> tuple[str, Vectors]:
        """Words of one of its passages, and a vector near that one's."""
        passage = new.passages[int(self._rng.integers(len(new.passages)))]
        words = new.parsed.text[passage.start : passage.end].split()[: int(self._rng.integers(6, 13))]
        vector = new.vectors[passage.key] / np.linalg.norm(new.vectors[passage.key])
        vague = vector + 0.3 * self._rng.standard_normal(DIMENSION) / DIMENSION**0.5
        return " ".join(words), vague.astype(np.float32)


def fill(home: Path, size: int) -> dict[str, float]:
    """Write a library of so many passages, and the questions beside it."""
    corpus, asked, spent = Corpus(), {}, 0.0
    every = max(1, size // A_DOCUMENT // QUESTIONS)
    with open_truth(home / "library", writer=True) as truth:
        collection = truth.collections.create("default", EmbedderInfo("bench", "0", DIMENSION), "bench")
        for number in range(size // A_DOCUMENT):
            new = corpus.document(number)
            if number % every == 0:
                question, vector = corpus.question(new)
                asked[question] = vector.tolist()
            started = time.perf_counter()
            truth.documents.put(collection, new)
            spent += time.perf_counter() - started
        started = time.perf_counter()
        dense = _dense(truth, home / "library")
        _told(truth, dense, collection)
        built = time.perf_counter() - started
        dense.close()
    (home / "asked.json").write_text(json.dumps(asked), encoding="utf-8")
    folder = home / "library"
    index = sum(file.stat().st_size for file in (folder / "index").rglob("*") if file.is_file())
    return {
        "write_s": spent, "build_s": built, "truth_mb": (folder / "library.sqlite3").stat().st_size / 1e6,
        "index_mb": index / 1e6,
    }  # fmt: skip


def _dense(truth: Truth, folder: Path) -> DenseIndex:
    return DenseIndex.open(truth, folder) if CHROMA else DenseIndex(truth, ExactSearch(truth, folder), None)


def _told(truth: Truth, dense: DenseIndex, collection: Collection) -> None:
    """Bring what is derived up to date."""
    dense.sync(collection)
    if not CHROMA:
        save(truth, Path(truth.address), collection)


def measure(home: Path, size: int) -> dict[str, float]:
    """Reopen it, search it, change it."""
    asked = {
        question: np.array(row, dtype=np.float32)
        for question, row in json.loads((home / "asked.json").read_text()).items()
    }
    embedder = Known()
    embedder._vectors = asked
    figures: dict[str, float] = {}
    started = time.perf_counter()
    with open_truth(home / "library", writer=True) as truth:
        dense = _dense(truth, home / "library")
        collection = truth.collections.get("default")
        whole = HybridRetriever(truth, dense, truth.lexical, collection, embedder)
        whole.hits(next(iter(asked)))
        figures["reopen_ms"] = (time.perf_counter() - started) * 1000
        while dense.state(collection) == "rebuilding":
            time.sleep(0.05)
        documents = [document.id for document in truth.documents.list(collection.id)]
        within = truth.passages.numbers_in(documents[: max(1, round(PART * len(documents)))])
        part = HybridRetriever(truth, dense, truth.lexical, collection, embedder, within=within)
        for name, run in (
            ("dense", lambda q: dense.search(collection, asked[q], 50)),
            ("lexical", lambda q: truth.lexical.search(collection.id, q, 50)),
            ("fused", whole.hits),
            ("filtered", part.hits),
        ):
            figures |= _times(name, run, list(asked))
        figures |= _memory()
        figures |= _changes(truth, dense, collection, whole, next(iter(asked)))
        if size <= REBUILT:
            started = time.perf_counter()
            dense.rebuild(collection)
            figures["rebuild_s"] = time.perf_counter() - started
        dense.close()
    return figures


def _changes(
    truth: Truth, dense: DenseIndex, collection: Collection, whole: HybridRetriever, question: str
) -> dict[str, float]:
    """One document of 20 passages put in, changed, and removed."""
    corpus = Corpus()
    truth.documents.put(collection, corpus.document(10**6, 20))
    whole.hits(question)
    laps: list[float] = []
    for step in (
        lambda: truth.documents.put(collection, corpus.document(10**6, 20)),
        lambda: whole.hits(question),
        lambda: truth.documents.remove(collection.id, f"report-{10**6:06}.txt"),
    ):
        started = time.perf_counter()
        step()
        laps.append((time.perf_counter() - started) * 1000)
    started = time.perf_counter()
    _told(truth, dense, collection)
    told = time.perf_counter() - started
    return dict(zip(("change_ms", "after_ms", "remove_ms", "told_s"), [*laps, told], strict=True))


def _times(name: str, run: Callable[[str], object], questions: Sequence[str]) -> dict[str, float]:
    """Percentiles over the questions, by the clock and by this process's processor time; each was asked once before."""
    for question in questions[:3]:
        run(question)
    clock, processor = [], []
    for question in questions:
        started, used = time.perf_counter(), time.process_time()
        run(question)
        clock.append((time.perf_counter() - started) * 1000)
        processor.append((time.process_time() - used) * 1000)
    return {
        f"{name}_p50": percentile(clock, 0.5), f"{name}_p95": percentile(clock, 0.95),
        f"{name}_cpu_p95": percentile(processor, 0.95),
    }  # fmt: skip


def _memory() -> dict[str, float]:
    """What of this process is in memory, and what of that belongs to files, which are read again when it is wanted."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines if line.startswith(("VmRSS", "RssFile"))}
    return {"memory_mb": kilobytes["VmRSS"] * 1024 / 1e6, "mapped_mb": kilobytes["RssFile"] * 1024 / 1e6}


def plot(found: Sequence[dict[str, Any]]) -> str:
    """The 95th percentiles over the size, both by powers of ten, as SVG."""
    lines = (("dense", "#4269d0"), ("lexical", "#efb118"), ("fused", "#3ca951"), ("filtered", "#ff725c"))
    left, top, width, height = 60, 20, 440, 260
    sizes = [one["passages"] for one in found]
    low, high = np.log10(min(sizes)), np.log10(max(sizes))
    values = [one[f"{name}_p95"] for one in found for name, _ in lines]
    bottom, upper = np.floor(np.log10(max(min(values), 0.1))), np.ceil(np.log10(max(values)))

    def at(size: float, value: float) -> str:
        x = left + width * (np.log10(size) - low) / max(high - low, 1e-9)
        y = top + height * (upper - np.log10(max(value, 0.1))) / max(upper - bottom, 1e-9)
        return f"{x:.1f},{y:.1f}"

    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 90} {top + height + 50}"'
        ' font-family="sans-serif" font-size="12">',
        '<title>Search, 95th percentile in milliseconds, by passages</title><path d="M0 0H2000V2000H0z" fill="#fff"/>',
        *_grid(sizes, int(bottom), int(upper), at),
        *_lines({
            (name, colour): [at(one["passages"], one[f"{name}_p95"]) for one in found] for name, colour in lines
        }),
        "</svg>\n",
    ])  # fmt: skip


def _grid(sizes: Sequence[int], bottom: int, upper: int, at: Callable[[float, float], str]) -> Iterator[str]:
    for power in range(bottom, upper + 1):
        x, y = at(min(sizes), 10**power).split(",")
        yield f'<path d="M{x} {y}H500" stroke="#ddd"/><text x="50" y="{y}" text-anchor="end">{10**power:g} ms</text>'
    for size in sizes:
        x, y = at(size, 10**bottom).split(",")
        yield f'<text x="{x}" y="{float(y) + 20:.1f}" text-anchor="middle">{size:,}</text>'


def _lines(points: Mapping[tuple[str, str], Sequence[str]]) -> Iterator[str]:
    """A line for each name and colour, the names below each other at their ends."""
    free = 0.0
    for (name, colour), line in sorted(points.items(), key=lambda one: float(one[1][-1].split(",")[1])):
        x, y = (float(value) for value in line[-1].split(","))
        free = max(free + 14, y)
        yield f'<polyline points="{" ".join(line)}" fill="none" stroke="{colour}" stroke-width="2"/>'
        yield f'<text x="{x + 6:.1f}" y="{free:.1f}" fill="{colour}">{name}</text>'


if __name__ == "__main__":
    task, place, wanted = sys.argv[1:]
    sys.stdout.write(json.dumps({"fill": fill, "measure": measure}[task](Path(place), int(wanted))) + "\n")
