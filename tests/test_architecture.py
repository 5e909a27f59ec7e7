"""The house rules that a machine can keep."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from rag.commands.cli import run
from tests.hidden import POSIX_MODULES, POSIX_NAMES
from tests.house import ROOT, circles, files, floors, graph, imports, module_name, sheet

FILES = files()

# Imports run one way, from low to high; a module may import its own level and those below.
LEVELS: tuple[tuple[str, ...], ...] = (
    ("rag.errors", "rag.types", "rag.data"),
    ("rag.arguments", "rag.text", "rag.config", "rag.prompts", "rag.tokens", "rag.platform"),
    ("rag.language",),
    ("rag.documents", "rag.store", "rag.models"),
    (
        "rag.accounts",
        "rag.filters",
        "rag.ingest",
        "rag.workers",
        "rag.sync",
        "rag.reindex",
        "rag.encode",
        "rag.retrieve",
        "rag.transfer",
    ),
    ("rag.answer",),
    ("rag.library", "rag.doctor", "rag.fingerprint", "rag.proof"),
    ("rag.gold.types",),
    ("rag.gold.metrics",),
    ("rag.gold.files",),
    ("rag.gold.report",),
    ("rag.gold.commands",),
    ("rag.gold",),
    ("rag.commands", "rag.__main__", "rag.api", "ui"),
)
ONLY_IN = {
    "llama_index": ("rag.models", "rag.answer.llama"),
    "chromadb": ("rag.store",),
    "sqlite3": ("rag.store",),
    "gradio": ("ui",),
    "ollama": ("rag.models",),
    "onnxruntime": ("rag.models",),
}


def level(module: str) -> int | None:
    for number, names in enumerate(LEVELS):
        if any(module == name or module.startswith(f"{name}.") for name in names):
            return number
    return None


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
def test_only_one_room_knows_the_system(path: Path) -> None:
    """No module that only POSIX has, no attribute that Windows lacks, and no question which system it is."""
    if module_name(path).startswith("rag.platform"):
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    lacking = {f"{module}.{name}" for module, names in POSIX_NAMES.items() for name in names}
    lacking |= {"sys.platform", "os.name", "platform.system", "signal.SIGBREAK", "ctypes.WinDLL", "ctypes.windll"}
    for name in imports(tree):
        assert name not in POSIX_MODULES | lacking | {"msvcrt", "winreg"}, f"{path}: import {name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert f"{node.value.id}.{node.attr}" not in lacking, f"{path}:{node.lineno} {ast.unparse(node)}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: module_name(p))
def test_functions_fit_a_screen(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= 60, f"{path}:{node.lineno} {node.name} has {length} lines"


def test_no_circles() -> None:
    """Lazy and type-only imports count: a circle held open by one is a circle."""
    assert circles(graph()) == []


def test_the_sheet_counts_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "rag" / "a").mkdir(parents=True)
    (tmp_path / "ui").mkdir()
    texts = {
        "rag/__init__.py": "",
        "rag/a/__init__.py": "",
        "rag/a/one.py": "def f():\n    from rag.a import two\n",
        "rag/a/two.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from rag.a.one import f\n",
        "ui/__init__.py": "",
        "ui/page.py": "import rag.a.two\nfrom rag import a\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    edges = graph(tmp_path)
    assert edges["ui.page"] == {"rag.a.two", "rag.a"}
    assert circles(edges) == [("rag.a.one", "rag.a.two")]
    assert floors(edges) == 2
    assert "circles 1\n  rag.a.one, rag.a.two" in sheet(tmp_path)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from rag.commands.cli import run; run(['--help']);"
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


def test_an_answer_by_quoting_imports_nothing_that_it_does_not_use(tmp_path: Path) -> None:
    """The start of ``rag ask`` is imports for the most part. The marker parser's patterns take longest to compile."""
    note = tmp_path / "note.md"
    note.write_text("The keeper of Skerry is Mrs Dahl.", encoding="utf-8")
    flags = ["--library", str(tmp_path / "library"), "--llm", "quotes", "--embedder", "builtin"]
    assert run(["ingest", str(note), *flags]) == 0
    code = (
        "import sys; from rag.commands.cli import run; from rag.text import compiled;"
        "assert run(['ask', 'Who is the keeper of Skerry?', *sys.argv[1:]]) == 0;"
        "unused = {'llama_index.core.schema', 'llama_index_instrumentation', 'pydantic', 'chromadb', 'httpx', 'ollama',"
        " 'fastapi', 'opentelemetry', 'kubernetes', 'gradio', 'tiktoken', 'sqlalchemy', 'requests'} & set(sys.modules);"
        "assert not unused, unused; sys.exit(compiled.cache_info().currsize > 8)"
    )
    done = subprocess.run([sys.executable, "-c", code, *flags], capture_output=True, text=True, cwd=ROOT, timeout=240)
    assert done.returncode == 0 and "Mrs Dahl" in done.stdout, done.stderr
