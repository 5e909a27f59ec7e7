from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from rag.answer.abstain import DEFAULT_THRESHOLD
from rag.commands.cli import run as rag
from rag.gold import Question, Record, load_gold, read_run
from rag.gold.commands.asking import Session
from tests.fake_ollama import FakeOllama
from tests.gold import handbook
from tests.gold.invalid import INVALID, Invalid


@pytest.fixture
def room(tmp_path: Path, handbook_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with documents and a gold set, and a library that holds the documents already."""
    handbook.write_corpus(tmp_path)
    handbook.write_gold(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAG_EMBEDDER", "builtin")
    monkeypatch.setenv("RAG_LLM", "quotes")
    monkeypatch.setenv("RAG_LIBRARY", str(handbook_folder / "library"))
    return tmp_path


def test_from_nothing_to_a_gate(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rag(["gold", "lint", "gold.yaml", "--corpus", "corpus"]) == 0
    assert "10 questions, 0 errors, 0 warnings." in capsys.readouterr().out
    reports = ["--html", "out/r.html", "--markdown", "out/r.md", "--junit", "out/r.xml"]
    assert rag(["gold", "run", "gold.yaml", *reports]) == 0
    out = capsys.readouterr().out
    assert "Clean: all thresholds are reached; there is no baseline yet." in out
    assert "Answers to read before they are accepted (10)" in out
    assert "leave [hr] How many days of annual leave do full-time staff get?" in out and "get 25 days" in out
    assert "rag gold accept gold.yaml --all --reason" in out
    assert (room / "out/r.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert (room / "out/r.md").read_text(encoding="utf-8").startswith("## ✅ Clean")
    suite = ElementTree.parse(room / "out/r.xml").getroot().find("testsuite")
    assert suite is not None and suite.get("tests") == "10" and suite.get("failures") == "0"

    assert rag(["gold", "accept", "gold.yaml", "--all", "--reason", "all answers were read"]) == 0
    assert "Accepted: 10 new, 0 changed; 0 kept as they were, 10 in the baseline." in capsys.readouterr().out
    assert rag(["gold", "run", "gold.yaml"]) == 0
    assert "nothing that gates got worse" in capsys.readouterr().out

    (room / "rag.toml").write_text("abstain_below = 0.0\n", encoding="utf-8")
    assert rag(["gold", "run", "gold.yaml"]) == 1
    out = capsys.readouterr().out
    assert "Worse: 2 questions got worse: volcano, symphony." in out
    assert "retrieval.abstain_below" in out and "wrong abstention (2)" in out
    assert rag(["gold", "report", "gold.yaml"]) == 1
    assert "Worse: 2 questions" in capsys.readouterr().out

    assert rag(["gold", "accept", "gold.yaml", "volcano", "--reason", "a test"]) == 0
    out = capsys.readouterr().out
    assert "1 changed; 9 kept" in out
    assert (
        "changed  volcano  Which volcano erupted in Iceland last winter?" in out and "[-" in out and "{+" in out
    )  # the old words and the new
    assert rag(["gold", "run", "gold.yaml", "--id", "volcano"]) == 0
    assert "not run: leave" in capsys.readouterr().out
    assert rag(["gold", "compare", "gold.baseline.jsonl", "gold.run.jsonl"]) == 0


def test_a_changed_gold_set_scores_the_baseline_again(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rag(["gold", "run", "gold.yaml"]) == 0
    assert rag(["gold", "accept", "gold.yaml", "--all", "--reason", "x"]) == 0
    kept = (room / "gold.baseline.jsonl").read_bytes()
    (room / "gold.yaml").write_text(handbook.GOLD.replace("number: 310", "number: 311"), encoding="utf-8")
    capsys.readouterr()
    assert rag(["gold", "run", "gold.yaml"]) == 0  # the answer is as it was; what is asked of it has changed
    told = capsys.readouterr()
    assert "The baseline's answers were scored again, since the gold set has changed." in told.err
    assert "1 failing, 9 passing" in told.out and (room / "gold.baseline.jsonl").read_bytes() == kept


def test_the_fast_gate_keeps_its_run_apart(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rag(["gold", "run", "gold.yaml", "--retrieval-only", "--tag", "site"]) == 0
    assert not (room / "gold.run.jsonl").exists()
    kept = read_run(room / "gold.retrieval.run.jsonl")
    assert kept.retrieval_only and len(kept.records) == 4


def test_the_documents_of_the_baseline_changed(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rag(["gold", "run", "gold.yaml", "--corpus", "corpus"]) == 0
    assert rag(["gold", "accept", "gold.yaml", "--all", "--reason", "x"]) == 0
    (room / "corpus" / "more.md").write_text("# More\n\nAnother document about nothing.\n", encoding="utf-8")
    capsys.readouterr()
    assert rag(["gold", "run", "gold.yaml", "--corpus", "corpus"]) == 4
    assert "Not comparable: the documents have changed" in capsys.readouterr().out
    assert rag(["gold", "run", "gold.yaml", "--corpus", "corpus", "--allow-corpus-change"]) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["lint", "missing.yaml"], 2, "Cannot read the gold set missing.yaml"),
        (["run", "broken.yaml", "--corpus", "corpus"], 2, "broken.yaml:2: There are no questions."),
        (["run", "gold.yaml", "--corpus", "nowhere"], 2, "nowhere"),
        (["run", "gold.yaml", "--corpus", "corpus", "--id", "leafe"], 2, "Did you mean 'leave'?"),
        (["run", "gold.yaml", "--library", "none"], 3, "There is no library"),
        (["run", "gold.yaml", "--corpus", "corpus", "--llm", "ollama:none"], 3, "not running"),
        (["run", "gold.yaml", "--corpus", "corpus", "--mode", "replay"], 2, "Cannot read the recording"),
        (["run", "gold.yaml", "--corpus", "corpus", "--mode", "sideways"], 2, "sideways"),
        (["accept", "gold.yaml", "--all", "--reason", "x"], 2, "There is no run of gold.yaml yet"),
        (["accept", "gold.yaml", "--reason", "x"], 2, "Name the questions to accept"),
        (["accept", "gold.yaml", "--all"], 2, "--reason"),
        (["compare", "a.jsonl", "b.jsonl"], 2, "Cannot read the run a.jsonl"),
        (["calibrate", "gold.yaml", "--corpus", "corpus"], 2, "10 answerable and 10 unanswerable"),
        (["calibrate", "gold.yaml", "--corpus", "corpus", "--apply"], 2, "leave out --corpus"),
        (["sweep", "gold.yaml", "--set", "top_k=2", "--work", "w"], 2, "name them with --corpus"),
        (["sweep", "gold.yaml", "--set", "topk=2", "--work", "w", "--corpus", "corpus"], 2, "top_k=4,6,8"),
        (["draft", "more.yaml", "--corpus", "corpus"], 2, "needs a chat model"),
        (["import", "csv", "gold.yaml", "more.yaml"], 2, "not of the kind 'csv'"),
    ],
)
def test_each_failure_has_its_exit_code_and_says_what_to_do(
    room: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    (room / "broken.yaml").write_text("version: 1\nquestions: []\n", encoding="utf-8")
    assert rag(["gold", *arguments]) == code
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("case", INVALID, ids=lambda case: case.name)
def test_every_invalid_file_ends_in_2_with_file_line_and_remedy(
    room: Path, capsys: pytest.CaptureFixture[str], case: Invalid
) -> None:
    path = room / f"{case.name}.yaml"
    path.write_bytes(case.content if isinstance(case.content, bytes) else case.content.encode())
    for command in ("lint", "run"):
        assert rag(["gold", command, path.name]) == 2
        told = capsys.readouterr().err
        assert re.search(rf"^(Error: )?{re.escape(path.name)}:{case.line}: ", told, re.MULTILINE), told
        assert case.message in told and case.remedy in told


BAD = """version: 1
questions:
- id: ab
  question:
  facts:
  - {id: x, number: "ninety"}
- id: ab
  question: What?
  thresholds: {fact_recal: 2}
  sources: [{file: nope.md, quote: "abc"}]
  severity: high
  facts: [{id: y, wording: Lisbon}]
- id: c
  question: How long is the probation period?
  unanswerable: true
"""


def test_lint_names_everything_wrong_in_one_pass(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (room / "bad.yaml").write_text(BAD, encoding="utf-8")
    assert rag(["gold", "lint", "bad.yaml"]) == 2
    told = capsys.readouterr()
    assert "3 questions, 7 errors, 0 warnings." in told.out
    lines = told.err.splitlines()
    assert [line.split(": ")[0] for line in lines] == [f"bad.yaml:{n}" for n in (4, 6, 7, 9, 10, 11, 12)]
    wanted = ("'ab' is empty", "'ninety', not a number", "'ab' is taken", "Did you mean 'fact_recall'?", "'nope.md'",
              "Use must or watch.", "Allowed here: id, any, number, tolerance, unit; for example id: ")  # fmt: skip
    assert all(words in line for words, line in zip(wanted, lines, strict=True)), told.err
    assert rag(["gold", "lint", "gold.yaml", "--syntax-only"]) == 0
    assert "10 questions, 0 errors, 0 warnings." in capsys.readouterr().out


def test_the_case_at_hand_is_told_whole(room: Path, shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rag(["gold", "lint", str(shared / "cases" / "bad-gold.yaml")]) == 2
    assert [line.split(":")[1] for line in capsys.readouterr().err.splitlines()] == ["4", "6", "7", "9", "10", "11"]


@pytest.mark.parametrize(
    ("arguments", "code", "title"),
    [
        (["broken.yaml"], 2, "Invalid gold set or settings"),
        (["gold.yaml", "--llm", "ollama:none"], 3, "The questions could not be asked"),
        (["gold.yaml", "--corpus", "nowhere"], 2, "Invalid gold set or settings"),
    ],
)
def test_a_run_that_cannot_be_made_writes_its_reports_too(
    room: Path, arguments: list[str], code: int, title: str
) -> None:
    (room / "broken.yaml").write_text("version: 1\nquestions: []\n", encoding="utf-8")
    assert rag(["gold", "run", *arguments, "--html", "r.html", "--markdown", "r.md", "--junit", "r.xml"]) == code
    assert f"<h1>{title}</h1>" in (room / "r.html").read_text(encoding="utf-8")
    assert (room / "r.md").read_text(encoding="utf-8").startswith(f"## ❌ {title}\n")
    error = ElementTree.parse(room / "r.xml").getroot().find("testsuite/testcase/error")
    assert error is not None and error.get("message") == title and error.text


def test_shards_are_asked_apart_and_put_together(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [room / f"gold.run.{part}of3.jsonl" for part in (1, 2, 3)]
    for part in (1, 2, 3):
        assert rag(["gold", "run", "gold.yaml", "--shard", f"{part}/3"]) == 0
    asked = [[record.id for record in read_run(path).records] for path in runs]
    assert [len(ids) for ids in asked] == [4, 3, 3]
    assert {name for ids in asked for name in ids} == set(load_gold("gold.yaml").ids)
    together = [word for path in runs for word in ("--run", str(path))]
    assert rag(["gold", "accept", "gold.yaml", "--all", "--reason", "x", *together]) == 0
    capsys.readouterr()
    assert rag(["gold", "report", "gold.yaml", *together]) == 0
    assert "10 questions: 10 passing." in capsys.readouterr().out
    assert rag(["gold", "report", "gold.yaml", *together, "--run", str(runs[0])]) == 2
    assert "Two of the runs asked" in capsys.readouterr().err
    for wrong in ("0/3", "4/3", "1-3"):
        assert rag(["gold", "run", "gold.yaml", "--shard", wrong]) == 2
        assert "write 1/3 for the first of three" in capsys.readouterr().err


def test_several_gold_sets_are_asked_at_once(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    strict = handbook.GOLD.replace(
        "question: Who is the chef", "thresholds: {fact_recall: 1}\n  question: Who is the chef"
    )
    (room / "more.yaml").write_text(strict.replace("any: [Tomas Horak]", "any: [Nobody]"), encoding="utf-8")
    reports = ["--html", "r.html", "--markdown", "r.md", "--junit", "r.xml"]
    assert rag(["gold", "run", "gold.yaml", "more.yaml", "--tag", "site", *reports]) == 1
    out = capsys.readouterr().out
    assert out.index("gold.yaml\nClean") < out.index(
        "more.yaml\nWorse: 1 threshold not reached: chef fact_recall 0 < 1."
    )
    assert (room / "gold.run.jsonl").exists() and (room / "more.run.jsonl").exists()
    assert "Clean" in (room / "r.html").read_text("utf-8") and "Worse" in (room / "r.more.html").read_text("utf-8")
    assert (room / "r.md").read_text(encoding="utf-8").count("\n### Metrics") == 2
    root = ElementTree.parse(room / "r.xml").getroot()
    assert [suite.get("name") for suite in root] == ["gold.yaml", "more.yaml"]
    assert (root.get("tests"), root.get("failures")) == ("8", "1")
    assert rag(["gold", "run", "gold.yaml", "more.yaml", "--out", "x"]) == 2
    assert rag(["gold", "run", "gold.yaml", "broken.yaml"]) == 2


def test_another_collection_is_asked_where_it_is_named(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_LIBRARY", str(room / "own"))
    assert rag(["ingest", "corpus", "--collection", "staff"]) == 0
    assert rag(["gold", "run", "gold.yaml", "--collection", "staff", "--retrieval-only"]) == 0
    assert rag(["gold", "run", "gold.yaml", "--retrieval-only"]) == 3


def test_junit_names_file_and_line_and_says_what_was_answered(room: Path) -> None:
    assert rag(["gold", "run", "gold.yaml", "--junit", "r.xml"]) == 0
    root = ElementTree.parse(room / "r.xml").getroot()
    (suite,) = root
    for node in (root, suite):
        assert {"tests", "failures", "errors", "skipped", "time"} <= set(node.attrib)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.get("timestamp", ""))
    assert [node.tag for node in suite][:1] == ["properties"] and len(suite.findall("testcase")) == 10
    leave = suite.find("testcase[@name='leave']")
    assert leave is not None and (leave.get("file"), leave.get("line"), leave.get("classname")) == (
        "gold.yaml",
        "4",
        "gold.hr",
    )
    said = leave.findtext("system-out", "")
    assert said.startswith("How many days of annual leave do full-time staff get?\nNow: Full-time staff get 25 days")


def test_advice_comes_from_several_runs(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rag(["gold", "run", "gold.yaml", "--no-baseline"]) == 0
    assert rag(["gold", "advise", "gold.yaml"]) == 0
    assert "Nothing is known of the noise: run again with --repeats 5" in capsys.readouterr().out
    assert rag(["gold", "run", "gold.yaml", "--no-baseline", "--repeats", "3", "--out", "three.jsonl"]) == 0
    capsys.readouterr()
    assert rag(["gold", "advise", "gold.yaml", "--run", "three.jsonl", "--better", "5"]) == 0
    out = capsys.readouterr().out
    limits = yaml.safe_load(out[out.index("- id: leave") : out.index("- id: tickets")])
    assert limits[0]["severity"] == "must" and limits[0]["thresholds"]["fact_recall"] == 1
    out = " ".join(out.split())
    assert "10 questions, asked 3 times in 1 run: 10 passed every time." in out
    assert "passes in 37% of runs or more" in out and "in at most 1 run of 4" in out
    assert "To show that 5 % more of the questions pass takes about 155 questions." in out


def test_two_models_go_with_one_gold_set(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rag(["gold", "run", "gold.yaml", "--llm", "a", "--llm", "b", "--llm", "c"]) == 2
    assert "rag gold sweep --set llm=a,b,c" in capsys.readouterr().err
    assert rag(["gold", "run", "gold.yaml", "gold.yaml", "--llm", "a", "--llm", "b"]) == 2
    assert rag(["gold", "run", "gold.yaml", "--llm", "quotes", "--llm", "quotes"]) == 0
    assert "quotes and quotes are equal: of 10 questions" in capsys.readouterr().out


def test_drafts_never_gate_even_when_asked_for(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draft = (
        "- id: later\n  question: How many parking spaces does the garage have?\n  facts: [{id: n, number: 999}]\n"
        "  thresholds: {fact_recall: 1}\n  review: {status: draft}\n"
    )
    (room / "gold.yaml").write_text(handbook.GOLD + draft, encoding="utf-8")
    assert rag(["gold", "run", "gold.yaml"]) == 0
    assert "10 questions" in capsys.readouterr().out
    assert rag(["gold", "run", "gold.yaml", "--drafts"]) == 0
    out = capsys.readouterr().out
    assert "11 questions: 1 failing, 10 passing" in out and "fact missing: n" in out
    approved = draft.replace("status: draft", "status: approved")
    (room / "gold.yaml").write_text(handbook.GOLD + approved, encoding="utf-8")
    assert rag(["gold", "run", "gold.yaml"]) == 1


def test_ctrl_c_keeps_the_answers_and_the_same_command_goes_on(
    room: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def ask(self: Session, question: Question, repeat: int) -> Record:
        if len(asked) == 6:
            raise KeyboardInterrupt
        asked.append(question.id)
        return original(self, question, repeat)

    original = Session.ask
    monkeypatch.setattr(Session, "ask", ask)
    command = ["gold", "run", "gold.yaml", "--no-baseline", "--corpus", "corpus"]
    assert rag(command) == 130
    err = capsys.readouterr().err
    assert "The answers so far are kept; the same command goes on from there." in err and "Interrupted." in err
    first = list(asked)
    asked.clear()
    assert rag(command) == 0
    assert len(asked) == 4 and not set(first) & set(asked)


def test_what_cannot_be_written_is_no_traceback(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nowhere = "/proc/nothing/x"
    for arguments in (
        ["run", "gold.yaml", "--html", nowhere],
        ["run", "gold.yaml", "--out", nowhere],
        ["run", "gold.yaml", "--mode", "record", "--recording", nowhere],
        ["export", "csv", "gold.yaml", "--out", nowhere],
        ["import", "csv", "q.csv", nowhere],
        ["sweep", "gold.yaml", "--corpus", "corpus", "--work", nowhere, "--set", "top_k=4"],
        ["sweep", "gold.yaml", "--corpus", "corpus", "--work", "w", "--set", "top_k=4", "--html", nowhere],
    ):
        (room / "q.csv").write_text("question,answer\nWhy?,because\n", encoding="utf-8")
        assert rag(["gold", *arguments]) == 2, arguments
        assert f"Cannot write {nowhere}" in capsys.readouterr().err


def test_two_settings_side_by_side(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (room / "a.toml").write_text("top_k = 6\n", encoding="utf-8")
    (room / "b.toml").write_text("abstain_below = 1.0\n", encoding="utf-8")
    code = rag(["gold", "run", "gold.yaml", "--compare-settings", "a.toml", "b.toml"])
    assert code == 1
    out = capsys.readouterr().out
    assert "wrong abstention" in out and "retrieval.abstain_below" in out
    (room / "c.toml").write_text("passage_characters = 300\n", encoding="utf-8")
    capsys.readouterr()
    assert rag(["gold", "run", "gold.yaml", "--compare-settings", "a.toml", "c.toml"]) == 2
    assert "Name the documents with --corpus" in capsys.readouterr().err


def test_a_sweep_ranks_and_goes_on(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = ["gold", "sweep", "gold.yaml", "--corpus", "corpus", "--work", "work", "--set", "abstain_below=0.2,1.0"]
    assert rag([*sweep, "--html", "s.html"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"abstain_below=0\.2\s+1\.000", out)
    assert "abstain_below=0.2 is best on pass, significantly so." in out
    runs = {path: path.stat().st_mtime_ns for path in (room / "work").glob("run-*.jsonl")}
    assert len(runs) == 2
    page = (room / "s.html").read_text(encoding="utf-8")
    assert "<svg" in page and "://" not in page
    assert rag([*sweep, "--metric", "file_rr"]) == 0
    assert "No winner on file_rr" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in (room / "work").glob("run-*.jsonl")} == runs
    assert rag([*sweep, "--metric", "quality"]) == 2


def test_a_sweep_over_the_size_of_passages_reads_the_documents_anew(
    room: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = ["gold", "sweep", "gold.yaml", "--corpus", "corpus", "--work", "work", "--retrieval-only"]
    sizes_of_passages = ["--set", "passage_overlap=0", "--set", "passage_characters=100,1000"]
    assert rag([*sweep, *sizes_of_passages, "--metric", "character_precision@2"]) == 0
    assert "passage_characters=100 is best on character_precision@2, significantly so." in capsys.readouterr().out
    runs = [read_run(path) for path in (room / "work").glob("run-*.jsonl")]
    sizes = [run.fingerprint["corpus"]["passages"] for run in runs]
    assert len(runs) == 2 and max(sizes) > min(sizes) == len(handbook.DOCUMENTS)
    assert all("retrieve_ms" in record.metrics for run in runs for record in run.records)


def test_drafts_by_a_model_pass_lint_and_never_gate(
    room: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = ["gold", "draft", "new.yaml", "--llm", "ollama:fake-chat", "--count", "3"]
    assert rag(draft) == 3  # nothing listens at the default address
    with FakeOllama() as server:
        monkeypatch.setenv("RAG_OLLAMA_HOST", server.url)
        assert rag(draft) == 0
        assert rag(draft) == 0
    told = capsys.readouterr()
    assert "3 drafts added to new.yaml" in told.out and " proposed" in told.err
    made = load_gold(room / "new.yaml").questions
    assert len(made) == 6 and len({question.id for question in made}) == 6
    assert all(q.review.status == "draft" and q.sources[0].quote and not q.gates for q in made)
    assert rag(["gold", "lint", "new.yaml"]) == 0


def test_recorded_answers_are_replayed_when_the_model_is_gone(
    room: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["gold", "run", "gold.yaml", "--llm", "ollama:fake-chat", "--details", "0"]
    with FakeOllama() as server:
        monkeypatch.setenv("RAG_OLLAMA_HOST", server.url)
        assert rag([*asked, "--mode", "record", "--judge", "ollama:fake-chat"]) == 0
        assert "judge_support" in capsys.readouterr().out
    assert rag(["gold", "accept", "gold.yaml", "--all", "--reason", "recorded"]) == 0
    assert rag(asked) == 3
    capsys.readouterr()
    assert rag([*asked, "--mode", "replay"]) == 0
    out = capsys.readouterr().out
    assert "10 questions: 10 passing." in out and "model" not in out.split("Metrics")[0]


def test_what_readers_rated_becomes_drafts(
    room: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with handbook.library(room) as library:
        talk = library.conversations.create("default")
        answer = library.ask("What does a lost badge cost?")
        library.conversations.append(talk, answer.question, answer.asked, answer.to_dict())
        library.conversations.feedback(talk, 0, 1, "")
    monkeypatch.setenv("RAG_LIBRARY", str(room / "library"))
    assert rag(["gold", "draft", "rated.yaml", "--from-feedback"]) == 0
    assert "1 draft added to rated.yaml" in capsys.readouterr().out
    (draft,) = load_gold(room / "rated.yaml").questions
    assert draft.files == ("security.md",) and draft.review.origin == "feedback"
    assert rag(["gold", "draft", "rated.yaml", "--from-feedback"]) == 0
    assert "0 drafts added to rated.yaml. There is nothing new." in capsys.readouterr().out
    assert rag(["gold", "run", "rated.yaml"]) == 2  # nothing is approved yet
    assert "rated.yaml has no approved question" in capsys.readouterr().err


def test_calibration_writes_only_when_told(
    room: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    extra = "".join(
        f"- {{id: n{n}, question: 'Which opera did Verdi write in {1840 + n}?', unanswerable: true}}\n"
        for n in range(10)
    )
    again = (
        handbook.GOLD.partition("questions:\n")[2].replace("- id: ", "- id: again-").partition("- id: again-volcano")[0]
    )
    (room / "gold.yaml").write_text(handbook.GOLD + again + extra, encoding="utf-8")
    with handbook.library(room):
        pass
    monkeypatch.setenv("RAG_LIBRARY", str(room / "library"))
    assert rag(["gold", "calibrate", "gold.yaml", "--fusion"]) == 0
    out = capsys.readouterr().out
    assert (
        f"abstain_below: {DEFAULT_THRESHOLD:g} →" in out
        and "fusion_weight: 0.5 →" in out
        and "Nothing was written" in out
    )
    assert rag(["gold", "calibrate", "gold.yaml", "--apply"]) == 0
    assert "Set abstain_below = " in capsys.readouterr().out
    with handbook.library(room) as library:
        assert set(library.collections.settings()) == {"abstain_below"}


def test_export_and_import_give_the_questions_back(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for kind, name in (("csv", "q.csv"), ("llama-index", "q.json"), ("squad", "s.json")):
        assert rag(["gold", "export", kind, "gold.yaml", "--out", name]) == 0
        assert rag(["gold", "import", kind, name, f"{kind}.yaml"]) == 0
        assert rag(["gold", "lint", f"{kind}.yaml"]) == 0
        imported = load_gold(room / f"{kind}.yaml").questions
        assert [q.question for q in imported if not q.unanswerable][:2] == [
            "How many days of annual leave do full-time staff get?",
            "Where is the travel desk that books train tickets?",
        ]
        assert imported[0].files == ("leave.md",)


def test_help_of_every_command_says_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    names = (
        "lint",
        "run",
        "compare",
        "accept",
        "report",
        "rebase",
        "advise",
        "draft",
        "calibrate",
        "sweep",
        "import",
        "export",
    )
    for name in names:
        assert rag(["gold", name, "--help"]) == 0
        assert "Usage:" in capsys.readouterr().out
    assert rag(["gold", "--help"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in names) and "4 the baseline is of other documents" in text
