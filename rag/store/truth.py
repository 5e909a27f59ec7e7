"""The truth, as the house asks for it: the contract that every backend of a store keeps.

``rag.store.backends`` opens one. Everything here is a value or a protocol; nothing is known of a database.
``tests/store/test_contract.py`` and its neighbours hold the contract over every backend. Whatever a method raises
beside what it names is StoreError (busy, unusable, closed, or open for reading only), DiskFull or LibraryDamaged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt

from rag.types import Document, Heading, ParsedDocument, Passage, Place, UnreadFile

ATTEMPTS = 6
"""How often a file is tried before it is given up."""

Vector = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]


def text_key(index_text: str) -> bytes:
    """The 16-byte BLAKE2b hash of an index text: equal texts share one vector, and a changed one is found out."""
    return blake2b(index_text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class EmbedderInfo:
    """Which model made a generation's vectors, and what it puts before questions and documents."""

    name: str
    digest: str
    dimension: int
    query_prefix: str = ""
    document_prefix: str = ""


@dataclass(frozen=True, slots=True)
class Collection:
    """A named group of documents; ``generation`` numbers the set of vectors it is searched with."""

    id: int
    name: str
    generation: int
    embedder: EmbedderInfo
    splitter: str
    settings: Mapping[str, Any]
    owner: str


@dataclass(frozen=True, slots=True)
class NewPassage:
    """A slice of a new document's text; ``key`` is ``text_key`` of its index text."""

    start: int
    end: int
    page: int | None
    heading: tuple[str, ...]
    key: bytes
    places: tuple[Place, ...] = ()


@dataclass(frozen=True, slots=True)
class NewDocument:
    """A version of a document to store: what came from ``origin``, with the ``name`` it has there.

    ``vectors`` needs only the keys that are not yet known (``Vectors.known``); they are stored as unit vectors.
    ``original`` are the file's bytes, where they are to be kept. ``replaces`` is the origin of the document whose place
    it takes, when that is another one. ``signature`` is what the file looked like on the disk, if that will tell
    whether it has changed.
    """

    origin: str
    name: str
    parsed: ParsedDocument
    passages: Sequence[NewPassage]
    vectors: Mapping[bytes, npt.NDArray[Any]]
    sha256: str = ""
    size: int = 0
    original: bytes | None = None
    owner: str = ""
    replaces: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    signature: str = ""
    claim: Claim | None = None


class Claim(NamedTuple):
    """The right of a worker to finish job ``number``, as long as it keeps it."""

    number: int
    worker: str


@dataclass(frozen=True, slots=True)
class QueuedFile:
    """A file for a worker to read: where it was found (``origin``, ``name``, ``source``, ``signature`` as
    ``rag.documents.SourceFile`` has them, ``path`` there, ``modified`` in UNIX seconds), and how it is put in.
    ``same_name`` as ``rag.ingest.SameName``."""

    source: str
    origin: str
    name: str
    path: str
    signature: str
    modified: float
    same_name: str
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NewJob(QueuedFile):
    """One to be put in the queue, with its bytes."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Job(QueuedFile):
    """One that a worker took to read, without its bytes. ``attempts`` counts this one."""

    claim: Claim
    collection: str
    size: int
    attempts: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A file that was given up: how often it was tried, and why it failed last."""

    number: int
    collection: str
    source: str
    attempts: int
    error: str


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """How the queue stands: files that are ``waiting`` (some of them for another try), ``running`` and ``dead``, and
    how many ``workers`` were seen lately."""

    waiting: int
    running: int
    dead: int
    workers: int


class Home(NamedTuple):
    """A document and its passages, which are numbered without a gap: ``size`` of them from ``first`` on."""

    document: int
    first: int
    size: int


