"""``rag models`` against a real loopback server: what it lists, downloads and writes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from rag.commands.cli import run
from rag.models.families import RECOMMENDED
from tests.fake_ollama import FakeModel, FakeOllama, Fault

RAG = [sys.executable, "-m", "rag"]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeOllama]:
    models = [
        FakeModel("chat-s", size=3_900_000_000, context_length=40_960),
        FakeModel("nomic-embed-text", size=300_000_000),
        FakeModel("big:cloud", size=300, remote_host="https://elsewhere"),
    ]
    with FakeOllama(models, library={"chat-new": 4_000_000, "embed-new": 2_000_000}) as running:
        monkeypatch.setenv("OLLAMA_HOST", running.url)
        monkeypatch.setenv("RAG_LIBRARY", str(tmp_path / "library"))
        monkeypatch.chdir(tmp_path)
        yield running


def out(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert run(["models", *arguments]) == code
    captured = capsys.readouterr()
    return captured.out + captured.err


def setting(path: str = "rag.toml") -> object:
    return tomllib.loads(Path(path).read_text(encoding="utf-8"))["llm"]


def test_the_list_tells_size_window_abilities_and_what_is_loaded(
    server: FakeOllama, capsys: pytest.CaptureFixture[str]
) -> None:
    text = out(capsys, "list")
    rows = {line.split()[0]: line for line in text.splitlines() if line and not line.startswith(" ")}
    assert rows["chat-s"].split() == ["chat-s", "chat", "3.9", "GB", "40,960", "no", "tools"]
    assert rows["nomic-embed-text"].split() == ["nomic-embed-text", "embedding", "0.3", "GB", "2,048", "no", "-"]
    assert rows["big:cloud"].split()[1] == "remote"
    assert all(len(line) <= 80 for line in text.splitlines()), "it fits a terminal"
    assert all(model.name in text for model in RECOMMENDED)


def test_a_loaded_model_is_listed_with_its_window(server: FakeOllama, capsys: pytest.CaptureFixture[str]) -> None:
    from rag.config import Config
    from rag.models.choose import choose_llm

    llm, _ = choose_llm(Config(llm="ollama:chat-s", ollama_host=server.url))
    llm.warm_up()  # type: ignore[union-attr]
    llm.close()  # type: ignore[union-attr]
    row = next(line for line in out(capsys, "list").splitlines() if line.startswith("chat-s"))
    assert row.split()[4:6] == ["40,960", "8,192"]


def test_the_list_as_json(server: FakeOllama, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["chat-s:latest"]["kind"] == "chat" and rows["chat-s:latest"]["loaded"] is None
    assert rows["nomic-embed-text:latest"]["kind"] == "embedding"
    assert rows["big:cloud"]["kind"] == "remote"


def test_a_model_removed_meanwhile_does_not_spoil_the_list(
    server: FakeOllama, capsys: pytest.CaptureFixture[str]
) -> None:
    server.script(Fault("/api/show", status=404, text="model 'x' not found"))
    assert len([line for line in out(capsys, "list").splitlines() if re.search(r" [GM]B  ", line)]) == 3


def test_an_empty_server_and_none_at_all(
    server: FakeOllama, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server.models.clear()
    assert "No models yet." in out(capsys, "list")
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    for command in (["list"], ["pull", "chat-new"], ["use", "chat-new"]):
        text = out(capsys, *command, code=1)
        assert text.strip().startswith("Error: Ollama is not running") and "ollama serve" in text
        assert "bytes" not in text, "no bar of a download that never began"


def test_a_pulled_chat_model_can_be_used_at_once(server: FakeOllama, capsys: pytest.CaptureFixture[str]) -> None:
    text = out(capsys, "pull", "chat-new")
    assert "chat-new is ready (4.0 MB). `rag models use chat-new` answers with it" in text
    assert "Answers with the model chat-new" in out(capsys, "use", "chat-new")
    assert setting() == "ollama:chat-new"


def test_a_pulled_embedding_model_names_the_reindex(server: FakeOllama, capsys: pytest.CaptureFixture[str]) -> None:
    assert "`rag reindex ollama:embed-new` searches with it" in out(capsys, "pull", "embed-new")


def test_what_cannot_be_pulled_says_why(server: FakeOllama, capsys: pytest.CaptureFixture[str]) -> None:
    assert "absent" in out(capsys, "pull", "absent", code=1)
    server.offline = True
    assert "no such host" in out(capsys, "pull", "chat-new", code=1)
    before = len(server.sent("/api/pull"))
    text = out(capsys, "pull", "gpt-oss:120b-cloud", code=1)
    assert "documents would leave" in text and "allow_remote" in text
    assert len(server.sent("/api/pull")) == before


def test_ctrl_c_ends_a_download_and_the_next_goes_on(server: FakeOllama) -> None:
    server.delay = 0.5
    with subprocess.Popen([*RAG, "models", "pull", "chat-new"], stdout=-1, stderr=-1, text=True) as child:
        assert server.wait_for(lambda: bool(server.sent("/api/pull")) and server.sent("/api/pull")[0].lines > 2, 60)
        os.kill(child.pid, signal.SIGINT)
        _, error = child.communicate(timeout=30)
    assert child.returncode == 130 and "kept" in error and "Traceback" not in error
    record = server.sent("/api/pull")[0]
    assert server.wait_for(lambda: record.disconnected > 0, 60)
    assert server.find("chat-new") is None
    server.delay = 0.0
    done = subprocess.run([*RAG, "models", "pull", "chat-new"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert server.sent("/api/pull")[1].lines < 9 and server.find("chat-new") is not None


def test_use_changes_one_line_and_keeps_the_rest(server: FakeOllama, capsys: pytest.CaptureFixture[str]) -> None:
    before = "# mine\ntop_k = 4\nllm = 'quotes' # for now\n\n[limits]\npages = 10\n"
    Path("rag.toml").write_text(before, encoding="utf-8")
    out(capsys, "use", "chat-s")
    text = Path("rag.toml").read_text(encoding="utf-8")
    assert setting() == "ollama:chat-s"
    assert [a for a, b in zip(before.splitlines(), text.splitlines(), strict=True) if a != b] == [
        "llm = 'quotes' # for now"
    ]
    out(capsys, "use", "quotes")
    assert setting() == "quotes"
    Path("rag.toml").write_text("[limits]\npages = 10\n", encoding="utf-8")
    out(capsys, "use", "auto")
    assert setting() == "auto" and list(Path().iterdir()) == [Path("rag.toml")]


def test_use_writes_the_file_that_is_read(
    server: FakeOllama, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("other.toml").write_text("top_k = 4\n", encoding="utf-8")
    monkeypatch.setenv("RAG_CONFIG", "other.toml")
    monkeypatch.setenv("RAG_LLM", "quotes")
    assert "RAG_LLM says quotes" in out(capsys, "use", "chat-s")
    assert setting("other.toml") == "ollama:chat-s" and not Path("rag.toml").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [("absent", "ollama pull absent"), ("nomic-embed-text", "cannot chat"), ("big:cloud", "documents would leave")],
)
def test_use_refuses_and_writes_nothing(
    server: FakeOllama, capsys: pytest.CaptureFixture[str], name: str, message: str
) -> None:
    text = out(capsys, "use", name, code=1)
    assert message in text and "Traceback" not in text and not Path("rag.toml").exists()


def test_use_never_breaks_a_file_it_does_not_understand(server: FakeOllama, capsys: pytest.CaptureFixture[str]) -> None:
    before = '"llm" = "quotes"\n'
    Path("rag.toml").write_text(before, encoding="utf-8")
    assert "by hand" in out(capsys, "use", "chat-s", code=2)
    assert Path("rag.toml").read_text(encoding="utf-8") == before


def test_a_remote_model_is_refused_on_the_way_to_an_answer_and_may_be_allowed(
    server: FakeOllama, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("note.txt").write_text("The foghorn sounds every 40 seconds in winter.\n", encoding="utf-8")
    monkeypatch.setenv("RAG_EMBEDDER", "builtin")
    assert run(["ingest", "note.txt"]) == 0
    capsys.readouterr()
    assert run(["ask", "How often does the foghorn sound?", "--llm", "ollama:big:cloud"]) == 1
    error = capsys.readouterr().err
    assert "documents would leave" in error and "allow_remote" in error and not server.sent("/api/chat")
    monkeypatch.setenv("RAG_ALLOW_REMOTE", "yes")
    server.cloud = True
    assert run(["ask", "How often does the foghorn sound?", "--llm", "ollama:big:cloud"]) == 0
    assert "40 seconds" in capsys.readouterr().out and len(server.sent("/api/chat")) == 1
