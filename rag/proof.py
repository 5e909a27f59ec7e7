"""An exported answer as a proof that travels: what it cites is checked again, against a library or the bare files.

The proof is the answer's own JSON (``rag ask --json``, ``Answer.to_dict()``): citations with their exact characters,
and the SHA-256 of each cited document's bytes and text. Nothing is asked of a model and nothing leaves the machine.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from rag.config import Config
from rag.documents import ParserPool, Recognition, discover, read_file
from rag.errors import DocumentError, ProofError
from rag.types import Answer, CitedDocument

T = TypeVar("T")
State = Literal["holds", "moved", "changed", "gone", "forged", "missing"]

_MARKER = re.compile(r"\[\d+\]")

MEANING: Mapping[State, str] = {
    "holds": "stands where the answer says, in the very same document",
    "moved": "the document has changed, and the quote still stands in it, elsewhere",
    "changed": "the document has changed, and still says this in other spacing or hyphenation",
    "gone": "the document has changed, and no longer says this",
    "forged": "the document is the same, and never said this there",
    "missing": "the document is not here",
}


@dataclass(frozen=True, slots=True)
class KnownDocument:
    """A document to check against: ``text`` is its canonical text, ``sha256`` that of its bytes."""

    source: str
    sha256: str
    text: str


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of one citation. ``start`` and ``end`` are where its quote stands now, if it stands anywhere."""

    marker: int
    source: str
    state: State
    quote: str
    start: int | None = None
    end: int | None = None
    found_in: str = ""

    @property
    def ok(self) -> bool:
        """Whether the words are still there, in whatever version of the document."""
        return self.state in ("holds", "moved", "changed")


@dataclass(frozen=True, slots=True)
class ProofReport:
    """Every citation of an answer, checked.

    ``altered`` are sentences that claim to be word for word what they cite and are not; ``loose`` counts markers of
    the text that stand for no citation.
    """

    question: str
    citations: tuple[Checked, ...]
    altered: tuple[str, ...] = ()
    loose: int = 0

    @property
    def holds(self) -> bool:
        """Whether every citation holds as it was made."""
        sound = not self.loose and not self.altered
        return sound and all(checked.state == "holds" for checked in self.citations)

    def count(self, state: State) -> int:
        """How many citations ended in ``state``."""
        return sum(1 for checked in self.citations if checked.state == state)


