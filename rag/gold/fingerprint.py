"""What a run depended on, and what differs between two runs."""

from __future__ import annotations

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
_SCORING = (
    "gold/scoring.py", "gold/matching.py", "gold/numbers.py", "gold/ranking.py", "gold/spans.py", "gold/support.py",
    "answer/verify.py", "answer/evidence.py", "answer/gates.py", "answer/lexicon.py", "answer/values.py", "text.py",
)  # fmt: skip
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
    package = Path(__file__).resolve().parent.parent
    whole = hashlib.sha256()
    for name in _SCORING:
        whole.update((package / name).read_bytes())
    return whole.hexdigest()[:16]


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
