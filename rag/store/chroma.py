"""An index of a collection's vectors kept by Chroma: in a folder, inside this process, or by one server for many."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from rag.store.audit import IndexFailure
from rag.store.checksum import settle
from rag.store.truth import Vector

if TYPE_CHECKING:
    import httpx
    from chromadb.api.client import Client
    from chromadb.api.collection_configuration import CreateCollectionConfiguration
    from chromadb.api.models.Collection import Collection

Ids = npt.NDArray[np.int64]

_NAME = "passages"
_PARAMETERS: CreateCollectionConfiguration = {
    "hnsw": {
        "space": "cosine",
        "max_neighbors": 16,
        "ef_construction": 100,
        "ef_search": 3_200,
        "sync_threshold": 1_000,
        "batch_size": 100,
    }
}
"""Measured at 100,000 real passages x 256: recall@50 is 0.72 with Chroma's ef_search of 100, 0.98 with 3,200, at
4.9 ms a query; a graph with 32 neighbours needs half the search for the same but twice the time to build. Up to
``sync_threshold`` changes are told to the graph again whenever the index is opened."""

LARGEST = 5_461
"""Vectors that Chroma takes at once."""

_PAGE = 50_000
_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 60.0


class Unreachable(IndexFailure):
    """A Chroma server does not answer; what it holds may be sound."""

    code = "index"
    hint = "Check that it runs (`chroma run`) and that its address is right; it is tried again by itself."


class ChromaIndex:
    """A ``VectorIndex`` in a folder of its own, kept by Chroma inside this process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with failures(folder):
            from chromadb import PersistentClient
            from chromadb.config import Settings

            self._client = cast("Client", PersistentClient(str(folder), Settings(anonymized_telemetry=False)))
            try:
                self._collection = self._client.get_or_create_collection(
                    _NAME, configuration=_PARAMETERS, embedding_function=None
                )
            except BaseException:
                self._client.close()
                raise

    def upsert(self, ids: Ids, vectors: Vector) -> None:
        """Add vectors, or replace those of known ids; at most 5,461 at once."""
        with failures(self._folder):
            self._collection.upsert(ids=[str(i) for i in ids], embeddings=vectors)

    def delete(self, ids: Ids) -> None:
        """Take vectors out; unknown ids are ignored."""
        with failures(self._folder):
            self._collection.delete(ids=[str(i) for i in ids])

    def query(self, vector: Vector, limit: int) -> Ids:
        """The ids of the nearest vectors by cosine, best first, at most ``limit``."""
        with failures(self._folder):
            found = self._collection.query(query_embeddings=vector.reshape(1, -1), n_results=limit, include=[])
            return np.array(found["ids"][0], dtype=np.int64)

    def ids(self) -> Ids:
        """Every id, ascending."""
        with failures(self._folder):
            return np.sort(np.array(self._collection.get(include=[])["ids"], dtype=np.int64))

    def flush(self) -> None:
        """Return once everything so far is on the disk."""
        with failures(self._folder):
            # Chroma applies what it was told when it is next read.
            self._collection.get(limit=1, include=[])
            settle(self._folder)

    def close(self) -> None:
        """Release memory and files."""
        with failures(self._folder):
            self._client.close()


