"""What the README shows is run; what it promises by name is there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from rag.commands.cli import run
from rag.config import Config
from rag.store.sqlite.database import FILE_NAME

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
PYTHON = [body for language, body in BLOCKS if language == "python"]


@pytest.mark.parametrize("number", range(len(PYTHON)))
def test_python_snippets_run(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "seeds").symlink_to(ROOT / "seeds")
    monkeypatch.chdir(tmp_path)
    done = subprocess.run([sys.executable, "-c", PYTHON[number]], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_every_setting_is_in_the_table() -> None:
    table = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    rows = " ".join(line for line in table.splitlines() if line.startswith("| `"))
    for field in fields(Config):
        assert f"`{field.name}`" in rows or f"`[{field.name}]`" in rows, field.name


def test_commands_exist(capsys: pytest.CaptureFixture[str]) -> None:
    named = set(re.findall(r"`rag ([a-z]+)", README)) | set(re.findall(r"^rag ([a-z]+)", README, re.MULTILINE))
    assert {"ingest", "ask", "ui", "doctor"} <= named
    for name in sorted(named):
        assert run([name, "--help"]) == 0, name
        capsys.readouterr()


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    for _, body in BLOCKS:
        for line in body.splitlines():
            if line.startswith("make "):
                assert shlex.split(line, comments=True)[1] in targets
    assert set(re.findall(r"`make ([a-z]+)", README)) <= targets


def test_make_ask_fills_a_library_only_where_there_is_none() -> None:
    """Else it would want to write, and be refused while the page is open."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f'test -e "$(RAG_LIBRARY)/{FILE_NAME}" || ' in makefile


def test_pictures_and_files_exist() -> None:
    for name in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / name).exists(), name
