"""What a run depended on, and what differs between two runs."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from rag.gold.backend import Backend
from rag.gold.schema import GoldSet

_ORDER = (
    "model", "server", "embedder", "judge", "prompts", "options", "corpus", "parsed_text", "splitter", "retrieval",
    "gold", "scorer", "run", "packages", "commit",
)  # fmt: skip
_SCORING = ("rag.gold.scoring", "rag.gold.support")
_ANSWERS = ("model", "embedder", "prompts", "options", "corpus", "parsed_text", "splitter", "retrieval")


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the fingerprint that differs; empty text where a side does not have it."""

    key: str
    old: str
    new: str


def fingerprint(backend: Backend, collection: str | None, gold: GoldSet, run: Mapping[str, Any]) -> dict[str, Any]:
    """The backend's own fingerprint with the gold set, the scorer's version and the settings of the run."""
    whole = {
        **backend.fingerprint(collection),
        "gold": {"sha256": gold.sha256, "questions": len(gold.questions)},
        "scorer": scorer_version(),
        "run": dict(run),
    }
    plain: dict[str, Any] = json.loads(json.dumps(whole, default=str))
    return plain


@cache
def scorer_version() -> str:
    """A digest of the code that scores, the verifier's included: answers that other code scored are scored again."""
    whole = hashlib.sha256()
    for name, code in sorted(scoring_code().items()):
        whole.update(f"{name}\0{len(code)}\0".encode() + code)
    return whole.hexdigest()[:16]


def scoring_code() -> dict[str, bytes]:
    """The text of the modules that scores depend on: what scoring and support import from this program, and what these
    import in turn, read from their import statements."""
    root = Path(__file__).resolve().parents[2]
    found: dict[str, bytes] = {}
    waiting = list(_SCORING)
    while waiting:
        name = waiting.pop()
        path = root.joinpath(*name.split(".")).with_suffix(".py")
        if name not in found and path.is_file():
            found[name] = path.read_bytes()
            waiting.extend(_imported(found[name]))
    return found


def _imported(code: bytes) -> Iterator[str]:
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "rag":
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Change, ...]:
    """The entries that differ, in the order in which they matter."""
    a, b = dict(flat(old)), dict(flat(new))
    rank = {name: place for place, name in enumerate(_ORDER)}
    names = sorted(a.keys() | b.keys(), key=lambda name: (rank.get(name.split(".")[0], len(rank)), name))
    return tuple(Change(n, a.get(n, ""), b.get(n, "")) for n in names if a.get(n, "") != b.get(n, ""))


def corpus_digest(of: Mapping[str, Any]) -> str:
    """The digest of the documents behind a fingerprint; empty when it has none."""
    corpus = of.get("corpus")
    return str(corpus.get("sha256", "")) if isinstance(corpus, Mapping) else str(corpus or "")


def configuration_digest(of: Mapping[str, Any]) -> str:
    """A digest of what answers depend on: not of the gold set, package versions, server or commit."""
    return digest({name: of.get(name) for name in _ANSWERS})


def digest(value: Any) -> str:
    """SHA-256 of a JSON-ready value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """The entries of a fingerprint as dotted keys and texts."""
    for name, item in value.items():
        if isinstance(item, Mapping):
            yield from flat(item, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", "" if item is None else str(item)