class Encoded(NamedTuple):
    """What an encoder makes of a text: a unit ``vector`` and how well, in [0, 1], it knows the text's language."""

    vector: Vector
    known: float


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation without its turns. Times are UNIX seconds."""

    id: int
    collection: str
    owner: str
    title: str
    created: float
    updated: float
    turns: int


@dataclass(frozen=True, slots=True)
class Feedback:
    """What the reader thought of an answer: ``value`` 1 or -1, and why."""

    value: int
    note: str
    created: float


@dataclass(frozen=True, slots=True)
class StoredTurn:
    """Question ``index`` (from 0) of a conversation, what was ``asked`` in its place, and ``Answer.to_dict()``.

    While the answer is being written, ``task`` names what writes it, last heard of at ``seen``, and ``answer`` is what
    there is so far.
    """

    index: int
    question: str
    asked: str
    answer: Mapping[str, Any]
    created: float
    feedback: Feedback | None = None
    task: str = ""
    seen: float = 0.0


@dataclass(frozen=True, slots=True)
class Growing:
    """What ``task`` has written so far of the answer of a turn: its text, and all else where that has changed."""

    conversation_id: int
    index: int
    task: str
    text: str
    answer: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A turn that holds the words looked for, and the text around the first of them."""

    conversation: Conversation
    index: int
    excerpt: str


@dataclass(frozen=True, slots=True)
class Pointer:
    """The folder of a collection's dense index, the generation it holds, whether it was left unfinished, and the
    checksum of its settled files."""

    folder: str
    generation: int
    dirty: bool
    manifest: str


class Change(NamedTuple):
    """What a dense index has still to be told: passage ``id`` came, or was ``removed``. Numbers ``seq`` ascend."""

    seq: int
    id: int
    removed: bool


@dataclass(frozen=True, slots=True)
class CollectionFacts:
    """Counts of one collection. ``unsynced`` changes wait for the dense index."""

    name: str
    documents: int
    passages: int
    vectors: int
    unsynced: int
    unfinished_generations: int


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """The state of the store: the ``engine`` with its version and how its writes are made safe, sizes in bytes.
    ``problems`` is empty when its check found nothing."""

    engine: str
    bytes: int
    free_bytes: int
    problems: str
    collections: tuple[CollectionFacts, ...]


Kind = Literal["session", "token"]
"""What somebody shows to be let in: a browser its session, a program its token."""


class Collections(Protocol):
    """A library's collections."""

    def list(self) -> tuple[Collection, ...]:
        """Every collection, by name."""

    def get(self, which: str | int) -> Collection:
        """The collection of that name or number. Raises UnknownCollection, which names the existing ones."""

    def create(self, name: str, embedder: EmbedderInfo, splitter: str, owner: str = "") -> Collection:
        """Create an empty collection. Raises StoreError for a name that is taken, empty, long or unprintable."""

    def rename(self, name: str, new_name: str) -> Collection:
        """Give a collection another name; its conversations follow. Raises UnknownCollection, and StoreError when the
        new name won't do."""

    def delete(self, name: str) -> None:
        """Delete a collection with its documents, passages and vectors. Raises UnknownCollection.

        Conversations about it stay: they hold what they need.
        """

    def set_setting(self, collection_id: int, key: str, value: Any) -> None:
        """Keep a JSON value under ``key`` in ``Collection.settings``; None removes it."""

    def revision(self, collection_id: int) -> int:
        """A number that grows with every committed change of the collection; -1 when there is no such one."""


class Settings(Protocol):
    """JSON values that belong to the whole library, by name."""

    def get(self, key: str) -> Any:
        """The value under ``key``, or None."""

    def set(self, key: str, value: Any) -> None:
        """Keep a value under ``key``."""


