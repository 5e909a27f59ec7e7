"""Moved out and in again, a library is what it was: texts, passages, places, names, conversations, settings."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag import Library
from rag.commands.cli import run
from rag.errors import StoreError
from rag.transfer import CONVERSATIONS, DOCUMENTS
from tests.documents.material import pdf

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=400).filter(
    lambda text: any(map(str.isalnum, text))
)
NAMES = st.text("abc ü-", min_size=1, max_size=8).map(lambda name: f"{name.strip() or 'x'}.md")


def opened(folder: Path) -> Library:
    return Library.open(folder, llm="quotes", embedder="builtin", encoder="off", write=True)


def state(library: Library) -> Mapping[str, Any]:
    """All that a move keeps."""
    documents = {}
    for collection in library.collections.names():
        for one in library.sources(collection):
            passages = [(p.start, p.end, p.text, p.heading, p.page) for p in library._truth.passages.of(one.id)]
            documents[collection, one.source] = (
                one.origin, one.name, one.title, one.sha256, one.size, one.media_type, dict(one.metadata),
                library.text(one.id), library.layout(one.id), library.original(one.id), passages,
            )  # fmt: skip
    talks = [library.conversations.get(one.id) for one in reversed(library.conversations.list())]
    said = [
        (talk.collection, talk.title, [(t.question, t.asked, t.answer, t.feedback and t.feedback.value) for t in turns])
        for talk, turns in talks
    ]
    folders = {
        name: [(one.path, one.include, one.exclude) for one in library.folders(name)]
        for name in library.collections.names()
    }
    return {"documents": documents, "said": said, "folders": folders}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Mapping[str, Any]]:
    """An export of a library with everything in it, and what it held."""
    home = tmp_path_factory.mktemp("moved")
    (home / "docs" / "deep").mkdir(parents=True)
    (home / "docs" / "deep" / "a.md").write_text(
        "# Tower\n\nThe tower has 12 bells.\n\n## Bells\n\nThey ring.\n", "utf-8"
    )
    (home / "docs" / "a.md").write_text("# Other\n\nThe mill has 3 wheels.\n", "utf-8")
    (home / "docs" / "two.pdf").write_bytes(pdf(["The first page names Ada.", "The second page names Grace."]))
    (home / "gold.yaml").write_text("version: 1\nquestions:\n- {id: a, question: b, unanswerable: true}\n", "utf-8")
    (home / "gold.baseline.jsonl").write_text("{}\n", "utf-8")
    with opened(home / "library") as library:
        library.sync(home / "docs")
        library.add("Notes of a call. The bridge is closed.", source="call", metadata={"year": 2024, "who": ["Ada"]})
        library.ingest([home / "docs" / "a.md"], collection="other")
        number = library.conversations.create("default")
        for question in ("How many bells has the tower?", "Who is named on the second page?"):
            library.conversations.append(number, question, question, library.ask(question).to_dict())
        library.conversations.feedback(number, 1, -1, "wrong page")
        moved = library.export(home / "out", [home / "gold.yaml"])
        assert (moved.documents, moved.conversations, moved.gold) == (5, 1, 1)
        held = state(library)
    return home / "out", held


def test_everything_is_what_it_was(whole: tuple[Path, Mapping[str, Any]], tmp_path: Path) -> None:
    folder, held = whole
    with opened(tmp_path / "new") as library:
        events = list(library.import_events(folder))
        assert [event.status for event in events] == ["added"] * 5 and events[-1].done == events[-1].total == 5
        assert state(library) == held
        assert library.ask("How many bells has the tower?").citations[0].source == "deep/a.md"
        assert {event.status for event in library.import_events(folder)} == {"unchanged"}
        assert state(library) == held
        library.export(tmp_path / "again")
    for name in (DOCUMENTS, CONVERSATIONS):
        one, other = ((root / name).read_text("utf-8").splitlines() for root in (folder, tmp_path / "again"))
        drop = ("added_at", "created", "updated")
        assert [_without(json.loads(line), drop) for line in one] == [
            _without(json.loads(line), drop) for line in other
        ]
    assert sorted(path.name for path in (folder / "gold").iterdir()) == ["gold.baseline.jsonl", "gold.yaml"]


def _without(value: Any, names: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        return {key: _without(item, names) for key, item in value.items() if key not in names}
    return [_without(item, names) for item in value] if isinstance(value, list) else value


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.tuples(NAMES, TEXTS), min_size=1, max_size=4), gone=st.integers(0, 3))
def test_any_texts_come_back(tmp_path: Path, texts: list[tuple[str, str]], gone: int) -> None:
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    with opened(tmp_path / "one") as library:
        for name, text in texts:
            library.add(text, source=name)
        names = [document.source for document in library.sources()]
        if gone < len(names) - 1:
            library.remove(names[gone])
        library.export(tmp_path / "out")
        held = state(library)
    with opened(tmp_path / "two") as library:
        assert {event.status for event in library.import_events(tmp_path / "out")} == {"added"}
        assert state(library) == held


def test_what_is_no_export_is_refused_by_name(whole: tuple[Path, Mapping[str, Any]], tmp_path: Path) -> None:
    folder, _ = whole
    with opened(tmp_path / "new") as library:
        with pytest.raises(StoreError, match="is no exported library"):
            list(library.import_events(tmp_path))
        with pytest.raises(StoreError, match="exists already"):
            library.export(folder)
        shutil.copytree(folder, tmp_path / "odd")
        about = json.loads((folder / "library.json").read_text("utf-8"))
        (tmp_path / "odd" / "library.json").write_text(json.dumps({**about, "format": 99}), "utf-8")
        with pytest.raises(StoreError, match="has the format 99"):
            list(library.import_events(tmp_path / "odd"))
        (tmp_path / "odd" / "library.json").write_text(json.dumps(about), "utf-8")
        rows = [json.loads(line) for line in (folder / DOCUMENTS).read_text("utf-8").splitlines()]
        rows[0]["spans"] = [[0, 10**9]]
        rows[1]["sha256"] = "../../secret"
        rows[2]["text"] = 7
        rows[3]["headings"] = [[1, "x", -1]]
        (tmp_path / "odd" / DOCUMENTS).write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        events = list(library.import_events(tmp_path / "odd"))
        assert [event.status for event in events].count("failed") == 3
        assert "cannot be right" in events[0].error and events[0].hint
        (tmp_path / "odd" / CONVERSATIONS).write_text('{"title": 1}\n', "utf-8")
        with pytest.raises(StoreError, match=r"Line 1 of .* is no conversation"):
            list(library.import_events(tmp_path / "odd"))
        (tmp_path / "odd" / DOCUMENTS).write_text("[]\n", "utf-8")
        with pytest.raises(StoreError, match="cannot be read: line 1 is no object"):
            list(library.import_events(tmp_path / "odd"))


def test_the_commands(
    whole: tuple[Path, Mapping[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ("--library", str(tmp_path / "new"), "--llm", "quotes")
    assert run(["import", str(whole[0]), *flags]) == 0
    assert run(["export", str(tmp_path / "out"), *flags]) == 0
    assert "5 documents, 1 conversations" in capsys.readouterr().out
    assert run(["import", str(tmp_path), *flags]) == 1
    assert "rag export" in capsys.readouterr().err
