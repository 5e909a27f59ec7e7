"""Which documents a question is asked of: chosen by name, and by what is known of them; and which could not be read."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any

from rag.errors import QuestionError, UnknownSource
from rag.language.languages import language_of
from rag.language.questions import question_words
from rag.language.words import stem, words_of
from rag.types import Document, Unread, UnreadFile

_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq, "ne": operator.ne, "lt": operator.lt, "lte": operator.le, "gt": operator.gt, "gte": operator.ge,
}  # fmt: skip
_WRITTEN = {"=": "eq", "!=": "ne", "<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}
_DATE = re.compile(r"\d{4}(?:-\d\d(?:-\d\d)?)?")
_NAME_WORD = re.compile(r"[^\W_]+?(?=[A-Z][a-z])|[^\W_]+")
_TERM = re.compile(r"\s*(?P<key>[^<>=!\s][^<>=!]*?)\s*(?P<sign>!=|<=|>=|=|<|>)\s*(?P<value>.*?)\s*", re.S)


def chosen(documents: Sequence[Document], sources: Sequence[str], where: Mapping[str, Any]) -> list[Document]:
    """The documents that are shown by one of these names (or came from there, or match it as a pattern with ``*``),
    and of which all of ``where`` is true; every name and every condition when both are empty.

    ``where`` gives for a key the value, a list of values of which one must be it, or a mapping of comparisons: ``eq``,
    ``ne``, ``lt``, ``lte``, ``gt``, ``gte``. Keys are a document's own metadata and ``source``, ``title``, ``folder``
    (true of all below it), ``type`` (a suffix or media type), ``added`` (a date), ``modified`` and ``language``; a list
    such as ``tags`` is true of each of its items. Dates are written 2024-03-31 and compared as such. A key that a
    document does not have is true of nothing. Raises UnknownSource for a name of no document, QuestionError for an
    unknown comparison and for what no document can meet: a key that none has, a text where all have numbers.
    """
    named = documents if not sources else _named(documents, sources)
    if not where:
        return list(named)
    known = [attributes(document) for document in documents]
    terms = {key: _asked(key, wanted, known) for key, wanted in where.items()}
    if named is not documents:
        known = [attributes(document) for document in named]
    return [
        document for document, has in zip(named, known, strict=True)
        if all(_holds(document, has, *term) for term in terms.items())
    ]  # fmt: skip


def _asked(key: str, wanted: Any, known: Sequence[Mapping[str, Any]]) -> Any:
    """A condition that documents of which so much is ``known`` can meet. Raises QuestionError for any other."""
    values = [has[key] for has in known if key in has]
    if known and not values and key not in ("modified", "language"):
        there = sorted({name for has in known for name in has} | {"modified", "language"})
        raise QuestionError(f"No document has {key!r}.", hint=f"There are: {', '.join(there)}.")
    if isinstance(wanted, Mapping):
        if unknown := sorted(str(name) for name in wanted if name not in _COMPARE):
            raise QuestionError(f"{unknown[0]!r} is no comparison.", hint=f"Use one of {', '.join(_COMPARE)}.")
        return {name: _comparable(key, one, values) for name, one in wanted.items()}
    return _comparable(key, wanted, values)


def _comparable(key: str, wanted: Any, values: Sequence[Any]) -> Any:
    """A value that can be compared with the known ones."""
    if isinstance(wanted, list | tuple | set):
        return [_comparable(key, one, values) for one in wanted]
    if key in ("added", "modified"):
        if not _DATE.fullmatch(str(wanted)):
            raise QuestionError(f"{key!r} is a date, and {wanted!r} is none.", hint="Write it as in 2024-03-31.")
        return str(wanted)
    items = (one for value in values for one in (value if isinstance(value, list | tuple) else [value]))
    kinds = {_kind(one) for one in items}
    if kinds and _kind(wanted) not in kinds:
        example = next(one for value in values for one in (value if isinstance(value, list | tuple) else [value]))
        raise QuestionError(
            f"{key!r} is {' or '.join(sorted(kinds))} in these documents, and {wanted!r} is not.",
            hint=f"One of its values is {json.dumps(example, ensure_ascii=False)}.",
        )
    return wanted


def _kind(value: Any) -> str:
    return "a number" if isinstance(value, int | float) else "a text" if isinstance(value, str) else "something else"


def parse_terms(terms: Sequence[str]) -> dict[str, Any]:
    """Conditions as they are typed: ``year=2024``, ``added>=2024-01-01``, ``tags=plan``; several of one key all hold.

    Numbers, true and false are read as such. Raises QuestionError for what is no condition.
    """
    where: dict[str, dict[str, Any]] = {}
    for term in terms:
        found = _TERM.fullmatch(term)
        if found is None or found["value"][:1] in ("<", ">", "="):
            raise QuestionError(f"{term!r} is no condition.", hint="Write KEY=VALUE, or with != < <= > >=.")
        where.setdefault(found["key"], {})[_WRITTEN[found["sign"]]] = _value(found["value"])
    return dict(where)


def parse_metadata(terms: Sequence[str]) -> dict[str, Any]:
    """What is noted of documents, as it is typed: ``year=2024``, ``tags=plan``; a key given again gets a list.

    Values are JSON where they are that, else text. Raises QuestionError for what is no KEY=VALUE.
    """
    noted: dict[str, Any] = {}
    for term in terms:
        key, sign, value = (part.strip() for part in term.partition("="))
        if not sign or not key:
            raise QuestionError(f"{term!r} notes nothing.", hint="Write KEY=VALUE.")
        if key not in noted:
            noted[key] = _value(value)
            continue
        before = noted[key] if isinstance(noted[key], list) else [noted[key]]
        noted[key] = [*before, _value(value)]
    return noted


def unread(question: str, files: Sequence[UnreadFile]) -> Unread:
    """How many files could not be read, and which of them are named like the question: the most common words first."""
    language = language_of(question, "en")
    asked = {
        word.stem for word in words_of(question, language)
        if word.content and question[word.start : word.end].lower() not in question_words()
    }  # fmt: skip
    shared = [
        (len(asked & {stem(word.lower(), language) for word in _NAME_WORD.findall(file.source)}), file.source)
        for file in files
    ]
    alike = sorted((pair for pair in shared if pair[0]), key=lambda pair: (-pair[0], pair[1]))
    return Unread(len(files), tuple(source for _, source in alike))


def attributes(document: Document) -> dict[str, Any]:
    """What a document can be chosen by; its own metadata come before what is derived."""
    path = PurePosixPath(document.origin if document.origin.startswith("/") else document.name or document.source)
    return {
        "source": document.source,
        "title": document.title,
        "folder": str(path.parent),
        "type": [path.suffix.lower().removeprefix("."), document.media_type],
        "added": datetime.fromtimestamp(document.added_at, UTC).date().isoformat(),
        **document.metadata,
    }


def _named(documents: Sequence[Document], sources: Sequence[str]) -> list[Document]:
    found: dict[int, Document] = {}
    for name in sources:
        matching = [d for d in documents if name in (d.source, d.origin) or fnmatchcase(d.source, name)]
        if not matching:
            raise UnknownSource(f"There is no document {name!r}.", hint="`rag sources` lists the documents.")
        found.update((document.id, document) for document in matching)
    return list(found.values())


def _holds(document: Document, known: Mapping[str, Any], key: str, wanted: Any) -> bool:
    if key not in known:
        return False
    value = known[key]
    if key == "folder" and key not in document.metadata:
        value = _folders(str(value))
        wanted = wanted if isinstance(wanted, Mapping) else _slashed(wanted)
        wanted = {name: _slashed(one) for name, one in wanted.items()} if isinstance(wanted, Mapping) else wanted
    if isinstance(wanted, Mapping):
        return all(_compare(value, name, one) for name, one in wanted.items())
    return any(_compare(value, "eq", one) for one in (wanted if isinstance(wanted, list | tuple | set) else [wanted]))


def _compare(value: Any, name: str, wanted: Any) -> bool:
    if isinstance(value, list | tuple):
        hits = [_compare(one, "eq" if name == "ne" else name, wanted) for one in value]
        return not any(hits) if name == "ne" else any(hits)
    numbers = all(isinstance(one, int | float) for one in (value, wanted))
    if not numbers and type(value) is not type(wanted):
        return name == "ne"
    return _COMPARE[name](value, wanted)


def _folders(folder: str) -> list[str]:
    """What a folder and those above it can be called: ``/a/b`` is ``/a/b``, ``/a``, ``a/b``, ``b`` and ``a``."""
    parts = [part for part in folder.split("/") if part not in ("", ".")]
    inner = ["/".join(parts[i:j]) for i in range(len(parts)) for j in range(i + 1, len(parts) + 1)]
    return [*inner, *(f"/{'/'.join(parts[:j])}" for j in range(1, len(parts) + 1) if folder.startswith("/"))]


def _slashed(wanted: Any) -> Any:
    if isinstance(wanted, list | tuple | set):
        return [_slashed(one) for one in wanted]
    return wanted.rstrip("/") if isinstance(wanted, str) else wanted


def _value(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, int | float | str) else text
