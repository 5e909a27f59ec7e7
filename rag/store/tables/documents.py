"""Documents: put, replaced and removed in one transaction each, with their passages, vectors and words."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rag.errors import LibraryDamaged, StoreError
from rag.store.common import (
    changed,
    check_names,
    check_passages,
    embedded_anew,
    no_document,
    no_source,
    stored_places,
    unit_bytes,
)
from rag.store.names import Named, inside, name_documents
from rag.store.tables import passages as slices
from rag.store.tables.collections import find_collection, touch
from rag.store.tables.connection import Connection, Database, Words, numbers
from rag.store.tables.jobs import expect_claimed
from rag.store.terms import columns
from rag.store.truth import Collection, NewDocument, NewPassage
from rag.types import Document, Heading, Place, UnreadFile

_COLUMNS = """SELECT d.id, c.name, d.source, d.title, d.media_type, d.sha256, d.size, d.characters, d.passages,
    d.pages, d.empty_pages, d.added_at, d.owner, d.origin, d.name, d.metadata
    FROM document d JOIN collection c ON c.id = d.collection_id"""


_AT_ONCE = 500


class DocumentsTables:
    """``rag.store.truth.Documents`` in tables."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, collection_id: int) -> tuple[Document, ...]:
        with self._database.reading() as connection:
            rows = connection.execute(f"{_COLUMNS} WHERE d.collection_id = ? ORDER BY d.source", (collection_id,))
            return tuple(_document(row) for row in rows)

    def get(self, collection_id: int, source: str) -> Document | None:
        return self._document("d.collection_id = ? AND d.source = ?", (collection_id, source))

    def from_origin(self, collection_id: int, origin: str) -> Document | None:
        return self._document("d.collection_id = ? AND d.origin = ?", (collection_id, origin))

    def inside(self, collection_id: int, origin: str) -> tuple[Document, ...]:
        prefix = inside(origin)
        with self._database.reading() as connection:
            rows = connection.execute(
                f"{_COLUMNS} WHERE d.collection_id = ? AND substr(d.origin, 1, ?) = ?",
                (collection_id, len(prefix), prefix),
            )
            documents = [_document(row) for row in rows]
        return tuple(document for document in documents if "#" not in document.origin[len(prefix) :])

    def namesakes(self, collection_id: int, name: str) -> tuple[Document, ...]:
        with self._database.reading() as connection:
            rows = connection.execute(
                f"{_COLUMNS} WHERE d.collection_id = ? AND (d.name = ? OR d.source = ?) ORDER BY d.source",
                (collection_id, name, name),
            )
            return tuple(_document(row) for row in rows)

    def text(self, document_id: int) -> str:
        with self._database.reading() as connection:
            source, characters = _expect_document(connection, document_id)
            rows = connection.execute("SELECT data FROM text WHERE document_id = ? ORDER BY part", (document_id,))
            text = "".join(slices.decoded(row[0]) for row in rows)
        if len(text) != characters:
            raise changed(source)
        return text

    def collection_of(self, document_id: int) -> int | None:
        """The number of the collection that a document is in; None when there is no such document."""
        with self._database.reading() as connection:
            row = connection.execute("SELECT collection_id FROM document WHERE id = ?", (document_id,)).fetchone()
        return None if row is None else int(row[0])

    def layout(self, document_id: int) -> tuple[tuple[Heading, ...], tuple[Place, ...]]:
        with self._database.reading() as connection:
            source, _ = _expect_document(connection, document_id)
            row = connection.execute(
                "SELECT headings, places FROM layout WHERE document_id = ?", (document_id,)
            ).fetchone()
        try:
            headings, places = (json.loads(part) for part in row)
            return tuple(Heading(*h) for h in headings), tuple(Place(*p) for p in places)
        except (TypeError, ValueError) as error:
            raise changed(source) from error

    def damaged(self, collection_id: int) -> tuple[str, ...]:
        found = []
        for document in self.list(collection_id):
            with self._database.reading() as connection:
                try:
                    whole = len(slices.of_document(connection, document.id)) == document.passages
                except LibraryDamaged:
                    whole = False
            if not whole:
                found.append(document.source)
        return tuple(found)

    def original(self, document_id: int) -> bytes | None:
        with self._database.reading() as connection:
            row = connection.execute("SELECT data FROM original WHERE document_id = ?", (document_id,)).fetchone()
        return None if row is None else bytes(row[0])

    def put(self, collection: Collection, new: NewDocument) -> Document:
        return self.put_all(collection, [new])[0]

    def put_all(self, collection: Collection, new: Sequence[NewDocument]) -> tuple[Document, ...]:
        vectors, words = [], []
        for one in new:
            check_names(one.origin, one.name, one.parsed.title)
            check_passages(one.parsed, one.passages)
            dimension = collection.embedder.dimension
            vectors.append({key: unit_bytes(vector, dimension) for key, vector in one.vectors.items()})
            words.append(self._database.words.cut(_searched(one)))
        with self._database.writing() as connection:
            for claim in [one.claim for one in new if one.claim is not None]:
                expect_claimed(connection, claim)
            now = find_collection(connection, collection.id)
            if now.generation != collection.generation:
                raise embedded_anew(now, new[0].name if new else "")
            stored = [self._put(connection, now, *given) for given in zip(new, vectors, words, strict=True)]
            # What the replaced ones had is dropped last: the text of one may stand in another now.
            _drop_orphans(connection, now.id, [number for _, orphans in stored for number in orphans])
            touch(connection, now.id)
            rows = [connection.execute(f"{_COLUMNS} WHERE d.id = ?", (number,)).fetchone() for number, _ in stored]
        return tuple(map(_document, rows))

    def _put(
        self, connection: Connection, collection: Collection, new: NewDocument, vectors: Mapping[bytes, bytes],
        cut: Any,
    ) -> tuple[int, Sequence[int]]:  # fmt: skip
        """Store one; its number, and those of the contents that the one before it had."""
        words = self._database.words
        present = _from(connection, collection.id, new.replaces or new.origin)
        orphans = [] if present is None else _retire(connection, words, collection.id, present.id)
        if present is not None and present.origin == new.origin:
            document_id = _insert_document(connection, collection, new, present.name, present.shown)
        else:
            shown = _name(connection, collection.id, Named(0, new.origin, new.name, ""))
            document_id = _insert_document(connection, collection, new, new.name, shown)
        contents = _insert_contents(connection, collection, [p.key for p in new.passages], vectors)
        first = _insert_passages(connection, collection.id, document_id, new.passages, contents)
        words.write(connection, collection.id, cut, first)
        return document_id, orphans

    def move(self, collection_id: int, document_id: int, origin: str, name: str) -> Document:
        check_names(origin, name)
        with self._database.writing() as connection:
            _expect_document(connection, document_id)
            old = connection.execute("SELECT origin, name FROM document WHERE id = ?", (document_id,)).fetchone()
            within = _inside(connection, collection_id, old[0])
            _move(connection, collection_id, document_id, origin, name)
            for number, one, called in within:
                below = one[len(inside(old[0])) :]
                _move(connection, collection_id, number, inside(origin) + below, name + called[len(old[1]) :])
            touch(connection, collection_id)
            row = connection.execute(f"{_COLUMNS} WHERE d.id = ?", (document_id,)).fetchone()
        return _document(row)

    def describe(self, collection_id: int, document_id: int, metadata: Mapping[str, Any]) -> Document:
        with self._database.writing() as connection:
            _expect_document(connection, document_id)
            connection.execute("UPDATE document SET metadata = ? WHERE id = ?", (json.dumps(metadata), document_id))
            touch(connection, collection_id)
            row = connection.execute(f"{_COLUMNS} WHERE d.id = ?", (document_id,)).fetchone()
        return _document(row)

    def signatures(self, collection_id: int) -> dict[str, str]:
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT origin, signature FROM document WHERE collection_id = ? AND signature <> ''", (collection_id,)
            )
            return dict(rows.fetchall())

    def sign(self, collection_id: int, signatures: Mapping[str, str]) -> None:
        with self._database.writing() as connection:
            connection.executemany(
                "UPDATE document SET signature = ? WHERE collection_id = ? AND origin = ?",
                [(signature, collection_id, origin) for origin, signature in signatures.items()],
            )

    def unread(self, collection_id: int) -> tuple[UnreadFile, ...]:
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT source, origin, error, hint, code FROM unread WHERE collection_id = ? ORDER BY source, origin",
                (collection_id,),
            )
            return tuple(UnreadFile(*row) for row in rows)

    def note_unread(
        self, collection_id: int, files: Sequence[UnreadFile], no_longer: Callable[[str], bool]
    ) -> None:  # fmt: skip
        before = {one.origin: one for one in self.unread(collection_id)}
        now = {one.origin: one for one in files}
        gone = [origin for origin in before if origin not in now and no_longer(origin)]
        new = [one for origin, one in now.items() if before.get(origin) != one]
        if not gone and not new:
            return
        with self._database.writing() as connection:
            connection.executemany(
                "DELETE FROM unread WHERE collection_id = ? AND origin = ?", [(collection_id, one) for one in gone]
            )
            connection.executemany(
                "INSERT INTO unread (collection_id, source, origin, error, hint, code) VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (collection_id, origin) DO UPDATE SET source = excluded.source, error = excluded.error,"
                " hint = excluded.hint, code = excluded.code",
                [(collection_id, one.source, one.origin, one.error, one.hint, one.code) for one in new],
            )

    def remove(self, collection_id: int, source: str) -> None:
        with self._database.writing() as connection:
            name = find_collection(connection, collection_id).name
            key = (collection_id, source)
            row = connection.execute(
                "SELECT id, origin FROM document WHERE collection_id = ? AND source = ?", key
            ).fetchone()
            if row is None:
                raise no_source(source, name)
            for document_id in (row[0], *(number for number, _, _ in _inside(connection, collection_id, row[1]))):
                gone = _retire(connection, self._database.words, collection_id, document_id)
                _drop_orphans(connection, collection_id, gone)
            touch(connection, collection_id)

    def _document(self, where: str, values: tuple[object, ...]) -> Document | None:
        with self._database.reading() as connection:
            row = connection.execute(f"{_COLUMNS} WHERE {where}", values).fetchone()
        return None if row is None else _document(row)


