"""What stands beside the README is true, too."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import rag
from rag.commands.cli import run

ROOT = Path(__file__).parents[1]
FRONT = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
PAGES = [*FRONT, *sorted((ROOT / "docs").glob("*.md"))]
MAKEFILE_TARGETS = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_examples_run(example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "seeds").symlink_to(ROOT / "seeds")
    monkeypatch.chdir(tmp_path)
    done = subprocess.run([sys.executable, example], input="", capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() and not done.stderr


def test_the_reference_is_what_the_docstrings_say() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "docs/make_reference.py", "--check"], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_and_commands_of_the_pages_exist(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (page.parent / link).exists(), link
    for name in sorted(set(re.findall(r"(?:`|^)rag ([a-z]+)", text, re.MULTILINE))):
        assert run([name, "--help"]) == 0, name
        capsys.readouterr()
    for target in re.findall(r"(?:`|^)make ([a-z]+)", text, re.MULTILINE):
        assert target in MAKEFILE_TARGETS, target


def test_examples_are_listed() -> None:
    listed = re.findall(r"^\| \[(\w+\.py)\]\(\1\) \|", (ROOT / "examples/README.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(listed) == [path.name for path in EXAMPLES]


def test_the_changelog_has_the_version() -> None:
    heads = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert heads[:2] == ["Unreleased", rag.__version__] or heads[0] == rag.__version__


def test_hooks_and_workflow_name_what_is_there() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"][0]["hooks"]
    for hook in hooks:
        for word in hook["entry"].split():
            assert not word.endswith(".py") or (ROOT / word).exists(), hook["id"]
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text("utf-8"))["jobs"]
    for job in jobs.values():
        for step in job["steps"]:
            for target in re.findall(r"^make (\w+)", step.get("run", ""), re.MULTILINE):
                assert target in MAKEFILE_TARGETS
