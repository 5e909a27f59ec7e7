"""A team's library beside one person's: ingest by workers, search through PostgreSQL and a Chroma server, many pages.

``python -m tests.bench.team_bench PART...`` runs some of its parts (``PARTS``). ``RAG_TEAM=100000`` says how many
passages are searched, or names a folder that ``python -m tests.bench.scale_bench fill FOLDER NUMBER`` has filled;
``RAG_FAULTS=5`` says how often each kind of process is killed. Everything runs on this machine:
PostgreSQL, ``chroma run``, workers, pages and the fake model share its cores with what is measured. The library in the
database is a copy of the one in the folder (``rag.store.move``), so that both answer the same questions from the same
vectors.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import numpy as np

from rag.gold.files.gold_set import load_gold
from rag.library import Library
from rag.retrieve import HybridRetriever
from rag.store import dense as dense_module
from rag.store.backends import open_election, open_tables, open_truth
from rag.store.dense import DenseIndex
from rag.store.move import copy, finish
from rag.store.truth import Truth
from tests.bench.scale_bench import Known, Vectors, _times, fill
from tests.bench.tables import data, percentile, say, table
from tests.bench.ui_model import QUESTION
from tests.chroma import ChromaRun
from tests.postgres import Server, server
from tests.test_team_faults import KINDS as FAULTS
from tests.test_team_faults import Papers, Readers, Team, settled
from tests.ui.corpus import write_corpus

SIZE = 100_000
WORKERS = (1, 2, 4)
PAGES, QUESTIONS = 4, 25
KILLS = 10
ROOT = Path(__file__).parents[2]


def main(parts: Sequence[str] = ()) -> None:
    """Measure and print."""
    say(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    wanted = [PARTS[part] for part in parts or PARTS]
    with (
        tempfile.TemporaryDirectory(prefix="pg") as place,
        tempfile.TemporaryDirectory() as home,
        server(Path(place)) as postgres,
    ):
        chroma = ChromaRun(Path(home) / "chroma")
        try:
            for part in wanted:
                part(postgres, chroma, Path(home))
        finally:
            chroma.stop()


def _gold(postgres: Server, _: ChromaRun, home: Path) -> None:
    """The shipped gold set over both: how many of its answers are the same to the letter, with the same citations."""
    asked = [one.question for one in load_gold(ROOT / "tests" / "data" / "seeds.yaml").questions]
    told = []
    for database in ("", postgres.address("gold")):
        with Library.open(
            database=database, library=home / f"gold{bool(database)}", llm="quotes", embedder="builtin"
        ) as library:
            library.ingest(ROOT / "seeds")
            list(library.encode_events())
            answers = [library.ask(question) for question in asked]
            told.append([(a.text, a.outcome, [(c.source, c.start, c.end) for c in a.citations]) for a in answers])
    same = sum(one == other for one, other in zip(*told, strict=True))
    say(f"\nthe shipped gold set: {same} of {len(asked)} answers are the same over SQLite and PostgreSQL")


def _ingest(postgres: Server, chroma: ChromaRun, home: Path) -> None:
    """The annual reports, read by this process into a folder, and by workers into a database."""
    folder = data("sec-10-q")
    if folder is None:
        return
    files, rows = folder / "docs", []
    with Library.open(home / "alone", llm="quotes", embedder="builtin", encoder="off") as library:
        library.collections.ensure()
        started = time.perf_counter()
        report = library.ingest(files)
        rows.append(("embedded", f"{time.perf_counter() - started:.1f}", report.count("added")))
    for count in WORKERS:
        environ = _environ(postgres.address(f"ingest{count}"), chroma, "")
        with ExitStack() as stack:
            library = stack.enter_context(
                Library.open(environ["RAG_DATABASE"], library=home / f"i{count}", llm="quotes", embedder="builtin",
                             encoder="off", chroma=chroma.address, queue=True)
            )  # fmt: skip
            library.collections.ensure()
            for number in range(count):
                own = {**environ, "RAG_LIBRARY": str(home / f"w{count}-{number}")}
                stack.enter_context(_running(["worker"], own))
            while library.queue()[0].workers < count:
                time.sleep(0.1)
            started = time.perf_counter()
            report = library.ingest(files)
            rows.append((f"{count} workers", f"{time.perf_counter() - started:.1f}", report.count("added")))
    say()
    table(("sec-10-q read by", "s", "files"), rows)


def _pages(postgres: Server, chroma: ChromaRun, home: Path) -> None:
    """``PAGES`` pages over one library, each asked ``QUESTIONS`` questions at once."""
    address = postgres.address("pages")
    with Library.open(address, library=home / "p", llm="quotes", embedder="builtin") as library:
        library.ingest(write_corpus(home / "docs"))
        list(library.encode_events())
    with ExitStack() as stack:
        model = stack.enter_context(_line([sys.executable, "-m", "tests.bench.ui_model"], dict(os.environ)))
        addresses = []
        for number in range(PAGES):
            environ = {
                **_environ(address, chroma, str(home / f"page{number}")), "RAG_LLM": "ollama:stamps:40x40",
                "RAG_OLLAMA_HOST": f"127.0.0.1:{model}", "RAG_CONCURRENCY": str(QUESTIONS),
            }  # fmt: skip
            command = [sys.executable, "-m", "rag", "ui", "--port", "0"]
            addresses.append(stack.enter_context(_line(command, environ)).split()[1])
        for each in (1, QUESTIONS):
            took = asyncio.run(_asked(addresses, each))
            say(
                f"{PAGES} pages x {each} questions at once, 40 tokens at 40 a second (1.0 s ideal): p50"
                f" {percentile(took, 0.5):.2f} s, p95 {percentile(took, 0.95):.2f} s, {len(took)} answered"
            )


async def _asked(addresses: list[str], each: int) -> list[float]:
    async with httpx.AsyncClient(
        timeout=300, limits=httpx.Limits(max_connections=256, max_keepalive_connections=0)
    ) as client:
        asked = (_answer(client, address) for address in addresses for _ in range(each))
        return list(await asyncio.gather(*asked))


async def _answer(client: httpx.AsyncClient, address: str) -> float:
    """Seconds until a question was answered whole."""
    started = time.perf_counter()
    made = await client.post(f"{address}gradio_api/call/ask", json={"data": [QUESTION, "default"]})
    event = made.raise_for_status().json()["event_id"]
    whole = await client.get(f"{address}gradio_api/call/ask/{event}")
    assert "event: complete" in whole.text, whole.text[:300]
    return time.perf_counter() - started


def _search(postgres: Server, chroma: ChromaRun, home: Path) -> None:
    """The same questions of the same library: in a folder with embedded Chroma, in a database with a Chroma server.

    Both ask Chroma, which they would not of a collection of less than 128 MB of vectors: that is searched exactly.
    """
    dense_module.EXACT_BYTES = 0
    wanted = os.environ.get("RAG_TEAM", str(SIZE))
    if wanted.isdecimal():
        fill(home, int(wanted))
    else:
        home = Path(wanted)
    address = postgres.address("search")
    started = time.perf_counter()
    with open_tables(home / "library", writer=False) as source, open_tables(address, writer=True) as target:
        for _ in copy(source, target):
            pass
        finish(target)
    moved = time.perf_counter() - started
    with open_truth(address, writer=True) as truth:
        started = time.perf_counter()
        dense = DenseIndex.on_server(truth, chroma.address, open_election(truth))
        collection = truth.collections.get("default")
        size = truth.passages.count(collection.id)
        dense.sync(collection)
        built = time.perf_counter() - started
        dense.close()
    say(f"\n{size:,} passages: moved and compared in {moved:.0f} s, the server's index built in {built:.0f} s")
    with open_truth(home / "library", writer=True) as truth:
        dense = DenseIndex.open(truth, home / "library")
        embedded = _measured(truth, dense, home)
        dense.close()
    with open_truth(address, writer=True) as truth:
        dense = DenseIndex.on_server(truth, chroma.address, open_election(truth))
        served = _measured(truth, dense, home)
        dense.close()
    head = ("ms", "SQLite, embedded p50", "p95", "PostgreSQL, server p50", "p95")
    table(head, [
        (name, *(f"{found[f'{name}_{part}']:.0f}" for found in (embedded, served) for part in ("p50", "p95")))
        for name in ("dense", "lexical", "fused")
    ])  # fmt: skip


def _measured(truth: Truth, dense: DenseIndex, home: Path) -> dict[str, float]:
    asked: dict[str, Vectors] = {
        question: np.array(row, dtype=np.float32)
        for question, row in json.loads((home / "asked.json").read_text()).items()
    }
    embedder = Known()
    embedder._vectors = asked
    collection = truth.collections.get("default")
    whole = HybridRetriever(truth, dense, truth.lexical, collection, embedder)
    dense.sync(collection)
    whole.hits(next(iter(asked)))
    figures: dict[str, float] = {}
    for name, run in (
        ("dense", lambda q: dense.search(collection, asked[q], 50)),
        ("lexical", lambda q: truth.lexical.search(collection.id, q, 50)),
        ("fused", whole.hits),
    ):
        figures |= _times(name, run, list(asked))
    return figures


def _takeover(postgres: Server, chroma: ChromaRun, home: Path) -> None:
    """The process that tells Chroma is killed: how long until another does."""
    took = []
    with ExitStack() as stack:
        team = Team(stack, postgres, home / "takeover")
        team.library._dense.close()  # this process tells nobody: it is to be a worker
        for _ in range(KILLS):
            while len(team.candidates()) < len(team.workers):
                time.sleep(0.1)
            before = _teller(team)
            started = time.monotonic()
            team.kill("teller", random.Random(1))
            while _teller(team) == before:
                time.sleep(0.01)
            took.append(time.monotonic() - started)
    say(f"\nthe process that tells Chroma killed {KILLS} times: another took over within {max(took):.1f} s, p50"
        f" {percentile(took, 0.5):.1f} s")  # fmt: skip


def _teller(team: Team) -> int:
    """The connection of the process that tells Chroma, waited for."""
    while (found := team.teller()) is None:
        time.sleep(0.01)
    return found


def _faults(postgres: Server, chroma: ChromaRun, home: Path) -> None:
    """Each kind of process killed in the middle of changes; until all that was changed is in and told to the index."""
    dense_module.EXACT_BYTES = -1
    count = int(os.environ.get("RAG_FAULTS", "5"))
    rows = []
    with ExitStack() as stack:
        team, chance = Team(stack, postgres, home / "faults"), random.Random(15)
        papers = Papers(team, home / "faults-docs", chance)
        for kind in FAULTS:
            readers, took = Readers(team.library, papers.acknowledged), []
            try:
                for _ in range(count):
                    killed = papers.disturbed(kind)
                    settled(team)
                    took.append(time.monotonic() - killed)
            finally:
                readers.end()
            lost, doubled = papers.wrong()
            rows.append((kind, count, f"{percentile(took, 0.5):.1f}", f"{max(took):.1f}", lost, doubled,
                         f"{len(readers.stale)} of {readers.found}"))  # fmt: skip
    say()
    table(("killed", "times", "right again after s, p50", "most", "lost", "doubled", "stale hits"), rows)


def _environ(address: str, chroma: ChromaRun, folder: str) -> dict[str, str]:
    return {
        **os.environ, "RAG_DATABASE": address, "RAG_CHROMA": chroma.address, "RAG_LIBRARY": folder, "RAG_LLM": "quotes",
        "RAG_EMBEDDER": "builtin", "RAG_ENCODER": "off",
    }  # fmt: skip


@contextmanager
def _running(command: list[str], environ: dict[str, str]) -> Iterator[None]:
    """A command of the program until the block ends."""
    with subprocess.Popen(
        [sys.executable, "-m", "rag", *command], env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as child:
        try:
            yield
        finally:
            child.terminate()


@contextmanager
def _line(command: list[str], environ: dict[str, str]) -> Iterator[str]:
    """The first line that a program prints; it is ended with the block."""
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            yield child.stdout.readline().strip()
        finally:
            child.terminate()


PARTS = {
    "gold": _gold, "ingest": _ingest, "pages": _pages, "takeover": _takeover, "faults": _faults, "search": _search,
}  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
