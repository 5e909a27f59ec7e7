"""Another embedder for a collection, over a real loopback server: nothing lost, nothing mixed, nothing unserved."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag import Library
from rag.commands.cli import run
from rag.commands.terminal import duration
from rag.errors import EmbedderMismatch, ModelError, ServerNotRunning
from rag.store.backends import open_truth
from tests.fake_ollama import FakeModel, FakeOllama

RAG = [sys.executable, "-m", "rag"]
NOTES = 120
QUESTION = "What is the pressure in boiler 17?"
READER = """
import json, sys
from rag import Library
from rag.errors import EmbedderMismatch
with Library.open(write=False) as library:
    for line in sys.stdin:
        try:
            hits = library.search(line.strip(), 3)
        except EmbedderMismatch as error:
            print(json.dumps(error.hint), flush=True)
        else:
            print(json.dumps([hit.passage.source for hit in hits]), flush=True)
"""


@pytest.fixture
def server() -> Iterator[FakeOllama]:
    with FakeOllama([FakeModel("embed-s"), FakeModel("embed-t", dimension=64), FakeModel("chat-s")]) as running:
        yield running


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of ``home``, which tests change; made once, since 120 documents are 120 commits."""
    made = tmp_path_factory.mktemp("made") / "home"
    docs = made / "docs"
    docs.mkdir(parents=True)
    for number in range(NOTES):
        (docs / f"note-{number:03}.txt").write_text(
            f"The pressure in boiler {number} is {number * 3 + 1} bar, measured by crew {number % 7}.\n", "utf-8"
        )
    with Library.open(made / "library", llm="quotes", embedder="builtin") as library:
        assert library.ingest([docs]).count("added") == NOTES
    shutil.copytree(made, made.with_name("kept"))
    return made.with_name("kept")


