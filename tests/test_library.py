"""The library end to end on real parts: child processes, SQLite, Chroma, the built-in embedder."""

from __future__ import annotations

import copy
import pickle
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.llms import MockLLM

from rag import Library
from rag.commands.terminal import answer_text
from rag.errors import (
    ConfigError,
    EmbedderMismatch,
    LibraryDamaged,
    LibraryLocked,
    PathError,
    QuestionError,
    ServerNotRunning,
    StoreError,
    UnknownCollection,
    UnknownSource,
)
from rag.models.embed import BuiltinEmbedding
from rag.store.sqlite.database import FILE_NAME
from rag.types import Done, IngestEvent, Retrieved, Support, Token, Turn, Unread

LEAVE = """# Leave policy

## Annual leave

Full-time staff receive 28 days of paid annual leave. Part-time staff receive a share of it.

## Carry-over

Up to five unused days may be carried over. They must be taken before 31 March.
"""
PARKING = "Parking\n\nThe car park on Mill Lane opens at 6:30 and holds 140 cars.\n"


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "leave.md").write_text(LEAVE, encoding="utf-8")
    (folder / "parking.txt").write_text(PARKING, encoding="utf-8")
    return folder


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    with Library.open(tmp_path / "library", llm="quotes", embedder="builtin") as opened:
        yield opened


def statuses(events: tuple[IngestEvent, ...]) -> dict[str, str]:
    return {event.source: event.status for event in events}


def test_a_question_gets_its_sentence_with_an_exact_citation(library: Library, docs: Path) -> None:
    report = library.ingest([docs])
    assert statuses(report.events) == {"leave.md": "added", "parking.txt": "added"}
    answer = library.ask("How many days of paid annual leave do full-time staff receive?")
    assert not answer.abstained
    assert "28 days" in answer.text
    citation = answer.citations[0]
    text = library.text(citation.document_id)
    assert text[citation.start : citation.end] == citation.quote
    assert citation.source == "leave.md" and citation.heading[-1] == "Annual leave"
    for mark in answer.markers:
        assert answer.text[mark.start : mark.end] == f"[{answer.citations[mark.citation].marker}]"
    for sentence in answer.sentences:
        assert answer.text[sentence.start : sentence.end] == sentence.text
        assert sentence.support is Support.QUOTED
    assert answer.to_dict()["citations"][0]["source"] == "leave.md"


def test_what_the_documents_do_not_answer_is_refused_with_the_nearest_passages(library: Library, docs: Path) -> None:
    library.ingest([docs])
    answer = library.ask("Who won the chess championship in Reykjavik in 1972?")
    assert answer.abstained and not answer.citations and answer.hits
    assert "not in the documents" in answer.text


def test_the_stream_sends_passages_then_text_then_the_answer(library: Library, docs: Path) -> None:
    library.ingest([docs])
    events = list(library.stream("When does the car park on Mill Lane open?"))
    assert [type(e) for e in events] == [Retrieved, Token, Done]
    done = events[-1]
    assert isinstance(done, Done) and "6:30" in done.answer.text


def test_a_follow_up_is_searched_with_what_it_leans_on(library: Library, docs: Path) -> None:
    library.ingest([docs])
    answer = library.ask("Until when?", history=[Turn("Can unused days of leave be carried over?", "Up to five.")])
    assert "carried over" in answer.asked and "31 March" in answer.text


def test_unchanged_files_are_skipped_and_changed_ones_replaced(library: Library, docs: Path) -> None:
    library.ingest([docs])
    before = {d.source: d.id for d in library.sources()}
    again = library.ingest([docs])
    assert statuses(again.events) == {"leave.md": "unchanged", "parking.txt": "unchanged"}
    assert {d.source: d.id for d in library.sources()} == before
    (docs / "parking.txt").write_text(PARKING.replace("140", "155"), encoding="utf-8")
    changed = library.ingest([docs])
    assert statuses(changed.events) == {"leave.md": "unchanged", "parking.txt": "updated"}
    answer = library.ask("How many cars does the car park on Mill Lane hold?")
    assert "155 cars" in answer.text and "140" not in answer.text


def test_the_same_text_under_another_name_is_not_embedded_again(library: Library, docs: Path) -> None:
    library.ingest([docs])
    (docs / "copy.md").write_text(LEAVE, encoding="utf-8")
    report = library.ingest([docs / "copy.md"])
    assert report.events[0].status == "added" and report.events[0].embedded == 0