class Documents(Protocol):
    """A library's documents: put, replaced and removed in one transaction, with their passages, vectors and words.
    Numbers are never used again."""

    def list(self, collection_id: int) -> tuple[Document, ...]:
        """Every document of a collection, by source."""

    def get(self, collection_id: int, source: str) -> Document | None:
        """The present version of a source, or None."""

    def from_origin(self, collection_id: int, origin: str) -> Document | None:
        """The document that came from there, or None."""

    def inside(self, collection_id: int, origin: str) -> tuple[Document, ...]:
        """The documents that were files inside the one that came from ``origin``, and not deeper."""

    def namesakes(self, collection_id: int, name: str) -> tuple[Document, ...]:
        """The documents whose shortest name this is, or that are shown by it."""

    def text(self, document_id: int) -> str:
        """A document's canonical text. Raises UnknownSource when the document is gone, LibraryDamaged."""

    def collection_of(self, document_id: int) -> int | None:
        """The number of the collection that a document is in; None when there is no such document."""

    def layout(self, document_id: int) -> tuple[tuple[Heading, ...], tuple[Place, ...]]:
        """A document's headings and places, each in order.

        Raises UnknownSource when the document is gone, LibraryDamaged.
        """

    def damaged(self, collection_id: int) -> tuple[str, ...]:
        """The sources whose passages are not what was put in, by name. Reads all of the text."""

    def original(self, document_id: int) -> bytes | None:
        """The file's bytes, where they were kept (PDF), else None."""

    def put(self, collection: Collection, new: NewDocument) -> Document:
        """Store a new version of what came from ``new.origin`` and retire the old one, in one transaction: all or
        nothing.

        When this returns the document is on the disk. Raises StoreError, with nothing written, when a key is not its
        passage's, or has no vector of the collection's dimension; DiskFull; UnknownCollection.
        """

    def put_all(self, collection: Collection, new: Sequence[NewDocument]) -> tuple[Document, ...]:
        """``put`` of several, from different origins, in one transaction: when this returns all are on the disk, and
        when it raises none is."""

    def move(self, collection_id: int, document_id: int, origin: str, name: str) -> Document:
        """Note that a document, with the files inside it, lies elsewhere now; text, passages and vectors stay.

        Raises UnknownSource.
        """

    def describe(self, collection_id: int, document_id: int, metadata: Mapping[str, Any]) -> Document:
        """Note other metadata of a document. Raises UnknownSource."""

    def signatures(self, collection_id: int) -> dict[str, str]:
        """What each document's file looked like when its bytes were last compared, by origin; unknown ones left out."""

    def sign(self, collection_id: int, signatures: Mapping[str, str]) -> None:
        """Note what these documents' files, by origin, look like now that their bytes are known to be the same."""

    def unread(self, collection_id: int) -> tuple[UnreadFile, ...]:
        """The files that were found and could not be read, by name."""

    def note_unread(self, collection_id: int, files: Sequence[UnreadFile], no_longer: Callable[[str], bool]) -> None:
        """Note that these files could not be read, and forget those noted before whose origin is so ``no_longer``."""

    def remove(self, collection_id: int, source: str) -> None:
        """Remove a source with its text, passages, words and the vectors nobody else needs, and with it the documents
        that were files inside it. Raises UnknownSource."""


class Passages(Protocol):
    """A library's passages, read as slices of the canonical text, each proven by the hash of what was put in.

    Raises LibraryDamaged for one that is not what it was.
    """

    def get(self, ids: Sequence[int]) -> dict[int, Passage]:
        """The passages of these numbers, in the order asked for; numbers that are gone are left out."""

    def homes(self, ids: Sequence[int]) -> dict[int, Home]:
        """Where each of these passages belongs; those gone are left out."""

    def ids(self, collection_id: int) -> Ids:
        """The numbers of all passages of a collection, ascending."""

    def newer(self, collection_id: int, number: int, limit: int) -> Ids:
        """The first ``limit`` of them behind a number, ascending: passages are numbered as they come."""

    def numbers_in(self, document_ids: Sequence[int]) -> Ids:
        """The numbers of all passages of these documents, ascending."""

    def count(self, collection_id: int) -> int:
        """How many passages the collection has, without reading them."""

    def neighbours(self, passage: Passage) -> tuple[Passage | None, Passage | None]:
        """The passages before and after this one in its document."""

    def of(self, document_id: int, limit: int | None = None) -> tuple[Passage, ...]:
        """Every passage of a document, or the first ``limit``, in order."""


