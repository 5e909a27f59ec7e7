"""Questions to click, drawn from the collection itself: the same documents always give the same ones."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain, zip_longest
from typing import TYPE_CHECKING

from rag.text import words
from ui.escape import plain_name
from ui.render import Record

if TYPE_CHECKING:
    from rag.library import Library
    from rag.types import Document, Heading

EXAMPLES = 4
FOLLOW_UPS = 3
_READ = 40_000
_NEAR = 0.5
"""A passage of a document that is not cited must score at least this share of the best to be worth a question."""
_LONGEST = 70
_MARKUP = re.compile(r"[<>\[\]{}$*_#|~`\\^=]+")
_OPENER = "The|A|An|In|On|At|It|This|That|He|She|They|We|For|From|But|And|When|After|Before"
_NAME = re.compile(rf"\b(?!(?:{_OPENER})\b)[A-Z][a-z]{{2,}}(?: (?:of the |of |the )?[A-Z][a-z]{{2,}}){{1,3}}\b")
_NAMING = re.compile(r"(?<=\w )[A-Z][a-z]+|\d{2}|\b[A-Z]{2,}\b")
_SMALL = frozenset("the a an what how why who when where which other main our your its their".split())
_ASKING = frozenset("what how why who when where which whose".split())
_DULL = frozenset(
    "introduction contents table index appendix references notes overview summary abstract about general "
    "background conclusion preface foreword section chapter part".split()
)


def examples(library: Library, collection: str, limit: int = EXAMPLES) -> list[str]:
    """Up to ``limit`` questions that fit a collection, from as many of its documents as possible."""
    documents = library.sources(collection)[: 4 * limit]
    by_document = [_questions(library, document) for document in documents]
    mixed = chain.from_iterable(zip_longest(*by_document))
    return _distinct((question for question in mixed if question), limit)


def follow_ups(record: Record, limit: int = FOLLOW_UPS) -> list[str]:
    """Up to ``limit`` questions about what lay near the answer: headings of the passages found, not asked yet."""
    if record.get("state"):
        return []
    asked = set(words(f"{record.get('question', '')} {record.get('asked', '')}"))
    cited = {c["passage_id"] for c in record.get("citations", ())}
    near = {c["document_id"] for c in record.get("citations", ())}
    hits = record.get("hits", ())
    enough = _NEAR * max((hit.get("score", 0.0) for hit in hits), default=0.0)
    passages = [h["passage"] for h in hits if h["passage"]["document_id"] in near or h.get("score", 0.0) >= enough]
    found: list[str] = []
    for passage in sorted(passages, key=lambda p: p["id"] in cited):
        for heading in reversed(passage.get("heading") or ()):
            topic = _topic(heading)
            if topic and not set(words(topic)) <= asked:
                found.append(_about(topic))
                break
    return _distinct(found, limit)


def _questions(library: Library, document: Document) -> list[str]:
    headings, _ = library.layout(document.id)
    topics = _heading_topics(headings, document.title) or _named_topics(library.text(document.id)[:_READ])
    return [_about(topic) for topic in topics[:2]]


def _heading_topics(headings: Sequence[Heading], title: str) -> list[str]:
    """The headings, those first that name somebody or something."""
    topics = [t for h in headings if h.title.casefold() != title.casefold() and (t := _topic(h.title))]
    return sorted(topics, key=lambda topic: (topic.split()[0].lower() in _ASKING, not _NAMING.search(topic)))


def _named_topics(text: str) -> list[str]:
    """The names that a text repeats most."""
    counted = Counter(match[0] for match in _NAME.finditer(text))
    ranked = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    return [topic for name, _ in ranked[:6] if (topic := _topic(name))]


def _topic(text: str) -> str:
    """A heading as a topic: without markup and numbering; empty when it says too little or too much."""
    plain = " ".join(_MARKUP.sub(" ", plain_name(text)).split())
    plain = re.sub(r"^(?:\d+(?:\.\d+)*[.)]?|[IVX]+\.)\s+", "", plain).strip(" .:–-")
    meaningful = [word for word in words(plain) if word not in _DULL]
    return plain if meaningful and any(c.isalpha() for c in plain) and 3 <= len(plain) <= _LONGEST else ""


def _about(topic: str) -> str:
    first, _, rest = topic.partition(" ")
    if first.lower() in _SMALL:
        first = first.lower()
    return f"What is said about {f'{first} {rest}'.strip()}?"


def _distinct(questions: Iterable[str], limit: int) -> list[str]:
    return list(dict.fromkeys(questions))[:limit]