def test_one_bad_file_is_named_and_the_rest_go_in(library: Library, docs: Path) -> None:
    (docs / "empty.txt").write_bytes(b"")
    (docs / "picture.gif").write_bytes(b"\x89PNG")
    (docs / "broken.pdf").write_bytes(b"%PDF-1.7 nonsense")
    report = library.ingest([docs])
    assert report.count("added") == 2
    assert {e.source: e.code for e in report.failed} == {
        "empty.txt": "empty",
        "picture.gif": "unsupported",
        "broken.pdf": "damaged",
    }
    assert all(e.error for e in report.failed)
    assert {e.done for e in report.events} == set(range(1, 6)) and {e.total for e in report.events} == {5}


def test_a_refusal_tells_which_files_could_not_be_read(library: Library, docs: Path) -> None:
    (docs / "dog_policy.pdf").write_bytes(b"%PDF-1.7 nonsense")
    (docs / "picture.xyz").write_bytes(b"\x89PNG")
    library.ingest([docs])
    answer = library.ask("Which dogs may come along?")
    assert answer.abstained and answer.unread == Unread(2, ("dog_policy.pdf",))
    assert answer.unread.told == "2 files could not be read; one is named like your question: dog_policy.pdf."
    assert answer.to_dict()["unread"] == {"count": 2, "named": ["dog_policy.pdf"]}
    assert answer.unread.told in answer_text(answer)
    assert not library.ask("How many days of annual leave do full-time staff receive?").unread.count
    (docs / "dog_policy.pdf").unlink()
    (docs / "picture.xyz").rename(docs / "picture.zyx")
    library.ingest([docs / "leave.md"])
    assert len(library.unread()) == 2, "what was not looked at again stays"
    library.ingest([docs])
    assert [file.source for file in library.unread()] == ["picture.zyx"]
    (docs / "picture.zyx").unlink()
    library.ingest([docs])
    assert library.unread() == ()


def test_an_attachment_that_cannot_be_read_is_told_until_it_can_be(library: Library, docs: Path) -> None:
    message = EmailMessage()
    message["Subject"] = "The scan"
    message.set_content("See the scan.")
    message.add_attachment(b"%PDF-1.7 nonsense", maintype="application", subtype="pdf", filename="scan.pdf")
    (docs / "mail.eml").write_bytes(bytes(message))
    library.ingest([docs])
    library.ingest([docs])
    assert [file.source for file in library.unread()] == ["mail.eml/scan.pdf"], "an unchanged message is not read again"
    (docs / "mail.eml").write_text("Subject: None\n\nNo scan.", encoding="utf-8")
    library.ingest([docs / "mail.eml"])
    assert library.unread() == ()


def test_removed_documents_stop_answering(library: Library, docs: Path) -> None:
    library.ingest([docs])
    library.remove("parking.txt")
    assert [d.source for d in library.sources()] == ["leave.md"]
    assert all(hit.passage.source == "leave.md" for hit in library.search("car park Mill Lane"))
    with pytest.raises(UnknownSource, match=r"parking\.txt"):
        library.remove("parking.txt")


def test_a_removed_document_leaves_no_byte_after_compact(tmp_path: Path, docs: Path) -> None:
    folder = tmp_path / "l"
    with Library.open(folder, llm="quotes", embedder="builtin") as library:
        library.ingest([docs])
        passage = next(hit.passage for hit in library.search("car park") if hit.passage.source == "parking.txt")
        vector = BuiltinEmbedding().embed_array([passage.index_text])[0]
        files = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
        assert any(vector.tobytes() in data for data in files), "else the test looks for the wrong bytes"
        library.remove("parking.txt")
    # By a process of its own: Chroma writes memory it has not filled into its files, and here that held the vector.
    done = subprocess.run([sys.executable, "-m", "rag", "compact", "--library", str(folder)], timeout=60, check=False)
    assert done.returncode == 0
    held = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    assert not any(b"Mill Lane" in data or vector.tobytes() in data for data in held)


def test_everything_is_there_after_reopening(tmp_path: Path, docs: Path) -> None:
    with Library.open(tmp_path / "l", llm="quotes", embedder="builtin") as first:
        first.ingest([docs])
        hits = first.search("annual leave")
    with Library.open(tmp_path / "l", llm="quotes") as second:
        assert second.search("annual leave") == hits
        assert second.embedder_choice.name == "builtin"


