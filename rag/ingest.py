"""Files into a collection: plan, parse in child processes, split, embed what is new, commit, and tell how it goes."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from rag.documents import Discovery, Parsed, ParserPool, Refused, SourceFile, discover, located, read_file
from rag.documents.split import Slice
from rag.documents.split import place as placed
from rag.errors import DocumentError, NameTaken, RagError, UnsupportedFormat
from rag.language.languages import language_of
from rag.platform.files import as_text, real_path
from rag.store.names import inside, numbered, outer_origins
from rag.store.truth import Claim, Collection, NewDocument, NewPassage, Truth, text_key
from rag.types import Attachment, Document, IngestEvent, IngestStatus, UnreadFile, index_text

if TYPE_CHECKING:
    from rag.config import Config, Limits
    from rag.documents.address import Fetched

Vector = npt.NDArray[np.float32]
Embed = Callable[[Sequence[str]], npt.NDArray[np.float32]]
Cut = Callable[[str], Sequence[tuple[int, int]]]
"""Cuts a text into passages: their spans, in order. Raises DocumentError."""
Read = Callable[[Path], tuple[str, Mapping[str, Any]] | None]
"""Reads a file: its text and what is known of it; None where it is not for this reader. Raises DocumentError."""
SameName = Literal["keep", "replace", "ask"]
"""What becomes of a file with other bytes than a document of its name that came from elsewhere: both are kept, the
document is replaced, or the file fails with the code ``same-name`` until somebody has said which."""

UPLOAD = "upload:"
UNKNOWN = "unknown:"
TEXT = "text:"

_LOOKAHEAD = 2
"""Files, beyond those that are being parsed, ahead of the one that is being embedded: keeps both sides busy, bounds
memory."""
_AHEAD_BYTES = 100_000_000
"""So much of files may wait for their turn, however many they are."""
_TOGETHER, _PASSAGES_TOGETHER, _BYTES_TOGETHER = 32, 64, 8_000_000
"""So many small files are written in one transaction, which costs the same for one and for all of them."""
_PATIENCE = 0.2
"""Seconds that a file which could be written waits for others."""

_EMBEDDED_TOGETHER = 512
"""So many texts are given to the embedder at once: what it needs for each is more than what is kept of it."""

_MANY = 20
"""From so many files on it is cheaper to look at all that is known at once."""

_REMEMBERED = 10_000
"""Vectors of replaced documents that are kept to the end: their text may stand in another file now."""

_HEAD = 200
"""Characters that title and headings add to a passage before it is embedded."""
_SMALLEST = 200


def passage_size(config: Config, embedder: object) -> tuple[int, int]:
    """Characters of a passage and of the overlap: as configured, or less for an embedder with a short window.

    ``embedder.max_characters``, where it has one, is what it takes in at once.
    """
    most = int(getattr(embedder, "max_characters", 0) or 0)
    if not most or most - _HEAD >= config.passage_characters:
        return config.passage_characters, config.passage_overlap
    characters = max(_SMALLEST, most - _HEAD)
    return characters, min(config.passage_overlap, characters // 10)


@dataclass(frozen=True, slots=True)
class _Waiting:
    file: SourceFile
    sha256: str
    data: bytes
    place: _Place
    future: Future[Parsed]
    within: str = ""
    noted: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A document that can be written: where it goes, what was read of it, and what is known of its file."""

    place: _Place
    parsed: Parsed
    metadata: Mapping[str, Any]
    sha256: str
    size: int
    original: bytes | None
    signature: str = ""
    claim: Claim | None = None