def _document(row: Sequence[Any]) -> Document:
    try:
        metadata = json.loads(row[-1])
    except ValueError:  # damaged: the document is there all the same
        metadata = {}
    return Document(*(*row[:-1], metadata if isinstance(metadata, dict) else {}))


def _expect_document(connection: Connection, document_id: int) -> tuple[str, int]:
    """Its source and its length in characters."""
    row = connection.execute("SELECT source, characters FROM document WHERE id = ?", (document_id,)).fetchone()
    if row is None:
        raise no_document(document_id)
    return str(row[0]), int(row[1])


def _from(connection: Connection, collection_id: int, origin: str) -> Named | None:
    """What is known of the document that came from there."""
    row = connection.execute(
        "SELECT id, origin, name, source FROM document WHERE collection_id = ? AND origin = ?", (collection_id, origin)
    ).fetchone()
    return None if row is None else Named(*row)


def _inside(connection: Connection, collection_id: int, origin: str) -> Sequence[tuple[int, str, str]]:
    """Number, origin and name of the documents that were files inside the one from ``origin``, at any depth."""
    prefix = inside(origin)
    return connection.execute(
        "SELECT id, origin, name FROM document WHERE collection_id = ? AND substr(origin, 1, ?) = ?",
        (collection_id, len(prefix), prefix),
    ).fetchall()