def test_a_second_writer_is_refused_and_a_second_reader_works(tmp_path: Path, docs: Path) -> None:
    with Library.open(tmp_path / "l", llm="quotes", embedder="builtin") as writer:
        writer.ingest([docs])
        with pytest.raises(LibraryLocked, match=r"\d+"):
            Library.open(tmp_path / "l", write=True)
        with Library.open(tmp_path / "l", llm="quotes") as reader:
            assert not reader.writable
            assert [h.passage.id for h in reader.search("annual leave")] == [
                h.passage.id for h in writer.search("annual leave")
            ]
            with pytest.raises(LibraryLocked):
                reader.ingest([docs])
            (docs / "new.txt").write_text("The canteen serves soup on Tuesdays.", encoding="utf-8")
            writer.ingest([docs])
            assert "soup" in reader.ask("When does the canteen serve soup?").text


def test_collections_are_apart(library: Library, docs: Path) -> None:
    library.ingest([docs / "leave.md"], collection="hr")
    library.ingest([docs / "parking.txt"], collection="site")
    assert library.collections.names() == ("hr", "site")
    assert {h.passage.source for h in library.search("days", collection="hr")} == {"leave.md"}
    library.collections.rename("site", "grounds")
    library.collections.delete("hr")
    assert library.collections.names() == ("grounds",)
    with pytest.raises(UnknownCollection, match="hr") as caught:
        library.search("days", collection="hr")
    assert "grounds" in caught.value.explain()
    with pytest.raises(StoreError):
        library.collections.create("grounds")


@pytest.mark.parametrize("question", ["", "   \n"])
def test_an_empty_question_is_refused(library: Library, docs: Path, question: str) -> None:
    library.ingest([docs])
    with pytest.raises(QuestionError, match="empty"):
        library.ask(question)


def test_a_question_over_the_limit_names_the_limit(library: Library, docs: Path) -> None:
    library.ingest([docs])
    with pytest.raises(QuestionError, match="8000"):
        library.ask("x" * 8_001)
    assert library.search("x" * 8_000) is not None


def test_questions_before_documents_say_what_to_do(library: Library) -> None:
    with pytest.raises(UnknownCollection) as caught:
        library.ask("Anything?")
    assert "rag ingest" in caught.value.hint


def test_missing_paths_and_empty_folders_are_named(library: Library, tmp_path: Path) -> None:
    with pytest.raises(PathError, match="absent"):
        library.ingest([tmp_path / "absent"])
    (tmp_path / "void").mkdir()
    with pytest.raises(PathError, match="void"):
        library.ingest([tmp_path / "void"])


def test_unknown_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="top_q"):
        Library.open(tmp_path / "l", top_q=3)


def test_a_model_asked_for_by_name_is_never_replaced(tmp_path: Path, docs: Path) -> None:
    with Library.open(tmp_path / "l", llm="ollama:some-model", embedder="builtin") as library:
        library.ingest([docs])
        with pytest.raises(ServerNotRunning):
            library.ask("How much leave?")


def test_another_embedder_needs_a_reindex(tmp_path: Path, docs: Path) -> None:
    with Library.open(tmp_path / "l", llm="quotes", embedder="builtin") as library:
        library.ingest([docs])
    with (
        Library.open(tmp_path / "l", llm="quotes", embedder="ollama:other") as library,
        pytest.raises(EmbedderMismatch),
    ):
        library.search("leave")


def test_the_query_engine_is_llamaindexs(library: Library, docs: Path) -> None:
    from llama_index.core.base.base_query_engine import BaseQueryEngine
    from llama_index.core.base.response.schema import Response

    library.ingest([docs])
    engine = library.query_engine()
    assert isinstance(engine, BaseQueryEngine)
    response = engine.query("How many days of annual leave do full-time staff receive?")
    assert isinstance(response, Response)
    assert "28 days" in str(response) and response.source_nodes
    assert response.metadata is not None and response.metadata["answer"].citations


def test_fingerprint_changes_with_the_corpus_only_when_it_changes(library: Library, docs: Path) -> None:
    library.ingest([docs])
    first = library.fingerprint()
    assert library.fingerprint() == first
    (docs / "more.txt").write_text("The lift is inspected every May.", encoding="utf-8")
    library.ingest([docs])
    second = library.fingerprint()
    assert {k for k in first if first[k] != second[k]} == {"corpus", "parsed_text"}


