"""``Library``: the one object that scripts, the command line and the page hold."""

from __future__ import annotations

import copy
import json
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, aclosing, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Any

from rag.accounts import Access, Accounts, OwnConversations
from rag.arguments import expecting
from rag.config import OF_A_FOLDER, Config, load_config
from rag.doctor import examine, index_facts, notices
from rag.documents import SPLITTER_VERSION, ParserPool, Recognition
from rag.encode import Filler
from rag.errors import (
    ArgumentError,
    ConfigError,
    DocumentError,
    LibraryLocked,
    ModelError,
    NotAllowed,
    PathError,
    QuestionError,
    RagError,
    StoreError,
    UnknownCollection,
    UnknownSource,
)
from rag.filters import chosen, unread
from rag.ingest import Cut, Ingestor, Read, SameName, failure, passage_size
from rag.models.choose import QUOTES, ModelRegistry, embedder_info
from rag.models.deferred import defer
from rag.platform.files import real_path
from rag.proof import KnownDocument, text_hash
from rag.store.backends import (
    FILLING,
    is_database,
    open_accounts,
    open_election,
    open_tables,
    open_truth,
    restore,
    salvage,
)
from rag.store.dense import DenseIndex
from rag.store.lock import WriterLock, prepare_folder
from rag.store.move import MoveEvent
from rag.store.move import copy as copy_library
from rag.store.move import finish as finish_copy
from rag.store.truth import Claim, Collection, Conversations, DeadLetter, Job, QueueFacts, Settings, Truth, User
from rag.sync import (
    Mirror,
    MirroredFolder,
    SyncedFolder,
    changes,
    foretold,
    forget,
    mirrored,
    remember,
    synced_folders,
    unless_refused,
)
from rag.types import (
    Answer,
    AnswerEvent,
    Check,
    CitedDocument,
    Document,
    Done,
    EncodeEvent,
    Heading,
    Hit,
    IndexFacts,
    IngestEvent,
    IngestReport,
    Place,
    ReindexEvent,
    Repair,
    Said,
    UnreadFile,
)
from rag.workers import LEASE_SECONDS, QueuedIngestor, Worker

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from llama_index.core.llms.llm import LLM
    from llama_index.core.node_parser import NodeParser
    from llama_index.core.readers.base import BaseReader
    from llama_index.core.schema import Document as LlamaDocument

    from rag.answer.engine import AnswerEngine
    from rag.answer.llama import CitedQueryEngine, PassageRetriever
    from rag.encode import PassageEncoder
    from rag.models.choose import Choice
    from rag.models.embed import Embedder
    from rag.retrieve import HybridRetriever
    from rag.transfer import Moved


_LLM = "chosen-llm"
_RECOGNISED = "recognised"
_IN_HAND = "in-hand"
_COMPARED = 8
"""Questions that a copied collection is asked, about so many of its documents."""

_ENGINES = 8
"""Query engines kept ready: one for each collection and choice of documents that was asked lately."""