def _move(connection: Connection, collection_id: int, document_id: int, origin: str, name: str) -> None:
    shown = _name(connection, collection_id, Named(document_id, origin, name, ""))
    connection.execute(
        "UPDATE document SET origin = ?, name = ?, source = ? WHERE id = ?", (origin, name, shown, document_id)
    )


def _name(connection: Connection, collection_id: int, new: Named) -> str:
    """The name to show a document by; others that need a longer one to be told from it get theirs."""
    find = "SELECT id, origin, name, source FROM document WHERE collection_id = ? AND id <> ? AND "

    def holder(name: str) -> Named | None:
        row = connection.execute(f"{find} source = ?", (collection_id, new.id, name)).fetchone()
        return None if row is None else Named(*row)

    namesakes = connection.execute(f"{find} name = ?", (collection_id, new.id, new.name)).fetchall()
    shown, others = name_documents(new, [Named(*row) for row in namesakes], holder)
    # The longest first: a shorter name may be one that another has until then.
    for number, name in sorted(others.items(), key=lambda pair: -len(pair[1])):
        connection.execute("UPDATE document SET source = ? WHERE id = ?", (name, number))
    return shown


def _insert_document(connection: Connection, collection: Collection, new: NewDocument, name: str, shown: str) -> int:
    parsed = new.parsed
    document_id = connection.insert(
        "INSERT INTO document (collection_id, source, title, media_type, sha256, size, characters, passages, pages,"
        " empty_pages, added_at, owner, origin, name, metadata, signature)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (collection.id, shown, parsed.title, parsed.media_type, new.sha256, new.size, len(parsed.text),
         len(new.passages), len(parsed.pages), parsed.empty_pages, time.time(), new.owner, new.origin, name,
         json.dumps(new.metadata), new.signature),
    )  # fmt: skip
    connection.executemany(
        "INSERT INTO text VALUES (?, ?, ?)",
        [(document_id, part, data) for part, data in enumerate(slices.split_parts(parsed.text))],
    )
    headings = json.dumps([tuple(asdict(heading).values()) for heading in parsed.headings])
    connection.execute("INSERT INTO layout VALUES (?, ?, ?)", (document_id, headings, stored_places(parsed.places)))
    if new.original is not None:
        connection.execute("INSERT INTO original VALUES (?, ?)", (document_id, new.original))
    return document_id