def test_the_doctor_finds_a_healthy_library_healthy(library: Library, docs: Path) -> None:
    library.ingest([docs])
    checks = {check.name: check for check in library.doctor()}
    assert {checks[n].state for n in ("library", "database", "index", "disk")} == {"ok"}
    assert checks["ollama"].state == "warn"


def test_the_doctor_names_the_model_that_was_passed_in(tmp_path: Path) -> None:
    model = MockLLM()
    with Library.open(tmp_path / "library", llm=model, embedder="builtin") as library:
        check = next(check for check in library.doctor() if check.name == "model")
        assert check.state == "ok" and check.message == library.llm_choice.reason
        assert library.llm_choice.name in check.message


@pytest.mark.parametrize(
    "history",
    [
        [Turn("Can unused days of leave be carried over?", "Up to five.")],
        [("Can unused days of leave be carried over?", "Up to five.")],
        [["Can unused days of leave be carried over?", "Up to five."]],
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Can unused days of leave be carried over?"},
            {"role": "assistant", "content": "Up to five."},
        ],
    ],
)
def test_a_history_is_turns_pairs_or_messages(library: Library, docs: Path, history: list[Any]) -> None:
    library.ingest([docs])
    answer = library.ask("Until when?", history=history)
    assert "31 March" in answer.text and answer.asked == library.ask("Until when?", history=tuple(history)).asked
    (done,) = (e for e in library.query_engine().stream("Until when?", history) if isinstance(e, Done))
    assert done.answer.text == answer.text


@pytest.mark.parametrize("history", ["before", 5, [5], [("one",)], [{"role": "user"}], [(1, 2)], {"role": "user"}])
def test_a_history_of_another_kind_is_told(library: Library, docs: Path, history: Any) -> None:
    library.ingest([docs])
    with pytest.raises(QuestionError, match="history") as caught:
        library.ask("Until when?", history=history)
    assert "Turn" in caught.value.hint


@pytest.mark.parametrize("question", [None, 5, b"Until when?", ["Until when?"]])
def test_a_question_that_is_no_text_is_told(library: Library, docs: Path, question: Any) -> None:
    library.ingest([docs])
    for refused in (library.ask, library.search, library.verify):
        with pytest.raises(QuestionError, match=type(question).__name__):
            refused(question)


@pytest.mark.parametrize("name", [5, ["main"], Path("main"), b"main", 0])
def test_a_collection_that_is_no_name_is_told(library: Library, docs: Path, name: Any) -> None:
    library.ingest([docs])
    for refused in (
        lambda: library.ask("Until when?", collection=name),
        lambda: library.search("Until when?", collection=name),
        lambda: library.ingest([docs], collection=name),
        lambda: library.sources(name),
    ):
        with pytest.raises(UnknownCollection, match=type(name).__name__):
            refused()


def test_an_answer_is_a_plain_dataclass(library: Library, docs: Path) -> None:
    library.ingest([docs])
    answer = library.ask("How many days of annual leave do full-time staff receive?")
    plain = asdict(answer)
    assert plain["text"] == answer.text and plain["citations"][0]["quote"] == answer.citations[0].quote
    checked = library.verify("Full-time staff get 28 days of annual leave with pay.")
    assert asdict(checked)["sentences"][0]["evidence"] == dict(checked.sentences[0].evidence) != {}
    assert copy.deepcopy(answer) == pickle.loads(pickle.dumps(answer)) == answer


def test_the_doctor_says_what_is_damaged_and_an_answer_never_quotes_it(library: Library, docs: Path) -> None:
    library.ingest([docs])
    with closing(sqlite3.connect(library.path / FILE_NAME)) as connection, connection:
        connection.execute("UPDATE text SET data = CAST(replace(CAST(data AS TEXT), '140 cars', '940 cars') AS BLOB)")
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("INSERT INTO layout VALUES (999, '[]', '[]')")
    with pytest.raises(LibraryDamaged, match=r"parking\.txt is damaged") as caught:
        library.ask("How many cars does the car park hold?")
    assert "rag remove parking.txt" in caught.value.hint
    checks = {check.name: check for check in library.doctor()}
    assert checks["documents"].state == "bad" and "of parking.txt." in checks["documents"].message
    assert checks["database"].message == "a row of layout refers to a missing row of document."
    library.remove("parking.txt")
    library.ingest([docs])
    assert "140 cars" in library.ask("How many cars does the car park hold?").text