@expecting(question=QuestionError, text=QuestionError, collection=UnknownCollection, history=None)
class Library:
    """A folder of documents, passages, vectors and conversations, and what answers from it.

    Thread-safe. Use it as a context manager, or call ``close``. One process at a time writes; when another one
    holds the library, it is opened for reading (``writable`` is False) unless ``write=True`` was asked.
    """

    def __init__(
        self,
        config: Config,
        truth: Truth,
        lock: WriterLock | None,
        llm: LLM | None,
        embed_model: Embedder | None,
        encoder: Embedder | None = None,
        node_parser: NodeParser | None = None,
    ) -> None:
        self._node_parser = node_parser
        self.config = config
        self._truth = truth
        self._lock = lock
        self._models = ModelRegistry(config, llm, embed_model, encoder)
        self._dense = _dense(config, truth)
        self._lexical = truth.lexical
        self._guard = threading.RLock()
        self._passage_encoder: PassageEncoder | None = None
        self._filler = Filler(
            self._encoder,
            lambda: [collection.id for collection in truth.collections.list()],
            open_election(truth, FILLING) if config.database and truth.writer else None,
        )
        self._ingesting = threading.Lock()
        self._reindexing = threading.Lock()
        self._pools: dict[tuple[int, int], ParserPool] = {}
        self._engines: dict[tuple[object, ...], AnswerEngine] = {}
        self._accounts: Accounts | None = None
        self._sharing = False
        self._beside = ExitStack()
        self._whole = self
        self._access: Access | None = None
        self._choices: dict[tuple[object, ...], npt.NDArray[np.int64]] = {}

    @classmethod
    def open(
        cls,
        path: Path | str | None = None,
        *,
        config: Config | None = None,
        llm: LLM | str | None = None,
        embed_model: Embedder | None = None,
        encoder: Embedder | str | None = None,
        write: bool | None = None,
        node_parser: NodeParser | None = None,
        **settings: Any,
    ) -> Library:
        """Open the library in ``path`` (default: the configured folder); ``settings`` override the configuration.

        ``llm`` and ``encoder`` are names as in the settings or, like ``embed_model``, any LlamaIndex model.
        ``write``: True raises LibraryLocked when another process writes, False opens for reading only, None writes if
        it can. ``node_parser``, any that cuts texts and does not change them, cuts the documents that go in from now on
        in place of this program's own splitter.
        A ``postgresql://`` address as ``path`` is a library in that database, which any number of processes may write.
        Raises ConfigError for an unknown or wrong setting, LibraryFormat or StoreError for what cannot be used.
        """
        defer()
        base = load_config() if config is None else config
        name, model = (llm, None) if isinstance(llm, str) else (None, llm)
        encoder_name, encoder_model = (encoder, None) if isinstance(encoder, str) else (None, encoder)
        if path is not None and is_database(path):
            settings["database"] = path
        elif path is not None:
            settings = {**OF_A_FOLDER, **settings, "library": Path(path)}
        config = base.with_(llm=name, encoder=encoder_name, **settings)
        if not config.database and (config.chroma or config.queue):
            what = "chroma" if config.chroma else "queue"
            raise ConfigError(
                f"{what} is for a library in a database, and no database is set.",
                hint=f"Set database to a postgresql:// address, or leave {what} out: a folder needs none.",
            )
        folder = config.library_path
        with ExitStack() as undo:
            lock = None if config.database else WriterLock.wanted(folder, write)
            if lock is not None:
                undo.callback(lock.release)
            if config.database:
                prepare_folder(folder)
                truth = open_truth(config.database, writer=write is not False)
            else:
                truth = open_truth(folder, writer=lock is not None)
            undo.callback(truth.close)
            library = cls(config, truth, lock, model, embed_model, encoder_model, node_parser)
            undo.pop_all()
        return library

    def __enter__(self) -> Library:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Finish pending index writes, end child processes, release the lock. May be called twice.

        In a process forked since it was opened, it lets go of the lock's copy and touches nothing else.
        """
        if self._whole is not self:
            return  # one user's view of it
        if self._truth.inherited:
            if self._lock is not None:
                self._lock.release()
            return
        self._filler.close()
        with self._guard, ExitStack() as stack:
            if self._lock is not None:
                stack.callback(self._lock.release)
            stack.callback(self._truth.close)
            stack.callback(self._dense.close)
            stack.callback(self._models.close)
            stack.callback(self._beside.close)
            for pool in self._pools.values():
                stack.callback(pool.close)
            self._pools, self._lock = {}, None

    @property
    def writable(self) -> bool:
        """Whether this process may change the library."""
        return self._truth.writer

    @property
    def accounts(self) -> Accounts:
        """Who may sign in; they can be changed while another process writes documents. Not for a user's view."""
        self._for_administrators("accounts")
        whole = self._whole
        with self._guard:
            if whole._accounts is None:
                rows = self._truth.accounts
                if not self._truth.writer:
                    rows = whole._beside.enter_context(open_accounts(self._truth.address))
                whole._accounts = Accounts(rows)
            return whole._accounts

    def for_user(self, user: User) -> Library:
        """This library as a user sees it: the collections that are theirs, shared with them or public, and their own
        conversations; to everything else it answers as if it were not there.

        It shares all that this one holds and needs no closing. What the user may do is asked anew at each call; what
        goes further raises NotAllowed. Files and folders of the server can't be put in through it, only what was
        uploaded.
        """
        view = copy.copy(self._whole)
        view._access = self._whole.accounts.access(user)
        return view

    def expect_administrator(self) -> None:
        """Raise NotAllowed in the view of a user who is no administrator."""
        if self._access is not None:
            self._access.expect_admin()

    @property
    def conversations(self) -> Conversations:
        """The conversations kept in this library; in a user's view, theirs."""
        kept = self._truth.conversations
        return kept if self._access is None else OwnConversations(kept, self._access.owner)

    @property
    def collections(self) -> Collections:
        """The collections of this library."""
        return Collections(self._truth, self._dense, self._models, self.config, self._require_writer, self._access)

    @property
    def path(self) -> Path:
        """The library's folder."""
        return self.config.library_path

    def ingest(
        self,
        paths: Sequence[Path | str] | Path | str,
        *,
        collection: str | None = None,
        same_name: SameName | None = None,
        uploads: bool = False,
        metadata: Mapping[str, Any] | None = None,
        reader: BaseReader | Mapping[str, BaseReader] | None = None,
    ) -> IngestReport:
        """Put files or folders in; unchanged files are skipped. Raises PathError for a missing path.

        A file that cannot be read becomes an event with its reason in the report; the others go on. A file is known by
        its path and replaces nothing that came from elsewhere, unless ``same_name`` is "replace"; "ask" makes it fail
        with the code ``same-name`` where there is a document of its name. ``uploads`` are known by the name they came
        with, and without ``same_name`` they ask. ``metadata``, JSON values, are noted of every file, also of one that
        did not change. ``reader`` is a reader of LlamaIndex that gets every file, or one for each suffix (".abc"); it
        runs in this process, not in a confined child.
        """
        started = time.perf_counter()
        events = tuple(
            self.ingest_events(
                paths, collection=collection, same_name=same_name, uploads=uploads, metadata=metadata, reader=reader
            )
        )
        return IngestReport(events, time.perf_counter() - started)

    def ingest_events(
        self,
        paths: Sequence[Path | str] | Path | str,
        *,
        collection: str | None = None,
        same_name: SameName | None = None,
        uploads: bool = False,
        metadata: Mapping[str, Any] | None = None,
        reader: BaseReader | Mapping[str, BaseReader] | None = None,
        stop: threading.Event | None = None,
    ) -> Generator[IngestEvent, None, None]:
        """Like ``ingest``, an event a file as it ends. Closing the generator stops after the file in hand.

        With the setting ``queue`` workers read the files, and this follows them; once ``stop`` is set it no longer
        does, and they are read all the same.
        """
        if not uploads:
            self._for_administrators("files of the server", ever=False)
        listed = [paths] if isinstance(paths, Path | str) else list(paths)
        noted = _jsonable(metadata or {})
        way: SameName = same_name or ("ask" if uploads else "keep")
        with self._ingestor(collection, way, noted, _reading(reader), stop=stop) as (target, ingestor):
            yield from self._caught_up(target, ingestor.events(listed, uploads=uploads))

    def ingest_address(
        self,
        address: str,
        *,
        private: bool = False,
        collection: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> IngestReport:
        """Fetch one page of the web and put it in; it is known by its address, and cited with it and the day.

        Nothing is fetched but this: no pictures, no links. ``private`` allows addresses of this machine and network. A
        page that cannot be fetched or read is an event with its reason.
        """
        from rag.documents.address import fetch

        self._for_administrators("addresses fetched by the server", ever=False)
        started = time.perf_counter()
        with self._ingestor(collection, metadata=_jsonable(metadata or {})) as (target, ingestor):
            try:
                event = ingestor.put_page(fetch(address, self.config.limits, private=private))
            except DocumentError as error:
                event = replace(failure(address, error, Path()), done=1, total=1)
            events = tuple(self._caught_up(target, iter([event])))
        return IngestReport(events, time.perf_counter() - started)

    def add(
        self,
        item: str | bytes | LlamaDocument,
        *,
        source: str | None = None,
        title: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        collection: str | None = None,
    ) -> Document:
        """Put in what a program has: a text, a file's bytes, or a LlamaIndex ``Document``.

        It is known by ``source`` and replaces what was added by that name before. Bytes are read by its suffix, texts
        as Markdown or HTML where it says so and else as plain text. ``metadata`` are JSON values to choose documents
        by, see ``search``. A LlamaIndex document brings its own, and its ``file_name`` or id is the source unless one
        is given. Raises DocumentError for what cannot be read, StoreError for a missing name or metadata that are no
        JSON.
        """
        data, parse_as, source, noted = _taken(item, source, metadata)
        with self._ingestor(collection) as (target, ingestor):
            document, status = ingestor.add(data, parse_as, source, title, noted)
        if self._access is not None and status != "unchanged":
            self._access.note("document-added", f"{target.name}: {document.source}")
        return document

    def describe(self, source: str, metadata: Mapping[str, Any], collection: str | None = None) -> Document:
        """Note other metadata of a document. Raises UnknownSource, and StoreError for what is no JSON."""
        self._require_writer()
        target = self._editable(collection)
        document = self.document(source, collection)
        return self._truth.documents.describe(target.id, document.id, _jsonable(metadata))

    def sync(
        self, folder: Path | str, *, collection: str | None = None, include: Sequence[str] | None = None,
        exclude: Sequence[str] | None = None, dry_run: bool = False, allow_deletions: bool = False,
    ) -> IngestReport:  # fmt: skip
        """Make the collection mirror a folder: see ``sync_events``."""
        started = time.perf_counter()
        events = self.sync_events(
            folder, collection=collection, include=include, exclude=exclude, dry_run=dry_run,
            allow_deletions=allow_deletions,
        )  # fmt: skip
        return IngestReport(tuple(events), time.perf_counter() - started)

    def sync_events(
        self, folder: Path | str, *, collection: str | None = None, include: Sequence[str] | None = None,
        exclude: Sequence[str] | None = None, dry_run: bool = False, allow_deletions: bool = False,
        stop: threading.Event | None = None,
    ) -> Generator[IngestEvent, None, None]:  # fmt: skip
        """Add, update, move and remove documents until the collection mirrors the folder, an event a document.

        ``include`` and ``exclude`` are patterns as in a ``.gitignore``, and so is a ``.ragignore`` in any folder; None
        means as the folder was synced before. A file that was renamed or moved is not embedded again. ``dry_run`` tells
        and changes nothing; ``stop`` as in ``ingest_events``. Raises PathError for what is no folder, and unless
        ``allow_deletions`` when the folder is empty or more than half of its documents are gone.
        """
        self._for_administrators("folders of the server", ever=False)
        place = str(real_path(Path(folder), there=False))
        if dry_run:
            known = self.collections.named(collection)
            wanted = _chosen(known, place, include, exclude)
            documents = () if known is None else self._truth.documents.list(known.id)
            yield from foretold(wanted, self.config.limits, documents, allow_deletions=allow_deletions)
            return
        with self._ingestor(collection, stop=stop) as (target, ingestor):
            wanted = _chosen(target, place, include, exclude)
            events = Mirror(self._truth, target, wanted, self.config.limits).events(
                ingestor, allow_deletions=allow_deletions
            )
            if Path(place).is_dir():
                remember(self._truth, target, wanted)
            yield from self._caught_up(target, events)

    def watch(
        self, folders: Sequence[Path | str] | None = None, *, stop: threading.Event, collection: str | None = None
    ) -> Generator[IngestEvent, None, None]:
        """Keep the collection a mirror of these folders (default: all that were synced) until ``stop`` is set.

        An event for each document that changes; a folder that is refused is one that failed, and the watch goes on.
        """
        self._for_administrators("folders of the server", ever=False)
        target = self.collections.get(collection)
        known = synced_folders(target)
        wanted = (
            known
            if folders is None
            else tuple(_chosen(target, str(real_path(Path(f), there=False)), None, None) for f in folders)
        )
        if not wanted:
            raise PathError("No folder was synced yet.", hint="`rag sync FOLDER` begins it.")
        mirrors = {folder.path: Mirror(self._truth, target, folder, self.config.limits) for folder in wanted}
        for batch in changes(list(mirrors), stop):
            for path, changed in batch.items():
                with self._ingestor(collection, stop=stop) as (_, ingestor):
                    events = unless_refused(mirrors[path].events(ingestor, changed=changed), path)
                    for event in self._caught_up(target, events):
                        if event.status != "unchanged":
                            yield event
                if stop.is_set():
                    return

    def work(self, stop: threading.Event, *, until_empty: bool = False) -> Generator[IngestEvent, None, None]:
        """Read the files that wait in the queue, of every collection, until ``stop`` is set, or with ``until_empty``
        until nothing waits; an event a document. Any number of processes may, on any machine.

        What goes wrong beside a file (no model, no room) is tried again, later each time, and given up in the end; a
        database that is away is waited for. Raises StoreError for a library in a folder.
        """
        self._for_administrators("the queue", ever=False)
        self._require_writer()
        self._expect_database()

        def ingesting(job: Job, claims: Mapping[Path, Claim]) -> AbstractContextManager[tuple[Collection, Ingestor]]:
            return self._ingestor(job.collection, _same_name(job.same_name), job.metadata, claims=claims)

        yield from Worker(self._truth, self.path / _IN_HAND, ingesting).events(stop, until_empty=until_empty)

    def queue(self) -> tuple[QueueFacts, tuple[DeadLetter, ...]]:
        """How the queue of files stands, and the files that were given up. Raises StoreError for a folder."""
        self._for_administrators("the queue", ever=False)
        self._expect_database()
        return self._truth.jobs.facts(LEASE_SECONDS), self._truth.jobs.dead()

    def settle_queue(self, *, again: bool) -> int:
        """Have the files that were given up tried ``again``, or forget them; how many they are."""
        self._for_administrators("the queue", ever=False)
        self._require_writer()
        self._expect_database()
        return self._truth.jobs.revive() if again else self._truth.jobs.bury()

    def _expect_database(self) -> None:
        if not self.config.database:
            raise StoreError(
                f"The library {self.config.library_place} is a folder: whoever writes it reads the files, there is no"
                " queue.",
                hint="Keep the library in PostgreSQL (RAG_DATABASE, or `rag move`) to have workers.",
            )

    def folders(self, collection: str | None = None) -> tuple[MirroredFolder, ...]:
        """The folders that a collection mirrors, by path. ``sync`` brings one in step, ``forget_folder`` ends it."""
        self._for_administrators("folders of the server", ever=False)
        target = self.collections.get(collection)
        return mirrored(self._truth, target)

    def forget_folder(self, path: str, collection: str | None = None) -> None:
        """Mirror a folder no longer; its documents stay. Raises PathError for one that is not mirrored."""
        self._require_writer()
        self._for_administrators("folders of the server", ever=False)
        forget(self._truth, self.collections.get(collection), path)

    def encode_events(self, collection: str | None = None) -> Generator[EncodeEvent, None, None]:
        """Have the encoder see, on every core, the texts of a collection that it has not seen yet, an event a batch.

        The background does the same on one core. Nothing where the encoder is off. Raises ModelError, DiskFull; what is
        done stays done.
        """
        self._require_writer()
        self._for_administrators("models")
        encoder = self._encoder()
        if encoder is not None:
            yield from encoder.fill(self.collections.get(collection).id, hurried=True)

    def reindex_events(
        self, embedder: str | None = None, collection: str | None = None
    ) -> Generator[ReindexEvent, None, None]:
        """Embed a collection anew with ``embedder``, named as in the settings; resumable, see ``rag.reindex``.

        Without a name: with that of an unfinished reindex, else the configured one. The old vectors serve, and
        documents go in, until the new ones are complete. Raises ModelError and keeps what is done.
        """
        from rag.models.embed import embed_documents
        from rag.reindex import reindex, wanted_embedder

        self._require_writer()
        self._for_administrators("models")
        with self._reindexing:
            target = self.collections.get(collection)
            name = embedder or wanted_embedder(self._truth, target, self.config.embedder)
            model, _ = self._models.new_embedder(name)
            embed = partial(embed_documents, model)
            yield from reindex(self._truth, target, partial(embedder_info, model), embed, quiet=self._ingesting)
            self._dense.sync(self.collections.get(collection))

    def compact(self) -> None:
        """Give removed documents' space back: no text of theirs stays in the files; nor vectors, in a new process."""
        self._require_writer()
        self._for_administrators("the library's files", ever=False)
        encoder = self._encoder()
        self._truth.encodings.drop_others(encoder.tag if encoder is not None else "")
        rmtree(self.path / _RECOGNISED, ignore_errors=True)
        self._truth.compact()
        self._dense.compact()

    def backup(self, target: Path | str) -> int:
        """Copy the library, as it is at one moment, into one file; its size in bytes. Documents may go in meanwhile.

        Raises StoreError when the file exists or cannot be written, DiskFull. ``Library.restore`` puts it back.
        """
        self._for_administrators("the library's files", ever=False)
        return self._truth.backup(Path(target))

    def export(self, folder: Path | str, gold: Sequence[Path | str] = ()) -> Moved:
        """Write everything but vectors and indexes into a new folder, as plain JSON lines and files (``rag.transfer``
        has the format), with copies of these ``gold`` sets. Accounts, and the conversations that are theirs, stay.
        Raises StoreError."""
        from rag.transfer import export

        self._for_administrators("the library's files", ever=False)
        return export(self._truth, Path(folder), [Path(path) for path in gold])

    def import_events(self, folder: Path | str) -> Generator[IngestEvent, None, None]:
        """Put in what ``export`` wrote, an event a document, and then the conversations and settings.

        What is there already is passed over, so that it goes on when it is done again. Texts, passages and places are
        as they were; vectors are made by each collection's embedder here. Raises StoreError for what is no export.
        """
        from rag.transfer import Incoming

        self._for_administrators("the library's files", ever=False)
        self._require_writer()
        incoming = Incoming(Path(folder), self.config.limits)
        yield from incoming.events(self._ingestor)
        incoming.finish(self._truth)

    @staticmethod
    def restore(source: Path | str, path: Path | str, *, replace: bool = False) -> None:
        """Make a backup the library in the folder ``path``; with ``replace`` one that is there is kept by another name.

        The index is made anew when the library is opened; nothing is embedded. Raises LibraryLocked while another
        process writes there, StoreError, LibraryFormat, LibraryDamaged; nothing is changed then.
        """
        with WriterLock.acquire(Path(path)):
            restore(Path(source), Path(path), replace=replace)

    @classmethod
    def repair(cls, config: Config) -> Repair:
        """Write a damaged library anew from all that can be read of it; vectors that are lost or damaged are embedded
        again. A library that is sound is left as it is.

        Raises LibraryLocked while another process writes, LibraryDamaged when nothing can be read, ModelError when
        vectors were lost and their embedder is not there (the next repair goes on).
        """
        from rag.models.embed import embed_documents
        from rag.reindex import fill

        if config.database:
            raise StoreError(
                f"{config.library_place} is a database: what is damaged in it is not mended here.",
                hint="Restore it from a dump; `rag reindex` computes vectors anew.",
            )
        models = ModelRegistry(config, None, None)
        vectors = 0
        try:
            with WriterLock.acquire(config.library_path):
                done = _as_it_is(config.library_path)
                if done is None:
                    embedder, _ = models.embedder(None)
                    saved = salvage(config.library_path, embedder_info(embedder))
                    done = Repair(saved.documents, saved.conversations, saved.lost, saved.kept)
            with cls.open(config=config, write=True) as library:
                for target in library._truth.collections.list():
                    if library._truth.vectors.unsound(target.generation):
                        library._truth.vectors.drop_unsound(target.generation)
                        model, _ = models.embedder(target.embedder.name)
                        vectors += sum(fill(library._truth, target.generation, partial(embed_documents, model)))
                library._dense.sync()
        finally:
            models.close()
        return replace(done, vectors=vectors)

    def sources(self, collection: str | None = None) -> tuple[Document, ...]:
        """The documents of a collection, by name."""
        return self._truth.documents.list(self.collections.get(collection).id)

    def unread(self, collection: str | None = None) -> tuple[UnreadFile, ...]:
        """The files of ingested and mirrored folders that were found and could not be read, by name, with the reason.

        A file stays among them until it is read, or is gone from its folder, when that is ingested again.
        """
        return self._truth.documents.unread(self.collections.get(collection).id)

    def document(self, source: str, collection: str | None = None) -> Document:
        """The current document of a source, by the name it is shown by or by where it came from.

        Raises UnknownSource.
        """
        target = self.collections.get(collection)
        found = self._truth.documents.get(target.id, source) or self._truth.documents.from_origin(target.id, source)
        if found is None:
            raise UnknownSource(
                f"There is no document {source!r} in the collection {target.name!r}.",
                hint="`rag sources` lists the documents.",
            )
        return found

    def remove(self, source: str, collection: str | None = None) -> None:
        """Remove a document from every store. Raises UnknownSource."""
        self._require_writer()
        target = self._editable(collection)
        self._truth.documents.remove(target.id, self.document(source, collection).source)
        self._dense.sync(target)
        if self._access is not None:
            self._access.note("document-removed", f"{target.name}: {source}")

    def text(self, document_id: int) -> str:
        """A document's canonical text; citations' offsets refer to it. Raises UnknownSource."""
        self._expect_readable(document_id)
        return self._truth.documents.text(document_id)

    def layout(self, document_id: int) -> tuple[tuple[Heading, ...], tuple[Place, ...]]:
        """A document's headings and places (pages, slides, rows, ...)."""
        self._expect_readable(document_id)
        return self._truth.documents.layout(document_id)

    def original(self, document_id: int) -> bytes | None:
        """The original file, kept for PDFs; None for other formats."""
        self._expect_readable(document_id)
        return self._truth.documents.original(document_id)

    def search(
        self, question: str, k: int | None = None, collection: str | None = None, *,
        sources: Sequence[str] = (), where: Mapping[str, Any] | None = None,
    ) -> tuple[Hit, ...]:  # fmt: skip
        """The best ``k`` passages (default: the setting ``top_k``), best first, of all documents or of the chosen ones.

        ``sources`` are names of documents, or patterns with ``*``; ``where`` are conditions on what is known of them,
        such as ``{"year": 2024, "folder": "hr", "added": {"gte": "2024-01-01"}}`` (``rag.filters.chosen``).
        Raises QuestionError, UnknownSource.
        """
        target = self.collections.get(collection)
        retriever = self._retriever(target, self._within(target, sources, where))
        return tuple(retriever.hits(self._checked(question), k))

    def ask(
        self, question: str, *, history: Sequence[Said] = (), collection: str | None = None,
        sources: Sequence[str] = (), where: Mapping[str, Any] | None = None,
    ) -> Answer:  # fmt: skip
        """Answer a question, from the documents that ``search`` would choose.

        ``history`` are the exchanges before it: ``Turn``, pairs (user, bot), or ``{"role", "content"}`` messages.

        Raises QuestionError, UnknownCollection, UnknownSource, or ModelError when the model fails.
        """
        events = self.stream(question, history=history, collection=collection, sources=sources, where=where)
        return next(event.answer for event in events if isinstance(event, Done))

    def stream(
        self, question: str, *, history: Sequence[Said] = (), collection: str | None = None,
        sources: Sequence[str] = (), where: Mapping[str, Any] | None = None,
    ) -> Generator[AnswerEvent, None, None]:  # fmt: skip
        """Answer a question as events, ending with ``Done``. Closing the generator stops the model.

        ``Token`` texts number the passages as ``Retrieved`` listed them; ``Done`` holds the checked answer with
        citations numbered in order of appearance.
        """
        engine = self._answering(collection, sources, where)
        for event in engine.stream(self._checked(question), history):
            if isinstance(event, Done):
                within = self._within(self.collections.get(collection), sources, where)
                event = Done(self._completed(event.answer, collection, nothing=within is not None and not len(within)))
            yield event

    def retriever(
        self, collection: str | None = None, *, sources: Sequence[str] = (), where: Mapping[str, Any] | None = None
    ) -> PassageRetriever:
        """The LlamaIndex retriever behind ``search``, over the chosen documents."""
        target = self.collections.get(collection)
        found_by = self._retriever(target, self._within(target, sources, where))
        with self._models.importing:
            from rag.answer.llama import PassageRetriever
        return PassageRetriever(found_by)

    def verify(self, text: str, collection: str | None = None) -> Answer:
        """Hold sentences against the documents, without a model: how each is supported, and by which characters.

        Raises QuestionError when ``text`` is empty or longer than a question may be.
        """
        return self._proven(self._answering(collection).verify(self._checked(text)), collection)

    def known_documents(self) -> Iterator[KnownDocument]:
        """Every document of every collection with its text, to check exported answers against (``rag.proof``)."""
        for collection in self.collections.names():
            for document in self.sources(collection):
                yield KnownDocument(document.source, document.sha256, self.text(document.id))

    def embed(self, texts: Sequence[str], collection: str | None = None) -> npt.NDArray[np.float32]:
        """Unit vectors, a row a text, of the collection's embedder. Raises ModelError."""
        from rag.models.embed import embed_documents

        embedder, _ = self._models.embedder(self.collections.get(collection).embedder.name)
        return embed_documents(embedder, texts)

    def _completed(self, answer: Answer, collection: str | None, *, nothing: bool) -> Answer:
        """The answer with its proof; where nothing was answered, with what could not be read, and whether there was
        ``nothing`` to search."""
        if nothing:
            answer = replace(
                answer, notices=(*answer.notices, "No document meets the conditions: nothing was searched.")
            )
        if answer.abstained and "retrieve" in answer.timings:  # a courtesy is not searched for
            answer = replace(answer, unread=unread(answer.asked, self.unread(collection)))
        return self._proven(answer, collection)

    def _proven(self, answer: Answer, collection: str | None) -> Answer:
        """The answer with what proves which version of each document it cites."""
        target = self.collections.get(collection)
        cited = {citation.document_id: citation.source for citation in answer.citations}
        found = ((number, self._truth.documents.get(target.id, source)) for number, source in sorted(cited.items()))
        documents = (
            CitedDocument(number, document.source, document.sha256, text_hash(self.text(number)))
            for number, document in found
            if document is not None and document.id == number
        )
        return replace(answer, documents=tuple(documents))

    def summary(self, source: str, collection: str | None = None) -> Answer:
        """What a document is about: the few of its sentences that tell most of it, each cited; no model is asked.

        Raises UnknownSource, and QuestionError for a document without whole sentences.
        """
        from rag.answer.summary import document_summary

        document = self.document(source, collection)
        passages = self._truth.passages.of(document.id)
        return self._proven(document_summary(f"What is “{document.source}” about?", passages), collection)

    async def aask(self, question: str, **given: Any) -> Answer:
        """``ask`` as a coroutine: the event loop goes on meanwhile, and cancelling it stops the model."""
        async with aclosing(self.astream(question, **given)) as events:
            async for event in events:
                if isinstance(event, Done):
                    return event.answer
        raise AssertionError("a stream ends with its answer")

    async def astream(self, question: str, **given: Any) -> AsyncGenerator[AnswerEvent, None]:
        """``stream`` as an asynchronous generator; closing or cancelling it stops the model."""
        from rag.models.foreign import in_thread

        async with aclosing(in_thread(lambda: self.stream(question, **given))) as events:
            async for event in events:
                yield event

    def query_engine(
        self,
        collection: str | None = None,
        *,
        sources: Sequence[str] = (),
        where: Mapping[str, Any] | None = None,
        **usual: Any,
    ) -> CitedQueryEngine:
        """The LlamaIndex query engine behind ``ask``, over the chosen documents.

        ``usual`` are LlamaIndex's own arguments: ``similarity_top_k``, ``node_postprocessors``, ``streaming``; others
        raise ConfigError.
        """
        answering = self._answering(collection, sources, where)
        with self._models.importing:
            from rag.answer.llama import CitedQueryEngine
        engine = CitedQueryEngine(answering)
        return engine.with_(**usual) if usual else engine

    def quoted(self, question: str, collection: str | None = None) -> Answer:
        """Answer a question by quoting, whatever model there is: quick, and the same for the same documents.

        Raises QuestionError, UnknownCollection.
        """
        engine = self._engine(collection, (), None, None, QUOTES)
        found = next(event.answer for event in engine.stream(self._checked(question), ()) if isinstance(event, Done))
        return self._proven(found, collection)

    def _answering(
        self, collection: str | None = None, sources: Sequence[str] = (), where: Mapping[str, Any] | None = None
    ) -> AnswerEngine:
        """The engine behind ``ask``, over the chosen documents."""
        llm, choice = self._models.llm()
        return self._engine(collection, sources, where, llm, choice.name)

    def _engine(
        self,
        collection: str | None,
        sources: Sequence[str],
        where: Mapping[str, Any] | None,
        llm: LLM | None,
        name: str,
    ) -> AnswerEngine:
        """The engine of a collection and a choice of its documents that answers with ``llm``, else by quoting."""
        self._models.load_soon()
        from rag.answer.build import build_engine

        target = self.collections.get(collection)
        revision = self._truth.collections.revision(target.id)
        asked = repr((sources, where))
        key = (target.id, revision, repr(sorted(target.settings.items())), id(llm), name, asked)
        with self._guard, self._models.importing:
            if key not in self._engines:
                if len(self._engines) >= _ENGINES:
                    self._engines.clear()
                self._engines[key] = build_engine(
                    self.config,
                    self._truth,
                    self._lexical,
                    target,
                    self._retriever(target, self._within(target, sources, where)),
                    llm,
                    name,
                    self._models.verifying,
                )
            return self._engines[key]

    @property
    def llm_choice(self) -> Choice:
        """Which model answers, and why. Raises ModelError when one was asked for by name and is not there."""
        return self._models.llm()[1]

    def use_llm(self, name: str) -> None:
        """Answer with ``auto``, ``quotes``, ``ollama:NAME`` or a bare name of Ollama's from now on.

        After ``share_choices`` every program that shares them does. Raises ConfigError or ModelError, and then keeps
        the model in use.
        """
        self._for_administrators("models")
        self._models.use_llm(name)
        if self._whole._sharing:
            self._truth.settings.set(_LLM, {"name": name, "setting": self.config.llm})

    @property
    def llm_wanted(self) -> str:
        """The model that was asked for, whether it is there or not: in the settings, or chosen since."""
        return self._models.wanted

    def share_choices(self) -> None:
        """From now on answer with the model that was chosen last in any page or server of a library in a database whose
        setting ``llm`` is the same. For a library in a folder nothing changes."""
        if self.shared is not None:
            self._whole._sharing = True
            self._models.follow(self._shared_llm)

    def _shared_llm(self) -> str | None:
        kept = self._truth.settings.get(_LLM) or {}
        return str(kept["name"]) if kept.get("setting") == self.config.llm else None

    @property
    def shared(self) -> Settings | None:
        """What the pages and servers of a library in a database tell each other; None for a library in a folder. Not in
        a user's view."""
        self._for_administrators("what pages tell each other", ever=False)
        return self._truth.settings if self.config.database else None

    @property
    def embedder_choice(self) -> Choice:
        """Which embedder the configured collection uses (or would use), and why."""
        known = self.config.collection in self.collections.names()
        return self._models.embedder(self.collections.get(None).embedder.name if known else None)[1]

    def warm_up(self) -> None:
        """Load the models and the indexes now, so that the first question does not wait. Raises ModelError."""
        llm, _ = self._models.llm()
        if self.config.collection in self.collections.names():
            self._answering()
            self.search("warm up", 1)
        if self.writable:
            self._filler.wake()
        warm = getattr(llm, "warm_up", None)
        if warm is not None:
            warm()

    def doctor(self) -> tuple[Check, ...]:
        """What is there and what is wrong, a line each."""
        self._for_administrators("the library's files", ever=False)
        return examine(self.config, self._truth, self._dense, self._models)

    @property
    def notices(self) -> tuple[str, ...]:
        """Sentences to show beside answers: an embedder that changed, a model's server on another machine."""
        seen = [self.collections.get(name) for name in self.collections.names()]
        return notices(self._truth, self._models, self._dense, seen)

    def index(self, collection: str | None = None) -> IndexFacts:
        """What a collection is searched with, and whether its index is sound. Raises UnknownCollection."""
        return index_facts(self._truth, self._dense, self.collections.get(collection), self._encoder())

    def fingerprint(self, collection: str | None = None) -> Mapping[str, Any]:
        """All that can change answers: models, options, prompts, corpus, splitter, versions; JSON-ready."""
        from rag.fingerprint import fingerprint

        target = self.collections.get(collection)
        return fingerprint(self.config, self._truth, target, self._models.llm()[0], self._models.llm()[1].name)

    def _checked(self, question: str) -> str:
        limit = self.config.limits.question_characters
        if not question.strip():
            raise QuestionError("The question is empty.", hint="Write a question about your documents.")
        if len(question) > limit:
            raise QuestionError(
                f"The question has {len(question)} characters; the limit is {limit}.",
                hint="Shorten it, or raise limits.question_characters.",
            )
        return question.strip()

    def _require_writer(self) -> None:
        self._truth.expect_own_process()
        if self._truth.writer:
            return
        holder = None if self.config.database else WriterLock.holder(self.path)
        if holder is None:
            raise LibraryLocked(
                f"The library {self.config.library_place} was opened for reading only.", hint="Open it with write=True."
            )
        raise LibraryLocked(f"{holder.program} (process {holder.pid}) writes to the library {self.path}.")

    def _editable(self, collection: str | None) -> Collection:
        """The collection, if its documents may be changed. Raises UnknownCollection, NotAllowed."""
        return self.collections.expect_editable(collection)

    def _expect_readable(self, document_id: int) -> None:
        """Raise UnknownSource for a document of a collection that the user may not know of."""
        if self._access is not None and not self._access.reads(self._truth.documents.collection_of(document_id)):
            raise UnknownSource(f"There is no document number {document_id}.", hint="It may have been removed.")

    def _for_administrators(self, what: str, *, ever: bool = True) -> None:
        """Raise NotAllowed in the view of a user who is no administrator; with ``ever`` False, in any user's view."""
        if self._access is not None and not ever:
            raise NotAllowed(f"Here nobody may change or read {what}.", hint="Use the command line on the server.")
        self.expect_administrator()

    @contextmanager
    def _ingestor(
        self, collection: str | None, same_name: SameName = "keep", metadata: Mapping[str, Any] | None = None,
        read: Read | None = None, claims: Mapping[Path, Claim] | None = None, stop: threading.Event | None = None,
    ) -> Iterator[tuple[Collection, Ingestor]]:  # fmt: skip
        """The collection, made if need be, and what puts files into it; nobody else in this process does meanwhile.
        Where there is a queue it takes the files, unless they are a worker's ``claims``."""
        from rag.models.embed import embed_documents

        self._require_writer()
        queued = self.config.queue and claims is None
        with nullcontext() if queued else self._ingesting:
            self.collections.ensure(collection)
            target = self._editable(collection)
            embedder, _ = self._models.embedder(target.embedder.name)
            embed = partial(embed_documents, embedder)
            pool = self._parser_pool(embedder)
            try:
                limits, cut = self.config.limits, self._cut
                given = (self._truth, target, embed, pool, limits, same_name, metadata, cut, read)
                yield target, QueuedIngestor(*given, stop=stop) if queued else Ingestor(*given, claims)
            finally:
                self._dense.sync(target)
                self._filler.wake()

    @property
    def _cut(self) -> Cut | None:
        """How documents are cut, where a parser was passed in."""
        if self._node_parser is None:
            return None
        from rag.models.foreign import cut_by

        return partial(cut_by, self._node_parser)

    def _caught_up(self, target: Collection, events: Iterator[IngestEvent]) -> Generator[IngestEvent, None, None]:
        """These events, the dense index following in the background."""
        embedded = 0
        for event in events:
            embedded += event.embedded
            if embedded and self._dense.catch_up(target, embedded):
                embedded = 0
            if self._access is not None and event.status in ("added", "updated"):
                self._access.note("document-added", f"{target.name}: {event.source}")
            yield event

    def _parser_pool(self, embedder: Embedder) -> ParserPool:
        size = passage_size(self.config, embedder)
        with self._guard:
            if size not in self._pools:
                recognition = Recognition(self.config.ocr, self.config.ocr_languages, self.path / _RECOGNISED)
                self._pools[size] = ParserPool(
                    self.config.limits, characters=size[0], overlap=size[1], recognition=recognition
                )
            return self._pools[size]

    def _within(
        self, target: Collection, sources: Sequence[str], where: Mapping[str, Any] | None
    ) -> npt.NDArray[np.int64] | None:
        """The passages of the chosen documents; None for all."""
        if not sources and not where:
            return None
        key = (target.id, self._truth.collections.revision(target.id), repr((sources, where)))
        with self._guard:
            known = self._choices.get(key)
        if known is None:
            documents = chosen(self._truth.documents.list(target.id), sources, where or {})
            known = self._truth.passages.numbers_in([document.id for document in documents])
            with self._guard:
                if len(self._choices) >= _ENGINES:
                    self._choices.clear()
                self._choices[key] = known
        return known

    def _retriever(self, target: Collection, within: npt.NDArray[np.int64] | None = None) -> HybridRetriever:
        from rag.retrieve import build_retriever

        embedder, _ = self._models.embedder(target.embedder.name)
        return build_retriever(
            self.config, self._truth, self._dense, self._lexical, target, embedder, self._encoder(), within
        )

    def _encoder(self) -> PassageEncoder | None:
        """What ranks the candidates; None when it is off. Raises ModelError when it cannot be used."""
        from rag.encode import PassageEncoder

        whole = self._whole
        with self._guard:
            if whole._passage_encoder is None:
                model = self._models.encoder()
                whole._passage_encoder = PassageEncoder(self._truth, model) if model is not None else None
            return whole._passage_encoder


def _same_name(told: str) -> SameName:
    """What a job of the queue says of documents of its name."""
    return "replace" if told == "replace" else "ask" if told == "ask" else "keep"


def _dense(config: Config, truth: Truth) -> DenseIndex:
    """The dense search of a library: with Chroma in its folder, with a server, or without either."""
    if config.chroma:
        return DenseIndex.on_server(truth, config.chroma, open_election(truth) if truth.writer else None)
    return DenseIndex.open(truth, None if config.database else config.library_path)


def _reading(reader: BaseReader | Mapping[str, BaseReader] | None) -> Read | None:
    """How files are read by a reader, or by the one for their suffix."""
    if reader is None:
        return None

    def read(path: Path) -> tuple[str, Mapping[str, Any]] | None:
        from rag.models.foreign import read_by

        chosen_one = reader.get(path.suffix.lower()) if isinstance(reader, Mapping) else reader
        return None if chosen_one is None else read_by(chosen_one, path)

    return read


def _as_it_is(folder: Path) -> Repair | None:
    """What a library that is sound, but perhaps for its vectors, holds; None for one that is not."""
    try:
        with open_truth(folder, writer=False) as truth:
            collections = truth.collections.list()
            if truth.facts().problems or any(truth.documents.damaged(one.id) for one in collections):
                return None
            documents = sum(len(truth.documents.list(one.id)) for one in collections)
            return Repair(documents, len(truth.conversations.list()))
    except RagError:
        return None


def move_library(source: str, target: str, *, config: Config) -> Iterator[MoveEvent]:
    """Copy the library in a folder or a database, named as for ``Library.open``, into another one that is empty or not
    there yet, an event a batch; nothing is embedded. In the end rows and answers are compared; run again, it goes on.

    Raises StoreError when the target holds a library or the two differ, LibraryLocked while a process writes to a
    folder.
    """
    with ExitStack() as stack:
        for place in (source, target):
            if not is_database(place):
                stack.enter_context(WriterLock.acquire(Path(place)))
        there = stack.enter_context(open_tables(_place(source), writer=False))
        here = stack.enter_context(open_tables(_place(target), writer=True))
        last = MoveEvent("", 0, 0)
        for last in copy_library(there, here):
            yield last
        alike = config.with_(**OF_A_FOLDER, encoder="off", llm=QUOTES)
        asked = _compared([_place(source), _place(target)], alike)
        finish_copy(here)
    yield replace(last, questions=asked)


def _place(place: str) -> Path | str:
    return place if is_database(place) else Path(place)


def _compared(places: Sequence[Path | str], config: Config) -> int:
    """How many questions two libraries were asked, and answered alike, by quoting; none where an embedder is not there.
    Raises StoreError for the first that they answer differently."""
    asked = 0
    with ExitStack() as stack:
        one, other = (
            stack.enter_context(Library(config, open_tables(place, writer=False), None, None, None)) for place in places
        )
        try:
            for name in one.collections.names():
                titles = [document.title for document in one.sources(name)]
                for title in list(dict.fromkeys(titles))[:: max(1, len(titles) // _COMPARED)]:
                    question = f"What is said about {title}?"[: config.limits.question_characters]
                    if _told(one.quoted(question, name)) != _told(other.quoted(question, name)):
                        raise StoreError(
                            f"The copy answers {question!r} differently.", hint="Empty the target, and move it again."
                        )
                    asked += 1
        except ModelError:
            return asked
    return asked


def _told(answer: Answer) -> tuple[object, ...]:
    """What an answer says, and by which characters of which documents."""
    cited = [(one.document_id, one.source, one.start, one.end) for one in answer.citations]
    return answer.text, answer.outcome, cited


def sync_events(
    library: Library | None, folder: str, *, config: Config, include: Sequence[str] | None,
    exclude: Sequence[str] | None, dry_run: bool, allow_deletions: bool, stop: threading.Event | None = None,
) -> Iterator[IngestEvent]:  # fmt: skip
    """``Library.sync_events``; without a library what it would do to an empty one, and nothing is made."""
    if library is None:
        wanted = _chosen(None, str(real_path(Path(folder), there=False)), include, exclude)
        return foretold(wanted, config.limits, (), allow_deletions=allow_deletions)
    return library.sync_events(
        folder, include=include, exclude=exclude, dry_run=dry_run, allow_deletions=allow_deletions, stop=stop
    )


def _taken(
    item: str | bytes | LlamaDocument, source: str | None, metadata: Mapping[str, Any] | None
) -> tuple[bytes, str, str, dict[str, Any] | None]:
    """What a program adds, as bytes, the name to read them by, the source and the metadata."""
    if not isinstance(item, str | bytes):
        if not isinstance(getattr(item, "metadata", None), Mapping):
            raise ArgumentError(
                f"Library.add takes a text, bytes or a LlamaIndex Document, not {type(item).__name__}.",
                hint="Read the file first, or put it in with `ingest`.",
            )
        own = {key: value for key, value in item.metadata.items() if isinstance(value, str | int | float | bool | list)}
        source, metadata, item = source or str(own.get("file_name") or item.id_), {**own, **(metadata or {})}, item.text
    if not source or not source.strip() or "\0" in source:
        raise StoreError("What is added needs a name.", hint="Give it one: add(..., source='notes.md').")
    noted = None if metadata is None else _jsonable(metadata)
    if isinstance(item, bytes):
        return item, source, source, noted
    marked = source.lower().endswith((".md", ".markdown", ".html", ".htm"))
    return item.encode("utf-8", "replace"), source if marked else f"{source}.txt", source, noted


def _jsonable(metadata: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return dict(json.loads(json.dumps(dict(metadata), allow_nan=False)))
    except (TypeError, ValueError) as error:
        raise StoreError(f"The metadata are no JSON values: {error}.", hint="Use text, numbers and lists.") from None


def _chosen(
    target: Collection | None, path: str, include: Sequence[str] | None, exclude: Sequence[str] | None
) -> SyncedFolder:
    """A folder with these patterns; where there are none, with those it was synced with before."""
    known = () if target is None else synced_folders(target)
    before = next((one for one in known if one.path == path), SyncedFolder(path))
    return SyncedFolder(
        path,
        before.include if include is None else tuple(include),
        before.exclude if exclude is None else tuple(exclude),
    )


@expecting(name=UnknownCollection, collection=UnknownCollection)
class Collections:
    """A library's collections, each a group of documents that is searched by itself."""

    def __init__(
        self, truth: Truth, dense: DenseIndex, models: ModelRegistry, config: Config, expect_writer: Callable[[], None],
        access: Access | None = None,
    ) -> None:  # fmt: skip
        self._truth = truth
        self._dense = dense
        self._models = models
        self._config = config
        self._expect_writer = expect_writer
        self._access = access

    def names(self) -> tuple[str, ...]:
        """Their names, in alphabetical order; in a user's view, of those that they may ask."""
        found = self._truth.collections.list()
        if self._access is not None:
            readable = self._access.readable()
            found = tuple(c for c in found if c.id in readable)
        return tuple(sorted(c.name for c in found))

    def get(self, name: str | None = None) -> Collection:
        """The collection of that name (default: the configured one). Raises UnknownCollection."""
        wanted = self._wanted(name)
        try:
            found = self._truth.collections.get(wanted)
        except UnknownCollection:
            if self._access is not None:
                raise self._unknown(wanted) from None
            if self.names():
                raise
            raise UnknownCollection(
                f"The library in {self._config.library_place} has no documents yet.",
                hint="Add some: `rag ingest FOLDER`.",
            ) from None
        if self._access is not None and not self._access.reads(found.id):
            raise self._unknown(wanted)
        return found

    def named(self, name: str | None = None) -> Collection | None:
        """The collection of that name (default: the configured one), or None."""
        wanted = self._wanted(name)
        found = next((one for one in self._truth.collections.list() if one.name == wanted), None)
        hidden = found is not None and self._access is not None and not self._access.reads(found.id)
        return None if hidden else found

    def expect_editable(self, name: str | None = None) -> Collection:
        """The collection, if its documents may be changed. Raises UnknownCollection, NotAllowed."""
        found = self.get(name)
        if self._access is not None:
            self._access.expect_editable(found.id)
        return found

    def create(self, name: str) -> None:
        """Make an empty collection; its embedder is chosen now and then fixed. Raises StoreError if it exists."""
        self._expect_writer()
        owner = ""
        if self._access is not None:
            self._access.expect_editor()
            owner = self._access.owner
        embedder, _ = self._models.embedder(None)
        self._truth.collections.create(name, embedder_info(embedder), SPLITTER_VERSION, owner)
        self._note("collection-made", name)

    def ensure(self, name: str | None = None) -> None:
        """Make the collection (default: the configured one) if it is not there yet."""
        wanted = self._wanted(name)
        if wanted not in self.names():
            try:
                self.create(wanted)
            except StoreError:
                if wanted not in self.names():  # else another process made it first, where several write
                    raise

    def _wanted(self, name: str | None) -> str:
        if name or self._access is None:
            return name or self._config.collection
        names = self.names()
        usual = self._config.collection
        return usual if usual in names else names[0] if names else self._access.user.name

    def rename(self, old: str, new: str) -> None:
        """Rename a collection. Raises UnknownCollection, or StoreError when ``new`` is taken."""
        self._expect_writer()
        self._owned(old)
        self._truth.collections.rename(old, new)
        self._note("collection-renamed", f"{old}: {new}")

    def delete(self, name: str) -> None:
        """Remove a collection and all its documents. Raises UnknownCollection."""
        self._expect_writer()
        self._owned(name)
        self._truth.collections.delete(name)
        self._dense.sync()
        self._note("collection-deleted", name)

    def settings(self, name: str | None = None) -> Mapping[str, Any]:
        """What is stored with a collection beside its documents, such as a fitted threshold."""
        return self.get(name).settings

    def set_setting(self, key: str, value: Any, collection: str | None = None) -> None:
        """Store a JSON value with a collection."""
        self._expect_writer()
        self._truth.collections.set_setting(self._owned(collection).id, key, value)

    def _owned(self, name: str | None) -> Collection:
        """The collection, if it is the user's to change. Raises UnknownCollection, NotAllowed."""
        found = self.get(name)
        if self._access is not None:
            self._access.expect_owned(found.id)
        return found

    def _note(self, event: str, about: str) -> None:
        if self._access is not None:
            self._access.note(event, about)

    def _unknown(self, name: str) -> UnknownCollection:
        names = ", ".join(self.names())
        return UnknownCollection(
            f"No collection {name!r}.", hint=f"There are: {names}." if names else "None is shared with you yet."
        )
