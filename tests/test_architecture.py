"""The house rules that a machine can keep."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted([*(ROOT / "rag").rglob("*.py"), *(ROOT / "ui").rglob("*.py")])

# Imports run one way, from low to high; a module may import its own level and those below.
LEVELS: tuple[tuple[str, ...], ...] = (
    ("rag.errors", "rag.types"),
    ("rag.text", "rag.config", "rag.prompts", "rag.tokens"),
    ("rag.documents", "rag.store", "rag.models"),
    ("rag.ingest", "rag.reindex", "rag.retrieve"),
    ("rag.answer",),
    ("rag.library", "rag.doctor", "rag.fingerprint"),
    ("rag.gold",),
    ("rag.cli", "rag.__main__", "rag.chat", "rag.terminal", "rag.models_command", "ui"),
)
ONLY_IN = {
    "llama_index": ("rag.models", "rag.retrieve", "rag.answer.engine"),
    "chromadb": ("rag.store",),
    "gradio": ("ui",),
    "ollama": (),
}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def level(module: str) -> int | None:
    for number, names in enumerate(LEVELS):
        if any(module == name or module.startswith(f"{name}.") for name in names):
            return number
    return None


def imports(tree: ast.AST, *, types_too: bool = True) -> Iterator[str]:
    skipped: set[ast.AST] = set()
    if not types_too:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                skipped.update(ast.walk(node))
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, "imports are absolute"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda p: module_name(p))
def test_imports_run_one_way(path: Path) -> None:
    module = module_name(path)
    own = level(module)
    if module == "rag":
        return
    assert own is not None, f"{module} has no place in the order of imports"
    for name in imports(ast.parse(path.read_text(encoding="utf-8"))):
        other = level(name)
        assert other is None or other <= own, f"{module} imports {name}, which stands to the right of it"


@pytest.mark.parametrize("path", FILES, ids=lambda p: module_name(p))
def test_frameworks_stay_in_their_rooms(path: Path) -> None:
    module = module_name(path)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for name in imports(tree, types_too=False):
        rooms = ONLY_IN.get(name.split(".")[0])
        if rooms is not None:
            assert any(module == r or module.startswith(f"{r}.") for r in rooms), f"{module} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: module_name(p))
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 400, f"{path} has {text.count(chr(10))} lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= 60, f"{path}:{node.lineno} {node.name} has {length} lines"


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from rag.cli import run; run(['--help']);"
        "heavy = {'llama_index', 'chromadb', 'gradio', 'numpy', 'httpx', 'pydantic', 'wordllama', 'rich'};"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 0, done.stderr


def test_importing_the_package_is_cheap_and_its_names_are_fixed() -> None:
    code = (
        "import sys, rag; assert 'numpy' not in sys.modules;"
        "assert sorted(rag.__all__) == dir(rag) == ['Answer', 'Citation', 'Config', 'Document', 'Hit', 'Library',"
        " 'Limits', 'Passage', 'RagError', 'Sentence', 'Support', 'Turn'];"
        "[getattr(rag, n) for n in rag.__all__]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 0, done.stderr


def test_locks_hold_hashes_and_no_addresses() -> None:
    for name in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert "://" not in text and "index-url" not in text and "find-links" not in text
        pins = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
        assert len(pins) > 50
        assert all("==" in line for line in pins)
        assert text.count("--hash=sha256:") >= len(pins)
    assert not (ROOT / "uv.lock").exists()
