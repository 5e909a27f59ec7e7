"""docs/gold.md is walked: its gold set, its commands, its CI files, its format, its tables and its Python."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from rag.commands.cli import run as rag
from rag.gold.files.gold_set import FORMAT, parse_gold
from rag.gold.metrics.definitions import known_names, metric

ROOT = Path(__file__).parents[2]
SECTION = (ROOT / "docs" / "gold.md").read_text(encoding="utf-8")
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
    assert blocks("yaml", "name:") == [(ROOT / "examples" / "gold-gate.yml").read_text(encoding="utf-8")]
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
    table = SECTION.partition("## What is measured")[2].partition("\n## ")[0]
    for line in table.splitlines():
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
    compared, swept, _ = commands(next(body for body in blocks("sh") if "sweep" in body))
    (room / "a.toml").write_text("top_k = 4\n", encoding="utf-8")
    (room / "b.toml").write_text("top_k = 6\n", encoding="utf-8")
    assert rag([*compared, "--llm", "quotes"]) == 0, capsys.readouterr()
    assert rag([*swept, "--llm", "quotes"]) == 0, capsys.readouterr()
    assert "No winner on pass" in capsys.readouterr().out and (room / "sweep.html").exists()


def test_shards_advice_and_rebase_run_as_written(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (room / "gold.yaml").read_text(encoding="utf-8")
    (room / "more.yaml").write_text(text.replace("question: In which", "tags: [smoke]\n  question: In which"), "utf-8")
    (room / "gold.yaml").write_text((room / "more.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    for part in ("--shard", "rebase", "advise"):
        for arguments in commands(next(body for body in blocks("sh") if part in body)):
            assert rag(arguments) == 0, (arguments, capsys.readouterr())


def test_the_example_workflow_is_one(tmp_path: Path) -> None:
    """By the schema of GitHub's workflows that check-jsonschema carries."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows"]
    workflows = [ROOT / "examples" / "gold-gate.yml", *(ROOT / ".github" / "workflows").glob("*.yml")]
    done = subprocess.run([*command, *map(str, workflows)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    broken = tmp_path / "broken.yml"
    broken.write_text("name: x\non: [pull_request]\njobs: {a: {steps: [{run: true}]}}\n", encoding="utf-8")
    assert subprocess.run([*command, str(broken)], capture_output=True, timeout=300).returncode == 1


KEYS = [(kind, key, example) for kind, keys in FORMAT.items() for key, example in keys.items()]


@pytest.mark.parametrize(("kind", "key", "example"), KEYS, ids=[f"{kind}-{key}" for kind, key, _ in KEYS])
def test_every_key_of_the_format_is_there_with_an_example_that_reads(kind: str, key: str, example: str) -> None:
    assert f"| `{key}` | `{example}` | " in SECTION
    needed = {"fact": "id: a, any: [b]", "turn": "user: a, bot: b", "source": "file: a", "review": "status: draft"}
    others = [part for part in needed.get(kind, "").split(", ") if part and part.split(":")[0] != key]
    if key in ("number", "tolerance", "unit"):
        others = ["id: a"] + ([] if key == "number" else ["number: 5"])
    inner = f"{{{', '.join([example, *others])}}}"
    lists = {"turn": f"turns: [{inner}]", "fact": f"facts: [{inner}]", "source": f"sources: [{inner}]"}
    extra = lists.get(kind) or (f"review: {inner}" if kind == "review" else example if kind == "question" else "")
    lines = {"id": "id: q", "question": "question: Why?", "unanswerable": "unanswerable: true"}
    if kind in ("fact", "source") or key in ("facts", "sources", "aliases", "must_not_contain", "thresholds"):
        del lines["unanswerable"]
    if key == "thresholds":
        lines |= {"facts": "facts: [{id: a, any: [b]}]", "sources": "sources: [{file: a}]"}
    lines.pop(key if kind == "question" else "", None)
    head = {"version": "version: 1"} | ({key: example} if kind == "gold set" else {})
    head |= {"defaults": f"defaults: {{{example}}}"} if kind == "defaults" else {}
    body = "questions:\n- " + "\n  ".join([*([extra] if extra else []), *lines.values()])
    head.setdefault("questions", body)
    assert parse_gold("\n".join(head.values()) + "\n").questions


def test_its_python_runs(room: Path) -> None:
    (code,) = blocks("python")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Clean: ") and done.stdout.rstrip().endswith("1.0")
