"""The README's walk to a gate is walked: its gold set, its commands, its CI files and its Python."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from rag.cli import run as rag
from rag.gold.metrics.definitions import known_names, metric

ROOT = Path(__file__).parents[2]
SECTION = (ROOT / "README.md").read_text(encoding="utf-8").partition("## The gold set")[2].partition("\n## ")[0]
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)


def blocks(language: str, start: str = "") -> list[str]:
    return [body for kind, body in BLOCKS if kind == language and body.startswith(start)]


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "seeds").symlink_to(ROOT / "seeds")
    (tmp_path / "gold.yaml").write_text(blocks("yaml", "version: 1")[0], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAG_EMBEDDER", "builtin")
    return tmp_path


def commands(text: str) -> list[list[str]]:
    """The `rag gold` commands of a block, without what leads to them."""
    return [shlex.split(line)[1:] for line in re.findall(r"^(?:.*?: )?(rag gold .*)$", text, re.MULTILINE)]


def test_the_walk_ends_with_a_gate_that_is_clean(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check, again = blocks("sh")[:2]
    for arguments in commands(check) + commands(again):
        assert rag(arguments) == 0, (arguments, capsys.readouterr())
    assert (room / "report.html").exists() and (room / "gold.baseline.jsonl").exists()
    actions = yaml.safe_load(blocks("yaml", "name:")[0])
    steps = [step["run"] for step in actions["jobs"]["gold"]["steps"] if "run" in step]
    hooks = yaml.safe_load(blocks("yaml", "repos:")[0])["repos"][0]["hooks"]
    asked = [arguments for text in [*steps, *(hook["entry"] for hook in hooks)] for arguments in commands(text)]
    assert len(asked) == 2
    for arguments in asked:
        assert rag(arguments) == 0, (arguments, capsys.readouterr())
    for name in ("gold.md", "gold.html", "gold.xml"):
        assert (room / name).exists()
    assert re.search(hooks[0]["files"], "seeds/a.md") and re.search(hooks[0]["files"], "gold.yaml")


def test_every_command_and_option_exists(capsys: pytest.CaptureFixture[str]) -> None:
    named = [shlex.split(line) for line in re.findall(r"rag gold [a-z][^`\n]*", SECTION)]
    assert len(named) > 8
    for words in named:
        assert rag(["gold", words[2], "--help"]) == 0
        text = capsys.readouterr().out
        for word in words:
            if word.startswith("--"):
                assert word in text, f"rag gold {words[2]} has no {word}"


def test_every_metric_is_in_the_table_and_gates_as_it_says() -> None:
    gating: dict[str, bool] = {}
    for line in SECTION.splitlines():
        if line.startswith("| `"):
            names, _, gates = (cell.strip() for cell in line.strip("|").split("|"))
            gating.update((name, gates == "yes") for name in re.findall(r"`([a-z_0-9@]+)`", names))
    known = {name: metric(name) for name in known_names()}
    assert {name.replace("@k", "@5") for name in gating} == set(known)
    for name, promised in gating.items():
        found = known[name.replace("@k", "@5")]
        assert found is not None and found.gates is promised, name


def test_pytest_takes_the_options_that_are_named(request: pytest.FixtureRequest) -> None:
    named = re.findall(r"`pytest (--gold [^`]+)`", SECTION)
    assert len(named) == 1
    options = [word for word in shlex.split(named[0]) if word.startswith("--")]
    assert options == ["--gold", "--gold-corpus", "--gold-llm"]
    for option in options:
        request.config.getoption(option)  # ValueError when there is no such option


def test_the_searches_for_better_settings_run(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compared, swept, _ = commands(blocks("sh")[2])
    (room / "a.toml").write_text("top_k = 4\n", encoding="utf-8")
    (room / "b.toml").write_text("top_k = 6\n", encoding="utf-8")
    assert rag([*compared, "--llm", "quotes"]) == 0, capsys.readouterr()
    assert rag([*swept, "--llm", "quotes"]) == 0, capsys.readouterr()
    assert "No winner on pass" in capsys.readouterr().out and (room / "sweep.html").exists()
