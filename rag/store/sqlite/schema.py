"""The tables of a library and the steps from each older version to this one."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from rag.errors import LibraryFormat
from rag.store.tables.connection import Connection
from rag.store.terms import TOKENIZER

APPLICATION_ID = 0x52414731
"""Marks the SQLite file as a library ("RAG1")."""

PAGE_SIZE = 8192

_FIRST = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE collection (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    generation INTEGER NOT NULL,
    splitter TEXT NOT NULL,
    settings TEXT NOT NULL DEFAULT '{}',
    owner TEXT NOT NULL DEFAULT '',
    revision INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE generation (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    collection_id INTEGER NOT NULL REFERENCES collection(id) ON DELETE CASCADE,
    embedder TEXT NOT NULL,
    digest TEXT NOT NULL,
    dimension INTEGER NOT NULL,
    query_prefix TEXT NOT NULL,
    document_prefix TEXT NOT NULL
);
CREATE INDEX generation_collection ON generation(collection_id);

CREATE TABLE document (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    collection_id INTEGER NOT NULL REFERENCES collection(id),
    source TEXT NOT NULL,
    title TEXT NOT NULL,
    media_type TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    size INTEGER NOT NULL,
    characters INTEGER NOT NULL,
    passages INTEGER NOT NULL,
    pages INTEGER NOT NULL,
    empty_pages INTEGER NOT NULL,
    added_at REAL NOT NULL,
    owner TEXT NOT NULL DEFAULT '',
    UNIQUE (collection_id, source)
);

-- The canonical text in parts of equal length in characters: a passage is read without its document.
CREATE TABLE text (
    document_id INTEGER NOT NULL REFERENCES document(id) ON DELETE CASCADE,
    part INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (document_id, part)
);

CREATE TABLE layout (
    document_id INTEGER PRIMARY KEY REFERENCES document(id) ON DELETE CASCADE,
    headings TEXT NOT NULL,
    pages TEXT NOT NULL
);

CREATE TABLE original (
    document_id INTEGER PRIMARY KEY REFERENCES document(id) ON DELETE CASCADE,
    data BLOB NOT NULL
);

-- What was embedded, by the hash of its text: the same text is embedded once for each generation.
CREATE TABLE content (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    collection_id INTEGER NOT NULL REFERENCES collection(id),
    key BLOB NOT NULL,
    UNIQUE (collection_id, key)
);

CREATE TABLE passage (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    document_id INTEGER NOT NULL REFERENCES document(id) ON DELETE CASCADE,
    ordinal INTEGER NOT NULL,
    start INTEGER NOT NULL,
    stop INTEGER NOT NULL,
    page INTEGER,
    heading TEXT NOT NULL,
    content_id INTEGER NOT NULL REFERENCES content(id),
    UNIQUE (document_id, ordinal)
);
CREATE INDEX passage_content ON passage(content_id);

CREATE TABLE vector (
    generation INTEGER NOT NULL REFERENCES generation(id),
    content_id INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (generation, content_id)
);

-- What the dense index has still to be told.
CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    collection_id INTEGER NOT NULL,
    passage_id INTEGER NOT NULL,
    removed INTEGER NOT NULL
);
CREATE INDEX outbox_collection ON outbox(collection_id, seq);

-- Where the dense index of a collection lies; outlives the collection until its folder is gone.
CREATE TABLE dense (
    collection_id INTEGER PRIMARY KEY,
    folder TEXT NOT NULL,
    generation INTEGER NOT NULL,
    dirty INTEGER NOT NULL,
    manifest TEXT NOT NULL
);

CREATE TABLE conversation (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    collection TEXT NOT NULL,
    owner TEXT NOT NULL DEFAULT '',
    title TEXT NOT NULL,
    created REAL NOT NULL,
    updated REAL NOT NULL
);
CREATE INDEX conversation_owner ON conversation(owner, updated);

CREATE TABLE turn (
    conversation_id INTEGER NOT NULL REFERENCES conversation(id) ON DELETE CASCADE,
    ordinal INTEGER NOT NULL,
    owner TEXT NOT NULL DEFAULT '',
    question TEXT NOT NULL,
    asked TEXT NOT NULL,
    text TEXT NOT NULL,
    answer TEXT NOT NULL,
    created REAL NOT NULL,
    PRIMARY KEY (conversation_id, ordinal)
);

CREATE TABLE feedback (
    conversation_id INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    owner TEXT NOT NULL DEFAULT '',
    value INTEGER NOT NULL,
    note TEXT NOT NULL,
    created REAL NOT NULL,
    PRIMARY KEY (conversation_id, ordinal),
    FOREIGN KEY (conversation_id, ordinal) REFERENCES turn(conversation_id, ordinal) ON DELETE CASCADE
);
"""

