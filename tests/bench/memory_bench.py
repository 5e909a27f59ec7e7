"""The page's memory: what calls and page loads leave behind. ``python -m tests.bench memory``.

With ``BENCH_OTHER`` set to another checkout (with its ``.venv``), that one is measured beside this one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.bench.tables import table
from tests.ui.corpus import write_corpus

WARM, CALLS, LOADS = 100, 400, 60


def main() -> None:
    """Measure and print."""
    here = Path(__file__).parents[2]
    other = os.environ.get("BENCH_OTHER")
    rows: list[tuple[object, ...]] = []
    for name, checkout in (("other", other), ("this", here)) if other else (("this", here),):
        assert checkout is not None
        rows += [(name, *row) for row in _measure(Path(checkout))]
    table(("checkout", "what", "MB before", "MB after", "kB each", "descriptors"), rows)


def _measure(checkout: Path) -> Iterator[tuple[object, ...]]:
    with tempfile.TemporaryDirectory() as home, _page(checkout, Path(home)) as (pid, address):
        with httpx.Client(base_url=address, timeout=60) as client:
            for what, count, act in (
                ("run/sources", CALLS, _run),
                ("call/sources", CALLS, _call),
                ("load", LOADS, _load),
            ):
                for number in range(WARM if what != "load" else WARM // 3):
                    act(client, f"w{what[:2]}{number}")
                before = _resident(pid)
                for number in range(count):
                    act(client, f"m{what[:2]}{number}")
                after, files = _resident(pid), len(list(Path(f"/proc/{pid}/fd").iterdir()))
                each = f"{(after - before) / count:.1f}"
                yield f"{count:,} of {what}", f"{before / 1024:.0f}", f"{after / 1024:.0f}", each, files


def _run(client: httpx.Client, _: str) -> None:
    client.post("gradio_api/run/sources", json={"data": [""]}).raise_for_status()


def _call(client: httpx.Client, _: str) -> None:
    event = client.post("gradio_api/call/sources", json={"data": [""]}).raise_for_status().json()["event_id"]
    assert "complete" in client.get(f"gradio_api/call/sources/{event}").text


def _load(client: httpx.Client, session: str) -> None:
    """What a tab asks for when it opens: the page, and its first events."""
    client.get("").raise_for_status()
    config = client.get("config").raise_for_status().json()
    loads = [d for d in config["dependencies"] if any(target[1] == "load" for target in d["targets"])]
    for event in loads:
        body = {"fn_index": event["id"], "session_hash": session.replace("/", ""), "data": [""] * len(event["inputs"])}
        client.post("gradio_api/queue/join", json=body).raise_for_status()
    client.get("gradio_api/queue/data", params={"session_hash": session.replace("/", "")})


def _resident(pid: int) -> int:
    """Kilobytes of memory that a process has."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


@contextmanager
def _page(checkout: Path, home: Path) -> Iterator[tuple[int, str]]:
    """The process and address of ``rag ui`` of a checkout over a small collection."""
    python = checkout / ".venv" / "bin" / "python"
    folder = home / "library"
    environ = {**os.environ, "RAG_LIBRARY": str(folder), "RAG_LLM": "quotes", "RAG_EMBEDDER": "builtin"}
    rag = [str(python if python.exists() else sys.executable), "-m", "rag"]
    subprocess.run([*rag, "ingest", str(write_corpus(home / "docs"))], cwd=checkout, env=environ, check=True)
    with subprocess.Popen([*rag, "ui", "--port", "0"], cwd=checkout, env=environ, stdout=-1, text=True) as child:
        assert child.stdout is not None
        try:
            yield child.pid, child.stdout.readline().split()[1]
        finally:
            child.terminate()