class Vectors(Protocol):
    """A library's vectors, in generations: the set a collection is searched with, and the next one while it is made."""

    def known(self, generation: int, keys: Sequence[bytes]) -> dict[bytes, Vector]:
        """The unit vectors that a generation already has, by key."""

    def of_document(self, generation: int, document_id: int) -> dict[bytes, Vector]:
        """The unit vectors that a generation has of a document's passages, by key."""

    def all(self, collection_id: int) -> tuple[Ids, Vector]:
        """Every passage's number, ascending, and its unit vector of the current generation, row by row.

        Raises UnknownCollection, LibraryDamaged.
        """

    def some(self, collection_id: int, ids: Sequence[int]) -> tuple[Ids, Vector]:
        """The same for these passages only; numbers that are gone, or of another collection, are left out."""

    def begin(self, collection: Collection, embedder: EmbedderInfo) -> int:
        """Start, or resume, the vectors of another embedder for a collection; the generation's number.

        The current generation goes on serving. An unfinished one of a different embedder is dropped.
        """

    def unfinished(self, collection_id: int) -> EmbedderInfo | None:
        """The embedder of a generation that was begun and not promoted yet."""

    def pending(self, generation: int, limit: int) -> list[tuple[bytes, str]]:
        """At most ``limit`` keys that have no vector in this generation yet, each with its index text."""

    def pending_count(self, generation: int) -> int:
        """How many keys have no vector in this generation yet."""

    def unsound(self, generation: int) -> int:
        """How many keys have no vector in this generation, or one that is damaged. Reads all of them."""

    def drop_unsound(self, generation: int) -> None:
        """Take the damaged vectors out of a generation: their keys are pending then."""

    def put(self, generation: int, vectors: Mapping[bytes, npt.NDArray[Any]]) -> None:
        """Store vectors of a generation, durably; keys that no passage uses any more are left out."""

    def promote(self, generation: int) -> None:
        """Search the collection with this generation from now on, and drop the old one, in one transaction.

        Raises StoreError while a passage has no vector in it.
        """


class Encodings(Protocol):
    """The encoder's vectors: a cache by content, and so by the hash of its text, that dies with the content.
    ``encoder`` names a model and its version."""

    def get(self, encoder: str, passage_ids: Sequence[int]) -> dict[int, Encoded]:
        """What there is of these passages, by passage; float32, kept as float16. A damaged row counts as missing."""

    def pending(self, collection_id: int, encoder: str, after: int, limit: int) -> dict[int, Passage]:
        """At most ``limit`` contents beyond number ``after`` that the encoder has not seen, in order, each with one of
        its passages."""

    def seen_counts(self, collection_id: int, encoder: str, known: float) -> tuple[int, int]:
        """How many contents of the collection the encoder has seen, and of how many of them it knows the language less
        than ``known``."""

    def pending_count(self, collection_id: int, encoder: str) -> int:
        """How many contents of the collection the encoder has not seen."""

    def content_count(self, collection_id: int) -> int:
        """How many different texts the collection's passages have."""

    def put(self, encoder: str, encoded: Mapping[int, Encoded]) -> None:
        """Store vectors by content; contents that are gone are left out."""

    def drop_others(self, encoder: str) -> None:
        """Delete what every other encoder made."""


class Lexical(Protocol):
    """Full-text search by BM25 over title, heading path and body. Never fails on a question. Thread-safe."""

    def search(self, collection_id: int, question: str, limit: int) -> list[tuple[int, float]]:
        """The best passages for a question: (passage id, BM25 >= 0), best first."""

    def scores(self, collection_id: int, question: str, ids: Sequence[int]) -> dict[int, float]:
        """The BM25 score of each of these passages, on the scale of ``search``; 0.0 where nothing matches."""

    def rank(
        self, collection_id: int, question: str, limit: int, also: Callable[[], Iterable[int]] = ...,
        within: Ids | None = None,
    ) -> dict[int, float]:  # fmt: skip
        """The scores of the ``limit`` best passages, only of ``within`` if given, and, in the same pass, of those that
        ``also`` tells once the best are found."""

    def counts(self, collection_id: int, question: str, homes: Sequence[Home]) -> Ids:
        """In how many passages of each of these documents each term of the question occurs.

        Of shape (terms, documents); the commonest terms may be left out.
        """

    def holding(
        self, collection_id: int, wanted: Sequence[str], limit: int, within: Ids | None = None
    ) -> tuple[list[int], int]:
        """The first ``limit`` passages that hold all of these words, of ``within`` if given, and how many there are."""

    def document_frequency(self, collection_id: int, term: str) -> int:
        """In how many passages a word occurs (all its words, when it is more than one), folded and stemmed."""


