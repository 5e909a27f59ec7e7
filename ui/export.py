"""A conversation as Markdown or JSON, and a turn as plain text: ``[n]`` and the list of sources, no HTML."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from html import unescape

from pydantic import TypeAdapter

from rag.answer.export import inert_markdown
from rag.answer.export import to_markdown as answer_markdown
from rag.types import Answer
from ui.chips import Record, place
from ui.render import FLAGGED


def to_markdown(title: str, turns: Iterable[tuple[str, Record]]) -> str:
    """Questions, answers with ``[n]``, and the sources of each with quotes; links, images and HTML as plain text."""
    parts = [f"# {inert_markdown(' '.join(title.split()))}"] if title else []
    for question, record in turns:
        parts.append(f"## {inert_markdown(' '.join(question.split()))}")
        parts.append(inert_markdown(plain_turn(record)))
    return "\n\n".join(part for part in parts if part) + "\n"


def to_json(title: str, turns: Iterable[tuple[str, Record]]) -> str:
    """The stored records themselves, indented."""
    listed = [{"question": question, "answer": dict(record)} for question, record in turns]
    return json.dumps({"title": title, "turns": listed}, ensure_ascii=False, indent=2) + "\n"


@cache
def _adapter() -> TypeAdapter[Answer]:
    return TypeAdapter(Answer)


def answer_of(record: Record) -> Answer:
    """The answer that a record was made from; what an older record lacks is as usual."""
    needed = {"question": "", "text": "", "abstained": False}
    return _adapter().validate_json(json.dumps({**needed, **record}))


def footnoted(record: Record) -> str:
    """A turn as Markdown with footnotes, inert whatever the documents hold; as plain text where it was not finished."""
    return plain_turn(record) + "\n" if record.get("state") else answer_markdown(answer_of(record))


def plain_turn(record: Record) -> str:
    """An answer and its sources as plain text."""
    text = str(record.get("text", "")).strip()
    state = str(record.get("state", ""))
    if state == "failed":
        text = f"{text}\n\nNo answer: {record.get('error', {}).get('message', '')}".strip()
    elif state in ("stopped", "interrupted"):
        text = f"{text}\n\n({state.capitalize()}.)".strip()
    flagged = [s["text"].strip() for s in record.get("sentences", ()) if FLAGGED.get(s["support"], ("",))[0] == "unsup"]
    notes = "\n".join(f"Not in the documents: “{sentence}”" for sentence in flagged)
    return "\n\n".join(part for part in (text, notes, _sources(record)) if part)


def _sources(record: Record) -> str:
    lines = record.get("lines", {})
    rows = []
    for citation in record.get("citations", ()):
        where = ", ".join(part for part in (citation["source"], unescape(place(citation, lines))) if part)
        rows.append(f"[{citation['marker']}] {where}: “{' '.join(citation['quote'].split())}”")
    return "\n".join(rows)