# What a part of a document is to a reader: a page, a slide, rows of a sheet (rag.types.Place), as JSON lists.
_PLACES = """
ALTER TABLE layout RENAME COLUMN pages TO places;
ALTER TABLE passage ADD COLUMN places TEXT NOT NULL DEFAULT '[]';
"""

# What a second, slower model makes of a content: a cache that is filled after the documents are in, as float16.
# ``known`` in [0, 1] says how well that model knows the content's language.
ENCODINGS = """
CREATE TABLE encoding (
    content_id INTEGER NOT NULL REFERENCES content(id) ON DELETE CASCADE,
    encoder TEXT NOT NULL,
    known REAL NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (content_id, encoder)
);
"""

_ORIGINS = """
-- Where a document came from: an absolute path, or upload:, text: or unknown: and a name. "name" is its shortest
-- name, "source" the one it is shown by. Of older documents the name alone is known.
ALTER TABLE document ADD COLUMN origin TEXT NOT NULL DEFAULT '';
ALTER TABLE document ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE document ADD COLUMN metadata TEXT NOT NULL DEFAULT '{}';
UPDATE document SET origin = 'unknown:' || source, name = source;
CREATE UNIQUE INDEX document_origin ON document(collection_id, origin);
CREATE INDEX document_name ON document(collection_id, name);
"""

_SEEN = """
-- What a file looked like on the disk when its bytes were last compared: empty when that proves nothing.
ALTER TABLE document ADD COLUMN signature TEXT NOT NULL DEFAULT '';
-- Files that were found and could not be read, and why.
CREATE TABLE unread (
    id INTEGER PRIMARY KEY,
    collection_id INTEGER NOT NULL REFERENCES collection(id) ON DELETE CASCADE,
    origin TEXT NOT NULL,
    source TEXT NOT NULL,
    error TEXT NOT NULL,
    hint TEXT NOT NULL,
    code TEXT NOT NULL,
    UNIQUE (collection_id, origin)
);
"""

_ACCOUNTS = """
-- Who may sign in: password in Argon2's form; subject as an identity provider knows them. Numbers are never used again.
CREATE TABLE account (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL,
    password TEXT NOT NULL,
    subject TEXT UNIQUE,
    disabled INTEGER NOT NULL DEFAULT 0,
    created REAL NOT NULL
);
-- Sessions and tokens, by the hash of what is shown for them.
CREATE TABLE credential (
    digest TEXT PRIMARY KEY,
    account_id INTEGER NOT NULL REFERENCES account(id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    label TEXT NOT NULL,
    created REAL NOT NULL,
    seen REAL NOT NULL,
    expires REAL NOT NULL
);
CREATE INDEX credential_account ON credential(account_id);
CREATE TABLE attempt (name TEXT PRIMARY KEY, failures INTEGER NOT NULL, until REAL NOT NULL);
CREATE TABLE share (
    collection_id INTEGER NOT NULL REFERENCES collection(id) ON DELETE CASCADE,
    account_id INTEGER NOT NULL REFERENCES account(id) ON DELETE CASCADE,
    edits INTEGER NOT NULL,
    PRIMARY KEY (collection_id, account_id)
);
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    who TEXT NOT NULL,
    event TEXT NOT NULL,
    about TEXT NOT NULL,
    address TEXT NOT NULL
);
ALTER TABLE collection ADD COLUMN public INTEGER NOT NULL DEFAULT 0;
"""

