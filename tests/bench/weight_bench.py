"""What an installation without extras weighs, by package, and which packages nothing imports.

The wheel goes into a fresh environment. There every module is noted that the commands load (documents in, asked,
searched, tested against gold questions, examined, moved out); what the program's source imports counts, too, since the
children that parse cannot tell. A package of which nothing is loaded is carried for nothing; who asks for it stands
beside.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import Distribution, distributions
from pathlib import Path

from tests.bench.tables import table
from tests.house import imports

ROOT = Path(__file__).parents[2]
SHOWN_MB = 3.0
READ = frozenset({"wordllama", "pypdfium2"})
"""What no import statement names: the first one is read and not imported, the second one is imported by its name."""
NOTING = """\
import os, sys
_noted = set()
_to = os.open(os.environ["NOTED"], os.O_WRONLY | os.O_APPEND)
def _note(event, args):
    if event == "import" and (top := args[0].partition(".")[0]) not in _noted:
        _noted.add(top)
        try:
            os.write(_to, f"{top}\\n".encode())
        except OSError:
            pass
sys.addaudithook(_note)
"""
GOLD = """\
version: 1
questions:
- id: losses
  question: How many people did Pakistan lose in the fight against terrorism?
  sources:
  - file: khan-visit-to-washington.md
    quote: more than 77,000 people
"""


def main() -> None:
    """Install, walk, weigh and print."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        site = _installed(home)
        used = _loaded(home, site)
        print_weights(list(distributions(path=[str(site)])), used)


def _installed(home: Path) -> Path:
    _run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(home)], ROOT)
    (wheel,) = home.glob("*.whl")
    _run([sys.executable, "-m", "venv", "--without-pip", str(home / "env")], home)
    python = str(home / "env" / "bin" / "python")
    _run([sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-compile", str(wheel)], home)
    (site,) = (home / "env" / "lib").glob("python*/site-packages")
    return site


def _loaded(home: Path, site: Path) -> set[str]:
    """The names of the top modules that a walk through the commands loads, or the program's source imports."""
    noted, tracer = home / "noted", home / "tracer"
    noted.touch()
    tracer.mkdir()
    (tracer / "sitecustomize.py").write_text(NOTING, encoding="utf-8")
    (home / "gold.yaml").write_text(GOLD, encoding="utf-8")
    seeds = str(site / "rag" / "data" / "seeds")
    environ = {
        "PATH": "/usr/bin:/bin", "HOME": str(home), "NOTED": str(noted), "PYTHONPATH": str(tracer),
        "PYTHONDONTWRITEBYTECODE": "1", "RAG_LLM": "quotes", "RAG_EMBEDDER": "builtin",
    }  # fmt: skip
    rag = str(home / "env" / "bin" / "rag")
    for arguments in (
        ["ingest", seeds, "--wait"], ["ask", "Which port is wrongly called Pakistani?"], ["search", "the gas pipeline"],
        ["gold", "run", str(home / "gold.yaml"), "--corpus", seeds, "--llm", "quotes"], ["doctor"],
        ["models", "list"], ["export", str(home / "out")], ["backup", str(home / "all.backup")],
    ):  # fmt: skip
        subprocess.run([rag, *arguments], cwd=home, env=environ, capture_output=True, timeout=600, check=False)
    named = (imports(ast.parse(path.read_text(encoding="utf-8"))) for path in (site / "rag").rglob("*.py"))
    return set(noted.read_text(encoding="utf-8").split()) | {
        name.partition(".")[0] for names in named for name in names
    }


def print_weights(found: Sequence[Distribution], used: set[str]) -> None:
    """A row for each package of 3 MB or more, the heaviest first; the others together; what is loaded and what not."""
    rows = [(megabytes(one), one.name, bool(tops(one) & (used | READ)), asked_by(one.name, found)) for one in found]
    rows.sort(reverse=True)
    shown = [
        (name, f"{size:.0f}", "yes" if loaded else "no", by) for size, name, loaded, by in rows if size >= SHOWN_MB
    ]
    small = sum(size for size, *_ in rows if size < SHOWN_MB)
    shown.append((f"{len(rows) - len(shown)} others", f"{small:.0f}", "", ""))
    shown.append(("all", f"{sum(row[0] for row in rows):.0f}", "", ""))
    shown.append(("loaded", f"{sum(size for size, _, loaded, _ in rows if loaded):.0f}", "", ""))
    table(("package", "MB", "loaded", "asked for by"), shown)


def megabytes(one: Distribution) -> float:
    """What a package's files take, in 10^6 bytes, without what Python compiles."""
    sizes = (Path(str(path.locate())) for path in one.files or () if path.suffix != ".pyc")
    return sum(path.stat().st_size for path in sizes if path.is_file()) / 1e6


def tops(one: Distribution) -> set[str]:
    """The names by which a package is imported."""
    first = {path.parts[0] for path in one.files or () if path.suffix in (".py", ".so", ".pyd")}
    return {name.partition(".")[0] for name in first}


def asked_by(name: str, found: Sequence[Distribution]) -> str:
    """The packages that need this one, without extras and for this system, in words."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    wanted, by = canonicalize_name(name), []
    for one in found:
        needs = map(Requirement, one.requires or ())
        if any(
            canonicalize_name(need.name) == wanted and (need.marker is None or need.marker.evaluate({"extra": ""}))
            for need in needs
        ):
            by.append(one.name)
    return ", ".join(sorted(by))


def _run(command: list[str], where: Path) -> None:
    done = subprocess.run(command, cwd=where, env=dict(os.environ), capture_output=True, text=True, timeout=1_200)
    if done.returncode:
        raise SystemExit(f"{json.dumps(command)} ended with {done.returncode}:\n{done.stderr[-2_000:]}")
