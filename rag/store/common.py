"""What every backend does alike: what it checks before it writes, and how it keeps texts, places and vectors."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rag.errors import LibraryDamaged, StoreError, UnknownCollection, UnknownConversation, UnknownSource
from rag.store.truth import Collection, NewPassage, Vector, text_key
from rag.types import ParsedDocument, Place, index_text

INDEX_FOLDER = "index"
"""Where the dense indexes lie in a library's folder."""

MOVING = "moving"
"""The setting of a library that is being copied to, and is not whole yet."""

NAME_LIMIT = 100
TITLE_LIMIT = 80
_EXCERPT = 160
ROUNDING = 1e-3


def check_collection_name(name: str) -> None:
    """Raise StoreError for a name that no collection may have."""
    if not name.strip() or len(name) > NAME_LIMIT or not name.isprintable():
        raise StoreError(
            f"{name[:NAME_LIMIT]!r} cannot name a collection.", hint=f"Use 1 to {NAME_LIMIT} printable characters."
        )


def check_names(*names: str) -> None:
    """Raise StoreError for a name of a document that UTF-8 cannot hold."""
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise StoreError(f"{name!r} is not valid Unicode.", hint="Rename the file.") from None


def check_passages(parsed: ParsedDocument, passages: Sequence[NewPassage]) -> None:
    """Raise StoreError for a passage outside its text, or whose key is not that of its text."""
    for passage in passages:
        if not 0 <= passage.start <= passage.end <= len(parsed.text):
            raise StoreError(f"The passage {passage.start}..{passage.end} lies outside its text.")
        text = index_text(parsed.title, passage.heading, parsed.text[passage.start : passage.end])
        if text_key(text) != passage.key:
            raise StoreError(f"The key of the passage {passage.start}..{passage.end} is not that of its text.")


def unit_bytes(vector: npt.NDArray[Any], dimension: int) -> bytes:
    """A vector as the truth keeps it: float32, length 1 (a zero vector stays zero). Raises StoreError."""
    row = np.asarray(vector, dtype=np.float32).reshape(-1)
    if len(row) != dimension:
        raise StoreError(
            f"A vector has {len(row)} dimensions, the collection {dimension}.",
            hint="The collection was made with another embedder; use that one, or `rag reindex`.",
        )
    norm = float(np.linalg.norm(row.astype(np.float64)))
    if not np.isfinite(norm):
        raise StoreError("The embedder returned a vector that is not finite.", hint="Choose another embedder.")
    return (row / np.float32(norm) if norm > 0 else row).astype("<f4").tobytes()


def matrix_of(rows: Sequence[object], collection: Collection) -> Vector:
    """The unit vectors of these rows. Raises LibraryDamaged for one that ``unit_bytes`` did not make."""
    size = 4 * collection.embedder.dimension
    sound = [row for row in rows if isinstance(row, bytes) and len(row) == size]
    if len(sound) < len(rows):
        raise damaged_vectors(collection)
    matrix = np.frombuffer(b"".join(sound), dtype="<f4").reshape(-1, collection.embedder.dimension)
    if not are_units(matrix):
        raise damaged_vectors(collection)
    return matrix


def are_units(matrix: Vector) -> bool:
    """Whether every row is as ``unit_bytes`` makes them: of length 1, or zero."""
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.einsum("ij,ij->i", matrix, matrix)
    return bool(np.all((np.abs(lengths - 1) < ROUNDING) | (lengths == 0)))


def stored_places(places: Iterable[Place]) -> str:
    """Places as a row of the truth holds them; what is as usual is left out."""
    return json.dumps([_row(place) for place in places], ensure_ascii=False, separators=(",", ":"))


def _row(place: Place) -> list[int | str]:
    row: list[int | str] = [place.number, place.start, place.end, place.kind, place.label]
    return row if place.label else row[:4] if place.kind != "page" else row[:3]


def read_places(stored: str) -> tuple[Place, ...]:
    """A passage's places; of a damaged row none, so that it is still told by its page and heading."""
    try:
        return tuple(Place(*row) for row in json.loads(stored))
    except (ValueError, TypeError):
        return ()


def read_heading(stored: str) -> tuple[str, ...]:
    """A heading path; of a damaged row an empty one, which its passage's hash gives away."""
    try:
        return tuple(map(str, json.loads(stored)))
    except (ValueError, TypeError):
        return ()


def title_of(text: str) -> str:
    """A conversation's title: text on one line, cut at a word where it is too long."""
    line = " ".join(clean(text).split())
    if len(line) <= TITLE_LIMIT:
        return line
    return f"{line[: TITLE_LIMIT - 1].rsplit(' ', 1)[0]}…"


def clean(text: str) -> str:
    """Text that every backend can hold: what is no Unicode, and NUL, is marked as lost."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")


def excerpt_of(question: str, answer: str, wanted: Sequence[str]) -> str | None:
    """About 160 characters of a turn around the first of the ``wanted`` words (``folded``; folding may move it a
    little); None where one of them is missing."""
    text = f"{question}\n{answer}"
    known = folded(text)
    if not all(word in known for word in wanted):
        return None
    at = max(0, known.find(wanted[0]) - _EXCERPT // 3)
    piece = " ".join(text[at : at + _EXCERPT].split())
    return f"{'…' if at else ''}{piece}{'…' if at + _EXCERPT < len(text) else ''}"


def folded(text: str) -> str:
    """Text without differences of case and width."""
    return unicodedata.normalize("NFKC", text).casefold()


def changed(source: str) -> LibraryDamaged:
    """The error of a document whose text is not what was put in."""
    return LibraryDamaged(
        f"The stored text of {source} is damaged: it is not what was put in.",
        hint=f"Run `rag remove {source}` and ingest the file again, or restore the library's folder from a backup.",
    )


def damaged_vectors(collection: Collection) -> LibraryDamaged:
    """The error of a collection whose vectors are not what was put in."""
    return LibraryDamaged(
        f"The stored vectors of the collection {collection.name!r} are damaged.",
        hint=f"`rag reindex {collection.embedder.name}` computes them anew from the documents' text.",
    )


def embedded_anew(collection: Collection, name: str) -> StoreError:
    """The error of a document ``name`` whose vectors are of a generation that is gone."""
    return StoreError(
        f"The collection {collection.name!r} was embedded anew while {name} was being read.",
        hint="Ingest the file again.",
    )


def no_document(document_id: int) -> UnknownSource:
    """The error of a document's number that is not, or no more, known."""
    return UnknownSource(
        f"Document number {document_id} is gone: it was replaced or removed.", hint="Ask again for the new version."
    )


def no_source(source: str, collection: str) -> UnknownSource:
    """The error of a document's name that a collection doesn't know."""
    return UnknownSource(f"No document {source!r} in the collection {collection!r}.", hint="`rag sources` lists them.")


def no_collection(which: str | int, names: Sequence[str]) -> UnknownCollection:
    """The error of a collection that is unknown, where those of ``names`` are known."""
    known = f"There are: {', '.join(names)}." if names else "There is none yet; `rag ingest FILES` creates one."
    called = repr(which) if isinstance(which, str) else f"'number {which}'"
    return UnknownCollection(f"No collection {called}.", hint=known)


def no_conversation(conversation_id: int) -> UnknownConversation:
    """The error of a conversation that is unknown to its owner."""
    return UnknownConversation(
        f"There is no conversation number {conversation_id}.", hint="It may have been deleted; start a new one."
    )