@pytest.fixture
def home(kept: Path, server: FakeOllama, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library of 120 one-passage documents, embedded by the built-in model."""
    home = kept.with_name("home")  # always here: documents are known by where they came from
    shutil.rmtree(home)
    shutil.copytree(kept, home)
    monkeypatch.setenv("RAG_LIBRARY", str(home / "library"))
    monkeypatch.setenv("RAG_LLM", "quotes")
    monkeypatch.setenv("OLLAMA_HOST", server.url)
    monkeypatch.chdir(home)
    return home


def embedder_of(folder: Path) -> tuple[str, int]:
    """The embedder that serves, and how many generations there are."""
    with open_truth(folder, writer=False) as truth:
        collection = truth.collections.get("default")
        return collection.embedder.name, 1 + truth.facts().collections[0].unfinished_generations


def none_is_mixed(folder: Path) -> int:
    """Every passage's stored vector is the one that its embedder gives now; how many there are."""
    with Library.open(folder, write=False) as library:
        truth = library._truth
        collection = truth.collections.get("default")
        model, _ = library._models.embedder(collection.embedder.name)
        ids, stored = truth.vectors.all(collection.id)
        passages = truth.passages.get([int(i) for i in ids])
        fresh = model.get_text_embedding_batch([passages[int(i)].index_text for i in ids])
        assert len(passages) == len(ids)
        np.testing.assert_allclose(stored, np.asarray(fresh, dtype=np.float32), atol=1e-5)
        return len(ids)


def top(question: str = QUESTION) -> str:
    with Library.open(write=False) as library:
        return library.search(question, 3)[0].passage.source


def test_there_and_back(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    library = home / "library"
    assert run(["reindex", "ollama:embed-s"]) == 0
    assert "searched with ollama:embed-s from now on" in capsys.readouterr().out
    assert embedder_of(library) == ("ollama:embed-s", 1)
    assert none_is_mixed(library) == NOTES and top() == "note-017.txt"
    assert run(["reindex", "builtin"]) == 0
    assert embedder_of(library) == ("builtin", 1)
    assert none_is_mixed(library) == NOTES and top() == "note-017.txt"


def test_progress_counts_to_the_end_with_the_time_that_is_left(home: Path, server: FakeOllama) -> None:
    server.delay = 0.002
    with Library.open() as library:
        events = list(library.reindex_events("ollama:embed-s"))
    assert [event.done for event in events] == [32, 64, 96, 120]
    assert {event.total for event in events} == {NOTES}
    left = [event.seconds_left for event in events]
    assert all(seconds > 0 for seconds in left[:-1]) and left[-1] == 0
    # Each passage takes at least the server's 2 ms, so 88 of them cannot take less than this.
    assert left[0] >= 88 * 0.002


def test_killed_in_the_middle_it_is_resumed_while_the_old_vectors_serve(home: Path, server: FakeOllama) -> None:
    library = home / "library"
    server.delay = 0.02
    with subprocess.Popen([sys.executable, "-c", READER], stdin=-1, stdout=-1, text=True) as reader:

        def read() -> Any:
            assert reader.stdin is not None and reader.stdout is not None
            reader.stdin.write(f"{QUESTION}\n")
            reader.stdin.flush()
            return json.loads(reader.stdout.readline())

        assert read()[0] == "note-017.txt"
        child = subprocess.Popen([*RAG, "reindex", "ollama:embed-s"], stdout=subprocess.DEVNULL, stderr=-1)
        with child:
            assert server.wait_for(lambda: len(server.sent("/api/embed")) >= 3, 60)
            assert read()[0] == "note-017.txt", "the old generation serves while the new one is made"
            os.kill(child.pid, signal.SIGKILL)
        assert embedder_of(library) == ("builtin", 2)
        assert read()[0] == "note-017.txt"
        server.delay = 0.0

        (home / "docs" / "late.txt").write_text("The late pump runs at 900 turns.\n", encoding="utf-8")
        (home / "docs" / "note-005.txt").write_text("The pressure in boiler 5 is 999 bar.\n", encoding="utf-8")
        (home / "docs" / "note-006.txt").unlink()
        with Library.open(write=True) as opened:
            assert opened.ingest([home / "docs"]).count("added") == 1
            opened.remove("note-006.txt")

        sent = sum(len(record.json["input"]) for record in server.sent("/api/embed") if record.status == 200)
        before = len(server.sent("/api/embed"))
        done = subprocess.run([*RAG, "reindex"], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        again = sum(len(record.json["input"]) for record in server.sent("/api/embed")[before:])
        assert 32 <= sent < NOTES and again <= NOTES + 1 - 32, "what was done is not done again"
        answers = [read(), read()]
        assert answers[-1][0] == "note-017.txt", "the reader follows to the new vectors"
    assert embedder_of(library) == ("ollama:embed-s", 1)
    assert none_is_mixed(library) == NOTES
    assert top("How many turns does the late pump run at?") == "late.txt"
    assert top("What is the pressure of 999 bar in boiler 5?") == "note-005.txt"


def test_documents_go_in_while_it_runs_and_are_complete_after_the_switch(home: Path, server: FakeOllama) -> None:
    with Library.open(write=True) as library:
        events = library.reindex_events("ollama:embed-t")
        next(events)
        (home / "docs" / "late.txt").write_text("The late pump runs at 900 turns.\n", encoding="utf-8")
        report: list[int] = []
        other = threading.Thread(target=lambda: report.append(library.ingest([home / "docs"]).count("added")))
        other.start()
        other.join(60)
        assert report == [1], "an ingest does not wait for the end of a reindex"
        assert library.search("How many turns does the late pump run at?", 1)[0].passage.source == "late.txt"
        last = list(events)[-1]
        assert last.done == last.total == NOTES + 1 and last.seconds_left == 0
        assert library.search("How many turns does the late pump run at?", 1)[0].passage.source == "late.txt"
        assert library.search(QUESTION, 1)[0].passage.source == "note-017.txt"
    assert none_is_mixed(home / "library") == NOTES + 1


def test_a_failing_server_keeps_what_is_done_and_the_old_vectors(home: Path, server: FakeOllama) -> None:
    with Library.open(write=True, connect_seconds=1) as library:
        events = library.reindex_events("ollama:embed-s")
        next(events)
        server.close()
        with pytest.raises(ServerNotRunning):
            list(events)
        assert library.search(QUESTION, 1)[0].passage.source == "note-017.txt"
    assert embedder_of(home / "library") == ("builtin", 2)
    with Library.open() as library:
        checks = {check.name: check for check in library.doctor()}
        assert checks["reindex"].state == "warn" and "`rag reindex`" in checks["reindex"].hint


def test_ctrl_c_ends_it_and_says_so(home: Path, server: FakeOllama) -> None:
    server.delay = 0.05
    with subprocess.Popen([*RAG, "reindex", "ollama:embed-s"], stdout=-1, stderr=-1, text=True) as child:
        assert server.wait_for(lambda: len(server.sent("/api/embed")) >= 2, 60)
        os.kill(child.pid, signal.SIGINT)
        _, error = child.communicate(timeout=60)
    assert child.returncode == 130 and "Interrupted" in error and "Traceback" not in error
    server.delay = 0.0
    assert run(["reindex"]) == 0
    assert none_is_mixed(home / "library") == NOTES


def test_another_embedder_in_the_settings_names_the_remedy(
    home: Path, server: FakeOllama, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAG_EMBEDDER", "ollama:embed-s")
    with Library.open() as library, pytest.raises(EmbedderMismatch, match="builtin") as caught:
        library.search(QUESTION)
    assert "rag reindex" in caught.value.hint
    assert run(["reindex"]) == 0, "the remedy is what the settings ask for"
    assert embedder_of(home / "library") == ("ollama:embed-s", 1)
    monkeypatch.setenv("RAG_EMBEDDER", "builtin")
    capsys.readouterr()
    assert run(["reindex", "ollama:embed-t"]) == 0
    assert "still says builtin: change it to auto or ollama:embed-t" in capsys.readouterr().err


def test_a_changed_digest_warns_everywhere_until_the_reindex(
    home: Path, server: FakeOllama, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["reindex", "ollama:embed-s"]) == 0
    with Library.open() as library:
        assert library.notices == ()
    key = "embed-s:latest"
    server.models[key] = replace(server.models[key], digest="f" * 64)
    with Library.open() as library:
        (notice,) = library.notices
        assert "ollama:embed-s has changed" in notice and "`rag reindex`" in notice
        check = next(check for check in library.doctor() if check.name == "embedder")
        assert check.state == "warn"
    capsys.readouterr()
    assert run(["ask", QUESTION, "--json"]) == 0
    shown = capsys.readouterr()
    assert "ollama:embed-s has changed" in shown.err and json.loads(shown.out)["question"] == QUESTION
    assert run(["doctor"]) == 0
    assert "another version" in capsys.readouterr().out
    assert run(["reindex"]) == 0, "without a name the present embedder is meant"
    with Library.open() as library:
        assert library.notices == ()


def test_a_model_pulled_anew_is_noticed_while_the_library_is_open(
    home: Path, server: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag.models.ollama._DIGEST_SECONDS", 0.0)
    with Library.open(write=True) as library:
        list(library.reindex_events("ollama:embed-s"))
        assert not list(library.notices)
        server.models["embed-s:latest"] = replace(server.models["embed-s:latest"], digest="f" * 64)
        assert ["ollama:embed-s has changed" in notice for notice in library.notices] == [True]
        list(library.reindex_events())
        assert not list(library.notices)


def test_a_model_pulled_anew_in_the_middle_is_not_switched_to(
    home: Path, server: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag.models.ollama._DIGEST_SECONDS", 0.0)
    with Library.open(write=True) as library:
        events = library.reindex_events("ollama:embed-s")
        next(events)
        server.models["embed-s:latest"] = replace(server.models["embed-s:latest"], digest="f" * 64)
        with pytest.raises(ModelError, match="replaced by another version") as caught:
            list(events)
        assert "rag reindex" in caught.value.hint and embedder_of(home / "library") == ("builtin", 2)
        before = len(server.sent("/api/embed"))
        list(library.reindex_events())
        again = sum(len(record.json["input"]) for record in server.sent("/api/embed")[before:])
    assert again == NOTES, "none of the mixed vectors is kept"
    assert embedder_of(home / "library") == ("ollama:embed-s", 1) and none_is_mixed(home / "library") == NOTES


LONG = "The turbine hall of the Halden plant was painted in 1931 and again in 1977 by its own crew. " * 60


def longest(library: Library, collection: str) -> int:
    found = library.search("Who painted the turbine hall?", 50, collection=collection)
    return max(len(hit.passage.text) for hit in found)


def test_each_collection_is_cut_to_the_limit_of_its_own_embedder(home: Path, server: FakeOllama) -> None:
    server.models["embed-short:latest"] = FakeModel("embed-short", context_length=256).completed()
    (home / "docs" / "long.txt").write_text(LONG, encoding="utf-8")
    with Library.open(write=True, embedder="ollama:embed-short") as library:
        library.collections.create("short")
    with Library.open(write=True) as library:
        for collection in ("default", "short"):
            assert not library.ingest([home / "docs" / "long.txt"], collection=collection).failed
        # 256 tokens less the special ones, at two characters each, less the room for the title.
        assert 200 < longest(library, "short") <= (256 - 16) * 2 - 200 < 800 < longest(library, "default") <= 1000
        (home / "docs" / "longer.txt").write_text(LONG.replace("1977", "1988"), encoding="utf-8")
        library.ingest([home / "docs" / "longer.txt"], collection="default")
        assert max(d.passages for d in library.sources("default")) < 10


def test_passages_that_are_too_long_for_the_new_embedder_are_embedded_whole(home: Path, server: FakeOllama) -> None:
    server.models["embed-short:latest"] = FakeModel("embed-short", context_length=128).completed()
    (home / "docs" / "long.txt").write_text(LONG, encoding="utf-8")
    with Library.open(write=True) as library:
        assert not library.ingest([home / "docs"]).failed
        last = list(library.reindex_events("ollama:embed-short"))[-1]
        assert last.done == last.total > NOTES
        assert library.search("Who painted the turbine hall?", 1)[0].passage.source == "long.txt"
    assert any(record.status == 400 for record in server.sent("/api/embed")), "some were too long"
    assert none_is_mixed(home / "library") > NOTES


def test_changed_prefixes_warn(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(["reindex", "ollama:embed-s"]) == 0
    with Library.open(query_prefix="question:") as library:
        assert "prefixes differ" in library.notices[0]


def test_an_embedder_that_is_gone_is_the_doctors_finding(
    home: Path, server: FakeOllama, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["reindex", "ollama:embed-s"]) == 0
    del server.models["embed-s:latest"]
    with Library.open() as library:
        assert library.notices == ()
    assert run(["doctor"]) == 1
    text = capsys.readouterr().out
    assert "BAD   embedder" in text and "ollama pull embed-s" in text


def test_a_server_on_another_machine_is_told(home: Path) -> None:
    with Library.open(llm="ollama:chat-s", ollama_host="http://me:secret@192.0.2.7:11434") as library:
        (notice,) = library.notices
        assert "192.0.2.7" in notice and "another machine" in notice and "secret" not in notice
    with Library.open(llm="quotes", ollama_host="http://192.0.2.7:11434") as library:
        assert library.notices == ()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (99.4, "99 s"), (100, "2 min"), (3_570, "1 h 0 min"), (3_599, "1 h 0 min"), (7_500, "2 h 5 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
