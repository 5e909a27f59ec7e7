from __future__ import annotations

import subprocess
import sys
import tomllib
from contextlib import chdir, redirect_stdout
from importlib.metadata import entry_points
from io import StringIO
from pathlib import Path

import pytest

from rag.commands.cli import run as rag
from tests.conftest import ROOT
from tests.gold import handbook

PLUGIN = "rag.gold.pytest_plugin"
DECLARED = any(point.value == PLUGIN for point in entry_points(group="pytest11"))


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RAG_EMBEDDER", "builtin")
    monkeypatch.setenv("RAG_LLM", "quotes")
    handbook.write_corpus(tmp_path)
    handbook.write_gold(tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    return tmp_path


def pytest_in(room: Path, *arguments: str) -> tuple[int, str]:
    """Run pytest there, in this process."""
    out = StringIO()
    extra = [] if DECLARED else ["-p", PLUGIN]
    with chdir(room), redirect_stdout(out):
        code = pytest.main(["--rootdir", str(room), "-p", "no:cacheprovider", "-p", "no:xdist", *extra, *arguments])
    sys.modules.pop("test_own", None)
    return int(code), out.getvalue()


def test_every_question_is_an_item(room: Path) -> None:
    text = handbook.GOLD.replace("number: 310", "number: 311")
    text = text.replace("tags: [travel]", "tags: [travel]\n  severity: watch", 1).replace(
        "any: [Lisbon]", "any: [Porto]"
    )
    text = text.replace("question: How many parking", "thresholds: {fact_recall: 1}\n  question: How many parking")
    text = text.replace(
        "question: Where is the travel", "thresholds: {fact_recall: 1}\n  question: Where is the travel"
    )
    text += "- id: later\n  question: What comes later?\n  review: {status: draft}\n"
    (room / "gold.yaml").write_text(text, encoding="utf-8")
    code, out = pytest_in(room, "--gold", "gold.yaml", "--gold-corpus", "corpus", "-v")
    assert code == 1
    assert "gold.yaml::leave PASSED" in out
    assert "gold.yaml::garage FAILED" in out
    assert "gold.yaml::tickets XFAIL" in out
    assert "gold.yaml::later SKIPPED" in out
    assert "garage fact_recall 0 < 1" in out and "fact missing: spaces" in out
    assert "Answer: The garage has 310 parking spaces." in out
    assert "Traceback" not in out and "9 passed" not in out


def test_items_are_chosen_by_name_and_tag(room: Path) -> None:
    code, out = pytest_in(room, "--gold", "gold.yaml", "--gold-corpus", "corpus", "-q", "-k", "travel")
    assert code == 0 and "2 passed, 8 deselected" in out
    code, out = pytest_in(room, "--gold", "gold.yaml", "--gold-corpus", "corpus", "-q", "--gold-tag", "it")
    assert code == 0 and "1 passed" in out


def test_the_fixture_runs_a_test_for_each_question(room: Path) -> None:
    (room / "test_own.py").write_text(
        "def test_cites_what_it_says(gold_case):\n"
        "    reply = gold_case.record.reply\n"
        "    assert reply.abstained == gold_case.question.unanswerable\n"
        "    assert gold_case.question.unanswerable or reply.citations\n",
        encoding="utf-8",
    )
    code, out = pytest_in(room, "--gold", "gold.yaml", "--gold-corpus", "corpus", "-q", "test_own.py")
    assert code == 0 and "20 passed" in out  # ten items and ten runs of the test
    code, out = pytest_in(room, "-q")
    assert code == 0 and "1 skipped" in out


def test_a_regression_against_the_baseline_fails_with_both_answers(
    room: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(room)
    assert rag(["gold", "run", "gold.yaml", "--corpus", "corpus"]) == 0
    assert rag(["gold", "accept", "gold.yaml", "--all", "--reason", "x"]) == 0
    (room / "rag.toml").write_text("abstain_below = 0.0\n", encoding="utf-8")
    code, out = pytest_in(room, "--gold", "gold.yaml", "--gold-corpus", "corpus", "-q")
    assert code == 1
    assert "2 failed, 8 passed" in out
    assert "wrong abstention: abstention_accuracy 1 -> 0" in out
    assert "Before: This is not in the documents." in out


def test_a_gold_set_that_cannot_be_read_stops_the_collection(room: Path) -> None:
    (room / "gold.yaml").write_text("version: 1\nquestions: []\n", encoding="utf-8")
    code, out = pytest_in(room, "--gold", "gold.yaml", "-q")
    assert code == 2
    assert "There are no questions." in out and "Traceback" not in out
    (room / "test_own.py").write_text("def test_own(gold_case): pass\n", encoding="utf-8")
    code, out = pytest_in(room, "--gold", "gold.yaml", "-q", "test_own.py")
    assert code == 2
    assert "gold.yaml:2: There are no questions. Add at least one." in out and "pytest_items.py" not in out


def test_a_gold_set_that_is_not_there_is_wrong_usage(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = pytest_in(room, "--gold", "nowhere.yaml", "-q")
    assert code == 4
    assert "--gold: there is no file nowhere.yaml; check the path." in capsys.readouterr().err + out


def test_whoever_installs_the_package_has_the_plugin() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"]["pytest11"] == {"rag-gold": PLUGIN}


def test_without_the_option_nothing_is_imported(room: Path) -> None:
    (room / "conftest.py").write_text(
        "import sys\n"
        "def pytest_sessionfinish():\n"
        "    loaded = sorted(m for m in sys.modules if m.startswith('rag.'))\n"
        "    print('LOADED', loaded, 'yaml' in sys.modules)\n",
        encoding="utf-8",
    )
    (room / "test_nothing.py").write_text("def test_nothing(): pass\n", encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *([] if DECLARED else ["-p", PLUGIN]), "-qs"]
    done = subprocess.run(command, cwd=room, capture_output=True, text=True, timeout=300)
    out = done.stdout + done.stderr
    assert done.returncode == 0, out
    assert "LOADED ['rag.gold', 'rag.gold.pytest_plugin'] False" in out
