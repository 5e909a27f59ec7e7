"""The sources panel: for each turn a section, for each citation a card with its span marked."""

from __future__ import annotations

import re
from typing import Any

from rag.answer.writing.fence import warnings
from rag.text import counted
from rag.types import Outcome, unchecked_told
from ui.chips import ORIGINS, Record, place
from ui.escape import flowing, inert, name
from ui.export import plain_turn
from ui.render import count_flags

_HEADINGS = re.compile(r"\A(?:#{1,6} [^\n]*(?:\n+|\Z))+")
CONTEXT = 220
"""Characters shown before and after the span; the reader pane shows the rest."""


def section_html(question: str, record: Record, turn: int, *, rated: bool = False) -> str:
    """The section of one turn, its id ``t1`` and its cards' ``t1s1``.

    ``data-copy`` holds the answer and its sources as plain text. A complete answer can be saved as a draft of a gold
    question, which ``rated`` says was done.
    """
    cards, others = _cards(record, turn)
    more = ""
    if others:
        label = f"{len(others)} more passage{'s' if len(others) > 1 else ''} found, not cited"
        more = f'<details class="more"><summary>{label}</summary>{"".join(others)}</details>'
    return (
        f'<section class="turn" id="t{turn}" data-copy="{inert(plain_turn(record))}">'
        f'<p class="tq" dir="auto">“{inert(question)}”</p><p class="sum">{_summary(record, len(cards))}</p>'
        f"{''.join(cards)}{more}{_MARKDOWN}{'' if record.get('state') else _gold(turn, rated=rated)}</section>"
    )


_MARKDOWN = '<p class="also"><button type="button" data-markdown>Copy as Markdown</button></p>'


def _gold(turn: int, *, rated: bool) -> str:
    if rated:
        return '<p class="gold">✓ Saved as a draft for the gold questions.</p>'
    return f'<p class="gold"><button type="button" data-gold="{turn - 1}">Save as gold question</button></p>'


def _summary(record: Record, cards: int) -> str:
    uncertain = record.get("outcome") == Outcome.UNCERTAIN
    if record.get("abstained") and not uncertain and not record.get("state"):
        return f"Not in the documents · {counted(cards, 'nearest passage')}" if cards else "Not in the documents"
    parts = ["May not answer"] if uncertain and not record.get("state") else []
    if record.get("citations"):
        parts.append(counted(cards, "citation"))
    elif "hits" in record:
        parts.append(f"{counted(cards, 'passage')} found")
    lacking, partly = count_flags(record)
    if lacking:
        parts.append(f'<span class="w">⚠ {counted(lacking, "sentence")} without support</span>')
    if partly:
        parts.append(f"◐ {counted(partly, 'sentence')} only partly supported")
    unchecked = unchecked_told((s["support"], s.get("unchecked", ())) for s in record.get("sentences", ()))
    told = f'<br><span class="unchecked">{unchecked}</span>' if unchecked and not record.get("state") else ""
    return (" · ".join(parts) or "No passages yet") + told


def _cards(record: Record, turn: int) -> tuple[list[str], list[str]]:
    """Cards of what the answer cites, and of passages that were found beside it.

    Without citations (while it is written, stopped or abstained) the passages found are the cards.
    """
    hits, lines = record.get("hits", ()), record.get("lines", {})
    passages = {hit["passage"]["id"]: hit["passage"] for hit in hits}
    citations = record.get("citations", ())
    if not citations:
        return [_hit_card(hit["passage"], lines, turn, number) for number, hit in enumerate(hits, 1)], []
    cards = [_citation_card(c, passages.get(c["passage_id"]), lines, turn) for c in citations]
    cited = {c["passage_id"] for c in citations}
    others = [_hit_card(p, lines, turn, None) for key, p in passages.items() if key not in cited]
    return cards, others


def _citation_card(citation: Record, passage: Record | None, lines: Record, turn: int) -> str:
    before, quote, after = _around(citation, passage)
    shown = inert if _tabular(before + quote + after) else flowing
    body = _laid_out(f"{shown(before)}<mark>{shown(quote)}</mark>{shown(after)}", before + quote + after)
    kind, why = ORIGINS.get(citation.get("origin", ""), ("", ""))
    tag = f'<span class="tag {kind}">{why}</span>' if kind else ""
    tag += _warning(citation, passage["text"] if passage is not None else citation["quote"])
    return _card(citation, place(citation, lines), body, f"t{turn}s{citation['marker']}", citation["marker"], tag)


def _hit_card(passage: Record, lines: Record, turn: int, number: int | None) -> str:
    text = _without_heading(passage["text"]) or passage["text"]
    text = text if len(text) <= 3 * CONTEXT else _cut_end(text[: 3 * CONTEXT])
    shown = _laid_out(inert(text) if _tabular(text) else flowing(text), text)
    anchor = f"t{turn}s{number}" if number is not None else f"t{turn}p{int(passage['id'])}"
    return _card(passage, place(passage, lines), shown, anchor, number, _warning(passage, passage["text"]))


def _warning(item: Record, text: str) -> str:
    found = warnings(item.get("place") or "", text)
    return f'<span class="tag unsup">⚠ {" and ".join(found)}</span>' if found else ""


def _tabular(text: str) -> bool:
    """Whether it holds rows of a table, of which each keeps its line."""
    return "|\n|" in text


def _laid_out(html: str, text: str) -> str:
    return f'<span class="tabular">{html}</span>' if _tabular(text) else html


def _card(item: Record, where: str, body: str, anchor: str, number: Any, tag: str) -> str:
    file = name(item["source"])
    badge = f"<b>{int(number)}</b>" if number is not None else ""
    path = " › ".join(name(part) for part in item.get("heading") or () if part != item.get("title"))
    heading = f'<p class="path">{path}</p>' if path and path not in where else ""
    label = f"Source {int(number)}: {file} {where}" if number is not None else f"{file} {where}"
    return (
        f'<article class="src" id="{anchor}" tabindex="-1" aria-label="{label}">'
        f'<h4>{badge}<span title="{file}">{file}</span><em>{where}</em></h4>{heading}'
        f'<p class="passage" dir="auto">{body}</p>'
        f'<div class="tools"><button type="button" data-open="{anchor}">Open in source</button>{tag}</div></article>'
    )


def _around(citation: Record, passage: Record | None) -> tuple[str, str, str]:
    """Text before the span, the span, text after it; only the span where the passage is not at hand."""
    quote = citation["quote"]
    if passage is None:
        return "", quote, ""
    start, end = citation["start"] - passage["start"], citation["end"] - passage["start"]
    text = passage["text"]
    if not 0 <= start < end <= len(text) or text[start:end] != quote:
        return "", quote, ""
    before, after = text[:start], text[end:]
    if len(before) > CONTEXT:
        before = _cut_start(before[-CONTEXT:])
    if len(after) > CONTEXT:
        after = _cut_end(after[:CONTEXT])
    return _without_heading(before).lstrip("\n"), quote, after.rstrip("\n")


def _without_heading(text: str) -> str:
    """A passage without the Markdown headings it begins with: they are shown above it."""
    return _HEADINGS.sub("", text)


def _cut_start(text: str) -> str:
    _, space, rest = text.partition(" ")
    return f"… {rest}" if space else f"…{text}"


def _cut_end(text: str) -> str:
    rest, space, _ = text.rpartition(" ")
    return f"{rest} …" if space else f"{text}…"