class Conversations(Protocol):
    """The conversations of a library: questions, and answers with all their evidence, kept so that reopening one needs
    no model. Thread-safe; changes need a library open for writing.

    Every call is for one ``owner`` ("" where nobody logs in): another owner's conversation is as unknown as one
    that does not exist (UnknownConversation).
    """

    def create(self, collection: str, owner: str = "", title: str = "") -> int:
        """Begin a conversation over a collection; its number. Without a title it takes that of its first question."""

    def append(
        self, conversation_id: int, question: str, asked: str, answer: Mapping[str, Any], owner: str = "",
        task: str = "",
    ) -> int:  # fmt: skip
        """Add a question and its answer, which ``task`` is still to write unless it is finished; the turn's index."""

    def keep(self, growing: Sequence[Growing]) -> tuple[str, ...]:
        """Keep what there is of these answers, all of them alive now; the tasks among them whose turn is gone, or that
        were ended by another."""

    def end(
        self, conversation_id: int, index: int, task: str, asked: str, answer: Mapping[str, Any], owner: str = ""
    ) -> bool:
        """Put the finished answer in the place of what ``task`` has written; False where the turn is gone, or ended."""

    def turn(self, conversation_id: int, index: int, owner: str = "") -> StoredTurn | None:
        """One turn, None if there is none."""

    def list(self, owner: str = "", collection: str | None = None, limit: int = 200) -> tuple[Conversation, ...]:
        """The owner's conversations, of one collection or all, the last changed first."""

    def get(self, conversation_id: int, owner: str = "") -> tuple[Conversation, tuple[StoredTurn, ...]]:
        """A conversation with its turns, in order."""

    def rename(self, conversation_id: int, title: str, owner: str = "") -> None:
        """Give a conversation another title, cut to its limit."""

    def delete(self, conversation_id: int, owner: str = "") -> None:
        """Delete a conversation with its turns and their feedback."""

    def delete_turns_from(self, conversation_id: int, index: int, owner: str = "") -> int:
        """Delete turn ``index`` and all after it (a question is asked again); how many there were."""

    def search(self, text: str, owner: str = "", limit: int = 50) -> tuple[Found, ...]:
        """The turns whose question and answer hold every word of ``text``, whatever the case, newest first."""

    def feedback(self, conversation_id: int, index: int, value: int, note: str = "", owner: str = "") -> None:
        """Keep what the reader thought of an answer: 1, -1, or 0 to take it back."""


@dataclass(frozen=True, slots=True)
class User:
    """Who has an account. ``role`` is ``reader``, ``editor`` or ``admin``; times are UNIX seconds."""

    id: int
    name: str
    role: str
    disabled: bool
    created: float


@dataclass(frozen=True, slots=True)
class Credential:
    """A session or a token without what is shown for it; ``name`` tells it from the user's others."""

    name: str
    label: str
    created: float
    expires: float


@dataclass(frozen=True, slots=True)
class Noted:
    """A line of the log: when, who (empty: nobody known), what, about what, from which address."""

    at: float
    who: str
    event: str
    about: str
    address: str


READS, EDITS, OWNS = 1, 2, 3
"""What a user may do with a collection; 0 is nothing, not even know of it."""


