"""A working week with the gate: each event ends with its exit code, verdict, next step and reports."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from rag.commands.cli import run as rag
from rag.gold import load_gold
from rag.gold.metrics.definitions import Stage
from tests.fake_ollama import FakeOllama
from tests.gold import handbook

ROOT = Path(__file__).parents[2]
REPORTS = ("r.html", "r.md", "r.xml")


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A checkout with documents and a gold set, an empty configuration, and a model server."""
    handbook.write_corpus(tmp_path)
    handbook.write_gold(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name, value in (("EMBEDDER", "builtin"), ("LLM", "quotes"), ("LIBRARY", str(tmp_path / "library"))):
        monkeypatch.setenv(f"RAG_{name}", value)
    with FakeOllama() as server:
        monkeypatch.setenv("RAG_OLLAMA_HOST", server.url)
        yield tmp_path


class Desk:
    """Types the commands and reads what they say."""

    def __init__(self, room: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.room, self._capsys = room, capsys

    def gold(self, command: str, *more: str) -> tuple[int, str]:
        self._capsys.readouterr()
        code = rag(["gold", command, *more])
        told = self._capsys.readouterr()
        return code, told.out + told.err

    def gate(self, *more: str) -> tuple[int, str]:
        """The CI recipe; every report is there afterwards, whatever came out, and tells the same verdict."""
        for name in REPORTS:
            (self.room / name).unlink(missing_ok=True)
        files = ("--html", "r.html", "--markdown", "r.md", "--junit", "r.xml")
        code, told = self.gold("run", "gold.yaml", "--corpus", "corpus", *more, *files)
        assert all((self.room / name).exists() for name in REPORTS)
        root = ElementTree.parse(self.room / "r.xml").getroot()
        bad = int(root.get("failures", "0")) + int(root.get("errors", "0"))
        assert bool(bad) is bool(code), told
        if (said := root.find(".//property[@name='verdict']")) is not None:
            headline = said.get("value", "")
            assert headline in told and headline in (self.room / "r.html").read_text(encoding="utf-8")
        return code, told

    def accept(self, *ids: str) -> None:
        code, told = self.gold("accept", "gold.yaml", *(ids or ("--all",)), "--reason", "read and found right")
        assert code == 0, told

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.room / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_working_week(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    desk = Desk(room, capsys)
    monday(desk)
    tuesday(desk)
    wednesday(desk)
    thursday(desk)
    friday(desk)


def monday(desk: Desk) -> None:
    """A baseline."""
    code, told = desk.gate()
    assert code == 0 and "there is no baseline yet" in told
    assert "rag gold accept gold.yaml --all --reason" in told
    assert "How many days of annual leave do full-time staff get?\n    Full-time staff get 25 days" in told
    desk.accept()
    code, told = desk.gate()
    assert code == 0 and told.startswith("Clean: nothing that gates got worse.\n10 questions: 10 passing.")
    assert "What to do" not in told and "[]" not in told


def tuesday(desk: Desk) -> None:
    """Somebody edits a document."""
    desk.edit("corpus/leave.md", "get 25 days", "get 28 days")
    code, told = desk.gate()
    assert code == 4
    assert "Not comparable: the documents have changed since the baseline: leave.md was edited." in told
    assert "The gold of 1 question no longer stands in the documents: leave." in told
    assert "10 questions: 1 stale, 9 passing." in told  # the others were asked
    assert "Full-time staff get [-25-]{+28+} days of annual leave." in told
    markdown = (desk.room / "r.md").read_text(encoding="utf-8")
    assert "Full-time staff get ~~25~~**28** days of annual leave." in markdown
    assert "`rag gold rebase gold.yaml --corpus corpus --write`" in markdown
    page = (desk.room / "r.html").read_text(encoding="utf-8")
    assert "<del>25</del>" in page and "<ins>28</ins>" in page
    code, told = desk.gold("report", "gold.yaml")
    assert code == 4 and "rag gold rebase gold.yaml --corpus corpus --write" in told, "its options are kept"
    code, told = desk.gate("--allow-corpus-change")
    assert code == 1 and told.startswith("Worse: The gold of 1 question no longer stands")
    code, told = desk.gold("accept", "gold.yaml", "leave", "--reason", "x")
    assert code == 2 and "rag gold rebase gold.yaml" in told

    before = (desk.room / "gold.yaml").read_bytes()
    code, told = desk.gold("rebase", "gold.yaml", "--corpus", "corpus")
    assert code == 0 and "1 source proposed; --write takes them over." in told
    assert "-  sources: [{file: leave.md, quote: Full-time staff get 25 days of annual leave.}]" in told
    assert '+  sources: [{file: leave.md, quote: "Full-time staff get 28 days of annual leave."}]' in told
    assert "No gold file of 'leave' states the fact 'days'." in told
    assert (desk.room / "gold.yaml").read_bytes() == before
    assert desk.gold("rebase", "gold.yaml", "--corpus", "corpus", "--write")[0] == 0
    desk.edit("gold.yaml", "number: 25", "number: 28")
    assert desk.gold("lint", "gold.yaml", "--corpus", "corpus")[0] == 0
    code, told = desk.gate()
    assert code == 4 and "stale" not in told and "rag gold accept gold.yaml --all" in told
    desk.accept()
    assert desk.gate()[0] == 0


def wednesday(desk: Desk) -> None:
    """Somebody renames a document."""
    (desk.room / "corpus/travel.md").rename(desk.room / "corpus/trips.md")
    code, told = desk.gate()
    assert code == 4 and "travel.md was renamed to trips.md." in told
    assert "The gold of 2 questions no longer stands in the documents: tickets, meals." in told
    assert told.count("It stands in trips.md now.") == 2
    code, told = desk.gold("rebase", "gold.yaml", "--corpus", "corpus", "--write")
    assert code == 0 and "2 sources written to gold.yaml; review them." in told
    assert load_gold(desk.room / "gold.yaml").by_id()["meals"].files == ("trips.md",)
    assert desk.gate()[0] == 4
    desk.accept()
    assert desk.gate()[0] == 0


def thursday(desk: Desk) -> None:
    """Somebody removes a document."""
    (desk.room / "corpus/security.md").unlink()
    code, told = desk.gate()
    assert code == 4 and "security.md was removed." in told
    assert "Nothing like their gold is left, so give them another source or remove them: badge, alarm" in told
    assert "10 questions: 2 stale, 8 passing." in told
    code, told = desk.gold("rebase", "gold.yaml", "--corpus", "corpus")
    assert code == 0 and "There is nothing to propose." in told and told.count("mend it by hand") == 2
    text = (desk.room / "gold.yaml").read_text(encoding="utf-8")
    start, end = text.index("- id: badge"), text.index("- id: volcano")
    (desk.room / "gold.yaml").write_text(text[:start] + text[end:], encoding="utf-8")
    code, told = desk.gate()
    assert code == 4 and "In the baseline, but no longer asked: badge, alarm." in told
    desk.accept()
    code, told = desk.gate()
    assert code == 0 and "8 questions: 8 passing." in told


def friday(desk: Desk) -> None:
    """The model changes, then the prompt; and two models are compared."""
    model = ("--llm", "ollama:fake-chat")
    code, told = desk.gate(*model)
    assert code in (0, 1) and "model.name: quotes → " in told
    desk.accept()
    code, told = desk.gate(*model)
    assert code == 0 and "The configuration is the baseline's." in told
    prompt = (ROOT / "prompts" / "answer.md").read_text(encoding="utf-8").rstrip()
    (desk.room / "prompts").mkdir()
    other = f"{prompt}\n\nQuestion: Which broken laptops are repaired by the workshop in building seven?\n"
    (desk.room / "prompts" / "answer.md").write_text(other, encoding="utf-8")
    (desk.room / "rag.toml").write_text('prompts = "prompts"\n', encoding="utf-8")
    code, told = desk.gate(*model)
    assert code == 1 and "prompts.answer: " in told
    worse = int(told.partition("Worse: ")[2].split()[0])
    stages = [int(told.partition(f"\n{stage} (")[2].partition(")")[0] or 0) for stage in Stage]
    assert f"8 questions: {worse} worse" in told and sum(stages) == worse > 0

    code, told = desk.gate("--llm", "quotes", *model)
    assert code == 1 and told.startswith("ollama:fake-chat is worse than quotes: of 8 questions,")
    assert f"answers 0 better and {worse} worse than quotes" in told
    assert f"8 questions: {worse} better in quotes" in told
    assert "regression" not in told and "before" not in told and "What to do" not in told
    assert "model.name: quotes → ollama:fake-chat" in told
    code, told = desk.gate(*model, "--llm", "quotes")
    assert (
        code == 0 and f"quotes is better than ollama:fake-chat: of 8 questions, quotes answers {worse} better" in told
    )
