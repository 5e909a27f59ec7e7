"""Attachments are documents of their own: they come, change, move and go with the message they are in."""

from __future__ import annotations

from pathlib import Path

from rag import Library
from tests.documents.test_formats import MAIL


def mail(**files: str) -> bytes:
    parts = "".join(
        f'--x\nContent-Type: text/plain\nContent-Disposition: attachment; filename="{name}.txt"\n\n{text}\n'
        for name, text in files.items()
    )
    head = "From: Ann <a@b.c>\nSubject: Boats\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n"
    return f"{head}--x\nContent-Type: text/plain\n\nSee below.\n{parts}--x--\n".encode()


def names(library: Library) -> list[str]:
    return [document.source for document in library.sources()]


def test_attachments_live_and_die_with_their_message(tmp_path: Path) -> None:
    folder = tmp_path / "mails"
    folder.mkdir()
    file = folder / "boats.eml"
    file.write_bytes(mail(fees="The harbour fee is 12 crowns a day.", rules="Boats moor at the western pier."))
    with Library.open(tmp_path / "library", write=True, llm="quotes", embedder="builtin") as library:
        report = library.ingest([folder])
        assert [(e.source, e.status) for e in report.events] == [
            ("boats.eml", "added"), ("boats.eml/fees.txt", "added"), ("boats.eml/rules.txt", "added"),
        ]  # fmt: skip
        answer = library.ask("What is the harbour fee?")
        assert answer.citations[0].source == "boats.eml/fees.txt" and "12 crowns" in answer.text
        assert [e.status for e in library.ingest([folder]).events] == ["unchanged"]

        file.write_bytes(mail(fees="The harbour fee is 15 crowns a day.", more="The crane lifts forty tonnes."))
        library.ingest([folder])
        assert names(library) == ["boats.eml", "boats.eml/fees.txt", "boats.eml/more.txt"]
        assert "15 crowns" in library.ask("What is the harbour fee?").text

        library.remove("boats.eml")
        assert names(library) == []


def test_attachments_move_with_their_message_in_a_synced_folder(tmp_path: Path) -> None:
    folder = tmp_path / "mails"
    folder.mkdir()
    (folder / "other.md").write_text("# Other\n\nwords enough")
    (folder / "old.eml").write_bytes(mail(fees="The harbour fee is 12 crowns."))
    with Library.open(tmp_path / "library", write=True, llm="quotes", embedder="builtin") as library:
        library.sync(folder)
        (folder / "old.eml").rename(folder / "new.eml")
        assert all(event.embedded == 0 for event in library.sync(folder).events)
        assert names(library) == ["new.eml", "new.eml/fees.txt", "other.md"]
        (folder / "new.eml").unlink()
        library.sync(folder)
        assert names(library) == ["other.md"]


def test_an_attached_message_s_attachment_is_one_too_and_names_may_repeat(tmp_path: Path) -> None:
    inner = mail(deep="Deep words here.").decode()
    outer = (
        "From: Bob\nSubject: Fwd\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=y\n\n--y\nContent-Type: "
        'application/octet-stream\nContent-Disposition: attachment; filename="in#ner.eml"\n\n' + inner + "--y--\n"
    )
    (tmp_path / "a.eml").write_bytes(outer.encode())
    twice = MAIL.replace(b"a.png", b"notes.txt")
    (tmp_path / "b.eml").write_bytes(twice)
    with Library.open(tmp_path / "library", write=True, llm="quotes", embedder="builtin") as library:
        library.ingest([tmp_path / "a.eml", tmp_path / "b.eml"])
        assert names(library) == [
            "a.eml", "a.eml/in_ner.eml", "a.eml/in_ner.eml/deep.txt", "b.eml", "b.eml/notes (2).txt", "b.eml/notes.txt",
        ]  # fmt: skip
        (tmp_path / "a.eml").write_bytes(outer.replace("Fwd", "Fw").encode())
        library.ingest([tmp_path / "a.eml"])
        assert len(names(library)) == 6
        library.remove("a.eml")
        assert len(names(library)) == 3
