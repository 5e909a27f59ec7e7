"""Recorded answers: the same scores without a model or a network, and never for a question that has changed."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rag.commands.cli import run as rag
from rag.errors import GoldError
from rag.gold import Exit, GoldSet, Question, Settings, run, verdict
from rag.gold.files.runs import NotRecorded, Recorded, Recording
from rag.gold.types import found_of
from rag.library import Library
from rag.types import Turn
from tests.fake_ollama import FakeOllama
from tests.gold import handbook
from tests.gold.handbook import Interrupted, Unplugged, plain

CONDITIONS: Mapping[str, Any] = {
    "model": {"name": "m", "digest": "sha256:1"},
    "prompts": {"answer": "a1", "condense": "c1"},
    "options": {"temperature": 0, "num_ctx": 8192},
    "corpus": {"sha256": "c"},
    "parsed_text": "t",
    "embedder": {"name": "e", "digest": "d"},
    "splitter": {"characters": 1000},
    "retrieval": {"top_k": 6},
}
ASKED = Question("q", "How much leave?", turns=(Turn("Hello", "Hello."),))


@pytest.fixture
def tape(library: Library, tmp_path: Path) -> Path:
    """A recording of one question, asked twice."""
    path = tmp_path / "gold.recorded.jsonl"
    recording = Recording.create(path, CONDITIONS, 5)
    answer = library.ask(ASKED.question)
    for repeat in (0, 1):
        recording.add(ASKED, repeat, Recorded(answer, tuple(found_of(hit) for hit in library.search(ASKED.question))))
    return path


def test_the_same_question_under_the_same_conditions_is_found(tape: Path) -> None:
    recording = Recording.load(tape)
    first, second = (
        recording.find(ASKED, repeat, {**CONDITIONS, "commit": "new", "gold": "new"}, 5) for repeat in (0, 1)
    )
    assert first == second and first.answer.text and first.ranking
    assert recording.holds(ASKED, 1) and not recording.holds(ASKED, 2)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model": {"name": "m", "digest": "sha256:2"}}, "model"),
        ({"prompts": {"answer": "a2", "condense": "c1"}}, "prompts"),
        ({"prompts": {"answer": "a1", "condense": "c2"}}, "prompts"),
        ({"options": {"temperature": 0.1, "num_ctx": 8192}}, "options"),
        ({"options": {"temperature": 0, "num_ctx": 4096}}, "options"),
        ({"corpus": {"sha256": "d"}}, "corpus"),
        ({"parsed_text": "u"}, "parsed_text"),
        ({"embedder": {"name": "e", "digest": "e"}}, "embedder"),
        ({"splitter": {"characters": 500}}, "splitter"),
        ({"retrieval": {"top_k": 4}}, "retrieval"),
        ({"prompts": {"answer": "a2"}, "model": None}, "model, prompts"),
    ],
)
def test_each_condition_is_part_of_the_key(tape: Path, change: Mapping[str, Any], told: str) -> None:
    with pytest.raises(NotRecorded, match=f"before a change of: {told}\\.$"):
        Recording.load(tape).find(ASKED, 0, {**CONDITIONS, **change}, 5)


@pytest.mark.parametrize(
    "change", [{"question": "How much leave, then?"}, {"turns": ()}, {"turns": (Turn("Hi", "Hello."),)}]
)
def test_the_question_and_its_turns_are_part_of_the_key(tape: Path, change: Mapping[str, Any]) -> None:
    with pytest.raises(NotRecorded, match="before a change of: question"):
        Recording.load(tape).find(replace(ASKED, **change), 0, CONDITIONS, 5)


def test_the_repeat_and_the_depth_are_asked_for(tape: Path) -> None:
    recording = Recording.load(tape)
    with pytest.raises(NotRecorded, match=r"No answer to 'q' \(repeat 2\)"):
        recording.find(ASKED, 2, CONDITIONS, 5)
    with pytest.raises(NotRecorded, match="first 5 passages of each question, not 6"):
        recording.find(ASKED, 0, CONDITIONS, 6)
    assert recording.find(ASKED, 0, CONDITIONS, 3).answer.text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is no recording"),
        ("[]\n", ":1: the line is damaged"),
        ('{"kind": "recording"}\n', "is no recording"),
        ('{"kind": "run", "conditions": {}}\n', "is no recording"),
        ('{"kind": "recording", "conditions": {}}\n', "int"),
        ('{"kind": "recording", "conditions": {}, "depth": 5}\n{"a": 1}\n', "is missing"),
        ('{"kind": "recording", "conditions": {}, "depth": 5}\n[1]\n', ":2: the line is damaged"),
    ],
)
def test_a_damaged_recording_is_refused_with_a_remedy(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "tape.jsonl"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(GoldError, match=message) as caught:
        Recording.load(path)
    assert caught.value.hint


def test_half_a_line_at_the_end_is_passed_over(tape: Path) -> None:
    whole = tape.read_bytes()
    tape.write_bytes(whole[:-30])
    recording = Recording.load(tape)
    assert recording.holds(ASKED, 0) and not recording.holds(ASKED, 1)
    resumed = Recording.resume(tape, CONDITIONS, 5)
    resumed.add(ASKED, 1, recording.find(ASKED, 0, CONDITIONS, 5))
    assert tape.read_bytes() == whole
    Recording.resume(tape, {**CONDITIONS, "model": None}, 5)
    assert not Recording.load(tape).holds(ASKED, 0)


def test_replay_needs_no_model_and_gives_the_same_scores(gold: GoldSet, handbook_folder: Path, tmp_path: Path) -> None:
    tape = tmp_path / "gold.recorded.jsonl"
    folder = handbook_folder / "library"
    with FakeOllama() as server:
        config = handbook.config(llm="ollama:fake-chat", ollama_host=server.url)
        with Library.open(folder, config=config, write=False) as live:
            recorded = run(gold, live, Settings(mode="record", recording=tape, repeats=2))
    assert not recorded.errors
    # The server is gone now, and this library knows no model.
    with Library.open(folder, config=handbook.config(), write=False) as quiet:
        settings = Settings(mode="replay", recording=tape, repeats=2, model="ollama:fake-chat")
        replayed = run(gold, Unplugged(quiet), settings)
        assert plain(replayed) == plain(recorded)
        assert replayed.fingerprint["model"] == recorded.fingerprint["model"]
        with pytest.raises(NotRecorded, match="recorded with ollama:fake-chat, but ollama:other is configured"):
            run(gold, quiet, replace(settings, model="ollama:other"))
        more = run(gold, quiet, replace(settings, repeats=3))
        assert {r.repeat for r in more.errors} == {2} and len(more.errors) == 10
        deeper = run(gold, quiet, replace(settings, k=3))
        assert all("has the first 2 passages of each question, not 3" in r.error for r in deeper.records)
    prompts = tmp_path / "prompts"
    prompts.mkdir()
    text = (Path(__file__).parents[2] / "prompts" / "answer.md").read_text(encoding="utf-8")
    (prompts / "answer.md").write_text(f"{text.rstrip()}\nBe very brief.\n", encoding="utf-8")
    with Library.open(folder, config=handbook.config(prompts=prompts), write=False) as changed:
        stale = run(gold, changed, settings)
    assert len(stale.errors) == len(stale.records)
    assert "recorded before a change of: prompts" in stale.records[0].error
    assert verdict(stale).code is Exit.INFRASTRUCTURE


def test_an_interrupted_recording_goes_on_and_misses_no_answer(library: Library, gold: GoldSet, tmp_path: Path) -> None:
    tape = tmp_path / "gold.recorded.jsonl"
    settings = Settings(mode="record", recording=tape, out=tmp_path / "run.jsonl")
    with pytest.raises(KeyboardInterrupt):
        run(gold, Interrupted(library, 4, []), settings)
    rest: list[str] = []
    recorded = run(gold, Interrupted(library, 99, rest), settings)
    assert len(rest) == 6
    replayed = run(gold, Unplugged(library), Settings(mode="replay", recording=tape))
    assert plain(replayed) == plain(recorded) and not replayed.errors
    # Without its recording an answer is asked for again, however far the run came.
    with pytest.raises(KeyboardInterrupt):
        run(gold, Interrupted(library, 4, []), settings)
    tape.unlink()
    rest.clear()
    run(gold, Interrupted(library, 99, rest), settings)
    assert len(rest) == 10


def test_the_command_replays_with_no_way_to_any_socket(
    handbook_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    handbook.write_gold(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAG_EMBEDDER", "builtin")
    monkeypatch.setenv("RAG_LIBRARY", str(handbook_folder / "library"))
    asked = ["gold", "run", "gold.yaml", "--llm", "ollama:fake-chat", "--details", "0"]
    with FakeOllama() as server:
        monkeypatch.setenv("RAG_OLLAMA_HOST", server.url)
        assert rag([*asked, "--mode", "record"]) == 0
    tried: list[object] = []

    def refused(self: socket.socket, address: object) -> None:
        tried.append(address)
        raise OSError("no network here")

    monkeypatch.setattr(socket.socket, "connect", refused)
    assert rag([*asked, "--mode", "replay"]) == 0, capsys.readouterr()
    assert tried == []
    assert rag(asked) == 3  # the same without --mode replay does ask
    assert tried
    tape = tmp_path / "gold.recorded.jsonl"
    lines = tape.read_text(encoding="utf-8").splitlines(keepends=True)
    assert [json.loads(line)["kind"] for line in lines] == ["recording"] + ["answer"] * 10