_QUEUE = """
-- Files that wait for a worker, and what came of them: see rag.store.tables.jobs. Here for the sake of one schema: a
-- library in a folder is written by one process, which reads files itself.
CREATE TABLE job (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    collection_id INTEGER NOT NULL REFERENCES collection(id) ON DELETE CASCADE,
    batch TEXT NOT NULL,
    source TEXT NOT NULL,
    origin TEXT NOT NULL,
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    signature TEXT NOT NULL,
    modified REAL NOT NULL,
    same_name TEXT NOT NULL,
    metadata TEXT NOT NULL,
    size INTEGER NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    due REAL NOT NULL,
    worker TEXT NOT NULL,
    events TEXT NOT NULL,
    error TEXT NOT NULL,
    ended REAL NOT NULL,
    collected INTEGER NOT NULL
);
CREATE INDEX job_state ON job(state, due);
CREATE INDEX job_origin ON job(collection_id, origin);
CREATE INDEX job_name ON job(collection_id, name);
CREATE INDEX job_batch ON job(batch, ended);
CREATE TABLE job_file (
    job_id INTEGER PRIMARY KEY REFERENCES job(id) ON DELETE CASCADE,
    data BLOB NOT NULL
);
CREATE TABLE worker (
    id TEXT PRIMARY KEY,
    host TEXT NOT NULL,
    seen REAL NOT NULL
);
"""

_WRITTEN = """
-- Of a turn whose answer is being written: by whom, and when it was last heard of.
ALTER TABLE turn ADD COLUMN task TEXT NOT NULL DEFAULT '';
ALTER TABLE turn ADD COLUMN seen REAL NOT NULL DEFAULT 0;
"""

MIGRATIONS: tuple[str, ...] = (_FIRST, _PLACES, ENCODINGS, _ORIGINS, _SEEN, _ACCOUNTS, _QUEUE, _WRITTEN)
"""Step n takes a library from version n to version n + 1; version 0 is an empty file."""

VERSION = len(MIGRATIONS)


def examine(connection: sqlite3.Connection, path: Path) -> int:
    """The version of the library behind ``connection``, 0 for an empty file. Raises LibraryFormat."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    application = int(connection.execute("PRAGMA application_id").fetchone()[0])
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if tables == 0 and version == 0:
        return 0
    if application != APPLICATION_ID:
        raise LibraryFormat(
            f"{path} is a database of another program, not a library.",
            hint="Choose another folder with --library or RAG_LIBRARY.",
        )
    if version > VERSION:
        raise LibraryFormat(
            f"{path} was written by a newer version of this program (its format is {version}, known is {VERSION}).",
            hint="Upgrade this program, or choose another library.",
        )
    return version


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Bring a library of ``version`` to this one, in the transaction that is open on ``connection``."""
    for step in MIGRATIONS[version:]:
        for statement in _statements(step):
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")


def _statements(script: str) -> list[str]:
    """The statements of a script one by one: ``executescript`` would commit the open transaction first."""
    return [statement for part in script.split(";\n") if (statement := part.strip())]


def fts(collection_id: int) -> str:
    """The name of a collection's full-text table."""
    return f"fts_{collection_id:d}"


def create_fts(connection: Connection, collection_id: int) -> None:
    """Create the full-text table of a collection.

    It is contentless: it keeps no copy of the text (measured at 100,000 passages of 160 words: 73 MB instead of
    189 MB), and deletions name the words again, which the canonical text always allows.
    """
    connection.execute(
        f"CREATE VIRTUAL TABLE {fts(collection_id)} USING fts5(head, body, content='', tokenize=\"{TOKENIZER}\")"
    )