class AccountRows(Protocol):
    """The accounts of a library: rows, without any policy. Of passwords there is Argon2's own form, of sessions and
    tokens the SHA-256 hash: whoever reads what is stored can't sign in. Thread-safe.
    """

    def all(self) -> tuple[User, ...]:
        """Every account, by name."""

    def wanted(self) -> bool:
        """Whether whoever uses the library must sign in: from the first account on, for good. A library whose accounts
        were lost by damage lets nobody in, rather than everybody."""

    def by_name(self, name: str) -> User | None:
        """The account of that name."""

    def by_id(self, number: int) -> User | None:
        """The account of that number."""

    def by_subject(self, subject: str) -> User | None:
        """The account that an identity provider knows by that subject."""

    def password(self, name: str) -> str:
        """The password of an account in Argon2's form; empty when it has none, or there is no such account."""

    def add(self, name: str, role: str, password: str, subject: str | None = None) -> User:
        """Make an account. Raises AccountError when the name is taken."""

    def change(self, number: int, column: Literal["role", "password", "disabled"], value: str | bool) -> None:
        """Set one column of an account."""

    def keep(self, number: int, kind: Kind, digest: str, label: str, expires: float) -> None:
        """Keep the hash of what an account may show from now until ``expires``."""

    def shown(self, kind: Kind, digest: str, idle: float) -> tuple[User, float] | None:
        """Whose it is and when it was last noted; None when it has ended, or was not noted for ``idle`` seconds."""

    def note_use(self, digest: str) -> None:
        """Note that it was shown now."""

    def listed(self, number: int, kind: Kind) -> tuple[Credential, ...]:
        """What an account may show, oldest first."""

    def end(self, digest: str) -> None:
        """Forget one session or token."""

    def end_named(self, number: int, name: str) -> bool:
        """Forget a token by the name it is listed by; whether there was one."""

    def end_all(self, number: int, *, tokens: bool) -> None:
        """Forget an account's sessions, and with ``tokens`` these too."""

    def begin_attempt(self, name: str, free: int, first: float, longest: float) -> float:
        """Count an attempt to sign in as ``name`` before it is looked at; 0.0, or the seconds it is locked out for.

        After ``free`` failures the next is allowed after ``first`` seconds, and twice as long after each more.
        """

    def end_attempts(self, name: str) -> None:
        """Forget the failures of a name: somebody knew the password."""

    def levels(self, number: int) -> Mapping[int, int]:
        """What an account may do with each collection, by its number; nothing for a disabled one.

        Readers only read. What belongs to nobody belongs to the administrators.
        """

    def share(self, collection_id: int, number: int, edits: bool | None) -> None:
        """Let an account read a collection, or edit it too; None takes that back."""

    def publish(self, collection_id: int, *, public: bool) -> None:
        """Let every account read a collection, or not."""

    def give(self, collection_id: int, number: int) -> None:
        """Make an account the owner of a collection."""

    def shares(self, collection_id: int) -> tuple[bool, dict[str, bool]]:
        """Whether a collection is public, and who else it is shared with: whether they may edit it, by name."""

    def note(self, who: str, event: str, about: str, address: str) -> None:
        """Write a line of the log."""

    def log(self, limit: int, who: str | None = None) -> tuple[Noted, ...]:
        """The last lines of the log, the newest first."""


class Outbox(Protocol):
    """What the dense index of each collection has still to be told, and where it lies. Every change of a document
    writes its own, in its transaction."""

    def changes(self, collection_id: int, limit: int) -> tuple[Change, ...]:
        """The oldest changes the index has not been told."""

    def last(self, collection_id: int) -> int:
        """The newest change waiting, 0 when there is none."""

    def told(self, collection_id: int, last: int) -> None:
        """Forget the changes up to ``last``."""

    def pointer(self, collection_id: int) -> Pointer | None:
        """Where a collection's index lies, or None before its first one."""

    def begin(self, collection_id: int) -> None:
        """Note, durably, that the index is about to be touched."""

    def settle(self, collection_id: int, manifest: str) -> None:
        """Note that the index lies on the disk with these files."""

    def switch(self, collection: Collection, folder: str, manifest: str, last: int) -> bool:
        """Point to a new index, which knows every change up to ``last``; False, with nothing done, when the collection
        has another generation by now."""

    def unsettled(self) -> list[int]:
        """The collections whose index was left dirty or has changes waiting."""

    def prune(self) -> set[str]:
        """Drop the pointers of collections that are gone; the folders that are still pointed to."""


