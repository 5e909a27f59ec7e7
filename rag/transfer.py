"""A library moved out into plain files, and in again: texts with their places, conversations, gold sets, settings.

A folder with ``library.json`` (which format, which collections with which settings), ``documents.jsonl`` and
``conversations.jsonl`` (a line each), ``originals/`` (the bytes of the files that are kept whole) and ``gold/``. All is
UTF-8 JSON that any program reads. Vectors and the search index are not in it: they are made anew. Nothing of it is
believed unchecked when it comes in: a document goes through the checks of what a parser's child sends.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rag.config import Limits
from rag.documents import Parsed, wire
from rag.errors import DocumentError, StoreError
from rag.ingest import Ingestor, failure
from rag.store.truth import Collection, Conversation, StoredTurn, Truth
from rag.types import IngestEvent, ParsedDocument

FORMAT = 1
ABOUT, DOCUMENTS, CONVERSATIONS, ORIGINALS, GOLD = (
    "library.json", "documents.jsonl", "conversations.jsonl", "originals", "gold",
)  # fmt: skip
_KEPT = ("origin", "name", "source", "sha256", "size", "media_type", "owner", "added_at")


@dataclass(frozen=True, slots=True)
class Moved:
    """What an export wrote, or an import found: how many of each, and where."""

    folder: Path
    documents: int
    conversations: int
    gold: int


def export(truth: Truth, folder: Path, gold: Sequence[Path] = ()) -> Moved:
    """Write all of a library into the new folder ``folder``, as it is at one moment, and copies of these ``gold`` sets
    with the baselines beside them. Raises StoreError for a folder that is there, or cannot be written."""
    try:
        folder.mkdir(mode=0o700, parents=True)
        with truth.snapshot():
            collections = truth.collections.list()
            documents = _write(folder / DOCUMENTS, _documents(truth, collections, folder / ORIGINALS))
            conversations = _write(folder / CONVERSATIONS, _conversations(truth))
        files = [found for path in gold for found in _with_baseline(path)]
        for path in files:
            (folder / GOLD).mkdir(exist_ok=True)
            shutil.copyfile(path, folder / GOLD / path.name)
        about = {
            "format": FORMAT,
            "program": _program(),
            "collections": [
                {"name": one.name, "embedder": one.embedder.name, "settings": dict(one.settings), "owner": one.owner}
                for one in collections
            ],
        }
        (folder / ABOUT).write_text(_line(about, indent=2), encoding="utf-8", newline="\n")
    except FileExistsError as error:
        raise StoreError(f"{folder} exists already; nothing was written.", hint="Name a new folder.") from error
    except OSError as error:
        raise StoreError(f"Cannot write {folder}: {error.strerror or error}.", hint="Choose another place.") from error
    return Moved(folder, documents, conversations, len(gold))


def _program() -> str:
    """What writes, with its version where it is installed."""
    try:
        return f"rag-cited {version('rag-cited')}"
    except PackageNotFoundError:
        return "rag-cited"


def _with_baseline(path: Path) -> Iterator[Path]:
    yield path
    beside = path.with_name(f"{path.stem}.baseline.jsonl")
    if beside.is_file():
        yield beside


def _write(path: Path, lines: Iterator[Mapping[str, Any]]) -> int:
    count = 0
    with path.open("x", encoding="utf-8", newline="\n") as file:
        for line in lines:
            file.write(_line(line))
            count += 1
    return count


def _line(value: Any, indent: int | None = None) -> str:
    # Lone surrogates, which no UTF-8 holds, are escaped as JSON can.
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return text.encode("utf-8", "backslashreplace").decode() + "\n"


def _documents(truth: Truth, collections: Sequence[Collection], originals: Path) -> Iterator[Mapping[str, Any]]:
    """Every document in the order it came in: on the way back each gets the name it is shown by again."""
    for collection in collections:
        for document in sorted(truth.documents.list(collection.id), key=lambda one: one.id):
            headings, places = truth.documents.layout(document.id)
            text = truth.documents.text(document.id)
            spans = [(passage.start, passage.end) for passage in truth.passages.of(document.id)]
            parsed = ParsedDocument(text, document.title, document.media_type, headings, places)
            original = truth.documents.original(document.id)
            if original is not None:
                originals.mkdir(exist_ok=True)
                (originals / document.sha256).write_bytes(original)
            yield {
                "collection": collection.name,
                **{name: getattr(document, name) for name in _KEPT},
                "metadata": dict(document.metadata),
                **wire.document_to_header(parsed, spans),
                "text": text,
            }


def _conversations(truth: Truth) -> Iterator[Mapping[str, Any]]:
    """Every conversation, the last changed last."""
    for listed in reversed(truth.conversations.list(limit=2**31 - 1)):
        conversation, turns = truth.conversations.get(listed.id)
        yield {**_of_conversation(conversation), "turns": [_of_turn(turn) for turn in turns]}


def _of_conversation(one: Conversation) -> dict[str, Any]:
    return {name: getattr(one, name) for name in ("collection", "title", "created", "updated")}


def _of_turn(turn: StoredTurn) -> dict[str, Any]:
    given = turn.feedback
    return {
        "question": turn.question,
        "asked": turn.asked,
        "answer": turn.answer,
        "created": turn.created,
        "feedback": None if given is None else {"value": given.value, "note": given.note},
    }


Ingesting = Callable[[str], AbstractContextManager[tuple[Collection, Ingestor]]]
"""Opens a collection of that name, made if need be, for documents."""


class Incoming:
    """An exported folder on its way into a library.

    Documents that are there already, the same in every way, are passed over, and so are conversations: what was
    interrupted goes on when it is done again. Raises StoreError for a folder that is no export, or of a later format.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder = folder
        self._limits = limits
        about = self._about()
        self.collections: tuple[Mapping[str, Any], ...] = tuple(about["collections"])
        self.documents = sum(1 for _ in self._lines(DOCUMENTS))

    def _about(self) -> Mapping[str, Any]:
        path = self._folder / ABOUT
        try:
            about = json.loads(path.read_text(encoding="utf-8"))
            known = about["format"]
            sound = isinstance(known, int) and all(isinstance(one["name"], str) for one in about["collections"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{self._folder} is no exported library.", hint="Name what `rag export` wrote.") from error
        if not sound or known > FORMAT:
            raise StoreError(f"{self._folder} has the format {known}, known is {FORMAT}.", hint="Upgrade this program.")
        return about  # type: ignore[no-any-return]

    def events(self, ingesting: Ingesting) -> Iterator[IngestEvent]:
        """Put the documents in, an event each; one that is not what an export writes is an event that failed."""
        done = 0
        for collection in self.collections:
            with ingesting(collection["name"]) as (_, ingestor):
                for number, row in enumerate(self._lines(DOCUMENTS), start=1):
                    if row.get("collection") == collection["name"]:
                        done += 1
                        yield replace(self._taken(ingestor, number, row), done=done, total=self.documents)

    def _taken(self, ingestor: Ingestor, number: int, row: Mapping[str, Any]) -> IngestEvent:
        try:
            parsed, original = self._parsed(row)
            return ingestor.take(
                str(row["origin"]), str(row["name"]), parsed, dict(row["metadata"]), sha256=str(row["sha256"]),
                size=int(row["size"]), original=original,
            )  # fmt: skip
        except (wire.BadReply, KeyError, TypeError, ValueError) as error:
            told = DocumentError(
                f"Line {number} of {DOCUMENTS} is no document: {error}.", hint="Export the library anew."
            )
            return failure(str(row.get("source", f"line {number}")), told, self._folder / DOCUMENTS)

    def _parsed(self, row: Mapping[str, Any]) -> tuple[Parsed, bytes | None]:
        """The document of a line, checked as what a parser's child sends is."""
        text, title, media_type = row["text"], row["title"], row["media_type"]
        if not all(isinstance(part, str) for part in (text, title, media_type)):
            raise TypeError("its text, title and media type are no texts")
        header = {name: row[name] for name in ("headings", "places", "spans")}
        body = text.encode("utf-8", "surrogatepass")
        job = wire.Job("document.txt", self._limits, 0, 0)
        parsed = wire.read_reply({**header, "title": "document", "attachments": []}, body, job)
        document = replace(parsed.document, title=title, media_type=media_type)
        digest = str(row["sha256"])
        path = self._folder / ORIGINALS / digest
        original = path.read_bytes() if digest.isalnum() and path.is_file() else None
        if original is not None and hashlib.sha256(original).hexdigest() != digest:
            raise ValueError("its original is not what it was")
        return replace(parsed, document=document), original

    def finish(self, truth: Truth) -> int:
        """Put in the collections' settings, where none are set, and the conversations; how many of these are new."""
        for wanted in self.collections:
            present = truth.collections.get(wanted["name"])
            for key, value in dict(wanted.get("settings") or {}).items():
                if key not in present.settings:
                    truth.collections.set_setting(present.id, key, value)
        known = {_same(row) for row in _conversations(truth)}
        new = 0
        for number, row in enumerate(self._lines(CONVERSATIONS), start=1):
            try:
                if _same(row) not in known:
                    self._talked(truth, row)
                    new += 1
            except (KeyError, TypeError, ValueError) as error:
                raise StoreError(
                    f"Line {number} of {self._folder / CONVERSATIONS} is no conversation: {error!r}.",
                    hint="Export the library anew; what came before it is in.",
                ) from error
        return new

    @staticmethod
    def _talked(truth: Truth, row: Mapping[str, Any]) -> None:
        number = truth.conversations.create(str(row["collection"]), title=str(row["title"]))
        for turn in row["turns"]:
            index = truth.conversations.append(number, str(turn["question"]), str(turn["asked"]), dict(turn["answer"]))
            if turn["feedback"]:
                truth.conversations.feedback(
                    number, index, int(turn["feedback"]["value"]), str(turn["feedback"]["note"])
                )

    def _lines(self, name: str) -> Iterator[dict[str, Any]]:
        try:
            with (self._folder / name).open(encoding="utf-8") as file:
                for number, line in enumerate(file, start=1):
                    row = json.loads(line)
                    if not isinstance(row, dict):
                        raise ValueError(f"line {number} is no object")
                    yield row
        except (OSError, ValueError) as error:
            raise StoreError(
                f"{self._folder / name} cannot be read: {error}.", hint="Export the library anew."
            ) from error


def _same(row: Mapping[str, Any]) -> str:
    """What makes two conversations the same: all but the times."""
    turns = [{k: v for k, v in turn.items() if k != "created"} for turn in row["turns"]]
    return json.dumps([row["collection"], row["title"], turns], sort_keys=True)
