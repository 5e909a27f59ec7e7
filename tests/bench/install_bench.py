"""Installing: the wheel by uv, pipx and pip into a machine with nothing but python3 and an empty home; sizes and times.

Each way gets its own HOME and an environment of PATH alone. What an installer keeps of downloads is thrown away before
each; the first row of uv is with its cache warm, since most who have uv have one. uv and pipx are put into a folder of
their own by pip first, which is not counted.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.tables import table

ROOT = Path(__file__).parents[2]
SECONDS = 1_200


def main() -> None:
    """Build, install each way, try what was installed, and print."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        _run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(home)], ROOT, dict(os.environ))
        (wheel,) = home.glob("*.whl")
        tools = home / "tools"
        _run([sys.executable, "-m", "venv", str(tools)], home, _bare(home))
        _run([str(tools / "bin" / "pip"), "install", "-q", "uv", "pipx"], home, _bare(home))
        rows = [
            _installed(home, tools, f"{way}, {what}", way, f"{wheel}{extra}")
            for what, extra in (("library and command line", ""), ("with the page", "[ui]"))
            for way in ("uv tool install", "pipx install", "pip install")
        ]
    table(("", "s", "MB", "rag --help s", "answers", "library stays when it is uninstalled"), rows)


def _installed(home: Path, tools: Path, name: str, way: str, what: str) -> tuple[str, ...]:
    place = home / name.replace(" ", "-").replace(",", "")
    place.mkdir()
    environ = _bare(place)
    python = os.path.realpath(sys.executable)
    started = time.perf_counter()
    if way == "pip install":
        _run([python, "-m", "venv", str(place / "env")], place, environ)
        _run([str(place / "env" / "bin" / "pip"), "install", "-q", what], place, environ)
        rag = place / "env" / "bin" / "rag"
    else:
        tool = str(tools / "bin" / way.split()[0])
        _run([tool, *way.split()[1:], "--python", python, what], place, environ)
        rag = place / ".local" / "bin" / "rag"
    seconds = time.perf_counter() - started
    size = sum(path.stat().st_size for path in _environment(rag).rglob("*") if path.is_file() and not path.is_symlink())
    began = time.perf_counter()
    _run([str(rag), "--help"], place, environ)
    help_seconds = time.perf_counter() - began
    ask = {**environ, "RAG_LLM": "quotes", "RAG_EMBEDDER": "builtin"}
    (place / "note.md").write_text("The keeper of the Skerry lighthouse is Mrs Dahl.\n", encoding="utf-8")
    _run([str(rag), "ingest", "note.md"], place, ask)
    said = _run([str(rag), "ask", "Who is the keeper of the Skerry lighthouse?"], place, ask)
    if what.endswith("[ui]"):
        _run([str(rag.resolve().with_name("python")), "-c", "import ui.app"], place, environ)
    answers = "yes" if "Mrs Dahl" in said else "NO"
    if way == "pip install":
        _run([str(place / "env" / "bin" / "pip"), "uninstall", "-q", "-y", "rag-cited"], place, environ)
    else:
        _run([tool, *way.split()[1:-1], "uninstall", "rag-cited"], place, environ)
    stays = not rag.exists() and (place / ".local" / "share" / "rag" / "library" / "library.sqlite3").exists()
    return name, f"{seconds:.0f}", f"{size / 1e6:.0f}", f"{help_seconds:.2f}", answers, "yes" if stays else "NO"


def _environment(rag: Path) -> Path:
    """The virtual environment behind a command."""
    return rag.resolve().parents[1]


def _bare(home: Path) -> dict[str, str]:
    """A container's environment: an empty home and where the system's programs are, and how the index is reached where
    that is set by the environment."""
    kept = ("PIP_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX", "PIP_CERT", "SSL_CERT_FILE", "HTTPS_PROXY", "NO_PROXY")
    return {
        "HOME": str(home),
        "PATH": "/usr/bin:/bin",
        **{name: os.environ[name] for name in kept if name in os.environ},
    }


def _run(command: list[str], where: Path, environ: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=where, env=environ, capture_output=True, text=True, timeout=SECONDS)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2_000:]}")
    return done.stdout
