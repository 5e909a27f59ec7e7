"""The program from end to end in a few seconds, by nothing that only one system has: ``python -m tests.portable``.

Documents in, asked, talked with, shown on the page, tested against gold questions, moved out. ``--hidden`` takes away
what only POSIX has first (``tests.hidden``). Exits with a traceback at the first step that fails.
"""

from __future__ import annotations

import _thread
import io
import json
import os
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

LEFT_OUT = ("kubernetes", "hf_xet")
"""What the locks leave out, though packages ask for it (``[tool.uv]`` in pyproject.toml)."""
LIGHTHOUSE = "# Lighthouse\r\n\r\nThe foghorn of the Skerry lighthouse sounds every 40 seconds in winter.\r\n"
KEEPER = "The keeper of the Skerry lighthouse is Mrs Dahl. She lives in the red house.\n"
GOLD = """\
version: 1
questions:
- id: foghorn
  question: How often does the foghorn of the Skerry lighthouse sound in winter?
  sources:
  - file: deep/lighthouse.md
    quote: sounds every 40 seconds in winter
  facts:
  - id: how-often
    any: [40 seconds]
"""


def rag(*arguments: str, code: int = 0) -> str:
    """What a command prints on its standard output."""
    from rag.commands.cli import run

    out = io.StringIO()
    with redirect_stdout(out):
        ended = run(arguments)
    assert ended == code, f"rag {' '.join(arguments)} ended with {ended}: {out.getvalue()}"
    return out.getvalue()


def documents(folder: Path) -> None:
    """A few documents with names and line ends of any system."""
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "lighthouse.md").write_bytes(LIGHTHOUSE.encode())
    (folder / "Keeper Straße.txt").write_text(KEEPER, encoding="utf-8")
    (folder / "table.csv").write_text("port,ships\nSkerry,12\n", encoding="utf-8")
    (folder / "page.html").write_text("<h1>Harbour</h1><p>Skerry harbour freezes in February.</p>", encoding="utf-8")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4 nothing")


def in_and_asked(home: Path) -> None:
    """Documents in, twice; the broken one is refused; answers cite the right one."""
    docs = home / "docs"
    documents(docs)
    lines = [json.loads(line) for line in rag("ingest", str(docs), "--json", code=1).splitlines()]
    assert lines[-1]["added"] == 4 and lines[-1]["failed"] == 1, lines
    names = {line["source"] for line in lines[:-1]}
    assert {"deep/lighthouse.md", "Keeper Straße.txt"} <= names, names
    (docs / "broken.pdf").unlink()
    again = json.loads(rag("sync", str(docs), "--json").splitlines()[-1])
    assert again["unchanged"] == 4, again
    answer = json.loads(rag("ask", "Who is the keeper of the Skerry lighthouse?", "--json"))
    assert "Mrs Dahl" in answer["text"] and answer["citations"][0]["source"] == "Keeper Straße.txt", answer
    (docs / "deep" / "lighthouse.md").rename(docs / "moved.md")
    moved = json.loads(rag("sync", str(docs), "--json").splitlines()[-1])
    assert moved["moved"] == 1, moved
    (docs / "moved.md").rename(docs / "deep" / "lighthouse.md")
    rag("sync", str(docs), "--json")


def two_writers(home: Path) -> None:
    """The second one is told who the first is; the lock ends with it."""
    from rag import Library
    from rag.errors import LibraryLocked

    with Library.open(home / "library", llm="quotes"):
        try:
            Library.open(home / "library", llm="quotes", write=True).close()
        except LibraryLocked as error:
            assert str(os.getpid()) in str(error), error
        else:
            raise AssertionError("two write at once")
    Library.open(home / "library", llm="quotes", write=True).close()


def talked() -> None:
    """A conversation without a terminal."""
    before, sys.stdin = sys.stdin, io.StringIO("How often does the foghorn sound in winter?\n/sources\n/quit\n")
    try:
        said = rag("chat")
    finally:
        sys.stdin = before
    assert "40 seconds" in said and "deep/lighthouse.md" in said, said


def shown(home: Path) -> None:
    """The page starts, answers, and ends as by Ctrl-C."""
    from rag import Library
    from ui.app import serve

    got: list[Any] = []

    def visit(address: str) -> None:
        try:
            with urllib.request.urlopen(address, timeout=60) as page:
                got.append((page.status, page.read().decode("utf-8")))
        except OSError as error:
            got.append(error)
        finally:
            _thread.interrupt_main()

    with Library.open(home / "library", llm="quotes", write=True) as library:
        serve(
            library, host="127.0.0.1", port=0, open_browser=False,
            on_ready=lambda address: threading.Thread(target=visit, args=(address,)).start(),
        )  # fmt: skip
    assert got and got[0][0] == 200 and "<html" in got[0][1], got


def held_to_gold(home: Path) -> None:
    """A gold set is run, accepted, and run again."""
    gold = home / "gold.yaml"
    gold.write_text(GOLD, encoding="utf-8")
    arguments = (str(gold), "--corpus", str(home / "docs"), "--llm", "quotes")
    rag("gold", "run", *arguments)
    rag("gold", "accept", *arguments[:1], "--all", "--reason", "read")
    rag("gold", "run", *arguments)


def examined(*, windows: bool) -> None:
    """The doctor says how parsers are confined."""
    checks = {check["name"]: check for check in json.loads(rag("doctor", "--json"))}
    told = checks["parsers"]["message"]
    assert ("a job object" in told) == windows, told


def main(arguments: list[str]) -> int:
    """Walk, and tell each step."""
    hidden = "--hidden" in arguments
    if hidden:
        from tests.hidden import hide

        hide()
        sys.modules.update(dict.fromkeys(LEFT_OUT))  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        home = Path(folder).resolve()
        os.environ.update(RAG_LIBRARY=str(home / "library"), RAG_LLM="quotes", RAG_EMBEDDER="builtin")
        steps: dict[str, Callable[[], None]] = {
            "ingest ask sync": lambda: in_and_asked(home),
            "lock": lambda: two_writers(home),
            "chat": talked,
            "doctor": lambda: examined(windows=hidden or sys.platform == "win32"),
            "gold": lambda: held_to_gold(home),
            "page": lambda: shown(home),
        }
        for name, step in steps.items():
            step()
            print(f"ok {name}", flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