class ChromaServer:
    """A client of one ``chroma run``, which any number of processes may use at once.

    It asks for no password: it belongs on loopback or a private network. What is written through it is on the server's
    disk when the call returns (a server that was killed lost none of 30 batches).
    """

    def __init__(self, address: str) -> None:
        """Connect to ``http://host:port``. Raises Unreachable."""
        self.address = address
        parts = urlsplit(address)
        secure = parts.scheme == "https"
        with failures(address):
            from chromadb import HttpClient
            from chromadb.config import Settings
            from httpx import Timeout

            expect_answer(address)
            client: Any = HttpClient(
                parts.hostname or "", parts.port or (443 if secure else 80), ssl=secure,
                settings=Settings(anonymized_telemetry=False),
            )  # fmt: skip
            self._client = cast("Client", client)
            # Chroma's own clients wait for ever, have no setting for it, and leave their connections open.
            clients = (client, client._admin_client)
            self._sessions: list[httpx.Client] = [one._server._session for one in clients]
            for session in self._sessions:
                session.timeout = Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS)

    def close(self) -> None:
        """Give up the connections."""
        with failures(self.address):
            self._client.close()
            for session in self._sessions:
                session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def names(self, prefix: str) -> list[str]:
        """The indexes whose name begins so."""
        with failures(self.address):
            found: list[str] = []
            while page := self._client.list_collections(limit=1_000, offset=len(found)):
                found += [one.name for one in page]
            return [name for name in found if name.startswith(prefix)]

    def make(self, name: str) -> ServedIndex:
        """A new, empty index."""
        with failures(self.address):
            made = self._client.create_collection(name, configuration=_PARAMETERS, embedding_function=None)
            return ServedIndex(self.address, made)

    def open(self, name: str) -> ServedIndex:
        """The index of that name. Raises IndexFailure when there is none."""
        with failures(self.address):
            return ServedIndex(self.address, self._client.get_collection(name, embedding_function=None))

    def drop(self, name: str) -> None:
        """Delete an index; one that is not there is none already."""
        with failures(self.address):
            from chromadb.errors import NotFoundError

            try:
                self._client.delete_collection(name)
            except NotFoundError:
                return


class ServedIndex:
    """A ``VectorIndex`` kept by a Chroma server."""

    def __init__(self, address: str, collection: Collection) -> None:
        self._address = address
        self._collection = collection

    @property
    def name(self) -> str:
        """What the server knows it by."""
        return self._collection.name

    def upsert(self, ids: Ids, vectors: Vector) -> None:
        """Add vectors, or replace those of known ids."""
        with failures(self._address):
            for at in range(0, len(ids), LARGEST):
                part = slice(at, at + LARGEST)
                self._collection.upsert(ids=[str(i) for i in ids[part]], embeddings=vectors[part])

    def delete(self, ids: Ids) -> None:
        """Take vectors out; unknown ids are ignored."""
        with failures(self._address):
            for at in range(0, len(ids), LARGEST):
                self._collection.delete(ids=[str(i) for i in ids[at : at + LARGEST]])

    def query(self, vector: Vector, limit: int) -> Ids:
        """The ids of the nearest vectors by cosine, best first, at most ``limit``."""
        with failures(self._address):
            found = self._collection.query(query_embeddings=vector.reshape(1, -1), n_results=limit, include=[])
            return np.array(found["ids"][0], dtype=np.int64)

    def ids(self) -> Ids:
        """Every id, ascending."""
        with failures(self._address):
            found: list[str] = []
            while page := self._collection.get(include=[], limit=_PAGE, offset=len(found))["ids"]:
                found += page
            return np.unique(np.array(found, dtype=np.int64))

    def count(self) -> int:
        """How many vectors there are."""
        with failures(self._address):
            return self._collection.count()

    def flush(self) -> None:
        """Nothing waits: the server has written what it was told."""

    def close(self) -> None:
        """Nothing to release: the connection is the server's client's."""


def expect_answer(address: str) -> None:
    """Raise Unreachable unless a Chroma server answers there, within seconds."""
    import httpx

    try:
        httpx.get(f"{address.rstrip('/')}/api/v2/heartbeat", timeout=_CONNECT_SECONDS).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unreachable(f"No Chroma server answers at {address}: {error or type(error).__name__}.") from error


@contextmanager
def failures(place: Path | str) -> Iterator[None]:
    """Turn whatever Chroma raises into IndexFailure: its own errors, SQLite's, and panics of its Rust part, which
    are no ``Exception``; what a connection raises is Unreachable."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, GeneratorExit, IndexFailure):
        raise
    except BaseException as error:
        from httpx import TransportError

        if isinstance(error, TransportError):
            why = str(error) or type(error).__name__
            raise Unreachable(f"The Chroma server at {place} does not answer: {why}.") from error
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise IndexFailure(f"Chroma failed in {place}: {error}") from error
        raise
