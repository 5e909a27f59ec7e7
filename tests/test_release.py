"""What a release ships: a wheel and an sdist with all that is needed and no more, and an upgrade that loses nothing."""

from __future__ import annotations

import json
import lzma
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

import rag
from rag import Library
from rag.commands.cli import run

ROOT = Path(__file__).parents[1]
OLD = Path(__file__).parent / "data" / "library-0.1.0.sqlite3.xz"
"""A library of two documents and a conversation, written by version 0.1.0."""


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel and an sdist of this tree."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(folder)], cwd=ROOT, check=True, capture_output=True,
        timeout=240,
    )  # fmt: skip
    return folder


def wheel(dist: Path) -> zipfile.ZipFile:
    (path,) = dist.glob("*.whl")
    assert path.name == f"rag_cited-{rag.__version__}-py3-none-any.whl"
    return zipfile.ZipFile(path)


def test_the_wheel_holds_the_program_and_what_it_reads(dist: Path) -> None:
    with wheel(dist) as archive:
        names = set(archive.namelist())
    tops = {name.split("/")[0] for name in names}
    assert tops == {"rag", "ui", f"rag_cited-{rag.__version__}.dist-info"}
    here = subprocess.run(["git", "ls-files", "rag", "ui"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {name for name in here.stdout.splitlines() if not name.startswith(".")} <= names
    for folder, inside in (("prompts", "rag/data/prompts"), ("seeds", "rag/data/seeds")):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file():
                assert f"{inside}/{path.relative_to(ROOT / folder).as_posix()}" in names
    assert not [name for name in names if re.search(r"__pycache__|\.pyc$|(^|/)test", name)]


def test_the_metadata_say_what_it_is(dist: Path) -> None:
    with wheel(dist) as archive:
        about = f"rag_cited-{rag.__version__}.dist-info"
        told = message_from_string(archive.read(f"{about}/METADATA").decode("utf-8"))
        points = archive.read(f"{about}/entry_points.txt").decode("utf-8")
        assert archive.read(f"{about}/licenses/LICENSE").startswith(b"MIT License")
    assert (told["Name"], told["Version"], told["License-Expression"]) == ("rag-cited", rag.__version__, "MIT")
    assert told["Requires-Python"] == ">=3.11" and told["Summary"]
    assert {"ui", "mcp", "openai"} <= set(told.get_all("Provides-Extra") or ())
    needed = [line for line in told.get_all("Requires-Dist") or () if "extra ==" not in line]
    assert not [line for line in needed if line.startswith(("gradio", "nh3", "pillow", "pytest"))]
    assert "rag = rag.commands.cli:main" in points and "rag-gold = rag.gold.pytest_plugin" in points
    assert f"## [{rag.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_what_others_made_ships_with_its_licence(dist: Path) -> None:
    with wheel(dist) as archive:
        weights = [name for name in archive.namelist() if name.endswith((".onnx", ".safetensors", ".bin"))]
        assert weights
        for name in weights:
            folder = name.rpartition("/")[0]
            assert b"Apache License" in archive.read(f"{folder}/LICENSE")
            assert archive.read(f"{folder}/ORIGIN.md")
        for name in archive.namelist():
            if name.startswith("rag/data/") and name.endswith(".tsv"):
                assert archive.read(name).startswith(b"#"), f"{name} does not begin with its source"


def test_the_sdist_builds_and_has_no_tests(dist: Path) -> None:
    (path,) = dist.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "rag/__init__.py", "ui/app.py"} <= names
    assert not [name for name in names if name.startswith(("tests", ".ci", ".venv", ".git/"))]


def test_the_installed_wheel_does_it_all_without_its_tree(dist: Path, tmp_path: Path) -> None:
    (path,) = dist.glob("*.whl")
    subprocess.run(
        [
            sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--disable-pip-version-check",
            "--target", str(tmp_path / "site"), str(path),
        ],
        check=True, capture_output=True, timeout=240,
    )  # fmt: skip
    code = (
        "import sys, rag; from pathlib import Path; from rag.prompts import shipped_folder;"
        "from rag.commands.cli import run; assert Path(rag.__file__).is_relative_to(sys.argv[1]), rag.__file__;"
        "seeds = str(shipped_folder('seeds')); assert seeds.startswith(sys.argv[1]), seeds;"
        "assert run(['ingest', seeds]) == 0;"
        "sys.exit(run(['ask', 'Which port is wrongly called Pakistani?', '--json']))"
    )
    environ = {
        **{name: os.environ[name] for name in ("PATH",)}, "PYTHONPATH": str(tmp_path / "site"), "HOME": str(tmp_path),
        "RAG_LLM": "quotes", "RAG_EMBEDDER": "builtin",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, str(tmp_path / "site")], capture_output=True, text=True, cwd=tmp_path,
        env=environ, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Chabahar" in json.loads(done.stdout[done.stdout.index("{") :])["text"]


def test_a_library_of_the_first_release_is_upgraded_whole(tmp_path: Path) -> None:
    (tmp_path / "library.sqlite3").write_bytes(lzma.decompress(OLD.read_bytes()))
    with Library.open(tmp_path, llm="quotes", embedder="builtin", write=True) as library:
        assert [document.source for document in library.sources()] == ["keeper.txt", "lighthouse.md"]
        answer = library.ask("How often does the foghorn of the Skerry lighthouse sound in winter?")
        assert "40 seconds" in answer.text and answer.citations[0].source == "lighthouse.md"
        (listed,) = library.conversations.list()
        _, (turn,) = library.conversations.get(listed.id)
        assert "Mrs Dahl" in turn.answer["text"] and turn.feedback is not None and turn.feedback.value == 1
        assert not [check for check in library.doctor() if check.state == "bad"]


def test_the_page_is_an_extra_and_its_lack_has_a_remedy(tmp_path: Path) -> None:
    code = "import sys; sys.modules['gradio'] = None; from rag.commands.cli import run; sys.exit(run(['ui']))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120,
        env={**os.environ, "RAG_LIBRARY": str(tmp_path / "library")},
    )  # fmt: skip
    assert done.returncode == 2 and "pip install 'rag-cited[ui]'" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "library").exists()


def test_the_first_start_says_where_all_is_and_offers_the_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[int] = []
    monkeypatch.setattr(
        "rag.commands.cli._page", lambda: lambda library, **_: seen.append(len(library.sources())), raising=True
    )
    flags = ("--library", str(tmp_path / "library"), "--llm", "quotes", "--embedder", "builtin")
    for asked, documents in (((), 0), (("--no-seeds",), 0), (("--seeds",), 5), ((), 5)):
        assert run(["ui", *asked, *flags]) == 0
        told = capsys.readouterr().err
        assert seen.pop() == documents
        assert (str(tmp_path / "library") in told and "quoting" in told) is (asked != () or documents == 0)