def _insert_contents(
    connection: Connection, collection: Collection, keys: Iterable[bytes], vectors: Mapping[bytes, bytes]
) -> dict[bytes, int]:
    """The content number of each key, after giving every new one its vector."""
    wanted = list(dict.fromkeys(keys))
    found = _contents(connection, collection, wanted)
    bare = [key for key in wanted if found.get(key, (0, None))[1] is None]
    if not vectors.keys() >= set(bare):
        raise StoreError(
            "A passage has no vector; nothing was written.", hint="This is a bug of the caller: embed all passages."
        )
    connection.executemany(
        "INSERT INTO content (collection_id, key) VALUES (?, ?)",
        [(collection.id, key) for key in wanted if key not in found],
    )
    found |= _contents(connection, collection, [key for key in wanted if key not in found])
    connection.executemany(
        "INSERT INTO vector VALUES (?, ?, ?)", [(collection.generation, found[key][0], vectors[key]) for key in bare]
    )
    return {key: number for key, (number, _) in found.items()}


def _contents(
    connection: Connection, collection: Collection, keys: Sequence[bytes]
) -> dict[bytes, tuple[int, int | None]]:
    """The number of each content that there is, and the same once more where it has a vector."""
    found: dict[bytes, tuple[int, int | None]] = {}
    for at in range(0, len(keys), _AT_ONCE):
        some = keys[at : at + _AT_ONCE]
        rows = connection.execute(
            "SELECT c.key, c.id, v.content_id FROM content c"
            " LEFT JOIN vector v ON v.generation = ? AND v.content_id = c.id"
            f" WHERE c.collection_id = ? AND c.key IN ({', '.join('?' * len(some))})",
            (collection.generation, collection.id, *some),
        ).fetchall()
        found |= {bytes(key): (number, known) for key, number, known in rows}
    return found


def _insert_passages(
    connection: Connection, collection_id: int, document_id: int, passages: Sequence[NewPassage],
    contents: Mapping[bytes, int],
) -> int:  # fmt: skip
    """Store the passages of a document; the number of the first, which the others follow."""
    first = connection.take_passages(len(passages))
    connection.executemany(
        "INSERT INTO passage (id, document_id, ordinal, start, stop, page, heading, content_id, places)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [(first + n, document_id, n, p.start, p.end, p.page, json.dumps(p.heading), contents[p.key],
          stored_places(p.places))
         for n, p in enumerate(passages)],
    )  # fmt: skip
    _tell_index(connection, collection_id, range(first, first + len(passages)), removed=False)
    return first


def _searched(new: NewDocument) -> list[tuple[int, str, str]]:
    """The passages of a document, by their place in it, as the full-text index gets them."""
    parsed = new.parsed
    texts = ((p.heading, parsed.text[p.start : p.end]) for p in new.passages)
    return [(n, *columns(parsed.title, *text)) for n, text in enumerate(texts)]


def _retire(connection: Connection, words: Words, collection_id: int, document_id: int) -> list[int]:
    """Delete a version of a document; the content numbers it used."""
    rows = connection.execute("SELECT id, content_id FROM passage WHERE document_id = ?", (document_id,)).fetchall()
    readable = words.forget(connection, collection_id, document_id)
    _tell_index(connection, collection_id, [passage_id for passage_id, _ in rows], removed=True)
    connection.execute("DELETE FROM document WHERE id = ?", (document_id,))
    if not readable:
        words.write_anew(connection, collection_id)
    return [content_id for _, content_id in rows]


def _drop_orphans(connection: Connection, collection_id: int, contents: Sequence[int]) -> None:
    """Delete those contents, and their vectors of every generation, that no passage uses any more."""
    unused = connection.execute(
        "SELECT value FROM json_each(?) WHERE value NOT IN"
        " (SELECT content_id FROM passage WHERE content_id IN (SELECT value FROM json_each(?)))",
        (numbers(contents), numbers(contents)),
    ).fetchall()
    gone = numbers({row[0] for row in unused})
    connection.execute(
        "DELETE FROM vector WHERE generation IN (SELECT id FROM generation WHERE collection_id = ?)"
        " AND content_id IN (SELECT value FROM json_each(?))",
        (collection_id, gone),
    )
    connection.execute("DELETE FROM content WHERE id IN (SELECT value FROM json_each(?))", (gone,))


def _tell_index(connection: Connection, collection_id: int, ids: Iterable[int], *, removed: bool) -> None:
    connection.executemany(
        "INSERT INTO outbox (collection_id, passage_id, removed) VALUES (?, ?, ?)",
        [(collection_id, number, int(removed)) for number in ids],
    )