class Jobs(Protocol):
    """Files that wait for workers, which may be any number on any machines. Times are UNIX seconds of the callers'
    clocks; where these differ by more than the lease, a file may be read twice, and is put in once.

    Of the files of one origin, or one name, in a collection the older is done first.
    """

    def add(self, collection_id: int, batch: str, jobs: Sequence[NewJob]) -> None:
        """Put files in the queue, in one transaction: they are on the disk when this returns."""

    def claim(self, worker: str, lease: float, most: int, most_bytes: int) -> tuple[Job, ...]:
        """Take at most ``most`` files to read, of one collection and to be put in alike, the oldest first; beyond the
        first none that would make them more than ``most_bytes``, and one that failed before alone. Those that no worker
        went on with for ``lease`` seconds wait again, or are dead after ``ATTEMPTS``."""

    def data(self, claim: Claim) -> bytes:
        """The bytes of a file. Raises JobLost."""

    def renew(self, worker: str, host: str, numbers: Sequence[int]) -> None:
        """Tell that a worker is there, and that it goes on with these of the files it took."""

    def leave(self, worker: str, *, tried: bool) -> None:
        """A worker ends: what it took waits again, and counts as ``tried`` or does not."""

    def finish(self, claim: Claim, events: Sequence[Mapping[str, Any]]) -> None:
        """A file has been read, or cannot be: what there is to tell of it. Its bytes go. Raises JobLost."""

    def fail(self, claim: Claim, error: str, wait: float) -> bool:
        """Something else went wrong: the file is tried again in ``wait`` seconds, or given up after ``ATTEMPTS``;
        whether it was given up. Its bytes stay. Raises JobLost."""

    def collect(self, batch: str, limit: int) -> tuple[tuple[str, tuple[Mapping[str, Any], ...]], ...]:
        """At most ``limit`` files of a batch that ended since the last call, as they ended: the path of each, and what
        there is to tell of it."""

    def unfinished(self, batch: str) -> int:
        """How many files of a batch wait or are being read, or ended and were not collected."""

    def facts(self, lease: float) -> QueueFacts:
        """How the queue stands."""

    def dead(self) -> tuple[DeadLetter, ...]:
        """The files that were given up, the oldest first."""

    def revive(self) -> int:
        """Have every file that was given up tried again; how many there are."""

    def bury(self) -> int:
        """Forget every file that was given up; how many there were."""


class Truth(Protocol):
    """Everything that must not be lost, by kind. Use it from any thread; close it."""

    collections: Collections
    settings: Settings
    documents: Documents
    passages: Passages
    vectors: Vectors
    encodings: Encodings
    lexical: Lexical
    conversations: Conversations
    outbox: Outbox
    accounts: AccountRows
    jobs: Jobs

    @property
    def address(self) -> str:
        """What opens it again, in another process too."""

    @property
    def writer(self) -> bool:
        """Whether this object may write."""

    @property
    def inherited(self) -> bool:
        """Whether this process was forked from the one that opened the library: nothing of it may be used here, since
        its locks, threads and connections belong to the other."""

    def expect_own_process(self) -> None:
        """Raise StoreError when the library is ``inherited``."""

    def snapshot(self) -> AbstractContextManager[None]:
        """Everything that this thread reads until the block ends is of one committed state."""

    def facts(self) -> StoreFacts:
        """Sizes, counts, and what a check of the store finds; reads all of it."""

    def compact(self) -> None:
        """Give the space of what was removed back, and write a damaged full-text index anew from the documents' text.

        May need free disk space of the library's size for the while. Raises DiskFull, StoreError.
        """

    def backup(self, target: Path) -> int:
        """Copy the library as it is at one moment into the file ``target``, for its owner alone; its size in bytes.

        Others go on reading and writing. Raises StoreError when ``target`` exists or cannot be written, DiskFull.
        """

    def close(self) -> None:
        """Close every connection; a read under way in another thread ends first. May be called twice."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...