def text_hash(text: str) -> str:
    """The SHA-256 of a canonical text, in UTF-8."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def read_proofs(text: str) -> list[Mapping[str, Any]]:
    """The answers in an exported file: one answer, a list, JSON lines, or the page's export of a conversation.

    Raises ProofError when it holds no answer with its citations.
    """
    found = [answer for value in _values(text) for answer in _answers(value)]
    if not found:
        raise ProofError(
            "This file holds no exported answer.", hint="Write one with `rag ask --json QUESTION > answer.json`."
        )
    return found


def _values(text: str) -> Iterator[Any]:
    decoder, at = json.JSONDecoder(), 0
    while rest := text[at:].lstrip():
        at = len(text) - len(rest)
        try:
            value, at = decoder.raw_decode(text, at)
        except ValueError as error:
            raise ProofError(f"This file is not JSON: {error}.", hint="Export the answer anew.") from None
        except RecursionError:
            raise ProofError("This file is nested too deeply.", hint="Export the answer anew.") from None
        yield value


def _answers(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, list):
        for item in value:
            yield from _answers(item)
    elif isinstance(value, dict):
        if isinstance(value.get("citations"), list) and isinstance(value.get("text"), str):
            yield value
        elif isinstance(value.get("turns"), list):
            for turn in value["turns"]:
                if isinstance(turn, dict):
                    yield from _answers(turn.get("answer"))


def check_proof(answer: Answer | Mapping[str, Any], known: Iterable[KnownDocument]) -> ProofReport:
    """Check each citation of an exported answer against the documents at hand.

    Raises ProofError when the answer does not have the form of one.
    """
    plain = answer.to_dict() if isinstance(answer, Answer) else answer
    documents = {d.id: d for d in _cited_documents(plain.get("documents"))}
    by_hash: dict[str, list[KnownDocument]] = {}
    by_name: dict[str, list[KnownDocument]] = {}
    for one in known:
        by_hash.setdefault(one.sha256, []).append(one)
        by_name.setdefault(one.source, []).append(one)
    checked = []
    for citation in plain["citations"]:
        marker, source, quote = _field(citation, "marker", int), _field(citation, "source", str), _quote(citation)
        start, end = _field(citation, "start", int), _field(citation, "end", int)
        document = documents.get(_field(citation, "document_id", int))
        same = by_hash.get(document.sha256, []) if document else []
        checked.append(_check(marker, source, quote, (start, end), document, same, by_name.get(source, [])))
    loose = sum(1 for m in plain.get("markers") or () if not 0 <= _field(m, "citation", int) < len(checked))
    altered = tuple(s["text"] for s in plain.get("sentences") or () if _altered(s, checked))
    return ProofReport(str(plain.get("question", "")), tuple(checked), altered, loose)


def _altered(sentence: Any, checked: Sequence[Checked]) -> bool:
    """Whether a sentence calls itself quoted and is in none of the quotes that it cites."""
    text = _bare(_MARKER.sub("", _field(sentence, "text", str)))
    if sentence.get("support") != "quoted" or not text:
        return False
    quotes = [checked[i].quote for i in sentence.get("citations") or () if isinstance(i, int) and i < len(checked)]
    return not any(text in _bare(quote) for quote in quotes)


def _bare(text: str) -> str:
    """The letters and digits alone: an answer may lay a quote out anew, and may not change its words."""
    return "".join(c for c in text.casefold() if c.isalnum())


def bare_files(paths: Sequence[Path], config: Config) -> Iterator[KnownDocument]:
    """The documents in files and folders, without a library; what cannot be read is left out.

    Raises PathError for a missing path.
    """
    size = {"characters": config.passage_characters, "overlap": config.passage_overlap}
    with ParserPool(config.limits, **size, recognition=Recognition(config.ocr, config.ocr_languages)) as pool:
        for file in discover(paths, config.limits).files:
            with suppress(DocumentError):
                data = read_file(file, config.limits)
                text = pool.parse(data, file.source).document.text
                yield KnownDocument(file.source, hashlib.sha256(data).hexdigest(), text)


def _check(
    marker: int,
    source: str,
    quote: str,
    span: tuple[int, int],
    document: CitedDocument | None,
    same: Sequence[KnownDocument],
    named: Sequence[KnownDocument],
) -> Checked:
    for one in same:
        if 0 <= span[0] < span[1] and one.text[span[0] : span[1]] == quote:
            return Checked(marker, source, "holds", quote, *span, found_in=one.source)
    if same and document is not None and any(text_hash(one.text) == document.text_sha256 for one in same):
        return Checked(marker, source, "forged", quote)
    for one in (*same, *named):
        start = one.text.find(quote)
        if quote and start >= 0:
            return Checked(marker, source, "moved", quote, start, start + len(quote), found_in=one.source)
    for one in (*same, *named):
        match = _loosely(quote, one.text)
        if match is not None:
            return Checked(marker, source, "changed", quote, *match, found_in=one.source)
    return Checked(marker, source, "gone" if same or named else "missing", quote)


def _loosely(quote: str, text: str) -> tuple[int, int] | None:
    """Where ``text`` says ``quote`` apart from white space and the hyphens of line ends."""
    letters = [re.escape(c) for c in quote if not c.isspace() and c not in "-\u00ad\u2010"]
    if not letters:
        return None
    match = re.search(r"[\s\-\u00ad\u2010]*".join(letters), text)
    return (match.start(), match.end()) if match else None


def _cited_documents(listed: Any) -> Iterator[CitedDocument]:
    for item in listed if isinstance(listed, list) else ():
        yield CitedDocument(
            _field(item, "id", int),
            _field(item, "source", str),
            _field(item, "sha256", str),
            _field(item, "text_sha256", str),
        )


def _quote(citation: Any) -> str:
    return _field(citation, "quote", str)


def _field(item: Any, name: str, kind: type[T]) -> T:
    value = item.get(name) if isinstance(item, Mapping) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ProofError(
            f"A citation of this answer has no {name!r} of the expected kind.", hint="Export the answer anew."
        )
    return value