@dataclass(slots=True)
class _Batch:
    """Files to be written together, in order, and between them what became of those that cannot be; ``since`` when."""

    files: list[tuple[_Waiting, _Entry] | IngestEvent] = field(default_factory=list)
    passages: int = 0
    bytes: int = 0
    since: float = 0.0

    def take(self, one: tuple[_Waiting, _Entry] | IngestEvent) -> None:
        """Put one in."""
        self.since = self.since if self.files else time.monotonic()
        self.files.append(one)
        if isinstance(one, tuple):
            self.passages += len(one[1].parsed.slices)
            self.bytes += one[1].size

    @property
    def full(self) -> bool:
        """Whether it should be written before anything else is put in."""
        last = self.files[-1] if self.files else None
        inside = isinstance(last, tuple) and bool(last[1].parsed.document.attachments)
        many = len(self.files) >= _TOGETHER or self.passages >= _PASSAGES_TOGETHER or self.bytes >= _BYTES_TOGETHER
        return inside or many

    @property
    def left(self) -> float:
        """How long the first of them may wait for others still."""
        return max(0.0, self.since + _PATIENCE - time.monotonic())

    def names(self) -> set[str]:
        """The names of the files in it."""
        return {one[0].file.name for one in self.files if isinstance(one, tuple)}


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a file goes: the origin and name it gets, and the document it takes the place of, if any."""

    origin: str
    name: str
    known: Document | None
    namesakes: tuple[Document, ...] = ()

    @property
    def status(self) -> IngestStatus:
        """What a document that is put here is told to be."""
        return "added" if self.known is None else "updated"


class Ingestor:
    """Puts files into one collection of ``truth``; ``embed`` turns index texts into unit rows.

    A file is written whole or not at all, small ones several in a transaction; when its event says ``added`` or
    ``updated`` it is on disk. A file that fails is an event with its reason; the others go on.
    Files of the queue are put in only while their ``claims`` hold.
    """

    def __init__(
        self, truth: Truth, collection: Collection, embed: Embed, pool: ParserPool, limits: Limits,
        same_name: SameName = "keep", metadata: Mapping[str, Any] | None = None,
        cut: Cut | None = None, read: Read | None = None, claims: Mapping[Path, Claim] | None = None,
    ) -> None:  # fmt: skip
        self._truth = truth
        self._collection = collection
        self._embed = embed
        self._pool = pool
        self._limits = limits
        self._same_name = same_name
        self._noted = dict(metadata or {})
        self._cut = cut
        self._read_by = read
        self._claims = claims or {}
        self._unread: list[UnreadFile] = []
        self._read: set[str] = set()
        self._opened: set[str] = set()
        self._signed: dict[str, str] = {}
        self._retired: dict[bytes, Vector] = {}

    def events(self, paths: Sequence[Path | str], *, uploads: bool = False) -> Iterator[IngestEvent]:
        """Ingest and report, an event a file, in the order of their names.

        ``uploads`` are known by the name they came with, wherever they lie now. Raises PathError when a path is missing
        or holds nothing. Closing the iterator stops after the current file.
        """
        plan = discover(paths, self._limits)
        total = len(plan.files) + len(plan.refused)
        done, ended = 0, False
        try:
            files = plan.files
            for refused in plan.refused:
                if self._read_by is not None and isinstance(refused.error, UnsupportedFormat):
                    files += (SourceFile(refused.path, refused.source, refused.origin, refused.source),)
                    continue
                done += 1
                yield _numbered(self.refuse(refused), done, total)
            if uploads:
                files = tuple(replace(file, origin=f"{UPLOAD}{file.name}") for file in files)
            for event in self.run(files):
                done += 1
                total = max(total, done)  # a file may hold others
                yield _numbered(event, done, total)
            ended = True
        finally:
            if not uploads:
                self.note_unread([as_text(real_path(Path(path), there=False)) for path in paths] if ended else [], plan)

    def note_unread(self, looked_at: Sequence[str], found: Discovery) -> None:
        """Keep which files could not be read, and forget those that now could be, and those at and below the paths
        ``looked_at`` that were not ``found`` again."""
        present = {file.origin for file in found.files} | {refused.origin for refused in found.refused}
        opened = tuple(inside(origin) for origin in self._opened)
        below = tuple(f"{path.rstrip('/')}/" for path in looked_at)

        def no_longer(origin: str) -> bool:
            if origin in self._read or origin.startswith(opened):
                return True
            around = outer_origins(origin)
            gone = not present.intersection(around)
            return gone and any(one in looked_at or one.startswith(below) for one in around)

        self._truth.documents.note_unread(self._collection.id, self._unread, no_longer)

    def refuse(self, refused: Refused) -> IngestEvent:
        """The event of a file that was found and is not read."""
        return self._failed(refused.source, refused.origin, refused.error, refused.path)

    def _failed(self, source: str, origin: str, error: DocumentError, path: Path) -> IngestEvent:
        if not isinstance(error, NameTaken):
            self._unread.append(UnreadFile(source, origin, str(error), error.hint, error.code))
        return failure(source, error, path)

    def run(
        self, files: Sequence[SourceFile], known: Mapping[str, Document] | None = None
    ) -> Iterator[IngestEvent]:  # fmt: skip
        """Ingest these files; their events are not numbered. ``known`` are the documents there are, by origin, for who
        has them."""
        waiting: deque[_Waiting] = deque()
        batch = _Batch()
        for file, unchanged in self.looked_at(files, known):
            if unchanged is not None:
                yield unchanged
                continue
            # Files of one name wait for each other: the second must find the first.
            while file.name in {other.file.name for other in waiting}:
                yield from self._proceed(waiting, batch)
            if file.name in batch.names():
                yield from self._write(batch)
            outcome = self._start(file)
            if isinstance(outcome, IngestEvent):
                yield outcome
                continue
            waiting.append(outcome)
            while len(waiting) >= self._pool.workers + _LOOKAHEAD or sum(len(w.data) for w in waiting) > _AHEAD_BYTES:
                yield from self._proceed(waiting, batch)
        while waiting:
            yield from self._proceed(waiting, batch)
        yield from self._write(batch)
        if self._signed:
            self._truth.documents.sign(self._collection.id, self._signed)
            self._signed = {}

    def looked_at(
        self, files: Sequence[SourceFile], known: Mapping[str, Document] | None = None
    ) -> Iterator[tuple[SourceFile, IngestEvent | None]]:  # fmt: skip
        """Each file, and what there is to tell of it where its looks say that it has not changed."""
        documents, collection = self._truth.documents, self._collection.id
        signatures: Mapping[str, str] = {}
        if len(files) >= _MANY:
            signatures = documents.signatures(collection)
            known = known or {one.origin: one for one in documents.list(collection)}
        for file in files:
            same = file.signature and signatures.get(file.origin) == file.signature
            document = known.get(file.origin) if same and known else None
            yield file, None if document is None else self._unchanged(file, document)

    def _unchanged(self, file: SourceFile, known: Document) -> IngestEvent:
        self._read.add(file.origin)
        status: IngestStatus = "unchanged"
        if not self._noted.items() <= known.metadata.items():
            noted = {**known.metadata, **self._noted}
            known, status = self._truth.documents.describe(self._collection.id, known.id, noted), "updated"
        return told(known, status, path=str(file.path))

    def _start(self, file: SourceFile) -> _Waiting | IngestEvent:
        try:
            data = read_file(file, self._limits)
            digest = hashlib.sha256(data).hexdigest()
            place = self._place(file, digest)
        except DocumentError as error:
            return self._failed(file.source, file.origin, error, file.path)
        known = place.known
        if known is not None and known.sha256 == digest:
            if known.origin != place.origin:
                known = self._truth.documents.move(self._collection.id, known.id, place.origin, place.name)
            if file.signature and place.origin == file.origin:
                self._signed[file.origin] = file.signature
            return replace(self._unchanged(file, known), renamed=self._renamed(place))
        try:
            given = None if self._read_by is None else self._read_by(file.path)
        except DocumentError as error:
            return self._failed(file.source, file.origin, error, file.path)
        if given is None:
            return _Waiting(file, digest, data, place, self._pool.submit(data, file.source))
        future = self._pool.submit(given[0].encode("utf-8", "replace"), f"{file.source}.txt")
        return _Waiting(file, digest, data, place, future, noted=given[1])

    def _place(self, file: SourceFile, digest: str) -> _Place:
        """Where the file goes. Raises NameTaken when that is for somebody to say."""
        known = self._truth.documents.from_origin(self._collection.id, file.origin)
        upload = file.origin.startswith(UPLOAD)
        if known is not None and (not upload or known.sha256 == digest):
            return _Place(file.origin, file.name, known)
        others = self._truth.documents.namesakes(self._collection.id, file.name)
        same = next((other for other in others if other.sha256 == digest), None)
        if same is not None and upload:
            return _Place(same.origin, same.name, same)
        if same is not None and same.origin.startswith((UPLOAD, UNKNOWN)):
            return _Place(file.origin, file.name, same, others)
        if self._same_name == "ask" and others:
            raise NameTaken(
                f"There is another document {others[0].source} already, with other content.",
                hint="Choose: replace it, or keep both.",
            )
        if self._same_name == "replace" and others:
            others = (known,) if known is not None else others
            if len(others) > 1:
                names = ", ".join(other.source for other in others)
                raise NameTaken(
                    f"{file.name} could replace any of {names}.", hint="Remove the one that is outdated first."
                )
            return _Place(file.origin, file.name, others[0], others)
        return self._beside(file, others) if known is not None else _Place(file.origin, file.name, None, others)

    def _renamed(self, place: _Place) -> tuple[tuple[str, str], ...]:
        """The documents that are shown by another name now, to be told from what came to this place."""
        pairs = []
        for before in place.namesakes:
            now = self._truth.documents.from_origin(self._collection.id, before.origin)
            if now is not None and now.source != before.source:
                pairs.append((before.source, now.source))
        return tuple(pairs)

    def _beside(self, upload: SourceFile, others: tuple[Document, ...]) -> _Place:
        """A place of its own for an upload whose name another one has."""
        number = 2
        while True:
            name = numbered(upload.name, number)
            if self._truth.documents.from_origin(self._collection.id, f"{UPLOAD}{name}") is None:
                return _Place(f"{UPLOAD}{name}", upload.name, None, others)
            number += 1

    def _proceed(self, waiting: deque[_Waiting], batch: _Batch) -> Iterator[IngestEvent]:
        """Take the first file that waits into the batch; write that when it is full, or while a parser takes long."""
        item = waiting.popleft()
        if batch.files and not item.future.done():
            wait([item.future], timeout=batch.left)
            if not item.future.done():
                yield from self._write(batch)
        batch.take(self._read_out(item))
        if batch.full or not batch.left:
            yield from self._write(batch)

    def _read_out(self, item: _Waiting) -> tuple[_Waiting, _Entry] | IngestEvent:
        """The file as a document that can be written, once it is parsed; or what is to be told of it."""
        path = item.file.path
        try:
            parsed = self._recut(item.future.result())
        except DocumentError as error:
            return self._failed(item.within or item.file.source, item.place.origin, error, path)
        metadata = {"language": language_of(parsed.document.text), **_modified(path), **item.noted, **self._noted}
        noted = {key: value for key, value in metadata.items() if value}
        signature = item.file.signature if item.file.origin == item.place.origin else ""
        claim = self._claims.get(path)
        return item, _entry(item.place, parsed, noted, item.sha256, item.data, signature, claim)

    def _write(self, batch: _Batch) -> Iterator[IngestEvent]:
        """Commit the files of a batch, and then the files inside each (a message's attachments) as documents of their
        own; the batch is empty after.

        Where they cannot be written together they are one by one, so that those before the one that fails are in.
        """
        files, batch.files, batch.passages, batch.bytes = batch.files, [], 0, 0
        entries = [one[1] for one in files if isinstance(one, tuple)]
        stored: list[tuple[Document, int]] = []
        try:
            stored = self._put_all(entries)
        except RagError:
            if len(entries) < 2:
                raise
        together = bool(stored)
        for position, one in enumerate(files):
            left = sum(isinstance(other, tuple) for other in files[position + 1 :]) if together else 0
            if isinstance(one, IngestEvent):
                yield replace(one, following=left)
                continue
            item, entry = one
            document, embedded = stored[len(entries) - left - 1] if together else self._put(entry)
            self._read.add(item.place.origin)
            self._opened.add(item.place.origin)
            event = told(document, item.place.status, embedded, str(item.file.path))
            yield replace(event, renamed=self._renamed(item.place), following=left)
            yield from self._finish_attachments(item, document.origin, entry.parsed.document.attachments)

    def _finish_attachments(
        self, item: _Waiting, origin: str, attachments: Sequence[Attachment]
    ) -> Iterator[IngestEvent]:
        documents, collection = self._truth.documents, self._collection.id
        replaced = item.place.known
        if replaced is not None and replaced.origin != origin:
            for gone in documents.inside(collection, replaced.origin):
                documents.remove(collection, gone.source)
        before: dict[str, Document] = {one.origin: one for one in documents.inside(collection, origin)}
        met: set[str] = set()
        for attachment in attachments:
            name, number = attachment.name, 2
            while inside(origin, name) in met:
                name, number = numbered(attachment.name, number), number + 1
            own = inside(origin, name)
            met.add(own)
            known = before.get(own)
            digest = hashlib.sha256(attachment.data).hexdigest()
            if known is not None and known.sha256 == digest:
                continue
            name = f"{item.within or item.file.name}/{own.rpartition('#')[2]}"
            future = self._pool.submit(attachment.data, name)
            place = _Place(own, name, known)
            alone = _Batch()
            alone.take(self._read_out(_Waiting(item.file, digest, attachment.data, place, future, name)))
            yield from self._write(alone)
        for own, left in before.items():
            if own not in met:
                documents.remove(collection, left.source)

    def add(
        self, data: bytes, parse_as: str, source: str, title: str | None, metadata: Mapping[str, Any] | None
    ) -> tuple[Document, IngestStatus]:
        """Put bytes in that a program has, read as a file of the name ``parse_as``; known by ``source`` from then on.

        Raises DocumentError when they cannot be read.
        """
        digest = hashlib.sha256(data).hexdigest()
        known = self._truth.documents.from_origin(self._collection.id, f"{TEXT}{source}")
        if known is not None and known.sha256 == digest and title in (None, known.title):
            if metadata is None or metadata == known.metadata:
                return known, "unchanged"
            return self._truth.documents.describe(self._collection.id, known.id, metadata), "updated"
        parsed = self._recut(self._pool.submit(data, parse_as).result())
        if title is not None:
            parsed = replace(parsed, document=replace(parsed.document, title=title))
        place = _Place(f"{TEXT}{source}", source, known)
        document, _ = self._put(_entry(place, parsed, {**_language(parsed), **(metadata or {})}, digest, data))
        return document, place.status

    def take(
        self, origin: str, name: str, parsed: Parsed, metadata: Mapping[str, Any], *, sha256: str, size: int,
        original: bytes | None,
    ) -> IngestEvent:  # fmt: skip
        """Put in a document as another library had it, known by the same ``origin``; nothing is read or split anew."""
        known = self._truth.documents.from_origin(self._collection.id, origin)
        if known is not None and (known.sha256, known.title, known.metadata) == (
            sha256, parsed.document.title, metadata,
        ) and self._truth.documents.text(known.id) == parsed.document.text:  # fmt: skip
            return told(known, "unchanged")
        place = _Place(origin, name, known)
        document, embedded = self._put(_Entry(place, parsed, metadata, sha256, size, original))
        return told(document, place.status, embedded)

    def _recut(self, parsed: Parsed) -> Parsed:
        """The document with the passages that this ingest's own parser makes of it, if there is one."""
        if self._cut is None:
            return parsed
        return replace(parsed, slices=placed(parsed.document, list(self._cut(parsed.document.text))))

    def put_page(self, page: Fetched) -> IngestEvent:
        """Put in what an address gave: it is known by the address, and every citation names it and the day."""
        known = self._truth.documents.from_origin(self._collection.id, page.address)
        digest = hashlib.sha256(page.data).hexdigest()
        if known is not None and known.sha256 == digest:
            return _numbered(told(known, "unchanged"), 1, 1)
        try:
            parsed = self._recut(self._pool.submit(page.data, page.file).result())
        except DocumentError as error:
            return _numbered(failure(page.name, error, Path()), 1, 1)
        parsed = Parsed(*located(parsed.document, parsed.slices, page.place))
        noted = {**_language(parsed), "fetched": page.day, **self._noted}
        place = _Place(page.address, page.name, known)
        document, embedded = self._put(_entry(place, parsed, noted, digest, page.data))
        return _numbered(told(document, place.status, embedded), 1, 1)

    def _put(self, entry: _Entry) -> tuple[Document, int]:
        return self._put_all([entry])[0]

    def _put_all(self, entries: Sequence[_Entry]) -> list[tuple[Document, int]]:
        """Embed what is new of these documents, and store them; each, and how many of its texts were embedded."""
        if not entries:
            return []
        keys = [[text_key(_index_text(entry.parsed, piece)) for piece in entry.parsed.slices] for entry in entries]
        vectors = self._vectors(list(dict.fromkeys(key for own in keys for key in own)))
        missing: dict[bytes, tuple[Parsed, Slice]] = {}
        embedded = []
        for entry, own in zip(entries, keys, strict=True):
            before = len(missing)
            for key, piece in zip(own, entry.parsed.slices, strict=True):
                if key not in vectors:
                    missing.setdefault(key, (entry.parsed, piece))
            embedded.append(len(missing) - before)
        new = list(missing)
        for at in range(0, len(new), _EMBEDDED_TOGETHER):
            some = new[at : at + _EMBEDDED_TOGETHER]
            vectors.update(zip(some, self._embed([_index_text(*missing[key]) for key in some]), strict=True))
        for entry in entries:
            if entry.place.known is not None and len(self._retired) < _REMEMBERED:
                self._retired |= self._truth.vectors.of_document(self._collection.generation, entry.place.known.id)
        documents = self._truth.documents.put_all(
            self._collection, [_new(*given, vectors) for given in zip(entries, keys, strict=True)]
        )
        return list(zip(documents, embedded, strict=True))

    def _vectors(self, keys: Sequence[bytes]) -> dict[bytes, Vector]:
        """Those that are known."""
        vectors = self._truth.vectors.known(self._collection.generation, keys)
        return vectors | {key: self._retired[key] for key in keys if key not in vectors and key in self._retired}


def _new(entry: _Entry, keys: Sequence[bytes], vectors: Mapping[bytes, Vector]) -> NewDocument:
    """What is to be stored of a document; all that it needs is among the vectors."""
    place = entry.place
    passages = [
        NewPassage(piece.start, piece.end, piece.page, piece.heading, key, piece.places)
        for piece, key in zip(entry.parsed.slices, keys, strict=True)
    ]
    return NewDocument(
        place.origin,
        place.name,
        entry.parsed.document,
        passages,
        {key: vectors[key] for key in keys},
        sha256=entry.sha256,
        size=entry.size,
        original=entry.original,
        replaces="" if place.known is None else place.known.origin,
        metadata=entry.metadata,
        signature=entry.signature,
        claim=entry.claim,
    )


def _entry(
    place: _Place, parsed: Parsed, metadata: Mapping[str, Any], sha256: str, data: bytes, signature: str = "",
    claim: Claim | None = None,
) -> _Entry:  # fmt: skip
    """What was read from ``data``, which are kept where a page is to be drawn from them."""
    original = data if parsed.document.media_type == "application/pdf" else None
    return _Entry(place, parsed, metadata, sha256, len(data), original, signature, claim)


def _index_text(parsed: Parsed, piece: Slice) -> str:
    document = parsed.document
    return index_text(document.title, piece.heading, document.text[piece.start : piece.end])


def _modified(path: Path) -> dict[str, str]:
    try:
        return {"modified": datetime.fromtimestamp(path.stat().st_mtime, UTC).date().isoformat()}
    except (OSError, ValueError, OverflowError):
        return {}


def failure(source: str, error: DocumentError, path: Path) -> IngestEvent:
    """The event of a file that did not get in."""
    return IngestEvent(source, "failed", 0, 0, error=str(error), hint=error.hint, code=error.code, path=str(path))


def told(document: Document, status: IngestStatus, embedded: int = 0, path: str = "") -> IngestEvent:
    """The event of a document, of which so many texts were embedded; not numbered."""
    return IngestEvent(
        document.source, status, 0, 0, document.passages, document.pages, document.empty_pages, embedded, path=path
    )


def _language(parsed: Parsed) -> dict[str, str]:
    """What is noted of a document's language, where it can be told."""
    language = language_of(parsed.document.text)
    return {"language": language} if language else {}


def _numbered(event: IngestEvent, done: int, total: int) -> IngestEvent:
    return replace(event, done=done, total=total)