def test_a_repair_makes_what_is_missing_again_and_leaves_the_rest(library: Library, docs: Path) -> None:
    library.ingest([docs])
    before = library.search("car park")
    library.close()
    file = library.path / FILE_NAME
    for damage in ("DELETE FROM vector WHERE rowid IN (SELECT rowid FROM vector LIMIT 2)",
                   "UPDATE vector SET data = zeroblob(7)", ""):  # fmt: skip
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute(damage)
        with Library.open(library.path, llm="quotes") as opened:
            states = {check.name: check.state for check in opened.doctor()}
            assert states.get("vectors", "ok") == ("bad" if damage else "ok")
        number = file.stat().st_ino
        done = Library.repair(library.config)
        assert (done.documents, done.lost, done.kept) == (2, (), None) and bool(done.vectors) == bool(damage)
        assert file.stat().st_ino == number, "the file is not written anew"
        with Library.open(library.path, llm="quotes") as opened:
            assert opened.search("car park") == before


def test_after_a_restore_nothing_is_wrong(library: Library, docs: Path, tmp_path: Path) -> None:
    library.ingest([docs])
    library.backup(tmp_path / "copy")
    library.close()
    Library.restore(tmp_path / "copy", library.path, replace=True)
    with Library.open(library.path, llm="quotes") as opened:
        index = next(check for check in opened.doctor() if check.name == "index")
        assert index.state == "ok" and "searched exactly" in index.message
        assert "28 days" in opened.ask("How many days of annual leave do full-time staff receive?").text


FORKED = """
import os, sys
from rag import Library
from rag.commands.terminal import answer_text
from rag.errors import RagError
with Library.open(sys.argv[1], llm="quotes", embedder="builtin", write=True) as library:
    library.ingest([sys.argv[2]])
    child = os.fork()
    if child == 0:
        said = []
        for use in (library.sources, lambda: library.ingest([sys.argv[2]]), lambda: library.ask("28 days?")):
            try:
                use()
            except RagError as error:
                said.append(str(error))
        library.close()
        told = len(said) == 3 and all("before this one was forked" in one for one in said)
        os._exit(0 if told else 3)
    _, status = os.waitpid(child, 0)
    try:
        Library.open(sys.argv[1], write=True)
    except RagError as error:
        print(os.waitstatus_to_exitcode(status), "process" in str(error), len(library.sources()), flush=True)
    library.ingest([sys.argv[2]])
Library.open(sys.argv[1], write=True).close()
"""


def test_a_fork_is_refused_with_a_sentence_and_cannot_give_the_lock_away(tmp_path: Path, docs: Path) -> None:
    command = [sys.executable, "-c", FORKED, str(tmp_path / "l"), str(docs)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stdout == "0 True 2\n", done.stdout + done.stderr


READ_ONLY = """
import subprocess, sys, time
from rag import Library
from rag.commands.terminal import answer_text
from rag.errors import LibraryLocked
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", sys.argv[1]], check=True)
folder = sys.argv[1] + "/library"
with Library.open(folder, llm="quotes", embedder="builtin") as library:
    library.add("The ferry leaves at nine.", source="ferry")
# Chroma's runtime lets go of its last file some time after it was closed; till then the disk is busy.
until = time.monotonic() + 60
while subprocess.run(["mount", "-o", "remount,ro", sys.argv[1]]).returncode and time.monotonic() < until:
    time.sleep(0.05)
with Library.open(folder, llm="quotes") as library:
    assert not library.writable and not library.notices
    print(library.ask("When does the ferry leave?").text)
    assert not [check for check in library.doctor() if check.state == "bad"]
    try:
        library.add("No.", source="no")
    except LibraryLocked as error:
        print(error)
"""


def test_a_library_on_a_read_only_disk_can_be_asked(tmp_path: Path) -> None:
    apart = ["unshare", "--map-root-user", "--mount"]
    if shutil.which("unshare") is None or subprocess.run([*apart, "true"], capture_output=True).returncode:
        pytest.skip("needs a mount namespace of its own (unshare)")
    command = [*apart, sys.executable, "-c", READ_ONLY, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "leaves at nine" in done.stdout and "opened for reading only" in done.stdout
